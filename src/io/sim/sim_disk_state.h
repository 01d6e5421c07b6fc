#pragma once
// The inside of a SimDisk: the tree of names in both versions, space, and what happens before each
// operation. Paths are absolute and normal here. Every call is one that succeeded or failed at the
// level of system calls, without the crash and trace machinery, which is the incarnation's.

#include <deque>
#include <string>
#include <vector>

#include "io/sim/sim_disk.h"
#include "io/sim/sim_inode.h"

namespace walrus::io {

struct SimDiskState {
 public:
  SimDiskState(std::uint64_t seed, int node, const DiskOptions&);

  // The tree. Null: not there.
  SimInodeRef find(const Path&) const;
  SimInodeRef find_durable(const Path&) const;
  SimInodeRef parent_of(const Path&) const;         // null also when it is no directory
  SimInodeRef create(const Path&, bool directory);  // the parent exists, the name does not
  void remove(const Path&);
  void rename(const Path& from, const Path& to);
  void sync_directory(const SimInodeRef&);

  // Space. grow() returns up to which size the file may grow now.
  std::int64_t room_to_grow(const SimInode&, std::int64_t size);
  std::int64_t used_bytes() const;

  void before_operation();  // writeback, eviction, rot
  void crash(CrashKind);
  std::string boot_id() const;
  const SimInodeRef& root() const { return root_; }

  DiskChance chance;
  std::uint64_t operations = 0;

  static Path normal(const Path&);

 private:
  // One change of names: `set` null removes. Kept or lost as a unit.
  struct Setting {
    SimInodeRef directory;
    std::string name;
    SimInodeRef set;
  };
  using Change = std::vector<Setting>;

  void change(Change);
  static void apply_durable(const Change&);
  static bool share_name(const Change&, const Change&);
  void cut_names();
  void forget_cached_names(const SimInodeRef& directory);

  const std::uint64_t seed_;
  const int node_;
  int cuts_ = 0;
  std::uint64_t last_id_ = 0;
  SimInodeRef root_;
  std::map<std::uint64_t, SimInodeRef> files_;  // that have a cached name, by id
  std::deque<Change> pending_;                  // not durable yet, in order
};

}  // namespace walrus::io
