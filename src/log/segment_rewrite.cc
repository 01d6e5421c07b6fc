// SegmentStore::Rewrite: regrouping, and compaction by key.
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

}  // namespace

struct SegmentStore::Rewrite::Work {
  Work(SegmentStore::Impl& store, const Plan& plan, std::uint64_t& next_file)
      : store_(store),
        names_(store),
        extents_(plan.extents),
        policy_(plan.policy),
        from_start_(plan.from_start),
        stream_(plan.stream),
        next_file_(next_file) {
    CHECK(!extents_.empty() && stream_ != 0);
    if (policy_) {
      keys_.emplace(policy_->map_bytes_max);
      noted_end_ = extents_.front().base_offset;
      noting_ = true;
    }
  }
  ~Work() { give_up(); }

  Result<bool> step(std::int64_t bytes_max) {
    auto done = advance(bytes_max);
    if (!done) give_up();
    return done;
  }

  Chain take() { return std::move(chain_); }

 private:
  void give_up() {
    if (done_) return;
    for (SegmentWriter& writer : written_) {
      if (writer.sync_failed()) store_.sync_failed = true;
      writer.abandon();
    }
    written_.clear();
  }

  Result<bool> advance(std::int64_t bytes_max) {
    for (auto left = bytes_max; left > 0;) {
      if (at_ == extents_.size()) {
        if (!noting_) return finish();
        end_noting();
      }
      if (!scanner_) WALRUS_TRY(open_extent());
      WALRUS_ASSIGN(auto batch, scanner_->next());
      if (!batch) {
        WALRUS_TRY(close_extent());
        continue;
      }
      left -= static_cast<std::int64_t>(batch->bytes().size());
      if (!noting_) {
        WALRUS_TRY(copy_batch(*batch));
      } else if (keys_->has_room(batch->count())) {
        note_batch(*batch);
        noted_end_ = batch->next_offset();
      } else {
        end_noting();  // the map is full: what follows is kept as it is
      }
    }
    return false;
  }

  Result<void> open_extent() {
    const Extent& extent = extents_[at_];
    if (!noting_) WALRUS_TRY(begin_extent(extent));
    WALRUS_ASSIGN(file_, store_.files.open(extent.file));
    scanner_.emplace(*file_, extent.file->name,
                     ScanRange{.from = extent.position,
                               .to = extent.position + extent.bytes,
                               .offset = extent.base_offset,
                               .epoch = extent.epoch,
                               .pieces = extent.file->stream != 0});
    return {};
  }

  Result<void> close_extent() {
    const Extent& extent = extents_[at_];
    if (scanner_->next_offset() != extent.end_offset) {
      return corrupt_at(extent.file->name, scanner_->position(),
                        "the run ends before its end offset");
    }
    scanner_.reset();
    ++at_;
    return {};
  }

  void end_noting() {
    // Without what lies before, or in doubt, a tombstone may still hide something.
    auto oldest_kept = policy_->now_ms - policy_->tombstone_retention_ms;
    tombstones_before_ms_ = from_start_ && !saw_opaque_ ? oldest_kept : INT64_MIN;
    noting_ = false;
    scanner_.reset();
    at_ = 0;
  }

  Result<bool> finish() {
    WALRUS_TRY(flush(extents_.back().end_offset));
    WALRUS_TRY(finish_file());
    WALRUS_TRY(names_.sync());
    LockGuard guard(store_.lock);
    for (SegmentWriter& writer : written_) writer.commit(store_.indexes);
    done_ = true;
    return true;
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

  SegmentStore::Impl& store_;
  NewNames names_;
  const Chain extents_;
  const std::optional<CompactPolicy> policy_;
  const bool from_start_;
  const std::uint64_t stream_;
  std::uint64_t& next_file_;

  // Where it is: the first pass notes keys, the second copies.
  bool noting_ = false, done_ = false;
  std::size_t at_ = 0;  // of extents_
  OpenFileRef file_;
  std::optional<BatchScanner> scanner_;  // of extents_[at_], in file_

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

SegmentStore::Rewrite::Rewrite(SegmentStore& store, const Plan& plan, std::uint64_t& next_file)
    : work_(std::make_unique<Work>(*store.impl_, plan, next_file)) {}
SegmentStore::Rewrite::~Rewrite() = default;

Result<bool> SegmentStore::Rewrite::step(std::int64_t bytes_max) { return work_->step(bytes_max); }
Chain SegmentStore::Rewrite::take() { return work_->take(); }

}  // namespace walrus::log
