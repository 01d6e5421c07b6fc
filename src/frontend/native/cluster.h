#pragma once
// The replies to CLUSTER. What is told of it is as of the image that the asked node has; `health`
// and `alive` are what the controller sees, as far as one can be reached.

#include <functional>
#include <memory>
#include <string>

#include "io/network.h"
#include "meta/member.h"
#include "wire/native/request.h"

namespace walrus::frontend::native {

// The cluster that this server is a node of.
struct ClusterPart {
  io::Loop* loop = nullptr;                                 // of the cluster; null: it is none
  std::function<std::shared_ptr<meta::Member>()> member{};  // on that loop; null: not yet
};

// From any loop: what the request is answered with, JSON, or empty for OK. kNotFound: no such node
// or topic; kMismatch: the node is in another state; kBusy, kTimeout: nobody leads the metadata.
io::Task<std::string> answer_cluster(ClusterPart, io::Loop& here,
                                     wire::native::ClusterRequest::Verb, std::string topic,
                                     NodeId node, bool force);

// ---- Pure ----

const char* state_name(meta::NodeState);
// `health`: none, if no controller answered.
std::string cluster_status_json(const meta::State&, const std::optional<meta::Health>& health);
// status: "ok"; "degraded", where something is missing that is being made good, or a node is down;
// "down", where an operator has to act or nobody leads. problems: a sentence each.
std::string cluster_health_json(const meta::State&, const std::optional<meta::Health>& health);
std::string cluster_segments_json(const meta::State&, const meta::Topic&, const Uuid& id);

}  // namespace walrus::frontend::native
