#pragma once
// The replies to CLUSTER, and to METRICS of a node of a cluster. What is told of it is as of the
// image that the asked node has; `health` and `alive` are what the controller sees, as far as one
// can be reached.

#include <functional>
#include <memory>
#include <string>

#include "broker/cluster/seals.h"
#include "io/network.h"
#include "meta/member.h"
#include "wire/native/request.h"

namespace walrus::frontend::native {

// The cluster that this server is a node of.
struct ClusterPart {
  io::Loop* loop = nullptr;                                 // of the cluster; null: it is none
  std::function<std::shared_ptr<meta::Member>()> member{};  // on that loop; null: not yet
  std::shared_ptr<broker::Bridge> bridge{};                 // shared with all that is of it
};

// A request, without views.
struct ClusterCall {
  wire::native::ClusterRequest::Verb verb{};
  std::string topic{};
  std::optional<std::int32_t> partition{};
  NodeId node{}, by{};
  bool force = false;
  std::optional<wire::native::ClusterRequest::Loss> loss{};
  std::string author{};  // of who asks: recorded with a loss
};
ClusterCall to_call(const wire::native::ClusterRequest&, std::string author);

// From any loop: what the request is answered with, JSON, or empty for OK. kNotFound: no such node
// or topic; kInvalid: the text says why not; kMismatch: it is not as it was any more; kBusy,
// kTimeout: nobody leads the metadata.
io::Task<std::string> answer_cluster(ClusterPart, io::Loop& here, ClusterCall);
// In the field names of upstream: the group of the metadata as this member of it sees it.
io::Task<std::string> answer_metrics(ClusterPart, io::Loop& here, Result<void> storage);

// ---- Pure: cluster_json.cc ----

const char* state_name(meta::NodeState);
std::string partition_text(const meta::State&, const PartitionId&);  // "orders/3"

// Why a node can never be drained as things are: nobody, or fewer nodes than some topic wants to be
// written to, would be left. None: it can. `coming` counts as left.
std::optional<std::string> drain_obstacle(const meta::State&, NodeId, NodeId coming = {});
// Topics that will have fewer copies than their replication factor once the node is drained.
std::uint64_t topics_with_fewer_copies(const meta::State&, NodeId);
// Segments of which no other node that is not removed has an intact copy.
std::uint64_t only_copies(const meta::State&, NodeId);

// `health`: none, if no controller answered.
std::string cluster_status_json(const meta::State&, const std::optional<meta::Health>& health);
// status: "ok"; "degraded", where something is missing that is being made good, or a node is down;
// "down", where an operator has to act or nobody leads. problems: a sentence each.
std::string cluster_health_json(const meta::State&, const std::optional<meta::Health>& health,
                                const meta::Concerns& concerns = {},
                                const meta::Conditions& conditions = {});
std::string cluster_segments_json(const meta::State&, const meta::Topic&, const Uuid& id);

std::string cluster_seal_json(const std::string& topic, const std::vector<broker::SealView>&);

std::string cluster_metrics_json(const meta::MemberStatus&, const meta::State&, io::Nanos now,
                                 const Result<void>& storage);

}  // namespace walrus::frontend::native
