#include "replica_truth.h"

#include <fmt/format.h>

#include <algorithm>

#include "meta/invariants.h"
#include "replica/compaction.h"
#include "replica/retention.h"

namespace walrus::sim {

void ReplicaTruth::flag(const std::string& rule, std::string detail) {
  if (!violation_) violation_ = Violation{rule, std::move(detail)};
}

ReplicaTruth::Record* ReplicaTruth::note(const PartitionId& id, std::int64_t offset,
                                         const KeyedValue& is) {
  auto& partition = partitions_[id];
  auto [at, fresh] = partition.records.try_emplace(offset);
  if (fresh) at->second.is = is;
  if (at->second.is != is) {
    flag("I3", fmt::format("partition {} offset {}: {} and {}", id.index, offset,
                           at->second.is.text(), is.text()));
    return nullptr;
  }
  if (!is.value) return &at->second;
  const auto& value = *is.value;
  auto [place, first] = partition.offsets.try_emplace(value, offset);
  // What was deleted may be stored anew if it is sent again.
  auto start = log_start(id);
  if (place->second < start) place->second = std::max(place->second, offset);
  if (place->second != offset && offset >= start) {
    flag("each record once",
         fmt::format("partition {}: {} at {} and at {}", id.index, value, place->second, offset));
    return nullptr;
  }
  return &at->second;
}

void ReplicaTruth::acknowledged(const PartitionId& id, std::int64_t offset, const KeyedValue& is,
                                Time at) {
  auto* record = note(id, offset, is);
  if (!record) return;
  record->acknowledged = true;
  record->at = at;
  auto& end = partitions_[id].acknowledged_end;
  end = std::max(end, offset + 1);
}

void ReplicaTruth::asked_to_trim(const PartitionId& id, std::int64_t first_kept) {
  auto& asked = partitions_[id].asked_to_trim;
  asked = std::max(asked, first_kept);
}

void ReplicaTruth::read(const PartitionId& id, std::int64_t offset, const KeyedValue& is) {
  if (auto* record = note(id, offset, is)) record->read = true;
}

bool ReplicaTruth::compacts(const PartitionId& id) const {
  const auto* topic = state_.topics.find(id.topic);
  return topic && replica::compaction_of(*topic);
}

void ReplicaTruth::forget(Partition& partition, std::int64_t from) {
  for (auto at = partition.records.lower_bound(from); at != partition.records.end();) {
    if (at->second.is.value) partition.offsets.erase(*at->second.is.value);
    at = partition.records.erase(at);
  }
  partition.acknowledged_end = std::min(partition.acknowledged_end, from);
}

void ReplicaTruth::decided(const meta::State& state, Time now_is) {
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
        if (old) check_log_start(id, *old, now, now_is);
        bool sealed = old && old->tail && (!now.tail || now.tail->id != old->tail->id);
        if (sealed && known.acknowledged_end > now.sealed_end.value)
          flag("I1", fmt::format("partition {} is sealed at {}, acknowledged up to {}", id.index,
                                 now.sealed_end.value, known.acknowledged_end));
      });
}

std::int64_t ReplicaTruth::log_start(const PartitionId& id) const {
  const auto* partition = state_.partitions.find(id);
  return partition ? partition->log_start.value : 0;
}

std::optional<Time> ReplicaTruth::newest(const PartitionId& id, std::int64_t from, std::int64_t to,
                                         bool standing) const {
  std::optional<Time> newest;
  auto found = partitions_.find(id);
  if (found == partitions_.end()) return newest;
  const auto& records = found->second.records;
  std::map<std::string, std::int64_t> last;
  if (standing)
    for (const auto& [offset, record] : records)
      if (record.is.key) last[*record.is.key] = offset;
  for (auto at = records.lower_bound(from); at != records.end() && at->first < to; ++at) {
    const auto& is = at->second.is;
    // A tombstone may have gone, too.
    bool may_have_gone = standing && is.key && (!is.value || last[*is.key] != at->first);
    if (!may_have_gone) newest = std::max(newest, at->second.at);
  }
  return newest;
}

