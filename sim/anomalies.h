#pragma once
// The log anomalies of one partition, found in a history of what clients saw and in the log as it
// was in the end. Pure. A place is a segment and an offset: where records were lost on the record
// (accepted, or under a durability that allows it), the next segment gives the same offsets again.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "history.h"

namespace walrus::sim {

struct LogPlace {
  std::uint64_t segment = 0;
  std::int64_t offset = 0;
  auto operator<=>(const LogPlace&) const = default;
};
using RecordValue = std::uint64_t;  // no two records have the same

struct SentRecord {
  std::uint32_t producer = 0;
  RecordValue value = 0;
  std::int64_t invoked_at = 0;
  std::optional<std::int64_t> completed_at{};  // none: not known what became of it
  LogPlace place{};                            // completed: where
  bool resent_anew = false;                    // under another producer id: it may be there twice
};
struct PolledRecord {
  std::uint32_t reader = 0;
  LogPlace place{};
  RecordValue value = 0;
};
struct PartitionHistory {
  std::vector<SentRecord> sent{};      // by producer in the order in which they were first sent
  std::vector<PolledRecord> polled{};  // by reader in the order in which they were seen
  std::vector<std::pair<LogPlace, RecordValue>> log{};  // in the end, in order
  // Segments that lost what lies at or above the offset.
  std::vector<LogPlace> losses{};
};

// inconsistent-offsets, duplicate, lost-write, unseen, phantom, ack-rewind, poll-skip,
// nonmonotonic-poll, nonmonotonic-send, gap.
Verdict find_anomaly(const PartitionHistory&);

}  // namespace walrus::sim
