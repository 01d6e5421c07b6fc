// Raft messages, as a peer sends them: the first byte chooses the parser. What parses must encode
// to bytes that parse to the same; payloads must lie within the input.

#include <cstdint>
#include <memory>
#include <string>

#include "round_trip.h"
#include "wire/peer/raft_message.h"

using namespace walrus;
using namespace walrus::wire::peer;
using fuzz::appends, fuzz::check_round_trip;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto owner =
      std::make_shared<const std::string>(reinterpret_cast<const char*>(data) + 1, size - 1);
  Bytes body = *owner;
  switch (data[0] % 5) {
    case 0:
      check_round_trip(parse_raft_message(body, owner), appends(append_raft_message),
                       [](Bytes bytes) { return parse_raft_message(bytes); });
      break;
    case 1:
      check_round_trip(parse_entry(body, owner), appends(append_entry),
                       [](Bytes bytes) { return parse_entry(bytes); });
      break;
    case 2:
      check_round_trip(parse_membership(body), appends(append_membership), parse_membership);
      break;
    case 3:
      check_round_trip(parse_snapshot_meta(body), appends(append_snapshot_meta),
                       parse_snapshot_meta);
      break;
    default: check_round_trip(parse_hard_state(body), appends(append_hard_state), parse_hard_state);
  }
  return 0;
}
