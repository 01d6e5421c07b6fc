#include "replica/leader.h"

#include <algorithm>
#include <ranges>

#include "base/check.h"

namespace walrus::replica {
namespace {

// The most that `quorum` of them have.
template <class Replicas, class Of>
auto on_quorum(const Replicas& replicas, std::size_t quorum, const Of& of) {
  auto most = std::ranges::min(replicas | std::views::transform(of));
  for (const auto& one : replicas) {
    auto value = of(one);
    auto have =
        std::ranges::count_if(replicas, [&](const auto& other) { return of(other) >= value; });
    if (value > most && std::cmp_greater_equal(have, quorum)) most = value;
  }
  return most;
}

}  // namespace

const char* refusal_name(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone: return "none";
    case Refusal::kNotLeader: return "not_leader";
    case Refusal::kNoLease: return "no_lease";
    case Refusal::kBusy: return "busy";
    case Refusal::kNotReady: return "not_ready";
    case Refusal::kInvalid: return "invalid";
    case Refusal::kOutOfOrder: return "out_of_order";
    case Refusal::kStaleProducer: return "stale_producer";
    case Refusal::kMismatch: return "mismatch";
    case Refusal::kUnknown: return "unknown";
    case Refusal::kNoRoom: return "no_room";
  }
  return "?";
}

void Leader::Actions::clear() {
  messages.clear();
  appended.clear();
  confirmed.clear();
  log_requests.clear();
  close_at.reset();
  roll = Roll::kNo;
  wake_at = Instant::max();
}

Result<std::unique_ptr<Leader>> Leader::open(const Options& options, const Segment& segment,
                                             const std::optional<Previous>& previous,
                                             const Lease& lease) {
  if (segment.leader != options.self || !segment.has(options.self))
    return fail(Code::kInvalid, "segment {}: node {} writes it, this is node {}", segment.id.value,
                segment.leader.value, options.self.value);
  if (segment.leader_incarnation != options.incarnation)
    return fail(Code::kInvalid, "segment {}: an earlier life of this node wrote it",
                segment.id.value);
  if (segment.state != SegmentState::kOpen)
    return fail(Code::kInvalid, "segment {} is not open", segment.id.value);
  if (segment.ack_quorum <= segment.replicas.size() / 2 ||
      segment.ack_quorum > segment.replicas.size())
    return fail(Code::kInvalid, "segment {}: {} of {} replicas are no quorum", segment.id.value,
                segment.ack_quorum, segment.replicas.size());
  return std::unique_ptr<Leader>(new Leader(options, segment, previous, lease));
}

Leader::Leader(const Options& options, const Segment& segment,
               const std::optional<Previous>& previous, const Lease& lease)
    : options_(options), segment_(segment), previous_(previous), lease_(lease) {
  log_end_ = watermark_ = window_start_ = segment.start;
  for (auto id : segment.replicas) {
    replicas_.push_back({.id = id});
    auto& replica = replicas_.back();
    replica.synced = replica.sync_asked = segment.start;
    replica.match = replica.next = replica.watermark_told = replica.watermark_sent = segment.start;
    replica.goal = segment.start;
  }
  if (!previous) {
    begin_without_producers();
    return;
  }
  choose_source();
}

void Leader::step(Instant now, std::span<Event> events, Actions& out) {
  CHECK(!out_);
  now_ = now;
  out_ = &out;
  out.clear();
  blocked_ = Refusal::kNone;
  for (auto& event : events) std::visit([this](auto& one) { handle(one); }, event);
  if (role_ != Role::kDeposed) {
    advance();
    set_goals();
    answer_confirms();
    try_close();
    replicate();
    trim_window();
    fetch_producers();
    want_roll();
    set_wake();
  }
  out_ = nullptr;
}

// ---- Appends ----

