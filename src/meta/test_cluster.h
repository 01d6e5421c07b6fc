#pragma once
// For tests: a State that is changed by commands and checked by every rule after each.

#include <gtest/gtest.h>

#include "meta/command.h"
#include "meta/invariants.h"

namespace walrus::meta {

inline Uuid uuid_of(std::uint8_t number) {
  Uuid uuid;
  uuid.bytes.fill(static_cast<char>(number));
  return uuid;
}

class TestCluster {
 public:
  // Nodes 1 to `nodes`, active, each in the rack of its number modulo `racks`; none: no racks.
  explicit TestCluster(std::uint64_t nodes, std::uint64_t racks = 0,
                       std::uint32_t level = kFeatureLevel) {
    done(Found{uuid_of(0xcc), level, "secret"});
    for (std::uint64_t id = 1; id <= nodes; ++id) {
      auto life = life_of(id);
      life.feature_level_max = level;
      if (racks > 0) life.rack = "rack" + std::to_string(id % racks);
      done(life);
      set_state(id, NodeState::kActive);
    }
  }

  State state{};

  Outcome apply(Change change) {
    State before = state;
    auto outcomes =
        meta::apply(state, {.time = Time(Millis(++now)), .changes = {std::move(change)}});
    EXPECT_EQ(broken_rule(state), "");
    EXPECT_EQ(broken_step(before, state), "");
    return outcomes.at(0);
  }
  Outcome done(Change change) {
    auto outcome = apply(std::move(change));
    EXPECT_EQ(refusal_name(outcome.refusal), "done");
    return outcome;
  }
  void refused(Refusal why, Change change) {
    auto version = state.version;
    auto outcome = apply(std::move(change));
    EXPECT_EQ(refusal_name(outcome.refusal), refusal_name(why));
    EXPECT_EQ(state.version, version);
  }

  static RegisterNode life_of(std::uint64_t id) {
    return {.node = NodeId{id},
            .directory = uuid_of(static_cast<std::uint8_t>(id)),
            .incarnation = 1,
            .listeners = {{"peer", "10.0.0.1:9093"}}};
  }
  void set_state(std::uint64_t id, NodeState to, bool force = false) {
    done(SetNodeState{NodeId{id}, node(id).version, to, force});
  }
  const Node& node(std::uint64_t id) const { return *state.nodes.find(NodeId{id}); }

  // A topic "t<number>" without a segment.
  Uuid create(std::uint8_t number, std::uint32_t partitions = 1, std::uint32_t copies = 3,
              std::uint32_t min_copies = 2) {
    done(CreateTopic{.topic = uuid_of(number),
                     .name = "t" + std::to_string(number),
                     .partitions = partitions,
                     .replication_factor = copies,
                     .min_copies = min_copies});
    return uuid_of(number);
  }
  const Partition& partition(const PartitionId& id) const { return *state.partitions.find(id); }
  Version version(const PartitionId& id) const { return partition(id).version; }

  static Placement on(std::initializer_list<std::uint64_t> nodes) {
    Placement place;
    for (auto node : nodes) place.replicas.push_back(NodeId{node});
    place.leader = place.replicas.front();
    return place;
  }
  SegmentId open(const PartitionId& id, const Placement& place) {
    return SegmentId{done(OpenSegment{id, version(id), place}).value};
  }
  // The leader's own, at `end`.
  Seal seal_of(const PartitionId& id, std::int64_t end) const {
    const auto& tail = *partition(id).tail;
    bool sealing = tail.state == SegmentState::kSealing;
    return {.partition = id,
            .expected = version(id),
            .segment = tail.id,
            .epoch = sealing ? tail.recovery_epoch : tail.epoch,
            .end = Offset{end},
            .bytes = 1000};
  }

  std::int64_t now = 0;
};

}  // namespace walrus::meta
