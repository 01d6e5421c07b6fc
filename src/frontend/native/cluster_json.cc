// What is told of a cluster, as JSON. Pure.

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "frontend/native/cluster.h"
#include "raft/membership.h"

namespace walrus::frontend::native {
namespace {

using Json = nlohmann::ordered_json;

std::string address_of(const meta::Node& node, Bytes name) {
  auto found = std::ranges::find(node.listeners, name, &meta::Listener::name);
  return found == node.listeners.end() ? "" : found->address;
}

const meta::Sight* sight_of(const meta::Health& health, NodeId node) {
  auto found = std::ranges::find(health.nodes, node, &meta::Sight::node);
  return found == health.nodes.end() ? nullptr : &*found;
}

Json numbers_of(const std::vector<NodeId>& nodes) {
  auto array = Json::array();
  for (auto node : nodes) array.push_back(node.value);
  return array;
}

Json segment_json(const meta::Segment& segment, Offset end, const char* state) {
  Json json{{"segment", segment.id.value},
            {"epoch", segment.epoch.value},
            {"base_offset", segment.base.value},
            {"end_offset", end.value},
            {"records", end.value - segment.base.value},
            {"bytes", segment.bytes},
            {"state", state},
            {"leader", segment.leader.value},
            {"replicas", numbers_of(segment.replicas)}};
  if (segment.compacted != SegmentId{}) json["copy"] = segment.compacted.value;
  return json;
}

// Why a replica of it does not help to seal it.
std::string missing_of(const meta::State& state, const meta::Health& health,
                       const meta::Segment& tail) {
  std::string missing;
  for (auto id : tail.replicas) {
    const auto* node = state.find_node(id);
    const auto* sight = sight_of(health, id);
    const char* why = !node || node->state == meta::NodeState::kRemoved ? "was removed"
                      : !sight || !sight->alive                         ? "does not answer"
                      : !state.intact(tail, id)                         ? "lost its disk"
                                                                        : nullptr;
    if (why == nullptr) continue;
    missing += fmt::format("{}node {} {}", missing.empty() ? "" : ", ", id.value, why);
  }
  return missing;
}

std::size_t intact_copies(const meta::State& state, const meta::Health& health,
                          const meta::Segment& tail) {
  return static_cast<std::size_t>(std::ranges::count_if(tail.replicas, [&](NodeId id) {
    const auto* sight = sight_of(health, id);
    return sight && sight->alive && state.intact(tail, id);
  }));
}

std::string problem_of(const meta::State& state, const meta::Health& health,
                       const meta::Stuck& stuck) {
  auto where = partition_text(state, stuck.partition);
  switch (stuck.why) {
    case meta::Stuck::Why::kNoNodes:
      return fmt::format("{}: too few nodes for its min.insync.replicas: writes wait", where);
    case meta::Stuck::Why::kNoCopy:
      return fmt::format("{}: no copy of segment {} is within reach", where, stuck.segment.value);
    case meta::Stuck::Why::kUnsealable: {
      const auto* partition = state.partitions.find(stuck.partition);
      const auto* tail = partition && partition->tail ? &*partition->tail : nullptr;
      auto missing = tail ? missing_of(state, health, *tail) : "";
      if (tail && intact_copies(state, health, *tail) >= meta::cover(*tail))
        return fmt::format(
            "{}: too few nodes of segment {} are there to bring its end to as many disks as "
            "acknowledge ({}): bring them back, or give up for good what does not come back: "
            "walrus "
            "cluster remove N --force",
            where, stuck.segment.value, missing);
      return fmt::format(
          "{}: too many copies of segment {} are gone to tell where it ends ({}): bring nodes "
          "back, or accept the loss: walrus cluster seal {} --accept-loss",
          where, stuck.segment.value, missing, where);
    }
  }
  return where;
}

std::uint64_t active_but(const meta::State& state, NodeId leaving) {
  std::uint64_t nodes = 0;
  state.nodes.each([&](NodeId id, const meta::Node& node) {
    if (id != leaving && node.state == meta::NodeState::kActive) ++nodes;
  });
  return nodes;
}

Json drain_json(const meta::State& state, const meta::Drain& drain) {
  const auto* node = state.find_node(drain.node);
  bool draining = node && node->state == meta::NodeState::kDraining;
  auto obstacle = draining ? drain_obstacle(state, drain.node) : std::nullopt;
  return {{"node", drain.node.value},
          {"state", node ? state_name(node->state) : "unknown"},
          {"by", node && node->replaced_by != NodeId{} ? Json(node->replaced_by.value) : Json()},
          {"segments", drain.left.tails + drain.left.sealed},
          {"bytes", drain.left.sealed_bytes},
          {"finishes_in_s", drain.finishes_in ? Json(drain.finishes_in->count()) : Json()},
          {"obstacle", obstacle ? Json(*obstacle) : Json()},
          {"topics_with_fewer_copies", topics_with_fewer_copies(state, drain.node)}};
}

Json place_json(const meta::State& state, const PartitionId& partition, SegmentId segment) {
  const auto* topic = state.topics.find(partition.topic);
  return {{"topic", topic ? Json(topic->name) : Json()},
          {"partition", partition.index},
          {"segment", segment.value}};
}

Json lacking_json(const meta::State& state, const meta::UnderReplicated& one) {
  auto json = place_json(state, one.partition, one.segment);
  json["copies"] = one.copies;
  json["wanted"] = one.wanted;
  return json;
}

// What nodes say of themselves, and of each other.
struct Told {
  Json full = Json::array(), slow = Json::array(), damaged = Json::array();
};

Told told_of(const meta::State& state, const meta::Conditions& conditions, Json& problems) {
  Told told;
  std::map<NodeId, std::size_t> slow;
  for (const auto& [node, condition] : conditions.nodes) {
    if (condition.full) {
      told.full.push_back(node.value);
      problems.push_back(fmt::format(
          "the disk of node {} is full (limits.disk_free_bytes_min): it is given nothing new until "
          "there is room",
          node.value));
    }
    for (const auto& one : condition.slow) {
      ++slow[one.node];
      auto json = place_json(state, one.partition, one.segment);
      json["node"] = one.node.value;
      told.slow.push_back(std::move(json));
    }
    for (const auto& one : condition.damaged) {
      auto json = place_json(state, one.partition, one.segment);
      json["node"] = node.value;
      told.damaged.push_back(std::move(json));
      problems.push_back(fmt::format(
          "{}: the copy of segment {} on node {} is damaged, and no other copy can mend it for now",
          partition_text(state, one.partition), one.segment.value, node.value));
    }
  }
  for (const auto& [node, copies] : slow)
    problems.push_back(fmt::format("node {} is slow: {} copies on it have been behind for long",
                                   node.value, copies));
  return told;
}

Json losses_json(const meta::Partition& partition) {
  auto array = Json::array();
  for (const auto& loss : partition.losses)
    array.push_back({{"segment", loss.segment.value},
                     {"epoch", loss.epoch.value},
                     {"end", loss.end.value},
                     {"known", loss.known.value},
                     {"accepted_by", loss.accepted_by},
                     {"at_ms", loss.at.time_since_epoch().count()}});
  return array;
}

}  // namespace

std::string partition_text(const meta::State& state, const PartitionId& partition) {
  const auto* topic = state.topics.find(partition.topic);
  return fmt::format("{}/{}", topic ? topic->name : "?", partition.index);
}

std::optional<std::string> drain_obstacle(const meta::State& state, NodeId leaving, NodeId coming) {
  auto left = active_but(state, leaving);
  const auto* newcomer = state.find_node(coming);
  if (newcomer && newcomer->state == meta::NodeState::kJoining) ++left;
  if (left == 0) return "no other node is active, which could take over what it has";
  std::string first;
  std::uint32_t wants = 0;
  std::uint64_t topics = 0;
  state.topics.each([&](const Uuid&, const meta::Topic& topic) {
    if (topic.min_copies <= left) return;
    ++topics;
    if (topic.min_copies <= wants) return;
    wants = topic.min_copies;
    first = topic.name;
  });
  if (topics == 0) return std::nullopt;
  auto others = topics > 1 ? fmt::format(", as {} other topics do", topics - 1) : "";
  return fmt::format(
      "topic {} wants {} nodes to write to{} (min.insync.replicas), and {} would be left: add a "
      "node first",
      first, wants, others, left);
}

std::uint64_t topics_with_fewer_copies(const meta::State& state, NodeId leaving) {
  auto left = active_but(state, leaving);
  std::uint64_t topics = 0;
  state.topics.each([&](const Uuid&, const meta::Topic& topic) {
    if (topic.replication_factor > left) ++topics;
  });
  return topics;
}

std::uint64_t only_copies(const meta::State& state, NodeId node) {
  std::uint64_t segments = 0;
  auto count = [&](const meta::Segment& segment) {
    if (!meta::is_replica(segment, node) || !state.intact(segment, node)) return;
    bool elsewhere = std::ranges::any_of(segment.replicas, [&](NodeId other) {
      return other != node && state.intact(segment, other);
    });
    if (!elsewhere) ++segments;
  };
  state.partitions.each([&](const PartitionId&, const meta::Partition& partition) {
    partition.sealed.each(count);
    if (partition.tail) count(*partition.tail);
  });
  return segments;
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
    const auto* sight = health ? sight_of(*health, id) : nullptr;
    nodes.push_back({{"id", id.value},
                     {"uuid", to_string(node.directory)},
                     {"address", address_of(node, "native")},
                     {"kafka", address_of(node, "kafka")},
                     {"peer", address_of(node, "peer")},
                     {"admin", address_of(node, "admin")},
                     {"rack", node.rack},
                     {"state", state_name(node.state)},
                     {"alive", sight ? Json(sight->alive) : Json()},
                     {"feature_level", node.feature_level_max},
                     {"leads", load.leads},
                     {"segments", load.tails + load.sealed},
                     {"bytes", load.sealed_bytes}});
  });
  auto recoveries = Json::array();
  for (const auto& one : state.recoveries)
    recoveries.push_back({{"cluster_id", to_string(one.cluster)},
                          {"node", one.by.value},
                          {"term", one.term},
                          {"index", one.index},
                          {"at_ms", one.at.time_since_epoch().count()}});
  return Json{{"cluster_id", to_string(state.cluster.id)},
              {"controller", health ? Json(health->controller.value) : Json()},
              {"feature_level", state.cluster.feature_level},
              {"recoveries", recoveries},
              {"nodes", nodes},
              {"under_replicated", health ? Json(health->under_replicated) : Json()}}
      .dump();
}

