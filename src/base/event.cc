#include "base/event.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

namespace walrus {
namespace {

constexpr int kSpins = 200;

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
void futex_wake(std::atomic<std::uint32_t>& word, int waiters) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, waiters, nullptr, nullptr, 0);
}
void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

}  // namespace

void Event::set() {
  if (state_.exchange(1, std::memory_order_release) != 1) futex_wake(state_, INT_MAX);
}

// The three-state mutex of Drepper, "Futexes Are Tricky" (2011), section 6, with a bounded spin.
void Lock::lock() {
  for (int i = 0; i < kSpins; ++i) {
    if (try_lock()) return;
    pause_cpu();
  }
  while (state_.exchange(2, std::memory_order_acquire) != 0) futex_wait(state_, 2);
}

bool Lock::try_lock() {
  std::uint32_t free = 0;
  return state_.compare_exchange_strong(free, 1, std::memory_order_acquire);
}

void Lock::unlock() {
  if (state_.exchange(0, std::memory_order_release) == 2) futex_wake(state_, 1);
}

}  // namespace walrus
