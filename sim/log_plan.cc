#include "log_plan.h"

namespace walrus::sim {
namespace {

using std::chrono::milliseconds;

io::DiskOptions draw_disk(io::SimRandom& random, const LogPlan& plan) {
  io::DiskOptions disk;
  // The less the disk writes by itself, the more a cut finds that was not synced.
  constexpr double kWriteback[] = {0, 0.005, 0.05, 0.3};
  disk.writeback = kWriteback[random.below(std::size(kWriteback))];
  if (plan.garbage_sectors) disk.faults.garbage_sector = 0.5;
  if (plan.slow_sync) {
    disk.faults.slow_sync = 0.1;
    disk.faults.slow_min = milliseconds(1);
    disk.faults.slow_max = milliseconds(100);
  }
  if (plan.stuck_sync) {
    disk.faults.stuck_sync = 0.005;
    disk.faults.stuck_for = std::chrono::seconds(10);
  }
  if (plan.short_io) disk.faults.short_io = 0.1;
  return disk;
}

log::EngineOptions draw_engine(io::SimRandom& random) {
  log::EngineOptions engine;
  engine.user.root = "/data";
  engine.user.shards = static_cast<int>(random.between(1, 3));
  engine.mapped = random.chance(0.5);
  engine.journal_file_bytes_min = std::int64_t{32 << 10} << random.below(2);
  engine.journal_file_bytes_max = engine.journal_file_bytes_min << random.below(3);
  engine.user.journal_bytes_max = engine.journal_file_bytes_max * random.between(6, 16);
  engine.user.batch_bytes_max = engine.journal_file_bytes_min / 2;
  engine.user.batch_records_max = 64;
  engine.user.in_flight_bytes_max = random.chance(0.3) ? 16 << 10 : 256 << 10;
  engine.user.cache_bytes_max = random.chance(0.5) ? 4 << 10 : 64 << 10;
  engine.user.background_bytes_per_s = random.chance(0.5) ? 64 << 20 : 256 << 10;
  engine.checkpoint_bytes = random.between(4, 64) << 10;
  engine.checkpoint_interval = milliseconds(random.between(50, 2'000));
  engine.mark_delay = milliseconds(random.between(1, 20));
  engine.maintenance_interval = milliseconds(random.between(20, 500));
  engine.reserve_bytes = 16 << 10;
  engine.pack_bytes_max = std::int64_t{256} << random.below(6);
  engine.index_interval_bytes = std::int64_t{128} << random.below(6);
  engine.open_files_max = random.between(4, 32);
  return engine;
}

}  // namespace

LogPlan draw_plan(io::SimRandom& random) {
  LogPlan plan;
  bool calm = random.chance(0.1);  // a tenth of the seeds meets clean restarts and kills only
  auto on = [&](double chance) { return random.chance(chance) && !calm; };
  plan.kills = random.chance(0.7);
  plan.power_cuts = on(0.7);
  plan.crash_at_op = on(0.5);
  plan.crash_in_recovery = on(0.5);
  plan.sync_errors = on(0.3);
  plan.io_errors = on(0.2);
  plan.short_io = on(0.2);
  plan.open_errors = on(0.2);
  plan.disk_full = on(0.25);
  plan.no_space_errors = on(0.15);
  plan.slow_sync = on(0.3);
  plan.stuck_sync = on(0.1);
  plan.bit_rot = on(0.2);
  plan.lost_writes = on(0.15);
  plan.misdirected_writes = on(0.15);
  plan.wall_jumps = on(0.3);
  plan.buggify = on(0.5);
  plan.garbage_sectors = on(0.5);
  plan.change_shards = random.chance(0.4);
  plan.concurrent = random.chance(0.85);
  plan.large_records = random.chance(0.3);
  plan.names = static_cast<int>(random.between(1, 6));
  plan.engine = draw_engine(random);
  plan.world.disk = draw_disk(random, plan);
  plan.world.buggify_live = plan.buggify ? 0.3 : 0;
  return plan;
}

io::Nanos sync_slack(const LogPlan& plan) {
  io::Nanos slack = milliseconds(50);
  // One group may be several ranges, and one more group may be on its way before it.
  constexpr int kSyncs = 12;
  if (plan.slow_sync) slack += kSyncs * plan.world.disk.faults.slow_max;
  if (plan.stuck_sync) slack += kSyncs * plan.world.disk.faults.stuck_for;
  return slack;
}

const std::vector<std::string>& fault_families() {
  static const std::vector<std::string> families = {
      // How incarnations end, and what a power cut leaves.
      "kill", "power_cut", "clean_close", "boot_id_changed", "crash_at_op", "crash_in_recovery",
      "cut_append_cut", "begun_again", "cut_after_sync_error", "rot_after_recovery", "old_sector",
      "new_sector", "torn_sector", "garbage_sector", "old_size", "new_size", "lost_name",
      "kept_name",
      // Crashes right before and right after what makes something durable.
      "before_journal_sync", "after_journal_sync", "before_segment_sync", "after_segment_sync",
      "before_manifest_sync", "after_manifest_sync", "before_directory_sync",
      "after_directory_sync", "before_rename", "after_rename", "before_remove", "after_remove",
      // What the disk does to a process that lives.
      "sync_error", "dropped_page", "evicted_page", "read_error", "write_error", "short_io",
      "open_error", "disk_full", "opened_on_full_disk", "no_space", "slow_sync", "stuck_sync",
      "bit_rot", "lost_write", "misdirected_write",
      // The rest of the world.
      "slow_read", "stored_unasked", "wall_jump", "shards_changed", "recreated", "compaction_lag"};
  return families;
}

}  // namespace walrus::sim
