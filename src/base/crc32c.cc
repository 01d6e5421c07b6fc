#include "base/crc32c.h"

#include <isa-l/crc.h>

namespace walrus {

std::uint32_t crc32c(Bytes bytes, std::uint32_t before) {
  if (bytes.empty()) return before;
  // isa-l reads only, but its signature says otherwise; its lengths are ints.
  auto* at = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  auto left = bytes.size();
  std::uint32_t state = ~before;
  while (left > 0) {
    auto step = left < (1u << 30) ? left : (1u << 30);
    state = crc32_iscsi(at, static_cast<int>(step), state);
    at += step;
    left -= step;
  }
  return ~state;
}

}  // namespace walrus
