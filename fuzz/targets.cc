#include "targets.h"

#include <charconv>

#define X(name) extern "C" int fuzz_##name(const std::uint8_t* data, std::size_t size);
WALRUS_FUZZ_TARGETS
#undef X

namespace walrus::fuzz {
namespace {

struct Named {
  std::string_view name;
  Target target;
};

constexpr Named kTargets[] = {
#define X(name) {#name, fuzz_##name},
    WALRUS_FUZZ_TARGETS
#undef X
};

int number = -1;

}  // namespace

Target choose(std::string_view name) {
  auto digits = name.find_last_not_of("0123456789") + 1;
  auto stem = name;
  if (digits < name.size() && digits > 0) {
    std::from_chars(name.data() + digits, name.data() + name.size(), number);
    stem = name.substr(0, digits - 1);
  }
  for (const auto& one : kTargets)
    if (one.name == stem) return one.target;
  return nullptr;
}

int chosen_number() { return number; }

}  // namespace walrus::fuzz
