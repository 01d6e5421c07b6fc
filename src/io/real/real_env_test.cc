// Of the real environment alone.

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <iostream>

#include "base/event.h"
#include "io/env.h"

namespace walrus::io {
namespace {

using namespace std::chrono_literals;

struct Seen {
  int policy = -1, nice = -1;
  std::uint64_t slice = 0;
};

// Of the calling thread: see sched_getattr(2).
Seen look() {
  std::array<char, 56> attributes{};
  EXPECT_EQ(::syscall(SYS_sched_getattr, 0, attributes.data(), attributes.size(), 0), 0);
  Seen seen{.policy = ::sched_getscheduler(0), .nice = ::getpriority(PRIO_PROCESS, ::gettid())};
  std::memcpy(&seen.slice, attributes.data() + 24, sizeof seen.slice);
  return seen;
}

TEST(RealEnvTest, a_worker_that_hurries_has_a_short_slice_and_the_priority_that_it_had) {
  Event hurried, done;
  Seen after;
  auto worker = real_env().start_worker("hurries", [&] {
    if (!hurried.is_set()) return Nanos(1ms);
    after = look();
    done.set();
    return Worker::kForever;
  });
  worker->hurry();
  hurried.set();
  ASSERT_TRUE(real_env().wait(done, 10s));
  worker.reset();
  auto here = look();
  EXPECT_EQ(after.policy, here.policy);
  EXPECT_EQ(after.nice, here.nice);
  if (here.slice == 0 || here.policy != SCHED_OTHER)
    std::cout << "NOTE: this kernel has no slices of a thread's own\n";
  else EXPECT_EQ(after.slice, 100'000u);
  EXPECT_NE(here.slice, 100'000u);  // of others it is what it was
}

}  // namespace
}  // namespace walrus::io
