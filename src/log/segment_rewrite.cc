// SegmentStore::Rewrite: regrouping, and compaction by key (compaction.h), which passes twice over
// the extents.

#include "base/check.h"
#include "log/segment_impl.h"

namespace walrus::log {
namespace {

using record::BatchView;

// A regrouped file goes on over a segment's end until it has this many packs' worth of bytes: big
// segments get files of their own, which retention can unlink one by one, small ones share.
constexpr std::int64_t kSharedFilePacks = 16;

}  // namespace

struct SegmentStore::Rewrite::Work {
  Work(SegmentStore::Impl& store, const Plan& plan, std::uint64_t& next_file)
      : store_(store),
        names_(store),
        extents_(plan.extents),
        from_start_(plan.from_start),
        stream_(plan.stream),
        next_file_(next_file),
        noting_(plan.policy.has_value()),
        compactor_(plan.policy, [this](const std::string& batch) { return write(batch); }) {
    CHECK(!extents_.empty() && stream_ != 0);
  }
  ~Work() { give_up(); }

  Result<bool> step(std::int64_t bytes_max) {
    auto done = advance(bytes_max);
    if (!done) give_up();
    return done;
  }

  Chain take() { return std::move(chain_); }

  Compacted compacted() const {
    Compacted to{.end = compacted_end(), .bytes = compacted_bytes_};
    if (const auto& young = compactor_.young()) to.young_ms = young->timestamp_ms;
    return to;
  }

 private:
  std::int64_t compacted_end() const {
    const auto& young = compactor_.young();
    return young ? young->offset : extents_.back().end_offset;
  }

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
        WALRUS_TRY(compactor_.copy(*batch));
      } else if (!compactor_.note(*batch)) {
        end_noting();  // the map is full, or it is too young: what follows is kept as it is
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
    compactor_.end_noting(from_start_);
    noting_ = false;
    scanner_.reset();
    at_ = 0;
  }

  Result<bool> finish() {
    WALRUS_TRY(compactor_.end(extents_.back().end_offset));
    WALRUS_TRY(finish_file());
    WALRUS_TRY(names_.sync());
    LockGuard guard(store_.lock);
    for (SegmentWriter& writer : written_) writer.commit(store_.indexes);
    done_ = true;
    return true;
  }

  Result<void> write(const std::string& bytes) {
    BatchView batch{Bytes(bytes)};
    if (batch.base_offset() < compacted_end()) compacted_bytes_ += std::ssize(bytes);
    return written_.back().add(batch, segment_base_, store_.options.index_interval_bytes, chain_);
  }

  // A batch belongs to one segment and epoch: gaps are not stretched over their ends.
  Result<void> begin_extent(const Extent& extent) {
    bool first = written_.empty();
    bool same = !first && extent.segment_base == segment_base_ && extent.epoch == epoch_;
    if (same) return {};
    if (!first) WALRUS_TRY(compactor_.end(extent.base_offset));
    bool full = !first && extent.segment_base != segment_base_ &&
                written_.back().end() >= kSharedFilePacks * store_.options.pack_bytes_max;
    if (full) WALRUS_TRY(finish_file());
    segment_base_ = extent.segment_base;
    epoch_ = extent.epoch;
    compactor_.begin(extent.base_offset, extent.epoch);
    if (!first && !full) return {};
    WALRUS_ASSIGN(auto writer,
                  names_.create_segment(stream_, extent.base_offset, true, next_file_));
    written_.push_back(std::move(writer));
    return {};
  }

  Result<void> finish_file() {
    WALRUS_TRY(written_.back().seal({}, store_.options.index_interval_bytes));
    WALRUS_TRY(written_.back().finish(store_.env));
    (void)written_.back().give_memory();
    return {};
  }

  SegmentStore::Impl& store_;
  NewNames names_;
  const Chain extents_;
  const bool from_start_;
  const std::uint64_t stream_;
  std::uint64_t& next_file_;

  // Where it is: the first pass notes keys, the second copies.
  bool noting_, done_ = false;
  std::size_t at_ = 0;  // of extents_
  OpenFileRef file_;
  std::optional<BatchScanner> scanner_;  // of extents_[at_], in file_

  Compactor compactor_;                 // without a policy: regroup only
  std::vector<SegmentWriter> written_;  // the last one is being written
  Chain chain_;
  std::int64_t compacted_bytes_ = 0;
  std::int64_t segment_base_ = 0;
  std::int32_t epoch_ = 0;
};

SegmentStore::Rewrite::Rewrite(SegmentStore& store, const Plan& plan, std::uint64_t& next_file)
    : work_(std::make_unique<Work>(*store.impl_, plan, next_file)) {}
SegmentStore::Rewrite::~Rewrite() = default;

Result<bool> SegmentStore::Rewrite::step(std::int64_t bytes_max) { return work_->step(bytes_max); }
Chain SegmentStore::Rewrite::take() { return work_->take(); }
SegmentStore::Rewrite::Compacted SegmentStore::Rewrite::compacted() const {
  return work_->compacted();
}

}  // namespace walrus::log
