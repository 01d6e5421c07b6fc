// Consumer groups of the classic protocol: FindCoordinator, JoinGroup,
// SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, OffsetFetch, ListGroups,
// DescribeGroups, DeleteGroups.

#include <algorithm>

#include "frontend/kafka/cluster_view.h"
#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"
#include "frontend/kafka/mentions.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;
using broker::GroupError;

ErrorCode group_error(GroupError error) {
  switch (error) {
    case GroupError::kNone: return ErrorCode::kNone;
    case GroupError::kUnknownMember: return ErrorCode::kUnknownMemberId;
    case GroupError::kIllegalGeneration: return ErrorCode::kIllegalGeneration;
    case GroupError::kInconsistentProtocol: return ErrorCode::kInconsistentGroupProtocol;
    case GroupError::kRebalanceInProgress: return ErrorCode::kRebalanceInProgress;
    case GroupError::kMemberIdRequired: return ErrorCode::kMemberIdRequired;
    case GroupError::kFencedInstance: return ErrorCode::kFencedInstanceId;
    case GroupError::kGroupFull: return ErrorCode::kGroupMaxSizeReached;
    case GroupError::kInvalidSessionTimeout: return ErrorCode::kInvalidSessionTimeout;
    case GroupError::kInvalidGroup: return ErrorCode::kInvalidGroupId;
    case GroupError::kTooLarge: return ErrorCode::kUnknown;  // as Kafka answers it
    case GroupError::kNotAvailable: return ErrorCode::kCoordinatorNotAvailable;
    case GroupError::kUnknownGroup: return ErrorCode::kGroupIdNotFound;
    case GroupError::kNotEmpty: return ErrorCode::kNonEmptyGroup;
  }
  return ErrorCode::kUnknown;
}

std::optional<std::string> owned(const std::optional<Bytes>& text) {
  return text ? std::optional(std::string(*text)) : std::nullopt;
}

template <class T, class... P>
io::Task<T> ask(Call call, io::Task<T> (broker::Groups::*method)(std::string, P...),
                std::string group, std::type_identity_t<P>... arguments) {
  return call.groups->ask(call.local.loop(), method, std::move(group), std::move(arguments)...);
}

// What ails the coordinator passes: clients ask again, it or for another one.
template <class T>
ErrorCode outcome(const Result<T>& result) {
  if (result) return ErrorCode::kNone;
  switch (result.error().code) {
    case Code::kFenced: return ErrorCode::kNotCoordinator;
    case Code::kBusy: return ErrorCode::kCoordinatorLoadInProgress;
    default: return ErrorCode::kCoordinatorNotAvailable;
  }
}

std::uint64_t current_topic_id(Call call, Bytes topic) {
  auto found = find_topic(call.local, topic);
  return found ? (*found)->number() : 0;
}

}  // namespace

namespace {

// As the image has it: a node that is asked and is not the coordinator any more says so.
io::Task<BrokerView> coordinator_of(Call call, Bytes group) {
  constexpr io::Nanos kTimeout = std::chrono::seconds(2);
  NodeId node{static_cast<std::uint64_t>(call.node.node_id)};
  if (call.node.coordinator_of) {
    auto asked = call.node.coordinator_of(call.local.loop(), std::string(group), kTimeout);
    WALRUS_CO_ASSIGN(node, co_await std::move(asked));
  }
  auto found = find_broker(call.node, node);
  if (!found) co_return fail(Code::kBusy, "the coordinator serves no Kafka clients");
  co_return *found;
}

io::Task<FindCoordinatorResponse::Coordinator> describe_coordinator(Call call, std::int8_t type,
                                                                    Bytes key) {
  constexpr std::int8_t kGroup = 0, kTransaction = 1;
  FindCoordinatorResponse::Coordinator to{.key = std::string(key), .node_id = -1, .port = -1};
  if (type != kGroup && type != kTransaction) {
    to.error_code = number(ErrorCode::kInvalidRequest);
    to.error_message = "only coordinators of groups are known";
    co_return to;
  }
  if (type == kTransaction) {
    to.error_code = number(ErrorCode::kCoordinatorNotAvailable);
    to.error_message = "transactions are not served";
    co_return to;
  }
  auto found = co_await coordinator_of(call, key);
  if (!found) {
    to.error_code = number(ErrorCode::kCoordinatorNotAvailable);
    to.error_message = "the group has no coordinator for now";
    co_return to;
  }
  to.node_id = found->id;
  to.host = std::move(found->host);
  to.port = found->port;
  co_return to;
}

}  // namespace

