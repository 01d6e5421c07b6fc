#include "frontend/native/cluster.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/run_on.h"
#include "wire/native/errors.h"

namespace walrus::frontend::native {
namespace {

using Json = nlohmann::ordered_json;
using Verb = wire::native::ClusterRequest::Verb;
namespace text = wire::native::text;

constexpr io::Nanos kHealthTimeout = std::chrono::seconds(2);
constexpr int kStateAttempts = 5;  // of a change of a node that others change as well

std::string address_of(const meta::Node& node, Bytes name) {
  auto found = std::ranges::find(node.listeners, name, &meta::Listener::name);
  return found == node.listeners.end() ? "" : found->address;
}

const meta::Sight* sight_of(const std::optional<meta::Health>& health, NodeId node) {
  if (!health) return nullptr;
  auto found = std::ranges::find(health->nodes, node, &meta::Sight::node);
  return found == health->nodes.end() ? nullptr : &*found;
}

Json replicas_of(const meta::Segment& segment) {
  auto array = Json::array();
  for (auto node : segment.replicas) array.push_back(node.value);
  return array;
}

Json segment_json(const meta::Segment& segment, Offset end, const char* state) {
  return {{"segment", segment.id.value},
          {"epoch", segment.epoch.value},
          {"base_offset", segment.base.value},
          {"end_offset", end.value},
          {"records", end.value - segment.base.value},
          {"bytes", segment.bytes},
          {"state", state},
          {"leader", segment.leader.value},
          {"replicas", replicas_of(segment)}};
}

std::string name_of(const meta::State& state, const PartitionId& partition) {
  const auto* topic = state.topics.find(partition.topic);
  return fmt::format("{}/{}", topic ? topic->name : "?", partition.index);
}

std::string problem_of(const meta::State& state, const meta::Stuck& stuck) {
  auto where = name_of(state, stuck.partition);
  switch (stuck.why) {
    case meta::Stuck::Why::kNoNodes:
      return fmt::format("{}: too few nodes for its min.insync.replicas: writes wait", where);
    case meta::Stuck::Why::kNoCopy:
      return fmt::format("{}: no copy of segment {} is within reach", where, stuck.segment.value);
    case meta::Stuck::Why::kUnsealable:
      return fmt::format(
          "{}: too many copies of segment {} are gone to tell where it ends: bring "
          "nodes back, or accept the loss",
          where, stuck.segment.value);
  }
  return where;
}

// As of now, so that a change of it is one of what is there.
io::Task<void> move_node(std::shared_ptr<meta::Member> member, NodeId node, meta::NodeState to,
                         bool force) {
  for (int attempt = 0; attempt < kStateAttempts; ++attempt) {
    WALRUS_CO_ASSIGN(auto image, co_await member->current());
    const auto* found = image->find_node(node);
    if (!found) co_return fail(Code::kNotFound, "{}", text::unknown_node(node.value));
    if (found->state == to) co_return Result<void>();
    WALRUS_CO_ASSIGN(auto outcome,
                     co_await member->propose_one(meta::SetNodeState{
                         .node = node, .expected = found->version, .state = to, .force = force}));
    if (outcome.done()) co_return Result<void>();
    if (outcome.refusal == meta::Refusal::kMismatch) continue;
    auto load = image->load(node);
    if (to == meta::NodeState::kRemoved && !load.empty())
      co_return fail(Code::kInvalid, "node {} has {} segments: drain it first, or force it",
                     node.value, load.tails + load.sealed);
    co_return fail(Code::kInvalid, "node {} is {}", node.value, state_name(found->state));
  }
  co_return fail(Code::kBusy, "{}", Bytes(text::kBusy));
}

io::Task<std::string> answer(ClusterPart cluster, Verb verb, std::string topic, NodeId node,
                             bool force) {
  auto member = cluster.member();
  if (!member) co_return fail(Code::kBusy, "{}", Bytes(text::kBusy));
  auto done = [](Result<void> moved) -> Result<std::string> {
    if (!moved) return std::unexpected(std::move(moved).error());
    return std::string();
  };
  switch (verb) {
    case Verb::kDrain:
      co_return done(co_await move_node(member, node, meta::NodeState::kDraining, false));
    case Verb::kActivate:
      co_return done(co_await move_node(member, node, meta::NodeState::kActive, false));
    case Verb::kRemove:
      co_return done(co_await move_node(member, node, meta::NodeState::kRemoved, force));
    case Verb::kSegments: {
      auto image = member->image();
      const auto* id = image->topic_names.find(topic);
      const auto* found = id ? image->topics.find(*id) : nullptr;
      if (!found || found->internal)
        co_return fail(Code::kNotFound, "{}", text::unknown_topic(topic));
      co_return cluster_segments_json(*image, *found, *id);
    }
    case Verb::kStatus:
    case Verb::kHealth: break;
  }
  std::optional<meta::Health> health;
  if (auto seen = co_await member->health(kHealthTimeout)) health = std::move(*seen);
  auto image = member->image();
  co_return verb == Verb::kStatus ? cluster_status_json(*image, health)
                                  : cluster_health_json(*image, health);
}

}  // namespace

io::Task<std::string> answer_cluster(ClusterPart cluster, io::Loop& here, Verb verb,
                                     std::string topic, NodeId node, bool force) {
  if (cluster.loop == nullptr) co_return fail(Code::kInvalid, "{}", Bytes(text::kNoCluster));
  co_return co_await broker::run_on<std::string>(
      here, *cluster.loop, [cluster, verb, topic = std::move(topic), node, force] {
        return answer(cluster, verb, topic, node, force);
      });
}

const char* state_name(meta::NodeState state) {
  switch (state) {
    case meta::NodeState::kJoining: return "joining";
    case meta::NodeState::kActive: return "active";
    case meta::NodeState::kDraining: return "draining";
    case meta::NodeState::kDrained: return "drained";
    case meta::NodeState::kRemoved: return "removed";
  }
  return "unknown";
}

std::string cluster_status_json(const meta::State& state,
                                const std::optional<meta::Health>& health) {
  auto nodes = Json::array();
  state.nodes.each([&](NodeId id, const meta::Node& node) {
    auto load = state.load(id);
    const auto* sight = sight_of(health, id);
    nodes.push_back({{"id", id.value},
                     {"uuid", to_string(node.directory)},
                     {"address", address_of(node, "native")},
                     {"kafka", address_of(node, "kafka")},
                     {"peer", address_of(node, "peer")},
                     {"admin", address_of(node, "admin")},
                     {"rack", node.rack},
                     {"state", state_name(node.state)},
                     {"alive", sight ? Json(sight->alive) : Json()},
                     {"leads", load.leads},
                     {"segments", load.tails + load.sealed},
                     {"bytes", load.sealed_bytes}});
  });
  return Json{{"cluster_id", to_string(state.cluster.id)},
              {"controller", health ? Json(health->controller.value) : Json()},
              {"nodes", nodes},
              {"under_replicated", health ? Json(health->under_replicated) : Json()}}
      .dump();
}

std::string cluster_health_json(const meta::State& state,
                                const std::optional<meta::Health>& health) {
  auto problems = Json::array(), drains = Json::array();
  const char* status = "ok";
  if (!health) {
    status = "down";
    problems.push_back("nobody leads the metadata: fewer than a majority of its voters are there");
  } else {
    for (const auto& sight : health->nodes) {
      const auto* node = state.find_node(sight.node);
      if (sight.alive || !node || node->state == meta::NodeState::kRemoved) continue;
      status = "degraded";
      problems.push_back(fmt::format("node {} does not answer", sight.node.value));
    }
    if (health->under_replicated > 0) {
      status = "degraded";
      problems.push_back(
          fmt::format("{} segments have fewer copies than they should", health->under_replicated));
    }
    for (const auto& stuck : health->stuck) {
      status = "down";
      problems.push_back(problem_of(state, stuck));
    }
    for (const auto& drain : health->drains)
      drains.push_back(
          {{"node", drain.node.value},
           {"segments", drain.left.tails + drain.left.sealed},
           {"bytes", drain.left.sealed_bytes},
           {"finishes_in_s", drain.finishes_in ? Json(drain.finishes_in->count()) : Json()}});
  }
  return Json{{"status", status},
              {"controller", health ? Json(health->controller.value) : Json()},
              {"under_replicated", health ? Json(health->under_replicated) : Json()},
              {"problems", problems},
              {"drains", drains}}
      .dump();
}

std::string cluster_segments_json(const meta::State& state, const meta::Topic& topic,
                                  const Uuid& id) {
  auto partitions = Json::array();
  for (std::uint32_t i = 0; i < topic.partitions; ++i) {
    const auto* partition = state.partitions.find(PartitionId{id, i});
    if (!partition) continue;
    auto segments = Json::array();
    partition->sealed.each([&](const meta::Segment& segment) {
      segments.push_back(segment_json(segment, segment.end, "sealed"));
    });
    const auto& tail = partition->tail;
    if (tail)
      segments.push_back(segment_json(
          *tail, tail->base, tail->state == meta::SegmentState::kOpen ? "open" : "sealing"));
    bool open = tail && tail->state == meta::SegmentState::kOpen;
    partitions.push_back({{"partition", i},
                          {"leader", open ? Json(tail->leader.value) : Json()},
                          {"epoch", partition->epoch.value},
                          {"log_start", partition->log_start.value},
                          {"losses", partition->losses_total},
                          {"segments", segments}});
  }
  return Json{{"name", topic.name},
              {"id", to_string(id)},
              {"replication_factor", topic.replication_factor},
              {"min_copies", topic.min_copies},
              {"partitions", partitions}}
      .dump();
}

}  // namespace walrus::frontend::native
