#include "client/partitioner.h"

#include "base/coding.h"

namespace walrus::client {

std::uint32_t murmur2(Bytes bytes) {
  constexpr std::uint32_t kSeed = 0x9747b28c, kMix = 0x5bd1e995;
  auto hash = kSeed ^ static_cast<std::uint32_t>(bytes.size());
  for (; bytes.size() >= 4; bytes.remove_prefix(4)) {
    auto word = load_le<std::uint32_t>(bytes.data()) * kMix;
    word ^= word >> 24;
    hash = hash * kMix ^ word * kMix;
  }
  auto tail = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<std::uint8_t>(bytes[i])) << (8 * i);
  };
  for (std::size_t i = bytes.size(); i-- > 0;) hash ^= tail(i);
  if (!bytes.empty()) hash *= kMix;
  hash ^= hash >> 13;
  hash *= kMix;
  return hash ^ hash >> 15;
}

}  // namespace walrus::client
