#include <algorithm>

#include "log/cursor.h"
#include "log/facade.h"

namespace walrus {

using log::Call;

namespace {

// The least that a read fetches: a few records, so that reading one at random stays cheap.
constexpr std::int64_t kReadAheadBytes = 4 << 10;

std::int64_t payload_bytes(std::span<const Record> records) {
  constexpr std::int64_t kPerRecord = 32;  // so that empty records are not free
  std::int64_t bytes = 0;
  for (const auto& record : records) {
    bytes += kPerRecord + static_cast<std::int64_t>((record.key ? record.key->size() : 0) +
                                                    (record.value ? record.value->size() : 0));
    for (const auto& header : record.headers)
      bytes +=
          static_cast<std::int64_t>(header.name.size() + (header.value ? header.value->size() : 0));
  }
  return bytes;
}

// An append of nothing: answers the next offset.
Result<Offset> append_nothing(log::Engine& engine, const log::StreamRef& stream,
                              const AppendOptions& options) {
  WALRUS_ASSIGN(auto bounds, engine.bounds(stream));
  if (options.expected_next && *options.expected_next != bounds.log_end)
    return fail(Code::kMismatch, "{}: expected offset {}, next is {}", log::stream_name(stream),
                options.expected_next->value, bounds.log_end.value);
  return bounds.log_end;
}

}  // namespace

Stream::Stream(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<Offset> Stream::append(const Record& record, const AppendOptions& options) {
  return append(std::span(&record, 1), options);
}

Result<Offset> Stream::append(std::span<const Record> records, const AppendOptions& options) {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  auto& engine = impl_->face->engine();
  if (records.empty()) return append_nothing(engine, impl_->ref, options);
  auto appended = log::with_room(*impl_->face, impl_->ref,
                                 [&] { return engine.append(impl_->ref, records, options); });
  if (!appended) return std::unexpected(std::move(appended).error());
  WALRUS_TRY(engine.wait(appended->pending));
  return appended->first;
}

void Stream::append_async(std::span<const Record> records, const AppendOptions& options,
                          Done done) {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return done(log::Face::closed());
  auto& face = *impl_->face;
  auto& engine = face.engine();
  if (records.empty()) return done(append_nothing(engine, impl_->ref, options));
  std::int64_t bytes = payload_bytes(records);
  if (auto admitted = face.admit(bytes); !admitted)
    return done(std::unexpected(std::move(admitted).error()));
  auto appended =
      log::with_room(face, impl_->ref, [&] { return engine.append(impl_->ref, records, options); });
  if (!appended) {
    face.answered(bytes);
    return done(std::unexpected(std::move(appended).error()));
  }
  // The face outlives its engine, which answers all before it ends.
  engine.when_done(appended->pending, [&face, bytes, first = appended->first,
                                       done = std::move(done)](Result<void> result) mutable {
    face.answered(bytes);
    if (result) done(first);
    else done(std::unexpected(std::move(result).error()));
  });
}

std::future<Result<Offset>> Stream::append_async(std::span<const Record> records,
                                                 const AppendOptions& options) {
  std::promise<Result<Offset>> promise;
  auto future = promise.get_future();
  append_async(records, options, [promise = std::move(promise)](Result<Offset> result) mutable {
    promise.set_value(std::move(result));
  });
  return future;
}

Result<Records> Stream::read(Offset from, const ReadOptions& options) const {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  WALRUS_TRY(log::check_read_options(options));
  auto& face = *impl_->face;
  return log::waiting(face, impl_->ref, options, [&] {
    log::Walk walk(from);
    auto records = log::gather(face.engine(), impl_->ref, walk, options, kReadAheadBytes);
    if (records) from = (*records)->next;
    return records;
  });
}

Result<Offset> Stream::find(Time time) const {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  return impl_->face->engine().find_time(impl_->ref, time);
}

Result<StreamInfo> Stream::info() const {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  return log::stream_info(impl_->face->engine(), impl_->ref);
}

Result<void> Stream::alter(const StreamOptions& options) {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  auto& engine = impl_->face->engine();
  WALRUS_ASSIGN(auto pending, engine.alter(impl_->ref, options));
  return engine.wait(pending);
}

Result<void> Stream::mark_clean() {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  auto& engine = impl_->face->engine();
  WALRUS_ASSIGN(auto bounds, engine.bounds(impl_->ref));
  if (log::is_clean(engine, impl_->ref, bounds.log_end)) return {};
  // An append that comes in between moves the log end on, and the stream is dirty as it should be.
  WALRUS_ASSIGN(auto pending, log::with_room(*impl_->face, impl_->ref, [&] {
                  return log::put_clean(engine, impl_->ref, bounds.log_end);
                }));
  return engine.wait(pending);
}

Result<void> Stream::mark_dirty() {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  auto& engine = impl_->face->engine();
  WALRUS_ASSIGN(auto bounds, engine.bounds(impl_->ref));
  if (!log::is_clean(engine, impl_->ref, bounds.log_end)) return {};
  WALRUS_ASSIGN(auto pending, log::with_room(*impl_->face, impl_->ref, [&] {
                  return log::put_clean(engine, impl_->ref, std::nullopt);
                }));
  return engine.wait(pending);
}

Result<void> Stream::trim(Offset first_kept) {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  auto& engine = impl_->face->engine();
  WALRUS_ASSIGN(auto pending, engine.trim(impl_->ref, first_kept));
  impl_->shared->generation.fetch_add(1);
  return engine.wait(pending);
}

Result<void> Stream::truncate(Offset first_dropped) {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  return log::truncate(*impl_->face, impl_->ref, *impl_->shared, first_dropped);
}

Result<void> Stream::compact() {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  return impl_->face->engine().compact(impl_->ref);
}

Result<void> Stream::sync() {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  auto& engine = impl_->face->engine();
  WALRUS_ASSIGN(auto pending, engine.sync(impl_->ref));
  return engine.wait(pending);
}

}  // namespace walrus

namespace walrus::log {

Result<Fetched> fetch(Engine& engine, const StreamRef& stream, Offset from,
                      const FetchOptions& options) {
  auto fetched = engine.fetch(stream, from, options);
  if (fetched || fetched.error().code != Code::kOutOfRange) return fetched;
  WALRUS_ASSIGN(auto range, engine.bounds(stream));
  if (from < range.high_watermark || from > range.log_end) return fetched;
  return Fetched{{}, range.log_start, range.high_watermark, range.log_end, from};
}

Result<std::unique_ptr<Records::Impl>> gather(Engine& engine, const StreamRef& stream, Walk& walk,
                                              const ReadOptions& options,
                                              std::int64_t ahead_bytes) {
  constexpr std::int64_t kFetchBytesMax = 256 << 10;
  // A guess of what is asked for: what is fetched in vain is copied and checked in vain.
  constexpr std::int64_t kRecordBytes = 1 << 10;
  std::int64_t records_max = std::min(options.records_max, kFetchBytesMax / kRecordBytes);
  std::int64_t fetch_bytes = std::clamp(std::min(options.bytes_max, records_max * kRecordBytes),
                                        ahead_bytes, kFetchBytesMax);
  auto read = std::make_unique<Records::Impl>();
  auto& records = read->records;
  std::int64_t used = 0;
  while (static_cast<std::int64_t>(records.size()) < options.records_max) {
    auto view = walk.peek();
    if (view && *view == nullptr) {
      auto fetched = fetch(engine, stream, walk.next(), {fetch_bytes, options.up_to});
      if (!fetched && records.empty()) return std::unexpected(std::move(fetched).error());
      // What was read before an error is good; the next read begins with the error.
      if (!fetched || fetched->bytes.empty() || fetched->next <= walk.next()) break;
      walk.load(std::move(fetched->bytes));
      fetch_bytes = kFetchBytesMax;
      continue;
    }
    if (!view && records.empty()) return std::unexpected(std::move(view).error());
    if (!view) break;
    const auto& record = **view;
    auto bytes = static_cast<std::int64_t>((record.key ? record.key->size() : 0) +
                                           (record.value ? record.value->size() : 0));
    if (!records.empty() && used + bytes > options.bytes_max) break;
    if (auto taken = read->take(walk); !taken) {
      if (records.empty()) return std::unexpected(std::move(taken).error());
      break;
    }
    used += bytes;
  }
  read->next = walk.next();
  read->finish();
  return read;
}

}  // namespace walrus::log
