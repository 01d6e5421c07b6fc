#pragma once
// Member: one node's part in its cluster's metadata. It takes part in the metadata group, registers
// the node, keeps its lease, and is whom everything else of the node asks:
//
//   auto identity = claim(env, *engine, *load_identity(*engine));   // durable before all else
//   auto rpc = net::Rpc::start(..., {.self = identity->peer(), .listen = ...});
//   auto host = raft::Host::start(env, loop, *engine, **rpc, {.self = identity->node});
//   auto member = co_await Member::start({env, loop, ...}, {.identity = *identity, ...});
//   (*member)->subscribe(...); (*member)->on_lease(...); (*member)->on_work(...);
//   co_await (*member)->registered(30s);                            // then the node may act
//
// Where the group is led, a Controller (meta/controller.h) runs in it, which sees to it that nodes
// are watched, segments sealed, opened, moved and repaired, and who votes.
//
// Lives on its loop; made, used and stopped there, and all callbacks run there, never within a call
// of theirs. The engine, the transport, the Rpc, the Host and the loop go after it. Shared with its
// coroutines and with handlers of the Rpc, which find it stopped.
//
// What is durable when: an outcome that propose() gave is on the disks of a majority of the voters
// and in image(). An incarnation is on this node's disk before it is sent.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/log_line.h"
#include "meta/controller.h"
#include "meta/identity.h"
#include "meta/machine.h"
#include "meta/message.h"
#include "net/rpc.h"
#include "net/who_is.h"
#include "raft/host.h"

namespace walrus::meta {

constexpr raft::GroupId kMetadataGroup{1};
// What the Rpc has to take: RpcOptions::message_bytes_max. The engine's batches have to hold as
// much.
constexpr std::size_t kPeerMessageBytesMin = kCommandBytesMax + (64 << 10);

struct MemberParts {
  io::Env& env;
  io::Loop& loop;
  net::Transport& transport;
  log::Engine& engine;
  net::Rpc& rpc;
  raft::Host& host;
  LogSink& log;
};

struct MemberOptions {
  Identity identity{};  // claimed, and the Rpc's
  // As other nodes and clients reach them; one of them is named "peer", the Rpc's.
  std::vector<Listener> listeners{};
  std::string rack{};
  std::uint32_t capacity = 100;
  // Peer listeners of nodes of the cluster: where a newcomer asks, and a node whose peers are all
  // somewhere else now.
  std::vector<std::string> join{};
  ControllerOptions controller{};
  std::uint32_t feature_level = kFeatureLevel;  // that the program knows; another one in tests

  Nanos heartbeat = std::chrono::milliseconds(100);  // to the leader of metadata
  Nanos raft_heartbeat = std::chrono::milliseconds(100);
  Nanos election_timeout_min = std::chrono::milliseconds(300);
  Nanos election_timeout_max = std::chrono::milliseconds(600);
  std::uint64_t snapshot_after_bytes = 16 << 20;
  Nanos want_max = std::chrono::seconds(5);  // a partition is wanted for so long after want()
};

// One node as `walrus cluster status` shows it.
struct MemberStatus {
  Uuid cluster{};
  NodeId self{}, leader{};  // leader: of metadata; 0: not known
  std::uint64_t incarnation = 0;
  bool registered = false, leads = false, voter = false;
  std::string failure{};  // why this node takes part no more: removed, fenced, a disk; or empty
  raft::Term term = 0;
  raft::Index commit = 0, applied = 0;
  raft::Index last = 0, durable = 0;  // of the log here, and of it on this node's disk
  Nanos leased_until{};        // by Env::mono(), as asked_at of the last grant says; 0: never
  Nanos lease{};               // how long before it was asked for
  raft::Membership members{};  // of the group, who votes among them
  raft::Role role = raft::Role::kFollower;
  raft::Term applied_term = 0;
  raft::EntryId snapshot{};                 // up to which the log is one; index 0: there is none
  std::vector<raft::Status::Peer> peers{};  // of the leader: how far each member has come
};

class Member : public std::enable_shared_from_this<Member> {
 public:
  // Takes part in the group when it is done; a newcomer is let in by a node of the cluster behind
  // it. To be called in the turn of the loop in which the Rpc was started. kCorrupt, kVersion, kIo:
  // what is stored; kInvalid: options.
  static io::Task<std::shared_ptr<Member>> start(MemberParts, MemberOptions);
  ~Member();
  Member(const Member&) = delete;
  // The node is about to stop, and gives away what it leads: from its next heartbeat on, which goes
  // out at once, nothing more is placed on it.
  void leave_soon();
  // Leadership is handed over, the cluster is told that this node goes (its segments go on
  // elsewhere at once). What waits ends with kClosed.
  io::Task<void> stop(Nanos deadline);
  // Without a word and without the loop: when that has ended.
  void drop();

