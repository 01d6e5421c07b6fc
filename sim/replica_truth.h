#pragma once
// ReplicaTruth: what a world of replica::Node knows that no node does. It is told of everything
// that was acknowledged, read and decided, and says which rule does not hold.
//
//   I1  nothing acknowledged lies at or above a sealed end
//   I2, I6  metadata's own rules, step by step (meta/invariants.h)
//   I3  one record an offset, whoever gives it
//   I7  no node's high watermark goes back; one that was confirmed holds all that was acknowledged
//   I10 below it there are records
// and that each record is there once, wherever its append was sent again.
//
// What metadata records as lost (R41) may come again as something else: it is forgotten here.

#include <map>
#include <string>

#include "history.h"
#include "meta/state.h"

namespace walrus::sim {

class ReplicaTruth {
 public:
  const Verdict& violation() const { return violation_; }
  void flag(const std::string& rule, std::string detail);

  void acknowledged(const PartitionId&, std::int64_t offset, const std::string& value);
  void read(const PartitionId&, std::int64_t offset, const std::string& value);
  void decided(const meta::State&);  // metadata is so now
  // Behind all that was acknowledged.
  std::int64_t acknowledged_end(const PartitionId&) const;
  bool lost_anything(const PartitionId&) const;
  // At the end: everything acknowledged was read at or above the log start.
  void check_all_read(const PartitionId&, std::int64_t log_start);

 private:
  struct Record {
    std::string value{};
    bool acknowledged = false, read = false;
  };
  struct Partition {
    std::map<std::int64_t, Record> records{};
    std::map<std::string, std::int64_t> offsets{};
    std::int64_t acknowledged_end = 0;
    std::uint64_t losses = 0;
  };
  Record* note(const PartitionId&, std::int64_t offset, const std::string& value);
  void forget(Partition&, std::int64_t from);

  std::map<PartitionId, Partition> partitions_{};
  meta::State state_{};
  Verdict violation_{};
};

}  // namespace walrus::sim
