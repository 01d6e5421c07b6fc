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
// and that each record is there once, wherever its append was sent again.
//
// What metadata records as lost (R41) may come again as something else: it is forgotten here.

#include <map>
#include <optional>
#include <string>

#include "history.h"
#include "meta/state.h"

namespace walrus::sim {

class ReplicaTruth {
 public:
  const Verdict& violation() const { return violation_; }
  void flag(const std::string& rule, std::string detail);

  // `at`: its timestamp.
  void acknowledged(const PartitionId&, std::int64_t offset, const std::string& value, Time at);
  void asked_to_trim(const PartitionId&, std::int64_t first_kept);
  void read(const PartitionId&, std::int64_t offset, const std::string& value);
  void decided(const meta::State&, Time now);  // metadata is so now
  // Behind all that was acknowledged.
  std::int64_t acknowledged_end(const PartitionId&) const;
  bool lost_anything(const PartitionId&) const;
  std::int64_t retained() const { return retained_; }  // how often settings moved a log start
  // Why the oldest segment has to go, if it was to be gone for so long; empty: it does not.
  std::string overdue(const PartitionId&, Time now, Millis for_long) const;
  // At the end: everything acknowledged was read at or above the log start.
  void check_all_read(const PartitionId&, std::int64_t log_start);

 private:
  struct Record {
    std::string value{};
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
  Record* note(const PartitionId&, std::int64_t offset, const std::string& value);
  void forget(Partition&, std::int64_t from);
  void check_log_start(const PartitionId&, const meta::Partition& before,
                       const meta::Partition& now, Time at);
  std::optional<Time> newest(const PartitionId&, std::int64_t from, std::int64_t to) const;
  std::int64_t log_start(const PartitionId&) const;

  std::map<PartitionId, Partition> partitions_{};
  meta::State state_{};
  std::int64_t retained_ = 0;
  Verdict violation_{};
};

}  // namespace walrus::sim
