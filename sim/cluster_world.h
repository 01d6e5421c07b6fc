#pragma once
// ClusterWorld: nodes that run the cores that ship (replica::Leader, Follower, Sealer) on simulated
// disks, links and clocks, with metadata as one atomic object, in virtual time. What happens to a
// node happens in its methods; ClusterRun has the clients, the faults and the end. What peers tell
// each other goes through the bytes of wire/peer.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "agenda.h"
#include "cluster_truth.h"

namespace walrus::sim {

struct ClusterTally {
  std::int64_t events = 0, messages = 0, acknowledged = 0, sealed = 0, reads = 0, confirms = 0;
  std::int64_t crashes = 0, losses = 0;
  std::array<std::int64_t, kClusterFamilies> hits{};
  std::uint64_t trace = 0;

  void hit(ClusterFamily family) { ++hits[static_cast<std::size_t>(family)]; }
};

class ClusterWorld {
 public:
  using Nanos = std::int64_t;  // of true time, since the beginning

  ClusterWorld(std::uint64_t seed, const ClusterPlan&);
  ClusterWorld(const ClusterWorld&) = delete;
  ClusterWorld& operator=(const ClusterWorld&) = delete;

  const Verdict& violation() const { return truth_.violation(); }
  ClusterTally& tally() { return tally_; }
  void narrate(bool on) { narrate_ = on; }

 protected:
  enum class Kind : std::uint8_t {
    kTick,
    kParcel,
    kRequest,
    kReply,
    kSynced,
    kWritten,
    kRenew,
    kControl,
    kRestart,
    kClient,
    kNemesis,
    kHeal,
  };
  struct Occasion {
    Kind kind;
    std::uint16_t who;  // a node's place, a client, a nemesis
    std::uint32_t process;
    std::uint64_t what;
  };
  struct CopyOf {
    std::unique_ptr<replica::Follower> core{};
    replica::Instant wake = replica::Instant::max();
  };
  struct Writer {
    std::unique_ptr<replica::Leader> core{};
    replica::Instant wake = replica::Instant::max();
    std::optional<std::int64_t> close_at{};
    Nanos close_sent_at = 0;
    std::int64_t acknowledged_end = 0;
  };
  struct Node {
    std::size_t place = 0;
    bool up = false;
    std::uint32_t process = 0;      // which life, for what was begun in it
    std::uint64_t incarnation = 0;  // as metadata counts; 0: not registered
    ClusterDisk disk{};
    std::unique_ptr<replica::Lease> lease{};
    ClusterImageRef image{};
    std::vector<std::size_t> looked{};  // by partition: sealed segments that were dealt with
    std::map<SegmentId, CopyOf> copies{};
    std::map<SegmentId, Writer> writers{};
    std::unique_ptr<replica::Sealer> sealer{};
    replica::Instant sealer_wake = replica::Instant::max();
    std::vector<wire::peer::SegmentMessage> outbox{};
    double rate = 1;   // of its clock
    Nanos offset = 0;  // of its clock
    Nanos paused_until = 0, tick_at = -1;
    Nanos sync_begins = 0, disk_free_at = 0;  // of the newest sync
    Nanos slow_until = 0, slow_by = 0, stuck_until = 0;
    bool fail_next = false;
    NodeId id() const { return NodeId{place + 1}; }
  };
  // To metadata and back.
  struct Request {
    enum Kind : std::uint8_t { kRegister, kRenew, kClaim, kEnd, kClose, kOpen } kind{};
    std::size_t node = 0;
    std::uint32_t process = 0;
    std::uint64_t incarnation = 0;
    replica::Instant asked_at{};
    replica::Sealer::Command command{};
    std::size_t partition = 0;
  };
  struct Reply {
    Request request{};
    bool taken = false;
    std::uint64_t incarnation = 0;
    replica::Segment segment{};
    ClusterImageRef image{};
  };

