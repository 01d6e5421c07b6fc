#pragma once
// What one seed of the cluster world is made of: topology, sizes (tiny, so that segments are sealed
// and rolled all the time), and which fault families it may meet (swarm: each is on or off by
// itself).

#include <string>

#include "io/sim/sim_random.h"
#include "replica/follower.h"
#include "replica/leader.h"
#include "replica/sealer.h"

namespace walrus::sim {

// What a long run has to have met, and how it is called in the table.
enum class ClusterFamily : std::uint8_t {
  kDrop,
  kDuplicate,
  kReorder,
  kOneWayCut,
  kPartition,
  kIsolatedLeader,
  kMetadataCut,
  kKill,
  kPowerCut,
  kPowerCutOfAll,
  kLostWrites,
  kTornJournal,
  kSlowDisk,
  kStuckDisk,
  kFailedSync,
  kWipedDisk,
  kBitRot,
  kRottenEnd,
  kPause,
  kClockDrift,
  kControllerChange,
  kPlannedRoll,
  kSealed,
  kWrittenBack,
  kSealerLostRace,
  kAcceptedLoss,
  kFencedWithWaiting,
  kLogRead,
  kRepaired,
  kDuplicateAnswered,
  kConfirmed,
  kConfirmRefused,
  kNoLease,
  kReadAcrossSegments,
  kCount,
};
constexpr auto kClusterFamilies = static_cast<std::size_t>(ClusterFamily::kCount);
const char* cluster_family_name(ClusterFamily);

struct ClusterPlan {
  using Nanos = replica::Nanos;
  std::size_t nodes = 3, partitions = 2, replication_factor = 3, min_copies = 2;
  std::size_t producers = 3, readers = 2, askers = 1;
  bool os_durability = false;  // of the last partition
  replica::Leader::Options leader{};
  replica::Follower::Options follower{};
  replica::Sealer::Options sealer{};
  std::uint64_t attach_bytes_max = 1 << 20;
  // Network, all links, those to metadata too.
  Nanos delay_min{}, delay_max{};
  double drop = 0, duplicate = 0;
  bool in_order = true;
  // Disk.
  Nanos sync_min{}, sync_max{};
  // Clocks: the largest deviation from true time, as a fraction; and what leases allow for.
  double drift = 0;
  std::uint32_t drift_ppm_max = 10'000;
  Nanos lease{}, renew_every{}, dead_after{}, control_every{};
  // Mean time between two of a kind; 0: never.
  Nanos cut_every{}, partition_every{}, isolate_every{}, metadata_every{}, kill_every{},
      power_every{}, power_all_every{}, slow_every{}, stuck_every{}, fail_every{}, wipe_every{},
      rot_every{}, pause_every{}, controller_every{}, roll_every{};
  bool rotten_ends = false;  // of journals, at power cuts
  bool reckless = false;     // wipes what has no other copy: an operator has to accept the loss
  // Load.
  Nanos think{};
  std::size_t in_flight = 1;  // batches of a producer
  std::size_t padding_max = 20;
  bool shuffle_ties = true;
};

ClusterPlan draw_cluster_plan(io::SimRandom&);

}  // namespace walrus::sim
