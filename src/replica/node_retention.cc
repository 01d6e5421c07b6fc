// What has outlived its topic's settings goes. Every node that has a copy of the oldest segment of
// a partition looks for itself, by a clock of its own that no jump drags along, and proposes the
// log start: a compare-and-swap, so that one of them moves it.

#include "replica/node_state.h"
#include "replica/retention.h"

namespace walrus::replica {

Retention retention_of(const meta::Topic& topic) {
  Retention retention;
  auto policy = topic.settings.find("cleanup.policy");
  bool compacts_only =
      policy != topic.settings.end() && (policy->second == "compact" || policy->second == "true");
  if (topic.internal || compacts_only) return retention;
  if (auto bytes = number_setting(topic, "retention.bytes", -1); bytes >= 0)
    retention.bytes = bytes;
  if (auto ms = number_setting(topic, "retention.ms", -1); ms >= 0) retention.time = Millis(ms);
  return retention;
}

std::optional<Offset> first_kept(const Retention& retention, std::span<const Aged> sealed,
                                 Time now) {
  std::int64_t bytes = 0, dropped = 0;
  for (const auto& segment : sealed) bytes += segment.bytes;
  const auto most = bytes / 4;
  std::optional<Offset> kept;
  for (const auto& segment : sealed) {
    bool big = retention.bytes && bytes - dropped - segment.bytes >= *retention.bytes;
    bool old = retention.time && segment.newest && *segment.newest < now - *retention.time;
    if (!big && !old) break;
    if (kept && dropped + segment.bytes > most) break;
    dropped += segment.bytes;
    kept = segment.end;
  }
  return kept;
}

void NodeState::retain(Instant now) {
  retain_at_ = now + options_.limits.retain_every;
  const Time clock{Millis(engine_.trusted_ms())};
  for (const auto& [id, part] : parts_) {
    const auto* partition = partition_of(id);
    if (!partition) continue;
    roll_trimmed(part, *partition);
    if (partition->sealed.empty() || part.mine.empty()) continue;
    auto kept = find_outlived(*partition, *image_->topics.find(id.topic), clock);
    if (!kept || !meta::is_replica(partition->sealed.first(), options_.self)) continue;
    propose(meta::SetLogStart{id, partition->version, *kept}, [this](const meta::Outcome* outcome) {
      if (outcome && outcome->done()) ++stats_.log_starts_moved;
    });
  }
}

std::optional<Offset> NodeState::find_outlived(const meta::Partition& partition,
                                               const meta::Topic& topic, Time now) const {
  auto retention = retention_of(topic);
  if (!retention.any()) return std::nullopt;
  std::vector<Aged> sealed;
  bool aging = retention.time.has_value();  // behind the first one that stays no age is asked for
  auto add = [&](const meta::Segment& segment) {
    Aged one{.end = segment.end, .bytes = static_cast<std::int64_t>(segment.bytes)};
    if (aging) one.newest = newest_of(segment);
    aging = one.newest && *one.newest < now - *retention.time;
    sealed.push_back(one);
    return retention.bytes || aging || sealed.size() > 1;  // all of them if the oldest one may go
  };
  partition.sealed.scan({}, add);
  return first_kept(retention, sealed, now);
}

// Of what is whole here. Nothing is asked of others: they look for themselves.
std::optional<Time> NodeState::newest_of(const meta::Segment& segment) const {
  auto copy = meta::copy_of(segment);
  if (!is_whole(copy, segment.end)) return std::nullopt;
  auto info = engine_.info(store_->stream(copy));
  // Compaction may have left no record, which is as old as can be.
  if (info && !info->newest && copy != segment.id) return Time{};
  return info ? info->newest : std::nullopt;
}

std::optional<Time> NodeState::oldest_of(const meta::Segment& segment) const {
  auto copy = meta::copy_of(segment);
  if (!is_whole(copy, segment.end)) return std::nullopt;
  auto info = engine_.info(store_->stream(copy));
  return info ? info->oldest : std::nullopt;
}

// Copies go whole: an open segment of which the half was trimmed ends, so that it can go.
void NodeState::roll_trimmed(const Part& part, const meta::Partition& partition) {
  if (part.writer == SegmentId{}) return;
  auto& cell = writers_.at(part.writer);
  const auto start = cell.core->segment().start;
  const auto there = cell.core->watermark() - start;
  const auto trimmed = std::min(partition.log_start.value - start, there);
  if (trimmed <= 0 || trimmed < there - trimmed) return;
  const auto bytes = store_->bytes(part.writer);
  if (bytes / there * trimmed < options_.limits.trimmed_bytes_max) return;
  if (cell.core->role() != Leader::Role::kWriter) return;
  close(part.writer, cell, placement_of(cell.core->segment()));
}

}  // namespace walrus::replica
