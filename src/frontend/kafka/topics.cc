// CreateTopics and DeleteTopics.

#include <algorithm>

#include "broker/topic_config.h"
#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"
#include "frontend/kafka/mentions.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

constexpr std::int16_t kDetailsVersion = 5;  // from which on the answer says what was made

struct Refusal {
  ErrorCode code = ErrorCode::kNone;
  std::string why{};
  bool operator()() const { return code != ErrorCode::kNone; }
};

// Partitions by an assignment: each once, from 0, each on this node alone.
Refusal check_assignments(Call call, const CreateTopicsRequest::Topic& topic) {
  std::vector<bool> seen(topic.assignments.size());
  for (const auto& one : topic.assignments) {
    auto place = static_cast<std::size_t>(one.partition);
    if (one.partition < 0 || place >= seen.size() || seen[place])
      return {ErrorCode::kInvalidReplicaAssignment, "partitions are numbered from 0, each once"};
    seen[place] = true;
    if (one.broker_ids.size() != 1 || one.broker_ids[0] != call.node.node_id)
      return {ErrorCode::kInvalidReplicaAssignment,
              fmt::format("the only broker is {}", call.node.node_id)};
  }
  if (topic.partitions != -1 || topic.replication_factor != -1)
    return {ErrorCode::kInvalidRequest, "either an assignment or numbers"};
  return {};
}

Refusal plan_topic(Call call, const CreateTopicsRequest::Topic& topic, broker::NewTopic& to) {
  if (!valid_topic_name(topic.name)) return {ErrorCode::kInvalidTopic, "invalid topic name"};
  if (call.local.find(topic.name))
    return {ErrorCode::kTopicAlreadyExists, fmt::format("topic {} exists", topic.name)};
  auto partitions = static_cast<std::int64_t>(topic.partitions);
  if (!topic.assignments.empty()) {
    if (auto refusal = check_assignments(call, topic); refusal()) return refusal;
    partitions = std::ssize(topic.assignments);
  } else {
    if (partitions == -1) partitions = call.node.partitions_default;
    auto replicas_max = call.local.broker().catalogue().replicas_max();
    if (topic.replication_factor != -1 &&
        (topic.replication_factor < 1 || topic.replication_factor > std::int64_t{replicas_max}))
      return {ErrorCode::kInvalidReplicationFactor,
              fmt::format("replication factor {}: brokers are {}", topic.replication_factor,
                          replicas_max)};
    if (topic.replication_factor != -1)
      to.replication_factor = static_cast<std::uint32_t>(topic.replication_factor);
  }
  if (partitions < 1 || partitions > call.node.partitions_max)
    return {ErrorCode::kInvalidPartitions,
            fmt::format("{} partitions: from 1 to {}", partitions, call.node.partitions_max)};
  to.name = topic.name;
  to.partitions = static_cast<std::size_t>(partitions);
  to.config = call.local.broker().options().topic_defaults;
  for (const auto& config : topic.configs) {
    if (!config.value) return {ErrorCode::kInvalidConfig, fmt::format("{}: no value", config.name)};
    auto set = broker::set_kafka_config(to.config, config.name, *config.value);
    if (!set) return {ErrorCode::kInvalidConfig, set.error().message};
  }
  if (auto fits = broker::check_config(to.config); !fits)
    return {ErrorCode::kInvalidConfig, fits.error().message};
  return {};
}

io::Task<CreateTopicsResponse::Topic> create_one(Call call, CreateTopicsRequest::Topic asked,
                                                 bool validate_only) {
  CreateTopicsResponse::Topic to{.name = std::string(asked.name)};
  broker::NewTopic plan;
  auto refusal = plan_topic(call, asked, plan);
  if (!refusal() && !validate_only) {
    auto created = co_await call.local.create(plan);
    if (!created) refusal = {partition_error(created.error()), created.error().message};
  }
  if (refusal()) {
    to.error_code = number(refusal.code);
    to.error_message = refusal.why;
    if (call.version >= kDetailsVersion) to.configs.emplace();
    co_return to;
  }
  auto made = call.local.find(plan.name);
  if (made && !validate_only) to.id = (*made)->id;
  if (call.version >= kDetailsVersion) {
    auto asked_factor = std::max<std::uint32_t>(plan.replication_factor, 1);
    to.partitions = static_cast<std::int32_t>(plan.partitions);
    to.replication_factor =
        static_cast<std::int16_t>(made ? (*made)->replication_factor : asked_factor);
    auto& configs = to.configs.emplace();
    for (const auto& config :
         broker::list_kafka_config(plan.config, call.local.broker().options().topic_defaults))
      configs.push_back({.name = config.name,
                         .value = config.value,
                         .source = static_cast<std::int8_t>(config.source)});
  }
  co_return to;
}

// By name, or by id.
Result<broker::TopicRef> find_doomed(Call call, const DeleteTopicsRequest::Topic& asked) {
  if (asked.name && !asked.id.is_zero()) return fail(Code::kInvalid, "either a name or an id");
  return asked.name ? find_topic(call.local, *asked.name) : find_topic(call, asked.id);
}

