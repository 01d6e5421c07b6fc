// Bulk: batches that go into segment files at once, past the journal. They wait in memory until
// they are synced there, a few MiB; then the stream ends behind them, and the next manifest says
// so. A crash leaves what the last manifest says, a beginning of it: no frame has to be replayed.

#include <algorithm>

#include "base/check.h"
#include "log/shard.h"

namespace walrus::log {
namespace {

constexpr std::int64_t kBulkPieceBytes = 2 << 20;  // written between other work
constexpr io::Nanos kBulkRetry = std::chrono::milliseconds(500);

}  // namespace

Result<Appended> Shard::append_bulk(StreamState& stream, std::string batch_bytes) {
  LockGuard guard(lock_);
  WALRUS_TRY(usable());
  if (stream.removed) return removed_error(stream);
  auto bytes = std::ssize(batch_bytes);
  auto found = bulks_.find(stream.id);
  if (found != bulks_.end() && found->second.is_full(options_.engine.bulk_sync_bytes))
    return std::unexpected(busy_error({Code::kBusy, "bulk waits for the disk"}));
  if (found == bulks_.end()) {
    found = bulks_.try_emplace(stream.id).first;
    auto& made = found->second;
    made.stream = streams_.at(stream.id);
    made.end = made.durable = made.captured = stream.log_end;
  }
  auto& bulk = found->second;
  record::set_base_offset(batch_bytes.data(), bulk.end);
  record::set_epoch(batch_bytes.data(), stream.epoch);
  record::BatchView batch{Bytes(batch_bytes)};
  Appended appended{.first = Offset{bulk.end}};
  bulk.end = batch.next_offset();
  bulk.bytes += bytes;
  bulk.batches.push_back(std::move(batch_bytes));
  ++appends_;
  if (background_) background_->wake();
  appended.next = Offset{bulk.end};
  appended.pending = pending_of(stream, bulk);
  return appended;
}

Pending Shard::pending_of(const StreamState& stream, const Bulk& bulk) {
  return {.shard = this, .lsn = static_cast<std::uint64_t>(bulk.end), .bulk = stream.id};
}

// The next one with something to do, in turn. A stream that is gone takes its bulk along.
Shard::Bulk* Shard::next_bulk(io::Nanos now, Ready& ready) {
  LockGuard guard(lock_);
  if (failed_ || closed_) return nullptr;
  for (auto at = bulks_.begin(); at != bulks_.end();) {
    auto& bulk = at->second;
    if (streams_.contains(at->first) || checkpoint_) {  // which may name its files
      ++at;
      continue;
    }
    for (auto& waiter : bulk.waiters)
      ready.add(std::move(waiter.done), removed_error(*bulk.stream));
    for (auto& done : bulk.room_waiters) ready.add(std::move(done), {});
    for (const auto& extent : bulk.stored ? *bulk.stored : Chain()) {
      if (!std::ranges::binary_search(named_, extent.file->name, {}, &file_name))
        doomed_.push_back(extent.file);
    }
    sort_by_name(doomed_);
    dead_bulk_ = std::move(bulk.write);
    at = bulks_.erase(at);
    if (dead_bulk_) break;  // one at a time: it removes files
  }
  auto has_work = [&](const Bulk& bulk) {
    const auto& stream = *bulk.stream;
    if (bulk.retry_at > now || stream.removed || !stream.pending.empty()) return false;
    bool wanted = !bulk.waiters.empty() || !bulk.room_waiters.empty();
    return bulk.written < bulk.batches.size() ||
           (bulk.written > 0 && (wanted || bulk.bytes >= options_.engine.bulk_sync_bytes));
  };
  auto at = bulks_.upper_bound(last_bulk_);
  for (std::size_t i = 0; i < bulks_.size(); ++i, ++at) {
    if (at == bulks_.end()) at = bulks_.begin();
    if (!has_work(at->second)) continue;
    last_bulk_ = at->first;
    return &at->second;
  }
  return nullptr;
}

// A piece of one, or its sync. False: nothing to do.
bool Shard::bulk_step() {
  Ready ready;
  auto* bulk = next_bulk(env_.mono(), ready);
  ready.run();
  dead_bulk_ = nullptr;
  if (!bulk) return false;
  bool synced = false;
  auto done = bulk_work(*bulk, synced);
  {
    LockGuard guard(lock_);
    if (!done) bulk_failed(*bulk, done.error(), ready);
    else if (synced) publish(*bulk, ready);
  }
  ready.run();
  return true;
}

Result<void> Shard::bulk_work(Bulk& bulk, bool& synced) {
  Incoming one{bulk.stream->id, {}, bulk.chain};
  std::size_t taken = 0;
  std::int64_t bytes = 0;
  {
    LockGuard guard(lock_);
    auto& stream = *bulk.stream;
    if (bulk.written == 0) one.chain = bulk.base = stream.chain;
    one.runs.push_back({stream.segment_base, stream.epoch, false, {}});
    // Elements of a deque stay where they are.
    for (auto i = bulk.written; i < bulk.batches.size() && bytes < kBulkPieceBytes; ++i, ++taken) {
      one.runs.back().batches.emplace_back(bulk.batches[i]);
      bytes += std::ssize(bulk.batches[i]);
    }
    synced = taken == 0 || bulk.unsynced >= options_.engine.bulk_sync_bytes;
  }
  if (synced) return bulk.write->sync();
  if (!bulk.write) bulk.write = std::make_unique<SegmentStore::Write>(store_, next_file_);
  WALRUS_ASSIGN(auto chains, bulk.write->add(std::span(&one, 1)));
  bulk.chain = std::move(chains.front());
  bulk.unsynced += bytes;
  LockGuard guard(lock_);
  bulk.written += taken;
  background_bytes_ += static_cast<std::uint64_t>(bytes);
  return {};
}

// What is synced can be read. It lasts from the next manifest on. Meanwhile the stream's chain was
// nobody else's to change.
void Shard::publish(Bulk& bulk, Ready& ready) {
  auto& stream = *bulk.stream;
  if (stream.removed) return;
  CHECK(stream.pending.empty() && stream.chain == bulk.base);
  stream.chain = bulk.stored = bulk.chain;
  for (; bulk.written > 0; --bulk.written) {
    record::BatchView batch{Bytes(bulk.batches.front())};
    if (stream.segment_records == 0) stream.segment_started_ms = batch.max_timestamp();
    stream.segment_records += batch.count();
    stream.segment_bytes += std::ssize(batch.bytes());
    stream.max_timestamp_ms = std::max(stream.max_timestamp_ms, batch.max_timestamp());
    stream.log_end = batch.next_offset();
    bulk.bytes -= std::ssize(batch.bytes());
    bulk.batches.pop_front();
  }
  stream.high_watermark = stream.written_end = stream.syncing_end = stream.log_end;
  bulk.chain = bulk.base = nullptr;
  bulk.unsynced = 0;
  manifest_stale_ = true;
  if (stream.waiters) wake_readers(stream, ready);
  for (auto& done : bulk.room_waiters) ready.add(std::move(done), {});
  bulk.room_waiters.clear();
}

// All of it is in memory still, and is written again.
void Shard::bulk_failed(Bulk& bulk, const Error& error, Ready& ready) {
  bulk.write = nullptr;
  bulk.chain = bulk.base = nullptr;
  bulk.unsynced = 0;
  bulk.written = 0;
  bulk.retry_at = env_.mono() + kBulkRetry;
  background_error_ = error;
  for (auto& done : bulk.room_waiters) ready.add(std::move(done), {});
  bulk.room_waiters.clear();
  if (store_.sync_failed()) fail_locked(error, ready);
}

// Somebody waits for a manifest that is not written yet; or what is in the journal comes first.
bool Shard::bulk_wants_checkpoint() const {
  return std::ranges::any_of(bulks_, [](const auto& entry) {
    const auto& bulk = entry.second;
    return !bulk.stream->pending.empty() ||
           std::ranges::any_of(bulk.waiters, [&](const Bulk::Waiter& waiter) {
             return waiter.end <= bulk.stream->log_end;
           });
  });
}

// The manifest that a checkpoint captures holds what is stored by now. True: more than the one
// before it does, which the journal would not make up for.
bool Shard::capture_bulk() {
  bool more = false;
  for (auto& [id, bulk] : bulks_) {
    bulk.captured = bulk.stream->log_end;
    more = more || bulk.captured > bulk.durable;
  }
  return more;
}

void Shard::bulk_is_durable(Ready& ready) {
  for (auto at = bulks_.begin(); at != bulks_.end();) {
    auto& bulk = at->second;
    bulk.durable = bulk.captured;
    std::erase_if(bulk.waiters, [&](Bulk::Waiter& waiter) {
      if (waiter.end > bulk.durable) return false;
      ready.add(std::move(waiter.done), {});
      return true;
    });
    bool whole = bulk.durable == bulk.end && !bulk.stream->removed;
    at = whole ? bulks_.erase(at) : std::next(at);
  }
}

bool Shard::bulk_done(const Pending& pending) const {
  auto found = bulks_.find(pending.bulk);
  return found == bulks_.end() || found->second.durable >= static_cast<std::int64_t>(pending.lsn);
}

void Shard::fail_bulk(Ready& ready) {
  for (auto& [id, bulk] : bulks_) {
    for (auto& waiter : bulk.waiters) ready.add(std::move(waiter.done), std::unexpected(*failed_));
    for (auto& done : bulk.room_waiters) ready.add(std::move(done), std::unexpected(*failed_));
    bulk.waiters.clear();
    bulk.room_waiters.clear();
  }
}

}  // namespace walrus::log
