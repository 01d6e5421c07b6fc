#pragma once
// Member: one node's part in one service: its Raft group, and what it is asked by sessions here and
// elsewhere.
//
// Lives on its loop; made, used and stopped there. The engine, the transport and the loop go after
// it. Shared with its coroutines and with endpoints, which find it stopped.

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "base/log_line.h"
#include "base/metrics.h"
#include "net/rpc.h"
#include "raft/host.h"
#include "service/channel.h"
#include "service/fold.h"
#include "service/identity.h"

namespace walrus::service {

constexpr net::Method kServiceCall{
    wire::peer::kServiceCallMethod};       // a wire::peer::ServiceRequest; its ServiceAnswer
constexpr raft::GroupId kServiceGroup{1};  // the only one of a cluster that a service founds

struct MemberParts {
  io::Env& env;
  io::Loop& loop;
  log::Engine& engine;
  net::Transport& transport;
  Metrics& metrics;
  LogSink& log;
};

class Member : public std::enable_shared_from_this<Member> {
 public:
  // Takes part when it is done; a newcomer is a learner of the group then.
  static io::Task<std::shared_ptr<Member>> start(MemberParts, ServiceOptions, Identity,
                                                 std::unique_ptr<StateMachine>);
  ~Member();
  // A leader hands over before, if there is time. Everything that waits answers kClosed.
  io::Task<void> stop(io::Nanos deadline);
  // Without a word and without the loop: when that has ended. stop() was called, or the process of
  // a simulated node is dead.
  void drop();

  // One attempt, see Endpoint::ask(). `here`: by a session of this process, which has no other
  // member to ask.
  io::Task<wire::peer::ServiceAnswer> serve(wire::peer::ServiceRequest, io::Nanos deadline,
                                            bool here);
  ServiceStatus status() const;
  const std::string& address() const { return address_; }
  Channels& channels() { return channels_; }
  static std::shared_ptr<Endpoint> endpoint(const std::shared_ptr<Member>&);

 private:
  struct Batch;
  template <class T>
  using Task = io::Task<T>;
  using Answer = wire::peer::ServiceAnswer;

  Member(const MemberParts&, ServiceOptions, const Identity&);
  static io::Task<void> open(std::shared_ptr<Member>, std::unique_ptr<StateMachine>);
  static io::Task<void> join(std::shared_ptr<Member>);
  static io::Task<std::string> on_call(std::shared_ptr<Member>, net::Request);
  raft::NodeOptions node_options();
  void changed(const raft::NodeStatus&);
  void reached();  // any thread
  void wake_readers();

  Task<Answer> forward(wire::peer::ServiceRequest, io::Nanos deadline);
  Task<Answer> on(wire::peer::ProposeRequest, io::Nanos deadline);
  Task<Answer> on(wire::peer::QueryRequest, io::Nanos deadline);
  Task<Answer> on(wire::peer::OpenSessionRequest, io::Nanos deadline);
  Task<Answer> on(wire::peer::FindSessionRequest, io::Nanos deadline);
  Task<Answer> on(wire::peer::ChangeRequest, io::Nanos deadline);
  Task<Answer> on(wire::peer::JoinRequest, io::Nanos deadline);
  Task<Answer> on(wire::peer::StatusRequest, io::Nanos deadline);
  Task<Answer> change(raft::MemberChange, io::Nanos deadline);
  Task<Answer> transfer(NodeId to, io::Nanos deadline);
  Task<void> await_applied(std::uint64_t index, io::Nanos deadline);
  std::string encode(decltype(wire::peer::ServiceCommand::body)) const;
  template <class T>
  Task<T> at_fold(std::move_only_function<Result<T>(Fold&)>, io::Nanos deadline);
  io::Nanos left(io::Nanos deadline) const;
  bool leads() const { return role_ == raft::Role::kLeader; }
  wire::peer::Failed again(Code, std::string why) const;
  void register_metrics();

  const MemberParts parts_;
  const ServiceOptions options_;
  const Identity identity_;
  const std::shared_ptr<FoldCounts> counts_ = std::make_shared<FoldCounts>();
  std::unique_ptr<net::Rpc> rpc_{};
  std::unique_ptr<raft::Host> host_{};
  raft::Node* node_ = nullptr;  // of host_
  std::string address_{};
  raft::Role role_ = raft::Role::kFollower;
  NodeId leader_{};
  std::string failure_{};
  bool stopped_ = false;
  Channels channels_{};
  std::multimap<std::uint64_t, io::Gate*> readers_{};  // by what has to be applied; on coroutines
  std::atomic<std::size_t> reading_{0};                // readers_.size(), for reached()
  Counter& proposed_;
  Counter& forwarded_;
  Counter& queries_;
};

}  // namespace walrus::service