io::Task<FindCoordinatorResponse> find_coordinator(Call call, FindCoordinatorRequest request) {
  constexpr std::int16_t kBatched = 4;
  FindCoordinatorResponse response;
  if (call.version >= kBatched) {
    for (auto key : request.keys) {
      WALRUS_CO_ASSIGN(auto one, co_await describe_coordinator(call, request.key_type, key));
      response.coordinators.push_back(std::move(one));
    }
    co_return response;
  }
  WALRUS_CO_ASSIGN(auto one, co_await describe_coordinator(call, request.key_type, request.key));
  response.error_code = one.error_code;
  response.error_message = one.error_message;
  response.node_id = one.node_id;
  response.host = one.host;
  response.port = one.port;
  co_return response;
}

io::Task<JoinGroupResponse> join_group(Call call, JoinGroupRequest request) {
  constexpr std::int16_t kIdRequired = 4, kNoProtocol = 7;
  JoinGroupResponse response{.member_id = std::string(request.member_id)};
  if (call.version < kNoProtocol) response.protocol_name.emplace();
  if (request.group_id.empty()) {
    response.error_code = number(ErrorCode::kInvalidGroupId);
    co_return response;
  }
  auto session = Millis(request.session_timeout_ms);
  broker::JoinEvent event{.member_id = std::string(request.member_id),
                          .instance_id = owned(request.group_instance_id),
                          .client_id = std::string(call.client_id),
                          .client_host = call.client_host,
                          .session_timeout = session,
                          .rebalance_timeout = request.rebalance_timeout_ms < 0
                                                   ? session
                                                   : Millis(request.rebalance_timeout_ms),
                          .protocol_type = std::string(request.protocol_type),
                          .id_required = call.version >= kIdRequired};
  for (const auto& protocol : request.protocols)
    event.protocols.emplace_back(protocol.name, protocol.metadata);
  auto answer =
      co_await ask(call, &broker::Groups::join, std::string(request.group_id), std::move(event));
  response.error_code = number(answer ? group_error(answer->error) : outcome(answer));
  if (!answer) co_return response;
  response.member_id = answer->member_id;
  response.generation_id = answer->generation;
  if (answer->error != GroupError::kNone) co_return response;
  response.protocol_type = answer->protocol_type;
  response.protocol_name = answer->protocol;
  response.leader = answer->leader;
  for (auto& member : answer->members)
    response.members.push_back({.member_id = std::move(member.member_id),
                                .group_instance_id = std::move(member.instance_id),
                                .metadata = std::move(member.metadata)});
  co_return response;
}

io::Task<SyncGroupResponse> sync_group(Call call, SyncGroupRequest request) {
  if (request.group_id.empty())
    co_return SyncGroupResponse{.error_code = number(ErrorCode::kInvalidGroupId)};
  broker::SyncEvent event{.member_id = std::string(request.member_id),
                          .instance_id = owned(request.group_instance_id),
                          .generation = request.generation_id,
                          .protocol_type = owned(request.protocol_type),
                          .protocol_name = owned(request.protocol_name)};
  for (const auto& one : request.assignments)
    event.assignments.emplace_back(one.member_id, one.assignment);
  auto answer =
      co_await ask(call, &broker::Groups::sync, std::string(request.group_id), std::move(event));
  SyncGroupResponse response{.error_code =
                                 number(answer ? group_error(answer->error) : outcome(answer))};
  if (!answer || answer->error != GroupError::kNone) co_return response;
  response.protocol_type = answer->protocol_type;
  response.protocol_name = answer->protocol;
  response.assignment = std::move(answer->assignment);
  co_return response;
}

io::Task<HeartbeatResponse> heartbeat(Call call, HeartbeatRequest request) {
  if (request.group_id.empty())
    co_return HeartbeatResponse{.error_code = number(ErrorCode::kInvalidGroupId)};
  auto answer = co_await ask(call, &broker::Groups::heartbeat, std::string(request.group_id),
                             {.member_id = std::string(request.member_id),
                              .instance_id = owned(request.group_instance_id),
                              .generation = request.generation_id});
  co_return HeartbeatResponse{.error_code =
                                  number(answer ? group_error(*answer) : outcome(answer))};
}

io::Task<LeaveGroupResponse> leave_group(Call call, LeaveGroupRequest request) {
  constexpr std::int16_t kBatched = 3;
  if (call.version < kBatched) request.members.push_back({.member_id = request.member_id});
  LeaveGroupResponse response;
  if (request.group_id.empty()) {
    response.error_code = number(ErrorCode::kInvalidGroupId);
    co_return response;
  }
  for (const auto& member : request.members) {
    auto answer = co_await ask(call, &broker::Groups::leave, std::string(request.group_id),
                               {.member_id = std::string(member.member_id),
                                .instance_id = owned(member.group_instance_id)});
    auto code = number(answer ? group_error(*answer) : outcome(answer));
    response.members.push_back({.member_id = std::string(member.member_id),
                                .group_instance_id = owned(member.group_instance_id),
                                .error_code = code});
    if (call.version < kBatched) response.error_code = code;
  }
  co_return response;
}

