#include "cluster_run.h"

#include <fmt/format.h>

#include <algorithm>

namespace walrus::sim {

using replica::Leader;
using replica::Sealer;
using replica::Segment;
using replica::SegmentState;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kHealAt = 15 * kSecond, kQuietAt = 19 * kSecond;
constexpr std::int64_t kEnd = kHealAt + 30 * kSecond;  // by then everything has to be well

ClusterPlan plan_of(std::uint64_t seed) {
  io::SimRandom random(seed);
  return draw_cluster_plan(random);
}

}  // namespace

ClusterRun::ClusterRun(std::uint64_t seed) : ClusterWorld(seed, plan_of(seed)) {
  producers_.resize(plan_.producers);
  for (std::size_t i = 0; i < plan_.producers; ++i) {
    producers_[i].partition = i % plan_.partitions;
    producers_[i].id = ++next_producer_;
  }
  readers_.resize(plan_.readers);
  for (std::size_t i = 0; i < plan_.readers; ++i) readers_[i].partition = i % plan_.partitions;
  sent_.resize(plan_.partitions);
  polled_.resize(plan_.partitions);
}

void ClusterRun::run() {
  for (std::size_t i = 0; i < plan_.producers + plan_.readers + plan_.askers; ++i)
    at(about(plan_.think), Kind::kClient, i);
  for (std::size_t i = 0; i < kNemeses; ++i)
    if (every(i) > replica::Nanos{0}) at(about(every(i)), Kind::kNemesis, i);
  while (!violation() && handle_next(kHealAt)) {
  }
  if (violation()) return;
  heal();
  while (!violation() && handle_next(kQuietAt)) {
  }
  quiet_ = true;
  for (auto until = kQuietAt; !violation() && until < kEnd && !settled();) {
    until += kSecond / 2;
    while (!violation() && handle_next(until)) {
    }
  }
  if (!violation()) check_end();
  tally_.trace = trace_.value();
}

void ClusterRun::client_turn(std::size_t client, std::uint64_t) {
  at(about(plan_.think), Kind::kClient, client);
  if (client < plan_.producers) return produce(client);
  client -= plan_.producers;
  if (client < plan_.readers) return read(readers_[client], static_cast<std::uint32_t>(client));
  ask_latest();
}

// ---- Faults ----

replica::Nanos ClusterRun::every(std::size_t nemesis) const {
  const replica::Nanos all[] = {plan_.cut_every,       plan_.partition_every,  plan_.isolate_every,
                                plan_.metadata_every,  plan_.kill_every,       plan_.power_every,
                                plan_.power_all_every, plan_.slow_every,       plan_.stuck_every,
                                plan_.fail_every,      plan_.wipe_every,       plan_.rot_every,
                                plan_.pause_every,     plan_.controller_every, plan_.roll_every};
  static_assert(std::size(all) == kNemeses);
  return all[nemesis];
}

void ClusterRun::nemesis_turn(std::size_t nemesis) {
  if (calm_) return;
  at(about(every(nemesis)), Kind::kNemesis, nemesis);
  switch (nemesis) {
    case kCut: return cut_some();
    case kSplit: return split();
    case kIsolate: return isolate();
    case kMetadataAway: return part_from_metadata();
    case kWipe: return wipe();
    case kRot: return rot();
    case kController:
      hit(ClusterFamily::kControllerChange);
      return metadata_.set_controller(random_.below(nodes_.size()));
    case kRoll: {
      auto [node, segment] = writer_of(random_.below(plan_.partitions));
      if (!node) return;
      step_writer(*node, segment, Leader::Close{});
      return flush(*node);
    }
    case kKillOne:
    case kPowerOne:
    case kPowerAll: return crash(nemesis);
    default: return disturb(nemesis);
  }
}

ClusterRun::Node* ClusterRun::random_node() { return nodes_[random_.below(nodes_.size())].get(); }

