// Elections: Raft paper §5.2 and §5.4.1; pre-vote, thesis §9.6.

#include <algorithm>

#include "raft/core.h"

namespace walrus::raft {

// A term's vote is given at most once, and both survive a crash. What belonged to the term before
// is dropped: an answer that was not sent by now is never sent, so that no leader of an old term
// can count on a node that has voted in a newer one.
void Core::enter_term(Term term, NodeId vote) {
  CHECK(term > hard_.term);
  hard_ = {.term = term, .vote = vote};
  hard_dirty_ = true;
  hard_durable_ = false;
  owed_vote_ = NodeId{};
  matched_ = 0;
  owes_reply_ = false;
  reply_round_ = replied_round_ = 0;
  replied_match_ = 0;
  pieces_.clear();
}

void Core::become_follower(Term term, NodeId leader) {
  if (role_ == Role::kLeader) stop_leading();
  if (term > hard_.term) enter_term(term, NodeId{});
  role_ = Role::kFollower;
  leader_ = leader;
  votes_.clear();
  await_election();
}

void Core::stop_leading() {
  refuse_reads(Refusal::kNotLeader);
  peers_.clear();
  transfer_to_ = NodeId{};
  steps_aside_ = false;
  round_due_ = false;
}

bool Core::heard_lately() const {
  return role_ == Role::kLeader || now_ < heard_at_ + options_.election_timeout_min;
}

void Core::await_election() {
  auto spread = options_.election_timeout_max - options_.election_timeout_min;
  auto steps = 2 - static_cast<std::int64_t>(std::min(options_.priority, 2u));
  election_at_ = now_ + options_.election_timeout_min + random_below(spread) + spread / 2 * steps;
}

// An election that nobody wins is tried again soon, and later each time: votes that were split, or
// a voter that had heard the leader a moment longer, are over in a moment; a slow disk is not.
void Core::await_retry() {
  auto least = options_.heartbeat * (std::int64_t{1} << (std::clamp(tries_, 1u, 16u) - 1));
  if (2 * least < options_.election_timeout_min) election_at_ = now_ + least + random_below(least);
  else await_election();
}

Nanos Core::random_below(Nanos end) {
  return Nanos(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(end.count())));
}

// The others learn of it at the same time: one after the other, so that votes are not split, and
// the first after a moment, in which they do.
void Core::handle(LeaderGone& gone) {
  if (role_ != Role::kFollower || leader_ != gone.node || gone.node == NodeId{}) return;
  leader_ = NodeId{};
  heard_at_ = std::min(heard_at_, now_ - options_.election_timeout_min);
  auto before = std::ranges::count_if(membership().members, [&](const Member& one) {
    return one.voter && one.id != gone.node && one.id < options_.id;
  });
  election_at_ = now_ + options_.heartbeat / 20 + options_.heartbeat / 2 * before +
                 random_below(options_.heartbeat) / 10;
}

// False: a second leader of the term, which only a broken peer can claim to be.
bool Core::heard_from_leader(NodeId from) {
  if (role_ == Role::kLeader || (leader_ != NodeId{} && leader_ != from)) return false;
  if (role_ != Role::kFollower) become_follower(hard_.term, from);
  leader_ = from;
  heard_at_ = now_;
  tries_ = 0;
  await_election();
  return true;
}

// Also one that the newest configuration leaves out, as long as that is not known to be committed:
// perhaps only its log can still win (thesis §4.2.2). Its own vote does not count then.
bool Core::may_campaign() const {
  for (auto placed = memberships_.rbegin(); placed != memberships_.rend(); ++placed) {
    if (is_voter(placed->membership, options_.id)) return true;
    if (placed->index <= commit_) return false;
  }
  return false;
}

