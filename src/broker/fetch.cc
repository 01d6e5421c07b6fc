// Reading several partitions at once, and finding records by time.

#include <algorithm>

#include "base/check.h"
#include "broker/broker.h"
#include "record/batch.h"

namespace walrus::broker {
namespace {

// The first record from `from` on that `holds`.
template <class Holds>
Result<std::optional<TimedOffset>> find_record(log::Engine& engine, const log::StreamRef& stream,
                                               Offset from, Holds holds) {
  while (true) {
    WALRUS_ASSIGN(auto fetched, engine.fetch(stream, from, {.bytes_max = 1}));
    if (fetched.bytes.empty()) return std::nullopt;
    WALRUS_ASSIGN(auto batch, record::BatchView::parse(fetched.bytes));
    WALRUS_ASSIGN(auto records, record::RecordIterator::open(batch));
    while (true) {
      WALRUS_ASSIGN(auto record, records.next());
      if (!record) break;
      if (record->offset >= from.value && holds(*record))
        return TimedOffset{.offset = {record->offset}, .timestamp_ms = record->timestamp_ms};
    }
    from = fetched.next;
  }
}

}  // namespace

struct Local::FetchProgress {
  std::vector<FetchedPart> parts;
  std::vector<Offset> next;  // where each goes on
  std::int64_t bytes = 0;
  bool full = false;  // a part or all of it has no room for its next batch
};

// Reads what there is from where each part stands. True: no reason to wait for more.
bool Local::fetch_round(const FetchPlan& plan, FetchProgress& progress) {
  bool failed = false;
  auto bytes_max = plan.bytes_max;
  // Without any room a batch still goes, and where there is none it is waited for.
  auto room_left = plan.room ? plan.room() : bytes_max;
  bytes_max = std::min(bytes_max, progress.bytes + std::max<std::int64_t>(room_left, 1));
  for (std::size_t i = 0; i < plan.parts.size(); ++i) {
    const auto& part = plan.parts[i];
    auto& to = progress.parts[i];
    if (!to.result) continue;
    auto bounds = engine().bounds(part.stream);
    if (bounds) to.bounds = *bounds;
    else to.result = std::unexpected(std::move(bounds).error());
    auto from = progress.next[i];
    // Between the high watermark and the log's end there will be something to read.
    if (to.result && (from < to.bounds.log_start || from > to.bounds.log_end))
      to.result = fail(Code::kOutOfRange, "offset {} out of range {}..{}", from.value,
                       to.bounds.log_start.value, to.bounds.log_end.value);
    failed = failed || !to.result;
    if (!to.result || from >= to.bounds.high_watermark) continue;
    auto room = std::min(part.bytes_max - std::ssize(to.bytes), bytes_max - progress.bytes);
    bool first = progress.bytes == 0;
    if (room <= 0 && !first) {
      progress.full = true;
      continue;
    }
    auto fetched =
        engine().fetch(part.stream, from, {.bytes_max = std::max<std::int64_t>(room, 1)});
    if (!fetched) {
      to.result = std::unexpected(std::move(fetched).error());
      failed = true;
      continue;
    }
    auto size = std::ssize(fetched->bytes);
    if (size > room && !first) {
      progress.full = true;
      continue;
    }
    if (to.bytes.empty()) to.bytes = std::move(fetched->bytes);
    else to.bytes += fetched->bytes;
    progress.bytes += size;
    if (plan.hold) plan.hold(size);
    progress.next[i] = std::max(from, fetched->next);
  }
  // What was read is not kept for more to come while others wait for the memory.
  if (plan.room && progress.bytes > 0 && plan.room() <= 0) progress.full = true;
  return failed || progress.full || progress.bytes >= std::min(plan.bytes_min, bytes_max);
}

io::Task<std::vector<FetchedPart>> Local::fetch(FetchPlan plan, Interrupt& interrupt) {
  FetchProgress progress;
  progress.parts.resize(plan.parts.size());
  for (const auto& part : plan.parts) progress.next.push_back(part.from);
  auto deadline = engine().env().mono() + plan.wait;
  while (true) {
    bool enough = fetch_round(plan, progress);
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
    tickets.push_back(
        engine().when_readable(plan.parts[i].stream, progress.next[i], UpTo::kHighWatermark,
                               [loop = &loop_, waiters = waiters_, waiter](Result<void> result) {
                                 loop->post([waiters, waiter, result = std::move(result)] {
                                   waiters->wake(waiter, result);
                                 });
                               }));
  auto waited = co_await signal.wait(timeout);
  interrupt.waiter = 0;
  waiters_->remove(waiter);
  for (std::size_t i = 0; i < tickets.size(); ++i)
    engine().cancel(plan.parts[i].stream, tickets[i]);
  if (interrupt.set || stopped_) co_return fail(Code::kClosed, "interrupted");
  co_return waited;
}

std::int32_t Local::epoch(const log::StreamRef& stream) {
  auto bounds = engine().bounds(stream);
  return bounds ? bounds->epoch : 0;
}

void Local::interrupt(Interrupt& interrupt) {
  interrupt.set = true;
  if (interrupt.waiter != 0) waiters_->wake(interrupt.waiter, fail(Code::kClosed, "interrupted"));
}

Result<std::optional<TimedOffset>> Local::find_time(const log::StreamRef& stream,
                                                    std::int64_t timestamp_ms) {
  WALRUS_ASSIGN(auto from, engine().find_time(stream, Time(Millis(timestamp_ms))));
  WALRUS_ASSIGN(auto bounds, engine().bounds(stream));
  if (from >= bounds.high_watermark) return std::nullopt;
  return find_record(engine(), stream, std::max(from, bounds.log_start),
                     [&](const auto& record) { return record.timestamp_ms >= timestamp_ms; });
}

Result<std::optional<TimedOffset>> Local::find_newest(const log::StreamRef& stream) {
  WALRUS_ASSIGN(auto info, engine().info(stream));
  if (!info.newest) return std::nullopt;
  return find_time(stream, info.newest->time_since_epoch().count());
}

// A miss looks through all topics: ids are asked for by who has read them from us.
Result<TopicRef> Local::find_id(std::uint64_t id) {
  (void)find("");  // the view is of the present catalogue
  if (!names_.contains(id)) {
    names_.clear();
    for (const auto& stream : engine().list(""))
      if (!log::stream_name(stream).contains('/'))
        names_.emplace(log::stream_id(stream), log::stream_name(stream));
  }
  auto name = names_.find(id);
  if (name == names_.end()) return fail(Code::kNotFound, "no topic of id {}", id);
  WALRUS_ASSIGN(auto topic, find(name->second));
  if (log::stream_id(topic->partitions[0]) != id) return fail(Code::kNotFound, "no topic {}", id);
  return topic;
}

}  // namespace walrus::broker
