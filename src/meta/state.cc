#include "meta/state.h"

#include <algorithm>

namespace walrus::meta {

const Topic* State::find_topic(Bytes name) const {
  const auto* id = topic_names.find(name);
  return id ? topics.find(*id) : nullptr;
}

Load State::load(NodeId node) const {
  auto found = std::ranges::lower_bound(*loads, node, {}, &Loads::value_type::first);
  return found != loads->end() && found->first == node ? found->second : Load{};
}

bool State::intact(const Segment& segment, NodeId id) const {
  const auto* node = nodes.find(id);
  return node && node->state != NodeState::kRemoved && segment.copied >= node->intact_from;
}

bool State::compacted_everywhere(const Partition& partition) const {
  if (!partition.compaction) return false;
  const auto& work = *partition.compaction;
  auto segment = partition.sealed.find(work.segment);
  if (!segment) return false;
  // As of the moment when the new id was issued: who has lost its disk since has nothing of it.
  auto made = *segment;
  made.copied = work.copy;
  bool any = false;
  return std::ranges::all_of(segment->replicas,
                             [&](NodeId node) {
                               if (!intact(*segment, node)) return true;
                               any = true;
                               return intact(made, node) &&
                                      std::ranges::find(work.holders, node) != work.holders.end();
                             }) &&
         any;
}

Changes State::changes_since(Version seen) const {
  Changes changes;
  if (seen < forgotten || seen > version) return {.whole = true};
  changes.cluster = cluster.version > seen;
  changes.users = users_version > seen;
  nodes.changed_since(seen.value, [&](auto id, const auto&) { changes.nodes.push_back(id); });
  topics.changed_since(seen.value,
                       [&](const auto& id, const auto&) { changes.topics.push_back(id); });
  tombstones.changed_since(seen.value,
                           [&](const auto& id, const auto&) { changes.deleted.push_back(id); });
  partitions.changed_since(seen.value,
                           [&](const auto& id, const auto&) { changes.partitions.push_back(id); });
  return changes;
}

}  // namespace walrus::meta
