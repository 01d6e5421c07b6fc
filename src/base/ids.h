#pragma once
// What the nodes of a cluster call a partition, its segments, and the writers of those.

#include <compare>
#include <cstdint>

#include "base/uuid.h"

namespace walrus {

// Of a segment, in the whole cluster: issued by committed metadata, rising, never given again. 0:
// none.
struct SegmentId {
  std::uint64_t value = 0;
  auto operator<=>(const SegmentId&) const = default;
};

// The number of a writer in its partition, Kafka's leader epoch: issued by committed metadata,
// strictly rising within the partition. 0: none yet.
struct Epoch {
  std::uint32_t value = 0;
  auto operator<=>(const Epoch&) const = default;
};
constexpr std::uint32_t kEpochMax = 0x7fff'ffff;  // Kafka's int32

struct PartitionId {
  Uuid topic{};
  std::uint32_t index = 0;
  auto operator<=>(const PartitionId&) const = default;
};

}  // namespace walrus
