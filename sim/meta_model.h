#pragma once
// The model of a cluster's metadata: what commands mean, told in the plainest way. Lists instead of
// packed chains, a set of lost copies instead of stamps, everything counted anew. It says of each
// change whether it has to be done, and what it answers then; and compares itself with a State.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "history.h"
#include "meta/command.h"

namespace walrus::sim {

struct ModelSegment {
  std::uint64_t id = 0;
  std::uint32_t epoch = 0, recovery = 0;
  meta::SegmentState state = meta::SegmentState::kOpen;
  std::int64_t base = 0, end = 0;
  NodeId leader{}, recoverer{};
  std::uint64_t life = 0;  // of the leader
  std::vector<NodeId> replicas{};
  std::set<NodeId> lost{};  // of the replicas
  std::uint32_t min_copies = 1;
  std::uint64_t bytes = 0;
  std::uint64_t compacted = 0;
};

struct ModelCompaction {
  std::uint64_t segment = 0, copy = 0;
  NodeId by{};
  std::vector<NodeId> holders{};
  std::set<NodeId> lost{};  // who has lost its disk since
};

struct ModelPartition {
  std::uint64_t version = 0;
  std::uint32_t epoch = 0;
  std::int64_t log_start = 0, end = 0;  // end: of what is sealed
  std::vector<ModelSegment> segments{};
  std::vector<meta::Loss> losses{};
  std::int64_t compacted_to = 0;
  std::optional<ModelCompaction> compaction{};
  ModelSegment* find(std::uint64_t segment);  // sealed
  bool compacted_everywhere();
  bool has_tail() const {
    return !segments.empty() && segments.back().state != meta::SegmentState::kSealed;
  }
};

struct ModelNode {
  std::uint64_t version = 0, incarnation = 0;
  meta::NodeState state = meta::NodeState::kJoining;
  Uuid directory{};
  std::uint32_t lease_epoch = 0, level = 0, capacity = 0;
  std::vector<meta::Listener> listeners{};
  std::string rack{};
  NodeId replaced_by{};
};

struct ModelTopic {
  Uuid id{};
  std::uint64_t version = 0;
  bool internal = false;
  std::uint32_t replication_factor = 1, min_copies = 1;
  meta::Settings settings{};
  std::vector<ModelPartition> partitions{};
};

class MetaModel {
 public:
  // What a change must answer; none: it must be refused. Then the model is changed by it.
  std::optional<meta::Outcome> apply(const meta::Change&, Time now);
  // The first thing in which they differ.
  Verdict compare(const meta::State&) const;

  bool founded() const { return !cluster_.is_zero(); }
  const Uuid& cluster() const { return cluster_; }
  std::map<std::string, ModelTopic> topics{};
  std::map<NodeId, ModelNode> nodes{};
  std::map<std::string, meta::SetUser> users{};  // `expected`: their version
  std::set<Uuid> deleted{};
  std::uint64_t version = 0, next_segment = 1, cluster_version = 0;
  std::int64_t next_producer = 0;
  std::uint32_t level = 0;
  std::size_t recoveries = 0;
  meta::Settings settings{};

 private:
  using Answer = std::optional<meta::Outcome>;
  Answer change(const meta::Unreadable&) { return {}; }
  Answer change(const meta::Found&);
  Answer change(const meta::RaiseLevel&);
  Answer change(const meta::ConfigureCluster&);
  Answer change(const meta::RegisterNode&);
  Answer change(const meta::SetNodeState&);
  Answer change(const meta::ReplaceNode&);
  Answer change(const meta::ExpireLease&);
  Answer change(const meta::CreateTopic&);
  Answer change(const meta::DeleteTopic&);
  Answer change(const meta::AlterTopic&);
  Answer change(const meta::AddPartitions&);
  Answer change(const meta::OpenSegment&);
  Answer change(const meta::BeginSeal&);
  Answer change(const meta::Seal&);
  Answer change(const meta::SetLogStart&);
  Answer change(const meta::MoveCopies&);
  Answer change(const meta::BeginCompaction&);
  Answer change(const meta::HoldCompacted&);
  Answer change(const meta::EndCompaction&);
  Answer change(const meta::SetUser&);
  Answer change(const meta::TakeProducerIds&);
  Answer change(const meta::RecoverMetadata&);
  Answer change(const meta::HandOver&);

  Answer done(std::uint64_t at, std::uint64_t value = 0) const {
    return meta::Outcome{meta::Refusal::kNone, {at}, value};
  }
  ModelTopic* topic_of(const Uuid&);
  ModelPartition* partition_of(const PartitionId&, meta::Version expected);
  bool fits(const meta::Placement&, const ModelTopic&) const;
  std::uint64_t open(ModelPartition&, const meta::Placement&, const ModelTopic&);
  bool holds_something(NodeId) const;
  void lose(NodeId);
  Verdict compare_nodes(const meta::State&) const;
  Verdict compare_topics(const meta::State&) const;
  Verdict compare_partition(const PartitionId&, const ModelPartition&, const meta::State&) const;

  Uuid cluster_{};
  Time now_{};
};

}  // namespace walrus::sim
