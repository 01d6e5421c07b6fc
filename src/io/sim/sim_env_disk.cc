#include "io/sim/sim_env_disk.h"

#include <cerrno>

#include "io/posix_error.h"
#include "io/sim/sim_file.h"

namespace walrus::io {
namespace {

class SimLock final : public DirectoryLock {
 public:
  SimLock(IncarnationRef life, SimInodeRef file) : life_(std::move(life)), file_(std::move(file)) {}
  ~SimLock() override {
    if (life_->alive) file_->locked_by.reset();
  }

 private:
  const IncarnationRef life_;
  const SimInodeRef file_;
};

int pid_of(const Incarnation& life) { return 1000 * (life.node->index + 1) + life.number; }

SimDiskState& disk_of(const Incarnation& life) { return life.node->disk.state(); }

}  // namespace

Result<std::unique_ptr<File>> SimEnvDisk::open(const Path& path, Open how) {
  return operate(*incarnation_, "open", path, [&]() -> Result<std::unique_ptr<File>> {
    SimDiskState& disk = disk_of(*incarnation_);
    DiskChance& chance = disk.chance;
    if (chance.fault("open_error", chance.options.faults.open_error) ||
        incarnation_->open_files >= chance.options.open_files_max) {
      return fail_errno(EMFILE, "open", path);
    }
    auto inode = disk.find(path);
    if (inode && creates(how)) return fail_errno(EEXIST, "open", path);
    if (inode && inode->directory() && how != Open::kRead) return fail_errno(EISDIR, "open", path);
    if (!inode) {
      if (!creates(how) || !disk.parent_of(path)) return fail_errno(ENOENT, "open", path);
      inode = disk.create(path, false);
    }
    return std::make_unique<SimFile>(incarnation_, std::move(inode), path, how != Open::kRead);
  });
}

Result<void> SimEnvDisk::make_directory(const Path& path) {
  Path at = "/";
  for (const auto& name : SimDiskState::normal(path).relative_path()) {
    at /= name;
    const auto existing = disk_of(*incarnation_).find(at);
    if (existing && existing->directory()) continue;
    // One operation for each that is made: a crash may come between them.
    WALRUS_TRY(operate(*incarnation_, "make directory", at, [&]() -> Result<void> {
      if (existing) return fail_errno(ENOTDIR, "make directory", path);
      disk_of(*incarnation_).create(at, true);
      return {};
    }));
  }
  if (!incarnation_->alive) {
    return fail(Code::kIo, "make directory {}: simulated crash", path.string());
  }
  return {};
}

Result<void> SimEnvDisk::sync_directory(const Path& path) {
  return operate(*incarnation_, "sync directory", path, [&]() -> Result<void> {
    SimDiskState& disk = disk_of(*incarnation_);
    const auto directory = disk.find(path);
    if (!directory) return fail_errno(ENOENT, "open directory", path);
    if (!directory->directory()) return fail_errno(ENOTDIR, "open directory", path);
    // The changes stay pending: whether a later sync would write them is not known.
    if (disk.chance.fault("sync_error", disk.chance.options.faults.sync_error)) {
      return fail_errno(EIO, "sync directory", path);
    }
    disk.sync_directory(directory);
    return {};
  });
}

Result<void> SimEnvDisk::rename(const Path& from, const Path& to) {
  return operate(*incarnation_, "rename", from, [&]() -> Result<void> {
    SimDiskState& disk = disk_of(*incarnation_);
    const auto moved = disk.find(from);
    const auto target = disk.find(to);
    if (!moved || !disk.parent_of(to)) return fail_errno(ENOENT, "rename", from);
    if (target && target->directory() != moved->directory()) {
      return fail_errno(moved->directory() ? ENOTDIR : EISDIR, "rename", from);
    }
    if (target && target->directory() && !target->entries.empty()) {
      return fail_errno(ENOTEMPTY, "rename", from);
    }
    disk.rename(from, to);
    return {};
  });
}

Result<void> SimEnvDisk::remove(const Path& path) {
  return operate(*incarnation_, "remove", path, [&]() -> Result<void> {
    SimDiskState& disk = disk_of(*incarnation_);
    const auto inode = disk.find(path);
    if (!inode) return fail_errno(ENOENT, "remove", path);
    if (inode == disk.root()) return fail_errno(EBUSY, "remove", path);
    if (!inode->entries.empty()) return fail_errno(ENOTEMPTY, "remove", path);
    disk.remove(path);
    return {};
  });
}

Result<std::vector<Entry>> SimEnvDisk::list(const Path& path) {
  return operate(*incarnation_, "list", path, [&]() -> Result<std::vector<Entry>> {
    const auto directory = disk_of(*incarnation_).find(path);
    if (!directory) return fail_errno(ENOENT, "list", path);
    if (!directory->directory()) return fail_errno(ENOTDIR, "list", path);
    std::vector<Entry> entries;
    for (const auto& [name, inode] : directory->entries) {
      entries.push_back({.name = name, .directory = inode->directory(), .size = inode->size()});
    }
    return entries;
  });
}

Result<bool> SimEnvDisk::exists(const Path& path) {
  return operate(*incarnation_, "stat", path,
                 [&]() -> Result<bool> { return disk_of(*incarnation_).find(path) != nullptr; });
}

Result<std::unique_ptr<DirectoryLock>> SimEnvDisk::lock(const Path& path) {
  using Lock = Result<std::unique_ptr<DirectoryLock>>;
  return operate(*incarnation_, "lock", path, [&]() -> Lock {
    SimDiskState& disk = disk_of(*incarnation_);
    auto inode = disk.find(path);
    if (inode && inode->directory()) return fail_errno(EISDIR, "open", path);
    if (!inode && !disk.parent_of(path)) return fail_errno(ENOENT, "open", path);
    if (!inode) inode = disk.create(path, false);
    if (const auto holder = inode->locked_by.lock(); holder && holder->alive) {
      return fail(Code::kLocked, "{} is locked by process {}", path.string(), pid_of(*holder));
    }
    inode->resize(0);
    inode->write(0, std::to_string(pid_of(*incarnation_)) + "\n");
    inode->locked_by = incarnation_;
    return std::make_unique<SimLock>(incarnation_, std::move(inode));
  });
}

Result<std::int64_t> SimEnvDisk::free_bytes(const Path& path) {
  return operate(*incarnation_, "statvfs", path, [&]() -> Result<std::int64_t> {
    SimDiskState& disk = disk_of(*incarnation_);
    if (!disk.find(path)) return fail_errno(ENOENT, "statvfs", path);
    return std::max<std::int64_t>(0, disk.chance.options.capacity_bytes - disk.used_bytes());
  });
}

std::string SimEnvDisk::boot_id() { return disk_of(*incarnation_).boot_id(); }

}  // namespace walrus::io
