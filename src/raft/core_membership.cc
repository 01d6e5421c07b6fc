// Membership changes by joint consensus, Raft paper §6 and thesis §4.3; leadership transfer, §3.10.

#include <algorithm>

#include "raft/core.h"

namespace walrus::raft {

// ---- Changes ----

void Core::handle(ChangeMembers& event) {
  auto refusal = change_refusal(event);
  EntryId at;
  if (refusal == Refusal::kNone) {
    auto next = changed(membership(), event.changes);
    if (next) {
      std::string bytes;
      wire::peer::append_membership(bytes, *next);
      at = log_.id_of(append_local(EntryKind::kMembership, Payload::copy_of(bytes)));
      membership_appended(at.index, *std::move(next));
      maybe_commit();
    } else {
      refusal = Refusal::kInvalidChange;
    }
  }
  out_->answers.push_back({.ticket = event.ticket, .refusal = refusal, .at = at});
}

Refusal Core::change_refusal(const ChangeMembers& event) const {
  if (role_ != Role::kLeader) return Refusal::kNotLeader;
  if (transfer_to_ != NodeId{}) return Refusal::kTransferring;
  // The newest configuration is the one that every later leader will know only when it is
  // committed; and what is committed is known only after an entry of this term.
  if (commit_ < noop_index_) return Refusal::kNotReady;
  if (membership().joint || memberships_.back().index > commit_) return Refusal::kChangeInProgress;
  for (const auto& change : event.changes) {
    if (change.kind != MemberChange::Kind::kPromote) continue;
    auto one = std::ranges::find(peers_, change.id, &Progress::id);
    if (one == peers_.end()) continue;  // changed() knows what is wrong
    if (one->match + options_.promotion_lag_max < commit_) return Refusal::kNotCaughtUp;
  }
  return Refusal::kNone;
}

// In force from here on, before it is committed (thesis §4.1).
void Core::membership_appended(Index index, Membership membership) {
  memberships_.push_back({index, std::move(membership)});
  if (role_ == Role::kLeader) follow_membership();
}

// The configuration before it is in force again.
void Core::memberships_truncated(Index first_dropped) {
  while (memberships_.size() > 1 && memberships_.back().index >= first_dropped)
    memberships_.pop_back();
}

void Core::memberships_covered(Index snapshot) {
  while (memberships_.size() > 1 && memberships_[1].index <= snapshot)
    memberships_.erase(memberships_.begin());
}

// The leader's peers are the members but itself.
void Core::follow_membership() {
  std::erase_if(peers_, [&](const Progress& one) { return !find_member(membership(), one.id); });
  for (const auto& member : membership().members) {
    if (member.id == options_.id || peer(member.id)) continue;
    Progress added{.id = member.id};
    added.next = log_.last_index() + 1;
    // A newcomer is told of the leader at once; it then says where its log ends.
    peers_.push_back(added);
  }
}

// On the leader: a joint configuration is left as soon as it is committed; a leader that the new
// one has no place for goes when that is (thesis §4.2.2).
void Core::membership_committed() {
  if (memberships_.back().index > commit_) return;
  if (membership().joint) {
    auto next = left_joint(membership());
    std::string bytes;
    wire::peer::append_membership(bytes, next);
    auto index = append_local(EntryKind::kMembership, Payload::copy_of(bytes));
    membership_appended(index, std::move(next));
  } else if (!is_voter(membership(), options_.id)) {
    steps_aside_ = true;
  }
}

void Core::step_aside() {
  begin_round();
  replicate();  // the others learn of the commit
  if (auto successor = best_successor(); successor != NodeId{}) order_election(successor);
  become_follower(hard_.term, NodeId{});
}

// ---- Transfer ----

void Core::handle(Transfer& event) {
  auto to = event.to == NodeId{} ? best_successor() : event.to;
  auto refusal = Refusal::kNone;
  if (role_ != Role::kLeader) refusal = Refusal::kNotLeader;
  else if (transfer_to_ != NodeId{}) refusal = Refusal::kTransferring;
  else if (to == options_.id || !peer(to) || !is_voter(membership(), to))
    refusal = Refusal::kInvalidChange;
  out_->answers.push_back({.ticket = event.ticket, .refusal = refusal});
  if (refusal != Refusal::kNone) return;
  transfer_to_ = to;
  transfer_until_ = now_ + options_.election_timeout_max;
  transfer_asked_ = false;
}

// The voter whose log is furthest; of several, the one heard of last.
NodeId Core::best_successor() const {
  const Progress* best = nullptr;
  for (const auto& one : peers_) {
    const auto* member = find_member(membership(), one.id);
    if (!member || !member->voter) continue;
    if (!best || std::pair(one.match, one.round) > std::pair(best->match, best->round)) best = &one;
  }
  return best ? best->id : NodeId{};
}

void Core::try_transfer() {
  if (transfer_to_ == NodeId{} || transfer_asked_) return;
  const auto* to = peer(transfer_to_);
  if (!to || !is_voter(membership(), transfer_to_)) transfer_to_ = NodeId{};
  else if (to->match == log_.last_index()) order_election(transfer_to_);
}

// The order may arrive at any time later, so the leases of this term are over (thesis §6.4.1).
void Core::order_election(NodeId to) {
  transfer_asked_ = true;
  sent_timeout_now_ = true;
  send(to, hard_.term, TimeoutNow{});
}

}  // namespace walrus::raft
