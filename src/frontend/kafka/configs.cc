// DescribeConfigs, IncrementalAlterConfigs, AlterConfigs. Settings of topics can be read and
// changed; those of the node can be read.

#include <algorithm>

#include "broker/topic_config.h"
#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"
#include "frontend/kafka/mentions.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;
using broker::ConfigType;
using broker::KafkaConfig;

constexpr std::int8_t kTopic = 2, kBroker = 4;  // resources
enum Operation : std::int8_t { kSet, kDelete, kAppend, kSubtract };

// Of a topic that was not found.
ErrorCode unknown_topic(Bytes name, const Error& error) {
  return valid_topic_name(name) ? partition_error(error) : ErrorCode::kInvalidTopic;
}

const broker::TopicConfig& defaults(Call call) {
  return call.local.broker().options().topic_defaults;
}

std::int8_t source_number(broker::ConfigSource source) { return static_cast<std::int8_t>(source); }

// Unset, min.insync.replicas is a majority of the copies: of one, one.
constexpr Bytes kMinInSync = "min.insync.replicas";
KafkaConfig in_sync_of(KafkaConfig config, const broker::TopicConfig& node, std::uint32_t copies) {
  config.default_value = std::to_string(copies / 2 + 1);
  if (!node.given.contains(kMinInSync)) config.node_value = config.default_value;
  return config;
}

std::vector<KafkaConfig> topic_configs(Call call, const broker::Topic& topic) {
  using broker::ConfigSource;
  auto list = broker::list_kafka_config(topic.config, defaults(call));
  auto one = std::ranges::find(list, kMinInSync, &KafkaConfig::name);
  *one = in_sync_of(std::move(*one), defaults(call), topic.replication_factor);
  const bool own = topic.config.given.contains(kMinInSync) || one->value != one->node_value;
  if (own) one->source = ConfigSource::kTopic;
  else
    one->source =
        one->node_value != one->default_value ? ConfigSource::kNode : ConfigSource::kDefault;
  return list;
}

std::vector<KafkaConfig> node_configs(Call call) {
  auto setting = [](Bytes name, std::string value, ConfigType type) {
    return KafkaConfig{.name = std::string(name), .value = std::move(value), .type = type};
  };
  const auto& node = call.node;
  std::vector<KafkaConfig> list{
      setting("auto.create.topics.enable", node.auto_create_topics ? "true" : "false",
              ConfigType::kBoolean),
      setting("broker.id", std::to_string(node.node_id), ConfigType::kInt),
      setting("default.replication.factor", std::to_string(node.replication_factor),
              ConfigType::kInt),
      setting("delete.topic.enable", "true", ConfigType::kBoolean),
      setting("node.id", std::to_string(node.node_id), ConfigType::kInt),
      setting("num.partitions", std::to_string(node.partitions_default), ConfigType::kInt)};
  if (!node.rack.empty()) list.push_back(setting("broker.rack", node.rack, ConfigType::kString));
  if (node.settings) list.insert(list.end(), node.settings->begin(), node.settings->end());
  for (auto& one : broker::list_kafka_config(defaults(call), defaults(call))) {
    auto name = broker::node_setting_name(one.name);
    if (name.empty()) continue;
    if (name == kMinInSync)
      one = in_sync_of(std::move(one), defaults(call), node.replication_factor);
    list.push_back(setting(name, one.node_value, one.type));
  }
  std::ranges::sort(list, {}, &KafkaConfig::name);
  return list;
}

