#pragma once
// SimDisk: the disk of one simulated node with its page cache. It outlives the node's incarnations.
//
// Each file has durable content (what a power cut leaves) and cached content (what is read, what
// write() changes, and what map() points to). 512-byte sectors, 4 KiB pages.
//  - sync() makes the whole file and its size durable, sync_range() the sectors of its range, but
//    not the size; sync_directory() makes durable what happened to the names in that directory.
//    Syncing a file does not make its name durable.
//  - Writeback: before an operation, a range of unsynced bytes may become durable by itself, as
//    the kernel does; so an intermediate content may survive a cut too. Not a fault: always on.
//  - Kill: the cached content survives as it is.
//  - Power cut: each sector that differs between cache and disk becomes old, new or torn (the
//    first bytes new, the rest old; garbage by option). A size that is not durable: old or new;
//    the new part of a grown file reads as zeros where nothing was written back. Unsynced changes
//    of names are kept or lost: those that share a name (a file made, then renamed) in order,
//    independent ones independently; a rename is one unit.
//  - From the crash on, mappings of the old incarnation point to a detached copy.
//  - A page whose write was lost (failed sync, lost or misdirected write) is clean: it reads new
//    until it is evicted, at some later operation, and then old; a later sync does not write it
//    unless it was changed again.
//  - A slow or stuck sync: the worker or loop that called it runs again only after the virtual
//    delay; called from the test itself, all workers and loops of the node wait so long. The call
//    itself returns at once, because one thread runs the whole world.
// A mapped file cannot grow (kInvalid).

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/env.h"

namespace walrus::io {

// Probabilities per operation unless said otherwise. All off by default.
struct DiskFaults {
  double open_error = 0;         // EMFILE: kBusy
  double read_error = 0;         // EIO
  double write_error = 0;        // EIO; a part may have been written
  double no_space = 0;           // ENOSPC although there is room; a part may have been written
  double short_io = 0;           // per system call: fewer bytes than asked for, or EINTR
  double sync_error = 0;         // per sync: EIO, dirty pages dropped
  double lost_write = 0;         // per sync that reports success: one dirty page never lands
  double misdirected_write = 0;  // per sync that reports success: one page lands elsewhere
  double bit_rot = 0;            // per operation of the disk: one bit of some file flips
  double slow_sync = 0;          // per sync: between slow_min and slow_max
  double stuck_sync = 0;         // per sync: stuck_for
  double garbage_sector = 0;     // per torn sector at a power cut: garbage instead
  Nanos slow_min = std::chrono::milliseconds(10), slow_max = std::chrono::seconds(1);
  Nanos stuck_for = std::chrono::seconds(60);
};

struct DiskOptions {
  std::int64_t capacity_bytes = std::int64_t{1} << 40;
  std::int64_t open_files_max = 1 << 20;  // above it opening fails like EMFILE
  double writeback = 0.05;                // per operation
  double evict = 0.02;                    // per operation, for each page whose write was lost
  double torn = 0.25;                     // of the sectors that differ at a cut; rest: old or new
  DiskFaults faults{};
};

enum class CrashKind { kKill, kPowerCut };  // kKill: the page cache survives

// Counters by family: open_error, read_error, write_error, no_space, short_io, sync_error,
// dropped_page (by a failed sync), lost_write, misdirected_write, bit_rot, slow_sync, stuck_sync,
// evicted_page, torn_sector, old_sector, new_sector, garbage_sector, old_size, new_size, lost_name,
// kept_name, writeback.
using FaultHits = std::map<std::string, std::int64_t>;

struct SimDiskState;

// What a test does to a disk; the node under test sees it through its Env alone.
class SimDisk {
 public:
  explicit SimDisk(std::unique_ptr<SimDiskState>);
  SimDisk(SimDisk&&) noexcept;
  ~SimDisk();
  DiskOptions& options();  // may be changed at any time
  const FaultHits& hits() const;
  std::uint64_t operations() const;  // of all incarnations so far
  std::int64_t used_bytes() const;

  // Flips `bits` random bits (different ones) of durable and cached content, each within
  // [position, position + length) of the file; length 0: up to its end. kNotFound, kInvalid.
  Result<void> rot(const Path&, std::int64_t position, int bits, std::int64_t length = 0);
  // What a test may look at, without faults, operations or traces.
  Result<std::string> cached(const Path&) const;
  Result<std::string> durable(const Path&) const;  // kNotFound: the name is not durable
  std::vector<Path> files() const;                 // all files by their cached names, sorted
  // Replaces or makes a file, durable at once: for planted damage and foreign files.
  Result<void> plant(const Path&, Bytes content);

  SimDiskState& state() { return *state_; }

 private:
  std::unique_ptr<SimDiskState> state_;
};

}  // namespace walrus::io
