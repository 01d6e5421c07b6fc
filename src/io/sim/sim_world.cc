#include "io/sim/sim_world.h"

#include <fmt/format.h>

#include "base/check.h"
#include "io/sim/sim_disk_state.h"
#include "io/sim/sim_env.h"
#include "io/sim/sim_network_state.h"
#include "io/sim/world_state.h"

namespace walrus::io {

struct Node::State {
  WorldState& world;
  NodeState& node;
};

Node::Node(WorldState& world, int index)
    : state_(new State{world, *world.nodes[static_cast<std::size_t>(index)]}) {}
Node::~Node() = default;

int Node::index() const { return state_->node.index; }
Env& Node::env() { return *state_->node.envs.back(); }
SimDisk& Node::disk() { return state_->node.disk; }
std::string Node::host() const { return fmt::format("10.0.0.{}", state_->node.index + 1); }

void Node::crash(CrashKind kind) { state_->world.crash(state_->node, kind, "test"); }

void Node::crash_after_ops(std::uint64_t n, CrashKind kind, Place place) {
  state_->node.crash_in = n;
  state_->node.crash_at = std::move(place);
  state_->node.crash_kind = kind;
}

void Node::at_crash_points(std::function<void(std::string_view)> call) {
  state_->node.at_crash_points = std::move(call);
}

bool Node::crashed() const { return !state_->node.incarnation->alive; }
std::uint64_t Node::operations() const { return state_->node.operations; }
const std::string& Node::crash_place() const { return state_->node.crash_place; }

Env& Node::restart() {
  NodeState& node = state_->node;
  if (node.incarnation) state_->world.crash(node, CrashKind::kKill, "restart");
  const int number = static_cast<int>(node.envs.size()) + 1;
  node.incarnation = std::make_shared<Incarnation>(Incarnation{.node = &node, .number = number});
  node.envs.push_back(std::make_unique<SimEnv>(node.incarnation));
  state_->world.trace.fold(static_cast<std::uint64_t>(number));
  state_->world.network->state().node_started(node.index);
  return env();
}

std::int64_t Node::restarts() const { return std::ssize(state_->node.envs) - 1; }

void Node::pause(Nanos length) {
  state_->node.paused_until = std::max(state_->node.paused_until, state_->world.now() + length);
}

void Node::jump_wall_clock(Millis by) { state_->node.wall_jump += by; }

World::World(std::uint64_t seed, const WorldOptions& options)
    : state_(std::make_unique<WorldState>(seed, options)) {
  for (int i = 0; i < options.nodes; ++i) {
    state_->faces.push_back(std::make_unique<Node>(*state_, i));
    state_->faces.back()->restart();
  }
}
World::~World() = default;

std::uint64_t World::seed() const { return state_->seed; }
Node& World::node(int index) { return *state_->faces.at(static_cast<std::size_t>(index)); }
int World::nodes() const { return static_cast<int>(state_->faces.size()); }
SimNetwork& World::network() { return *state_->network; }
Nanos World::now() const { return state_->now(); }
bool World::step() { return state_->step(); }

bool World::run_until(const std::function<bool()>& done, Nanos timeout) {
  return state_->run_until(done, state_->deadline(timeout), nullptr);
}

void World::run_for(Nanos length) {
  CHECK(length < Nanos::max());
  run_until([] { return false; }, length);
}

void World::at(Nanos time, std::move_only_function<void()> call) {
  state_->schedule(time, EventKind::kTest, nullptr, std::move(call));
}

std::uint64_t World::random() { return state_->test_random.next(); }
std::uint64_t World::trace_hash() const { return state_->trace.value(); }
std::uint64_t World::events() const { return state_->events; }
const FaultHits& World::buggify_hits() const { return state_->buggify_hits; }

FaultHits World::hits() const {
  FaultHits sum;
  for (const auto& node : state_->nodes) {
    for (const auto& [family, count] : node->disk.hits()) sum[family] += count;
  }
  for (const auto& [family, count] : state_->network->hits()) sum["net." + family] += count;
  for (const auto& [place, count] : state_->buggify_hits) sum["buggify." + place] += count;
  return sum;
}

}  // namespace walrus::io
