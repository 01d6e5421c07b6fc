#pragma once
// World: simulated nodes on one thread, in virtual time. The same seed and the same calls give the
// same run, event by event; trace_hash() tells.
//
//   World world(seed, {.nodes = 3});
//   Env& env = world.node(0).env();                 // what the code under test gets
//   auto engine = log::Engine::open(env, options);  // blocking calls run the world meanwhile
//   world.node(0).crash_after_ops(57, CrashKind::kPowerCut);
//   ... use the engine until its calls fail; world.node(0).crashed() tells ...
//   engine->reset();                                // before or after restart(), both are fine
//   Env& again = world.node(0).restart();           // a new incarnation on the surviving disk
//
// Events (a worker's next call, a turn of a loop, a timer, a delivery) run in order of virtual
// time; ties are broken by the seed. Bodies of workers are separate events with small delays drawn
// from the seed, so that other work comes between any two calls. Env::wait() inside a body or a
// loop's turn runs the world too, but never enters the same body or loop again meanwhile.
// A wait without a timeout that can never end, because no event is left, ends the process with
// the seed and a message: in the real world it would hang.
//
// Crash: from that moment all I/O of the incarnation fails (kIo "simulated crash"), its workers,
// loops and timers do not run any more, wait() returns at once with what the event is, and its
// locks are free. Its objects may still be used and destroyed at any later time before the World.
// Everything that an Env gave out must be destroyed before its World.

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "io/env.h"
#include "io/sim/sim_disk.h"
#include "io/sim/sim_network.h"

namespace walrus::io {

struct WorldOptions {
  int nodes = 1;
  DiskOptions disk{};  // of every node at its start; see SimDisk::options()
  LinkOptions link{};  // of every link at the start; see SimNetwork::link()
  Time start{std::chrono::milliseconds(1'700'000'000'000)};  // the wall clock at virtual time 0
  // Between "again at once" and the next call of a worker's body, and after a wake.
  Nanos step_min = std::chrono::nanoseconds(200), step_max = std::chrono::microseconds(50);
  bool shuffle_ties = true;  // false: events of the same time run first in, first out
  // A buggify place is live in a run with this probability; a live one fires with the second.
  double buggify_live = 0, buggify_fires = 0.25;
};

class SimEnv;
class WorldState;

class Node {
 public:
  Node(WorldState&, int index);
  ~Node();
  int index() const;
  Env& env();  // of the present incarnation
  SimDisk& disk();
  std::string host() const;  // "10.0.0.1" for node 0

  void crash(CrashKind);
  // Crashes at the n-th disk operation or crash point from now (n >= 1): before it or after it
  // took effect, as the seed says; the operation fails either way. 0 disarms. With a place only
  // operations of this name on paths that contain `file` count.
  struct Place {
    std::string operation, file;  // "sync" and ".wal"; empty: any
  };
  void crash_after_ops(std::uint64_t n, CrashKind, Place place = {});
  // Called at every crash point that is survived: a place at which the test may run the world, as
  // if the thread that came there was not given its turn for a while.
  void at_crash_points(std::function<void(std::string_view name)>);
  bool crashed() const;
  std::uint64_t operations() const;        // disk operations and crash points of all incarnations
  const std::string& crash_place() const;  // the last crash: operation or crash point, file
  // A new incarnation; the present one is killed first if it is not crashed. The same reference
  // as env() from now on. The old Env object stays valid until the World goes.
  Env& restart();
  std::int64_t restarts() const;

  void pause(Nanos);             // its workers, loops and timers stand still (SIGSTOP), then go on
  void jump_wall_clock(Millis);  // adds up; the monotonic clock is never touched

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class World {
 public:
  explicit World(std::uint64_t seed, const WorldOptions& = {});
  ~World();
  std::uint64_t seed() const;
  Node& node(int index);
  int nodes() const;
  SimNetwork& network();
  Nanos now() const;  // virtual, from 0

  bool step();  // runs the next event; false: there is none
  // Runs events until `done` is true (looked at after every event), the virtual timeout is over or
  // no event is left; returns what `done` says then.
  bool run_until(const std::function<bool()>& done, Nanos timeout);
  void run_for(Nanos);
  // Calls back at a virtual time, independent of all nodes: for the test's own schedule of faults.
  void at(Nanos time, std::move_only_function<void()>);

  std::uint64_t random();  // for the test's own decisions; a stream of its own
  std::uint64_t trace_hash() const;
  std::uint64_t events() const;
  const FaultHits& buggify_hits() const;
  FaultHits hits() const;  // of all disks, the network ("net.loss", ...) and buggify, summed up

 private:
  std::unique_ptr<WorldState> state_;
};

}  // namespace walrus::io
