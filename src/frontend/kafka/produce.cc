// Produce and InitProducerId.

#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

constexpr std::int16_t kZstdVersion = 7;  // from which on consumers are known to read it
constexpr std::int64_t kTimeoutMin = 1;

// Waits for room in the journal for as long as the request allows.
io::Task<log::Appended> append_waiting(Call call, log::StreamRef stream, Bytes batch,
                                       io::Nanos deadline) {
  while (true) {
    auto appended = call.local.produce(stream, batch, {.zstd = call.version >= kZstdVersion});
    if (appended || appended.error().code != Code::kBusy) co_return appended;
    if (call.local.engine().env().mono() >= deadline) co_return appended;
    WALRUS_CO_TRY(co_await call.local.room(stream));
  }
}

void refuse(ProduceResponse::Partition& to, Produced& produced, ErrorCode code, Bytes why) {
  to.error_code = number(code);
  to.base_offset = -1;
  to.error_message = std::string(why);
  produced.failed = true;
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
  if (request.transactional_id) {
    refuse(to, produced, ErrorCode::kTransactionalIdAuthorizationFailed,
           "transactions are not served");
    co_return Result<void>();
  }
  auto stream = find_partition(call.local, topic.name, part.index);
  if (!stream) {
    refuse(to, produced, partition_error(stream.error()), stream.error().message);
    co_return Result<void>();
  }
  auto appended = co_await append_waiting(call, *stream, part.records.value_or(Bytes()), deadline);
  if (!appended) {
    refuse(to, produced, produce_error(appended.error()), appended.error().message);
    co_return Result<void>();
  }
  to.base_offset = appended->first.value;
  auto bounds = call.local.engine().bounds(*stream);
  to.log_start_offset = bounds ? bounds->log_start.value : -1;
  produced.parts.push_back({.topic = t, .partition = p, .pending = appended->pending});
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

void end_produce(Produced& produced, const Error& error) {
  for (const auto& part : produced.parts)
    refuse(produced.response.topics[part.topic].partitions[part.partition], produced,
           produce_error(error), error.message);
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
  auto id = call.local.engine().new_producer_id();
  if (id) {
    auto durable = co_await call.local.durable(id->pending);
    if (!durable) id = std::unexpected(std::move(durable).error());
  }
  if (!id) {
    response.error_code = number(partition_error(id.error()));
    co_return response;
  }
  response.producer_id = id->id;
  response.producer_epoch = 0;
  co_return response;
}

}  // namespace walrus::frontend::kafka