// What may be taken another time is given again, with what came behind it: so none of that goes
// before it now, because there was room for a smaller one, say.
void Leader::handle(Append& append) {
  auto refusal = blocked_ == Refusal::kNone ? take(append) : blocked_;
  if (is_passing(refusal)) blocked_ = refusal;
  if (refusal != Refusal::kNone) out_->appended.push_back({append.ticket, refusal});
}

Refusal Leader::refusal(const Append& append) const {
  if (role_ != Role::kWriter) return Refusal::kNotLeader;
  if (!lease_.holds(now_)) return Refusal::kNoLease;
  if (!producers_known_) return Refusal::kNotReady;
  if (append.batch.size() > options_.batch_bytes_max) return Refusal::kInvalid;
  bool fits = window_bytes_ + append.batch.size() <= options_.window_bytes_max;
  if (!fits && window_bytes_ > 0) return Refusal::kBusy;  // one always fits
  return Refusal::kNone;
}

Refusal Leader::take(Append& append) {
  if (auto refused = refusal(append); refused != Refusal::kNone) return refused;
  auto view = record::BatchView::parse(append.batch);
  if (!view || view->bytes().size() != append.batch.size()) return Refusal::kInvalid;
  std::optional<std::int64_t> first;
  auto refused = check_producer(*view, append.any_sequence, first);
  if (refused != Refusal::kNone) return refused;
  if (first) {  // it was sent before: answered when it is acknowledged, as the first time
    wait({append.ticket, *first, *first + view->last_offset_delta() + 1, Acks::kAll});
    return Refusal::kNone;
  }
  if (append.expected_next && *append.expected_next != log_end_) return Refusal::kMismatch;
  assign(append);
  return Refusal::kNone;
}

Refusal Leader::check_producer(const record::BatchView& view, bool any_sequence,
                               std::optional<std::int64_t>& first) const {
  if (view.producer_id() < 0) return Refusal::kNone;
  auto found = producers_.check(view.producer_id(), view.producer_epoch(), view.base_sequence(),
                                view.count());
  if (found) {
    bool in_order = any_sequence || view.base_sequence() == 0 ||
                    producers_.knows(view.producer_id(), view.producer_epoch());
    if (!in_order) return Refusal::kOutOfOrder;
    first = *found;
    return Refusal::kNone;
  }
  if (found.error().code == Code::kFenced) return Refusal::kStaleProducer;
  return found.error().code == Code::kMismatch ? Refusal::kOutOfOrder : Refusal::kInvalid;
}

void Leader::assign(Append& append) {
  record::set_base_offset(append.batch.data(), log_end_);
  record::set_epoch(append.batch.data(), static_cast<std::int32_t>(segment_.epoch.value));
  auto owner = std::make_shared<const std::string>(std::move(append.batch));
  record::BatchView view(*owner);
  Batch batch{view.base_offset(), view.next_offset(), Payload(*owner, owner)};
  if (view.producer_id() >= 0)
    producers_.add(view.producer_id(), view.producer_epoch(), view.base_sequence(), view.count(),
                   batch.base, view.newest_timestamp());
  window_bytes_ += batch.bytes.size();
  bytes_ += batch.bytes.size();
  log_end_ = batch.next;
  for (auto& replica : replicas_) replica.behind_since = std::min(replica.behind_since, now_);
  if (append.acks == Acks::kNone) out_->appended.push_back({append.ticket, {}, batch.base});
  else wait({append.ticket, batch.base, batch.next, append.acks});
  window_.push_back(std::move(batch));
}

void Leader::wait(Waiting one) {
  auto place = std::ranges::upper_bound(waiting_, one.end, {}, &Waiting::end);
  waiting_.insert(place, one);
}

// ---- Acknowledging ----

// What Qa replicas hold durably.
std::int64_t Leader::quorum_match() const {
  return on_quorum(replicas_, segment_.ack_quorum, [](const Replica& one) { return one.match; });
}

