#pragma once
// ClusterTruth: what one sees who sees all nodes, disks and metadata at once, and the rules that
// hold between them (docs/rules.md names them by these words). Each check_*() is called after every
// event that may break its rule; the first broken one is kept.
//
//   I1 acknowledged is kept        a sealed segment ends nowhere below what was acknowledged
//   I2 sealed once                 a sealed end never changes
//   I3 copies agree                an offset of a segment is one batch, everywhere and for ever
//   I4 acknowledged on a quorum    what is acknowledged is or was held by Qa nodes under the
//                                  segment's durability
//   I4 sealed on disks             what is sealed is or was on Qa disks, whatever the durability
//   I5 fenced is silent            nobody acknowledges to an epoch below one that it promised
//   I6 chain without gap           each segment begins where the one before it was sealed
//   I7 watermark never falls       of a leader, of a copy, of answers that have to be current
//   I8 nothing after the successor a writer acknowledges nothing at or above the sealed end
//   I10 readable is there          below the watermark nothing is missing or another record
//   I11 limbo says nothing         who lost something neither denies nor acknowledges; but for what
//                                  was in the last frame of a journal, which looks torn
//   durable first (R3)             promises and copies are on the disk before they are told
//   acknowledged in order (R5)     of one leader
//   watermark from the writer (R7) nobody tells of a watermark that no writer reached
//   within the lease (R15)         as metadata counts it
//   one life (R42)                 a process that restarted appends to no segment that it led

#include <array>
#include <map>
#include <string>
#include <vector>

#include "cluster_disk.h"
#include "cluster_metadata.h"
#include "history.h"

namespace walrus::sim {

constexpr std::size_t kClusterNodesMax = 8;

class ClusterTruth {
 public:
  const Verdict& violation() const { return violation_; }
  void fail(std::string rule, std::string detail);

  void check_metadata(const ClusterImage&);
  void accept_loss(SegmentId segment) { known_[segment].loss_accepted = true; }

  struct LeaderSeen {
    std::size_t node = 0;
    std::uint64_t incarnation = 0;
    std::int64_t now = 0, lease_until = 0;  // true time
  };
  void check_leader(const replica::Leader&, std::int64_t watermark_before, const LeaderSeen&);
  // `ends` of what one step of a leader acknowledged, in its order.
  void check_acknowledged(const replica::Leader&, std::int64_t& last_end, std::int64_t end);
  void check_message(std::size_t node, const ClusterDisk&, const wire::peer::SegmentMessage&);
  void check_watermark(SegmentId, std::int64_t before, std::int64_t after);
  // What is durable on the node from now on, under the segment's durability.
  void check_stored(std::size_t node, const StoredCopy&, SegmentId, const replica::CopyWrite&);
  void check_batches(SegmentId, const replica::CopyWrite&);
  void note_durable(std::size_t node, SegmentId segment, std::int64_t end);
  void check_read(SegmentId, std::int64_t offset, const wire::peer::Batch&);

  std::int64_t acknowledged(SegmentId segment) const {
    auto found = known_.find(segment);
    return found == known_.end() ? -1 : found->second.watermark;
  }
  std::int64_t acknowledged_of(std::size_t partition) const;  // over all segments; 0: nothing
  bool lost_records(std::size_t partition) const;

 private:
  struct Known {
    replica::Segment segment{};
    std::size_t partition = 0;
    bool in_metadata = false, loss_accepted = false, lost = false;
    std::int64_t watermark = -1;                           // -1: nothing acknowledged
    std::array<std::int64_t, kClusterNodesMax> durable{};  // ever, by node
    std::array<std::int64_t, kClusterNodesMax> synced{};   // the same, on the disk
    std::map<std::int64_t, std::pair<std::int64_t, std::uint64_t>> batches{};  // base: next, hash
  };
  void check_sealed(const ClusterChain&, const replica::Segment&, Known&);
  void check_quorum(const Known&, std::int64_t end);
  void check_disks(const Known&, std::int64_t end);

  Verdict violation_{};
  std::map<SegmentId, Known> known_{};
  std::uint64_t version_ = 0;
};

std::uint64_t hash_of(const wire::peer::Batch&);

}  // namespace walrus::sim
