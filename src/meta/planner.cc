#include "meta/planner.h"

#include <algorithm>
#include <set>
#include <utility>

namespace walrus::meta {
namespace {

// Of one change; a command of as many as it may have would still be no larger than it may be.
constexpr std::size_t kMovesMax = 100;

// Fence threshold (EC of the segment rules): one of every possible acknowledging quorum.
std::size_t cover(const Segment& segment) {
  auto replicas = segment.replicas.size();
  auto quorum = std::max<std::size_t>(replicas / 2 + 1, segment.min_copies);
  return replicas - std::min(quorum, replicas) + 1;
}

class Draft {
 public:
  Draft(const State& image, const Observed& observed, const PlanLimits& limits, Spread spread)
      : image_(image),
        observed_(observed),
        limits_(limits),
        wanted_(observed.wanted.begin(), observed.wanted.end()),
        placer_(image, find_alive(), spread) {
    for (const auto& copy : observed.copies) note(copy);
  }

  void plan_level();
  void plan_nodes();
  void plan_tails();
  void plan_wanted();
  // Looks at sealed segments after `partition` and `segment`, which move on.
  void plan_repairs(PartitionId& partition, SegmentId& segment);
  Plan take() && { return std::move(plan_); }

 private:
  std::vector<Alive> find_alive();
  bool alive(NodeId node) const { return alive_.contains(node); }
  bool away(NodeId, Nanos longer_than) const;
  bool draining(NodeId) const;

  void plan_drain(NodeId, const Load& left);
  void lack(const PartitionId&, SegmentId, std::size_t copies, std::size_t wanted);
  void plan_tail(const PartitionId&, const Partition&);
  void seal(const PartitionId&, const Partition&);
  std::optional<NodeId> choose_recoverer(const Segment&) const;
  void plan_open(const PartitionId&, const Segment&);
  std::size_t intact(const Segment&) const;
  bool follower_lost(const Segment&) const;
  std::optional<std::pair<RollReason, Placement>> choose_roll(const PartitionId&, const Topic&,
                                                              const Segment&);

  void plan_repair(const PartitionId&, const Partition&, const Segment&);
  void drop_copies(const PartitionId&, const Partition&, CopyMove);
  void plan_copy(const PartitionId&, const Segment&, NodeId replaces);
  std::optional<NodeId> choose_source(const Segment&) const;
  std::optional<NodeId> choose_target(const PartitionId&, const Segment&, NodeId replaces);
  void note(const Copy&);
  void stick(Stuck::Why why, const PartitionId& partition, SegmentId segment = {}) {
    plan_.stuck.push_back({why, partition, segment});
  }

