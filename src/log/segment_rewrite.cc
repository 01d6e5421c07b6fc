// SegmentStore::rewrite: regrouping, and compaction by key.
//
// Compaction passes twice over the extents: first it notes the last offset of each key, then it
// copies what is still wanted. A batch keeps its base offset, and every record its offset and
// timestamp. Where batches vanish, the one before them is stretched (its last offset delta) up to
// the next, or an empty batch takes their place, so that the stored offsets stay without a gap.
//
// Batches that are transactional, control batches, or not decodable are opaque: copied bit by bit.
// Their keys supersede nothing, since nothing is known of the transaction's outcome.

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "log/key_map.h"
#include "log/segment_impl.h"

namespace walrus::log {
namespace {

using record::BatchView;
using record::RecordIterator;
using record::RecordView;
using Impl = SegmentStore::Impl;

constexpr std::size_t kAttributesPosition = 21, kLastDeltaPosition = 23, kMaxTimestampPosition = 35,
                      kCountPosition = 57;
// A regrouped file goes on over a segment's end until it has this many packs' worth of bytes: big
// segments get files of their own, which retention can unlink one by one, small ones share.
constexpr std::int64_t kSharedFilePacks = 16;

void set_crc(std::string& batch) {
  store_be(batch.data() + 17, crc32c(Bytes(batch).substr(record::kBatchHeadBytes)));
}

// A batch without records that covers [base, end).
std::string empty_batch(std::int64_t base, std::int64_t end, std::int32_t epoch) {
  std::string batch(record::kBatchHeaderBytes, '\0');
  record::set_base_offset(batch.data(), base);
  store_be(batch.data() + record::kLengthPosition,
           static_cast<std::int32_t>(record::kBatchHeaderBytes - record::kLogOverheadBytes));
  record::set_epoch(batch.data(), epoch);
  batch[16] = record::kMagic;
  store_be(batch.data() + kLastDeltaPosition, static_cast<std::int32_t>(end - base - 1));
  store_be(batch.data() + 27, std::int64_t{-1});
  store_be(batch.data() + kMaxTimestampPosition, std::int64_t{-1});
  store_be(batch.data() + 43, std::int64_t{-1});  // no producer
  store_be(batch.data() + 51, std::int16_t{-1});
  store_be(batch.data() + 53, std::int32_t{-1});
  set_crc(batch);
  return batch;
}

bool is_opaque(const BatchView& batch) { return batch.transactional() || batch.control(); }

// The records of a batch; none if it is not decodable. The views live as long as `from`.
std::optional<std::vector<RecordView>> decode_all(Result<RecordIterator>& from) {
  if (!from) return std::nullopt;
  std::vector<RecordView> records;
  for (;;) {
    auto record = from->next();
    if (!record) return std::nullopt;
    if (!*record) return records;
    records.push_back(**record);
  }
}

// One call of SegmentStore::rewrite.
class Rewriting {
 public:
  Rewriting(Impl& store, std::uint64_t stream, std::uint64_t& next_file)
      : store_(store), names_(store), stream_(stream), next_file_(next_file) {}

  Result<Chain> run(std::span<const Extent> extents,
                    const std::optional<SegmentStore::CompactPolicy>& policy, bool from_start) {
    auto chain = rewrite(extents, policy, from_start);
    if (!chain) {
      for (SegmentWriter& writer : written_) {
        if (writer.sync_failed()) store_.sync_failed = true;
        writer.abandon();
      }
    }
    return chain;
  }

 private:
  Result<Chain> rewrite(std::span<const Extent> extents,
                        const std::optional<SegmentStore::CompactPolicy>& policy, bool from_start) {
    if (policy) {
      keys_.emplace(policy->map_bytes_max);
      // Without what lies before, or in doubt, a tombstone may still hide something.
      auto oldest_kept = policy->now_ms - policy->tombstone_retention_ms;
      WALRUS_TRY(note_keys(extents));
      tombstones_before_ms_ = from_start && !saw_opaque_ ? oldest_kept : INT64_MIN;
    }
    for (const Extent& extent : extents) WALRUS_TRY(copy(extent));
    WALRUS_TRY(flush(extents.back().end_offset));
    WALRUS_TRY(finish_file());
    WALRUS_TRY(names_.sync());
    LockGuard guard(store_.lock);
    for (SegmentWriter& writer : written_) writer.commit(store_.indexes);
    return std::move(chain_);
  }

