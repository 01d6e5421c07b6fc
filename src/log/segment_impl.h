#pragma once
// The inside of SegmentStore, shared by its parts: segment_store.cc (reading), segment_write.cc,
// segment_rewrite.cc, segment_verify.cc.

#include <atomic>
#include <set>

#include "log/segment_file.h"
#include "log/segment_store.h"

namespace walrus::log {

struct SegmentStore::Impl {
  Impl(io::Env& environment, const Options& given)
      : env(environment),
        options(given),
        segments(given.root / "segments"),
        files(environment.disk(), segments, given.directory_uuid, given.open_files_max),
        indexes(given.cache_bytes_max) {}

  // Where in a run to begin to look.
  struct Place {
    std::int64_t position = 0, offset = 0;
  };
  // The batch at which a read begins, and what was read on the way.
  struct Start {
    Place place;
    std::string window;  // the file from window_position on; holds at least that batch's header
    std::int64_t window_position = 0;
  };

  struct Taken {
    std::int64_t bytes = 0;     // of whole, good batches
    std::int64_t consumed = 0;  // of the file: with the padding between them
    std::int64_t next_offset = 0;
    std::int64_t needed = 0;  // bytes of the batch that was not there as a whole
  };
  // What may be taken: whole batches up to `budget` bytes, at least one if `first`.
  struct Appetite {
    std::int64_t budget = 0;
    bool first = false;
  };

  // Appends batches of one extent from the one that holds `from` on. True: up to the extent's end.
  Result<bool> read_extent(const Extent&, std::int64_t from, const Appetite&, std::string& out);
  Result<Taken> take(io::File&, const Extent&, Start&, const Appetite&, std::string& out);
  Result<Start> find_batch(io::File&, const Extent&, std::int64_t from, Place);
  Result<Place> place_of_offset(io::File&, const Extent&, std::int64_t offset);
  Result<Place> place_of_time(io::File&, const Extent&, std::int64_t time_ms);
  // The first offset from `from` on with a record that is not older than `time_ms`.
  Result<std::optional<std::int64_t>> find_time_in(const Extent&, std::int64_t time_ms,
                                                   std::int64_t from);
  // Makes the index of the extent's run reach to the extent's end, as far as the bytes are good.
  Result<void> cover(io::File&, const Extent&);
  Result<SparseIndex> load_index(io::File&, const SegmentFile&, std::int64_t file_end);
  std::int64_t run_position(const Extent& extent) const {
    return extent.file->stream == 0 ? extent.position : kFileHeaderBytes;
  }

  io::Env& env;
  const Options options;
  const io::Path segments;
  OpenFiles files;
  // Guards the indexes, the directories, and synced_end and sealed of every file.
  Lock lock;
  IndexCache indexes;
  std::atomic<bool> sync_failed = false;  // of a segment file or a directory
  std::set<std::string> directories;      // below segments/, whose names are on the disk
};

// The names that writing has made, and what has to be synced for them.
class NewNames {
 public:
  explicit NewNames(SegmentStore::Impl& store) : store_(store) {}
  // A new file in segments/<directory of name>, which is made if need be.
  Result<SegmentWriter> create(const std::string& name, const SegmentHeader&);
  // A segment file for batches from `base_offset` on: numbered, or under its plain name if free.
  Result<SegmentWriter> create_segment(std::uint64_t stream, std::int64_t base_offset,
                                       bool numbered, std::uint64_t& next_file);
  Result<void> sync();

 private:
  Result<void> sync_all();
  SegmentStore::Impl& store_;
  std::set<std::string> touched_;  // directories below segments/
};

}  // namespace walrus::log
