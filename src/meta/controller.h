#pragma once
// Controller: what runs where the metadata group is led. It sees which nodes are alive, asks the
// Planner what follows, proposes its commands and hands out its work; it grants leases; and it
// decides who votes in the group.
//
// It remembers nothing that matters: another node may take over at any moment, and an outdated one
// does no harm, because every decision is a compare-and-swap.
//
// A node is alive while its heartbeats come, of the life and with the lease epoch that metadata
// knows. It is not after `silence_max` without one, or when its connection broke and a probe was
// not answered within `probe_timeout`, or when it says that it goes.
//
// Lives on the loop of its Member, which makes it when it begins to lead and drops it when it ends.

#include <chrono>
#include <cstdint>
#include <variant>
#include <vector>

#include "meta/planner.h"

namespace walrus::meta {

struct ControllerOptions {
  Nanos lease = std::chrono::seconds(3);  // the same on all nodes; counted from when it was asked
  Nanos silence_max = std::chrono::milliseconds(350);  // three heartbeats of 100 ms, and a little
  Nanos probe_timeout = std::chrono::milliseconds(150);
  Nanos tick = std::chrono::milliseconds(100);      // what depends on time is looked at so often
  Nanos work_again = std::chrono::seconds(1);       // what was handed out and is still to be done
  Nanos voter_away_max = std::chrono::seconds(30);  // then another node votes in its place
  std::uint32_t voters_max = 3;                     // 1, 3 or 5
  PlanLimits plan{};
  Spread spread = Spread::kLoad;
};

// What a node is told to do.
using Work = std::variant<Recover, Roll, Copy>;

// What the controller sees, for `walrus cluster status` and `health`.
struct Health {
  NodeId controller{};
  std::vector<Sight> nodes{};
  std::vector<Drain> drains{};
  std::vector<Stuck> stuck{};
  std::vector<Copy> copies{};  // under way
  std::uint64_t under_replicated = 0;
  bool searched = false;  // all sealed segments were looked at since it began
};

}  // namespace walrus::meta
