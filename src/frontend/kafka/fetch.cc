// Fetch. No sessions: every answer says session 0, with which clients stay on full fetches.

#include <algorithm>

#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

constexpr std::int16_t kTopicIds = 13;  // the version from which on topics go by id
constexpr std::int32_t kNewSession = 0, kNoSession = -1;

struct Place {  // of a part of the plan in the response
  std::size_t topic = 0, partition = 0;
};

Result<broker::TopicRef> find_topic(Call call, const FetchRequest::Topic& topic) {
  if (call.version < kTopicIds) {
    if (!valid_topic_name(topic.name)) return fail(Code::kNotFound, "unknown topic");
    return call.local.find(topic.name);
  }
  auto stream = stream_of(call.node, topic.id);
  if (!stream) return fail(Code::kNotFound, "unknown topic id");
  return call.local.find_id(*stream);
}

void refuse(FetchResponse::Partition& to, ErrorCode code) {
  to.error_code = number(code);
  to.high_watermark = -1;
  to.aborted_transactions.emplace();
  to.records = Bytes();  // never null: librdkafka takes that for a broken response
}

// Places every partition of the request in the response; those that can be read also in the plan.
std::vector<Place> plan_fetch(Call call, const FetchRequest& request, FetchResponse& response,
                              broker::FetchPlan& plan) {
  std::vector<Place> places;
  for (const auto& asked : request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.name = asked.name;
    topic.id = asked.id;
    auto found = find_topic(call, asked);
    for (const auto& part : asked.partitions) {
      auto& to = topic.partitions.emplace_back();
      to.index = part.index;
      auto number_of = static_cast<std::size_t>(part.index);
      if (!found || part.index < 0 || number_of >= (*found)->partitions.size()) {
        refuse(to, !found && call.version >= kTopicIds ? ErrorCode::kUnknownTopicId
                                                       : ErrorCode::kUnknownTopicOrPartition);
        continue;
      }
      const auto& stream = (*found)->partitions[number_of];
      auto fenced = check_leader_epoch(call, stream, part.current_leader_epoch);
      if (fenced != 0) {
        refuse(to, static_cast<ErrorCode>(fenced));
        continue;
      }
      plan.parts.push_back({.stream = stream,
                            .from = Offset{part.fetch_offset},
                            .bytes_max = std::max(part.bytes_max, 0)});
      places.push_back({response.topics.size() - 1, topic.partitions.size() - 1});
    }
  }
  return places;
}

void fill(FetchResponse::Partition& to, const broker::FetchedPart& part) {
  if (!part.result) return refuse(to, partition_error(part.result.error()));
  // Without transactions the last stable offset is the high watermark.
  to.high_watermark = to.last_stable_offset = part.bounds.high_watermark.value;
  to.log_start_offset = part.bounds.log_start.value;
  to.aborted_transactions.emplace();
  to.records = part.bytes;
}

bool any_error(const FetchResponse& response) {
  return std::ranges::any_of(response.topics, [](const auto& topic) {
    return std::ranges::any_of(topic.partitions,
                               [](const auto& partition) { return partition.error_code != 0; });
  });
}

}  // namespace

io::Task<void> fetch(Call call, Bytes body, std::string& to) {
  WALRUS_CO_ASSIGN(auto request, decode<FetchRequest>(body, call.version));
  FetchResponse response;
  bool sessionless = request.session_id == 0 &&
                     (request.session_epoch == kNewSession || request.session_epoch == kNoSession);
  // A session that is being closed was never made here; its full fetch is answered.
  if (!sessionless && request.session_epoch != kNoSession) {
    response.error_code = number(ErrorCode::kFetchSessionIdNotFound);
    encode(to, response, call.version);
    co_return Result<void>();
  }
  broker::FetchPlan plan{
      .bytes_min = std::max(request.bytes_min, 0),
      .bytes_max = std::clamp<std::int64_t>(request.bytes_max, 0, call.node.fetch_bytes_max),
      .wait = std::min<io::Nanos>(Millis(std::max(request.wait_max_ms, 0)), call.node.wait_max)};
  auto places = plan_fetch(call, request, response, plan);
  if (any_error(response)) plan.wait = io::Nanos(0);
  WALRUS_CO_ASSIGN(auto parts, co_await call.local.fetch(std::move(plan), call.interrupt));
  for (std::size_t i = 0; i < places.size(); ++i)
    fill(response.topics[places[i].topic].partitions[places[i].partition], parts[i]);
  encode(to, response, call.version);
  co_return Result<void>();
}

}  // namespace walrus::frontend::kafka
