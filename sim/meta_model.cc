#include "meta_model.h"

#include <fmt/format.h>

#include <algorithm>

namespace walrus::sim {
namespace {

using namespace meta;

bool among(const std::vector<NodeId>& nodes, NodeId node) {
  return std::ranges::count(nodes, node) > 0;
}

Violation differs(const std::string& what) { return {"state equals the model", what}; }

std::optional<Settings> with(Settings settings, const Settings& set,
                             const std::vector<std::string>& unset) {
  for (const auto& name : unset) settings.erase(name);
  for (const auto& [name, value] : set) settings[name] = value;
  for (const auto& [name, value] : settings)
    if (name.empty() || name.size() > 255 || value.size() > 4096) return std::nullopt;
  if (settings.size() > kSettingsMax) return std::nullopt;
  return settings;
}

bool good_copies(std::uint32_t replication_factor, std::uint32_t min_copies) {
  return min_copies >= 1 && min_copies <= replication_factor && replication_factor <= kReplicasMax;
}

}  // namespace

std::optional<Outcome> MetaModel::apply(const Change& what, Time now) {
  now_ = std::max(now_, now);
  if (!founded() && !std::holds_alternative<Found>(what)) return {};
  return std::visit([this](const auto& one) { return change(one); }, what);
}

MetaModel::Answer MetaModel::change(const Found& found) {
  if (founded() || found.cluster.is_zero() || found.feature_level == 0) return {};
  cluster_ = found.cluster;
  level = found.feature_level;
  return done(cluster_version = ++version);
}

MetaModel::Answer MetaModel::change(const RaiseLevel& raise) {
  if (raise.expected.value != cluster_version || raise.level <= level) return {};
  for (const auto& [id, node] : nodes)
    if (node.state != NodeState::kRemoved && node.level < raise.level) return {};
  level = raise.level;
  return done(cluster_version = ++version);
}

MetaModel::Answer MetaModel::change(const RecoverMetadata& recover) {
  auto by = nodes.find(recover.by);
  if (recover.from != cluster_ || recover.cluster == cluster_ || recover.cluster.is_zero() ||
      by == nodes.end() || by->second.state == NodeState::kRemoved)
    return {};
  cluster_ = recover.cluster;
  ++recoveries;
  version += kSkippedVersions;
  next_segment += kSkippedSegments;
  next_producer += kSkippedProducers;
  cluster_version = ++version;
  for (auto& [id, node] : nodes) {
    if (node.state == NodeState::kRemoved) continue;
    ++node.lease_epoch;
    node.version = ++version;
  }
  std::map<PartitionId, ModelPartition*> all;
  for (auto& [name, topic] : topics)
    for (std::uint32_t index = 0; index < topic.partitions.size(); ++index)
      all[{topic.id, index}] = &topic.partitions[index];
  for (auto& [id, partition] : all) {
    partition->epoch += kSkippedEpochs;
    if (partition->has_tail()) {
      auto& tail = partition->segments.back();
      tail.state = SegmentState::kSealing;
      tail.recovery = partition->epoch;
      tail.recoverer = recover.by;
    }
    partition->version = ++version;
  }
  return done(cluster_version);
}

MetaModel::Answer MetaModel::change(const HandOver& hand_over) {
  auto old = nodes.find(hand_over.old), by = nodes.find(hand_over.by);
  if (old == nodes.end() || by == nodes.end() || old == by) return {};
  if (old->second.version != hand_over.expected.value ||
      by->second.version != hand_over.by_expected.value)
    return {};
  using enum NodeState;
  auto& node = old->second;
  if (node.state == kJoining || node.state == kRemoved) return {};
  if (by->second.state != kJoining && by->second.state != kActive) return {};
  node.state = kDraining;
  node.replaced_by = hand_over.by;
  return done(node.version = ++version);
}

MetaModel::Answer MetaModel::change(const ConfigureCluster& configure) {
  auto now = with(settings, configure.set, configure.unset);
  if (configure.expected.value != cluster_version || !now) return {};
  settings = *now;
  return done(cluster_version = ++version);
}

MetaModel::Answer MetaModel::change(const RegisterNode& is) {
  if (is.node == NodeId{} || is.directory.is_zero() || is.incarnation == 0) return {};
  if (is.feature_level_max < level || is.capacity > 1'000'000) return {};
  std::set<std::string> names;
  for (const auto& [name, address] : is.listeners)
    if (name.empty() || address.empty() || address.size() > 255 || !names.insert(name).second)
      return {};
  for (const auto& [id, node] : nodes)
    if (id != is.node && node.state != NodeState::kRemoved && node.directory == is.directory)
      return {};
  bool known = nodes.contains(is.node);
  if (known != (is.expected.value != 0)) return {};
  if (known) {
    const auto& was = nodes[is.node];
    if (was.version != is.expected.value || was.state == NodeState::kRemoved ||
        is.incarnation <= was.incarnation)
      return {};
    bool same =
        was.directory == is.directory && std::ranges::count(is.claimed, was.incarnation) > 0;
    if (!same) {
      lose(is.node);
      ++next_segment;
    }
  }
  auto& node = nodes[is.node];
  node.incarnation = is.incarnation;
  node.directory = is.directory;
  node.level = is.feature_level_max;
  node.listeners = is.listeners;
  node.rack = is.rack;
  node.capacity = is.capacity;
  ++node.lease_epoch;
  return done(node.version = ++version);
}

MetaModel::Answer MetaModel::change(const SetNodeState& set) {
  auto found = nodes.find(set.node);
  if (found == nodes.end() || found->second.version != set.expected.value) return {};
  auto& node = found->second;
  using enum NodeState;
  static const std::set<std::pair<NodeState, NodeState>> kSteps{
      {kJoining, kActive},   {kJoining, kRemoved}, {kActive, kDraining}, {kDraining, kActive},
      {kDraining, kDrained}, {kDrained, kActive},  {kDrained, kRemoved}};
  bool force = set.force && set.state == kRemoved && node.state != kRemoved;
  if (!force && !kSteps.contains({node.state, set.state})) return {};
  if (!force && (set.state == kDrained || set.state == kRemoved) && holds_something(set.node))
    return {};
  node.state = set.state;
  if (set.state == kActive) node.replaced_by = {};
  if (set.state == kRemoved) {
    lose(set.node);
    ++node.lease_epoch;
  }
  return done(node.version = ++version);
}

MetaModel::Answer MetaModel::change(const ReplaceNode& replace) {
  auto old = nodes.find(replace.old), by = nodes.find(replace.by);
  if (old == nodes.end() || by == nodes.end() || old == by) return {};
  if (old->second.version != replace.expected.value ||
      by->second.version != replace.by_expected.value || old->second.state == NodeState::kRemoved)
    return {};
  if (by->second.state != NodeState::kJoining && by->second.state != NodeState::kActive) return {};
  old->second.state = NodeState::kRemoved;
  old->second.replaced_by = replace.by;
  ++old->second.lease_epoch;
  lose(replace.old);
  return done(old->second.version = ++version);
}

MetaModel::Answer MetaModel::change(const ExpireLease& expire) {
  auto found = nodes.find(expire.node);
  if (found == nodes.end() || found->second.version != expire.expected.value ||
      found->second.state == NodeState::kRemoved)
    return {};
  ++found->second.lease_epoch;
  return done(found->second.version = ++version);
}

MetaModel::Answer MetaModel::change(const CreateTopic& create) {
  auto legal = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  };
  if (create.name.empty() || create.name.size() > 249 || create.name == "." ||
      create.name == ".." || !std::ranges::all_of(create.name, legal))
    return {};
  if (create.topic.is_zero() || topics.contains(create.name) || topic_of(create.topic) ||
      deleted.contains(create.topic))
    return {};
  if (create.partitions == 0 || create.partitions > kTopicPartitionsMax ||
      create.first.size() > create.partitions ||
      !good_copies(create.replication_factor, create.min_copies) || !with({}, create.settings, {}))
    return {};
  ModelTopic topic{.id = create.topic,
                   .internal = create.internal,
                   .replication_factor = create.replication_factor,
                   .min_copies = create.min_copies,
                   .settings = create.settings};
  for (const auto& place : create.first)
    if (!fits(place, topic)) return {};
  topic.version = ++version;
  topic.partitions.resize(create.partitions);
  for (auto& partition : topic.partitions) partition.version = version;
  for (std::size_t i = 0; i < create.first.size(); ++i)
    open(topic.partitions[i], create.first[i], topic);
  topics[create.name] = std::move(topic);
  return done(version);
}

