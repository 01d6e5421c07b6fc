// The bodies of frames between nodes, and what lanes say. The first byte says which; what a parser
// takes comes back when it is written again.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "net/lane_message.h"
#include "net/message.h"

namespace {

using namespace walrus;
using namespace walrus::net;

void again(Bytes body, auto parse, auto append) {
  const auto value = parse(body);
  if (!value) return;
  std::string bytes;
  append(bytes, *value);
  CHECK(bytes == body);
}

// Texts are cut and made printable: written and read again they stay as they are.
void again_text(Bytes body, auto parse, auto append) {
  const auto value = parse(body);
  if (!value) return;
  std::string bytes, twice;
  append(bytes, *value);
  CHECK(bytes.size() <= 1 + kTextBytesMax);
  const auto second = parse(bytes);
  CHECK(second.has_value());
  append(twice, *second);
  CHECK(twice == bytes);
}

void lane_report(Bytes body) {
  const auto report = parse_lane_report(body);
  if (!report || !*report) return;
  const auto& said = **report;
  CHECK(said.bytes <= body.size());
  CHECK(body.substr(0, said.bytes) ==
        (said.done ? encode_done(said.durable, said.digest) : encode_progress(said.durable)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes body(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 10) {
    case 0: again(body, parse_hello, append_hello); break;
    case 1: again(body, parse_welcome, append_welcome); break;
    case 2: again_text(body, parse_refusal, append_refusal); break;
    case 3: again_text(body, parse_error, append_error); break;
    case 4: again(body, parse_credit, append_credit); break;
    case 5:
      if (const auto call = parse_call(body)) CHECK(call->payload.size() + 4 == body.size());
      break;
    case 6:
      if (const auto offer = parse_lane_offer(body)) CHECK(encode(*offer) == body);
      break;
    case 7:
      if (const auto start = parse_lane_start(body)) CHECK(encode(*start) == body);
      break;
    case 8:
      if (const auto from = parse_lane_from(body)) CHECK(encode_from(*from) == body);
      break;
    default: lane_report(body);
  }
  return 0;
}
