#pragma once
// ClusterMetadata: the consensus-backed register of the cluster, as the segment protocol sees it:
// chains of segments that change by compare-and-swap only, and what is known of the nodes. One
// atomic object here; what makes it survive is checked in the world raft.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster_plan.h"
#include "replica/sealer.h"
#include "replica/segment.h"

namespace walrus::sim {

struct ClusterLoss {
  SegmentId segment{};
  std::int64_t end = 0, known = 0;
};

struct ClusterChain {
  std::vector<replica::Segment> segments{};  // the last one may be open or sealing
  Epoch epoch{};                             // the highest that was issued
  std::vector<ClusterLoss> losses{};

  const replica::Segment* tail() const { return segments.empty() ? nullptr : &segments.back(); }
  std::int64_t end() const { return segments.empty() ? 0 : segments.back().end; }  // if sealed
  // The last one with records before the tail.
  const replica::Segment* before_tail() const;
};

struct ClusterImage {
  std::uint64_t version = 0;
  SegmentId next_segment{1};
  std::vector<ClusterChain> partitions{};
  struct Node {
    std::uint64_t incarnation = 0, process = 0;
    bool alive = false;
    std::int64_t renewed_at = -1;  // true time
    bool operator==(const Node&) const = default;
  };
  std::vector<Node> nodes{};
  std::size_t controller = 0;
};
using ClusterImageRef = std::shared_ptr<const ClusterImage>;

class ClusterMetadata {
 public:
  ClusterMetadata(const ClusterPlan&, io::SimRandom&);

  const ClusterImage& now() const { return image_; }
  ClusterImageRef image();
  void set_controller(std::size_t node);

  // A life of a node begins: its number, the same for the same process.
  std::uint64_t register_node(std::size_t node, std::uint64_t process, std::int64_t now);
  bool renew(std::size_t node, std::uint64_t incarnation, std::int64_t now);
  void judge(std::int64_t now);  // who has not renewed for too long

  // Each answers whether it took effect.
  bool claim(const replica::Segment& expected);
  bool end(const replica::Sealer::Command&);
  bool close(SegmentId, Epoch, std::int64_t end);
  bool open_next(std::size_t partition);
  const replica::Segment* find(SegmentId) const;
  std::size_t partition_of(SegmentId) const;

 private:
  replica::Segment* own(SegmentId);
  void seal(replica::Segment&, std::int64_t end);
  std::vector<NodeId> place();

  const ClusterPlan& plan_;
  io::SimRandom& random_;
  ClusterImage image_{};
  ClusterImageRef shared_{};
  std::vector<std::size_t> partition_of_{};  // by segment id
};

}  // namespace walrus::sim