ClusterRun::Node* ClusterRun::leader_node() {
  const auto* tail = metadata_.now().partitions[random_.below(plan_.partitions)].tail();
  return tail ? nodes_[tail->leader.value - 1].get() : random_node();
}

void ClusterRun::cut(std::size_t from, std::size_t to, Nanos until) {
  auto link = from * kPlaces + to;
  cut_[link] = 1;
  at(until, Kind::kHeal, 0, link);
}

void ClusterRun::cut_some() {
  hit(ClusterFamily::kOneWayCut);
  auto until = in(milliseconds(50), seconds(3));
  for (auto times = random_.between(1, 3); times > 0; --times) {
    auto from = random_.below(nodes_.size()), to = random_.below(nodes_.size());
    if (from != to) cut(from, to, until);
  }
}

void ClusterRun::split() {
  hit(ClusterFamily::kPartition);
  auto until = in(milliseconds(100), seconds(3));
  auto side = random_.next();
  for (std::size_t from = 0; from < nodes_.size(); ++from)
    for (std::size_t to = 0; to < nodes_.size(); ++to)
      if ((side >> from & 1) != (side >> to & 1)) cut(from, to, until);
}

// A leader that some of the others, or metadata, do not reach any more, or that does not reach
// them.
void ClusterRun::isolate() {
  auto* node = leader_node();
  hit(ClusterFamily::kIsolatedLeader);
  auto until = in(milliseconds(200), seconds(4));
  bool hears = random_.chance(0.2), heard = !hears && random_.chance(0.2);
  bool partly = random_.chance(0.3), not_metadata = random_.chance(0.3);
  for (std::size_t other = 0; other < nodes_.size(); ++other) {
    if (other == node->place || (partly && random_.chance(0.5))) continue;
    if (!heard) cut(node->place, other, until);
    if (!hears) cut(other, node->place, until);
  }
  if (not_metadata) return;
  if (!heard) cut(node->place, kMetadata, until);
  if (!hears) cut(kMetadata, node->place, until);
}

void ClusterRun::part_from_metadata() {
  hit(ClusterFamily::kMetadataCut);
  auto until = in(milliseconds(200), seconds(5));
  bool all = random_.chance(0.5);
  auto one = leader_node()->place;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (!all && i != one) continue;
    cut(i, kMetadata, until);
    cut(kMetadata, i, until);
  }
}

void ClusterRun::restart_later(Node& node, replica::Nanos longest) {
  at(in(milliseconds(1), longest), Kind::kRestart, node.place);
}

void ClusterRun::crash(std::size_t nemesis) {
  if (nemesis == kPowerAll) {
    hit(ClusterFamily::kPowerCutOfAll);
    for (auto& node : nodes_) {
      lose_power(*node);
      restart_later(*node, seconds(1));
    }
    return;
  }
  auto* node = random_.chance(0.5) ? leader_node() : random_node();
  if (!node->up) return;
  if (nemesis == kKillOne) kill(*node);
  else lose_power(*node);
  restart_later(*node, seconds(3));
}

void ClusterRun::disturb(std::size_t nemesis) {
  auto* node = random_.chance(0.5) ? leader_node() : random_node();
  switch (nemesis) {
    case kSlow:
      hit(ClusterFamily::kSlowDisk);
      node->slow_until = in(milliseconds(100), seconds(3));
      node->slow_by = random_.between(5, 300) * 1'000'000;
      return;
    case kStuck:
      hit(ClusterFamily::kStuckDisk);
      node->stuck_until = in(milliseconds(100), seconds(3));
      return;
    case kFail: node->fail_next = true; return;
    case kPauseOne:
      hit(ClusterFamily::kPause);
      node->paused_until = in(milliseconds(20), seconds(4));
      return;
    default: return;
  }
}

// What a node's copy offers: of one that is being repaired not all that is on the disk.
std::int64_t ClusterRun::offered(const Node& node, SegmentId id) const {
  auto stored = node.disk.durable.find(id);
  if (stored == node.disk.durable.end()) return 0;
  auto live = node.copies.find(id);
  auto end = stored->second.end();
  return live == node.copies.end() ? end : std::min(end, live->second.core->durable());
}

