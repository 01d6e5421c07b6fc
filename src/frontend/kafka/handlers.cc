#include "frontend/kafka/handlers.h"

#include <algorithm>

#include "frontend/kafka/cluster_view.h"
#include "frontend/kafka/errors.h"
#include "wire/kafka/codec.h"

namespace walrus::frontend::kafka {
namespace {

// Decodes, calls, encodes.
template <class Request, auto handle>
io::Task<void> serve(Call call, Bytes body, Output& to) {
  WALRUS_CO_ASSIGN(auto request, wire::kafka::decode<Request>(body, call.version));
  WALRUS_CO_ASSIGN(auto response, co_await handle(call, std::move(request)));
  wire::kafka::encode(to.text, response, call.version);
  co_return Result<void>();
}

template <class Request, auto handle>
constexpr Handler handler(wire::kafka::Versions versions) {
  return {Request::kKey, versions, versions, false, serve<Request, handle>};
}

template <class Request, auto handle>
constexpr Handler wide_handler(wire::kafka::Versions versions) {
  auto made = handler<Request, handle>(versions);
  made.wide = true;
  return made;
}

using namespace wire::kafka;

constexpr std::array kHandlers{
    Handler{kProduceKey, {0, 11}, {3, 11}},  // see begin_produce()
    Handler{FetchRequest::kKey, {4, 17}, {4, 17}, false, fetch},
    handler<ListOffsetsRequest, list_offsets>({1, 10}),
    wide_handler<MetadataRequest, metadata>({0, 12}),
    handler<FindCoordinatorRequest, find_coordinator>({0, 4}),
    handler<JoinGroupRequest, join_group>({0, 9}),
    handler<SyncGroupRequest, sync_group>({0, 5}),
    handler<HeartbeatRequest, heartbeat>({0, 4}),
    handler<LeaveGroupRequest, leave_group>({0, 5}),
    handler<OffsetCommitRequest, offset_commit>({2, 9}),
    wide_handler<OffsetFetchRequest, offset_fetch>({1, 9}),
    wide_handler<ListGroupsRequest, list_groups>({0, 5}),
    wide_handler<DescribeGroupsRequest, describe_groups>({0, 5}),
    handler<DeleteGroupsRequest, delete_groups>({0, 2}),
    handler<OffsetDeleteRequest, offset_delete>({0, 0}),
    handler<SaslHandshakeRequest, sasl_handshake>({0, 1}),
    handler<ApiVersionsRequest, api_versions>({0, 4}),
    handler<CreateTopicsRequest, create_topics>({2, 7}),
    handler<DeleteTopicsRequest, delete_topics>({1, 6}),
    handler<DeleteRecordsRequest, delete_records>({0, 2}),
    handler<InitProducerIdRequest, init_producer_id>({0, 5}),
    handler<OffsetForLeaderEpochRequest, offset_for_leader_epoch>({2, 4}),
    wide_handler<DescribeConfigsRequest, describe_configs>({1, 4}),
    handler<AlterConfigsRequest, alter_configs>({0, 2}),
    handler<IncrementalAlterConfigsRequest, incremental_alter_configs>({0, 1}),
    handler<SaslAuthenticateRequest, sasl_authenticate>({0, 2}),
    handler<CreatePartitionsRequest, create_partitions>({0, 3}),
    wide_handler<DescribeLogDirsRequest, describe_log_dirs>({1, 4}),
    handler<ElectLeadersRequest, elect_leaders>({0, 2}),
    handler<AlterPartitionReassignmentsRequest, alter_partition_reassignments>({0, 0}),
    handler<ListPartitionReassignmentsRequest, list_partition_reassignments>({0, 0}),
    handler<DescribeUserScramCredentialsRequest, describe_users>({0, 0}),
    handler<AlterUserScramCredentialsRequest, alter_users>({0, 0}),
    handler<DescribeClusterRequest, describe_cluster>({0, 1}),
    wide_handler<DescribeTopicPartitionsRequest, describe_topic_partitions>({0, 0}),
};

ApiVersionsResponse served_versions() {
  ApiVersionsResponse response;
  for (const auto& one : kHandlers)
    response.apis.push_back({.key = one.key, .min = one.advertised.from, .max = one.advertised.to});
  return response;
}

// KIP-511: letters, digits, '-' and '.', a letter or digit at both ends.
bool valid_software(Bytes text) {
  auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && alphanumeric(text.front()) && alphanumeric(text.back()) &&
         std::ranges::all_of(text, [&](char c) { return alphanumeric(c) || c == '-' || c == '.'; });
}

}  // namespace

std::span<const Handler> handlers() { return kHandlers; }

const Handler* find_handler(std::int16_t key) {
  auto found = std::ranges::find(kHandlers, key, &Handler::key);
  return found == kHandlers.end() ? nullptr : &*found;
}

io::Task<ApiVersionsResponse> api_versions(Call call, ApiVersionsRequest request) {
  constexpr std::int16_t kNamed = 3;  // from here on the client says what it is
  if (call.version >= kNamed && !(valid_software(request.client_software_name) &&
                                  valid_software(request.client_software_version)))
    co_return ApiVersionsResponse{.error_code = number(ErrorCode::kInvalidRequest)};
  co_return served_versions();
}

void append_unsupported_version(std::string& to) {
  auto response = served_versions();
  response.error_code = number(ErrorCode::kUnsupportedVersion);
  encode(to, response, 0);
}

// 16 bytes in base64url without padding, as Kafka prints them.
std::string cluster_id(const NodeOptions& node) {
  constexpr Bytes kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  std::uint32_t bits = 0;
  int count = 0;
  for (char byte : node.uuid) {
    bits = bits << 8 | static_cast<std::uint8_t>(byte);
    for (count += 8; count >= 6; count -= 6) text.push_back(kDigits[bits >> (count - 6) & 63]);
  }
  if (count > 0) text.push_back(kDigits[bits << (6 - count) & 63]);
  return text;
}

bool valid_topic_name(Bytes name) {
  constexpr std::size_t kNameBytesMax = 249;
  auto legal = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kNameBytesMax && name != "." && name != ".." &&
         std::ranges::all_of(name, legal);
}

Result<broker::TopicRef> find_topic(broker::Local& local, Bytes name) {
  if (!valid_topic_name(name)) return fail(Code::kNotFound, "unknown topic {}", name);
  return local.find(name);
}

Result<broker::TopicRef> find_topic(Call call, const Uuid& id) { return call.local.find_id(id); }

Result<broker::LogRef> find_partition(const Result<broker::TopicRef>& topic,
                                      std::int32_t partition) {
  if (!topic) return std::unexpected(topic.error());
  auto place = static_cast<std::size_t>(partition);
  if (partition < 0 || place >= (*topic)->partitions.size())
    return fail(Code::kNotFound, "unknown topic {}/{}", (*topic)->name, partition);
  return (*topic)->partitions[place];
}

namespace {

ErrorCode check_epoch(const broker::Bounds& bounds, std::int32_t asked) {
  if (asked < 0 || asked == bounds.epoch) return ErrorCode::kNone;
  return asked < bounds.epoch ? ErrorCode::kFencedLeaderEpoch : ErrorCode::kUnknownLeaderEpoch;
}

}  // namespace

ErrorCode check_leader(Call call, const broker::Log& log, std::int32_t epoch) {
  auto bounds = log.bounds();
  if (!bounds) return partition_error(bounds.error());
  if (auto code = check_epoch(*bounds, epoch); code != ErrorCode::kNone) return code;
  return led_elsewhere(call.node, log) ? ErrorCode::kNotLeaderOrFollower : ErrorCode::kNone;
}

ErrorCode check_copy(Call call, const broker::Log& log, std::int32_t epoch) {
  auto code = check_leader(call, log, epoch);
  if (code != ErrorCode::kNotLeaderOrFollower) return code;
  auto bounds = log.bounds();
  return bounds && bounds->here ? ErrorCode::kNone : code;
}

ErrorCode log_error(Call call, const broker::Log& log, const Error& error) {
  auto bounds = log.bounds();
  bool moved = error.code == Code::kBusy && bounds && bounds->leader != call.local.self();
  return moved ? ErrorCode::kNotLeaderOrFollower : partition_error(error);
}

ErrorCode append_error(Call call, const broker::Log& log, const Error& error, bool idempotent) {
  if (error.code == Code::kTimeout) {
    auto bounds = log.bounds();
    bool moved = bounds && bounds->leader != call.local.self();
    return idempotent || moved ? ErrorCode::kNotLeaderOrFollower : ErrorCode::kRequestTimedOut;
  }
  if (error.code != Code::kBusy) return produce_error(error);
  auto code = log_error(call, log, error);
  if (code == ErrorCode::kNotLeaderOrFollower) return code;
  return call.node.image ? ErrorCode::kNotEnoughReplicas : ErrorCode::kKafkaStorageError;
}

}  // namespace walrus::frontend::kafka
