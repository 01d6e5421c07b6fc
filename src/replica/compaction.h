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

// Whether what was never compacted, of sealed segments but the last one, outweighs the rest, and
// `bytes_min`.
bool wants_compaction(const meta::Partition&, std::int64_t bytes_min);

// A compaction that was begun ends by itself: all replicas that are there can still come to hold
// the new copy, of which somebody has all. `whole_at_writer`: whoever writes it is known to.
bool can_end(const meta::State&, const meta::Partition&, bool whole_at_writer);

}  // namespace walrus::replica
