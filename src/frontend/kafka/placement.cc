// DescribeLogDirs, ElectLeaders, AlterPartitionReassignments, ListPartitionReassignments: where
// partitions lie, and who leads them. On a single node nothing can move; in a cluster the
// controller places copies, and clients look on.

#include <algorithm>
#include <numeric>

#include "frontend/kafka/cluster_view.h"
#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

// What this node has of it; nothing: no copy of any of it.
void measure(const broker::Topic& topic, std::size_t partition,
             DescribeLogDirsResponse::Topic& to) {
  auto info = topic.partitions[partition]->info();
  if (!info || !info->bytes_here) return;
  to.partitions.push_back(
      {.index = static_cast<std::int32_t>(partition), .bytes = *info->bytes_here});
}

DescribeLogDirsResponse::Topic measure_some(Call call, const DescribeLogDirsRequest::Topic& asked) {
  DescribeLogDirsResponse::Topic to{.name = std::string(asked.name)};
  auto topic = find_topic(call.local, asked.name);
  if (!topic) return to;
  for (auto partition : asked.partitions) {
    auto place = static_cast<std::size_t>(partition);
    if (partition < 0 || place >= (*topic)->partitions.size()) continue;
    measure(**topic, place, to);
  }
  return to;
}

DescribeLogDirsResponse::Topic measure_all(const broker::Topic& topic) {
  DescribeLogDirsResponse::Topic to{.name = topic.name};
  for (std::size_t i = 0; i < topic.partitions.size(); ++i) measure(topic, i, to);
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
      if (auto measured = measure_all(*topic); !measured.partitions.empty())
        directory.topics.push_back(std::move(measured));
  }
  co_return response;
}

namespace {

constexpr std::int8_t kUnclean = 1;
constexpr io::Nanos kElectMax = std::chrono::seconds(10);  // whatever a client would wait
constexpr io::Nanos kElectAgain = std::chrono::milliseconds(50);

struct Election {
  bool unclean = false;
  io::Nanos deadline{};
};

// Whether the life of a node that is to write the partition is there.
boost::asio::awaitable<bool> is_led(Call call, const broker::Log& log, PartitionId id) {
  if (!call.node.image || !call.node.health) {  // a single server
    auto bounds = log.bounds();
    co_return bounds && bounds->leader != NodeId{};
  }
  const auto image = call.node.image();
  const auto* partition = image->partitions.find(id);
  if (!partition || !partition->tail || partition->tail->state != meta::SegmentState::kOpen)
    co_return false;
  auto health = co_await call.node.health(call.local.loop());
  if (!health) co_return false;
  const auto& tail = *partition->tail;
  co_return std::ranges::any_of(health->nodes, [&](const meta::Sight& sight) {
    return sight.node == tail.leader && sight.alive && sight.incarnation == tail.leader_incarnation;
  });
}

// Who leads is chosen by load and changes by itself: there is nobody preferred. Without a leader
// one is asked for, and an unclean election is an operator's word that what is lost is lost.
boost::asio::awaitable<Judgement> elect(Call call, Election election, broker::TopicRef topic,
                                        std::int32_t index) {
  const auto log = topic->partitions[static_cast<std::size_t>(index)];
  const PartitionId id{topic->id, static_cast<std::uint32_t>(index)};
  if (!log->bounds() || co_await is_led(call, *log, id))
    co_return Judgement{index, ErrorCode::kElectionNotNeeded, "it has a leader"};
  if (!election.unclean || !call.node.accept_loss)
    co_return Judgement{index, ErrorCode::kPreferredLeaderNotAvailable,
                        "a leader comes with the next record, or when its nodes are back"};
  auto& env = call.local.engine().env();
  auto by = call.user.empty() ? call.client_host : call.user + " at " + call.client_host;
  while (true) {
    // Refused where it does not wait for this, or some of its nodes have not answered (yet).
    (void)co_await call.node.accept_loss(call.local.loop(), id, by);
    if (call.node.want) call.node.want({id});
    if (co_await is_led(call, *log, id)) co_return Judgement{index};
    if (env.mono() >= election.deadline) break;
    co_await call.local.loop().sleep(kElectAgain);
  }
  co_return Judgement{index, ErrorCode::kEligibleLeadersNotAvailable,
                      "no node that is there may lead it: it does not wait for this, or some of "
                      "its nodes have not answered"};
}

boost::asio::awaitable<ElectLeadersResponse::Topic> elect_some(
    Call call, Election election, std::string name, std::vector<std::int32_t> partitions) {
  ElectLeadersResponse::Topic to{.name = name};
  auto topic = find_topic(call.local, name);
  for (auto index : partitions) {
    Judgement judgement{index, ErrorCode::kUnknownTopicOrPartition, "unknown topic or partition"};
    if (find_partition(topic, index)) judgement = co_await elect(call, election, *topic, index);
    auto& one = to.partitions.emplace_back();
    one.index = index;
    one.error_code = number(judgement.code);
    if (one.error_code != 0) one.error_message = std::string(judgement.why);
  }
  co_return to;
}

std::vector<std::int32_t> all_of(const broker::Topic& topic) {
  std::vector<std::int32_t> all(topic.partitions.size());
  std::iota(all.begin(), all.end(), 0);
  return all;
}

}  // namespace

