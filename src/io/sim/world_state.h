#pragma once
// The inside of a World: the event queue, and what belongs to one life of a node's process.

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "io/sim/sim_random.h"
#include "io/sim/sim_world.h"

namespace walrus::io {

class WorldState;
struct NodeState;

// One life of a process. Shared by all that it made, so that late calls find out that it is over.
struct Incarnation {
  NodeState* node;
  int number;  // from 1
  bool alive = true;
  std::int64_t open_files = 0;
};
using IncarnationRef = std::shared_ptr<Incarnation>;

struct EventKey {
  Nanos time{};
  std::uint64_t tie = 0, sequence = 0;
  auto operator<=>(const EventKey&) const = default;
};

enum class EventKind : std::uint64_t { kWorker = 1, kTurn, kTimer, kDelivery, kTest };

struct NodeState {
  WorldState& world;
  const int index;
  SimRandom random;  // Env::random()
  SimDisk disk;
  std::vector<std::unique_ptr<SimEnv>> envs;  // of all incarnations; the last is the present one
  IncarnationRef incarnation;
  std::uint64_t operations = 0, crash_in = 0;
  CrashKind crash_kind = CrashKind::kKill;
  std::string crash_place;
  Node::Place crash_at;
  std::function<void(std::string_view)> at_crash_points;
  Nanos paused_until{};
  Millis wall_jump{};
};

class WorldState {
 public:
  WorldState(std::uint64_t seed, const WorldOptions&);
  ~WorldState();

  Nanos now() const { return now_; }
  // Runs `run` at that time if the owner (null: the test) is alive then.
  // The id cancels; 0 when the owner is dead already.
  std::uint64_t schedule(Nanos time, EventKind, IncarnationRef owner,
                         std::move_only_function<void()> run);
  void cancel(std::uint64_t id);
  bool step();
  // Runs the world until `done`, the deadline, the end of `whose` life or until no event is left,
  // which ends the process when `whose` would wait for ever. Returns what `done` says then.
  bool run_until(const std::function<bool()>& done, Nanos deadline, const Incarnation* whose);
  Nanos deadline(Nanos timeout) const {
    return timeout >= Nanos::max() - now_ ? Nanos::max() : now_ + timeout;
  }
  Nanos draw_step() {
    return Nanos(random.between(options.step_min.count(), options.step_max.count()));
  }

  // Around every disk operation and crash point: whether the process dies here.
  enum class Fate { kLive, kDieBefore, kDieAfter, kDead };
  Fate begin_operation(Incarnation&, const char* what, std::string_view where);
  void crash(NodeState&, CrashKind, std::string place);
  void stall(NodeState&, Nanos);  // of a slow sync; see sim_disk.h
  // Runs one call of a worker or turn of a loop; returns for how long it was stalled.
  Nanos run_task(std::move_only_function<void()>& task);

  const std::uint64_t seed;
  const WorldOptions options;
  SimRandom random, test_random;
  TraceHash trace;
  FaultHits buggify_hits;
  std::uint64_t events = 0, loops = 0;
  std::vector<std::unique_ptr<NodeState>> nodes;
  std::vector<std::unique_ptr<Node>> faces;
  std::unique_ptr<SimNetwork> network;

 private:
  struct Scheduled {
    std::uint64_t id;
    EventKind kind;
    IncarnationRef owner;
    std::move_only_function<void()> run;
  };

  void postpone_paused();  // until the first event is one that may run
  void insert(EventKey, Scheduled);

  Nanos now_{};
  std::uint64_t sequence_ = 0;
  std::map<EventKey, Scheduled> queue_;  // of living owners only
  std::map<std::uint64_t, EventKey> keys_;
  Nanos* stalled_ = nullptr;  // of the task that runs; null: the test's own stack
  const std::thread::id thread_ = std::this_thread::get_id();
};

}  // namespace walrus::io
