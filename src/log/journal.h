#pragma once
// The journal of one shard: sequential, preallocated, recycled files that all streams of the shard
// share, so that a group costs one sync whatever the number of streams.
//
// File (journal/<shard>/<sequence>.wal): header block, its copy, then groups.
//
//   position  size  journal file header, at positions 0 and 4096
//          0     8  magic "WALRUSJ1"
//          8     4  format version (1)
//         12     4  CRC-32C of bytes 0 to 11, then of 16 to 95
//         16    16  directory UUID
//         32     8  sequence, as in the name
//         40     8  nonce, drawn anew at each activation
//         48     8  base lsn: the lsn of position 0
//         56     8  file size
//         64     8  sequence of the file before it; 0: none
//         72     8  lsn at which the log leaves the file before it
//         80     8  layout
//         88     4  shard
//         92     4  zero
//
//   position  size  group header, at a multiple of 4096
//          0     4  magic "WGRP"
//          4     4  CRC-32C of 8 to 39, begun from the value of the magic
//          8     8  nonce of the file
//         16     8  lsn of this header
//         24     8  synced_to: a sync of everything below had returned when this was encoded
//         32     8  exact end of the frame before this group
//
//   position  size  frame, one behind the other
//          0     4  CRC-32C, below
//          4     4  payload length
//          8     8  stream id
//         16     8  offset
//         24     4  epoch
//         28     1  type (FrameType)
//         29     1  flags
//         30     2  zero
//         32     .  payload
//
//   The frame's CRC covers the nonce, the frame's lsn, its header from 4 on, and its payload; of a
//   batch only the first 21 bytes, which hold the batch's own CRC of the rest.
//
// An lsn is a place in the shard's journal: base lsn of the file + position. A group is what one
// sync covers; it starts on a new block, and no block is written again after a sync was issued for
// it; the rest of its last block is zeros. The largest synced_to found at recovery is D: a bad
// frame below D is corruption (never cut), one at or above D was never known to be synced (the log
// ends there, whatever follows). Recovery appends to no file it found: frames at or above D are
// copied into a new file and synced, and a mark behind them.
//
// Two ways to encode. Mapped: into the page cache through a shared mapping. Written: into memory,
// one write a group. Not thread-safe: the shard's lock is held, except in SyncJob::run().

#include <algorithm>
#include <boost/align/aligned_allocator.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/env.h"
#include "record/batch.h"

namespace walrus::log {

using Lsn = std::uint64_t;

constexpr std::int64_t kBlockBytes = 4096;
constexpr std::int64_t kJournalHeaderBytes = 96;
constexpr std::int64_t kFirstGroup = 2 * kBlockBytes;
constexpr std::int64_t kGroupHeaderBytes = 40;
constexpr std::int64_t kFrameHeaderBytes = 32;
// Behind every frame stays room for two more blocks: one for the mark of its group, and one for a
// group header and an end frame.
constexpr std::int64_t kTailBytes = 2 * kBlockBytes;
static_assert(kGroupHeaderBytes + kFrameHeaderBytes <= kBlockBytes);
constexpr std::uint32_t kJournalVersion = 1;

enum class FrameType : std::uint8_t {
  kBatch = 1,     // offset = base offset; payload = one record batch
  kState = 2,     // flags = Table; payload: key, 0 or 1, value
  kTrim = 3,      // offset = first kept; of an empty stream also beyond its end, which moves there
  kTruncate = 4,  // offset = first dropped, epoch = the new one; payload: nothing or one batch
  kDrop = 5,      // the stream is gone
  kEnd = 6,       // the log goes on in the file with sequence `offset`
};
constexpr std::uint8_t kOpensSegment = 1;  // flag of kBatch and kTruncate's batch
// The stream of the catalogue and of the shard's own state: it holds state and nothing else.
constexpr std::uint64_t kCatalogStream = 0;

struct Frame {
  FrameType type{};
  std::uint8_t flags = 0;
  std::uint64_t stream = 0;
  std::int64_t offset = 0;
  std::int32_t epoch = 0;
  std::uint32_t length = 0;  // of the payload
};

// One journal file in use or ready for use. Shared: a reader that copies from it pins it.
struct JournalFile {
  io::Path path;
  std::unique_ptr<io::File> file;
  std::span<char> map;  // empty when written
  std::uint64_t sequence = 0, nonce = 0;
  std::uint64_t prev_sequence = 0;  // the file that the log left for this one
  Lsn prev_end = 0;                 // where it left it
  Lsn base_lsn = 0;
  std::int64_t size = 0;
  Lsn end_lsn = 0;  // where the log leaves it; known once a later file is active
};
using JournalFileRef = std::shared_ptr<JournalFile>;

// Where a payload lies: for readers, who copy it after the lock is released.
struct PayloadRef {
  JournalFileRef file;
  std::int64_t position = 0;
};

struct JournalOptions {
  io::Path directory;  // journal/<shard>
  io::Path reserve;    // a file that gives way when the disk has no room for what recovery copies
  std::string directory_uuid;
  std::uint64_t layout = 0;
  std::int32_t shard = 0;
  bool mapped = true, read_only = false;
  std::int64_t file_bytes_min = 8 << 20, file_bytes_max = 128 << 20, bytes_max = 1 << 30;
};

// Where a replay begins: in file `sequence` at `lsn`; or, when the log has left that file there, in
// the file that names it as its predecessor.
struct JournalStart {
  std::uint64_t sequence = 0;
  Lsn lsn = 0;
  bool left = true;
};

// What one sync covers: taken under the lock, run without it, given back under it.
struct SyncJob {
  struct Range {
    JournalFileRef file;
    std::int64_t from = 0, to = 0;
    std::shared_ptr<const std::string> bytes;  // written journals: what to write at `from`
  };
  std::vector<Range> ranges;
  Lsn end = 0;        // exact end of the last frame
  Lsn synced_to = 0;  // the largest synced_to in its group headers
  bool sync = true;   // false: write only
  bool mark = false;  // what was synced before it should be vouched for

