#pragma once
// Event: set once, waited for by any number of threads; Lock: the mutex that guards one shard.
// Neither knows a clock: waiting with a deadline goes through io::Env, so that a simulated wait
// runs the simulated world instead of sleeping.

#include <atomic>
#include <cstdint>
#include <mutex>

namespace walrus {

class Event {
 public:
  bool is_set() const { return state_.load(std::memory_order_acquire) != 0; }
  void set();  // wakes all waiters; the Event must outlive this call
  std::atomic<std::uint32_t>& word() { return state_; }  // for Env::wait: 0 until set

 private:
  std::atomic<std::uint32_t> state_{0};
};

// Spins for about as long as an append holds it, then sleeps in the kernel.
class Lock {
 public:
  void lock();
  bool try_lock();
  void unlock();

 private:
  std::atomic<std::uint32_t> state_{0};  // 0 free, 1 held, 2 held and waited for
};

using LockGuard = std::unique_lock<Lock>;

}  // namespace walrus
