// Who is in the metadata group, and who votes.

#include <gtest/gtest.h>

#include "meta/test_cluster.h"
#include "meta/voters.h"
#include "raft/membership.h"

namespace walrus::meta {
namespace {

class VotersTest : public ::testing::Test {
 protected:
  // Nodes 1 to n, active and alive; members all, of which the first votes and leads.
  void begin(std::uint64_t nodes, std::uint64_t racks = 0) {
    cluster = TestCluster(nodes, racks);
    for (std::uint64_t id = 1; id <= nodes; ++id) {
      group.members.push_back({.id = NodeId{id}, .address = "10.0.0.1:9093", .voter = id == 1});
      sight.alive.insert(NodeId{id});
    }
    sight.self = NodeId{1};
  }
  // Changes until there is nothing to do; at most so many times.
  void settle(int at_most = 20) {
    for (int i = 0; i < at_most; ++i) {
      const auto changes = next_members(group, cluster.state, sight, voters_max);
      if (changes.empty()) return;
      auto next = raft::changed(group, changes);
      ASSERT_TRUE(next) << next.error().message;
      group = next->joint ? raft::left_joint(*next) : *next;
      std::size_t voters = 0;
      for (const auto& one : group.members) voters += one.voter;
      EXPECT_EQ(voters % 2, 1u);
      for (const auto& change : changes)
        if (change.kind == raft::MemberChange::Kind::kRemove) sight.lost.erase(change.id);
    }
    FAIL() << "it does not come to an end";
  }
  std::vector<std::uint64_t> voters() {
    std::vector<std::uint64_t> all;
    for (const auto& one : group.members)
      if (one.voter) all.push_back(one.id.value);
    return all;
  }
  void die(std::uint64_t node, bool for_long = false) {
    sight.alive.erase(NodeId{node});
    if (for_long) sight.away.insert(NodeId{node});
  }
  using Ids = std::vector<std::uint64_t>;

