#pragma once
// Segment: what metadata says of one segment, as far as replication needs it, and the arithmetic of
// its quorums. Rules R1..R43: docs/rules.md. Pure values.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "wire/peer/segment_message.h"

namespace walrus::replica {

using wire::peer::Answer;
using wire::peer::Batch;
using wire::peer::Fence;
using wire::peer::FenceReply;
using wire::peer::Fetch;
using wire::peer::FetchReply;
using wire::peer::Knowledge;
using wire::peer::Payload;
using wire::peer::Replicate;
using wire::peer::ReplicateReply;
using wire::peer::Run;
using Message = wire::peer::SegmentMessage;

// A moment of the node's monotonic clock: never goes back within one process.
using Instant = std::chrono::nanoseconds;
using Nanos = std::chrono::nanoseconds;

enum class SegmentState : std::uint8_t { kOpen, kSealing, kSealed };

struct Segment {
  SegmentId id{};
  Epoch epoch{};  // of its writer, for life
  SegmentState state = SegmentState::kOpen;
  NodeId leader{};
  std::uint64_t leader_incarnation = 0;  // the life of the leader that it was opened for (R42)
  std::vector<NodeId> replicas{};        // E nodes
  std::size_t ack_quorum = 0;            // Qa
  Durability::Kind durability = Durability::kFsync;
  std::int64_t start = 0, end = 0;  // offsets; end: once sealed
  Epoch recovery{};                 // sealing: of the recoverer whose turn it is

  bool has(NodeId node) const { return std::ranges::find(replicas, node) != replicas.end(); }
  // Nodes that hold at least one of every possible ack quorum: EC and QC of the rules, which are
  // the same because everything is sent to all E.
  std::size_t cover() const { return replicas.size() - ack_quorum + 1; }
};

constexpr std::size_t ack_quorum(std::size_t replicas, std::size_t min_copies) {
  return std::max(replicas / 2 + 1, min_copies);
}

// How many nodes a segment is opened on. kBusy: fewer are eligible than min_copies; writes wait.
inline Result<std::size_t> replicas_to_open(std::size_t replication_factor, std::size_t min_copies,
                                            std::size_t eligible) {
  auto replicas = std::min(replication_factor, eligible);
  if (replicas < min_copies || replicas == 0)
    return fail(Code::kBusy, "{} nodes are eligible, fewer than min_copies {}", eligible,
                min_copies);
  return replicas;
}

// The time for which a node may acknowledge without renewing (R15). One per node; it stops a writer
// early and is never what safety rests on. The grant counts from the moment when it was asked for,
// and ends early by what clocks may differ.
class Lease {
 public:
  Lease(Nanos duration, std::uint32_t clock_drift_ppm_max)
      : usable_(duration - duration * 2 * std::int64_t{clock_drift_ppm_max} / 1'000'000) {}
  void granted(Instant asked_at) { until_ = std::max(until_, asked_at + usable_); }
  bool holds(Instant now) const { return now < until_; }
  Instant until() const { return until_; }

 private:
  Nanos usable_;
  Instant until_{};
};

// What a node knows that its disk may have lost, of copies of segments that were there at the time:
// each bound is the id that metadata was to issue next when the node found out. Part of the node's
// durable state, before it answers anything; the bounds never fall (R19).
struct Losses {
  SegmentId directory_below{};  // another directory, an old one, or journal files are missing
  SegmentId unsynced_below{};   // the kernel is another one than at the last start
  SegmentId torn_below{};       // the journal ended in a bad frame, at or above D
};
// `damaged`: a bad frame below D in this copy (R36).
inline Knowledge knowledge_of(const Losses& losses, SegmentId segment, Durability::Kind durability,
                              bool damaged) {
  if (segment < losses.directory_below || damaged) return Knowledge::kLimbo;
  if (segment < losses.unsynced_below && durability != Durability::kFsync) return Knowledge::kLimbo;
  return segment < losses.torn_below ? Knowledge::kTorn : Knowledge::kWhole;
}

}  // namespace walrus::replica
