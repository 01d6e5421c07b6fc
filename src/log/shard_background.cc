// The background of a shard: checkpoints, retention, spare journal files. What is rewritten:
// shard_rewrite.cc.

#include <algorithm>

#include "base/check.h"
#include "log/shard.h"

namespace walrus::log {

namespace {

constexpr io::Nanos kRetry = std::chrono::milliseconds(500);
// Written between pauses. Whoever waits for a sync waits for it too, so it is little where there is
// time; docs/adr/0007.
constexpr std::int64_t kCopyPieceBytes = 8 << 20, kPacedCopyBytes = 2 << 20;
constexpr std::size_t kPieceStreams = 16'384;
constexpr std::int64_t kUnsyncedBytes = 64 << 20;  // of segment files, before they are synced
constexpr std::int64_t kClockRate = 10;            // trusted time gains on the wall clock's jumps
// Trusted time may gain tenfold: a producer is remembered for a day at least, as Kafka does.
constexpr std::int64_t kProducerIdleMs = kClockRate * 24 * 3600 * 1000;
constexpr Bytes kClockKey = "clock";

constexpr io::Nanos kStaleFor = std::chrono::seconds(1);  // files wait no longer to be unlinked

}  // namespace

std::int64_t total_bytes(std::span<const Extent> extents) {
  std::int64_t bytes = 0;
  for (const auto& extent : extents) bytes += extent.bytes;
  return bytes;
}

// ---------------------------------------------------------------------------------------------
// Workers

// By name and not by address: a name is what a manifest holds and what is unlinked.
const std::string& file_name(const FileRef& file) { return file->name; }

void sort_by_name(std::vector<FileRef>& files) {
  std::ranges::sort(files, {}, &file_name);
  auto repeated = std::ranges::unique(files, {}, &file_name);
  files.erase(repeated.begin(), repeated.end());
}

ChainRef chain_from(const ChainRef& chain, std::int64_t log_start) {
  if (!chain || chain->empty() || chain->front().end_offset > log_start) return chain;
  auto first = std::ranges::upper_bound(*chain, log_start, {}, &Extent::end_offset);
  if (first == chain->end()) return nullptr;
  return std::make_shared<const Chain>(first, chain->end());
}

// Another shard may name a pack file of ours, from a time when there were fewer or more shards.
bool Shard::names_file(const std::string& name) {
  LockGuard guard(lock_);
  return std::ranges::binary_search(named_, name, {}, &file_name);
}

void Shard::start_workers() {
  auto name = [&](const char* what) { return fmt::format("walrus-{}{}", what, options_.index); };
  trusted_at_ = last_checkpoint_ = env_.mono();
  next_maintenance_ = env_.mono() + options_.engine.maintenance_interval;
  {
    LockGuard guard(lock_);
    trusted_now_ms();
  }
  flusher_ = env_.start_worker(name("sync"), [this] { return flusher_step(); });
  flusher_->hurry();
  background_ = env_.start_worker(name("store"), [this] { return background_step(); });
  allocator_ = env_.start_worker(name("file"), [this] { return allocator_step(); });
}

void Shard::stop_workers() {
  flusher_ = nullptr;
  background_ = nullptr;
  allocator_ = nullptr;
  if (plan_) journal_.discard(*plan_);
}

Shard::~Shard() { stop_workers(); }

// Without it an append waits for each page from the disk. So no other work of the allocator is in
// its way for long. False: nothing is due.
bool Shard::populate() {
  Journal::PopulatePlan plan;
  {
    LockGuard guard(lock_);
    populating_ = false;
    if (failed_ || closed_ || !journal_.plan_populate(plan)) return false;
  }
  plan.file->file->populate(plan.from, plan.to);
  return true;
}

// There is some, or there is none to wait for: whoever waits tries again, and is told.
void Shard::offer_room(Ready& ready) {
  for (auto& done : room_waiters_) ready.add(std::move(done), {});
  room_waiters_.clear();
}

// A piece of a journal file, and a pause as long as the log leaves time for it: a sync waits behind
// what is written beside it.
io::Nanos Shard::prepare_file() {
  {
    LockGuard guard(lock_);
    auto pause = next_piece_ - env_.mono();
    bool hurries = !room_waiters_.empty() || !journal_.keeps_up(*plan_);
    if (pause > io::Nanos(0) && !hurries) return pause;
  }
  auto before = plan_->zeros;
  auto ready = journal_.prepare_some(*plan_);
  if (ready && !*ready) {
    next_piece_ = env_.mono() + share_of(plan_->zeros - before);
    return io::Nanos(0);
  }
  Ready done;
  {
    LockGuard guard(lock_);
    if (ready) {
      if (plan_->recycles) ++recycled_;
      journal_.add_spare(std::move(plan_->file));
      bool cleared = background_error_ && (background_error_->code == Code::kNoSpace ||
                                           background_error_->code == Code::kBusy);
      if (cleared) background_error_ = std::nullopt;
    } else {
      journal_.plan_failed(*plan_);
      if (ready.error().code != Code::kNoSpace && ready.error().code != Code::kBusy) {
        fail_locked(ready.error(), done);
      } else {
        background_error_ = ready.error();
      }
    }
    if (!ready || journal_.spares() >= 2) offer_room(done);
    plan_.reset();
  }
  done.run();
  return ready ? io::Nanos(0) : kRetry;
}

io::Nanos Shard::allocator_step() {
  bool populated = populate();
  if (plan_) return prepare_file();
  if (populated) return io::Nanos(0);
  {
    LockGuard guard(lock_);
    if (failed_ || closed_ || !journal_.wants_plan()) return kRetry;
  }
  auto free = env_.disk().free_bytes(directory_);
  LockGuard guard(lock_);
  // What is in the journal has to find room in segment files before its own is free: journals that
  // took the whole disk could never give it back. So they get half of it.
  if (free) journal_.limit((*free / options_.count + journal_.total_bytes()) / 2);
  Journal::FilePlan plan;
  if (!journal_.plan_file(plan)) {
    return journal_.spares() < 2 ? kRetry / 50 : kRetry;
  }
  plan_ = std::move(plan);
  return io::Nanos(0);
}

// Bulk and everything else in turn.
io::Nanos Shard::background_step() {
  if (!uncached_.empty()) return read_uncached();
  if (!after_bulk_ && bulk_step()) {
    after_bulk_ = true;
    return io::Nanos(0);
  }
  bool more = std::exchange(after_bulk_, false);
  auto next = one_step();
  return more ? io::Nanos(0) : next;
}

// Bulk wakes this worker again and again; that ends no pause.
bool Shard::paused() {
  if (paused_until_ <= env_.mono()) return false;
  {
    LockGuard guard(lock_);
    if (bulks_.empty()) return false;
  }
  return leisure() > 0;
}

io::Nanos Shard::one_step() {
  if (paused()) return paused_until_ - env_.mono();
  if (checkpoint_) {
    switch (checkpoint_->phase) {
      case Checkpoint::Phase::kSyncing: return checkpoint_begin();
      case Checkpoint::Phase::kWriting: return checkpoint_write();
      case Checkpoint::Phase::kSyncingFiles: return checkpoint_sync();
      case Checkpoint::Phase::kManifest: return checkpoint_manifest();
      case Checkpoint::Phase::kApply: {
        Ready ready;
        {
          LockGuard guard(lock_);
          checkpoint_apply(ready);
        }
        ready.run();
        keep_reserve();
        return io::Nanos(0);
      }
    }
  }
  auto now = env_.mono();
  // Comes before the next checkpoint: where one follows the other, or each fails for want of room,
  // there is no other time for it, and it is what makes room.
  bool retains = now >= next_maintenance_;
  std::vector<FileRef> doomed;
  bool release = false;
  {
    LockGuard guard(lock_);
    if (failed_ || closed_) return io::Worker::kForever;
    doomed.swap(doomed_);
    bool ready = doomed.empty() && now >= retry_at_;
    release = ready && out_of_space_ && manifest_stale_;
    if (ready && !release && !retains && checkpoint_due(now)) {
      begin_checkpoint();
      return io::Nanos(0);
    }
  }
  if (release) return begin_release();
  if (!doomed.empty()) {
    if (options_.names_file) {
      std::erase_if(doomed, [&](const FileRef& file) {
        return file->stream == 0 && options_.names_file(file->name);
      });
    }
    (void)store_.remove(doomed);  // what is left is cleaned up at the next start
    retry_at_ = io::Nanos(0);     // there may be room now
    return io::Nanos(0);
  }
  store_.close_unreadable();
  if (retains) return retain_all(now);
  return rewriting_ ? rewrite_step() : maintain();
}

// What recovery copied: a checkpoint reads it record by record, in the order of streams. That it is
// not in the page cache costs time and nothing else, so errors are left to who needs the bytes.
io::Nanos Shard::read_uncached() {
  constexpr std::int64_t kBytes = 1 << 20;
  auto& last = uncached_.back();  // the order does not matter
  std::string piece(static_cast<std::size_t>(std::min(kBytes, last.bytes)), '\0');
  last.bytes -= std::ssize(piece);
  auto read = last.file->file->read(last.bytes, piece);
  if (!read || last.bytes == 0) uncached_.pop_back();
  return io::Nanos(0);
}

// ---------------------------------------------------------------------------------------------
// Checkpoint

bool Shard::checkpoint_due(io::Nanos now) const {
  if (!checkpoint_waiters_next_.empty() || bulk_wants_checkpoint()) return true;
  auto pending = journal_.end() - checkpointed_;
  auto age = now - last_checkpoint_;
  bool aged = age >= options_.engine.checkpoint_interval;
  if (manifest_stale_ && (aged || age >= kStaleFor)) return true;
  if (pending == 0) return false;
  bool pressed = journal_.spares() < 2 && journal_.used_bytes() * 2 > journal_.bytes_max();
  return pressed || static_cast<std::int64_t>(pending) >= options_.engine.checkpoint_bytes || aged;
}

// What lies before its start comes out of the page cache and is in segment files by the time the
// manifest says so: nobody has to sync it in the journal too. Unless it is in memory only, or waits
// for a sync to be readable: what segment files hold is.
void Shard::begin_checkpoint() {
  checkpoint_ = std::make_unique<Checkpoint>();
  auto& checkpoint = *checkpoint_;
  journal_.close_group();
  checkpoint.start = journal_.next_start();
  bool readable = options_.engine.mapped && touched_.empty();  // once the job that is out is done
  if (!readable) checkpoint.needs_synced = checkpoint.start.lsn;
  checkpoint.was_stale = std::exchange(manifest_stale_, false);
  checkpoint.holds_bulk = capture_bulk();
  checkpoint.waiters.swap(checkpoint_waiters_next_);
  tables_[key_of(kCatalogStream, Table::kClean, kClockKey)] = std::to_string(trusted_now_ms());
  auto& manifest = checkpoint.manifest;
  manifest.generation = generation_ + 1;
  manifest.directory_uuid = options_.directory_uuid;
  manifest.layout = options_.layout;
  manifest.shard = options_.index;
  manifest.shards = options_.count;
  manifest.journal_sequence = pack_start(checkpoint.start);
  manifest.journal_lsn = checkpoint.start.lsn;
  manifest.tables = tables_;
  std::vector<StreamRef> streams;
  streams.reserve(streams_.size());
  for (const auto& [id, stream] : streams_) streams.push_back(stream);
  std::ranges::sort(streams, {}, &StreamState::id);
  manifest.streams.reserve(streams.size());
  for (auto& stream : streams) {
    manifest.streams.push_back(snapshot_of(*stream));
    if (stream->pending.empty()) continue;
    Checkpoint::Captured captured{stream, manifest.streams.size() - 1, stream->truncations, {}, 0,
                                  0};
    captured.chunks.reserve(stream->pending.size());
    for (const auto& chunk : stream->pending) captured.chunks.emplace_back(chunk, chunk->count);
    if (stream->chain && !stream->chain->empty()) {
      checkpoint.marks.push_back(store_.mark(stream->chain->back().file));
    }
    checkpoint.streams.push_back(std::move(captured));
  }
}

io::Nanos Shard::checkpoint_begin() {
  LockGuard guard(lock_);
  if (failed_) return io::Worker::kForever;
  auto& checkpoint = *checkpoint_;
  if (job_out_ || journal_.synced() < checkpoint.needs_synced) {
    auto needed = std::max(checkpoint.needs_synced, job_out_ ? job_end_ : Lsn{0});
    sync_waiters_.push_back({needed,
                             [this](Result<void>) {
                               if (background_) background_->wake();
                             },
                             {}});
    request({this, needed, true});
    return io::Worker::kForever;
  }
  checkpoint.phase =
      checkpoint.releases_only ? Checkpoint::Phase::kManifest : Checkpoint::Phase::kWriting;
  if (checkpoint.start.left || !options_.engine.mapped) return io::Nanos(0);
  if (auto header = journal_.begin_header_sync(checkpoint.start.sequence)) {
    job_out_ = true;
    job_end_ = header->end;
    job_waits_ = 0;
    job_begun_ = env_.mono();
    if (!run_job(guard, *header)) return io::Worker::kForever;
  }
  return io::Nanos(0);
}

// A checkpoint needs room that a full disk has not; the files of what was trimmed or dropped are in
// the way. Replaying the journal over this manifest does to its shorter chains what it did to the
// whole ones, since it ends at the same log starts.
io::Nanos Shard::begin_release() {
  auto last = load_manifest(env_, directory_, options_.layout);
  LockGuard guard(lock_);
  bool usable = last && *last && (*last)->generation == generation_;
  if (!usable) {
    retry_at_ = env_.mono() + kRetry;
    return kRetry;
  }
  checkpoint_ = std::make_unique<Checkpoint>();
  checkpoint_->releases_only = true;
  checkpoint_->needs_synced = journal_.end();
  checkpoint_->was_stale = std::exchange(manifest_stale_, false);
  auto& manifest = checkpoint_->manifest;
  manifest = *std::move(*last);
  ++manifest.generation;
  for (auto& snapshot : manifest.streams) {
    auto live = streams_.find(snapshot.id);
    auto start = live == streams_.end() ? snapshot.next_offset : live->second->log_start;
    snapshot.log_start = std::clamp(start, snapshot.log_start, snapshot.next_offset);
    snapshot.chain = chain_from(snapshot.chain, snapshot.log_start);
  }
  return io::Nanos(0);
}

// Room that only a manifest, and what recovery copies, may take when the disk is full. Whatever
// there is of it is better than none.
void Shard::keep_reserve() {
  auto path = reserve_path();
  if (auto there = env_.disk().exists(path); !there || *there) return;
  auto file = env_.disk().open(path, io::Open::kCreate);
  if (!file) return;
  for (auto bytes = options_.engine.reserve_bytes; bytes >= kBlockBytes; bytes /= 2) {
    auto made = (*file)->allocate(bytes);
    if (made) made = (*file)->write_zeros(0, bytes);
    if (made && (*file)->sync()) return;
  }
  *file = nullptr;
  (void)env_.disk().remove(path);
}

// The batches as they lie in the journal, or copies of them. That they are whole is checked when
// they are written: what rotted in the journal must not become a segment.
Result<void> Shard::find_batches(const Piece::Run& part, std::int32_t epoch, Piece& piece,
                                 std::vector<Bytes>& batches) {
  auto& copied = checkpoint_->copied;
  auto& pins = piece.pins;
  auto at = pins.size();
  {
    LockGuard guard(lock_);
    for (const auto& entry : part.entries) {
      pins.push_back(journal_.locate(entry.payload));
      piece.synced &= entry.payload < journal_.synced();
    }
  }
  for (const auto& entry : part.entries) {
    const auto& place = pins[at++];
    auto batch = Journal::mapped(place, entry.bytes);
    if (batch) {
      piece.saw(place, entry.bytes);
    } else {
      auto begin = copied.size(), end = begin + entry.bytes;
      CHECK(copied.capacity() >= end);  // views stay where they are
      copied.resize_and_overwrite(end, [end](char*, std::size_t) { return end; });
      WALRUS_TRY(Journal::copy(place, entry.bytes, copied.data() + begin));
      batch = Bytes(copied).substr(begin);
    }
    if (!has_header_of(entry, epoch, *batch)) {
      return fail(Code::kCorrupt, "{}: damaged batch at {}", place.file->path.string(),
                  place.position);
    }
    batches.push_back(*batch);
  }
  return {};
}

Shard::Piece Shard::take_piece(Checkpoint& checkpoint, std::int64_t bytes_max) const {
  Piece piece{.bytes_max = bytes_max};
  // A stream begins where what would fit of it could have a file of its own.
  auto full = [&] {
    return piece.bytes + options_.engine.pack_bytes_max > bytes_max ||
           piece.incoming.size() >= kPieceStreams;
  };
  while (checkpoint.next < checkpoint.streams.size() && (piece.incoming.empty() || !full())) {
    auto& captured = checkpoint.streams[checkpoint.next];
    take_stream(captured, checkpoint, piece);
    if (captured.finished()) ++checkpoint.next;
  }
  return piece;
}

void Shard::take_stream(Checkpoint::Captured& captured, Checkpoint& checkpoint, Piece& piece) {
  const auto& snapshot = checkpoint.manifest.streams[captured.snapshot];
  Incoming one{snapshot.id, {}, snapshot.chain};
  bool stored = snapshot.chain && !snapshot.chain->empty();
  auto segment_base = stored ? snapshot.chain->back().segment_base : std::int64_t{-1};
  auto epoch = stored ? snapshot.chain->back().epoch : std::int32_t{0};
  while (!captured.finished() && piece.bytes < piece.bytes_max) {
    auto& [chunk, count] = captured.chunks[captured.chunk];
    bool changes = segment_base != chunk->segment_base || epoch != chunk->epoch;
    if (one.runs.empty() || changes) {
      one.runs.push_back({chunk->segment_base, chunk->epoch, segment_base >= 0 && changes, {}});
      piece.runs.push_back({piece.incoming.size(), one.runs.size() - 1, {}});
      segment_base = chunk->segment_base;
      epoch = chunk->epoch;
    }
    while (captured.entry < count && piece.bytes < piece.bytes_max) {
      const auto& entry = chunk->entries[captured.entry++];
      piece.runs.back().entries.push_back(entry);
      piece.bytes += entry.bytes;
    }
    if (captured.entry == count) {
      ++captured.chunk;
      captured.entry = 0;
    }
  }
  piece.taken.push_back(&captured);
  piece.incoming.push_back(std::move(one));
}

void Shard::Piece::saw(const PayloadRef& place, std::size_t size) {
  auto end = place.position + static_cast<std::int64_t>(size);
  if (seen.empty() || seen.back().file != place.file)
    seen.push_back({place.file, place.position, place.position});
  seen.back().from = std::min(seen.back().from, place.position);
  seen.back().to = std::max(seen.back().to, end);
}

Result<void> Shard::write_piece(Piece& piece) {
  auto& copied = checkpoint_->copied;
  copied.clear();
  copied.reserve(static_cast<std::size_t>(piece.bytes));
  for (auto& part : piece.runs) {
    auto& run = piece.incoming[part.incoming].runs[part.run];
    WALRUS_TRY(find_batches(part, run.epoch, piece, run.batches));
  }
  auto& checkpoint = *checkpoint_;
  if (!checkpoint.write) checkpoint.write.emplace(store_, next_file_);
  WALRUS_ASSIGN(auto chains, checkpoint.write->add(piece.incoming));
  for (std::size_t i = 0; i < piece.taken.size(); ++i) {
    checkpoint.manifest.streams[piece.taken[i]->snapshot].chain = chains[i];
  }
  if (!piece.synced) return {};  // those pages are mapped until they are appended to again
  for (const auto& seen : piece.seen) seen.file->file->let_go(seen.from, seen.to);
  return {};
}

io::Nanos Shard::checkpoint_write() {
  auto share = leisure();
  auto piece = take_piece(*checkpoint_, share > 0 ? kPacedCopyBytes : kCopyPieceBytes);
  if (auto written = write_piece(piece); !written) {
    checkpoint_failed(written.error());
    return kRetry;
  }
  background_bytes_ += static_cast<std::uint64_t>(piece.bytes);
  bool last = checkpoint_->next == checkpoint_->streams.size();
  if (last || checkpoint_->write->unsynced_bytes() >= kUnsyncedBytes) {
    checkpoint_->phase = Checkpoint::Phase::kSyncingFiles;
  }
  return pace(static_cast<std::int64_t>(share * static_cast<double>(piece.bytes)));
}

io::Nanos Shard::checkpoint_sync() {
  if (auto synced = checkpoint_->write->sync(); !synced) {
    checkpoint_failed(synced.error());
    return kRetry;
  }
  bool last = checkpoint_->next == checkpoint_->streams.size();
  checkpoint_->phase = last ? Checkpoint::Phase::kManifest : Checkpoint::Phase::kWriting;
  return io::Nanos(0);
}

// How much of its pauses a checkpoint keeps to: all of them while a quarter of the journal is used,
// less the more it fills, and none from a half on, because producers would come to wait. In between
// it goes as fast as they do.
double Shard::leisure() {
  LockGuard guard(lock_);
  bool waited = (checkpoint_ && !checkpoint_->waiters.empty()) ||
                !checkpoint_waiters_next_.empty() || bulk_wants_checkpoint();
  if ((journal_.spares() < 2 && !journal_.is_making_file()) || waited) return 0;
  auto max = static_cast<double>(journal_.bytes_max());
  return std::clamp(2 - 4 * static_cast<double>(journal_.used_bytes()) / max, 0.0, 1.0);
}

io::Nanos Shard::share_of(std::int64_t bytes) const {
  return io::Nanos(bytes * 1'000'000'000 / options_.engine.user.background_bytes_per_s);
}

io::Nanos Shard::pace(std::int64_t bytes) {
  auto pause = share_of(bytes);
  paused_until_ = env_.mono() + pause;
  return pause;
}

io::Nanos Shard::checkpoint_manifest() {
  bool outdated = false, unsynced = false;
  {
    LockGuard guard(lock_);
    if (failed_) return io::Worker::kForever;
    unsynced = journal_.synced() < checkpoint_->manifest.journal_lsn;
    outdated = std::ranges::any_of(checkpoint_->streams, [](const Checkpoint::Captured& captured) {
      return captured.stream->truncations != captured.truncations;
    });
    if (outdated) {
      auto& waiters = checkpoint_->waiters;
      std::ranges::move(waiters, std::back_inserter(checkpoint_waiters_next_));
      waiters.clear();
    }
  }
  if (outdated) {
    // What was captured is cut since: its batches may not leave the journal. Begin anew.
    give_up_checkpoint();
    return io::Nanos(0);
  }
  checkpoint_->manifest.next_file = next_file_;
  bool unsure = false;
  auto written = write_manifest(env_, directory_, checkpoint_->manifest, &unsure);
  if (!written && written.error().code == Code::kNoSpace && !unsure) {
    if (env_.disk().remove(reserve_path())) return io::Nanos(0);  // again, with that room
  }
  // What the manifest before it needs of the journal may not be on the disk. Or it says that the
  // log had left its file: if the next file goes now, nothing would tell a recovery from that
  // manifest that something is missing. Nor would anything of bulk, which no journal holds.
  bool outlived =
      checkpoint_->holds_bulk || ((manifest_start_.left || unsynced) &&
                                  manifest_start_.lsn != checkpoint_->manifest.journal_lsn);
  if (written && outlived) {
    written = remove_older_manifest(env_, directory_, checkpoint_->manifest);
    unsure = !written;
  }
  if (unsure) {
    fail_with(written.error());
    return io::Worker::kForever;
  }
  if (!written) {
    checkpoint_failed(written.error());
    return kRetry;
  }
  checkpoint_->phase = Checkpoint::Phase::kApply;
  return io::Nanos(0);
}

// The manifest is durable. The live state may have moved on: trims stay, and a stream that was
// truncated since keeps its journal entries by keeping the journal.
void Shard::checkpoint_apply(Ready& ready) {
  auto& checkpoint = *checkpoint_;
  bool release = true;
  for (auto& captured : checkpoint.streams) {
    auto& stream = *captured.stream;
    if (!streams_.contains(stream.id)) continue;  // dropped; one that is only removed goes on
    if (stream.truncations != captured.truncations) {
      release = false;
      continue;
    }
    stream.chain = checkpoint.manifest.streams[captured.snapshot].chain;
    auto end = stream.chain_end();
    std::erase_if(stream.pending, [&](const PendingChunkRef& chunk) {
      return chunk->count > 0 && chunk->back().end_offset <= end;
    });
    if (!stream.pending.empty() && stream.pending.front()->entries[0].base_offset < end) {
      const auto& old = *stream.pending.front();
      auto rest = std::make_shared<PendingChunk>();
      rest->segment_base = old.segment_base;
      rest->epoch = old.epoch;
      rest->first_timestamp_ms = old.first_timestamp_ms;
      rest->capacity = old.capacity;
      rest->entries = std::make_unique_for_overwrite<PendingChunk::Entry[]>(old.capacity);
      for (const auto& entry : old.all()) {
        if (entry.base_offset >= end) rest->entries[rest->count++] = entry;
      }
      stream.pending.front() = std::move(rest);
    }
    if (stream.pending.empty()) stream.pending.shrink_to_fit();
    drop_extents(stream);  // what was trimmed since it was captured
  }
  const auto& manifest = checkpoint.manifest;
  manifest_start_ = unpack_start(manifest.journal_sequence, manifest.journal_lsn);
  ++generation_;
  std::vector<FileRef> named;
  for (const auto& snapshot : checkpoint.manifest.streams) {
    if (!snapshot.chain) continue;
    for (const auto& extent : *snapshot.chain) named.push_back(extent.file);
  }
  sort_by_name(named);
  std::ranges::set_difference(named_, named, std::back_inserter(doomed_), {}, &file_name,
                              &file_name);
  named_ = std::move(named);
  if (checkpoint.releases_only) {
    checkpoint_ = nullptr;
    return;
  }
  ++checkpoints_;
  bulk_is_durable(ready);
  if (release) {
    start_ = checkpoint.start;
    checkpointed_ = checkpoint.start.lsn;
    journal_.release_below(checkpoint.start.lsn);
  }
  last_checkpoint_ = env_.mono();
  background_error_ = std::nullopt;
  out_of_space_ = false;
  for (auto& done : checkpoint.waiters) ready.add(std::move(done), {});
  checkpoint_ = nullptr;
  if (allocator_) allocator_->wake();
}

// Producers wait or fail meanwhile; whoever waits for this checkpoint learns why. It is tried
// again.
void Shard::checkpoint_failed(const Error& error) {
  Ready ready;
  {
    LockGuard guard(lock_);
    background_error_ = error;
    out_of_space_ = error.code == Code::kNoSpace;
    for (auto& done : checkpoint_->waiters) ready.add(std::move(done), std::unexpected(error));
    checkpoint_->waiters.clear();
    offer_room(ready);
    if (store_.sync_failed()) fail_locked(error, ready);
    retry_at_ = env_.mono() + kRetry;
  }
  give_up_checkpoint();
  ready.run();
}

// What it wrote is given back, because it may be room that is missing.
void Shard::give_up_checkpoint() {
  std::vector<FileRef> written, made;
  checkpoint_->write.reset();
  store_.rewind(checkpoint_->marks);
  for (const auto& captured : checkpoint_->streams) {
    const auto& chain = checkpoint_->manifest.streams[captured.snapshot].chain;
    if (!chain) continue;
    for (const auto& extent : *chain) written.push_back(extent.file);
  }
  sort_by_name(written);
  {
    LockGuard guard(lock_);
    std::vector<FileRef> live = named_;
    for (const auto& [id, stream] : streams_) {
      if (!stream->chain) continue;
      for (const auto& extent : *stream->chain) live.push_back(extent.file);
    }
    sort_by_name(live);
    std::ranges::set_difference(written, live, std::back_inserter(made), {}, &file_name,
                                &file_name);
    manifest_stale_ = manifest_stale_ || checkpoint_->was_stale;
    checkpoint_ = nullptr;
  }
  (void)store_.remove(made);
}

// ---------------------------------------------------------------------------------------------
// Retention

// A clock for retention that a jump of the wall clock cannot drag along: it follows the wall clock,
// but gains at most ten times as fast as time passes, across restarts too. (A node that was off for
// a month catches up in three days.)
std::int64_t Shard::trusted_ms() {
  LockGuard guard(lock_);
  return trusted_now_ms();
}

std::int64_t Shard::trusted_now_ms() {
  auto now = env_.mono();
  auto wall = env_.wall().time_since_epoch().count();
  if (trusted_ms_ == 0) {
    auto stored = tables_.find(key_of(kCatalogStream, Table::kClean, kClockKey));
    trusted_ms_ = wall;
    if (stored != tables_.end()) {
      std::int64_t value = 0;
      for (char digit : stored->second) value = value * 10 + (digit - '0');
      trusted_ms_ = std::min(wall, value);
    }
  }
  auto passed = std::chrono::duration_cast<Millis>(now - trusted_at_).count();
  trusted_at_ += Millis(passed);
  trusted_ms_ = std::max(trusted_ms_, std::min(wall, trusted_ms_ + passed * kClockRate));
  return trusted_ms_;
}

io::Nanos Shard::maintain() {
  StreamRef asked;
  {
    LockGuard guard(lock_);
    if (!compactions_.empty()) {
      asked = std::move(compactions_.front().first);
      rewriting_done_ = std::move(compactions_.front().second);
      compactions_.erase(compactions_.begin());
    }
  }
  if (asked) return begin_rewrite(asked, true, false);
  if (!rewrites_.empty()) {
    auto stream = std::move(rewrites_.front());
    rewrites_.pop_front();
    return begin_rewrite(stream, false, true);
  }
  auto now = env_.mono();
  LockGuard guard(lock_);
  auto wake = std::max(io::Nanos(0), next_maintenance_ - now);
  if (journal_.end() > checkpointed_) {
    wake = std::min(wake, std::max(io::Nanos(1'000'000),
                                   last_checkpoint_ + options_.engine.checkpoint_interval - now));
    // Appends do not wake this worker: it looks often enough to start in time.
    wake = std::min<io::Nanos>(wake, std::chrono::milliseconds(50));
  }
  return std::min<io::Nanos>(wake, std::chrono::milliseconds(250));
}

io::Nanos Shard::retain_all(io::Nanos now) {
  next_maintenance_ = now + options_.engine.maintenance_interval;
  bool rewrites = rewrites_.empty() && !rewriting_;  // else those that were found before
  {
    LockGuard guard(lock_);
    auto now_ms = trusted_now_ms();
    if (journal_.end() == checkpointed_ && bulks_.empty())
      background_error_ = std::nullopt;  // what follows says anew
    for (auto& [id, stream] : streams_) {
      retain(*stream, now_ms);
      stream->producers.expire(now_ms - kProducerIdleMs);
      if (rewrites &&
          (wants_compaction(*stream, now_ms) || overdue(*stream, now_ms) || wants_regroup(*stream)))
        rewrites_.push_back(stream);
    }
  }
  if (rewrites) std::ranges::sort(rewrites_, {}, &StreamState::id);
  return io::Nanos(0);
}

// Whole sealed segments only; the open one stays.
void Shard::retain(StreamState& stream, std::int64_t now_ms) {
  const auto& options = stream.options;
  if (stream.removed || !stream.chain || stream.chain->empty() || bulks_.contains(stream.id))
    return;
  auto first_kept = stream.log_start;
  const auto& chain = *stream.chain;
  auto bytes = total_bytes(chain);  // what the journal alone holds may still be lost
  for (std::size_t i = 0; i < chain.size();) {
    std::int64_t segment_bytes = 0, newest = -1;
    auto end = i;
    while (end < chain.size() && chain[end].segment_base == chain[i].segment_base &&
           chain[end].epoch == chain[i].epoch) {
      segment_bytes += chain[end].bytes;
      newest = std::max(newest, chain[end].max_timestamp_ms);
      ++end;
    }
    bool open = chain[i].segment_base == stream.segment_base && chain[i].epoch == stream.epoch;
    bool big = options.retention_bytes && bytes - segment_bytes >= *options.retention_bytes;
    bool old = options.retention_time && newest < now_ms - options.retention_time->count();
    if (open || (!big && !old)) break;
    first_kept = chain[end - 1].end_offset;
    bytes -= segment_bytes;
    i = end;
  }
  if (first_kept > stream.log_start && first_kept <= stream.high_watermark) {
    auto written =
        write_frame({.type = FrameType::kTrim, .stream = stream.id, .offset = first_kept}, {});
    if (!written) return;
    stream.log_start = first_kept;
  }
  drop_extents(stream);
}

// Extents below the log start go from the live chain; their files once no manifest names them.
void Shard::drop_extents(StreamState& stream) {
  auto kept = chain_from(stream.chain, stream.log_start);
  if (kept == stream.chain) return;
  stream.reclaimed_bytes += total_bytes(*stream.chain) - (kept ? total_bytes(*kept) : 0);
  stream.chain = std::move(kept);
  manifest_stale_ = true;
}

// ---------------------------------------------------------------------------------------------
// Blocking calls

Result<void> Shard::checkpoint() {
  Blocking blocking;
  {
    LockGuard guard(lock_);
    WALRUS_TRY(usable());
    checkpoint_waiters_next_.push_back(blocking.callback());
    retry_at_ = io::Nanos(0);
    if (background_) background_->wake();
  }
  return blocking.wait(env_);
}

Result<void> Shard::close() {
  Result<void> answer;
  {
    LockGuard guard(lock_);
    if (closed_) return {};
  }
  if (!options_.read_only && background_) {
    bool failed = false;
    {
      LockGuard guard(lock_);
      failed = failed_.has_value();
      if (failed) answer = std::unexpected(*failed_);
    }
    if (!failed) answer = checkpoint();
    if (!failed) {
      // Full disk: what is acknowledged is in the journal; syncing it is all that must succeed. Or
      // everything is stored: that the log ends here, and is not torn, is on the disk too.
      auto synced = sync();
      if (synced) {
        if (auto waited = wait(*synced); !waited) answer = waited;
      }
    }
  }
  stop_workers();
  Ready ready;
  {
    LockGuard guard(lock_);
    closed_ = true;
    auto error = failed_;
    fail_locked({Code::kClosed, std::string(kClosedText)}, ready);
    failed_ = error;
  }
  ready.run();
  return answer;
}

void Shard::add_metrics(std::map<std::string, double>& metrics) {
  LockGuard guard(lock_);
  auto add = [&](const char* name, double value) { metrics[name] += value; };
  add("walrus_log_appends_total", static_cast<double>(appends_));
  add("walrus_log_syncs_total", static_cast<double>(syncs_));
  add("walrus_log_sync_bytes_total", static_cast<double>(sync_bytes_));
  add("walrus_log_checkpoints_total", static_cast<double>(checkpoints_));
  add("walrus_log_background_bytes_total", static_cast<double>(background_bytes_));
  add("walrus_log_journal_recycles_total", static_cast<double>(recycled_));
  add("walrus_log_journal_used_bytes", static_cast<double>(journal_.used_bytes()));
  add("walrus_log_journal_bytes", static_cast<double>(journal_.total_bytes()));
  add("walrus_log_streams", static_cast<double>(streams_.size()));
  add("walrus_log_unhealthy", failed_ || background_error_ ? 1 : 0);
}

}  // namespace walrus::log
