#include "client/produce_core.h"

#include <nlohmann/json.hpp>

#include "client/partitioner.h"
#include "client/target.h"
#include "wire/native/reply.h"
#include "wire/native/request.h"

namespace walrus::client {
namespace {

namespace native = wire::native;

constexpr io::Nanos kBackoffMin = std::chrono::milliseconds(20);
constexpr io::Nanos kBackoffMax = std::chrono::seconds(1);

record::Codec codec_of(Compression compression) {
  switch (compression) {
    case Compression::kNone: return record::Codec::kNone;
    case Compression::kGzip: return record::Codec::kGzip;
    case Compression::kSnappy: return record::Codec::kSnappy;
    case Compression::kLz4: return record::Codec::kLz4;
    case Compression::kZstd: return record::Codec::kZstd;
  }
  return record::Codec::kNone;
}

// Refusals that time may cure: no room, or a server on its way down.
bool retriable(const Error& error) {
  return error.code == Code::kBusy || error.code == Code::kNoSpace || error.code == Code::kClosed ||
         error.code == Code::kTimeout ||
         error.code == Code::kIo;  // a server whose disk failed ends; the next one may serve
}

}  // namespace

ProduceCore::ProduceCore(io::Env& env, io::Loop& loop, ProducerOptions options)
    : env_(env),
      loop_(loop),
      options_(std::move(options)),
      topic_(options_.topic.substr(0, options_.topic.find('/'))) {}

io::Task<void> ProduceCore::start(std::shared_ptr<ProduceCore> self) {
  auto channel = co_await open_channel(self);
  if (!channel) co_return std::unexpected(std::move(channel).error());
  auto reply = co_await (*channel)->request("PRODUCER");
  if (!reply) co_return std::unexpected(std::move(reply).error());
  auto producer = native::parse_producer(*reply);
  if (!producer) co_return std::unexpected(std::move(producer).error());
  self->identity_ = {producer->id, producer->epoch};
  auto description = co_await (*channel)->request(fmt::format("DESCRIBE {}", self->topic_));
  if (!description) co_return std::unexpected(std::move(description).error());
  auto text = native::parse_text(*description);
  if (!text) co_return std::unexpected(std::move(text).error());
  if (auto learned = self->learn_partitions(*text); !learned) co_return learned;
  self->channel_ = *std::move(channel);
  self->progress_at_ = self->env_.mono();
  self->loop_.spawn(keep_connected(self));
  co_return Result<void>();
}

Result<void> ProduceCore::learn_partitions(Bytes description) {
  WALRUS_ASSIGN(auto target, parse_target(options_.topic));
  auto json = nlohmann::json::parse(description, nullptr, false);
  auto found = json.find("partitions");
  if (!json.is_object() || found == json.end() || !found->is_array() || found->empty())
    return fail(Code::kCorrupt, "DESCRIBE: a reply without partitions");
  auto count = static_cast<std::int32_t>(found->size());
  if (target.partition && *target.partition >= count)
    return fail(Code::kNotFound, "topic {} has {} partitions, no number {}", target.topic, count,
                *target.partition);
  auto first = target.partition.value_or(0);
  auto last = target.partition.value_or(count - 1);
  for (auto partition = first; partition <= last; ++partition)
    lanes_.emplace_back().partition = partition;
  return {};
}

void ProduceCore::add(std::span<const Record> records, Done<void> done) {
  auto now = env_.wall();
  for (const auto& record : records) {
    if (failed_) return done(std::unexpected(*failed_));
    auto& lane = lane_for(record);
    if (lane.open.empty()) {
      ++lane.opened;
      auto number = static_cast<std::size_t>(&lane - lanes_.data());
      if (options_.linger.count() > 0) loop_.spawn(linger(shared_from_this(), number, lane.opened));
    }
    auto before = lane.open.payload_bytes();
    lane.open.add(record, now);
    buffered_bytes_ += lane.open.payload_bytes() - before;
    if (lane.open.count() >= options_.batch_records_max ||
        lane.open.encoded_bytes() >= options_.batch_bytes_max)
      seal(lane);
  }
  if (options_.linger.count() <= 0)
    for (auto& lane : lanes_) seal(lane);
  if (failed_) return done(std::unexpected(*failed_));
  if (buffered_bytes_ <= options_.buffer_bytes_max) return done({});
  waiting_for_room_.push_back(std::move(done));
}

void ProduceCore::flush(Done<Produced> done) {
  for (auto& lane : lanes_) seal(lane);
  if (failed_) return done(std::unexpected(*failed_));
  if (idle()) return done(produced_);
  waiting_for_flush_.push_back(std::move(done));
}

void ProduceCore::stop() {
  if (!failed_) failed_ = Error{Code::kClosed, "the producer was closed"};
  if (channel_) channel_->close();
}

ProduceCore::Lane& ProduceCore::lane_for(const Record& record) {
  auto count = static_cast<std::int32_t>(lanes_.size());
  if (record.key && count > 1)
    return lanes_[static_cast<std::size_t>(partition_of(*record.key, count))];
  return lanes_[turn_];
}

void ProduceCore::seal(Lane& lane) {
  if (lane.open.empty()) return;
  auto records = lane.open.count();
  auto bytes = lane.open.payload_bytes();
  auto batch = lane.open.seal({.now = env_.wall(),
                               .producer_id = identity_.id,
                               .producer_epoch = identity_.epoch,
                               .base_sequence = lane.next_sequence},
                              codec_of(options_.compression));
  if (!batch) return give_up(std::move(batch).error());
  // Sequences wrap from 2^31 - 1 to 0.
  lane.next_sequence = static_cast<std::int32_t>(
      (static_cast<std::int64_t>(lane.next_sequence) + records) & 0x7fffffff);
  auto& sealed = lane.unacknowledged.emplace_back();
  sealed.records = records;
  sealed.bytes = bytes;
  native::append_request(
      sealed.frame,
      native::Batch{.target = {.topic = topic_, .partition = lane.partition}, .batch = *batch});
  turn_ = (turn_ + 1) % lanes_.size();
  pump(lane);
}

boost::asio::awaitable<void> ProduceCore::linger(std::shared_ptr<ProduceCore> self,
                                                 std::size_t lane, std::uint64_t opened) {
  co_await self->loop_.sleep(self->options_.linger);
  if (self->failed_ || self->lanes_[lane].opened != opened) co_return;
  self->seal(self->lanes_[lane]);
}

void ProduceCore::pump(Lane& lane) {
  if (!channel_ || channel_->error()) return;
  auto number = static_cast<std::size_t>(&lane - lanes_.data());
  auto limit = std::min<std::size_t>(static_cast<std::size_t>(options_.in_flight_max),
                                     lane.unacknowledged.size());
  while (static_cast<std::size_t>(lane.sent) < limit) {
    auto& batch = lane.unacknowledged[static_cast<std::size_t>(lane.sent++)];
    if (batch.tried) ++produced_.retries;
    batch.tried = true;
    channel_->submit(
        batch.frame, io::Nanos(0),
        [weak = weak_from_this(), number, connection = connections_](Result<std::string> reply) {
          if (auto self = weak.lock())
            self->answered(self->lanes_[number], connection, std::move(reply));
        });
  }
}

void ProduceCore::pump_all() {
  for (auto& lane : lanes_) pump(lane);
}

// A connection that ended is keep_connected()'s to handle, for all lanes at once.
void ProduceCore::answered(Lane& lane, std::uint64_t connection, Result<std::string> reply) {
  if (!reply || connection != connections_ || failed_) return;
  auto parsed = native::parse_batch_reply(*reply);
  if (parsed) return acknowledge(lane, parsed->first);
  // Later batches in flight are refused too, or will be: their sequences do not follow. So the
  // whole flight starts again over a new connection.
  if (retriable(parsed.error())) return channel_->fail(std::move(parsed).error());
  give_up(std::move(parsed).error());
}

void ProduceCore::acknowledge(Lane& lane, Offset first) {
  auto batch = std::move(lane.unacknowledged.front());
  lane.unacknowledged.pop_front();
  --lane.sent;
  progress_at_ = env_.mono();
  produced_.records += batch.records;
  produced_.bytes += batch.bytes;
  buffered_bytes_ -= batch.bytes;
  Offset last{first.value + batch.records - 1};
  produced_.first = std::min(produced_.first.value_or(first), first);
  produced_.last = std::max(produced_.last.value_or(last), last);
  if (options_.on_acknowledged) options_.on_acknowledged(lane.partition, first, batch.records);
  pump(lane);
  wake();
}

io::Task<std::shared_ptr<Channel>> ProduceCore::open_channel(std::shared_ptr<ProduceCore> self) {
  auto options = channel_options(self->options_.server);
  options.first = self->server_;
  co_return co_await Channel::connect(self->env_, self->loop_, std::move(options));
}

boost::asio::awaitable<void> ProduceCore::keep_connected(std::shared_ptr<ProduceCore> self) {
  int attempt = 0;
  while (!self->failed_) {
    if (self->channel_) {
      io::Signal broken(self->loop_);
      self->channel_->when_broken(broken.setter());
      ++self->connections_;
      auto acknowledged = self->produced_.records;
      self->pump_all();
      auto why = co_await broken.wait();
      if (self->failed_) co_return;
      if (self->produced_.records > acknowledged) attempt = 0;
      self->disconnected(why ? Error{Code::kClosed, "connection lost"} : why.error());
    }
    co_await self->loop_.sleep(self->backoff(attempt++));
    if (self->failed_) co_return;
    auto channel = co_await open_channel(self);
    if (self->failed_) co_return;
    if (channel) {
      self->channel_ = *std::move(channel);
    } else if (!self->idle() && self->env_.mono() - self->progress_at_ > self->options_.retry) {
      self->give_up({channel.error().code,
                     fmt::format("{} (gave up {} ms after the last acknowledgement)",
                                 channel.error().message, self->options_.retry.count())});
    }
  }
}

// A server that hangs still lets us in: so the next one is tried first.
void ProduceCore::disconnected(const Error& why) {
  channel_.reset();
  ++server_;
  std::int64_t unacknowledged = 0;
  for (auto& lane : lanes_) unacknowledged += std::exchange(lane.sent, 0);
  if (options_.on_disconnect) options_.on_disconnect(why, unacknowledged);
  if (!idle() && env_.mono() - progress_at_ > options_.retry) give_up(why);
}

void ProduceCore::give_up(Error error) {
  if (failed_) return;
  failed_ = std::move(error);
  if (channel_) channel_->close();
  wake();
}

void ProduceCore::wake() {
  if (failed_ || buffered_bytes_ <= options_.buffer_bytes_max)
    for (auto& done : std::exchange(waiting_for_room_, {}))
      done(failed_ ? Result<void>(std::unexpected(*failed_)) : Result<void>());
  if (failed_ || idle())
    for (auto& done : std::exchange(waiting_for_flush_, {}))
      done(failed_ ? Result<Produced>(std::unexpected(*failed_)) : Result<Produced>(produced_));
}

bool ProduceCore::idle() const {
  return std::ranges::all_of(
      lanes_, [](const Lane& lane) { return lane.open.empty() && lane.unacknowledged.empty(); });
}

// Doubles, with jitter, so that clients of a server that died do not come back in step.
io::Nanos ProduceCore::backoff(int attempt) {
  auto most = std::min<io::Nanos>(kBackoffMax, kBackoffMin * (1 << std::min(attempt, 10)));
  auto share = static_cast<std::int64_t>(env_.random() % 512) + 512;
  return most * share / 1024;
}

}  // namespace walrus::client
