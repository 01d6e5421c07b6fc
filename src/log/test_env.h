#pragma once
// For tests: an io::Env whose disk is in memory, counts what is done to it, loses at power_cut()
// all that was not synced, and fails on demand. The simulated world of io/sim is the thorough one;
// this one is for tests that state what one call does.

#include <map>
#include <set>

#include "io/env.h"
#include "io/network.h"

namespace walrus::log::testing {

struct Inode {
  std::string bytes, synced;
  std::int64_t lowest_write = INT64_MAX;  // position
};
using InodeRef = std::shared_ptr<Inode>;

// Fails the call after `calls_left` more of its kind, and all that follow.
struct Fault {
  std::int64_t calls_left = 0;
  Code code = Code::kIo;
};

struct DiskState {
  std::map<std::string, InodeRef> names, synced_names;
  std::set<std::string> directories, synced_directories;
  std::optional<Fault> write_fault, sync_fault, read_fault;
  std::int64_t syncs = 0, directory_syncs = 0, reads = 0, read_bytes = 0, writes = 0;
  std::int64_t open_files = 0, opened = 0, open_files_most = 0, populated = 0;

  static Result<void> strike(std::optional<Fault>& fault, const char* what) {
    if (!fault || fault->calls_left-- > 0) return {};
    fault->calls_left = 0;
    return fail(fault->code, "{}: injected", what);
  }
};

class MemoryFile final : public io::File {
 public:
  MemoryFile(DiskState& disk, InodeRef inode) : disk_(disk), inode_(std::move(inode)) {
    ++disk_.opened;
    disk_.open_files_most = std::max(disk_.open_files_most, ++disk_.open_files);
  }
  ~MemoryFile() override { --disk_.open_files; }

  Result<std::size_t> read(std::int64_t position, std::span<char> to) override {
    WALRUS_TRY(DiskState::strike(disk_.read_fault, "read"));
    auto from = static_cast<std::size_t>(position);
    ++disk_.reads;
    if (from >= inode_->bytes.size()) return 0;
    auto size = std::min(to.size(), inode_->bytes.size() - from);
    std::memcpy(to.data(), inode_->bytes.data() + from, size);
    disk_.read_bytes += static_cast<std::int64_t>(size);
    return size;
  }
  Result<void> write(std::int64_t position, Bytes bytes) override {
    auto from = static_cast<std::size_t>(position);
    auto struck = DiskState::strike(disk_.write_fault, "write");
    if (!struck) bytes = bytes.substr(0, bytes.size() / 2);  // a short write, then the error
    ++disk_.writes;
    inode_->lowest_write = std::min(inode_->lowest_write, position);
    if (inode_->bytes.size() < from + bytes.size()) inode_->bytes.resize(from + bytes.size());
    std::memcpy(inode_->bytes.data() + from, bytes.data(), bytes.size());
    return struck;
  }
  Result<void> sync() override {
    WALRUS_TRY(DiskState::strike(disk_.sync_fault, "sync"));
    ++disk_.syncs;
    inode_->synced = inode_->bytes;
    return {};
  }
  Result<void> sync_range(std::int64_t, std::int64_t) override { return sync(); }
  Result<std::int64_t> size() override { return static_cast<std::int64_t>(inode_->bytes.size()); }
  Result<void> truncate(std::int64_t size) override {
    inode_->bytes.resize(static_cast<std::size_t>(size));
    inode_->lowest_write = std::min(inode_->lowest_write, size);
    return {};
  }
  Result<void> allocate(std::int64_t size) override { return truncate(size); }
  Result<void> write_zeros(std::int64_t, std::int64_t) override { return {}; }
  Result<std::span<char>> map() override { return std::span<char>(inode_->bytes); }
  void populate(std::int64_t from, std::int64_t to) override { disk_.populated += to - from; }
  void let_go(std::int64_t, std::int64_t) override {}
  Result<void> write_direct(std::int64_t position, Bytes bytes) override {
    return write(position, bytes);
  }

 private:
  DiskState& disk_;
  InodeRef inode_;
};

class MemoryDisk final : public io::Disk {
 public:
  DiskState state;

