#pragma once
// One shard: its journal, its streams, its segment store, and the work in the background that moves
// batches from the journal into segment files.
//
// Guarded by lock(): every call that does not say otherwise takes it itself. The step functions
// are bodies of io::Workers: each call does one thing, I/O without the lock, so that everything
// else may happen in between, in the simulator too.

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "log/catalog.h"
#include "log/journal.h"
#include "log/manifest.h"
#include "log/stream_state.h"

namespace walrus::log {

// Callbacks that became due under the lock, to be run after it.
class Ready {
 public:
  void add(Done<void> done, Result<void> result) {
    calls_.emplace_back(std::move(done), std::move(result));
  }
  bool empty() const { return calls_.empty(); }
  void run() {
    for (auto& [done, result] : calls_) done(std::move(result));
    calls_.clear();
  }

 private:
  std::vector<std::pair<Done<void>, Result<void>>> calls_;
};

// The answer that blocking calls wait for: one or several. Shared with the callback, which may
// outlive the wait: a simulated crash ends the wait early.
class Blocking {
 public:
  Done<void> callback() {
    return [state = state_](Result<void> result) {
      state->answer = std::move(result);
      state->event.set();
    };
  }
  Result<void> wait(io::Env& env) {
    if (!env.wait(state_->event, io::Worker::kForever)) return fail(Code::kClosed, "crashed");
    return state_->answer;
  }

 private:
  struct State {
    Event event;
    Result<void> answer;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

struct ShardOptions {
  EngineOptions engine;
  io::Path root;
  std::string directory_uuid;
  std::uint64_t layout = 0;
  std::int32_t index = 0, count = 1;
  bool read_only = false;
  std::function<bool(const std::string&)> names_file{};  // does another shard? No lock held
  std::function<void(const Error&)> on_failed;           // no lock held; the other shards end too
};

using StateKey = std::pair<std::uint8_t, std::pair<std::uint64_t, std::string>>;

// The state of the shard at one lsn, and how far its batches have been written.
struct Checkpoint {
  enum class Phase { kSyncing, kWriting, kSyncingFiles, kManifest, kApply } phase = Phase::kSyncing;
  // The last manifest again, without the files that only trimmed and dropped batches are in: what a
  // full disk still has room for. Nothing is captured, and the journal's start stays.
  bool releases_only = false;
  // Shard::manifest_stale_ before the capture, which clears it: for a checkpoint that is given up.
  bool was_stale = false;
  JournalStart start;
  Lsn needs_synced = 0;  // before anything of it is read or written
  struct Captured {
    StreamRef stream;
    std::size_t snapshot = 0;  // in manifest.streams
    std::uint32_t truncations = 0;
    std::vector<std::pair<PendingChunkRef, std::uint32_t>> chunks;  // with their counts then
    std::size_t chunk = 0;
    std::uint32_t entry = 0;
    bool finished() const { return chunk == chunks.size(); }
  };
  std::vector<Captured> streams;
  std::size_t next = 0;
  Manifest manifest;
  std::vector<Done<void>> waiters;
  bool holds_bulk = false;                // that the manifest before it does not
  std::vector<SegmentStore::Mark> marks;  // of files that it may append to
  std::optional<SegmentStore::Write> write;
  // Of the piece that is written, where the journal is not mapped; kept: its memory is needed
  // again.
  std::string copied;
};

constexpr Bytes kClosedText = "the log is closed";

// How a manifest says where its journal begins.
std::uint64_t pack_start(const JournalStart&);
JournalStart unpack_start(std::uint64_t sequence, Lsn);

// Whether these bytes are the batch that was written there; is_batch_of(): and whole.
bool has_header_of(const PendingChunk::Entry&, std::int32_t epoch, Bytes);
bool is_batch_of(const PendingChunk::Entry&, std::int32_t epoch, Bytes);

const std::string& file_name(const FileRef&);
void sort_by_name(std::vector<FileRef>&);  // and each once
// The extents of a chain that hold anything from `log_start` on; null if none does.
ChainRef chain_from(const ChainRef&, std::int64_t log_start);
std::int64_t total_bytes(std::span<const Extent>);

class Shard {
 public:
  Shard(io::Env&, const ShardOptions&);
  ~Shard();

