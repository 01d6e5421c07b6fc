// LocalLog: a partition that is a stream of this node's engine.

#include "broker/log.h"

namespace walrus::broker {
namespace {

Appending appending(const log::Appended& appended) {
  return {.pending = appended.pending,
          .placed = {.first = appended.first, .next = appended.next},
          .owed = nullptr};
}

}  // namespace

LocalLog::LocalLog(log::Engine& engine, log::StreamRef stream, NodeId self)
    : Log(log::stream_name(stream)), engine_(engine), stream_(std::move(stream)), self_(self) {}

Result<Appending> LocalLog::append(std::span<const walrus::Record> records,
                                   const AppendRules& rules) {
  WALRUS_ASSIGN(auto appended,
                engine_.append(stream_, records, {.expected_next = rules.expected_next}));
  return appending(appended);
}

Result<Appending> LocalLog::append_batch(const record::BatchView& batch, const AppendRules& rules) {
  WALRUS_ASSIGN(auto appended, engine_.append_batch(stream_, batch, rules.expected_next));
  return appending(appended);
}

void LocalLog::when_room(log::Done<void> done) { engine_.when_room(stream_, std::move(done)); }

io::Task<log::Fetched> LocalLog::fetch(Offset from, log::FetchOptions options) {
  co_return engine_.fetch(stream_, from, options);
}

io::Task<Offset> LocalLog::find_time(Time time) { co_return engine_.find_time(stream_, time); }

std::uint64_t LocalLog::when_readable(Offset offset, log::Done<void> done) {
  return engine_.when_readable(stream_, offset, UpTo::kHighWatermark, std::move(done));
}

void LocalLog::cancel(std::uint64_t id) { engine_.cancel(stream_, id); }

io::Task<Offset> LocalLog::confirm() {
  WALRUS_CO_ASSIGN(auto bounds, engine_.bounds(stream_));
  co_return bounds.high_watermark;
}

io::Task<void> LocalLog::trim(io::Loop& loop, Offset first_kept) {
  WALRUS_CO_ASSIGN(auto pending, engine_.trim(stream_, first_kept));
  io::Signal signal(loop);
  engine_.when_done(pending, signal.setter());
  co_return co_await signal.wait();
}

Result<Bounds> LocalLog::bounds() const {
  WALRUS_ASSIGN(auto bounds, engine_.bounds(stream_));
  return Bounds{.log_start = bounds.log_start,
                .high_watermark = bounds.high_watermark,
                .log_end = bounds.log_end,
                .epoch = bounds.epoch,
                .leader = self_};
}

Result<LogInfo> LocalLog::info() const {
  WALRUS_ASSIGN(auto info, engine_.info(stream_));
  return LogInfo{.log_start = info.log_start,
                 .high_watermark = info.high_watermark,
                 .log_end = info.log_end,
                 .bytes = info.bytes,
                 .newest = info.newest,
                 .bytes_here = info.bytes};
}

std::vector<LogSegment> LocalLog::segments() const {
  std::vector<LogSegment> segments;
  for (const auto& segment : engine_.segments(stream_))
    segments.push_back({.base_offset = segment.base_offset,
                        .end_offset = segment.end_offset,
                        .records = segment.records,
                        .bytes = segment.bytes,
                        .epoch = segment.epoch,
                        .sealed = segment.sealed,
                        .leader = self_,
                        .replicas = {self_}});
  return segments;
}

Result<log::StreamRef> local_stream(const LogRef& log) {
  const auto* local = dynamic_cast<const LocalLog*>(log.get());
  if (local == nullptr)
    return fail(Code::kInvalid, "{} is not kept by this node alone", log->name());
  return local->stream();
}

}  // namespace walrus::broker
