#include "frontend/kafka/cluster_view.h"

#include "meta/test_cluster.h"

namespace walrus::frontend::kafka {
namespace {

using meta::TestCluster;

class ClusterViewTest : public testing::Test {
 protected:
  NodeOptions node() {
    NodeOptions options{.node_id = 2, .host = "127.0.0.1", .port = 9092};
    options.image = [this] { return std::make_shared<const meta::State>(cluster_.state); };
    return options;
  }
  void serve(std::uint64_t id, const std::string& kafka) {
    auto life = TestCluster::life_of(id);
    life.expected = cluster_.node(id).version;
    life.incarnation = 2;
    life.claimed = {1, 2};
    life.rack = "r" + std::to_string(id);
    life.listeners.push_back({"kafka", kafka});
    cluster_.done(life);
  }
  TestCluster cluster_{3};
};

TEST_F(ClusterViewTest, single_server_is_the_only_broker_and_leads_all) {
  NodeOptions alone{.node_id = 7, .host = "db", .port = 9};
  EXPECT_EQ(brokers(alone), (std::vector{BrokerView{.id = 7, .host = "db", .port = 9}}));
  auto view = partition_view(alone, {}, NodeId{});
  EXPECT_EQ(view.leader, 7);
  EXPECT_EQ(view.replicas, (std::vector{7}));
  EXPECT_EQ(find_broker(alone, NodeId{8}), std::nullopt);
}

TEST_F(ClusterViewTest, brokers_are_the_nodes_that_serve_kafka_clients) {
  serve(1, "10.0.0.1:9092");
  serve(3, "[::1]:19092");
  EXPECT_EQ(brokers(node()),
            (std::vector{BrokerView{.id = 1, .host = "10.0.0.1", .port = 9092, .rack = "r1"},
                         BrokerView{.id = 3, .host = "::1", .port = 19092, .rack = "r3"}}));
  EXPECT_EQ(find_broker(node(), NodeId{3})->port, 19092);
  cluster_.set_state(3, meta::NodeState::kRemoved, true);
  EXPECT_EQ(brokers(node()).size(), 1);
  EXPECT_EQ(find_broker(node(), NodeId{3}), std::nullopt);
  EXPECT_EQ(find_broker(node(), NodeId{2})->host, "127.0.0.1");
}

// Clients send nothing to a partition without a leader: asking for one has to be enough.
TEST_F(ClusterViewTest, partition_without_a_leader_is_wanted) {
  auto topic = cluster_.create(1);
  std::vector<PartitionId> wanted;
  auto options = node();
  options.want = [&wanted](std::vector<PartitionId> ids) { wanted = std::move(ids); };
  EXPECT_EQ(partition_view(options, {topic, 0}, NodeId{}).leader, -1);
  EXPECT_EQ(wanted, (std::vector{PartitionId{topic, 0}}));
  wanted.clear();
  partition_view(options, {topic, 0}, NodeId{3});
  EXPECT_TRUE(wanted.empty());
}

TEST_F(ClusterViewTest, replicas_are_those_of_the_tail) {
  auto topic = cluster_.create(1);
  EXPECT_EQ(partition_view(node(), {topic, 0}, NodeId{}).leader, -1);
  cluster_.open({topic, 0}, TestCluster::on({3, 1, 2}));
  auto view = partition_view(node(), {topic, 0}, NodeId{3});
  EXPECT_EQ(view.leader, 3);
  EXPECT_EQ(view.replicas, (std::vector{3, 1, 2}));
}

TEST_F(ClusterViewTest, consumer_is_pointed_to_the_copy_in_its_own_rack) {
  serve(1, "10.0.0.1:9092");
  serve(3, "10.0.0.3:9092");
  PartitionId id{cluster_.create(1), 0};
  EXPECT_EQ(nearer_copy(node(), id, "r3"), std::nullopt);  // nothing is being written
  cluster_.open(id, TestCluster::on({2, 1, 3}));
  EXPECT_EQ(nearer_copy(node(), id, "r3"), 3);
  EXPECT_EQ(nearer_copy(node(), id, "r9"), std::nullopt);
  EXPECT_EQ(nearer_copy(node(), id, ""), std::nullopt);
  EXPECT_EQ(nearer_copy({.node_id = 2}, id, "r3"), std::nullopt);
  cluster_.set_state(3, meta::NodeState::kDraining);
  EXPECT_EQ(nearer_copy(node(), id, "r3"), std::nullopt);
  auto here = node();
  here.node_id = 1;
  EXPECT_EQ(nearer_copy(here, id, "r1"), std::nullopt);
}

}  // namespace
}  // namespace walrus::frontend::kafka
