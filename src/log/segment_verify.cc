// SegmentStore: what looks after the files themselves: unlinking, quarantine, verification.

#include <algorithm>
#include <set>

#include "log/segment_impl.h"

namespace walrus::log {
namespace {

using record::BatchView;
using Impl = SegmentStore::Impl;

std::string directory_of(const std::string& name) { return name.substr(0, name.rfind('/')); }

}  // namespace

bool SegmentStore::sync_failed() const { return impl_->sync_failed; }

void SegmentStore::close_unreadable() { impl_->files.close_unreadable(); }

Result<void> SegmentStore::remove(std::span<const FileRef> files) {
  std::set<std::string> touched;
  for (const FileRef& file : files) {
    WALRUS_TRY(impl_->files.remove(file));
    touched.insert(directory_of(file->name));
    LockGuard guard(impl_->lock);
    impl_->indexes.drop(file, kFileHeaderBytes);
  }
  // Else a power cut brings names back that no manifest knows, and they go to quarantine with all
  // their bytes.
  for (const auto& directory : touched) {
    auto synced = impl_->env.disk().sync_directory(impl_->segments / directory);
    if (!synced && synced.error().code != Code::kNotFound) {
      impl_->sync_failed = true;
      return synced;
    }
  }
  return {};
}

namespace {

class Quarantine {
 public:
  Quarantine(Impl& store, std::set<std::string> named) : store_(store), named_(std::move(named)) {}

  Result<std::vector<std::string>> run() {
    WALRUS_ASSIGN(bool exists, disk().exists(store_.segments));
    if (!exists) return moved_;
    WALRUS_TRY(sweep(""));
    if (!moved_.empty()) {
      WALRUS_TRY(disk().sync_directory(place_));
      WALRUS_TRY(disk().sync_directory(store_.options.root));
    }
    for (const auto& directory : touched_) {
      WALRUS_TRY(disk().sync_directory(path(directory)));
    }
    return moved_;
  }

 private:
  io::Disk& disk() { return store_.env.disk(); }
  io::Path path(const std::string& directory) const {
    return directory.empty() ? store_.segments : store_.segments / directory;
  }

  Result<void> sweep(const std::string& directory) {
    WALRUS_ASSIGN(auto entries, disk().list(path(directory)));
    for (const io::Entry& entry : entries) {
      auto name = directory.empty() ? entry.name : directory + '/' + entry.name;
      if (entry.directory) {
        WALRUS_TRY(sweep(name));
      } else if (!named_.contains(name)) {
        WALRUS_ASSIGN(bool own, is_own(name));
        if (own) {
          WALRUS_TRY(disk().remove(store_.segments / name));
        } else {
          WALRUS_TRY(move(name));
        }
        touched_.insert(directory);
      }
    }
    return {};
  }

  // Left over from a crash: what it holds is in the journal or was removed. That space returns.
  Result<bool> is_own(const std::string& name) {
    WALRUS_ASSIGN(auto file, disk().open(store_.segments / name, io::Open::kRead));
    std::string block(static_cast<std::size_t>(kFileHeaderBytes), '\0');
    WALRUS_ASSIGN(auto size, file->read(0, block));
    auto header = decode_segment_header(Bytes(block).substr(0, size));
    return header && header->directory_uuid == store_.options.directory_uuid;
  }

  Result<void> move(const std::string& name) {
    if (moved_.empty()) WALRUS_TRY(disk().make_directory(place_));
    auto flat = name;
    std::ranges::replace(flat, '/', '-');
    auto target = place_ / flat;
    for (int copy = 1;; ++copy) {
      WALRUS_ASSIGN(bool taken, disk().exists(target));
      if (!taken) break;
      target = place_ / fmt::format("{}.{}", flat, copy);
    }
    WALRUS_TRY(disk().rename(store_.segments / name, target));
    moved_.push_back(name);
    return {};
  }

