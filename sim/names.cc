#include "names.h"

#include <algorithm>

#include "base/result.h"

namespace walrus::sim {
namespace {

bool same(const std::optional<ObservedName>& a, const std::optional<ObservedName>& b) {
  if (!a || !b) return !a && !b;
  return a->id == b->id && same_options(a->options, b->options);
}

std::string shown(const std::optional<ObservedName>& name) {
  return name ? fmt::format("stream {}", name->id) : "absent";
}

}  // namespace

bool same_options(const StreamOptions& a, const StreamOptions& b) {
  return a.durability.kind == b.durability.kind &&
         (a.durability.kind != Durability::kInterval ||
          a.durability.interval == b.durability.interval) &&
         a.segment_records_max == b.segment_records_max &&
         a.segment_bytes_max == b.segment_bytes_max && a.segment_time_max == b.segment_time_max &&
         a.retention_bytes == b.retention_bytes && a.retention_time == b.retention_time &&
         a.compact == b.compact && a.tombstone_retention == b.tombstone_retention &&
         a.compaction_lag_min == b.compaction_lag_min &&
         a.compaction_lag_max == b.compaction_lag_max;
}

std::uint64_t NameHistory::add(Naming naming) {
  namings_.push_back(std::move(naming));
  return folded_ + namings_.size() - 1;
}

void NameHistory::acknowledge(std::uint64_t number, std::int64_t now_ms) {
  if (number < folded_) return;
  auto& naming = namings_[number - folded_];
  if (!naming.acknowledged_ms) naming.acknowledged_ms = now_ms;
}

void NameHistory::require_creation(std::uint64_t id) {
  for (auto& naming : namings_) {
    if (naming.kind == Naming::kCreate && naming.id == id) naming.acknowledged_ms = INT64_MIN;
  }
}

void NameHistory::apply(std::optional<ObservedName>& state, const Naming& naming) {
  if (naming.kind == Naming::kRemove) {
    state.reset();
  } else {
    state = ObservedName{naming.id, naming.options};
  }
}

std::optional<ObservedName> NameHistory::now() const {
  auto state = base_;
  for (const auto& naming : namings_) apply(state, naming);
  return state;
}

std::vector<std::uint64_t> NameHistory::candidates() const {
  std::vector<std::uint64_t> ids;
  if (base_) ids.push_back(base_->id);
  for (const auto& naming : namings_) {
    if (naming.kind == Naming::kCreate) ids.push_back(naming.id);
  }
  return ids;
}

Verdict NameHistory::reconcile(const std::string& name, const std::optional<ObservedName>& seen,
                               std::optional<std::int64_t> marked_ms) {
  auto known = candidates();
  if (seen && std::ranges::find(known, seen->id) == known.end()) {
    for (auto& naming : namings_) {
      if (naming.id == 0) naming.id = seen->id;
    }
  }
  std::size_t least = 0;
  for (std::size_t count = 1; count <= namings_.size(); ++count) {
    auto at = namings_[count - 1].acknowledged_ms;
    if (at && (!marked_ms || *at <= *marked_ms)) least = count;
  }
  auto state = base_;
  std::optional<std::size_t> survivors;
  for (std::size_t count = 0; count <= namings_.size(); ++count) {
    if (count > 0) apply(state, namings_[count - 1]);
    if (same(state, seen)) survivors = count;
  }
  if (!survivors) {
    return Violation{"catalogue", fmt::format("{} is {}, which it never was, or with other options",
                                              name, shown(seen))};
  }
  if (*survivors < least) {
    auto rule = seen ? "resurrected-stream" : "acknowledged-lost";
    return Violation{rule, fmt::format("{} is {}: {} of {} changes survived, {} were acknowledged",
                                       name, shown(seen), *survivors, namings_.size(), least)};
  }
  folded_ += namings_.size();
  namings_.clear();
  base_ = seen;
  return std::nullopt;
}

}  // namespace walrus::sim
