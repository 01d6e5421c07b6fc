// Fetch, in full or of a session (fetch_session.h).

#include <algorithm>

#include "base/check.h"
#include "frontend/kafka/cluster_view.h"
#include "frontend/kafka/errors.h"
#include "frontend/kafka/fetch_session.h"
#include "frontend/kafka/handlers.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

constexpr std::int16_t kTopicIds = 13;  // the version from which on topics go by id

struct Place {  // of a part of the plan in the response
  std::size_t topic = 0, partition = 0;
};

void refuse(FetchResponse::Partition& to, ErrorCode code) {
  to.error_code = number(code);
  to.high_watermark = -1;
  to.aborted_transactions.emplace();
  to.records = Bytes();  // never null: librdkafka takes that for a broken response
}

// What is read, in order; what is answered to it; and where the one goes into the other. Holds the
// memory of what was read until it goes, which it does when the answer takes that over.
class Reading {
 public:
  Reading(Call call, const FetchRequest& request) : call_(call) {
    plan.bytes_min = std::max(request.bytes_min, 0);
    plan.bytes_max = std::clamp<std::int64_t>(request.bytes_max, 0, call.node.fetch_bytes_max);
    plan.wait = std::min<io::Nanos>(Millis(std::max(request.wait_max_ms, 0)), call.node.wait_max);
    if (call.memory == nullptr) return;
    plan.room = [memory = call.memory] { return memory->left(); };
    plan.hold = [this](std::int64_t bytes) {
      held_ += bytes;
      call_.memory->bytes += bytes;
    };
  }
  Reading(const Reading&) = delete;
  ~Reading() {
    if (call_.memory != nullptr) call_.memory->bytes -= held_;
  }

  void add_all(const FetchRequest& request) {
    for (const auto& topic : request.topics) {
      begin_topic(topic.name, topic.id);
      for (const auto& part : topic.partitions) add(part);
    }
  }
  void add_all(const FetchSession& session) {
    const std::string* last = nullptr;
    for (const auto& part : session.parts()) {
      if (last == nullptr || *last != part.topic) {
        Uuid id;
        if (session.by_id()) std::ranges::copy(part.topic, id.bytes.begin());
        begin_topic(session.by_id() ? Bytes() : Bytes(part.topic), id);
      }
      last = &part.topic;
      add(part.asked);
    }
  }
  // Views into `parts` from now on.
  void fill(const std::vector<broker::FetchedPart>& parts) {
    for (std::size_t i = 0; i < places_.size(); ++i)
      fill(response.topics[places_[i].topic].partitions[places_[i].partition], parts[i]);
  }

  broker::FetchPlan plan;
  FetchResponse response;

 private:
  void begin_topic(Bytes name, const Uuid& id) {
    response.topics.push_back({.name = std::string(name), .id = id});
    topic_ = call_.version < kTopicIds ? find_topic(call_.local, name) : find_topic(call_, id);
  }
  void add(const FetchRequest::Partition& asked) {
    auto& topic = response.topics.back();
    auto& to = topic.partitions.emplace_back();
    to.index = asked.index;
    auto error = place(asked);
    if (error == ErrorCode::kNone) {
      places_.push_back({response.topics.size() - 1, topic.partitions.size() - 1});
      return;
    }
    refuse(to, error);
    plan.wait = io::Nanos(0);  // an error is told at once
  }
  // Into the plan, or what stands against it.
  ErrorCode place(const FetchRequest::Partition& asked) {
    auto number_of = static_cast<std::size_t>(asked.index);
    if (!topic_)
      return call_.version >= kTopicIds ? ErrorCode::kUnknownTopicId
                                        : ErrorCode::kUnknownTopicOrPartition;
    if (asked.index < 0 || number_of >= (*topic_)->partitions.size())
      return ErrorCode::kUnknownTopicOrPartition;
    const auto& log = (*topic_)->partitions[number_of];
    if (led_elsewhere(call_.node, *log)) return ErrorCode::kNotLeaderOrFollower;
    if (auto fenced = check_leader_epoch(*log, asked.current_leader_epoch); fenced != 0)
      return static_cast<ErrorCode>(fenced);
    plan.parts.push_back({.log = log,
                          .from = Offset{asked.fetch_offset},
                          .bytes_max = std::max(asked.bytes_max, 0)});
    return ErrorCode::kNone;
  }
  static void fill(FetchResponse::Partition& to, const broker::FetchedPart& part) {
    if (!part.result) return refuse(to, partition_error(part.result.error()));
    // Without transactions the last stable offset is the high watermark.
    to.high_watermark = to.last_stable_offset = part.bounds.high_watermark.value;
    to.log_start_offset = part.bounds.log_start.value;
    to.aborted_transactions.emplace();
    to.records = part.bytes;
  }

  Call call_;
  Result<broker::TopicRef> topic_ = fail(Code::kNotFound, "no topic");  // that is added to
  std::vector<Place> places_;
  std::int64_t held_ = 0;
};

// Leaves what the client knows already out of the answer.
void reduce(FetchSession& session, FetchResponse& response) {
  for (auto& topic : response.topics)
    std::erase_if(topic.partitions, [&](const auto& one) { return !session.tell(topic, one); });
  std::erase_if(response.topics, [](const auto& topic) { return topic.partitions.empty(); });
  response.session_id = session.id();
}

std::int32_t make_session(Call call, const FetchRequest& request, const FetchResponse& response) {
  auto session = std::make_shared<FetchSession>(call.version >= kTopicIds, request);
  for (const auto& topic : response.topics)
    for (const auto& part : topic.partitions) session->tell(topic, part);
  auto& env = call.local.engine().env();
  return call.fetch_sessions.admit(std::move(session), env.mono(), env.random());
}

}  // namespace

io::Task<void> fetch(Call call, Bytes body, Output& to) {
  WALRUS_CO_ASSIGN(auto request, decode<FetchRequest>(body, call.version));
  auto turn = call.fetch_sessions.begin(request, call.version >= kTopicIds,
                                        call.local.engine().env().mono());
  Reading reading(call, request);
  auto& response = reading.response;
  if (turn.session) reading.add_all(*turn.session);
  else if (turn.error == ErrorCode::kNone) reading.add_all(request);
  std::vector<broker::FetchedPart> parts;
  if (turn.error == ErrorCode::kNone) {
    WALRUS_CO_ASSIGN(parts, co_await call.local.fetch(std::move(reading.plan), call.interrupt));
    reading.fill(parts);
    // Another request of the session came meanwhile, by another connection.
    if (turn.session && turn.session->epoch() != turn.epoch)
      turn.error = ErrorCode::kInvalidFetchSessionEpoch;
  }
  if (turn.error != ErrorCode::kNone) response = {.error_code = number(turn.error)};
  else if (turn.session) reduce(*turn.session, response);
  else if (turn.wanted) response.session_id = make_session(call, request, response);
  std::vector<Aside> asides;
  encode(to.text, response, call.version, &asides);
  auto part = parts.begin();  // the response has them in the same order
  for (const auto& aside : asides) {
    part = std::find_if(part, parts.end(),
                        [&](const auto& one) { return one.bytes.data() == aside.bytes.data(); });
    CHECK(part != parts.end());
    to.pieces.push_back({.at = aside.at, .bytes = std::move(part->bytes)});
  }
  co_return Result<void>();
}

}  // namespace walrus::frontend::kafka