  Result<void> create();   // a new shard: directory, first journal files, first manifest
  Result<void> recover();  // loads the manifest, replays the journal
  bool opened_torn() const { return journal_.opened_torn(); }
  void start_workers();
  void stop_workers();

  // Streams. attach() is for the engine's catalogue: makes the stream if the shard has none.
  StreamRef attach(std::string name, const CatalogEntry&);
  std::string attributes(const StreamState&);
  std::vector<std::uint64_t> stream_ids();
  Result<Pending> drop(std::uint64_t id);
  // As drop() for all others, but in memory alone: a full disk has no room for frames, and every
  // recovery before the next checkpoint does it again.
  void drop_unnamed(const std::set<std::uint64_t>& named);
  void forget(StreamState&);  // no call succeeds from now on; the journal says so later (drop)

  Result<Appended> append(StreamState&, std::span<const Record>, std::size_t bytes, Time now,
                          const AppendOptions&);
  Result<Appended> append_batch(StreamState&, const record::BatchView&, std::optional<Offset>);
  Result<Appended> append_copy(StreamState&, const record::BatchView&);
  Result<Appended> append_bulk(StreamState&, std::string batch);
  Result<Pending> begin(StreamState&, std::int64_t first);
  ProducerTable producers(StreamState&);
  Result<Pending> trim(StreamState&, std::int64_t first_kept);
  Result<Pending> truncate(StreamState&, std::int64_t first_dropped);
  Result<Pending> sync();
  Result<Pending> sync(StreamState&);  // of its bulk, if it has some
  Result<Pending> put_state(std::uint64_t stream, Table, Bytes key, std::optional<Bytes> value);
  std::optional<std::string> get_state(std::uint64_t stream, Table, Bytes key);
  std::map<std::string, std::string> list_state(std::uint64_t stream, Table);

  bool is_done(const Pending&);
  void when_done(const Pending&, Done<void>);
  Result<void> wait(const Pending&);
  void when_room(StreamState&, Done<void>);

  Result<Fetched> fetch(StreamState&, std::int64_t from, const FetchOptions&);
  Result<std::int64_t> find_time(StreamState&, std::int64_t time_ms);
  std::uint64_t when_readable(StreamState&, std::int64_t offset, UpTo, Done<void>);
  void cancel(StreamState&, std::uint64_t id);
  StreamInfo info(StreamState&);
  Result<Bounds> bounds(StreamState&);
  std::vector<SegmentInfo> segments(StreamState&);
  void add_streams_by_file(std::map<std::string, std::vector<std::uint64_t>>& to);

  // Blocking: ask the background worker and wait for it.
  Result<void> checkpoint();
  Result<void> compact(StreamState&);

  Result<void> close();       // syncs and checkpoints; answers everything that waits
  Result<void> health();      // failure(), or what the background tries again
  Result<void> failure();     // what ended it
  std::int64_t trusted_ms();  // see Engine::trusted_ms()
  void fail_with(const Error&);
  bool names_file(const std::string& name);  // in its last manifest
  SegmentStore& store() { return store_; }
  void add_files(std::vector<FileRef>& to);  // that are in use or in the last manifest
  // For a new layout: no journal yet.
  static Result<void> write_first_manifest(io::Env&, const io::Path& root, Manifest&);
  void verify(std::vector<Finding>&);  // of a recovered shard: every stored byte
  void add_metrics(std::map<std::string, double>&);
  Manifest snapshot_for_layout();  // after a checkpoint: its streams and tables, to be dealt anew

  io::Nanos flusher_step();
  io::Nanos background_step();
  io::Nanos read_uncached();
  io::Nanos allocator_step();
  io::Nanos prepare_file();
  bool populate();