  // What a power cut leaves: synced bytes below synced names.
  void power_cut() {
    state.names = state.synced_names;
    state.directories = state.synced_directories;
    for (auto& [name, inode] : state.names) inode->bytes = inode->synced;
  }
  std::string& bytes(const io::Path& path) { return state.names.at(path.string())->bytes; }

  Result<std::unique_ptr<io::File>> open(const io::Path& path, io::Open how) override {
    auto name = path.string();
    auto found = state.names.find(name);
    if (!io::creates(how)) {
      if (found == state.names.end()) return fail(Code::kNotFound, "{}: not found", name);
      return std::make_unique<MemoryFile>(state, found->second);
    }
    if (found != state.names.end()) return fail(Code::kExists, "{}: exists", name);
    if (!state.directories.contains(path.parent_path().string())) {
      return fail(Code::kNotFound, "{}: no such directory", path.parent_path().string());
    }
    auto inode = std::make_shared<Inode>();
    state.names[name] = inode;
    return std::make_unique<MemoryFile>(state, inode);
  }
  Result<void> make_directory(const io::Path& path) override {
    for (auto at = path; at != at.parent_path(); at = at.parent_path()) {
      state.directories.insert(at.string());
    }
    return {};
  }
  Result<void> sync_directory(const io::Path& path) override {
    WALRUS_TRY(DiskState::strike(state.sync_fault, "sync_directory"));
    ++state.directory_syncs;
    auto inside = [&](const std::string& name) { return io::Path(name).parent_path() == path; };
    std::erase_if(state.synced_names, [&](const auto& entry) { return inside(entry.first); });
    for (const auto& entry : state.names) {
      if (inside(entry.first)) state.synced_names.insert(entry);
    }
    for (const auto& name : state.directories) {
      if (inside(name)) state.synced_directories.insert(name);
    }
    return {};
  }
  Result<void> rename(const io::Path& from, const io::Path& to) override {
    auto found = state.names.find(from.string());
    if (found == state.names.end()) return fail(Code::kNotFound, "{}: not found", from.string());
    state.names[to.string()] = found->second;
    state.names.erase(from.string());
    return {};
  }
  Result<void> remove(const io::Path& path) override {
    if (state.names.erase(path.string()) == 0) {
      return fail(Code::kNotFound, "{}: not found", path.string());
    }
    return {};
  }
  Result<std::vector<io::Entry>> list(const io::Path& path) override {
    if (!state.directories.contains(path.string())) {
      return fail(Code::kNotFound, "{}: not found", path.string());
    }
    std::map<std::string, io::Entry> entries;
    for (const auto& name : state.directories) {
      io::Path at(name);
      if (at.parent_path() == path) {
        entries[at.filename()] = {.name = at.filename(), .directory = true};
      }
    }
    for (const auto& [name, inode] : state.names) {
      io::Path at(name);
      if (at.parent_path() == path) {
        entries[at.filename()] = {.name = at.filename(),
                                  .size = static_cast<std::int64_t>(inode->bytes.size())};
      }
    }
    std::vector<io::Entry> sorted;
    for (auto& entry : entries) sorted.push_back(std::move(entry.second));
    return sorted;
  }
  Result<bool> exists(const io::Path& path) override {
    return state.names.contains(path.string()) || state.directories.contains(path.string());
  }
  Result<std::unique_ptr<io::DirectoryLock>> lock(const io::Path&) override {
    return std::make_unique<io::DirectoryLock>();
  }
  Result<std::int64_t> free_bytes(const io::Path&) override { return std::int64_t{1} << 40; }
  std::string boot_id() override { return "boot"; }
};

class TestEnv final : public io::Env {
 public:
  MemoryDisk memory;

  io::Nanos mono() override { return {}; }
  Time wall() override { return {}; }
  std::uint64_t random() override { return 4; }
  io::Disk& disk() override { return memory; }
  std::unique_ptr<io::Worker> start_worker(std::string,
                                           std::move_only_function<io::Nanos()>) override {
    return nullptr;
  }
  std::unique_ptr<io::Loop> make_loop() override { return nullptr; }
  bool wait(Event& event, io::Nanos) override { return event.is_set(); }
  bool single_threaded() const override { return true; }
};

}  // namespace walrus::log::testing
