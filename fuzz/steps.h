#pragma once
// For fuzz targets whose input is a list of steps: the first byte is the seed of the world.

#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace walrus::fuzz {

// `next` takes a step from the front of the input; nothing: that was all. Run: take(step), and
// heal() in the end.
template <class Run, class Next>
int run_steps(const std::uint8_t* data, std::size_t size, std::size_t steps_max, const Next& next) {
  Bytes input(reinterpret_cast<const char*>(data), size);
  if (input.empty()) return 0;
  Run run(static_cast<unsigned char>(input[0]));
  input.remove_prefix(1);
  for (std::size_t steps = 0; steps < steps_max; ++steps) {
    auto step = next(input);
    if (!step) break;
    run.take(*step);
  }
  run.heal();
  return 0;
}

}  // namespace walrus::fuzz