  Impl& store_;
  const std::set<std::string> named_;
  const io::Path place_ = store_.options.root / "quarantine";
  std::vector<std::string> moved_;
  std::set<std::string> touched_;
};

}  // namespace

Result<std::vector<std::string>> SegmentStore::quarantine_unnamed(std::span<const FileRef> named) {
  std::set<std::string> names;
  for (const FileRef& file : named) names.insert(file->name);
  return Quarantine(*impl_, std::move(names)).run();
}

Result<void> SegmentStore::check_present(const SegmentFile& file) {
  auto handle = impl_->env.disk().open(impl_->files.path(file), io::Open::kRead);
  if (!handle && handle.error().code == Code::kNotFound) {
    return fail(Code::kCorrupt, "segments/{}: the manifest names it, but it is gone", file.name);
  }
  if (!handle) return std::unexpected(std::move(handle).error());
  WALRUS_ASSIGN(auto size, (*handle)->size());
  if (size >= file.synced_end) return {};
  return corrupt_at(file.name, size,
                    fmt::format("the file ends here, the manifest says {}", file.synced_end));
}

namespace {

// One file with all extents of a chain that lie in it.
class FileCheck {
 public:
  FileCheck(Impl& store, const FileRef& file, std::vector<Finding>& findings)
      : store_(store), file_(file), findings_(findings) {}

  void run(const std::vector<const Extent*>& extents) {
    // A descriptor of its own: an open one's header was checked long ago.
    auto handle = store_.env.disk().open(store_.files.path(*file_), io::Open::kRead);
    if (!handle) {
      auto code = handle.error().code == Code::kNotFound ? Code::kCorrupt : handle.error().code;
      return report(0, {code, handle.error().message});
    }
    if (auto header = store_.files.check_header(**handle, *file_); !header) {
      report(0, header.error());
    }
    bool sealed = false;
    std::int64_t file_end = 0;
    {
      LockGuard guard(store_.lock);
      sealed = file_->sealed;
      file_end = file_->synced_end;
    }
    auto data_limit = sealed ? 0 : file_end;
    if (sealed) {
      auto index = store_.load_index(**handle, *file_, file_end);
      if (index) {
        entries_ = std::move(index->entries);
        data_limit = index->state.end_position;
      } else {
        report(index_position(**handle, file_end), index.error());
      }
    }
    for (const Extent* extent : extents) check(**handle, *extent);
    if (file_->stream != 0) check_padding(**handle, *extents.back(), data_limit);
  }

 private:
  void report(std::int64_t position, const Error& error) {
    findings_.push_back({.file = io::Path("segments") / file_->name,
                         .position = position,
                         .code = error.code,
                         .what = error.message});
  }

  // Where the damage of an index or its footer is reported: at the index, if the footer tells.
  std::int64_t index_position(io::File& handle, std::int64_t file_end) {
    auto position = std::max<std::int64_t>(file_end - kFooterBytes, 0);
    auto block = read_piece(handle, file_->name, position, kFooterBytes);
    if (!block) return position;
    auto footer = decode_footer(*block, file_end);
    return footer ? footer->index_position : position;
  }

  // Every batch of an extent. Behind a damaged one it goes on where the next one must begin.
  void check(io::File& handle, const Extent& extent) {
    auto end = extent.position + extent.bytes;
    BatchScanner scanner(handle, file_->name,
                         {.from = extent.position,
                          .to = end,
                          .offset = extent.base_offset,
                          .epoch = extent.epoch,
                          .pieces = extent.file->stream != 0});
    auto entry = std::ranges::lower_bound(entries_, extent.position, {}, &IndexEntry::position);
    std::int64_t records = 0;
    bool damaged = false;
    for (;;) {
      auto expected = scanner.next_offset();
      auto batch = scanner.next();
      if (!batch) {
        damaged = true;
        report(scanner.position(), batch.error());
        if (!step_over(handle, extent, scanner)) return;
        continue;
      }
      if (!*batch) break;
      records += (*batch)->count();
      while (entry != entries_.end() && entry->position < scanner.position()) {
        report(entry->position, {Code::kCorrupt, "index entry: no batch begins here"});
        ++entry;
      }
      if (entry == entries_.end() || entry->position != scanner.position()) continue;
      if (entry->offset != expected) {
        report(entry->position, {Code::kCorrupt, "index entry: not the offset of its batch"});
      }
      ++entry;
    }
    if (damaged) return;
    if (scanner.next_offset() != extent.end_offset || records != extent.records) {
      report(extent.position,
             {Code::kCorrupt,
              fmt::format("the run holds {} records up to {}, the manifest says "
                          "{} up to {}",
                          records, scanner.next_offset(), extent.records, extent.end_offset)});
    }
  }

