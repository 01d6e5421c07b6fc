#pragma once
// ForkGuard: tells a process from its fork()ed child. The child inherits the memory of a log but
// neither its workers nor its right to write, so every call on an inherited handle has to be
// refused, and at the price of one load. The guard is a page that the kernel hands to a child as
// zeros (madvise MADV_WIPEONFORK, Linux 4.14): no handler is registered and no pid is asked for.
//
// Threads: any.

#include <memory>

#include "base/result.h"

namespace walrus::log {

class ForkGuard {
 public:
  static Result<std::unique_ptr<ForkGuard>> make();  // kIo
  ~ForkGuard();
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;

  bool inherited() const { return *page_ == 0; }  // true in a child

 private:
  explicit ForkGuard(char* page) : page_(page) {}
  const volatile char* page_;  // 1 in the process that made it
};

}  // namespace walrus::log
