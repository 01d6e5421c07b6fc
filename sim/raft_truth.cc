#include "raft_truth.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/coding.h"
#include "base/crc32c.h"
#include "io/sim/sim_random.h"

namespace walrus::sim {
namespace {

using raft::EntryId;
using raft::Index;

std::uint64_t hash_of(const raft::Entry& entry) {
  return mix64(crc32c(entry.payload.bytes()) * 8 + static_cast<std::uint64_t>(entry.kind));
}

std::string text(EntryId id) { return fmt::format("{}@{}", id.index, id.term); }

}  // namespace

// ---- The state machine ----

bool RaftState::apply(const raft::Entry& entry) {
  ++applied;
  hash = mix64(hash ^ hash_of(entry) ^ mix64(applied));
  if (entry.kind != raft::EntryKind::kCommand) return false;
  auto command = RaftCommand::parse(entry.payload.bytes());
  if (command.client >= kRaftClientsMax || command.sequence != last[command.client] + 1)
    return false;
  last[command.client] = command.sequence;
  ++effects[command.client];
  hash = mix64(hash + 1);
  using Kind = RaftCommand::Kind;
  auto& value = values[command.key];
  bool changes = command.kind == Kind::kPut ||
                 (command.kind == Kind::kCas ? value == command.expected : value != 0);
  if (changes) value = command.kind == Kind::kDelete ? 0 : command.value();
  auto bit = static_cast<std::uint8_t>(1 << command.client);
  changed = static_cast<std::uint8_t>(changes ? changed | bit : changed & ~bit);
  return true;
}

std::string RaftState::bytes(const std::string& salt) const {
  std::string to;
  append_le(to, applied);
  append_le(to, hash);
  for (auto one : last) append_le(to, one);
  for (auto one : effects) append_le(to, one);
  for (auto one : values) append_le(to, one);
  append_le(to, changed);
  return to + salt;
}

std::optional<RaftState> RaftState::parse(Bytes bytes) {
  Decoder from(bytes);
  RaftState state;
  state.applied = from.le<std::uint64_t>().value_or(0);
  state.hash = from.le<std::uint64_t>().value_or(0);
  for (auto& one : state.last) one = from.le<std::uint32_t>().value_or(0);
  for (auto& one : state.effects) one = from.le<std::uint32_t>().value_or(0);
  for (auto& one : state.values) one = from.le<std::uint32_t>().value_or(0);
  state.changed = from.le<std::uint8_t>().value_or(0);
  if (!from.ok()) return std::nullopt;
  return state;
}

std::string RaftCommand::bytes(std::size_t padding) const {
  std::string to;
  append_le(to, client);
  append_le(to, sequence);
  append_le(to, static_cast<std::uint8_t>(kind));
  append_le(to, key);
  append_le(to, expected);
  to.append(padding, 'x');
  return to;
}

RaftCommand RaftCommand::parse(Bytes bytes) {
  Decoder from(bytes);
  RaftCommand command;
  command.client = from.le<std::uint32_t>().value_or(kRaftClientsMax);
  command.sequence = from.le<std::uint32_t>().value_or(0);
  command.kind = static_cast<Kind>(from.le<std::uint8_t>().value_or(0));
  command.key = from.le<std::uint8_t>().value_or(0) % kRaftKeys;
  command.expected = from.le<std::uint32_t>().value_or(0);
  return command;
}

// ---- The rules ----

void RaftTruth::fail(std::string rule, std::string detail) {
  if (!violation_) violation_ = Violation{std::move(rule), std::move(detail)};
}

void RaftTruth::check_core(const raft::Core& core, Seen& seen, const DiskOf& disk_of) {
  auto self = core.id().value;
  if (core.term() < seen.term) fail("monotone term", fmt::format("node {}", self));
  bool leads = core.role() == raft::Role::kLeader;
  bool led = leads && seen.role == raft::Role::kLeader && seen.term == core.term();
  const auto& log = core.log();
  if (leads && !led) check_new_leader(core);
  if (led) {
    bool kept = log.last_index() >= seen.last.index &&
                (seen.last.index < log.base().index || log.holds(seen.last));
    if (!kept) fail("leader append-only", fmt::format("node {} lost {}", self, text(seen.last)));
  }
  if (core.commit() < seen.commit || core.commit() < core.snapshot().last.index)
    fail("monotone commit", fmt::format("node {}: {} after {}", self, core.commit(), seen.commit));
  if (core.commit() > seen.commit) check_commit(core, seen.commit, disk_of);
  seen = {core.role(),
          core.term(),
          core.commit(),
          log.last(),
          core.membership_index(),
          core.snapshot().last.index};
}

void RaftTruth::check_new_leader(const raft::Core& core) {
  auto self = core.id();
  for (auto& [term, leader] : leaders_)
    if (term == core.term() && leader != self)
      fail("election safety",
           fmt::format("term {}: nodes {} and {}", term, leader.value, self.value));
  leaders_.emplace_back(core.term(), self);
  // By log matching the last committed entry stands for all of them. A node may have learned of a
  // commit in a later term only: what counts is what was committed before this term began.
  const auto& log = core.log();
  auto last = committed();
  if (last <= log.base().index) return;
  EntryId id{committed_[last - 1].first, last};
  if (id.term <= core.term() && !log.holds(id))
    fail("leader completeness",
         fmt::format("node {} leads term {} without {}", self.value, core.term(), text(id)));
}

void RaftTruth::check_commit(const raft::Core& core, Index from, const DiskOf& disk_of) {
  const auto& log = core.log();
  for (Index index = std::max(from, log.base().index) + 1; index <= core.commit(); ++index) {
    const auto& entry = log.at(index);
    std::pair is{entry.term, hash_of(entry)};
    if (index <= committed()) {
      if (committed_[index - 1] != is)
        fail("state machine safety",
             fmt::format("node {} commits {}, which was committed in term {}", core.id().value,
                         text({entry.term, index}), committed_[index - 1].first));
      continue;
    }
    if (index != committed() + 1) {
      fail("commit on a quorum", fmt::format("{} is committed before {}", index, committed() + 1));
      return;
    }
    committed_.push_back(is);
    if (states_.empty()) states_.emplace_back();
    states_.push_back(states_.back());
    states_.back().apply(entry);
    if (entry.kind == raft::EntryKind::kMembership)
      memberships_[index] = *wire::peer::parse_membership(entry.payload.bytes());
    if (index == core.commit()) check_quorum(core, from, disk_of);
  }
}

void RaftTruth::check_quorum(const raft::Core& core, Index from, const DiskOf& disk_of) {
  auto index = core.commit();
  // By the configuration that was in force when it was counted: the leader appends the one that
  // leaves a joint configuration in the step that commits it.
  const auto* membership = &core.membership();
  auto newest = std::prev(memberships_.upper_bound(index));
  if (newest->first > from && newest->second.joint) membership = &newest->second;
  auto id = core.log().id_of(index);
  auto won = raft::verdict(*membership, [&](NodeId node) {
    const auto* disk = disk_of(node);
    return disk && disk->covers(id) ? 1 : -1;
  });
  if (won != raft::Verdict::kWon)
    fail("commit on a quorum", fmt::format("node {} commits {} that no quorum has on its disk",
                                           core.id().value, text(id)));
}

void RaftTruth::check_writes(const raft::Core& core, const raft::Writes& writes) {
  for (std::size_t i = 0; i < writes.entries.size(); ++i) {
    auto index = writes.first + i;
    Known is{writes.entries[i].term, core.log().term_at(index - 1), hash_of(writes.entries[i])};
    if (known_.size() <= index) known_.resize(index + 1);
    auto& at = known_[index];
    auto same = std::ranges::find(at, is.term, &Known::term);
    if (same == at.end()) at.push_back(is);
    else if (same->previous != is.previous || same->hash != is.hash)
      fail("log matching",
           fmt::format("node {} has another {}", core.id().value, text({is.term, index})));
  }
}

void RaftTruth::check_message(const raft::Core& core, const RaftDisk& disk,
                              const raft::Message& message) {
  auto self = core.id();
  auto promise = [&](bool kept, const char* what) {
    if (!kept) fail("durable first", fmt::format("node {} {}", self.value, what));
  };
  if (const auto* request = std::get_if<raft::VoteRequest>(&message.body)) {
    auto on_disk = std::max(disk.last(), disk.snapshot().meta.last);
    promise(request->last <= on_disk, "claims a log that is not on its disk");
    if (!request->pre)
      promise(disk.hard_state() == raft::HardState{message.term, self},
              "is a candidate before its vote is on its disk");
  }
  const auto* vote = std::get_if<raft::VoteReply>(&message.body);
  if (vote && vote->granted && !vote->pre) {
    promise(disk.hard_state() == raft::HardState{message.term, message.to},
            "votes before the vote is on its disk");
    auto [given, first] = votes_.try_emplace({self, message.term}, message.to);
    if (given->second != message.to)
      fail("one vote", fmt::format("node {} votes twice in term {}", self.value, message.term));
  }
  const auto* reply = std::get_if<raft::AppendReply>(&message.body);
  if (reply && reply->match > 0) {
    promise(disk.hard_state().term >= message.term, "answers in a term that is not on its disk");
    bool there = reply->match < core.log().base().index
                     ? reply->match <= disk.snapshot().meta.last.index
                     : disk.covers(core.log().id_of(reply->match));
    promise(there, "acknowledges what is not on its disk");
  }
}

void RaftTruth::check_applied(NodeId node, const RaftState& state) {
  if (state.applied < states_.size() && states_[state.applied] == state) return;
  if (state.applied == 0) return;
  fail("state machine safety",
       fmt::format("node {} has another state at {}", node.value, state.applied));
}

void RaftTruth::check_snapshot(NodeId node, const StoredSnapshot& snapshot) {
  auto index = snapshot.meta.last.index;
  auto state = RaftState::parse(snapshot.bytes);
  bool replayed = state && index < states_.size() && *state == states_[index] &&
                  snapshot.bytes.size() == snapshot.meta.size;
  if (!replayed || committed_[index - 1].first != snapshot.meta.last.term)
    fail("snapshot = replay", fmt::format("node {}: snapshot at {}", node.value, index));
  else if (std::prev(memberships_.upper_bound(index))->second != snapshot.meta.membership)
    fail("snapshot = replay",
         fmt::format("node {}: another configuration at {}", node.value, index));
}

void RaftTruth::check_acknowledged(const RaftCommand& command, Index index) {
  bool there = index < states_.size() && states_[index].last[command.client] >= command.sequence &&
               states_[index].effects[command.client] == states_[index].last[command.client];
  if (!there)
    fail("exactly once", fmt::format("command {} of client {} was acknowledged at {}",
                                     command.sequence, command.client, index));
}

Index RaftTruth::effect_of(const RaftCommand& command) const {
  auto took_effect = [&](const RaftState& state) {
    return state.last[command.client] >= command.sequence;
  };
  auto first = std::ranges::lower_bound(states_, true, {}, took_effect);
  return static_cast<Index>(first - states_.begin());
}

void RaftTruth::check_read(Index at_invocation, Index served) {
  if (served < at_invocation)
    fail("stale read", fmt::format("served at {}, {} was known before", served, at_invocation));
}

}  // namespace walrus::sim