// The lease is looked at here, after the I/O, and not only when a batch is taken: a process that
// was stopped in between may have a successor. Once the end is given to metadata nothing more is
// acknowledged (R10).
void Leader::advance() {
  if (role_ == Role::kClosing || !lease_.holds(now_)) return;
  auto reached = quorum_match();
  if (reached > watermark_) {
    watermark_ = reached;
    for (auto& replica : replicas_)
      replica.watermark_due = std::min(replica.watermark_due, now_ + options_.watermark_delay);
  }
  acknowledge();
}

void Leader::acknowledge() {
  while (!waiting_.empty() && waiting_.front().end <= watermark_) {
    out_->appended.push_back({waiting_.front().ticket, {}, waiting_.front().first});
    waiting_.pop_front();
  }
  auto own = find(options_.self)->match;
  std::erase_if(waiting_, [&](const Waiting& one) {
    if (one.acks != Acks::kLeader || one.end > own) return false;
    out_->appended.push_back({one.ticket, {}, one.first});
    return true;
  });
}

// ---- Answers that have to be current ----

void Leader::handle(Confirm& confirm) {
  if (role_ != Role::kWriter && role_ != Role::kDraining)
    return out_->confirmed.push_back({confirm.ticket, Refusal::kNotLeader});
  if (asking_.size() >= options_.confirms_max)
    return out_->confirmed.push_back({confirm.ticket, Refusal::kBusy});
  asking_.push_back({confirm.ticket, round_ + 1});  // the next message is the first one that asks
}

void Leader::answer_confirms() {
  if (asking_.empty()) return;
  auto round =
      on_quorum(replicas_, segment_.ack_quorum, [](const Replica& one) { return one.round; });
  while (!asking_.empty() && asking_.front().round <= round) {
    out_->confirmed.push_back({asking_.front().ticket, Refusal::kNone, watermark_});
    asking_.pop_front();
  }
}

// ---- Replicas ----

Leader::Replica* Leader::find(NodeId id) {
  auto found = std::ranges::find(replicas_, id, &Replica::id);
  return found == replicas_.end() ? nullptr : &*found;
}

bool Leader::keeps_up(NodeId id) const {
  auto found = std::ranges::find(replicas_, id, &Replica::id);
  if (found == replicas_.end() || found->lost) return false;
  return found->behind_since == Instant::max() || now_ - found->behind_since < options_.retry;
}

void Leader::set_goals() {
  for (auto& replica : replicas_) {
    if (replica.match < replica.goal) continue;
    replica.goal = watermark_;
    replica.goal_at = now_;
    replica.goal_bytes = bytes_;
  }
}

std::vector<NodeId> Leader::slow(Instant now) const {
  std::vector<NodeId> slow;
  for (const auto& replica : replicas_) {
    if (replica.lost || replica.match >= replica.goal) continue;
    auto since = now - replica.goal_at;
    bool much = bytes_ - replica.goal_bytes >= options_.slow_bytes;
    if (since >= options_.slow_after || (much && since >= options_.slow_bytes_after))
      slow.push_back(replica.id);
  }
  return slow;
}

void Leader::handle(Receive& event) {
  const auto& message = event.message;
  if (const auto* reply = std::get_if<ReplicateReply>(&message.body)) {
    if (message.segment == segment_.id && message.epoch == segment_.epoch) on(message, *reply);
  } else if (const auto* fetched = std::get_if<FetchReply>(&message.body)) {
    if (waits_for(message.segment)) on(*fetched);
  }
}

