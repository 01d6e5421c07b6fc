#include "frontend/kafka/cluster_view.h"

#include <algorithm>

#include "io/address.h"

namespace walrus::frontend::kafka {
namespace {

std::optional<BrokerView> view_of(NodeId id, const meta::Node& node) {
  auto listener = std::ranges::find(node.listeners, "kafka", &meta::Listener::name);
  if (node.state == meta::NodeState::kRemoved || listener == node.listeners.end())
    return std::nullopt;
  auto address = io::parse_address(listener->address);
  if (!address) return std::nullopt;
  return BrokerView{.id = static_cast<std::int32_t>(id.value),
                    .host = address->host,
                    .port = address->port,
                    .rack = node.rack.empty() ? std::nullopt : std::optional(node.rack)};
}

BrokerView self_of(const NodeOptions& node) {
  return {.id = node.node_id, .host = node.host, .port = node.port};
}

}  // namespace

std::vector<BrokerView> brokers(const NodeOptions& node) {
  if (!node.image) return {self_of(node)};
  std::vector<BrokerView> all;
  node.image()->nodes.each([&all](NodeId id, const meta::Node& one) {
    if (auto view = view_of(id, one)) all.push_back(std::move(*view));
  });
  return all;
}

std::int32_t controller(const NodeOptions& node) {
  auto leader = node.leads_metadata ? node.leads_metadata() : NodeId{};
  auto known = leader == NodeId{} ? std::nullopt : find_broker(node, leader);
  return known ? known->id : node.node_id;
}

std::optional<BrokerView> find_broker(const NodeOptions& node, NodeId id) {
  if (static_cast<std::int32_t>(id.value) == node.node_id) return self_of(node);
  if (!node.image) return std::nullopt;
  auto image = node.image();
  const auto* found = image->find_node(id);
  return found ? view_of(id, *found) : std::nullopt;
}

PartitionView partition_view(const NodeOptions& node, const PartitionId& id, NodeId leader) {
  if (!node.image) return {.leader = node.node_id, .replicas = {node.node_id}};
  PartitionView view{.leader = leader == NodeId{} ? -1 : static_cast<std::int32_t>(leader.value)};
  if (leader == NodeId{} && node.want) node.want({id});
  auto image = node.image();
  const auto* partition = image->partitions.find(id);
  if (partition && partition->tail)
    for (auto replica : partition->tail->replicas)
      view.replicas.push_back(static_cast<std::int32_t>(replica.value));
  if (view.replicas.empty() && view.leader >= 0) view.replicas = {view.leader};
  return view;
}

std::optional<NodeId> led_elsewhere(const NodeOptions& node, const broker::Log& log) {
  if (!node.image) return std::nullopt;
  auto bounds = log.bounds();
  bool here = !bounds || bounds->leader == NodeId{} ||
              bounds->leader == NodeId{static_cast<std::uint64_t>(node.node_id)};
  return here ? std::nullopt : std::optional(bounds->leader);
}

std::optional<std::int32_t> nearer_copy(const NodeOptions& node, const PartitionId& id,
                                        Bytes rack) {
  if (!node.image || rack.empty()) return std::nullopt;
  auto image = node.image();
  const auto* partition = image->partitions.find(id);
  if (partition == nullptr || !partition->tail) return std::nullopt;
  std::optional<std::int32_t> nearer;
  for (auto replica : partition->tail->replicas) {
    const auto* one = image->find_node(replica);
    if (one == nullptr || one->rack != rack || one->state != meta::NodeState::kActive) continue;
    auto number = static_cast<std::int32_t>(replica.value);
    if (number == node.node_id) return std::nullopt;
    if (!nearer && find_broker(node, replica)) nearer = number;
  }
  return nearer;
}

wire::kafka::CurrentLeader current_leader(const broker::Log& log) {
  auto bounds = log.bounds();
  if (!bounds || bounds->leader == NodeId{}) return {};
  return {.leader_id = static_cast<std::int32_t>(bounds->leader.value),
          .leader_epoch = bounds->epoch};
}

std::vector<wire::kafka::NodeEndpoint> endpoints(const NodeOptions& node,
                                                 const std::vector<NodeId>& leaders) {
  std::vector<wire::kafka::NodeEndpoint> list;
  for (auto id : leaders) {
    auto broker = find_broker(node, id);
    if (!broker ||
        std::ranges::find(list, broker->id, &wire::kafka::NodeEndpoint::node_id) != list.end())
      continue;
    list.push_back({.node_id = broker->id,
                    .host = std::move(broker->host),
                    .port = broker->port,
                    .rack = std::move(broker->rack)});
  }
  return list;
}

}  // namespace walrus::frontend::kafka
