#include <algorithm>
#include <utility>

#include "base/check.h"
#include "meta/applier.h"

namespace walrus::meta {
namespace {

constexpr std::size_t kOperatorBytesMax = 255;
constexpr Bytes kDurability = "walrus.durability";

bool contains(const std::vector<NodeId>& nodes, NodeId node) {
  return std::ranges::find(nodes, node) != nodes.end();
}

bool distinct(std::vector<NodeId> nodes) {
  std::ranges::sort(nodes);
  return std::ranges::adjacent_find(nodes) == nodes.end();
}

// What an acknowledged record is: on disks, unless the topic says otherwise (DESIGN of durability:
// `interval` and `os` may lose what was acknowledged in a power cut).
bool is_fsync(const Topic& topic) {
  auto setting = topic.settings.find(kDurability);
  return setting == topic.settings.end() || setting->second == "fsync";
}

}  // namespace

// Never fewer replicas than min_copies: writes are refused then, not made less safe.
Refusal Applier::check_place(const Placement& place, const Topic& topic) const {
  const auto& replicas = place.replicas;
  if (replicas.size() < topic.min_copies || replicas.size() > topic.replication_factor ||
      !distinct(replicas) || !contains(replicas, place.leader))
    return Refusal::kInvalid;
  for (auto id : replicas) {
    const auto* node = state_.nodes.find(id);
    if (!node || node->state != NodeState::kActive) return Refusal::kState;
  }
  return Refusal::kNone;
}

// The partition's next segment, in its next epoch. The place was checked.
SegmentId Applier::open(Partition& partition, const Placement& place, const Topic& topic) {
  SegmentId id{state_.next_segment.value++};
  ++partition.epoch.value;
  partition.tail = Segment{.id = id,
                           .epoch = partition.epoch,
                           .base = partition.sealed_end,
                           .end = partition.sealed_end,
                           .leader = place.leader,
                           .leader_incarnation = state_.nodes.find(place.leader)->incarnation,
                           .replicas = place.replicas,
                           .min_copies = topic.min_copies,
                           .copied = id};
  count(*partition.tail, true);
  return id;
}

Outcome Applier::change(const OpenSegment& change) {
  const auto* found = expect(state_.partitions, change.partition, change.expected);
  if (!found) return refused_;
  if (found->tail) return refuse(Refusal::kState, found->version);
  if (found->epoch.value >= kEpochMax) return refuse(Refusal::kLimit, found->version);
  const auto& topic = *state_.topics.find(change.partition.topic);
  if (auto why = check_place(change.place, topic); why != Refusal::kNone)
    return refuse(why, found->version);
  Partition partition = *found;
  auto id = open(partition, change.place, topic);
  partition.version = next_version();
  state_.partitions.set(change.partition, std::move(partition));
  return done(state_.version, id.value);
}

Outcome Applier::change(const BeginSeal& change) {
  const auto* found = expect(state_.partitions, change.partition, change.expected);
  if (!found) return refused_;
  if (!found->tail) return refuse(Refusal::kState, found->version);
  if (found->epoch.value >= kEpochMax) return refuse(Refusal::kLimit, found->version);
  const auto* recoverer = state_.nodes.find(change.recoverer);
  if (!recoverer || recoverer->state == NodeState::kRemoved)
    return refuse(Refusal::kState, found->version);
  Partition partition = *found;
  auto& tail = *partition.tail;
  tail.state = SegmentState::kSealing;
  ++partition.epoch.value;
  tail.recovery_epoch = partition.epoch;
  tail.recoverer = change.recoverer;
  partition.version = next_version();
  auto epoch = partition.epoch;
  state_.partitions.set(change.partition, std::move(partition));
  return done(state_.version, epoch.value);
}

// Epochs above all that anybody can have been given; a partition that has had all keeps its last.
void Applier::fence_all(NodeId recoverer) {
  const auto partitions = state_.partitions;
  partitions.each([&](const PartitionId& id, const Partition& known) {
    Partition partition = known;
    auto& epoch = partition.epoch.value;
    if (epoch >= kEpochMax) return;
    epoch = std::min<std::uint32_t>(epoch + kSkippedEpochs, kEpochMax);
    if (auto& tail = partition.tail) {
      tail->state = SegmentState::kSealing;
      tail->recovery_epoch = partition.epoch;
      tail->recoverer = recoverer;
    }
    partition.version = next_version();
    state_.partitions.set(id, std::move(partition));
  });
}

Refusal Applier::check_seal(const Seal& change, const Partition& partition,
                            const Topic& topic) const {
  const auto& tail = *partition.tail;
  bool sealing = tail.state == SegmentState::kSealing;
  if (change.segment != tail.id) return Refusal::kState;
  if (change.epoch != (sealing ? tail.recovery_epoch : tail.epoch)) return Refusal::kEpoch;
  if (change.end < std::max(tail.base, partition.log_start)) return Refusal::kInvalid;
  if (change.loss) {
    if (!sealing) return Refusal::kState;
    if (change.loss->known <= change.end || change.loss->accepted_by.size() > kOperatorBytesMax ||
        (is_fsync(topic) && change.loss->accepted_by.empty()))
      return Refusal::kInvalid;
  }
  if (!change.next) return Refusal::kNone;
  if (partition.epoch.value >= kEpochMax) return Refusal::kLimit;
  return check_place(*change.next, topic);
}

Outcome Applier::change(const Seal& change) {
  const auto* found = expect(state_.partitions, change.partition, change.expected);
  if (!found) return refused_;
  if (!found->tail) return refuse(Refusal::kState, found->version);
  const auto& topic = *state_.topics.find(change.partition.topic);
  if (auto why = check_seal(change, *found, topic); why != Refusal::kNone)
    return refuse(why, found->version);
  Partition partition = *found;
  Segment segment = *std::move(partition.tail);
  partition.tail.reset();
  count(segment, false);
  if (change.loss) {
    partition.losses.push_back({.segment = segment.id,
                                .epoch = segment.epoch,
                                .end = change.end,
                                .known = change.loss->known,
                                .accepted_by = change.loss->accepted_by,
                                .at = state_.time});
    if (partition.losses.size() > kLossesMax) partition.losses.erase(partition.losses.begin());
    ++partition.losses_total;
  }
  segment.state = SegmentState::kSealed;
  segment.end = change.end;
  segment.bytes = change.bytes;
  segment.leader_incarnation = 0;
  segment.recovery_epoch = {};
  segment.recoverer = {};
  if (segment.end > segment.base) {
    count(segment, true);
    partition.sealed.append(segment);
  }
  partition.sealed_end = segment.end;
  trim(partition);
  SegmentId next{};
  if (change.next) next = open(partition, *change.next, topic);
  partition.version = next_version();
  state_.partitions.set(change.partition, std::move(partition));
  return done(state_.version, next.value);
}

void Applier::trim(Partition& partition) {
  for (const auto& segment : partition.sealed.drop_below(partition.log_start)) {
    count(segment, false);
    if (partition.compaction && partition.compaction->segment == segment.id)
      partition.compaction.reset();
  }
}

Outcome Applier::change(const SetLogStart& change) {
  const auto* found = expect(state_.partitions, change.partition, change.expected);
  if (!found) return refused_;
  if (change.log_start <= found->log_start) return refuse(Refusal::kInvalid, found->version);
  // Into the tail only on the word of its writer, who knows what was acknowledged.
  bool open = found->tail && found->tail->state == SegmentState::kOpen;
  if (change.log_start > found->sealed_end && !open)
    return refuse(found->tail ? Refusal::kState : Refusal::kInvalid, found->version);
  Partition partition = *found;
  partition.log_start = change.log_start;
  trim(partition);
  partition.version = next_version();
  state_.partitions.set(change.partition, std::move(partition));
  return done(state_.version);
}

Refusal Applier::check_move(const CopyMove& change, const Segment& segment) const {
  auto intact = [&](NodeId node) {
    return contains(segment.replicas, node) && state_.intact(segment, node);
  };
  if (!distinct(change.added) || !distinct(change.dropped)) return Refusal::kInvalid;
  for (auto id : change.added) {
    const auto* node = state_.nodes.find(id);
    if (!node || node->state != NodeState::kActive) return Refusal::kState;
    if (intact(id) || contains(change.dropped, id)) return Refusal::kInvalid;
  }
  for (auto id : change.dropped)
    if (!contains(segment.replicas, id)) return Refusal::kInvalid;
  auto before = static_cast<std::size_t>(std::ranges::count_if(segment.replicas, intact));
  auto dropped = static_cast<std::size_t>(std::ranges::count_if(change.dropped, intact));
  auto after = before + change.added.size() - dropped;
  bool changes = !change.added.empty() || dropped > 0 || before < segment.replicas.size();
  if (!changes || after > kReplicasMax) return Refusal::kInvalid;
  // Without an intact copy there was nothing to copy from; fewer copies than min_copies are not
  // made of enough.
  if (before == 0 || after < std::min<std::size_t>(before, segment.min_copies))
    return Refusal::kState;
  return Refusal::kNone;
}

Refusal Applier::check_moves(const MoveCopies& change, const Partition& partition) const {
  if (change.moves.empty()) return Refusal::kInvalid;
  SegmentId before{};
  for (const auto& move : change.moves) {
    if (move.segment <= before) return Refusal::kInvalid;
    before = move.segment;
    if (partition.tail && partition.tail->id == move.segment) return Refusal::kState;  // R31
    auto segment = partition.sealed.find(move.segment);
    if (!segment) return Refusal::kNotFound;
    if (auto why = check_move(move, *segment); why != Refusal::kNone) return why;
  }
  return Refusal::kNone;
}

Outcome Applier::change(const MoveCopies& change) {
  const auto* found = expect(state_.partitions, change.partition, change.expected);
  if (!found) return refused_;
  if (auto why = check_moves(change, *found); why != Refusal::kNone)
    return refuse(why, found->version);
  Partition partition = *found;
  for (const auto& move : change.moves) {
    auto segment = *partition.sealed.find(move.segment);
    count(segment, false);
    std::erase_if(segment.replicas, [&](NodeId node) {
      return !state_.intact(segment, node) || contains(move.dropped, node);
    });
    // Who leaves the segment removes its new copy, too, also if it comes back to it.
    if (auto& work = partition.compaction; work && work->segment == segment.id)
      std::erase_if(work->holders, [&](NodeId node) { return !is_replica(segment, node); });
    segment.replicas.insert(segment.replicas.end(), move.added.begin(), move.added.end());
    segment.copied = SegmentId{state_.next_segment.value - 1};
    count(segment, true);
    partition.sealed.replace(segment);
  }
  partition.version = next_version();
  state_.partitions.set(change.partition, std::move(partition));
  return done(state_.version);
}

// ---- Compaction ----

// Never the last one: the next writer learns from it what the producers have sent (R38).
Outcome Applier::change(const BeginCompaction& change) {
  const auto* found = expect(state_.partitions, change.partition, change.expected);
  if (!found) return refused_;
  auto segment = found->sealed.find(change.segment);
  if (!segment) return refuse(Refusal::kNotFound, found->version);
  const auto* by = state_.nodes.find(change.by);
  if (segment->id == found->sealed.last().id || !by || by->state == NodeState::kRemoved)
    return refuse(Refusal::kState, found->version);
  Partition partition = *found;
  SegmentId copy{state_.next_segment.value++};
  partition.compaction = Compaction{.segment = segment->id, .copy = copy, .by = change.by};
  partition.version = next_version();
  state_.partitions.set(change.partition, std::move(partition));
  return done(state_.version, copy.value);
}

Outcome Applier::change(const HoldCompacted& change) {
  const auto* found = expect(state_.partitions, change.partition, change.expected);
  if (!found) return refused_;
  if (!found->compaction || found->compaction->copy != change.copy)
    return refuse(Refusal::kState, found->version);
  auto segment = found->sealed.find(found->compaction->segment);
  CHECK(segment.has_value());
  if (!contains(segment->replicas, change.node)) return refuse(Refusal::kState, found->version);
  Partition partition = *found;
  auto& holders = partition.compaction->holders;
  bool held = contains(holders, change.node);
  if (!held) holders.push_back(change.node);
  bool everywhere = state_.compacted_everywhere(partition);
  if (held && !everywhere) return refuse(Refusal::kExists, found->version);
  if (everywhere) take_compacted(partition, change.bytes);
  partition.version = next_version();
  state_.partitions.set(change.partition, std::move(partition));
  return done(state_.version, everywhere ? 1 : 0);
}

void Applier::take_compacted(Partition& partition, std::uint64_t bytes) {
  auto work = *std::exchange(partition.compaction, {});
  auto segment = *partition.sealed.find(work.segment);
  count(segment, false);
  std::erase_if(segment.replicas, [&](NodeId node) { return !state_.intact(segment, node); });
  segment.compacted = segment.copied = work.copy;
  segment.bytes = bytes;
  count(segment, true);
  partition.sealed.replace(segment);
}

Outcome Applier::change(const EndCompaction& change) {
  const auto* found = expect(state_.partitions, change.partition, change.expected);
  if (!found) return refused_;
  if (found->sealed.empty() || change.compacted_to <= found->compacted_to ||
      change.compacted_to > found->sealed.last().base)
    return refuse(Refusal::kInvalid, found->version);
  if (found->compaction) return refuse(Refusal::kState, found->version);
  Partition partition = *found;
  partition.compacted_to = change.compacted_to;
  partition.version = next_version();
  state_.partitions.set(change.partition, std::move(partition));
  return done(state_.version);
}

}  // namespace walrus::meta
