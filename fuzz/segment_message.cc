// Parcels of the segment protocol, as a peer sends them. What parses must encode to bytes that
// parse to the same.

#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"
#include "wire/peer/segment_message.h"

using namespace walrus;
using namespace walrus::wire::peer;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto owner = std::make_shared<const std::string>(reinterpret_cast<const char*>(data), size);
  auto parcel = parse_parcel(*owner, owner);
  if (!parcel) return 0;
  std::string bytes;
  append_parcel(bytes, *parcel);
  auto again = parse_parcel(bytes);
  CHECK(again.has_value() && *again == *parcel);
  return 0;
}
