// Reading from a shard: the journal's tail, segment files, and waiting for more.

#include <algorithm>

#include "base/check.h"
#include "log/shard.h"

namespace walrus::log {
namespace {

constexpr int kAttempts = 8;  // a file may be unlinked between looking and opening

// Or damaged: a part of the journal that is used again, or a file of the same name.
bool may_be_gone(const Error& error) {
  return error.code == Code::kNotFound || error.code == Code::kCorrupt;
}

// Whole batches that begin below `end`.
void cut_at(Fetched& fetched, std::int64_t end) {
  std::size_t kept = 0;
  while (kept < fetched.bytes.size()) {
    auto batch = record::BatchView::parse(Bytes(fetched.bytes).substr(kept));
    if (!batch || batch->base_offset() >= end) break;
    kept += batch->bytes().size();
    fetched.next = {batch->next_offset()};
  }
  fetched.bytes.resize(kept);
}

}  // namespace

// The leader epoch, too: no checksum of the batch covers it.
bool has_header_of(const PendingChunk::Entry& entry, std::int32_t epoch, Bytes bytes) {
  auto batch = record::BatchView::parse(bytes);
  return batch && batch->bytes().size() == entry.bytes && batch->epoch() == epoch &&
         batch->base_offset() == entry.base_offset && batch->next_offset() == entry.end_offset;
}

bool is_batch_of(const PendingChunk::Entry& entry, std::int32_t epoch, Bytes bytes) {
  return has_header_of(entry, epoch, bytes) && record::BatchView(bytes).crc_holds();
}

Result<Fetched> Shard::fetch(StreamState& stream, std::int64_t from, const FetchOptions& options) {
  auto answer = fetch_here(stream, from, options);
  if (answer || !options_.read_only) return answer;
  return or_newer<Fetched>(stream, std::move(answer),
                           [&](Shard& newer, StreamState& there) -> Result<Fetched> {
                             WALRUS_ASSIGN(auto fetched, newer.fetch_here(there, from, options));
                             LockGuard guard(lock_);
                             cut_at(fetched, stream.log_end);
                             fetched.log_start = {stream.log_start};
                             fetched.high_watermark = {stream.high_watermark};
                             fetched.log_end = {stream.log_end};
                             return fetched;
                           });
}

Result<std::int64_t> Shard::find_time(StreamState& stream, std::int64_t time_ms) {
  auto answer = find_time_here(stream, time_ms);
  if (answer || !options_.read_only) return answer;
  return or_newer<std::int64_t>(stream, std::move(answer),
                                [&](Shard& newer, StreamState& there) -> Result<std::int64_t> {
                                  WALRUS_ASSIGN(auto found, newer.find_time_here(there, time_ms));
                                  LockGuard guard(lock_);
                                  return std::min(found, stream.log_end);
                                });
}

// A view names files that the writer unlinks, and parts of the journal that it uses again, once a
// manifest does without them. Where they were is in that manifest: what this view holds is read
// from there, as far as it is not trimmed. Without a newer manifest it is damage.
template <typename T>
Result<T> Shard::or_newer(StreamState& stream, Result<T> answer,
                          const std::function<Result<T>(Shard&, StreamState&)>& again) {
  auto generation = generation_;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (answer || !may_be_gone(answer.error())) break;
    WALRUS_ASSIGN(auto newer, newer_than(generation));
    if (!newer) return answer;
    auto there = newer->stream_of(stream.id);
    if (!there) return fail(Code::kNotFound, "stream {} was removed", stream.name);
    {
      LockGuard guard(lock_);
      stream.log_start = std::max(stream.log_start, std::min(there->log_start, stream.log_end));
      drop_extents(stream);
    }
    answer = again(*newer, *there);
    generation = newer->generation_;
  }
  return answer;
}

// None: there is no newer manifest.
Result<std::shared_ptr<Shard>> Shard::newer_than(std::uint64_t generation) {
  {
    LockGuard guard(lock_);
    if (newer_ && newer_->generation_ > generation) return newer_;
  }
  for (int attempt = 1;; ++attempt) {
    WALRUS_ASSIGN(auto manifest, load_manifest(env_, directory_, options_.layout));
    if (!manifest || manifest->generation <= generation) return nullptr;
    auto newer = std::make_shared<Shard>(env_, options_);
    auto recovered = newer->recover();
    if (recovered) {
      LockGuard guard(lock_);
      newer_ = newer;
      return newer;
    }
    if (!may_be_gone(recovered.error()) || attempt == kAttempts)
      return std::unexpected(recovered.error());
  }
}