void ReplicaTruth::check_log_start(const PartitionId& id, const meta::Partition& before,
                                   const meta::Partition& now, Time at) {
  auto start = now.log_start.value;
  if (start <= std::max(before.log_start.value, partitions_[id].asked_to_trim)) return;
  ++retained_;
  auto retention = replica::retention_of(*state_.topics.find(id.topic));
  std::int64_t bytes = 0, dropped = 0;
  std::size_t segments = 0;
  bool whole = false;
  before.sealed.each([&](const meta::Segment& segment) {
    bytes += static_cast<std::int64_t>(segment.bytes);
    if (segment.end.value > start) return;
    dropped += static_cast<std::int64_t>(segment.bytes);
    whole |= segment.end.value == start;
    ++segments;
  });
  auto youngest = newest(id, before.log_start.value, start, compacts(id));
  bool old = retention.time && (!youngest || *youngest + *retention.time <= at);
  bool big = retention.bytes && bytes - dropped >= *retention.bytes;
  bool little = segments == 1 || dropped <= bytes / 4;
  if (!whole || !little || (!old && !big))
    flag("R32", fmt::format("partition {}: the log starts at {} after {}: {} of {} bytes dropped",
                            id.index, start, before.log_start.value, dropped, bytes));
}

std::string ReplicaTruth::overdue(const PartitionId& id, Time now, Millis for_long) const {
  const auto& partition = *state_.partitions.find(id);
  if (partition.sealed.empty()) return {};
  auto retention = replica::retention_of(*state_.topics.find(id.topic));
  std::int64_t bytes = 0;
  std::optional<meta::Segment> oldest;
  partition.sealed.each([&](const meta::Segment& segment) {
    if (!oldest) oldest = segment;
    else bytes += static_cast<std::int64_t>(segment.bytes);
  });
  auto newest = this->newest(id, oldest->base.value, oldest->end.value);
  bool old = retention.time && newest && *newest + *retention.time + for_long < now;
  bool big = retention.bytes && bytes >= *retention.bytes;
  if (!old && !big) return {};
  return fmt::format("segment {} of partition {} has outlived its settings", oldest->id.value,
                     id.index);
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
  if (compacts(id)) return;
  for (const auto& [offset, record] : partitions_[id].records)
    if (offset >= log_start && record.acknowledged && !record.read)
      flag("what is acknowledged stays",
           fmt::format("partition {} offset {}: {}", id.index, offset, record.is.text()));
}

void ReplicaTruth::check_keys(const PartitionId& id, const std::set<std::int64_t>& shown,
                              const log::Bounds& bounds, Time now) {
  if (!compacts(id)) return;
  auto kept = *replica::compaction_of(*state_.topics.find(id.topic));
  const auto& records = partitions_[id].records;
  auto lag = replica::compaction_lag_of(*state_.topics.find(id.topic)).min;
  std::map<std::string, std::int64_t> newest;
  for (const auto& [offset, record] : records) {
    bool there = offset >= bounds.log_start.value && offset < bounds.high_watermark.value;
    if (there && record.acknowledged && !shown.contains(offset) && record.at &&
        *record.at + lag > now)
      return flag(
          "what is too young for it is not compacted",
          fmt::format("partition {} offset {}: {:.40}", id.index, offset, record.is.text()));
  }
  for (const auto& [offset, record] : records)
    if (record.is.key && offset >= bounds.log_start.value && offset < bounds.high_watermark.value &&
        (record.acknowledged || shown.contains(offset)))
      newest[*record.is.key] = offset;
  for (const auto& [key, offset] : newest) {
    if (shown.contains(offset)) continue;
    const auto& record = records.at(offset);
    bool may_go = !record.is.value && record.at && *record.at + kept <= now;
    if (!may_go)
      return flag("the newest of a key",
                  fmt::format("partition {} offset {}, {}: {:.40} is gone, {} records are shown",
                              id.index, offset, key, record.is.text(), shown.size()));
    ++tombstones_gone_;
    for (auto older : shown)
      if (older < offset && records.at(older).is.key == key)
        flag("the newest of a key",
             fmt::format("partition {}: {} at {} is back without the tombstone at {}", id.index,
                         records.at(older).is.text(), older, offset));
  }
}

}  // namespace walrus::sim
