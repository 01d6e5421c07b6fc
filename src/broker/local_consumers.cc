// The part of Local that serves named consumers: a durable position per partition, each where the
// positions of its topic are kept.

#include "broker/broker.h"
#include "broker/run_on.h"

namespace walrus::broker {
namespace {

std::unexpected<Error> stopping() { return fail(Code::kClosed, "shutting down"); }

}  // namespace

// The same topic, as this loop has it; in a cluster with partitions that can be read wherever they
// are.
Result<TopicRef> Local::mine(const Topic& topic) {
  WALRUS_ASSIGN(auto found, find(topic.name));
  if (found->id != topic.id) return fail(Code::kNotFound, "unknown topic {}", topic.name);
  if (!broker_.reach_) return found;
  auto& owned = owned_[topic.id];
  if (owned && owned->partitions.size() == found->partitions.size()) return owned;
  owned = std::make_shared<Topic>(*found);
  for (auto& log : owned->partitions) log = broker_.reach_(log);
  return owned;
}

Result<std::shared_ptr<Cursors>> Local::cursors(const Topic& topic) {
  if (broker_.open_cursors_) return broker_.open_cursors_(topic);
  std::vector<log::StreamRef> streams;
  for (const auto& log : topic.partitions) {
    WALRUS_ASSIGN(auto stream, local_stream(log));
    streams.push_back(std::move(stream));
  }
  return std::make_shared<TableCursors>(engine(), std::move(streams));
}

// Of a consumer that is new: the log's start, durably.
io::Task<Offset> Local::consumer_position(TopicRef topic, std::size_t partition,
                                          std::string consumer) {
  WALRUS_CO_ASSIGN(auto cursors, this->cursors(*topic));
  WALRUS_CO_ASSIGN(auto position, cursors->get(partition, consumer));
  WALRUS_CO_ASSIGN(auto bounds, topic->partitions[partition]->bounds());
  if (position) co_return std::max(*position, bounds.log_start);  // retention may have passed it
  WALRUS_CO_TRY(co_await put_durably(loop_, cursors, partition, consumer, bounds.log_start));
  co_return bounds.log_start;
}

io::Task<ReadResult> Local::poll(TopicRef topic, Partition partition, std::string consumer,
                                 ReadRequest request) {
  auto& home = broker_.home(*this);
  return run_on<ReadResult>(loop_, home.loop_, [&home, topic, partition, consumer, request] {
    return home.poll_here(topic, partition, consumer, request);
  });
}

io::Task<ReadResult> Local::poll_here(TopicRef asked, Partition partition, std::string consumer,
                                      ReadRequest request) {
  WALRUS_CO_ASSIGN(auto topic, mine(*asked));
  WALRUS_CO_ASSIGN(auto cursors, this->cursors(*topic));
  WALRUS_CO_TRY(co_await cursors->confirm());
  auto count = partition ? 1 : topic->partitions.size();
  auto start = partition ? *partition : topic->poll_turn++;
  auto deadline = engine().env().mono() + request.wait;
  while (true) {
    ReadResult result;
    for (std::size_t i = 0; i < count; ++i) {
      auto number = (start + i) % topic->partitions.size();
      WALRUS_CO_ASSIGN(request.from, co_await consumer_position(topic, number, consumer));
      request.wait = io::Nanos(0);
      if (count == 1) request.wait = std::max(io::Nanos(0), deadline - engine().env().mono());
      WALRUS_CO_ASSIGN(result, co_await read(topic, number, request));
      if (!result.records.empty()) co_return result;
    }
    auto left = deadline - engine().env().mono();
    if (left <= io::Nanos(0)) co_return result;
    auto waited = co_await wait_any_position(topic, consumer, left);
    if (!waited && waited.error().code != Code::kTimeout)
      co_return std::unexpected(std::move(waited).error());
  }
}

// Until any partition has something at or behind the consumer's position.
io::Task<void> Local::wait_any_position(TopicRef topic, std::string consumer, io::Nanos timeout) {
  if (stopped_) co_return stopping();
  WALRUS_CO_ASSIGN(auto cursors, this->cursors(*topic));
  io::Signal signal(loop_);
  auto waiter = waiters_->add(signal.setter());
  std::vector<std::uint64_t> tickets;
  for (std::size_t i = 0; i < topic->partitions.size(); ++i) {
    auto position = cursors->get(i, consumer).value_or(Offset{}).value_or(Offset{});
    tickets.push_back(topic->partitions[i]->when_readable(position, waking(waiter)));
  }
  auto waited = co_await signal.wait(timeout);
  waiters_->remove(waiter);
  for (std::size_t i = 0; i < tickets.size(); ++i) topic->partitions[i]->cancel(tickets[i]);
  co_return waited;
}

io::Task<void> Local::commit(TopicRef topic, std::size_t partition, std::string consumer,
                             Offset next) {
  auto& home = broker_.home(*this);
  return run_on<void>(loop_, home.loop_, [&home, topic, partition, consumer, next] {
    return home.commit_here(topic, partition, consumer, next);
  });
}

io::Task<void> Local::commit_here(TopicRef asked, std::size_t partition, std::string consumer,
                                  Offset next) {
  WALRUS_CO_ASSIGN(auto topic, mine(*asked));
  WALRUS_CO_ASSIGN(auto cursors, this->cursors(*topic));
  WALRUS_CO_ASSIGN(auto known, cursors->get(partition, consumer));
  if (!known) co_return fail(Code::kNotFound, "unknown consumer {}", consumer);
  const auto& log = topic->partitions[partition];
  WALRUS_CO_ASSIGN(auto bounds, log->bounds());
  // What was read elsewhere may not be known here yet.
  if (next > bounds.high_watermark) {
    WALRUS_CO_ASSIGN(bounds.high_watermark, co_await log->confirm());
  }
  if (next < bounds.log_start || next > bounds.high_watermark)
    co_return fail(Code::kOutOfRange, "offset out of range {}..{}", bounds.log_start.value,
                   bounds.high_watermark.value);
  co_return co_await put_durably(loop_, cursors, partition, consumer, next);
}

}  // namespace walrus::broker
