#pragma once
// When the segments of a partition are compacted, and what of them. Pure.

#include <cstdint>
#include <optional>

#include "log/compaction.h"
#include "meta/state.h"

namespace walrus::replica {

// For how long tombstones of a topic stay at least; none: it is not compacted. Internal topics are
// kept small by their owners (broker/log_journal.h).
std::optional<Millis> compaction_of(const meta::Topic&);

// How old a record has to be before it is compacted, and how old it may get before it is (none: any
// age), by its timestamp.
struct CompactionLag {
  Millis min{0};
  std::optional<Millis> max{};
};
CompactionLag compaction_lag_of(const meta::Topic&);

// Whether what was never compacted, of sealed segments but the last one, outweighs the rest, and
// `bytes_min`. `ripe_end`: of segments that end at or below it.
bool wants_compaction(const meta::Partition&, std::int64_t bytes_min,
                      Offset ripe_end = Offset{INT64_MAX});

// A compaction that was begun ends by itself: all replicas that are there can still come to hold
// the new copy, of which somebody has all. `whole_at_writer`: whoever writes it is known to.
bool can_end(const meta::State&, const meta::Partition&, bool whole_at_writer);

}  // namespace walrus::replica
