#include "meta/placement.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

#include "meta/test_cluster.h"

namespace walrus::meta {
namespace {

std::vector<Alive> alive(std::uint64_t nodes) {
  std::vector<Alive> all;
  for (std::uint64_t id = 1; id <= nodes; ++id) all.push_back({NodeId{id}});
  return all;
}

Topic topic_of(std::uint32_t copies, std::uint32_t min_copies = 1, bool internal = false) {
  return {.internal = internal, .replication_factor = copies, .min_copies = min_copies};
}

struct Counts {
  std::map<NodeId, std::int64_t> leads, replicas;
  void add(const Placement& place) {
    ++leads[place.leader];
    for (auto node : place.replicas) ++replicas[node];
  }
  static std::int64_t spread(const std::map<NodeId, std::int64_t>& of, std::uint64_t nodes) {
    std::int64_t low = INT64_MAX, high = 0;
    for (std::uint64_t id = 1; id <= nodes; ++id) {
      auto found = of.find(NodeId{id});
      auto count = found == of.end() ? 0 : found->second;
      low = std::min(low, count);
      high = std::max(high, count);
    }
    return high - low;
  }
};

bool contains(const Placement& place, std::uint64_t node) {
  return std::ranges::count(place.replicas, NodeId{node}) > 0;
}

RC_GTEST_PROP(Placement, spreads_leaders_and_replicas_evenly, ()) {
  auto nodes = *rc::gen::inRange<std::uint64_t>(1, 9);
  auto copies = *rc::gen::inRange<std::uint32_t>(1, 5);
  auto partitions = *rc::gen::inRange<std::uint32_t>(1, 200);
  auto round_robin = *rc::gen::arbitrary<bool>();
  TestCluster cluster(nodes);
  auto living = alive(nodes);
  Placer placer(cluster.state, living, round_robin ? Spread::kRoundRobin : Spread::kLoad);
  Counts counts;
  for (std::uint32_t index = 0; index < partitions; ++index) {
    auto place = placer.place({uuid_of(7), index}, topic_of(copies));
    RC_ASSERT(place.has_value());
    std::set<NodeId> set(place->replicas.begin(), place->replicas.end());
    RC_ASSERT(set.size() == place->replicas.size());
    RC_ASSERT(set.size() == std::min<std::size_t>(copies, nodes));
    RC_ASSERT(place->replicas.front() == place->leader);
    counts.add(*place);
  }
  RC_ASSERT(Counts::spread(counts.leads, nodes) <= 1);
  RC_ASSERT(Counts::spread(counts.replicas, nodes) <= 2);
}

RC_GTEST_PROP(Placement, uses_as_many_racks_as_there_are, ()) {
  auto racks = *rc::gen::inRange<std::uint64_t>(1, 5);
  auto nodes = racks * *rc::gen::inRange<std::uint64_t>(1, 4);
  TestCluster cluster(nodes, racks);
  auto living = alive(nodes);
  Placer placer(cluster.state, living);
  Counts counts;
  for (std::uint32_t index = 0; index < 60; ++index) {
    auto place = placer.place({uuid_of(7), index}, topic_of(3));
    std::map<std::string, int> used;
    for (auto node : place->replicas) ++used[cluster.state.nodes.find(node)->rack];
    RC_ASSERT(used.size() == std::min<std::size_t>(racks, place->replicas.size()));
    counts.add(*place);
  }
  RC_ASSERT(Counts::spread(counts.leads, nodes) <= 1);
  RC_ASSERT(Counts::spread(counts.replicas, nodes) <= 3);
}

TEST(Placement, gives_in_proportion_to_capacity) {
  TestCluster cluster(2);
  auto big = TestCluster::life_of(3);
  big.capacity = 200;
  cluster.done(big);
  cluster.set_state(3, NodeState::kActive);
  auto living = alive(3);
  Placer placer(cluster.state, living);
  Counts counts;
  for (std::uint32_t index = 0; index < 400; ++index)
    counts.add(*placer.place({uuid_of(7), index}, topic_of(1)));
  EXPECT_NEAR(static_cast<double>(counts.leads[NodeId{3}]), 200, 2);
}

TEST(Placement, leaves_out_who_is_dead_draining_or_without_capacity) {
  TestCluster cluster(4);
  cluster.set_state(2, NodeState::kDraining);
  auto full = TestCluster::life_of(5);
  full.capacity = 0;
  cluster.done(full);
  cluster.set_state(5, NodeState::kActive);
  std::vector<Alive> living{{NodeId{1}}, {NodeId{2}}, {NodeId{3}}, {NodeId{5}}};
  Placer placer(cluster.state, living);
  for (std::uint32_t index = 0; index < 20; ++index) {
    auto place = *placer.place({uuid_of(7), index}, topic_of(3));
    EXPECT_EQ(place.replicas.size(), 2u);
    EXPECT_TRUE(contains(place, 1) && contains(place, 3));
  }
  EXPECT_FALSE(placer.place({uuid_of(7), 0}, topic_of(3, 3)));
  EXPECT_FALSE(Placer(cluster.state, {}).place({uuid_of(7), 0}, topic_of(1)));
}

TEST(Placement, internal_topics_have_a_home_that_stays) {
  TestCluster cluster(5);
  auto living = alive(5);
  Counts counts;
  for (std::uint32_t index = 0; index < 50; ++index) {
    PartitionId id{uuid_of(7), index};
    Placer one(cluster.state, living), other(cluster.state, living);
    for (std::uint32_t i = 0; i < index; ++i) other.place({uuid_of(8), i}, topic_of(3));
    auto place = *one.place(id, topic_of(3, 2, true));
    EXPECT_EQ(place.leader, other.place(id, topic_of(3, 2, true))->leader);
    counts.add(place);
    // Without one of the others, it stays where it is.
    std::vector<Alive> fewer;
    for (auto node : living)
      if (node.node.value != 1 + place.leader.value % 5) fewer.push_back(node);
    EXPECT_EQ(Placer(cluster.state, fewer).home(id), place.leader);
  }
  EXPECT_LE(Counts::spread(counts.leads, 5), 15);
}

TEST(Placement, planned_roll_stays_where_it_is) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  cluster.open(id, TestCluster::on({2, 3, 1}));
  auto living = alive(3);
  auto place =
      Placer(cluster.state, living).place_next(id, topic_of(3), *cluster.partition(id).tail);
  EXPECT_EQ(place, TestCluster::on({2, 3, 1}));
}

TEST(Placement, round_robin_goes_to_the_next) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  auto living = alive(3);
  for (std::uint64_t leader : {1, 2, 3, 1}) {
    Segment tail{.leader = NodeId{leader}, .replicas = {NodeId{leader}}};
    auto place =
        Placer(cluster.state, living, Spread::kRoundRobin).place_next(id, topic_of(2), tail);
    EXPECT_EQ(place->leader, NodeId{1 + leader % 3});
  }
}

