#pragma once
// What a world tells of one seed, and what many of them add up to: the table at the end of a run.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "history.h"

namespace walrus::sim {

struct Outcome {
  std::vector<std::pair<std::string, std::int64_t>> rows{};  // in the order of the table
  std::map<std::string, std::int64_t> hits{};                // per fault family, and more
  std::uint64_t trace = 0;
  Verdict violation{};

  // The other one's rows are of the same names in the same order.
  void add(const Outcome& other) {
    if (rows.empty()) rows = other.rows;
    else
      for (std::size_t i = 0; i < rows.size(); ++i) rows[i].second += other.rows[i].second;
    for (const auto& [name, count] : other.hits) hits[name] += count;
  }
};

// One seed of a world.
struct World {
  std::string name{}, what{};
  Outcome (*run)(std::uint64_t seed, std::int64_t operations, bool narrate) = nullptr;
  std::vector<std::string> (*families)() = nullptr;
  // Averages a seed that a long run has to reach, by the row's name.
  std::vector<std::pair<std::string, std::int64_t>> least_per_seed{};
  bool by_time = false;  // its length is a time, and not a number of operations
};

std::vector<World> all_worlds();

}  // namespace walrus::sim
