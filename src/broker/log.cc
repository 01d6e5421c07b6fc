#include "broker/log.h"

#include <algorithm>

#include "base/check.h"

namespace walrus::broker {

void Owed::settle(Result<Placed> outcome) {
  if (expired_) return;
  CHECK(!outcome_.has_value());
  outcome_.emplace(std::move(outcome));
  if (wake_) std::exchange(wake_, nullptr)({});
}

io::Task<void> Owed::wait(io::Nanos timeout) {
  if (outcome_) co_return Result<void>();
  io::Signal signal(loop_);
  wake_ = signal.setter();
  auto waited = co_await signal.wait(std::max(timeout, io::Nanos(0)));
  if (outcome_ || waited || waited.error().code != Code::kTimeout) co_return waited;
  wake_ = nullptr;
  outcome_.emplace(fail(Code::kTimeout, "not acknowledged in time: it may be there, or not"));
  expired_ = true;
  co_return Result<void>();
}

void AppendRun::add(const Appending& appending, io::Nanos until) {
  if (appending.owed) {
    owed_.emplace_back(appending.owed, until);
    return;
  }
  const auto& pending = appending.pending;
  auto& known = last_[pending.shard];
  // One that waits for the disk decides for all: a later one that does not is waited for too.
  bool sync = known.sync && known.shard != nullptr;
  if (known.shard == nullptr || pending.lsn > known.lsn) known = pending;
  known.sync = sync || pending.sync;
}

io::Task<void> AppendRun::wait(log::Engine& engine, io::Loop& loop) {
  for (const auto& [shard, pending] : last_) {
    io::Signal signal(loop);
    engine.when_done(pending, signal.setter());
    auto waited = co_await signal.wait();
    if (!waited) durable_ = std::move(waited);
  }
  for (const auto& [owed, until] : owed_) {
    bool bounded = until != io::Nanos::max();
    WALRUS_CO_TRY(co_await owed->wait(bounded ? until - engine.env().mono() : until));
  }
  co_return Result<void>();
}

Result<Placed> AppendRun::outcome(const Appending& appending) const {
  if (appending.owed) return appending.owed->outcome();
  if (!durable_) return std::unexpected(durable_.error());
  return appending.placed;
}

}  // namespace walrus::broker
