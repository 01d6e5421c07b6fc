#include "meta/invariants.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace walrus::meta {
namespace {

std::string name_of(const PartitionId& id) {
  return fmt::format("{}/{}", to_string(id.topic).substr(0, 8), id.index);
}

// Collects the first thing that is wrong.
class Finding {
 public:
  template <class... Args>
  void require(bool holds, fmt::format_string<Args...> format, Args&&... args) {
    if (!holds && text_.empty()) text_ = fmt::format(format, std::forward<Args>(args)...);
  }
  std::string text() && { return std::move(text_); }

 private:
  std::string text_{};
};

class Checker {
 public:
  explicit Checker(const State& state) : state_(state) {}

  std::string run() {
    if (state_.cluster.id.is_zero())
      found_.require(state_.version == Version{} && state_.nodes.empty() && state_.topics.empty() &&
                         state_.users.empty(),
                     "not founded, and not empty");
    state_.nodes.each([this](NodeId id, const Node& node) { check(id, node); });
    state_.topics.each([this](const Uuid& id, const Topic& topic) { check(id, topic); });
    state_.tombstones.each([this](const Uuid& id, const Tombstone& tombstone) {
      version(tombstone.version, "a tombstone");
      found_.require(!state_.topics.contains(id), "topic {} lives and is deleted", to_string(id));
      found_.require(tombstone.version > state_.forgotten, "a tombstone older than the oldest");
    });
    state_.partitions.each(
        [this](const PartitionId& id, const Partition& partition) { check(id, partition); });
    state_.users.each([this](const std::string&, const User& user) {
      version(user.version, "a user");
      found_.require(!user.credentials.empty(), "a user without credentials");
    });
    check_whole();
    return std::move(found_).text();
  }

 private:
  void version(Version version, const char* what) {
    found_.require(version > Version{} && version <= state_.version, "R4: {} of version {} of {}",
                   what, version.value, state_.version.value);
  }

  void check(NodeId id, const Node& node) {
    version(node.version, "a node");
    found_.require(id != NodeId{} && !node.directory.is_zero() && node.incarnation > 0,
                   "R33: node {} without identity", id.value);
    found_.require(node.intact_from < state_.next_segment,
                   "R19: node {} is intact from a segment that is not issued", id.value);
    found_.require(node.listeners.size() <= kListenersMax, "limit: listeners");
    if (node.state == NodeState::kRemoved) return;
    found_.require(directories_.insert(node.directory).second, "R33: two nodes of one directory");
    found_.require(node.feature_level_max >= state_.cluster.feature_level,
                   "node {} does not know the feature level", id.value);
  }

  void check(const Uuid& id, const Topic& topic) {
    version(topic.version, "a topic");
    const auto* named = state_.topic_names.find(topic.name);
    found_.require(!id.is_zero() && named && *named == id, "topic {} is not found by its name",
                   topic.name);
    found_.require(topic.min_copies >= 1 && topic.min_copies <= topic.replication_factor &&
                       topic.replication_factor <= kReplicasMax,
                   "topic {} of {} copies, at least {}", topic.name, topic.replication_factor,
                   topic.min_copies);
    found_.require(topic.settings.size() <= kSettingsMax, "limit: settings");
    found_.require(topic.partitions >= 1 && topic.partitions <= kTopicPartitionsMax,
                   "limit: partitions of a topic");
    partitions_ += topic.partitions;
    for (std::uint32_t index = 0; index < topic.partitions; ++index)
      if (!state_.partitions.contains(PartitionId{id, index})) {
        found_.require(false, "topic {} lacks partition {}", topic.name, index);
        break;
      }
  }

  void check(const PartitionId& id, const Partition& partition) {
    version(partition.version, "a partition");
    auto name = name_of(id);
    Segment before{};
    bool first = true;
    partition.sealed.each([&](const Segment& segment) {
      check(name, segment);
      follows(name, before, segment, first);
      found_.require(segment.state == SegmentState::kSealed && segment.end > segment.base,
                     "R24: {} has a segment in its chain without an end", name);
      found_.require(!first || segment.end > partition.log_start,
                     "R32: {} keeps a segment below its log start", name);
      for (auto node : segment.replicas) {
        auto& load = loads_[node];
        ++load.sealed;
        load.sealed_bytes += segment.bytes;
      }
      before = segment;
      first = false;
    });
    found_.require(first || before.end == partition.sealed_end,
                   "R23: {} ends elsewhere than its chain", name);
    found_.require(partition.log_start.value >= 0 && partition.sealed_end.value >= 0,
                   "{} has negative offsets", name);
    found_.require(partition.log_start <= partition.sealed_end || partition.tail,
                   "R32: {} starts beyond its end", name);
    auto newest = before.epoch;
    if (partition.tail) {
      check_tail(name, partition, before, first);
      newest = std::max(partition.tail->epoch, partition.tail->recovery_epoch);
    }
    found_.require(newest <= partition.epoch && partition.epoch.value <= kEpochMax,
                   "R1: {} has epoch {} above its own {}", name, newest.value,
                   partition.epoch.value);
    check_compaction(name, partition);
    found_.require(
        partition.losses.size() <= kLossesMax && partition.losses_total >= partition.losses.size(),
        "R41: {} counts its losses wrong", name);
  }

