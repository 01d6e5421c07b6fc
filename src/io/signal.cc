#include <mutex>
#include <optional>

#include "base/result.h"
#include "io/network.h"

namespace walrus::io {

struct Signal::State {
  std::mutex mutex;  // guards `loop`: the setter comes from any thread, maybe after the Signal
  Loop* loop;
  Gate* gate;  // on the loop only, as the result
  std::optional<Result<void>> result{};
};

Signal::Signal(Loop& loop) : gate_(loop.make_gate()) {
  state_ = std::make_shared<State>();
  state_->loop = &loop;
  state_->gate = gate_.get();
}

Signal::~Signal() {
  const std::scoped_lock guard(state_->mutex);
  state_->loop = nullptr;
  state_->gate = nullptr;
}

std::move_only_function<void(Result<void>)> Signal::setter() {
  return [state = state_](Result<void> result) {
    const std::scoped_lock guard(state->mutex);
    if (state->loop == nullptr) return;
    state->loop->post([state, result = std::move(result)]() mutable {
      if (state->gate == nullptr || state->result) return;
      state->result = std::move(result);
      state->gate->open();
    });
  };
}

Task<void> Signal::wait(Nanos timeout) {
  if (!state_->result && !co_await gate_->wait(timeout) && !state_->result) {
    co_return fail(Code::kTimeout, "not answered in time");
  }
  co_return *state_->result;
}

}  // namespace walrus::io
