// Who is alive, in the eyes of a controller.

#include <gtest/gtest.h>

#include "meta/sights.h"
#include "meta/test_cluster.h"

namespace walrus::meta {
namespace {

using namespace std::chrono_literals;

constexpr Nanos kBegan = 1000s;
constexpr PartitionId kPartition{};

Heartbeat beat(std::uint64_t incarnation = 1, std::uint32_t lease_epoch = 1) {
  return {.incarnation = incarnation, .lease_epoch = lease_epoch};
}

class SightsTest : public ::testing::Test {
 protected:
  bool look(Nanos at) { return sights.look(cluster.state, kBegan + at); }
  void hear(std::uint64_t node, Nanos at, Heartbeat what = beat()) {
    sights.heard(NodeId{node}, what, kBegan + at);
  }
  bool ready(Nanos at) { return sights.ready(cluster.state, kBegan + at); }
  bool alive(std::uint64_t node) { return sights.alive(NodeId{node}); }

  TestCluster cluster{3};
  Sights sights{kBegan, 350ms};
};

TEST_F(SightsTest, nobody_is_judged_before_all_were_heard_or_the_time_is_over) {
  EXPECT_FALSE(ready(0ms));
  for (std::uint64_t node = 1; node <= 2; ++node) hear(node, 10ms);
  EXPECT_FALSE(ready(20ms));
  EXPECT_TRUE(ready(351ms));
  hear(3, 30ms);
  EXPECT_TRUE(ready(30ms));
}

TEST_F(SightsTest, how_a_node_is_counts_for_a_while) {
  const SlowCopy slow{kPartition, SegmentId{7}, NodeId{3}};
  hear(3, 0ms);
  look(0ms);
  look(0ms);
  sights.told(NodeId{1}, {.full = true}, kBegan);
  EXPECT_TRUE(look(0ms));                                    // something to plan for
  const SlowCopy away{kPartition, SegmentId{7}, NodeId{2}};  // not slow: it does not answer
  sights.told(NodeId{2}, {.slow = {slow, away}}, kBegan);
  look(0ms);
  hear(3, 1s);
  sights.told(NodeId{2}, {.slow = {slow}}, kBegan + 1s);
  EXPECT_FALSE(look(1s));
  auto observe = [&](Nanos at) {
    Observed observed;
    sights.observe(observed, kBegan + at);
    return observed;
  };
  EXPECT_EQ(observe(1s).full, std::vector{NodeId{1}});
  EXPECT_EQ(observe(1s).slow, std::vector{slow});
  EXPECT_EQ(sights.conditions(kBegan + 1s).nodes.size(), 2u);
  sights.told(NodeId{1}, {}, kBegan + 2s);
  EXPECT_TRUE(observe(2s).full.empty());
  EXPECT_EQ(sights.conditions(kBegan + 2s).nodes.size(), 1u);
  EXPECT_TRUE(observe(1s + kConditionLasts + 1ms).slow.empty());  // it says no more
  EXPECT_EQ(observe(1s + kSlowLasts).slow_nodes, std::vector{NodeId{3}});
  EXPECT_TRUE(observe(1s + kSlowLasts + 1ms).slow_nodes.empty());
}

TEST_F(SightsTest, who_says_goodbye_need_not_be_waited_for) {
  hear(1, 10ms);
  hear(2, 10ms);
  auto goodbye = beat();
  goodbye.leaving = Leaving::kNow;
  hear(3, 10ms, goodbye);
  EXPECT_TRUE(ready(10ms));
  look(10ms);
  EXPECT_TRUE(alive(1));
  EXPECT_FALSE(alive(3));
}

TEST_F(SightsTest, lives_until_three_heartbeats_are_missed) {
  hear(1, 100ms);
  EXPECT_TRUE(look(100ms));
  EXPECT_TRUE(alive(1));
  EXPECT_FALSE(look(450ms));
  EXPECT_TRUE(look(451ms));
  EXPECT_FALSE(alive(1));
  EXPECT_EQ(sights.since(NodeId{1}, kBegan + 500ms), 49ms);
  hear(1, 600ms);
  EXPECT_TRUE(look(600ms));
  EXPECT_TRUE(alive(1));
}

TEST_F(SightsTest, another_life_or_an_old_lease_is_not_alive) {
  hear(1, 10ms, beat(2));
  hear(2, 10ms, beat(1, 0));
  look(10ms);
  EXPECT_FALSE(alive(1));
  EXPECT_FALSE(alive(2));
  hear(2, 20ms);
  look(20ms);
  EXPECT_TRUE(alive(2));
  cluster.done(ExpireLease{NodeId{2}, cluster.node(2).version});
  EXPECT_TRUE(look(30ms));
  EXPECT_FALSE(alive(2));
}

TEST_F(SightsTest, a_broken_connection_counts_until_it_is_heard_again) {
  hear(1, 10ms);
  look(10ms);
  sights.gone(NodeId{1});
  EXPECT_TRUE(look(20ms));
  EXPECT_FALSE(alive(1));
  hear(1, 30ms);
  EXPECT_TRUE(look(30ms));
  EXPECT_TRUE(alive(1));
}

TEST_F(SightsTest, a_new_life_begins_to_count_anew) {
  hear(1, 0ms);
  look(0ms);
  auto life = TestCluster::life_of(1);
  life.incarnation = 2;
  life.claimed = {1};
  life.expected = cluster.node(1).version;
  cluster.done(life);
  hear(1, 10s, beat(2, 2));
  EXPECT_TRUE(look(10s));
  EXPECT_TRUE(alive(1));
  EXPECT_EQ(sights.since(NodeId{1}, kBegan + 11s), 1s);
}

TEST_F(SightsTest, sees_all_but_removed_nodes) {
  hear(1, 0ms);
  look(0ms);
  cluster.set_state(3, NodeState::kRemoved, true);
  const auto all = sights.see(cluster.state, kBegan + 1s);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0], (Sight{NodeId{1}, true, 1, 1s}));
  EXPECT_EQ(all[1], (Sight{NodeId{2}, false, 1, 1s}));
}

TEST_F(SightsTest, wishes_are_those_of_the_living) {
  auto wish = beat();
  wish.wanted = {kPartition};
  hear(1, 0ms, wish);
  EXPECT_TRUE(look(0ms));
  EXPECT_EQ(sights.wanted(), std::vector{kPartition});
  hear(1, 100ms, wish);
  EXPECT_FALSE(look(100ms));  // the same as before
  EXPECT_TRUE(look(1s));
  EXPECT_TRUE(sights.wanted().empty());
}

TEST_F(SightsTest, measures_how_fast_copies_are_made) {
  std::uint64_t bytes = 5'000'000;  // from before: does not count
  for (auto at = 0s; at <= 8s; at += 1s, bytes += 1'000'000) {
    auto copied = beat();
    copied.copied_bytes = bytes;
    hear(1, at, copied);
    sights.copy_bytes_per_s(kBegan + at);
  }
  EXPECT_EQ(sights.copy_bytes_per_s(kBegan + 8s), 1'000'000u);
}

}  // namespace
}  // namespace walrus::meta
