#pragma once
// What one seed of the log world is made of: the sizes of the engine, made tiny so that rolls,
// checkpoints and recycling happen all the time, and which fault families it may meet (swarm: each
// family is on or off by itself).

#include "io/sim/sim_random.h"
#include "io/sim/sim_world.h"
#include "log/engine.h"

namespace walrus::sim {

struct LogPlan {
  // Fault families.
  bool kills = false, power_cuts = false, crash_at_op = false, crash_in_recovery = false;
  bool sync_errors = false, io_errors = false, short_io = false, open_errors = false;
  bool disk_full = false, no_space_errors = false, slow_sync = false, stuck_sync = false;
  bool bit_rot = false, lost_writes = false, misdirected_writes = false;
  bool wall_jumps = false, buggify = false, garbage_sectors = false, change_shards = false;
  // Shape of the load.
  bool concurrent = true;  // appends are not waited for one by one
  bool large_records = false;
  int names = 4;

  io::WorldOptions world;
  log::EngineOptions engine;
};

LogPlan draw_plan(io::SimRandom&);
// Longest that an interval stream's records may stay unsynced beyond their interval.
io::Nanos sync_slack(const LogPlan&);
// The families that a run of many seeds has to have hit, by the names in Tally::hits.
const std::vector<std::string>& fault_families();

}  // namespace walrus::sim