  const State& image_;
  const Observed& observed_;
  const PlanLimits& limits_;
  const std::set<PartitionId> wanted_;
  std::map<NodeId, const Sight*> sights_{};
  // The life that answers is the one that metadata knows; another one has not registered yet.
  std::set<NodeId> alive_{};
  Placer placer_;
  Plan plan_{};
  std::map<NodeId, std::size_t> recovering_{};  // segments, by who has been told to
  std::set<NodeId> expired_{};
  std::size_t rolls_ = 0, copies_ = 0;
  std::set<SegmentId> copied_{};
  std::map<NodeId, std::size_t> sending_{}, receiving_{};
};

std::vector<Alive> Draft::find_alive() {
  std::vector<Alive> found;
  for (const auto& seen : observed_.nodes) {
    sights_[seen.node] = &seen;
    const auto* node = image_.nodes.find(seen.node);
    if (!seen.alive || !node || node->state == NodeState::kRemoved ||
        node->incarnation != seen.incarnation)
      continue;
    alive_.insert(seen.node);
    found.push_back({seen.node, seen.since >= limits_.return_after});
  }
  return found;
}

bool Draft::away(NodeId node, Nanos longer_than) const {
  auto seen = sights_.find(node);
  return seen != sights_.end() && !seen->second->alive && seen->second->since >= longer_than;
}

bool Draft::draining(NodeId id) const {
  const auto* node = image_.nodes.find(id);
  return node && node->state == NodeState::kDraining;
}

// As soon as every program knows a higher one; who comes with an older one then is refused.
void Draft::plan_level() {
  std::optional<std::uint32_t> known;
  image_.nodes.each([&known](NodeId, const Node& node) {
    if (node.state == NodeState::kRemoved) return;
    known = std::min(known.value_or(node.feature_level_max), node.feature_level_max);
  });
  if (known && *known > image_.cluster.feature_level)
    plan_.changes.push_back(RaiseLevel{image_.cluster.version, *known});
}

void Draft::plan_nodes() {
  image_.nodes.each([this](NodeId id, const Node& node) {
    if (node.state == NodeState::kJoining && alive(id))
      plan_.changes.push_back(SetNodeState{id, node.version, NodeState::kActive, false});
    auto left = image_.load(id);
    if (node.state == NodeState::kDraining && left.empty())
      plan_.changes.push_back(SetNodeState{id, node.version, NodeState::kDrained, false});
    if (node.state == NodeState::kDrained && node.replaced_by != NodeId{} && left.empty())
      plan_.changes.push_back(SetNodeState{id, node.version, NodeState::kRemoved, false});
    bool leaves = node.state == NodeState::kDraining || node.state == NodeState::kRemoved;
    if (leaves && !left.empty()) plan_drain(id, left);
  });
}

void Draft::plan_drain(NodeId id, const Load& left) {
  Drain drain{.node = id, .left = left};
  if (observed_.copy_bytes_per_s > 0)
    drain.finishes_in = std::chrono::seconds(left.sealed_bytes / observed_.copy_bytes_per_s);
  plan_.drains.push_back(drain);
}

void Draft::lack(const PartitionId& id, SegmentId segment, std::size_t copies, std::size_t wanted) {
  ++plan_.under_replicated;
  if (plan_.lacking.size() >= kLackingMax) return;
  plan_.lacking.push_back(
      {id, segment, static_cast<std::uint32_t>(copies), static_cast<std::uint32_t>(wanted)});
}

void Draft::plan_tails() {
  image_.partitions.each([this](const PartitionId&, const Partition& partition) {
    if (partition.tail && partition.tail->state == SegmentState::kSealing)
      ++recovering_[partition.tail->recoverer];
  });
  image_.partitions.each([this](const PartitionId& id, const Partition& partition) {
    if (partition.tail) plan_tail(id, partition);
  });
}

void Draft::plan_tail(const PartitionId& id, const Partition& partition) {
  const auto& tail = *partition.tail;
  const auto* leader = image_.nodes.find(tail.leader);
  bool open = tail.state == SegmentState::kOpen;
  if (open && alive(tail.leader) && tail.leader_incarnation == leader->incarnation)
    return plan_open(id, tail);
  if (intact(tail) < cover(tail)) stick(Stuck::Why::kUnsealable, id, tail.id);
  if (open || !alive(tail.recoverer)) {
    seal(id, partition);
    return;
  }
  Recover recover{.partition = id, .segment = tail.id, .epoch = tail.recovery_epoch};
  if (wanted_.contains(id)) {
    recover.next = placer_.place(id, *image_.topics.find(id.topic));
    if (!recover.next) stick(Stuck::Why::kNoNodes, id, tail.id);
  }
  plan_.recoveries[tail.recoverer].push_back(std::move(recover));
}

// How many copies are what they were, on nodes that are alive.
std::size_t Draft::intact(const Segment& tail) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      tail.replicas, [&](NodeId node) { return alive(node) && image_.intact(tail, node); }));
}

void Draft::seal(const PartitionId& id, const Partition& partition) {
  const auto& tail = *partition.tail;
  auto recoverer = choose_recoverer(tail);
  if (!recoverer) return;
  ++recovering_[*recoverer];
  const auto* leader = image_.nodes.find(tail.leader);
  bool expire = tail.state == SegmentState::kOpen && !alive(tail.leader) &&
                leader->state != NodeState::kRemoved;
  if (expire && expired_.insert(tail.leader).second)
    plan_.changes.push_back(ExpireLease{tail.leader, leader->version});
  plan_.changes.push_back(BeginSeal{id, partition.version, *recoverer});
}

