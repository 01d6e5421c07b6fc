#include "io/real/real_disk.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <charconv>

#include "base/result.h"
#include "io/posix_error.h"
#include "io/real/real_file.h"

namespace walrus::io {
namespace {

constexpr mode_t kFileMode = 0644, kPrivateFileMode = 0600;

std::unexpected<Error> fail_code(const std::error_code& code, const char* call, const Path& path) {
  return fail_errno(code.value(), call, path);
}

class RealLock final : public DirectoryLock {
 public:
  explicit RealLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  const Descriptor fd_;  // closing it releases the lock
};

std::string pid_in(int fd) {
  char text[24] = {};
  const auto length = ::pread(fd, text, sizeof text, 0);
  long pid = 0;
  if (length <= 0 || std::from_chars(text, text + length, pid).ec != std::errc()) return "unknown";
  return std::to_string(pid);
}

}  // namespace

Result<std::unique_ptr<File>> RealDisk::open(const Path& path, Open how) {
  int flags = O_CLOEXEC | (how == Open::kRead ? O_RDONLY : O_RDWR);
  if (creates(how)) flags |= O_CREAT | O_EXCL;
  const auto mode = how == Open::kCreatePrivate ? kPrivateFileMode : kFileMode;
  Descriptor fd(::open(path.c_str(), flags, mode));
  if (fd.get() < 0) return fail_errno(errno, "open", path);
  return std::make_unique<RealFile>(std::move(fd), path, how != Open::kRead);
}

Result<void> RealDisk::make_directory(const Path& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code) return fail_code(code, "make directory", path);
  return {};
}

Result<void> RealDisk::sync_directory(const Path& path) {
  const Descriptor fd(::open(path.c_str(), O_CLOEXEC | O_RDONLY | O_DIRECTORY));
  if (fd.get() < 0) return fail_errno(errno, "open directory", path);
  if (::fsync(fd.get()) != 0) return fail_errno(errno, "sync directory", path);
  return {};
}

Result<void> RealDisk::rename(const Path& from, const Path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return fail_errno(errno, "rename", from);
  return {};
}

Result<void> RealDisk::remove(const Path& path) {
  auto large = Reclaimer::open_large(path);
  if (::remove(path.c_str()) != 0) return fail_errno(errno, "remove", path);
  reclaimer_.take(std::move(large));
  return {};
}

Result<std::vector<Entry>> RealDisk::list(const Path& path) {
  std::vector<Entry> entries;
  std::error_code code;
  std::filesystem::directory_iterator at(path, code);
  while (!code && at != std::filesystem::directory_iterator()) {
    struct stat status{};
    // What was removed since the name was read is not listed.
    if (::lstat(at->path().c_str(), &status) == 0) {
      const bool directory = S_ISDIR(status.st_mode);
      entries.push_back({.name = at->path().filename().string(),
                         .directory = directory,
                         .size = directory ? 0 : status.st_size});
    } else if (errno != ENOENT) {
      return fail_errno(errno, "stat", at->path());
    }
    at.increment(code);
  }
  if (code) return fail_code(code, "list", path);
  std::ranges::sort(entries, {}, &Entry::name);
  return entries;
}

Result<bool> RealDisk::exists(const Path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return fail_errno(errno, "stat", path);
}

Result<std::unique_ptr<DirectoryLock>> RealDisk::lock(const Path& file) {
  Descriptor fd(::open(file.c_str(), O_CLOEXEC | O_RDWR | O_CREAT, kFileMode));
  if (fd.get() < 0) return fail_errno(errno, "open", file);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno(errno, "lock", file);
    return fail(Code::kLocked, "{} is locked by process {}", file.string(), pid_in(fd.get()));
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd.get(), 0) != 0) return fail_errno(errno, "truncate", file);
  const auto put = [&](std::int64_t at, Bytes part) {
    return ::pwrite(fd.get(), part.data(), part.size(), at);
  };
  if (auto written = write_fully(put, file, 0, pid); !written) {
    return std::unexpected(std::move(written).error());
  }
  return std::make_unique<RealLock>(std::move(fd));
}

Result<std::int64_t> RealDisk::free_bytes(const Path& path) {
  struct statvfs status{};
  if (::statvfs(path.c_str(), &status) != 0) return fail_errno(errno, "statvfs", path);
  return static_cast<std::int64_t>(status.f_bavail) * static_cast<std::int64_t>(status.f_frsize);
}

std::string RealDisk::boot_id() {
  const Descriptor fd(::open("/proc/sys/kernel/random/boot_id", O_CLOEXEC | O_RDONLY));
  char text[64] = {};
  const auto length = fd.get() < 0 ? 0 : ::read(fd.get(), text, sizeof text);
  std::string id(text, static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

}  // namespace walrus::io