// A pre-vote asks whether an election could be won, without disturbing anyone (thesis §9.6).
void Core::campaign(bool pre, bool forced) {
  leader_ = NodeId{};
  votes_.clear();
  forced_ = forced;
  if (pre) ++tries_;
  await_retry();
  if (pre) {
    role_ = Role::kPreCandidate;
    ask_for_votes(true);
    vote_of(options_.id, true);
    return;
  }
  role_ = Role::kCandidate;
  enter_term(hard_.term + 1, options_.id);  // the questions follow when this is on the disk
}

void Core::ask_for_votes(bool pre) {
  auto term = pre ? hard_.term + 1 : hard_.term;
  for (const auto& member : membership().members) {
    if (member.id == options_.id || !(member.voter || member.voter_before)) continue;
    send(member.id, term, VoteRequest{.pre = pre, .forced = forced_, .last = durable_});
  }
}

void Core::on(const Message& message, VoteRequest& request) {
  // Compared with what is on the disk: an entry that is not was never acknowledged, and with the
  // new term it never will be to the leader that sent it.
  bool current = request.last >= durable_;
  bool free = hard_.vote == message.from || (hard_.vote == NodeId{} && leader_ == NodeId{});
  if (request.pre) {
    bool granted = current && (message.term > hard_.term || free);
    send(message.from, granted ? message.term : hard_.term,
         VoteReply{.pre = true, .granted = granted});
    return;
  }
  if (!free || !current) {
    send(message.from, hard_.term, VoteReply{.pre = false, .granted = false});
    return;
  }
  if (hard_.vote != message.from) {
    hard_.vote = message.from;
    hard_dirty_ = true;
    hard_durable_ = false;
  }
  await_election();
  if (hard_durable_) send(message.from, hard_.term, VoteReply{.pre = false, .granted = true});
  else owed_vote_ = message.from;
}

void Core::on(const Message& message, VoteReply& reply) {
  bool awaited = reply.pre ? role_ == Role::kPreCandidate : role_ == Role::kCandidate;
  bool of_term = message.term == hard_.term + (reply.pre && reply.granted ? 1 : 0);
  bool asked = is_voter(membership(), message.from) && (reply.pre || hard_durable_);
  if (awaited && of_term && asked) vote_of(message.from, reply.granted);
}

void Core::vote_of(NodeId from, bool granted) {
  auto known = std::ranges::find(votes_, from, &std::pair<NodeId, bool>::first);
  if (known == votes_.end()) votes_.emplace_back(from, granted);
  count_votes();
}

// Only voters of the configuration in force count, whoever else may have answered.
void Core::count_votes() {
  auto result = verdict(membership(), [&](NodeId id) {
    auto vote = std::ranges::find(votes_, id, &std::pair<NodeId, bool>::first);
    return vote == votes_.end() ? 0 : vote->second ? 1 : -1;
  });
  if (result == Verdict::kLost) {
    become_follower(hard_.term, NodeId{});
    await_retry();
  }
  if (result != Verdict::kWon) return;
  if (role_ == Role::kPreCandidate) campaign(false, false);
  else become_leader();
}

void Core::become_leader() {
  CHECK(hard_durable_ && hard_.vote == options_.id);
  role_ = Role::kLeader;
  leader_ = options_.id;
  votes_.clear();
  tries_ = 0;
  elected_at_ = now_;
  heartbeat_at_ = next_heartbeat();
  sent_timeout_now_ = false;
  transfer_to_ = NodeId{};
  steps_aside_ = false;
  round_due_ = true;
  peers_.clear();
  follow_membership();
  uncommitted_bytes_ = 0;
  for (auto index = commit_ + 1; index <= log_.last_index(); ++index)
    uncommitted_bytes_ += EntryLog::bytes_of(log_.at(index));
  // Nothing of older terms is committed before an entry of this one is (§5.4.2).
  noop_index_ = append_local(EntryKind::kNoop, {});
}

void Core::on(NodeId from, TimeoutNow&) {
  if (role_ == Role::kFollower && from == leader_ && may_campaign()) campaign(false, true);
}

}  // namespace walrus::raft
