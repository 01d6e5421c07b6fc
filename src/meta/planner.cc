#include "meta/planner.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

namespace walrus::meta {
namespace {

// Of one change; a command of as many as it may have would still be no larger than it may be.
constexpr std::size_t kMovesMax = 100;

std::size_t quorum_of(const Segment& segment) {
  auto replicas = segment.replicas.size();
  return std::min(std::max<std::size_t>(replicas / 2 + 1, segment.min_copies), replicas);
}

class Draft {
 public:
  Draft(const State& image, const Observed& observed, const PlanLimits& limits, Spread spread)
      : image_(image),
        observed_(observed),
        limits_(limits),
        wanted_(observed.wanted.begin(), observed.wanted.end()),
        full_(observed.full.begin(), observed.full.end()),
        slow_(observed.slow.begin(), observed.slow.end()),
        placer_(image, find_alive(), spread) {
    for (const auto& copy : observed.copies)
      if (!is_made(copy)) note(copy);
  }

  void plan_level();
  void plan_nodes();
  void plan_tails();
  void plan_wanted();
  // Looks at sealed segments after `partition` and `segment`, which move on.
  void plan_repairs(PartitionId& partition, SegmentId& segment, Lacking& found);
  Plan take(const Lacking& sealed) &&;

 private:
  std::vector<Alive> find_alive();
  bool alive(NodeId node) const { return alive_.contains(node); }
  bool leaves(NodeId node) const {
    auto seen = sights_.find(node);
    return seen != sights_.end() && seen->second->leaves;
  }
  bool away(NodeId, Nanos longer_than) const;
  bool draining(NodeId) const;
  bool takes_no_more(NodeId node) const { return full_.contains(node) || draining(node); }

  void plan_drain(NodeId, const Load& left);
  void plan_tail(const PartitionId&, const Partition&);
  void seal(const PartitionId&, const Partition&);
  std::optional<NodeId> choose_recoverer(const Segment&) const;
  void plan_open(const PartitionId&, const Segment&);
  std::size_t intact(const Segment&) const;
  std::size_t needed_to_seal(const Segment&) const;
  bool follower_lost(const Segment&) const;
  std::optional<NodeId> slow_copy(const PartitionId&, const Topic&, const Segment&) const;
  std::optional<std::pair<RollReason, Placement>> choose_roll(const PartitionId&, const Topic&,
                                                              const Segment&);

  void plan_repair(const PartitionId&, const Partition&, const Segment&, Lacking& found);
  void drop_copies(const PartitionId&, const Partition&, CopyMove);
  void plan_copy(const PartitionId&, const Segment&, NodeId replaces);
  std::optional<NodeId> choose_source(const Segment&) const;
  std::optional<NodeId> choose_target(const PartitionId&, const Segment&, NodeId replaces);
  bool is_made(const Copy&) const;
  struct Busy {  // with copies
    std::size_t count = 0;
    std::uint64_t bytes = 0;
  };
  bool may_copy(const Busy&, std::uint64_t bytes) const;
  void note(const Copy&);
  void stick(Stuck::Why why, const PartitionId& partition, SegmentId segment = {}) {
    plan_.stuck.push_back({why, partition, segment});
  }