MetaModel::Answer MetaModel::change(const DeleteTopic& gone) {
  auto* topic = topic_of(gone.topic);
  if (!topic || topic->version != gone.expected.value) return {};
  deleted.insert(gone.topic);
  std::erase_if(topics, [&](const auto& one) { return one.second.id == gone.topic; });
  ++version;
  return done(0);
}

MetaModel::Answer MetaModel::change(const AlterTopic& alter) {
  auto* topic = topic_of(alter.topic);
  if (!topic || topic->version != alter.expected.value) return {};
  auto now = with(topic->settings, alter.set, alter.unset);
  auto factor = alter.replication_factor.value_or(topic->replication_factor);
  auto least = alter.min_copies.value_or(topic->min_copies);
  if (!now || !good_copies(factor, least)) return {};
  topic->settings = *now;
  topic->replication_factor = factor;
  topic->min_copies = least;
  return done(topic->version = ++version);
}

MetaModel::Answer MetaModel::change(const AddPartitions& add) {
  auto* topic = topic_of(add.topic);
  if (!topic || topic->version != add.expected.value) return {};
  auto before = topic->partitions.size();
  if (add.partitions <= before || add.partitions > kTopicPartitionsMax ||
      add.first.size() > add.partitions - before)
    return {};
  for (const auto& place : add.first)
    if (!fits(place, *topic)) return {};
  topic->version = ++version;
  topic->partitions.resize(add.partitions);
  for (auto i = before; i < add.partitions; ++i) {
    topic->partitions[i].version = version;
    if (i - before < add.first.size()) open(topic->partitions[i], add.first[i - before], *topic);
  }
  return done(version);
}

