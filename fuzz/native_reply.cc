// Replies of the native protocol, as a client parses them: the first byte chooses the parser. What
// parses as records must encode to the same bytes, but for the form of its numbers.

#include <cstdint>

#include "base/check.h"
#include "wire/native/frame.h"
#include "wire/native/reply.h"

using namespace walrus;
using namespace walrus::wire::native;

namespace {

void check_records(Bytes body) {
  auto reply = parse_records(body);
  if (!reply) return;
  std::string lines, frame;
  for (const auto& record : reply->records) append_record_line(lines, record);
  append_records(frame, reply->records.size(), reply->next, lines);
  auto again = parse_records(Bytes(frame).substr(kFrameHeaderBytes));
  CHECK(again.has_value() && again->next == reply->next && again->records == reply->records);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Bytes body(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 8) {
    case 0: (void)parse_ok(body); break;
    case 1: (void)parse_offset(body); break;
    case 2: (void)parse_payload(body); break;
    case 3: (void)parse_text(body); break;
    case 4: (void)parse_batch_reply(body); break;
    case 5: (void)parse_producer(body); break;
    case 6: check_records(body); break;
    default: (void)parse_batches(body);
  }
  return 0;
}
