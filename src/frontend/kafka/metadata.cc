// Metadata, DescribeTopicPartitions and DescribeCluster: who leads what.

#include <algorithm>

#include "frontend/kafka/cluster_view.h"
#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"
#include "frontend/kafka/mentions.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

constexpr io::Nanos kLeaderlessMax = std::chrono::milliseconds(200),
                    kLookAgain = std::chrono::milliseconds(10);

// Of Metadata, or of DescribeTopicPartitions.
template <class Partition>
Partition describe_partition(Call call, const broker::Topic& topic, std::size_t number_of) {
  auto bounds = topic.partitions[number_of]->bounds();
  auto view = partition_view(call.node, {topic.id, static_cast<std::uint32_t>(number_of)},
                             bounds ? bounds->leader : NodeId{});
  Partition partition;
  partition.index = static_cast<std::int32_t>(number_of);
  if (!bounds) partition.error_code = number(partition_error(bounds.error()));
  partition.leader_id = view.leader;
  partition.leader_epoch = bounds ? bounds->epoch : 0;
  partition.replicas = partition.in_sync_replicas = std::move(view.replicas);
  return partition;
}

MetadataResponse::Topic describe(Call call, const broker::Topic& topic) {
  MetadataResponse::Topic to{.name = topic.name, .id = topic.id};
  to.partitions.reserve(topic.partitions.size());
  for (std::size_t i = 0; i < topic.partitions.size(); ++i)
    to.partitions.push_back(describe_partition<MetadataResponse::Partition>(call, topic, i));
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

// The partitions that are asked for and lost their leaders a moment ago.
std::vector<PartitionId> between_leaders(Call call, const MetadataRequest& request, io::Nanos now) {
  std::vector<PartitionId> between;
  for (const auto& asked : *request.topics) {
    bool named = asked.name && asked.id.is_zero();
    auto topic = named ? find_topic(call.local, *asked.name) : find_topic(call, asked.id);
    if (!topic) continue;
    for (std::uint32_t i = 0; i < (*topic)->partitions.size(); ++i) {
      auto bounds = (*topic)->partitions[i]->bounds();
      bool lately =
          bounds && bounds->leader == NodeId{} && now - bounds->leaderless_since < kLeaderlessMax;
      if (lately) between.push_back({(*topic)->id, i});
    }
  }
  return between;
}

// Told that nobody leads, a client would pause for longer than it takes until somebody does: so
// that is waited for, but not for long, because other partitions' answers wait behind this one.
io::Task<void> wait_for_leaders(Call call, const MetadataRequest& request) {
  auto& env = call.local.engine().env();
  auto until = env.mono() + kLeaderlessMax;
  auto between = between_leaders(call, request, env.mono());
  if (!between.empty() && call.node.want) call.node.want(between);
  while (!between.empty() && env.mono() < until) {
    co_await call.local.loop().sleep(kLookAgain);
    between = between_leaders(call, request, env.mono());
  }
  co_return Result<void>();
}

}  // namespace

// A client whose leader has died asks at once who leads now. Told the dead one again, it would ask
// no more for a second; so the other nodes are asked first whether they live.
io::Task<MetadataResponse> metadata(Call call, MetadataRequest request) {
  MetadataResponse response;
  if (call.node.learn_who_is_there)
    WALRUS_CO_TRY(co_await call.node.learn_who_is_there(call.local.loop()));
  if (call.node.image && request.topics) WALRUS_CO_TRY(co_await wait_for_leaders(call, request));
  for (auto& one : brokers(call.node))
    response.brokers.push_back({.node_id = one.id,
                                .host = std::move(one.host),
                                .port = one.port,
                                .rack = std::move(one.rack)});
  response.cluster_id = cluster_id(call.node);
  response.controller_id = controller(call.node);
  // Version 0 has no null: there an empty list means all topics.
  if (!request.topics || (call.version == 0 && request.topics->empty())) {
    for (const auto& topic : call.local.list_topics())
      if (valid_topic_name(topic->name)) response.topics.push_back(describe(call, *topic));
    co_return response;
  }
  bool create = request.allow_auto_topic_creation && call.node.auto_create_topics;
  auto key = [](const MetadataRequest::Topic& topic) {
    return std::pair(topic.id, topic.id.is_zero() ? topic.name.value_or(Bytes()) : Bytes());
  };
  Mentions<std::pair<Uuid, Bytes>> mentions(*request.topics, key);
  for (const auto& asked : *request.topics) {
    if (!mentions.first(key(asked))) continue;
    // Java's client sends an empty name beside an id.
    if (!asked.name || !asked.id.is_zero()) {
      response.topics.push_back(describe_id(call, asked.id));
      continue;
    }
    WALRUS_CO_ASSIGN(auto topic, co_await describe_named(call, *asked.name, create));
    response.topics.push_back(std::move(topic));
  }
  co_return response;
}

