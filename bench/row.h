#pragma once
// One line of a benchmark's result, and what is made of them: a table, build/bench/X.json, and
// docs/benchmarks/X.md.

#include <optional>
#include <string>
#include <vector>

namespace walrus::bench {

struct Row {
  std::string name;
  std::vector<double> rounds;  // the value is their median
  std::string unit;
  bool higher_is_better = true;
  std::string peer;  // empty = none
  std::vector<double> peer_rounds;
  std::optional<double> target;
  bool target_of_ratio = false;
  std::string conditions;

  double value() const;
  std::optional<double> peer_value() const;
  std::optional<double> ratio() const;
  std::optional<bool> met() const;
};

double median(std::vector<double> values);
std::string table(const std::vector<Row>&);  // for a terminal
std::string markdown(const std::vector<Row>&);
std::string json(const std::vector<Row>&);

}  // namespace walrus::bench
