#include "raft_plan.h"

#include "draw.h"

namespace walrus::sim {
namespace {

using raft::Nanos;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

void draw_network(RaftPlan& plan, io::SimRandom& random) {
  plan.delay_min = between(random, microseconds(50), milliseconds(2));
  plan.delay_max = plan.delay_min + between(random, Nanos(0), milliseconds(3));
  if (random.chance(0.2)) plan.delay_max += between(random, milliseconds(1), milliseconds(60));
  if (random.chance(0.4)) plan.drop = 0.2 * static_cast<double>(random.below(100)) / 100;
  if (random.chance(0.4)) plan.duplicate = 0.2 * static_cast<double>(random.below(100)) / 100;
  plan.in_order = random.chance(0.5);
}

void draw_faults(RaftPlan& plan, io::SimRandom& random) {
  auto maybe = [&](Nanos& every, double chance, Nanos low, Nanos high) {
    if (random.chance(chance)) every = between(random, low, high);
  };
  maybe(plan.cut_every, 0.4, seconds(1), seconds(8));
  maybe(plan.partition_every, 0.4, seconds(2), seconds(10));
  maybe(plan.isolate_every, 0.5, seconds(2), seconds(8));
  maybe(plan.crash_every, 0.6, seconds(1), seconds(10));
  maybe(plan.crash_all_every, 0.2, seconds(8), seconds(20));
  maybe(plan.slow_every, 0.3, seconds(2), seconds(10));
  maybe(plan.stuck_every, 0.2, seconds(4), seconds(15));
  maybe(plan.fail_every, 0.3, seconds(3), seconds(15));
  maybe(plan.pause_every, 0.3, seconds(2), seconds(10));
  maybe(plan.member_every, 0.8, milliseconds(700), seconds(4));
  maybe(plan.transfer_every, 0.4, seconds(2), seconds(8));
}

void draw_sizes(RaftPlan& plan, io::SimRandom& random) {
  auto& options = plan.options;
  auto pick = [&](std::initializer_list<std::uint64_t> of) {
    return of.begin()[random.below(of.size())];
  };
  options.election_timeout_min = milliseconds(pick({300, 500, 500}));
  options.election_timeout_max = options.election_timeout_min + milliseconds(pick({50, 200, 500}));
  // With seldom heartbeats a leader that was replaced does not know for a while.
  options.heartbeat = random.chance(0.3) ? options.election_timeout_min / 2
                                         : raft::Nanos(milliseconds(pick({50, 100, 100})));
  options.append_bytes_max = pick({1, 200, 1000, 4000});
  options.in_flight_messages_max = pick({1, 2, 8, 64});
  options.in_flight_bytes_max = pick({1, 500, 5000, 100'000});
  options.uncommitted_bytes_max = pick({300, 2000, 100'000});
  options.log_bytes_max = pick({5000, 20'000, 1'000'000});
  options.log_bytes_kept = pick({0, 500, 3000});
  options.snapshot_chunk_bytes = pick({7, 16, 64, 1000});
  options.snapshot_chunks_in_flight_max = pick({1, 2, 8});
  options.promotion_lag_max = pick({0, 5, 50});
  options.disk_stall = milliseconds(pick({100, 500, 2000}));
  plan.snapshot_after = pick({5, 20, 50, 200});
}

// Leases at the edge: clocks that are as far apart as they may be, leaders that are cut off and do
// not know it, voters that forget by a restart, answers that come late; quick disks and links, so
// that another leader commits within the margin, and clients that look.
void draw_leases(RaftPlan& plan, io::SimRandom& random) {
  auto& options = plan.options;
  plan.founders = 3;
  plan.clients = 6;
  plan.readers = 3;
  plan.lease = 1;
  plan.reads = 0.2;
  plan.think = between(random, milliseconds(2), milliseconds(20));
  plan.readers_think = between(random, milliseconds(1), milliseconds(10));
  plan.delay_min = microseconds(50);
  plan.delay_max = milliseconds(1);
  plan.drop = plan.duplicate = 0;
  plan.sync_min = microseconds(20);
  plan.sync_max = microseconds(500);
  options.election_timeout_min = milliseconds(500);
  options.election_timeout_max = milliseconds(550);
  options.log_bytes_max = 1'000'000;
  options.uncommitted_bytes_max = options.in_flight_bytes_max = 100'000;
  options.in_flight_messages_max = 64;
  plan.cut_every = plan.partition_every = plan.crash_every = plan.crash_all_every = Nanos(0);
  plan.slow_every = plan.stuck_every = plan.fail_every = plan.pause_every = Nanos(0);
  plan.member_every = Nanos(0);
  plan.isolate_every = between(random, seconds(1), seconds(2));
  plan.transfer_every = between(random, seconds(1), seconds(3));
  options.heartbeat = random.chance(0.5) ? milliseconds(100) : milliseconds(250);
  options.clock_drift_ppm_max = 1'000;
  plan.drift = 0;
  switch (random.below(3)) {
    case 0:
      options.clock_drift_ppm_max = 200'000;
      plan.drift = 0.2;
      plan.unseen = plan.hears_one = 0;
      return;
    case 1:
      plan.unseen = 1;
      plan.crash_every = between(random, milliseconds(300), milliseconds(800));
      plan.quick_restarts = 1;
      options.heartbeat = milliseconds(250);
      // So seldom that who was cut off has missed nothing, and may be elected.
      plan.think = between(random, milliseconds(500), milliseconds(1500));
      return;
    default:
      plan.unseen = 0;
      plan.hears_one = 1;
      plan.late = 0.2;
      plan.in_order = false;
      // So seldom that no second answer tells what the late one does.
      plan.think = between(random, milliseconds(200), milliseconds(600));
      return;
  }
}

}  // namespace

const char* raft_family_name(RaftFamily family) {
  static constexpr const char* kNames[] = {"drop",
                                           "duplicate",
                                           "reorder",
                                           "one_way_cut",
                                           "partition",
                                           "isolated_leader",
                                           "crash",
                                           "crash_of_all",
                                           "lost_writes",
                                           "torn_writes",
                                           "slow_disk",
                                           "stuck_disk",
                                           "failed_write",
                                           "pause",
                                           "clock_drift",
                                           "truncation",
                                           "membership_rollback",
                                           "leader_removed",
                                           "transfer",
                                           "transfer_done",
                                           "snapshot_installed",
                                           "snapshot_resumed",
                                           "snapshot_while_joint",
                                           "lease_read",
                                           "read_on_stale_leader",
                                           "refused_busy"};
  static_assert(std::size(kNames) == kRaftFamilies);
  return kNames[static_cast<std::size_t>(family)];
}

RaftPlan draw_raft_plan(io::SimRandom& random) {
  RaftPlan plan;
  constexpr int kFounders[] = {1, 2, 3, 3, 3, 3, 4, 5, 5, 7};
  plan.founders = kFounders[random.below(std::size(kFounders))];
  plan.clients = static_cast<int>(random.between(3, 6));
  draw_sizes(plan, random);
  draw_network(plan, random);
  plan.sync_min = between(random, microseconds(20), milliseconds(1));
  plan.sync_max = plan.sync_min + between(random, Nanos(0), milliseconds(5));
  if (random.chance(0.2)) plan.sync_max += between(random, Nanos(0), milliseconds(40));
  // The margin is what the clocks need, no more.
  plan.options.clock_drift_ppm_max = random.chance(0.5) ? 100'000 : 10'000;
  if (random.chance(0.6)) plan.drift = plan.options.clock_drift_ppm_max / 1e6;
  draw_faults(plan, random);
  plan.think = between(random, milliseconds(20), milliseconds(150));
  plan.reads = random.chance(0.3) ? 0.6 : 0.25;
  plan.lease = random.chance(0.3) ? 0.9 : 0.4;
  if (random.chance(0.15)) {  // what is old is seen by who looks often
    plan.think = between(random, milliseconds(3), milliseconds(10));
    plan.reads = plan.lease = 0.9;
  }
  plan.command_bytes_max = random.chance(0.2) ? 1000 : 32;
  plan.own_snapshot_bytes = random.chance(0.5);
  plan.shuffle_ties = random.chance(0.5);
  if (random.chance(0.1)) plan.late = 0.05;
  if (random.chance(0.1)) draw_leases(plan, random);
  return plan;
}

}  // namespace walrus::sim