MetaModel::Answer MetaModel::change(const OpenSegment& asks) {
  auto* partition = partition_of(asks.partition, asks.expected);
  if (!partition || partition->has_tail()) return {};
  auto* topic = topic_of(asks.partition.topic);
  if (!fits(asks.place, *topic)) return {};
  auto id = open(*partition, asks.place, *topic);
  return done(partition->version = ++version, id);
}

MetaModel::Answer MetaModel::change(const BeginSeal& begin) {
  auto* partition = partition_of(begin.partition, begin.expected);
  if (!partition || !partition->has_tail()) return {};
  auto by = nodes.find(begin.recoverer);
  if (by == nodes.end() || by->second.state == NodeState::kRemoved) return {};
  auto& tail = partition->segments.back();
  tail.state = SegmentState::kSealing;
  tail.recovery = ++partition->epoch;
  tail.recoverer = begin.recoverer;
  return done(partition->version = ++version, tail.recovery);
}

MetaModel::Answer MetaModel::change(const Seal& seal) {
  auto* partition = partition_of(seal.partition, seal.expected);
  if (!partition || !partition->has_tail()) return {};
  auto* topic = topic_of(seal.partition.topic);
  auto& tail = partition->segments.back();
  bool recovers = tail.state == SegmentState::kSealing;
  if (seal.segment.value != tail.id || seal.epoch.value != (recovers ? tail.recovery : tail.epoch))
    return {};
  if (seal.end.value < tail.base || seal.end.value < partition->log_start) return {};
  if (seal.next && !fits(*seal.next, *topic)) return {};
  if (seal.loss) {
    auto durability = topic->settings.contains("walrus.durability")
                          ? topic->settings.find("walrus.durability")->second
                          : "fsync";
    if (!recovers || seal.loss->known <= seal.end || seal.loss->accepted_by.size() > 255 ||
        (durability == "fsync" && seal.loss->accepted_by.empty()))
      return {};
    partition->losses.push_back({SegmentId{tail.id}, Epoch{tail.epoch}, seal.end, seal.loss->known,
                                 seal.loss->accepted_by, now_});
  }
  tail.state = SegmentState::kSealed;
  tail.end = partition->end = seal.end.value;
  tail.bytes = seal.bytes;
  if (tail.end == tail.base || tail.end <= partition->log_start) partition->segments.pop_back();
  std::uint64_t next = 0;
  if (seal.next) next = open(*partition, *seal.next, *topic);
  return done(partition->version = ++version, next);
}

