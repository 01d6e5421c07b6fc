#include "io/sim/world_state.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "base/check.h"
#include "base/crc32c.h"
#include "io/sim/sim_disk_state.h"
#include "io/sim/sim_env.h"
#include "io/sim/sim_network_state.h"

namespace walrus::io {

void TraceHash::fold(std::string_view bytes) {
  fold(bytes.size());
  fold(crc32c(bytes));
}

WorldState::WorldState(std::uint64_t s, const WorldOptions& o)
    : seed(s), options(o), random(mix64(s)), test_random(mix64(s ^ 0x7e57)) {
  trace.fold(seed);
  network = std::make_unique<SimNetwork>(std::make_unique<SimNetworkState>(*this), o.nodes);
  for (int i = 0; i < options.nodes; ++i) {
    const auto node_seed = mix64(mix64(seed) + static_cast<std::uint64_t>(i));
    nodes.push_back(std::make_unique<NodeState>(NodeState{
        .world = *this,
        .index = i,
        .random = SimRandom(node_seed),
        .disk = SimDisk(std::make_unique<SimDiskState>(mix64(node_seed), i, options.disk)),
        .envs = {},
        .incarnation = {},
        .crash_place = {},
        .crash_at = {},
        .at_crash_points = {}}));
  }
}

// The network first: its gates cancel what is still in the queue.
WorldState::~WorldState() { network.reset(); }

std::uint64_t WorldState::schedule(Nanos time, EventKind kind, IncarnationRef owner,
                                   std::move_only_function<void()> run) {
  if (owner && !owner->alive) return 0;
  const auto id = ++sequence_;
  const auto tie = options.shuffle_ties ? random.next() : 0;
  insert({.time = std::max(time, now_), .tie = tie, .sequence = id},
         {.id = id, .kind = kind, .owner = std::move(owner), .run = std::move(run)});
  return id;
}

void WorldState::insert(EventKey key, Scheduled event) {
  keys_[event.id] = key;
  queue_.emplace(key, std::move(event));
}

void WorldState::cancel(std::uint64_t id) {
  const auto key = keys_.find(id);
  if (key == keys_.end()) return;
  // The closure is destroyed last: it may cancel other events.
  const auto event = queue_.extract(key->second);
  keys_.erase(key);
}

bool WorldState::step() {
  CHECK(std::this_thread::get_id() == thread_);
  postpone_paused();
  if (queue_.empty()) return false;
  auto node = queue_.extract(queue_.begin());
  keys_.erase(node.mapped().id);
  now_ = std::max(now_, node.key().time);
  Scheduled& event = node.mapped();
  ++events;
  trace.fold(static_cast<std::uint64_t>(now_.count()));
  const int index = event.owner ? event.owner->node->index : -1;
  trace.fold(static_cast<std::uint64_t>(event.kind) << 32 | static_cast<std::uint32_t>(index));
  event.run();
  return true;
}

void WorldState::postpone_paused() {
  while (!queue_.empty()) {
    const auto& owner = queue_.begin()->second.owner;
    if (!owner || owner->node->paused_until <= queue_.begin()->first.time) return;
    const auto until = owner->node->paused_until;
    auto node = queue_.extract(queue_.begin());
    EventKey key = node.key();
    key.time = until;
    insert(key, std::move(node.mapped()));
  }
}

bool WorldState::run_until(const std::function<bool()>& done, Nanos deadline,
                           const Incarnation* whose) {
  while (!done()) {
    if (whose != nullptr && !whose->alive) return done();
    postpone_paused();
    if (queue_.empty() && deadline == Nanos::max()) {
      if (whose == nullptr) return false;
      fmt::print(stderr, "simulated hang: seed {} waits for ever and no event is left\n", seed);
      std::abort();
    }
    if (queue_.empty() || queue_.begin()->first.time > deadline) {
      now_ = std::max(now_, deadline);
      return done();
    }
    step();
  }
  return true;
}

WorldState::Fate WorldState::begin_operation(Incarnation& life, const char* what,
                                             std::string_view where) {
  if (!life.alive) return Fate::kDead;
  NodeState& node = *life.node;
  ++node.operations;
  trace.fold(static_cast<std::uint64_t>(node.index));
  trace.fold(std::string_view(what));
  trace.fold(where);
  if (node.crash_in == 0) return Fate::kLive;
  const auto& [operation, file] = node.crash_at;
  bool counts = (operation.empty() || operation == what) && where.contains(file);
  if (!counts || --node.crash_in > 0) return Fate::kLive;
  return random.chance(0.5) ? Fate::kDieBefore : Fate::kDieAfter;
}

void WorldState::crash(NodeState& node, CrashKind kind, std::string place) {
  if (!node.incarnation->alive) return;
  trace.fold(place);
  trace.fold(static_cast<std::uint64_t>(kind));
  node.incarnation->alive = false;
  node.crash_in = 0;
  node.paused_until = {};
  node.crash_place = std::move(place);
  node.disk.state().crash(kind);
  network->state().node_died(node.index, kind);
  std::vector<std::uint64_t> dead;
  for (const auto& [key, event] : queue_) {
    if (event.owner == node.incarnation) dead.push_back(event.id);
  }
  for (const auto id : dead) cancel(id);
}

void WorldState::stall(NodeState& node, Nanos delay) {
  if (stalled_ != nullptr) *stalled_ += delay;
  else node.paused_until = std::max(node.paused_until, now_ + delay);
}

Nanos WorldState::run_task(std::move_only_function<void()>& task) {
  Nanos stalled{};
  Nanos* const outer = std::exchange(stalled_, &stalled);
  task();
  stalled_ = outer;
  return stalled;
}

}  // namespace walrus::io
