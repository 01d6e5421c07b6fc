#include "net/timers.h"

namespace walrus::net {

struct Timers::State {
  io::Env& env;
  std::unique_ptr<io::Gate> changed;
  std::map<Key, Call> calls{};
  std::uint64_t last = 0;
  io::Nanos wakes_at = io::Nanos::max();
  bool stopped = false;
};

Timers::Timers(io::Env& env, io::Loop& loop)
    : state_(std::make_shared<State>(State{.env = env, .changed = loop.make_gate()})) {
  loop.spawn(run(state_));
}

Timers::~Timers() {
  state_->stopped = true;
  state_->calls.clear();
  state_->changed->open();
}

Timers::Key Timers::at(io::Nanos time, Call call) {
  const Key key{time, ++state_->last};
  if (time == io::Nanos::max()) return {};
  state_->calls.emplace(key, std::move(call));
  if (time < state_->wakes_at) state_->changed->open();
  return key;
}

void Timers::cancel(const Key& key) { state_->calls.erase(key); }

std::size_t Timers::size() const { return state_->calls.size(); }

boost::asio::awaitable<void> Timers::run(std::shared_ptr<State> state) {
  while (!state->stopped) {
    const auto now = state->env.mono();
    while (!state->calls.empty() && state->calls.begin()->first.time <= now) {
      auto due = state->calls.extract(state->calls.begin());
      due.mapped()();
    }
    if (state->stopped) co_return;
    state->wakes_at = state->calls.empty() ? io::Nanos::max() : state->calls.begin()->first.time;
    const auto wait = state->wakes_at == io::Nanos::max() ? state->wakes_at : state->wakes_at - now;
    co_await state->changed->wait(std::max(wait, io::Nanos(0)));
  }
}

io::Nanos moment_after(io::Nanos now, io::Nanos timeout) {
  return timeout >= io::Nanos::max() - now ? io::Nanos::max() : now + timeout;
}

}  // namespace walrus::net
