#pragma once
// Sixteen random bytes that name a thing for good: a topic, a cluster, a node's directory. Whoever
// makes the thing draws them.

#include <array>
#include <compare>
#include <cstring>
#include <string>

namespace walrus {

struct Uuid {
  std::array<char, 16> bytes{};

  bool is_zero() const { return *this == Uuid{}; }
  bool operator==(const Uuid&) const = default;
  // The order of the bytes as unsigned numbers, on every platform.
  std::strong_ordering operator<=>(const Uuid& other) const {
    return std::memcmp(bytes.data(), other.bytes.data(), bytes.size()) <=> 0;
  }
};

std::string to_string(const Uuid&);  // 32 hexadecimal digits

}  // namespace walrus
