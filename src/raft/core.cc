#include "raft/core.h"

#include <algorithm>
#include <utility>

#include "base/mix64.h"

namespace walrus::raft {
namespace {

// A moment that never comes.
constexpr Instant kNever = Instant::max();
constexpr std::size_t kLetGoAStep = 1024;  // entries of the log that were trimmed

Result<void> check_options(const Options& options) {
  bool times = options.heartbeat > Nanos{0} &&
               options.election_timeout_min >= 2 * options.heartbeat &&
               options.election_timeout_max > options.election_timeout_min;
  if (options.id == NodeId{}) return fail(Code::kInvalid, "a node needs an id");
  if (!times)
    return fail(Code::kInvalid, "0 < 2 heartbeats <= least < largest election timeout is due");
  if (options.clock_drift_ppm_max >= 250'000)
    return fail(Code::kInvalid, "a clock drift of {} ppm leaves no lease",
                options.clock_drift_ppm_max);
  if (options.append_bytes_max == 0 || options.in_flight_messages_max == 0 ||
      options.snapshot_chunk_bytes == 0 || options.snapshot_chunks_in_flight_max == 0)
    return fail(Code::kInvalid, "a limit of the raft core is 0");
  return {};
}

Result<void> check_durable(const Durable& durable) {
  auto last = durable.base;
  for (const auto& entry : durable.entries) {
    if (entry.term < last.term) return fail(Code::kCorrupt, "terms fall behind {}", last.index);
    last = {entry.term, last.index + 1};
  }
  if (durable.hard_state.term < std::max(last.term, durable.snapshot.last.term))
    return fail(Code::kCorrupt, "term {} is older than the log's", durable.hard_state.term);
  if (durable.base.index > durable.snapshot.last.index)
    return fail(Code::kCorrupt, "the log begins behind {}, the snapshot ends at {}",
                durable.base.index, durable.snapshot.last.index);
  const auto& membership = durable.snapshot.membership;
  if (!is_sound(membership) && !(membership.members.empty() && durable.snapshot.last.index == 0))
    return fail(Code::kCorrupt, "the snapshot at {} has no voters", durable.snapshot.last.index);
  return {};
}

}  // namespace

const char* refusal_name(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone: return "none";
    case Refusal::kNotLeader: return "not_leader";
    case Refusal::kBusy: return "busy";
    case Refusal::kTransferring: return "transferring";
    case Refusal::kTooLarge: return "too_large";
    case Refusal::kNotReady: return "not_ready";
    case Refusal::kChangeInProgress: return "change_in_progress";
    case Refusal::kNotCaughtUp: return "not_caught_up";
    case Refusal::kInvalidChange: return "invalid_change";
    case Refusal::kFailed: return "failed";
  }
  return "";
}

void Actions::clear() {
  writes.id = 0;
  writes.hard_state.reset();
  writes.pieces.clear();
  writes.install.reset();
  writes.base.reset();
  writes.first = 0;
  writes.entries.clear();
  messages.clear();
  restore.reset();
  first_committed = 0;
  committed.clear();
  answers.clear();
  reads.clear();
  snapshot_requests.clear();
  wake_at = {};
}

Core::Core(const Options& options, Instant now)
    : options_(options), now_(now), random_state_(options.seed ^ (options.id.value << 32)) {}

Result<std::unique_ptr<Core>> Core::open(const Options& options, Durable durable, Instant now) {
  WALRUS_TRY(check_options(options));
  WALRUS_TRY(check_durable(durable));
  std::unique_ptr<Core> core(new Core(options, now));
  WALRUS_TRY(core->load(std::move(durable)));
  return core;
}

Result<void> Core::load(Durable&& durable) {
  hard_ = durable.hard_state;
  snapshot_ = std::move(durable.snapshot);
  incoming_ = std::move(durable.unfinished);
  log_.reset(durable.base);
  for (auto& entry : durable.entries) log_.append(std::move(entry));
  // The snapshot may be ahead of the log, or of another history than the log's tail: what was
  // applied is committed, what was not yet written need not be the same.
  if (!log_.holds(snapshot_.last)) {
    log_.reset(snapshot_.last);
    new_base_ = LogBase{snapshot_.last, false};
  }
  written_ = log_.last_index();
  durable_ = log_.last();
  commit_ = emitted_ = snapshot_.last.index;
  memberships_.push_back({commit_, snapshot_.membership});
  for (auto index = commit_ + 1; index <= log_.last_index(); ++index) {
    if (log_.at(index).kind != EntryKind::kMembership) continue;
    auto membership = wire::peer::parse_membership(log_.at(index).payload.bytes());
    if (!membership || !is_sound(*membership))
      return fail(Code::kCorrupt, "entry {} is no membership", index);
    memberships_.push_back({index, *std::move(membership)});
  }
  // It may have promised a leader not to vote for anyone else, and does not remember (§6.4.1).
  heard_at_ = now_;
  await_election();
  // Alone by what is committed there is nobody to have promised it to.
  bool alone = memberships_.size() == 1 && membership().members.size() == 1;
  if (alone && may_campaign()) election_at_ = now_;
  return {};
}

void Core::step(Instant now, std::span<Event> events, Actions& out) {
  if (events.size() == 1 && handle_at_rest(now, events.front(), out)) return;
  CHECK(out_ == nullptr);
  now_ = std::max(now_, now);
  rests_at_ = {};
  out.clear();
  out_ = &out;
  for (auto& event : events) {
    if (role_ == Role::kFailed) refuse(event, Refusal::kFailed);
    else std::visit([this](auto& one) { handle(one); }, event);
  }
  if (role_ != Role::kFailed) finish();
  else out.wake_at = kNever;
  out_ = nullptr;
}

// What follows from the events of a step, once for all of them.
void Core::finish() {
  if (role_ == Role::kLeader && steps_aside_) step_aside();
  if (role_ == Role::kLeader) {
    try_transfer();
    bool asks = !reads_.empty() && reads_.back().round > round_ &&
                round_ - quorum_round() < kRoundsKept / 2;
    if (round_due_ || asks) begin_round();
    replicate();
    answer_reads();
  }
  reply_append();
  put_writes();
  put_committed();
  log_.let_go(kLetGoAStep);
  if (rests()) rests_at_ = log_.last();
  else heartbeat_at_ = std::min(heartbeat_at_, next_heartbeat());  // it may have been at rest
  out_->wake_at = next_tick();
}

// ---- Idle groups ----

// Nothing is under way: finish() would find nothing to do, and of what a heartbeat or its answer
// can touch there is nothing that it waits for. A leader's peers all have what it has.
bool Core::rests() const {
  auto last = log_.last_index();
  bool written = hard_durable_ && pending_.empty() && !new_base_ && restore_write_ == 0;
  if (!written || commit_ != last || durable_ != log_.last() || log_.trimmed() > 0) return false;
  if (role_ == Role::kFollower) return !owes_reply_ && owed_vote_ == NodeId{} && pieces_.empty();
  if (role_ != Role::kLeader || transfer_to_ != NodeId{} || steps_aside_ || round_due_)
    return false;
  return reads_.empty() && std::ranges::all_of(peers_, [&](const Progress& one) {
           return one.state == Progress::State::kReplicate && one.match == last;
         });
}

// From the leader that is known, or to the leader from a peer; of this term; and about the last
// entry, which is committed.
bool Core::is_no_news(const Message& message) const {
  if (rests_at_ == EntryId{} || message.term != hard_.term || message.to != options_.id)
    return false;
  if (const auto* append = std::get_if<Append>(&message.body))
    return role_ == Role::kFollower && message.from == leader_ && append->entries.empty() &&
           append->previous == rests_at_;
  const auto* reply = std::get_if<AppendReply>(&message.body);
  return reply && role_ == Role::kLeader && !reply->rejected;
}

bool Core::handle_at_rest(Instant now, Event& event, Actions& out) {
  if (auto* receive = std::get_if<Receive>(&event)) return hear(now, receive->message, out);
  return std::holds_alternative<Tick>(event) && beat(now, out);
}

bool Core::hear(Instant now, Message& message, Actions& out) {
  if (!is_no_news(message)) return false;
  CHECK(out_ == nullptr);
  now_ = std::max(now_, now);
  out.clear();
  out_ = &out;
  if (auto* append = std::get_if<Append>(&message.body)) on(message.from, *append);
  else on(message.from, std::get<AppendReply>(message.body));
  reply_append();
  out.wake_at = next_tick();
  out_ = nullptr;
  return true;
}

bool Core::beat(Instant now, Actions& out) {
  if (rests_at_ == EntryId{} || role_ != Role::kLeader || now < heartbeat_at_ || !all_heard(now))
    return false;
  CHECK(out_ == nullptr);
  now_ = std::max(now_, now);
  out.clear();
  out_ = &out;
  tick_leader();
  begin_round();
  replicate();
  out.wake_at = next_tick();
  out_ = nullptr;
  return true;
}

void Core::refuse(const Event& event, Refusal refusal) {
  auto answer = [&](Ticket ticket) {
    out_->answers.push_back({.ticket = ticket, .refusal = refusal});
  };
  if (const auto* propose = std::get_if<Propose>(&event)) answer(propose->ticket);
  if (const auto* change = std::get_if<ChangeMembers>(&event)) answer(change->ticket);
  if (const auto* transfer = std::get_if<Transfer>(&event)) answer(transfer->ticket);
  if (const auto* read = std::get_if<Read>(&event))
    out_->reads.push_back({.ticket = read->ticket, .refusal = refusal});
}

// ---- Time ----

void Core::handle(Tick) {
  if (role_ == Role::kLeader) {
    if (now_ >= heartbeat_at_) tick_leader();
    return;
  }
  if (now_ < election_at_) return;
  if (may_campaign()) campaign(true, false);
  else await_election();
}

// At multiples of the interval, so that those of all groups of a process fall together.
Instant Core::next_heartbeat(Nanos interval) const { return (now_ / interval + 1) * interval; }
Instant Core::next_heartbeat() const { return next_heartbeat(options_.heartbeat); }

// At rest every second one is enough, where two of them fit into the least patience.
Nanos Core::interval_at_rest() const {
  auto twice = 2 * options_.heartbeat;
  return 2 * twice < options_.election_timeout_min ? twice : options_.heartbeat;
}

// Then a majority was heard of too, whoever votes.
bool Core::all_heard(Instant now) const {
  return std::ranges::all_of(peers_, [&](const Progress& one) {
    return now - one.round_sent_at <= options_.election_timeout_max;
  });
}

void Core::tick_leader() {
  bool doubtful = !all_heard(now_);
  bool at_rest = (rests_at_ != EntryId{} || rests()) && !doubtful;
  heartbeat_at_ = at_rest ? next_heartbeat(interval_at_rest()) : next_heartbeat();
  // Check quorum (thesis §6.2): a leader that no majority hears makes room, and its clients look
  // on.
  if (doubtful && now_ - std::max(quorum_time(), elected_at_) > options_.election_timeout_max) {
    become_follower(hard_.term, NodeId{});
    return;
  }
  if (transfer_to_ != NodeId{} && now_ >= transfer_until_) transfer_to_ = NodeId{};
  bool stalls = !pending_.empty() && now_ - pending_.front().since > options_.disk_stall;
  if (stalls && transfer_to_ == NodeId{}) {
    auto* successor = peer(best_successor());
    if (successor && successor->match >= commit_) {
      transfer_to_ = successor->id;
      transfer_until_ = now_ + options_.election_timeout_max;
      transfer_asked_ = false;
    }
  }
  reoffer_snapshots();
  round_due_ = true;
}

// ---- Messages ----

void Core::handle(Receive& event) {
  auto& message = event.message;
  if (message.to != options_.id || message.from == options_.id || message.term > kTermMax) return;
  // Leases and calm: who hears a leader votes for nobody else, whatever the term (thesis §4.2.3).
  const auto* vote = std::get_if<VoteRequest>(&message.body);
  if (vote && !vote->forced && heard_lately()) return;
  if (message.term < hard_.term) {
    answer_old_term(message);
    return;
  }
  if (message.term > hard_.term && takes_term_of(message)) become_follower(message.term, NodeId{});
  std::visit(
      [&](auto& body) {
        using Body = std::decay_t<decltype(body)>;
        // Of a term to come there are only the questions and answers of a pre-vote.
        if constexpr (std::is_same_v<Body, VoteRequest> || std::is_same_v<Body, VoteReply>)
          on(message, body);
        else on(message.from, body);
      },
      message.body);
}

// A pre-vote asks about a term that does not exist yet (thesis §9.6).
bool Core::takes_term_of(const Message& message) {
  if (const auto* request = std::get_if<VoteRequest>(&message.body)) return !request->pre;
  if (const auto* reply = std::get_if<VoteReply>(&message.body))
    return !(reply->pre && reply->granted);
  return true;
}

// A leader or candidate of a term that is over learns so from the answer.
void Core::answer_old_term(const Message& message) {
  if (const auto* request = std::get_if<VoteRequest>(&message.body))
    send(message.from, hard_.term, VoteReply{.pre = request->pre, .granted = false});
  if (std::holds_alternative<Append>(message.body) ||
      std::holds_alternative<SnapshotChunk>(message.body))
    send(message.from, hard_.term, AppendReply{.rejected = true});
}

void Core::send(NodeId to, Term term, wire::peer::RaftBody body) {
  out_->messages.push_back({.from = options_.id, .to = to, .term = term, .body = std::move(body)});
}

// ---- Durability ----

void Core::handle(Persisted& event) {
  bool hard_state = false;
  while (!pending_.empty() && pending_.front().id <= event.id) {
    hard_state |= pending_.front().hard_state;
    durable_ = std::max(durable_, pending_.front().last);
    pending_.pop_front();
  }
  if (restore_write_ != 0 && restore_write_ <= event.id) restore_ready_ = true;
  acknowledge_pieces(event.id);
  bool waits = hard_dirty_ || std::ranges::any_of(pending_, &PendingWrite::hard_state);
  if (hard_state && !waits) {
    hard_durable_ = true;
    hard_state_is_durable();
  }
  if (role_ == Role::kLeader) maybe_commit();
}

void Core::hard_state_is_durable() {
  if (role_ == Role::kCandidate) {
    ask_for_votes(false);
    vote_of(options_.id, true);
  } else if (owed_vote_ != NodeId{}) {
    send(owed_vote_, hard_.term, VoteReply{.pre = false, .granted = true});
    owed_vote_ = NodeId{};
  }
}

// A disk that failed once is not asked again. A leader asks the best of the others to take over.
void Core::handle(PersistFailed&) {
  if (role_ == Role::kLeader) {
    if (auto successor = best_successor(); successor != NodeId{}) order_election(successor);
    stop_leading();
  }
  role_ = Role::kFailed;
  leader_ = NodeId{};
}

// Entries of the present log that are on the disk; 0 while a snapshot replaces the log.
Index Core::durable_match() const { return log_.holds(durable_) ? durable_.index : 0; }

void Core::put_writes() {
  auto& writes = out_->writes;
  if (hard_dirty_) writes.hard_state = hard_;
  writes.base = new_base_;
  for (auto index = written_ + 1; index <= log_.last_index(); ++index)
    writes.entries.push_back(log_.at(index));
  bool empty = !writes.hard_state && writes.pieces.empty() && !writes.install && !writes.base &&
               writes.entries.empty();
  if (empty) return;
  writes.id = ++last_write_;
  writes.first = written_ + 1;
  pending_.push_back(
      {.id = writes.id, .last = log_.last(), .hard_state = hard_dirty_, .since = now_});
  if (writes.install) restore_write_ = writes.id;
  for (auto& piece : pieces_)
    if (piece.write == 0) piece.write = writes.id;
  written_ = log_.last_index();
  hard_dirty_ = false;
  new_base_.reset();
}

void Core::put_committed() {
  if (restore_write_ != 0) {
    if (!restore_ready_) return;  // the state machine waits for the snapshot
    restore_write_ = 0;
    restore_ready_ = false;
    out_->restore = snapshot_;
    emitted_ = snapshot_.last.index;
  }
  out_->first_committed = emitted_ + 1;
  while (emitted_ < commit_) out_->committed.push_back(log_.at(++emitted_));
}

void Core::fetch_ahead() const {
  for (const void* place : std::initializer_list<const void*>{
           &options_, &now_, &log_, &durable_, &role_, &election_at_, &matched_, &peers_, &round_})
    __builtin_prefetch(place);
}

// ---- Questions ----

Status Core::status() const {
  Status status{.self = options_.id,
                .leader = leader_,
                .role = role_,
                .term = hard_.term,
                .commit = commit_,
                .last = log_.last_index(),
                .durable = durable_match(),
                .snapshot = snapshot_.last,
                .log_bytes = log_.bytes(),
                .transfer_to = transfer_to_};
  for (const auto& one : peers_)
    status.peers.push_back({.id = one.id, .match = one.match, .state = one.state});
  return status;
}

std::uint64_t Core::random() {
  return mix64(std::exchange(random_state_, random_state_ + kMix64Step));
}

}  // namespace walrus::raft
