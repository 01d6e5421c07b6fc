// Snapshots and compaction: Raft paper §7, thesis §5. A snapshot goes over in pieces that the
// receiver keeps on its disk; whoever sends the same bytes later goes on where the last one ended,
// or before that if the receiver crashed since: the answer to an offer says where.

#include <algorithm>

#include "raft/core.h"

namespace walrus::raft {

// ---- Own snapshots ----

std::optional<SnapshotMeta> Core::snapshot_at(Index applied) const {
  if (applied <= snapshot_.last.index || applied > emitted_) return std::nullopt;
  SnapshotMeta meta{.last = log_.id_of(applied)};
  for (const auto& placed : memberships_)
    if (placed.index <= applied) meta.membership = placed.membership;
  if (meta.membership.members.empty()) return std::nullopt;
  return meta;
}

void Core::handle(SnapshotSaved& event) {
  if (event.meta.last.index <= snapshot_.last.index) return;  // a leader's came in between
  CHECK(event.meta.last.index <= emitted_ && log_.holds(event.meta.last));
  snapshot_ = std::move(event.meta);
  durable_ = std::max(durable_, snapshot_.last);
  memberships_covered(snapshot_.last.index);
  compact();
}

// Lets go of the log that the snapshot covers, but for a tail that spares peers a snapshot.
void Core::compact() {
  auto index = snapshot_.last.index;
  std::uint64_t kept = 0;
  while (index > log_.base().index) {
    kept += EntryLog::bytes_of(log_.at(index));
    if (kept > options_.log_bytes_kept) break;
    --index;
  }
  if (index == log_.base().index) return;
  log_.trim(log_.id_of(index));
  new_base_ = LogBase{log_.base(), index <= written_};
  written_ = std::max(written_, index);
}

// ---- The sender ----

bool Core::sends_snapshot(std::uint64_t id) const {
  return std::ranges::any_of(peers_, [&](const Progress& one) {
    return one.state == Progress::State::kSnapshot && one.sending.meta.id == id;
  });
}

// The answer says where to go on.
void Core::offer_snapshot(Progress& to) {
  if (to.state != Progress::State::kSnapshot) {
    to.state = Progress::State::kSnapshot;
    to.in_flight.clear();
    to.sending = {.meta = snapshot_};
  }
  to.sending.started = false;
  to.sending.heard_at = now_;
  send(to.id, hard_.term, SnapshotChunk{.meta = to.sending.meta});
}

// One that says nothing for two heartbeats may have lost a piece, or itself.
void Core::reoffer_snapshots() {
  for (auto& to : peers_)
    if (to.state == Progress::State::kSnapshot &&
        now_ - to.sending.heard_at > 2 * options_.heartbeat)
      offer_snapshot(to);
}

void Core::request_pieces(Progress& to) {
  auto& sending = to.sending;
  auto window = options_.snapshot_chunk_bytes * options_.snapshot_chunks_in_flight_max;
  while (sending.started && sending.requested < sending.meta.size &&
         sending.requested - sending.acked < window) {
    auto size = std::min(options_.snapshot_chunk_bytes, sending.meta.size - sending.requested);
    out_->snapshot_requests.push_back(
        {.peer = to.id, .meta = sending.meta, .position = sending.requested, .size = size});
    sending.requested += size;
  }
}

void Core::handle(SnapshotRead& event) {
  auto* to = role_ == Role::kLeader ? peer(event.peer) : nullptr;
  if (!to || to->state != Progress::State::kSnapshot || to->sending.meta.id != event.id) return;
  if (!event.bytes) {
    to->sending.started = false;  // offered again later, and a newer one if there is one
    if (snapshot_.id != event.id) to->sending = {.meta = snapshot_, .heard_at = now_};
    return;
  }
  send(to->id, hard_.term,
       SnapshotChunk{
           .meta = to->sending.meta, .position = event.position, .bytes = *std::move(event.bytes)});
}

void Core::on(NodeId from, SnapshotReply& reply) {
  auto* to = role_ == Role::kLeader ? peer(from) : nullptr;
  if (!to || to->state != Progress::State::kSnapshot) return;
  auto& sending = to->sending;
  if (sending.meta.id != reply.id || reply.position > sending.meta.size) return;
  sending.heard_at = now_;
  if (!reply.resume) {
    if (sending.started) sending.acked = std::max(sending.acked, reply.position);
    return;
  }
  // Each piece behind a lost one is answered so; once is enough.
  bool again = sending.started && reply.position == sending.resumed_from &&
               now_ < sending.resumed_at + options_.heartbeat;
  if (again) return;
  sending.started = true;
  sending.acked = sending.requested = sending.resumed_from = reply.position;
  sending.resumed_at = now_;
}

// ---- The receiver ----

// Terms never fall along a log: what ends in an older one than is committed no leader sends.
void Core::on(NodeId from, SnapshotChunk& chunk) {
  auto last = chunk.meta.last;
  bool sound = last.index <= kIndexMax && is_sound(chunk.meta.membership);
  if (!heard_from_leader(from) || !sound) return;
  if (last.index <= commit_) {  // known, and so is that the logs agree so far
    matched_ = std::max(matched_, last.index);
    owes_reply_ = true;
    return;
  }
  bool follows = last.term <= hard_.term && last.term >= log_.term_at(commit_);
  if (!follows || out_->writes.install) return;  // broken; or one thing at a time
  take_piece(from, chunk);
}

void Core::take_piece(NodeId from, SnapshotChunk& chunk) {
  const auto& meta = chunk.meta;
  if (!incoming_ || incoming_->meta != meta) {
    incoming_ = Durable::Unfinished{.meta = meta};
    pieces_.clear();
  }
  if (incoming_->received == meta.size) {  // whole since before a crash, or empty
    install(SnapshotMeta(meta));
    return;
  }
  if (chunk.position != incoming_->received || chunk.bytes.size() == 0) {
    send(from, hard_.term,
         SnapshotReply{.resume = true, .id = meta.id, .position = incoming_->received});
    return;
  }
  incoming_->received += chunk.bytes.size();
  out_->writes.pieces.push_back(
      {.meta = meta, .position = chunk.position, .bytes = std::move(chunk.bytes)});
  if (incoming_->received == meta.size) install(SnapshotMeta(meta));
  else pieces_.push_back({.id = meta.id, .position = incoming_->received, .from = from});
}

// Pieces are acknowledged when the driver has room for more: a slow disk slows the sender.
void Core::acknowledge_pieces(WriteId persisted) {
  std::optional<PendingPiece> newest;
  std::erase_if(pieces_, [&](const PendingPiece& piece) {
    if (piece.write == 0 || piece.write > persisted) return false;
    newest = piece;
    return true;
  });
  if (newest && newest->from == leader_)
    send(leader_, hard_.term, SnapshotReply{.id = newest->id, .position = newest->position});
}

// §7: what follows the same entry in the log stays, any other log goes. The state machine is
// restored, and the leader answered, when it is on the disk.
void Core::install(const SnapshotMeta& meta) {
  CHECK(meta.last.index > commit_);
  bool keep = log_.holds(meta.last);
  if (keep) log_.trim(meta.last);
  else log_.reset(meta.last);
  // On the disk the tail stays only if it is there what it is here; else it is written again.
  new_base_ = LogBase{meta.last, keep && meta.last.index <= written_};
  written_ = new_base_->keep ? written_ : meta.last.index;
  std::erase_if(memberships_, [&](const PlacedMembership& placed) {
    return !keep || placed.index <= meta.last.index;
  });
  memberships_.insert(memberships_.begin(), {meta.last.index, meta.membership});
  snapshot_ = meta;
  commit_ = meta.last.index;
  matched_ = std::max(matched_, commit_);
  owes_reply_ = true;
  restore_ready_ = false;
  out_->writes.install = meta;
  incoming_.reset();
  pieces_.clear();
}

}  // namespace walrus::raft
