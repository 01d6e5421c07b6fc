// Metadata and DescribeCluster: who leads what. A single node leads everything.

#include <algorithm>

#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

MetadataResponse::Topic describe(Call call, const broker::Topic& topic) {
  MetadataResponse::Topic to{.name = topic.name, .id = topic_id(call.node, topic)};
  to.partitions.reserve(topic.partitions.size());
  for (std::size_t i = 0; i < topic.partitions.size(); ++i) {
    auto bounds = call.local.engine().bounds(topic.partitions[i]);
    auto& partition = to.partitions.emplace_back();
    partition.index = static_cast<std::int32_t>(i);
    if (!bounds) partition.error_code = number(partition_error(bounds.error()));
    partition.leader_id = call.node.node_id;
    partition.leader_epoch = call.local.epoch(topic.partitions[i]);
    partition.replicas = partition.in_sync_replicas = {call.node.node_id};
  }
  return to;
}

io::Task<broker::TopicRef> find_or_create(Call call, Bytes name, bool create) {
  auto found = call.local.find(name);
  if (found || found.error().code != Code::kNotFound || !create) co_return found;
  auto created = co_await call.local.create(
      {.name = std::string(name),
       .partitions = static_cast<std::size_t>(call.node.partitions_default),
       .config = call.local.broker().options().topic_defaults});
  if (!created && created.error().code != Code::kExists)
    co_return std::unexpected(std::move(created).error());
  co_return call.local.find(name);
}

io::Task<MetadataResponse::Topic> describe_named(Call call, Bytes name, bool create) {
  MetadataResponse::Topic failed{.name = std::string(name)};
  if (!valid_topic_name(name)) {
    failed.error_code = number(ErrorCode::kInvalidTopic);
    co_return failed;
  }
  auto topic = co_await find_or_create(call, name, create);
  if (topic) co_return describe(call, **topic);
  failed.error_code = number(partition_error(topic.error()));
  co_return failed;
}

MetadataResponse::Topic describe_id(Call call, const Uuid& id) {
  auto topic = find_topic(call, id);
  if (topic) return describe(call, **topic);
  return {.error_code = number(ErrorCode::kUnknownTopicId), .id = id};
}

}  // namespace

io::Task<MetadataResponse> metadata(Call call, MetadataRequest request) {
  MetadataResponse response;
  response.brokers.push_back(
      {.node_id = call.node.node_id, .host = call.node.host, .port = call.node.port});
  response.cluster_id = cluster_id(call.node);
  response.controller_id = call.node.node_id;
  // Version 0 has no null: there an empty list means all topics.
  if (!request.topics || (call.version == 0 && request.topics->empty())) {
    for (const auto& topic : call.local.list_topics())
      if (valid_topic_name(topic->name)) response.topics.push_back(describe(call, *topic));
    co_return response;
  }
  bool create = request.allow_auto_topic_creation && call.node.auto_create_topics;
  for (const auto& asked : *request.topics) {
    if (!asked.name) {
      response.topics.push_back(describe_id(call, asked.id));
      continue;
    }
    WALRUS_CO_ASSIGN(auto topic, co_await describe_named(call, *asked.name, create));
    response.topics.push_back(std::move(topic));
  }
  co_return response;
}

io::Task<DescribeClusterResponse> describe_cluster(Call call, DescribeClusterRequest request) {
  constexpr std::int8_t kBrokers = 1;
  DescribeClusterResponse response{.endpoint_type = request.endpoint_type,
                                   .cluster_id = cluster_id(call.node),
                                   .controller_id = call.node.node_id};
  if (request.endpoint_type != kBrokers) {
    response.error_code = number(ErrorCode::kInvalidRequest);
    response.error_message = "only brokers can be described here";
    co_return response;
  }
  response.brokers.push_back(
      {.id = call.node.node_id, .host = call.node.host, .port = call.node.port});
  co_return response;
}

}  // namespace walrus::frontend::kafka
