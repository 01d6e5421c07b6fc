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

struct StreamContent {
  std::uint64_t id = 0;
  std::int64_t start = 0;
  std::map<std::int64_t, std::string> values;   // acknowledged, by offset
  std::map<std::int64_t, std::string> batches;  // as the undamaged store serves them, by base
};

struct Content {
  std::map<std::string, StreamContent> streams;
  std::map<std::string, std::string> cursors;  // of "orders"
};

struct StoreKind {
  bool mapped = true;
  // false: killed, with a journal that holds a frame of each type, marks settled. true: closed,
  // opened, killed and opened again: everything in segment files, no journal left.
  bool closed = false;
};

log::EngineOptions small_engine(bool mapped);
// What a fixed load leaves on the disk.
Files make_store(const StoreKind&, Content&);

// What was read of a damaged store.
struct Outcome {
  std::optional<Error> refused;  // opening failed
  // Offsets that answered kCorrupt, by stream id, and the answer.
  std::map<std::pair<std::uint64_t, std::int64_t>, std::string> unreadable;
  std::string wrong;  // a lie: other bytes, a missing record, a shorter log
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
