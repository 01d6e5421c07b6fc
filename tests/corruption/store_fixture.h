#pragma once
// A store with every structure in it, made once on a simulated disk, and copies of it on fresh
// disks that a test may damage.

#include <map>
#include <memory>
#include <set>

#include "io/sim/sim_world.h"
#include "log/engine.h"

namespace walrus::corruption {

using Files = std::map<io::Path, std::string>;
// Per stream its values by offset, and its cursors.
struct Content {
  std::map<std::string, std::vector<std::string>> values;
  std::map<std::string, std::string> cursors;  // of the first stream
};

log::EngineOptions small_engine(bool mapped);
// What a fixed load leaves on the disk after a kill, marks settled.
Files make_store(bool mapped, Content&);

// What was read of a damaged store.
struct Outcome {
  std::optional<Error> refused;  // opening failed
  bool unreadable = false;       // some read answered kCorrupt
  std::string wrong;             // a lie: other bytes, a missing record, a shorter log
  bool detected() const { return refused || unreadable; }
};

// One simulated machine with a copy of the store.
class Machine {
 public:
  explicit Machine(const Files&);
  io::SimDisk& disk() { return world_.node(0).disk(); }
  io::Env& env() { return world_.node(0).env(); }
  io::World& world() { return world_; }
  Result<std::unique_ptr<log::Engine>> open(bool mapped);
  // Opens, reads everything and compares.
  Outcome inspect(bool mapped, const Content&);
  static void read(log::Engine&, const Content&, Outcome&);
  void restart() { world_.node(0).restart(); }

 private:
  io::World world_;
};

}  // namespace walrus::corruption