  std::int64_t bytes() const;
  Result<void> run() const;
};

struct GroupHeader {
  std::uint64_t nonce = 0;
  Lsn lsn = 0, synced_to = 0, prev_end = 0;
};

class Journal {
 public:
  using Apply = std::function<Result<void>(const Frame&, Lsn payload, Bytes bytes)>;

  Journal(io::Env&, const JournalOptions&);

  // Replays what lies at or above `start`, in order. kCorrupt, kVersion. Afterwards everything
  // applied is on the disk (unless read only).
  Result<void> recover(const JournalStart& start, const Apply&);
  // After recover(): something was written behind the last good frame.
  bool opened_torn() const { return opened_torn_; }
  // After recover(): what it wrote past the page cache, once; the segment writer wants it there.
  struct Uncached {
    JournalFileRef file;
    std::int64_t bytes = 0;  // from the front of the file on
  };
  std::vector<Uncached> take_uncached() { return std::exchange(uncached_, {}); }
  // After recover(): adds the copies of headers that are damaged while the other one serves.
  void verify(std::vector<Finding>& findings) const;
  // Where a replay of what is not encoded yet would begin: the start of the next manifest.
  JournalStart next_start() const;

  // Room for one frame: where to encode its payload of `length` bytes. kBusy: no file with
  // room; ask for one with want_file(). System frames may use the last spare, user frames not.
  Result<char*> reserve(std::uint32_t length, bool user);
  // Completes the reserved frame. Returns the lsn of its payload; end() is then its end.
  Lsn commit(const Frame&);

  Lsn end() const { return end_; }          // exact end of the last frame
  Lsn written() const { return written_; }  // in the page cache up to here
  Lsn synced() const { return synced_; }    // on the disk up to here
  bool needs_mark() const { return synced_ > marked_; }
  // 0 if nothing is unsynced (or unwritten).
  bool has_unsynced() const { return end_ > synced_; }

  // Closes the open group. `mark`: if everything is synced, appends an empty group that carries
  // synced(); else what is synced by this job wants another mark. At most one job is out at a time.
  SyncJob begin_sync(bool mark);
  SyncJob begin_write();  // written journals: makes frames readable without a sync
  // Only the header of the file with that sequence, if no sync of it was begun: with it a manifest
  // may say that the journal begins there, whatever of the frames before is on the disk.
  std::optional<SyncJob> begin_header_sync(std::uint64_t sequence);
  void finish(const SyncJob&);
  void close_group();  // what follows begins on a new block