void Leader::on(const Message& message, const ReplicateReply& reply) {
  auto* replica = find(message.from);
  if (!replica) return;
  if (reply.answer == Answer::kFenced) return depose();
  if (reply.answer == Answer::kLimbo) {
    replica->lost = true;
    return;
  }
  if (reply.durable > log_end_ || reply.accepted > log_end_) return;  // nothing that was sent
  if (reply.answer == Answer::kSynced) {
    replica->synced = std::max(replica->synced, reply.durable);
    replica->sync_asked = replica->synced;  // what was written since is asked for again
    return;
  }
  if (reply.answer == Answer::kGap && reply.round < replica->round) return;  // overtaken
  if (reply.accepted < replica->match && reply.round > replica->round) {
    replica->lost = true;  // it held more before: its disk is not what it was
    return;
  }
  if (reply.durable > replica->match) replica->progress_at = now_;
  replica->match = std::max(replica->match, reply.durable);
  replica->behind_since = replica->match < log_end_ ? now_ : Instant::max();
  while (!replica->in_flight.empty() && replica->in_flight.front().end <= replica->match) {
    replica->in_flight_bytes -= replica->in_flight.front().bytes;
    replica->in_flight.pop_front();
  }
  if (reply.answer == Answer::kGap) {
    replica->in_flight.clear();
    replica->in_flight_bytes = 0;
    replica->next = std::min(replica->next, reply.accepted);
  }
  replica->next = std::max(replica->next, replica->match);
  replica->round = std::max(replica->round, reply.round);
  if (reply.round >= replica->sent_round) replica->watermark_told = replica->watermark_sent;
}

void Leader::replicate() {
  for (auto& replica : replicas_)
    if (!replica.lost) replicate_to(replica);
}

void Leader::replicate_to(Replica& replica) {
  // Lost on the way, or the replica is away. That it answers other messages says nothing.
  if (!replica.in_flight.empty() && now_ >= retry_at(replica)) {
    replica.in_flight.clear();
    replica.in_flight_bytes = 0;
    replica.next = replica.match;
  }
  if (send_batches(replica)) return;
  auto due = empty_due(replica);
  if (due != Empty::kNo) send(replica, {.from = segment_.start}, due == Empty::kQuiet);
}

Instant Leader::retry_at(const Replica& replica) const {
  return std::max(replica.in_flight.front().sent_at, replica.progress_at) + options_.retry;
}

bool Leader::send_batches(Replica& replica) {
  bool sent = false;
  while (replica.next < log_end_ && !replica.reading &&
         replica.in_flight.size() < options_.in_flight_messages_max &&
         (replica.in_flight_bytes < options_.in_flight_bytes_max || replica.in_flight.empty())) {
    if (replica.next < window_start_) {
      if (now_ < replica.read_after) break;
      replica.reading = true;
      out_->log_requests.push_back({replica.id, replica.next, options_.message_bytes_max});
      break;
    }
    Run run{.from = replica.next};
    std::uint64_t bytes = 0;
    auto first = std::ranges::lower_bound(window_, replica.next, {}, &Batch::base);
    for (; first != window_.end(); ++first) {
      bytes += first->bytes.size();
      if (bytes > options_.message_bytes_max && !run.batches.empty()) break;
      run.batches.push_back(*first);
    }
    send(replica, std::move(run));
    sent = true;
  }
  return sent;
}

// The watermark is told at once, and again, to be answered, if no later message was answered since:
// mostly the next batches go first.
Leader::Empty Leader::empty_due(const Replica& replica) const {
  if (sync_is_due(replica)) return Empty::kAsking;
  bool stale = now_ - replica.sent_at >= options_.retry;
  bool asks = !asking_.empty() && replica.round < asking_.back().round;
  if (asks && (replica.sent_round < asking_.back().round || stale)) return Empty::kAsking;
  if (replica.watermark_told < watermark_ && replica.watermark_sent == watermark_ && stale)
    return Empty::kAsking;
  if (now_ < replica.watermark_due) return Empty::kNo;
  return asks ? Empty::kAsking : Empty::kQuiet;
}

bool Leader::wants_synced(const Replica& replica) const {
  if (!sync_first_ || segment_.durability == Durability::kFsync) return false;
  auto target = role_ == Role::kWriter ? *sync_first_ : log_end_;
  return replica.synced < std::min(target, replica.match);
}

bool Leader::sync_is_due(const Replica& replica) const {
  return wants_synced(replica) &&
         (replica.sync_asked < replica.match || now_ - replica.sync_asked_at >= options_.retry);
}

