#pragma once
// log::Engine: the storage engine without blocking. The embedded face (include/walrus/log.h), the
// server and the simulator all stand on this one class.
//
// A mutation is encoded into the journal of the stream's shard on the calling thread, under the
// shard's lock, and returns a Pending: the place in the journal up to which the durability of the
// stream has to reach before the mutation is acknowledged. when_done() calls back then; wait()
// blocks. Nothing is acknowledged earlier and nothing is readable earlier.
//
// Threads: any. Callbacks run on the flusher's worker, or on the calling thread where the answer
// is known at once, never under a lock; they hand over and do not block. Workers: one flusher a
// shard (sync, mark, wake-ups), one background worker (checkpoint, recycling, retention,
// compaction). Both are io::Workers, so the simulator interleaves them with everything else.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/env.h"
#include "log/producers.h"
#include "record/batch.h"

namespace walrus::log {

class Shard;
struct StreamState;
using StreamRef = std::shared_ptr<StreamState>;

struct EngineOptions {
  Options user;
  bool mapped = true;  // the journal: encoded into the page cache, or in memory and written
  // What tests make tiny. Relations are checked at open.
  std::int64_t journal_file_bytes_min = 8 << 20, journal_file_bytes_max = 128 << 20;
  std::int64_t checkpoint_bytes = 64 << 20;  // journal bytes that start a checkpoint
  io::Nanos checkpoint_interval = std::chrono::seconds(10);
  io::Nanos mark_delay = std::chrono::milliseconds(10);
  io::Nanos maintenance_interval = std::chrono::seconds(5);  // retention, rolls by time, compaction
  std::int64_t pack_bytes_max = 64 << 10;  // less than this pending at a checkpoint: pack file
  std::int64_t index_interval_bytes = 16 << 10;
  std::int64_t open_files_max = 256;
  std::int64_t reserve_bytes = 1 << 20;    // per shard, for the manifest of a full disk
  std::int64_t bulk_sync_bytes = 8 << 20;  // of a stream's bulk between syncs; twice that in memory
};

// Where in which journal a mutation ends; what when_done() waits for.
struct Pending {
  Shard* shard = nullptr;  // none: there is nothing to wait for
  std::uint64_t lsn = 0;
  bool sync = true;        // false: acknowledged when written (os, interval)
  std::uint64_t bulk = 0;  // the stream whose bulk it is; `lsn` is an offset of it then
};

struct Appended {
  Pending pending;
  Offset first{}, next{};
};

// One segment of a stream's chain, by offset.
struct SegmentInfo {
  std::int64_t base_offset = 0, end_offset = 0, records = 0, bytes = 0;
  std::int32_t epoch = 0;
  bool sealed = false;
};

template <class T>
using Done = std::move_only_function<void(Result<T>)>;

// Where a stream begins and ends, without the cost of its StreamInfo.
struct Bounds {
  Offset log_start{}, high_watermark{}, log_end{};
  std::int32_t epoch = 0;  // of the segment that is written
};

// Whole batches as stored, from the one that holds the offset asked for. The first batch may begin
// before it: readers skip.
struct Fetched {
  std::string bytes;
  Offset log_start{}, high_watermark{}, log_end{};
  Offset next{};  // after the last batch in `bytes`; the offset asked for if there is none
};

struct FetchOptions {
  std::int64_t bytes_max = 1 << 20;  // of batches; the first always fits
  UpTo up_to = UpTo::kHighWatermark;
};

// Small state of a stream: last value by key, in the journal with everything else and in the
// manifest at a checkpoint. The names are those of the system streams that hold it.
enum class Table : std::uint8_t {
  kCatalog = 1,
  kCursors = 2,
  kClean = 3,
  kProducers = 4,
  kRaft = 5,
  kCopies = 6,
};

class Engine {
 public:
  // kLocked, kVersion, kCorrupt, kInvalid, kIo... The directory is made if it does not exist.
  static Result<std::unique_ptr<Engine>> open(io::Env&, const EngineOptions&);
  ~Engine();             // as close(), the error dropped
  Result<void> close();  // syncs, checkpoints, releases the lock; everything pending is answered
  Result<void> failure() const;  // the error that ended this instance, or nothing
  // Whether a journal ended in a bad frame, at or above all that was known to be synced, when this
  // instance opened it: what is missing behind it was not answered by a sync, unless it rotted.
  bool opened_torn() const;
  // Milliseconds since 1970, for what is removed by age: follows a wall clock that jumps only
  // slowly.
  std::int64_t trusted_ms();
  // failure(), or what the background could not do and tries again: a full disk, say.
  Result<void> health() const;