  void check_compaction(const std::string& name, const Partition& partition) {
    found_.require(
        partition.compacted_to.value >= 0 && partition.compacted_to <= partition.sealed_end,
        "R22: {} is compacted beyond its end", name);
    if (!partition.compaction) return;
    const auto& work = *partition.compaction;
    found_.require(work.copy < state_.next_segment, "R1: {} compacts to an id not issued", name);
    ids_.push_back(work.copy);
    auto segment = partition.sealed.find(work.segment);
    found_.require(segment && work.copy > segment->id && segment->id != partition.sealed.last().id,
                   "R38: {} compacts what it may not", name);
    for (auto node : work.holders)
      found_.require(std::ranges::count(work.holders, node) == 1 && state_.nodes.contains(node),
                     "R29: {} is compacted on node {} twice, or where it is not", name, node.value);
  }

  void check_tail(const std::string& name, const Partition& partition, const Segment& before,
                  bool first) {
    const auto& tail = *partition.tail;
    check(name, tail);
    follows(name, before, tail, first);
    found_.require(tail.state != SegmentState::kSealed, "R22: {} has a sealed tail", name);
    found_.require(tail.base == partition.sealed_end && tail.end == tail.base,
                   "R23: {} has a tail that does not begin where its chain ends", name);
    found_.require(is_replica(tail, tail.leader) && tail.replicas.size() >= tail.min_copies,
                   "R29: {} is open on fewer nodes than min_copies, or without its leader", name);
    found_.require(tail.copied == tail.id, "R31: copies of an open segment of {} were moved", name);
    bool sealing = tail.state == SegmentState::kSealing;
    found_.require(
        (sealing ? tail.recovery_epoch : tail.epoch) == partition.epoch &&
            (sealing ? tail.recovery_epoch > tail.epoch : tail.recovery_epoch == Epoch{}),
        "R11: {} is in an epoch that it was not given", name);
    found_.require(sealing == (tail.recoverer != NodeId{}), "R11: {} without a recoverer", name);
    ++loads_[tail.leader].leads;
    for (auto node : tail.replicas) ++loads_[node].tails;
  }

  void check(const std::string& name, const Segment& segment) {
    found_.require(segment.id > SegmentId{} && segment.id < state_.next_segment,
                   "R1: {} has segment {} that was not issued", name, segment.id.value);
    ids_.push_back(segment.id);
    if (segment.compacted != SegmentId{}) {
      found_.require(segment.state == SegmentState::kSealed && segment.compacted > segment.id &&
                         segment.compacted <= segment.copied,
                     "R22: segment {} has copies of an id that they cannot have", segment.id.value);
      ids_.push_back(segment.compacted);
    }
    found_.require(segment.copied >= segment.id && segment.copied < state_.next_segment,
                   "R29: segment {} was copied at a time that never was", segment.id.value);
    found_.require(!segment.replicas.empty() && segment.replicas.size() <= kReplicasMax &&
                       segment.min_copies >= 1,
                   "R29: segment {} is on no node, or on too many", segment.id.value);
    found_.require(state_.nodes.contains(segment.leader), "segment {} of a leader that never was",
                   segment.id.value);
    for (auto node : segment.replicas) {
      found_.require(std::ranges::count(segment.replicas, node) == 1,
                     "segment {} is twice on a node", segment.id.value);
      found_.require(state_.nodes.contains(node), "segment {} is on node {} that never was",
                     segment.id.value, node.value);
    }
  }

  void follows(const std::string& name, const Segment& before, const Segment& segment, bool first) {
    found_.require(segment.base.value >= 0, "{} has negative offsets", name);
    if (first) return;
    found_.require(segment.base == before.end, "R23: a gap or an overlap in {} at {}", name,
                   segment.base.value);
    found_.require(segment.epoch > before.epoch, "R1: epochs of {} do not rise at {}", name,
                   segment.base.value);
    found_.require(segment.id > before.id, "R1: ids of {} do not rise at {}", name,
                   segment.base.value);
  }

