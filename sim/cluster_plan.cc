#include "cluster_plan.h"

#include "draw.h"

namespace walrus::sim {
namespace {

using replica::Nanos;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

void draw_network(ClusterPlan& plan, io::SimRandom& random) {
  plan.delay_min = between(random, microseconds(50), milliseconds(1));
  plan.delay_max = plan.delay_min + between(random, Nanos(0), milliseconds(2));
  if (random.chance(0.2)) plan.delay_max += between(random, milliseconds(1), milliseconds(40));
  if (random.chance(0.4)) plan.drop = 0.15 * static_cast<double>(random.below(100)) / 100;
  if (random.chance(0.4)) plan.duplicate = 0.2 * static_cast<double>(random.below(100)) / 100;
  plan.in_order = random.chance(0.5);
}

void draw_faults(ClusterPlan& plan, io::SimRandom& random) {
  auto maybe = [&](Nanos& every, double chance, Nanos low, Nanos high) {
    if (random.chance(chance)) every = between(random, low, high);
  };
  maybe(plan.cut_every, 0.4, milliseconds(500), seconds(5));
  maybe(plan.partition_every, 0.4, seconds(1), seconds(6));
  maybe(plan.isolate_every, 0.5, seconds(1), seconds(5));
  maybe(plan.metadata_every, 0.3, seconds(2), seconds(8));
  maybe(plan.kill_every, 0.6, milliseconds(700), seconds(6));
  maybe(plan.power_every, 0.4, seconds(1), seconds(8));
  maybe(plan.power_all_every, 0.3, seconds(4), seconds(12));
  maybe(plan.slow_every, 0.3, seconds(1), seconds(6));
  maybe(plan.stuck_every, 0.3, seconds(2), seconds(8));
  maybe(plan.fail_every, 0.3, seconds(2), seconds(10));
  maybe(plan.wipe_every, 0.4, seconds(1), seconds(8));
  maybe(plan.rot_every, 0.3, seconds(1), seconds(6));
  maybe(plan.pause_every, 0.4, seconds(1), seconds(6));
  maybe(plan.controller_every, 0.5, milliseconds(100), seconds(3));
  maybe(plan.roll_every, 0.7, milliseconds(100), seconds(2));
  plan.rotten_ends = random.chance(0.4);
  plan.reckless = random.chance(0.15);
}

void draw_sizes(ClusterPlan& plan, io::SimRandom& random) {
  auto pick = [&](std::initializer_list<std::uint64_t> of) {
    return of.begin()[random.below(of.size())];
  };
  auto& leader = plan.leader;
  leader.window_bytes_max = pick({1000, 5000, 1'000'000});
  leader.window_bytes_kept = pick({0, 0, 500, 5000});
  leader.message_bytes_max = pick({1, 200, 1000, 100'000});
  leader.in_flight_messages_max = pick({1, 2, 8, 64});
  leader.in_flight_bytes_max = pick({1, 500, 100'000});
  leader.retry = milliseconds(pick({30, 100, 300}));
  leader.drain_max = milliseconds(pick({1, 20, 100}));
  leader.away_max = milliseconds(pick({500, 2000, 10'000}));
  leader.records_max = static_cast<std::int64_t>(pick({5, 20, 100, 400}));
  leader.bytes_max = 1 << 20;
  plan.follower.repair_retry = milliseconds(pick({20, 100, 300}));
  plan.follower.repair_bytes_max = pick({1, 300, 10'000});
  plan.follower.read_bytes_max = pick({200, 100'000});
  plan.sealer.retry = milliseconds(pick({20, 100, 200}));
  plan.sealer.copy_bytes_max = pick({1, 300, 10'000});
}

void draw_topology(ClusterPlan& plan, io::SimRandom& random) {
  plan.nodes = random.chance(0.6) ? 3 : 5;
  plan.replication_factor = 3;
  if (plan.nodes == 5 && random.chance(0.4)) plan.replication_factor = 5;
  else if (random.chance(0.1)) plan.replication_factor = random.chance(0.3) ? 1 : 2;
  plan.min_copies = plan.replication_factor / 2 + 1;
  if (plan.replication_factor == 2 && random.chance(0.7)) plan.min_copies = 1;
  if (plan.replication_factor == 3 && random.chance(0.1))
    plan.min_copies = random.chance(0.5) ? 1 : 3;
  plan.partitions = static_cast<std::size_t>(random.between(1, 3));
  plan.os_durability = random.chance(0.25);
  plan.producers = plan.partitions + random.below(3);
  plan.readers = 1 + random.below(3);
  plan.askers = 1 + random.below(2);
}

}  // namespace

const char* cluster_family_name(ClusterFamily family) {
  static constexpr const char* kNames[] = {"drop",
                                           "duplicate",
                                           "reorder",
                                           "one_way_cut",
                                           "partition",
                                           "isolated_leader",
                                           "metadata_cut",
                                           "kill",
                                           "power_cut",
                                           "power_cut_of_all",
                                           "lost_writes",
                                           "torn_journal",
                                           "slow_disk",
                                           "stuck_disk",
                                           "failed_sync",
                                           "wiped_disk",
                                           "bit_rot",
                                           "rotten_end",
                                           "pause",
                                           "clock_drift",
                                           "controller_change",
                                           "planned_roll",
                                           "sealed",
                                           "written_back",
                                           "sealer_lost_race",
                                           "accepted_loss",
                                           "fenced_with_waiting",
                                           "log_read",
                                           "repaired",
                                           "duplicate_answered",
                                           "confirmed",
                                           "confirm_refused",
                                           "no_lease",
                                           "read_across_segments"};
  static_assert(std::size(kNames) == kClusterFamilies);
  return kNames[static_cast<std::size_t>(family)];
}

ClusterPlan draw_cluster_plan(io::SimRandom& random) {
  ClusterPlan plan;
  draw_topology(plan, random);
  draw_sizes(plan, random);
  draw_network(plan, random);
  plan.sync_min = between(random, microseconds(20), milliseconds(1));
  plan.sync_max = plan.sync_min + between(random, Nanos(0), milliseconds(4));
  if (random.chance(0.2)) plan.sync_max += between(random, Nanos(0), milliseconds(40));
  plan.drift_ppm_max = random.chance(0.5) ? 100'000 : 10'000;
  if (random.chance(0.6)) plan.drift = plan.drift_ppm_max / 1e6;
  plan.lease = milliseconds(random.chance(0.5) ? 3000 : 600);
  plan.renew_every = milliseconds(random.chance(0.5) ? 100 : 40);
  plan.dead_after = milliseconds(random.between(200, 800));
  plan.control_every = milliseconds(random.between(10, 100));
  draw_faults(plan, random);
  plan.think = between(random, milliseconds(2), milliseconds(40));
  plan.in_flight = static_cast<std::size_t>(random.between(1, 4));
  plan.padding_max = random.chance(0.2) ? 300 : 20;
  plan.shuffle_ties = random.chance(0.5);
  return plan;
}

}  // namespace walrus::sim
