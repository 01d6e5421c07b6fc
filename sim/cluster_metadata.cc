#include "cluster_metadata.h"

#include <algorithm>

namespace walrus::sim {

using replica::Segment;
using replica::SegmentState;

const Segment* ClusterChain::before_tail() const {
  for (auto at = segments.size(); at > 0; --at) {
    const auto& one = segments[at - 1];
    if (one.state == SegmentState::kSealed && one.end > one.start) return &one;
  }
  return nullptr;
}

ClusterMetadata::ClusterMetadata(const ClusterPlan& plan, io::SimRandom& random)
    : plan_(plan), random_(random) {
  image_.partitions.resize(plan.partitions);
  image_.nodes.resize(plan.nodes);
  image_.version = 1;
  partition_of_.push_back(0);  // no segment has id 0
}

ClusterImageRef ClusterMetadata::image() {
  if (!shared_ || shared_->version != image_.version)
    shared_ = std::make_shared<const ClusterImage>(image_);
  return shared_;
}

void ClusterMetadata::set_controller(std::size_t node) {
  image_.controller = node;
  ++image_.version;
}

std::uint64_t ClusterMetadata::register_node(std::size_t node, std::uint64_t process,
                                             std::int64_t now) {
  auto& one = image_.nodes[node];
  ++image_.version;
  one.alive = true;
  one.renewed_at = now;
  if (one.process != process) ++one.incarnation;
  one.process = process;
  return one.incarnation;
}

bool ClusterMetadata::renew(std::size_t node, std::uint64_t incarnation, std::int64_t now) {
  auto& one = image_.nodes[node];
  if (one.incarnation != incarnation) return false;
  if (!one.alive) ++image_.version;
  one.alive = true;
  one.renewed_at = now;
  return true;
}

void ClusterMetadata::judge(std::int64_t now) {
  for (auto& node : image_.nodes) {
    if (!node.alive || now - node.renewed_at < plan_.dead_after.count()) continue;
    node.alive = false;
    ++image_.version;
  }
}

const Segment* ClusterMetadata::find(SegmentId id) const {
  if (id.value == 0 || id.value >= partition_of_.size()) return nullptr;
  const auto& segments = image_.partitions[partition_of(id)].segments;
  auto found = std::ranges::lower_bound(segments, id, {}, &Segment::id);
  return found != segments.end() && found->id == id ? &*found : nullptr;
}

Segment* ClusterMetadata::own(SegmentId id) {
  const auto* found = find(id);
  if (!found) return nullptr;
  auto& segments = image_.partitions[partition_of(id)].segments;
  return &segments[static_cast<std::size_t>(found - segments.data())];
}

std::size_t ClusterMetadata::partition_of(SegmentId id) const { return partition_of_[id.value]; }

bool ClusterMetadata::claim(const Segment& expected) {
  auto* segment = own(expected.id);
  if (!segment || segment->state == SegmentState::kSealed || segment->state != expected.state ||
      segment->recovery != expected.recovery)
    return false;
  segment->state = SegmentState::kSealing;
  auto& epoch = image_.partitions[partition_of(expected.id)].epoch;
  segment->recovery = {++epoch.value};
  ++image_.version;
  return true;
}

void ClusterMetadata::seal(Segment& segment, std::int64_t end) {
  segment.state = SegmentState::kSealed;
  segment.end = end;
  ++image_.version;
}

bool ClusterMetadata::end(const replica::Sealer::Command& command) {
  auto* segment = own(command.segment.id);
  if (!segment || segment->state != SegmentState::kSealing ||
      segment->recovery != command.segment.recovery)
    return false;
  auto partition = partition_of(segment->id);
  if (command.lost)
    image_.partitions[partition].losses.push_back({segment->id, command.end, command.known});
  seal(*segment, command.end);
  if (random_.chance(0.8)) open_next(partition);
  return true;
}

bool ClusterMetadata::close(SegmentId id, Epoch epoch, std::int64_t end) {
  auto* segment = own(id);
  if (!segment || segment->state != SegmentState::kOpen || segment->epoch != epoch) return false;
  seal(*segment, end);
  open_next(partition_of(id));
  return true;
}

std::vector<NodeId> ClusterMetadata::place() {
  std::vector<NodeId> eligible;
  for (std::size_t i = 0; i < image_.nodes.size(); ++i)
    if (image_.nodes[i].alive) eligible.push_back(NodeId{i + 1});
  for (auto i = eligible.size(); i > 1; --i) std::swap(eligible[i - 1], eligible[random_.below(i)]);
  auto count =
      replica::replicas_to_open(plan_.replication_factor, plan_.min_copies, eligible.size());
  if (!count) return {};
  eligible.resize(*count);
  return eligible;
}

bool ClusterMetadata::open_next(std::size_t partition) {
  auto& chain = image_.partitions[partition];
  const auto* tail = chain.tail();
  if (tail && tail->state != SegmentState::kSealed) return false;
  auto replicas = place();
  if (replicas.empty()) return false;
  bool os = plan_.os_durability && partition + 1 == plan_.partitions;
  Segment next{.id = image_.next_segment,
               .epoch = {chain.epoch.value + 1},
               .leader = replicas.front(),
               .replicas = replicas,
               .durability = os ? Durability::kOs : Durability::kFsync,
               .start = chain.end()};
  next.leader_incarnation = image_.nodes[next.leader.value - 1].incarnation;
  next.ack_quorum = replica::ack_quorum(replicas.size(), plan_.min_copies);
  chain.epoch = next.epoch;
  chain.segments.push_back(std::move(next));
  ++image_.next_segment.value;
  partition_of_.push_back(partition);
  ++image_.version;
  return true;
}

}  // namespace walrus::sim
