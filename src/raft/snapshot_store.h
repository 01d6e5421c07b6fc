#pragma once
// Snapshots as streams of the engine: written piece by piece, read from the beginning or anywhere.
// Layout: raft/stored_format.h. Used on workers; nothing here knows the loop.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "log/engine.h"
#include "raft/machine.h"
#include "raft/stored_format.h"

namespace walrus::raft {

// A snapshot that is whole and on the disk. Never changes.
struct StoredSnapshot {
  SnapshotMeta meta{};
  std::uint64_t number = 0;  // of its stream; 0: has none, because it is of no bytes
  log::StreamRef stream{};
  // Where each piece begins; empty until it was read once, after a restart.
  std::vector<std::uint64_t> starts{};
};
using SnapshotRef = std::shared_ptr<const StoredSnapshot>;  // shared by its readers

// The pieces that arrive or are made: appended in order, the first MiBs by the journal, because
// most snapshots are small, and what follows as bulk (EngineOptions::bulk_sync_bytes).
class SnapshotPieces {
 public:
  // Makes the stream. Nothing is durable before `pending()` is.
  static Result<SnapshotPieces> create(log::Engine&, std::string name, const SnapshotOrigin&);
  // Goes on behind what is there.
  static Result<SnapshotPieces> open(log::Engine&, log::StreamRef);

  // kBusy, kNoSpace: nothing was done, try again.
  Result<void> append(Bytes);
  std::uint64_t size() const { return size_; }
  std::uint32_t crc() const { return crc_; }
  const log::StreamRef& stream() const { return stream_; }
  // Where each piece begins; empty if some were there before open().
  std::vector<std::uint64_t> take_starts() { return std::move(starts_); }
  // What has to be durable before these pieces are; at most two a shard.
  const std::vector<log::Pending>& pending() const { return pending_; }
  // What has to be durable before the stream, if create() made it, is found by its name.
  const log::Pending& named() const { return named_; }

 private:
  explicit SnapshotPieces(log::Engine& engine) : engine_(&engine) {}

  log::Engine* engine_;
  log::StreamRef stream_{};
  std::uint64_t size_ = 0;
  std::uint32_t crc_ = 0;
  bool starts_known_ = true;
  std::vector<std::uint64_t> starts_{};
  std::vector<log::Pending> pending_{};
  log::Pending named_{};
};

// Adds `pending` to the places to wait for: the furthest of each journal, and of each bulk.
void wait_for(std::vector<log::Pending>& places, const log::Pending& pending);

// Reads a snapshot from its beginning and checks it against its id at the end.
class SnapshotReader final : public SnapshotSource {
 public:
  SnapshotReader(log::Engine& engine, SnapshotRef snapshot)
      : engine_(engine), snapshot_(std::move(snapshot)) {}
  Result<std::size_t> read(std::span<char> to) override;
  // kCorrupt: it was read to its end, and is not what its id names. The places of the pieces.
  Result<std::vector<std::uint64_t>> finish();

 private:
  Result<void> next_piece();

  log::Engine& engine_;
  const SnapshotRef snapshot_;
  std::string fetched_{};
  Bytes piece_{};  // of fetched_, not taken yet
  std::uint64_t position_ = 0;
  std::uint32_t crc_ = 0;
  std::vector<std::uint64_t> starts_{};
};

// Those bytes; kOutOfRange if it has not so many, or its pieces are not known yet.
Result<Payload> read_range(log::Engine&, const StoredSnapshot&, std::uint64_t position,
                           std::uint64_t size);

// The sink of a Frozen: cuts what is written into pieces of the same size. While the engine has no
// room, write() waits.
class SnapshotBuilder final : public SnapshotSink {
 public:
  SnapshotBuilder(log::Engine& engine, std::string name, std::uint64_t piece_bytes)
      : engine_(engine), name_(std::move(name)), piece_bytes_(piece_bytes) {}

  Result<void> write(Bytes) override;
  // What is left over goes into the last piece.
  Result<void> finish();
  const std::optional<Error>& error() const { return error_; }  // the sink's, not the view's
  const std::string& name() const { return name_; }
  const SnapshotPieces* pieces() const { return pieces_ ? &*pieces_ : nullptr; }
  std::uint64_t size() const { return pieces_ ? pieces_->size() : 0; }
  // Whole, with metadata that is complete but for id and size.
  SnapshotRef stored(SnapshotMeta, std::uint64_t number);
  void stop();  // from any thread: write() fails from now on

 private:
  Result<void> append(Bytes);
  Result<void> put(Bytes);

  log::Engine& engine_;
  const std::string name_;
  const std::uint64_t piece_bytes_;
  std::optional<SnapshotPieces> pieces_{};
  std::string buffer_{};
  std::optional<Error> error_{};
  std::atomic<bool> stopped_ = false;
};

}  // namespace walrus::raft
