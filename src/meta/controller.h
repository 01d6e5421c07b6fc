#pragma once
// Controller: what runs where the metadata group is led. It sees which nodes are alive, asks the
// Planner what follows, proposes its commands and hands out its work; it grants leases; and it
// decides who is in the group and who votes.
//
// It remembers nothing that matters: another node may take over at any moment, and an outdated one
// does no harm, because every decision is a compare-and-swap.
//
// A node is alive while its heartbeats come, of the life and with the lease epoch that metadata
// knows. It is not after `silence_max` without one, when its connection broke and nobody can be
// connected to there (at once) or a probe was not answered within `probe_timeout`, or when it says
// that it stops. Who begins to control waits until it has heard of all others, or found them gone.
//
// Lives on the loop of its Member, which makes it when it begins to lead and ends it when it does
// not any more. Shared with its coroutines.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <variant>

#include "base/log_line.h"
#include "meta/message.h"
#include "meta/sights.h"
#include "meta/voters.h"
#include "net/rpc.h"
#include "raft/node.h"

namespace walrus::meta {

struct ControllerOptions {
  Nanos lease = std::chrono::seconds(3);  // the same on all nodes; counted from when it was asked
  Nanos silence_max = std::chrono::milliseconds(350);  // three heartbeats of 100 ms, and a little
  Nanos probe_timeout = std::chrono::milliseconds(150);
  Nanos tick = std::chrono::milliseconds(50);       // what depends on time is looked at so often
  Nanos plan_again = std::chrono::seconds(1);       // though nothing has changed
  Nanos work_again = std::chrono::seconds(1);       // handed out, and still to be done
  Nanos voter_away_max = std::chrono::seconds(30);  // then another node votes in its place
  Nanos stranger_max = std::chrono::seconds(60);    // a member that does not register
  std::uint32_t voters_max = 3;                     // 1, 3 or 5
  PlanLimits plan{};
  Spread spread = Spread::kLoad;
};

// What a node is told to do.
using Work = std::variant<Recover, Roll, Copy>;

struct ControllerParts {
  io::Env& env;
  io::Loop& loop;
  net::Rpc& rpc;
  LogSink& log;
  raft::Node& node;  // until end()
  NodeId self{};
  std::function<std::shared_ptr<const State>()> image{};  // the newest that is applied here
  std::function<void(Handout)> to_self{};                 // works of this node
};

class Controller : public std::enable_shared_from_this<Controller> {
 public:
  Controller(ControllerParts, const ControllerOptions&);
  void begin();    // its loop runs from now on
  void end();      // nothing of it acts any more
  void learned();  // there is a newer image

  // A heartbeat of a node, this one included. kFenced: a later life of it is registered, or it is
  // removed; kBusy: it is not known here (yet).
  static io::Task<Leased> beat(std::shared_ptr<Controller>, NodeId from, Heartbeat);
  // A newcomer becomes a learner. kFenced: removed; kMismatch: of too old a program; kBusy: try
  // again.
  static io::Task<void> join(std::shared_ptr<Controller>, JoinRequest, Nanos timeout);
  // A new life of a node is registered. The outcome is the command's; kBusy: nothing was done;
  // kTimeout: it is not known.
  static io::Task<Outcome> enroll(std::shared_ptr<Controller>, RegisterNode, Nanos timeout);
  // How a node is. The answer: whose disks are full, and no more of them.
  Conditions condition(NodeId from, Condition);
  Health health() const;
  Concerns concerns() const { return {lacking_}; }
  Conditions conditions() const { return sights_.conditions(parts_.env.mono()); }

 private:
  struct HandedOut {
    NodeId node{};
    Work work{};
    Nanos at{};
    bool planned = false;  // by the newest plan
  };
  using WorkKey = std::tuple<std::size_t, PartitionId, SegmentId, NodeId>;

  static boost::asio::awaitable<void> run(std::shared_ptr<Controller>);
  static boost::asio::awaitable<void> watch(std::shared_ptr<Controller>, NodeId);
  static boost::asio::awaitable<void> seek(std::shared_ptr<Controller>, NodeId);
  io::Task<std::string> probe(NodeId);
  static boost::asio::awaitable<void> tend_members(std::shared_ptr<Controller>);
  io::Task<void> change(std::vector<raft::MemberChange>, Nanos timeout);
  Plan plan(const State&, Nanos now);
  void hand_out(const State&, Plan&, Nanos now);
  void note(NodeId, Work, Nanos now, std::map<NodeId, Handout>& to_send);
  void send(const State&, NodeId, Handout);
  void watch_all(const State&);
  VoterSight voter_sight(const State&, Nanos now);
  void poke() { gate_->open(); }
  void tell(const Plan&);

  const ControllerParts parts_;
  const ControllerOptions options_;
  const std::unique_ptr<io::Gate> gate_;
  Sights sights_;
  Planner planner_;
  bool over_ = false, changing_ = false;
  bool changed_ = true;  // since the last plan: what is known, or what is seen
  Nanos plan_at_{};
  std::map<WorkKey, HandedOut> handed_out_{};
  std::set<NodeId> watched_{}, sought_{};
  std::map<NodeId, SegmentId> intact_from_{};  // as of the last look
  std::set<NodeId> lost_{}, joined_{};         // see VoterSight; joined: began anew already
  std::map<NodeId, Nanos> strangers_{};        // since when
  Health health_{};
  std::vector<UnderReplicated> lacking_{};
};

}  // namespace walrus::meta
