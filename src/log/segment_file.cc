#include "log/segment_file.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"

namespace walrus::log {
namespace {

constexpr std::size_t kBufferBytes = 512 << 10;
static_assert(kSegmentBlockBytes == io::kDirectBytes);  // where a piece begins, a write may

// Whether nothing but the padding of a piece can lie between an extent and a position behind it.
bool is_next_place(const Extent& extent, std::int64_t position) {
  auto end = extent.position + extent.bytes;
  return position == end || (extent.file->stream != 0 && position == next_piece(end));
}

}  // namespace

Result<void> OpenFiles::check_header(io::File& handle, const SegmentFile& file) const {
  std::array<char, kFileHeaderBytes> bytes;
  WALRUS_TRY(read_exactly(handle, file.name, 0, bytes));
  auto header = decode_segment_header(Bytes(bytes.data(), bytes.size()));
  if (!header) {
    return fail(header.error().code, "segments/{}: {}", file.name, header.error().message);
  }
  if (header->directory_uuid != uuid_) {
    return corrupt_at(file.name, 0, "file header: of another directory");
  }
  if (header->stream != file.stream || header->base_offset != file.base_offset ||
      header->pack != (file.stream == 0)) {
    return corrupt_at(file.name, 0, "file header: of another file");
  }
  return {};
}

OpenFileRef OpenFiles::cached(const FileRef& file) {
  auto found = places_.find(file.get());
  if (found != places_.end() && is_same_file(found->second->file, file)) {
    slots_.splice(slots_.begin(), slots_, found->second);
    return found->second->handle;
  }
  for (const Slot& slot : removed_) {
    if (slot.key == file.get() && is_same_file(slot.file, file)) return slot.handle;
  }
  return nullptr;
}

void OpenFiles::keep(const FileRef& file, const OpenFileRef& handle) {
  std::erase_if(removed_, [](const Slot& slot) { return slot.file.expired(); });
  if (auto stale = places_.find(file.get()); stale != places_.end()) {
    slots_.erase(stale->second);
    places_.erase(stale);
  }
  slots_.push_front({.key = file.get(), .file = file, .handle = handle});
  places_[file.get()] = slots_.begin();
  while (static_cast<std::int64_t>(slots_.size()) > files_max_) {
    places_.erase(slots_.back().key);
    slots_.pop_back();
  }
}

Result<OpenFileRef> OpenFiles::open(const FileRef& file) {
  {
    LockGuard guard(lock_);
    if (auto handle = cached(file)) return handle;
  }
  WALRUS_ASSIGN(OpenFileRef handle, disk_.open(path(*file), io::Open::kRead));
  WALRUS_TRY(check_header(*handle, *file));
  LockGuard guard(lock_);
  if (auto earlier = cached(file)) return earlier;
  keep(file, handle);
  return handle;
}

Result<void> OpenFiles::remove(const FileRef& file) {
  // Whoever else holds the FileRef may be about to read: the descriptor keeps the bytes.
  OpenFileRef handle;
  if (file.use_count() > 1) handle = open(file).value_or(nullptr);
  {
    LockGuard guard(lock_);
    std::erase_if(removed_, [](const Slot& slot) { return slot.file.expired(); });
    if (auto found = places_.find(file.get()); found != places_.end()) {
      slots_.erase(found->second);
      places_.erase(found);
    }
    if (handle) removed_.push_back({.key = file.get(), .file = file, .handle = std::move(handle)});
  }
  auto removed = disk_.remove(path(*file));
  if (!removed && removed.error().code == Code::kNotFound) return {};
  return removed;
}

void OpenFiles::close_unreadable() {
  LockGuard guard(lock_);
  std::erase_if(removed_, [](const Slot& slot) { return slot.file.expired(); });
}

void grow(Chain& chain, const BatchPlace& place, const record::BatchView& batch) {
  bool joins = !chain.empty() && chain.back().file == place.file &&
               is_next_place(chain.back(), place.position) &&
               chain.back().end_offset == batch.base_offset() &&
               chain.back().segment_base == place.segment_base &&
               chain.back().epoch == batch.epoch();
  if (!joins) {
    chain.push_back({.file = place.file,
                     .position = place.position,
                     .base_offset = batch.base_offset(),
                     .segment_base = place.segment_base,
                     .epoch = batch.epoch(),
                     .min_timestamp_ms = -1,
                     .max_timestamp_ms = -1});
  }
  Extent& extent = chain.back();
  extent.bytes = place.position + batch_bytes(batch.bytes()) - extent.position;
  extent.end_offset = batch.next_offset();
  if (batch.count() == 0) return;
  auto oldest = std::min(batch.base_timestamp(), batch.max_timestamp());
  bool first = extent.records == 0;
  extent.min_timestamp_ms = first ? oldest : std::min(extent.min_timestamp_ms, oldest);
  extent.max_timestamp_ms =
      first ? batch.max_timestamp() : std::max(extent.max_timestamp_ms, batch.max_timestamp());
  extent.records += batch.count();
}

Result<SegmentWriter> SegmentWriter::create(io::Disk& disk, const io::Path& segments,
                                            const std::string& name, const SegmentHeader& header) {
  SegmentWriter writer;
  writer.disk_ = &disk;
  writer.path_ = segments / name;
  WALRUS_ASSIGN(writer.handle_, disk.open(writer.path_, io::Open::kCreate));
  writer.created_ = true;
  writer.file_ = std::make_shared<SegmentFile>(
      SegmentFile{.name = name, .stream = header.stream, .base_offset = header.base_offset});
  writer.state_ = IndexState{.next_offset = header.base_offset};
  const auto encoded = encode_segment_header(header);
  writer.buffer_.assign(encoded.begin(), encoded.end());
  writer.end_ = kFileHeaderBytes;
  writer.start_ = kFileHeaderBytes;
  return writer;
}

Result<SegmentWriter> SegmentWriter::reopen(io::Disk& disk, const OpenFiles& files,
                                            const FileRef& file, std::int64_t data_end,
                                            const std::optional<IndexState>& state) {
  SegmentWriter writer;
  writer.disk_ = &disk;
  writer.path_ = files.path(*file);
  writer.file_ = file;
  writer.start_ = writer.end_ = file->synced_end;
  if (state && state->end_position == data_end) writer.state_ = state;
  writer.index_start_ = data_end;
  WALRUS_ASSIGN(writer.handle_, disk.open(writer.path_, io::Open::kWrite));
  WALRUS_TRY(files.check_header(*writer.handle_, *file));
  WALRUS_ASSIGN(auto size, writer.handle_->size());
  if (size < file->synced_end) {
    return corrupt_at(file->name, size, "the file ends before its manifest says");
  }
  if (file->synced_end != next_piece(file->synced_end)) {
    return corrupt_at(file->name, file->synced_end, "ends within a block");
  }
  auto gap = file->synced_end - data_end;
  WALRUS_ASSIGN(auto padding, read_piece(*writer.handle_, file->name, data_end, gap));
  if (padding_bytes(padding, data_end) != gap) {
    return corrupt_at(file->name, data_end, "more than padding behind the last batch");
  }
  if (size > file->synced_end) WALRUS_TRY(writer.handle_->truncate(file->synced_end));
  return writer;
}

Result<void> SegmentWriter::add(const record::BatchView& batch, std::int64_t segment_base,
                                std::int64_t interval_bytes, Chain& chain) {
  if (state_ && file_->stream != 0) {
    if (auto entry = state_->add(batch, end_, interval_bytes)) added_.push_back(*entry);
  }
  grow(chain, {.file = file_, .position = end_, .segment_base = segment_base}, batch);
  return write(batch.bytes());
}

void SegmentWriter::use_memory(Memory memory) {
  memory.reserve(kBufferBytes);
  memory.assign(buffer_);
  buffer_ = std::move(memory);
}

SegmentWriter::Memory SegmentWriter::give_memory() { return std::exchange(buffer_, {}); }

Result<void> SegmentWriter::write(Bytes bytes) {
  while (!bytes.empty()) {
    auto part = bytes.substr(0, kBufferBytes - buffer_.size());
    bytes.remove_prefix(part.size());
    buffer_.append(part);
    end_ += static_cast<std::int64_t>(part.size());
    if (buffer_.size() == kBufferBytes) WALRUS_TRY(flush());
  }
  return {};
}

// A block that is not full is written, but stays in the buffer until it is.
Result<void> SegmentWriter::flush() {
  auto position = end_ - static_cast<std::int64_t>(buffer_.size());
  const Bytes bytes(buffer_.data(), buffer_.size());
  auto full = bytes.size() / io::kDirectBytes * io::kDirectBytes;
  if (full > 0) WALRUS_TRY(handle_->write_direct(position, bytes.substr(0, full)));
  if (auto rest = bytes.substr(full); !rest.empty()) {
    WALRUS_TRY(handle_->write(position + static_cast<std::int64_t>(full), rest));
  }
  buffer_.erase(0, full);
  return {};
}

Result<SparseIndex> SegmentWriter::rebuild_index(std::int64_t interval_bytes) {
  WALRUS_TRY(flush());
  BatchScanner scanner(*handle_, file_->name,
                       {.from = kFileHeaderBytes, .to = end_, .offset = file_->base_offset});
  SparseIndex index;
  for (;;) {
    WALRUS_ASSIGN(auto batch, scanner.next());
    if (!batch) return index;
    index.add(*batch, scanner.position(), interval_bytes);
  }
}

Result<void> SegmentWriter::seal(std::vector<IndexEntry> before, std::int64_t interval_bytes) {
  CHECK(file_->stream != 0);
  bool complete = state_ && (created_ || !before.empty());
  if (!complete) {
    WALRUS_ASSIGN(auto index, rebuild_index(interval_bytes));
    state_ = index.state;
    before = std::move(index.entries);
    added_.clear();
  }
  CHECK(end_ - state_->end_position < kSegmentBlockBytes);
  before.insert(before.end(), added_.begin(), added_.end());
  sealed_ = true;
  return write(encode_footer(state_->footer(end_), before));
}

Result<void> SegmentWriter::complete() {
  if (file_->stream != 0 && !sealed_) {
    static constexpr std::array<char, kSegmentBlockBytes> kZeros{};
    WALRUS_TRY(write(Bytes(kZeros.data(), static_cast<std::size_t>(next_piece(end_) - end_))));
  }
  return flush();
}

Result<void> SegmentWriter::finish(io::Env& env) {
  WALRUS_TRY(complete());
  env.crash_point("segment-before-sync");
  auto synced = handle_->sync();
  sync_failed_ = !synced.has_value();
  WALRUS_TRY(std::move(synced));
  env.crash_point("segment-after-sync");
  handle_.reset();
  return {};
}

void SegmentWriter::commit(IndexCache& indexes) {
  file_->synced_end = end_;
  file_->sealed = sealed_;
  if (file_->stream == 0 || !state_) return;
  if (created_) {
    indexes.put(file_, kFileHeaderBytes, {.state = *state_, .entries = std::move(added_)});
  } else {
    indexes.extend(file_, kFileHeaderBytes, index_start_, added_, *state_);
  }
}

void SegmentWriter::abandon() {
  if (created_) {
    handle_.reset();
    (void)disk_->remove(path_);
  } else if (handle_ && !sync_failed_) {
    (void)handle_->truncate(start_);
  }
}

}  // namespace walrus::log
