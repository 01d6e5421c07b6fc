#pragma once
// Store: what one group keeps on this node's disk: hard state, log, snapshots, as streams of the
// engine (layout: raft/stored_format.h). What a Core wants written is done here in the order that
// it asks for; a crash leaves a prefix of it, because the frames of one shard's journal are
// recovered in order, and where two shards are involved the later part waits for the earlier one to
// be durable.
//
// open() runs anywhere; advance() on the Writer's worker alone, job by job in order.

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "log/engine.h"
#include "raft/snapshot_store.h"
#include "raft/stored_format.h"

namespace walrus::raft {

// One thing or several that a node wants done to its store, in this order.
struct StoreJob {
  Writes writes{};
  SnapshotRef save{};                  // an own snapshot, durable already: the node's from now on
  std::optional<std::int64_t> trim{};  // a base is durable: records before this one may go
  std::vector<SnapshotRef> removed{};  // snapshots that nobody needs any more
  std::uint64_t bytes = 0;             // of payloads, for limits

  // How far advance() has come.
  std::size_t step = 0, done_of_step = 0, done_of_piece = 0;  // the last in bytes
  std::vector<log::Pending> pending{};     // durable when these are; at most one a shard
  SnapshotRef installed{};                 // the received snapshot that `writes` installed
  std::optional<std::int64_t> may_trim{};  // once it is durable
};

class Store {
 public:
  struct Loaded {
    std::shared_ptr<Store> store{};
    Durable durable{};
    SnapshotRef snapshot{};  // none: it has no bytes
  };
  // The group's stream, made if it is not there (with these founders).
  struct Made {
    log::StreamRef stream{};
    log::Pending pending{};  // durable when this is
  };
  static Result<Made> make(log::Engine&, const StoredGroup&);
  // kCorrupt, kVersion, kIo. Snapshots that are nobody's are removed.
  static Result<Loaded> load(log::Engine&, const StoredGroup&, const log::StreamRef&);
  // Every stream of the group, the log first; the places to wait for.
  static Result<std::vector<log::Pending>> remove(log::Engine&, GroupId);

  Store(log::Engine& engine, GroupId group, log::StreamRef log)
      : engine_(engine), group_(group), log_(std::move(log)) {}

  // Does as much of the job as there is room for. False: something has to come first, see
  // blocked_on(); call again. Any error but kBusy and kNoSpace, which are such a wait, means that
  // what is on the disk is not known.
  Result<bool> advance(StoreJob&);
  struct Block {
    std::optional<log::Pending> pending{};  // none: room
    log::StreamRef room{};                  // of this stream
    Error error{};
  };
  const Block& blocked_on() const { return blocked_; }

  // From any thread.
  void cancel() { cancelled_ = true; }  // jobs that wait fail with kClosed
  std::uint64_t new_number() { return ++last_number_; }
  GroupId group() const { return group_; }
  const log::StreamRef& log_stream() const { return log_; }
  log::Engine& engine() { return engine_; }

 private:
  struct Run {  // entries whose records lie side by side
    Index first = 0;
    std::int64_t offset = 0;
  };

  Result<void> load_state(Durable&, StoredInstall&);
  Result<void> load_log(Durable&);
  Result<void> take_batch(Bytes batch, const std::shared_ptr<const void>& owner, Durable&);
  Result<void> load_snapshots(Durable&, const StoredInstall&, SnapshotRef&);

  Result<bool> step(StoreJob&);
  Result<bool> advanced(Result<log::Pending>, StoreJob&);
  Result<bool> put_piece(StoreJob&);
  Result<bool> begin_pieces(StoreJob&, const SnapshotMeta&);
  Result<bool> install(StoreJob&);
  Result<bool> save(StoreJob&);
  Result<bool> put_base(StoreJob&);
  Result<bool> put_entries(StoreJob&);
  Result<bool> remove_snapshot(StoreJob&);
  Result<bool> trim(StoreJob&);
  void placed(Index first, std::int64_t offset, std::size_t count);
  Result<bool> drop_incoming(StoreJob&);
  std::int64_t offset_of(Index) const;
  bool pieces_are_durable();
  bool is_what_arrived(const SnapshotMeta&) const;

  log::Engine& engine_;
  const GroupId group_;
  const log::StreamRef log_;
  Block blocked_{};
  std::atomic<bool> cancelled_ = false;
  std::atomic<std::uint64_t> last_number_ = 0;

  StoredBase base_{};
  Index last_index_ = 0;
  std::int64_t next_offset_ = 0;
  std::deque<Run> runs_{};    // of the log behind the base, oldest first
  Index snapshot_index_ = 0;  // of the newest that is the node's
  std::optional<SnapshotPieces> incoming_{};
  SnapshotMeta incoming_meta_{};
  std::uint64_t incoming_number_ = 0;
  std::string scratch_{};
};

}  // namespace walrus::raft
