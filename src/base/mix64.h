#pragma once
// SplitMix64 (Steele, Lea and Flood 2014), as a generator and as a hash of one number. What comes
// out is relied on: by seeds that repeat a run, and by where leaders are at home.

#include <cstdint>

namespace walrus {

constexpr std::uint64_t kMix64Step = 0x9e3779b97f4a7c15;

// Its finalizer: each bit of the number moves half of the bits.
constexpr std::uint64_t scramble64(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// One step of it, which turns any number into a well mixed one.
constexpr std::uint64_t mix64(std::uint64_t x) { return scramble64(x + kMix64Step); }

}  // namespace walrus
