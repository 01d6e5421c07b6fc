// The part of Local that serves named consumers: a durable position per partition.

#include "broker/broker.h"

namespace walrus::broker {
namespace {

std::unexpected<Error> stopping() { return fail(Code::kClosed, "shutting down"); }

}  // namespace

std::shared_ptr<Cursors> Local::cursors(const TopicRef& topic) {
  return std::make_shared<TableCursors>(engine(), topic->partitions);
}

// Of a consumer that is new: the log's start, durably.
io::Task<Offset> Local::consumer_position(TopicRef topic, std::size_t partition,
                                          std::string consumer) {
  auto cursors = this->cursors(topic);
  WALRUS_CO_ASSIGN(auto position, cursors->get(partition, consumer));
  WALRUS_CO_ASSIGN(auto info, engine().info(topic->partitions[partition]));
  if (position) co_return std::max(*position, info.log_start);  // retention may have passed it
  WALRUS_CO_TRY(co_await put_durably(loop_, cursors, partition, consumer, info.log_start));
  co_return info.log_start;
}

io::Task<ReadResult> Local::poll(TopicRef topic, Partition partition, std::string consumer,
                                 ReadRequest request) {
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
  auto cursors = this->cursors(topic);
  io::Signal signal(loop_);
  auto waiter = waiters_->add(signal.setter());
  std::vector<std::uint64_t> tickets;
  for (std::size_t i = 0; i < topic->partitions.size(); ++i) {
    auto position = cursors->get(i, consumer).value_or(Offset{}).value_or(Offset{});
    tickets.push_back(engine().when_readable(
        topic->partitions[i], position, UpTo::kHighWatermark,
        [loop = &loop_, waiters = waiters_, waiter](Result<void> r) {
          loop->post([waiters, waiter, r = std::move(r)] { waiters->wake(waiter, r); });
        }));
  }
  auto waited = co_await signal.wait(timeout);
  waiters_->remove(waiter);
  for (std::size_t i = 0; i < tickets.size(); ++i)
    engine().cancel(topic->partitions[i], tickets[i]);
  co_return waited;
}

io::Task<void> Local::commit(TopicRef topic, std::size_t partition, std::string consumer,
                             Offset next) {
  auto cursors = this->cursors(topic);
  WALRUS_CO_ASSIGN(auto known, cursors->get(partition, consumer));
  if (!known) co_return fail(Code::kNotFound, "unknown consumer {}", consumer);
  WALRUS_CO_ASSIGN(auto info, engine().info(topic->partitions[partition]));
  if (next < info.log_start || next > info.high_watermark)
    co_return fail(Code::kOutOfRange, "offset out of range {}..{}", info.log_start.value,
                   info.high_watermark.value);
  co_return co_await put_durably(loop_, cursors, partition, consumer, next);
}

}  // namespace walrus::broker