io::Task<OffsetCommitResponse> offset_commit(Call call, OffsetCommitRequest request) {
  constexpr std::size_t kMetadataBytesMax = 4096;
  OffsetCommitResponse response;
  std::vector<broker::CommittedOffset> offsets;
  auto now_ms = call.local.engine().trusted_ms();
  for (const auto& asked : request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.name = asked.name;
    auto found = find_topic(call.local, asked.name);
    for (const auto& part : asked.partitions) {
      auto& to = topic.partitions.emplace_back();
      to.index = part.index;
      auto metadata = part.metadata.value_or(Bytes());
      if (!find_partition(found, part.index))
        to.error_code = number(ErrorCode::kUnknownTopicOrPartition);
      else if (metadata.size() > kMetadataBytesMax)
        to.error_code = number(ErrorCode::kOffsetMetadataTooLarge);
      else
        offsets.push_back({.topic = std::string(asked.name),
                           .partition = part.index,
                           .topic_id = (*found)->number(),
                           .offset = part.offset,
                           .leader_epoch = part.leader_epoch,
                           .metadata = std::string(metadata),
                           .committed_ms = now_ms});
    }
  }
  auto answer = co_await ask(call, &broker::Groups::commit, std::string(request.group_id),
                             {.member_id = std::string(request.member_id),
                              .instance_id = owned(request.group_instance_id),
                              .generation = request.generation_id},
                             std::move(offsets));
  auto code = number(answer ? group_error(*answer) : outcome(answer));
  if (answer && *answer == GroupError::kTooLarge)
    code = number(ErrorCode::kInvalidCommitOffsetSize);
  for (auto& topic : response.topics)
    for (auto& part : topic.partitions)
      if (part.error_code == 0) part.error_code = code;
  co_return response;
}

namespace {

using Asked = std::optional<std::vector<OffsetFetchRequest::Topic>>;

std::vector<OffsetFetchResponse::Topic> fetch_all(
    Call call, const std::vector<broker::CommittedOffset>& offsets) {
  std::vector<OffsetFetchResponse::Topic> topics;
  for (const auto& one : offsets) {
    if (one.topic_id != current_topic_id(call, one.topic)) continue;
    if (topics.empty() || topics.back().name != one.topic) topics.push_back({.name = one.topic});
    topics.back().partitions.push_back({.index = one.partition,
                                        .offset = one.offset,
                                        .leader_epoch = one.leader_epoch,
                                        .metadata = one.metadata});
  }
  return topics;
}

// Of what was never committed: offset -1, an empty string, no error. `offsets`: by topic and
// partition.
std::vector<OffsetFetchResponse::Topic> fetch_some(
    Call call, const std::vector<broker::CommittedOffset>& offsets,
    const std::vector<OffsetFetchRequest::Topic>& asked) {
  std::vector<OffsetFetchResponse::Topic> topics;
  for (const auto& topic : asked) {
    auto& to = topics.emplace_back();
    to.name = topic.name;
    auto id = current_topic_id(call, topic.name);
    for (auto index : topic.partitions) {
      auto& part = to.partitions.emplace_back();
      part.index = index;
      part.offset = -1;
      part.metadata = "";
      auto found = std::ranges::lower_bound(
          offsets, std::pair(topic.name, index), {},
          [](const auto& one) { return std::pair(Bytes(one.topic), one.partition); });
      if (found == offsets.end() || found->topic != topic.name || found->partition != index ||
          found->topic_id != id)
        continue;
      part.offset = found->offset;
      part.leader_epoch = found->leader_epoch;
      part.metadata = found->metadata;
    }
  }
  return topics;
}

io::Task<OffsetFetchResponse::Group> fetch_group(Call call, std::string id, const Asked& asked) {
  OffsetFetchResponse::Group group{.group_id = id};
  auto offsets = co_await ask(call, &broker::Groups::committed, id);
  if (!offsets) {
    group.error_code = number(outcome(offsets));
    co_return group;
  }
  group.topics = asked ? fetch_some(call, *offsets, *asked) : fetch_all(call, *offsets);
  co_return group;
}

}  // namespace

