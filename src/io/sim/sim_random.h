#pragma once
// The simulator's generator (xoshiro256**, Blackman and Vigna 2018) and its running trace hash.
// Nothing else in a simulated world is random, and neither knows an address or a real clock.

#include <array>
#include <bit>
#include <cstdint>
#include <string_view>

#include "base/mix64.h"

namespace walrus::io {

class SimRandom {
 public:
  explicit SimRandom(std::uint64_t seed) {
    for (auto& word : state_) word = seed = mix64(seed);
  }
  std::uint64_t next() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }
  // 0..bound-1; 0 when bound is 0.
  std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  std::int64_t between(std::int64_t low, std::int64_t high) {  // both inclusive
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }
  // Draws nothing when the chance is 0, so that a fault that is off changes no other decision.
  bool chance(double probability) {
    if (probability <= 0) return false;
    return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability;
  }

 private:
  std::array<std::uint64_t, 4> state_{};
};

class TraceHash {
 public:
  void fold(std::uint64_t word) { hash_ = mix64(hash_ ^ word); }
  void fold(std::string_view bytes);  // by length and CRC32C
  std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0;
};

}  // namespace walrus::io