MetaModel::Answer MetaModel::change(const SetLogStart& set) {
  auto* partition = partition_of(set.partition, set.expected);
  if (!partition || set.log_start.value <= partition->log_start) return {};
  bool writes = partition->has_tail() && partition->segments.back().state == SegmentState::kOpen;
  if (set.log_start.value > partition->end && !writes) return {};
  partition->log_start = set.log_start.value;
  std::erase_if(partition->segments, [&](const ModelSegment& segment) {
    return segment.state == SegmentState::kSealed && segment.end <= partition->log_start;
  });
  if (partition->compaction && !partition->find(partition->compaction->segment))
    partition->compaction.reset();
  return done(partition->version = ++version);
}

// ---- Compaction ----

ModelSegment* ModelPartition::find(std::uint64_t id) {
  for (auto& segment : segments)
    if (segment.id == id && segment.state == SegmentState::kSealed) return &segment;
  return nullptr;
}

bool ModelPartition::compacted_everywhere() {
  const auto& of = *find(compaction->segment);
  return of.lost.size() < of.replicas.size() &&
         std::ranges::all_of(
             of.replicas,
             [&](NodeId node) {
               return of.lost.contains(node) ||
                      (among(compaction->holders, node) && !compaction->lost.contains(node));
             });
}

MetaModel::Answer MetaModel::change(const BeginCompaction& begin) {
  auto* partition = partition_of(begin.partition, begin.expected);
  if (!partition || level < 2) return {};
  const auto* segment = partition->find(begin.segment.value);
  auto by = nodes.find(begin.by);
  if (!segment || segment->end == partition->end || by == nodes.end() ||
      by->second.state == NodeState::kRemoved)
    return {};
  partition->compaction = ModelCompaction{segment->id, next_segment, begin.by, {}, {}};
  return done(partition->version = ++version, next_segment++);
}

MetaModel::Answer MetaModel::change(const HoldCompacted& hold) {
  auto* partition = partition_of(hold.partition, hold.expected);
  if (!partition || level < 2 || !partition->compaction ||
      partition->compaction->copy != hold.copy.value)
    return {};
  auto* segment = partition->find(partition->compaction->segment);
  if (!among(segment->replicas, hold.node)) return {};
  auto& holders = partition->compaction->holders;
  bool held = among(holders, hold.node);
  if (!held) holders.push_back(hold.node);
  bool everywhere = partition->compacted_everywhere();
  if (held && !everywhere) return {};
  if (everywhere) {
    std::erase_if(segment->replicas, [&](NodeId node) { return segment->lost.contains(node); });
    segment->lost.clear();
    segment->compacted = partition->compaction->copy;
    segment->bytes = hold.bytes;
    partition->compaction.reset();
  }
  return done(partition->version = ++version, everywhere ? 1 : 0);
}

MetaModel::Answer MetaModel::change(const EndCompaction& end) {
  auto* partition = partition_of(end.partition, end.expected);
  if (!partition || level < 2 || partition->compaction ||
      end.compacted_to.value <= partition->compacted_to)
    return {};
  const ModelSegment* last = nullptr;
  for (const auto& segment : partition->segments)
    if (segment.state == SegmentState::kSealed) last = &segment;
  if (!last || end.compacted_to.value > last->base) return {};
  partition->compacted_to = end.compacted_to.value;
  return done(partition->version = ++version);
}

MetaModel::Answer MetaModel::change(const MoveCopies& change) {
  auto* partition = partition_of(change.partition, change.expected);
  if (!partition || change.moves.empty()) return {};
  auto segments = partition->segments;
  auto compaction = partition->compaction;
  SegmentId last{};
  for (const auto& move : change.moves) {
    if (move.segment <= last) return {};
    last = move.segment;
    auto at = std::ranges::find(segments, move.segment.value, &ModelSegment::id);
    if (at == segments.end() || at->state != SegmentState::kSealed) return {};
    std::vector<NodeId> intact, left;
    for (auto node : at->replicas)
      if (!at->lost.contains(node)) intact.push_back(node);
    for (auto node : move.dropped)
      if (!among(at->replicas, node) || std::ranges::count(move.dropped, node) > 1) return {};
    for (auto node : intact)
      if (!among(move.dropped, node)) left.push_back(node);
    if (compaction && compaction->segment == at->id)
      std::erase_if(compaction->holders, [&](NodeId node) { return !among(left, node); });
    for (auto node : move.added) {
      auto known = nodes.find(node);
      if (known == nodes.end() || known->second.state != NodeState::kActive ||
          among(intact, node) || among(move.dropped, node) || among(left, node))
        return {};
      left.push_back(node);
    }
    if (intact.empty() || left.size() < std::min<std::size_t>(intact.size(), at->min_copies) ||
        left.size() > kReplicasMax || (left == at->replicas && at->lost.empty()))
      return {};
    at->replicas = left;
    at->lost.clear();
  }
  partition->segments = segments;
  partition->compaction = compaction;
  return done(partition->version = ++version);
}