  // Files. A file is needed until the checkpoint is beyond it.
  // The manifest that says so is durable: what lies below has no need of the disk any more.
  void release_below(Lsn start);
  std::int64_t used_bytes() const;  // of files that are still needed
  std::int64_t total_bytes() const;
  std::uint64_t active_sequence() const { return active_ ? active_->sequence : next_sequence_; }
  // Preparing spares does I/O without the lock: plan under the lock, run, then give it back.
  struct FilePlan {
    JournalFileRef file;  // null: a new one, or only files to remove
    io::Path path;
    std::uint64_t sequence = 0;
    std::int64_t size = 0;
    std::vector<io::Path> remove;  // released files of another size, or beyond the limit
    bool recycles = false;
    std::int64_t zeros = 0;  // of a new file: written up to here
    std::int64_t room = 0;   // in the active file when it was planned
  };
  void want_file(std::int64_t payload_bytes);
  bool wants_plan() const { return !has_enough() || !released_.empty(); }
  // What all files may take together, if that is less than the options say; never less than four
  // small files need. Released ones go where it is exceeded; new ones come then only if the log is
  // in one file, since nothing that is written out would make room.
  void limit(std::int64_t bytes);
  std::int64_t bytes_max() const { return bytes_max_; }
  bool plan_file(FilePlan&);  // false: nothing to do
  // Beyond the limit, too: what is there was within the limit of before, and makes room only when
  // something can be written.
  bool plan_file_at_open(FilePlan&);
  // No lock. A new file takes long, so it comes a MiB at a time; false: there is more to do.
  Result<bool> prepare_some(FilePlan&) const;
  Result<JournalFileRef> prepare(FilePlan) const;
  void discard(FilePlan&) const;  // what there is of it
  // The log will not reach the end of the active file before the planned one is ready, if they go
  // on as they have since.
  bool keeps_up(const FilePlan&) const;
  bool is_making_file() const { return planned_bytes_ > 0; }
  void add_spare(JournalFileRef);
  void plan_failed(const FilePlan&);
  std::size_t spares() const { return spares_.size(); }
  Result<void> fill_spares();  // at open, when nobody else prepares files

  // Mapped: faulting pages in where the log will go next, on another core, is what keeps an append
  // at the price of a copy. Plan under the lock, run without it.
  struct PopulatePlan {
    JournalFileRef file;
    std::int64_t from = 0, to = 0;
  };
  bool plan_populate(PopulatePlan&);
  bool wants_populate() const { return active_ && position_ >= populate_at_; }

  // Where to find a payload. The pin keeps the file from being recycled.
  PayloadRef locate(Lsn payload) const;
  // Copies; a payload that is not written yet is copied from memory (the lock is held then).
  bool in_memory(Lsn payload) const { return payload >= written_; }
  Bytes memory_bytes(Lsn payload, std::size_t length) const;
  static Result<void> copy(const PayloadRef&, std::size_t length, char* to);
  // Where it is mapped, while the pin lives; nullopt: the journal is not mapped.
  static std::optional<Bytes> mapped(const PayloadRef&, std::size_t length);

  // Files that a backup must copy to hold [start, synced()].
  std::vector<JournalFileRef> files() const { return active_files_; }

 private:
  struct Found;   // a file of the directory at recovery
  struct Replay;  // the state of one recovery
  class Window;
  Result<std::vector<Found>> find_files();
  Result<void> survey(Replay&, std::vector<Found>&, const JournalStart&);
  Result<Found*> first_file(const Replay&, const JournalStart&) const;
  Result<void> check_end(const Replay&, const Found& last, bool followed) const;
  Result<void> check_nothing_follows(const Replay&, std::uint64_t sequence) const;
  static Result<bool> is_torn(Replay&, const Found& last, bool followed);
  static Result<std::optional<GroupHeader>> group_at(Window&, const JournalFile&,
                                                     std::int64_t position);
  bool has_room_for_copies(const std::vector<Found>&) const;
  Result<void> replay_file(Replay&, const Found&, Lsn limit);
  Result<void> replay_frame(Replay&, const Found&, const Frame&, Bytes whole, Lsn lsn);
  Result<void> end_replay(Replay&);
  Result<char*> reserve_for_copy(Replay&, std::uint32_t length);
  Result<JournalFileRef> prepare_copy(const FilePlan&) const;
  Result<void> write_copies();
  Result<void> complete_copy();
  bool make_room(Replay&, const FilePlan& failed, std::uint32_t length);
  std::vector<Found*> find_unused(const Replay&);

