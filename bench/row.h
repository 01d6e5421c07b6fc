#pragma once
// One line of a benchmark's result. The form of the JSON is what scripts read.

#include <optional>
#include <string>
#include <vector>

#include "base/histogram.h"

namespace walrus::bench {

// Of one or several rounds, in microseconds.
struct Percentiles {
  double p50 = 0, p90 = 0, p99 = 0, p999 = 0;
};
Percentiles percentiles(const Histogram& nanos);

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
  Histogram latency;  // of all rounds, nanoseconds; empty = not measured

  double value() const;
  std::optional<double> peer_value() const;
  std::optional<double> ratio() const;
  std::optional<bool> met() const;
};

double median(std::vector<double> values);
std::string json(const std::vector<Row>&);

}  // namespace walrus::bench
