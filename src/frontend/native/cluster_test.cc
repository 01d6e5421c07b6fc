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
            Json::parse(R"([{"node": 1, "segments": 3, "bytes": 3000, "finishes_in_s": 9}])"));
}

TEST(ClusterJsonTest, segments_tell_the_chain_and_the_tail) {
  TestCluster cluster(3);
  auto topic = cluster.create(1, 2);
  PartitionId first{topic, 0};
  auto sealed = cluster.open(first, TestCluster::on({1, 2, 3}));
  auto seal = cluster.seal_of(first, 100);
  seal.next = TestCluster::on({2, 3, 1});
  auto next = cluster.done(seal).value;
  auto json = Json::parse(
      cluster_segments_json(cluster.state, *cluster.state.topics.find(topic), topic));
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