  // Catalogue. A handle stays valid for ever; after remove() every call on it answers kNotFound.
  struct Created {
    Pending pending;
    StreamRef stream;
  };
  // Names that begin with __ are for what a server keeps for itself: they have to be asked for.
  enum class Names { kUsers, kOwn };
  Result<Created> create(Bytes name, const StreamOptions&, Names = Names::kUsers,
                         Bytes attributes = {});
  Result<StreamRef> find(Bytes name) const;
  Result<Pending> remove(Bytes name);
  // Without `attributes` those that it has stay.
  Result<Pending> alter(const StreamRef&, const StreamOptions&,
                        std::optional<Bytes> attributes = {});
  // What the owner keeps with the options of a stream, at most 64 KiB; the engine only keeps it.
  std::string attributes(const StreamRef&) const;
  std::vector<StreamRef> list(Bytes prefix) const;  // by name
  Result<StreamInfo> info(const StreamRef&) const;
  Result<Bounds> bounds(const StreamRef&) const;  // fails when a fetch would: failed, closed...
  std::vector<SegmentInfo> segments(const StreamRef&) const;  // the last one is open
  // The streams, by id, whose records each stored file holds; its name begins with segments/.
  std::map<std::string, std::vector<std::uint64_t>> streams_by_file() const;

  // Append. kBusy: no room in the journal or too much in flight; call when_room() and try again.
  Result<Appended> append(const StreamRef&, std::span<const Record>, const AppendOptions&);
  // One validated record batch v2 (record::validate): copied, base offset and epoch set. Producer
  // id, epoch and sequence are those in the batch.
  Result<Appended> append_batch(const StreamRef&, const record::BatchView&,
                                std::optional<Offset> expected_next = {});
  // For streams that copy another log. A batch that has its base offset, which is the log end
  // (kMismatch), and its epoch: stored as it is, in a segment of that epoch; nothing rolls by size,
  // and no producer's sequence is checked.
  Result<Appended> append_copy(const StreamRef&, const record::BatchView&);
  // A batch that goes past the journal into a segment file at once: for streams of many MiB that
  // nobody waits for batch by batch. It can be read once it is synced there, and is durable when
  // `pending` is: a manifest then holds it; a crash before leaves a beginning of the bulk. Nothing
  // else can be appended, cut or trimmed before all of it is durable (kInvalid). What is written
  // is one segment, whatever its size. kBusy: too much waits for the disk; when_room().
  Result<Appended> append_bulk(const StreamRef&, std::span<const Record>);
  // A stream without records begins at `first`, which is not below its end (kOutOfRange). Nothing
  // happens where it is. kExists: it holds records.
  Result<Pending> begin(const StreamRef&, Offset first);
  ProducerTable producers(const StreamRef&) const;  // as of the log end
  void when_room(const StreamRef&, Done<void>);

  void when_done(const Pending&, Done<void>);
  bool is_done(const Pending&) const;
  // Blocks. A lone caller runs the sync itself instead of waking the flusher.
  Result<void> wait(const Pending&);

  // Read. Does file I/O, never waits for records.
  Result<Fetched> fetch(const StreamRef&, Offset from, const FetchOptions&) const;
  Result<Offset> find_time(const StreamRef&, Time) const;
  // Calls back once when the high watermark (or the log end) is above `offset`, or on failure,
  // close or removal. The returned id cancels; cancelled callbacks are destroyed, not called.
  std::uint64_t when_readable(const StreamRef&, Offset offset, UpTo, Done<void>);
  void cancel(const StreamRef&, std::uint64_t id);

  Result<Pending> trim(const StreamRef&, Offset first_kept);
  Result<Pending> truncate(const StreamRef&, Offset first_dropped);
  Result<Pending> sync(const StreamRef&);   // done when all appended so far is on the disk
  Result<void> compact(const StreamRef&);   // blocks
  Result<void> checkpoint();                // blocks
  Result<void> backup(const io::Path& to);  // blocks; also from a read-only engine

  // Small state of a stream; value none = delete. Always waits for the disk.
  Result<Pending> put_state(const StreamRef&, Table, Bytes key, std::optional<Bytes> value);
  std::optional<std::string> get_state(const StreamRef&, Table, Bytes key) const;
  std::map<std::string, std::string> list_state(const StreamRef&, Table) const;
  // A producer id that was never issued before, also across restarts. Durable when done.
  struct ProducerId {
    Pending pending;
    std::int64_t id = 0;
  };
  Result<ProducerId> new_producer_id();

  io::Env& env();
  const EngineOptions& options() const;

  // Counters since open, by Prometheus name.
  std::map<std::string, double> metrics() const;

  struct Impl;
  explicit Engine(std::unique_ptr<Impl>);

 private:
  std::unique_ptr<Impl> impl_;
};

const std::string& stream_name(const StreamRef&);
std::uint64_t stream_id(const StreamRef&);

}  // namespace walrus::log
