#pragma once
// Machine: what a group's log is folded into. Implemented by whoever uses a Node; the same commands
// in the same order have to give the same state and the same replies on every node: no clock, no
// random numbers, no pointers as order.
//
// Threads: one call at a time, on the thread that NodeOptions::runs says. A call may take as long
// as it likes on a worker: elections, heartbeats and replication do not wait for it; with kLoop it
// has to be quick, because everything else of the process waits.
//
// An error out of apply(), freeze() or restore() fails this group on this node, for good until it
// is opened again: nothing later is applied, it does not vote or lead any more, NodeStatus::failure
// says why. Other groups live on. A command that cannot be done is a reply, not an error.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "raft/event.h"

namespace walrus::raft {

struct Command {
  EntryId at{};   // its place in the log: index and term
  Bytes bytes{};  // while the call lasts
};

class SnapshotSink {
 public:
  virtual ~SnapshotSink() = default;
  // Takes any number of bytes; blocks while the disk has no room for more. After an error
  // (kNoSpace, kIo, kClosed: the node stops, or has something newer) the view should give up with
  // it: the group lives on and tries again later.
  virtual Result<void> write(Bytes) = 0;
};

class SnapshotSource {
 public:
  virtual ~SnapshotSource() = default;
  // The next bytes, at least one unless `to` is empty; 0: the end. kCorrupt, kIo.
  virtual Result<std::size_t> read(std::span<char> to) = 0;
};

// The state as of one moment, which does not change while commands go on.
class Frozen {
 public:
  virtual ~Frozen() = default;
  // Writes the next part of it. False: that was all. Called again until then, on a worker of the
  // host, where snapshots of all groups are written one after the other; a part of a few 100 KiB
  // lets reads of others in between. An error of the sink comes back unchanged; any other error
  // fails the group.
  virtual Result<bool> write(SnapshotSink&) = 0;
};

class Machine {
 public:
  virtual ~Machine() = default;
  // Committed commands in order, each given once in the life of a Machine, behind what restore()
  // gave. One reply each is appended to `replies`; they reach who proposed them on this node, and
  // on other nodes nobody. No replies at all stand for empty ones.
  virtual Result<void> apply(std::span<const Command>, std::vector<std::string>& replies) = 0;
  // Quick: a copy, or a view with copy on write. Destroyed on the host's worker.
  virtual Result<std::unique_ptr<Frozen>> freeze() = 0;
  // Becomes what some Frozen wrote, on this node or another, as of entry `last`; what it was before
  // is void. On a worker of the host if the Machine runs on the loop.
  virtual Result<void> restore(EntryId last, SnapshotSource&) = 0;
};

}  // namespace walrus::raft
