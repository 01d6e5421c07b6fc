// Log replication: Raft paper §5.3 and §5.4.2; pipelines and batches, thesis §10.2.

#include <algorithm>

#include "raft/core.h"

namespace walrus::raft {

// ---- The leader ----

void Core::handle(Propose& event) {
  auto size = event.payload.size();
  auto bytes = size + EntryLog::kEntryOverheadBytes;
  auto refusal = Refusal::kNone;
  bool crowded =
      uncommitted_bytes_ > 0 && uncommitted_bytes_ + bytes > options_.uncommitted_bytes_max;
  if (role_ != Role::kLeader) refusal = Refusal::kNotLeader;
  else if (transfer_to_ != NodeId{}) refusal = Refusal::kTransferring;
  else if (size > options_.proposal_bytes_max) refusal = Refusal::kTooLarge;
  else if (crowded || log_.bytes() + bytes > options_.log_bytes_max) refusal = Refusal::kBusy;
  EntryId at;
  if (refusal == Refusal::kNone)
    at = log_.id_of(append_local(EntryKind::kCommand, std::move(event.payload)));
  out_->answers.push_back({.ticket = event.ticket, .refusal = refusal, .at = at});
}

Index Core::append_local(EntryKind kind, Payload payload) {
  log_.append({.kind = kind, .term = hard_.term, .payload = std::move(payload)});
  uncommitted_bytes_ += EntryLog::bytes_of(log_.at(log_.last_index()));
  return log_.last_index();
}

Progress* Core::peer(NodeId id) {
  auto found = std::ranges::find(peers_, id, &Progress::id);
  return found == peers_.end() ? nullptr : &*found;
}

// When the one before began is asked for only by an answer that is still to come.
void Core::begin_round() {
  round_due_ = false;
  bool answered =
      std::ranges::all_of(peers_, [this](const Progress& one) { return one.round == round_; });
  if (!answered) {
    if (round_began_.empty()) round_began_.resize(kRoundsKept);
    round_began_[round_ % kRoundsKept] = round_at_;
  }
  ++round_;
  round_at_ = now_;
}

// Of a round that nobody waits for: an earlier time, or none.
Instant Core::began(std::uint64_t round) const {
  if (round == round_) return round_at_;
  return round_began_.empty() ? Instant{} : round_began_[round % kRoundsKept];
}

// An answer to a round says: when the round began, or later, I had no newer leader.
void Core::note_round(Progress& to, std::uint64_t round) {
  if (round <= to.round || round > round_ || round + kRoundsKept <= round_) return;
  to.round = round;
  to.round_sent_at = began(round);
}

void Core::replicate() {
  for (auto& to : peers_) replicate_to(to);
}

void Core::replicate_to(Progress& to) {
  if (to.state == Progress::State::kSnapshot) request_pieces(to);
  else if (to.next <= log_.base().index) offer_snapshot(to);
  auto free = [&] {
    return to.in_flight.messages() < options_.in_flight_messages_max &&
           to.in_flight.bytes() < options_.in_flight_bytes_max;
  };
  while (to.state == Progress::State::kReplicate && to.next <= log_.last_index() && free())
    send_entries(to);
  if (to.told_round < round_) send_empty(to);
}

// One message of as many entries as fit; the next ones follow without waiting for its answer.
void Core::send_entries(Progress& to) {
  Append append{.previous = log_.id_of(to.next - 1), .commit = commit_, .round = round_};
  std::uint64_t bytes = 0;
  for (; to.next <= log_.last_index(); ++to.next) {
    const auto& entry = log_.at(to.next);
    if (bytes > 0 && bytes + EntryLog::bytes_of(entry) > options_.append_bytes_max) break;
    bytes += EntryLog::bytes_of(entry);
    append.entries.push_back(entry);
  }
  to.in_flight.add(to.next - 1, bytes);
  to.told_round = round_;
  send(to.id, hard_.term, std::move(append));
}

// A heartbeat, a probe, or both.
void Core::send_empty(Progress& to) {
  Append append{.commit = commit_, .round = round_};
  if (to.state != Progress::State::kSnapshot) append.previous = log_.id_of(to.next - 1);
  to.told_round = round_;
  send(to.id, hard_.term, std::move(append));
}

void Core::probe(Progress& to, Index next) {
  to.state = Progress::State::kProbe;
  to.next = next;
  to.in_flight.clear();
  if (next <= log_.base().index) offer_snapshot(to);
  else send_empty(to);
}

void Core::on(NodeId from, AppendReply& reply) {
  auto* to = role_ == Role::kLeader ? peer(from) : nullptr;
  if (!to || reply.match > log_.last_index()) return;
  note_round(*to, reply.round);
  using State = Progress::State;
  if (reply.rejected) {
    bool stale = reply.previous <= to->match ||
                 (to->state == State::kProbe && reply.previous + 1 != to->next);
    if (stale || to->state == State::kSnapshot) return;
    auto limit = std::min(reply.hint.index, reply.previous - 1);
    // Back over whole terms, not entry by entry (§5.3). Below the base only a snapshot helps.
    if (limit >= log_.base().index) limit = log_.newest_with_term(limit, reply.hint.term);
    probe(*to, std::max(limit, to->match) + 1);
    return;
  }
  if (reply.match > to->match) {
    to->match = reply.match;
    to->next = std::max(to->next, to->match + 1);
    to->in_flight.free_to(to->match);
    maybe_commit();
    if (role_ != Role::kLeader) return;
    to = peer(from);  // the commit may have changed the members
    if (!to) return;
  }
  if (to->state == State::kProbe) {
    bool found = to->match + 1 == to->next || reply.previous + 1 == to->next;
    if (found) to->state = State::kReplicate;
  } else if (to->state == State::kSnapshot) {
    // Restored; or it has, after all, what the log still follows on.
    if (to->match < std::min(to->sending.meta.last.index, log_.base().index)) return;
    to->next = to->match + 1;
    to->state = to->match < log_.base().index ? State::kProbe : State::kReplicate;
    to->sending = {};
  }
}

// §5.4.2: an entry of an older term is never committed by counting its copies, only by an entry of
// this term behind it (figure 8).
void Core::maybe_commit() {
  auto agreed = quorum_value<Index>(membership(), [&](NodeId id) {
    if (id == options_.id) return durable_match();
    const auto* one = peer(id);
    return one ? one->match : Index{0};
  });
  if (agreed > commit_ && log_.term_at(agreed) == hard_.term) set_commit(agreed);
}

void Core::set_commit(Index index) {
  CHECK(index > commit_ && index <= log_.last_index());
  if (role_ != Role::kLeader) {
    commit_ = index;
    return;
  }
  while (commit_ < index) uncommitted_bytes_ -= EntryLog::bytes_of(log_.at(++commit_));
  membership_committed();
}

// ---- The follower ----

// What a peer sent may be anything; what breaks these rules no leader sends.
bool Core::is_sound_append(const Append& append) const {
  if (append.previous.index > kIndexMax) return false;
  auto term = append.previous.term;
  for (const auto& entry : append.entries) {
    if (entry.term < term || entry.term > hard_.term) return false;
    term = entry.term;
    if (entry.kind != EntryKind::kMembership) continue;
    auto membership = wire::peer::parse_membership(entry.payload.bytes());
    if (!membership || !is_sound(*membership)) return false;
  }
  return true;
}

void Core::on(NodeId from, Append& append) {
  if (!heard_from_leader(from) || !is_sound_append(append)) return;
  reply_round_ = std::max(reply_round_, append.round);
  auto last_new = append.previous.index + append.entries.size();
  if (append.previous.index < commit_) {
    // Up to the commit index the logs agree: the leader's holds all that is committed (§5.4.3).
    auto known = std::min(commit_, last_new) - append.previous.index;
    append.entries.erase(append.entries.begin(),
                         append.entries.begin() + static_cast<std::ptrdiff_t>(known));
    reply_previous_ = append.previous.index;
    if (last_new > commit_) append.previous = log_.id_of(commit_);
    // What is left has to follow on what is there.
    if (!append.entries.empty() && append.entries.front().term < append.previous.term) return;
  } else if (!log_.holds(append.previous)) {
    reject_append(from, append);
    return;
  } else {
    reply_previous_ = append.previous.index;
  }
  if (last_new >= commit_) adopt(append);
  matched_ = std::max(matched_, last_new);
  owes_reply_ = true;
  // Clamped: behind the last new entry there may be entries that the leader has not (§5.3).
  auto commit = std::min(append.commit, last_new);
  if (commit > commit_) set_commit(commit);
}

// Only a conflict cuts the log: an old message must not take what came after it.
void Core::adopt(Append& append) {
  auto index = append.previous.index + 1;
  auto entry = append.entries.begin();
  while (entry != append.entries.end() && index <= log_.last_index() &&
         log_.term_at(index) == entry->term) {
    ++entry;
    ++index;
  }
  if (entry == append.entries.end()) return;
  if (index <= log_.last_index()) truncate(index);
  for (; entry != append.entries.end(); ++entry) {
    log_.append(std::move(*entry));
    const auto& added = log_.at(log_.last_index());
    if (added.kind == EntryKind::kMembership)
      membership_appended(log_.last_index(), *wire::peer::parse_membership(added.payload.bytes()));
  }
}

void Core::truncate(Index first_dropped) {
  CHECK(first_dropped > commit_);
  auto end = log_.id_of(first_dropped - 1);
  auto clamp = [&](EntryId& id) {
    if (id.index >= first_dropped && log_.holds(id)) id = end;
  };
  clamp(durable_);
  for (auto& write : pending_) clamp(write.last);
  written_ = std::min(written_, end.index);
  memberships_truncated(first_dropped);
  log_.truncate(first_dropped);
}

void Core::reject_append(NodeId from, const Append& append) {
  auto from_index = std::min(append.previous.index, log_.last_index());
  auto hint = log_.newest_with_term(from_index, append.previous.term);
  send(from, hard_.term,
       AppendReply{.rejected = true,
                   .round = hard_durable_ ? reply_round_ : 0,
                   .previous = append.previous.index,
                   .hint = log_.id_of(std::max(hint, commit_))});
}

// Says what is on the disk, in a term that is. An answer to a new round does not wait for more.
void Core::reply_append() {
  if (!owes_reply_ || !hard_durable_ || role_ != Role::kFollower || leader_ == NodeId{}) return;
  auto match = std::min(matched_, durable_match());
  if (match < matched_ && match <= replied_match_ && reply_round_ <= replied_round_) return;
  send(leader_, hard_.term,
       AppendReply{.round = reply_round_, .match = match, .previous = reply_previous_});
  owes_reply_ = match < matched_;
  replied_match_ = match;
  replied_round_ = reply_round_;
}

}  // namespace walrus::raft