void Leader::send(Replica& replica, Run run, bool quiet) {
  bool sync = sync_is_due(replica);
  if (sync) {
    replica.sync_asked = replica.match;
    replica.sync_asked_at = now_;
  }
  if (run.from == segment_.start && !run.batches.empty()) run.producers = opening_;
  if (!run.batches.empty()) {
    std::uint64_t bytes = 0;
    for (const auto& batch : run.batches) bytes += batch.bytes.size();
    replica.in_flight.push_back({run.end(), bytes, now_});
    replica.in_flight_bytes += bytes;
    replica.next = run.end();
  }
  replica.sent_at = now_;
  replica.watermark_sent = watermark_;
  replica.sent_round = ++round_;
  replica.watermark_due = Instant::max();
  out_->messages.push_back({options_.self, replica.id, segment_.id, segment_.epoch,
                            Replicate{.sync = sync,
                                      .quiet = quiet,
                                      .durability = segment_.durability,
                                      .start = segment_.start,
                                      .watermark = watermark_,
                                      .round = round_,
                                      .run = std::move(run)}});
}

void Leader::handle(LogRead& read) {
  auto* replica = find(read.replica);
  if (!replica || !replica->reading) return;
  replica->reading = false;
  if (role_ == Role::kDeposed || replica->lost) return;
  if (read.run.batches.empty()) {
    replica->read_after = now_ + options_.retry;
    return;
  }
  // What was answered meanwhile may have moved on; what lies behind the end is not this leader's.
  if (read.run.from != replica->next || read.run.end() > log_end_) return;
  send(*replica, std::move(read.run));
}

// Batches stay until they are acknowledged and in the own log, from where late replicas are served;
// some longer, so that who is a little late need not be.
void Leader::trim_window() {
  auto floor = std::min(watermark_, find(options_.self)->match);
  auto slowest = log_end_;
  for (const auto& replica : replicas_)
    if (!replica.lost) slowest = std::min(slowest, replica.match);
  while (!window_.empty() && window_.front().next <= floor &&
         (window_.front().next <= slowest || window_bytes_ > options_.window_bytes_kept)) {
    window_bytes_ -= window_.front().bytes.size();
    window_.pop_front();
  }
  window_start_ = window_.empty() ? log_end_ : window_.front().base;
}

// ---- The producer state at the start ----

void Leader::begin_without_producers() {
  if (producers_known_) return;
  std::string bytes;
  producers_.encode(bytes);
  opening_ = Payload::copy_of(bytes);
  producers_known_ = true;
}

// The own copy is the nearest, and whoever led before may be gone.
void Leader::choose_source() {
  const auto& replicas = previous_->replicas;
  auto own = std::ranges::find(replicas, options_.self);
  next_source_ = own == replicas.end() ? 0 : static_cast<std::size_t>(own - replicas.begin());
}

void Leader::handle(Before& event) {
  if (producers_known_) return;
  if (!event.previous) return begin_without_producers();
  if (previous_->replicas == event.previous->replicas) return;
  previous_ = std::move(event.previous);
  choose_source();
  fetch_at_ = {};
}

void Leader::fetch_producers() {
  if (producers_known_ || now_ < fetch_at_) return;
  auto source = previous_->replicas[next_source_++ % previous_->replicas.size()];
  out_->messages.push_back({options_.self, source, previous_->segment, segment_.epoch,
                            Fetch{.from = segment_.start, .bytes_max = 0}});
  fetch_at_ = now_ + options_.retry / 4;
}

void Leader::on(const FetchReply& reply) {
  if (reply.answer != Answer::kOk || reply.run.from != segment_.start || !reply.run.producers)
    return;
  Decoder from(reply.run.producers->bytes());
  auto table = log::ProducerTable::decode(from);
  if (!table) return;
  producers_ = *std::move(table);
  opening_ = reply.run.producers;
  producers_known_ = true;
}

// ---- The end ----

