#include "row.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace walrus::bench {
namespace {

std::string number(double value) {
  if (value >= 1e9) return fmt::format("{:.2f} G", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.2f} M", value / 1e6);
  if (value >= 1e4) return fmt::format("{:.1f} k", value / 1e3);
  if (value >= 10) return fmt::format("{:.1f}", value);
  return fmt::format("{:.3f}", value);
}

std::string target_text(const Row& row) {
  if (!row.target) return "";
  return fmt::format("{} {}{}",
                     row.higher_is_better || row.target_of_ratio ? ">=" : "<=", number(*row.target),
                     row.target_of_ratio ? " x" : "");
}

std::string met_text(const Row& row) {
  auto met = row.met();
  return !met ? "" : *met ? "met" : "MISSED";
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  auto middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
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

std::string table(const std::vector<Row>& rows) {
  auto text = fmt::format("{:<30} {:>12} {:<10} {:>12} {:>8} {:>10} {:<7}\n", "row", "value",
                          "unit", "peer", "ratio", "target", "");
  for (const auto& row : rows) {
    auto peer = row.peer_value();
    auto ratio = row.ratio();
    text +=
        fmt::format("{:<30} {:>12} {:<10} {:>12} {:>8} {:>10} {:<7}\n", row.name,
                    number(row.value()), row.unit, peer ? number(*peer) : "-",
                    ratio ? fmt::format("{:.2f}", *ratio) : "-", target_text(row), met_text(row));
  }
  return text;
}

std::string markdown(const std::vector<Row>& rows) {
  std::string text =
      "| row | value | unit | peer | peer's value | ratio | target | |\n"
      "|---|---:|---|---|---:|---:|---:|---|\n";
  for (const auto& row : rows) {
    auto peer = row.peer_value();
    auto ratio = row.ratio();
    text +=
        fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} |\n", row.name, number(row.value()),
                    row.unit, row.peer, peer ? number(*peer) : "",
                    ratio ? fmt::format("{:.2f}", *ratio) : "", target_text(row), met_text(row));
  }
  text += "\nConditions:\n\n";
  for (const auto& row : rows) text += fmt::format("- `{}`: {}\n", row.name, row.conditions);
  return text;
}

std::string json(const std::vector<Row>& rows) {
  auto document = nlohmann::ordered_json::array();
  auto optional = [](const auto& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
  };
  for (const auto& row : rows) {
    document.push_back({{"name", row.name},
                        {"value", row.value()},
                        {"unit", row.unit},
                        {"better", row.higher_is_better ? "higher" : "lower"},
                        {"peer", row.peer.empty() ? nlohmann::ordered_json(nullptr)
                                                  : nlohmann::ordered_json(row.peer)},
                        {"peer_value", optional(row.peer_value())},
                        {"ratio", optional(row.ratio())},
                        {"target", optional(row.target)},
                        {"target_of", row.target_of_ratio ? "ratio" : "value"},
                        {"met", optional(row.met())},
                        {"rounds", row.rounds},
                        {"conditions", row.conditions}});
  }
  return document.dump(2) + "\n";
}

}  // namespace walrus::bench
