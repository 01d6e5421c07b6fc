#include "net/rpc.h"

#include <utility>

#include "net/rpc_state.h"

namespace walrus::net {
namespace {

// A call as a coroutine: what it waits for is shared with the callback.
struct Waiter {
  std::unique_ptr<io::Gate> gate;
  std::optional<Result<std::string>> result{};
};

io::Task<std::string> call_on(std::shared_ptr<RpcState> state, RpcState::Start start,
                              std::shared_ptr<StreamState> stream) {
  auto waiter = std::make_shared<Waiter>(state->loop.make_gate());
  state->begin_or_fail(
      std::move(start),
      [waiter](Result<std::string> result) {
        waiter->result = std::move(result);
        waiter->gate->open();
      },
      std::move(stream));
  while (!waiter->result) co_await waiter->gate->wait(io::Nanos::max());
  co_return *std::move(waiter->result);
}

io::Task<std::unique_ptr<Stream>> open_on(std::shared_ptr<RpcState> state, RpcState::Start start) {
  auto stream = std::make_shared<StreamState>(state->env, state->loop);
  WALRUS_CO_TRY(co_await call_on(state, std::move(start), stream));
  co_return std::make_unique<Stream>(std::move(stream));
}

Result<void> check(const RpcOptions& options) {
  const auto message = options.message_bytes_max;
  constexpr std::size_t kMax = 1 << 30;
  if (options.self.node.value == 0) return fail(Code::kInvalid, "a node's id is not 0");
  if (options.control_bytes_max > message)
    return fail(Code::kInvalid, "control_bytes_max above message_bytes_max");
  if (options.bulk_window < 2 * (message + kMessageCost))
    return fail(Code::kInvalid, "bulk_window holds less than two messages");
  if (options.control_window < 2 * (options.control_bytes_max + kMessageCost))
    return fail(Code::kInvalid, "control_window holds less than two control messages");
  if (options.bulk_window > kMax || options.control_window > kMax || options.stream_window > kMax ||
      options.stream_window == 0)
    return fail(Code::kInvalid, "a window of more than 1 GiB, or of nothing");
  if (options.backoff_min <= io::Nanos(0) || options.handlers_max == 0)
    return fail(Code::kInvalid, "a limit of nothing");
  return {};
}

}  // namespace

Rpc::Rpc(std::shared_ptr<RpcState> state) : state_(std::move(state)) {}
Rpc::~Rpc() { state_->shut(); }

Result<std::unique_ptr<Rpc>> Rpc::start(io::Env& env, io::Loop& loop, Transport& transport,
                                        const RpcOptions& options) {
  WALRUS_TRY(check(options));
  auto state = std::make_shared<RpcState>(env, loop, transport, options);
  WALRUS_TRY(state->listen());
  return std::unique_ptr<Rpc>(new Rpc(std::move(state)));
}

namespace {
io::Task<void> stop_state(std::shared_ptr<RpcState> state, io::Nanos timeout) {
  const auto deadline = moment_after(state->env.mono(), timeout);
  state->shut();
  while (state->handlers_running > 0) {
    const auto now = state->env.mono();
    if (now >= deadline)
      co_return fail(Code::kTimeout, "{} handlers still run", state->handlers_running);
    co_await state->handlers_idle->wait(deadline - now);
  }
  co_return Result<void>();
}
}  // namespace

io::Task<void> Rpc::stop(io::Nanos timeout) { return stop_state(state_, timeout); }

void Rpc::handle(Method method, Handler handler) {
  state_->handlers[method] = std::make_shared<const Handler>(std::move(handler));
}
void Rpc::handle_send(Method method, SendHandler handler) {
  state_->send_handlers[method] = std::make_shared<const SendHandler>(std::move(handler));
}
void Rpc::handle_stream(Method method, StreamHandler handler) {
  state_->stream_handlers[method] = std::make_shared<const StreamHandler>(std::move(handler));
}

void Rpc::on_foreign_cluster(std::function<void(const ClusterId&)> call) {
  state_->on_foreign_cluster = std::move(call);
}

void Rpc::add_peer(NodeId id, std::string address) { state_->add_peer(id, std::move(address)); }
void Rpc::registered(NodeId id, Incarnation life) { state_->registered(id, life); }
void Rpc::remove_peer(NodeId id) { state_->remove_peer(id); }

Rpc::CallId Rpc::call(NodeId to, Method method, std::string body, const CallOptions& options,
                      Done done) {
  return state_->begin_or_fail({FrameType::kCall, to, method, std::move(body), options},
                               std::move(done));
}

io::Task<std::string> Rpc::call(NodeId to, Method method, std::string body, CallOptions options) {
  return call_on(state_, {FrameType::kCall, to, method, std::move(body), options}, nullptr);
}

void Rpc::cancel(CallId id) { state_->give_up(id, {Code::kClosed, "cancelled"}); }

Result<void> Rpc::send(NodeId to, Method method, std::string body, const CallOptions& options) {
  WALRUS_TRY(state_->begin({FrameType::kSend, to, method, std::move(body), options}, nullptr));
  return {};
}

io::Task<std::unique_ptr<Stream>> Rpc::open(NodeId to, Method method, std::string body,
                                            CallOptions options) {
  options.priority = Priority::kBulk;
  return open_on(state_, {FrameType::kOpen, to, method, std::move(body), options});
}

const std::string& Rpc::address() const { return state_->address; }

bool Rpc::connected(NodeId id) const {
  const auto* const peer = state_->peer(id);
  return peer != nullptr && peer->link != nullptr;
}

std::size_t Rpc::message_bytes_max() const { return state_->options.message_bytes_max; }

RpcStats Rpc::stats() const { return state_->stats; }

}  // namespace walrus::net
