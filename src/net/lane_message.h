#pragma once
// What a lane says on its stream (docs/peer-protocol.md). All numbers little endian.
//
//   sender      offer     payload of the open: u8 version 1, u64 size, the name
//   receiver    start     u64 have, 32 bytes SHA-256 of that many first bytes
//   sender      from      u64: have, or 0 if those are not the object's first bytes;
//                         then the object's bytes from there on, then 32 bytes SHA-256 of it whole
//   receiver    progress  u8 1, u64 bytes that are on the disk; again and again
//               done      u8 2, u64 size, 32 bytes SHA-256; after it the receiver ends
//
// Parsers take bytes from strangers: kCorrupt, kVersion.

#include <cstdint>
#include <string>

#include "net/frame.h"
#include "net/sha256.h"

namespace walrus::net {

constexpr Method kLaneMethod{0xff00};
constexpr std::size_t kLaneNameBytesMax = 200;
constexpr std::size_t kLaneStartBytes = 40, kLaneFromBytes = 8, kLaneTrailerBytes = 32;
constexpr std::size_t kLaneProgressBytes = 9, kLaneDoneBytes = 41;

struct LaneOffer {
  std::int64_t size = 0;
  std::string name{};
  bool operator==(const LaneOffer&) const = default;
};
struct LaneStart {
  std::int64_t have = 0;
  Sha256Digest digest{};
  bool operator==(const LaneStart&) const = default;
};

std::string encode(const LaneOffer&);
std::string encode(const LaneStart&);
std::string encode_from(std::int64_t from);
std::string encode_progress(std::int64_t durable);
std::string encode_done(std::int64_t size, const Sha256Digest&);

Result<LaneOffer> parse_lane_offer(Bytes);  // its name is a valid one
Result<LaneStart> parse_lane_start(Bytes);
Result<std::int64_t> parse_lane_from(Bytes);
Result<Sha256Digest> parse_lane_digest(Bytes);

// The front of what the receiver says after its start. None: more bytes are needed.
struct LaneReport {
  bool done = false;
  std::int64_t durable = 0;
  Sha256Digest digest{};  // if done
  std::size_t bytes = 0;  // that it took
};
Result<std::optional<LaneReport>> parse_lane_report(Bytes);

// [A-Za-z0-9._-], 1..200 bytes, no dot at the front, no ".part" at the end.
bool valid_lane_name(Bytes);

}  // namespace walrus::net
