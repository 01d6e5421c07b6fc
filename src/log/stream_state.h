#pragma once
// What a shard knows of one stream. Guarded by the shard's lock, except `id`, `name` and `shard`,
// which never change. Small: ten thousand idle streams must cost little.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "log/engine.h"
#include "log/journal.h"
#include "log/producers.h"
#include "log/segment_store.h"

namespace walrus::log {

// Batches of one segment that are in the journal only. Append-only with a fixed capacity, so that
// a reader or a checkpoint that holds it may read the entries that it counted without a lock.
struct PendingChunk {
  struct Entry {
    std::int64_t base_offset = 0, end_offset = 0;
    Lsn payload = 0;
    std::uint32_t bytes = 0, records = 0;
    std::int64_t max_timestamp_ms = 0;
  };
  std::int64_t segment_base = 0;
  std::int32_t epoch = 0;
  std::int64_t first_timestamp_ms = 0;
  std::uint32_t capacity = 0, count = 0;
  std::unique_ptr<Entry[]> entries;

  const Entry& back() const { return entries[count - 1]; }
  std::span<const Entry> all() const { return {entries.get(), count}; }
};
using PendingChunkRef = std::shared_ptr<PendingChunk>;

struct ReadWaiter {
  std::uint64_t id = 0;
  std::int64_t offset = 0;
  UpTo up_to = UpTo::kHighWatermark;
  Done<void> done;
};

struct StreamState {
  std::uint64_t id = 0;
  std::string name;
  Shard* shard = nullptr;
  StreamOptions options;
  std::string attributes;
  std::atomic<bool> removed = false;

  std::int64_t log_start = 0, high_watermark = 0, log_end = 0;
  std::int64_t written_end = 0;  // readable once written: appended when not under fsync
  std::int64_t syncing_end = 0;  // log_end when the sync that is running began
  bool touched = false;          // in the shard's list of streams that the next sync acknowledges

  std::int32_t epoch = 0;
  std::int64_t segment_base = 0, segment_records = 0, segment_bytes = 0;
  std::int64_t segment_started_ms = 0;
  std::int64_t max_timestamp_ms = -1;
  std::int64_t reclaimed_bytes = 0;

  ChainRef chain;  // stored: [log_start or below, chain_end()); null = nothing
  std::vector<PendingChunkRef> pending;  // [chain_end(), log_end)
  std::uint32_t truncations = 0;         // tells a checkpoint that what it captured is outdated
  // Of the last compaction: what it left, below where; of what it found too young behind that, the
  // timestamp (0: it found none).
  std::int64_t compacted_bytes = 0, compacted_end = 0, young_ms = 0;
  bool roll_wanted = false;  // the next append opens a segment, so that this one can be compacted

  ProducerTable producers;
  std::unique_ptr<std::vector<ReadWaiter>> waiters;

  std::int64_t chain_end() const {
    return chain && !chain->empty() ? chain->back().end_offset : -1;
  }
};

}  // namespace walrus::log