  // The zeros that end a piece. Where a truncation or a rewrite took the rest of a file out of the
  // chain, batches lie there instead.
  void check_padding(io::File& handle, const Extent& last, std::int64_t data_limit) {
    constexpr auto kHeader = static_cast<std::int64_t>(record::kBatchHeaderBytes);
    auto end = last.position + last.bytes;
    auto left = data_limit - end;
    auto gap = std::min(next_piece(end) - end, left);
    if (gap <= 0) return;
    auto bytes = read_piece(handle, file_->name, end, std::min(std::max(gap, kHeader), left));
    if (!bytes) return report(end, bytes.error());
    if (padding_bytes(Bytes(*bytes).substr(0, static_cast<std::size_t>(gap)), end) != 0) return;
    Expected next{.offset = last.end_offset, .bytes_left = left};
    if (left >= kHeader && batch_header_fault(*bytes, next) == nullptr) return;
    report(end, {Code::kCorrupt, "more than padding behind the last batch"});
  }

  // Finds the next batch behind damage: where the damaged one says that it ends, if a batch is
  // there, else at the next index entry. False: neither.
  bool step_over(io::File& handle, const Extent& extent, BatchScanner& scanner) {
    auto end = extent.position + extent.bytes;
    auto at = scanner.position();
    constexpr auto kHeader = static_cast<std::int64_t>(record::kBatchHeaderBytes);
    if (end - at < kHeader) return false;
    auto header = read_piece(handle, file_->name, at, kHeader);
    if (!header) return false;
    auto next = at + batch_bytes(*header);
    if (next == end) return false;  // it was the last one
    if (next >= at + kHeader && next <= end - kHeader) {
      auto following = read_piece(handle, file_->name, next, kHeader);
      if (following) {
        BatchView batch(*following);
        auto offset = batch.base_offset();
        const char* fault = batch_header_fault(
            *following, {.offset = offset, .epoch = extent.epoch, .bytes_left = end - next});
        if (!fault && offset > scanner.next_offset() && offset < extent.end_offset) {
          scanner.resume(next, offset);
          return true;
        }
      }
    }
    auto entry = std::ranges::upper_bound(entries_, at, {}, &IndexEntry::position);
    if (entry == entries_.end() || entry->position >= end) return false;
    scanner.resume(entry->position, entry->offset);
    return true;
  }

  Impl& store_;
  const FileRef& file_;
  std::vector<Finding>& findings_;
  std::vector<IndexEntry> entries_;  // of a sealed file, if they are good
};

}  // namespace

void SegmentStore::verify(std::span<const ChainRef> chains, std::vector<Finding>& findings) {
  std::vector<FileRef> files;
  std::unordered_map<const SegmentFile*, std::vector<const Extent*>> extents;
  for (const ChainRef& chain : chains) {
    for (const Extent& extent : *chain) {
      auto& there = extents[extent.file.get()];
      if (there.empty()) files.push_back(extent.file);
      there.push_back(&extent);
    }
  }
  for (const FileRef& file : files) FileCheck(*impl_, file, findings).run(extents[file.get()]);
  for (const ChainRef& chain : chains) {
    for (std::size_t i = 1; i < chain->size(); ++i) {
      const Extent& extent = (*chain)[i];
      if (extent.base_offset == (*chain)[i - 1].end_offset) continue;
      findings.push_back({.file = io::Path("segments") / extent.file->name,
                          .position = extent.position,
                          .what = "does not begin where the run before it ends"});
    }
  }
}

}  // namespace walrus::log
