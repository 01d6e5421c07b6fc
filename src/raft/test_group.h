#pragma once
// For tests: cores joined by a network and disks that a test controls by hand. Everything happens
// at once and without faults unless the test says otherwise.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "raft/core.h"

namespace walrus::raft {

class TestGroup {
 public:
  struct Node {
    std::unique_ptr<Core> core{};
    Actions actions{};
    Durable disk{};
    std::string snapshot_bytes{}, unfinished_bytes{};
    std::deque<Writes> waiting{};
    bool disk_holds = false;  // writes wait until release()
    Nanos ahead{};            // of its clock
    std::vector<std::string> applied{};
    Index applied_index = 0;
    std::map<Ticket, Answer> answers{};
    std::map<Ticket, ReadAnswer> reads{};
    std::vector<SnapshotMeta> restored{};
  };
  using Tweak = std::function<void(Options&)>;

  explicit TestGroup(int founders, Tweak tweak = {}) : tweak_(std::move(tweak)) {
    Membership membership;
    for (int i = 1; i <= founders; ++i)
      membership.members.push_back({.id = id(i), .address = "n", .voter = true});
    for (int i = 1; i <= founders; ++i) {
      nodes_[i].disk.snapshot.membership = membership;
      start(i);
    }
  }

  static NodeId id(int node) { return NodeId{static_cast<std::uint64_t>(node)}; }
  Node& at(int node) { return nodes_.at(node); }
  Core& core(int node) { return *at(node).core; }
  Instant now() const { return now_; }
  int leader() const {
    int best = 0;
    for (const auto& [node, one] : nodes_)
      if (one.core && one.core->role() == Role::kLeader &&
          (best == 0 || one.core->term() > nodes_.at(best).core->term()))
        best = node;
    return best;
  }

  // ---- What happens ----

  void step(int node, Event event) {
    auto& one = at(node);
    Event events[] = {std::move(event), Tick{}};
    auto count = spare_ticks ? 2u : 1u;
    one.core->step(now_ + one.ahead, std::span(events, count), one.actions);
    take_actions(node);
  }
  // Delivers what is under way, but for what is lost, until nothing is.
  void settle(const std::function<bool(const Message&)>& lost = {}) {
    while (!network.empty()) {
      auto message = std::move(network.front());
      network.pop_front();
      if (!lost || !lost(message)) deliver(std::move(message));
    }
  }
  void deliver(Message message) {
    auto from = static_cast<int>(message.from.value), to = static_cast<int>(message.to.value);
    if (cut.contains({from, to}) || !nodes_.contains(to) || !at(to).core) return;
    ++delivered;
    step(to, Receive{std::move(message)});
  }
  // Lets time pass for these nodes, or for all; each tick is followed by all that it causes.
  void pass(Nanos time, std::set<int> whose = {}) {
    for (auto end = now_ + time; now_ < end;) {
      now_ = std::min(end, now_ + std::chrono::milliseconds(10));
      for (auto& [node, one] : nodes_) {
        bool mine = whose.empty() || whose.contains(node);
        if (one.core && mine && one.actions.wake_at <= now_ + one.ahead) step(node, Tick{});
      }
      settle();
    }
  }
  void skip(Nanos time) { now_ += time; }  // nobody notices
  void skip(int node, Nanos time) { at(node).ahead += time; }
  // This node campaigns, when nobody remembers a leader, and what follows happens.
  void elect(int node) {
    now_ += std::chrono::seconds(3);
    step(node, Tick{});
    settle();
  }
  Answer propose(int node, const std::string& command, bool settles = true) {
    step(node, Propose{.ticket = ++ticket_, .payload = Payload::copy_of(command)});
    auto answer = at(node).answers.at(ticket_);
    if (settles) settle();
    return answer;
  }
  Refusal change(int node, std::vector<MemberChange> changes, bool settles = true) {
    step(node, ChangeMembers{.ticket = ++ticket_, .changes = std::move(changes)});
    auto refusal = at(node).answers.at(ticket_).refusal;
    if (settles) settle();
    return refusal;
  }
  Refusal transfer(int node, int to) {
    step(node, Transfer{.ticket = ++ticket_, .to = id(to)});
    return at(node).answers.at(ticket_).refusal;
  }
  Ticket read(int node, bool lease = false) {
    step(node, Read{.ticket = ++ticket_, .lease = lease});
    return ticket_;
  }

  // ---- Disks ----