// A replica that is alive: one that has the segment if there is one, and then who has least to do.
// Of a segment whose nodes are all removed any node that is alive: somebody has to say that it is
// lost.
std::optional<NodeId> Draft::choose_recoverer(const Segment& tail) const {
  std::optional<NodeId> best;
  auto cost = [this, &tail](NodeId node) {
    auto busy = recovering_.find(node);
    return std::pair(!image_.intact(tail, node), busy == recovering_.end() ? 0 : busy->second);
  };
  for (auto node : tail.replicas)
    if (alive(node) && (!best || cost(node) < cost(*best))) best = node;
  bool removed = std::ranges::all_of(tail.replicas, [this](NodeId id) {
    const auto* node = image_.nodes.find(id);
    return !node || node->state == NodeState::kRemoved;
  });
  if (!removed) return best;
  for (auto node : alive_)
    if (!best || cost(node) < cost(*best)) best = node;
  return best;
}

void Draft::plan_open(const PartitionId& id, const Segment& tail) {
  const auto& topic = *image_.topics.find(id.topic);
  auto whole = std::min<std::size_t>(topic.replication_factor, placer_.eligible_count());
  if (tail.replicas.size() < whole || follower_lost(tail))
    lack(id, tail.id, intact(tail), std::max(whole, tail.replicas.size()));
  auto roll = choose_roll(id, topic, tail);
  if (!roll) return;
  ++rolls_;
  plan_.rolls[tail.leader].push_back({id, tail.id, roll->first, std::move(roll->second)});
}

bool Draft::follower_lost(const Segment& tail) const {
  return std::ranges::any_of(
      tail.replicas, [&](NodeId node) { return !alive(node) || !image_.intact(tail, node); });
}

std::optional<std::pair<RollReason, Placement>> Draft::choose_roll(const PartitionId& id,
                                                                   const Topic& topic,
                                                                   const Segment& tail) {
  auto next = [&](RollReason why) -> std::optional<std::pair<RollReason, Placement>> {
    auto place = placer_.place_next(id, topic, tail);
    if (!place) return std::nullopt;
    return std::pair(why, *std::move(place));
  };
  auto usable =
      std::ranges::count_if(tail.replicas, [&](NodeId node) { return placer_.eligible(node); });
  bool replacement = placer_.eligible_count() > static_cast<std::size_t>(usable);
  bool gone = std::ranges::any_of(tail.replicas, [&](NodeId node) {
    return away(node, limits_.follower_away_max) || (alive(node) && !image_.intact(tail, node));
  });
  if (follower_lost(tail) && (replacement || gone)) return next(RollReason::kFollower);
  if (rolls_ >= limits_.rolls_max) return std::nullopt;
  if (std::ranges::any_of(tail.replicas, [&](NodeId node) { return draining(node); })) {
    auto roll = next(RollReason::kDrain);
    if (!roll) stick(Stuck::Why::kNoNodes, id, tail.id);
    return roll;
  }
  bool small = tail.replicas.size() < topic.replication_factor;
  if (small && replacement && !follower_lost(tail)) return next(RollReason::kReplicas);
  auto better = placer_.place_better(id, topic, tail);
  if (!better) return std::nullopt;
  return std::pair(RollReason::kBalance, *std::move(better));
}

void Draft::plan_wanted() {
  for (const auto& id : wanted_) {
    const auto* partition = image_.partitions.find(id);
    if (!partition || partition->tail) continue;
    auto place = placer_.place(id, *image_.topics.find(id.topic));
    if (place) plan_.changes.push_back(OpenSegment{id, partition->version, *std::move(place)});
    else stick(Stuck::Why::kNoNodes, id);
  }
}

void Draft::plan_repairs(PartitionId& partition, SegmentId& segment) {
  auto left = limits_.segments_max;
  bool all = true;
  image_.partitions.scan(PartitionId(partition), [&](const PartitionId& id, const Partition& of) {
    SegmentId from = id == partition ? SegmentId{segment.value + 1} : SegmentId{};
    of.sealed.scan(from, [&](const Segment& sealed) {
      if (left == 0) return all = false;
      --left;
      partition = id;
      segment = sealed.id;
      plan_repair(id, of, sealed);
      return true;
    });
    return all;
  });
  if (!all) return;
  partition = {};
  segment = {};
  plan_.searched = true;
}

