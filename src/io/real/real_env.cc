#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "io/env.h"
#include "io/network.h"
#include "io/real/real_disk.h"
#include "io/real/real_loop.h"

namespace walrus::io {
namespace {

// As sched_setattr(2) takes them; its header clashes with <sched.h>.
struct SchedulerAttributes {
  std::uint32_t size = sizeof(SchedulerAttributes), policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0, deadline = 0, period = 0;
  std::uint32_t utilization_min = 0, utilization_max = 0;
};

// The scheduler lets a thread that is woken go before one that computes if its slice is the shorter
// one (EEVDF, Linux 6.12; earlier ones do not heed it). Nothing else of it changes.
void shorten_slice(pid_t thread) {
  constexpr std::uint64_t kSlice = 100'000;  // ns, the shortest that there is
  SchedulerAttributes attributes;
  if (::syscall(SYS_sched_getattr, thread, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.policy != SCHED_OTHER) return;  // somebody has decided otherwise
  attributes.runtime = kSlice;
  (void)::syscall(SYS_sched_setattr, thread, &attributes, 0);
}

class RealWorker final : public Worker {
 public:
  RealWorker(std::string name, std::move_only_function<Nanos()> body)
      : body_(std::move(body)), thread_([this] { run(); }) {
    constexpr std::size_t kNameMax = 15;  // of the kernel
    ::pthread_setname_np(thread_.native_handle(), name.substr(0, kNameMax).c_str());
  }
  ~RealWorker() override {
    CHECK(thread_.get_id() != std::this_thread::get_id());
    {
      const std::scoped_lock guard(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  void wake() override {
    {
      const std::scoped_lock guard(mutex_);
      woken_ = true;
    }
    changed_.notify_one();
  }
  void hurry() override {
    thread_id_.wait(0);
    shorten_slice(thread_id_);
  }

 private:
  void run() {
    thread_id_ = ::gettid();
    thread_id_.notify_all();
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      woken_ = false;
      lock.unlock();
      const Nanos idle = body_();
      lock.lock();
      sleep(lock, idle);
    }
  }

  void sleep(std::unique_lock<std::mutex>& lock, Nanos idle) {
    // So long that it cannot be told from for ever, and no clock overflows.
    constexpr Nanos kLongest = std::chrono::hours(24 * 365);
    const auto ready = [this] { return woken_ || stopping_; };
    if (idle <= Nanos::zero()) return;
    if (idle >= kLongest) return changed_.wait(lock, ready);
    changed_.wait_for(lock, idle, ready);
  }

  std::move_only_function<Nanos()> body_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false, stopping_ = false;
  std::atomic<pid_t> thread_id_ = 0;
  std::thread thread_;  // the last member: it uses the others
};

class RealEnv final : public Env {
 public:
  Nanos mono() override { return std::chrono::steady_clock::now().time_since_epoch(); }
  Time wall() override { return std::chrono::floor<Millis>(std::chrono::system_clock::now()); }

  // The kernel's generator for every number: no state that a fork could double.
  std::uint64_t random() override {
    std::uint64_t number = 0;
    while (::getrandom(&number, sizeof number, 0) != sizeof number) CHECK(errno == EINTR);
    return number;
  }

  Disk& disk() override { return disk_; }

  std::unique_ptr<Worker> start_worker(std::string name,
                                       std::move_only_function<Nanos()> body) override {
    return std::make_unique<RealWorker>(std::move(name), std::move(body));
  }

  std::unique_ptr<Loop> make_loop() override { return std::make_unique<RealLoop>(); }

  int cores() override {
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }

  bool wait(Event& event, Nanos timeout) override {
    const Nanos now = mono();
    const bool forever = timeout >= Nanos::max() - now;
    const Nanos deadline = forever ? Nanos::max() : now + timeout;
    const timespec until = {.tv_sec = deadline.count() / 1'000'000'000,
                            .tv_nsec = deadline.count() % 1'000'000'000};
    while (!event.is_set()) {
      if (!forever && mono() >= deadline) return false;
      // The deadline of WAIT_BITSET is absolute, on the monotonic clock.
      ::syscall(SYS_futex, &event.word(), FUTEX_WAIT_BITSET_PRIVATE, 0, forever ? nullptr : &until,
                nullptr, FUTEX_BITSET_MATCH_ANY);
    }
    return true;
  }

 private:
  RealDisk disk_;
};

}  // namespace

Env& real_env() {
  static RealEnv env;
  return env;
}

}  // namespace walrus::io
