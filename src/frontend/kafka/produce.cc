// Produce and InitProducerId.

#include <utility>

#include "frontend/kafka/cluster_view.h"
#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"
#include "record/batch.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

constexpr std::int16_t kZstdVersion = 7;  // from which on consumers are known to read it
constexpr std::int64_t kTimeoutMin = 1;

struct Attempt {
  io::Nanos deadline{};
  broker::ProduceRules rules{};
  broker::BadRecords* bad = nullptr;
};

// Waits for room in the journal for as long as the request allows.
io::Task<broker::Stored> append_waiting(Call call, broker::TopicRef topic, std::size_t partition,
                                        Bytes batch, Attempt attempt) {
  while (true) {
    auto stored = call.local.produce(*topic, partition, batch, attempt.rules, attempt.bad);
    if (stored || stored.error().code != Code::kBusy) co_return stored;
    if (call.local.engine().env().mono() >= attempt.deadline) co_return stored;
    WALRUS_CO_TRY(co_await call.local.room(topic->partitions[partition]));
  }
}

void refuse(ProduceResponse::Partition& to, Produced& produced, ErrorCode code, Bytes why) {
  to.error_code = number(code);
  to.base_offset = -1;
  to.error_message = std::string(why);
  produced.failed = true;
}

broker::Acks acks_of(Call call, std::int16_t acks) {
  if (acks == -1 || call.node.acks_all) return broker::Acks::kAll;
  return acks == 0 ? broker::Acks::kNone : broker::Acks::kLeader;
}

// For a client that asked another node than the leader.
void tell_leader(Call call, const broker::Log& log, ProduceResponse::Partition& to,
                 Produced& produced) {
  auto leader = led_elsewhere(call.node, log);
  if (!leader) return;
  to.current_leader = current_leader(log);
  for (auto& endpoint : endpoints(call.node, {*leader}))
    produced.response.node_endpoints.push_back(std::move(endpoint));
}

// After a roll to another node, until its clients have learned of it.
bool is_handed_on(Call call, const broker::Log& log) {
  auto bounds = log.bounds();
  return bounds && call.local.engine().env().mono() < bounds->hands_on_until;
}

// Of a transaction, which nobody can have begun.
bool is_transactional(Bytes records) {
  auto batch = record::BatchView::parse(records);
  return batch && batch->transactional();
}

std::optional<replica::Sequence> sequence_in(Bytes records) {
  auto batch = record::BatchView::parse(records);
  return batch ? replica::sequence_of(*batch) : std::nullopt;
}

// It is sent again, and so is what comes behind it.
bool comes_again(ErrorCode code) {
  return code == ErrorCode::kNotLeaderOrFollower || code == ErrorCode::kNotEnoughReplicas ||
         code == ErrorCode::kKafkaStorageError;
}

// One partition of a request, and its answer.
struct ProducedPart {
  const ProduceRequest::Partition& asked;
  ProduceResponse::Partition& to;
  Produced& produced;
};

// None: it is refused, whatever the log is.
broker::TopicRef check_part(Call call, const ProduceRequest& request, Bytes name,
                            ProducedPart part) {
  auto refused = [&part](ErrorCode code, Bytes why) {
    refuse(part.to, part.produced, code, why);
    return broker::TopicRef();
  };
  if (request.acks < -1 || request.acks > 1)
    return refused(ErrorCode::kInvalidRequiredAcks, "acks is -1, 0 or 1");
  // No transaction can be begun here yet, so that this is nobody's.
  if (request.transactional_id || is_transactional(part.asked.records.value_or(Bytes())))
    return refused(ErrorCode::kTransactionalIdAuthorizationFailed, "transactions are not served");
  auto topic = find_topic(call.local, name);
  auto index = part.asked.index;
  if (topic && (index < 0 || std::cmp_greater_equal(index, (*topic)->partitions.size())))
    topic = fail(Code::kNotFound, "unknown topic {}/{}", name, index);
  if (!topic) return refused(partition_error(topic.error()), topic.error().message);
  auto copies = static_cast<std::int64_t>((*topic)->replication_factor);
  auto least = (*topic)->config.in_sync_min;
  if (request.acks == -1 && least > copies)
    return refused(ErrorCode::kNotEnoughReplicas,
                   fmt::format("min.insync.replicas is {}, copies are {}", least, copies));
  return *std::move(topic);
}

