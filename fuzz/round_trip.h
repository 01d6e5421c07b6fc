#pragma once
// What parses must encode to bytes that parse to the same; what does not, must say why.

#include <string>

#include "base/check.h"
#include "base/result.h"

namespace walrus::fuzz {

// `encode` returns the bytes of a value.
template <class T, class Encode, class Parse>
void check_round_trip(const Result<T>& value, const Encode& encode, const Parse& parse) {
  if (!value) {
    CHECK(!value.error().message.empty());
    return;
  }
  const std::string bytes = encode(*value);
  auto again = parse(Bytes(bytes));
  CHECK(again.has_value() && *again == *value);
}

// An encoder of a function that appends.
template <class T>
auto appends(void (*append)(std::string&, const T&)) {
  return [append](const T& value) {
    std::string bytes;
    append(bytes, value);
    return bytes;
  };
}

}  // namespace walrus::fuzz
