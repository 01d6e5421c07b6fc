// Loaded before the C library (LD_PRELOAD), to have a disk that is slow and otherwise works: each
// fsync, fdatasync and msync returns so many milliseconds later as the first four bytes of the file
// WALRUS_SLOW_SYNC say, in the machine's byte order. They may change at any time.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace {

using Delay = std::atomic<std::int32_t>;
static_assert(Delay::is_always_lock_free);

const Delay* map_delay() {
  const char* path = std::getenv("WALRUS_SLOW_SYNC");
  if (path == nullptr) return nullptr;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  void* mapped = MAP_FAILED;
  if (file >= 0) {
    mapped = mmap(nullptr, sizeof(Delay), PROT_READ, MAP_SHARED, file, 0);
    close(file);
  }
  if (mapped != MAP_FAILED) return static_cast<const Delay*>(mapped);
  std::perror(path);
  std::exit(2);
}

template <class Call>
Call next(const char* name) {
  return reinterpret_cast<Call>(dlsym(RTLD_NEXT, name));
}

int later(int result) {
  static const Delay* const delay = map_delay();
  auto millis = delay == nullptr ? 0 : delay->load();
  if (millis <= 0) return result;
  auto error = errno;
  timespec left{.tv_sec = millis / 1000, .tv_nsec = millis % 1000 * 1'000'000L};
  while (nanosleep(&left, &left) != 0) {
  }
  errno = error;
  return result;
}

}  // namespace

extern "C" {

int fsync(int file) {
  static const auto call = next<int (*)(int)>("fsync");
  return later(call(file));
}

int fdatasync(int file) {
  static const auto call = next<int (*)(int)>("fdatasync");
  return later(call(file));
}

int msync(void* address, std::size_t size, int flags) {
  static const auto call = next<int (*)(void*, std::size_t, int)>("msync");
  return later(call(address, size, flags));
}
}
