#include "raft/host.h"

#include <utility>

#include "raft/host_state.h"

namespace walrus::raft {
namespace {

// A call with a callback as a coroutine: what it waits for is shared with the callback.
template <class T>
struct Waiter {
  std::unique_ptr<io::Gate> gate;
  std::optional<T> result{};

  static std::shared_ptr<Waiter> make(io::Loop& loop) {
    return std::make_shared<Waiter>(loop.make_gate());
  }
  static std::move_only_function<void(T)> setter(std::shared_ptr<Waiter> waiter) {
    return [waiter](T result) {
      waiter->result = std::move(result);
      waiter->gate->open();
    };
  }
  static boost::asio::awaitable<T> wait(std::shared_ptr<Waiter> waiter) {
    while (!waiter->result) co_await waiter->gate->wait(io::Nanos::max());
    co_return *std::move(waiter->result);
  }
};

template <class T, class Start>
boost::asio::awaitable<T> answer_of(io::Loop& loop, const Start& start) {
  auto waiter = Waiter<T>::make(loop);
  start(Waiter<T>::setter(waiter));
  return Waiter<T>::wait(waiter);
}

}  // namespace

const char* end_name(Proposal::End end) {
  switch (end) {
    case Proposal::End::kApplied: return "applied";
    case Proposal::End::kRefused: return "refused";
    case Proposal::End::kLost: return "lost";
    case Proposal::End::kUnknown: return "unknown";
  }
  return "";
}

// ---- Host ----

Host::Host(std::shared_ptr<HostState> state) : state_(std::move(state)) {}
Host::~Host() { state_->shut(); }

Result<std::unique_ptr<Host>> Host::start(io::Env& env, io::Loop& loop, log::Engine& engine,
                                          net::Rpc& rpc, const HostOptions& options) {
  auto state = std::make_shared<HostState>(env, loop, engine, rpc, options);
  WALRUS_TRY(state->start());
  return std::unique_ptr<Host>(new Host(std::move(state)));
}

io::Task<Node*> Host::open(GroupId group, NodeOptions options, std::unique_ptr<Machine> machine) {
  return HostState::open(state_, group, std::move(options), std::move(machine));
}
io::Task<void> Host::close(GroupId group) { return HostState::close(state_, group); }
io::Task<void> Host::remove(GroupId group) { return HostState::remove(state_, group); }
io::Task<void> Host::stop() { return HostState::stop(state_); }
Node* Host::find(GroupId group) { return state_->find(group); }
std::vector<GroupId> Host::stored() const { return state_->stored(); }
HostStats Host::stats() const { return state_->stats; }

// ---- Node ----

Node::Node(std::shared_ptr<NodeState> state) : state_(std::move(state)) {}
Node::~Node() = default;
GroupId Node::group() const { return state_->group(); }

void Node::propose(std::string command, Nanos timeout, ProposalDone done) {
  state_->propose(std::move(command), timeout, std::move(done));
}
Node::Awaitable<Proposal> Node::propose(std::string command, Nanos timeout) {
  return answer_of<Proposal>(state_->loop(), [&](ProposalDone done) {
    state_->propose(std::move(command), timeout, std::move(done));
  });
}
void Node::change_members(std::vector<MemberChange> changes, Nanos timeout, ProposalDone done) {
  state_->change_members(std::move(changes), timeout, std::move(done));
}
Node::Awaitable<Proposal> Node::change_members(std::vector<MemberChange> changes, Nanos timeout) {
  return answer_of<Proposal>(state_->loop(), [&](ProposalDone done) {
    state_->change_members(std::move(changes), timeout, std::move(done));
  });
}
void Node::read(ReadLevel level, Nanos timeout, ReadDone done) {
  state_->read(level, timeout, std::move(done));
}
io::Task<Index> Node::read(ReadLevel level, Nanos timeout) {
  return answer_of<Result<Index>>(
      state_->loop(), [&](ReadDone done) { state_->read(level, timeout, std::move(done)); });
}
void Node::transfer(NodeId to, Nanos timeout, Done done) {
  state_->transfer(to, timeout, std::move(done));
}
io::Task<void> Node::transfer(NodeId to, Nanos timeout) {
  return answer_of<Result<void>>(
      state_->loop(), [&](Done done) { state_->transfer(to, timeout, std::move(done)); });
}
void Node::take_snapshot() { state_->take_snapshot(); }
void Node::at_machine(std::move_only_function<void(Machine&)> call) {
  state_->at_machine(std::move(call));
}
NodeStatus Node::status() const { return state_->status(); }

}  // namespace walrus::raft
