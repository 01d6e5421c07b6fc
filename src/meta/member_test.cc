// Member and Controller on simulated machines: a cluster is founded and joined, agrees, leases,
// loses nodes and goes on.

#include "meta/member_fixture.h"

namespace walrus::meta {
namespace {

Uuid named(std::uint8_t number) {
  Uuid uuid;
  uuid.bytes.fill(static_cast<char>(number));
  return uuid;
}
CreateTopic topic(std::uint8_t number, std::uint32_t partitions = 1, std::uint32_t copies = 3,
                  std::uint32_t min_copies = 2) {
  return {.topic = named(number),
          .name = "t" + std::to_string(number),
          .partitions = partitions,
          .replication_factor = copies,
          .min_copies = min_copies};
}

TEST_F(MemberTest, founds_a_cluster_of_one) {
  start(0);
  ASSERT_TRUE(run(0, member(0).registered(5s)));
  ASSERT_TRUE(until([&] { return active(1); }));
  EXPECT_EQ(member(0).image()->cluster.id, member(0).cluster_id());
  EXPECT_EQ(member(0).leader(), NodeId{1});
  EXPECT_EQ(voters(), 1u);
  auto created = propose(0, topic(1, 1, 1, 1));
  ASSERT_TRUE(created) << created.error().message;
  EXPECT_TRUE(created->done());
  EXPECT_NE(member(0).image()->find_topic("t1"), nullptr);
}

TEST_F(MemberTest, joins_by_address_and_becomes_active) {
  found(3);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(member(i).cluster_id(), member(0).cluster_id());
    EXPECT_EQ(node(i, 0)->incarnation, member(i).incarnation());
    EXPECT_EQ(node(i, 0)->directory, member(i).identity().directory);
  }
}

TEST_F(MemberTest, two_nodes_have_one_voter) {
  found(2);
  world_.run_for(5s);
  EXPECT_EQ(voters(), 1u);
}

TEST_F(MemberTest, proposes_from_any_node) {
  found(3);
  for (std::uint8_t i = 0; i < 3; ++i) {
    auto created = propose(i, topic(static_cast<std::uint8_t>(i + 1)));
    ASSERT_TRUE(created) << created.error().message;
    EXPECT_TRUE(created->done()) << refusal_name(created->refusal);
    EXPECT_NE(member(i).image()->topics.find(named(static_cast<std::uint8_t>(i + 1))), nullptr);
    auto again = propose(i, topic(static_cast<std::uint8_t>(i + 1)));
    ASSERT_TRUE(again);
    EXPECT_EQ(again->refusal, Refusal::kExists);
  }
  auto seen = run(2, member(2).current());
  ASSERT_TRUE(seen) << seen.error().message;
  EXPECT_EQ((*seen)->topics.size(), 3u);
}

TEST_F(MemberTest, an_image_follows_what_was_proposed_elsewhere) {
  found(3);
  const auto before = world_.now();
  const auto who = leader();
  ASSERT_TRUE(propose(who, topic(1)));
  ASSERT_TRUE(until([&] {
    for (std::size_t i = 0; i < 3; ++i)
      if (!member(i).image()->topics.find(named(1))) return false;
    return true;
  }));
  EXPECT_LT(world_.now() - before, 60ms);  // not with the next heartbeat of the group
}

TEST_F(MemberTest, leases_are_renewed) {
  found(3);
  world_.run_for(1s);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_GE(told(i).leases, 8) << i;
    EXPECT_GT(told(i).leased_at, world_.now() - 250ms) << i;
  }
}

TEST_F(MemberTest, a_node_that_is_cut_off_has_no_lease) {
  found(3);
  const auto other = (leader() + 1) % 3;
  world_.network().isolate(static_cast<int>(other));
  world_.run_for(1s);
  EXPECT_LT(told(other).leased_at, world_.now() - 900ms);
  world_.network().heal_all();
  ASSERT_TRUE(until([&] { return told(other).leased_at > world_.now() - 150ms; }));
}

TEST_F(MemberTest, a_leader_without_a_majority_grants_none) {
  found(3);
  const auto old = leader();
  world_.network().isolate(static_cast<int>(old));
  world_.run_for(1'500ms);
  EXPECT_LT(told(old).leased_at, world_.now() - 900ms);
}

TEST_F(MemberTest, goes_on_when_the_leader_dies) {
  found(3);
  const auto old = leader();
  const auto at = world_.now();
  crash(old);
  const auto other = (old + 1) % 3;
  auto created = propose(other, topic(1));
  ASSERT_TRUE(created) << created.error().message;
  EXPECT_TRUE(created->done());
  EXPECT_LT(world_.now() - at, 1'500ms);
  EXPECT_NE(leader(), old);
}

TEST_F(MemberTest, a_node_comes_back_in_a_new_life) {
  found(3);
  const auto before = member(2).incarnation();
  crash(2, io::CrashKind::kPowerCut);
  world_.run_for(1s);
  restart(2);
  auto registered = run(2, member(2).registered(10s));
  ASSERT_TRUE(registered) << registered.error().message;
  EXPECT_GT(member(2).incarnation(), before);
  EXPECT_EQ(node(2, 2)->incarnation, member(2).incarnation());
  EXPECT_EQ(node(2, 2)->intact_from, SegmentId{});
  EXPECT_EQ(node(2, 2)->state, NodeState::kActive);
}

TEST_F(MemberTest, the_whole_cluster_comes_back) {
  found(3);
  ASSERT_TRUE(propose(1, topic(1)));
  for (std::size_t i = 0; i < 3; ++i) crash(i, io::CrashKind::kPowerCut);
  for (std::size_t i = 0; i < 3; ++i) restart(i);
  for (std::size_t i = 0; i < 3; ++i) {
    auto registered = run(i, member(i).registered(10s));
    ASSERT_TRUE(registered) << registered.error().message;
    EXPECT_NE(member(i).image()->topics.find(named(1)), nullptr);
  }
}

}  // namespace
}  // namespace walrus::meta
