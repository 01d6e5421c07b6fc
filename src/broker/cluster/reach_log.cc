#include "broker/cluster/reach_log.h"

#include <algorithm>

#include "broker/cluster/peer_code.h"

namespace walrus::broker {
namespace {

constexpr std::uint64_t kOwnId = std::uint64_t{1} << 63;  // not one of the node's
constexpr io::Nanos kTimeout = std::chrono::seconds(3);   // beside the wait
constexpr io::Nanos kWait = std::chrono::seconds(2), kPause = std::chrono::milliseconds(50);
constexpr std::uint32_t kBytesMax = 256 << 10, kWaitMsMax = 10'000;

// ---- What the node that is asked does ----

io::Task<std::string> answer_confirm(std::shared_ptr<Bridge> bridge, std::string body) {
  WALRUS_CO_ASSIGN(auto id, decode_confirm_request(body));
  WALRUS_CO_ASSIGN(auto* node, bridge->node());
  io::Signal signal(bridge->loop());
  auto end = std::make_shared<Offset>();
  node->confirm(id, [end, set = signal.setter()](Result<Offset> confirmed) mutable {
    if (confirmed) *end = *confirmed;
    set(confirmed ? Result<void>() : std::unexpected(confirmed.error()));
  });
  WALRUS_CO_TRY(co_await signal.wait());
  co_return encode_confirm_reply(*end);
}

io::Task<log::Fetched> fetch_here(std::shared_ptr<Bridge> bridge, const ReachRequest& request) {
  WALRUS_CO_ASSIGN(auto* node, bridge->node());
  auto bytes_max = std::min(request.bytes_max, kBytesMax);
  co_return co_await node->fetch(request.partition, request.from, {.bytes_max = bytes_max});
}

io::Task<std::string> answer_reach(std::shared_ptr<Bridge> bridge, std::string body) {
  WALRUS_CO_ASSIGN(auto request, decode_reach_request(body));
  WALRUS_CO_ASSIGN(auto fetched, co_await fetch_here(bridge, request));
  if (!fetched.bytes.empty() || request.wait_ms == 0) co_return encode_reach_reply(fetched);
  WALRUS_CO_ASSIGN(auto* node, bridge->node());
  io::Signal readable(bridge->loop());
  auto id = node->when_readable(request.partition, request.from, readable.setter());
  (void)co_await readable.wait(Millis(std::min(request.wait_ms, kWaitMsMax)));
  WALRUS_CO_ASSIGN(node, bridge->node());
  node->cancel(id);
  WALRUS_CO_ASSIGN(fetched, co_await fetch_here(bridge, request));
  co_return encode_reach_reply(fetched);
}

}  // namespace

void serve_reach(net::Rpc& rpc, std::shared_ptr<Bridge> bridge) {
  rpc.handle(kConfirmMethod, [bridge](net::Request request) {
    return answer_confirm(bridge, std::move(request.body));
  });
  rpc.handle(kReachMethod, [bridge](net::Request request) {
    return answer_reach(bridge, std::move(request.body));
  });
}

// ---------------------------------------------------------------------------------------------

ReachLog::ReachLog(std::shared_ptr<Bridge> bridge, net::Rpc& rpc,
                   std::shared_ptr<ReplicatedLog> log)
    : Log(log->name()), bridge_(std::move(bridge)), rpc_(rpc), log_(std::move(log)) {}

// The other node that leads it; none: this one does, or nobody.
NodeId ReachLog::elsewhere() const {
  auto bounds = log_->bounds();
  return bounds && bounds->leader != bridge_->self() ? bounds->leader : NodeId{};
}

// Whether what is written comes here as well.
bool ReachLog::is_held_here() const {
  auto image = bridge_->image();
  const auto* partition = image->partitions.find(log_->id());
  return partition && partition->tail && meta::is_replica(*partition->tail, bridge_->self());
}

io::Task<log::Fetched> ReachLog::fetch(Offset from, log::FetchOptions options) {
  auto self = shared_from_this();
  WALRUS_CO_ASSIGN(auto bounds, log_->bounds());
  auto leader = elsewhere();
  if (from < bounds.high_watermark || is_held_here() || leader == NodeId{})
    co_return co_await log_->fetch(from, options);
  co_return co_await reach(leader, from, options.bytes_max, io::Nanos(0));
}

io::Task<log::Fetched> ReachLog::reach(NodeId node, Offset from, std::int64_t bytes_max,
                                       io::Nanos wait) {
  ReachRequest request{
      .partition = log_->id(),
      .from = from,
      .bytes_max = static_cast<std::uint32_t>(std::clamp<std::int64_t>(bytes_max, 1, kBytesMax)),
      .wait_ms = static_cast<std::uint32_t>(std::chrono::duration_cast<Millis>(wait).count())};
  WALRUS_CO_ASSIGN(auto reply, co_await rpc_.call(node, kReachMethod, encode_reach_request(request),
                                                  net::CallOptions{.timeout = kTimeout + wait}));
  co_return decode_reach_reply(reply);
}

io::Task<Offset> ReachLog::confirm() {
  auto self = shared_from_this();
  auto leader = elsewhere();
  if (leader == NodeId{}) co_return co_await log_->confirm();
  WALRUS_CO_ASSIGN(auto reply,
                   co_await rpc_.call(leader, kConfirmMethod, encode_confirm_request(log_->id()),
                                      net::CallOptions{.timeout = kTimeout}));
  co_return decode_confirm_reply(reply);
}

std::uint64_t ReachLog::when_readable(Offset offset, log::Done<void> done) {
  if (is_held_here()) return log_->when_readable(offset, std::move(done));
  auto id = kOwnId | ++last_id_;
  watched_.emplace(id, std::move(done));
  bridge_->loop().spawn(watch(weak_from_this(), bridge_, id, offset));
  return id;
}

void ReachLog::cancel(std::uint64_t id) {
  if ((id & kOwnId) == 0) return log_->cancel(id);
  watched_.erase(id);
}

// Asks who leads it to tell when there is more; after a while it is looked again in any case.
boost::asio::awaitable<void> ReachLog::watch(std::weak_ptr<ReachLog> weak,
                                             std::shared_ptr<Bridge> bridge, std::uint64_t id,
                                             Offset offset) {
  if (auto self = weak.lock()) {
    auto leader = self->elsewhere();
    bool asked = false;
    if (leader != NodeId{} && self->watched_.contains(id))
      asked = (co_await self->reach(leader, offset, 1, kWait)).has_value();
    if (asked) co_return self->wake(id);
  }
  co_await bridge->loop().sleep(kPause);
  if (auto self = weak.lock()) self->wake(id);
}

void ReachLog::wake(std::uint64_t id) {
  auto found = watched_.extract(id);
  if (!found.empty()) found.mapped()({});
}

// ---------------------------------------------------------------------------------------------

std::string encode_confirm_request(const PartitionId& id) {
  std::string body;
  append_le(body, kPeerMessageVersion);
  append_partition(body, id);
  return body;
}

Result<PartitionId> decode_confirm_request(Bytes body) {
  WALRUS_ASSIGN(auto from, open_message(body));
  auto id = take_partition(from);
  if (!from.ok() || !from.at_end()) return corrupt_message();
  return id;
}

std::string encode_confirm_reply(Offset end) {
  std::string body;
  append_le(body, kPeerMessageVersion);
  append_le(body, end.value);
  return body;
}

Result<Offset> decode_confirm_reply(Bytes body) {
  WALRUS_ASSIGN(auto from, open_message(body));
  auto end = take_offset(from);
  if (!from.ok() || !from.at_end() || end < Offset{}) return corrupt_message();
  return end;
}

std::string encode_reach_request(const ReachRequest& request) {
  std::string body;
  append_le(body, kPeerMessageVersion);
  append_partition(body, request.partition);
  append_le(body, request.from.value);
  append_le(body, request.bytes_max);
  append_le(body, request.wait_ms);
  return body;
}

Result<ReachRequest> decode_reach_request(Bytes body) {
  WALRUS_ASSIGN(auto from, open_message(body));
  ReachRequest request{.partition = take_partition(from), .from = take_offset(from)};
  request.bytes_max = from.le<std::uint32_t>().value_or(0);
  request.wait_ms = from.le<std::uint32_t>().value_or(0);
  if (!from.ok() || !from.at_end() || request.from < Offset{}) return corrupt_message();
  return request;
}

std::string encode_reach_reply(const log::Fetched& fetched) {
  std::string body;
  append_le(body, kPeerMessageVersion);
  for (auto offset : {fetched.log_start, fetched.high_watermark, fetched.log_end, fetched.next})
    append_le(body, offset.value);
  return body + fetched.bytes;
}

Result<log::Fetched> decode_reach_reply(Bytes body) {
  WALRUS_ASSIGN(auto from, open_message(body));
  log::Fetched fetched{.log_start = take_offset(from),
                       .high_watermark = take_offset(from),
                       .log_end = take_offset(from),
                       .next = take_offset(from)};
  if (!from.ok() || std::min(fetched.log_start, fetched.next) < Offset{}) return corrupt_message();
  fetched.bytes = from.rest();
  return fetched;
}

}  // namespace walrus::broker