  const State& image_;
  const Observed& observed_;
  const PlanLimits& limits_;
  const std::set<PartitionId> wanted_;
  const std::set<NodeId> full_;
  const std::set<SlowCopy> slow_;
  std::map<NodeId, const Sight*> sights_{};
  // The life that answers is the one that metadata knows; another one has not registered yet.
  std::set<NodeId> alive_{};
  Placer placer_;
  Plan plan_{};
  Lacking tails_{};
  std::map<NodeId, std::size_t> recovering_{};  // segments, by who has been told to
  std::set<NodeId> expired_{};
  std::size_t rolls_ = 0, copies_ = 0;
  std::set<SegmentId> copied_{};
  std::map<NodeId, Busy> sending_{}, receiving_{};
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
    if (seen.leaves || full_.contains(seen.node)) continue;
    bool slow = std::ranges::find(observed_.slow_nodes, seen.node) != observed_.slow_nodes.end();
    found.push_back({seen.node, seen.since >= limits_.return_after, slow});
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

Plan Draft::take(const Lacking& sealed) && {
  tails_.add(sealed);
  plan_.under_replicated = tails_.count;
  plan_.lacking = std::move(tails_.first);
  return std::move(plan_);
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
  auto whole = image_.topics.find(id.topic)->replication_factor;
  auto copies = intact(tail);
  if (copies < whole) tails_.add({id, tail.id, static_cast<std::uint32_t>(copies), whole});
  if (open && alive(tail.leader) && tail.leader_incarnation == leader->incarnation)
    return plan_open(id, tail);
  if (copies < needed_to_seal(tail)) stick(Stuck::Why::kUnsealable, id, tail.id);
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

// What any copy holds is written to as many as acknowledge before the end is decided (R17), but for
// those that were removed.
std::size_t Draft::needed_to_seal(const Segment& tail) const {
  if (tail.state == SegmentState::kOpen) return cover(tail);
  auto present = static_cast<std::size_t>(std::ranges::count_if(tail.replicas, [&](NodeId id) {
    const auto* node = image_.nodes.find(id);
    return node && node->state != NodeState::kRemoved;
  }));
  return std::max(cover(tail), std::min(quorum_of(tail), present));
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

// A replica that is alive: one that stays and has the segment if there is one, and then who has
// least to do.
// Of a segment whose nodes are all removed any node that is alive: somebody has to say that it is
// lost.
std::optional<NodeId> Draft::choose_recoverer(const Segment& tail) const {
  std::optional<NodeId> best;
  auto cost = [this, &tail](NodeId node) {
    auto busy = recovering_.find(node);
    return std::tuple(leaves(node), !image_.intact(tail, node),
                      busy == recovering_.end() ? 0 : busy->second);
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
  auto roll = choose_roll(id, *image_.topics.find(id.topic), tail);
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
  if (std::ranges::any_of(tail.replicas, [&](NodeId node) { return takes_no_more(node); })) {
    auto roll = next(RollReason::kDrain);
    // Where too few have room, those that have little go on with it.
    bool drains = std::ranges::any_of(tail.replicas, [&](NodeId node) { return draining(node); });
    if (!roll && drains) stick(Stuck::Why::kNoNodes, id, tail.id);
    return roll;
  }
  bool small = tail.replicas.size() < topic.replication_factor;
  if (small && replacement && !follower_lost(tail)) return next(RollReason::kReplicas);
  if (auto slow = slow_copy(id, topic, tail)) {
    auto roll = next(RollReason::kFollower);
    if (roll && std::ranges::find(roll->second.replicas, *slow) == roll->second.replicas.end())
      return roll;
    return std::nullopt;
  }
  auto better = placer_.place_better(id, topic, tail);
  if (!better) return std::nullopt;
  return std::pair(RollReason::kBalance, *std::move(better));
}

// One that another node could take the place of (R29). A partition of an internal topic stays with
// the node that it is at home on.
std::optional<NodeId> Draft::slow_copy(const PartitionId& id, const Topic& topic,
                                       const Segment& tail) const {
  if (slow_.empty() || !placer_.has_other(tail.replicas)) return std::nullopt;
  for (auto node : tail.replicas) {
    bool home = topic.internal && placer_.home(id) == node;
    if (!home && slow_.contains({id, tail.id, node})) return node;
  }
  return std::nullopt;
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

void Draft::plan_repairs(PartitionId& partition, SegmentId& segment, Lacking& found) {
  auto left = limits_.segments_max;
  bool all = true;
  image_.partitions.scan(PartitionId(partition), [&](const PartitionId& id, const Partition& of) {
    SegmentId from = id == partition ? SegmentId{segment.value + 1} : SegmentId{};
    of.sealed.scan(from, [&](const Segment& sealed) {
      if (left == 0) return all = false;
      --left;
      partition = id;
      segment = sealed.id;
      plan_repair(id, of, sealed, found);
      return true;
    });
    return all;
  });
  if (!all) return;
  partition = {};
  segment = {};
  plan_.searched = true;
}

void Draft::plan_repair(const PartitionId& id, const Partition& partition, const Segment& segment,
                        Lacking& found) {
  std::vector<NodeId> leaving;
  std::size_t staying = 0, no_place = 0;
  std::uint32_t here = 0;
  bool lost = false;
  for (auto node : segment.replicas) {
    if (!image_.intact(segment, node)) {
      lost = true;
    } else if (draining(node) || away(node, limits_.repair_after)) {
      leaving.push_back(node);
    } else {
      ++staying;
      here += alive(node) ? 1 : 0;
      no_place += placer_.eligible(node) ? 0 : 1;
    }
  }
  auto wanted = image_.topics.find(id.topic)->replication_factor;
  if (here < wanted) found.add({id, segment.id, here, wanted});
  if (!choose_source(segment)) return stick(Stuck::Why::kNoCopy, id, segment.id);
  // As many as there are nodes for: of those that are given nothing new what they have counts.
  auto whole = std::min<std::size_t>(wanted, placer_.eligible_count() + no_place);
  if (staying >= std::max<std::size_t>(whole, 1)) {
    if (lost || !leaving.empty()) drop_copies(id, partition, {segment.id, {}, std::move(leaving)});
    return;
  }
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
  if (copies_ >= limits_.copies_max || !may_copy(sending_[*from], segment.bytes)) return;
  auto to = choose_target(id, segment, replaces);
  if (!to || !may_copy(receiving_[*to], segment.bytes)) return;
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
    return found == sending_.end() ? 0 : found->second.count;
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

// Metadata knows it: who told of it has not told of its end yet.
bool Draft::is_made(const Copy& copy) const {
  const auto* partition = image_.partitions.find(copy.partition);
  auto segment = partition ? partition->sealed.find(copy.segment) : std::nullopt;
  if (!segment) return true;  // it is gone
  bool there = is_replica(*segment, copy.to) && image_.intact(*segment, copy.to);
  return there && !(copy.replaces != copy.to && is_replica(*segment, copy.replaces));
}

bool Draft::may_copy(const Busy& busy, std::uint64_t bytes) const {
  if (busy.count < limits_.copies_node_max) return true;
  return busy.count < limits_.copies_small_max && busy.bytes + bytes <= limits_.copies_node_bytes;
}

void Draft::note(const Copy& copy) {
  ++copies_;
  for (auto* busy : {&sending_[copy.from], &receiving_[copy.to]}) {
    ++busy->count;
    busy->bytes += copy.bytes;
  }
  copied_.insert(copy.segment);
}

}  // namespace

std::size_t cover(const Segment& segment) {
  return segment.replicas.size() - quorum_of(segment) + 1;
}

void Lacking::add(const UnderReplicated& one) {
  ++count;
  if (first.size() < kLackingMax) first.push_back(one);
}

void Lacking::add(const Lacking& others) {
  count += others.count;
  auto room = std::min(kLackingMax - first.size(), others.first.size());
  first.insert(first.end(), others.first.begin(),
               others.first.begin() + static_cast<std::ptrdiff_t>(room));
}

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
  draft.plan_repairs(repair_.partition, repair_.segment, found_);
  if (repair_.partition == PartitionId{}) found_before_ = std::exchange(found_, {});
  return std::move(draft).take(found_.count > found_before_.count ? found_ : found_before_);
}

}  // namespace walrus::meta
