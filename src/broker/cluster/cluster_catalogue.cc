#include "broker/cluster/cluster_catalogue.h"

#include <algorithm>

#include "base/check.h"
#include "broker/cluster/proposal.h"
#include "broker/cluster/replicated_log.h"
#include "broker/cluster/tails.h"
#include "broker/run_on.h"
#include "meta/placement.h"

namespace walrus::broker {
namespace {

constexpr Bytes kMinCopies = "min.insync.replicas";

using Changes = std::vector<meta::Change>;

std::unexpected<Error> unknown(Bytes topic) {
  return fail(Code::kNotFound, "unknown topic {}", topic);
}

std::vector<meta::Alive> active_nodes(const meta::State& state) {
  std::vector<meta::Alive> nodes;
  state.nodes.each([&](NodeId id, const meta::Node& node) {
    if (node.state == meta::NodeState::kActive) nodes.push_back({.node = id});
  });
  return nodes;
}

// How many copies of `factor` have to hold what is acknowledged.
Result<std::uint32_t> min_copies_of(const TopicConfig& config, std::uint32_t factor) {
  if (!config.given.contains(kMinCopies)) return factor / 2 + 1;
  auto copies = static_cast<std::uint32_t>(config.in_sync_min);
  if (copies > factor)
    return fail(Code::kInvalid, "{} = {}: there are {} copies", kMinCopies, copies, factor);
  return copies;
}

// A program that knows a lower level would compact what they protect.
Result<void> check_level(const TopicConfig& config, const meta::State& state) {
  bool lags = config.stream.compaction_lag_min.count() > 0 || config.stream.compaction_lag_max;
  if (!lags || state.cluster.feature_level >= 3) return {};
  return fail(Code::kInvalid,
              "min.compaction.lag.ms and max.compaction.lag.ms are of feature level 3, the cluster "
              "is of {}: a node runs an earlier program",
              state.cluster.feature_level);
}

}  // namespace

meta::Settings settings_of(const TopicConfig& config) {
  meta::Settings settings(config.given.begin(), config.given.end());
  for (auto& one : list_kafka_config(config, {}))
    if (one.value != one.default_value) settings.insert_or_assign(one.name, std::move(one.value));
  // Metadata has a field for it.
  if (!config.given.contains(kMinCopies)) settings.erase(std::string(kMinCopies));
  return settings;
}

TopicConfig config_of(const meta::Topic& topic) {
  TopicConfig config;
  for (const auto& [name, value] : topic.settings) {
    (void)set_kafka_config(config, name, value);
    config.given[name] = value;
  }
  config.in_sync_min = static_cast<std::int32_t>(topic.min_copies);
  return config;
}

ClusterCatalogue::ClusterCatalogue(std::shared_ptr<Bridge> bridge, Options options)
    : bridge_(std::move(bridge)),
      options_(std::move(options)),
      version_(std::make_shared<std::atomic<std::uint64_t>>(1)) {
  bridge_->on_image([version = version_, seen = meta::Version{}](const ImageRef& image) mutable {
    auto changes = image->changes_since(seen);
    seen = image->version;
    if (changes.whole || !changes.topics.empty() || !changes.deleted.empty())
      version->fetch_add(1, std::memory_order_release);
  });
}

Result<TopicRef> ClusterCatalogue::open(io::Loop& loop, Bytes name) {
  auto image = bridge_->image();
  const auto* id = image->topic_names.find(name);
  const auto* topic = id != nullptr ? image->topics.find(*id) : nullptr;
  if (topic == nullptr) return unknown(name);
  auto made = std::make_shared<Topic>();
  made->name = topic->name;
  made->id = *id;
  made->config = config_of(*topic);
  made->replication_factor = topic->replication_factor;
  made->partitions.reserve(topic->partitions);
  for (std::uint32_t i = 0; i < topic->partitions; ++i)
    made->partitions.push_back(std::make_shared<ReplicatedLog>(
        bridge_, loop, partition_name(name, i), PartitionId{.topic = *id, .index = i}));
  return made;
}

std::vector<TopicName> ClusterCatalogue::list(Bytes prefix) const {
  std::vector<TopicName> topics;
  bridge_->image()->topic_names.scan(prefix, [&](const std::string& name, const Uuid& id) {
    if (!name.starts_with(prefix)) return false;
    topics.push_back({.name = name, .id = id});
    return true;
  });
  return topics;
}

io::Task<void> ClusterCatalogue::catch_up(io::Loop& here) {
  return run_on<void>(here, bridge_->loop(), [this] { return catch_up_here(); });
}

io::Task<void> ClusterCatalogue::catch_up_here() {
  WALRUS_CO_ASSIGN(auto* metadata, bridge_->metadata());
  WALRUS_CO_ASSIGN(auto image, co_await metadata->current());
  WALRUS_CO_TRY(co_await bridge_->seen(image->version, options_.timeout));
  co_return Result<void>();
}

std::uint32_t ClusterCatalogue::replicas_max() const {
  auto nodes = active_nodes(*bridge_->image()).size();
  return static_cast<std::uint32_t>(std::min(nodes, meta::kReplicasMax));
}

io::Task<std::vector<Result<LogStatus>>> ClusterCatalogue::look(io::Loop& here,
                                                                std::vector<LogRef> logs,
                                                                Look what) {
  std::vector<PartitionId> ids;
  for (const auto& log : logs) ids.push_back(static_cast<const ReplicatedLog&>(*log).id());
  WALRUS_CO_ASSIGN(auto tails, co_await run_on<std::vector<Tail>>(
                                   here, bridge_->loop(), [bridge = bridge_, ids, this] {
                                     return ask_tails(bridge, ids, options_.look_timeout);
                                   }));
  std::vector<Result<LogStatus>> statuses;
  for (std::size_t i = 0; i < logs.size(); ++i)
    statuses.push_back(
        static_cast<const ReplicatedLog&>(*logs[i]).status(tails[i], what == Look::kSegments));
  co_return statuses;
}

Uuid ClusterCatalogue::new_uuid() {
  Uuid id;
  store_be(id.bytes.data(), bridge_->env().random());
  store_be(id.bytes.data() + 8, bridge_->env().random() | 1);  // never zero
  return id;
}

Result<meta::CreateTopic> ClusterCatalogue::plan_topic(const NewTopic& topic,
                                                       const meta::State& state) const {
  auto nodes = active_nodes(state);
  auto most = static_cast<std::uint32_t>(std::min(nodes.size(), meta::kReplicasMax));
  auto factor = topic.replication_factor;
  if (factor == 0) factor = std::clamp(options_.replication_factor, 1U, std::max(most, 1U));
  else if (factor > most)
    return fail(Code::kInvalid, "replication factor {}: nodes are {}", factor, most);
  WALRUS_ASSIGN(auto min_copies, min_copies_of(topic.config, factor));
  WALRUS_TRY(check_level(topic.config, state));
  meta::CreateTopic change{.name = topic.name,
                           .internal = topic.internal,
                           .partitions = static_cast<std::uint32_t>(topic.partitions),
                           .replication_factor = factor,
                           .min_copies = min_copies,
                           .settings = settings_of(topic.config)};
  return change;
}

io::Task<void> ClusterCatalogue::create(io::Loop& here, NewTopic topic) {
  return run_on<void>(here, bridge_->loop(),
                      [this, topic = std::move(topic)] { return create_here(topic); });
}

io::Task<void> ClusterCatalogue::create_here(NewTopic topic) {
  auto id = new_uuid();
  auto plan = [this, topic, id](const meta::State& state) -> Result<std::vector<meta::Change>> {
    if (const auto* known = state.topic_names.find(topic.name)) {
      if (*known == id) return Changes();
      return fail(Code::kExists, "topic exists {}", topic.name);
    }
    WALRUS_ASSIGN(auto change, plan_topic(topic, state));
    change.topic = id;
    meta::Placer placer(state, active_nodes(state));
    meta::Topic as{.name = change.name,
                   .internal = change.internal,
                   .partitions = change.partitions,
                   .replication_factor = change.replication_factor,
                   .min_copies = change.min_copies};
    for (std::uint32_t i = 0; i < change.partitions; ++i) {
      auto place = placer.place({.topic = id, .index = i}, as);
      if (!place) break;  // the first append opens it
      change.first.push_back(std::move(*place));
    }
    return Changes{std::move(change)};
  };
  WALRUS_CO_TRY(co_await decide(bridge_, plan, options_.timeout));
  co_return Result<void>();
}

io::Task<void> ClusterCatalogue::grow(io::Loop& here, std::string topic, std::size_t partitions) {
  return run_on<void>(here, bridge_->loop(), [this, topic = std::move(topic), partitions] {
    return grow_here(topic, partitions);
  });
}

io::Task<void> ClusterCatalogue::grow_here(std::string name, std::size_t partitions) {
  auto tried = std::make_shared<bool>(false);
  auto plan = [name, partitions,
               tried](const meta::State& state) -> Result<std::vector<meta::Change>> {
    const auto* id = state.topic_names.find(name);
    const auto* topic = state.find_topic(name);
    if (id == nullptr || topic == nullptr) return unknown(name);
    if (topic->partitions == partitions && *tried) return Changes();
    if (topic->partitions >= partitions)
      return fail(Code::kInvalid, "topic {} has {} partitions", name, topic->partitions);
    *tried = true;
    meta::AddPartitions change{.topic = *id,
                               .expected = topic->version,
                               .partitions = static_cast<std::uint32_t>(partitions)};
    meta::Placer placer(state, active_nodes(state));
    for (auto i = topic->partitions; i < partitions; ++i) {
      auto place = placer.place({.topic = *id, .index = i}, *topic);
      if (!place) break;
      change.first.push_back(std::move(*place));
    }
    return Changes{std::move(change)};
  };
  WALRUS_CO_TRY(co_await decide(bridge_, plan, options_.timeout));
  co_return Result<void>();
}

io::Task<void> ClusterCatalogue::remove(io::Loop& here, std::string topic) {
  return run_on<void>(here, bridge_->loop(),
                      [this, topic = std::move(topic)] { return remove_here(topic); });
}

// The topic that has the name now; not one that is made anew under it meanwhile.
io::Task<void> ClusterCatalogue::remove_here(std::string name) {
  auto doomed = std::make_shared<std::optional<Uuid>>();
  auto plan = [name, doomed](const meta::State& state) -> Result<std::vector<meta::Change>> {
    if (!*doomed) {
      const auto* id = state.topic_names.find(name);
      if (id == nullptr) return unknown(name);
      *doomed = *id;
    }
    const auto* topic = state.topics.find(**doomed);
    if (topic == nullptr) return Changes();
    return Changes{meta::DeleteTopic{.topic = **doomed, .expected = topic->version}};
  };
  WALRUS_CO_TRY(co_await decide(bridge_, plan, options_.timeout));
  co_return Result<void>();
}

io::Task<TopicConfig> ClusterCatalogue::configure(io::Loop& here, std::string topic,
                                                  Change change) {
  return run_on<TopicConfig>(here, bridge_->loop(),
                             [this, topic = std::move(topic), change = std::move(change)] {
                               return configure_here(topic, change);
                             });
}

io::Task<TopicConfig> ClusterCatalogue::configure_here(std::string name, Change change) {
  auto result = std::make_shared<TopicConfig>();
  auto plan = [name, change,
               result](const meta::State& state) -> Result<std::vector<meta::Change>> {
    const auto* id = state.topic_names.find(name);
    const auto* topic = state.find_topic(name);
    if (id == nullptr || topic == nullptr) return unknown(name);
    auto config = config_of(*topic);
    WALRUS_TRY(change(config));
    WALRUS_ASSIGN(auto min_copies, min_copies_of(config, topic->replication_factor));
    WALRUS_TRY(check_level(config, state));
    config.in_sync_min = static_cast<std::int32_t>(min_copies);
    *result = config;
    meta::AlterTopic alter{.topic = *id, .expected = topic->version};
    auto settings = settings_of(config);
    for (const auto& [key, value] : topic->settings)
      if (!settings.contains(key)) alter.unset.push_back(key);
    for (auto& [key, value] : settings) {
      auto had = topic->settings.find(key);
      if (had == topic->settings.end() || had->second != value) alter.set.emplace(key, value);
    }
    if (min_copies != topic->min_copies) alter.min_copies = min_copies;
    if (alter.set.empty() && alter.unset.empty() && !alter.min_copies) return Changes();
    return Changes{std::move(alter)};
  };
  WALRUS_CO_TRY(co_await decide(bridge_, plan, options_.timeout));
  co_return std::move(*result);
}

io::Task<std::int64_t> ClusterCatalogue::new_producer_id(io::Loop& here) {
  return run_on<std::int64_t>(here, bridge_->loop(), [this] { return take_producer_id(); });
}

// From a block that nobody else is given. What is left of one when the node stops is not given at
// all.
io::Task<std::int64_t> ClusterCatalogue::take_producer_id() {
  if (next_producer_ < end_producer_) co_return next_producer_++;
  auto count = options_.producer_ids;
  auto plan = [count](const meta::State& state) -> Result<std::vector<meta::Change>> {
    return Changes{meta::TakeProducerIds{.expected_next = state.next_producer, .count = count}};
  };
  WALRUS_CO_ASSIGN(auto issued, co_await decide(bridge_, plan, options_.timeout));
  // Others may have taken a block meanwhile: the newest is the one that is used up.
  next_producer_ = static_cast<std::int64_t>(issued.at(0));
  end_producer_ = next_producer_ + count;
  co_return next_producer_++;
}

}  // namespace walrus::broker
