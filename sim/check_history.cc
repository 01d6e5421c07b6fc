// walrus_check_history: decides about a history of a key-value store that a test wrote down. Its
// text form stands in kv_history.h, what is checked in linearizable.h.
//
// usage: walrus_check_history FILE [--steps N]; `-` is standard input
// exit status: 0 linearizable; 1 it is not, or that could not be decided; 2 no history

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

#include "linearizable.h"

namespace walrus::sim {
namespace {

std::optional<std::string> contents(const std::string& file) {
  using Begin = std::istreambuf_iterator<char>;
  if (file == "-") return std::string(Begin(std::cin), Begin());
  std::ifstream from(file, std::ios::binary);
  if (!from) return std::nullopt;
  return std::string(Begin(from), Begin());
}

int check(const std::string& file, std::int64_t steps_max) {
  auto text = contents(file);
  if (!text) {
    std::fprintf(stderr, "walrus_check_history: %s: cannot be read\n", file.c_str());
    return 2;
  }
  auto history = KvHistory::parse(*text);
  if (!history) {
    std::fprintf(stderr, "walrus_check_history: %s: %s\n", file.c_str(),
                 history.error().message.c_str());
    return 2;
  }
  auto verdict = check_linearizable(*history, steps_max);
  if (verdict) {
    std::printf("%s: %s\n", verdict->rule.c_str(), verdict->detail.c_str());
    return 1;
  }
  std::printf("%zu operations, linearizable\n", history->operations().size());
  return 0;
}

}  // namespace
}  // namespace walrus::sim

int main(int argc, char** argv) {
  std::string file;
  std::int64_t steps_max = walrus::sim::kKvStepsMax;
  CLI::App app("Decides whether a history of a key-value store is linearizable.");
  app.add_option("file", file, "the history; - for standard input")->required();
  app.add_option("--steps", steps_max, "how many configurations a search may try")
      ->check(CLI::PositiveNumber);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return walrus::sim::check(file, steps_max);
}