bool ClusterRun::has_other_copy(const Node& node, SegmentId id, std::int64_t needed) const {
  const auto* segment = metadata_.find(id);
  for (auto other : segment->replicas)
    if (other != node.id() && offered(*nodes_[other.value - 1], id) >= needed) return true;
  return needed <= segment->start;
}

bool ClusterRun::has_other_damage(const Node& node, const replica::Segment& segment) const {
  return std::ranges::any_of(segment.replicas, [&](NodeId other) {
    const auto& disk = nodes_[other.value - 1]->disk;
    auto stored = disk.durable.find(segment.id);
    return other != node.id() && stored != disk.durable.end() &&
           (stored->second.damaged() || stored->second.lost_end());
  });
}

// Whether everything that was acknowledged is on another disk, too. A reckless plan does not ask
// for it of what is open, but for a disk beside one whose bytes turned bad: that would only be
// found when the segment is sealed, and nobody gives up what a sealed one lacks.
bool ClusterRun::may_lose(const Node& node) const {
  for (const auto& chain : metadata_.now().partitions)
    for (const auto& segment : chain.segments) {
      bool open = segment.state != SegmentState::kSealed;
      if (!segment.has(node.id())) continue;
      if (open && plan_.reckless && !has_other_damage(node, segment)) continue;
      auto needed =
          segment.state == SegmentState::kSealed ? segment.end : truth_.acknowledged(segment.id);
      if (!has_other_copy(node, segment.id, needed)) return false;
    }
  return true;
}

void ClusterRun::wipe() {
  auto* node = random_node();
  if (!may_lose(*node)) return;
  hit(ClusterFamily::kWipedDisk);
  if (node->up) power_cut(*node, true);
  note(fmt::format("node {} comes back without its disk", node->place + 1));
  node->disk.wipe();
  restart_later(*node, seconds(2));
}

// A block of a batch that was synced turns bad.
void ClusterRun::rot() {
  auto* node = random_node();
  if (node->disk.durable.empty()) return;
  auto at = node->disk.durable.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(random_.below(node->disk.durable.size())));
  auto& copy = at->second;
  if (copy.batches.empty()) return;
  auto batch = copy.batches.begin();
  std::advance(batch, static_cast<std::ptrdiff_t>(random_.below(copy.batches.size())));
  if (!has_other_copy(*node, at->first, copy.written_end())) return;
  hit(ClusterFamily::kBitRot);
  copy.rotten.insert(batch->first);
  node->disk.cached[at->first].rotten.insert(batch->first);
}

void ClusterRun::lose_power(Node& node) {
  bool all_lost = plan_.rotten_ends && node.up && rot_end(node);
  power_cut(node, all_lost || random_.chance(0.5));
}

// The last block of the journal that was synced turns bad; what waits comes behind it. False: there
// is none that may.
bool ClusterRun::rot_end(Node& node) {
  const auto* newest = node.disk.newest();
  if (!newest) return false;
  const auto& copy = node.disk.durable.at(newest->first);
  if (copy.damaged() || !has_other_copy(node, newest->first, copy.written_end())) return false;
  hit(ClusterFamily::kRottenEnd);
  note(fmt::format("node {}: the end of its journal turns bad, segment {} from {}", node.place + 1,
                   newest->first.value, newest->second));
  node.disk.rot_newest();
  return true;
}

// The operator: looks at what survives, and accepts the loss when nobody is missing any more.
void ClusterRun::blocked(Node& node, const Sealer::Blocked& one) {
  note(fmt::format("segment {} waits for the operator: {} of {} survive", one.segment.value,
                   one.end.end, one.end.known));
  if (metadata_.find(one.segment)->recovery != one.recovery) return;  // not the newest word
  if (!plan_.reckless && one.end.end < truth_.acknowledged(one.segment))
    truth_.fail("I1 acknowledged is kept",
                fmt::format("segment {}: {} survive, {} was acknowledged", one.segment.value,
                            one.end.end, truth_.acknowledged(one.segment)));
  hit(ClusterFamily::kAcceptedLoss);
  truth_.accept_loss(one.segment);
  step_sealer(node, Sealer::AcceptLoss{one.segment});
}

