#pragma once
// SimInode: one file or directory of a simulated disk, in two versions: cached and durable.
//
// A file's pages are dirty when the cache was written since the last transfer to the disk. Stores
// through a mapping are found by comparing. A lost page is clean although cache and disk differ.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/sim/sim_disk.h"
#include "io/sim/sim_random.h"

namespace walrus::io {

struct Incarnation;
class SimInode;
using SimInodeRef = std::shared_ptr<SimInode>;

inline constexpr std::int64_t kSectorBytes = 512;
inline constexpr std::int64_t kPageBytes = 4096;

// What draws and counts faults; one per disk.
struct DiskChance {
  SimRandom random;
  DiskOptions options;
  FaultHits hits;

  bool fault(const char* family, double probability) {
    if (!random.chance(probability)) return false;
    ++hits[family];
    return true;
  }
};

class SimInode {
 public:
  using Buffer = std::vector<char>;

  SimInode(std::uint64_t id, bool directory) : id_(id), directory_(directory) {}
  std::uint64_t id() const { return id_; }
  bool directory() const { return directory_; }

  // The cache.
  std::int64_t size() const { return std::ssize(*cached_); }
  Bytes content() const { return {cached_->data(), cached_->size()}; }
  void write(std::int64_t position, Bytes);  // extends; the caller checked can_resize
  void resize(std::int64_t size);
  bool can_resize(std::int64_t size) const;  // a mapping pins the buffer
  std::shared_ptr<Buffer> map();
  void unmap();
  bool mapped() const { return mappings_ > 0; }

  // The disk.
  Bytes durable_content() const;
  enum class Outcome { kDone, kFailed };
  // Transfers the dirty pages of [from, to), with lost and misdirected writes as drawn. kFailed:
  // each page is transferred or lost.
  Outcome sync(std::int64_t from, std::int64_t to, DiskChance&);
  void size_synced();
  bool maybe_dirty() const;  // worth a writeback
  void write_back(DiskChance&);
  bool has_lost_pages() const { return !lost_.empty(); }
  void evict(DiskChance&);
  void flip(std::int64_t bit);  // in both versions
  void plant(Bytes content);

  void kill();  // mappings now point to a detached copy
  void cut_power(DiskChance&);

  // Directories.
  std::map<std::string, SimInodeRef> entries, durable_entries;
  // Who holds the lock on this file, if alive.
  std::weak_ptr<Incarnation> locked_by;

 private:
  std::vector<std::int64_t> dirty_pages(std::int64_t from, std::int64_t to);
  bool page_differs(std::int64_t page) const;
  Bytes cached_page(std::int64_t page) const;
  Bytes durable_page(std::int64_t page) const;
  void transfer(std::int64_t page);
  void lose(std::int64_t page);
  void misdirect(std::int64_t page, DiskChance&);
  void mark_dirty(std::int64_t from, std::int64_t to);
  void cut_sector(std::int64_t position, DiskChance&);

  const std::uint64_t id_;
  const bool directory_;
  std::shared_ptr<Buffer> cached_ = std::make_shared<Buffer>();
  Buffer durable_;  // may be longer than durable_size_: written back, but the size is not durable
  std::int64_t durable_size_ = 0;
  std::vector<bool> dirty_;  // by page, as far as anything was ever written
  int mappings_ = 0;
  std::map<std::int64_t, std::string> lost_;  // by page: the cached content when it was lost
};

}  // namespace walrus::io
