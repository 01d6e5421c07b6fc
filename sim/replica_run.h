#pragma once
// One seed of the replica world: processes with the engine, the connections and the replica::Node
// that ship, around metadata that is one atomic state (replica/simulated_nodes.h). Producers append
// and send again, readers read anywhere; processes are killed or cut off from power, links break,
// nodes do not hear from metadata, disks are slow, full, fail or are lost, logs are trimmed. Then
// everything is healed: all have to be served again, every replica has to have the same bytes, and
// what was acknowledged is there, once; of compacted topics the newest record of each key.
//
// Checked: what sim/replica_truth.h says.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "repairs.h"
#include "replica/simulated_nodes.h"
#include "replica_truth.h"
#include "tally.h"

namespace walrus::sim {

// What a run of many seeds has to have hit.
const std::vector<std::string>& replica_families();

class ReplicaRun {
 public:
  ReplicaRun(std::uint64_t seed, std::int64_t operations);
  ~ReplicaRun();
  ReplicaRun(const ReplicaRun&) = delete;
  ReplicaRun& operator=(const ReplicaRun&) = delete;

  void run();
  const Verdict& violation() const { return truth_.violation(); }
  const Tally& tally() const { return tally_; }
  void narrate(bool on) { narrating_ = on; }

 private:
  struct Producer {
    PartitionId partition{};
    std::int64_t id = 0;
    std::int32_t sequence = 0;
    std::vector<KeyedValue> values{};  // of the batches that are not acknowledged yet
    Time at{};                         // and their timestamp
    std::uint64_t keys = 0;            // so many; 0: none
    std::size_t first = 0;  // so many are a batch; the others one that is sent on behind it
    std::vector<std::optional<replica::Appended>> answers{};  // to each
    Offset newest{};                                          // of all that are acknowledged
    std::optional<Offset> behind{};  // of the second one, taken when the first had not been
    std::uint64_t attempt = 0;
    std::size_t target = 0;
    std::int64_t done = 0;
    int failures = 0;
  };

  // replica_run.cc: the course of a run
  replica::SimulatedNodes::Options draw_options();
  void count(const PartitionId&, const meta::Partition&);
  void count_compaction(const PartitionId&, const meta::Partition&);
  void decided(const meta::State&);
  void create_topics();
  void let_pass();
  void heal();
  std::string find_unsettled();
  std::string find_missing(const PartitionId&, const meta::Partition&);
  std::string find_kept_too_long();
  std::string find_uncompacted(const PartitionId&, const meta::Partition&);
  std::int64_t stored_end(std::size_t place, SegmentId copy);
  bool is_whole(std::size_t place, SegmentId copy, std::int64_t end);
  void look_at_copies();
  void check_end();
  void check_replicas(const PartitionId&, const meta::Partition&);
  void read_all(std::size_t place, const PartitionId&);
  void start_due();
  void reap();
  void say(const std::string& line);
  std::uint64_t draw(std::uint64_t below) { return nodes_->world().random() % below; }
  // What every clock shows.
  Time wall() {
    return io::WorldOptions{}.start + std::chrono::duration_cast<Millis>(nodes_->world().now());
  }
  io::Nanos draw_ms(std::uint64_t low, std::uint64_t high) {
    return Millis(static_cast<std::int64_t>(low + draw(high - low + 1)));
  }
  bool up(std::size_t place) { return nodes_->lives(place, nodes_->processes()[place].life); }

  // replica_clients.cc
  void produce(std::size_t producer, std::uint64_t attempt);
  void again(std::size_t producer, io::Nanos after);
  void appended(std::size_t producer, std::uint64_t attempt, std::size_t place,
                const replica::Appended&);
  void judge(std::size_t producer);
  std::size_t find_leader(const PartitionId&, std::size_t otherwise);
  void read_somewhere();
  static boost::asio::awaitable<void> read_at(ReplicaRun&, std::size_t place, std::uint64_t life,
                                              PartitionId, std::int64_t from, bool below);
  void take_read(const PartitionId&, std::int64_t from, const log::Fetched&,
                 std::set<std::int64_t>* shown = nullptr);
  void look_at_bounds();
  void confirm_somewhere();
  void trim_somewhere();
  static boost::asio::awaitable<void> trim_at(ReplicaRun&, std::size_t place, PartitionId, Offset);

  // replica_faults.cc
  void break_something();
  void break_network();
  void break_process();
  void break_disk();
  void disturb_metadata();
  bool may_wipe(std::size_t place);
  void rot(std::size_t place);
  bool is_whole_everywhere();
  bool is_sound(std::size_t place);

  const std::int64_t operations_;
  const std::uint64_t seed_;
  std::unique_ptr<replica::SimulatedNodes> nodes_{};
  ReplicaTruth truth_{};
  std::vector<Producer> producers_{};
  std::vector<PartitionId> partitions_{};
  std::vector<io::Nanos> start_at_{};
  std::map<std::pair<std::size_t, PartitionId>, std::pair<std::uint64_t, std::int64_t>> seen_{};
  // Sealed copies that a life of a node had all of, while metadata counted on it.
  std::map<std::pair<std::size_t, SegmentId>, std::uint64_t> held_{};
  Repairs repairs_{};
  std::optional<std::size_t> rotted_{};  // whose disk has rotted, and is not known to be mended
  std::uint64_t attempts_ = 0;
  std::int64_t compact_bytes_min_ = 0;
  meta::Version decided_{};                                    // narrated
  std::map<PartitionId, std::pair<SegmentId, bool>> tails_{};  // the last one, and whether claimed
  std::map<PartitionId, meta::Compaction> compactions_{};      // under way
  bool quiet_ = false;                                         // producers begin nothing new
  bool healed_ = false, narrating_ = false, power_stays_ = false, disks_stay_ = false;
  bool patient_ = true;  // nodes, with producers that send something before its turn
  Tally tally_{};
};

}  // namespace walrus::sim