void Leader::handle(Close&) {
  if (role_ == Role::kWriter && !sync_first_) sync_first_ = log_end_;
}

// What Qa copies hold on the disk that are what they were. What a lost one held counts for what was
// acknowledged then, not for an end that nobody can take back.
std::int64_t Leader::on_quorum_of_disks() const {
  return on_quorum(replicas_, segment_.ack_quorum, [this](const Replica& one) {
    if (one.lost) return segment_.start;
    return segment_.durability == Durability::kFsync ? one.match : one.synced;
  });
}

void Leader::try_close() {
  if (role_ == Role::kWriter && sync_first_ &&
      (segment_.durability == Durability::kFsync || on_quorum_of_disks() >= *sync_first_)) {
    role_ = Role::kDraining;
    drain_until_ = now_ + options_.drain_max;
  }
  if (role_ != Role::kDraining || (watermark_ < log_end_ && now_ < drain_until_)) return;
  if (on_quorum_of_disks() < watermark_) return;
  role_ = Role::kClosing;
  out_->close_at = watermark_;
  for (const auto& one : waiting_) out_->appended.push_back({one.ticket, Refusal::kUnknown});
  waiting_.clear();
  for (const auto& one : asking_) out_->confirmed.push_back({one.ticket, Refusal::kNotLeader});
  asking_.clear();
}

void Leader::depose() {
  if (role_ == Role::kDeposed) return;
  role_ = Role::kDeposed;
  for (const auto& one : waiting_) out_->appended.push_back({one.ticket, Refusal::kUnknown});
  waiting_.clear();
  for (const auto& one : asking_) out_->confirmed.push_back({one.ticket, Refusal::kNotLeader});
  asking_.clear();
  window_.clear();
  window_bytes_ = 0;
}

void Leader::want_roll() {
  if (role_ != Role::kWriter && role_ != Role::kDraining) return;
  auto lost = static_cast<std::size_t>(std::ranges::count(replicas_, true, &Replica::lost));
  if (replicas_.size() - lost < segment_.ack_quorum) {
    out_->roll = Roll::kQuorumLost;
    return;
  }
  if (sync_first_) return;
  bool away = false;
  for (const auto& replica : replicas_) {
    away |=
        replica.behind_since != Instant::max() && now_ - replica.behind_since >= options_.away_max;
    away |= log_end_ - replica.match > options_.lag_records_max;
  }
  // By what is acknowledged: what is not yet may have to be sent to the next one again.
  bool full = watermark_ - segment_.start >= options_.records_max ||
              (watermark_ == log_end_ && bytes_ >= static_cast<std::uint64_t>(options_.bytes_max));
  out_->roll = full       ? Roll::kFull
               : lost > 0 ? Roll::kReplicaLost
               : away     ? Roll::kReplicaAway
                          : Roll::kNo;
}

void Leader::set_wake() {
  auto wake = Instant::max();
  auto until = [&](Instant when) { wake = std::min(wake, std::max(when, now_ + Nanos(1))); };
  for (const auto& replica : replicas_) {
    if (replica.lost) continue;
    if (!replica.in_flight.empty()) until(retry_at(replica));
    bool owed = replica.watermark_told < watermark_ ||
                (!asking_.empty() && replica.round < asking_.back().round);
    if (owed) until(replica.sent_at + options_.retry);
    if (replica.read_after > now_) until(replica.read_after);
    if (replica.watermark_due != Instant::max()) until(replica.watermark_due);
    if (replica.behind_since != Instant::max() && role_ == Role::kWriter &&
        now_ - replica.behind_since < options_.away_max)
      until(replica.behind_since + options_.away_max);
  }
  for (const auto& replica : replicas_)
    if (!replica.lost && wants_synced(replica)) until(replica.sync_asked_at + options_.retry);
  if (!producers_known_) until(fetch_at_);
  if (role_ == Role::kDraining && now_ < drain_until_) until(drain_until_);
  out_->wake_at = wake;
}

}  // namespace walrus::replica