MetaModel::Answer MetaModel::change(const SetUser& user) {
  auto found = users.find(user.name);
  auto present = found == users.end() ? Version{} : found->second.expected;
  if (present != user.expected || user.name.empty() || user.name.size() > 255) return {};
  for (const auto& [mechanism, credential] : user.credentials)
    if (!wire::sasl::valid_credential(mechanism, credential)) return {};
  if (user.credentials.empty()) {
    if (found == users.end()) return {};
    users.erase(found);
    ++version;
    return done(0);
  }
  users[user.name] = user;
  return done((users[user.name].expected.value = ++version));
}

MetaModel::Answer MetaModel::change(const TakeProducerIds& take) {
  if (take.expected_next != next_producer || take.count == 0 || take.count > 1'000'000) return {};
  auto first = next_producer;
  next_producer += take.count;
  ++version;
  return done(0, static_cast<std::uint64_t>(first));
}

ModelTopic* MetaModel::topic_of(const Uuid& id) {
  for (auto& [name, topic] : topics)
    if (topic.id == id) return &topic;
  return nullptr;
}

ModelPartition* MetaModel::partition_of(const PartitionId& id, Version expected) {
  auto* topic = topic_of(id.topic);
  if (!topic || id.index >= topic->partitions.size()) return nullptr;
  auto& partition = topic->partitions[id.index];
  return partition.version == expected.value ? &partition : nullptr;
}

bool MetaModel::fits(const Placement& place, const ModelTopic& topic) const {
  std::set<NodeId> set(place.replicas.begin(), place.replicas.end());
  if (set.size() != place.replicas.size() || !set.contains(place.leader)) return false;
  if (set.size() < topic.min_copies || set.size() > topic.replication_factor) return false;
  return std::ranges::all_of(set, [this](NodeId node) {
    auto found = nodes.find(node);
    return found != nodes.end() && found->second.state == NodeState::kActive;
  });
}

std::uint64_t MetaModel::open(ModelPartition& partition, const Placement& place,
                              const ModelTopic& topic) {
  partition.segments.push_back({.id = next_segment,
                                .epoch = ++partition.epoch,
                                .base = partition.end,
                                .end = partition.end,
                                .leader = place.leader,
                                .life = nodes[place.leader].incarnation,
                                .replicas = place.replicas,
                                .min_copies = topic.min_copies});
  return next_segment++;
}

bool MetaModel::holds_something(NodeId node) const {
  for (const auto& [name, topic] : topics)
    for (const auto& partition : topic.partitions)
      for (const auto& segment : partition.segments)
        if (among(segment.replicas, node)) return true;
  return false;
}

void MetaModel::lose(NodeId node) {
  for (auto& [name, topic] : topics)
    for (auto& partition : topic.partitions) {
      for (auto& segment : partition.segments)
        if (among(segment.replicas, node)) segment.lost.insert(node);
      if (partition.compaction) partition.compaction->lost.insert(node);
    }
}

Verdict MetaModel::compare(const State& state) const {
  if (state.version.value != version || state.next_segment.value != next_segment ||
      state.next_producer != next_producer || state.cluster.feature_level != level ||
      state.cluster.version.value != cluster_version || state.cluster.id != cluster_ ||
      state.cluster.settings != settings || state.recoveries.size() != recoveries)
    return differs("the cluster");
  if (state.users.size() != users.size()) return differs("the number of users");
  for (const auto& [name, user] : users) {
    const auto* found = state.users.find(name);
    if (!found || found->credentials != user.credentials || found->version != user.expected)
      return differs("user " + name);
  }
  if (auto verdict = compare_nodes(state)) return verdict;
  return compare_topics(state);
}

