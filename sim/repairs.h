#pragma once
// Repairs: what the faults of a world have broken for a while, and how each is mended when its time
// has come; and a network that is cut in two.

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "io/sim/sim_world.h"

namespace walrus::sim {

class Repairs {
 public:
  void at(io::Nanos when, std::function<void()> repair) { due_.emplace(when, std::move(repair)); }
  void mend_due(io::Nanos now) {
    while (!due_.empty() && due_.begin()->first <= now) {
      auto repair = due_.extract(due_.begin());
      repair.mapped()();
    }
  }
  void mend_all() {
    for (auto& [when, repair] : due_) repair();
    due_.clear();
  }

 private:
  std::multimap<io::Nanos, std::function<void()>> due_{};
};

// Both ways between the nodes whose bit in `side` is set and the others.
inline void cut_in_two(io::SimNetwork& network, std::uint64_t side, int nodes) {
  for (int from = 0; from < nodes; ++from)
    for (int to = 0; to < nodes; ++to)
      if ((side >> from & 1) != (side >> to & 1)) network.cut(from, to);
}

}  // namespace walrus::sim
