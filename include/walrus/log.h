#pragma once
// walrus/log.h: the embeddable log engine.
//
//   Log     one directory, opened by one process.
//   Stream  one named record sequence in it.
//   Cursor  a named, durable reading position in a stream.
//
// Every call blocks until its answer is known, may be made from any thread, and never throws.
// Handles are cheap to copy (Stream, Cursor) or to move (Log) and may outlive the Log: every call
// then answers kClosed. So does every call in a child made by fork(), which inherits nothing but
// memory. Errors name the file and the position, never the payload.
//
// A Result has to be bound to a name before a range-for over its value: the records live in it.
//
// What an append waits for is the stream's Durability:
//   kFsync     the record is on the disk. Nothing acknowledged is lost by a power cut.
//   kInterval  the record is in the page cache; the disk follows within `interval`.
//   kOs        the record is in the page cache: it survives the process, not a power cut.
// Readers see what was acknowledged under the stream's own durability (the high watermark). Trims,
// truncations, removals, settings, cursor commits and clean marks are on the disk when the call
// returns, whatever the durability.
//
// Besides the errors named at each call, every call may answer kClosed; one that reads, kIo and
// kCorrupt; one that writes, kIo, kNoSpace (nothing is lost; works again when there is space),
// kBusy (no room in the journal for 30 s) and kReadOnly. A sync that fails ends the instance: that
// call and every later one answers the error. Open again to go on with what is on the disk.
//
// Sizes are bytes, payload bytes are those of keys and values.

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace walrus {

using Bytes = std::string_view;  // bytes, not text
using Millis = std::chrono::milliseconds;
using Time = std::chrono::sys_time<Millis>;

enum class Code {
  kInvalid = 1,  // an argument that can never be right
  kNotFound,
  kExists,
  kTooLarge,    // above batch_bytes_max or batch_records_max; nothing was changed
  kMismatch,    // expected_next is not the next offset; a producer sequence out of order
  kOutOfRange,  // an offset below the log start or above the log end
  kBusy,        // no room in the journal for now: try again
  kTimeout,
  kLocked,   // another process has the directory; the message names its pid
  kCorrupt,  // bytes on disk that fail their checksum; never skipped
  kNoSpace,
  kIo,
  kVersion,  // written by a newer Walrus
  kReadOnly,
  kClosed,  // closed, failed, or inherited through fork()
  kFenced,  // an older producer epoch
};

struct Error {
  Code code;
  std::string message;  // one line; names file and position, never payload
};

template <class T>
using Result = std::expected<T, Error>;

// A record's number in its stream, dense when appended. Compaction and truncation leave gaps.
struct Offset {
  std::int64_t value = 0;
  auto operator<=>(const Offset&) const = default;
};

struct Header {
  Bytes name{};
  std::optional<Bytes> value{};
};

struct Record {
  std::optional<Bytes> key{}, value{};  // no value = tombstone; an empty value is a value
  std::span<const Header> headers{};
  std::optional<Time> timestamp{};  // none = time of append
};

struct StoredRecord : Record {
  Offset offset{};
  std::int32_t epoch = 0;
};

struct Durability {
  enum Kind { kFsync, kInterval, kOs } kind = kFsync;
  Millis interval{0};  // kInterval only, 1 ms to 1 h
};

struct StreamOptions {
  Durability durability{};
  // A segment is rolled when one of these is reached. Retention drops whole segments.
  std::int64_t segment_records_max = 1'000'000, segment_bytes_max = 1 << 30;
  std::optional<Millis> segment_time_max{};       // none = never rolled for its age
  std::optional<std::int64_t> retention_bytes{};  // of the whole stream; none = keep all
  std::optional<Millis> retention_time{};         // by the records' timestamps; none = keep all
  bool compact = false;                           // keep the last record of each key
  Millis tombstone_retention = std::chrono::hours(24);  // so long a tombstone stays, if compacted
  // By the records' timestamps: what is younger than the first is not compacted yet, nor is what
  // lies behind it; what is older than the second waits no longer until it is worth it (none = it
  // does).
  Millis compaction_lag_min{0};
  std::optional<Millis> compaction_lag_max{};
};

struct Options {
  std::filesystem::path root{};
  std::string key{};       // namespace: a log of its own below root; "" = root itself
  bool read_only = false;  // shared: beside a writer, sees what was there then and is not trimmed
  int shards = 0;          // journals, 0 to 1024; 0 = cores; may change between opens
  // Of one append, encoded; at most 64 MiB, and at most a quarter of journal_bytes_max.
  std::int64_t batch_bytes_max = 64 << 20, batch_records_max = 1 << 20,
               in_flight_bytes_max = 64 << 20,  // asynchronous appends without an answer
      journal_bytes_max = 1 << 30,              // per shard; all: half of a small disk
      cache_bytes_max = 256 << 20,              // of stored segments, in memory
      background_bytes_per_s = 64 << 20;  // checkpoints, retention, compaction, new journal files
};

struct ProducerSequence {
  std::int64_t id = -1;
  std::int16_t epoch = -1;
  std::int32_t sequence = -1;  // of the batch's first record; wraps from 2^31 - 1 to 0
};

struct AppendOptions {
  std::optional<Offset> expected_next{};       // kMismatch unless it is the next offset
  std::optional<ProducerSequence> producer{};  // a repeated batch answers its first offset
};

enum class UpTo {
  kHighWatermark,
  kAppended,  // also what no append was answered for yet
};

struct ReadOptions {
  std::int64_t bytes_max = 1 << 20, records_max = 2'000;  // payload bytes; one record always fits
  Millis wait{0};                                         // at the end, so long for more
  UpTo up_to = UpTo::kHighWatermark;
};  // scan(): bytes_max is how far it reads ahead, records_max means nothing

// What a read returned. The views live as long as this object.
class Records {
 public:
  Records(Records&&) noexcept;
  Records& operator=(Records&&) noexcept;
  ~Records();
  const StoredRecord* begin() const;
  const StoredRecord* end() const;
  bool empty() const { return begin() == end(); }
  Offset next() const;  // where to go on reading

  struct Impl;
  explicit Records(std::unique_ptr<Impl>);

 private:
  std::unique_ptr<Impl> impl_;
};

// A scan over a stream: reads ahead, allocates nothing per record. One thread at a time.
class Reader {
 public:
  // nullptr: the end for now; a later call goes on when there is more. The view lives until the
  // following call.
  Result<const StoredRecord*> next();
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;
  ~Reader();

  struct Impl;
  explicit Reader(std::unique_ptr<Impl>);

 private:
  std::unique_ptr<Impl> impl_;
};

// What a restart or a crash does to a cursor. The durable position is never beyond what was read or
// committed, so that nothing is skipped.
//   kAtMostOnce   read() makes the position durable before it returns: nothing it returned comes
//                 again.
//   kAtLeastOnce  read() makes the position durable whenever `persist_every` records were read
//                 since the last time: at most so many come again.
// Both count what read() returned, not what was done with it. To get again what was not finished,
// peek(), do the work, commit().
enum class Delivery { kAtMostOnce, kAtLeastOnce };

struct CursorOptions {  // of one handle; the position is shared by all handles of the name
  Delivery delivery = Delivery::kAtLeastOnce;
  std::uint32_t persist_every = 1;  // records between durable positions; 0 acts as 1
  Offset start{};                   // for a cursor that does not exist yet
};

// A shared position: no two reads return one record. A read at the end costs no I/O. The position
// follows a trim up and a truncation down. A copyable handle.
class Cursor {
 public:
  Result<Records> read(const ReadOptions& = {});  // moves; kAtMostOnce: durable before it returns
  Result<Records> peek(const ReadOptions& = {}) const;  // does not move
  Result<void> commit(Offset next);     // durable on return; also the seek, both ways; kOutOfRange
  Result<Offset> position() const;      // of the next record
  Result<std::int64_t> unread() const;  // offsets between the position and the high watermark

  struct Impl;
  explicit Cursor(std::shared_ptr<Impl>);

 private:
  std::shared_ptr<Impl> impl_;  // shared: may outlive its Log, then kClosed
};

struct StreamInfo {
  std::string name;
  std::uint64_t id = 0;  // never given again in this directory
  StreamOptions options;
  bool clean = true;                            // see Stream::mark_clean
  Offset log_start, high_watermark, log_end;    // first kept; end of the acknowledged; of all
  std::int64_t segments = 0;                    // the open one included
  std::int64_t bytes = 0, reclaimed_bytes = 0;  // batches that are kept; given back so far
  std::optional<Time> oldest, newest;           // none: no record
};

// A copyable handle; all copies mean the same stream. Once it is removed: kNotFound.
class Stream {
 public:
  // Answer the (first) offset when the stream's durability is reached; all of the batch or nothing
  // of it, for readers and across crashes. No records: nothing happens, the answer is the next
  // offset. After kIo it is not known whether the records are there. kTooLarge, kMismatch, kFenced.
  Result<Offset> append(const Record&, const AppendOptions& = {});
  Result<Offset> append(std::span<const Record>, const AppendOptions& = {});
  using Done = std::move_only_function<void(Result<Offset>)>;
  // Copies the records, waits while more than in_flight_bytes_max are unanswered. `Done` runs on
  // the flusher's thread, or on this one where the answer is known at once: hand over, never block.
  void append_async(std::span<const Record>, const AppendOptions&, Done);
  std::future<Result<Offset>> append_async(std::span<const Record>, const AppendOptions& = {});
  // Below the log start and above the end: kOutOfRange. At the end: empty.
  Result<Records> read(Offset from, const ReadOptions& = {}) const;
  Result<Reader> scan(Offset from, const ReadOptions& = {}) const;
  Result<Offset> find(Time) const;  // first record not older; none: the high watermark
  // Opened, or made. 1 to 255 bytes, else kInvalid.
  Result<Cursor> cursor(Bytes name, const CursorOptions& = {});
  Result<std::vector<std::string>> cursors() const;
  Result<void> remove_cursor(Bytes name);  // its handles answer kNotFound
  Result<StreamInfo> info() const;
  Result<void> alter(const StreamOptions&);  // all of them: begin with info()->options
  // A flag for the user: a new stream is clean, every append and every truncation marks it dirty,
  // nothing else does. Durable on return, survives restarts; see StreamInfo::clean.
  Result<void> mark_clean();
  Result<void> mark_dirty();
  // Head and tail, kOutOfRange beyond the log. Offsets of a dropped tail are given again, in a
  // higher epoch.
  Result<void> trim(Offset first_kept);
  Result<void> truncate(Offset first_dropped);
  Result<void>
  compact();            // sealed segments, now, whatever the schedule; see StreamOptions::compact
  Result<void> sync();  // all appended so far is on the disk

  struct Impl;
  explicit Stream(std::shared_ptr<Impl>);

 private:
  std::shared_ptr<Impl> impl_;
};

class Log {  // move only; the destructor closes and drops the error
 public:
  static Result<Log> open(const Options&);  // kLocked names the holder's pid; kVersion, kCorrupt
  Log(Log&&) noexcept;
  Log& operator=(Log&&) noexcept;
  ~Log();
  // Waits for the calls that run, those that wait for records answer kClosed; syncs, checkpoints,
  // releases the directory. Not from a Done callback.
  Result<void> close();
  // A name has 1 to 255 bytes, any but NUL, and is never a file's name. kInvalid, kExists.
  Result<Stream> create(Bytes name, const StreamOptions& = {});
  Result<Stream> stream(Bytes name) const;                        // kNotFound
  Result<void> remove(Bytes name);                                // kNotFound
  Result<std::vector<StreamInfo>> list(Bytes prefix = {}) const;  // by name
  Result<void> checkpoint();  // journal into segment files now; the journal is empty afterwards
  // A consistent copy while writes go on, of all that is on the disk. `to` is made, or is empty;
  // else kExists.
  Result<void> backup(const std::filesystem::path& to);

  struct Impl;
  explicit Log(std::unique_ptr<Impl>);

 private:
  std::unique_ptr<Impl> impl_;
};

struct Finding {
  std::filesystem::path file;
  std::int64_t position = 0;
  Code code = Code::kCorrupt;
  std::string what;
};

// Reads every byte below `directory` that a checksum covers, namespaces and spare copies too.
// Empty: every checksum holds. Reads only, also beside a running writer.
Result<std::vector<Finding>> verify(const std::filesystem::path& directory);

// Copies a backup into a directory that does not exist yet or is empty.
Result<void> restore(const std::filesystem::path& backup, const std::filesystem::path& to);

}  // namespace walrus