Verdict MetaModel::compare_nodes(const State& state) const {
  if (state.nodes.size() != nodes.size()) return differs("the number of nodes");
  for (const auto& [id, node] : nodes) {
    const auto* is = state.nodes.find(id);
    if (!is || is->version.value != node.version || is->incarnation != node.incarnation ||
        is->state != node.state || is->directory != node.directory ||
        is->lease_epoch != node.lease_epoch || is->feature_level_max != node.level ||
        is->capacity != node.capacity || is->listeners != node.listeners || is->rack != node.rack ||
        is->replaced_by != node.replaced_by)
      return differs(fmt::format("node {}", id.value));
  }
  return {};
}

Verdict MetaModel::compare_topics(const State& state) const {
  std::size_t partitions = 0;
  if (state.topics.size() != topics.size()) return differs("the number of topics");
  for (const auto& [name, topic] : topics) {
    const auto* is = state.find_topic(name);
    if (!is || is != state.topics.find(topic.id) || is->name != name ||
        is->version.value != topic.version || is->internal != topic.internal ||
        is->partitions != topic.partitions.size() ||
        is->replication_factor != topic.replication_factor || is->min_copies != topic.min_copies ||
        is->settings != topic.settings)
      return differs("topic " + name);
    for (std::uint32_t i = 0; i < topic.partitions.size(); ++i, ++partitions)
      if (auto verdict = compare_partition({topic.id, i}, topic.partitions[i], state))
        return verdict;
  }
  if (state.partitions.size() != partitions) return differs("the number of partitions");
  for (const auto& id : deleted)
    if (!state.tombstones.contains(id)) return differs("a deleted topic is forgotten");
  return {};
}

Verdict MetaModel::compare_partition(const PartitionId& id, const ModelPartition& partition,
                                     const State& state) const {
  auto where = fmt::format("partition {} of {}", id.index, to_string(id.topic));
  const auto* is = state.partitions.find(id);
  if (!is || is->version.value != partition.version || is->epoch.value != partition.epoch ||
      is->log_start.value != partition.log_start || is->sealed_end.value != partition.end ||
      is->compacted_to.value != partition.compacted_to ||
      is->compaction.has_value() != partition.compaction.has_value() ||
      is->losses_total != partition.losses.size() || is->tail.has_value() != partition.has_tail())
    return differs(where);
  if (is->compaction && (is->compaction->segment.value != partition.compaction->segment ||
                         is->compaction->copy.value != partition.compaction->copy ||
                         is->compaction->by != partition.compaction->by ||
                         is->compaction->holders != partition.compaction->holders))
    return differs("the compaction of " + where);
  std::vector<meta::Loss> newest(partition.losses.end() - static_cast<std::ptrdiff_t>(std::min(
                                                              partition.losses.size(), kLossesMax)),
                                 partition.losses.end());
  if (is->losses != newest) return differs("losses of " + where);
  std::vector<Segment> segments;
  is->sealed.each([&](const Segment& segment) { segments.push_back(segment); });
  if (is->tail) segments.push_back(*is->tail);
  if (segments.size() != partition.segments.size()) return differs("segments of " + where);
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const auto& a = segments[i];
    const auto& b = partition.segments[i];
    bool sealing = b.state == SegmentState::kSealing, sealed = b.state == SegmentState::kSealed;
    bool same = a.id.value == b.id && a.epoch.value == b.epoch && a.state == b.state &&
                a.base.value == b.base && a.end.value == b.end && a.leader == b.leader &&
                a.leader_incarnation == (sealed ? 0 : b.life) && a.replicas == b.replicas &&
                a.min_copies == b.min_copies && a.bytes == b.bytes &&
                a.compacted.value == b.compacted &&
                a.recovery_epoch.value == (sealing ? b.recovery : 0) &&
                a.recoverer == (sealing ? b.recoverer : NodeId{});
    if (!same) return differs(fmt::format("segment {} of {}", b.id, where));
    for (auto node : b.replicas)
      if (state.intact(a, node) == b.lost.contains(node))
        return differs(fmt::format("the copy of segment {} on node {}", b.id, node.value));
  }
  return {};
}

}  // namespace walrus::sim