 private:
  // Everything below: the lock is held unless said otherwise.
  Result<void> usable(const StreamState&) const;
  Result<void> usable() const;
  static std::unexpected<Error> removed_error(const StreamState&);
  Error busy_error(const Error&) const;
  Result<void> readable(const StreamState&) const;
  // Of this shard as it was recovered. No lock.
  Result<Fetched> fetch_here(StreamState&, std::int64_t from, const FetchOptions&);
  Result<std::int64_t> find_time_here(StreamState&, std::int64_t time_ms);
  // Read only, no lock: `answer` if it is one, or no newer manifest explains why it is none;
  // otherwise what `again` answers of the shard as the writer has left it since.
  template <typename T>
  Result<T> or_newer(StreamState&, Result<T> answer,
                     const std::function<Result<T>(Shard&, StreamState&)>& again);
  Result<std::shared_ptr<Shard>> newer_than(std::uint64_t generation);
  StreamRef stream_of(std::uint64_t id);
  struct PendingPlace {
    PayloadRef place;  // no file: in memory
    PendingChunk::Entry entry;
    std::int32_t epoch = 0;
  };
  struct OffsetRange {
    std::int64_t from = 0, to = 0;
  };
  std::vector<PendingPlace> locate_pending(const StreamState&, OffsetRange, std::int64_t bytes_max,
                                           std::string& memory) const;
  static Result<void> copy_pending(std::span<const PendingPlace>, Fetched&);  // no lock
  // What is set in a batch when it is stored, and whether it is the first of a segment.
  struct Stamp {
    std::int64_t base_offset = 0;
    std::int32_t epoch = 0;
    bool opens_segment = false;
  };
  Result<Appended> store_batch(StreamState&, const record::BatchView&, const Stamp&, Ready&);
  void appended(StreamState&, const PendingChunk::Entry&, const record::BatchView&, const Stamp&,
                Ready&);
  void add_pending(StreamState&, const PendingChunk::Entry&, std::int64_t first_timestamp_ms);
  bool roll_due(const StreamState&, std::int64_t records, std::int64_t bytes,
                std::int64_t newest_ms) const;
  void open_segment(StreamState&, std::int32_t epoch, std::int64_t now_ms);
  void begin_at(StreamState&, std::int64_t first);
  Result<std::optional<Appended>> check_append(StreamState&, const AppendOptions&,
                                               std::int64_t count);
  Pending pending_for(const StreamState&, Lsn) const;
  Result<Pending> write_frame(const Frame&, Bytes payload);
  bool done_now(const Pending&) const;
  void request(const Pending&);
  void count_wait(const Pending&);
  void hold_next(const SyncJob&, io::Nanos now);
  bool holds(io::Nanos now) const;
  void end_hold(io::Nanos now);
  void wake_readers(StreamState&, Ready&);
  void touch(StreamState&);
  void sync_ahead();
  SyncJob begin_sync(bool write_only, bool mark);
  void finish_sync(const SyncJob&, Result<void>, Ready&);
  Result<void> run_job(LockGuard&, const SyncJob&);
  void fail_locked(const Error&, Ready&);
  void offer_room(Ready&);
  void answer_waiters(Ready&);
  void cut_pending(StreamState&, std::int64_t first_dropped);
  void apply_truncate(StreamState&, std::int64_t first_dropped, std::int32_t epoch, ChainRef chain);

  Result<void> replay(const Frame&, Lsn payload, Bytes bytes);
  Result<void> replay_truncate(const Frame&, Lsn payload, Bytes bytes);
  void erase(std::uint64_t id);
  std::unexpected<Error> bad_frame(const Frame&, const char* what) const;
  StreamState& replayed_stream(std::uint64_t id);
  StreamSnapshot snapshot_of(const StreamState&) const;
  StateKey key_of(std::uint64_t stream, Table, Bytes key) const;

  // Batches of one stream on their way past the journal: shard_bulk.cc.
  struct Bulk {
    struct Waiter {
      std::int64_t end = 0;
      Done<void> done;
    };
    StreamRef stream{};
    std::deque<std::string> batches{};  // not synced, oldest first
    std::size_t written = 0;            // of them
    std::int64_t bytes = 0;             // of them
    // Offsets: behind the last one; behind what the last durable manifest holds, and the next one.
    std::int64_t end = 0, durable = 0, captured = 0;
    std::vector<Waiter> waiters{};
    std::vector<Done<void>> room_waiters{};
    io::Nanos retry_at{0};
    ChainRef stored{};  // the stream's, once something of it is
    // The background's own.
    ChainRef base{}, chain{};  // the stream's; and what was written
    std::int64_t unsynced = 0;
    std::unique_ptr<SegmentStore::Write> write{};

