// Reading several partitions at once, and finding records by time.

#include <algorithm>

#include "base/check.h"
#include "broker/broker.h"
#include "record/batch.h"

namespace walrus::broker {
namespace {

// The first record from `from` on that is not older.
io::Task<std::optional<TimedOffset>> find_record(LogRef log, Offset from,
                                                 std::int64_t timestamp_ms) {
  while (true) {
    WALRUS_CO_ASSIGN(auto fetched, co_await log->fetch(from, {.bytes_max = 1}));
    if (fetched.bytes.empty()) co_return std::nullopt;
    WALRUS_CO_ASSIGN(auto batch, record::BatchView::parse(fetched.bytes));
    WALRUS_CO_ASSIGN(auto records, record::RecordIterator::open(batch));
    while (true) {
      WALRUS_CO_ASSIGN(auto record, records.next());
      if (!record) break;
      if (record->offset >= from.value && record->timestamp_ms >= timestamp_ms)
        co_return TimedOffset{.offset = {record->offset}, .timestamp_ms = record->timestamp_ms};
    }
    from = fetched.next;
  }
}

io::Task<void> look_again(LogRef log, Bounds& bounds) {
  WALRUS_CO_TRY(co_await log->confirm());
  WALRUS_CO_ASSIGN(bounds, log->bounds());
  co_return Result<void>();
}

}  // namespace

struct Local::FetchProgress {
  std::vector<FetchedPart> parts;
  std::vector<Offset> next;  // where each goes on
  std::int64_t bytes = 0;
  bool full = false;  // a part or all of it has no room for its next batch
};

// Reads what there is from where each part stands. True: no reason to wait for more.
io::Task<bool> Local::fetch_round(const FetchPlan& plan, FetchProgress& progress) {
  bool failed = false;
  auto bytes_max = plan.bytes_max;
  // Without any room a batch still goes, and where there is none it is waited for.
  auto room_left = plan.room ? plan.room() : bytes_max;
  bytes_max = std::min(bytes_max, progress.bytes + std::max<std::int64_t>(room_left, 1));
  for (std::size_t i = 0; i < plan.parts.size(); ++i) {
    const auto& part = plan.parts[i];
    auto& to = progress.parts[i];
    if (!to.result) continue;
    auto bounds = part.log->bounds();
    if (bounds) to.bounds = *bounds;
    else to.result = std::unexpected(std::move(bounds).error());
    auto from = progress.next[i];
    // What this node knows may be behind what a reader has read elsewhere.
    if (to.result && from > to.bounds.log_end) to.result = co_await look_again(part.log, to.bounds);
    // Between the high watermark and the log's end there will be something to read.
    if (to.result && (from < to.bounds.log_start || from > to.bounds.log_end))
      to.result = fail(Code::kOutOfRange, "offset {} out of range {}..{}", from.value,
                       to.bounds.log_start.value, to.bounds.log_end.value);
    failed = failed || !to.result;
    if (!to.result || from >= to.bounds.high_watermark) continue;
    to.result = co_await fetch_part(plan, progress, i, bytes_max);
    failed = failed || !to.result;
  }
  // What was read is not kept for more to come while others wait for the memory.
  if (plan.room && progress.bytes > 0 && plan.room() <= 0) progress.full = true;
  co_return failed || progress.full || progress.bytes >= std::min(plan.bytes_min, bytes_max);
}

// Where there is something to read.
io::Task<void> Local::fetch_part(const FetchPlan& plan, FetchProgress& progress, std::size_t number,
                                 std::int64_t bytes_max) {
  const auto& part = plan.parts[number];
  auto& to = progress.parts[number];
  auto from = progress.next[number];
  auto room = std::min(part.bytes_max - std::ssize(to.bytes), bytes_max - progress.bytes);
  bool first = progress.bytes == 0;
  if (room <= 0 && !first) {
    progress.full = true;
    co_return Result<void>();
  }
  WALRUS_CO_ASSIGN(auto fetched,
                   co_await part.log->fetch(from, {.bytes_max = std::max<std::int64_t>(room, 1)}));
  auto size = std::ssize(fetched.bytes);
  if (size > room && !first) {
    progress.full = true;
    co_return Result<void>();
  }
  if (to.bytes.empty()) to.bytes = std::move(fetched.bytes);
  else to.bytes += fetched.bytes;
  progress.bytes += size;
  if (plan.hold) plan.hold(size);
  progress.next[number] = std::max(from, fetched.next);
  co_return Result<void>();
}

io::Task<std::vector<FetchedPart>> Local::fetch(FetchPlan plan, Interrupt& interrupt) {
  FetchProgress progress;
  progress.parts.resize(plan.parts.size());
  for (const auto& part : plan.parts) progress.next.push_back(part.from);
  auto deadline = engine().env().mono() + plan.wait;
  while (true) {
    WALRUS_CO_ASSIGN(bool enough, co_await fetch_round(plan, progress));
    auto left = deadline - engine().env().mono();
    if (enough || plan.parts.empty() || left <= io::Nanos(0)) break;
    auto waited = co_await wait_any(plan, progress, left, interrupt);
    if (!waited && waited.error().code == Code::kClosed)
      co_return std::unexpected(std::move(waited).error());
    // Any other error shows itself in the next round, at the partition that it is of.
  }
  co_return std::move(progress.parts);
}

io::Task<void> Local::wait_any(const FetchPlan& plan, const FetchProgress& progress,
                               io::Nanos timeout, Interrupt& interrupt) {
  if (stopped_ || interrupt.set) co_return fail(Code::kClosed, "interrupted");
  io::Signal signal(loop_);
  auto waiter = waiters_->add(signal.setter());
  interrupt.waiter = waiter;
  std::vector<std::uint64_t> tickets;
  for (std::size_t i = 0; i < plan.parts.size(); ++i)
    tickets.push_back(plan.parts[i].log->when_readable(progress.next[i], waking(waiter)));
  auto waited = co_await signal.wait(timeout);
  interrupt.waiter = 0;
  waiters_->remove(waiter);
  for (std::size_t i = 0; i < tickets.size(); ++i) plan.parts[i].log->cancel(tickets[i]);
  if (interrupt.set || stopped_) co_return fail(Code::kClosed, "interrupted");
  co_return waited;
}

void Local::interrupt(Interrupt& interrupt) {
  interrupt.set = true;
  if (interrupt.waiter != 0) waiters_->wake(interrupt.waiter, fail(Code::kClosed, "interrupted"));
}

io::Task<std::optional<TimedOffset>> Local::find_time(LogRef log, std::int64_t timestamp_ms) {
  WALRUS_CO_ASSIGN(auto from, co_await log->find_time(Time(Millis(timestamp_ms))));
  WALRUS_CO_ASSIGN(auto bounds, log->bounds());
  if (from >= bounds.high_watermark) co_return std::nullopt;
  co_return co_await find_record(log, std::max(from, bounds.log_start), timestamp_ms);
}

io::Task<std::optional<TimedOffset>> Local::find_newest(LogRef log) {
  WALRUS_CO_ASSIGN(auto info, log->info());
  if (!info.newest) co_return std::nullopt;
  co_return co_await find_time(log, info.newest->time_since_epoch().count());
}

}  // namespace walrus::broker
