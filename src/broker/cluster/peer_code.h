#pragma once
// What the messages between the brokers of a cluster have in common: a version, partitions and
// offsets in little endian. The messages stand where they are used: reach_log.h, tails.h.

#include <algorithm>

#include "base/coding.h"
#include "base/ids.h"
#include "base/result.h"

namespace walrus::broker {

constexpr std::uint8_t kPeerMessageVersion = 1;
constexpr std::size_t kPartitionCodeBytes = 16 + 4;  // topic id, partition u32

inline std::unexpected<Error> corrupt_message() {
  return fail(Code::kCorrupt, "a damaged message of another node's broker");
}

// Behind the version. kCorrupt, kVersion.
inline Result<Decoder> open_message(Bytes bytes) {
  Decoder from(bytes);
  auto version = from.le<std::uint8_t>();
  if (!version) return corrupt_message();
  if (*version != kPeerMessageVersion)
    return fail(Code::kVersion, "a message of version {}", *version);
  return from;
}

inline void append_partition(std::string& to, const PartitionId& id) {
  to.append(id.topic.bytes.data(), id.topic.bytes.size());
  append_le(to, id.index);
}

inline PartitionId take_partition(Decoder& from) {
  PartitionId id;
  if (auto topic = from.take(id.topic.bytes.size()))
    std::ranges::copy(*topic, id.topic.bytes.begin());
  id.index = from.le<std::uint32_t>().value_or(0);
  return id;
}

inline Offset take_offset(Decoder& from) { return Offset{from.le<std::int64_t>().value_or(-1)}; }

}  // namespace walrus::broker
