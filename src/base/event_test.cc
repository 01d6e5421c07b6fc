#include "base/event.h"

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace walrus {
namespace {

// As io::Env waits for an Event in the real world.
void wait(Event& event) {
  while (!event.is_set()) {
    syscall(SYS_futex, &event.word(), FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
  }
}

TEST(Event, stays_set) {
  Event event;
  EXPECT_FALSE(event.is_set());
  event.set();
  event.set();
  EXPECT_TRUE(event.is_set());
}

TEST(Event, wakes_all_waiters) {
  Event event;
  std::vector<std::jthread> waiters;
  for (int i = 0; i < 4; ++i) waiters.emplace_back([&event] { wait(event); });
  event.set();
}

TEST(Event, what_was_written_before_it_is_seen_behind_it) {
  for (int round = 0; round < 1000; ++round) {
    Event event;
    int value = 0;
    std::jthread writer([&] {
      value = 42;
      event.set();
    });
    wait(event);
    EXPECT_EQ(value, 42);
  }
}

TEST(Lock, try_lock_tells_whether_it_is_held) {
  Lock lock;
  EXPECT_TRUE(lock.try_lock());
  EXPECT_FALSE(lock.try_lock());
  lock.unlock();
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

TEST(Lock, guards_a_count_of_many_threads) {
  constexpr int kThreads = 4, kTimes = 50'000;
  Lock lock;
  long count = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < kTimes; ++j) {
          LockGuard guard(lock);
          ++count;
        }
      });
    }
  }
  EXPECT_EQ(count, long{kThreads} * kTimes);
}

TEST(Lock, a_waiter_sleeps_until_it_is_free) {
  Lock lock;
  int order = 0;
  lock.lock();
  Event begun;
  std::jthread waiter([&] {
    begun.set();
    LockGuard guard(lock);
    EXPECT_EQ(order, 1);
    order = 2;
  });
  wait(begun);
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();  // most likely asleep by now
  order = 1;
  lock.unlock();
  waiter.join();
  EXPECT_EQ(order, 2);
}

}  // namespace
}  // namespace walrus
