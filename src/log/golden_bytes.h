#pragma once
// For tests: the bytes of tests/golden/<name>.hex.

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace walrus::log::testing {

// Hexadecimal digits, '#' begins a comment, *N stands for N zero bytes.
inline std::string golden(const std::string& name) {
  std::ifstream file(WALRUS_SOURCE_DIR "/tests/golden/" + name + ".hex");
  std::string bytes, line, digits;
  while (std::getline(file, line)) {
    if (line.starts_with('*')) digits.append(2 * std::stoul(line.substr(1)), '0');
    if (line.starts_with('*')) continue;
    for (char c : line.substr(0, line.find('#'))) {
      if (c != ' ') digits += c;
    }
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  EXPECT_FALSE(bytes.empty()) << name;
  return bytes;
}

}  // namespace walrus::log::testing
