#include "raft_disk.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace walrus::sim {

using raft::EntryId;
using raft::Index;

std::size_t RaftDisk::apply(const raft::Writes& writes, std::size_t steps) {
  std::size_t done = 0;
  auto more = [&] { return done < steps && ++done; };
  if (writes.hard_state && more()) hard_ = *writes.hard_state;
  for (const auto& piece : writes.pieces)
    if (more()) put_piece(piece);
  if (writes.install && more()) {
    CHECK(unfinished_ && unfinished_->meta == *writes.install &&
          unfinished_->bytes.size() == writes.install->size);
    set_snapshot(*std::exchange(unfinished_, std::nullopt));
  }
  if (writes.base && more()) put_base(*writes.base);
  for (std::size_t i = 0; i < writes.entries.size() && more(); ++i)
    put_entry(writes.first + i, writes.entries[i]);
  return done;
}

void RaftDisk::put_entry(Index index, const raft::Entry& entry) {
  CHECK(index > base_.index && index <= base_.index + entries_.size() + 1);
  entries_.resize(static_cast<std::size_t>(index - base_.index - 1));
  entries_.push_back(entry);
}

void RaftDisk::put_base(const raft::LogBase& base) {
  CHECK(base.base.index >= base_.index);
  auto dropped = static_cast<std::size_t>(base.base.index - base_.index);
  if (!base.keep || dropped > entries_.size()) entries_.clear();
  else entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(dropped));
  base_ = base.base;
}

void RaftDisk::put_piece(const raft::SnapshotPiece& piece) {
  if (piece.position == 0) {
    unfinished_ = StoredSnapshot{piece.meta, {}};
    piece_ends_.clear();
  }
  CHECK(unfinished_ && unfinished_->meta == piece.meta &&
        unfinished_->bytes.size() == piece.position);
  unfinished_->bytes.append(piece.bytes.bytes());
  piece_ends_.push_back(unfinished_->bytes.size());
}

void RaftDisk::lose_pieces(std::size_t count) {
  if (!unfinished_ || count == 0 || piece_ends_.empty()) return;
  piece_ends_.resize(piece_ends_.size() - std::min(count, piece_ends_.size()));
  unfinished_->bytes.resize(piece_ends_.empty() ? 0 : piece_ends_.back());
}

void RaftDisk::set_snapshot(StoredSnapshot next) {
  older_.push_back(std::exchange(snapshot_, std::move(next)));
}

void RaftDisk::save(StoredSnapshot own) {
  if (own.meta.last.index > snapshot_.meta.last.index) set_snapshot(std::move(own));
}

raft::Durable RaftDisk::durable() const {
  raft::Durable durable{
      .hard_state = hard_, .snapshot = snapshot_.meta, .base = base_, .entries = entries_};
  if (unfinished_)
    durable.unfinished = raft::Durable::Unfinished{unfinished_->meta, unfinished_->bytes.size()};
  return durable;
}

EntryId RaftDisk::last() const {
  return {entries_.empty() ? base_.term : entries_.back().term, base_.index + entries_.size()};
}

bool RaftDisk::holds(EntryId id) const {
  if (id.index < base_.index || id.index > base_.index + entries_.size()) return false;
  auto at = static_cast<std::size_t>(id.index - base_.index);
  return (at == 0 ? base_.term : entries_[at - 1].term) == id.term;
}

bool RaftDisk::covers(EntryId id) const {
  return id.index <= snapshot_.meta.last.index || holds(id);
}

const StoredSnapshot* RaftDisk::find_snapshot(std::uint64_t id) const {
  if (snapshot_.meta.id == id) return &snapshot_;
  for (const auto& one : older_)
    if (one.meta.id == id) return &one;
  return nullptr;
}

}  // namespace walrus::sim
