// SegmentStore: a chain cut at an offset, and files given back after a checkpoint that failed.

#include "log/segment_impl.h"

namespace walrus::log {
namespace {

constexpr std::int64_t kPieceBytes = 1 << 20;

}  // namespace

Result<ChainRef> SegmentStore::cut(const Chain& chain, std::int64_t end_offset) {
  auto kept = std::make_shared<Chain>();
  for (const auto& extent : chain) {
    if (extent.base_offset >= end_offset) break;
    kept->push_back(extent);
  }
  if (kept->empty() || kept->back().end_offset <= end_offset) return kept;
  auto& last = kept->back();
  Chain whole{last};
  auto from = last.base_offset;
  last.bytes = last.records = 0;
  last.max_timestamp_ms = -1;
  last.end_offset = end_offset;
  while (from < end_offset) {
    std::string bytes;
    WALRUS_TRY(read(whole, from, kPieceBytes, bytes));
    for (Bytes rest = bytes; !rest.empty() && from < end_offset;) {
      WALRUS_ASSIGN(auto batch, record::BatchView::parse(rest));
      auto size = batch.bytes().size();
      rest.remove_prefix(size);
      from = batch.next_offset();
      last.bytes += static_cast<std::int64_t>(size);
      last.records += batch.count();
      last.max_timestamp_ms = std::max(last.max_timestamp_ms, batch.max_timestamp());
    }
  }
  if (from != end_offset) {
    return fail(Code::kInvalid, "offset {} lies inside a batch that ends at {}", end_offset, from);
  }
  return kept;
}

SegmentStore::Mark SegmentStore::mark(const FileRef& file) {
  LockGuard guard(impl_->lock);
  return {file, file->synced_end, file->sealed};
}

void SegmentStore::rewind(std::span<const Mark> marks) {
  LockGuard guard(impl_->lock);
  for (const auto& mark : marks) {
    mark.file->synced_end = mark.synced_end;
    mark.file->sealed = mark.sealed;
    impl_->indexes.drop(mark.file, kFileHeaderBytes);
  }
}

}  // namespace walrus::log