  void check_whole() {
    found_.require(state_.topic_names.size() == state_.topics.size(), "a name without its topic");
    found_.require(state_.partitions.size() == partitions_, "a partition without its topic");
    found_.require(state_.nodes.size() <= kNodesMax && state_.topics.size() <= kTopicsMax &&
                       state_.partitions.size() <= kPartitionsMax &&
                       state_.users.size() <= kUsersMax &&
                       state_.tombstones.size() <= kTombstonesMax,
                   "limit: too many objects");
    found_.require(state_.next_producer >= 0 && state_.next_segment > SegmentId{},
                   "a counter that went wrong");
    std::ranges::sort(ids_);
    found_.require(std::ranges::adjacent_find(ids_) == ids_.end(), "R1: a segment is there twice");
    std::erase_if(loads_, [](const auto& load) { return load.second.empty(); });
    found_.require(std::ranges::equal(*state_.loads, loads_,
                                      [](const auto& a, const auto& b) {
                                        return a.first == b.first && a.second == b.second;
                                      }),
                   "loads are counted wrong");
    for (const auto& [node, load] : loads_)
      if (const auto* known = state_.nodes.find(node))
        found_.require(known->state != NodeState::kDrained && known->state != NodeState::kJoining,
                       "node {} has segments and is drained or joining", node.value);
    found_.require(state_.nodes.sound() && state_.topics.sound() && state_.topic_names.sound() &&
                       state_.tombstones.sound() && state_.partitions.sound() &&
                       state_.users.sound(),
                   "a map that is no search tree");
  }

  const State& state_;
  Finding found_{};
  std::set<Uuid> directories_{};
  std::vector<SegmentId> ids_{};
  std::map<NodeId, Load> loads_{};
  std::size_t partitions_ = 0;
};

// What was sealed stays as it is, until the log start is beyond it.
void check_chain(Finding& found, const PartitionId& id, const Partition& before,
                 const Partition& after) {
  auto name = name_of(id);
  before.sealed.each([&](const Segment& segment) {
    auto now = after.sealed.find(segment.id);
    if (!now) {
      found.require(segment.end <= after.log_start, "R22: {} lost a sealed segment", name);
      return;
    }
    found.require(now->epoch == segment.epoch && now->base == segment.base &&
                      now->end == segment.end && now->leader == segment.leader &&
                      (now->compacted == segment.compacted ? now->bytes == segment.bytes
                                                           : now->compacted > segment.compacted),
                  "R22: {} changed a sealed segment", name);
  });
  if (before.tail && after.tail && before.tail->id == after.tail->id) {
    const auto &was = *before.tail, &now = *after.tail;
    found.require(now.epoch == was.epoch && now.base == was.base && now.leader == was.leader &&
                      now.replicas == was.replicas && now.min_copies == was.min_copies,
                  "R1, R29: {} changed a segment that takes records", name);
    found.require(now.state >= was.state, "R11: {} opened a segment again", name);
  } else if (before.tail) {
    auto now = after.sealed.find(before.tail->id);
    found.require(!now || (now->base == before.tail->base && now->epoch == before.tail->epoch),
                  "R22: {} sealed a segment as another one", name);
  }
}

}  // namespace

std::string broken_rule(const State& state) { return Checker(state).run(); }

std::string broken_step(const State& before, const State& after) {
  Finding found;
  found.require(after.version >= before.version && after.time >= before.time &&
                    after.next_segment >= before.next_segment &&
                    after.next_producer >= before.next_producer &&
                    after.forgotten >= before.forgotten &&
                    after.cluster.feature_level >= before.cluster.feature_level,
                "R1: something that only rises fell");
  before.nodes.each([&](NodeId id, const Node& was) {
    const auto* now = after.nodes.find(id);
    found.require(now && now->incarnation >= was.incarnation &&
                      now->intact_from >= was.intact_from && now->lease_epoch >= was.lease_epoch &&
                      now->version >= was.version,
                  "R33: node {} went back", id.value);
    if (!now || was.state != NodeState::kRemoved) return;
    found.require(now->state == NodeState::kRemoved, "node {} came back", id.value);
  });
  before.topics.each([&](const Uuid& id, const Topic& was) {
    const auto* now = after.topics.find(id);
    found.require(now || after.tombstones.contains(id) || after.forgotten > before.version,
                  "topic {} is gone without a tombstone", was.name);
    found.require(!now || (now->name == was.name && now->partitions >= was.partitions),
                  "topic {} became another", was.name);
  });
  before.tombstones.each([&](const Uuid& id, const Tombstone&) {
    found.require(!after.topics.contains(id), "deleted topic {} is back", to_string(id));
  });
  before.partitions.each([&](const PartitionId& id, const Partition& was) {
    const auto* now = after.partitions.find(id);
    if (!now) {
      found.require(!after.topics.contains(id.topic), "{} is gone", name_of(id));
      return;
    }
    found.require(now->epoch >= was.epoch && now->log_start >= was.log_start &&
                      now->sealed_end >= was.sealed_end && now->version >= was.version &&
                      now->losses_total >= was.losses_total &&
                      now->compacted_to >= was.compacted_to,
                  "R1, R32: {} went back", name_of(id));
    if (now->version != was.version) check_chain(found, id, was, *now);
  });
  return std::move(found).text();
}

}  // namespace walrus::meta
