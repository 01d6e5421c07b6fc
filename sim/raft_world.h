#pragma once
// RaftWorld: nodes that run the core that ships, on simulated disks and links, in virtual time, and
// the faults. What happens to a node happens in its methods; RaftRun has the clients and the end.
// No I/O and no coroutines: an event is an entry in one agenda.

#include <memory>
#include <string>
#include <vector>

#include "agenda.h"
#include "io/sim/sim_random.h"
#include "raft_plan.h"
#include "raft_truth.h"

namespace walrus::sim {

struct RaftTally {
  std::int64_t events = 0, messages = 0, commands = 0, reads = 0, elections = 0;
  std::int64_t snapshots = 0, compactions = 0, member_steps = 0, crashes = 0;
  std::array<std::int64_t, kRaftFamilies> hits{};
  std::uint64_t trace = 0;

  void hit(RaftFamily family) { ++hits[static_cast<std::size_t>(family)]; }
  void add(const RaftTally&);
};

class RaftWorld {
 public:
  using Nanos = std::int64_t;  // of true time, since the beginning

  RaftWorld(std::uint64_t seed, const RaftPlan&);
  RaftWorld(const RaftWorld&) = delete;
  RaftWorld& operator=(const RaftWorld&) = delete;

  const Verdict& violation() const { return truth_.violation(); }
  RaftTally& tally() { return tally_; }
  void narrate(bool on) { narrate_ = on; }

 protected:
  enum class Kind : std::uint8_t {
    kTick,
    kDelivery,
    kSynced,
    kSnapshotWritten,
    kSnapshotBytes,
    kRestart,
    kClient,
    kNemesis,
    kHeal,
  };
  struct Occasion {
    Kind kind;
    std::uint16_t who;  // a node's place, a client, a nemesis
    std::uint32_t incarnation;
    std::uint64_t what;
  };
  struct Waiter {
    raft::Ticket ticket;
    raft::EntryId at;  // of a read: the index to reach
    bool read;
  };
  struct Node {
    NodeId id{};
    std::unique_ptr<raft::Core> core{};  // none: down
    std::uint32_t incarnation = 0;
    raft::Actions actions{};
    RaftDisk disk{};
    Nanos sync_begins = 0, disk_free_at = 0;  // of the newest sync
    Nanos slow_until = 0, slow_by = 0, stuck_until = 0;
    bool fail_next = false;
    double rate = 1;   // of its clock
    Nanos offset = 0;  // of its clock
    Nanos paused_until = 0, tick_at = -1;
    RaftState state{};
    bool snapshotting = false;
    StoredSnapshot being_written{};
    raft::Index snapshot_tried = 0;
    std::vector<Waiter> waiters{};
    RaftTruth::Seen seen{};
    bool removed = false;  // by a committed configuration; it does not know
  };

  // Nodes.
  Node* node_of(NodeId);
  Node* leader();  // of the highest term
  Node& add_node();
  void start(Node&);
  void crash(Node&, bool all_lost);
  void step(Node&, raft::Event);
  Nanos local(const Node& node) const {
    return node.offset + static_cast<Nanos>(static_cast<double>(now_) * node.rate);
  }

  // Time.
  void at(Nanos when, Kind, std::size_t who, std::uint64_t what = 0, std::uint32_t incarnation = 0);
  bool handle_next(Nanos until);  // false: nothing left before
  void handle(const Occasion&);
  Nanos now() const { return now_; }
  Nanos in(raft::Nanos low, raft::Nanos high) {
    return now_ + random_.between(low.count(), high.count());
  }
  Nanos about(raft::Nanos mean) {
    return now_ + random_.between(mean.count() / 2, mean.count() * 3 / 2);
  }

  // What RaftRun adds.
  virtual void client_turn(std::size_t client, std::uint64_t what) = 0;
  virtual void nemesis_turn(std::size_t nemesis) = 0;
  virtual void answer(Node&, const raft::Answer&) = 0;
  virtual void read_answer(Node&, const raft::ReadAnswer&) = 0;
  virtual void acknowledge(Node&, const Waiter&, bool kept) = 0;
  virtual ~RaftWorld() = default;

  void note(const std::string& line);

  RaftPlan plan_;
  io::SimRandom random_;
  RaftTruth truth_;
  RaftTally tally_;
  io::TraceHash trace_;
  bool narrate_ = false, calm_ = false;  // calm: no more faults
  std::vector<std::unique_ptr<Node>> nodes_{};
  std::vector<std::uint8_t> cut_{};  // by from * kNodesMax + to: nothing goes through

  static constexpr std::size_t kNodesMax = 24;
  bool is_cut(std::size_t from, std::size_t to) const { return cut_[from * kNodesMax + to] != 0; }

 private:
  void take_actions(Node&);
  void take_writes(Node&);
  void take_messages(Node&);
  void take_committed(Node&);
  void take_requests(Node&);
  void deliver(std::size_t to, std::uint64_t slot);
  void synced(Node&, std::uint64_t write);
  void snapshot_written(Node&);
  void snapshot_bytes(Node&, std::uint64_t slot);
  void maybe_snapshot(Node&);
  void serve_waiters(Node&);
  void schedule_tick(Node&);
  void count_step(const Node&, const RaftTruth::Seen& before);
  std::size_t place_of(const Node& node) const {
    return static_cast<std::size_t>(node.id.value - 1);
  }
  std::uint64_t keep_message(raft::Message);

  Nanos now_ = 0;
  Agenda<Occasion> agenda_{};
  std::vector<raft::Message> messages_{};
  std::vector<std::uint64_t> free_messages_{};
  std::vector<raft::SnapshotRequest> requests_{};
  std::vector<Nanos> link_free_{};  // the last delivery, by link
  RaftTruth::DiskOf disk_of_;
};

}  // namespace walrus::sim
