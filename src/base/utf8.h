#pragma once
// UTF-8 (RFC 3629), as far as is needed to tell text from bytes.

#include <cstdint>

#include "walrus/log.h"

namespace walrus {

// The length of the character that `bytes` begin with; 0 where they begin with none: a stray or
// missing continuation byte, an overlong form, a surrogate, a value above U+10FFFF, or nothing.
constexpr std::size_t utf8_character(Bytes bytes) {
  if (bytes.empty()) return 0;
  auto at = [bytes](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  auto first = at(0);
  if (first < 0x80) return 1;
  std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || bytes.size() < size) return 0;
  // The second byte's range rules out overlong forms, surrogates and what lies beyond U+10FFFF.
  auto low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  auto high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (at(1) < low || at(1) > high) return 0;
  for (std::size_t i = 2; i < size; ++i) {
    if (at(i) < 0x80 || at(i) > 0xbf) return 0;
  }
  return size;
}

constexpr bool is_utf8(Bytes bytes) {
  while (!bytes.empty()) {
    auto size = utf8_character(bytes);
    if (size == 0) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

}  // namespace walrus
