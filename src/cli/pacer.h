#pragma once
// Pacer: holds a caller to so many units a second, without debt: what was missed while it was held
// up elsewhere is not caught up beyond a tenth of a second.

#include <algorithm>

#include "io/env.h"

namespace walrus::cli {

class Pacer {
 public:
  Pacer(io::Env& env, double per_second) : env_(env), per_second_(per_second), due_(env.mono()) {}

  // How many of `wanted` units may go in one step: all without a limit, else a fiftieth of a
  // second.
  std::size_t step(std::size_t wanted) const {
    if (per_second_ <= 0) return wanted;
    return std::clamp<std::size_t>(static_cast<std::size_t>(per_second_ / 50), 1, wanted);
  }
  // Waits until it is time for these units.
  void wait(std::size_t units) {
    if (per_second_ <= 0) return;
    auto now = env_.mono();
    due_ = std::max(due_, now - std::chrono::milliseconds(100));
    if (due_ > now) env_.wait(never_, due_ - now);
    due_ += io::Nanos(static_cast<std::int64_t>(1e9 * static_cast<double>(units) / per_second_));
  }

 private:
  io::Env& env_;
  double per_second_;  // 0: no limit
  io::Nanos due_;
  Event never_;
};

}  // namespace walrus::cli
