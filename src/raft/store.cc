#include "raft/store.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "record/batch.h"

namespace walrus::raft {
namespace {

constexpr std::int64_t kLogSegmentBytes = 64 << 20;  // what is trimmed goes in such pieces
constexpr std::uint64_t kBatchBytes = 1 << 20;       // of entries in one record batch
constexpr std::size_t kBatchEntries = 1024;
constexpr std::int64_t kFetchBytes = 1 << 20;
constexpr std::int64_t kPieceOverhead = 1 << 10;  // of a record batch with one piece

enum Step : std::size_t {
  kHardState,
  kPieces,
  kInstall,
  kBase,
  kEntries,
  kSave,
  kTrim,
  kRemove,
  kDone,
};

Error of_group(GroupId group, const Error& error) {
  return {error.code, fmt::format("raft group {:016x}: {}", group.value, error.message)};
}

// Removed already is as good.
Result<log::Pending> remove_stream(log::Engine& engine, const std::string& name) {
  auto removed = engine.remove(name);
  if (!removed && removed.error().code == Code::kNotFound) return log::Pending{};
  return removed;
}

}  // namespace

// ---- Opening ----

Result<Store::Made> Store::make(log::Engine& engine, const StoredGroup& group) {
  auto name = log_stream_name(group.group);
  auto found = engine.find(name);
  if (found) return Made{*std::move(found), {}};
  if (found.error().code != Code::kNotFound) return std::unexpected(found.error());
  StreamOptions options{.segment_bytes_max = kLogSegmentBytes};
  WALRUS_ASSIGN(auto created,
                engine.create(name, options, log::Engine::Names::kOwn, encode_group(group)));
  return Made{std::move(created.stream), created.pending};
}

Result<Store::Loaded> Store::load(log::Engine& engine, const StoredGroup& expected,
                                  const log::StreamRef& stream) {
  Loaded loaded{.store = std::make_shared<Store>(engine, expected.group, stream)};
  auto& store = *loaded.store;
  auto done = [&]() -> Result<void> {
    WALRUS_ASSIGN(auto group, parse_group(engine.attributes(stream)));
    if (group.group != expected.group) return fail(Code::kCorrupt, "it is of another group");
    loaded.durable.snapshot.membership = std::move(group.founders);
    StoredInstall install;
    WALRUS_TRY(store.load_state(loaded.durable, install));
    WALRUS_TRY(store.load_log(loaded.durable));
    return store.load_snapshots(loaded.durable, install, loaded.snapshot);
  }();
  if (!done) return std::unexpected(of_group(expected.group, done.error()));
  return loaded;
}

Result<void> Store::load_state(Durable& durable, StoredInstall& install) {
  auto state = engine_.list_state(log_, log::Table::kRaft);
  if (auto found = state.find(std::string(kHardStateKey)); found != state.end()) {
    WALRUS_ASSIGN(durable.hard_state, wire::peer::parse_hard_state(found->second));
  }
  if (auto found = state.find(std::string(kSnapshotKey)); found != state.end()) {
    WALRUS_ASSIGN(install, parse_install(found->second));
    durable.snapshot = install.meta;
  }
  if (auto found = state.find(std::string(kBaseKey)); found != state.end()) {
    WALRUS_ASSIGN(base_, parse_base(found->second));
  }
  durable.base = base_.base;
  snapshot_index_ = durable.snapshot.last.index;
  return {};
}

Result<void> Store::load_log(Durable& durable) {
  WALRUS_ASSIGN(auto bounds, engine_.bounds(log_));
  if (bounds.log_start.value > base_.offset || bounds.log_end.value < base_.offset)
    return fail(Code::kCorrupt, "its log is at {}..{} and begins at {}", bounds.log_start.value,
                bounds.log_end.value, base_.offset);
  last_index_ = base_.base.index;
  next_offset_ = base_.offset;
  while (next_offset_ < bounds.log_end.value) {
    WALRUS_ASSIGN(auto fetched,
                  engine_.fetch(log_, Offset{next_offset_},
                                {.bytes_max = kFetchBytes, .up_to = UpTo::kAppended}));
    auto owner = std::make_shared<const std::string>(std::move(fetched.bytes));
    if (owner->empty()) return fail(Code::kCorrupt, "its log has nothing at {}", next_offset_);
    for (Bytes rest = *owner; !rest.empty();) {
      WALRUS_ASSIGN(auto batch, record::BatchView::parse(rest));
      WALRUS_TRY(take_batch(batch.bytes(), owner, durable));
      rest.remove_prefix(batch.bytes().size());
    }
  }
  return {};
}

// A record of an index that is there replaces it and all behind it.
Result<void> Store::take_batch(Bytes bytes, const std::shared_ptr<const void>& owner,
                               Durable& durable) {
  record::BatchView batch(bytes);
  WALRUS_ASSIGN(auto records, record::RecordIterator::open(batch));
  while (true) {
    WALRUS_ASSIGN(auto record, records.next());
    if (!record) return {};
    if (record->offset < base_.offset) continue;
    if (!record->key || !record->value)
      return fail(Code::kCorrupt, "record {} of its log is no entry", record->offset);
    WALRUS_ASSIGN(auto key, parse_entry_key(*record->key));
    auto index = key.at.index;
    if (index <= base_.base.index || index > last_index_ + 1)
      return fail(Code::kCorrupt, "entry {} behind entry {}", index, last_index_);
    durable.entries.resize(static_cast<std::size_t>(index - base_.base.index - 1));
    auto payload = record->value->empty() ? Payload() : Payload(*record->value, owner);
    durable.entries.push_back({key.kind, key.at.term, std::move(payload)});
    placed(index, record->offset, 1);
  }
}

// The one that is the node's, and of those that were on their way the newest.
Result<void> Store::load_snapshots(Durable& durable, const StoredInstall& install,
                                   SnapshotRef& snapshot) {
  std::optional<std::uint64_t> unfinished;
  std::uint64_t last = install.number;
  auto prefix = log_stream_name(group_) + "/";
  for (const auto& stream : engine_.list(prefix)) {
    auto name = parse_stream_name(log::stream_name(stream));
    if (!name || !name->snapshot) return fail(Code::kCorrupt, "a stream of no known name");
    auto number = *name->snapshot;
    last = std::max(last, number);
    if (number == install.number) {
      snapshot = std::make_shared<const StoredSnapshot>(install.meta, number, stream);
      continue;
    }
    WALRUS_ASSIGN(auto origin, parse_origin(engine_.attributes(stream)));
    bool wanted =
        origin && origin->last.index > snapshot_index_ && (!unfinished || number > *unfinished);
    if (wanted) {
      if (unfinished) WALRUS_TRY(remove_stream(engine_, snapshot_stream_name(group_, *unfinished)));
      unfinished = number;
      incoming_meta_ = *std::move(origin);
    } else {
      WALRUS_TRY(remove_stream(engine_, log::stream_name(stream)));
    }
  }
  last_number_ = last;
  if (!snapshot && install.meta.size > 0)
    return fail(Code::kCorrupt, "its snapshot at {} is not there", install.meta.last.index);
  if (!unfinished) return {};
  incoming_number_ = *unfinished;
  WALRUS_ASSIGN(auto stream, engine_.find(snapshot_stream_name(group_, *unfinished)));
  WALRUS_ASSIGN(incoming_, SnapshotPieces::open(engine_, std::move(stream)));
  if (incoming_->size() > incoming_meta_.size)
    return fail(Code::kCorrupt, "more of a snapshot than there is");
  if (incoming_->size() == 0) return {};
  if (incoming_->size() == incoming_meta_.size && !is_what_arrived(incoming_meta_)) {
    WALRUS_TRY(remove_stream(engine_, snapshot_stream_name(group_, *unfinished)));
    incoming_.reset();
    return {};
  }
  durable.unfinished = Durable::Unfinished{incoming_meta_, incoming_->size()};
  return {};
}

// Same id, same bytes: pieces of several senders have to be of one snapshot.
bool Store::is_what_arrived(const SnapshotMeta& meta) const {
  return snapshot_id(meta, incoming_ ? incoming_->crc() : 0) == meta.id;
}

Result<std::vector<log::Pending>> Store::remove(log::Engine& engine, GroupId group) {
  std::vector<log::Pending> pending;
  auto name = log_stream_name(group);
  // The log first: what is left behind by a crash is nobody's then.
  WALRUS_ASSIGN(auto removed, engine.remove(name));
  wait_for(pending, removed);
  for (const auto& stream : engine.list(name + "/")) {
    WALRUS_ASSIGN(removed, remove_stream(engine, log::stream_name(stream)));
    wait_for(pending, removed);
  }
  return pending;
}

// ---- Writing ----

Result<bool> Store::advance(StoreJob& job) {
  while (job.step != kDone) {
    auto done = step(job);
    if (done && *done) continue;
    if (!done) {
      auto code = done.error().code;
      if (code != Code::kBusy && code != Code::kNoSpace)
        return std::unexpected(of_group(group_, done.error()));
      bool pieces = job.step == kPieces && incoming_;
      blocked_ = {.room = pieces ? incoming_->stream() : log_, .error = done.error()};
    }
    if (cancelled_) return fail(Code::kClosed, "the node has stopped");
    return false;
  }
  return true;
}

// One piece of work; true if more of the job can be done at once.
Result<bool> Store::step(StoreJob& job) {
  auto& writes = job.writes;
  auto next = [&] {
    ++job.step;
    job.done_of_step = 0;
    return true;
  };
  switch (static_cast<Step>(job.step)) {
    case kHardState: {
      if (!writes.hard_state) return next();
      std::string value;
      wire::peer::append_hard_state(value, *writes.hard_state);
      WALRUS_ASSIGN(auto put, engine_.put_state(log_, log::Table::kRaft, kHardStateKey, value));
      wait_for(job.pending, put);
      return next();
    }
    case kPieces:
      if (job.done_of_step == writes.pieces.size()) return next();
      return put_piece(job);
    case kInstall: {
      if (!writes.install) return next();
      WALRUS_ASSIGN(bool done, install(job));
      return done ? next() : false;
    }
    case kBase: {
      if (writes.base) WALRUS_TRY(put_base(job));
      return next();
    }
    case kEntries:
      if (job.done_of_step == writes.entries.size()) return next();
      return put_entries(job);
    case kSave:
      if (job.save) WALRUS_TRY(save(job));
      return next();
    case kTrim:
      if (job.trim) WALRUS_TRY(trim(job));
      return next();
    case kRemove:
      if (job.done_of_step == job.removed.size()) return next();
      return remove_snapshot(job);
    case kDone: break;
  }
  return false;
}

Result<bool> Store::put_piece(StoreJob& job) {
  const auto& piece = job.writes.pieces[job.done_of_step];
  bool begins = piece.position == 0 && job.done_of_piece == 0 &&
                (!incoming_ || incoming_->size() > 0 || incoming_meta_ != piece.meta);
  if (begins) WALRUS_TRY(begin_pieces(job, piece.meta));
  CHECK(incoming_ && incoming_meta_ == piece.meta &&
        incoming_->size() == piece.position + job.done_of_piece);
  // Its sender may have larger batches than this node.
  auto limit = std::max<std::int64_t>(1, engine_.options().user.batch_bytes_max - kPieceOverhead);
  auto part = piece.bytes.bytes().substr(job.done_of_piece, static_cast<std::size_t>(limit));
  WALRUS_TRY(incoming_->append(part));
  job.done_of_piece += part.size();
  if (job.done_of_piece < piece.bytes.size()) return true;
  job.done_of_piece = 0;
  ++job.done_of_step;
  return true;
}

Result<bool> Store::begin_pieces(StoreJob& job, const SnapshotMeta& meta) {
  WALRUS_TRY(drop_incoming(job));
  auto number = new_number();
  WALRUS_ASSIGN(incoming_,
                SnapshotPieces::create(engine_, snapshot_stream_name(group_, number), meta));
  wait_for(job.pending, incoming_->named());  // a Store that is loaded next has to find it
  incoming_number_ = number;
  incoming_meta_ = meta;
  return true;
}

Result<bool> Store::drop_incoming(StoreJob& job) {
  if (!incoming_) return true;
  WALRUS_ASSIGN(auto removed,
                remove_stream(engine_, snapshot_stream_name(group_, incoming_number_)));
  wait_for(job.pending, removed);
  incoming_.reset();
  return true;
}

// Nothing says that it is whole before it is: its pieces lie in another journal, perhaps, or in
// none.
bool Store::pieces_are_durable() {
  for (const auto& place : incoming_->pending()) {
    if (engine_.is_done(place)) continue;
    blocked_ = {.pending = place, .error = {Code::kBusy, "pieces of a snapshot are written"}};
    return false;
  }
  return true;
}

Result<bool> Store::install(StoreJob& job) {
  const auto& meta = *job.writes.install;
  auto stored = std::make_shared<StoredSnapshot>(meta);
  if (meta.size == 0) {
    WALRUS_TRY(drop_incoming(job));
  } else {
    CHECK(incoming_ && incoming_meta_ == meta && incoming_->size() == meta.size);
    if (!pieces_are_durable()) return false;
  }
  if (!is_what_arrived(meta)) {
    WALRUS_TRY(drop_incoming(job));
    return fail(Code::kCorrupt, "the snapshot at {} that arrived is not what its id names",
                meta.last.index);
  }
  if (meta.size > 0) {
    stored->number = incoming_number_;
    stored->stream = incoming_->stream();
  }
  StoredInstall value{stored->number, meta};
  WALRUS_ASSIGN(auto put,
                engine_.put_state(log_, log::Table::kRaft, kSnapshotKey, encode_install(value)));
  wait_for(job.pending, put);
  if (incoming_) stored->starts = incoming_->take_starts();
  incoming_.reset();
  snapshot_index_ = meta.last.index;
  job.installed = std::move(stored);
  return true;
}

// Not if a leader's newer one came in between.
Result<bool> Store::save(StoreJob& job) {
  const auto& snapshot = *job.save;
  if (snapshot.meta.last.index <= snapshot_index_) return true;
  StoredInstall value{snapshot.number, snapshot.meta};
  WALRUS_ASSIGN(auto put,
                engine_.put_state(log_, log::Table::kRaft, kSnapshotKey, encode_install(value)));
  wait_for(job.pending, put);
  snapshot_index_ = snapshot.meta.last.index;
  return true;
}

Result<bool> Store::put_base(StoreJob& job) {
  const auto& base = *job.writes.base;
  CHECK(base.base.index >= base_.base.index);
  bool keeps = base.keep && base.base.index < last_index_;
  StoredBase value{base.base, keeps ? offset_of(base.base.index + 1) : next_offset_};
  WALRUS_ASSIGN(auto put, engine_.put_state(log_, log::Table::kRaft, kBaseKey, encode_base(value)));
  wait_for(job.pending, put);
  base_ = value;
  job.may_trim = value.offset;
  if (!keeps) {
    runs_.clear();
    last_index_ = base.base.index;
  }
  while (runs_.size() > 1 && runs_[1].first <= base.base.index + 1) runs_.pop_front();
  return true;
}

Result<bool> Store::put_entries(StoreJob& job) {
  const auto& entries = job.writes.entries;
  auto from = job.done_of_step, to = from;
  auto first = job.writes.first + from;
  CHECK(first > base_.base.index && first <= last_index_ + 1);
  scratch_.clear();
  std::vector<std::size_t> ends;
  for (std::uint64_t bytes = 0; to < entries.size() && to - from < kBatchEntries; ++to) {
    bytes += entries[to].payload.size();
    if (to > from && bytes > kBatchBytes) break;
    append_entry_key(scratch_, {entries[to].kind, {entries[to].term, job.writes.first + to}});
    ends.push_back(scratch_.size());
  }
  std::vector<Record> records(to - from);
  for (std::size_t i = 0, begin = 0; i < records.size(); begin = ends[i++]) {
    records[i].key = Bytes(scratch_).substr(begin, ends[i] - begin);
    records[i].value = entries[from + i].payload.bytes();
  }
  WALRUS_ASSIGN(auto appended, engine_.append(log_, records, {}));
  wait_for(job.pending, appended.pending);
  placed(first, appended.first.value, records.size());
  job.done_of_step = to;
  return true;
}

Result<bool> Store::trim(StoreJob& job) {
  WALRUS_ASSIGN(auto trimmed, engine_.trim(log_, Offset{*job.trim}));
  wait_for(job.pending, trimmed);
  return true;
}

Result<bool> Store::remove_snapshot(StoreJob& job) {
  const auto& snapshot = *job.removed[job.done_of_step];
  if (snapshot.number != 0) {
    WALRUS_ASSIGN(auto removed,
                  remove_stream(engine_, snapshot_stream_name(group_, snapshot.number)));
    wait_for(job.pending, removed);
  }
  ++job.done_of_step;
  return true;
}

// ---- Where entries lie ----

void Store::placed(Index first, std::int64_t offset, std::size_t count) {
  while (!runs_.empty() && runs_.back().first >= first) runs_.pop_back();
  bool follows =
      !runs_.empty() && first == last_index_ + 1 &&
      runs_.back().offset + static_cast<std::int64_t>(first - runs_.back().first) == offset;
  if (!follows) runs_.push_back({first, offset});
  last_index_ = first + count - 1;
  next_offset_ = offset + static_cast<std::int64_t>(count);
}

std::int64_t Store::offset_of(Index index) const {
  CHECK(!runs_.empty() && index <= last_index_);
  auto run = runs_.rbegin();
  while (run->first > index && std::next(run) != runs_.rend()) ++run;
  CHECK(run->first <= index);
  return run->offset + static_cast<std::int64_t>(index - run->first);
}

}  // namespace walrus::raft