io::Task<void> append_part(Call call, const ProduceRequest& request, Produced& produced,
                           std::size_t t, std::size_t p) {
  const auto& part = request.topics[t].partitions[p];
  auto& to = produced.response.topics[t].partitions[p];
  to.index = part.index;
  auto topic = check_part(call, request, request.topics[t].name, {part, to, produced});
  if (!topic) co_return Result<void>();
  auto place = static_cast<std::size_t>(part.index);
  auto log = topic->partitions[place];
  const PartitionId id{topic->id, static_cast<std::uint32_t>(part.index)};
  const auto sequence = sequence_in(part.records.value_or(Bytes()));
  const auto now = call.local.engine().env().mono();
  bool follows = sequence && call.arrears.behind(id, *sequence, now);
  if (sequence) call.arrears.come(id, *sequence);
  auto send_away = [&](ErrorCode why, Bytes text) {
    refuse(to, produced, why, text);
    if (sequence && comes_again(why)) call.arrears.owe(id, *sequence, now);
  };
  // Where leaders change the log is asked: another one may have taken what is missing here.
  if (follows && !call.node.image) {
    send_away(ErrorCode::kKafkaStorageError, "a batch in front of it was not taken");
    co_return Result<void>();
  }
  auto code = check_leader(call, *log, -1);
  bool goes_on = code == ErrorCode::kNotLeaderOrFollower && is_handed_on(call, *log) &&
                 !call.moved.tells(id, now);
  if (code != ErrorCode::kNone && !goes_on) {
    send_away(code, "another node leads the partition");
    tell_leader(call, *log, to, produced);
    co_return Result<void>();
  }
  broker::BadRecords bad;
  auto stored = co_await append_waiting(call, topic, place, part.records.value_or(Bytes()),
                                        {.deadline = produced.deadline,
                                         .rules = {.zstd = call.version >= kZstdVersion,
                                                   .append = {.acks = acks_of(call, request.acks),
                                                              .wait = produced.deadline - now,
                                                              .hand_on = true,
                                                              .in_sequence = true,
                                                              .follows = follows}},
                                         .bad = &bad});
  if (!stored) {
    send_away(append_error(call, *log, stored.error(), sequence.has_value()),
              stored.error().message);
    for (auto& one : bad)
      to.record_errors.push_back({.batch_index = one.index, .text = std::move(one.why)});
    co_return Result<void>();
  }
  to.log_append_time_ms = stored->append_time_ms.value_or(-1);
  auto bounds = log->bounds();
  to.log_start_offset = bounds ? bounds->log_start.value : -1;
  produced.parts.push_back({.topic = t,
                            .partition = p,
                            .log = log,
                            .appending = std::move(stored->appending),
                            .id = id,
                            .sequence = sequence});
  co_return Result<void>();
}

}  // namespace

io::Task<Produced> begin_produce(Call call, Bytes body) {
  WALRUS_CO_ASSIGN(auto request, decode<ProduceRequest>(body, call.version));
  Produced produced;
  produced.answered = request.acks != 0;
  auto timeout = std::max<std::int64_t>(request.timeout_ms, kTimeoutMin);
  produced.deadline =
      call.local.engine().env().mono() + std::min<io::Nanos>(Millis(timeout), call.node.wait_max);
  produced.response.topics.resize(request.topics.size());
  for (std::size_t t = 0; t < request.topics.size(); ++t) {
    const auto& topic = request.topics[t];
    produced.response.topics[t].name = topic.name;
    produced.response.topics[t].partitions.resize(topic.partitions.size());
    for (std::size_t p = 0; p < topic.partitions.size(); ++p)
      WALRUS_CO_TRY(co_await append_part(call, request, produced, t, p));
  }
  co_return produced;
}

void end_produce(Call call, Produced& produced, const broker::AppendRun& run) {
  for (const auto& part : produced.parts) {
    if (!produced.waits_for(part.appending)) continue;
    auto& to = produced.response.topics[part.topic].partitions[part.partition];
    auto placed = run.outcome(part.appending);
    if (placed) {
      to.base_offset = placed->first.value;
      if (part.sequence && !call.arrears.empty()) call.arrears.settle(part.id, *part.sequence);
      continue;
    }
    auto code = append_error(call, *part.log, placed.error(), part.sequence.has_value());
    refuse(to, produced, code, placed.error().message);
    if (code == ErrorCode::kNotLeaderOrFollower) tell_leader(call, *part.log, to, produced);
  }
}

io::Task<InitProducerIdResponse> init_producer_id(Call call, InitProducerIdRequest request) {
  InitProducerIdResponse response{.producer_epoch = -1};
  if (request.transactional_id) {
    response.error_code =
        number(request.transactional_id->empty() ? ErrorCode::kInvalidRequest
                                                 : ErrorCode::kTransactionalIdAuthorizationFailed);
    co_return response;
  }
  // An idempotent producer that asks again, whatever it had, gets a new id: its sequence begins
  // anew in every partition.
  auto id = co_await call.local.new_producer_id();
  if (!id) {
    response.error_code = number(partition_error(id.error()));
    co_return response;
  }
  response.producer_id = *id;
  response.producer_epoch = 0;
  co_return response;
}

}  // namespace walrus::frontend::kafka