// ---- The end ----

void ClusterRun::heal() {
  note("everything is healed");
  calm_ = true;
  std::ranges::fill(cut_, 0);
  for (auto& node : nodes_) {
    node->slow_until = node->stuck_until = node->paused_until = 0;
    node->fail_next = false;
    if (!node->up) start(*node);
  }
  plan_.delay_max = std::min(plan_.delay_max, plan_.delay_min + milliseconds(5));
}

bool ClusterRun::settled() { return !unsettled(); }

std::optional<std::string> ClusterRun::unsettled() {
  for (const auto& producer : producers_) {
    if (!producer.batches.empty()) {
      const auto* tail = metadata_.now().partitions[producer.partition].tail();
      return fmt::format("producer {} waits; segment {} is in state {}", producer.id,
                         tail ? tail->id.value : 0, tail ? static_cast<int>(tail->state) : -1);
    }
    if (producer.acknowledged_at < kHealAt)
      return fmt::format("producer {} was not served after everything was healed", producer.id);
  }
  for (const auto& chain : metadata_.now().partitions) {
    for (const auto& segment : chain.segments) {
      if (segment.state != SegmentState::kSealed) {
        if (auto why = unsettled_tail(segment)) return why;
        continue;
      }
      for (auto id : segment.replicas) {
        auto& node = *nodes_[id.value - 1];
        auto found = node.disk.durable.find(segment.id);
        bool whole = found != node.disk.durable.end() && found->second.end() == segment.end &&
                     found->second.written_end() == segment.end;
        if (segment.end == segment.start && found == node.disk.durable.end()) whole = true;
        if (!whole)
          return fmt::format("segment {}..{} is not whole on node {}: {} of {}", segment.start,
                             segment.end, id.value,
                             found == node.disk.durable.end() ? -1 : found->second.end(),
                             found == node.disk.durable.end() ? -1 : found->second.written_end());
      }
    }
  }
  return std::nullopt;
}

std::optional<std::string> ClusterRun::unsettled_tail(const Segment& segment) {
  if (segment.state != SegmentState::kOpen)
    return fmt::format("segment {} is still being sealed", segment.id.value);
  auto& leader = *nodes_[segment.leader.value - 1];
  auto writer = leader.writers.find(segment.id);
  if (writer == leader.writers.end())
    return fmt::format("nobody writes segment {}", segment.id.value);
  auto end = writer->second.core->log_end();
  for (auto id : segment.replicas) {
    auto& node = *nodes_[id.value - 1];
    auto copy = node.copies.find(segment.id);
    if (copy == node.copies.end() && end == segment.start) continue;
    if (copy == node.copies.end() || copy->second.core->readable() != end)
      return fmt::format("node {} is not at {} of segment {}", id.value, end, segment.id.value);
  }
  return std::nullopt;
}

void ClusterRun::check_end() {
  if (auto why = unsettled()) return truth_.fail("progress", *why);
  for (std::size_t p = 0; p < plan_.partitions; ++p) {
    for (const auto& segment : metadata_.now().partitions[p].segments) {
      const auto& first = nodes_[segment.replicas.front().value - 1]->disk.cached[segment.id];
      for (auto id : segment.replicas) {
        const auto& copy = nodes_[id.value - 1]->disk.cached[segment.id];
        if (copy.batches != first.batches)
          return truth_.fail("replicas are equal",
                             fmt::format("segment {}: nodes {} and {} differ", segment.id.value,
                                         segment.replicas.front().value, id.value));
      }
    }
    if (auto anomaly = find_anomaly(history_of(p)))
      return truth_.fail(anomaly->rule, fmt::format("partition {}: {}", p, anomaly->detail));
  }
}

}  // namespace walrus::sim
