#pragma once
// For tests: what happens to the nodes of a simulated cluster, as a seed says.

#include <set>

#include "io/sim/sim_random.h"
#include "service/test_machine.h"

namespace walrus::service {

class TestFaults {
 public:
  TestFaults(World& world, TestCluster& cluster, int nodes)
      : world_(world), cluster_(cluster), nodes_(nodes), random_(world.seed()) {
    for (int node = 1; node <= nodes; ++node) up_.insert(id(node));
  }
  io::SimRandom& random() { return random_; }
  bool up(NodeId node) const { return up_.contains(node); }
  NodeId any_node() { return id(random_.between(1, nodes_)); }

  void disturb() {
    const auto node = any_node();
    switch (random_.between(0, 8)) {
      case 0:
      case 1: return up(node) ? crash(node) : start(node);
      case 2: return start(node);
      case 3: return world_.isolate(node);
      case 4: return world_.cut(node, any_node());
      case 5:
      case 6: return world_.heal();
      case 7: return world_.pause(node, Millis(random_.between(1, 2'000)));
      default:
        world_.lose(random_.chance(0.5) ? 0 : 0.05);
        return world_.jump_clock(node, Millis(random_.between(-5'000, 5'000)));
    }
  }
  // Everything is well again, and all nodes are there.
  void heal() {
    world_.heal();
    world_.lose(0);
    for (int node = 1; node <= nodes_; ++node) start(id(node));
  }

 private:
  static NodeId id(std::int64_t node) { return NodeId{static_cast<std::uint64_t>(node)}; }
  void start(NodeId node) {
    if (up_.insert(node).second) cluster_.start(node);
  }
  void crash(NodeId node) {
    up_.erase(node);
    world_.crash(node, random_.chance(0.5) ? Crash::kKill : Crash::kPowerCut);
    cluster_.stop(node);
  }

  World& world_;
  TestCluster& cluster_;
  const int nodes_;
  io::SimRandom random_;
  std::set<NodeId> up_{};
};

}  // namespace walrus::service
