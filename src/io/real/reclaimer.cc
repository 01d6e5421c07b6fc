#include "io/real/reclaimer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

namespace walrus::io {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kPieceBytes = 2 << 20, kLargeBytes = 4 * kPieceBytes;
constexpr std::size_t kFilesMax = 16;  // descriptors that wait; beyond them files go at once
constexpr std::size_t kFilesFew = 4;   // up to them there is time for pauses
constexpr int kPauses = 3;             // as long as a piece took, so often

// The kernel grants a lease for writing only to the one who alone has the file open. It is given
// back: without a name nobody can come after.
bool is_only_opener(int file) {
  if (::fcntl(file, F_SETLEASE, F_WRLCK) != 0) return false;
  return ::fcntl(file, F_SETLEASE, F_UNLCK) == 0;
}

}  // namespace

Descriptor Reclaimer::open_large(const Path& path) {
  struct stat status{};
  const bool large = ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
                     status.st_size >= kLargeBytes;
  return Descriptor(large ? ::open(path.c_str(), O_CLOEXEC | O_NOFOLLOW | O_WRONLY) : -1);
}

void Reclaimer::take(Descriptor file) {
  struct stat status{};
  const bool ours = file.get() >= 0 && ::fstat(file.get(), &status) == 0 && status.st_nlink == 0 &&
                    is_only_opener(file.get());
  if (!ours) return;
  const pid_t owner = owner_;
  if (owner != 0 && owner != ::getpid()) return;
  const std::scoped_lock guard(mutex_);
  if (!thread_.joinable()) {
    owner_ = ::getpid();
    thread_ = std::thread([this] { run(); });
  }
  if (files_.size() == kFilesMax) return;
  files_.push_back(std::move(file));
  changed_.notify_one();
}

void Reclaimer::run() {
  ::pthread_setname_np(::pthread_self(), "walrus-reclaim");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !files_.empty(); });
    if (stopping_) return;
    const int file = files_.front().get();
    lock.unlock();
    const auto begin = Clock::now();
    struct stat status{};
    bool more = ::fstat(file, &status) == 0 && status.st_size > 0;
    if (more) {
      // Synced, so that its blocks are free before the next piece is.
      more = ::ftruncate(file, std::max<std::int64_t>(0, status.st_size - kPieceBytes)) == 0 &&
             ::fdatasync(file) == 0;
    }
    lock.lock();
    if (!more) files_.pop_front();
    if (files_.size() > kFilesFew) continue;
    const auto now = Clock::now();
    changed_.wait_until(lock, now + kPauses * (now - begin), [this] { return stopping_; });
  }
}

Reclaimer::~Reclaimer() {
  if (!thread_.joinable()) return;
  if (owner_ != ::getpid()) {
    thread_.detach();
    return;
  }
  {
    const std::scoped_lock guard(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

}  // namespace walrus::io
