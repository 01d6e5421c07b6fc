// Regrouping and compaction in the background of a shard: a piece at a time and paced, with
// checkpoints in between. What was captured is put in place of itself at the end; meanwhile the
// stream may have grown or been trimmed, but its middle is nobody else's to change.

#include <algorithm>

#include "log/shard.h"

namespace walrus::log {
namespace {

constexpr std::int64_t kStepBytes = 8 << 20;
constexpr std::size_t kPackExtentsMax = 16;  // more than these are regrouped

}  // namespace

// Extents that no checkpoint can make grow any more.
std::size_t Shard::settled(const Chain& chain) {
  auto count = chain.size();
  while (count > 0) {
    const auto& file = chain[count - 1].file;
    if (file->stream == 0 || store_.mark(file).sealed) break;
    --count;
  }
  return count;
}

bool Shard::wants_regroup(const StreamState& stream) {
  if (stream.removed || !stream.chain || stream.chain->size() <= kPackExtentsMax) return false;
  auto extents = std::span(*stream.chain).first(settled(*stream.chain));
  auto packs =
      std::ranges::count_if(extents, [](const Extent& extent) { return extent.file->stream == 0; });
  return static_cast<std::size_t>(packs) > kPackExtentsMax;
}

// Settled extents up to the first one that has a record too young to be compacted.
std::size_t Shard::compactable(const StreamState& stream, std::int64_t now_ms) {
  auto extents = std::span(*stream.chain).first(settled(*stream.chain));
  auto lag = stream.options.compaction_lag_min.count();
  auto young = std::ranges::find_if(extents, [&](const Extent& extent) {
    return lag > 0 && extent.max_timestamp_ms > now_ms - lag;
  });
  return static_cast<std::size_t>(young - extents.begin());
}

bool Shard::wants_compaction(const StreamState& stream, std::int64_t now_ms) {
  if (stream.removed || !stream.options.compact || !stream.chain) return false;
  auto bytes = total_bytes(std::span(*stream.chain).first(compactable(stream, now_ms)));
  auto dirty = bytes - stream.compacted_bytes;
  return dirty > std::max(stream.compacted_bytes, options_.engine.pack_bytes_max);
}

// Something that was never compacted is older than it may get, however little it is. The clock is
// that of retention: one that jumps makes nothing late at once. After a restart nobody knows what
// was compacted, and all of it counts.
bool Shard::overdue(const StreamState& stream, std::int64_t now_ms) {
  const auto& lag = stream.options.compaction_lag_max;
  if (stream.removed || !stream.options.compact || !lag || !stream.chain) return false;
  auto oldest = stream.young_ms > 0 ? stream.young_ms : INT64_MAX;
  for (const auto& extent : *stream.chain) {
    if (stream.young_ms > 0 || extent.end_offset <= stream.compacted_end) continue;
    // A record without a timestamp has no age; others of its extent may.
    auto at = extent.min_timestamp_ms > 0 ? extent.min_timestamp_ms : extent.max_timestamp_ms;
    if (at > 0) oldest = std::min(oldest, at);
  }
  return oldest < now_ms && now_ms - oldest > lag->count();
}

io::Nanos Shard::begin_rewrite(const StreamRef& stream, bool asked, bool settled_only) {
  Ready ready;
  {
    LockGuard guard(lock_);
    auto answer = usable(*stream);
    auto now_ms = trusted_now_ms();
    const auto& options = stream->options;
    auto chain = stream->chain ? *stream->chain : Chain();
    bool late = !asked && overdue(*stream, now_ms);
    bool due = !asked && wants_compaction(*stream, now_ms);
    auto reach = due && !late ? compactable(*stream, now_ms) : settled(chain);
    if (late && (reach == 0 || chain[reach - 1].end_offset <= stream->compacted_end)) {
      // It lies in the file of the open segment, which must not grow meanwhile.
      stream->roll_wanted = true;
      settled_only = false;
    }
    if (settled_only) chain.resize(reach);
    // What is regrouped gets smaller where that may be: its extents are as young as their youngest.
    bool compacts =
        options.compact && (asked || late || due || options.compaction_lag_min.count() > 0);
    if (!answer || chain.empty()) {
      rewrite_ended(answer, ready);
    } else {
      rewriting_ = std::make_unique<Rewriting>(Rewriting{.stream = stream,
                                                         .truncations = stream->truncations,
                                                         .asked = asked,
                                                         .settled_only = settled_only,
                                                         .compacts = compacts,
                                                         .end = chain.back().end_offset});
      SegmentStore::Rewrite::Plan plan{.stream = stream->id, .extents = std::move(chain)};
      if (compacts) {
        plan.policy = {.now_ms = now_ms,
                       .tombstone_retention_ms = options.tombstone_retention.count(),
                       .lag_ms = options.compaction_lag_min.count()};
      }
      rewriting_->work = std::make_unique<SegmentStore::Rewrite>(store_, plan, next_file_);
    }
  }
  ready.run();
  return io::Nanos(0);
}

void Shard::rewrite_ended(const Result<void>& answer, Ready& ready) {
  rewriting_ = nullptr;
  if (rewriting_done_) ready.add(std::move(rewriting_done_), answer);
  rewriting_done_ = nullptr;
}

io::Nanos Shard::rewrite_step() {
  auto done = rewriting_->work->step(kStepBytes);
  if (done && !*done) return rewriting_->asked ? io::Nanos(0) : pace(kStepBytes);
  Ready ready;
  StreamRef again;
  {
    LockGuard guard(lock_);
    if (!done) {
      background_error_ = done.error();
      if (store_.sync_failed()) fail_locked(done.error(), ready);
      rewrite_ended(std::unexpected(done.error()), ready);
    } else if (!install(*rewriting_) && rewriting_->asked && !rewriting_->settled_only) {
      again = rewriting_->stream;  // a checkpoint has grown its open file: now without that
    } else {
      rewrite_ended({}, ready);
    }
  }
  ready.run();
  return again ? begin_rewrite(again, true, true) : io::Nanos(0);
}

// False: the stream has changed where it was captured; what was written is of no use.
bool Shard::install(Rewriting& rewriting) {
  auto made = rewriting.work->take();
  auto& stream = *rewriting.stream;
  auto live = stream.chain ? std::span(*stream.chain) : std::span<const Extent>();
  auto rest = std::ranges::find_if(
      live, [&](const Extent& extent) { return extent.end_offset > rewriting.end; });
  bool fits = streams_.contains(stream.id) && stream.truncations == rewriting.truncations &&
              !bulks_.contains(stream.id) &&
              (rest == live.end() || rest->base_offset >= rewriting.end);
  if (fits) {
    auto before = total_bytes(std::span(live.begin(), rest));
    auto after = total_bytes(made);
    background_bytes_ += static_cast<std::uint64_t>(after);
    stream.reclaimed_bytes += std::max<std::int64_t>(0, before - after);
    if (rewriting.compacts) {
      auto compacted = rewriting.work->compacted();
      stream.compacted_bytes = compacted.bytes;
      stream.compacted_end = compacted.end;
      stream.young_ms = compacted.young_ms.value_or(0);
    }
    auto chain = made;
    chain.insert(chain.end(), rest, live.end());
    stream.chain = std::make_shared<const Chain>(std::move(chain));
    manifest_stale_ = true;
    drop_extents(stream);  // what was trimmed meanwhile
  }
  for (const auto& extent : made) {  // of no use, or trimmed by now
    bool used = fits && stream.chain && std::ranges::any_of(*stream.chain, [&](const auto& one) {
                  return one.file == extent.file;
                });
    if (!used) doomed_.push_back(extent.file);
  }
  sort_by_name(doomed_);
  return fits;
}

Result<void> Shard::compact(StreamState& stream) {
  WALRUS_TRY(checkpoint());
  Blocking blocking;
  {
    LockGuard guard(lock_);
    WALRUS_TRY(usable(stream));
    compactions_.emplace_back(streams_.at(stream.id), blocking.callback());
    if (background_) background_->wake();
  }
  WALRUS_TRY(blocking.wait(env_));
  return checkpoint();  // the old files go
}

}  // namespace walrus::log
