#pragma once
// The simulated loop: an io_context that the world's one thread polls in events of its own.

#include <memory>

#include "io/sim/world_state.h"

namespace walrus::io {

class Loop;

std::unique_ptr<Loop> make_sim_loop(IncarnationRef);

}  // namespace walrus::io
