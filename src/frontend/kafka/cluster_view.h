#pragma once
// The nodes as Kafka's clients are told of them, from the image that this node has of its cluster;
// a single server is the only one. Pure.
//
// A client believes what it is told until it is refused, so a hint that is a little old costs a
// round trip, nothing else.

#include <optional>
#include <string>
#include <vector>

#include "frontend/kafka/handlers.h"
#include "meta/state.h"

namespace walrus::frontend::kafka {

struct BrokerView {
  std::int32_t id = 0;
  std::string host{};
  std::int32_t port = 0;
  std::optional<std::string> rack{};
  bool operator==(const BrokerView&) const = default;
};

// All that are not removed and serve Kafka clients, ids rise.
std::vector<BrokerView> brokers(const NodeOptions&);
// The node that leads the metadata. Where none is known, this one: clients may give any of them
// what only a controller does.
std::int32_t controller(const NodeOptions&);
std::optional<BrokerView> find_broker(const NodeOptions&, NodeId);

struct PartitionView {
  std::int32_t leader = -1;  // none for now
  std::vector<std::int32_t> replicas{};
};
// Of a partition whose Log says that `leader` writes it. Without one, one is wanted.
PartitionView partition_view(const NodeOptions&, const PartitionId&, NodeId leader);

// Who writes it instead of this node; none: this one does, or nobody does now.
std::optional<NodeId> led_elsewhere(const NodeOptions&, const broker::Log&);
// Who has a copy of what is being written, in the rack of a consumer that this node is not in.
std::optional<std::int32_t> nearer_copy(const NodeOptions&, const PartitionId&, Bytes rack);
// What a client is told with NOT_LEADER_OR_FOLLOWER.
wire::kafka::CurrentLeader current_leader(const broker::Log&);
std::vector<wire::kafka::NodeEndpoint> endpoints(const NodeOptions&, const std::vector<NodeId>&);

}  // namespace walrus::frontend::kafka
