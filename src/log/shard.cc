#include "log/shard.h"

#include <algorithm>

#include "base/check.h"
#include "base/coding.h"

namespace walrus::log {
namespace {

constexpr std::uint32_t kChunkCapacityMin = 4, kChunkCapacityMax = 512;

bool reaches(const ChainRef& chain, std::int64_t offset) {
  return chain && !chain->empty() && chain->back().end_offset > offset;
}

std::int64_t ms(Time time) { return time.time_since_epoch().count(); }

// Timestamps are anybody's: any two of them.
bool lie_apart(std::int64_t from_ms, std::int64_t to_ms, Millis time) {
  return to_ms > from_ms &&
         static_cast<std::uint64_t>(to_ms) - static_cast<std::uint64_t>(from_ms) >=
             static_cast<std::uint64_t>(time.count());
}

std::int64_t newest_ms(std::span<const Record> records, Time now) {
  auto newest = records.front().timestamp.value_or(now);
  for (const auto& record : records) newest = std::max(newest, record.timestamp.value_or(now));
  return ms(newest);
}

}  // namespace

Shard::Shard(io::Env& env, const ShardOptions& options)
    : env_(env),
      options_(options),
      directory_(options.root / "journal" / std::to_string(options.index)),
      journal_(env, {.directory = directory_,
                     .reserve = reserve_path(),
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
    bool rolled = roll_due(stream, count, static_cast<std::int64_t>(bytes),
                           stream.options.segment_time_max ? newest_ms(records, now) : 0);
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
    appended(stream, entry, batch, {fields.base_offset, fields.epoch, rolled}, ready);
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
    LockGuard guard(lock_);
    auto count = static_cast<std::int64_t>(batch.last_offset_delta()) + 1;
    WALRUS_ASSIGN(auto repeated, check_append(stream, options, count));
    if (repeated) return *repeated;
    bool rolled = roll_due(stream, batch.count(), std::ssize(batch.bytes()), batch.max_timestamp());
    return store_batch(stream, batch, {stream.log_end, stream.epoch + (rolled ? 1 : 0), rolled},
                       ready);
  }();
  ready.run();
  return answer;
}

// Epochs may fall: what is cut off and copied again is as it was.
Result<Appended> Shard::append_copy(StreamState& stream, const record::BatchView& batch) {
  Ready ready;
  Result<Appended> answer = [&]() -> Result<Appended> {
    LockGuard guard(lock_);
    WALRUS_TRY(usable(stream));
    if (batch.base_offset() != stream.log_end) {
      return fail(Code::kMismatch, "a batch at offset {}, next is {}", batch.base_offset(),
                  stream.log_end);
    }
    bool opens = batch.epoch() != stream.epoch;
    return store_batch(stream, batch, {batch.base_offset(), batch.epoch(), opens}, ready);
  }();
  ready.run();
  return answer;
}

Result<Appended> Shard::store_batch(StreamState& stream, const record::BatchView& batch,
                                    const Stamp& stamp, Ready& ready) {
  auto bytes = batch.bytes();
  auto size = static_cast<std::uint32_t>(bytes.size());
  auto reserved = journal_.reserve(size, true);
  if (!reserved) return std::unexpected(busy_error(reserved.error()));
  copy_bytes(*reserved, bytes);
  record::set_base_offset(*reserved, stamp.base_offset);
  record::set_epoch(*reserved, stamp.epoch);
  record::BatchView stored(Bytes(*reserved, size));
  PendingChunk::Entry entry{stamp.base_offset,
                            stamp.base_offset + batch.last_offset_delta() + 1,
                            0,
                            size,
                            static_cast<std::uint32_t>(batch.count()),
                            batch.max_timestamp()};
  entry.payload = journal_.commit({.type = FrameType::kBatch,
                                   .flags = stamp.opens_segment ? kOpensSegment : std::uint8_t{0},
                                   .stream = stream.id,
                                   .offset = entry.base_offset,
                                   .epoch = stamp.epoch,
                                   .length = size});
  appended(stream, entry, stored, stamp, ready);
  return Appended{pending_for(stream, journal_.end()), Offset{entry.base_offset},
                  Offset{entry.end_offset}};
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
                     const record::BatchView& batch, const Stamp& stamp, Ready& ready) {
  ++appends_;
  if (journal_.active_sequence() != last_active_) {
    // Another file is in use: one more has to be made ready, and the old ones want a checkpoint.
    last_active_ = journal_.active_sequence();
    if (allocator_) allocator_->wake();
    if (background_) background_->wake();
    sync_ahead();
  } else if (journal_.wants_populate() && !populating_) {
    populating_ = true;
    if (allocator_) allocator_->wake();
    sync_ahead();
  }
  if (stamp.opens_segment) open_segment(stream, stamp.epoch, entry.max_timestamp_ms);
  if (stream.segment_records == 0) stream.segment_started_ms = entry.max_timestamp_ms;
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
  bool weak = stream.options.durability.kind != Durability::kFsync;
  if (weak) stream.written_end = stream.log_end;
  if (weak && options_.engine.mapped) {
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

// Its age goes by timestamps, from its first batch on: old data fills segments as when it was new.
bool Shard::roll_due(const StreamState& stream, std::int64_t records, std::int64_t bytes,
                     std::int64_t newest_ms) const {
  if (stream.segment_records == 0) return false;
  if (stream.roll_wanted) return true;
  const auto& options = stream.options;
  return stream.segment_records + records > options.segment_records_max ||
         stream.segment_bytes + bytes > options.segment_bytes_max ||
         (options.segment_time_max &&
          lie_apart(stream.segment_started_ms, newest_ms, *options.segment_time_max));
}

void Shard::open_segment(StreamState& stream, std::int32_t epoch, std::int64_t now_ms) {
  stream.epoch = epoch;
  stream.segment_base = stream.log_end;
  stream.segment_records = stream.segment_bytes = 0;
  stream.segment_started_ms = now_ms;
  stream.roll_wanted = false;
}

void Shard::touch(StreamState& stream) {
  if (stream.touched) return;
  stream.touched = true;
  touched_.push_back(streams_.at(stream.id));
}

Pending Shard::pending_for(const StreamState& stream, Lsn lsn) const {
  bool sync = stream.options.durability.kind == Durability::kFsync;
  // In the page cache already: nothing to wait for, and no second look under the lock.
  if (!sync && options_.engine.mapped) return {nullptr, lsn, false};
  return {const_cast<Shard*>(this), lsn, sync};
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
  copy_bytes(*reserved, payload);
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
  drop_extents(stream);
  return pending;
}

// The frame is a trim to a place beyond the end.
Result<Pending> Shard::begin(StreamState& stream, std::int64_t first) {
  LockGuard guard(lock_);
  WALRUS_TRY(usable(stream));
  if (stream.log_start != stream.log_end) {
    return fail(Code::kExists, "stream {} holds records from {} to {}", stream.name,
                stream.log_start, stream.log_end);
  }
  if (first < stream.log_end) {
    return fail(Code::kOutOfRange, "a stream that ends at {} does not begin at {}", stream.log_end,
                first);
  }
  if (first == stream.log_end) return Pending{this, journal_.end(), true};
  WALRUS_ASSIGN(auto pending,
                write_frame({.type = FrameType::kTrim, .stream = stream.id, .offset = first}, {}));
  begin_at(stream, first);
  drop_extents(stream);
  return pending;
}

void Shard::begin_at(StreamState& stream, std::int64_t first) {
  ++stream.truncations;
  stream.log_start = stream.log_end = stream.high_watermark = first;
  stream.syncing_end = stream.written_end = first;
  stream.pending.clear();
  open_segment(stream, stream.epoch, ms(env_.wall()));
}

ProducerTable Shard::producers(StreamState& stream) {
  LockGuard guard(lock_);
  return stream.producers;
}

Result<Pending> Shard::drop(std::uint64_t id) {
  LockGuard guard(lock_);
  WALRUS_TRY(usable());
  WALRUS_ASSIGN(auto pending, write_frame({.type = FrameType::kDrop, .stream = id}, {}));
  erase(id);
  return pending;
}

void Shard::drop_unnamed(const std::set<std::uint64_t>& named) {
  for (auto id : stream_ids()) {
    LockGuard guard(lock_);
    if (!named.contains(id)) erase(id);
  }
}

void Shard::erase(std::uint64_t id) {
  if (auto found = streams_.find(id); found != streams_.end()) {
    auto& stream = *found->second;
    stream.removed = true;
    if (stream.chain) manifest_stale_ = true;
    // A handle to the stream may live on: it must not keep files from returning their space.
    stream.chain = nullptr;
    stream.pending.clear();
    streams_.erase(found);
  }
  std::erase_if(tables_, [&](const auto& item) { return item.first.second.first == id; });
}

void Shard::forget(StreamState& stream) {
  Ready ready;
  {
    LockGuard guard(lock_);
    stream.removed = true;
    if (stream.waiters) {
      for (auto& waiter : *stream.waiters) {
        ready.add(std::move(waiter.done), removed_error(stream));
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

Result<Pending> Shard::sync(StreamState& stream) {
  {
    LockGuard guard(lock_);
    if (auto found = bulks_.find(stream.id); found != bulks_.end())
      return pending_of(stream, found->second);
  }
  return sync();
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
  stream.written_end = std::min(stream.written_end, first_dropped);
  stream.producers.truncate(first_dropped);
  stream.compacted_end = std::min(stream.compacted_end, first_dropped);
  stream.young_ms = 0;
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
  if (closed_) return fail(Code::kClosed, "{}", kClosedText);
  if (options_.read_only)
    return fail(Code::kReadOnly, "{}: opened read only", options_.root.string());
  return {};
}

Result<void> Shard::usable(const StreamState& stream) const {
  WALRUS_TRY(usable());
  if (stream.removed) return removed_error(stream);
  if (!bulks_.empty() && bulks_.contains(stream.id))
    return fail(Code::kInvalid, "stream {}: its bulk is not durable yet", stream.name);
  return {};
}

std::unexpected<Error> Shard::removed_error(const StreamState& stream) {
  return fail(Code::kNotFound, "stream {} was removed", stream.name);
}

bool Shard::done_now(const Pending& pending) const {
  if (pending.bulk != 0) return bulk_done(pending);
  return pending.lsn <= (pending.sync ? journal_.synced() : journal_.written());
}

bool Shard::is_done(const Pending& pending) {
  LockGuard guard(lock_);
  return done_now(pending);
}

void Shard::request(const Pending& pending) {
  auto& wanted = pending.sync ? sync_wanted_ : write_wanted_;
  wanted = std::max(wanted, pending.lsn);
  bool held = pending.sync && holding_ && waits_ - job_waits_end_ < hold_for_;
  if (!job_out_ && !held && flusher_) flusher_->wake();
}

void Shard::when_done(const Pending& pending, Done<void> done) {
  Result<void> answer;
  {
    LockGuard guard(lock_);
    if (!done_now(pending)) {
      if (!failed_ && !closed_ && pending.bulk != 0) {
        bulks_.at(pending.bulk)
            .waiters.push_back({static_cast<std::int64_t>(pending.lsn), std::move(done)});
        if (background_) background_->wake();
        return;
      }
      if (!failed_ && !closed_) {
        (pending.sync ? sync_waiters_ : write_waiters_)
            .push_back({pending.lsn, std::move(done), {}});
        count_wait(pending);
        request(pending);
        return;
      }
      answer = failed_ ? std::unexpected(*failed_) : fail(Code::kClosed, "{}", kClosedText);
    }
  }
  done(std::move(answer));
}

// Alone, the caller runs the sync itself: handing it to the flusher and back costs a third of the
// rate. Otherwise it joins the flusher's next group.
Result<void> Shard::wait(const Pending& pending) {
  std::optional<Blocking> blocking;
  if (pending.bulk != 0) {
    blocking.emplace();
    when_done(pending, blocking->callback());
    return blocking->wait(env_);
  }
  {
    LockGuard guard(lock_);
    if (done_now(pending)) return {};
    if (failed_) return std::unexpected(*failed_);
    if (closed_) return fail(Code::kClosed, "{}", kClosedText);
    auto& waiters = pending.sync ? sync_waiters_ : write_waiters_;
    count_wait(pending);
    bool alone = !job_out_ && sync_waiters_.empty() && write_waiters_.empty() &&
                 (hold_for_ == 0 || !holds(env_.mono()));
    if (alone) return run_job(guard, begin_sync(!pending.sync, false));
    blocking = join(waiters, pending.lsn);
    request(pending);
  }
  return blocking->wait(env_);
}

// Blocking callers that one sync covers share an answer, so that one call wakes all of them.
Blocking Shard::join(std::deque<Waiter>& waiters, Lsn lsn) {
  if (!waiters.empty() && waiters.back().blocking) {
    auto& last = waiters.back();
    bool covered = job_out_ && last.lsn <= job_end_;
    if (!covered || lsn <= job_end_) {
      last.lsn = std::max(last.lsn, lsn);
      return *last.blocking;
    }
  }
  Blocking blocking;
  waiters.push_back({lsn, blocking.callback(), blocking});
  return blocking;
}

SyncJob Shard::begin_sync(bool write_only, bool mark) {
  CHECK(!job_out_);
  job_out_ = true;
  end_hold(env_.mono());
  syncing_.swap(touched_);
  for (auto& stream : syncing_) {
    stream->touched = false;
    stream->syncing_end = stream->log_end;
  }
  if (!write_only) sync_due_ = io::Worker::kForever;
  mark_due_ = io::Worker::kForever;
  auto job = write_only ? journal_.begin_write() : journal_.begin_sync(mark);
  job_end_ = job.end;
  return job;
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
  sync_bytes_ += static_cast<std::uint64_t>(job.bytes());
  for (auto& stream : streams) {
    auto end = job.sync ? stream->syncing_end : std::min(stream->syncing_end, stream->written_end);
    stream->high_watermark = std::max(stream->high_watermark, end);
    if (end < stream->syncing_end && !stream->removed) touch(*stream);
    if (stream->waiters) wake_readers(*stream, ready);
  }
  auto now = env_.mono();
  if (journal_.needs_mark()) {
    mark_due_ = now + (job.mark ? io::Nanos(0) : options_.engine.mark_delay);
  }
  hold_next(job, now);
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
  io::Nanos next{0};
  {
    LockGuard guard(lock_);
    if (flusher_result_) {
      finish_sync(*flusher_job_, std::move(*flusher_result_), flusher_ready_);
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
        holding_ = sync && sync_due_ > now && !write && holds(now);
        if (holding_) {
          flusher_next_ = std::min(sync_due_, hold_until_);
          next = flusher_next_ - now;
        } else if (sync || write || mark) {
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
  flusher_ready_.run();
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
  fail_bulk(ready);
  for (auto& [stream, done] : compactions_) ready.add(std::move(done), std::unexpected(*failed_));
  compactions_.clear();
  if (rewriting_done_) ready.add(std::move(rewriting_done_), std::unexpected(*failed_));
  rewriting_done_ = nullptr;
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

void Shard::when_room(StreamState& stream, Done<void> done) {
  Result<void> answer;
  {
    LockGuard guard(lock_);
    answer = usable();
    auto bulk = bulks_.find(stream.id);
    if (!failed_ && !closed_ && bulk != bulks_.end() &&
        bulk->second.is_full(options_.engine.bulk_sync_bytes)) {
      bulk->second.room_waiters.push_back(std::move(done));
      if (background_) background_->wake();
      return;
    }
    if (!failed_ && !closed_ && journal_.spares() < 2) {
      room_waiters_.push_back(std::move(done));
      if (allocator_) allocator_->wake();
      if (background_) background_->wake();
      return;
    }
  }
  done(std::move(answer));
}

}  // namespace walrus::log
