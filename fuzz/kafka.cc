// Messages of the Kafka protocol: the first byte is the API's key (in the corpus; the name of the
// target decides), the second the version, with its high bit set for a response; the rest is the
// body. What decodes must encode to bytes that decode to the same. A request is decoded behind a
// header as well, as it comes from a connection.
//
// The body of a SyncGroup is tried as a consumer's assignment, too.
//
// Each API is a target of its own, with its own corpus, under the name kafka_<key>, and stays with
// that key, whatever the input says.

#include <cstdint>

#include "base/check.h"
#include "targets.h"
#include "wire/kafka/assignment.h"
#include "wire/kafka/header.h"
#include "wire/kafka/recode.h"

using namespace walrus;
using namespace walrus::wire::kafka;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  Bytes body(reinterpret_cast<const char*>(data) + 2, size - 2);
  auto key = static_cast<std::int16_t>(fuzz::chosen_number());
  auto version = static_cast<std::int16_t>(data[1] & 0x7f);
  auto direction = (data[1] & 0x80) != 0 ? Direction::kResponse : Direction::kRequest;
  auto once = recode(key, direction, version, body);
  if (once) {
    auto twice = recode(key, direction, version, *once);
    CHECK(twice.has_value() && *twice == *once);
  } else {
    CHECK(!once.error().message.empty());
  }
  constexpr std::int16_t kSyncGroup = 14;
  if (key == kSyncGroup)
    if (auto assigned = decode_assignment(body))
      for (const auto& topic : assigned->topics) CHECK(topic.name.size() < body.size());
  // The same bytes as a whole frame of that API.
  std::string frame;
  append_be(frame, key);
  append_be(frame, version);
  frame += body;
  auto parsed = parse_request(frame);
  if (!parsed || parsed->api == nullptr) return 0;
  std::string header;
  append_request_header(header, parsed->header);
  CHECK(parsed->header.key == key && header.size() <= frame.size() + 1);
  return 0;
}