  TestCluster cluster{1};
  raft::Membership group{};
  VoterSight sight{};
  std::uint32_t voters_max = 3;
};

TEST_F(VotersTest, one_votes_of_one_and_of_two) {
  begin(2);
  settle();
  EXPECT_EQ(voters(), Ids{1});
}

TEST_F(VotersTest, three_vote_of_three_and_of_more) {
  begin(3);
  settle();
  EXPECT_EQ(voters(), (Ids{1, 2, 3}));
  group = {};
  begin(6);
  settle();
  EXPECT_EQ(voters(), (Ids{1, 2, 3}));
}

TEST_F(VotersTest, five_vote_if_so_wanted) {
  voters_max = 5;
  begin(6);
  settle();
  EXPECT_EQ(voters(), (Ids{1, 2, 3, 4, 5}));
  group = {};
  begin(4);
  settle();
  EXPECT_EQ(voters(), (Ids{1, 2, 3}));
}

TEST_F(VotersTest, never_two_while_the_third_is_dead) {
  begin(3);
  die(3);
  settle();
  EXPECT_EQ(voters(), Ids{1});
}

TEST_F(VotersTest, racks_are_spread) {
  begin(6, 3);  // racks 1, 2, 0, 1, 2, 0
  settle();
  EXPECT_EQ(voters(), (Ids{1, 2, 3}));
  group = {};
  begin(4, 2);  // racks 1, 0, 1, 0
  settle();
  EXPECT_EQ(voters(), (Ids{1, 2, 3}));
}

TEST_F(VotersTest, who_votes_goes_on_when_others_come) {
  begin(5);
  for (auto& one : group.members) one.voter = one.id.value >= 3;
  sight.self = NodeId{4};
  settle();
  EXPECT_EQ(voters(), (Ids{3, 4, 5}));
}

TEST_F(VotersTest, a_voter_that_is_dead_for_long_is_replaced_and_one_for_short_is_not) {
  begin(4);
  settle();
  die(2);
  settle();
  EXPECT_EQ(voters(), (Ids{1, 2, 3}));
  die(2, true);
  settle();
  EXPECT_EQ(voters(), (Ids{1, 3, 4}));
}

TEST_F(VotersTest, nobody_is_there_to_replace_a_dead_voter) {
  begin(3);
  settle();
  die(2, true);
  settle();
  EXPECT_EQ(voters(), (Ids{1, 2, 3}));
}

TEST_F(VotersTest, a_draining_voter_hands_over_if_somebody_can_take) {
  begin(4);
  settle();
  cluster.set_state(2, NodeState::kDraining);
  settle();
  EXPECT_EQ(voters(), (Ids{1, 3, 4}));
  group = {};
  begin(3);
  settle();
  cluster.set_state(2, NodeState::kDraining);
  settle();
  EXPECT_EQ(voters(), (Ids{1, 2, 3}));
  cluster.set_state(2, NodeState::kDrained);
  settle();
  EXPECT_EQ(voters(), Ids{1});
}

TEST_F(VotersTest, a_removed_node_is_no_member) {
  begin(4);
  settle();
  cluster.set_state(3, NodeState::kRemoved, true);
  settle();
  EXPECT_EQ(voters(), (Ids{1, 2, 4}));
  EXPECT_EQ(raft::find_member(group, NodeId{3}), nullptr);
  cluster.set_state(4, NodeState::kRemoved, true);
  settle();
  EXPECT_EQ(voters(), Ids{1});
}

TEST_F(VotersTest, the_leader_that_is_removed_goes_too) {
  begin(3);
  settle();
  cluster.set_state(1, NodeState::kRemoved, true);
  settle();
  EXPECT_EQ(voters(), Ids{2});
}

TEST_F(VotersTest, who_lost_its_disk_begins_anew) {
  begin(4);
  settle();
  sight.lost = {NodeId{2}};
  const auto changes = next_members(group, cluster.state, sight, voters_max);
  ASSERT_EQ(changes.size(), 2u);  // out, and another one votes
  settle();
  EXPECT_EQ(voters(), (Ids{1, 3, 4}));
  ASSERT_NE(raft::find_member(group, NodeId{2}), nullptr);
}

TEST_F(VotersTest, strangers_go_and_registered_nodes_come) {
  begin(3);
  group.members.push_back({.id = NodeId{9}, .address = "x:1"});
  settle();
  EXPECT_NE(raft::find_member(group, NodeId{9}), nullptr);  // it may be about to register
  sight.strangers = {NodeId{9}};
  settle();
  EXPECT_EQ(raft::find_member(group, NodeId{9}), nullptr);
  std::erase_if(group.members, [](const auto& one) { return one.id == NodeId{3}; });
  group.members[1].address = "another:1";
  settle();
  EXPECT_EQ(raft::find_member(group, NodeId{2})->address, "10.0.0.1:9093");
  EXPECT_EQ(voters(), (Ids{1, 2, 3}));
}

// The only voter would be one that cannot even confirm that it is.
TEST_F(VotersTest, the_dead_are_not_made_a_majority) {
  begin(3);
  settle();
  cluster.set_state(1, NodeState::kDraining);
  cluster.set_state(3, NodeState::kDraining);
  cluster.set_state(3, NodeState::kDrained);
  die(2);
  settle();
  EXPECT_EQ(voters(), Ids{1});  // it is being drained, but it is there
  group = {};
  begin(4);
  settle();
  die(2);
  die(3, true);
  cluster.set_state(4, NodeState::kRemoved, true);
  settle();
  EXPECT_EQ(voters(), (Ids{1, 2, 3}));
  EXPECT_EQ(raft::find_member(group, NodeId{4}), nullptr);  // it did not vote
}

// As after a recovery of the metadata by a node that was drained: others come back, and have to be
// let in anew before one of them can vote.
TEST_F(VotersTest, who_does_not_vote_begins_anew_though_nobody_could_take_over) {
  begin(3);
  for (auto state : {NodeState::kDraining, NodeState::kDrained}) cluster.set_state(1, state);
  die(2);
  die(3);
  sight.lost = {NodeId{2}};
  auto changes = next_members(group, cluster.state, sight, voters_max);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].kind, raft::MemberChange::Kind::kRemove);
  EXPECT_EQ(changes[0].id, NodeId{2});
  settle();
  EXPECT_EQ(voters(), Ids{1});
  ASSERT_NE(raft::find_member(group, NodeId{2}), nullptr);
  sight.alive.insert({NodeId{2}, NodeId{3}});
  settle();
  EXPECT_EQ(voters(), Ids{2});  // two nodes stay: one votes
}

TEST_F(VotersTest, waits_while_a_change_is_under_way) {
  begin(3);
  group.joint = true;
  EXPECT_TRUE(next_members(group, cluster.state, sight, voters_max).empty());
}

}  // namespace
}  // namespace walrus::meta
