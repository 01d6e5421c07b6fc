#include "async_load.h"

#include <array>
#include <atomic>
#include <map>
#include <semaphore>
#include <thread>

#include "base/event.h"
#include "harness.h"

namespace walrus::bench {
namespace {

// Latencies by the thread that answers: a lock around one histogram would be part of the measure.
class Answers {
 public:
  void add(Clock::time_point due) {
    auto nanos = std::chrono::nanoseconds(Clock::now() - due).count();
    auto& slot = slots_[slot_of_this_thread()];
    LockGuard guard(slot.lock);  // two threads seldom share a slot
    slot.latency.record(nanos);
  }
  Histogram all() {
    Histogram sum;
    for (auto& slot : slots_) sum.merge(slot.latency);
    return sum;
  }

 private:
  static std::size_t slot_of_this_thread() {
    return std::hash<std::thread::id>()(std::this_thread::get_id()) % kSlots;
  }
  static constexpr std::size_t kSlots = 16;
  struct alignas(64) Slot {
    Lock lock;
    Histogram latency;
  };
  std::array<Slot, kSlots> slots_;
};

}  // namespace

AsyncResult append_async(std::vector<Stream>& streams, int in_flight, double seconds) {
  auto payload = random_bytes(kRecordBytes);
  Answers answers;
  std::counting_semaphore<> room(in_flight);
  Record record{.value = payload};
  std::int64_t sent = 0;
  std::size_t next = 0;
  auto begin = Clock::now();
  for (; sent % 64 != 0 || since(begin) < seconds; ++sent) {
    room.acquire();
    streams[next].append_async({&record, 1}, {}, [&, started = Clock::now()](auto done) {
      must(std::move(done), "append");
      answers.add(started);
      room.release();
    });
    if (++next == streams.size()) next = 0;
  }
  for (int i = 0; i < in_flight; ++i) room.acquire();
  return {static_cast<double>(sent) / since(begin), answers.all()};
}

AsyncResult append_paced(std::vector<Stream>& streams, double rate, double seconds) {
  auto payload = random_bytes(kRecordBytes);
  Answers answers;
  std::atomic<std::int64_t> answered{0};
  Record record{.value = payload};
  auto sends = static_cast<std::int64_t>(rate * seconds);
  std::size_t next = 0;
  auto begin = Clock::now();
  for (std::int64_t sent = 0; sent < sends; ++sent) {
    auto due = begin + std::chrono::nanoseconds(
                           static_cast<std::int64_t>(static_cast<double>(sent) * 1e9 / rate));
    wait_until(due);
    streams[next].append_async({&record, 1}, {}, [&, due](auto done) {
      must(std::move(done), "append");
      answers.add(due);
      answered.fetch_add(1);
    });
    if (++next == streams.size()) next = 0;
  }
  while (answered.load() < sends) std::this_thread::yield();
  return {static_cast<double>(sends) / since(begin), answers.all()};
}

}  // namespace walrus::bench
