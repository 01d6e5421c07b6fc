// What nodes ask of each other about metadata, and what a directory says of its node: the first
// byte chooses the parser. What parses must encode to bytes that parse to the same.

#include <cstdint>

#include "meta/identity.h"
#include "meta/message.h"
#include "round_trip.h"

using namespace walrus;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes body(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0)
    fuzz::check_round_trip(
        meta::parse_message(body), [](const meta::Message& one) { return meta::encode(one); },
        meta::parse_message);
  else
    fuzz::check_round_trip(
        meta::parse_identity(body), [](const meta::Identity& one) { return meta::encode(one); },
        meta::parse_identity);
  return 0;
}
