// DescribeConfigs, IncrementalAlterConfigs, AlterConfigs. Settings of topics can be read and
// changed; those of the node can be read.

#include <algorithm>

#include "broker/topic_config.h"
#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;
using broker::ConfigType;
using broker::KafkaConfig;

constexpr std::int8_t kTopic = 2, kBroker = 4;                               // resources
constexpr std::int8_t kFromTopic = 1, kFromConfiguration = 4, kDefault = 5;  // sources
enum Operation : std::int8_t { kSet, kDelete, kAppend, kSubtract };

const StreamOptions& defaults(Call call) { return call.local.broker().options().topic_defaults; }

Result<StreamOptions> options_of(Call call, Bytes topic) {
  if (!valid_topic_name(topic)) return fail(Code::kNotFound, "unknown topic {}", topic);
  WALRUS_ASSIGN(auto found, call.local.find(topic));
  WALRUS_ASSIGN(auto info, call.local.engine().info(found->partitions[0]));
  return info.options;
}

std::vector<KafkaConfig> node_configs(Call call) {
  auto setting = [](Bytes name, std::string value, ConfigType type) {
    return KafkaConfig{std::string(name), value, value, type};
  };
  const auto& node = call.node;
  std::vector<KafkaConfig> list{
      setting("auto.create.topics.enable", node.auto_create_topics ? "true" : "false",
              ConfigType::kBoolean),
      setting("broker.id", std::to_string(node.node_id), ConfigType::kInt),
      setting("default.replication.factor", "1", ConfigType::kInt),
      setting("delete.topic.enable", "true", ConfigType::kBoolean),
      setting("message.max.bytes", std::to_string(call.local.broker().options().batch_bytes_max),
              ConfigType::kInt),
      setting("min.insync.replicas", "1", ConfigType::kInt),
      setting("node.id", std::to_string(node.node_id), ConfigType::kInt),
      setting("num.partitions", std::to_string(node.partitions_default), ConfigType::kInt)};
  for (auto& one : broker::list_kafka_config(defaults(call), defaults(call)))
    if (one.name == "cleanup.policy" || one.name.starts_with("retention.") ||
        one.name == "segment.bytes")
      list.push_back(setting("log." + one.name, one.value, one.type));
  std::ranges::sort(list, {}, &KafkaConfig::name);
  return list;
}

DescribeConfigsResponse::Config describe(const KafkaConfig& config, bool of_topic, bool synonyms) {
  auto own = of_topic ? kFromTopic : kFromConfiguration;
  bool changed = !of_topic || config.value != config.default_value;
  DescribeConfigsResponse::Config to{.name = config.name,
                                     .value = config.value,
                                     .read_only = !of_topic,
                                     .source = changed ? own : kDefault,
                                     .type = static_cast<std::int8_t>(config.type)};
  if (!synonyms) return to;
  if (changed) to.synonyms.push_back({.name = config.name, .value = config.value, .source = own});
  if (of_topic)
    to.synonyms.push_back({.name = config.name, .value = config.default_value, .source = kDefault});
  return to;
}

DescribeConfigsResponse::Resource describe_resource(Call call,
                                                    const DescribeConfigsRequest::Resource& asked,
                                                    bool synonyms) {
  DescribeConfigsResponse::Resource to{.type = asked.type, .name = std::string(asked.name)};
  auto refuse = [&](ErrorCode code, std::string why) {
    to.error_code = number(code);
    to.error_message = std::move(why);
    return to;
  };
  std::vector<KafkaConfig> list;
  if (asked.type == kTopic) {
    auto options = options_of(call, asked.name);
    if (!options) return refuse(partition_error(options.error()), options.error().message);
    list = broker::list_kafka_config(*options, defaults(call));
  } else if (asked.type == kBroker) {
    if (!asked.name.empty() && asked.name != std::to_string(call.node.node_id))
      return refuse(ErrorCode::kInvalidRequest,
                    fmt::format("the only broker is {}", call.node.node_id));
    list = node_configs(call);
  } else {
    return refuse(ErrorCode::kInvalidRequest, "settings of topics and of the broker are known");
  }
  for (const auto& config : list) {
    bool wanted = !asked.keys || std::ranges::count(*asked.keys, Bytes(config.name)) > 0;
    if (wanted) to.configs.push_back(describe(config, asked.type == kTopic, synonyms));
  }
  return to;
}

