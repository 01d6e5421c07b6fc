#include "io/sim/sim_env.h"

#include "base/check.h"
#include "io/network.h"
#include "io/sim/sim_file.h"
#include "io/sim/sim_loop.h"

namespace walrus::io {
namespace {

class SimWorker final : public Worker {
 public:
  SimWorker(IncarnationRef life, std::string name, std::move_only_function<Nanos()> body)
      : state_(std::make_shared<State>(State{.world = life->node->world,
                                             .life = life,
                                             .name = std::move(name),
                                             .body = std::move(body)})) {
    state_->schedule(state_->world.now() + state_->world.draw_step(), state_);
  }
  ~SimWorker() override {
    CHECK(!state_->running);  // a real one would wait for itself
    if (state_->life->alive) state_->world.cancel(state_->event);
  }
  void wake() override {
    State& state = *state_;
    state.woken = true;
    if (state.running || !state.life->alive) return;
    const auto soon = state.world.now() + state.world.draw_step();
    if (state.event != 0 && state.due <= soon) return;
    if (state.event != 0) state.world.cancel(state.event);
    state.schedule(soon, state_);
  }

 private:
  struct State {
    WorldState& world;
    IncarnationRef life;
    std::string name;
    std::move_only_function<Nanos()> body;
    bool running = false, woken = false;
    std::uint64_t event = 0;  // the next call; 0: asleep until woken
    Nanos due{};
    Nanos not_before{};  // of a slow sync

    void schedule(Nanos time, const std::shared_ptr<State>& self) {
      due = std::max(time, not_before);
      event = world.schedule(due, EventKind::kWorker, life, [self] { self->run(self); });
    }

    void run(const std::shared_ptr<State>& self) {
      event = 0;
      woken = false;
      running = true;
      world.trace.fold(name);
      Nanos idle{};
      std::move_only_function<void()> task = [&] { idle = body(); };
      const Nanos stalled = world.run_task(task);
      running = false;
      if (!life->alive) return;
      not_before = world.now() + stalled;
      const auto soon = world.now() + world.draw_step();
      if (woken || idle <= Nanos::zero()) return schedule(soon, self);
      if (idle == kForever) return;
      schedule(std::max(soon, world.deadline(idle)), self);
    }
  };

  const std::shared_ptr<State> state_;  // shared with the event of the next call
};

}  // namespace

Nanos SimEnv::mono() { return world().now(); }

Time SimEnv::wall() {
  return world().options.start + std::chrono::floor<Millis>(world().now()) +
         incarnation_->node->wall_jump;
}

std::uint64_t SimEnv::random() { return incarnation_->node->random.next(); }

std::unique_ptr<Worker> SimEnv::start_worker(std::string name,
                                             std::move_only_function<Nanos()> body) {
  return std::make_unique<SimWorker>(incarnation_, std::move(name), std::move(body));
}

std::unique_ptr<Loop> SimEnv::make_loop() { return std::make_unique<SimLoop>(incarnation_); }

bool SimEnv::wait(Event& event, Nanos timeout) {
  return world().run_until([&] { return event.is_set(); }, world().deadline(timeout),
                           incarnation_.get());
}

void SimEnv::crash_point(const char* name) {
  auto survived = operate(*incarnation_, "crash point", name, [] { return Result<void>(); });
  auto& call = incarnation_->node->at_crash_points;
  if (survived && call) call(name);
}

bool SimEnv::buggify(const char* name) {
  const WorldOptions& options = world().options;
  if (options.buggify_live <= 0 || !incarnation_->alive) return false;
  TraceHash place;
  place.fold(world().seed);
  place.fold(std::string_view(name));
  if (!SimRandom(place.value()).chance(options.buggify_live)) return false;
  if (!world().random.chance(options.buggify_fires)) return false;
  ++world().buggify_hits[name];
  return true;
}

}  // namespace walrus::io
