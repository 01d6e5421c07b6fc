#pragma once
// The sparse index of one run of batches: for each stretch of index_interval_bytes where a batch
// begins. In the footer of sealed segment files; built from batch headers for everything else; kept
// in memory as long as it is used and fits.

#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "log/segment_format.h"
#include "log/segment_scan.h"
#include "log/segment_store.h"

namespace walrus::log {

// What an index has seen so far; enough to go on where it ends.
struct IndexState {
  std::int64_t end_position = kFileHeaderBytes;  // of the batches seen, padding not counted
  std::int64_t next_offset = 0;
  std::int64_t records = 0;
  std::int64_t min_timestamp = INT64_MAX, max_timestamp = kNoTimestamp;
  std::int64_t entry_position = -1;  // of the last entry; -1: none yet

  // The entry that the batch at `position` begins, if it begins one.
  std::optional<IndexEntry> add(const record::BatchView&, std::int64_t position,
                                std::int64_t interval_bytes);
  Footer footer(std::int64_t index_position) const;
};

struct SparseIndex {
  IndexState state;
  std::vector<IndexEntry> entries;

  void add(const record::BatchView&, std::int64_t position, std::int64_t interval_bytes);
  // The last entry that begins at or before `offset`; none if there is none.
  const IndexEntry* before_offset(std::int64_t offset) const;
  // The last entry with only older batches before it.
  const IndexEntry* before_time(std::int64_t time_ms) const;
};

// Indexes by the run that they describe: a file and the position where the run begins. Least
// recently used ones go when their bytes exceed the bound; the one used last stays. Guarded by the
// store's lock.
class IndexCache {
 public:
  explicit IndexCache(std::int64_t bytes_max) : bytes_max_(bytes_max) {}

  // Valid until the next call of anything here.
  const SparseIndex* find(const FileRef&, std::int64_t run_position);
  void put(const FileRef&, std::int64_t run_position, SparseIndex);
  // Appends to the index of the run if it is here and ends at `from`.
  void extend(const FileRef&, std::int64_t run_position, std::int64_t from,
              std::span<const IndexEntry> added, const IndexState& state);
  void drop(const FileRef&, std::int64_t run_position);
  std::int64_t bytes() const { return bytes_; }
  std::size_t size() const { return slots_.size(); }

 private:
  struct Key {
    const SegmentFile* file;
    std::int64_t position;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const {
      return std::hash<const void*>()(key.file) ^ (static_cast<std::size_t>(key.position) << 1);
    }
  };
  struct Slot {
    Key key;
    std::weak_ptr<SegmentFile> file;  // tells a new file at a reused address from the old one
    SparseIndex index;
    std::int64_t bytes = 0;
  };
  using Place = std::list<Slot>::iterator;

  Place lookup(const FileRef&, std::int64_t run_position);
  void account(Slot&);
  void erase(Place);

  std::int64_t bytes_max_, bytes_ = 0;
  std::list<Slot> slots_;  // most recently used first
  std::unordered_map<Key, Place, KeyHash> places_;
};

bool is_same_file(const std::weak_ptr<SegmentFile>&, const FileRef&);

}  // namespace walrus::log
