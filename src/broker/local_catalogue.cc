#include <algorithm>

#include "base/check.h"
#include "broker/catalogue.h"
#include "broker/run_on.h"
#include "log/directory.h"

namespace walrus::broker {

std::string partition_name(Bytes topic, std::size_t partition) {
  return partition == 0 ? std::string(topic) : fmt::format("{}/{}", topic, partition);
}

LocalCatalogue::LocalCatalogue(log::Engine& engine, io::Loop& home, NodeId self,
                               const TopicConfig& defaults)
    : engine_(engine), home_(home), self_(self), defaults_(defaults) {
  auto identity = log::read_identity(engine.env(), engine.options().user.root);
  CHECK(identity.has_value() && identity->has_value());  // the engine is open
  directory_ = (*identity)->uuid;
}

Uuid LocalCatalogue::topic_id(const log::StreamRef& first) const {
  constexpr std::size_t kHalf = 8;
  Uuid id;
  std::ranges::copy(directory_.substr(0, kHalf), id.bytes.begin());
  store_be(id.bytes.data() + kHalf, log::stream_id(first));
  return id;
}

Result<TopicRef> LocalCatalogue::open(io::Loop&, Bytes topic) { return build(topic); }

Result<TopicRef> LocalCatalogue::build(Bytes topic) {
  WALRUS_ASSIGN(auto first, engine_.find(topic));
  auto made = std::make_shared<Topic>();
  made->name = topic;
  made->id = topic_id(first);
  WALRUS_ASSIGN(auto info, engine_.info(first));
  WALRUS_ASSIGN(made->config,
                decode_attributes(engine_.attributes(first), info.options, defaults_));
  made->partitions.push_back(std::make_shared<LocalLog>(engine_, std::move(first), self_));
  while (auto stream = engine_.find(partition_name(topic, made->partitions.size())))
    made->partitions.push_back(std::make_shared<LocalLog>(engine_, std::move(*stream), self_));
  return made;
}

std::vector<TopicName> LocalCatalogue::list(Bytes prefix) const {
  std::vector<TopicName> topics;
  for (const auto& stream : engine_.list(prefix)) {
    const auto& name = log::stream_name(stream);
    if (!name.contains('/'))  // of its topic
      topics.push_back({.name = name, .id = topic_id(stream)});
  }
  return topics;
}

io::Task<void> LocalCatalogue::catch_up(io::Loop&) { co_return Result<void>(); }

io::Task<std::vector<Result<LogStatus>>> LocalCatalogue::look(io::Loop&, std::vector<LogRef> logs,
                                                              Look what) {
  auto look_at = [what](const Log& log) -> Result<LogStatus> {
    LogStatus status;
    WALRUS_ASSIGN(auto bounds, log.bounds());
    WALRUS_ASSIGN(status.info, log.info());
    status.leader = bounds.leader;
    status.segments = log.segments();
    status.epoch = status.segments.empty() ? 0 : status.segments.back().epoch;
    if (what == Look::kSizes) status.segments.clear();
    return status;
  };
  std::vector<Result<LogStatus>> statuses;
  statuses.reserve(logs.size());
  for (const auto& log : logs) statuses.push_back(look_at(*log));
  co_return statuses;
}

io::Task<void> LocalCatalogue::create(io::Loop& here, NewTopic topic) {
  return run_on<void>(here, home_, [this, topic = std::move(topic)] { return create_here(topic); });
}

io::Task<void> LocalCatalogue::create_here(NewTopic topic) {
  WALRUS_CO_TRY(co_await take_turn());
  Result<void> result;
  if (topic.replication_factor > 1) {
    result =
        fail(Code::kInvalid, "replication factor {}: there is one node", topic.replication_factor);
  } else if (topic.name == kGroupsStream || engine_.find(topic.name)) {
    result = fail(Code::kExists, "topic exists {}", topic.name);
  } else {
    // From the last partition to the first: with partition 0 the topic exists.
    log::Pending made;
    for (auto i = topic.partitions; result && i-- > 0;)
      result = co_await create_partition(topic, i, made);
    if (result) result = co_await durable(home_, made);
  }
  end_turn();
  co_return result;
}

// `made` is durable once it is; what was made before is durable then, too: the catalogue is in one
// journal.
io::Task<void> LocalCatalogue::create_partition(NewTopic topic, std::size_t number,
                                                log::Pending& made) {
  auto name = partition_name(topic.name, number);
  // Left over from a creation or removal that a crash cut short.
  if (number > 0 && engine_.find(name)) {
    WALRUS_CO_ASSIGN(auto removed, engine_.remove(name));
    WALRUS_CO_TRY(co_await durable(home_, removed));
  }
  auto attributes = number == 0 ? encode_attributes(topic.config) : std::string();
  auto names = topic.internal ? log::Engine::Names::kOwn : log::Engine::Names::kUsers;
  WALRUS_CO_ASSIGN(auto created,
                   engine_.create(name, stream_options(topic.config), names, attributes));
  made = created.pending;
  co_return Result<void>();
}

io::Task<void> LocalCatalogue::grow(io::Loop& here, std::string topic, std::size_t partitions) {
  return run_on<void>(here, home_, [this, topic = std::move(topic), partitions] {
    return grow_here(topic, partitions);
  });
}

// From the first new partition to the last: they are numbered without a gap at any time.
io::Task<void> LocalCatalogue::grow_here(std::string topic, std::size_t partitions) {
  WALRUS_CO_TRY(co_await take_turn());
  Result<void> result;
  auto found = build(topic);
  if (!found) {
    result = std::unexpected(found.error());
  } else if ((*found)->partitions.size() >= partitions) {
    result = fail(Code::kInvalid, "topic {} has {} partitions", topic, (*found)->partitions.size());
  } else {
    log::Pending made;
    NewTopic more{.name = topic, .config = (*found)->config};
    for (auto i = (*found)->partitions.size(); result && i < partitions; ++i)
      result = co_await create_partition(more, i, made);
    if (result) result = co_await durable(home_, made);
  }
  end_turn();
  co_return result;
}

io::Task<void> LocalCatalogue::remove(io::Loop& here, std::string topic) {
  return run_on<void>(here, home_, [this, topic = std::move(topic)] { return remove_here(topic); });
}

io::Task<void> LocalCatalogue::remove_here(std::string topic) {
  WALRUS_CO_TRY(co_await take_turn());
  Result<void> result;
  if (auto found = build(topic); !found) {
    result = std::unexpected(std::move(found).error());
  } else {
    log::Pending last;
    for (auto i = (*found)->partitions.size(); result && i-- > 0;) {
      auto removed = engine_.remove(partition_name(topic, i));
      if (removed) last = *removed;
      else result = std::unexpected(std::move(removed).error());
    }
    if (result) result = co_await durable(home_, last);
  }
  end_turn();
  co_return result;
}

io::Task<TopicConfig> LocalCatalogue::configure(io::Loop& here, std::string topic, Change change) {
  return run_on<TopicConfig>(here, home_,
                             [this, topic = std::move(topic), change = std::move(change)] {
                               return configure_here(topic, change);
                             });
}

io::Task<TopicConfig> LocalCatalogue::configure_here(std::string topic, Change change) {
  WALRUS_CO_TRY(co_await take_turn());
  TopicConfig config;
  Result<void> result;
  auto found = build(topic);
  if (!found) result = std::unexpected(found.error());
  if (result) {
    config = (*found)->config;
    result = change(config);
  }
  // With partition 0 the topic is changed: the others follow after a crash with the next change.
  log::Pending last;
  auto attributes = encode_attributes(config);
  for (std::size_t i = 0; result && i < (*found)->partitions.size(); ++i) {
    auto stream = engine_.find(partition_name(topic, i));
    if (!stream) {
      result = std::unexpected(std::move(stream).error());
      break;
    }
    auto altered = engine_.alter(*stream, stream_options(config),
                                 i == 0 ? std::optional<Bytes>(attributes) : std::nullopt);
    if (altered) last = *altered;
    else result = std::unexpected(std::move(altered).error());
  }
  if (result) result = co_await durable(home_, last);
  end_turn();
  if (!result) co_return std::unexpected(std::move(result).error());
  co_return config;
}

io::Task<std::int64_t> LocalCatalogue::new_producer_id(io::Loop& here) {
  WALRUS_CO_ASSIGN(auto id, engine_.new_producer_id());
  WALRUS_CO_TRY(co_await durable(here, id.pending));
  co_return id.id;
}

io::Task<void> LocalCatalogue::durable(io::Loop& here, log::Pending pending) {
  io::Signal signal(here);
  engine_.when_done(pending, signal.setter());
  co_return co_await signal.wait();
}

io::Task<void> LocalCatalogue::take_turn() {
  while (busy_) {
    io::Signal signal(home_);
    turns_.add(signal.setter());
    WALRUS_CO_TRY(co_await signal.wait());
  }
  busy_ = true;
  co_return Result<void>();
}

// Whatever came of it, views of the topics are taken anew.
void LocalCatalogue::end_turn() {
  version_.fetch_add(1, std::memory_order_release);
  busy_ = false;
  turns_.wake_all({});
}

}  // namespace walrus::broker
