#pragma once
// What a sender says on lanes, in few bytes: for the fuzz target `lane_stream` and its corpus.
//
//   position  size  field
//          0     1  the seed of the simulated world
//          1     .  steps, each: what u8 | object u8 | at u16 | size u16, little endian

#include <optional>
#include <string>

#include "base/coding.h"
#include "base/result.h"
#include "net/sha256.h"

namespace walrus::fuzz {

struct LaneStep {
  enum What : unsigned char {
    kOffer,    // a lane for it: as long as it is, and `size` more or (at: 1) less
    kFrom,     // at: 0 where the receiver is; 1 from the start; 2 from byte `size`
    kBytes,    // `size` of its bytes, or what is left of them
    kAltered,  // the same, the first of them is another
    kTrailer,  // at: 0 its digest; 1 that of what was sent; 2 another
    kEnd,
    kCancel,
    kDamage,   // byte `at` of what the receiver has of it is another
    kRestart,  // of the receiver. at: 0 kill, 1 power cut
    kStepEnd,
  };
  What what{};
  unsigned char object = 0;
  std::uint16_t at = 0, size = 0;
};

constexpr std::size_t kLaneObjects = 3;
constexpr std::int64_t kLaneSyncBytes = 64;

inline std::string lane_object(std::size_t number) {
  constexpr std::size_t kSizes[kLaneObjects] = {50, 64, 500};
  std::string bytes(kSizes[number], '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>('a' + i * 7 % 26);
  return bytes;
}

inline std::optional<LaneStep> take_lane_step(Bytes& from) {
  constexpr std::size_t kStepBytes = 6;
  if (from.size() < kStepBytes) return std::nullopt;
  LaneStep step{
      .what = static_cast<LaneStep::What>(static_cast<unsigned char>(from[0]) % LaneStep::kStepEnd),
      .object = static_cast<unsigned char>(from[1]),
      .at = load_le<std::uint16_t>(from.data() + 2),
      .size = load_le<std::uint16_t>(from.data() + 4)};
  from.remove_prefix(kStepBytes);
  return step;
}

inline void append_lane_step(std::string& to, LaneStep step) {
  to.push_back(static_cast<char>(step.what));
  to.push_back(static_cast<char>(step.object));
  append_le(to, step.at);
  append_le(to, step.size);
}

}  // namespace walrus::fuzz
