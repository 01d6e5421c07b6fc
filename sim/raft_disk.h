#pragma once
// RaftDisk: what a simulated node's disk holds, and how a batch of the core's writes gets there.
// Writes wait in order; a crash keeps some prefix of what waits, step by step, and may lose pieces
// of a snapshot that was not installed.

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "raft/event.h"

namespace walrus::sim {

struct StoredSnapshot {
  raft::SnapshotMeta meta{};
  std::string bytes{};
};

class RaftDisk {
 public:
  struct Waiting {
    std::int64_t done_at = 0;
    raft::Writes writes{};
  };

  // All of a batch, or its first `steps` steps; what was left out is lost. The number of steps
  // done.
  std::size_t apply(const raft::Writes&, std::size_t steps = SIZE_MAX);
  void found(raft::Membership founders) { snapshot_.meta.membership = std::move(founders); }
  void save(StoredSnapshot own);
  raft::Durable durable() const;  // as a node that starts finds it

  raft::EntryId last() const;
  bool holds(raft::EntryId) const;
  bool covers(raft::EntryId) const;  // holds it, or a snapshot contains it
  const raft::HardState& hard_state() const { return hard_; }
  const StoredSnapshot& snapshot() const { return snapshot_; }
  const StoredSnapshot* find_snapshot(std::uint64_t id) const;
  template <class InUse>
  void forget_snapshots(const InUse& in_use) {
    std::erase_if(older_, [&](const StoredSnapshot& one) { return !in_use(one.meta.id); });
  }
  void forget_snapshots() { older_.clear(); }
  void lose_pieces(std::size_t count);  // the last ones: they are durable once they are installed

  std::deque<Waiting> waiting{};  // oldest first

 private:
  void put_entry(raft::Index, const raft::Entry&);
  void put_base(const raft::LogBase&);
  void put_piece(const raft::SnapshotPiece&);
  void set_snapshot(StoredSnapshot);

  raft::HardState hard_{};
  raft::EntryId base_{};
  std::vector<raft::Entry> entries_{};
  StoredSnapshot snapshot_{};
  std::vector<StoredSnapshot> older_{};  // still being sent
  std::optional<StoredSnapshot> unfinished_{};
  std::vector<std::size_t> piece_ends_{};  // of unfinished_
};

}  // namespace walrus::sim
