#pragma once
// How long the records of a partition stay: what a topic's settings say, and what follows for the
// sealed segments of one partition. Segments go whole, from the oldest on, as on a single server;
// the open one stays. Pure.

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include "meta/state.h"

namespace walrus::replica {

struct Retention {
  std::optional<std::int64_t> bytes{};  // of sealed segments of the partition, as metadata counts
  std::optional<Millis> time{};         // by the timestamps of its records
  bool any() const { return bytes || time; }
};
// None of internal topics: their owners keep them small (broker/log_journal.h). None where the
// policy is to compact, and not to delete.
Retention retention_of(const meta::Topic&);

// A sealed segment.
struct Aged {
  Offset end{};
  std::int64_t bytes = 0;
  std::optional<Time> newest{};  // of its records; none: not known, so it has no age
};
// Where the log starts after one pass over the sealed segments, the oldest first; none: all stay.
// A pass drops a quarter of their bytes at most, but for one segment that always goes (R32).
std::optional<Offset> first_kept(const Retention&, std::span<const Aged>, Time now);

}  // namespace walrus::replica