    bool is_full(std::int64_t sync_bytes) const { return bytes >= 2 * sync_bytes; }
  };
  Pending pending_of(const StreamState&, const Bulk&);
  bool bulk_step();                             // no lock
  Bulk* next_bulk(io::Nanos now, Ready&);       // no lock
  Result<void> bulk_work(Bulk&, bool& synced);  // no lock
  void publish(Bulk&, Ready&);
  void bulk_failed(Bulk&, const Error&, Ready&);
  bool bulk_wants_checkpoint() const;
  bool capture_bulk();
  void bulk_is_durable(Ready&);
  bool bulk_done(const Pending&) const;
  void fail_bulk(Ready&);

  bool checkpoint_due(io::Nanos now) const;
  void begin_checkpoint();
  // What a step of a checkpoint takes out of the journal.
  struct Piece {
    std::vector<Checkpoint::Captured*> taken;  // one for each of incoming
    std::vector<Incoming> incoming;
    struct Run {
      std::size_t incoming = 0, run = 0;
      std::vector<PendingChunk::Entry> entries;
    };
    std::vector<Run> runs;
    std::vector<PayloadRef> pins;  // of what `incoming` has views of
    // Where those lie, a range of each file. What was synced was unmapped by that, and is mapped
    // again because it was looked at.
    struct Seen {
      JournalFileRef file;
      std::int64_t from = 0, to = 0;
    };
    std::vector<Seen> seen;
    bool synced = true;
    std::int64_t bytes = 0, bytes_max = 0;
    void saw(const PayloadRef&, std::size_t size);
  };
  Piece take_piece(Checkpoint&, std::int64_t bytes_max) const;
  static void take_stream(Checkpoint::Captured&, Checkpoint&, Piece&);
  Result<void> write_piece(Piece&);  // no lock
  io::Nanos checkpoint_begin();      // no lock
  io::Nanos checkpoint_write();      // no lock
  io::Nanos checkpoint_sync();       // no lock
  io::Nanos checkpoint_manifest();   // no lock
  void checkpoint_apply(Ready&);
  void checkpoint_failed(const Error&);  // no lock
  void give_up_checkpoint();             // no lock
  io::Path reserve_path() const { return directory_ / "reserve"; }
  double leisure();
  io::Nanos share_of(std::int64_t bytes) const;  // the time that the I/O budget has for them
  io::Nanos pace(std::int64_t bytes);
  bool paused();                        // no lock
  io::Nanos one_step();                 // no lock
  io::Nanos maintain();                 // no lock
  io::Nanos retain_all(io::Nanos now);  // no lock
  void retain(StreamState&, std::int64_t now_ms);
  void drop_extents(StreamState&);
  io::Nanos begin_release();  // no lock
  void keep_reserve();        // no lock
  std::int64_t trusted_now_ms();
  struct Rewriting {
    StreamRef stream;
    std::uint32_t truncations = 0;
    bool asked = false, settled_only = false, compacts = false;
    std::int64_t end = 0;  // offset behind what was captured
    std::unique_ptr<SegmentStore::Rewrite> work{};
  };
  io::Nanos begin_rewrite(const StreamRef&, bool asked, bool settled_only);  // no lock
  io::Nanos rewrite_step();                                                  // no lock
  bool install(Rewriting&);
  void rewrite_ended(const Result<void>&, Ready&);
  std::size_t settled(const Chain&);
  bool wants_regroup(const StreamState&);
  std::size_t compactable(const StreamState&, std::int64_t now_ms);
  bool wants_compaction(const StreamState&, std::int64_t now_ms);
  static bool overdue(const StreamState&, std::int64_t now_ms);
  Result<void> find_batches(const Piece::Run&, std::int32_t epoch, Piece&,
                            std::vector<Bytes>& batches);  // takes the lock to locate