  Result<void> activate(JournalFileRef);
  void write_header(const JournalFileRef&, std::vector<SyncJob::Range>& to);
  void start_file(const JournalFileRef&);
  void open_group();
  void clear_behind(std::int64_t end);
  char* at(std::int64_t position);
  bool mapped() const { return options_.mapped && !writes_copies_; }
  bool has_enough() const;  // spares
  std::int64_t room() const { return active_ ? active_->size - position_ : 0; }
  Result<void> grow(FilePlan&) const;
  std::int64_t least_bytes() const { return std::max(options_.file_bytes_min, wanted_bytes_); }

  io::Env& env_;
  JournalOptions options_;
  std::vector<JournalFileRef> active_files_;  // by sequence; the last one is active_
  JournalFileRef active_;
  std::vector<JournalFileRef> spares_;    // prepared, by sequence
  std::vector<JournalFileRef> released_;  // to be recycled once nobody pins them
  std::uint64_t next_sequence_ = 1;
  std::int64_t bytes_max_;  // of the options, or less
  std::int64_t wanted_bytes_ = 0;
  std::int64_t affordable_bytes_ = 0;  // a new file may have, after a full disk; 0: any size
  std::int64_t planned_bytes_ = 0;

  std::int64_t position_ = 0;     // in the active file: the next byte
  std::int64_t populated_ = 0;    // in the active file: faulted in up to here
  std::int64_t populate_at_ = 0;  // position at which more of it should be
  bool group_open_ = false;
  std::int64_t group_start_ = 0;
  std::int64_t cleared_to_ = 0;  // of the active file: nothing old from the last frame up to there
  std::uint32_t nonce_crc_ = 0;
  std::string buffer_;  // written: the open group's bytes, from buffer_start_
  std::int64_t buffer_start_ = 0;
  std::deque<SyncJob::Range> unsynced_;  // closed ranges; written ones hold their bytes
  std::vector<SyncJob::Range> writing_;  // being written: still readable from memory

  JournalFileRef unlinked_;  // at recovery: the first new file, whose header is written last
  std::vector<Finding> damaged_copies_;  // of headers known to be synced; found by recover()
  bool copying_ = false, opened_torn_ = false;
  // What recovery copies is written, and its files get zeros only where it leaves them empty. Else,
  // where the disk may be full, they are prepared as all others are.
  bool writes_copies_ = false;
  std::vector<Uncached> uncached_;
  // On the way past the page cache.
  std::vector<char, boost::alignment::aligned_allocator<char, io::kDirectBytes>> copies_;
  std::uint64_t prev_sequence_ = 0;  // what the next activated file names as its predecessor
  Lsn prev_end_ = 0;
  std::uint32_t reserved_ = 0;
  Lsn end_ = 0, written_ = 0, synced_ = 0, marked_ = 0, group_synced_to_ = 0;
};

// Parsing, shared by recovery, verify and the fuzz targets.
struct JournalHeader {
  std::string directory_uuid;
  std::uint64_t sequence = 0, nonce = 0, prev_sequence = 0, layout = 0;
  Lsn base_lsn = 0, prev_end = 0;
  std::int64_t size = 0;
  std::int32_t shard = 0;
};
std::string encode_journal_header(const JournalHeader&);
// kCorrupt: neither copy holds; kVersion. `block` is one block.
Result<JournalHeader> decode_journal_header(Bytes block);
void encode_group_header(const GroupHeader&, char* to);
std::optional<GroupHeader> decode_group_header(Bytes);
std::uint32_t frame_crc(std::uint32_t nonce_crc, Lsn lsn, const char* header, Bytes payload,
                        FrameType);
// The frame at the front of `bytes`; none where its CRC (or the batch's own) does not hold.
std::optional<Frame> decode_frame(Bytes bytes, std::uint32_t nonce_crc, Lsn lsn);
std::uint32_t nonce_crc(std::uint64_t nonce);

constexpr std::int64_t round_up(std::int64_t position) {
  return (position + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}
// The least size of a file that takes a frame with such a payload.
constexpr std::int64_t file_bytes_for(std::int64_t payload) {
  return round_up(kFirstGroup + kGroupHeaderBytes + kFrameHeaderBytes + payload) + kTailBytes;
}

}  // namespace walrus::log
