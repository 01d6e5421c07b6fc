#include <map>

#include "base/crc32c.h"
#include "group.h"
#include "raft/test_group.h"

namespace walrus::oracle {
namespace {

using raft::TestGroup;

constexpr auto kHeartbeat = std::chrono::milliseconds(1);
constexpr auto kTimeoutMin = std::chrono::seconds(100), kTimeoutMax = std::chrono::seconds(200);

Kind kind_of(const raft::Message& message) {
  if (std::holds_alternative<raft::VoteRequest>(message.body)) return Kind::kVote;
  if (std::holds_alternative<raft::VoteReply>(message.body)) return Kind::kVoteReply;
  if (std::holds_alternative<raft::TimeoutNow>(message.body)) return Kind::kTimeoutNow;
  bool down = std::holds_alternative<raft::Append>(message.body) ||
              std::holds_alternative<raft::SnapshotChunk>(message.body);
  return down ? Kind::kAppend : Kind::kAppendReply;
}

const char* role_name(raft::Role role) {
  switch (role) {
    case raft::Role::kFollower: return "follower";
    case raft::Role::kPreCandidate: return "pre_candidate";
    case raft::Role::kCandidate: return "candidate";
    case raft::Role::kLeader: return "leader";
    case raft::Role::kFailed: return "failed";
  }
  return "";
}

class OurGroup final : public Group {
 public:
  OurGroup(int nodes, std::uint64_t seed, Lie lie)
      : group_(nodes,
               [seed](raft::Options& options) {
                 options.seed += seed * 100;
                 options.heartbeat = kHeartbeat;
                 options.election_timeout_min = kTimeoutMin;
                 options.election_timeout_max = kTimeoutMax;
                 options.append_bytes_max = 1;  // an entry a message
                 options.in_flight_messages_max = 1000;
                 options.log_bytes_kept = 0;
               }),
        lie_(lie) {}

  void command(Command command, int node) override {
    bool leads = command != Command::kStart && group_.core(node).role() == raft::Role::kLeader;
    switch (command) {
      case Command::kStop: group_.crash(node); break;
      case Command::kStart: group_.start(node); break;
      case Command::kCampaign:
        if (!leads) tick_after(node, 3 * kTimeoutMax);
        break;
      case Command::kForget:
        if (!leads) group_.skip(node, kTimeoutMin);
        break;
      case Command::kBeat:
        if (leads) tick_after(node, 2 * kHeartbeat);  // at rest it speaks every other time
        break;
      case Command::kQuorum:
        if (leads) tick_after(node, kTimeoutMax * 6 / 10);
        break;
      case Command::kCompact:
        if (group_.core(node).snapshot_at(group_.at(node).applied_index)) group_.snapshot(node);
        break;
    }
    collect();
  }
  bool propose(int node, const std::string& text) override {
    auto answer = group_.propose(node, text, false);
    collect();
    return answer.refusal == raft::Refusal::kNone;
  }
  void transfer(int node, int to) override {
    if (group_.core(node).role() == raft::Role::kLeader) group_.transfer(node, to);
    collect();
  }
  void deliver(const std::vector<Message>& messages) override {
    for (const auto& message : messages) {
      auto kept = kept_.extract(message.handle);
      group_.deliver(falsified(std::move(kept.mapped())));
      collect();
    }
  }
  void lose(const std::vector<Message>& messages) override {
    for (const auto& message : messages) kept_.erase(message.handle);
  }
  void strip(std::uint64_t term, const Message& message) override {
    if (auto* append = std::get_if<raft::Append>(&kept_.at(message.handle).body)) {
      auto first = std::ranges::find(append->entries, term, &raft::Entry::term);
      append->entries.erase(first, append->entries.end());
    }
  }
  State state(int node) override {
    const auto& one = group_.at(node);
    const auto& core = *one.core;
    State state{.term = core.term(),
                .vote = static_cast<int>(one.disk.hard_state.vote.value),
                .leader = static_cast<int>(core.leader().value),
                .role = role_name(core.role()),
                .commit = core.commit(),
                .applied = one.applied.size(),
                .base = core.log().base().index};
    std::string applied;
    for (const auto& text : one.applied) applied += (applied.empty() ? "" : ",") + text;
    state.applied_crc = crc32c(applied);
    for (auto index = state.base + 1; index <= core.log().last_index(); ++index) {
      const auto& entry = core.log().at(index);
      state.entries.push_back(std::to_string(entry.term) + ":" +
                              std::string(entry.payload.bytes()));
    }
    return state;
  }

 private:
  void tick_after(int node, raft::Nanos time) {
    group_.skip(node, time);
    group_.step(node, raft::Tick{});
  }
  void collect() {
    for (auto& message : group_.network) {
      messages_.push_back({.handle = ++handles_,
                           .from = static_cast<int>(message.from.value),
                           .to = static_cast<int>(message.to.value),
                           .term = message.term,
                           .kind = kind_of(message)});
      kept_.emplace(handles_, std::move(message));
    }
    group_.network.clear();
  }
  raft::Message falsified(raft::Message message) {
    const auto& to = group_.at(static_cast<int>(message.to.value));
    auto* vote = std::get_if<raft::VoteReply>(&message.body);
    auto* reply = std::get_if<raft::AppendReply>(&message.body);
    auto* append = std::get_if<raft::Append>(&message.body);
    if (!to.core) return message;
    if (lie_ == Lie::kVote && vote && !vote->granted) {
      vote->granted = true;
      message.term = to.core->term() + (vote->pre ? 1 : 0);
    }
    if (lie_ == Lie::kAck && reply && !reply->rejected && reply->match > 0)
      reply->match = to.core->log().last_index();
    if (lie_ == Lie::kCommit && append) append->commit = append->previous.index + 1;
    return message;
  }

  TestGroup group_;
  Lie lie_;
  std::uint64_t handles_ = 0;
  std::map<std::uint64_t, raft::Message> kept_{};
};

}  // namespace

std::unique_ptr<Group> our_group(int nodes, std::uint64_t seed, Lie lie) {
  return std::make_unique<OurGroup>(nodes, seed, lie);
}

}  // namespace walrus::oracle