std::string cluster_health_json(const meta::State& state, const std::optional<meta::Health>& health,
                                const meta::Concerns& concerns,
                                const meta::Conditions& conditions) {
  auto problems = Json::array(), drains = Json::array(), lacking = Json::array();
  Told told;
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
    told = told_of(state, conditions, problems);
    if (!conditions.nodes.empty()) status = "degraded";
    for (const auto& stuck : health->stuck) {
      status = "down";
      problems.push_back(problem_of(state, *health, stuck));
    }
    for (const auto& drain : health->drains) drains.push_back(drain_json(state, drain));
    for (const auto& one : concerns.lacking) lacking.push_back(lacking_json(state, one));
  }
  return Json{{"status", status},
              {"controller", health ? Json(health->controller.value) : Json()},
              {"under_replicated", health ? Json(health->under_replicated) : Json()},
              {"under_replicated_segments", lacking},
              {"full_nodes", told.full},
              {"slow_copies", told.slow},
              {"damaged_copies", told.damaged},
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
                          {"compacted_to", partition->compacted_to.value},
                          {"losses", partition->losses_total},
                          {"lost", losses_json(*partition)},
                          {"segments", segments}});
  }
  return Json{{"name", topic.name},
              {"id", to_string(id)},
              {"replication_factor", topic.replication_factor},
              {"min_copies", topic.min_copies},
              {"partitions", partitions}}
      .dump();
}

