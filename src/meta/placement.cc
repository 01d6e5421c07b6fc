#include "meta/placement.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/mix64.h"

namespace walrus::meta {
namespace {

// The same on every node and in every version: where leaders are at home depends on it.
std::uint64_t affinity(const PartitionId& partition, NodeId node) {
  std::uint64_t halves[2];
  std::memcpy(halves, partition.topic.bytes.data(), sizeof halves);
  return scramble64(scramble64(scramble64(halves[0] + partition.index) ^ halves[1]) ^
                    scramble64(node.value));
}

bool contains(std::span<const NodeId> nodes, NodeId node) {
  return std::ranges::find(nodes, node) != nodes.end();
}

}  // namespace

Placer::Placer(const State& image, std::span<const Alive> alive, Spread spread)
    : image_(image), spread_(spread) {
  image.nodes.each([&](NodeId id, const Node& node) {
    auto found = std::ranges::find(alive, id, &Alive::node);
    if (found != alive.end() && node.state == NodeState::kActive && node.capacity > 0)
      nodes_.push_back({.id = id,
                        .rack = node.rack,
                        .capacity = node.capacity,
                        .load = image.load(id),
                        .settled = found->settled,
                        .slow = found->slow});
  });
}

std::optional<Placement> Placer::place(const PartitionId& partition, const Topic& topic) {
  if (nodes_.empty()) return std::nullopt;
  Placement place{.leader = choose_leader(partition, topic, {})};
  place.replicas.push_back(place.leader);
  return fill(partition, topic, std::move(place));
}

std::optional<Placement> Placer::place_next(const PartitionId& partition, const Topic& topic,
                                            const Segment& tail) {
  if (nodes_.empty()) return std::nullopt;
  count(tail.leader, tail.replicas, false);  // it is sealed when the next one is open
  const auto* leader = find(tail.leader);
  if (topic.internal)
    return follow(partition, topic, tail,
                  leader ? leader->id : choose_leader(partition, topic, tail.leader));
  bool able = leader && spread_ == Spread::kLoad && !leader->slow;
  if (able && !overloaded(*leader, By::kLeads)) return follow(partition, topic, tail, tail.leader);
  const auto* next = heir(tail.leader);
  if (!next) next = find(choose_leader(partition, topic, tail.leader));
  bool stays = able && !next->settled;
  return follow(partition, topic, tail, stays ? tail.leader : next->id);
}

std::optional<Placement> Placer::place_better(const PartitionId& partition, const Topic& topic,
                                              const Segment& tail) {
  const auto* from = find(tail.leader);
  const auto* to = from ? choose_better(partition, topic, *from) : nullptr;
  if (!to) return std::nullopt;
  count(tail.leader, tail.replicas, false);
  return follow(partition, topic, tail, to->id);
}

const Placer::Candidate* Placer::choose_better(const PartitionId& partition, const Topic& topic,
                                               const Candidate& from) const {
  if (topic.internal) {
    const auto* to = find(*home(partition));
    return to->id != from.id && to->settled ? to : nullptr;
  }
  if (spread_ != Spread::kLoad || percent(from, By::kLeads) <= 100) return nullptr;
  const Candidate* best = nullptr;
  for (const auto& to : nodes_) {
    if (!to.settled || to.slow || to.id == from.id) continue;
    if (!best || std::uint64_t{to.load.leads} * best->capacity < best->load.leads * to.capacity)
      best = &to;
  }
  if (!best) return nullptr;
  if (!overloaded(from, By::kLeads) && percent(*best, By::kLeads) >= kIdlePercent) return nullptr;
  bool better = (std::uint64_t{best->load.leads} + 1) * from.capacity <=
                (std::uint64_t{from.load.leads} - 1) * best->capacity;
  return better ? best : nullptr;
}

std::optional<Placement> Placer::follow(const PartitionId& partition, const Topic& topic,
                                        const Segment& tail, NodeId leader) {
  Placement place{.leader = leader, .replicas = {leader}};
  for (auto node : tail.replicas) {
    bool full = place.replicas.size() >= topic.replication_factor;
    if (const auto* next = heir(node); next && !full && !contains(place.replicas, next->id))
      place.replicas.push_back(next->id);
    const auto* follower = find(node);
    if (!follower || full || contains(place.replicas, node)) continue;
    if (spread_ == Spread::kLoad && !follower->slow && !overloaded(*follower, By::kTails) &&
        same_rack(*follower, place.replicas) <= fewest_in_rack(place.replicas))
      place.replicas.push_back(node);
  }
  auto placed = fill(partition, topic, std::move(place));
  if (!placed) count(tail.leader, tail.replicas, true);
  return placed;
}

std::optional<NodeId> Placer::place_copy(const PartitionId& partition, std::span<const NodeId> has,
                                         std::uint64_t bytes) {
  const auto* chosen = choose(partition, has, By::kBytes);
  if (!chosen) return std::nullopt;
  auto& load = find(chosen->id)->load;
  ++load.sealed;
  load.sealed_bytes += bytes;
  return chosen->id;
}

// Null: the node stays, or hands over to nobody who is eligible.
const Placer::Candidate* Placer::heir(NodeId node) const {
  const auto* known = image_.nodes.find(node);
  if (!known || known->state != NodeState::kDraining) return nullptr;
  return find(known->replaced_by);
}

bool Placer::eligible(NodeId node) const { return find(node) != nullptr; }

bool Placer::has_other(std::span<const NodeId> than) const {
  return std::ranges::any_of(
      nodes_, [&](const Candidate& node) { return !node.slow && !contains(than, node.id); });
}

std::optional<NodeId> Placer::home(const PartitionId& partition) const {
  if (nodes_.empty()) return std::nullopt;
  return std::ranges::max(nodes_, {},
                          [&](const Candidate& node) {
                            return std::pair(affinity(partition, node.id), node.id);
                          })
      .id;
}

std::uint64_t Placer::weight(const Candidate& node, By by) {
  switch (by) {
    case By::kLeads: return node.load.leads;
    case By::kTails: return node.load.tails;
    case By::kBytes: return node.load.sealed_bytes;
  }
  return 0;
}

// 100: the node has its share of what the eligible nodes have together.
std::uint64_t Placer::percent(const Candidate& node, By by) const {
  unsigned __int128 all = 0, capacity = 0;
  for (const auto& one : nodes_) {
    all += weight(one, by);
    capacity += one.capacity;
  }
  if (all == 0) return 0;
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(weight(node, by)) * capacity *
                                    100 / (all * node.capacity));
}

