#pragma once
// The inside of an Rpc: peers, pending calls, and how connections are made and judged.

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/log_limit.h"
#include "net/acceptor.h"
#include "net/link.h"
#include "net/rpc.h"
#include "net/timers.h"

namespace walrus::net {

struct Outgoing {  // a request that was not handed over yet
  FrameType type{};
  Method method{};
  std::string body{};
  io::Nanos deadline{};
  bool only_if_there = false;
};

struct Peer {
  NodeId id;
  bool added = false;  // by add_peer(): never forgotten
  std::string address{};
  bool gone = false;
  std::shared_ptr<Link> link{};
  std::uint64_t last_link = 0;  // nonce of the last one that was established
  Incarnation known{};          // the latest life that was seen
  Incarnation registered{};     // the one that counts, as this side was told; 0: it was not

  std::array<std::map<std::uint64_t, Outgoing>, kPriorities> queues{};  // by id: in order
  std::array<std::int64_t, kPriorities> queued{};                       // bytes

  // The connecting coroutine, if there is one.
  bool connecting = false;
  std::uint64_t attempt = 0;           // changes when the one under way is not wanted any more
  bool refused = false;                // nobody let the last one in
  bool backs_off = false;              // it waits before the next one
  io::Connection* greeting = nullptr;  // a hello was sent on it and not answered yet
  bool yielded = false;                // the attempt made the peer's give way once
  std::uint32_t failures = 0;          // in a row
  std::unique_ptr<io::Gate> retry{};
  std::string last_error{};
  std::string told_error{};  // to the log, since it was connected

  bool idle() const { return queues[0].empty() && queues[1].empty(); }
};

class RpcState : public std::enable_shared_from_this<RpcState> {
 public:
  RpcState(io::Env&, io::Loop&, Transport&, const RpcOptions&);
  Result<void> listen();
  void shut();

  using Done = Rpc::Done;
  struct Start {
    FrameType type{};
    NodeId to{};
    Method method{};
    std::string body{};
    CallOptions options{};
  };
  // Of a send without `done`; of an open with the stream that it is for.
  Result<std::uint64_t> begin(Start, Done, std::shared_ptr<StreamState> = nullptr);
  std::uint64_t begin_or_fail(Start, Done, std::shared_ptr<StreamState> = nullptr);
  void complete(std::uint64_t id, Result<std::string>);
  void give_up(std::uint64_t id, Error);  // the same, and the peer is told if it has it

  void add_peer(NodeId, std::string address);
  void remove_peer(NodeId);
  void registered(NodeId, Incarnation);

  // Used by links.
  struct Pending {
    NodeId to{};
    FrameType type{};
    Priority priority{};
    Done done{};
    std::shared_ptr<StreamState> stream{};
    Timers::Key timer{};
    Link* link = nullptr;  // null: not handed over yet
  };
  Pending* pending(std::uint64_t id);
  Peer* peer(NodeId);
  Outgoing unqueue(Peer&, Priority, std::uint64_t id);
  void link_closed(Link&, const Error& why);
  void link_over(const Link&);  // both coroutines have ended
  void violation(const Error&);
  void handler_ended();
  PeerLimits limits() const;
  FrameHeader header(FrameType, std::uint64_t id = 0) const;

  io::Env& env;
  io::Loop& loop;
  Transport& transport;
  const RpcOptions options;
  RpcStats stats{};
  bool stopped = false;
  std::size_t handlers_running = 0;
  std::unique_ptr<io::Gate> handlers_idle;
  std::string address{};
  std::map<Method, std::shared_ptr<const Rpc::Handler>> handlers{};
  std::map<Method, std::shared_ptr<const Rpc::SendHandler>> send_handlers{};
  std::map<Method, std::shared_ptr<const Rpc::StreamHandler>> stream_handlers{};
  std::function<void(const ClusterId&)> on_foreign_cluster{};

 private:
  friend class Greeting;
  using PeerRef = std::shared_ptr<Peer>;

  void met(const Error&, const FrameSplitter&);
  void want_connection(const PeerRef&);
  bool wanted(const Peer&) const;
  void fail_unreached(Peer&, const Error&);
  void fail_queue(Peer&, const Error&);
  Error late(NodeId, io::Nanos timeout);
  static boost::asio::awaitable<void> run_connect(std::shared_ptr<RpcState>, PeerRef);
  static io::Task<void> attempt(std::shared_ptr<RpcState>, PeerRef, std::uint64_t number);
  io::Nanos backoff(const Peer&);
  void abandon_attempt(Peer&);

  static boost::asio::awaitable<void> run_accepted(std::shared_ptr<RpcState>,
                                                   std::unique_ptr<io::Connection>);
  static io::Task<bool> greet_back(std::shared_ptr<RpcState>, std::unique_ptr<io::Connection>);
  std::optional<Refusal> judge(const FrameHeader&, const Hello&, const Channel&);
  std::optional<Refusal> judge_crossing(Peer&, const FrameHeader&, const Hello&);
  // The same, and the link that is to be replaced was asked whether its process is gone.
  static io::Task<std::optional<Refusal>> judge_all(std::shared_ptr<RpcState>, FrameHeader, Hello,
                                                    const Channel&);
  PeerRef make_peer(NodeId);  // null: there are too many
  void adopt(const PeerRef&, LinkTerms, Channel, FrameSplitter, std::string first_bytes);
  void log(LogLevel, Bytes event, const LinkTerms&, Bytes why);
  void log_refusal(Bytes event, Bytes remote, Bytes why);

  std::unique_ptr<Timers> timers_;
  std::unique_ptr<Acceptor> acceptor_;
  std::map<NodeId, PeerRef> peers_;
  std::map<std::uint64_t, Pending> pending_;
  std::set<io::Connection*> greetings_;  // of connections without a handshake
  std::uint64_t last_id_ = 0;
  LogLimit refusals_{10, std::chrono::seconds(10)};
};

// The code that a refusal is to who was refused.
Error refused(const Refusal&);

}  // namespace walrus::net