  // Done when the cluster knows this life of the node: nothing else of the cluster may act before.
  // The node becomes active by itself. kTimeout: not yet, ask again; kFenced: this life is over
  // before it began: the node is removed, or a later life of it is known (of an old copy of this
  // directory, say: the next start claims one that is later still); kMismatch: another cluster, or
  // one that does not take this node; kClosed.
  io::Task<void> registered(Nanos timeout);

  // The newest that is applied here: a hint where to go, never what a decision rests on (R34).
  // Never null; empty until something was applied.
  std::shared_ptr<const State> image() const { return image_; }
  // Called with each newer image, in order (some may be left out), until unsubscribed.
  using Subscription = std::uint64_t;
  Subscription subscribe(std::function<void(std::shared_ptr<const State>)>);
  void unsubscribe(Subscription);
  // At least as new as everything that was committed before the call (R34). kTimeout, kClosed, kIo.
  io::Task<std::shared_ptr<const State>> current(Nanos timeout = std::chrono::seconds(5));

  // Changes, as one command, from any node; what leads decides. Outcomes as commands have them, one
  // a change: each is done or refused. image() has them then.
  //   kBusy      it was not proposed, and will not be: ask again
  //   kTimeout   unknown: it may be done, or yet be. Changes are compare-and-swap, so read anew
  //              and propose what is still to be done
  //   kTooLarge, kInvalid  above what a command may be
  //   kFenced    this node is removed, or another life of it is registered
  //   kClosed    stopped: unknown
  io::Task<std::vector<Outcome>> propose(std::vector<Change>,
                                         Nanos timeout = std::chrono::seconds(5));
  io::Task<Outcome> propose_one(Change, Nanos timeout = std::chrono::seconds(5));

  // An append waits there and no segment takes it: one is to be opened. Forgotten when there is
  // another open one, and MemberOptions::want_max after the last call: so call it again, now and
  // then, as long as it waits.
  void want(const PartitionId&);
  // The copies that this node makes at the moment, and the bytes that it has copied since it
  // started. Told with each heartbeat.
  void copying(std::vector<Copy>, std::uint64_t bytes_total);

  // How this node is; its incarnation is filled in here. The controller is told of it from then on.
  void feel(Condition);
  // Called with the nodes whose disks are full, as of a moment ago, when they are others than
  // before; with none of them where nobody has told of any for a while.
  void on_full(std::function<void(const std::set<NodeId>&)> call) { on_full_ = std::move(call); }

  // Called whenever the lease is granted anew: it counts from `asked_at`, by Env::mono(), for
  // ControllerOptions::lease.
  void on_lease(std::function<void(Nanos asked_at)> call) { on_lease_ = std::move(call); }
  // Called with what the controller hands out to this node, when image() is at least as new as the
  // one that it was planned with; the same may come again.
  void on_work(std::function<void(Work)> call) { on_work_ = std::move(call); }

  const Identity& identity() const { return options_.identity; }
  std::uint64_t incarnation() const { return options_.identity.incarnation(); }
  const Uuid& cluster_id() const { return options_.identity.cluster; }
  NodeId leader() const { return leader_; }  // of metadata; 0: not known
  MemberStatus status() const;
  // What the controller sees: from any node. kTimeout, kClosed.
  io::Task<Health> health(Nanos timeout = std::chrono::seconds(5));
  io::Task<Concerns> concerns(Nanos timeout = std::chrono::seconds(5));
  io::Task<Conditions> conditions(Nanos timeout = std::chrono::seconds(5));
  // The same without asking anybody; none: another node controls, or nobody.
  std::optional<Health> own_health() const;

 private:
  struct Inbox;  // what the Machine publishes, on its thread
  // A coroutine's: woken each time that something may have changed.
  struct Waiting {
    explicit Waiting(Member& member) : of(member), gate(member.parts_.loop.make_gate()) {
      of.waiting_.push_back(gate.get());
    }
    ~Waiting() { std::erase(of.waiting_, gate.get()); }
    Waiting(const Waiting&) = delete;
    Member& of;
    std::unique_ptr<io::Gate> gate;
  };
  template <class T>
  using Task = io::Task<T>;
  using Self = std::shared_ptr<Member>;
  using Routine = boost::asio::awaitable<void>;

  Member(const MemberParts&, MemberOptions);

  // member.cc: the group, images, proposals
  raft::NodeOptions node_options();
  static Task<void> open(Self);
  void changed(const raft::NodeStatus&);
  void adopt();
  void follow(const State& before);
  void look_at_self();
  static SegmentId open_segment(const State&, const PartitionId&);
  Task<Proposed> propose_here(std::string command, Nanos deadline);
  Task<Proposed> propose_once(const std::string& command, Nanos deadline);
  Task<void> await_applied(std::uint64_t index, Nanos deadline);
  Nanos left(Nanos deadline) const;
  Result<void> usable() const;
  void wake();

