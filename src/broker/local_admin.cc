// The part of Local that makes, removes and configures topics: on the first loop, one at a time.

#include "broker/broker.h"
#include "broker/run_on.h"

namespace walrus::broker {

io::Task<void> Local::create(NewTopic topic) {
  auto& home = *broker_.locals_[0];
  return run_on<void>(loop_, home.loop_,
                      [&home, topic = std::move(topic)] { return home.create_here(topic); });
}

io::Task<void> Local::create_here(NewTopic topic) {
  WALRUS_CO_TRY(co_await admin_turn());
  Result<void> result;
  if (topic.name == kGroupsStream || engine().find(topic.name)) {
    result = fail(Code::kExists, "topic exists {}", topic.name);
  } else {
    // From the last partition to the first: with partition 0 the topic exists.
    log::Pending made;
    for (auto i = topic.partitions; result && i-- > 0;)
      result = co_await create_partition(topic.name, i, topic.config, made);
    if (result) result = co_await durable(made);
  }
  broker_.catalogue_version_.fetch_add(1, std::memory_order_release);
  end_admin_turn();
  co_return result;
}

// `made` is durable once it is; what was made before is durable then, too: the catalogue is in one
// journal.
io::Task<void> Local::create_partition(std::string topic, std::size_t number,
                                       const TopicConfig& config, log::Pending& made) {
  auto name = partition_name(topic, number);
  // Left over from a creation or removal that a crash cut short.
  if (number > 0 && engine().find(name)) {
    WALRUS_CO_ASSIGN(auto removed, engine().remove(name));
    WALRUS_CO_TRY(co_await durable(removed));
  }
  auto attributes = number == 0 ? encode_attributes(config) : std::string();
  WALRUS_CO_ASSIGN(auto created,
                   engine().create(name, config.stream, log::Engine::Names::kUsers, attributes));
  made = created.pending;
  co_return Result<void>();
}

io::Task<void> Local::grow(std::string topic, std::size_t partitions) {
  // What GET has delivered is known where it goes on with more partitions.
  auto& owner = broker_.owner(topic);
  WALRUS_CO_TRY(co_await run_on<void>(loop_, owner.loop_, [&owner] { return owner.flush(); }));
  auto& home = *broker_.locals_[0];
  co_return co_await run_on<void>(
      loop_, home.loop_, [&home, topic, partitions] { return home.grow_here(topic, partitions); });
}

// From the first new partition to the last: they are numbered without a gap at any time.
io::Task<void> Local::grow_here(std::string topic, std::size_t partitions) {
  WALRUS_CO_TRY(co_await admin_turn());
  Result<void> result;
  auto found = build(topic);
  if (!found) {
    result = std::unexpected(found.error());
  } else if ((*found)->partitions.size() >= partitions) {
    result = fail(Code::kInvalid, "topic {} has {} partitions", topic, (*found)->partitions.size());
  } else {
    log::Pending made;
    for (auto i = (*found)->partitions.size(); result && i < partitions; ++i)
      result = co_await create_partition(topic, i, (*found)->config, made);
    if (result) result = co_await durable(made);
  }
  broker_.catalogue_version_.fetch_add(1, std::memory_order_release);
  end_admin_turn();
  co_return result;
}

io::Task<void> Local::remove(std::string topic) {
  auto& home = *broker_.locals_[0];
  return run_on<void>(loop_, home.loop_,
                      [&home, topic = std::move(topic)] { return home.remove_here(topic); });
}

io::Task<void> Local::remove_here(std::string topic) {
  WALRUS_CO_TRY(co_await admin_turn());
  Result<void> result;
  if (auto found = build(topic); !found) {
    result = std::unexpected(std::move(found).error());
  } else {
    broker_.owner(topic).drop_queue(log::stream_id((*found)->partitions[0]));
    log::Pending last;
    for (auto i = (*found)->partitions.size(); result && i-- > 0;) {
      auto removed = engine().remove(partition_name(topic, i));
      if (removed) last = *removed;
      else result = std::unexpected(std::move(removed).error());
    }
    if (result) result = co_await durable(last);
  }
  broker_.catalogue_version_.fetch_add(1, std::memory_order_release);
  end_admin_turn();
  co_return result;
}

io::Task<TopicConfig> Local::configure(std::string topic, Change change) {
  auto& home = *broker_.locals_[0];
  return run_on<TopicConfig>(loop_, home.loop_,
                             [&home, topic = std::move(topic), change = std::move(change)] {
                               return home.configure_here(topic, change);
                             });
}

io::Task<TopicConfig> Local::configure_here(std::string topic, Change change) {
  WALRUS_CO_TRY(co_await admin_turn());
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
    auto altered = engine().alter((*found)->partitions[i], config.stream,
                                  i == 0 ? std::optional<Bytes>(attributes) : std::nullopt);
    if (altered) last = *altered;
    else result = std::unexpected(std::move(altered).error());
  }
  if (result) result = co_await durable(last);
  broker_.catalogue_version_.fetch_add(1, std::memory_order_release);
  end_admin_turn();
  if (!result) co_return std::unexpected(std::move(result).error());
  co_return config;
}

io::Task<void> Local::admin_turn() {
  while (admin_busy_) {
    io::Signal signal(loop_);
    admin_.add(signal.setter());
    WALRUS_CO_TRY(co_await signal.wait());
  }
  admin_busy_ = true;
  co_return Result<void>();
}

void Local::end_admin_turn() {
  admin_busy_ = false;
  admin_.wake_all({});
}

}  // namespace walrus::broker
