#pragma once
// For tests: the bytes of tests/golden/<name>.hex. Hexadecimal digits and blanks, '#' begins a
// comment, *N stands for N zero bytes.

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "walrus_source_dir.h"

namespace walrus {

inline std::string golden_line(const std::string& line) {
  if (line.starts_with('*')) return std::string(std::stoul(line.substr(1)), '\0');
  std::string digits = line.substr(0, line.find('#')), bytes;
  std::erase(digits, ' ');
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

// Of a file that holds something of its own in each line.
inline std::vector<std::string> golden_lines(const std::string& name) {
  std::ifstream file(WALRUS_SOURCE_DIR "/tests/golden/" + name + ".hex");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);)
    if (auto bytes = golden_line(line); !bytes.empty()) lines.push_back(std::move(bytes));
  EXPECT_FALSE(lines.empty()) << name;
  return lines;
}

inline std::string golden_bytes(const std::string& name) {
  std::string bytes;
  for (const auto& line : golden_lines(name)) bytes += line;
  return bytes;
}

}  // namespace walrus