std::string cluster_seal_json(const std::string& topic,
                              const std::vector<broker::SealView>& views) {
  auto partitions = Json::array();
  for (const auto& [partition, tail, survey] : views) {
    Json item{{"partition", partition},
              {"segment", tail.id.value},
              {"state", tail.state == meta::SegmentState::kOpen ? "open" : "sealing"},
              {"start", tail.base.value},
              {"replicas", numbers_of(tail.replicas)},
              {"sealer", tail.recoverer == NodeId{} ? Json() : Json(tail.recoverer.value)}};
    if (!survey) {
      item["unknown"] = survey.error().message;
      partitions.push_back(std::move(item));
      continue;
    }
    auto copies = Json::array();
    for (const auto& copy : survey->copies) {
      const char* knows = copy.removed                                   ? "removed"
                          : !copy.answered                               ? "does not answer"
                          : copy.knowledge == replica::Knowledge::kLimbo ? "may have lost some"
                                                                         : "all that it had";
      copies.push_back({{"node", copy.node.value}, {"knows", knows}, {"end", copy.end.value}});
    }
    item["epoch"] = survey->epoch.value;
    item["waits"] = survey->waits;
    item["end"] = survey->end.value;
    item["acknowledged_to"] = survey->known.value;
    item["lost_at_least"] = survey->known.value - survey->end.value;
    item["copies"] = copies;
    partitions.push_back(std::move(item));
  }
  return Json{{"name", topic}, {"partitions", partitions}}.dump();
}

