// The changes that a seed of the world `meta` draws.

#include <algorithm>

#include "meta_run.h"

namespace walrus::sim {

using namespace meta;

Change MetaRun::draw() {
  if (!model_.founded() && !rarely())
    return Found{draw_uuid(), kFeatureLevel, std::string(32, 's')};
  switch (below(20)) {
    case 0: return draw_cluster();
    case 1: return draw_user();
    case 2:
    case 3: return draw_node();
    case 4:
    case 5: return draw_node_change();
    case 6:
    case 7:
    case 8: return draw_topic();
    default: return draw_segment();
  }
}

Version MetaRun::expect(std::uint64_t version) {
  if (rarely()) return {version + below(3) - 1};
  return {version};
}

Uuid MetaRun::draw_uuid() {
  Uuid uuid;
  for (auto& byte : uuid.bytes) byte = static_cast<char>(random_.next());
  return uuid;
}

Change MetaRun::draw_cluster() {
  switch (below(5)) {
    case 0:
      return TakeProducerIds{model_.next_producer + (rarely() ? 1 : 0),
                             static_cast<std::uint32_t>(rarely() ? 0 : 1 + below(1000))};
    case 1:
      return RaiseLevel{expect(model_.cluster_version),
                        model_.level + static_cast<std::uint32_t>(below(2))};
    case 2: return Found{draw_uuid(), 1, {}};
    case 3: {
      RecoverMetadata change{
          .from = model_.cluster(), .cluster = draw_uuid(), .by = {1 + below(6)}};
      change.term = below(100);
      change.index = below(1'000);
      if (below(2) == 0) change.from = draw_uuid();
      if (rarely()) change.cluster = change.from;
      return change;
    }
    default: {
      ConfigureCluster change{.expected = expect(model_.cluster_version)};
      change.set["limit." + std::to_string(below(4))] = std::to_string(below(100));
      if (below(2) == 0) change.unset.push_back("limit." + std::to_string(below(4)));
      if (rarely()) change.set[""] = "nameless";
      return change;
    }
  }
}

Change MetaRun::draw_user() {
  SetUser change{.name = "user" + std::to_string(below(4))};
  auto found = model_.users.find(change.name);
  change.expected = expect(found == model_.users.end() ? 0 : found->second.expected.value);
  auto mechanism = wire::sasl::ScramMechanism::kSha256;
  wire::sasl::ScramCredential credential{4096, std::string(24, 's'), std::string(32, 'k'),
                                         std::string(32, 'v')};
  if (rarely()) credential.stored_key = "short";
  if (below(3) > 0) change.credentials[mechanism] = credential;
  return change;
}

RegisterNode MetaRun::draw_life(NodeId id, const ModelNode* known) {
  RegisterNode life{.node = id,
                    .feature_level_max = kFeatureLevel - 1 + static_cast<std::uint32_t>(below(3))};
  life.directory = known ? known->directory : draw_uuid();
  life.incarnation = known ? known->incarnation + 1 + below(3) : 1 + below(100);
  life.listeners = {{"peer", "node" + std::to_string(id.value) + ":9093"}};
  life.rack = below(2) == 0 ? "a" : "b";
  if (!known) return life;
  life.expected = expect(known->version);
  life.claimed = {known->incarnation};
  if (below(4) == 0) {
    hit("wiped node");
    if (below(2) == 0) life.directory = draw_uuid();
    else life.claimed = {known->incarnation - 1, known->incarnation + 1};
  }
  if (rarely()) life.incarnation = known->incarnation;
  if (rarely()) life.listeners.push_back({"peer", "twice:1"});
  if (rarely()) life.feature_level_max = 0;
  return life;
}

Change MetaRun::draw_node() {
  NodeId id{1 + below(6)};
  auto found = model_.nodes.find(id);
  if (found == model_.nodes.end() || rarely()) {
    auto life = draw_life(id, nullptr);
    if (rarely() && !model_.nodes.empty()) life.directory = model_.nodes.begin()->second.directory;
    return life;
  }
  return draw_life(id, &found->second);
}

Change MetaRun::draw_node_change() {
  if (model_.nodes.empty()) return draw_node();
  auto node =
      std::next(model_.nodes.begin(), static_cast<std::ptrdiff_t>(below(model_.nodes.size())));
  auto expected = expect(node->second.version);
  using enum NodeState;
  switch (below(12)) {
    case 0: return ExpireLease{node->first, expected};
    case 1: return SetNodeState{node->first, expected, kRemoved, below(2) == 0};
    case 2: {
      auto by =
          std::next(model_.nodes.begin(), static_cast<std::ptrdiff_t>(below(model_.nodes.size())));
      if (below(2) == 0)
        return HandOver{node->first, expected, by->first, expect(by->second.version)};
      return ReplaceNode{node->first, expected, by->first, expect(by->second.version)};
    }
    case 3: return SetNodeState{node->first, expected, kDraining, false};
    case 4: return SetNodeState{node->first, expected, kDrained, below(4) == 0};
    default: return SetNodeState{node->first, expected, kActive, false};
  }
}

Placement MetaRun::draw_place(const ModelTopic& topic) {
  std::vector<NodeId> candidates;
  for (const auto& [id, node] : model_.nodes)
    if (node.state == NodeState::kActive || rarely()) candidates.push_back(id);
  if (rarely()) candidates.push_back(NodeId{99});
  for (std::size_t i = candidates.size(); i > 1; --i)
    std::swap(candidates[i - 1], candidates[below(i)]);
  auto wanted = topic.min_copies + below(topic.replication_factor - topic.min_copies + 1);
  if (rarely()) wanted = below(9);
  if (candidates.size() > wanted) candidates.resize(wanted);
  Placement place{.replicas = candidates};
  if (!candidates.empty()) place.leader = candidates[below(candidates.size())];
  if (rarely() && !candidates.empty()) place.replicas.push_back(candidates.front());
  if (rarely()) place.leader = NodeId{below(7)};
  return place;
}

Change MetaRun::draw_topic() {
  auto name = "topic" + std::to_string(below(4));
  auto found = model_.topics.find(name);
  if (found == model_.topics.end() || rarely()) {
    CreateTopic create{.topic = draw_uuid(), .name = name};
    create.replication_factor = 1 + static_cast<std::uint32_t>(below(3));
    create.min_copies = 1 + static_cast<std::uint32_t>(below(create.replication_factor));
    create.partitions = 1 + static_cast<std::uint32_t>(below(3));
    create.internal = below(4) == 0;
    if (below(2) == 0) create.settings["walrus.durability"] = below(2) == 0 ? "os" : "fsync";
    ModelTopic like{.replication_factor = create.replication_factor,
                    .min_copies = create.min_copies};
    for (auto count = below(create.partitions + 1); count > 0; --count)
      create.first.push_back(draw_place(like));
    if (rarely()) create.min_copies = 9;
    if (rarely()) create.name = "not a name";
    if (!model_.deleted.empty() && below(5) == 0) {
      hit("topic made again");
      create.topic = *model_.deleted.begin();
    }
    return create;
  }
  const auto& topic = found->second;
  switch (below(6)) {
    case 0: return DeleteTopic{rarely() ? draw_uuid() : topic.id, expect(topic.version)};
    case 1: {
      AddPartitions add{topic.id,
                        expect(topic.version),
                        static_cast<std::uint32_t>(topic.partitions.size() + below(2)),
                        {}};
      if (below(2) == 0) add.first.push_back(draw_place(topic));
      return add;
    }
    default: {
      AlterTopic alter{.topic = topic.id, .expected = expect(topic.version)};
      if (below(2) == 0) alter.set["retention.ms"] = std::to_string(below(1000));
      if (below(3) == 0) alter.unset.emplace_back("retention.ms");
      if (below(3) == 0) alter.replication_factor = static_cast<std::uint32_t>(below(5));
      if (below(3) == 0) alter.min_copies = static_cast<std::uint32_t>(below(4));
      return alter;
    }
  }
}

Change MetaRun::draw_segment() {
  if (model_.topics.empty()) return draw_topic();
  auto& [name, topic] =
      *std::next(model_.topics.begin(), static_cast<std::ptrdiff_t>(below(model_.topics.size())));
  PartitionId id{topic.id, static_cast<std::uint32_t>(below(topic.partitions.size()))};
  const auto& partition = topic.partitions[id.index];
  if (rarely()) ++id.index;
  auto expected = expect(partition.version);
  auto what = below(14);
  if (what >= 12) return draw_compaction(id, partition);
  if (what == 0)
    return SetLogStart{id,
                       expected,
                       {static_cast<std::int64_t>(below(static_cast<std::uint64_t>(partition.end) +
                                                        (rarely() ? 50 : 3)))}};
  if (what <= 2) return draw_move(id, partition);
  if ((!partition.has_tail() || what == 3) && !rarely())
    return OpenSegment{id, expected, draw_place(topic)};
  if (what <= 6) {
    NodeId by = model_.nodes.empty()
                    ? NodeId{1}
                    : std::next(model_.nodes.begin(),
                                static_cast<std::ptrdiff_t>(below(model_.nodes.size())))
                          ->first;
    return BeginSeal{id, expected, rarely() ? NodeId{77} : by};
  }
  return draw_seal(id, partition, topic);
}

Change MetaRun::draw_seal(const PartitionId& id, const ModelPartition& partition,
                          const ModelTopic& topic) {
  Seal seal{.partition = id, .expected = expect(partition.version)};
  if (!partition.segments.empty()) {
    const auto& tail = partition.segments.back();
    bool sealing = tail.state == SegmentState::kSealing;
    seal.segment = SegmentId{tail.id};
    seal.epoch = Epoch{sealing ? tail.recovery : tail.epoch};
    if (rarely()) seal.epoch = Epoch{sealing ? tail.epoch : tail.epoch + 1};
    if (rarely()) --seal.segment.value;
  }
  auto low = std::max(partition.end, partition.log_start);
  seal.end = {low + static_cast<std::int64_t>(below(4) == 0 ? 0 : below(100))};
  if (rarely()) seal.end.value = low - 1;
  seal.bytes = below(10'000);
  if (below(8) == 0) {
    seal.loss = AcceptedLoss{{seal.end.value + static_cast<std::int64_t>(below(5))},
                             below(2) == 0 ? "operator" : ""};
  }
  if (below(3) > 0) seal.next = draw_place(topic);
  return seal;
}

Change MetaRun::draw_compaction(const PartitionId& id, const ModelPartition& partition) {
  auto expected = expect(partition.version);
  auto any = [&](std::uint64_t otherwise) {
    return rarely() || model_.nodes.empty()
               ? NodeId{otherwise}
               : std::next(model_.nodes.begin(),
                           static_cast<std::ptrdiff_t>(below(model_.nodes.size())))
                     ->first;
  };
  if (partition.compaction && below(4) > 0) {
    HoldCompacted hold{id, expected, SegmentId{partition.compaction->copy}, any(77), below(10'000)};
    if (rarely()) ++hold.copy.value;
    return hold;
  }
  if (below(3) == 0 || partition.segments.empty())
    return EndCompaction{
        id,
        expected,
        {static_cast<std::int64_t>(below(static_cast<std::uint64_t>(partition.end) + 3))}};
  const auto& segment = partition.segments[below(partition.segments.size())];
  return BeginCompaction{id, expected, SegmentId{segment.id}, any(77)};
}

Change MetaRun::draw_move(const PartitionId& id, const ModelPartition& partition) {
  MoveCopies change{.partition = id, .expected = expect(partition.version)};
  for (const auto& segment : partition.segments) {
    if (below(3) == 0) continue;
    if (segment.state != SegmentState::kSealed && !rarely()) continue;
    CopyMove move{.segment = SegmentId{segment.id}};
    for (const auto& [node, is] : model_.nodes) {
      bool has = std::ranges::count(segment.replicas, node) > 0;
      bool fits = is.state == NodeState::kActive && (!has || segment.lost.contains(node));
      if ((fits && below(3) == 0) || rarely()) move.added.push_back(node);
      else if (has && below(6) == 0) move.dropped.push_back(node);
    }
    bool changes = !move.added.empty() || !move.dropped.empty() || !segment.lost.empty();
    if (changes || rarely()) change.moves.push_back(std::move(move));
    if (change.moves.size() >= 3) break;
  }
  if (rarely()) std::ranges::reverse(change.moves);
  return change;
}

}  // namespace walrus::sim