StreamRef Shard::stream_of(std::uint64_t id) {
  LockGuard guard(lock_);
  auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second;
}

Result<Fetched> Shard::fetch_here(StreamState& stream, std::int64_t from,
                                  const FetchOptions& options) {
  for (int attempt = 0;; ++attempt) {
    Fetched out;
    ChainRef chain;
    std::vector<PendingPlace> places;
    {
      LockGuard guard(lock_);
      WALRUS_TRY(readable(stream));
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
        places = locate_pending(stream, {from, limit}, options.bytes_max, out.bytes);
      }
    }
    env_.crash_point("fetch-before-copy");
    if (!chain) {
      WALRUS_TRY(copy_pending(places, out));
      return out;
    }
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
}

// The batches from the one that holds `range.from` on, as far as they end at or below `range.to`
// and fit into `bytes_max`, at least one. Those that are in memory only are appended to `memory`.
std::vector<Shard::PendingPlace> Shard::locate_pending(const StreamState& stream, OffsetRange range,
                                                       std::int64_t bytes_max,
                                                       std::string& memory) const {
  std::vector<PendingPlace> places;
  auto chunk = std::ranges::upper_bound(
      stream.pending, range.from, {},
      [](const PendingChunkRef& one) { return one->entries[0].base_offset; });
  CHECK(chunk != stream.pending.begin());
  --chunk;
  std::int64_t bytes = 0;
  for (; chunk != stream.pending.end(); ++chunk) {
    auto entries = (*chunk)->all();
    auto entry =
        std::ranges::upper_bound(entries, range.from, {}, &PendingChunk::Entry::end_offset);
    for (; entry != entries.end(); ++entry) {
      bool fits = places.empty() || bytes + entry->bytes <= bytes_max;
      if (!fits || entry->end_offset > range.to) return places;
      bytes += entry->bytes;
      bool in_memory = journal_.in_memory(entry->payload);
      if (in_memory) memory.append(journal_.memory_bytes(entry->payload, entry->bytes));
      auto place = in_memory ? PayloadRef() : journal_.locate(entry->payload);
      places.push_back({std::move(place), *entry, (*chunk)->epoch});
    }
  }
  return places;
}

// Puts the batches into `out.bytes`, which holds those that locate_pending() found in memory.
Result<void> Shard::copy_pending(std::span<const PendingPlace> places, Fetched& out) {
  std::string memory = std::exchange(out.bytes, {});
  std::size_t from_memory = 0, all = 0;
  for (const auto& one : places) all += one.entry.bytes;
  out.bytes.reserve(all);
  for (const auto& [place, entry, epoch] : places) {
    auto at = out.bytes.size();
    auto end = at + entry.bytes;
    out.bytes.resize_and_overwrite(end, [end](char*, std::size_t) { return end; });
    if (place.file) {
      WALRUS_TRY(Journal::copy(place, entry.bytes, out.bytes.data() + at));
    } else {
      memory.copy(out.bytes.data() + at, entry.bytes, from_memory);
      from_memory += entry.bytes;
    }
    if (!is_batch_of(entry, epoch, Bytes(out.bytes).substr(at))) {
      out.bytes.resize(at);
      if (at > 0) return {};  // what comes before it is good
      return fail(Code::kCorrupt, "{}: damaged batch at {}",
                  place.file ? place.file->path.string() : "journal", place.position);
    }
    out.next = {entry.end_offset};
  }
  return {};
}

Result<void> Shard::readable(const StreamState& stream) const {
  if (closed_) return fail(Code::kClosed, "{}", kClosedText);
  if (failed_) return std::unexpected(*failed_);
  if (stream.removed) return fail(Code::kNotFound, "stream {} was removed", stream.name);
  return {};
}

Result<std::int64_t> Shard::find_time_here(StreamState& stream, std::int64_t time_ms) {
  for (int attempt = 0;; ++attempt) {
    ChainRef chain;
    std::int64_t start = 0, end = 0;
    std::optional<std::int64_t>
        candidate;  // base offset of the first pending batch that may hold it
    {
      LockGuard guard(lock_);
      WALRUS_TRY(readable(stream));
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
      WALRUS_ASSIGN(auto fetched, fetch_here(stream, from, {.bytes_max = 64 << 10}));
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
      answer = fail(Code::kClosed, "{}", kClosedText);
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
  WALRUS_TRY(readable(stream));
  return Bounds{{stream.log_start}, {stream.high_watermark}, {stream.log_end}, stream.epoch};
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
