#include "frontend/native/cluster.h"

#include <nlohmann/json.hpp>

#include "meta/test_cluster.h"

namespace walrus::frontend::native {
namespace {

using Json = nlohmann::json;
using meta::TestCluster;

meta::Health all_alive(std::uint64_t nodes) {
  meta::Health health{.controller = NodeId{2}, .searched = true};
  for (std::uint64_t id = 1; id <= nodes; ++id)
    health.nodes.push_back({.node = NodeId{id}, .alive = true, .incarnation = 1});
  return health;
}

TEST(ClusterJsonTest, status_tells_of_every_node) {
  TestCluster cluster(3, 3);
  auto topic = cluster.create(1);
  cluster.open({topic, 0}, TestCluster::on({2, 1, 3}));
  auto json = Json::parse(cluster_status_json(cluster.state, all_alive(3)));
  EXPECT_EQ(json["cluster_id"], to_string(cluster.state.cluster.id));
  EXPECT_EQ(json["controller"], 2);
  EXPECT_EQ(json["under_replicated"], 0);
  ASSERT_EQ(json["nodes"].size(), 3);
  const auto& second = json["nodes"][1];
  EXPECT_EQ(second["id"], 2);
  EXPECT_EQ(second["uuid"], to_string(meta::uuid_of(2)));
  EXPECT_EQ(second["peer"], "10.0.0.1:9093");
  EXPECT_EQ(second["address"], "");
  EXPECT_EQ(second["rack"], "rack2");
  EXPECT_EQ(second["state"], "active");
  EXPECT_EQ(second["alive"], true);
  EXPECT_EQ(second["leads"], 1);
  EXPECT_EQ(second["segments"], 1);
  EXPECT_EQ(json["nodes"][0]["leads"], 0);
}

TEST(ClusterJsonTest, status_without_a_controller_says_what_is_not_known) {
  TestCluster cluster(1);
  auto json = Json::parse(cluster_status_json(cluster.state, std::nullopt));
  EXPECT_TRUE(json["controller"].is_null());
  EXPECT_TRUE(json["under_replicated"].is_null());
  EXPECT_TRUE(json["nodes"][0]["alive"].is_null());
}

TEST(ClusterJsonTest, health_is_ok_degraded_or_down) {
  TestCluster cluster(3);
  auto topic = cluster.create(1);
  auto told = [&](const std::optional<meta::Health>& health) {
    return Json::parse(cluster_health_json(cluster.state, health));
  };
  auto health = all_alive(3);
  EXPECT_EQ(told(health)["status"], "ok");
  EXPECT_TRUE(told(health)["problems"].empty());

  health.nodes[2].alive = false;
  health.under_replicated = 4;
  auto degraded = told(health);
  EXPECT_EQ(degraded["status"], "degraded");
  ASSERT_EQ(degraded["problems"].size(), 2);
  EXPECT_EQ(degraded["problems"][0], "node 3 does not answer");

  health.stuck.push_back({.why = meta::Stuck::Why::kNoNodes, .partition = {topic, 0}});
  auto down = told(health);
  EXPECT_EQ(down["status"], "down");
  EXPECT_TRUE(down["problems"][2].get<std::string>().starts_with("t1/0: too few nodes"));

  EXPECT_EQ(told(std::nullopt)["status"], "down");
}

// Of a node that is gone for good nobody expects an answer.
TEST(ClusterJsonTest, removed_node_is_no_problem) {
  TestCluster cluster(3);
  cluster.set_state(3, meta::NodeState::kRemoved, true);
  auto health = all_alive(3);
  health.nodes[2].alive = false;
  EXPECT_EQ(Json::parse(cluster_health_json(cluster.state, health))["status"], "ok");
}

TEST(ClusterJsonTest, drains_tell_their_progress) {
  TestCluster cluster(3);
  auto health = all_alive(3);
  health.drains.push_back({.node = NodeId{1},
                           .left = {.tails = 1, .sealed = 2, .sealed_bytes = 3000},
                           .finishes_in = std::chrono::seconds(9)});
  auto json = Json::parse(cluster_health_json(cluster.state, health));
  EXPECT_EQ(json["drains"],
            Json::parse(R"([{"node": 1, "state": "active", "by": null, "segments": 3,
                             "bytes": 3000, "finishes_in_s": 9, "obstacle": null,
                             "topics_with_fewer_copies": 0}])"));
}

TEST(ClusterJsonTest, last_node_cannot_be_drained) {
  TestCluster cluster(2);
  EXPECT_FALSE(drain_obstacle(cluster.state, NodeId{1}));
  cluster.set_state(2, meta::NodeState::kDraining);
  EXPECT_TRUE(drain_obstacle(cluster.state, NodeId{1}));
  EXPECT_FALSE(drain_obstacle(cluster.state, NodeId{2}));
}

TEST(ClusterJsonTest, node_that_a_topic_has_to_be_written_to_cannot_be_drained) {
  TestCluster cluster(3);
  cluster.create(1, 1, 3, 3);
  cluster.create(2, 1, 3, 2);
  auto obstacle = drain_obstacle(cluster.state, NodeId{1});
  ASSERT_TRUE(obstacle);
  EXPECT_EQ(*obstacle,
            "topic t1 wants 3 nodes to write to (min.insync.replicas), and 2 would be left: add a "
            "node first");
  cluster.done(TestCluster::life_of(4));  // a newcomer that takes its place
  EXPECT_TRUE(drain_obstacle(cluster.state, NodeId{1}));
  EXPECT_FALSE(drain_obstacle(cluster.state, NodeId{1}, NodeId{4}));
  EXPECT_EQ(topics_with_fewer_copies(cluster.state, NodeId{1}), 2U);
}

TEST(ClusterJsonTest, only_copies_are_those_that_nobody_else_has) {
  TestCluster cluster(3);
  auto topic = cluster.create(1, 1, 3, 1);
  PartitionId id{topic, 0};
  cluster.open(id, TestCluster::on({1}));
  cluster.done(cluster.seal_of(id, 10));
  cluster.open(id, TestCluster::on({1, 2}));
  EXPECT_EQ(only_copies(cluster.state, NodeId{1}), 1U);
  EXPECT_EQ(only_copies(cluster.state, NodeId{2}), 0U);
  cluster.set_state(2, meta::NodeState::kRemoved, true);
  EXPECT_EQ(only_copies(cluster.state, NodeId{1}), 2U);
}

TEST(ClusterJsonTest, health_names_what_lacks_copies_and_what_waits_for_an_operator) {
  TestCluster cluster(3);
  auto topic = cluster.create(1);
  PartitionId id{topic, 0};
  auto segment = cluster.open(id, TestCluster::on({1, 2, 3}));
  auto health = all_alive(3);
  cluster.set_state(3, meta::NodeState::kRemoved, true);
  health.nodes[1].alive = false;
  health.under_replicated = 1;
  health.stuck.push_back({meta::Stuck::Why::kUnsealable, id, segment});
  auto json = Json::parse(
      cluster_health_json(cluster.state, health, meta::Concerns{{{id, segment, 1, 3}}}));
  EXPECT_EQ(json["under_replicated_segments"],
            Json::parse(fmt::format(
                R"([{{"topic":"t1","partition":0,"segment":{},"copies":1,"wanted":3}}])",
                segment.value)));
  auto told = json["problems"].back().get<std::string>();
  EXPECT_NE(told.find("(node 2 does not answer, node 3 was removed)"), std::string::npos) << told;
  EXPECT_NE(told.find("walrus cluster seal t1/0 --accept-loss"), std::string::npos) << told;
}

TEST(ClusterJsonTest, health_names_disks_that_are_not_well) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  auto segment = cluster.open(id, TestCluster::on({1, 2, 3}));
  meta::Conditions conditions{{{NodeId{1}, {.slow = {{id, segment, NodeId{3}}}}},
                               {NodeId{2}, {.full = true, .damaged = {{id, SegmentId{9}}}}}}};
  auto json = Json::parse(cluster_health_json(cluster.state, all_alive(3), {}, conditions));
  EXPECT_EQ(json["status"], "degraded");
  EXPECT_EQ(json["full_nodes"], Json::parse("[2]"));
  EXPECT_EQ(json["slow_copies"],
            Json::parse(fmt::format(R"([{{"topic":"t1","partition":0,"segment":{},"node":3}}])",
                                    segment.value)));
  EXPECT_EQ(json["damaged_copies"],
            Json::parse(R"([{"topic":"t1","partition":0,"segment":9,"node":2}])"));
  ASSERT_EQ(json["problems"].size(), 3);
  EXPECT_TRUE(json["problems"][0].get<std::string>().starts_with("the disk of node 2 is full"));
  EXPECT_TRUE(json["problems"][1].get<std::string>().starts_with("t1/0: the copy of segment 9"));
  EXPECT_TRUE(json["problems"][2].get<std::string>().starts_with("node 3 is slow: 1 copies"));
}

