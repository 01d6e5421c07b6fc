#pragma once
// LogLimit: how many lines a stranger can make us write. Any thread.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

namespace walrus {

class LogLimit {
 public:
  // At most so many lines begin in each span of time.
  LogLimit(std::uint32_t lines, std::chrono::nanoseconds span) : lines_(lines), span_(span) {}

  // Whether a line may be written now; its value is how many were not since the last one.
  std::optional<std::uint64_t> admit(std::chrono::nanoseconds now) {
    auto number = now / span_;
    auto before = span_number_.exchange(number, std::memory_order_relaxed);
    if (before != number) written_.store(0, std::memory_order_relaxed);
    if (written_.fetch_add(1, std::memory_order_relaxed) < lines_)
      return suppressed_.exchange(0, std::memory_order_relaxed);
    suppressed_.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }

 private:
  const std::uint32_t lines_;
  const std::chrono::nanoseconds span_;
  std::atomic<std::int64_t> span_number_{-1};
  std::atomic<std::uint32_t> written_{0};
  std::atomic<std::uint64_t> suppressed_{0};
};

}  // namespace walrus