io::Task<ElectLeadersResponse> elect_leaders(Call call, ElectLeadersRequest request) {
  ElectLeadersResponse response;
  // One time for all of them.
  const auto wait = std::clamp(io::Nanos(Millis(request.timeout_ms)), io::Nanos(0), kElectMax);
  const Election election{.unclean = request.election_type == kUnclean,
                          .deadline = call.local.engine().env().mono() + wait};
  if (request.topics) {
    for (const auto& asked : *request.topics)
      response.topics.push_back(
          co_await elect_some(call, election, std::string(asked.name), asked.partitions));
    co_return response;
  }
  // All: told are those of which something became.
  for (const auto& topic : call.local.list_topics()) {
    auto elected = co_await elect_some(call, election, topic->name, all_of(*topic));
    std::erase_if(elected.partitions, [](const auto& one) {
      return one.error_code == number(ErrorCode::kElectionNotNeeded);
    });
    if (!elected.partitions.empty()) response.topics.push_back(std::move(elected));
  }
  co_return response;
}

// Where copies go is the controller's to choose: what is there already may be asked for.
io::Task<AlterPartitionReassignmentsResponse> alter_partition_reassignments(
    Call call, AlterPartitionReassignmentsRequest request) {
  AlterPartitionReassignmentsResponse response;
  std::string_view name;
  auto judge = [&](const auto& partition) {
    if (!partition.replicas)
      return Judgement{partition.index, ErrorCode::kNoReassignmentInProgress,
                       "nothing is being moved for a client"};
    auto topic = find_topic(call.local, name);
    auto log = find_partition(topic, partition.index);
    auto bounds = log ? (*log)->bounds() : Result<broker::Bounds>(std::unexpected(log.error()));
    if (!bounds) return Judgement{partition.index};  // unknown: told by who asks
    auto present = partition_view(
        call.node, {(*topic)->id, static_cast<std::uint32_t>(partition.index)}, bounds->leader);
    // In any order, each node once.
    auto there = present.replicas, asked = *partition.replicas;
    std::ranges::sort(there);
    std::ranges::sort(asked);
    bool same = there == asked;
    return Judgement{partition.index,
                     same ? ErrorCode::kNone : ErrorCode::kInvalidReplicaAssignment,
                     same ? "" : "the cluster places copies itself: walrus cluster drain, replace"};
  };
  for (const auto& topic : request.topics) {
    name = topic.name;
    auto judged =
        judge_each<AlterPartitionReassignmentsResponse::Topic>(call, std::vector{topic}, judge);
    response.topics.push_back(std::move(judged.front()));
  }
  co_return response;
}

namespace {

bool asked_for(const ListPartitionReassignmentsRequest& request, Bytes topic,
               std::int32_t partition) {
  if (!request.topics) return true;
  return std::ranges::any_of(*request.topics, [&](const auto& one) {
    return one.name == topic &&
           std::ranges::find(one.partitions, partition) != one.partitions.end();
  });
}

std::int32_t number_of(NodeId node) { return static_cast<std::int32_t>(node.value); }

// A copy of one of its segments that is being made.
void add_copy(const meta::State& image, const meta::Copy& copy,
              ListPartitionReassignmentsResponse::Topic& to) {
  auto index = static_cast<std::int32_t>(copy.partition.index);
  auto found = std::ranges::find(to.partitions, index,
                                 &ListPartitionReassignmentsResponse::Partition::index);
  if (found == to.partitions.end())
    found =
        to.partitions.insert(found, ListPartitionReassignmentsResponse::Partition{.index = index});
  auto add = [](std::vector<std::int32_t>& list, NodeId node) {
    if (node != NodeId{} && std::ranges::find(list, number_of(node)) == list.end())
      list.push_back(number_of(node));
  };
  const auto* partition = image.partitions.find(copy.partition);
  auto segment = partition ? partition->sealed.find(copy.segment) : std::nullopt;
  if (segment)
    for (auto node : segment->replicas) add(found->replicas, node);
  add(found->replicas, copy.to);
  add(found->adding_replicas, copy.to);
  add(found->removing_replicas, copy.replaces);
}

}  // namespace

// The copies that the controller has made: what drains, repairs and replacements come to.
io::Task<ListPartitionReassignmentsResponse> list_partition_reassignments(
    Call call, ListPartitionReassignmentsRequest request) {
  ListPartitionReassignmentsResponse response;
  if (!call.node.health || !call.node.image) co_return response;
  auto health = co_await call.node.health(call.local.loop());
  if (!health) {
    response.error_code = number(ErrorCode::kRequestTimedOut);
    response.error_message = "no controller answers";
    co_return response;
  }
  auto image = call.node.image();
  for (const auto& copy : health->copies) {
    const auto* topic = image->topics.find(copy.partition.topic);
    bool told = topic && !topic->internal &&
                asked_for(request, topic->name, static_cast<std::int32_t>(copy.partition.index));
    if (!told) continue;
    auto found = std::ranges::find(response.topics, topic->name,
                                   &ListPartitionReassignmentsResponse::Topic::name);
    if (found == response.topics.end())

      found = response.topics.insert(
          found, ListPartitionReassignmentsResponse::Topic{.name = topic->name});
    add_copy(*image, copy, *found);
  }
  co_return response;
}

}  // namespace walrus::frontend::kafka