// Where its end would have to come to more disks than are there, nothing is lost by waiting.
TEST(ClusterJsonTest, health_tells_a_recovery_that_waits_for_nodes_from_one_that_cannot_be) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  auto segment = cluster.open(id, TestCluster::on({1, 2}));
  cluster.done(meta::BeginSeal{id, cluster.version(id), NodeId{2}});
  auto health = all_alive(3);
  health.nodes[0].alive = false;
  health.stuck.push_back({meta::Stuck::Why::kUnsealable, id, segment});
  auto json = Json::parse(cluster_health_json(cluster.state, health));
  auto told = json["problems"].back().get<std::string>();
  EXPECT_NE(told.find("as many disks as acknowledge (node 1 does not answer)"), std::string::npos)
      << told;
}

TEST(ClusterJsonTest, seal_tells_what_survives_where) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  auto segment = cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.done(meta::BeginSeal{id, cluster.version(id), NodeId{2}});
  replica::SealSurvey survey{
      .epoch = Epoch{2},
      .waits = true,
      .end = Offset{5},
      .known = Offset{9},
      .copies = {{NodeId{1}, true, false, replica::Knowledge::kWhole, Offset{5}},
                 {NodeId{2}, true, false, replica::Knowledge::kLimbo, {}},
                 {NodeId{3}, false, true, replica::Knowledge::kLimbo, {}}}};
  const auto& tail = *cluster.partition(id).tail;
  auto json = Json::parse(cluster_seal_json("t1", {{0, tail, survey}}))["partitions"][0];
  EXPECT_EQ(json["segment"], segment.value);
  EXPECT_EQ(json["sealer"], 2);
  EXPECT_EQ(json["waits"], true);
  EXPECT_EQ(json["end"], 5);
  EXPECT_EQ(json["lost_at_least"], 4);
  EXPECT_EQ(json["copies"][0]["knows"], "all that it had");
  EXPECT_EQ(json["copies"][1]["knows"], "may have lost some");
  EXPECT_EQ(json["copies"][2]["knows"], "removed");
  json = Json::parse(cluster_seal_json(
      "t1", {{0, tail, fail(Code::kBusy, "none of its nodes is there")}}))["partitions"][0];
  EXPECT_EQ(json["unknown"], "none of its nodes is there");
}