namespace {

const char* role_name(const meta::MemberStatus& status) {
  switch (status.role) {
    case raft::Role::kLeader: return "Leader";
    case raft::Role::kPreCandidate:
    case raft::Role::kCandidate: return "Candidate";
    case raft::Role::kFailed: return "Shutdown";
    case raft::Role::kFollower: break;
  }
  return status.voter ? "Follower" : "Learner";
}

// Upstream's: who led in the term is not known of every entry, so it is told of the present one.
Json log_id(const meta::MemberStatus& status, raft::Term term, raft::Index index) {
  bool present = term == status.term && status.leader != NodeId{};
  return {
      {"leader_id", {{"term", term}, {"node_id", present ? Json(status.leader.value) : Json()}}},
      {"index", index}};
}

// The sets of voters: two while they change.
Json configs_of(const raft::Membership& membership) {
  auto set = [&](bool before) {
    auto voters = Json::array();
    for (const auto& member : membership.members)
      if (before ? member.voter_before : member.voter) voters.push_back(member.id.value);
    return voters;
  };
  auto configs = Json::array({set(false)});
  if (membership.joint) configs.insert(configs.begin(), set(true));
  return configs;
}

}  // namespace

std::string cluster_metrics_json(const meta::MemberStatus& status, const meta::State& state,
                                 io::Nanos now, const Result<void>& storage) {
  auto known = [](NodeId node) { return node == NodeId{} ? Json() : Json(node.value); };
  auto nodes = Json::object();
  for (const auto& member : status.members.members) {
    const auto* node = state.find_node(member.id);
    auto native = node ? address_of(*node, "native") : "";
    nodes[std::to_string(member.id.value)] = {{"addr", native.empty() ? member.address : native}};
  }
  bool leads = status.role == raft::Role::kLeader;
  // A grant of the lease needs a majority that says who leads.
  auto acked = status.leased_until > now ? status.leased_until - status.lease : io::Nanos(0);
  bool confirmed = leads && acked > io::Nanos(0);
  auto replication = Json::object(), heartbeat = Json::object();
  for (const auto& peer : status.peers) {
    replication[std::to_string(peer.id.value)] = log_id(status, status.term, peer.match);
    heartbeat[std::to_string(peer.id.value)] = nullptr;
  }
  if (leads) {
    replication[std::to_string(status.self.value)] = log_id(status, status.term, status.durable);
    heartbeat[std::to_string(status.self.value)] = nullptr;
  }
  auto failure = !storage ? storage.error().message : status.failure;
  auto snapshot = status.snapshot.index == 0
                      ? Json()
                      : log_id(status, status.snapshot.term, status.snapshot.index);
  return Json{{"running_state", failure.empty() ? Json{{"Ok", nullptr}} : Json{{"Err", failure}}},
              {"id", status.self.value},
              {"current_term", status.term},
              {"vote",
               {{"leader_id", {{"term", status.term}, {"node_id", known(status.leader)}}},
                {"committed", status.leader != NodeId{}}}},
              {"last_log_index", status.last},
              {"last_applied", log_id(status, status.applied_term, status.applied)},
              {"snapshot", snapshot},
              {"purged", snapshot},
              {"state", role_name(status)},
              {"current_leader", known(status.leader)},
              {"millis_since_quorum_ack",
               confirmed ? Json(std::chrono::duration_cast<Millis>(now - acked).count()) : Json()},
              {"last_quorum_acked", nullptr},
              {"membership_config",
               {{"log_id", nullptr},
                {"membership", {{"configs", configs_of(status.members)}, {"nodes", nodes}}}}},
              {"heartbeat", leads ? heartbeat : Json()},
              {"replication", leads ? replication : Json()}}
      .dump(2);
}

}  // namespace walrus::frontend::native
