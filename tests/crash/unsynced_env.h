#pragma once
// An io::Env whose syncs answer at once and do nothing: what the crash tests must not pass with.

#include "io/env.h"
#include "io/network.h"

namespace walrus::crash {

class UnsyncedFile final : public io::File {
 public:
  explicit UnsyncedFile(std::unique_ptr<io::File> file) : file_(std::move(file)) {}
  Result<std::size_t> read(std::int64_t position, std::span<char> to) override {
    return file_->read(position, to);
  }
  Result<void> write(std::int64_t position, Bytes bytes) override {
    return file_->write(position, bytes);
  }
  Result<void> sync() override { return {}; }
  Result<void> sync_range(std::int64_t, std::int64_t) override { return {}; }
  Result<std::int64_t> size() override { return file_->size(); }
  Result<void> truncate(std::int64_t size) override { return file_->truncate(size); }
  Result<void> preallocate(std::int64_t size) override { return file_->preallocate(size); }
  Result<std::span<char>> map() override { return file_->map(); }
  void populate(std::int64_t from, std::int64_t to) override { file_->populate(from, to); }

 private:
  std::unique_ptr<io::File> file_;
};

class UnsyncedDisk final : public io::Disk {
 public:
  explicit UnsyncedDisk(io::Disk& disk) : disk_(disk) {}
  Result<std::unique_ptr<io::File>> open(const io::Path& path, io::Open how) override {
    WALRUS_ASSIGN(auto file, disk_.open(path, how));
    return std::make_unique<UnsyncedFile>(std::move(file));
  }
  Result<void> make_directory(const io::Path& path) override { return disk_.make_directory(path); }
  Result<void> sync_directory(const io::Path&) override { return {}; }
  Result<void> rename(const io::Path& from, const io::Path& to) override {
    return disk_.rename(from, to);
  }
  Result<void> remove(const io::Path& path) override { return disk_.remove(path); }
  Result<std::vector<io::Entry>> list(const io::Path& path) override { return disk_.list(path); }
  Result<bool> exists(const io::Path& path) override { return disk_.exists(path); }
  Result<std::unique_ptr<io::DirectoryLock>> lock(const io::Path& file) override {
    return disk_.lock(file);
  }
  Result<std::int64_t> free_bytes(const io::Path& path) override { return disk_.free_bytes(path); }
  std::string boot_id() override { return disk_.boot_id(); }

 private:
  io::Disk& disk_;
};

class UnsyncedEnv final : public io::Env {
 public:
  explicit UnsyncedEnv(io::Env& env) : env_(env), disk_(env.disk()) {}
  io::Nanos mono() override { return env_.mono(); }
  Time wall() override { return env_.wall(); }
  std::uint64_t random() override { return env_.random(); }
  io::Disk& disk() override { return disk_; }
  std::unique_ptr<io::Worker> start_worker(std::string name,
                                           std::move_only_function<io::Nanos()> body) override {
    return env_.start_worker(std::move(name), std::move(body));
  }
  std::unique_ptr<io::Loop> make_loop() override { return env_.make_loop(); }
  bool wait(Event& event, io::Nanos timeout) override { return env_.wait(event, timeout); }
  int cores() override { return env_.cores(); }

 private:
  io::Env& env_;
  UnsyncedDisk disk_;
};

}  // namespace walrus::crash