void Draft::plan_repair(const PartitionId& id, const Partition& partition, const Segment& segment) {
  std::vector<NodeId> leaving;
  std::size_t staying = 0;
  bool lost = false;
  if (!choose_source(segment)) {
    stick(Stuck::Why::kNoCopy, id, segment.id);
    return;
  }
  for (auto node : segment.replicas) {
    if (!image_.intact(segment, node)) lost = true;
    else if (draining(node) || away(node, limits_.repair_after)) leaving.push_back(node);
    else ++staying;
  }
  const auto& topic = *image_.topics.find(id.topic);
  auto whole = std::min<std::size_t>(topic.replication_factor, placer_.eligible_count());
  if (staying >= std::max<std::size_t>(whole, 1)) {
    if (lost || !leaving.empty()) drop_copies(id, partition, {segment.id, {}, std::move(leaving)});
    return;
  }
  lack(id, segment.id, staying, whole);
  plan_copy(id, segment, leaving.empty() ? NodeId{} : leaving.front());
}

// All of a partition in one change, since each change makes the others outdated.
void Draft::drop_copies(const PartitionId& id, const Partition& partition, CopyMove move) {
  auto* last = plan_.changes.empty() ? nullptr : std::get_if<MoveCopies>(&plan_.changes.back());
  if (!last || last->partition != id || last->moves.size() >= kMovesMax) {
    plan_.changes.push_back(MoveCopies{id, partition.version, {}});
    last = &std::get<MoveCopies>(plan_.changes.back());
  }
  last->moves.push_back(std::move(move));
}

void Draft::plan_copy(const PartitionId& id, const Segment& segment, NodeId replaces) {
  if (copied_.contains(segment.id)) return;
  auto from = choose_source(segment);
  if (copies_ >= limits_.copies_max || sending_[*from] >= limits_.copies_node_max) return;
  auto to = choose_target(id, segment, replaces);
  if (!to || receiving_[*to] >= limits_.copies_node_max) return;
  Copy copy{.partition = id,
            .segment = segment.id,
            .from = *from,
            .to = *to,
            .replaces = replaces,
            .bytes = segment.bytes};
  note(copy);
  plan_.copies[{copy.from, copy.to}].push_back(copy);
}

std::optional<NodeId> Draft::choose_source(const Segment& segment) const {
  std::optional<NodeId> best;
  auto busy = [this](NodeId node) {
    auto found = sending_.find(node);
    return found == sending_.end() ? 0 : found->second;
  };
  for (auto node : segment.replicas)
    if (alive(node) && image_.intact(segment, node) && (!best || busy(node) < busy(*best)))
      best = node;
  return best;
}

// Who is to replace a node, or lost its own copy, comes first.
std::optional<NodeId> Draft::choose_target(const PartitionId& id, const Segment& segment,
                                           NodeId replaces) {
  std::vector<NodeId> has;
  for (auto node : segment.replicas)
    if (image_.intact(segment, node)) has.push_back(node);
  for (auto lost : segment.replicas) {
    if (image_.intact(segment, lost)) continue;
    auto heir = image_.nodes.find(lost)->replaced_by;
    auto to = heir == NodeId{} ? lost : heir;
    if (placer_.eligible(to) && std::ranges::find(has, to) == has.end()) return to;
  }
  const auto* leaving = image_.nodes.find(replaces);
  auto heir = leaving ? leaving->replaced_by : NodeId{};
  if (placer_.eligible(heir) && std::ranges::find(has, heir) == has.end()) return heir;
  return placer_.place_copy(id, has, segment.bytes);
}

void Draft::note(const Copy& copy) {
  ++copies_;
  ++sending_[copy.from];
  ++receiving_[copy.to];
  copied_.insert(copy.segment);
}

}  // namespace

std::vector<Command> commands(const Plan& plan, Time now, const PlanLimits& limits) {
  constexpr std::size_t kBytesMax = kCommandBytesMax / 2;  // and one change more
  std::vector<Command> made;
  std::size_t bytes = 0;
  for (const auto& change : plan.changes) {
    if (made.empty() || made.back().changes.size() >= limits.changes_max || bytes > kBytesMax) {
      made.push_back({.time = now});
      bytes = 0;
    }
    made.back().changes.push_back(change);
    bytes += encode(Command{.changes = {change}}).size();
  }
  return made;
}

Plan Planner::plan(const State& image, const Observed& observed) {
  Draft draft(image, observed, limits_, spread_);
  draft.plan_level();
  draft.plan_nodes();
  draft.plan_tails();
  draft.plan_wanted();
  draft.plan_repairs(repair_.partition, repair_.segment);
  return std::move(draft).take();
}

}  // namespace walrus::meta