  // Nodes.
  void start(Node&);
  void kill(Node&);
  void power_cut(Node&, bool all_lost);
  replica::Instant local(const Node& node) const {
    return replica::Instant(node.offset +
                            static_cast<Nanos>(static_cast<double>(now_) * node.rate));
  }
  CopyOf& copy_of(Node&, SegmentId, std::int64_t start, Durability::Kind);
  void step_copy(Node&, SegmentId, replica::Follower::Event);
  void step_writer(Node&, SegmentId, replica::Leader::Event);
  void step_sealer(Node&, replica::Sealer::Event);
  void flush(Node&);  // what it has to tell others goes out
  bool works(const Node& node) const {
    return node.up && node.incarnation > 0 && node.paused_until <= now_;
  }

  // Time.
  void at(Nanos when, Kind, std::size_t who, std::uint64_t what = 0, std::uint32_t process = 0);
  bool handle_next(Nanos until);  // false: nothing left before
  Nanos now() const { return now_; }
  Nanos in(replica::Nanos low, replica::Nanos high) {
    return now_ + random_.between(low.count(), high.count());
  }
  Nanos about(replica::Nanos mean) {
    return now_ + random_.between(mean.count() / 2, mean.count() * 3 / 2);
  }

  // What ClusterRun adds.
  virtual void client_turn(std::size_t client, std::uint64_t what) = 0;
  virtual void nemesis_turn(std::size_t nemesis) = 0;
  virtual void appended(Node&, Writer&, const replica::Leader::Appended&) = 0;
  virtual void confirmed(Node&, const replica::Leader::Confirmed&) = 0;
  virtual void blocked(Node&, const replica::Sealer::Blocked&) = 0;
  virtual ~ClusterWorld() = default;

  void note(const std::string& line);
  void hit(ClusterFamily family) { tally_.hit(family); }

  static constexpr std::size_t kPlaces = kClusterNodesMax + 1, kMetadata = kClusterNodesMax;
  bool is_cut(std::size_t from, std::size_t to) const { return cut_[from * kPlaces + to] != 0; }

  ClusterPlan plan_;
  io::SimRandom random_;
  ClusterTruth truth_;
  ClusterTally tally_;
  io::TraceHash trace_;
  ClusterMetadata metadata_;
  bool narrate_ = false, calm_ = false;  // calm: no more faults
  std::vector<std::unique_ptr<Node>> nodes_{};
  std::vector<std::uint8_t> cut_{};  // by from * kPlaces + to: nothing goes through

 private:
  void handle(const Occasion&);
  void handle_node(Node&, const Occasion&);
  void tick(Node&);
  void schedule_tick(Node&);
  void wake(Node&, replica::Instant);
  // Links. No time: it is lost.
  std::optional<Nanos> arrival(std::size_t from, std::size_t to);
  void receive(Node&, std::uint64_t slot);
  void route(Node&, wire::peer::SegmentMessage&);
  // Metadata.
  void ask(Node&, Request);
  void answer(const Request&);
  void take_reply(Node&, const Reply&);
  void joined(Node&, const Reply&);
  void learn(Node&, const ClusterImageRef&);
  void learn_chain(Node&, std::size_t partition);
  void learn_sealed(Node&, const replica::Segment&);
  void open_writer(Node&, const ClusterChain&, const replica::Segment&);
  void renew(Node&);
  void scrub(Node&);
  void control(Node&);
  void control_partition(Node&, std::size_t partition);
  // Disks.
  void take_copy(Node&, SegmentId, replica::Follower::Actions&);
  void write(Node&, SegmentId, replica::CopyWrite);
  bool attach(Node&, SegmentId, replica::Outgoing&);
  void synced(Node&);
  void take_writer(Node&, SegmentId, replica::Leader::Actions&);
  void send_close(Node&, Writer&);
  void down(Node&);

  Nanos now_ = 0;
  Agenda<Occasion> agenda_{};
  std::vector<std::shared_ptr<const std::string>> parcels_{};
  std::vector<Request> requests_{};
  std::vector<Reply> replies_{};
  std::vector<Nanos> link_free_{};  // the last delivery, by link
};

}  // namespace walrus::sim