// One resource that is to be changed, and how; the answer is the same for both APIs.
template <class Answer>
io::Task<Answer> change(Call call, std::int8_t type, Bytes name, bool validate_only,
                        broker::Local::Change change) {
  Answer to{.type = type, .name = std::string(name)};
  auto refuse = [&](ErrorCode code, std::string why) {
    to.error_code = number(code);
    to.error_message = std::move(why);
  };
  if (type != kTopic) {
    refuse(ErrorCode::kInvalidRequest, type == kBroker
                                           ? "the node's settings are in its configuration file"
                                           : "only settings of topics can be changed");
    co_return to;
  }
  auto options = options_of(call, name);
  if (!options) {
    refuse(partition_error(options.error()), options.error().message);
    co_return to;
  }
  auto changed = change(*options);
  if (!changed) {
    refuse(ErrorCode::kInvalidConfig, changed.error().message);
    co_return to;
  }
  if (validate_only) co_return to;
  auto done = co_await call.local.configure(to.name, std::move(change));
  if (!done) refuse(partition_error(done.error()), done.error().message);
  co_return to;
}

struct Step {
  std::string name{};
  std::int8_t operation = kSet;
  std::optional<std::string> value{};
};

// An item of a list, or several with commas.
Result<void> change_list(StreamOptions& options, const Step& step) {
  Bytes rest = *step.value;
  while (true) {
    auto comma = rest.find(',');
    WALRUS_TRY(broker::change_kafka_list(options, step.name, rest.substr(0, comma),
                                         step.operation == kAppend));
    if (comma == Bytes::npos) return {};
    rest.remove_prefix(comma + 1);
  }
}

Result<void> take_step(StreamOptions& options, const StreamOptions& defaults, const Step& step) {
  if (step.operation == kDelete) return broker::unset_kafka_config(options, defaults, step.name);
  if (!step.value) return fail(Code::kInvalid, "{}: no value", step.name);
  switch (step.operation) {
    case kSet: return broker::set_kafka_config(options, step.name, *step.value);
    case kAppend:
    case kSubtract: return change_list(options, step);
    default: return fail(Code::kInvalid, "{}: unknown operation {}", step.name, step.operation);
  }
}

broker::Local::Change steps_of(Call call, std::vector<Step> steps, bool anew) {
  return [defaults = defaults(call), steps = std::move(steps),
          anew](StreamOptions& options) -> Result<void> {
    auto changed = anew ? defaults : options;
    for (const auto& step : steps) WALRUS_TRY(take_step(changed, defaults, step));
    options = changed;
    return {};
  };
}

}  // namespace

io::Task<DescribeConfigsResponse> describe_configs(Call call, DescribeConfigsRequest request) {
  DescribeConfigsResponse response;
  for (const auto& asked : request.resources)
    response.resources.push_back(describe_resource(call, asked, request.include_synonyms));
  co_return response;
}

io::Task<IncrementalAlterConfigsResponse> incremental_alter_configs(
    Call call, IncrementalAlterConfigsRequest request) {
  IncrementalAlterConfigsResponse response;
  for (const auto& asked : request.resources) {
    std::vector<Step> steps;
    for (const auto& config : asked.configs)
      steps.push_back(
          {.name = std::string(config.name),
           .operation = config.operation,
           .value = config.value ? std::optional(std::string(*config.value)) : std::nullopt});
    WALRUS_CO_ASSIGN(auto to, co_await change<IncrementalAlterConfigsResponse::Resource>(
                                  call, asked.type, asked.name, request.validate_only,
                                  steps_of(call, std::move(steps), false)));
    response.resources.push_back(std::move(to));
  }
  co_return response;
}

// What is not named goes back to its default.
io::Task<AlterConfigsResponse> alter_configs(Call call, AlterConfigsRequest request) {
  AlterConfigsResponse response;
  for (const auto& asked : request.resources) {
    std::vector<Step> steps;
    for (const auto& config : asked.configs)
      if (config.value)
        steps.push_back({.name = std::string(config.name), .value = std::string(*config.value)});
    WALRUS_CO_ASSIGN(auto to, co_await change<AlterConfigsResponse::Resource>(
                                  call, asked.type, asked.name, request.validate_only,
                                  steps_of(call, std::move(steps), true)));
    response.resources.push_back(std::move(to));
  }
  co_return response;
}

}  // namespace walrus::frontend::kafka
