#pragma once
// A file by its descriptor, and the descriptor's owner.

#include <unistd.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "io/env.h"

namespace walrus::io {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

class RealFile final : public File {
 public:
  RealFile(Descriptor, Path, bool writable);
  ~RealFile() override;
  Result<std::size_t> read(std::int64_t position, std::span<char> to) override;
  Result<void> write(std::int64_t position, Bytes) override;
  Result<void> sync() override;
  Result<void> sync_range(std::int64_t from, std::int64_t to) override;
  Result<std::int64_t> size() override;
  Result<void> truncate(std::int64_t size) override;
  Result<void> allocate(std::int64_t size) override;
  Result<void> write_zeros(std::int64_t from, std::int64_t to) override;
  Result<std::span<char>> map() override;
  void populate(std::int64_t from, std::int64_t to) override;
  void let_go(std::int64_t from, std::int64_t to) override;
  Result<void> write_direct(std::int64_t position, Bytes) override;

 private:
  // The part of the mapping whose pages hold [from, to); empty when there is no mapping.
  std::span<char> mapped_pages(std::int64_t from, std::int64_t to) const;
  // The same file, opened for writing past the page cache; -1 if that is not to be had.
  int direct_descriptor();

  const Descriptor fd_;
  const Path path_;
  const bool writable_;
  std::once_flag direct_once_;
  std::optional<Descriptor> direct_;
  std::mutex map_mutex_;  // makes the one mapping once; readers use mapping_ alone
  std::size_t mapping_size_ = 0;
  std::atomic<char*> mapping_ = nullptr;
};

}  // namespace walrus::io