  // First pass. Ends where the map is full: what follows is kept as it is.
  Result<void> note_keys(std::span<const Extent> extents) {
    noted_end_ = extents.front().base_offset;
    for (const Extent& extent : extents) {
      WALRUS_ASSIGN(auto file, store_.files.open(extent.file));
      auto scanner = scan(*file, extent);
      for (;;) {
        WALRUS_ASSIGN(auto batch, scanner.next());
        if (!batch) break;
        if (!keys_->has_room(batch->count())) return {};
        note_batch(*batch);
        noted_end_ = batch->next_offset();
      }
    }
    return {};
  }

  void note_batch(const BatchView& batch) {
    if (batch.count() == 0) return;
    if (is_opaque(batch)) {
      saw_opaque_ = true;
      return;
    }
    auto iterator = RecordIterator::open(batch);
    auto records = decode_all(iterator);
    if (!records) {
      saw_opaque_ = true;
      return;
    }
    for (const RecordView& record : *records) {
      if (record.key) keys_->put(*record.key, record.offset);
    }
  }

  static BatchScanner scan(io::File& file, const Extent& extent) {
    return BatchScanner(file, extent.file->name,
                        {.from = extent.position,
                         .to = extent.position + extent.bytes,
                         .offset = extent.base_offset,
                         .epoch = extent.epoch,
                         .pieces = extent.file->stream != 0});
  }

  // Second pass, one extent.
  Result<void> copy(const Extent& extent) {
    WALRUS_TRY(begin_extent(extent));
    WALRUS_ASSIGN(auto file, store_.files.open(extent.file));
    auto scanner = scan(*file, extent);
    for (;;) {
      WALRUS_ASSIGN(auto batch, scanner.next());
      if (!batch) break;
      WALRUS_TRY(copy_batch(*batch));
    }
    if (scanner.next_offset() == extent.end_offset) return {};
    return corrupt_at(extent.file->name, scanner.position(), "the run ends before its end offset");
  }

  Result<void> copy_batch(const BatchView& batch) {
    if (!keys_ || batch.base_offset() >= noted_end_ || is_opaque(batch)) {
      return keep(std::string(batch.bytes()), !is_opaque(batch) && keys_.has_value());
    }
    if (batch.count() == 0) return {};
    auto iterator = RecordIterator::open(batch);
    auto records = decode_all(iterator);
    if (!records) return keep(std::string(batch.bytes()), false);
    auto all = records->size();
    std::erase_if(*records, [this](const RecordView& record) { return !is_wanted(record); });
    if (records->empty()) return {};
    if (records->size() == all) return keep(std::string(batch.bytes()), true);
    WALRUS_ASSIGN(auto smaller, rebuild(batch, *records));
    return keep(std::move(smaller), true);
  }

  bool is_wanted(const RecordView& record) const {
    if (!record.key) return true;
    if (keys_->last_offset(*record.key) != record.offset) return false;
    return record.value || record.timestamp_ms > tombstones_before_ms_;
  }

  // The batch with some of its records, which keep their bytes: their deltas stay what they were.
  static Result<std::string> rebuild(const BatchView& batch, std::span<const RecordView> records) {
    std::string smaller(batch.bytes().substr(0, record::kBatchHeaderBytes));
    std::int64_t newest = INT64_MIN;
    for (const RecordView& record : records) {
      smaller += record.encoded;
      newest = std::max(newest, record.timestamp_ms);
    }
    auto attributes = static_cast<std::int16_t>(batch.attributes() & ~7);
    store_be(smaller.data() + kAttributesPosition, attributes);
    store_be(smaller.data() + record::kLengthPosition,
             static_cast<std::int32_t>(smaller.size() - record::kLogOverheadBytes));
    if (!batch.log_append_time()) store_be(smaller.data() + kMaxTimestampPosition, newest);
    store_be(smaller.data() + kCountPosition, static_cast<std::int32_t>(records.size()));
    set_crc(smaller);
    if (batch.codec() == record::Codec::kNone) return smaller;
    return record::compress(BatchView(smaller), batch.codec());
  }