namespace {

// The topics from `from` on that are asked for, or all, by name, each once.
std::vector<std::string> topics_from(Call call, const DescribeTopicPartitionsRequest& request,
                                     Bytes from) {
  std::vector<std::string> names;
  for (const auto& topic : request.topics) names.emplace_back(topic.name);
  if (request.topics.empty()) {
    for (const auto& topic : call.local.list_topics())
      if (valid_topic_name(topic->name)) names.push_back(topic->name);
  }
  std::ranges::sort(names);
  auto again = std::ranges::unique(names);
  names.erase(again.begin(), again.end());
  std::erase_if(names, [from](const std::string& name) { return name < from; });
  return names;
}

}  // namespace

// A page at a time: what did not fit is named by where it begins.
io::Task<DescribeTopicPartitionsResponse> describe_topic_partitions(
    Call call, DescribeTopicPartitionsRequest request) {
  constexpr std::int32_t kPartitionsMax = 2000;  // of one answer, as in Kafka
  DescribeTopicPartitionsResponse response;
  if (request.cursor && request.cursor->partition < 0) {
    for (const auto& topic : request.topics)
      response.topics.push_back(
          {.error_code = number(ErrorCode::kInvalidRequest), .name = std::string(topic.name)});
    co_return response;
  }
  auto left = std::clamp(request.partitions_max, 1, kPartitionsMax);
  Bytes from = request.cursor ? Bytes(request.cursor->topic) : Bytes();
  for (const auto& name : topics_from(call, request, from)) {
    auto topic = find_topic(call.local, name);
    auto first = name == from ? static_cast<std::size_t>(request.cursor->partition) : 0;
    auto count = topic ? (*topic)->partitions.size() : 0;
    if (left == 0) {
      response.next = {.topic = name, .partition = static_cast<std::int32_t>(first)};
      break;
    }
    auto& to = response.topics.emplace_back();
    to.name = name;
    if (!topic)
      to.error_code = number(valid_topic_name(name) ? partition_error(topic.error())
                                                    : ErrorCode::kInvalidTopic);
    else to.id = (*topic)->id;
    for (; first < count && left > 0; ++first, --left) {
      auto& partition = to.partitions.emplace_back(
          describe_partition<DescribeTopicPartitionsResponse::Partition>(call, **topic, first));
      partition.eligible_leader_replicas.emplace();
      partition.last_known_eligible_leader_replicas.emplace();
    }
    if (first >= count) continue;
    response.next = {.topic = name, .partition = static_cast<std::int32_t>(first)};
    break;
  }
  co_return response;
}

io::Task<DescribeClusterResponse> describe_cluster(Call call, DescribeClusterRequest request) {
  constexpr std::int8_t kBrokers = 1, kControllers = 2;
  DescribeClusterResponse response{.endpoint_type = kBrokers,
                                   .cluster_id = cluster_id(call.node),
                                   .controller_id = controller(call.node)};
  if (request.endpoint_type != kBrokers) {
    response.error_code =
        number(request.endpoint_type == kControllers ? ErrorCode::kMismatchedEndpointType
                                                     : ErrorCode::kUnsupportedEndpointType);
    response.error_message = "only brokers can be described here";
    co_return response;
  }
  for (auto& one : brokers(call.node))
    response.brokers.push_back(
        {.id = one.id, .host = std::move(one.host), .port = one.port, .rack = std::move(one.rack)});
  co_return response;
}

}  // namespace walrus::frontend::kafka
