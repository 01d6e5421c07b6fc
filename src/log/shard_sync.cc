// How a shard serves those who wait for a sync: what is kept little for them, and how long a group
// waits for who comes back.

#include <algorithm>

#include "log/shard.h"

namespace walrus::log {

void Shard::count_wait(const Pending& pending) {
  if (!pending.sync) return;
  ++waits_;
  waited_at_ = journal_.end();
}

// Callers that wait, are answered, and come back: if those of the last group had the next one begin
// without them, each sync would serve half of them. They are waited for, for no longer than a sync
// takes. Where they do not come back, it is tried seldom.
void Shard::hold_next(const SyncJob& job, io::Nanos now) {
  constexpr std::int64_t kBytesMax = 128 << 10;  // beyond it a sync takes as long as its bytes do
  constexpr io::Nanos kLongest = std::chrono::milliseconds(1);
  constexpr std::uint64_t kWaitsMin = 4;
  auto expected = job_waits_ + (waits_ - job_waits_end_);
  hold_for_ = 0;
  if (hold_pause_ > 0) {
    --hold_pause_;
  } else if (job.sync && !job.mark && expected >= kWaitsMin && job.bytes() <= kBytesMax) {
    hold_for_ = expected - expected / 8;
    hold_until_ = now + std::min(now - job_begun_, kLongest);
  }
}

bool Shard::holds(io::Nanos now) const {
  return waits_ - job_waits_end_ < hold_for_ && now < hold_until_;
}

// A group is taken: was it worth waiting for?
void Shard::end_hold(io::Nanos now) {
  constexpr int kPauseMax = 64;
  job_waits_ = waits_ - job_waits_end_;
  job_waits_end_ = waits_;
  job_begun_ = now;
  holding_ = false;
  if (hold_for_ == 0) return;
  bool came = job_waits_ >= hold_for_;
  hold_futile_ = came ? 0 : std::clamp(2 * hold_futile_, 1, kPauseMax);
  hold_pause_ = hold_futile_;
  hold_for_ = 0;
}

// Whoever waits for a sync waits for everything that is not on the disk yet. Where somebody does
// now and then, that is kept little; where nobody does, the journal's bytes need not be written.
void Shard::sync_ahead() {
  auto checkpoint = static_cast<Lsn>(options_.engine.checkpoint_bytes);
  auto end = journal_.end();
  bool waited = waited_at_ != 0 && end - waited_at_ < 8 * checkpoint;
  if (waited && end - journal_.synced() > checkpoint / 8) request({this, end, true});
}

// On this thread; releases the lock.
Result<void> Shard::run_job(LockGuard& guard, const SyncJob& job) {
  guard.unlock();
  auto result = job.run();
  guard.lock();
  Ready ready;
  finish_sync(job, std::move(result), ready);
  bool more = !sync_waiters_.empty() || !write_waiters_.empty();
  bool mark = mark_due_ < flusher_next_;
  auto answer = failed_ ? Result<void>(std::unexpected(*failed_)) : Result<void>();
  guard.unlock();
  if ((more || mark) && flusher_) flusher_->wake();
  ready.run();
  return answer;
}

}  // namespace walrus::log
