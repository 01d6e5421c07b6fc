// Runs a fuzz target over a corpus without libFuzzer, so that every build with tests replays it.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "targets.h"

namespace {

constexpr std::size_t kInputsMin = 50;  // a corpus with fewer is not worth its name

}  // namespace

int main(int count, char** arguments) {
  auto target = count == 3 ? walrus::fuzz::choose(arguments[1]) : nullptr;
  if (target == nullptr) {
    std::fprintf(stderr, "usage: %s TARGET CORPUS_DIRECTORY\n", arguments[0]);
    return 2;
  }
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(arguments[2], error)) {
    if (entry.is_regular_file(error)) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(stream), {});
    // An exact copy on the heap: a sanitizer sees a read of one byte too many.
    std::vector<std::uint8_t> bytes(text.begin(), text.end());
    // Told before the target runs: when it crashes, this is the last line.
    std::printf("%s, %zu bytes\n", file.filename().c_str(), bytes.size());
    std::fflush(stdout);
    target(bytes.data(), bytes.size());
  }
  std::printf("%zu inputs\n", files.size());
  if (files.size() >= kInputsMin) return 0;
  std::fprintf(stderr, "%s: %zu inputs, at least %zu are due\n", arguments[2], files.size(),
               kInputsMin);
  return 1;
}
