#include "broker/broker.h"

#include <algorithm>
#include <ranges>

#include "base/check.h"
#include "broker/run_on.h"
#include "record/batch.h"

namespace walrus::broker {
namespace {

constexpr Bytes kOwnPrefix = "__";

// What is the broker's own is no topic.
Result<void> check_user_topic(Bytes name) {
  if (name.starts_with(kOwnPrefix)) return fail(Code::kNotFound, "{} is not a topic", name);
  return {};
}

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

Broker::Broker(log::Engine& engine, std::vector<io::Loop*> loops, const BrokerOptions& options,
               std::unique_ptr<Catalogue> catalogue)
    : engine_(engine), options_(options), catalogue_(std::move(catalogue)) {
  CHECK(!loops.empty());
  if (!catalogue_)
    catalogue_ = std::make_unique<LocalCatalogue>(engine, *loops[0], NodeId{options.node_id},
                                                  options.topic_defaults);
  for (auto* loop : loops) locals_.push_back(std::make_unique<Local>(*this, *loop));
}
Broker::~Broker() = default;

Local& Broker::owner(Bytes topic) {
  return open_cursors_ ? *locals_[0] : *locals_[std::hash<Bytes>()(topic) % locals_.size()];
}

Local::Local(Broker& broker, io::Loop& loop) : broker_(broker), loop_(loop) {}

Result<TopicRef> Local::find(Bytes topic, Partition partition) {
  WALRUS_TRY(check_user_topic(topic));
  WALRUS_ASSIGN(auto found, open(topic));
  if (partition && *partition >= found->partitions.size())
    return fail(Code::kNotFound, "unknown topic {}/{}", topic, *partition);
  return found;
}

io::Task<TopicRef> Local::find_current(Bytes topic, Partition partition) {
  auto found = find(topic, partition);
  if (found || found.error().code != Code::kNotFound) co_return found;
  WALRUS_CO_TRY(co_await broker_.catalogue_->catch_up(loop_));
  co_return find(topic, partition);
}

Result<TopicRef> Local::find_own(Bytes topic) {
  CHECK(topic.starts_with(kOwnPrefix));
  return open(topic);
}

Result<TopicRef> Local::open(Bytes topic) {
  see_catalogue();
  auto found = topics_.find(std::string(topic));
  if (found == topics_.end()) {
    WALRUS_ASSIGN(auto opened, broker_.catalogue_->open(loop_, topic));
    found = topics_.emplace(std::string(topic), std::move(opened)).first;
  }
  return found->second;
}

void Local::see_catalogue() {
  auto version = broker_.catalogue_->version();
  if (version == seen_version_) return;
  topics_.clear();
  owned_.clear();
  names_.clear();
  seen_version_ = version;
}

// A miss looks through all topics: ids are asked for by who has read them from us.
Result<TopicRef> Local::find_id(const Uuid& id) {
  see_catalogue();
  if (!names_.contains(id)) {
    names_.clear();
    for (auto& topic : broker_.catalogue_->list(""))
      names_.emplace(topic.id, std::move(topic.name));
  }
  auto name = names_.find(id);
  if (name == names_.end()) return fail(Code::kNotFound, "no topic of id {}", to_string(id));
  WALRUS_ASSIGN(auto topic, find(name->second));
  if (topic->id != id) return fail(Code::kNotFound, "no topic of id {}", to_string(id));
  return topic;
}

std::vector<TopicRef> Local::list_topics() {
  std::vector<TopicRef> topics;
  for (const auto& one : broker_.catalogue_->list(""))
    if (auto topic = find(one.name)) topics.push_back(std::move(*topic));
  return topics;
}

io::Task<std::vector<TopicSummary>> Local::list(std::string prefix) {
  std::vector<TopicSummary> topics;
  std::vector<LogRef> logs;
  for (const auto& one : broker_.catalogue_->list(prefix)) {
    auto topic = find(one.name);
    if (!topic) continue;  // removed meanwhile, or no topic
    const auto& partitions = (*topic)->partitions;
    topics.push_back({.name = one.name, .id = (*topic)->number(), .partitions = partitions.size()});
    logs.insert(logs.end(), partitions.begin(), partitions.end());
  }
  WALRUS_CO_ASSIGN(auto statuses, co_await broker_.catalogue_->look(loop_, std::move(logs),
                                                                    Catalogue::Look::kSizes));
  auto status = statuses.begin();
  for (auto& topic : topics)
    for (std::size_t i = 0; i < topic.partitions; ++i, ++status) {
      if (!*status) continue;
      const auto& info = (*status)->info;
      topic.records += info.high_watermark.value - info.log_start.value;
      topic.bytes += info.bytes;
      topic.stale += (*status)->current ? 0 : 1;
    }
  co_return topics;
}

io::Task<void> Local::create(NewTopic topic) {
  return broker_.catalogue_->create(loop_, std::move(topic));
}

io::Task<void> Local::grow(std::string topic, std::size_t partitions) {
  WALRUS_CO_TRY(check_user_topic(topic));
  // What GET has delivered is known where it goes on with more partitions.
  auto& owner = broker_.owner(topic);
  WALRUS_CO_TRY(co_await run_on<void>(loop_, owner.loop_, [&owner] { return owner.flush(); }));
  co_return co_await broker_.catalogue_->grow(loop_, topic, partitions);
}

io::Task<void> Local::remove(std::string topic) {
  WALRUS_CO_TRY(co_await broker_.catalogue_->catch_up(loop_));
  WALRUS_CO_ASSIGN(auto found, find(topic));
  auto removed = co_await broker_.catalogue_->remove(loop_, topic);
  if (removed) broker_.owner(topic).drop_queue(found->id);
  co_return removed;
}

io::Task<TopicConfig> Local::configure(std::string topic, Change change) {
  WALRUS_CO_TRY(check_user_topic(topic));
  co_return co_await broker_.catalogue_->configure(loop_, topic, std::move(change));
}

io::Task<std::int64_t> Local::new_producer_id() {
  return broker_.catalogue_->new_producer_id(loop_);
}

Result<Appending> Local::append(Log& log, std::span<const walrus::Record> records,
                                const AppendRules& rules) {
  if (broker_.storage_low()) return fail(Code::kNoSpace, "storage full");
  return log.append(records, rules);
}

io::Task<void> Local::room(LogRef log) {
  io::Signal signal(loop_);
  log->when_room(signal.setter());
  auto waited = co_await signal.wait(broker_.options_.append_wait_max);
  if (!waited && waited.error().code == Code::kTimeout)
    co_return fail(Code::kBusy, "no room in the journal");
  co_return waited;
}

io::Task<Placed> Local::acknowledged(Appending appending) {
  AppendRun run;
  run.add(appending);
  WALRUS_CO_TRY(co_await run.wait(engine(), loop_));
  co_return run.outcome(appending);
}

io::Task<void> Local::durable(log::Pending pending) {
  io::Signal signal(loop_);
  engine().when_done(pending, signal.setter());
  co_return co_await signal.wait();
}

std::size_t Local::put_partition(Topic& topic, Partition partition) {
  return partition ? *partition : topic.put_turn++ % topic.partitions.size();
}

io::Task<ReadResult> Local::read_now(LogRef log, ReadRequest request) {
  WALRUS_CO_ASSIGN(auto fetched,
                   co_await log->fetch(request.from, {.bytes_max = request.bytes_max}));
  co_return select(fetched, request, broker_.options_.read_records_max);
}

io::Task<ReadResult> Local::read(TopicRef topic, std::size_t partition, ReadRequest request) {
  request.bytes_max = std::min(request.bytes_max, broker_.options_.read_bytes_max);
  auto log = topic->partitions[partition];
  auto deadline = engine().env().mono() + request.wait;
  while (true) {
    WALRUS_CO_ASSIGN(auto result, co_await read_now(log, request));
    result.partition = partition;
    auto left = deadline - engine().env().mono();
    if (!result.records.empty() || left <= io::Nanos(0)) co_return result;
    request.from = result.next;  // what was passed over holds nothing to return
    auto waited = co_await wait_readable(log, request.from, left);
    if (!waited && waited.error().code != Code::kTimeout)
      co_return std::unexpected(std::move(waited).error());
  }
}

io::Task<Local::BatchesResult> Local::read_batches(TopicRef topic, std::size_t partition,
                                                   ReadRequest request) {
  request.bytes_max = std::min(request.bytes_max, broker_.options_.read_bytes_max);
  auto log = topic->partitions[partition];
  auto deadline = engine().env().mono() + request.wait;
  while (true) {
    WALRUS_CO_ASSIGN(auto fetched,
                     co_await log->fetch(request.from, {.bytes_max = request.bytes_max}));
    auto left = deadline - engine().env().mono();
    if (!fetched.bytes.empty() || left <= io::Nanos(0))
      co_return BatchesResult{.bytes = std::move(fetched.bytes), .next = fetched.next};
    request.from = std::max(request.from, fetched.next);
    auto waited = co_await wait_readable(log, request.from, left);
    if (!waited && waited.error().code != Code::kTimeout)
      co_return std::unexpected(std::move(waited).error());
  }
}

io::Task<void> Local::wait_readable(LogRef log, Offset offset, io::Nanos timeout) {
  if (stopped_) co_return stopping();
  io::Signal signal(loop_);
  auto waiter = waiters_->add(signal.setter());
  auto ticket = log->when_readable(offset, waking(waiter));
  auto waited = co_await signal.wait(timeout);
  waiters_->remove(waiter);
  log->cancel(ticket);
  co_return waited;
}

log::Done<void> Local::waking(std::uint64_t waiter) {
  return [loop = &loop_, waiters = waiters_, waiter](Result<void> result) {
    loop->post([waiters, waiter, result = std::move(result)] { waiters->wake(waiter, result); });
  };
}

void Local::stop() {
  stopped_ = true;
  waiters_->wake_all(stopping());
  for (auto& [id, queue] : queues_) queue->stop({Code::kClosed, "shutting down"});
}

io::Task<void> Local::flush() {
  auto queues = queues_;
  for (auto& [id, queue] : queues) {
    auto flushed = co_await queue->flush();
    // A topic that was removed has no position to keep; one that is elsewhere is kept there.
    bool kept =
        flushed || flushed.error().code == Code::kNotFound || flushed.error().code == Code::kFenced;
    if (!kept) co_return flushed;
  }
  co_return Result<void>();
}

}  // namespace walrus::broker
