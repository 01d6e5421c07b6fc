#include "io/sim/sim_loop.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/check.h"
#include "io/sim/sim_connection.h"

namespace walrus::io {

namespace asio = boost::asio;

namespace {

constexpr int kHandlersPerTurn = 8;  // then other nodes and workers come in between

}  // namespace

SimLoopState::SimLoopState(IncarnationRef incarnation)
    : life(std::move(incarnation)),
      context(std::make_unique<asio::io_context>(1)),
      id_(++world().loops),
      work_(std::make_unique<Work>(context->get_executor())) {}

void SimLoopState::post(std::move_only_function<void()> call) {
  if (!context) return;
  asio::post(*context, std::move(call));
  request_turn();
}

void SimLoopState::request_turn() {
  requested_ = true;
  if (running_ || turn_event_ != 0 || !context) return;
  const auto time = std::max(not_before_, world().now() + world().draw_step());
  turn_event_ =
      world().schedule(time, EventKind::kTurn, life, [self = shared_from_this()] { self->turn(); });
}

void SimLoopState::turn() {
  turn_event_ = 0;
  if (!context || stopped) return;
  requested_ = false;
  running_ = true;
  world().trace.fold(id_);
  std::move_only_function<void()> task = [this] {
    for (int i = 0; i < kHandlersPerTurn && life->alive && !stopped; ++i) {
      if (context->poll_one() == 0) return;
    }
    requested_ = true;
  };
  not_before_ = world().run_task(task);
  not_before_ += world().now();
  running_ = false;
  if (requested_ && life->alive && !stopped) request_turn();
}

std::uint64_t SimLoopState::suspend(Resume resume) {
  suspended_.emplace(++last_suspended_, std::move(resume));
  return last_suspended_;
}

void SimLoopState::resume(std::uint64_t id) {
  auto found = suspended_.extract(id);
  if (!found.empty()) post(std::move(found.mapped()));
}

// A frame that is destroyed here may resume, post or suspend once more, in vain.
void SimLoopState::destroy() {
  CHECK(!running_);  // by a coroutine or call of its own, a real one would be used after its end
  if (life->alive) world().cancel(turn_event_);
  auto suspended = std::exchange(suspended_, {});
  suspended.clear();  // posts the unwinding of each frame to the context
  work_.reset();
  const auto dying = std::move(context);
}

struct SimGate::State {
  SimLoopRef loop;
  bool open = false;
  std::uint64_t waiting = 0, timer = 0;

  void let_through() {
    if (timer != 0) loop->world().cancel(std::exchange(timer, 0));
    if (waiting != 0) loop->resume(std::exchange(waiting, 0));
  }

  static asio::awaitable<bool> wait(std::shared_ptr<State> self, Nanos timeout) {
    if (!self->open) {
      co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
          [self, timeout](auto handler) {
            self->waiting =
                self->loop->suspend([h = std::move(handler)]() mutable { std::move(h)(); });
            if (timeout == Nanos::max()) return;
            WorldState& world = self->loop->world();
            self->timer = world.schedule(world.deadline(timeout), EventKind::kTimer,
                                         self->loop->life, [self] {
                                           self->timer = 0;
                                           self->let_through();
                                         });
          },
          asio::use_awaitable);
    }
    co_return std::exchange(self->open, false);
  }
};

SimGate::SimGate(SimLoopRef loop)
    : state_(std::make_shared<State>(State{.loop = std::move(loop)})) {}

SimGate::~SimGate() {
  if (state_->timer != 0) state_->loop->world().cancel(std::exchange(state_->timer, 0));
}

asio::awaitable<bool> SimGate::wait(Nanos timeout) { return State::wait(state_, timeout); }

void SimGate::open() {
  state_->open = true;
  state_->let_through();
}

void SimLoop::run() {
  if (!state_->stopped) {
    state_->world().run_until([this] { return state_->stopped; }, Nanos::max(), state_->life.get());
  }
  state_->stopped = false;
  state_->request_turn();
}

void SimLoop::spawn(asio::awaitable<void> coroutine) {
  if (!state_->context) return;
  asio::co_spawn(*state_->context, std::move(coroutine),
                 [](const std::exception_ptr& thrown) { CHECK(thrown == nullptr); });
  state_->request_turn();
}

asio::awaitable<void> SimLoop::sleep(Nanos length) {
  SimGate gate(state_);
  co_await gate.wait(std::max(Nanos::zero(), length));
}

Result<std::unique_ptr<Listener>> SimLoop::listen(const std::string& address) {
  return sim_listen(state_, address);
}

Task<std::unique_ptr<Connection>> SimLoop::connect(std::string address, Nanos timeout) {
  return sim_connect(state_, std::move(address), timeout);
}

}  // namespace walrus::io
