#pragma once
// Planner: what the controller does next. Pure: an image, and what is seen of the nodes, give
// commands to propose and work to hand out. It remembers nothing but where its search for copies to
// repair has come to, and what it has found: who asks again with the same image is told the same
// again, so that what was lost under way is simply handed out anew, and every node may take over
// (R28).
//
// Detection of failures, the protocol of recovery, copying and the pace are the caller's; every
// decision is a compare-and-swap, so an outdated plan does nothing.

#include <chrono>
#include <map>
#include <optional>
#include <vector>

#include "meta/placement.h"

namespace walrus::meta {

using Nanos = std::chrono::nanoseconds;

constexpr std::size_t kLackingMax = 1'000;

struct Sight {
  NodeId node{};
  bool alive = false;             // it answers, and holds the cluster's newest lease
  std::uint64_t incarnation = 0;  // the life that answers
  Nanos since{};                  // for how long it has been so, without a break
  bool leaves = false;            // soon: it is given nothing more (not told in Health)
  bool operator==(const Sight&) const = default;
};

// A copy of a sealed segment that is being made. It becomes true by MoveCopies, which whoever made
// it proposes, with `replaces` dropped.
struct Copy {
  PartitionId partition{};
  SegmentId segment{};
  NodeId from{}, to{};
  NodeId replaces{};  // drained or lost; none: one more
  std::uint64_t bytes = 0;
  bool operator==(const Copy&) const = default;
};

// A copy of an open segment that its writer goes on without: its node answers, but the copy has
// lacked for long what was acknowledged (replica::Leader::Options).
struct SlowCopy {
  PartitionId partition{};
  SegmentId segment{};
  NodeId node{};
  auto operator<=>(const SlowCopy&) const = default;
};

struct Observed {
  std::vector<Sight> nodes{};
  std::vector<PartitionId> wanted{};   // appends wait there, and no segment takes them
  std::vector<Copy> copies{};          // under way, or made since they were told of
  std::uint64_t copy_bytes_per_s = 0;  // of late, in all; 0: not known
  std::vector<NodeId> full{};          // whose disks have no room: they are given nothing new
  std::vector<SlowCopy> slow{};        // now
  std::vector<NodeId> slow_nodes{};    // that have had one of late: others are preferred
};

struct PlanLimits {
  std::size_t changes_max = 4'000;  // of one command
  std::size_t copies_max = 1'000;   // under way at once
  std::size_t copies_node_max = 4;  // from a node, and to a node
  // Of small segments more: as many as there are so many bytes in them, and no more than that.
  std::uint64_t copies_node_bytes = 16 << 20;
  std::size_t copies_small_max = 200;
  std::size_t rolls_max = 50;                          // that only balance, in one plan
  std::size_t segments_max = 20'000;                   // looked at for repair, in one plan
  Nanos follower_away_max = std::chrono::seconds(10);  // then a segment goes on without it (R29)
  Nanos repair_after = std::chrono::minutes(20);       // then its copies are made elsewhere (R29)
  Nanos return_after = std::chrono::seconds(10);       // a node is trusted with leaders again
};

// Fence, read back, seal (R11 to R18). `next`: appends wait, so the seal opens it as well (R24).
struct Recover {
  PartitionId partition{};
  SegmentId segment{};
  Epoch epoch{};
  std::optional<Placement> next{};
  bool operator==(const Recover&) const = default;
};

enum class RollReason : std::uint8_t {
  kDrain = 1,     // a replica's node is being drained, or its disk is full
  kFollower = 2,  // a follower is gone, or slow
  kReplicas = 3,  // it is open on fewer nodes than it could be
  kBalance = 4,   // its leader writes more than its share, or is not at home
};

// The leader stops admitting, drains, and seals at what it acknowledged, opening `next` (R27).
struct Roll {
  PartitionId partition{};
  SegmentId segment{};
  RollReason reason = RollReason::kDrain;
  Placement next{};
  bool operator==(const Roll&) const = default;
};

// What a node still has that leaves, or that was removed or replaced while it had copies.
struct Drain {
  NodeId node{};
  Load left{};
  std::optional<std::chrono::seconds> finishes_in{};  // none: not known
  bool operator==(const Drain&) const = default;
};

// What keeps the plan from being carried out: for `cluster health`.
struct Stuck {
  enum class Why : std::uint8_t {
    kNoNodes = 1,  // fewer nodes are eligible than min_copies
    kNoCopy = 2,   // no copy of a sealed segment is intact and on a node that is alive
    // Its leader is gone, and so many replicas that nobody knows where it ends, or that its end
    // cannot be brought to as many disks as acknowledge.
    kUnsealable = 3,
  } why = Why::kNoNodes;
  PartitionId partition{};
  SegmentId segment{};
  bool operator==(const Stuck&) const = default;
};

// A segment, open or sealed, that has fewer copies than its topic wants, whether or not there are
// nodes for more.
struct UnderReplicated {
  PartitionId partition{};
  SegmentId segment{};
  std::uint32_t copies = 0;  // that are what they were, on nodes that are alive and stay
  std::uint32_t wanted = 0;  // the topic's replication factor
  bool operator==(const UnderReplicated&) const = default;
};

// Segments with too few copies: how many, and the first of them, up to kLackingMax.
struct Lacking {
  std::uint64_t count = 0;
  std::vector<UnderReplicated> first{};
  void add(const UnderReplicated&);
  void add(const Lacking&);
};

struct Plan {
  std::vector<Change> changes{};                                    // see commands()
  std::map<NodeId, std::vector<Recover>> recoveries{};              // by who is to
  std::map<NodeId, std::vector<Roll>> rolls{};                      // by leader
  std::map<std::pair<NodeId, NodeId>, std::vector<Copy>> copies{};  // new ones, by from and to
  std::vector<Drain> drains{};
  std::vector<Stuck> stuck{};
  // Tails that have fewer copies than their topics want, and sealed segments as the last search for
  // repairs has found them, or this one if it has found more.
  std::uint64_t under_replicated = 0;
  std::vector<UnderReplicated> lacking{};  // the first of them, up to kLackingMax
  bool searched = false;                   // the search for repairs has come round
};
// Fence threshold (EC of the segment rules): one of every possible acknowledging quorum.
std::size_t cover(const Segment&);

// The changes as commands within the limits of one.
std::vector<Command> commands(const Plan&, Time now, const PlanLimits& = {});

class Planner {
 public:
  explicit Planner(PlanLimits limits = {}, Spread spread = Spread::kLoad)
      : limits_(limits), spread_(spread) {}
  Plan plan(const State& image, const Observed&);

 private:
  struct Cursor {
    PartitionId partition{};
    SegmentId segment{};
  };

  const PlanLimits limits_;
  const Spread spread_;
  Cursor repair_{};
  Lacking found_{}, found_before_{};  // sealed: in this search, in the last whole one
};

}  // namespace walrus::meta
