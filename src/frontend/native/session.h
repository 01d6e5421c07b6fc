#pragma once
// Session: one connection of the native protocol. Lives on its connection's loop, kept alive by its
// two coroutines.
//
//   reader  cuts frames; an append whose turn it is is encoded into the journal at once, so that a
//           pipelined burst joins one group commit; anything else waits for its turn.
//   writer  takes the slots in order: waits for the durability of a run of appends by its last one,
//           executes what is not an append, and hands the replies over in large writes, and before
//           it has to wait.
//
// Replies are in the order of the requests, and a request sees the effect of those before it.
// Memory: replies and requests that wait are bounded by output_bytes_max (one reply more at most);
// above it the reader does not read. A peer that takes no byte for write_timeout is cut.
// On a port that asks for it nothing but AUTH is served before the client has proven who it is: a
// request at a time, each small, all of it within a short time.

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "broker/auth/authentication.h"
#include "broker/broker.h"
#include "broker/group/coordinators.h"
#include "frontend/native/cluster.h"
#include "frontend/native/forward.h"
#include "io/network.h"
#include "wire/native/frame.h"
#include "wire/native/request.h"

namespace walrus::frontend::native {

// Shared by all sessions; each counts a batch of requests at a time.
struct SessionCounters {
  Counter& requests;
  Counter& errors;
  Counter& received_bytes;
  Counter& sent_bytes;
};

// What waits in all sessions, taken together. Above the limit a session reads on only when nothing
// of its own waits, so that each goes on and none grows.
struct SessionMemory {
  std::int64_t bytes_max = 1 << 30;
  std::atomic<std::int64_t> bytes{0};
  bool full() const { return bytes.load(std::memory_order_relaxed) >= bytes_max; }
};

struct SessionOptions {
  std::size_t frame_bytes_max = wire::native::kFrameBytesMax;
  std::size_t output_bytes_max = 4 << 20;
  io::Nanos idle_timeout = std::chrono::minutes(10);
  io::Nanos write_timeout = std::chrono::minutes(1);
  std::string advertised{};  // this node's address, for METRICS
  SessionCounters* counters = nullptr;
  SessionMemory* memory = nullptr;
  broker::PortSecurity security{};
  std::shared_ptr<broker::Coordinators> groups{};
  Forwarding forwarding{};  // to the other nodes of a cluster
  ClusterPart cluster{};
  bool forwarded = false;  // the peer is a node that hands on: what is not served here is refused
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(broker::Local&, std::unique_ptr<io::Connection>, const SessionOptions&);
  ~Session();
  // Serves until the peer ends or breaks; then calls `ended`, on the loop. `admitted`: once, when
  // the peer has proven who it is, if it is asked and ever does.
  void start(std::function<void()> ended, std::function<void()> admitted = {});
  void cut() { connection_->close(); }
  // Takes no further request, answers those that were taken, closes.
  void stop();

 private:
  enum class Shape : std::uint8_t { kOk, kOffset, kPair };  // how an append is answered
  // Where an append went whose refusal comes later: what that is told with.
  struct Origin {
    std::string target{};
    broker::LogRef log{};
    std::optional<Offset> expected{};
  };
  struct Slot {
    enum Kind : std::uint8_t { kReply, kAppended, kRequest, kForwarded } kind = kReply;
    Shape shape = Shape::kOk;
    std::string bytes{};  // kReply: framed; kRequest: the request's body
    broker::Appending appending{};
    std::unique_ptr<Origin> origin{};  // if the answer is owed
    // In a cluster; then bytes has the request until it is answered.
    NodeId node{};        // kForwarded: who has it
    std::string log{};    // kForwarded, kAppended: the partition, while it counts as unanswered
    io::Nanos give_up{};  // then it is not placed anew
    bool unexecuted() const { return kind == kRequest || kind == kForwarded; }
  };
  struct Route {    // of a partition
    NodeId node{};  // that leads it; 0: this one, or nobody
    broker::LogRef partition{};
    std::string log{};  // its name
    bool led = false;   // anybody leads it
  };
  using PipelineRef = std::shared_ptr<replica::Pipeline>;
  struct Placement {  // of what is unanswered of a partition
    NodeId node{};
    std::size_t unanswered = 0;
    PipelineRef pipeline{};  // of what is placed here
  };
  struct There {                      // what is unanswered of this connection at another node
    std::shared_ptr<Upstream> way{};  // shared with calls under way
    std::deque<std::uint64_t> unanswered{};  // slots by their numbers, as its replies will come
    std::size_t bytes = 0;
  };
  struct Unsent {          // a claim of GET whose reply is not yet with the kernel
    std::int64_t end = 0;  // the place in the connection's output where its reply ends
    broker::TopicRef topic{};
    broker::Claim claim{};
    NodeId node{};  // that has claimed it, instead of this one
  };

  static boost::asio::awaitable<void> run_reader(std::shared_ptr<Session>);
  static boost::asio::awaitable<void> run_writer(std::shared_ptr<Session>);
  io::Task<void> read_frames();
  io::Task<void> take_event(wire::native::FrameSplitter::Event);
  bool foreign_protocol();
  io::Task<void> wait_for_room();
  io::Task<void> wait_for_answers();
  io::Task<void> take_proof(const Result<wire::native::Request>&, Bytes body);
  io::Nanos time_left() const;
  std::string user() const;  // that the client has proven to be; empty: nobody was asked
  void push(Slot);
  void push_error(Bytes text);
  void end_coroutine();

