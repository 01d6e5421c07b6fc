#pragma once
// What plans draw.

#include <chrono>

#include "io/sim/sim_random.h"

namespace walrus::sim {

inline std::chrono::nanoseconds between(io::SimRandom& random, std::chrono::nanoseconds low,
                                        std::chrono::nanoseconds high) {
  return std::chrono::nanoseconds(random.between(low.count(), high.count()));
}

}  // namespace walrus::sim
