#include "log/fork_guard.h"

#include <sys/mman.h>

#include <system_error>

namespace walrus::log {
namespace {

constexpr std::size_t kGuardBytes = 4096;

}  // namespace

Result<std::unique_ptr<ForkGuard>> ForkGuard::make() {
  void* page =
      ::mmap(nullptr, kGuardBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED)
    return fail(Code::kIo, "mmap of the fork guard: {}", std::generic_category().message(errno));
  if (::madvise(page, kGuardBytes, MADV_WIPEONFORK) != 0) {
    int error = errno;
    ::munmap(page, kGuardBytes);
    return fail(Code::kIo, "madvise of the fork guard: {}", std::generic_category().message(error));
  }
  auto* bytes = static_cast<char*>(page);
  *bytes = 1;
  return std::unique_ptr<ForkGuard>(new ForkGuard(bytes));
}

ForkGuard::~ForkGuard() { ::munmap(const_cast<char*>(page_), kGuardBytes); }

}  // namespace walrus::log
