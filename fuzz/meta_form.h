#pragma once
// A small cluster's metadata, for what fuzzes commands and snapshots.

#include "meta/command.h"

namespace walrus::fuzz {

inline Uuid meta_uuid(char number) {
  Uuid uuid;
  uuid.bytes.fill(number);
  return uuid;
}

// Three nodes, a topic of two partitions: one with sealed segments and an open one, one in
// recovery; a tombstone, a user.
inline meta::State meta_state() {
  using namespace meta;
  State state;
  auto done = [&](Change change) { apply(state, {.changes = {std::move(change)}}); };
  done(Found{meta_uuid('c'), kFeatureLevel, "secret"});
  for (std::uint64_t id = 1; id <= 3; ++id) {
    done(RegisterNode{.node = NodeId{id},
                      .directory = meta_uuid(static_cast<char>('0' + id)),
                      .incarnation = 1,
                      .listeners = {{"peer", "h:9093"}}});
    done(SetNodeState{NodeId{id}, state.version, NodeState::kActive, false});
  }
  Placement place{NodeId{1}, {NodeId{1}, NodeId{2}, NodeId{3}}};
  done(CreateTopic{meta_uuid('x'), "gone", false, 1, 1, 1, {}, {}});
  done(DeleteTopic{meta_uuid('x'), state.version});
  done(CreateTopic{meta_uuid('t'), "t", false, 2, 3, 2, {{"k", "v"}}, {place, place}});
  PartitionId id{meta_uuid('t'), 0};
  for (std::int64_t end : {100, 200}) {
    const auto& partition = *state.partitions.find(id);
    done(Seal{
        id, partition.version, partition.tail->id, partition.epoch, Offset{end}, 1000, {}, place});
  }
  id.index = 1;
  done(BeginSeal{id, state.partitions.find(id)->version, NodeId{2}});
  wire::sasl::ScramCredential credential{4096, std::string(24, 's'), std::string(32, 'k'),
                                         std::string(32, 'v')};
  done(SetUser{"u", {}, {{wire::sasl::ScramMechanism::kSha256, credential}}});
  return state;
}

}  // namespace walrus::fuzz