  // The batch follows in the new file; `elastic`: it may be stretched over a gap behind it.
  Result<void> keep(std::string batch, bool elastic) {
    WALRUS_TRY(flush(BatchView(batch).base_offset()));
    held_ = std::move(batch);
    held_elastic_ = elastic;
    return {};
  }

  // Writes the batch held and covers all offsets below `next`.
  Result<void> flush(std::int64_t next) {
    if (!held_.empty()) {
      BatchView batch(held_);
      auto delta = next - batch.base_offset() - 1;
      if (held_elastic_ && delta != batch.last_offset_delta() && delta <= INT32_MAX) {
        store_be(held_.data() + kLastDeltaPosition, static_cast<std::int32_t>(delta));
        set_crc(held_);
      }
      WALRUS_TRY(write(held_));
      held_.clear();
    }
    while (covered_ < next) {
      auto end = std::min(next, covered_ + INT32_MAX);
      WALRUS_TRY(write(empty_batch(covered_, end, epoch_)));
    }
    return {};
  }

  Result<void> write(const std::string& bytes) {
    BatchView batch{Bytes(bytes)};
    CHECK(batch.base_offset() == covered_);
    covered_ = batch.next_offset();
    return written_.back().add(batch, segment_base_, store_.options.index_interval_bytes, chain_);
  }

  // A batch belongs to one segment and epoch: gaps are not stretched over their ends.
  Result<void> begin_extent(const Extent& extent) {
    bool first = written_.empty();
    bool same = !first && extent.segment_base == segment_base_ && extent.epoch == epoch_;
    if (same) return {};
    if (!first) WALRUS_TRY(flush(extent.base_offset));
    bool full = !first && extent.segment_base != segment_base_ &&
                written_.back().end() >= kSharedFilePacks * store_.options.pack_bytes_max;
    if (full) WALRUS_TRY(finish_file());
    segment_base_ = extent.segment_base;
    epoch_ = extent.epoch;
    covered_ = extent.base_offset;
    if (!first && !full) return {};
    WALRUS_ASSIGN(auto writer,
                  names_.create_segment(stream_, extent.base_offset, true, next_file_));
    written_.push_back(std::move(writer));
    return {};
  }

  Result<void> finish_file() {
    WALRUS_TRY(written_.back().seal({}, store_.options.index_interval_bytes));
    return written_.back().finish(store_.env);
  }

  Impl& store_;
  NewNames names_;
  const std::uint64_t stream_;
  std::uint64_t& next_file_;
  std::optional<KeyMap> keys_;  // none: regroup only
  std::int64_t noted_end_ = 0;
  bool saw_opaque_ = false;
  std::int64_t tombstones_before_ms_ = INT64_MIN;
  std::vector<SegmentWriter> written_;  // the last one is being written
  Chain chain_;
  std::int64_t segment_base_ = 0, covered_ = 0;
  std::int32_t epoch_ = 0;
  std::string held_;  // the last batch kept, until it is known what follows
  bool held_elastic_ = false;
};

}  // namespace

Result<Chain> SegmentStore::rewrite(std::uint64_t stream, const Chain& chain, std::size_t first,
                                    std::size_t last, const std::optional<CompactPolicy>& policy,
                                    std::uint64_t& next_file) {
  CHECK(first <= last && last <= chain.size() && stream != 0);
  if (first == last) return Chain();
  auto extents = std::span(chain).subspan(first, last - first);
  return Rewriting(*impl_, stream, next_file).run(extents, policy, first == 0);
}

}  // namespace walrus::log
