// What one node hands on to another: the opening of a connection, appends, and replies to them.
// What parses must encode to bytes that parse to the same.

#include "wire/peer/forward_message.h"

#include <cstdint>

#include "round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace walrus;
  using namespace walrus::wire::peer;
  const Bytes body(reinterpret_cast<const char*>(data), size);
  fuzz::check_round_trip(parse_forward_open(body), fuzz::appends(append_forward_open),
                         parse_forward_open);
  fuzz::check_round_trip(parse_handed(body), fuzz::appends(append_handed), parse_handed);
  fuzz::check_round_trip(parse_handed_replies(body), fuzz::appends(append_handed_replies),
                         parse_handed_replies);
  return 0;
}
