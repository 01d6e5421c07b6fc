#pragma once
// Where segments go. Pure: the same image, the same nodes alive and the same questions in the same
// order give the same places.
//
// A node is eligible if it is active, alive and has capacity. A replica set has no node twice, is
// as large as the topic's replication factor or as there are eligible nodes, and is refused below
// the topic's min_copies. Racks come first: the next replica goes to a rack that has fewest of the
// set. Within that, what is lower in proportion to capacity wins; what is equal is decided by a
// hash of partition and node, so that equal nodes share, and an answer does not depend on what was
// asked before. Nodes that are slow come after all others, but are at home where they were.

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "meta/command.h"

namespace walrus::meta {

// rollover.placement
enum class Spread : std::uint8_t {
  kLoad = 1,        // to whoever has least; a planned roll stays where it is, unless that has much
  kRoundRobin = 2,  // the next segment goes to the next node
};

struct Alive {
  NodeId node{};
  bool settled = true;  // long enough to be given leaders only for the sake of balance
  bool slow = false;    // chosen only where nobody else is left
};

class Placer {
 public:
  // `image` outlives this.
  Placer(const State& image, std::span<const Alive> alive, Spread spread = Spread::kLoad);

  // For the first segment of a partition, and after a failure: none is preferred. What was placed
  // before counts as load. None: fewer nodes are eligible than min_copies.
  std::optional<Placement> place(const PartitionId&, const Topic&);
  // For the segment that follows `tail` on a planned roll: who is eligible and does not carry more
  // than the mean by kOverloadPercent stays, of internal topics whoever is eligible (R27); who
  // carries more makes way for a settled node only. In the place of a draining node comes who takes
  // over from it.
  std::optional<Placement> place_next(const PartitionId&, const Topic&, const Segment& tail);
  // For the segment that follows `tail` if a roll now would spread leaders better: away from a node
  // that writes more than its share, to a settled one that writes less even with it, if one of them
  // is far from it (kOverloadPercent, kIdlePercent); of an internal topic, back home. None: it
  // would not. Who does so again and again comes to an end.
  std::optional<Placement> place_better(const PartitionId&, const Topic&, const Segment& tail);
  // One more node for a sealed segment whose copies are on `has`; none: there is none.
  std::optional<NodeId> place_copy(const PartitionId&, std::span<const NodeId> has,
                                   std::uint64_t bytes);

  bool eligible(NodeId) const;
  // Whether anybody is that is not slow and not among them.
  bool has_other(std::span<const NodeId> than) const;
  std::size_t eligible_count() const { return nodes_.size(); }
  // The writer of an internal topic's partition while all nodes are as they are now.
  std::optional<NodeId> home(const PartitionId&) const;

 private:
  struct Candidate {
    NodeId id{};
    Bytes rack{};  // in the image
    std::uint64_t capacity = 1;
    Load load{};
    bool settled = true, slow = false;
  };
  enum class By : std::uint8_t { kLeads, kTails, kBytes };
  static std::uint64_t weight(const Candidate&, By);
  auto* find(this auto& self, NodeId node) {
    auto found = std::ranges::lower_bound(self.nodes_, node, {}, &Candidate::id);
    return found != self.nodes_.end() && found->id == node ? &*found : nullptr;
  }
  const Candidate* heir(NodeId) const;
  std::uint64_t percent(const Candidate&, By) const;
  bool overloaded(const Candidate&, By) const;
  NodeId choose_leader(const PartitionId&, const Topic&, NodeId before);
  const Candidate* choose(const PartitionId&, std::span<const NodeId> has, By) const;
  const Candidate* choose_better(const PartitionId&, const Topic&, const Candidate& from) const;
  // The set of a segment after `tail` that `leader` writes; counts.
  std::optional<Placement> follow(const PartitionId&, const Topic&, const Segment& tail,
                                  NodeId leader);
  std::optional<Placement> fill(const PartitionId&, const Topic&, Placement);
  std::size_t same_rack(const Candidate&, std::span<const NodeId> has) const;
  std::size_t fewest_in_rack(std::span<const NodeId> has) const;
  void count(NodeId leader, std::span<const NodeId> replicas, bool there);

  const State& image_;
  const Spread spread_;
  std::vector<Candidate> nodes_{};  // eligible, ids rise
};

constexpr std::uint64_t kOverloadPercent = 120, kIdlePercent = 80;  // of a node's share

}  // namespace walrus::meta