  io::Env& env_;
  ShardOptions options_;
  io::Path directory_;  // journal/<shard>
  Lock lock_;
  Journal journal_;
  SegmentStore store_;
  std::unordered_map<std::uint64_t, StreamRef> streams_;
  std::map<StateKey, std::string> tables_;
  std::optional<Error> failed_;
  std::optional<Error> background_error_;  // retried; what health() and full appends say
  bool out_of_space_ = false;              // as the last checkpoint found
  bool closed_ = false;
  std::shared_ptr<Shard> newer_;  // read only: see or_newer()

  // Sync.
  bool job_out_ = false;
  Lsn job_end_ = 0;  // of the job that is out
  std::vector<StreamRef> touched_, syncing_;
  Lsn sync_wanted_ = 0, write_wanted_ = 0;
  Lsn waited_at_ = 0;  // the log's end when somebody last waited for a sync
  // See hold_next(). Of those who wait for a sync:
  std::uint64_t waits_ = 0;                          // how many there were
  std::uint64_t job_waits_ = 0, job_waits_end_ = 0;  // of the last job; up to its beginning
  std::uint64_t hold_for_ = 0;  // how many the next job waits for, until hold_until_; 0: none
  io::Nanos hold_until_{0}, job_begun_{0};
  bool holding_ = false;                  // the flusher sleeps until then
  int hold_pause_ = 0, hold_futile_ = 0;  // jobs that do not wait; after the last that did in vain
  io::Nanos sync_due_ = io::Worker::kForever, mark_due_ = io::Worker::kForever;
  io::Nanos flusher_next_{0};
  struct Waiter {
    Lsn lsn = 0;
    Done<void> done;
    std::optional<Blocking> blocking{};  // that others may join
  };
  Blocking join(std::deque<Waiter>&, Lsn);
  std::deque<Waiter> sync_waiters_, write_waiters_;
  std::vector<Done<void>> room_waiters_;
  std::optional<SyncJob> flusher_job_;
  std::optional<Result<void>> flusher_result_;
  Ready flusher_ready_;  // the flusher's alone, kept: its memory is needed again
  std::uint64_t next_waiter_ = 1;
  std::uint64_t last_active_ = 0;  // the journal file that was in use at the last append

  // Checkpoint and the rest of the background.
  std::unique_ptr<Checkpoint> checkpoint_;
  JournalStart start_;           // from here on the journal is kept
  JournalStart manifest_start_;  // of the last durable manifest
  Lsn checkpointed_ = 0;
  std::uint64_t generation_ = 0, next_file_ = 1;
  io::Nanos last_checkpoint_{0}, next_maintenance_{0}, retry_at_{0}, paused_until_{0};
  std::map<std::uint64_t, Bulk> bulks_;             // by stream; until all of one is durable
  std::uint64_t last_bulk_ = 0;                     // the background's: whose turn it was
  bool after_bulk_ = false;                         // the background's: it is the others' turn
  std::unique_ptr<SegmentStore::Write> dead_bulk_;  // of a stream that was removed
  std::uint64_t checkpoints_wanted_ = 0, checkpoints_done_ = 0;
  std::vector<Done<void>> checkpoint_waiters_, checkpoint_waiters_next_;
  std::vector<std::pair<StreamRef, Done<void>>> compactions_;  // asked for
  std::unique_ptr<Rewriting> rewriting_;                       // the background's own
  Done<void> rewriting_done_;                                  // of one that was asked for
  std::deque<StreamRef> rewrites_;                             // that maintenance found due
  std::vector<FileRef> named_;                                 // files of the last durable manifest
  std::vector<Journal::Uncached> uncached_;                    // the background reads it first
  std::vector<FileRef> doomed_;  // that it named no more: to be unlinked
  bool manifest_stale_ = false;  // files wait for a manifest that does not name them
  std::int64_t trusted_ms_ = 0;
  io::Nanos trusted_at_{0};
  std::optional<Journal::FilePlan> plan_;  // the allocator's
  io::Nanos next_piece_{0};                // of the planned file, if there is time
  bool populating_ = false;                // the allocator knows that it should

  std::uint64_t appends_ = 0, syncs_ = 0, sync_bytes_ = 0, checkpoints_ = 0, background_bytes_ = 0,
                recycled_ = 0;

  std::unique_ptr<io::Worker> flusher_, background_, allocator_;
};

}  // namespace walrus::log
