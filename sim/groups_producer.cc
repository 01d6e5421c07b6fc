#include <algorithm>

#include "groups_run.h"
#include "kafka_peer.h"
#include "record/batch.h"
#include "wire/kafka/cluster.h"
#include "wire/kafka/data.h"

namespace walrus::sim {
namespace {

using namespace wire::kafka;
using namespace std::chrono_literals;

constexpr Bytes kTopic = "p";
constexpr std::size_t kUnansweredMax = 5, kRemembered = 5;
constexpr int kReadsMax = 100'000;
enum Error : std::int16_t { kTimedOut = 7, kOutOfOrder = 45, kFenced = 47, kStorage = 56 };

std::int32_t after(std::int32_t sequence, std::int32_t count) {
  return static_cast<std::int32_t>((std::int64_t{sequence} + count) & 0x7fffffff);
}

ProduceRequest request_of(Bytes batch) {
  ProduceRequest request{.acks = -1, .timeout_ms = 30'000};
  request.topics.push_back({.name = kTopic, .partitions = {{.index = 0, .records = batch}}});
  return request;
}

}  // namespace

// One connection: batches, at most five of them unanswered; what was not answered is sent again.
GroupsRun::Done GroupsRun::produce() {
  WALRUS_CO_ASSIGN(auto connection, co_await loop_->connect(options_.kafka.listen, 10s));
  KafkaPeer peer(std::move(connection));
  sent_ = 0;
  WALRUS_CO_TRY(co_await open_producer(peer));
  while (!violation_ && !(finishing_ && unanswered_.empty())) {
    if (unanswered_.empty() && draw(4) == 0) WALRUS_CO_TRY(co_await send_strange(peer));
    WALRUS_CO_TRY(co_await send_batches(peer));
    co_await loop_->sleep(Millis(draw(20)));
  }
  co_return violation_ ? Result<void>() : co_await check_stored(peer);
}

GroupsRun::Done GroupsRun::open_producer(KafkaPeer& peer) {
  MetadataRequest metadata{.topics = std::vector<MetadataRequest::Topic>{{.name = kTopic}}};
  WALRUS_CO_ASSIGN(auto described, co_await peer.ask<MetadataResponse>(metadata, 9));
  if (described.topics.at(0).error_code != 0) co_return fail(Code::kBusy, "no topic yet");
  if (producer_id_ >= 0) co_return Result<void>();
  WALRUS_CO_ASSIGN(auto made,
                   co_await peer.ask<InitProducerIdResponse>(InitProducerIdRequest{}, 4));
  if (made.error_code != 0) co_return fail(Code::kBusy, "no producer id yet");
  producer_id_ = made.producer_id;
  co_return Result<void>();
}

GroupsRun::Done GroupsRun::send_batches(KafkaPeer& peer) {
  auto more = finishing_ ? 0 : 1 + draw(3);
  for (std::uint64_t i = 0; i < more && unanswered_.size() < kUnansweredMax; ++i) {
    Batch batch{.epoch = epoch_,
                .sequence = next_sequence_,
                .count = static_cast<std::int32_t>(1 + draw(3)),
                .offset = next_offset_};
    next_offset_ += batch.count;
    next_sequence_ = after(batch.sequence, batch.count);
    if (next_sequence_ < batch.sequence) ++tally_.hits["sequence-wrap"];
    unanswered_.push_back(batch);
  }
  for (; sent_ < unanswered_.size(); ++sent_)
    WALRUS_CO_TRY(co_await peer.send(request_of(batch_of(unanswered_[sent_])), 9));
  while (!unanswered_.empty()) {
    WALRUS_CO_ASSIGN(auto answer, co_await peer.receive<ProduceResponse>(9));
    const auto& part = answer.topics.at(0).partitions.at(0);
    operation(part.error_code == 0);
    if (part.error_code == kTimedOut || part.error_code == kStorage)
      co_return fail(Code::kIo, "it dies");
    auto batch = unanswered_.front();
    if (part.error_code != 0)
      flag("batch-refused", fmt::format("sequence {}: error {}", batch.sequence, part.error_code));
    else if (part.base_offset != batch.offset)
      flag("stored-twice-or-lost",
           fmt::format("the batch of offset {} is stored at {}", batch.offset, part.base_offset));
    if (violation_) co_return Result<void>();
    stored_ = batch.offset + batch.count;
    answered_.push_back(batch);
    if (answered_.size() > kRemembered) answered_.pop_front();
    unanswered_.pop_front();
    --sent_;
  }
  co_return Result<void>();
}

// What was stored already, what leaves a gap, what is of an older epoch; or a new epoch begins.
GroupsRun::Done GroupsRun::send_strange(KafkaPeer& peer) {
  if (answered_.empty()) co_return Result<void>();
  if (draw(8) == 0) {
    ++epoch_;
    next_sequence_ = 0;
    answered_.clear();  // of the older epoch
    co_return Result<void>();
  }
  auto batch = answered_[draw(answered_.size())];
  std::int16_t expected = 0;
  const char* what = "batch-again";
  switch (draw(3)) {
    case 0:
      batch.sequence = after(next_sequence_, 7);
      expected = kOutOfOrder;
      what = "batch-gap";
      break;
    case 1:
      if (batch.epoch == 0) break;
      --batch.epoch;
      expected = kFenced;
      what = "batch-fenced";
      break;
    default: break;
  }
  ++tally_.hits[what];
  WALRUS_CO_ASSIGN(auto answer, co_await peer.ask<ProduceResponse>(request_of(batch_of(batch)), 9));
  const auto& part = answer.topics.at(0).partitions.at(0);
  if (part.error_code == kTimedOut || part.error_code == kStorage)
    co_return fail(Code::kIo, "it dies");
  operation(part.error_code == 0);
  if (part.error_code != expected || (expected == 0 && part.base_offset != batch.offset))
    flag(what, fmt::format("epoch {} sequence {} of offset {}: error {} offset {}", batch.epoch,
                           batch.sequence, batch.offset, part.error_code, part.base_offset));
  co_return Result<void>();
}

std::string GroupsRun::batch_of(const Batch& batch) const {
  std::vector<std::string> values;
  for (std::int32_t i = 0; i < batch.count; ++i)
    values.push_back(fmt::format("value {}", batch.offset + i));
  std::vector<walrus::Record> records;
  for (const auto& value : values) records.push_back({.value = value});
  return record::encode(records, {.now = Time(Millis(1'700'000'000'000)),
                                  .producer_id = producer_id_,
                                  .producer_epoch = batch.epoch,
                                  .base_sequence = batch.sequence});
}

// Everything that was answered, read by a fetch session.
GroupsRun::Done GroupsRun::check_stored(KafkaPeer& peer) {
  FetchRequest request{.wait_max_ms = 100, .bytes_min = 1};
  request.session_epoch = 0;
  std::int64_t next = 0;
  for (int i = 0; next < stored_ && !violation_ && i < kReadsMax; ++i) {
    request.topics.clear();
    request.topics.push_back(
        {.name = kTopic, .partitions = {{.index = 0, .fetch_offset = next, .bytes_max = 4096}}});
    WALRUS_CO_ASSIGN(auto answer, co_await peer.ask<FetchResponse>(request, 11));
    ++tally_.reads;
    if (answer.error_code != 0 || answer.topics.size() > 1 || answer.session_id == 0)
      flag("fetch-session",
           fmt::format("error {} session {}", answer.error_code, answer.session_id));
    request.session_id = answer.session_id;
    ++request.session_epoch;
    for (const auto& topic : answer.topics)
      for (const auto& part : topic.partitions) take_records(part.records.value_or(Bytes()), next);
  }
  if (next < stored_) flag("acknowledged-lost", fmt::format("{} of {}", next, stored_));
  tally_.records_read += next;
  co_return Result<void>();
}

void GroupsRun::take_records(Bytes rest, std::int64_t& next) {
  while (!rest.empty()) {
    auto batch = record::BatchView::parse(rest);
    if (!batch || !batch->crc_holds()) return flag("damaged", fmt::format("after {}", next));
    rest.remove_prefix(batch->bytes().size());
    auto records = record::RecordIterator::open(*batch);
    while (records) {
      auto record = records->next();
      if (!record || !*record) break;
      if ((*record)->offset < next) continue;
      if ((*record)->offset != next || (*record)->value != fmt::format("value {}", next))
        return flag("out-of-order", fmt::format("offset {} where {} is next: {}", (*record)->offset,
                                                next, (*record)->value.value_or("")));
      ++next;
    }
  }
}

}  // namespace walrus::sim
