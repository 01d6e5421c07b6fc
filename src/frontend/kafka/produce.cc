// Produce and InitProducerId.

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
  if (acks == 1 && call.node.acks_all) return broker::Acks::kAll;
  switch (acks) {
    case 0: return broker::Acks::kNone;
    case 1: return broker::Acks::kLeader;
    default: return broker::Acks::kAll;
  }
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

io::Task<void> append_part(Call call, const ProduceRequest& request, Produced& produced,
                           std::size_t t, std::size_t p, io::Nanos deadline) {
  const auto& topic = request.topics[t];
  const auto& part = topic.partitions[p];
  auto& to = produced.response.topics[t].partitions[p];
  to.index = part.index;
  if (request.acks < -1 || request.acks > 1) {
    refuse(to, produced, ErrorCode::kInvalidRequiredAcks, "acks is -1, 0 or 1");
    co_return Result<void>();
  }
  // No transaction can be begun here yet, so that this is nobody's.
  if (request.transactional_id || is_transactional(part.records.value_or(Bytes()))) {
    refuse(to, produced, ErrorCode::kTransactionalIdAuthorizationFailed,
           "transactions are not served");
    co_return Result<void>();
  }
  auto topic_ref = find_topic(call.local, topic.name);
  auto place = static_cast<std::size_t>(part.index);
  if (topic_ref && (part.index < 0 || place >= (*topic_ref)->partitions.size()))
    topic_ref = fail(Code::kNotFound, "unknown topic {}/{}", topic.name, part.index);
  if (!topic_ref) {
    refuse(to, produced, partition_error(topic_ref.error()), topic_ref.error().message);
    co_return Result<void>();
  }
  auto copies = static_cast<std::int64_t>((*topic_ref)->replication_factor);
  if (request.acks == -1 && (*topic_ref)->config.in_sync_min > copies) {
    refuse(to, produced, ErrorCode::kNotEnoughReplicas,
           fmt::format("min.insync.replicas is {}, copies are {}", (*topic_ref)->config.in_sync_min,
                       copies));
    co_return Result<void>();
  }
  auto log = (*topic_ref)->partitions[place];
  auto code = check_leader(call, *log, -1);
  bool moved = code == ErrorCode::kNotLeaderOrFollower && is_handed_on(call, *log);
  if (code != ErrorCode::kNone && !moved) {
    refuse(to, produced, code, "another node leads the partition");
    tell_leader(call, *log, to, produced);
    co_return Result<void>();
  }
  broker::BadRecords bad;
  auto stored = co_await append_waiting(
      call, *topic_ref, place, part.records.value_or(Bytes()),
      {.deadline = deadline,
       .rules = {.zstd = call.version >= kZstdVersion,
                 .append = {.acks = acks_of(call, request.acks),
                            .wait = deadline - call.local.engine().env().mono(),
                            .hand_on = true}},
       .bad = &bad});
  if (!stored) {
    refuse(to, produced, append_error(call, *log, stored.error()), stored.error().message);
    for (auto& one : bad)
      to.record_errors.push_back({.batch_index = one.index, .text = std::move(one.why)});
    co_return Result<void>();
  }
  to.log_append_time_ms = stored->append_time_ms.value_or(-1);
  auto bounds = log->bounds();
  to.log_start_offset = bounds ? bounds->log_start.value : -1;
  produced.parts.push_back(
      {.topic = t, .partition = p, .log = log, .appending = std::move(stored->appending)});
  co_return Result<void>();
}

}  // namespace

io::Task<Produced> begin_produce(Call call, Bytes body) {
  WALRUS_CO_ASSIGN(auto request, decode<ProduceRequest>(body, call.version));
  Produced produced;
  produced.answered = request.acks != 0;
  auto deadline = call.local.engine().env().mono() +
                  Millis(std::max<std::int64_t>(request.timeout_ms, kTimeoutMin));
  produced.response.topics.resize(request.topics.size());
  for (std::size_t t = 0; t < request.topics.size(); ++t) {
    const auto& topic = request.topics[t];
    produced.response.topics[t].name = topic.name;
    produced.response.topics[t].partitions.resize(topic.partitions.size());
    for (std::size_t p = 0; p < topic.partitions.size(); ++p)
      WALRUS_CO_TRY(co_await append_part(call, request, produced, t, p, deadline));
  }
  co_return produced;
}

void end_produce(Call call, Produced& produced, const broker::AppendRun& run) {
  for (const auto& part : produced.parts) {
    auto& to = produced.response.topics[part.topic].partitions[part.partition];
    auto placed = run.outcome(part.appending);
    if (placed) {
      to.base_offset = placed->first.value;
      continue;
    }
    auto code = append_error(call, *part.log, placed.error());
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
