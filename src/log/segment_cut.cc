// SegmentStore: a chain cut at an offset, and files given back after a checkpoint that failed.

#include "log/segment_impl.h"

namespace walrus::log {

Result<ChainRef> SegmentStore::cut(const Chain& chain, std::int64_t end_offset) {
  Chain kept;
  for (const auto& extent : chain) {
    if (extent.base_offset >= end_offset) break;
    kept.push_back(extent);
  }
  if (kept.empty() || kept.back().end_offset <= end_offset) {
    return std::make_shared<const Chain>(std::move(kept));
  }
  auto last = kept.back();
  kept.pop_back();
  WALRUS_ASSIGN(auto file, impl_->files.open(last.file));
  BatchScanner scanner(*file, last.file->name,
                       {.from = last.position,
                        .to = last.position + last.bytes,
                        .offset = last.base_offset,
                        .epoch = last.epoch,
                        .pieces = last.file->stream != 0});
  while (scanner.next_offset() < end_offset) {
    WALRUS_ASSIGN(auto batch, scanner.next());
    if (!batch) break;
    grow(kept,
         {.file = last.file, .position = scanner.position(), .segment_base = last.segment_base},
         *batch);
  }
  if (scanner.next_offset() != end_offset) {
    return fail(Code::kInvalid, "offset {} lies inside a batch that ends at {}", end_offset,
                scanner.next_offset());
  }
  return std::make_shared<const Chain>(std::move(kept));
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
