#pragma once
// walrus/testing.h: services on several nodes in one process, for tests. The code that runs is the
// code that ships; only the world around it is another one.
//
//   auto world = walrus::World::simulated(4711, 3);
//   auto nodes = walrus::founders_of("counter", world.peers(3), "/data");
//   for (auto& options : nodes) options.world = &world;
//   auto one = walrus::Service::start(nodes[0], std::make_unique<Counter>());
//
// founders_of() gives the options of every founder, whatever the world: simulated, of this process,
// or real, with a process a node.
//
// A simulated world is one thread and virtual time: a call that blocks runs the world meanwhile,
// and nothing happens between calls but in run_for(). The same seed and the same calls give the
// same run, which trace_hash() tells. Everything made in a World goes before it. Blocking calls are
// made by one thread; not from within a state machine or a `done`.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "walrus/service.h"

namespace walrus {

// The options of each of the founders of a group, in order: data_dir is root/<id>.
std::vector<ServiceOptions> founders_of(Bytes name, const std::vector<Peer>& founders,
                                        const std::filesystem::path& root);

enum class Crash {
  kKill,      // the process is gone; what it wrote is in the system's cache
  kPowerCut,  // of what was not synced, each sector is old, new or torn
};

class World {  // move only
 public:
  // Nodes 1 to `nodes`, up to 64, on networks and disks that lose nothing until they are told to.
  static World simulated(std::uint64_t seed, int nodes);
  // The real clock, disks and network, each node on a loopback address of its own. No faults.
  static World in_process(int nodes);
  World(World&&) noexcept;
  World& operator=(World&&) noexcept;
  ~World();

  // Nodes 1 to `count` and their addresses.
  std::vector<Peer> peers(int count) const;
  Deadline within(Millis) const;  // so long from now in this world
  // Of a process that is no member, beside the nodes. As Service::connect().
  Result<Session> connect(std::span<const std::string> addresses, Deadline);
  void run_for(Millis);  // in_process: nothing but waiting

  // Of a simulated world; of another one nothing happens.
  // All calls of the node's Service answer kClosed from now on; destroy it, and start another one
  // with the same options: it finds what the disk has kept.
  void crash(NodeId, Crash);
  void pause(NodeId, Millis);        // as if stopped and continued
  void cut(NodeId from, NodeId to);  // one way
  void isolate(NodeId);              // both ways, from all
  void heal();                       // all links
  void lose(double probability);     // of each piece on each link: it comes late
  void jump_clock(NodeId, Millis);   // of its wall clock, to and fro
  std::uint64_t seed() const;
  std::uint64_t trace_hash() const;

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit World(std::unique_ptr<Impl>);
  std::unique_ptr<Impl> impl_;
};

}  // namespace walrus