  // member_calls.cc: what is asked of others, and what others ask
  void serve();
  static Task<std::string> on_join(Self, net::Request);
  static Task<std::string> on_rejoin(Self, net::Request);
  static Task<std::string> on_enroll(Self, net::Request);
  static Task<std::string> on_propose(Self, net::Request);
  static Task<std::string> on_beat(Self, net::Request);
  static Task<std::string> on_work(Self, net::Request);
  static Task<std::string> on_watch(Self, net::Request);
  static Task<std::string> on_probe(Self, net::Request);
  static Task<std::string> on_health(Self, net::Request);
  static Task<std::string> on_concerns(Self, net::Request);
  static Task<std::string> on_condition(Self, net::Request);
  static Task<std::string> on_conditions(Self, net::Request);
  // What a controller says of what it sees: this node's, or the one that is asked.
  template <class Told>
  Task<Told> ask_controller(net::Method, Told (Controller::*of)() const, Nanos timeout);
  Result<void> admits(const net::Request&) const;
  NotLeader who_leads() const;
  Task<Message> ask_leader(net::Method, Message, Nanos deadline);
  NodeId choose_peer();
  void learn_leader(const NotLeader&);
  static Task<void> find_peers(Self, Nanos deadline);
  static Task<net::Found> who_is(Self, std::string address, net::Identity as, Nanos deadline);
  void take(Handout);
  void hand_over(const Handout&);

  // member_life.cc: from the start to the end of this life of the node
  static Routine live(Self);
  JoinRequest join_request() const;
  static Task<void> join(Self);
  static Task<void> rejoin(Self);
  static Task<void> ask_in(Self, net::Method, Message request);
  void met(const net::ClusterId& other);
  static Routine leave_group(Self);
  static Task<void> enroll(Self);
  // A later life of this node is known, or an earlier one goes on: this one has nothing to expect.
  static bool is_over(const Error& error) {
    return error.code == Code::kFenced || error.code == Code::kExists;
  }
  Task<Outcome> register_once();
  Task<void> found();
  bool is_registered() const;
  Result<bool> judge_enrolment(const Outcome&);
  Task<void> keep_identity();
  Task<void> write_down();
  static Routine beat_on(Self);
  static Routine beat_here(Self, Heartbeat, Nanos asked_at);
  Heartbeat heartbeat() const;
  void beat();
  void beaten(Nanos asked_at, const Result<Message>&);
  void tell_condition(NodeId leader, Nanos now);
  void learn_full(const Conditions&);
  void give_up(Error);
  void sweep();

  const MemberParts parts_;
  MemberOptions options_;
  const std::shared_ptr<Inbox> inbox_;        // shared with the Machine
  raft::Node* node_ = nullptr;                // of the Host; null: not a member yet, or stopped
  std::shared_ptr<Controller> controller_{};  // while this node leads
  NodeId leader_{}, hint_{};  // hint: who is said to lead, while the group here does not know
  std::size_t next_peer_ = 0;
  std::set<NodeId> peers_{};  // that were found behind addresses to join at
  bool stopped_ = false, leaving_ = false, leaves_soon_ = false, registered_ = false;
  std::optional<Error> failure_{};

  std::shared_ptr<const State> image_ = std::make_shared<const State>();
  std::uint64_t applied_ = 0;                  // index of the newest command in image_
  std::map<NodeId, std::string> addresses_{};  // as they were told to the Rpc
  std::map<Subscription, std::function<void(std::shared_ptr<const State>)>> subscribers_{};
  Subscription last_subscription_ = 0;
  std::vector<io::Gate*> waiting_{};  // on coroutines; in the order in which they came
  std::vector<Handout> early_{};      // of images that are not here yet

  const std::unique_ptr<io::Gate> beat_gate_;
  std::size_t beats_under_way_ = 0;
  Nanos leased_at_{};
  struct Wanted {
    Nanos until{};
    SegmentId instead_of{};  // the open segment that does not take it; 0: there is none
  };
  std::map<PartitionId, Wanted> wanted_{};
  std::vector<Copy> copies_{};
  std::uint64_t copied_bytes_ = 0;
  struct Watched {
    std::shared_ptr<const bool> over{};
    io::Gate* gate = nullptr;  // on a coroutine
  };
  std::vector<Watched> watched_{};
  Condition condition_{};
  bool condition_due_ = false;  // it has changed since it was told
  Nanos condition_at_{};        // when it was told
  std::set<NodeId> full_{};     // as on_full() was told
  Nanos full_at_{};             // when it was heard of
  std::function<void(const std::set<NodeId>&)> on_full_{};
  std::function<void(Nanos)> on_lease_{};
  std::function<void(Work)> on_work_{};
};

}  // namespace walrus::meta
