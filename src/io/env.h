#pragma once
// io::Env: the seam to the world. Every clock, random number, file, socket and thread goes through
// it. Two implementations: real (io/real) and simulated (io/sim), which run the same code.
//
// Files. All errors carry the path and what the system said: kIo; kNoSpace for ENOSPC and EDQUOT;
// kReadOnly for EROFS; kNotFound and kExists on open; kBusy for EMFILE and ENFILE. Calls on one
// File may come from several threads.
//
// Durable when: bytes after sync() or a sync_range() that covers them (also bytes stored through
// the mapping); a file's size after sync(); a name (made, renamed, removed) after
// sync_directory() of its directory. After a failed sync nothing is known of the file's unsynced
// bytes and the caller must not use it again.

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/event.h"
#include "base/result.h"

namespace walrus::io {

using Nanos = std::chrono::nanoseconds;
using Path = std::filesystem::path;

constexpr std::size_t kDirectBytes = 4096;

class File {
 public:
  virtual ~File() = default;  // closes and unmaps; never syncs
  // Reads up to the end of the file: fewer bytes than asked for means that the end was reached.
  virtual Result<std::size_t> read(std::int64_t position, std::span<char> to) = 0;
  virtual Result<void> write(std::int64_t position, Bytes) = 0;  // all of it; extends the file
  virtual Result<void> sync() = 0;                               // fdatasync
  virtual Result<void> sync_range(std::int64_t from, std::int64_t to) = 0;  // msync when mapped
  virtual Result<std::int64_t> size() = 0;
  virtual Result<void> truncate(std::int64_t size) = 0;
  // Makes it `size` bytes long and takes the room for them: kNoSpace, if there is none. What is
  // there for the first time reads as zeros, but a sync after a write into it costs more than one
  // where zeros were written.
  virtual Result<void> allocate(std::int64_t size) = 0;
  // Into what was allocated, past the page cache where the file system can: what is stored there
  // later comes into it in small folios.
  virtual Result<void> write_zeros(std::int64_t from, std::int64_t to) = 0;
  // The whole file at its present size, shared, readable and (if opened for writing) writable.
  // Lives as long as this File. One mapping per File.
  virtual Result<std::span<char>> map() = 0;
  virtual void populate(std::int64_t from, std::int64_t to) = 0;  // a hint: fault in for writing
  // A hint: the mapping lets go of its pages there, which come back when they are looked at. The
  // bytes stay.
  virtual void let_go(std::int64_t from, std::int64_t to) = 0;
  // write() of bulk that is not read soon: past the page cache where the file system can, so that
  // it costs no copy and drives nothing out. Position, size and address are multiples of
  // kDirectBytes.
  virtual Result<void> write_direct(std::int64_t position, Bytes) = 0;
};

// kWrite: reads too; kCreate: must not exist yet; kCreatePrivate: the same, and none but its owner
// may read it.
enum class Open { kRead, kWrite, kCreate, kCreatePrivate };
constexpr bool creates(Open how) { return how == Open::kCreate || how == Open::kCreatePrivate; }

struct Entry {
  std::string name;
  bool directory = false;
  std::int64_t size = 0;
};

class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;  // releases
};

class Disk {
 public:
  virtual ~Disk() = default;
  virtual Result<std::unique_ptr<File>> open(const Path&, Open) = 0;
  virtual Result<void> make_directory(const Path&) = 0;  // with parents; existing is fine
  virtual Result<void> sync_directory(const Path&) = 0;
  virtual Result<void> rename(const Path& from, const Path& to) = 0;  // replaces `to`
  virtual Result<void> remove(const Path&) = 0;              // a file or an empty directory
  virtual Result<std::vector<Entry>> list(const Path&) = 0;  // sorted by name
  virtual Result<bool> exists(const Path&) = 0;
  // Exclusive lock on `file`, which is made if need be and holds the pid. kLocked names the holder.
  virtual Result<std::unique_ptr<DirectoryLock>> lock(const Path& file) = 0;
  virtual Result<std::int64_t> free_bytes(const Path&) = 0;
  virtual std::string boot_id() = 0;  // changes only when the page cache is lost
};

// Runs `body` again and again: on a thread of its own (real) or at virtual times drawn from the
// seed (simulated). The body returns for how long it has nothing to do: zero means "again at
// once", kForever "until woken". A body does one thing per call: what may be interleaved with
// other work must be in separate calls, because the simulator interleaves between calls only.
class Worker {
 public:
  static constexpr Nanos kForever = Nanos::max();
  virtual ~Worker() = default;  // after the running call of the body returns, no other follows
  virtual void wake() = 0;      // the body runs soon, also if it was just about to sleep
  // Somebody waits for what each call does, and none takes long: where threads contend for a core
  // it runs as soon as it is woken, not when the other's slice is over (docs/adr/0014). A hint.
  virtual void hurry() {}
};

class Loop;  // io/network.h

class Env {
 public:
  virtual ~Env() = default;
  virtual Nanos mono() = 0;
  virtual Time wall() = 0;
  virtual std::uint64_t random() = 0;
  virtual Disk& disk() = 0;
  virtual std::unique_ptr<Worker> start_worker(std::string name,
                                               std::move_only_function<Nanos()> body) = 0;
  virtual std::unique_ptr<Loop> make_loop() = 0;
  // Blocks the caller until the event is set or `timeout` is over; false = timed out. The
  // simulated one runs the world meanwhile.
  virtual bool wait(Event&, Nanos timeout) = 0;
  virtual int cores() { return 1; }
  virtual bool single_threaded() const { return false; }  // true when simulated
  // A place where a simulated process may die or a rare branch be taken; nothing when real.
  virtual void crash_point(const char*) {}
  virtual bool buggify(const char*) { return false; }
};

Env& real_env();  // one per process; no state but the clock's and the generator's

}  // namespace walrus::io
