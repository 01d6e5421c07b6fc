#include "io/real/real_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <string>

#include "io/posix_error.h"

namespace walrus::io {
namespace {

constexpr std::size_t kPage = 4096;

// Calls again while a signal interrupts.
template <class Call>
int retried(Call&& call) {
  int result;
  do result = call();
  while (result < 0 && errno == EINTR);
  return result;
}

}  // namespace

RealFile::RealFile(Descriptor fd, Path path, bool writable)
    : fd_(std::move(fd)), path_(std::move(path)), writable_(writable) {}

RealFile::~RealFile() {
  if (char* mapping = mapping_.load()) ::munmap(mapping, mapping_size_);
}

Result<std::size_t> RealFile::read(std::int64_t position, std::span<char> to) {
  return read_fully(
      [&](std::int64_t at, std::span<char> part) {
        return ::pread(fd_.get(), part.data(), part.size(), at);
      },
      path_, position, to);
}

Result<void> RealFile::write(std::int64_t position, Bytes from) {
  return write_fully([&](std::int64_t at,
                         Bytes part) { return ::pwrite(fd_.get(), part.data(), part.size(), at); },
                     path_, position, from);
}

// Not called again after EINTR: whether the pages of the interrupted call are still dirty is not
// known.
Result<void> RealFile::sync() {
  if (::fdatasync(fd_.get()) != 0) return fail_errno(errno, "sync", path_);
  return {};
}

Result<void> RealFile::sync_range(std::int64_t from, std::int64_t to) {
  if (mapping_.load(std::memory_order_acquire) == nullptr) return sync();
  const auto pages = mapped_pages(from, to);
  if (pages.empty()) return {};
  // Unmapped first, all at once: what is mapped is protected page by page when it is written, and
  // each page interrupts the other cores. The bytes stay where they are, in the page cache.
  if (pages.size() > kPage) ::madvise(pages.data(), pages.size(), MADV_DONTNEED);
  if (::msync(pages.data(), pages.size(), MS_SYNC) != 0) return fail_errno(errno, "sync", path_);
  return {};
}

Result<std::int64_t> RealFile::size() {
  struct stat status{};
  if (::fstat(fd_.get(), &status) != 0) return fail_errno(errno, "stat", path_);
  return status.st_size;
}

Result<void> RealFile::truncate(std::int64_t size) {
  if (retried([&] { return ::ftruncate(fd_.get(), size); }) != 0) {
    return fail_errno(errno, "truncate", path_);
  }
  return {};
}

Result<void> RealFile::allocate(std::int64_t size) {
  // Finds out early that there is no room. Not every file system can.
  if (size > 0 && retried([&] { return ::fallocate(fd_.get(), 0, 0, size); }) != 0 &&
      errno != EOPNOTSUPP && errno != ENOSYS) {
    return fail_errno(errno, "allocate", path_);
  }
  return truncate(size);
}

Result<void> RealFile::write_zeros(std::int64_t from, std::int64_t to) {
  // Past the page cache, or page by page: it makes folios as large as the write, and of a large
  // folio every block is made dirty by the first store into it and written by the next sync.
  alignas(kDirectBytes) static constexpr std::array<char, 1 << 20> kZeros{};
  const auto step = direct_descriptor() >= 0 ? kZeros.size() : kPage;
  for (auto at = from; at < to; at += static_cast<std::int64_t>(step)) {
    const Bytes piece(kZeros.data(), std::min(step, static_cast<std::size_t>(to - at)));
    const bool direct = at % kDirectBytes == 0 && piece.size() % kDirectBytes == 0;
    auto written = direct ? write_direct(at, piece) : write(at, piece);
    if (!written) return written;
  }
  return {};
}

Result<std::span<char>> RealFile::map() {
  const std::scoped_lock guard(map_mutex_);
  if (char* mapping = mapping_.load()) return std::span<char>(mapping, mapping_size_);
  const auto bytes = size();
  if (!bytes) return std::unexpected(bytes.error());
  if (*bytes == 0) return std::span<char>();
  const int protection = writable_ ? PROT_READ | PROT_WRITE : PROT_READ;
  const auto length = static_cast<std::size_t>(*bytes);
  void* at = ::mmap(nullptr, length, protection, MAP_SHARED, fd_.get(), 0);
  if (at == MAP_FAILED) return fail_errno(errno, "map", path_);
  // Hints. What is not in the page cache comes in page by page, without read-ahead, which would
  // make large folios (see write_zeros).
  ::madvise(at, length, MADV_NOHUGEPAGE);
  ::madvise(at, length, MADV_RANDOM);
  ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_RANDOM);
  mapping_size_ = length;
  mapping_.store(static_cast<char*>(at), std::memory_order_release);
  return std::span<char>(static_cast<char*>(at), length);
}

void RealFile::populate(std::int64_t from, std::int64_t to) {
  const auto pages = mapped_pages(from, to);
  if (pages.empty() || !writable_) return;
#ifndef MADV_POPULATE_WRITE
  constexpr int MADV_POPULATE_WRITE = 23;  // Linux 5.14, newer than Debian 12's libc headers
#endif
  // Asked for first, in pieces that every disk's read-ahead takes: what is not in the page cache
  // comes in page by page either way, but a fault waits for its page before it asks for the next.
  constexpr std::int64_t kAhead = 128 << 10;
  for (auto at = from; at < to; at += kAhead)
    ::posix_fadvise(fd_.get(), at, std::min(kAhead, to - at), POSIX_FADV_WILLNEED);
  ::madvise(pages.data(), pages.size(), MADV_POPULATE_WRITE);  // a hint: what it says is ignored
}

void RealFile::let_go(std::int64_t from, std::int64_t to) {
  const auto pages = mapped_pages(from, to);
  if (!pages.empty()) ::madvise(pages.data(), pages.size(), MADV_DONTNEED);
}

int RealFile::direct_descriptor() {
  std::call_once(direct_once_, [&] {
    // Opened anew, because the flag would hold for every user of the first descriptor.
    const auto self = "/proc/self/fd/" + std::to_string(fd_.get());
    direct_.emplace(::open(self.c_str(), O_CLOEXEC | O_WRONLY | O_DIRECT));
  });
  return direct_->get();
}

Result<void> RealFile::write_direct(std::int64_t position, Bytes from) {
  const int direct = direct_descriptor();
  const auto put = [&](std::int64_t at, Bytes part) {
    if (direct >= 0) {
      const auto moved = ::pwrite(direct, part.data(), part.size(), at);
      if (moved >= 0 || errno != EINVAL) return moved;  // EINVAL: not there, or not by this block
    }
    const auto moved = ::pwrite(fd_.get(), part.data(), part.size(), at);
    if (moved > 0) ::sync_file_range(fd_.get(), at, moved, SYNC_FILE_RANGE_WRITE);
    return moved;
  };
  return write_fully(put, path_, position, from);
}

std::span<char> RealFile::mapped_pages(std::int64_t from, std::int64_t to) const {
  char* mapping = mapping_.load(std::memory_order_acquire);
  if (mapping == nullptr) return {};
  static const std::int64_t page = ::sysconf(_SC_PAGESIZE);
  const std::int64_t begin = std::max<std::int64_t>(from, 0) / page * page;
  const std::int64_t end = std::min(to, static_cast<std::int64_t>(mapping_size_));
  if (begin >= end) return {};
  return {mapping + begin, static_cast<std::size_t>(end - begin)};
}

}  // namespace walrus::io
