#include "raft/snapshot_store.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/crc32c.h"
#include "raft/stored_format.h"
#include "record/batch.h"

namespace walrus::raft {
namespace {

// One piece as it is stored; views into `batch`.
struct Piece {
  PieceKey key{};
  Bytes bytes{};
};

Result<Piece> parse_piece(Bytes batch_bytes) {
  WALRUS_ASSIGN(auto batch, record::BatchView::parse(batch_bytes));
  WALRUS_ASSIGN(auto records, record::RecordIterator::open(batch));
  WALRUS_ASSIGN(auto record, records.next());
  if (!record || !record->key || !record->value)
    return fail(Code::kCorrupt, "a snapshot's stream holds something else");
  Piece piece;
  WALRUS_ASSIGN(piece.key, parse_piece_key(*record->key));
  piece.bytes = *record->value;
  return piece;
}

Result<std::string> fetch_piece(log::Engine& engine, const log::StreamRef& stream,
                                std::size_t number) {
  WALRUS_ASSIGN(auto fetched, engine.fetch(stream, Offset{static_cast<std::int64_t>(number)},
                                           {.bytes_max = 1, .up_to = UpTo::kAppended}));
  if (fetched.bytes.empty()) return fail(Code::kCorrupt, "a snapshot ends before its end");
  return std::move(fetched.bytes);
}

}  // namespace

void wait_for(std::vector<log::Pending>& places, const log::Pending& pending) {
  if (pending.shard == nullptr) return;
  auto same = std::ranges::find_if(places, [&](const log::Pending& place) {
    return place.shard == pending.shard && place.bulk == pending.bulk;
  });
  if (same == places.end()) places.push_back(pending);
  else if (pending.lsn > same->lsn) *same = pending;
}

// ---- Writing ----

Result<SnapshotPieces> SnapshotPieces::create(log::Engine& engine, std::string name,
                                              const SnapshotOrigin& origin) {
  SnapshotPieces pieces(engine);
  WALRUS_ASSIGN(auto created,
                engine.create(name, {}, log::Engine::Names::kOwn, encode_origin(origin)));
  pieces.stream_ = std::move(created.stream);
  pieces.named_ = created.pending;
  wait_for(pieces.pending_, created.pending);
  return pieces;
}

Result<SnapshotPieces> SnapshotPieces::open(log::Engine& engine, log::StreamRef stream) {
  SnapshotPieces pieces(engine);
  pieces.stream_ = std::move(stream);
  WALRUS_ASSIGN(auto bounds, engine.bounds(pieces.stream_));
  if (bounds.log_end.value == 0) return pieces;
  // The last piece tells what all of them add up to.
  auto last = static_cast<std::size_t>(bounds.log_end.value) - 1;
  WALRUS_ASSIGN(auto bytes, fetch_piece(engine, pieces.stream_, last));
  WALRUS_ASSIGN(auto piece, parse_piece(bytes));
  pieces.size_ = piece.key.position + piece.bytes.size();
  pieces.crc_ = piece.key.crc;
  pieces.starts_known_ = false;
  return pieces;
}

Result<void> SnapshotPieces::append(Bytes bytes) {
  auto crc = crc32c(bytes, crc_);
  std::string key;
  append_piece_key(key, {.position = size_, .crc = crc});
  Record record{.key = Bytes(key), .value = bytes};
  bool bulk = size_ >= static_cast<std::uint64_t>(engine_->options().bulk_sync_bytes);
  WALRUS_ASSIGN(auto appended, bulk ? engine_->append_bulk(stream_, std::span(&record, 1))
                                    : engine_->append(stream_, std::span(&record, 1), {}));
  wait_for(pending_, appended.pending);
  if (starts_known_) starts_.push_back(size_);
  size_ += bytes.size();
  crc_ = crc;
  return {};
}

Result<void> SnapshotBuilder::write(Bytes bytes) {
  while (!bytes.empty()) {
    auto room = static_cast<std::size_t>(piece_bytes_) - buffer_.size();
    auto part = bytes.substr(0, room);
    if (buffer_.empty() && part.size() == piece_bytes_) {
      WALRUS_TRY(put(part));
    } else {
      buffer_.append(part);
      if (buffer_.size() == piece_bytes_) {
        WALRUS_TRY(put(buffer_));
        buffer_.clear();
      }
    }
    bytes.remove_prefix(part.size());
  }
  return {};
}

Result<void> SnapshotBuilder::finish() {
  if (!buffer_.empty()) WALRUS_TRY(put(buffer_));
  buffer_.clear();
  return {};
}

// An error of the sink stays, so that it is told from the view's own.
Result<void> SnapshotBuilder::put(Bytes bytes) {
  if (error_) return std::unexpected(*error_);
  auto done = append(bytes);
  if (!done) error_ = done.error();
  return done;
}

Result<void> SnapshotBuilder::append(Bytes bytes) {
  constexpr auto kRoomWait = std::chrono::milliseconds(200);
  if (!pieces_) {
    WALRUS_ASSIGN(auto created, SnapshotPieces::create(engine_, name_, {}));
    pieces_ = std::move(created);
  }
  while (true) {
    if (stopped_) return fail(Code::kClosed, "the node has stopped");
    auto done = pieces_->append(bytes);
    if (done || done.error().code != Code::kBusy) return done;
    // Shared with the callback, which may come later.
    auto room = std::make_shared<::walrus::Event>();
    engine_.when_room(pieces_->stream(), [room](Result<void>) { room->set(); });
    (void)engine_.env().wait(*room, kRoomWait);
  }
}

void SnapshotBuilder::stop() { stopped_ = true; }

SnapshotRef SnapshotBuilder::stored(SnapshotMeta meta, std::uint64_t number) {
  CHECK(buffer_.empty() && !error_);
  auto stored = std::make_shared<StoredSnapshot>();
  meta.size = size();
  meta.id = snapshot_id(meta, pieces_ ? pieces_->crc() : 0);
  stored->meta = std::move(meta);
  if (pieces_) {
    stored->number = number;
    stored->stream = pieces_->stream();
    stored->starts = pieces_->take_starts();
  }
  return stored;
}

// ---- Reading ----

Result<void> SnapshotReader::next_piece() {
  if (!snapshot_->stream)
    return fail(Code::kCorrupt, "the snapshot at {} has no bytes", snapshot_->meta.last.index);
  WALRUS_ASSIGN(fetched_, fetch_piece(engine_, snapshot_->stream, starts_.size()));
  WALRUS_ASSIGN(auto piece, parse_piece(fetched_));
  crc_ = crc32c(piece.bytes, crc_);
  bool follows = piece.key.position == position_ && piece.key.crc == crc_ && !piece.bytes.empty() &&
                 piece.bytes.size() <= snapshot_->meta.size - position_;
  if (!follows)
    return fail(Code::kCorrupt, "the snapshot at {} is damaged at byte {}",
                snapshot_->meta.last.index, position_);
  starts_.push_back(position_);
  position_ += piece.bytes.size();
  piece_ = piece.bytes;
  return {};
}

Result<std::size_t> SnapshotReader::read(std::span<char> to) {
  if (piece_.empty()) {
    if (to.empty() || position_ == snapshot_->meta.size) return std::size_t{0};
    WALRUS_TRY(next_piece());
  }
  auto size = piece_.copy(to.data(), to.size());
  piece_.remove_prefix(size);
  return size;
}

Result<std::vector<std::uint64_t>> SnapshotReader::finish() {
  while (position_ < snapshot_->meta.size) WALRUS_TRY(next_piece());
  if (snapshot_id(snapshot_->meta, crc_) != snapshot_->meta.id)
    return fail(Code::kCorrupt, "the snapshot at {} is not what its id names",
                snapshot_->meta.last.index);
  return std::move(starts_);
}

Result<Payload> read_range(log::Engine& engine, const StoredSnapshot& snapshot,
                           std::uint64_t position, std::uint64_t size) {
  const auto& starts = snapshot.starts;
  if (starts.empty() || size > snapshot.meta.size || position > snapshot.meta.size - size)
    return fail(Code::kOutOfRange, "no {} bytes at {} of a snapshot", size, position);
  auto number =
      static_cast<std::size_t>(std::ranges::upper_bound(starts, position) - starts.begin()) - 1;
  auto joined = std::make_shared<std::string>();
  while (true) {
    WALRUS_ASSIGN(auto bytes, fetch_piece(engine, snapshot.stream, number));
    auto owner = std::make_shared<const std::string>(std::move(bytes));
    WALRUS_ASSIGN(auto piece, parse_piece(*owner));
    auto from = position + joined->size() - starts[number];
    if (piece.key.position != starts[number] || from >= piece.bytes.size())
      return fail(Code::kCorrupt, "a snapshot has no byte {}", position + joined->size());
    auto part = piece.bytes.substr(static_cast<std::size_t>(from), size - joined->size());
    if (part.size() == size) return Payload(part, std::move(owner));
    joined->append(part);
    if (joined->size() == size) break;
    ++number;
  }
  Bytes view = *joined;
  return Payload(view, std::move(joined));
}

}  // namespace walrus::raft
