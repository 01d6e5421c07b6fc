// DescribeLogDirs, ElectLeaders, AlterPartitionReassignments, ListPartitionReassignments: where
// partitions lie, and who leads them. On a single node nothing can move.

#include <algorithm>

#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

DescribeLogDirsResponse::Partition measure(const broker::Topic& topic, std::size_t partition) {
  DescribeLogDirsResponse::Partition to{.index = static_cast<std::int32_t>(partition)};
  if (auto info = topic.partitions[partition]->info()) to.bytes = info->bytes;
  return to;
}

DescribeLogDirsResponse::Topic measure_some(Call call, const DescribeLogDirsRequest::Topic& asked) {
  DescribeLogDirsResponse::Topic to{.name = std::string(asked.name)};
  auto topic = find_topic(call.local, asked.name);
  if (!topic) return to;
  for (auto partition : asked.partitions) {
    auto place = static_cast<std::size_t>(partition);
    if (partition < 0 || place >= (*topic)->partitions.size()) continue;
    to.partitions.push_back(measure(**topic, place));
  }
  return to;
}

DescribeLogDirsResponse::Topic measure_all(const broker::Topic& topic) {
  DescribeLogDirsResponse::Topic to{.name = topic.name};
  for (std::size_t i = 0; i < topic.partitions.size(); ++i)
    to.partitions.push_back(measure(topic, i));
  return to;
}

struct Judgement {
  std::int32_t index = 0;
  ErrorCode code = ErrorCode::kNone;
  Bytes why{};
};

// The partitions of a request, each with what is wrong with it.
template <class Topic, class Asked, class Judge>
std::vector<Topic> judge_each(Call call, const Asked& asked, Judge judge) {
  std::vector<Topic> topics;
  for (const auto& topic : asked) {
    auto& to = topics.emplace_back();
    to.name = topic.name;
    auto found = find_topic(call.local, topic.name);
    for (const auto& partition : topic.partitions) {
      auto& one = to.partitions.emplace_back();
      auto judgement = judge(partition);
      one.index = judgement.index;
      if (!find_partition(found, judgement.index))
        judgement = {one.index, ErrorCode::kUnknownTopicOrPartition, "unknown topic or partition"};
      one.error_code = number(judgement.code);
      if (one.error_code != 0) one.error_message = std::string(judgement.why);
    }
  }
  return topics;
}

}  // namespace

io::Task<DescribeLogDirsResponse> describe_log_dirs(Call call, DescribeLogDirsRequest request) {
  DescribeLogDirsResponse response;
  const auto& root = call.local.engine().options().user.root;
  auto& directory = response.directories.emplace_back();
  directory.path = root.string();
  if (auto free = call.local.engine().env().disk().free_bytes(root)) directory.usable_bytes = *free;
  if (request.topics) {
    for (const auto& asked : *request.topics)
      if (auto topic = measure_some(call, asked); !topic.partitions.empty())
        directory.topics.push_back(std::move(topic));
  } else {
    for (const auto& topic : call.local.list_topics())
      directory.topics.push_back(measure_all(*topic));
  }
  co_return response;
}

// The only replica of each partition leads it already.
io::Task<ElectLeadersResponse> elect_leaders(Call call, ElectLeadersRequest request) {
  ElectLeadersResponse response;
  if (!request.topics) co_return response;  // all: nothing to tell of any
  response.topics =
      judge_each<ElectLeadersResponse::Topic>(call, *request.topics, [](std::int32_t partition) {
        return Judgement{partition, ErrorCode::kElectionNotNeeded, "its only replica leads it"};
      });
  co_return response;
}

io::Task<AlterPartitionReassignmentsResponse> alter_partition_reassignments(
    Call call, AlterPartitionReassignmentsRequest request) {
  AlterPartitionReassignmentsResponse response;
  response.topics = judge_each<AlterPartitionReassignmentsResponse::Topic>(
      call, request.topics, [&](const auto& partition) {
        if (!partition.replicas)
          return Judgement{partition.index, ErrorCode::kNoReassignmentInProgress,
                           "nothing is being moved"};
        bool here = *partition.replicas == std::vector{call.node.node_id};
        return Judgement{partition.index,
                         here ? ErrorCode::kNone : ErrorCode::kInvalidReplicaAssignment,
                         here ? "" : "there is one broker"};
      });
  co_return response;
}

io::Task<ListPartitionReassignmentsResponse> list_partition_reassignments(
    Call, ListPartitionReassignmentsRequest) {
  co_return ListPartitionReassignmentsResponse{};
}

}  // namespace walrus::frontend::kafka
