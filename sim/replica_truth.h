#pragma once
// ReplicaTruth: what a world of replica::Node knows that no node does. It is told of everything
// that was acknowledged, read and decided, and says which rule does not hold.
//
//   I1  nothing acknowledged lies at or above a sealed end
//   I2, I6  metadata's own rules, step by step (meta/invariants.h)
//   I3  one record an offset, whoever gives it
//   I7  no node's high watermark goes back; one that was confirmed holds all that was acknowledged
//   I10 below it there are records
//   R32 the log start rises as far as somebody asked for, or by whole segments that have outlived
//       the settings of their topic, a quarter of the partition at a time
//   too young        where a topic is compacted, what came within its min.compaction.lag.ms is
//   there newest of a key  where a topic is compacted it is there, unless it is a tombstone that
//   was kept
//       for as long as it has to be; where that has gone, nothing older of the key comes back
// and that each record is there once, wherever its append was sent again.
//
// What metadata records as lost (R41) may come again as something else: it is forgotten here.

#include <map>
#include <optional>
#include <set>
#include <string>

#include "history.h"
#include "log/engine.h"
#include "meta/state.h"

namespace walrus::sim {

// A record as producers and readers of this world see it; none: a tombstone.
struct KeyedValue {
  std::optional<std::string> key{}, value{};
  // What it is told by; only values are there once.
  std::string text() const { return value ? *value : "tombstone of " + key.value_or("?"); }
  bool operator==(const KeyedValue&) const = default;
};

class ReplicaTruth {
 public:
  const Verdict& violation() const { return violation_; }
  void flag(const std::string& rule, std::string detail);

  // `at`: its timestamp.
  void acknowledged(const PartitionId&, std::int64_t offset, const KeyedValue&, Time at);
  void asked_to_trim(const PartitionId&, std::int64_t first_kept);
  void read(const PartitionId&, std::int64_t offset, const KeyedValue&);
  void decided(const meta::State&, Time now);  // metadata is so now
  // Behind all that was acknowledged.
  std::int64_t acknowledged_end(const PartitionId&) const;
  bool lost_anything(const PartitionId&) const;
  std::int64_t retained() const { return retained_; }  // how often settings moved a log start
  // Why the oldest segment has to go, if it was to be gone for so long; empty: it does not.
  std::string overdue(const PartitionId&, Time now, Millis for_long) const;
  // At the end: everything acknowledged was read at or above the log start, where it is not
  // compacted.
  void check_all_read(const PartitionId&, std::int64_t log_start);
  // At the end, of a node that shows records at these offsets and no others within the bounds.
  void check_keys(const PartitionId&, const std::set<std::int64_t>& shown, const log::Bounds&,
                  Time now);
  std::int64_t tombstones_gone() const { return tombstones_gone_; }

 private:
  struct Record {
    KeyedValue is{};
    bool acknowledged = false, read = false;
    std::optional<Time> at{};
  };
  struct Partition {
    std::map<std::int64_t, Record> records{};
    std::map<std::string, std::int64_t> offsets{};
    std::int64_t acknowledged_end = 0;
    std::uint64_t losses = 0;
    std::int64_t asked_to_trim = 0;
  };
  Record* note(const PartitionId&, std::int64_t offset, const KeyedValue&);
  bool compacts(const PartitionId&) const;
  void forget(Partition&, std::int64_t from);
  void check_log_start(const PartitionId&, const meta::Partition& before,
                       const meta::Partition& now, Time at);
  // Of all records, or of those that no newer one of the same key supersedes.
  std::optional<Time> newest(const PartitionId&, std::int64_t from, std::int64_t to,
                             bool standing = false) const;
  std::int64_t log_start(const PartitionId&) const;

  std::map<PartitionId, Partition> partitions_{};
  meta::State state_{};
  std::int64_t retained_ = 0, tombstones_gone_ = 0;
  Verdict violation_{};
};

}  // namespace walrus::sim
