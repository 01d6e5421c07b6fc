#include "raft_world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/check.h"
#include "base/crc32c.h"

namespace walrus::sim {

using raft::Event;
using raft::Index;
using raft::Role;

void RaftTally::add(const RaftTally& other) {
  events += other.events;
  messages += other.messages;
  commands += other.commands;
  reads += other.reads;
  elections += other.elections;
  snapshots += other.snapshots;
  compactions += other.compactions;
  member_steps += other.member_steps;
  crashes += other.crashes;
  for (std::size_t i = 0; i < kRaftFamilies; ++i) hits[i] += other.hits[i];
}

RaftWorld::RaftWorld(std::uint64_t seed, const RaftPlan& plan)
    : plan_(plan),
      random_(mix64(seed ^ 0x4a17)),
      cut_(kNodesMax * kNodesMax),
      link_free_(kNodesMax * kNodesMax),
      disk_of_([this](NodeId id) {
        auto* node = node_of(id);
        return node ? &node->disk : nullptr;
      }) {
  raft::Membership founders;
  for (int i = 1; i <= plan.founders; ++i)
    founders.members.push_back(
        {.id = NodeId{static_cast<std::uint64_t>(i)}, .address = "n", .voter = true});
  truth_.found(founders);
  for (int i = 0; i < plan.founders; ++i) add_node().disk.found(founders);
  for (auto& node : nodes_) start(*node);
}

// ---- Time ----

namespace {

std::string text(raft::EntryId id) { return fmt::format("{}@{}", id.index, id.term); }

std::string text(const raft::Message& message) {
  struct Body {
    std::string operator()(const raft::VoteRequest& m) const {
      return fmt::format("asks for a {}vote{}, has {}", m.pre ? "pre-" : "",
                         m.forced ? " by order" : "", text(m.last));
    }
    std::string operator()(const raft::VoteReply& m) const {
      return fmt::format("{} a {}vote", m.granted ? "gives" : "refuses", m.pre ? "pre-" : "");
    }
    std::string operator()(const raft::Append& m) const {
      return fmt::format("append {} entries behind {}, commit {}, round {}", m.entries.size(),
                         text(m.previous), m.commit, m.round);
    }
    std::string operator()(const raft::AppendReply& m) const {
      return fmt::format("{} {}, match {}, round {}, hint {}", m.rejected ? "rejects" : "accepts",
                         m.previous, m.match, m.round, text(m.hint));
    }
    std::string operator()(const raft::SnapshotChunk& m) const {
      return fmt::format("snapshot at {}: {} bytes at {} of {}", text(m.meta.last), m.bytes.size(),
                         m.position, m.meta.size);
    }
    std::string operator()(const raft::SnapshotReply& m) const {
      return fmt::format("snapshot to {}{}", m.position, m.resume ? ", go on there" : "");
    }
    std::string operator()(const raft::TimeoutNow&) const { return "campaign now"; }
  };
  return fmt::format("{} -> {} term {}: {}", message.from.value, message.to.value, message.term,
                     std::visit(Body{}, message.body));
}

}  // namespace

void RaftWorld::at(Nanos when, Kind kind, std::size_t who, std::uint64_t what,
                   std::uint32_t incarnation) {
  agenda_.add(std::max(when, now_), {kind, static_cast<std::uint16_t>(who), incarnation, what},
              plan_.shuffle_ties ? random_.next() : 0);
}

bool RaftWorld::handle_next(Nanos until) {
  auto next = agenda_.take(until);
  if (!next) return false;
  now_ = next->at;
  handle(next->occasion);
  return true;
}

void RaftWorld::handle(const Occasion& occasion) {
  if (occasion.kind == Kind::kClient) return client_turn(occasion.who, occasion.what);
  if (occasion.kind == Kind::kNemesis) return nemesis_turn(occasion.who);
  if (occasion.kind == Kind::kHeal) {
    cut_[occasion.what] = 0;
    return;
  }
  auto& node = *nodes_[occasion.who];
  if (occasion.kind == Kind::kRestart) {
    if (!node.core) start(node);
    return;
  }
  if (occasion.kind != Kind::kDelivery && occasion.incarnation != node.incarnation) return;
  if (node.core && node.paused_until > now_) {
    at(node.paused_until, occasion.kind, occasion.who, occasion.what, occasion.incarnation);
    if (occasion.kind == Kind::kTick) node.tick_at = node.paused_until;
    return;
  }
  switch (occasion.kind) {
    case Kind::kTick:
      if (now_ != node.tick_at) return;
      node.tick_at = -1;
      if (local(node) >= node.actions.wake_at.count()) step(node, raft::Tick{});
      else schedule_tick(node);
      return;
    case Kind::kDelivery: deliver(occasion.who, occasion.what); return;
    case Kind::kSynced: synced(node, occasion.what); return;
    case Kind::kSnapshotWritten: snapshot_written(node); return;
    case Kind::kSnapshotBytes: snapshot_bytes(node, occasion.what); return;
    default: return;
  }
}

void RaftWorld::schedule_tick(Node& node) {
  auto wake = node.actions.wake_at;
  if (wake == raft::Instant::max()) return;
  auto real = static_cast<Nanos>(static_cast<double>(wake.count() - node.offset) / node.rate) + 2;
  real = std::max(real, now_ + 1);
  if (node.tick_at >= 0 && node.tick_at <= real) return;
  node.tick_at = real;
  at(real, Kind::kTick, place_of(node), 0, node.incarnation);
}

void RaftWorld::note(const std::string& line) {
  if (narrate_) std::printf("%10.3f ms  %s\n", static_cast<double>(now_) / 1e6, line.c_str());
}

// ---- Nodes ----

RaftWorld::Node* RaftWorld::node_of(NodeId id) {
  return id.value >= 1 && id.value <= nodes_.size()
             ? nodes_[static_cast<std::size_t>(id.value - 1)].get()
             : nullptr;
}

RaftWorld::Node* RaftWorld::leader() {
  Node* best = nullptr;
  for (auto& node : nodes_)
    if (node->core && node->core->role() == Role::kLeader &&
        (!best || node->core->term() > best->core->term()))
      best = node.get();
  return best;
}

RaftWorld::Node& RaftWorld::add_node() {
  CHECK(nodes_.size() < kNodesMax);
  nodes_.push_back(std::make_unique<Node>());
  nodes_.back()->id = NodeId{nodes_.size()};
  return *nodes_.back();
}

void RaftWorld::start(Node& node) {
  ++node.incarnation;
  node.tick_at = -1;
  node.paused_until = 0;
  node.disk_free_at = node.sync_begins = now_;
  node.fail_next = false;
  auto deviation = std::array{-1.0, 1.0, 0.0, 0.5}[random_.below(4)] * plan_.drift;
  if (deviation != 0) tally_.hit(RaftFamily::kClockDrift);
  node.rate = 1 + deviation;
  node.offset = 1'000'000'000 * static_cast<Nanos>(1 + random_.below(1000));
  auto options = plan_.options;
  options.id = node.id;
  options.seed = random_.next();
  options.priority = random_.chance(0.2) ? static_cast<std::uint32_t>(random_.below(3)) : 2;
  auto durable = node.disk.durable();
  node.state = {};
  if (durable.snapshot.last.index > 0) {
    truth_.check_snapshot(node.id, node.disk.snapshot());
    node.state = RaftState::parse(node.disk.snapshot().bytes).value_or(RaftState{});
  }
  auto core = raft::Core::open(options, std::move(durable), raft::Instant(local(node)));
  if (!core) {
    truth_.fail("what is on the disk opens",
                fmt::format("node {}: {}", node.id.value, core.error().message));
    return;
  }
  note(fmt::format("node {} starts", node.id.value));
  node.core = *std::move(core);
  node.seen = {.term = node.core->term(),
               .commit = node.core->commit(),
               .last = node.core->log().last(),
               .membership = node.core->membership_index(),
               .base = node.core->snapshot().last.index};
  node.snapshot_tried = 0;
  step(node, raft::Tick{});
}

// Of what waits for the disk some prefix is there, and of the batch behind it some steps.
void RaftWorld::crash(Node& node, bool all_lost) {
  if (!node.core) return;
  ++tally_.crashes;
  note(fmt::format("node {} crashes", node.id.value));
  auto& waiting = node.disk.waiting;
  auto whole = all_lost ? 0 : random_.below(waiting.size() + 1);
  for (std::size_t i = 0; i < whole; ++i) node.disk.apply(waiting[i].writes);
  if (whole < waiting.size()) {
    tally_.hit(RaftFamily::kLostWrites);
    if (!all_lost && node.disk.apply(waiting[whole].writes, random_.below(4)) > 0)
      tally_.hit(RaftFamily::kTornWrites);
  }
  waiting.clear();
  node.disk.lose_pieces(random_.below(3));
  node.disk.forget_snapshots();
  node.core.reset();
  node.waiters.clear();
  node.snapshotting = false;
  ++node.incarnation;
}

void RaftWorld::step(Node& node, Event event) {
  ++tally_.events;
  trace_.fold(static_cast<std::uint64_t>(now_) * 32 + event.index());
  Event events[] = {std::move(event)};
  node.core->step(raft::Instant(local(node)), events, node.actions);
  take_actions(node);
}

void RaftWorld::take_actions(Node& node) {
  auto& actions = node.actions;
  trace_.fold(node.id.value << 32 | actions.writes.id << 8 | actions.messages.size());
  auto before = node.seen;
  truth_.check_core(*node.core, node.seen, disk_of_);
  count_step(node, before);
  take_writes(node);
  take_messages(node);
  if (truth_.violation()) return;
  take_committed(node);
  for (const auto& one : actions.answers) answer(node, one);
  for (const auto& one : actions.reads) read_answer(node, one);
  take_requests(node);
  serve_waiters(node);
  maybe_snapshot(node);
  schedule_tick(node);
}

void RaftWorld::count_step(const Node& node, const RaftTruth::Seen& before) {
  const auto& seen = node.seen;
  bool same = before.role == seen.role && before.term == seen.term;
  if (!same) {
    if (seen.role == Role::kLeader) ++tally_.elections;
    note(fmt::format("node {} role {} term {} last {}@{} commit {}", node.id.value,
                     static_cast<int>(seen.role), seen.term, seen.last.index, seen.last.term,
                     seen.commit));
  }
  const auto& writes = node.actions.writes;
  bool installed = writes.install.has_value();
  if (!installed && !writes.entries.empty() && writes.first <= before.last.index &&
      seen.base == before.base)
    tally_.hit(RaftFamily::kTruncation);
  if (!installed && seen.membership < before.membership) {
    tally_.hit(RaftFamily::kMembershipRollback);
  }
  if (installed) {
    ++tally_.snapshots;
    tally_.hit(RaftFamily::kSnapshotInstalled);
    if (writes.install->membership.joint) tally_.hit(RaftFamily::kSnapshotWhileJoint);
  }
  if (writes.base && writes.base->keep) ++tally_.compactions;
}

// ---- The disk ----

void RaftWorld::take_writes(Node& node) {
  auto& writes = node.actions.writes;
  if (writes.id == 0) return;
  truth_.check_writes(*node.core, writes);
  // What comes while a sync runs is covered by the next one.
  if (now_ >= node.sync_begins) {
    node.sync_begins = std::max(node.disk_free_at, now_);
    if (now_ < node.stuck_until) node.sync_begins = std::max(node.sync_begins, node.stuck_until);
    auto slow = now_ < node.slow_until ? node.slow_by : 0;
    node.disk_free_at =
        node.sync_begins + slow + random_.between(plan_.sync_min.count(), plan_.sync_max.count());
  }
  node.disk.waiting.push_back({node.disk_free_at, std::move(writes)});
  at(node.disk_free_at, Kind::kSynced, place_of(node), node.disk.waiting.back().writes.id,
     node.incarnation);
}

void RaftWorld::synced(Node& node, std::uint64_t write) {
  auto& waiting = node.disk.waiting;
  if (waiting.empty() || waiting.front().writes.id > write) return;
  if (node.fail_next) {
    tally_.hit(RaftFamily::kFailedWrite);
    note(fmt::format("node {}: its disk fails", node.id.value));
    node.disk.apply(waiting.front().writes, random_.below(4));
    waiting.clear();
    step(node, raft::PersistFailed{});
    at(in(std::chrono::milliseconds(100), std::chrono::seconds(3)), Kind::kNemesis,
       kNodesMax + place_of(node));
    return;
  }
  do {
    write = waiting.front().writes.id;
    node.disk.apply(waiting.front().writes);
    waiting.pop_front();
  } while (!waiting.empty() && waiting.front().done_at <= now_);
  step(node, raft::Persisted{write});
}

void RaftWorld::maybe_snapshot(Node& node) {
  auto& core = *node.core;
  if (node.snapshotting || core.role() == Role::kFailed) return;
  auto applied = node.state.applied;
  bool due =
      applied >= core.snapshot().last.index + plan_.snapshot_after ||
      (core.log_bytes() * 2 > plan_.options.log_bytes_max && applied > core.snapshot().last.index);
  auto meta = due ? core.snapshot_at(applied) : std::nullopt;
  if (!meta) return;
  auto& stored = node.being_written;
  stored.meta = *std::move(meta);
  auto salt = plan_.own_snapshot_bytes ? std::string(node.id.value % 5, 's') : std::string();
  stored.bytes = node.state.bytes(salt);
  stored.meta.size = stored.bytes.size();
  stored.meta.id = mix64(crc32c(stored.bytes) ^ applied << 32);
  node.snapshotting = true;
  at(now_ + 2 * random_.between(plan_.sync_min.count(), plan_.sync_max.count()),
     Kind::kSnapshotWritten, place_of(node), 0, node.incarnation);
}

void RaftWorld::snapshot_written(Node& node) {
  node.snapshotting = false;
  if (node.core->role() == Role::kFailed) return;
  truth_.check_snapshot(node.id, node.being_written);
  ++tally_.snapshots;
  node.disk.forget_snapshots([&](std::uint64_t id) { return node.core->sends_snapshot(id); });
  node.disk.save(node.being_written);
  step(node, raft::SnapshotSaved{node.being_written.meta});
}

// ---- The network ----

std::uint64_t RaftWorld::keep_message(raft::Message message) {
  if (free_messages_.empty()) {
    messages_.push_back(std::move(message));
    return messages_.size() - 1;
  }
  auto slot = free_messages_.back();
  free_messages_.pop_back();
  messages_[slot] = std::move(message);
  return slot;
}

void RaftWorld::take_messages(Node& node) {
  for (auto& message : node.actions.messages) {
    truth_.check_message(*node.core, node.disk, message);
    ++tally_.messages;
    if (narrate_) note(text(message));
    if (!node_of(message.to)) continue;
    auto link = place_of(node) * kNodesMax + static_cast<std::size_t>(message.to.value - 1);
    if (cut_[link]) continue;
    if (!calm_ && random_.chance(plan_.drop)) {
      tally_.hit(RaftFamily::kDrop);
      continue;
    }
    int copies = 1;
    if (!calm_ && random_.chance(plan_.duplicate)) {
      tally_.hit(RaftFamily::kDuplicate);
      ++copies;
    }
    for (; copies > 0; --copies) {
      auto when = in(plan_.delay_min, plan_.delay_max);
      if (!calm_ && random_.chance(plan_.late))
        when += random_.between(0, RaftPlan::kLateMax.count());
      if (plan_.in_order) when = std::max(when, link_free_[link] + 1);
      else if (when < link_free_[link]) tally_.hit(RaftFamily::kReorder);
      link_free_[link] = std::max(link_free_[link], when);
      auto slot = keep_message(copies == 1 ? std::move(message) : message);
      at(when, Kind::kDelivery, link % kNodesMax, slot);
    }
  }
}

void RaftWorld::deliver(std::size_t to, std::uint64_t slot) {
  auto message = std::move(messages_[slot]);
  free_messages_.push_back(slot);
  auto& node = *nodes_[to];
  if (!node.core) return;
  if (is_cut(static_cast<std::size_t>(message.from.value - 1), to)) return;
  const auto* reply = std::get_if<raft::SnapshotReply>(&message.body);
  if (reply && reply->resume && reply->position > 0) tally_.hit(RaftFamily::kSnapshotResumed);
  step(node, raft::Receive{std::move(message)});
}

// ---- The state machine ----

void RaftWorld::take_committed(Node& node) {
  auto& actions = node.actions;
  if (actions.restore) {
    const auto& stored = node.disk.snapshot();
    if (stored.meta != *actions.restore)
      truth_.fail("snapshot = replay", "what is restored is not what is on the disk");
    truth_.check_snapshot(node.id, stored);
    node.state = RaftState::parse(stored.bytes).value_or(RaftState{});
    note(fmt::format("node {} restores a snapshot at {}", node.id.value, node.state.applied));
    std::erase_if(node.waiters, [&](const Waiter& waiter) {
      return !waiter.read && waiter.at.index <= node.state.applied;
    });
  }
  if (!actions.committed.empty() && actions.first_committed != node.state.applied + 1) {
    truth_.fail("state machine safety", fmt::format("node {} applies {} after {}", node.id.value,
                                                    actions.first_committed, node.state.applied));
    return;
  }
  for (const auto& entry : actions.committed) {
    node.state.apply(entry);
    truth_.check_applied(node.id, node.state);
    for (std::size_t i = 0; i < node.waiters.size();) {
      auto waiter = node.waiters[i];
      if (waiter.read || waiter.at.index > node.state.applied) {
        ++i;
        continue;
      }
      node.waiters.erase(node.waiters.begin() + static_cast<std::ptrdiff_t>(i));
      acknowledge(node, waiter, waiter.at.term == entry.term);
    }
  }
}

void RaftWorld::serve_waiters(Node& node) {
  for (std::size_t i = 0; i < node.waiters.size();) {
    auto waiter = node.waiters[i];
    if (!waiter.read || waiter.at.index > node.state.applied) {
      ++i;
      continue;
    }
    node.waiters.erase(node.waiters.begin() + static_cast<std::ptrdiff_t>(i));
    acknowledge(node, waiter, true);
  }
}

void RaftWorld::take_requests(Node& node) {
  for (auto& request : node.actions.snapshot_requests) {
    requests_.push_back(std::move(request));
    at(in(plan_.sync_min, plan_.sync_max), Kind::kSnapshotBytes, place_of(node),
       requests_.size() - 1, node.incarnation);
  }
}

void RaftWorld::snapshot_bytes(Node& node, std::uint64_t slot) {
  const auto& request = requests_[slot];
  const auto* stored = node.disk.find_snapshot(request.meta.id);
  raft::SnapshotRead read{
      .peer = request.peer, .id = request.meta.id, .position = request.position};
  if (stored && !(random_.chance(0.01) && !calm_))
    read.bytes =
        raft::Payload::copy_of(Bytes(stored->bytes).substr(request.position, request.size));
  step(node, std::move(read));
}

}  // namespace walrus::sim