TEST(ClusterJsonTest, metrics_are_those_of_the_metadata_group) {
  TestCluster cluster(2);
  meta::MemberStatus status{.self = NodeId{1}, .leader = NodeId{1}, .term = 3, .applied = 41};
  status.role = raft::Role::kLeader;
  status.voter = true;
  status.applied_term = 2;
  status.last = status.durable = 42;
  status.lease = std::chrono::seconds(3);
  status.leased_until = std::chrono::seconds(12);
  status.members.members = {{.id = NodeId{1}, .address = "10.0.0.1:9093", .voter = true},
                            {.id = NodeId{2}, .address = "10.0.0.2:9093"}};
  status.peers = {{.id = NodeId{2}, .match = 40}};
  auto json =
      Json::parse(cluster_metrics_json(status, cluster.state, std::chrono::seconds(10), {}));
  EXPECT_EQ(json["state"], "Leader");
  EXPECT_EQ(json["current_leader"], 1);
  EXPECT_EQ(json["current_term"], 3);
  EXPECT_EQ(json["last_log_index"], 42);
  EXPECT_EQ(json["last_applied"]["index"], 41);
  EXPECT_EQ(json["last_applied"]["leader_id"]["term"], 2);
  EXPECT_EQ(json["millis_since_quorum_ack"], 1000);
  EXPECT_EQ(json["replication"]["2"]["index"], 40);
  EXPECT_EQ(json["membership_config"]["membership"]["configs"], Json::parse("[[1]]"));
  EXPECT_EQ(json["membership_config"]["membership"]["nodes"]["2"]["addr"], "10.0.0.2:9093");
  EXPECT_TRUE(json["running_state"].contains("Ok"));
  status.role = raft::Role::kFollower;
  status.voter = false;
  status.failure = "removed";
  json = Json::parse(cluster_metrics_json(status, cluster.state, std::chrono::seconds(10), {}));
  EXPECT_EQ(json["state"], "Learner");
  EXPECT_TRUE(json["replication"].is_null());
  EXPECT_TRUE(json["millis_since_quorum_ack"].is_null());
  EXPECT_EQ(json["running_state"]["Err"], "removed");
}

TEST(ClusterJsonTest, segments_tell_the_chain_and_the_tail) {
  TestCluster cluster(3);
  auto topic = cluster.create(1, 2);
  PartitionId first{topic, 0};
  auto sealed = cluster.open(first, TestCluster::on({1, 2, 3}));
  auto seal = cluster.seal_of(first, 100);
  seal.next = TestCluster::on({2, 3, 1});
  auto next = cluster.done(seal).value;
  auto json =
      Json::parse(cluster_segments_json(cluster.state, *cluster.state.topics.find(topic), topic));
  EXPECT_EQ(json["name"], "t1");
  EXPECT_EQ(json["replication_factor"], 3);
  ASSERT_EQ(json["partitions"].size(), 2);
  const auto& partition = json["partitions"][0];
  EXPECT_EQ(partition["leader"], 2);
  ASSERT_EQ(partition["segments"].size(), 2);
  EXPECT_EQ(partition["segments"][0]["segment"], sealed.value);
  EXPECT_EQ(partition["segments"][0]["state"], "sealed");
  EXPECT_EQ(partition["segments"][0]["records"], 100);
  EXPECT_EQ(partition["segments"][1]["segment"], next);
  EXPECT_EQ(partition["segments"][1]["state"], "open");
  EXPECT_EQ(partition["segments"][1]["base_offset"], 100);
  EXPECT_EQ(partition["segments"][1]["replicas"], Json::parse("[2, 3, 1]"));
  EXPECT_TRUE(json["partitions"][1]["leader"].is_null());
}

}  // namespace
}  // namespace walrus::frontend::native
