#pragma once
// Segment files, pack files and their indexes: everything of a shard's data that has left the
// journal. Knows files and batches; knows nothing of the journal, of streams' state or of locks.
//
// An Extent is a run of contiguous batches of one stream in one file. A stream's stored data is a
// Chain of extents without a gap: each begins where the one before it ends, inside an extent each
// batch begins at the last offset + 1 of the one before (compaction keeps that: a batch then
// covers more offsets than it holds records). Chains are immutable values: readers take a pointer
// and read without a lock, while a checkpoint, a trim or a compaction puts another in its place.
// A file is unlinked when no manifest names it any more; readers that hold it go on reading.
//
// Segment file: header (64 bytes), batches, and when sealed an index and a footer (see
// docs/log-format.md). Pack file: header, batches of many streams in runs. Both are append-only;
// bytes beyond what the manifest names are left from a crash: cut when the file is next written.
//
// Threads: every call from any thread, no lock of the caller's held (they do I/O).

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/event.h"
#include "io/env.h"
#include "log/compaction.h"
#include "record/batch.h"

namespace walrus::log {

// One file of segments/, named by the manifest. Shared by the extents in it.
struct SegmentFile {
  std::string name;          // below segments/, e.g. "3f/17-1000.seg", "pack/0-12.pack"
  std::uint64_t stream = 0;  // 0: a pack file
  std::int64_t base_offset = 0;
  std::int64_t synced_end = 0;  // position; grows at checkpoints only (the store's own lock)
  bool sealed = false;          // has its footer; never written again
};
using FileRef = std::shared_ptr<SegmentFile>;

struct Extent {
  FileRef file;
  std::int64_t position = 0, bytes = 0;          // in the file
  std::int64_t base_offset = 0, end_offset = 0;  // [base, end)
  std::int64_t records = 0;                      // fewer than end - base once compacted
  std::int64_t segment_base = 0;                 // of the segment that it belongs to
  std::int32_t epoch = 0;
  std::int64_t min_timestamp_ms = 0, max_timestamp_ms = 0;
};
using Chain = std::vector<Extent>;
using ChainRef = std::shared_ptr<const Chain>;

// What a checkpoint writes of one stream: batches that follow its chain's end without a gap.
struct Incoming {
  std::uint64_t stream = 0;
  struct Run {  // one segment's part; a roll begins another run
    std::int64_t segment_base = 0;
    std::int32_t epoch = 0;
    bool seals_before = false;  // the segment before this one is complete: write its footer
    std::vector<Bytes> batches;
  };
  std::vector<Run> runs;
  ChainRef chain;  // as it is now; may be null (empty)
};

class SegmentStore {
 public:
  struct Options {
    io::Path root;  // the directory that holds segments/
    int shard = 0;
    std::string directory_uuid;  // 16 bytes, in every file header
    std::int64_t pack_bytes_max = 64 << 10, index_interval_bytes = 16 << 10;
    std::int64_t open_files_max = 256, cache_bytes_max = 256 << 20;
  };
  SegmentStore(io::Env&, const Options&);
  ~SegmentStore();

  // Writes what a checkpoint takes out of the journal, a piece at a time, so that the caller can
  // pace it; the disk is at work on a piece while the next one is copied. `next_file` numbers packs
  // and rewritten files and never goes back. A stream's batches follow each other: once another
  // stream was added, the first may be added to again only after a sync.
  class Write {
   public:
    Write(SegmentStore&, std::uint64_t& next_file);
    ~Write();  // what is not synced is given up: new files are removed, grown ones cut
    // Returns for each Incoming the chain that it now has (old extents kept or grown, new ones
    // added). Streams with less than pack_bytes_max that have no own open file share new pack
    // files. On an error nothing that a manifest names has changed (bytes beyond its ends do not
    // count), and what was added since the last sync is given up: no call follows.
    Result<std::vector<ChainRef>> add(std::span<const Incoming>);
    std::int64_t unsynced_bytes() const;
    // Syncs every file and directory that was touched; only then may a manifest name the chains.
    Result<void> sync();

   private:
    struct Work;
    std::unique_ptr<Work> work_;
  };

  // Appends to `out` the whole batches from the one that holds `from` on, at most `bytes_max` but
  // at least one. Every batch is checked: CRC, contiguity, epoch. kCorrupt names file and position;
  // damage behind the first batch ends the read there and is reported by the one that begins at it.
  // kOutOfRange: the chain does not hold `from`.
  Result<void> read(const Chain&, std::int64_t from, std::int64_t bytes_max, std::string& out);
  // The first offset from `from` on (a log start) whose record is not older than `time_ms`; none if
  // all are older.
  Result<std::optional<std::int64_t>> find_time(const Chain&, std::int64_t time_ms,
                                                std::int64_t from = 0);

  // The chain below `end_offset`, which must be where a batch begins (kInvalid). Writes nothing.
  Result<ChainRef> cut(const Chain&, std::int64_t end_offset);

  // Rewrites extents of a chain into one new own file, or into several that end with segments, all
  // sealed: regroups pack extents, and with a policy drops superseded records. The replacement
  // covers the same offsets. Extents that do not begin where the chain does keep their tombstones:
  // only from the start on it is known what they hide. With a policy the map's limit ends the part
  // that is compacted; the rest is copied. It goes a piece at a time, so that the caller can pace
  // it and do other work in between; the extents' files must stay readable.
  using CompactPolicy = log::CompactPolicy;
  class Rewrite {
   public:
    struct Plan {
      std::uint64_t stream = 0;
      Chain extents{};  // at least one
      bool from_start = true;
      std::optional<CompactPolicy> policy{};
    };
    Rewrite(SegmentStore&, const Plan&, std::uint64_t& next_file);
    ~Rewrite();  // what is not done is given up, and its files removed
    // Reads or copies about `bytes_max`. True: done, and on the disk. Not called after an error.
    Result<bool> step(std::int64_t bytes_max);
    Chain take();  // the replacement, once done
    // With a policy, once done. What lies behind it was too young, from this timestamp on.
    struct Compacted {
      std::int64_t end = 0, bytes = 0;  // offset; what is left below it
      std::optional<std::int64_t> young_ms{};
    };
    Compacted compacted() const;

   private:
    struct Work;
    std::unique_ptr<Work> work_;
  };

  // A checkpoint was given up: these files end again where they ended before it.
  struct Mark {
    FileRef file;
    std::int64_t synced_end = 0;
    bool sealed = false;
  };
  void rewind(std::span<const Mark>);
  Mark mark(const FileRef&);
  // A sync of a file or a directory failed: what is on the disk is not known any more.
  bool sync_failed() const;

  // Unlinks files that no manifest names any more, durably. Quiet about files that are gone. They
  // stay readable through the FileRefs that are alive now: their descriptors are kept as long.
  Result<void> remove(std::span<const FileRef>);
  // Closes unlinked files that no FileRef can read any more: their space returns to the disk.
  void close_unreadable();
  // Files below segments/ that `named` does not hold: this directory's own, left over from a crash,
  // are removed; any other is moved to quarantine/. Returns the names of the moved ones.
  Result<std::vector<std::string>> quarantine_unnamed(std::span<const FileRef> named);
  // Checks that a named file exists and is not shorter than the manifest says (kCorrupt).
  Result<void> check_present(const SegmentFile&);
  // Reads every byte of these chains, of one stream each, and of the files' headers, indexes and
  // footers.
  void verify(std::span<const ChainRef>, std::vector<Finding>& findings);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace walrus::log
