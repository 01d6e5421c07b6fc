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
  if (engine().find(topic.name)) {
    result = fail(Code::kExists, "topic exists {}", topic.name);
  } else {
    // From the last partition to the first: with partition 0 the topic exists.
    for (auto i = topic.partitions; result && i-- > 0;) {
      auto name = partition_name(topic.name, i);
      // Left over from a creation or removal that a crash cut short.
      if (auto left_over = engine().find(name); left_over && i > 0) {
        auto removed = engine().remove(name);
        result = removed ? co_await durable(*removed)
                         : Result<void>(std::unexpected(std::move(removed).error()));
        if (!result) break;
      }
      auto created = engine().create(name, topic.options);
      result = created ? co_await durable(created->pending)
                       : Result<void>(std::unexpected(std::move(created).error()));
    }
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
    for (auto i = (*found)->partitions.size(); result && i-- > 0;) {
      auto removed = engine().remove(partition_name(topic, i));
      result = removed ? co_await durable(*removed)
                       : Result<void>(std::unexpected(std::move(removed).error()));
    }
  }
  broker_.catalogue_version_.fetch_add(1, std::memory_order_release);
  end_admin_turn();
  co_return result;
}

io::Task<StreamOptions> Local::configure(std::string topic, Change change) {
  auto& home = *broker_.locals_[0];
  return run_on<StreamOptions>(loop_, home.loop_,
                               [&home, topic = std::move(topic), change = std::move(change)] {
                                 return home.configure_here(topic, change);
                               });
}

io::Task<StreamOptions> Local::configure_here(std::string topic, Change change) {
  WALRUS_CO_TRY(co_await admin_turn());
  StreamOptions options;
  Result<void> result;
  auto found = build(topic);
  if (!found) result = std::unexpected(found.error());
  if (result) {
    auto info = engine().info((*found)->partitions[0]);
    if (info) options = info->options;
    result = info ? change(options) : Result<void>(std::unexpected(std::move(info).error()));
  }
  if (result) {
    for (const auto& stream : (*found)->partitions) {
      auto altered = engine().alter(stream, options);
      result = altered ? co_await durable(*altered)
                       : Result<void>(std::unexpected(std::move(altered).error()));
      if (!result) break;
    }
  }
  end_admin_turn();
  if (!result) co_return std::unexpected(std::move(result).error());
  co_return options;
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
