#pragma once
// What one seed of the raft world is made of: topology, sizes (tiny, so that snapshots, compaction
// and membership changes happen all the time), and which fault families it may meet (swarm: each is
// on or off by itself).

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "io/sim/sim_random.h"
#include "raft/core.h"

namespace walrus::sim {

// What a long run has to have met, and how it is called in the table.
enum class RaftFamily : std::uint8_t {
  kDrop,
  kDuplicate,
  kReorder,
  kOneWayCut,
  kPartition,
  kIsolatedLeader,
  kCrash,
  kCrashOfAll,
  kLostWrites,
  kTornWrites,
  kSlowDisk,
  kStuckDisk,
  kFailedWrite,
  kPause,
  kClockDrift,
  kTruncation,
  kMembershipRollback,
  kLeaderRemoved,
  kTransfer,
  kTransferDone,
  kSnapshotInstalled,
  kSnapshotResumed,
  kSnapshotWhileJoint,
  kLeaseRead,
  kReadOnStaleLeader,
  kRefusedBusy,
  kCount,
};
constexpr auto kRaftFamilies = static_cast<std::size_t>(RaftFamily::kCount);
const char* raft_family_name(RaftFamily);

struct RaftPlan {
  int founders = 3;
  int clients = 4;
  raft::Options options{};
  // Network, all links.
  raft::Nanos delay_min{}, delay_max{};
  double drop = 0, duplicate = 0;
  double late = 0;       // of the messages: by up to kLateMax more
  bool in_order = true;  // a link never overtakes itself
  static constexpr raft::Nanos kLateMax = std::chrono::milliseconds(300);
  // Disk.
  raft::Nanos sync_min{}, sync_max{};
  // Clocks: the largest deviation from true time, as a fraction.
  double drift = 0;
  // Mean time between two of a kind; 0: never.
  raft::Nanos cut_every{}, partition_every{}, isolate_every{}, crash_every{}, crash_all_every{};
  raft::Nanos slow_every{}, stuck_every{}, fail_every{}, pause_every{};
  raft::Nanos member_every{}, transfer_every{};
  double quick_restarts = 0.4;  // of the crashes
  // Of the isolations: one node alone does not see the leader; the leader hears one node alone.
  double unseen = 0.3, hears_one = 0.05;
  // Load.
  raft::Nanos think{};
  double reads = 0.2, lease = 0.5;  // of the operations; of the reads
  int readers = 0;                  // clients that do nothing but read
  raft::Nanos readers_think{};
  std::size_t command_bytes_max = 32;
  raft::Index snapshot_after = 30;  // entries applied
  bool own_snapshot_bytes = false;  // no two nodes write the same bytes
  bool shuffle_ties = true;
};

RaftPlan draw_raft_plan(io::SimRandom&);

}  // namespace walrus::sim
