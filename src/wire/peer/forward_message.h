#pragma once
// How one node hands on to another what a client asked of it. Pure.
//
// A stream of requests: who the client is, as the node that hands on has proven it. What follows on
// the stream are the frames of the client's own protocol, both ways.
//
//   open     version u8 = 1 | user string | client string
//
// Appends to a partition that the node led until a moment ago, to who leads it now, in their order;
// and what became of each. A refusal is a replica::Refusal, by its number.
//
//   appends  version u8 = 1 | topic u8 * 16 | partition | wait in ms | count | append * count
//   append   acks u8 (0 none, 1 leader, 2 all) | record batch string
//   replies  version u8 = 1 | count | reply * count
//   reply    refusal u8 (0 none) | offset of the first record
//
// Numbers without a size are uvarints; strings have their size before them.

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace walrus::wire::peer {

constexpr std::size_t kForwardTextBytesMax = 255;  // of each string

struct ForwardOpen {
  std::string user{};    // empty: nobody was asked
  std::string client{};  // its address: "10.0.0.7:4711"
  bool operator==(const ForwardOpen&) const = default;
};

void append_forward_open(std::string& to, const ForwardOpen&);
Result<ForwardOpen> parse_forward_open(Bytes);  // kCorrupt, kVersion

constexpr std::size_t kHandedAppendsMax = 1'000;  // of one call

struct HandedAppend {
  std::uint8_t acks = 0;
  std::string batch{};  // nobody has looked at it here
  bool operator==(const HandedAppend&) const = default;
};
struct HandedAppends {
  PartitionId partition{};
  std::uint64_t wait_ms = 0;  // for a segment that takes them
  std::vector<HandedAppend> appends{};
  bool operator==(const HandedAppends&) const = default;
};
struct HandedReply {
  std::uint8_t refusal = 0;
  std::int64_t first = 0;
  bool operator==(const HandedReply&) const = default;
};

void append_handed(std::string& to, const HandedAppends&);
Result<HandedAppends> parse_handed(Bytes);  // kCorrupt, kVersion
void append_handed_replies(std::string& to, const std::vector<HandedReply>&);
Result<std::vector<HandedReply>> parse_handed_replies(Bytes);  // kCorrupt, kVersion

}  // namespace walrus::wire::peer