// A node that has one only is not, however few there are.
bool Placer::overloaded(const Candidate& node, By by) const {
  return weight(node, by) > 1 && percent(node, by) > kOverloadPercent;
}

NodeId Placer::choose_leader(const PartitionId& partition, const Topic& topic, NodeId before) {
  if (topic.internal) return *home(partition);
  if (spread_ == Spread::kRoundRobin) {
    if (before == NodeId{})
      return nodes_[(affinity({partition.topic, 0}, {}) + partition.index) % nodes_.size()].id;
    auto next = std::ranges::upper_bound(nodes_, before, {}, &Candidate::id);
    return next == nodes_.end() ? nodes_.front().id : next->id;
  }
  return choose(partition, {}, By::kLeads)->id;
}

const Placer::Candidate* Placer::choose(const PartitionId& partition, std::span<const NodeId> has,
                                        By by) const {
  const Candidate* best = nullptr;
  auto better = [&](const Candidate& a, const Candidate& b) {
    if (a.slow != b.slow) return b.slow;
    auto racks_a = same_rack(a, has), racks_b = same_rack(b, has);
    if (racks_a != racks_b) return racks_a < racks_b;
    auto load_a = static_cast<unsigned __int128>(weight(a, by)) * b.capacity,
         load_b = static_cast<unsigned __int128>(weight(b, by)) * a.capacity;
    if (load_a != load_b) return load_a < load_b;
    return affinity(partition, a.id) > affinity(partition, b.id);
  };
  for (const auto& node : nodes_)
    if (!contains(has, node.id) && (!best || better(node, *best))) best = &node;
  return best;
}

std::optional<Placement> Placer::fill(const PartitionId& partition, const Topic& topic,
                                      Placement place) {
  while (place.replicas.size() < topic.replication_factor) {
    const auto* next = choose(partition, place.replicas, By::kTails);
    if (!next) break;
    place.replicas.push_back(next->id);
  }
  if (place.replicas.size() < topic.min_copies) return std::nullopt;
  count(place.leader, place.replicas, true);
  return place;
}

// The best that a choice could do for racks.
std::size_t Placer::fewest_in_rack(std::span<const NodeId> has) const {
  auto fewest = SIZE_MAX;
  for (const auto& node : nodes_)
    if (!contains(has, node.id)) fewest = std::min(fewest, same_rack(node, has));
  return fewest;
}

void Placer::count(NodeId leader, std::span<const NodeId> replicas, bool there) {
  auto add = [&](std::uint32_t& to) { there ? ++to : --to; };
  for (auto id : replicas)
    if (auto* node = find(id)) add(node->load.tails);
  if (auto* node = find(leader)) add(node->load.leads);
}

// How many of the set are in the node's rack. Nodes of no rack are each in one of their own.
std::size_t Placer::same_rack(const Candidate& node, std::span<const NodeId> has) const {
  if (node.rack.empty()) return 0;
  return static_cast<std::size_t>(std::ranges::count_if(has, [&](NodeId id) {
    const auto* other = image_.nodes.find(id);
    return other && other->rack == node.rack;
  }));
}

}  // namespace walrus::meta
