#include "broker/broker.h"

#include <algorithm>
#include <ranges>

#include "base/check.h"
#include "broker/run_on.h"
#include "record/batch.h"

namespace walrus::broker {
namespace {

std::unexpected<Error> stopping() { return fail(Code::kClosed, "shutting down"); }

// The records of `fetched` from `request.from` on, within the budget.
Result<ReadResult> select(const log::Fetched& fetched, const ReadRequest& request,
                          std::int64_t records_max) {
  ReadResult result{.records = {}, .next = std::max(request.from, fetched.next)};
  Bytes rest = fetched.bytes;
  std::int64_t bytes = 0;
  while (!rest.empty()) {
    WALRUS_ASSIGN(auto batch, record::BatchView::parse(rest));
    rest.remove_prefix(batch.bytes().size());
    if (batch.control()) continue;
    WALRUS_ASSIGN(auto records, record::RecordIterator::open(batch));
    while (true) {
      WALRUS_ASSIGN(auto record, records.next());
      if (!record) break;
      if (record->offset < request.from.value) continue;
      auto size = static_cast<std::int64_t>(record->value.value_or(Bytes()).size());
      bool full = bytes + size > request.bytes_max && !result.records.empty();
      if (full || std::ssize(result.records) >= records_max) {
        result.next = Offset{record->offset};
        return result;
      }
      bytes += size;
      result.records.push_back(
          {.offset = Offset{record->offset},
           .timestamp_ms = record->timestamp_ms,
           .value = record->value ? std::optional(std::string(*record->value)) : std::nullopt});
    }
  }
  return result;
}

}  // namespace

std::string partition_name(Bytes topic, std::size_t partition) {
  return partition == 0 ? std::string(topic) : fmt::format("{}/{}", topic, partition);
}

Broker::Broker(log::Engine& engine, std::vector<io::Loop*> loops, const BrokerOptions& options)
    : engine_(engine), options_(options) {
  CHECK(!loops.empty());
  for (auto* loop : loops) locals_.push_back(std::make_unique<Local>(*this, *loop));
}
Broker::~Broker() = default;

Local& Broker::owner(Bytes topic) { return *locals_[std::hash<Bytes>()(topic) % locals_.size()]; }

Local::Local(Broker& broker, io::Loop& loop) : broker_(broker), loop_(loop) {}

Result<TopicRef> Local::find(Bytes topic, Partition partition) {
  auto version = broker_.catalogue_version_.load(std::memory_order_acquire);
  if (version != seen_version_) {
    topics_.clear();
    names_.clear();
    seen_version_ = version;
  }
  auto found = topics_.find(std::string(topic));
  if (found == topics_.end()) {
    WALRUS_ASSIGN(auto built, build(topic));
    found = topics_.emplace(std::string(topic), std::move(built)).first;
  }
  if (partition && *partition >= found->second->partitions.size())
    return fail(Code::kNotFound, "unknown topic {}/{}", topic, *partition);
  return found->second;
}

Result<TopicRef> Local::build(Bytes topic) {
  if (topic.starts_with("__")) return fail(Code::kNotFound, "{} is not a topic", topic);
  auto made = std::make_shared<Topic>();
  made->name = topic;
  while (true) {
    auto stream = engine().find(partition_name(topic, made->partitions.size()));
    if (!stream && made->partitions.empty()) return std::unexpected(std::move(stream).error());
    if (!stream) break;
    made->partitions.push_back(std::move(*stream));
  }
  const auto& first = made->partitions[0];
  WALRUS_ASSIGN(auto info, engine().info(first));
  WALRUS_ASSIGN(made->config, decode_attributes(engine().attributes(first), info.options,
                                                broker_.options_.topic_defaults));
  return made;
}

std::vector<TopicRef> Local::list_topics() {
  std::vector<TopicRef> topics;
  for (const auto& stream : engine().list("")) {
    if (log::stream_name(stream).contains('/')) continue;  // of its topic
    if (auto topic = find(log::stream_name(stream))) topics.push_back(std::move(*topic));
  }
  return topics;
}

std::vector<TopicSummary> Local::list(Bytes prefix) {
  std::vector<TopicSummary> topics;
  for (const auto& stream : engine().list(prefix)) {
    const auto& name = log::stream_name(stream);
    if (name.contains('/')) continue;  // counted with its topic
    auto topic = find(name);
    if (!topic) continue;  // removed meanwhile
    TopicSummary summary{
        .name = name, .id = log::stream_id(stream), .partitions = (*topic)->partitions.size()};
    for (const auto& partition : (*topic)->partitions) {
      auto info = engine().info(partition);
      if (!info) continue;
      summary.records += info->high_watermark.value - info->log_start.value;
      summary.bytes += info->bytes;
    }
    topics.push_back(std::move(summary));
  }
  return topics;
}

Result<log::Appended> Local::append(const log::StreamRef& stream,
                                    std::span<const walrus::Record> records,
                                    const AppendOptions& options) {
  if (broker_.storage_low()) return fail(Code::kNoSpace, "storage full");
  return engine().append(stream, records, options);
}

io::Task<void> Local::room(log::StreamRef stream) {
  io::Signal signal(loop_);
  engine().when_room(stream, signal.setter());
  auto waited = co_await signal.wait(broker_.options_.append_wait_max);
  if (!waited && waited.error().code == Code::kTimeout)
    co_return fail(Code::kBusy, "no room in the journal");
  co_return waited;
}

io::Task<void> Local::durable(log::Pending pending) {
  io::Signal signal(loop_);
  engine().when_done(pending, signal.setter());
  co_return co_await signal.wait();
}

std::size_t Local::put_partition(Topic& topic, Partition partition) {
  return partition ? *partition : topic.put_turn++ % topic.partitions.size();
}

Result<ReadResult> Local::read_now(const log::StreamRef& stream, const ReadRequest& request) {
  WALRUS_ASSIGN(auto fetched,
                engine().fetch(stream, request.from, {.bytes_max = request.bytes_max}));
  return select(fetched, request, broker_.options_.read_records_max);
}

io::Task<ReadResult> Local::read(TopicRef topic, std::size_t partition, ReadRequest request) {
  request.bytes_max = std::min(request.bytes_max, broker_.options_.read_bytes_max);
  auto stream = topic->partitions[partition];
  auto deadline = engine().env().mono() + request.wait;
  while (true) {
    WALRUS_CO_ASSIGN(auto result, read_now(stream, request));
    result.partition = partition;
    auto left = deadline - engine().env().mono();
    if (!result.records.empty() || left <= io::Nanos(0)) co_return result;
    request.from = result.next;  // what was passed over holds nothing to return
    auto waited = co_await wait_readable(stream, request.from, left);
    if (!waited && waited.error().code != Code::kTimeout)
      co_return std::unexpected(std::move(waited).error());
  }
}

io::Task<Local::BatchesResult> Local::read_batches(TopicRef topic, std::size_t partition,
                                                   ReadRequest request) {
  request.bytes_max = std::min(request.bytes_max, broker_.options_.read_bytes_max);
  auto stream = topic->partitions[partition];
  auto deadline = engine().env().mono() + request.wait;
  while (true) {
    WALRUS_CO_ASSIGN(auto fetched,
                     engine().fetch(stream, request.from, {.bytes_max = request.bytes_max}));
    auto left = deadline - engine().env().mono();
    if (!fetched.bytes.empty() || left <= io::Nanos(0))
      co_return BatchesResult{.bytes = std::move(fetched.bytes), .next = fetched.next};
    request.from = std::max(request.from, fetched.next);
    auto waited = co_await wait_readable(stream, request.from, left);
    if (!waited && waited.error().code != Code::kTimeout)
      co_return std::unexpected(std::move(waited).error());
  }
}

io::Task<void> Local::wait_readable(log::StreamRef stream, Offset offset, io::Nanos timeout) {
  if (stopped_) co_return stopping();
  io::Signal signal(loop_);
  auto waiter = waiters_->add(signal.setter());
  auto ticket =
      engine().when_readable(stream, offset, UpTo::kHighWatermark,
                             [loop = &loop_, waiters = waiters_, waiter](Result<void> result) {
                               loop->post([waiters, waiter, result = std::move(result)] {
                                 waiters->wake(waiter, result);
                               });
                             });
  auto waited = co_await signal.wait(timeout);
  waiters_->remove(waiter);
  engine().cancel(stream, ticket);
  co_return waited;
}

void Local::stop() {
  stopped_ = true;
  waiters_->wake_all(stopping());
  for (auto& [id, queue] : queues_) queue->stop();
}

io::Task<void> Local::flush() {
  auto queues = queues_;
  for (auto& [id, queue] : queues) {
    auto flushed = co_await queue->flush();
    // A topic that was removed has no position to keep.
    if (!flushed && flushed.error().code != Code::kNotFound) co_return flushed;
  }
  co_return Result<void>();
}

}  // namespace walrus::broker
