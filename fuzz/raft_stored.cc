// What a node stores of a Raft group, and the bundles that peers send: the first byte chooses the
// parser. What parses must encode to bytes that parse to the same.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "raft/stored_format.h"
#include "round_trip.h"
#include "wire/peer/raft_bundle.h"

using namespace walrus;
using namespace walrus::raft;
using fuzz::appends, fuzz::check_round_trip;

namespace {

void check_bundle(Bytes bytes) {
  auto reader = wire::peer::BundleReader::open(bytes);
  wire::peer::Bundled one;
  std::size_t taken = 0;
  while (reader) {
    auto more = reader->next(one);
    if (!more || !*more) return;
    taken += one.message.size() + 9;
    CHECK(taken < bytes.size());
    CHECK(one.message.data() >= bytes.data() &&
          one.message.data() + one.message.size() <= bytes.data() + bytes.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Bytes body(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 9) {
    case 0: check_round_trip(parse_group(body), encode_group, parse_group); break;
    case 1: check_round_trip(parse_install(body), encode_install, parse_install); break;
    case 2: check_round_trip(parse_base(body), encode_base, parse_base); break;
    case 3: check_round_trip(parse_origin(body), encode_origin, parse_origin); break;
    case 4:
      check_round_trip(parse_entry_key(body), appends(append_entry_key), parse_entry_key);
      break;
    case 5:
      check_round_trip(parse_piece_key(body), appends(append_piece_key), parse_piece_key);
      break;
    case 6:
      if (auto name = parse_stream_name(body)) CHECK(body.starts_with(kStreamPrefix));
      break;
    case 7:
      check_round_trip(wire::peer::parse_read_index_request(body),
                       wire::peer::encode_read_index_request, wire::peer::parse_read_index_request);
      break;
    default: check_bundle(body);
  }
  return 0;
}
