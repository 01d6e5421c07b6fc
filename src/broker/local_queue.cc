// The part of Local that reaches the queues, each on the loop that owns its topic.

#include "broker/broker.h"
#include "broker/run_on.h"

namespace walrus::broker {

Result<std::shared_ptr<Queue>> Local::queue(const Topic& asked) {
  WALRUS_ASSIGN(auto topic, mine(asked));
  auto found = queues_.find(topic->id);
  bool good = found != queues_.end() && found->second->partitions() == topic->partitions.size() &&
              found->second->kept_here();
  if (good) return found->second;
  if (stopped_) return fail(Code::kClosed, "shutting down");
  WALRUS_ASSIGN(auto cursors, this->cursors(*topic));
  WALRUS_ASSIGN(auto opened, Queue::open(engine().env(), loop_, cursors, topic->partitions));
  queues_.insert_or_assign(topic->id, opened);
  return opened;
}

void Local::end_lost_queues() {
  std::erase_if(queues_, [](const auto& one) {
    if (one.second->kept_here()) return false;
    one.second->stop({Code::kFenced, "the queue is elsewhere"});
    return true;
  });
}

// From any loop. A GET that still comes for the old topic finds its stream removed.
void Local::drop_queue(const Uuid& id) {
  loop_.post([this, id] { queues_.erase(id); });
}

io::Task<std::vector<Claim>> Local::take(TopicRef topic, Partition partition,
                                         Queue::Limits limits) {
  auto& owner = broker_.owner(topic->name);
  return run_on<std::vector<Claim>>(loop_, owner.loop_, [&owner, topic, partition, limits] {
    return owner.take_here(topic, partition, limits);
  });
}

io::Task<std::vector<Claim>> Local::take_here(TopicRef topic, Partition partition,
                                              Queue::Limits limits) {
  WALRUS_CO_ASSIGN(auto queue, this->queue(*topic));
  co_return co_await queue->take(partition, limits);
}

io::Task<bool> Local::settle(TopicRef topic, Partition partition) {
  auto& owner = broker_.owner(topic->name);
  return run_on<bool>(loop_, owner.loop_,
                      [&owner, topic, partition] { return owner.settle_here(topic, partition); });
}

io::Task<bool> Local::settle_here(TopicRef topic, Partition partition) {
  WALRUS_CO_ASSIGN(auto queue, this->queue(*topic));
  co_return co_await queue->settle(partition);
}

io::Task<bool> Local::wait_available(TopicRef topic, Partition partition, io::Nanos timeout) {
  auto& owner = broker_.owner(topic->name);
  return run_on<bool>(loop_, owner.loop_, [&owner, topic, partition, timeout] {
    return owner.wait_available_here(topic, partition, timeout);
  });
}

io::Task<bool> Local::wait_available_here(TopicRef topic, Partition partition, io::Nanos timeout) {
  WALRUS_CO_ASSIGN(auto queue, this->queue(*topic));
  co_return co_await queue->wait_available(partition, timeout);
}

void Local::delivered(const TopicRef& topic, std::vector<ClaimId> claims) {
  auto& owner = broker_.owner(topic->name);
  auto act = [&owner, topic, claims = std::move(claims)] {
    if (auto queue = owner.queue(*topic)) (*queue)->delivered(claims);
  };
  if (&owner == this) act();
  else owner.loop_.post(std::move(act));
}

void Local::restore(const TopicRef& topic, std::vector<Claim> claims) {
  auto& owner = broker_.owner(topic->name);
  auto act = [&owner, topic, claims = std::move(claims)]() mutable {
    if (auto queue = owner.queue(*topic)) (*queue)->restore(std::move(claims));
  };
  if (&owner == this) act();
  else owner.loop_.post(std::move(act));
}

}  // namespace walrus::broker
