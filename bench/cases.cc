#include "cases.h"

#include <cstring>
#include <fstream>

namespace walrus::bench {
namespace {

int measure(const Case& one, Bench& bench, const char* out_file) {
  std::filesystem::create_directories(bench.work);
  one.measure(bench);
  std::ofstream out(out_file);
  out << json(bench.rows);
  return out.flush() ? 0 : 1;
}

}  // namespace

int run_cases(std::span<const Case> cases, int count, char** words) {
  if (count == 1) {
    for (const auto& one : cases) std::printf("%s %s\n", one.name, one.rows);
    return 0;
  }
  if (count < 5) return 2;
  Bench bench;
  bench.work = words[3];
  bench.binary = words[4];
  if (count > 5) bench.rounds = std::atoi(words[5]);
  bench.brief = count > 6 && std::strcmp(words[6], "brief") == 0;
  for (const auto& one : cases)
    if (std::strcmp(one.name, words[1]) == 0) return measure(one, bench, words[2]);
  return 2;
}

}  // namespace walrus::bench
