#include "replica_truth.h"

#include <fmt/format.h>

#include <algorithm>

#include "meta/invariants.h"

namespace walrus::sim {

void ReplicaTruth::flag(const std::string& rule, std::string detail) {
  if (!violation_) violation_ = Violation{rule, std::move(detail)};
}

ReplicaTruth::Record* ReplicaTruth::note(const PartitionId& id, std::int64_t offset,
                                         const std::string& value) {
  auto& partition = partitions_[id];
  auto [at, fresh] = partition.records.try_emplace(offset);
  if (fresh) at->second.value = value;
  if (at->second.value != value) {
    flag("I3", fmt::format("partition {} offset {}: {} and {}", id.index, offset, at->second.value,
                           value));
    return nullptr;
  }
  auto [place, first] = partition.offsets.try_emplace(value, offset);
  if (place->second != offset) {
    flag("each record once",
         fmt::format("partition {}: {} at {} and at {}", id.index, value, place->second, offset));
    return nullptr;
  }
  return &at->second;
}

void ReplicaTruth::acknowledged(const PartitionId& id, std::int64_t offset,
                                const std::string& value) {
  auto* record = note(id, offset, value);
  if (!record) return;
  record->acknowledged = true;
  auto& end = partitions_[id].acknowledged_end;
  end = std::max(end, offset + 1);
}

void ReplicaTruth::read(const PartitionId& id, std::int64_t offset, const std::string& value) {
  if (auto* record = note(id, offset, value)) record->read = true;
}

void ReplicaTruth::forget(Partition& partition, std::int64_t from) {
  for (auto at = partition.records.lower_bound(from); at != partition.records.end();) {
    partition.offsets.erase(at->second.value);
    at = partition.records.erase(at);
  }
  partition.acknowledged_end = std::min(partition.acknowledged_end, from);
}

void ReplicaTruth::decided(const meta::State& state) {
  auto before = std::exchange(state_, state);
  if (auto rule = meta::broken_rule(state); !rule.empty()) flag("metadata", rule);
  if (auto rule = meta::broken_step(before, state); !rule.empty()) flag("metadata", rule);
  state.partitions.changed_since(
      before.version.value, [&](const PartitionId& id, const meta::Partition& now) {
        auto& known = partitions_[id];
        if (now.losses_total > known.losses) {
          known.losses = now.losses_total;
          forget(known, now.losses.back().end.value);
        }
        // A tail begins where the one before it was sealed: nothing of it is acknowledged yet.
        const auto* old = before.partitions.find(id);
        bool sealed = old && old->tail && (!now.tail || now.tail->id != old->tail->id);
        if (sealed && known.acknowledged_end > now.sealed_end.value)
          flag("I1", fmt::format("partition {} is sealed at {}, acknowledged up to {}", id.index,
                                 now.sealed_end.value, known.acknowledged_end));
      });
}

std::int64_t ReplicaTruth::acknowledged_end(const PartitionId& id) const {
  auto found = partitions_.find(id);
  return found == partitions_.end() ? 0 : found->second.acknowledged_end;
}

bool ReplicaTruth::lost_anything(const PartitionId& id) const {
  auto found = partitions_.find(id);
  return found != partitions_.end() && found->second.losses > 0;
}

void ReplicaTruth::check_all_read(const PartitionId& id, std::int64_t log_start) {
  for (const auto& [offset, record] : partitions_[id].records)
    if (offset >= log_start && record.acknowledged && !record.read)
      flag("what is acknowledged stays",
           fmt::format("partition {} offset {}: {}", id.index, offset, record.value));
}

}  // namespace walrus::sim
