// libFuzzer's entry to all targets: called as fuzz_NAME it fuzzes NAME.

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "targets.h"

namespace {
walrus::fuzz::Target target = nullptr;
}

extern "C" int LLVMFuzzerInitialize(int*, char*** arguments) {
  std::string_view name((*arguments)[0]);
  name.remove_prefix(name.rfind('/') + 1);
  constexpr std::string_view kPrefix = "fuzz_";
  if (name.starts_with(kPrefix)) target = walrus::fuzz::choose(name.substr(kPrefix.size()));
  if (target != nullptr) return 0;
  std::fprintf(stderr, "%s: call it by a link fuzz_NAME\n", (*arguments)[0]);
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return target(data, size);
}
