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

  // What happened so far, a line each: for a failure's message.
  const std::string& story() const { return story_; }

  void disturb() {
    const auto node = any_node();
    const auto what = random_.between(0, 8);
    static constexpr const char* kNames[] = {
        "crash or start", "crash or start", "start", "isolate",      "cut",
        "heal",           "heal",           "pause", "lose and jump"};
    tell(kNames[what], node);
    switch (what) {
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
    if (!up_.insert(node).second) return;
    cluster_.start(node);
    const auto status = cluster_.at(node).status();
    tell(("started in term " + std::to_string(status.term) + ", snapshot " +
          std::to_string(status.snapshot_index) + ", log " + std::to_string(status.log_bytes) +
          " bytes, commit " + std::to_string(status.commit_index) + ",")
             .c_str(),
         node);
  }
  void crash(NodeId node) {
    up_.erase(node);
    const auto how = random_.chance(0.5) ? Crash::kKill : Crash::kPowerCut;
    tell(how == Crash::kKill ? "kill" : "power cut", node);
    world_.crash(node, how);
    cluster_.stop(node);
  }

  void tell(const char* what, NodeId node) {
    story_ += "\n" +
              std::to_string(
                  std::chrono::duration_cast<Millis>(world_.within(Millis(0)).time_since_epoch())
                      .count()) +
              " " + what + " " + std::to_string(node.value);
  }

  std::string story_{};
  World& world_;
  TestCluster& cluster_;
  const int nodes_;
  io::SimRandom random_;
  std::set<NodeId> up_{};
};

}  // namespace walrus::service
