#include "row.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace walrus::bench {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  auto middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Percentiles percentiles(const Histogram& nanos) {
  auto at = [&](double percent) { return static_cast<double>(nanos.percentile(percent)) / 1e3; };
  return {at(50), at(90), at(99), at(99.9)};
}

double Row::value() const { return median(rounds); }

std::optional<double> Row::peer_value() const {
  if (peer_rounds.empty()) return std::nullopt;
  return median(peer_rounds);
}

std::optional<double> Row::ratio() const {
  auto other = peer_value();
  if (!other || *other == 0) return std::nullopt;
  return value() / *other;
}

// A target of the ratio of a row where lower is better is an upper bound too.
std::optional<bool> Row::met() const {
  if (!target) return std::nullopt;
  auto measured = target_of_ratio ? ratio() : std::optional(value());
  if (!measured) return std::nullopt;
  return higher_is_better ? *measured >= *target : *measured <= *target;
}

std::string json(const std::vector<Row>& rows) {
  using Json = nlohmann::ordered_json;
  auto optional = [](const auto& value) { return value ? Json(*value) : Json(nullptr); };
  auto document = Json::array();
  for (const auto& row : rows) {
    Json one = {{"name", row.name},
                {"value", row.value()},
                {"unit", row.unit},
                {"better", row.higher_is_better ? "higher" : "lower"},
                {"peer", row.peer.empty() ? Json(nullptr) : Json(row.peer)},
                {"peer_value", optional(row.peer_value())},
                {"ratio", optional(row.ratio())},
                {"target", optional(row.target)},
                {"target_of", row.target_of_ratio ? "ratio" : "value"},
                {"met", optional(row.met())},
                {"rounds", row.rounds},
                {"conditions", row.conditions}};
    if (row.latency.count() > 0) {
      auto latency = percentiles(row.latency);
      one["latency_us"] = {{"p50", latency.p50},
                           {"p90", latency.p90},
                           {"p99", latency.p99},
                           {"p99.9", latency.p999}};
    }
    document.push_back(std::move(one));
  }
  return document.dump(2) + "\n";
}

}  // namespace walrus::bench
