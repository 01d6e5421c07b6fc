#pragma once
#include "io/sim/sim_network.h"
#include "io/sim/world_state.h"
namespace walrus::io {
class SimNetworkState {
 public:
  explicit SimNetworkState(WorldState&) {}
  void node_died(int, CrashKind) {}
  FaultHits hits;
};
}  // namespace walrus::io
