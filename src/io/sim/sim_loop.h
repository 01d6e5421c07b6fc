#pragma once
// The simulated loop: an io_context that the world's one thread polls, a few handlers an event.
// Coroutines suspend in the loop's own table, never in a service of Asio, so that no real timer or
// socket can be in it and all of them go with the loop.

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>

#include "io/network.h"
#include "io/sim/world_state.h"

namespace walrus::io {

// Shared by the loop, its events and its gates; they may come late, after the loop is gone.
class SimLoopState : public std::enable_shared_from_this<SimLoopState> {
 public:
  explicit SimLoopState(IncarnationRef life);
  WorldState& world() const { return life->node->world; }
  void post(std::move_only_function<void()>);
  void request_turn();
  void destroy();  // with all that is suspended

  using Resume = std::move_only_function<void()>;
  std::uint64_t suspend(Resume);
  void resume(std::uint64_t id);  // nothing when it was resumed before

  const IncarnationRef life;
  bool stopped = false;
  std::unique_ptr<boost::asio::io_context> context;  // null: the loop is gone

 private:
  using Work = boost::asio::executor_work_guard<boost::asio::io_context::executor_type>;

  void turn();

  const std::uint64_t id_;
  std::unique_ptr<Work> work_;
  bool running_ = false, requested_ = false;
  std::uint64_t turn_event_ = 0;
  Nanos not_before_{};  // of a slow sync
  std::uint64_t last_suspended_ = 0;
  std::map<std::uint64_t, Resume> suspended_;
};
using SimLoopRef = std::shared_ptr<SimLoopState>;

class SimGate final : public Gate {
 public:
  explicit SimGate(SimLoopRef loop);
  ~SimGate() override;
  boost::asio::awaitable<bool> wait(Nanos timeout) override;
  void open() override;

 private:
  struct State;
  const std::shared_ptr<State> state_;  // shared with the coroutine that waits, and its timer
};

class SimLoop final : public Loop {
 public:
  explicit SimLoop(IncarnationRef life) : state_(std::make_shared<SimLoopState>(std::move(life))) {}
  ~SimLoop() override { state_->destroy(); }
  void run() override;
  void stop() override { state_->stopped = true; }
  void post(std::move_only_function<void()> call) override { state_->post(std::move(call)); }
  void spawn(boost::asio::awaitable<void>) override;
  boost::asio::awaitable<void> sleep(Nanos) override;
  std::unique_ptr<Gate> make_gate() override { return std::make_unique<SimGate>(state_); }
  Result<std::unique_ptr<Listener>> listen(const std::string& address) override;
  Task<std::unique_ptr<Connection>> connect(std::string address, Nanos timeout) override;

  const SimLoopRef& state() const { return state_; }

 private:
  const SimLoopRef state_;
};

}  // namespace walrus::io
