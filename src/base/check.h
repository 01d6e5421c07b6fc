#pragma once
// CHECK: a broken invariant of ours ends the process, in release builds too. Never on bytes that
// come from outside: bad input, a bad disk and a bad peer are Results.

namespace walrus {

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

#define CHECK(condition) \
  ((condition) ? (void)0 : ::walrus::check_failed(#condition, __FILE__, __LINE__))

}  // namespace walrus
