#include "log/shard.h"

#include <algorithm>

#include "base/check.h"

namespace walrus::log {
namespace {

constexpr std::uint32_t kChunkCapacityMin = 4, kChunkCapacityMax = 512;
constexpr Bytes kClosed = "the log is closed";

bool reaches(const ChainRef& chain, std::int64_t offset) {
  return chain && !chain->empty() && chain->back().end_offset > offset;
}

std::int64_t ms(Time time) { return time.time_since_epoch().count(); }

}  // namespace

Shard::Shard(io::Env& env, const ShardOptions& options)
    : env_(env),
      options_(options),
      directory_(options.root / "journal" / std::to_string(options.index)),
      journal_(env, {.directory = directory_,
                     .directory_uuid = options.directory_uuid,
                     .layout = options.layout,
                     .shard = options.index,
                     .mapped = options.engine.mapped,
                     .read_only = options.read_only,
                     .file_bytes_min = options.engine.journal_file_bytes_min,
                     .file_bytes_max = options.engine.journal_file_bytes_max,
                     .bytes_max = options.engine.user.journal_bytes_max}),
      store_(env, {.root = options.root,
                   .shard = options.index,
                   .directory_uuid = options.directory_uuid,
                   .pack_bytes_max = options.engine.pack_bytes_max,
                   .index_interval_bytes = options.engine.index_interval_bytes,
                   .open_files_max = options.engine.open_files_max,
                   .cache_bytes_max = options.engine.user.cache_bytes_max / options.count}) {}

// ---------------------------------------------------------------------------------------------
// Append

Result<Appended> Shard::append(StreamState& stream, std::span<const Record> records,
                               std::size_t bytes, Time now, const AppendOptions& options) {
  Ready ready;
  Result<Appended> answer = [&]() -> Result<Appended> {
    LockGuard guard(lock_);
    auto count = static_cast<std::int64_t>(records.size());
    WALRUS_ASSIGN(auto repeated, check_append(stream, options, count));
    if (repeated) return *repeated;
    auto reserved = journal_.reserve(static_cast<std::uint32_t>(bytes), true);
    if (!reserved) return std::unexpected(busy_error(reserved.error()));
    bool rolled = roll_due(stream, count, static_cast<std::int64_t>(bytes), now);
    auto producer = options.producer.value_or(ProducerSequence{});
    record::BatchFields fields{.base_offset = stream.log_end,
                               .epoch = stream.epoch + (rolled ? 1 : 0),
                               .now = now,
                               .producer_id = producer.id,
                               .producer_epoch = producer.epoch,
                               .base_sequence = producer.sequence};
    auto size = record::encode(records, fields, *reserved);
    CHECK(size == bytes);
    record::BatchView batch(Bytes(*reserved, size));
    auto lsn = journal_.commit({.type = FrameType::kBatch,
                                .flags = rolled ? kOpensSegment : std::uint8_t{0},
                                .stream = stream.id,
                                .offset = fields.base_offset,
                                .epoch = fields.epoch,
                                .length = static_cast<std::uint32_t>(size)});
    PendingChunk::Entry entry{fields.base_offset,
                              fields.base_offset + count,
                              lsn,
                              static_cast<std::uint32_t>(size),
                              static_cast<std::uint32_t>(count),
                              batch.max_timestamp()};
    appended(stream, entry, batch, rolled, ready);
    return Appended{pending_for(stream, journal_.end()), Offset{entry.base_offset},
                    Offset{entry.end_offset}};
  }();
  ready.run();
  return answer;
}

Result<Appended> Shard::append_batch(StreamState& stream, const record::BatchView& batch,
                                     std::optional<Offset> expected_next) {
  Ready ready;
  Result<Appended> answer = [&]() -> Result<Appended> {
    AppendOptions options{.expected_next = expected_next};
    if (batch.producer_id() >= 0) {
      options.producer =
          ProducerSequence{batch.producer_id(), batch.producer_epoch(), batch.base_sequence()};
    }
    auto now = env_.wall();
    LockGuard guard(lock_);
    auto count = static_cast<std::int64_t>(batch.last_offset_delta()) + 1;
    WALRUS_ASSIGN(auto repeated, check_append(stream, options, count));
    if (repeated) return *repeated;
    auto bytes = batch.bytes();
    auto size = static_cast<std::uint32_t>(bytes.size());
    auto reserved = journal_.reserve(size, true);
    if (!reserved) return std::unexpected(busy_error(reserved.error()));
    bool rolled = roll_due(stream, batch.count(), size, now);
    auto epoch = stream.epoch + (rolled ? 1 : 0);
    std::ranges::copy(bytes, *reserved);
    record::set_base_offset(*reserved, stream.log_end);
    record::set_epoch(*reserved, epoch);
    record::BatchView stored(Bytes(*reserved, size));
    PendingChunk::Entry entry{stream.log_end,
                              stream.log_end + count,
                              0,
                              size,
                              static_cast<std::uint32_t>(batch.count()),
                              batch.max_timestamp()};
    entry.payload = journal_.commit({.type = FrameType::kBatch,
                                     .flags = rolled ? kOpensSegment : std::uint8_t{0},
                                     .stream = stream.id,
                                     .offset = entry.base_offset,
                                     .epoch = epoch,
                                     .length = size});
    appended(stream, entry, stored, rolled, ready);
    return Appended{pending_for(stream, journal_.end()), Offset{entry.base_offset},
                    Offset{entry.end_offset}};
  }();
  ready.run();
  return answer;
}

// Everything that can refuse an append, before any state is changed. A value: the batch was
// appended before, and this is its answer.
Result<std::optional<Appended>> Shard::check_append(StreamState& stream,
                                                    const AppendOptions& options,
                                                    std::int64_t count) {
  WALRUS_TRY(usable(stream));
  if (options.producer && options.producer->id >= 0) {
    WALRUS_ASSIGN(auto before, stream.producers.check(options.producer->id, options.producer->epoch,
                                                      options.producer->sequence,
                                                      static_cast<std::int32_t>(count)));
    if (before) {
      return Appended{pending_for(stream, journal_.end()), Offset{*before},
                      Offset{*before + count}};
    }
  }
  if (options.expected_next && options.expected_next->value != stream.log_end) {
    return fail(Code::kMismatch, "expected offset {}, next is {}", options.expected_next->value,
                stream.log_end);
  }
  return std::nullopt;
}

void Shard::appended(StreamState& stream, const PendingChunk::Entry& entry,
                     const record::BatchView& batch, bool rolled, Ready& ready) {
  ++appends_;
  if (journal_.active_sequence() != last_active_) {
    // Another file is in use: one more has to be made ready, and the old ones want a checkpoint.
    last_active_ = journal_.active_sequence();
    if (allocator_) allocator_->wake();
    if (background_) background_->wake();
  } else if (journal_.wants_populate() && !populating_) {
    populating_ = true;
    if (allocator_) allocator_->wake();
  }
  if (rolled) open_segment(stream, stream.epoch + 1, entry.max_timestamp_ms);
  add_pending(stream, entry, batch.base_timestamp());
  if (batch.producer_id() >= 0) {
    stream.producers.add(batch.producer_id(), batch.producer_epoch(), batch.base_sequence(),
                         batch.last_offset_delta() + 1, entry.base_offset, trusted_ms_);
  }
  if (stream.options.durability.kind == Durability::kInterval) {
    auto due = env_.mono() + stream.options.durability.interval;
    if (due < sync_due_) {
      sync_due_ = due;
      if (flusher_ && due < flusher_next_) flusher_->wake();
    }
  }
  bool acknowledged =
      options_.engine.mapped && stream.options.durability.kind != Durability::kFsync;
  if (acknowledged) {
    stream.high_watermark = stream.log_end;
  } else {
    touch(stream);
  }
  if (stream.waiters) wake_readers(stream, ready);
}

void Shard::add_pending(StreamState& stream, const PendingChunk::Entry& entry,
                        std::int64_t first_timestamp_ms) {
  auto* chunk = stream.pending.empty() ? nullptr : stream.pending.back().get();
  if (!chunk || chunk->count == chunk->capacity || chunk->segment_base != stream.segment_base ||
      chunk->epoch != stream.epoch) {
    auto next = std::make_shared<PendingChunk>();
    next->capacity = chunk ? std::min(chunk->capacity * 4, kChunkCapacityMax) : kChunkCapacityMin;
    next->entries = std::make_unique_for_overwrite<PendingChunk::Entry[]>(next->capacity);
    next->segment_base = stream.segment_base;
    next->epoch = stream.epoch;
    next->first_timestamp_ms = first_timestamp_ms;
    stream.pending.push_back(std::move(next));
    chunk = stream.pending.back().get();
  }
  chunk->entries[chunk->count++] = entry;
  stream.log_end = entry.end_offset;
  stream.segment_records += entry.records;
  stream.segment_bytes += entry.bytes;
  stream.max_timestamp_ms = std::max(stream.max_timestamp_ms, entry.max_timestamp_ms);
}

bool Shard::roll_due(const StreamState& stream, std::int64_t records, std::int64_t bytes,
                     Time now) const {
  if (stream.segment_records == 0) return false;
  const auto& options = stream.options;
  return stream.segment_records + records > options.segment_records_max ||
         stream.segment_bytes + bytes > options.segment_bytes_max ||
         (options.segment_time_max &&
          ms(now) - stream.segment_started_ms >= options.segment_time_max->count());
}

void Shard::open_segment(StreamState& stream, std::int32_t epoch, std::int64_t now_ms) {
  stream.epoch = epoch;
  stream.segment_base = stream.log_end;
  stream.segment_records = stream.segment_bytes = 0;
  stream.segment_started_ms = now_ms;
}

void Shard::touch(StreamState& stream) {
  if (stream.touched) return;
  stream.touched = true;
  touched_.push_back(streams_.at(stream.id));
}

Pending Shard::pending_for(const StreamState& stream, Lsn lsn) const {
  return {const_cast<Shard*>(this), lsn, stream.options.durability.kind == Durability::kFsync};
}

Error Shard::busy_error(const Error& error) const {
  if (error.code == Code::kBusy && background_error_) return *background_error_;
  return error;
}

// ---------------------------------------------------------------------------------------------
// Other mutations: frames too, applied in order at recovery

Result<Pending> Shard::write_frame(const Frame& frame, Bytes payload) {
  auto reserved = journal_.reserve(static_cast<std::uint32_t>(payload.size()), false);
  if (!reserved) return std::unexpected(busy_error(reserved.error()));
  std::ranges::copy(payload, *reserved);
  auto whole = frame;
  whole.length = static_cast<std::uint32_t>(payload.size());
  journal_.commit(whole);
  return Pending{this, journal_.end(), true};
}

Result<Pending> Shard::trim(StreamState& stream, std::int64_t first_kept) {
  LockGuard guard(lock_);
  WALRUS_TRY(usable(stream));
  if (first_kept > stream.high_watermark || first_kept < 0) {
    return fail(Code::kOutOfRange, "offset {} out of range {}..{}", first_kept, stream.log_start,
                stream.high_watermark);
  }
  if (first_kept <= stream.log_start) return Pending{this, journal_.end(), true};
  WALRUS_ASSIGN(
      auto pending,
      write_frame({.type = FrameType::kTrim, .stream = stream.id, .offset = first_kept}, {}));
  stream.log_start = first_kept;
  drop_extents(stream, pending.lsn);
  return pending;
}

Result<Pending> Shard::drop(std::uint64_t id) {
  LockGuard guard(lock_);
  WALRUS_TRY(usable());
  auto found = streams_.find(id);
  WALRUS_ASSIGN(auto pending, write_frame({.type = FrameType::kDrop, .stream = id}, {}));
  if (found != streams_.end()) {
    auto& stream = *found->second;
    stream.removed = true;
    if (stream.chain) {
      for (const auto& extent : *stream.chain) {
        if (extent.file->stream != 0) doomed_after_.emplace_back(pending.lsn, extent.file);
      }
      manifest_stale_ = true;
    }
    // A handle to the stream may live on: it must not keep files from returning their space.
    stream.chain = nullptr;
    stream.pending.clear();
    streams_.erase(found);
  }
  std::erase_if(tables_, [&](const auto& item) { return item.first.second.first == id; });
  return pending;
}

void Shard::forget(StreamState& stream) {
  Ready ready;
  {
    LockGuard guard(lock_);
    stream.removed = true;
    if (stream.waiters) {
      for (auto& waiter : *stream.waiters) {
        ready.add(std::move(waiter.done),
                  fail(Code::kNotFound, "stream {} was removed", stream.name));
      }
      stream.waiters = nullptr;
    }
  }
  ready.run();
}

Result<Pending> Shard::sync() {
  LockGuard guard(lock_);
  WALRUS_TRY(usable());
  return Pending{this, journal_.end(), true};
}

Result<Pending> Shard::put_state(std::uint64_t stream, Table table, Bytes key,
                                 std::optional<Bytes> value) {
  LockGuard guard(lock_);
  WALRUS_TRY(usable());
  std::string payload;
  append_string(payload, key);
  payload.push_back(value ? 1 : 0);
  payload.append(value.value_or(Bytes()));
  WALRUS_ASSIGN(auto pending, write_frame({.type = FrameType::kState,
                                           .flags = static_cast<std::uint8_t>(table),
                                           .stream = stream},
                                          payload));
  if (value) {
    tables_[key_of(stream, table, key)] = std::string(*value);
  } else {
    tables_.erase(key_of(stream, table, key));
  }
  return pending;
}

StateKey Shard::key_of(std::uint64_t stream, Table table, Bytes key) const {
  return {static_cast<std::uint8_t>(table), {stream, std::string(key)}};
}

std::optional<std::string> Shard::get_state(std::uint64_t stream, Table table, Bytes key) {
  LockGuard guard(lock_);
  auto found = tables_.find(key_of(stream, table, key));
  if (found == tables_.end()) return std::nullopt;
  return found->second;
}

std::map<std::string, std::string> Shard::list_state(std::uint64_t stream, Table table) {
  LockGuard guard(lock_);
  std::map<std::string, std::string> values;
  for (auto at = tables_.lower_bound(key_of(stream, table, "")); at != tables_.end(); ++at) {
    if (at->first.first != static_cast<std::uint8_t>(table) || at->first.second.first != stream) {
      break;
    }
    values[at->first.second.second] = at->second;
  }
  return values;
}

// The tail is cut at `first_dropped`; what is appended there later belongs to a new segment of a
// higher epoch. A batch that the cut goes through is stored again, shortened, in the same frame.
Result<Pending> Shard::truncate(StreamState& stream, std::int64_t first_dropped) {
  for (;;) {
    ChainRef chain;
    std::int64_t kept_end = first_dropped;  // where the new batch begins, if there is one
    std::int64_t log_start = 0;
    {
      LockGuard guard(lock_);
      WALRUS_TRY(usable(stream));
      if (first_dropped < stream.log_start || first_dropped > stream.log_end) {
        return fail(Code::kOutOfRange, "offset {} out of range {}..{}", first_dropped,
                    stream.log_start, stream.log_end);
      }
      if (first_dropped == stream.log_end) return Pending{this, journal_.end(), true};
      chain = stream.chain;
      log_start = stream.log_start;
    }
    std::string shortened;
    if (first_dropped > log_start) {
      WALRUS_ASSIGN(auto fetched,
                    fetch(stream, first_dropped - 1, {.bytes_max = 1, .up_to = UpTo::kAppended}));
      WALRUS_ASSIGN(auto batch, record::BatchView::parse(fetched.bytes));
      if (batch.next_offset() > first_dropped) {
        WALRUS_ASSIGN(shortened, record::shorten(batch, first_dropped));
        kept_end = batch.base_offset();
      }
    }
    ChainRef cut = chain;
    if (first_dropped > log_start && reaches(chain, kept_end)) {
      auto below = store_.cut(*chain, kept_end);
      if (!below) {
        LockGuard guard(lock_);
        if (stream.chain != chain) continue;  // compacted meanwhile: other batches, other files
        return std::unexpected(below.error());
      }
      cut = std::move(*below);
    }
    Ready ready;
    Result<Pending> answer = [&]() -> Result<Pending> {
      LockGuard guard(lock_);
      WALRUS_TRY(usable(stream));
      if (stream.chain != chain || stream.log_start != log_start) {
        return fail(Code::kTimeout, "again");
      }
      auto epoch = stream.epoch + 1;
      if (!shortened.empty()) record::set_epoch(shortened.data(), epoch);
      WALRUS_ASSIGN(auto pending, write_frame({.type = FrameType::kTruncate,
                                               .stream = stream.id,
                                               .offset = kept_end,
                                               .epoch = epoch},
                                              shortened));
      apply_truncate(stream, kept_end, epoch, cut);
      if (!shortened.empty()) {
        record::BatchView batch{Bytes(shortened)};
        auto payload = pending.lsn - shortened.size();
        PendingChunk::Entry entry{kept_end,
                                  first_dropped,
                                  payload,
                                  static_cast<std::uint32_t>(shortened.size()),
                                  static_cast<std::uint32_t>(batch.count()),
                                  batch.max_timestamp()};
        add_pending(stream, entry, batch.base_timestamp());
        touch(stream);
      }
      return pending;
    }();
    ready.run();
    if (!answer && answer.error().code == Code::kTimeout) continue;
    return answer;
  }
}

void Shard::apply_truncate(StreamState& stream, std::int64_t first_dropped, std::int32_t epoch,
                           ChainRef chain) {
  ++stream.truncations;
  if (first_dropped <= stream.log_start) {
    // Nothing is left, and the log start may lie inside a batch: what follows must not have a gap.
    stream.chain = nullptr;
    stream.pending.clear();
  } else {
    stream.chain = std::move(chain);
    cut_pending(stream, first_dropped);
  }
  stream.log_end = first_dropped;
  // A shortened batch may begin below the log start: the watermark stays at or above it.
  stream.high_watermark =
      std::min(stream.high_watermark, std::max(first_dropped, stream.log_start));
  stream.syncing_end = std::min(stream.syncing_end, first_dropped);
  stream.producers.truncate(first_dropped);
  open_segment(stream, epoch, ms(env_.wall()));
}

// Chunks are shared with readers: one that is cut in the middle is replaced.
void Shard::cut_pending(StreamState& stream, std::int64_t first_dropped) {
  auto& pending = stream.pending;
  while (!pending.empty() && pending.back()->entries[0].base_offset >= first_dropped) {
    pending.pop_back();
  }
  if (pending.empty() || pending.back()->back().end_offset <= first_dropped) return;
  const auto& old = *pending.back();
  auto chunk = std::make_shared<PendingChunk>();
  chunk->segment_base = old.segment_base;
  chunk->epoch = old.epoch;
  chunk->first_timestamp_ms = old.first_timestamp_ms;
  chunk->capacity = old.capacity;
  chunk->entries = std::make_unique_for_overwrite<PendingChunk::Entry[]>(old.capacity);
  for (const auto& entry : old.all()) {
    if (entry.end_offset <= first_dropped) chunk->entries[chunk->count++] = entry;
  }
  pending.back() = std::move(chunk);
}

// ---------------------------------------------------------------------------------------------
// Durable

Result<void> Shard::usable() const {
  if (failed_) return std::unexpected(*failed_);
  if (closed_) return fail(Code::kClosed, "{}", kClosed);
  if (options_.read_only)
    return fail(Code::kReadOnly, "{}: opened read only", options_.root.string());
  return {};
}

Result<void> Shard::usable(const StreamState& stream) const {
  WALRUS_TRY(usable());
  if (stream.removed) return fail(Code::kNotFound, "stream {} was removed", stream.name);
  return {};
}

bool Shard::done_now(const Pending& pending) const {
  return pending.lsn <= (pending.sync ? journal_.synced() : journal_.written());
}

bool Shard::is_done(const Pending& pending) {
  LockGuard guard(lock_);
  return done_now(pending);
}

void Shard::request(const Pending& pending) {
  auto& wanted = pending.sync ? sync_wanted_ : write_wanted_;
  wanted = std::max(wanted, pending.lsn);
  if (!job_out_ && flusher_) flusher_->wake();
}

void Shard::when_done(const Pending& pending, Done<void> done) {
  Result<void> answer;
  {
    LockGuard guard(lock_);
    if (!done_now(pending)) {
      if (!failed_ && !closed_) {
        (pending.sync ? sync_waiters_ : write_waiters_).push_back({pending.lsn, std::move(done)});
        request(pending);
        return;
      }
      answer = failed_ ? std::unexpected(*failed_) : fail(Code::kClosed, "{}", kClosed);
    }
  }
  done(std::move(answer));
}

// Alone, the caller runs the sync itself: handing it to the flusher and back costs a third of the
// rate. Otherwise it joins the flusher's next group.
Result<void> Shard::wait(const Pending& pending) {
  std::optional<Blocking> blocking;  // made only when needed: this is the hot path of os streams
  {
    LockGuard guard(lock_);
    if (done_now(pending)) return {};
    if (failed_) return std::unexpected(*failed_);
    if (closed_) return fail(Code::kClosed, "{}", kClosed);
    auto& waiters = pending.sync ? sync_waiters_ : write_waiters_;
    bool alone = !job_out_ && sync_waiters_.empty() && write_waiters_.empty();
    if (alone) {
      auto job = begin_sync(!pending.sync, false);
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
    waiters.push_back({pending.lsn, blocking.emplace().callback()});
    request(pending);
  }
  return blocking->wait(env_);
}

SyncJob Shard::begin_sync(bool write_only, bool mark) {
  CHECK(!job_out_);
  job_out_ = true;
  syncing_.swap(touched_);
  for (auto& stream : syncing_) {
    stream->touched = false;
    stream->syncing_end = stream->log_end;
  }
  if (!write_only) sync_due_ = io::Worker::kForever;
  mark_due_ = io::Worker::kForever;
  return write_only ? journal_.begin_write() : journal_.begin_sync(mark);
}

void Shard::finish_sync(const SyncJob& job, Result<void> result, Ready& ready) {
  job_out_ = false;
  auto streams = std::move(syncing_);
  syncing_.clear();
  if (!result) {
    fail_locked(result.error(), ready);
    return;
  }
  journal_.finish(job);
  ++syncs_;
  for (const auto& range : job.ranges) {
    sync_bytes_ += static_cast<std::uint64_t>(range.to - range.from);
  }
  for (auto& stream : streams) {
    bool acknowledged = job.sync || stream->options.durability.kind != Durability::kFsync;
    if (!acknowledged) {
      if (!stream->removed) touch(*stream);
      continue;
    }
    stream->high_watermark = std::max(stream->high_watermark, stream->syncing_end);
    if (stream->waiters) wake_readers(*stream, ready);
  }
  if (journal_.needs_mark()) mark_due_ = env_.mono() + options_.engine.mark_delay;
  answer_waiters(ready);
}

void Shard::answer_waiters(Ready& ready) {
  while (!sync_waiters_.empty() && sync_waiters_.front().lsn <= journal_.synced()) {
    ready.add(std::move(sync_waiters_.front().done), {});
    sync_waiters_.pop_front();
  }
  while (!write_waiters_.empty() && write_waiters_.front().lsn <= journal_.written()) {
    ready.add(std::move(write_waiters_.front().done), {});
    write_waiters_.pop_front();
  }
}

io::Nanos Shard::flusher_step() {
  if (flusher_job_ && !flusher_result_) {
    flusher_result_ = flusher_job_->run();
    return io::Nanos(0);
  }
  Ready ready;
  io::Nanos next{0};
  {
    LockGuard guard(lock_);
    if (flusher_result_) {
      finish_sync(*flusher_job_, std::move(*flusher_result_), ready);
      flusher_job_.reset();
      flusher_result_.reset();
    } else {
      auto now = env_.mono();
      flusher_next_ = io::Worker::kForever;
      next = io::Worker::kForever;
      if (!failed_ && !job_out_) {
        bool sync =
            sync_wanted_ > journal_.synced() || (sync_due_ <= now && journal_.has_unsynced());
        if (sync_due_ <= now && !journal_.has_unsynced()) sync_due_ = io::Worker::kForever;
        bool write = write_wanted_ > journal_.written();
        bool mark = mark_due_ <= now && journal_.needs_mark();
        if (sync || write || mark) {
          flusher_job_ = begin_sync(!sync && !mark, mark && !sync);
          next = io::Nanos(0);
        } else {
          flusher_next_ = std::min(sync_due_, mark_due_);
          if (flusher_next_ != io::Worker::kForever)
            next = std::max(io::Nanos(1), flusher_next_ - now);
        }
      }
    }
  }
  ready.run();
  return next;
}

void Shard::fail_locked(const Error& error, Ready& ready) {
  if (!failed_ && options_.on_failed && error.code != Code::kClosed) {
    ready.add([this, error](Result<void>) { options_.on_failed(error); }, {});
  }
  if (!failed_) failed_ = error;
  for (auto* waiters : {&sync_waiters_, &write_waiters_}) {
    for (auto& waiter : *waiters) ready.add(std::move(waiter.done), std::unexpected(*failed_));
    waiters->clear();
  }
  for (auto* waiters : {&room_waiters_, &checkpoint_waiters_, &checkpoint_waiters_next_}) {
    for (auto& done : *waiters) ready.add(std::move(done), std::unexpected(*failed_));
    waiters->clear();
  }
  if (checkpoint_) {
    for (auto& done : checkpoint_->waiters) ready.add(std::move(done), std::unexpected(*failed_));
    checkpoint_->waiters.clear();
  }
  for (auto& [stream, done] : compactions_) ready.add(std::move(done), std::unexpected(*failed_));
  compactions_.clear();
  for (auto& [id, stream] : streams_) {
    if (!stream->waiters) continue;
    for (auto& waiter : *stream->waiters) {
      ready.add(std::move(waiter.done), std::unexpected(*failed_));
    }
    stream->waiters = nullptr;
  }
}

void Shard::fail_with(const Error& error) {
  Ready ready;
  {
    LockGuard guard(lock_);
    fail_locked(error, ready);
  }
  ready.run();
}

Result<void> Shard::health() {
  LockGuard guard(lock_);
  if (failed_) return std::unexpected(*failed_);
  if (background_error_) return std::unexpected(*background_error_);
  return {};
}

Result<void> Shard::failure() {
  LockGuard guard(lock_);
  if (failed_) return std::unexpected(*failed_);
  return {};
}

void Shard::when_room(Done<void> done) {
  Result<void> answer;
  {
    LockGuard guard(lock_);
    answer = usable();
    if (!failed_ && !closed_ && journal_.spares() < 2) {
      room_waiters_.push_back(std::move(done));
      if (allocator_) allocator_->wake();
      if (background_) background_->wake();
      return;
    }
  }
  done(std::move(answer));
}

// ---------------------------------------------------------------------------------------------
// Read

Result<Fetched> Shard::fetch(StreamState& stream, std::int64_t from, const FetchOptions& options) {
  constexpr int kAttempts = 8;  // a file may be unlinked between looking and opening
  for (int attempt = 0;; ++attempt) {
    Fetched out;
    ChainRef chain;
    std::vector<std::pair<PayloadRef, PendingChunk::Entry>> places;
    {
      LockGuard guard(lock_);
      if (closed_) return fail(Code::kClosed, "{}", kClosed);
      if (failed_) return std::unexpected(*failed_);
      if (stream.removed) return fail(Code::kNotFound, "stream {} was removed", stream.name);
      out.log_start = {stream.log_start};
      out.high_watermark = {stream.high_watermark};
      out.log_end = {stream.log_end};
      out.next = {from};
      auto limit = options.up_to == UpTo::kAppended ? stream.log_end : stream.high_watermark;
      if (from < stream.log_start || from > limit) {
        return fail(Code::kOutOfRange, "offset {} out of range {}..{}", from, stream.log_start,
                    limit);
      }
      if (from == limit) return out;
      if (from < stream.chain_end()) {
        chain = stream.chain;
      } else {
        auto chunk = std::ranges::upper_bound(
            stream.pending, from, {},
            [](const PendingChunkRef& one) { return one->entries[0].base_offset; });
        CHECK(chunk != stream.pending.begin());
        --chunk;
        std::int64_t bytes = 0;
        for (; chunk != stream.pending.end(); ++chunk) {
          auto entries = (*chunk)->all();
          auto entry =
              std::ranges::upper_bound(entries, from, {}, &PendingChunk::Entry::end_offset);
          for (; entry != entries.end(); ++entry) {
            bool fits = places.empty() || bytes + entry->bytes <= options.bytes_max;
            if (!fits || entry->end_offset > limit) break;
            bytes += entry->bytes;
            if (journal_.in_memory(entry->payload)) {
              out.bytes.append(journal_.memory_bytes(entry->payload, entry->bytes));
              places.push_back({{}, *entry});
              continue;
            }
            places.push_back({journal_.locate(entry->payload), *entry});
          }
          if (entry != entries.end()) break;
        }
      }
    }
    if (chain) {
      auto read = store_.read(*chain, from, options.bytes_max, out.bytes);
      if (!read) {
        if (read.error().code == Code::kNotFound && attempt < kAttempts) continue;
        return std::unexpected(read.error());
      }
      for (Bytes rest = out.bytes; !rest.empty();) {
        WALRUS_ASSIGN(auto batch, record::BatchView::parse(rest));
        out.next = {batch.next_offset()};
        rest.remove_prefix(batch.bytes().size());
      }
      return out;
    }
    std::string memory = std::move(out.bytes);
    std::size_t from_memory = 0;
    for (const auto& [place, entry] : places) {
      auto at = out.bytes.size();
      out.bytes.resize(at + entry.bytes);
      if (place.file) {
        WALRUS_TRY(Journal::copy(place, entry.bytes, out.bytes.data() + at));
      } else {
        memory.copy(out.bytes.data() + at, entry.bytes, from_memory);
        from_memory += entry.bytes;
      }
      auto batch = record::BatchView::parse(Bytes(out.bytes).substr(at));
      if (!batch || batch->bytes().size() != entry.bytes ||
          batch->base_offset() != entry.base_offset || batch->next_offset() != entry.end_offset ||
          !batch->crc_holds()) {
        return fail(Code::kCorrupt, "{}: damaged batch at {}",
                    place.file ? place.file->path.string() : "journal", place.position);
      }
      out.next = {entry.end_offset};
    }
    return out;
  }
}

Result<std::int64_t> Shard::find_time(StreamState& stream, std::int64_t time_ms) {
  constexpr int kAttempts = 8;
  for (int attempt = 0;; ++attempt) {
    ChainRef chain;
    std::int64_t start = 0, end = 0;
    std::optional<std::int64_t>
        candidate;  // base offset of the first pending batch that may hold it
    {
      LockGuard guard(lock_);
      if (closed_) return fail(Code::kClosed, "{}", kClosed);
      if (failed_) return std::unexpected(*failed_);
      if (stream.removed) return fail(Code::kNotFound, "stream {} was removed", stream.name);
      chain = stream.chain;
      start = stream.log_start;
      end = stream.high_watermark;
      for (const auto& chunk : stream.pending) {
        for (const auto& entry : chunk->all()) {
          if (entry.max_timestamp_ms >= time_ms && entry.end_offset > start && !candidate) {
            candidate = entry.base_offset;
          }
        }
        if (candidate) break;
      }
    }
    if (chain && !chain->empty()) {
      auto found = store_.find_time(*chain, time_ms, start);
      if (!found) {
        if (found.error().code == Code::kNotFound && attempt < kAttempts) continue;
        return std::unexpected(found.error());
      }
      if (*found) return std::min(**found, end);
    }
    if (!candidate) return end;
    auto from = std::max(*candidate, start);
    while (from < end) {
      WALRUS_ASSIGN(auto fetched, fetch(stream, from, {.bytes_max = 64 << 10}));
      for (Bytes rest = fetched.bytes; !rest.empty();) {
        WALRUS_ASSIGN(auto batch, record::BatchView::parse(rest));
        rest.remove_prefix(batch.bytes().size());
        if (batch.max_timestamp() < time_ms) continue;
        WALRUS_ASSIGN(auto records, record::RecordIterator::open(batch));
        for (;;) {
          WALRUS_ASSIGN(auto one, records.next());
          if (!one) break;
          if (one->offset >= from && one->timestamp_ms >= time_ms) return one->offset;
        }
      }
      if (fetched.next.value == from) break;
      from = fetched.next.value;
    }
    return end;
  }
}

void Shard::wake_readers(StreamState& stream, Ready& ready) {
  auto& waiters = *stream.waiters;
  for (auto waiter = waiters.begin(); waiter != waiters.end();) {
    auto end = waiter->up_to == UpTo::kAppended ? stream.log_end : stream.high_watermark;
    if (end <= waiter->offset) {
      ++waiter;
      continue;
    }
    ready.add(std::move(waiter->done), {});
    waiter = waiters.erase(waiter);
  }
  if (waiters.empty()) stream.waiters = nullptr;
}

std::uint64_t Shard::when_readable(StreamState& stream, std::int64_t offset, UpTo up_to,
                                   Done<void> done) {
  Result<void> answer;
  {
    LockGuard guard(lock_);
    auto end = up_to == UpTo::kAppended ? stream.log_end : stream.high_watermark;
    if (failed_) {
      answer = std::unexpected(*failed_);
    } else if (closed_) {
      answer = fail(Code::kClosed, "{}", kClosed);
    } else if (stream.removed) {
      answer = fail(Code::kNotFound, "stream {} was removed", stream.name);
    } else if (end <= offset) {
      if (!stream.waiters) stream.waiters = std::make_unique<std::vector<ReadWaiter>>();
      stream.waiters->push_back({next_waiter_, offset, up_to, std::move(done)});
      return next_waiter_++;
    }
  }
  done(std::move(answer));
  return 0;
}

void Shard::cancel(StreamState& stream, std::uint64_t id) {
  Done<void> dropped;  // destroyed without the lock
  LockGuard guard(lock_);
  if (!stream.waiters) return;
  for (auto waiter = stream.waiters->begin(); waiter != stream.waiters->end(); ++waiter) {
    if (waiter->id != id) continue;
    dropped = std::move(waiter->done);
    stream.waiters->erase(waiter);
    break;
  }
  if (stream.waiters->empty()) stream.waiters = nullptr;
  guard.unlock();
}

std::vector<SegmentInfo> Shard::segments(StreamState& stream) {
  LockGuard guard(lock_);
  std::vector<SegmentInfo> segments;
  auto add = [&](std::int64_t segment_base, SegmentInfo part) {
    if (segments.empty() || segments.back().base_offset != segment_base ||
        segments.back().epoch != part.epoch) {
      if (!segments.empty()) segments.back().sealed = true;
      auto end = part.end_offset;
      part.base_offset = segment_base;
      part.end_offset = end;
      segments.push_back(part);
      return;
    }
    segments.back().end_offset = part.end_offset;
    segments.back().records += part.records;
    segments.back().bytes += part.bytes;
  };
  if (stream.chain) {
    for (const auto& extent : *stream.chain) {
      add(extent.segment_base, {0, extent.end_offset, extent.records, extent.bytes, extent.epoch});
    }
  }
  for (const auto& chunk : stream.pending) {
    for (const auto& entry : chunk->all()) {
      add(chunk->segment_base, {0, entry.end_offset, entry.records, entry.bytes, chunk->epoch});
    }
  }
  bool open = !segments.empty() && segments.back().base_offset == stream.segment_base &&
              segments.back().epoch == stream.epoch;
  if (!open) {
    if (!segments.empty()) segments.back().sealed = true;
    segments.push_back({stream.segment_base, stream.log_end, 0, 0, stream.epoch, false});
  }
  return segments;
}

Result<Bounds> Shard::bounds(StreamState& stream) {
  LockGuard guard(lock_);
  if (closed_) return fail(Code::kClosed, "{}", kClosed);
  if (failed_) return std::unexpected(*failed_);
  if (stream.removed) return fail(Code::kNotFound, "stream {} was removed", stream.name);
  return Bounds{{stream.log_start}, {stream.high_watermark}, {stream.log_end}};
}

StreamInfo Shard::info(StreamState& stream) {
  auto parts = segments(stream);
  LockGuard guard(lock_);
  StreamInfo info;
  info.name = stream.name;
  info.id = stream.id;
  info.options = stream.options;
  info.log_start = {stream.log_start};
  info.high_watermark = {stream.high_watermark};
  info.log_end = {stream.log_end};
  info.segments = static_cast<std::int64_t>(parts.size());
  for (const auto& part : parts) info.bytes += part.bytes;
  info.reclaimed_bytes = stream.reclaimed_bytes;
  if (stream.log_end > stream.log_start) {
    auto oldest = stream.chain_end() > stream.log_start ? stream.chain->front().min_timestamp_ms
                  : stream.pending.empty()              ? stream.max_timestamp_ms
                                           : stream.pending.front()->first_timestamp_ms;
    info.oldest = Time(Millis(oldest));
    info.newest = Time(Millis(stream.max_timestamp_ms));
  }
  return info;
}

}  // namespace walrus::log