TEST(Placement, overloaded_leader_hands_over_and_comes_to_rest) {
  TestCluster cluster(3);
  auto topic = cluster.create(1, 30);
  for (std::uint32_t index = 0; index < 30; ++index)
    cluster.open({topic, index}, TestCluster::on({1, 2, 3}));
  auto living = alive(3);
  Placer placer(cluster.state, living);
  Counts counts;
  for (std::uint32_t index = 0; index < 30; ++index) {
    const auto& tail = *cluster.partition({topic, index}).tail;
    auto place = placer.place_better({topic, index}, topic_of(3), tail);
    ++counts.leads[place ? place->leader : tail.leader];
  }
  EXPECT_LE(Counts::spread(counts.leads, 3), 4);  // 120 percent of ten are twelve
  EXPECT_FALSE(placer.place_better({topic, 29}, topic_of(3), *cluster.partition({topic, 29}).tail));
}

// Its segments lack a copy, which rolls all of them the moment that it is back.
TEST(Placement, who_came_back_a_moment_ago_gets_copies_but_no_leaders) {
  TestCluster cluster(3);
  auto topic = cluster.create(1, 30);
  for (std::uint32_t index = 0; index < 30; ++index)
    cluster.open({topic, index}, index % 2 ? TestCluster::on({1, 2}) : TestCluster::on({2, 1}));
  auto living = alive(3);
  for (bool settled : {false, true}) {
    living.back().settled = settled;
    Placer placer(cluster.state, living);
    Counts counts;
    for (std::uint32_t index = 0; index < 30; ++index) {
      const auto& tail = *cluster.partition({topic, index}).tail;
      auto place = placer.place_next({topic, index}, topic_of(3), tail);
      EXPECT_EQ(place->replicas.size(), 3);
      if (!settled) EXPECT_EQ(place->leader, tail.leader);
      ++counts.leads[place->leader];
    }
    EXPECT_EQ(counts.leads[NodeId{3}] > 0, settled);
  }
}

TEST(Placement, copy_goes_where_there_is_none) {
  TestCluster cluster(4, 2);  // racks: 1 and 3, 2 and 4
  auto living = alive(4);
  Placer placer(cluster.state, living);
  std::vector<NodeId> has{NodeId{1}};
  auto to = placer.place_copy({uuid_of(1), 0}, has, 100);
  ASSERT_TRUE(to);
  EXPECT_EQ(to->value % 2, 0u);  // the other rack
  has = {NodeId{1}, NodeId{2}, NodeId{3}, NodeId{4}};
  EXPECT_FALSE(placer.place_copy({uuid_of(1), 0}, has, 100));
}

}  // namespace
}  // namespace walrus::meta
