#include <algorithm>

#include "meta/applier.h"

namespace walrus::meta {
namespace {

constexpr std::size_t kTextBytesMax = 255;
constexpr std::uint32_t kCapacityMax = 1'000'000;

bool valid(const RegisterNode& change) {
  if (change.node == NodeId{} || change.directory.is_zero() || change.incarnation == 0)
    return false;
  if (change.rack.size() > kTextBytesMax || change.capacity > kCapacityMax) return false;
  if (change.listeners.size() > kListenersMax) return false;
  for (std::size_t i = 0; i < change.listeners.size(); ++i) {
    const auto& [name, address] = change.listeners[i];
    if (name.empty() || address.empty() || name.size() > kTextBytesMax ||
        address.size() > kTextBytesMax)
      return false;
    for (std::size_t j = 0; j < i; ++j)
      if (change.listeners[j].name == name) return false;
  }
  return true;
}

bool may_follow(NodeState from, NodeState to) {
  switch (from) {
    case NodeState::kJoining: return to == NodeState::kActive || to == NodeState::kRemoved;
    case NodeState::kActive: return to == NodeState::kDraining;
    case NodeState::kDraining: return to == NodeState::kActive || to == NodeState::kDrained;
    case NodeState::kDrained: return to == NodeState::kActive || to == NodeState::kRemoved;
    case NodeState::kRemoved: return false;
  }
  return false;
}

void describe(Node& node, const RegisterNode& change) {
  node.directory = change.directory;
  node.incarnation = change.incarnation;
  node.feature_level_max = change.feature_level_max;
  node.listeners = change.listeners;
  node.rack = change.rack;
  node.capacity = change.capacity;
  ++node.lease_epoch;
}

}  // namespace

void Applier::enter(Node& node, NodeState state) {
  node.state = state;
  node.since = state_.time;
  if (state == NodeState::kRemoved) ++node.lease_epoch;
}

Outcome Applier::change(const RegisterNode& change) {
  if (!valid(change)) return refuse(Refusal::kInvalid);
  bool taken = false;
  state_.nodes.each([&](NodeId id, const Node& node) {
    taken |= id != change.node && node.state != NodeState::kRemoved &&
             node.directory == change.directory;
  });
  if (taken) return refuse(Refusal::kExists);
  if (change.feature_level_max < state_.cluster.feature_level) return refuse(Refusal::kUnknown);
  if (change.expected == Version{}) return join(change);
  const auto* found = expect(state_.nodes, change.node, change.expected);
  if (!found) return refused_;
  if (found->state == NodeState::kRemoved) return refuse(Refusal::kState, found->version);
  if (change.incarnation <= found->incarnation)
    return {Refusal::kEpoch, found->version, found->incarnation};
  Node node = *found;
  bool same = change.directory == node.directory &&
              std::ranges::find(change.claimed, node.incarnation) != change.claimed.end();
  if (!same) node.intact_from = SegmentId{state_.next_segment.value++};
  describe(node, change);
  node.version = next_version();
  auto version = node.version;
  state_.nodes.set(change.node, std::move(node));
  return done(version);
}

Outcome Applier::join(const RegisterNode& change) {
  if (const auto* node = state_.nodes.find(change.node))
    return refuse(Refusal::kExists, node->version);
  if (state_.nodes.size() >= kNodesMax) return refuse(Refusal::kLimit);
  Node node{.version = next_version()};
  describe(node, change);
  enter(node, NodeState::kJoining);
  state_.nodes.set(change.node, std::move(node));
  return done(state_.version);
}

Outcome Applier::change(const SetNodeState& change) {
  const auto* found = expect(state_.nodes, change.node, change.expected);
  if (!found) return refused_;
  bool removal = change.state == NodeState::kRemoved && found->state != NodeState::kRemoved;
  bool allowed = may_follow(found->state, change.state) || (removal && change.force);
  bool leaves = change.state == NodeState::kDrained || change.state == NodeState::kRemoved;
  if (leaves && !(removal && change.force) && !load(change.node).empty()) allowed = false;
  if (!allowed) return refuse(Refusal::kState, found->version);
  Node node = *found;
  enter(node, change.state);
  if (change.state == NodeState::kActive) node.replaced_by = {};
  node.version = next_version();
  state_.nodes.set(change.node, std::move(node));
  return done(state_.version);
}

Outcome Applier::change(const ReplaceNode& change) {
  const auto* old = expect(state_.nodes, change.old, change.expected);
  if (!old) return refused_;
  const auto* by = expect(state_.nodes, change.by, change.by_expected);
  if (!by) return refused_;
  if (change.old == change.by) return refuse(Refusal::kInvalid, old->version);
  bool ready = by->state == NodeState::kJoining || by->state == NodeState::kActive;
  if (old->state == NodeState::kRemoved || !ready) return refuse(Refusal::kState, old->version);
  Node node = *old;
  enter(node, NodeState::kRemoved);
  node.replaced_by = change.by;
  node.version = next_version();
  state_.nodes.set(change.old, std::move(node));
  return done(state_.version);
}

// Drained already, it has nothing to hand over, and is only removed.
Outcome Applier::change(const HandOver& change) {
  const auto* old = expect(state_.nodes, change.old, change.expected);
  if (!old) return refused_;
  const auto* by = expect(state_.nodes, change.by, change.by_expected);
  if (!by) return refused_;
  if (change.old == change.by) return refuse(Refusal::kInvalid, old->version);
  const bool leaves = old->state == NodeState::kActive || old->state == NodeState::kDraining ||
                      old->state == NodeState::kDrained;
  const bool ready = by->state == NodeState::kJoining || by->state == NodeState::kActive;
  if (!leaves || !ready) return refuse(Refusal::kState, old->version);
  Node node = *old;
  if (node.state != NodeState::kDraining) enter(node, NodeState::kDraining);
  node.replaced_by = change.by;
  node.version = next_version();
  state_.nodes.set(change.old, std::move(node));
  return done(state_.version);
}

void Applier::expire_leases() {
  const auto nodes = state_.nodes;
  nodes.each([this](NodeId id, const Node& known) {
    if (known.state == NodeState::kRemoved) return;
    Node node = known;
    ++node.lease_epoch;
    node.version = next_version();
    state_.nodes.set(id, std::move(node));
  });
}

Outcome Applier::change(const ExpireLease& change) {
  const auto* found = expect(state_.nodes, change.node, change.expected);
  if (!found) return refused_;
  if (found->state == NodeState::kRemoved) return refuse(Refusal::kState, found->version);
  Node node = *found;
  ++node.lease_epoch;
  node.version = next_version();
  state_.nodes.set(change.node, std::move(node));
  return done(state_.version);
}

}  // namespace walrus::meta