io::Task<OffsetFetchResponse> offset_fetch(Call call, OffsetFetchRequest request) {
  constexpr std::int16_t kBatched = 8;
  OffsetFetchResponse response;
  if (call.version < kBatched) {
    WALRUS_CO_ASSIGN(auto group,
                     co_await fetch_group(call, std::string(request.group_id), request.topics));
    response.topics = std::move(group.topics);
    response.error_code = group.error_code;
    co_return response;
  }
  Mentions<Bytes> mentions(request.groups, &OffsetFetchRequest::Group::group_id);
  for (const auto& one : request.groups) {
    if (!mentions.first(one.group_id)) continue;
    WALRUS_CO_ASSIGN(auto group, co_await fetch_group(call, std::string(one.group_id), one.topics));
    response.groups.push_back(std::move(group));
  }
  co_return response;
}

namespace {

// Whether a filter lets a word pass, whatever its case; an empty one lets all.
bool is_wanted(const std::vector<Bytes>& filter, Bytes word) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return filter.empty() || std::ranges::any_of(filter, [&](Bytes one) {
           return std::ranges::equal(one, word, {}, lower, lower);
         });
}

}  // namespace

io::Task<ListGroupsResponse> list_groups(Call call, ListGroupsRequest request) {
  ListGroupsResponse response;
  auto groups = co_await call.groups->list(call.local.loop());
  response.error_code = number(outcome(groups));
  if (!groups) co_return response;
  constexpr Bytes kType = "classic";
  if (!is_wanted(request.types, kType)) co_return response;
  for (const auto& group : *groups) {
    auto state = broker::group_state_name(group.state);
    if (!is_wanted(request.states, state)) continue;
    response.groups.push_back({.group_id = group.id,
                               .protocol_type = group.protocol_type,
                               .state = std::string(state),
                               .type = std::string(kType)});
  }
  co_return response;
}

io::Task<DescribeGroupsResponse> describe_groups(Call call, DescribeGroupsRequest request) {
  DescribeGroupsResponse response;
  Mentions<Bytes> mentions(request.groups);
  for (auto id : request.groups) {
    if (!mentions.first(id)) continue;
    auto& to = response.groups.emplace_back();
    to.group_id = id;
    auto group = co_await ask(call, &broker::Groups::describe, std::string(id));
    to.error_code = number(outcome(group));
    if (!group) continue;
    to.state = "Dead";  // of a group that is not there
    if (!*group) continue;
    to.state = broker::group_state_name((*group)->state);
    to.protocol_type = (*group)->protocol_type;
    to.protocol = (*group)->protocol;
    for (const auto& member : (*group)->members) {
      auto& described = to.members.emplace_back();
      described.member_id = member.id;
      described.group_instance_id = member.instance_id;
      described.client_id = member.client_id;
      described.client_host = member.client_host;
      for (const auto& [name, metadata] : member.protocols)
        if (name == to.protocol) described.metadata = metadata;
      described.assignment = member.assignment;
    }
  }
  co_return response;
}

io::Task<DeleteGroupsResponse> delete_groups(Call call, DeleteGroupsRequest request) {
  DeleteGroupsResponse response;
  std::ranges::sort(request.groups);
  auto again = std::ranges::unique(request.groups);
  request.groups.erase(again.begin(), again.end());
  for (auto id : request.groups) {
    auto& to = response.groups.emplace_back();
    to.group_id = id;
    auto removed = co_await ask(call, &broker::Groups::remove, std::string(id));
    to.error_code = number(removed ? group_error(*removed) : outcome(removed));
  }
  co_return response;
}

// Whom a member's subscription names is inside its metadata, which belongs to the clients: while
// somebody is in the group, none of its offsets is removed.
io::Task<OffsetDeleteResponse> offset_delete(Call call, OffsetDeleteRequest request) {
  OffsetDeleteResponse response;
  std::vector<broker::CommittedOffset> doomed;
  for (const auto& topic : request.topics)
    for (const auto& part : topic.partitions)
      doomed.push_back({.topic = std::string(topic.name), .partition = part.index});
  auto removed = co_await ask(call, &broker::Groups::remove_offsets, std::string(request.group_id),
                              std::move(doomed));
  bool subscribed = removed && *removed == GroupError::kNotEmpty;
  if (!subscribed) response.error_code = number(removed ? group_error(*removed) : outcome(removed));
  if (response.error_code != 0) co_return response;
  for (const auto& topic : request.topics) {
    auto& to = response.topics.emplace_back();
    to.name = topic.name;
    auto found = find_topic(call.local, topic.name);
    for (const auto& part : topic.partitions) {
      auto code = subscribed ? ErrorCode::kGroupSubscribedToTopic : ErrorCode::kNone;
      if (!find_partition(found, part.index)) code = ErrorCode::kUnknownTopicOrPartition;
      to.partitions.push_back({.index = part.index, .error_code = number(code)});
    }
  }
  co_return response;
}

}  // namespace walrus::frontend::kafka