io::Task<DeleteTopicsResponse::Topic> delete_one(Call call, DeleteTopicsRequest::Topic asked) {
  DeleteTopicsResponse::Topic to{.id = asked.id};
  if (asked.name) to.name = std::string(*asked.name);
  auto topic = find_doomed(call, asked);
  Result<void> result;
  if (!topic) {
    result = std::unexpected(std::move(topic).error());
  } else {
    to.name = (*topic)->name;
    to.id = (*topic)->id;
    result = co_await call.local.remove((*topic)->name);
  }
  if (!result) {
    bool by_id = !asked.name && result.error().code == Code::kNotFound;
    to.error_code = number(by_id ? ErrorCode::kUnknownTopicId : partition_error(result.error()));
    to.error_message = result.error().message;
  }
  co_return to;
}

io::Task<CreatePartitionsResponse::Topic> grow_one(Call call, CreatePartitionsRequest::Topic asked,
                                                   bool validate_only) {
  CreatePartitionsResponse::Topic to{.name = std::string(asked.name)};
  auto refuse = [&](ErrorCode code, std::string why) {
    to.error_code = number(code);
    to.error_message = std::move(why);
  };
  auto topic = find_topic(call.local, asked.name);
  if (!topic) {
    refuse(partition_error(topic.error()), topic.error().message);
    co_return to;
  }
  auto present = static_cast<std::int32_t>((*topic)->partitions.size());
  bool ours = !asked.assignments || std::ranges::all_of(*asked.assignments, [&](const auto& one) {
    return one.broker_ids == std::vector{call.node.node_id};
  });
  if (asked.count <= present || asked.count > call.node.partitions_max) {
    refuse(ErrorCode::kInvalidPartitions,
           fmt::format("{} partitions: more than the present {}, at most {}", asked.count, present,
                       call.node.partitions_max));
  } else if (!ours ||
             (asked.assignments && std::ssize(*asked.assignments) != asked.count - present)) {
    refuse(
        ErrorCode::kInvalidReplicaAssignment,
        fmt::format("one list for each new partition; the only broker is {}", call.node.node_id));
  } else if (!validate_only) {
    auto grown = co_await call.local.grow(to.name, static_cast<std::size_t>(asked.count));
    if (!grown) refuse(partition_error(grown.error()), grown.error().message);
  }
  co_return to;
}

// A topic that a request names more than once.
template <class Topic>
void refuse_twice(std::vector<Topic>& answers, Bytes name) {
  auto& to = answers.emplace_back();
  to.name = std::string(name);
  to.error_code = number(ErrorCode::kInvalidRequest);
  to.error_message = "named twice in one request";
}

}  // namespace

io::Task<CreatePartitionsResponse> create_partitions(Call call, CreatePartitionsRequest request) {
  CreatePartitionsResponse response;
  Mentions<Bytes> mentions(request.topics, &CreatePartitionsRequest::Topic::name);
  for (const auto& asked : request.topics) {
    auto mention = mentions.mention(asked.name);
    if (mention == Mention::kRepeated) refuse_twice(response.topics, asked.name);
    if (mention != Mention::kOnce) continue;
    WALRUS_CO_ASSIGN(auto topic, co_await grow_one(call, asked, request.validate_only));
    response.topics.push_back(std::move(topic));
  }
  co_return response;
}

io::Task<CreateTopicsResponse> create_topics(Call call, CreateTopicsRequest request) {
  CreateTopicsResponse response;
  Mentions<Bytes> mentions(request.topics, &CreateTopicsRequest::Topic::name);
  for (const auto& asked : request.topics) {
    auto mention = mentions.mention(asked.name);
    if (mention == Mention::kRepeated) refuse_twice(response.topics, asked.name);
    if (mention != Mention::kOnce) continue;
    WALRUS_CO_ASSIGN(auto topic, co_await create_one(call, asked, request.validate_only));
    response.topics.push_back(std::move(topic));
  }
  co_return response;
}

io::Task<DeleteTopicsResponse> delete_topics(Call call, DeleteTopicsRequest request) {
  constexpr std::int16_t kById = 6;
  if (call.version < kById)
    for (auto name : request.names) request.topics.push_back({.name = name});
  DeleteTopicsResponse response;
  Mentions<std::optional<Bytes>> mentions(request.topics, &DeleteTopicsRequest::Topic::name);
  for (const auto& asked : request.topics) {
    auto mention = asked.name ? mentions.mention(asked.name) : Mention::kOnce;
    if (mention == Mention::kRepeated) refuse_twice(response.topics, *asked.name);
    if (mention != Mention::kOnce) continue;
    WALRUS_CO_ASSIGN(auto topic, co_await delete_one(call, asked));
    response.topics.push_back(std::move(topic));
  }
  co_return response;
}

}  // namespace walrus::frontend::kafka