// With the values that are hidden by it, the nearest first.
DescribeConfigsResponse::Config describe(const KafkaConfig& config, bool of_topic, bool synonyms) {
  using broker::ConfigSource;
  DescribeConfigsResponse::Config to{
      .name = config.name,
      .value = config.value,
      .read_only = !of_topic,
      .source = source_number(of_topic ? config.source : ConfigSource::kNode),
      .type = static_cast<std::int8_t>(config.type)};
  if (!synonyms) return to;
  auto add = [&to](const std::string& name, const std::string& value, ConfigSource source) {
    to.synonyms.push_back({.name = name, .value = value, .source = source_number(source)});
  };
  if (!of_topic) {
    add(config.name, config.value, ConfigSource::kNode);
    return to;
  }
  if (config.source == ConfigSource::kTopic) add(config.name, config.value, ConfigSource::kTopic);
  auto node_name = std::string(broker::node_setting_name(config.name));
  if (node_name.empty()) node_name = config.name;
  if (config.node_value != config.default_value)
    add(node_name, config.node_value, ConfigSource::kNode);
  add(node_name, config.default_value, ConfigSource::kDefault);
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
    auto topic = find_topic(call.local, asked.name);
    if (!topic) return refuse(unknown_topic(asked.name, topic.error()), topic.error().message);
    list = topic_configs(call, **topic);
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
  auto topic = find_topic(call.local, name);
  if (!topic) {
    refuse(unknown_topic(name, topic.error()), topic.error().message);
    co_return to;
  }
  auto tried = (*topic)->config;
  auto changed = change(tried);
  if (!changed) {
    refuse(ErrorCode::kInvalidConfig, changed.error().message);
    co_return to;
  }
  if (validate_only) co_return to;
  auto done = co_await call.local.configure(to.name, std::move(change));
  if (!done && done.error().code == Code::kInvalid)  // more than there are copies
    refuse(ErrorCode::kInvalidConfig, done.error().message);
  else if (!done) refuse(partition_error(done.error()), done.error().message);
  co_return to;
}

struct Step {
  std::string name{};
  std::int8_t operation = kSet;
  std::optional<std::string> value{};
};

// An item of a list, or several with commas.
Result<void> change_list(broker::TopicConfig& config, const Step& step) {
  Bytes rest = *step.value;
  while (true) {
    auto comma = rest.find(',');
    WALRUS_TRY(broker::change_kafka_list(config, step.name, rest.substr(0, comma),
                                         step.operation == kAppend));
    if (comma == Bytes::npos) return {};
    rest.remove_prefix(comma + 1);
  }
}

Result<void> take_step(broker::TopicConfig& config, const broker::TopicConfig& defaults,
                       const Step& step) {
  if (step.operation == kDelete) return broker::unset_kafka_config(config, defaults, step.name);
  if (!step.value) return fail(Code::kInvalid, "{}: no value", step.name);
  switch (step.operation) {
    case kSet: return broker::set_kafka_config(config, step.name, *step.value);
    case kAppend:
    case kSubtract: return change_list(config, step);
    default: return fail(Code::kInvalid, "{}: unknown operation {}", step.name, step.operation);
  }
}

broker::Local::Change steps_of(Call call, std::vector<Step> steps, bool anew) {
  return [defaults = defaults(call), steps = std::move(steps),
          anew](broker::TopicConfig& config) -> Result<void> {
    auto changed = anew ? defaults : config;
    for (const auto& step : steps) WALRUS_TRY(take_step(changed, defaults, step));
    WALRUS_TRY(broker::check_config(changed));
    config = changed;
    return {};
  };
}

}  // namespace

io::Task<DescribeConfigsResponse> describe_configs(Call call, DescribeConfigsRequest request) {
  DescribeConfigsResponse response;
  auto key = [](const DescribeConfigsRequest::Resource& one) {
    return std::pair(one.type, one.name);
  };
  Mentions<std::pair<std::int8_t, Bytes>> mentions(request.resources, key);
  for (const auto& asked : request.resources)
    if (mentions.first(key(asked)))
      response.resources.push_back(describe_resource(call, asked, request.include_synonyms));
  co_return response;
}

io::Task<IncrementalAlterConfigsResponse> incremental_alter_configs(
    Call call, IncrementalAlterConfigsRequest request) {
  IncrementalAlterConfigsResponse response;
  for (const auto& asked : request.resources) {
    std::vector<Step> steps;
    bool unclear = false;
    Mentions<Bytes> mentions(asked.configs, &IncrementalAlterConfigsRequest::Config::name);
    for (const auto& config : asked.configs) {
      unclear = unclear || (!config.value && config.operation != kDelete) ||
                mentions.mention(config.name) != Mention::kOnce;
      steps.push_back(
          {.name = std::string(config.name),
           .operation = config.operation,
           .value = config.value ? std::optional(std::string(*config.value)) : std::nullopt});
    }
    if (unclear) {
      response.resources.push_back({.error_code = number(ErrorCode::kInvalidRequest),
                                    .error_message = "a setting is named twice, or has no value",
                                    .type = asked.type,
                                    .name = std::string(asked.name)});
      continue;
    }
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