  io::Task<void> write_replies();
  io::Task<void> answer_appends();
  io::Task<void> answer_request();
  io::Task<void> flush();
  void count(std::size_t received, std::size_t sent);
  bool has_room();
  void account();
  Slot pop();

  bool clustered() const { return options_.forwarding.rpc != nullptr; }
  void push_clustered(wire::native::Request, Bytes body);
  bool name_partition(wire::native::Request&);
  io::Task<bool> serves_still(const wire::native::Request&, NodeId given);
  Route route_of(const wire::native::Target&);
  boost::asio::awaitable<void> learn(wire::native::Target);
  io::Task<void> place_appends();
  io::Task<void> place_here(Slot&, const wire::native::Request&, PipelineRef);
  PipelineRef pipeline_of(const std::string& log) const;
  bool may_place(const Route&);
  bool place_there(std::size_t at, NodeId, std::string& frames);
  void patience(Slot&);
  io::Task<void> acknowledged(Slot&);
  boost::asio::awaitable<void> send_to(NodeId, std::string frames);
  boost::asio::awaitable<void> settle_there(NodeId);
  std::set<std::string> refused_here() const;
  boost::asio::awaitable<void> settle_here();
  boost::asio::awaitable<void> take_back(NodeId, bool unknown);
  void try_again(std::size_t slot);
  io::Task<bool> forward_front(const wire::native::Request&);
  io::Task<NodeId> server_of(const wire::native::Request&);
  bool reads_sealed(const wire::native::Target&, std::optional<std::int64_t> offset) const;
  io::Task<NodeId> reader_of(const wire::native::Target&);
  void take_delivered();
  boost::asio::awaitable<void> tell_delivered(std::set<NodeId>);
  boost::asio::awaitable<bool> worth_again(const Error&);
  std::string describe_lost(const Error&, Bytes target);
  io::Task<void> answer_forwarded();
  io::Task<std::string> ask_there(NodeId, const wire::native::Request&);
  io::Task<std::string> list_groups_once();
  io::Task<std::string> list_all_groups();
  bool is_refusal(const Slot&, const Result<broker::Placed>&) const;
  void answered(const std::string& log);
  void answer_slot(Slot&, Bytes error);
  void reply_in(Slot&, std::string frame);
  void drop_unplaced();
  std::string refusal_of(Bytes body);
  void refuse_moved(const std::string& target);

  static bool is_append(const wire::native::Request&);
  io::Task<void> append_run();
  io::Task<Slot> append_request(const wire::native::Request&, PipelineRef);
  io::Task<Slot> append(wire::native::Target, Shape, Bytes payload, broker::AppendRules);
  io::Task<Slot> append_batch(wire::native::Target, Bytes batch, broker::AppendRules);
  static Slot appended_slot(broker::Appending, Shape, Origin);
  Slot refusal_slot(const Error&, const Origin&, Shape);
  Slot error_slot(const Error&, Bytes target);
  std::string describe_refusal(const Error&, const Origin&, Shape);
  std::string describe_error(const Error&, Bytes target);

  // Everything else; each appends one reply to out_, or one per request answered (GET).
  io::Task<void> get(wire::native::Get, std::size_t run);
  io::Task<bool> get_empty(broker::TopicRef, broker::Partition, io::Nanos deadline);
  io::Task<void> execute(wire::native::Request);
  struct Executor;
  // Counted for a slot beside its bytes.
  static constexpr std::size_t kSlotOverheadBytes = 64;
  void remember_polled(const std::string& key, std::size_t partition);
  std::size_t last_polled(const std::string& key) const;  // 0 if there was none

  broker::Local& local_;
  std::unique_ptr<io::Connection> connection_;
  const SessionOptions options_;
  std::function<void()> ended_, admitted_;
  broker::Authentication authentication_;
  const io::Nanos proof_deadline_;  // on the monotonic clock
  wire::native::FrameSplitter splitter_;

  std::deque<Slot> slots_;
  std::uint64_t popped_ = 0;    // slots that are over: the number of the one at the front
  std::size_t slot_bytes_ = 0;  // of requests and replies in slots_
  std::uint64_t requests_ = 0, errors_ = 0;  // not yet counted
  std::size_t unexecuted_ = 0;               // slots not executed here: appends behind them wait
  std::size_t placed_ = 0;                   // in a cluster: up to the first that is not placed
  std::map<std::string, Placement> placements_;  // by partition, of placed slots
  std::map<NodeId, There> upstreams_;
  io::Nanos place_again_{};                                  // not before: something is held up
  std::map<NodeId, io::Nanos> out_of_reach_;                 // until when nothing is placed there
  std::size_t flushing_ = 0;                                 // bytes that the connection is writing
  std::int64_t accounted_ = 0;                               // of this session in SessionMemory
  std::string out_;                                          // replies in order, not yet written
  std::vector<Unsent> unsent_;                               // in the order of out_
  std::int64_t written_ = 0;                                 // bytes of replies handed over
  std::vector<std::pair<std::string, std::size_t>> polled_;  // "topic consumer", partition
  std::unique_ptr<io::Gate> room_;  // for the reader: less waits than before
  std::unique_ptr<io::Gate> work_;  // for the writer: a slot, or an end
  bool reading_ = true, broken_ = false, stopping_ = false, first_bytes_ = true;
  bool writer_idle_ = false;
  bool again_ = false;  // what was executed last is not answered: it stays at the front
  int coroutines_ = 0;
};

}  // namespace walrus::frontend::native
