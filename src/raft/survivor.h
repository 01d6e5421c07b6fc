#pragma once
// Survivor: what a stopped member of a group has of it on its disk, and how the group goes on with
// it alone when the other voters are lost for ever. That is what no group may do by itself: all
// that is in the log counts as committed, and who voted before must not take part in the group any
// more under its present name. Whoever uses this sees to that.
//
// For a process that has the engine open and runs no Host. Blocks for the disk.

#include <memory>
#include <span>
#include <string>

#include "log/engine.h"
#include "raft/machine.h"
#include "raft/store.h"

namespace walrus::raft {

class Survivor {
 public:
  // kNotFound: nothing of the group is stored. kCorrupt, kVersion, kIo. `engine` lives as long.
  static Result<Survivor> load(log::Engine& engine, GroupId);

  EntryId last() const;                // of the log
  Result<Membership> members() const;  // the newest in the log
  // The machine becomes what all of the log gives. Errors as of the Machine and of load().
  Result<void> fold(Machine&) const;
  // The commands behind all that is there, then the configuration of which `self` is the only
  // member. Durable on return; a crash leaves a prefix of it, and with that the old configuration.
  Result<void> stand_alone(const Member& self, std::span<const std::string> commands);

 private:
  Survivor(log::Engine& engine, Store::Loaded loaded);
  Index index_of(std::size_t place) const { return history_.base.index + 1 + place; }

  log::Engine* engine_;
  std::shared_ptr<Store> store_;  // shared as Store::Loaded has it
  SnapshotRef snapshot_;
  Durable history_;
  bool cut_ = false;  // the log on the disk is of another history than the snapshot: it goes
};

}  // namespace walrus::raft
