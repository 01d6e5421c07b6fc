#include "io/sim/sim_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "io/posix_error.h"

namespace walrus::io {

SimFile::SimFile(IncarnationRef life, SimInodeRef inode, Path path, bool writable)
    : life_(std::move(life)),
      inode_(std::move(inode)),
      path_(std::move(path)),
      writable_(writable) {
  ++life_->open_files;
}

SimFile::~SimFile() {
  --life_->open_files;
  // After a crash the buffer is this mapping's own copy and the file another one's.
  if (mapping_ && life_->alive) inode_->unmap();
}

Result<std::size_t> SimFile::read(std::int64_t position, std::span<char> to) {
  return operate(*life_, "read", path_, [&]() -> Result<std::size_t> {
    if (chance().fault("read_error", chance().options.faults.read_error)) {
      return fail_errno(EIO, "read", path_);
    }
    return read_fully([&](std::int64_t at, std::span<char> part) { return read_once(at, part); },
                      path_, position, to);
  });
}

Result<void> SimFile::write(std::int64_t position, Bytes from) {
  return operate(*life_, "write", path_, [&]() -> Result<void> {
    trace().fold(static_cast<std::uint64_t>(position));
    trace().fold(from);
    return write_effect(position, from);
  });
}

Result<void> SimFile::write_direct(std::int64_t position, Bytes from) {
  CHECK(position % std::int64_t{kDirectBytes} == 0 && from.size() % kDirectBytes == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(from.data()) % kDirectBytes == 0);
  return write(position, from);
}

Result<void> SimFile::sync() {
  return operate(*life_, "sync", path_, [&] {
    return sync_effect(0, std::numeric_limits<std::int64_t>::max() - kPageBytes, true);
  });
}

Result<void> SimFile::sync_range(std::int64_t from, std::int64_t to) {
  return operate(*life_, "sync", path_, [&]() -> Result<void> {
    trace().fold(static_cast<std::uint64_t>(from));
    trace().fold(static_cast<std::uint64_t>(to));
    if (mapping_) trace().fold(stored(from, to));  // no operation told of it before
    return sync_effect(from, to, false);
  });
}

Bytes SimFile::stored(std::int64_t from, std::int64_t to) const {
  const auto begin = std::clamp<std::int64_t>(from, 0, inode_->size());
  const auto end = std::clamp<std::int64_t>(to, begin, inode_->size());
  return inode_->content().substr(static_cast<std::size_t>(begin),
                                  static_cast<std::size_t>(end - begin));
}

Result<std::int64_t> SimFile::size() {
  return operate(*life_, "stat", path_, [&]() -> Result<std::int64_t> { return inode_->size(); });
}

Result<void> SimFile::truncate(std::int64_t size) {
  return operate(*life_, "truncate", path_, [&] { return resize_effect(size); });
}

Result<void> SimFile::write_zeros(std::int64_t from, std::int64_t to) {
  constexpr std::int64_t kPiece = 1 << 20;
  for (auto at = from; at < to; at += kPiece) {
    const std::string zeros(static_cast<std::size_t>(std::min(kPiece, to - at)), '\0');
    if (auto written = write(at, zeros); !written) return written;
  }
  return {};
}

Result<std::span<char>> SimFile::map() {
  return operate(*life_, "map", path_, [&]() -> Result<std::span<char>> {
    if (!mapping_ && inode_->size() > 0) {
      mapping_ = inode_->map();
      mapping_size_ = mapping_->size();
    }
    if (!mapping_) return std::span<char>();
    return std::span<char>(mapping_->data(), mapping_size_);
  });
}

void SimFile::populate(std::int64_t, std::int64_t) {
  (void)operate(*life_, "populate", path_, [] { return Result<void>(); });
}

Result<void> SimFile::write_effect(std::int64_t position, Bytes from) {
  if (!writable_) return fail_errno(EBADF, "write", path_);
  DiskChance& draw = chance();
  const DiskFaults& faults = draw.options.faults;
  const bool error = draw.fault("write_error", faults.write_error);
  const bool full = !error && draw.fault("no_space", faults.no_space);
  const Bytes landing = error || full ? from.substr(0, draw.random.below(from.size() + 1)) : from;
  auto written = write_fully([&](std::int64_t at, Bytes part) { return write_once(at, part); },
                             path_, position, landing);
  if (!written) return written;
  if (error) return fail_errno(EIO, "write", path_);
  if (full) return fail_errno(ENOSPC, "write", path_);
  return {};
}

Result<void> SimFile::sync_effect(std::int64_t from, std::int64_t to, bool size_too) {
  DiskChance& draw = chance();
  const DiskFaults& faults = draw.options.faults;
  if (draw.fault("slow_sync", faults.slow_sync)) {
    const auto delay = draw.random.between(faults.slow_min.count(), faults.slow_max.count());
    life_->node->world.stall(*life_->node, Nanos(delay));
  }
  if (draw.fault("stuck_sync", faults.stuck_sync)) {
    life_->node->world.stall(*life_->node, faults.stuck_for);
  }
  if (inode_->sync(from, to, draw) == SimInode::Outcome::kFailed) {
    return fail_errno(EIO, "sync", path_);
  }
  if (size_too) inode_->size_synced();
  return {};
}

Result<void> SimFile::resize_effect(std::int64_t size) {
  if (!writable_) return fail_errno(EINVAL, "truncate", path_);
  if (!inode_->can_resize(size)) {
    return fail(Code::kInvalid, "truncate {}: the simulator does not resize a mapped file",
                path_.string());
  }
  if (life_->node->disk.state().room_to_grow(*inode_, size) < size) {
    return fail_errno(ENOSPC, "truncate", path_);
  }
  inode_->resize(size);
  return {};
}

std::int64_t SimFile::read_once(std::int64_t position, std::span<char> to) {
  const Bytes content = inode_->content();
  if (position < 0) {
    errno = EINVAL;
    return -1;
  }
  if (position >= inode_->size()) return 0;
  DiskChance& draw = chance();
  auto length = std::min(to.size(), content.size() - static_cast<std::size_t>(position));
  if (draw.fault("short_io", draw.options.faults.short_io)) {
    length = draw.random.below(length + 1);
    if (length == 0) {
      errno = EINTR;
      return -1;
    }
  }
  std::memcpy(to.data(), content.data() + position, length);
  return static_cast<std::int64_t>(length);
}

std::int64_t SimFile::write_once(std::int64_t position, Bytes from) {
  DiskChance& draw = chance();
  if (position < 0) {
    errno = EINVAL;
    return -1;
  }
  if (draw.fault("short_io", draw.options.faults.short_io)) {
    from = from.substr(0, draw.random.below(from.size() + 1));
    if (from.empty()) {
      errno = EINTR;
      return -1;
    }
  }
  const auto end = position + std::ssize(from);
  if (end > inode_->size()) {
    const auto allowed = life_->node->disk.state().room_to_grow(*inode_, end);
    if (allowed <= position || !inode_->can_resize(allowed)) {
      errno = allowed <= position ? ENOSPC : EFBIG;
      return -1;
    }
    from = from.substr(0, static_cast<std::size_t>(allowed - position));
  }
  inode_->write(position, from);
  return std::ssize(from);
}

}  // namespace walrus::io