  void release(int node) {  // the disk does what waits
    while (!at(node).waiting.empty()) persist_one(node);
  }
  void persist_one(int node) {
    auto& one = at(node);
    auto writes = std::move(one.waiting.front());
    one.waiting.pop_front();
    write(one, writes);
    if (one.core) step(node, Persisted{writes.id});
  }
  void write_without_telling(int node) {
    for (const auto& writes : at(node).waiting) write(at(node), writes);
    at(node).waiting.clear();
  }
  void fail_disk(int node) {
    at(node).waiting.clear();
    step(node, PersistFailed{});
  }
  void crash(int node) {  // what waits is lost
    at(node).waiting.clear();
    at(node).core.reset();
  }
  void start(int node) {
    auto& one = nodes_[node];
    Options options{.id = id(node), .seed = static_cast<std::uint64_t>(node)};
    if (tweak_) tweak_(options);
    auto core = Core::open(options, one.disk, now_ + one.ahead);
    ASSERT_TRUE(core.has_value()) << core.error().message;
    one.core = *std::move(core);
    load_state(one);
    step(node, Tick{});
  }
  // The state machine's state, all commands, becomes a snapshot.
  void snapshot(int node) {
    auto& one = at(node);
    auto meta = one.core->snapshot_at(one.applied_index);
    ASSERT_TRUE(meta.has_value());
    std::string bytes;
    for (const auto& command : one.applied) bytes += command + "\n";
    meta->size = bytes.size();
    meta->id = std::hash<std::string>()(bytes) | 1;
    one.snapshot_bytes = bytes;
    one.disk.snapshot = *meta;
    step(node, SnapshotSaved{*meta});
  }

  // ---- Networks ----

  void isolate(int node) {
    for (const auto& [other, one] : nodes_)
      if (other != node) cut.insert({{node, other}, {other, node}});
  }
  void heal() { cut.clear(); }
  template <class Body>
  std::vector<Message> under_way() const {
    std::vector<Message> found;
    for (const auto& message : network)
      if (std::holds_alternative<Body>(message.body)) found.push_back(message);
    return found;
  }

  std::deque<Message> network{};
  std::set<std::pair<int, int>> cut{};
  bool serve_snapshots = true;
  bool spare_ticks = false;  // one beside each event
  std::size_t delivered = 0;

 private:
  void take_actions(int node) {
    auto& one = at(node);
    auto actions = std::move(one.actions);
    one.actions.wake_at = actions.wake_at;
    for (auto& message : actions.messages) network.push_back(std::move(message));
    for (const auto& answer : actions.answers) one.answers[answer.ticket] = answer;
    for (const auto& read : actions.reads) one.reads[read.ticket] = read;
    if (actions.restore) restore(one, *actions.restore);
    if (!actions.committed.empty()) EXPECT_EQ(actions.first_committed, one.applied_index + 1);
    for (const auto& entry : actions.committed) {
      ++one.applied_index;
      if (entry.kind == EntryKind::kCommand) one.applied.emplace_back(entry.payload.bytes());
    }
    if (actions.writes.id != 0) {
      one.waiting.push_back(std::move(actions.writes));
      if (!one.disk_holds) release(node);
    }
    for (const auto& request : actions.snapshot_requests) {
      if (!serve_snapshots) continue;
      auto bytes = Bytes(one.snapshot_bytes).substr(request.position, request.size);
      step(node, SnapshotRead{.peer = request.peer,
                              .id = request.meta.id,
                              .position = request.position,
                              .bytes = Payload::copy_of(bytes)});
    }
  }
  static void restore(Node& one, const SnapshotMeta& meta) {
    EXPECT_EQ(one.disk.snapshot, meta);
    one.restored.push_back(meta);
    load_state(one);
  }
  // The state machine as of the snapshot on the disk.
  static void load_state(Node& one) {
    one.applied_index = one.disk.snapshot.last.index;
    one.applied.clear();
    for (std::size_t at = 0; at < one.snapshot_bytes.size();) {
      auto end = one.snapshot_bytes.find('\n', at);
      one.applied.push_back(one.snapshot_bytes.substr(at, end - at));
      at = end + 1;
    }
  }
  static void write(Node& one, const Writes& writes) {
    auto& disk = one.disk;
    if (writes.hard_state) disk.hard_state = *writes.hard_state;
    for (const auto& piece : writes.pieces) {
      if (piece.position == 0) one.unfinished_bytes.clear();
      one.unfinished_bytes += piece.bytes.bytes();
      disk.unfinished = Durable::Unfinished{piece.meta, one.unfinished_bytes.size()};
    }
    if (writes.install) {
      disk.snapshot = *writes.install;
      one.snapshot_bytes = std::exchange(one.unfinished_bytes, {});
      disk.unfinished.reset();
    }
    if (writes.base) {
      auto dropped = std::min<std::size_t>(
          disk.entries.size(), static_cast<std::size_t>(writes.base->base.index - disk.base.index));
      if (!writes.base->keep) dropped = disk.entries.size();
      disk.entries.erase(disk.entries.begin(),
                         disk.entries.begin() + static_cast<std::ptrdiff_t>(dropped));
      disk.base = writes.base->base;
    }
    if (writes.entries.empty()) return;
    disk.entries.resize(static_cast<std::size_t>(writes.first - disk.base.index - 1));
    disk.entries.insert(disk.entries.end(), writes.entries.begin(), writes.entries.end());
  }

  Tweak tweak_;
  std::map<int, Node> nodes_{};
  Instant now_{std::chrono::seconds(100)};
  Ticket ticket_ = 0;
};

}  // namespace walrus::raft
