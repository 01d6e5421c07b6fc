// Membership changes and snapshots of the core, one behaviour a test.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raft/core.h"
#include "raft/test_group.h"

namespace walrus::raft {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using Kind = MemberChange::Kind;

constexpr auto id = TestGroup::id;

// ---- Membership ----

TEST(MembershipTest, learner_is_promoted_when_it_has_caught_up) {
  TestGroup group(3, [](Options& options) { options.promotion_lag_max = 2; });
  group.elect(1);
  for (int i = 0; i < 5; ++i) group.propose(1, "a");
  group.start(4);
  group.cut = {{1, 4}};
  ASSERT_EQ(group.change(1, {{Kind::kAddLearner, id(4), "n"}}), Refusal::kNone);
  EXPECT_EQ(group.change(1, {{Kind::kPromote, id(4)}}), Refusal::kNotCaughtUp);
  group.heal();
  group.pass(milliseconds(300));
  EXPECT_EQ(group.at(4).applied.size(), 5u);
  EXPECT_EQ(group.change(1, {{Kind::kPromote, id(4)}}), Refusal::kNone);
  EXPECT_FALSE(group.core(1).membership().joint);  // left as soon as it was committed
  EXPECT_TRUE(is_voter(group.core(1).membership(), id(4)));
}

TEST(MembershipTest, learner_neither_votes_nor_counts) {
  TestGroup group(2);
  group.elect(1);
  group.start(3);
  group.change(1, {{Kind::kAddLearner, id(3), "n"}});
  auto before = group.core(1).commit();
  group.isolate(2);
  group.propose(1, "a");
  EXPECT_EQ(group.core(1).commit(), before);
  group.pass(seconds(5));
  EXPECT_EQ(group.leader(), 0);
}

TEST(MembershipTest, joint_configuration_needs_both_majorities) {
  TestGroup group(3);
  group.elect(1);
  for (int node : {4, 5, 6}) {
    group.start(node);
    ASSERT_EQ(group.change(1, {{Kind::kAddLearner, id(node), "n"}}), Refusal::kNone);
  }
  group.pass(milliseconds(300));
  auto before = group.core(1).commit();
  group.isolate(2);
  group.isolate(3);  // of the old three the leader is alone
  ASSERT_EQ(
      group.change(1, {{Kind::kPromote, id(4)}, {Kind::kPromote, id(5)}, {Kind::kPromote, id(6)}}),
      Refusal::kNone);
  EXPECT_EQ(group.core(1).commit(), before);
  EXPECT_TRUE(group.core(1).membership().joint);
  EXPECT_EQ(group.change(1, {{Kind::kDemote, id(2)}}), Refusal::kChangeInProgress);
  group.heal();
  group.pass(milliseconds(300));
  EXPECT_FALSE(group.core(1).membership().joint);
  EXPECT_GT(group.core(1).commit(), before);
}

TEST(MembershipTest, joint_election_needs_both_majorities) {
  TestGroup group(3);
  group.elect(1);
  group.start(4);
  group.start(5);
  group.change(1, {{Kind::kAddLearner, id(4), "n"}});
  group.change(1, {{Kind::kAddLearner, id(5), "n"}});
  group.pass(milliseconds(300));
  // {1,2,3} to {3,4,5}: the joint configuration reaches 3, 4 and 5 only.
  group.isolate(2);
  group.change(1,
               {{Kind::kPromote, id(4)},
                {Kind::kPromote, id(5)},
                {Kind::kRemove, id(1)},
                {Kind::kRemove, id(2)}},
               false);
  group.settle([](const Message& message) { return message.to == id(1); });
  ASSERT_TRUE(group.core(3).membership().joint);
  group.isolate(1);
  group.elect(3);  // 3, 4, 5 are all of the new voters, and one of three old ones
  EXPECT_NE(group.core(3).role(), Role::kLeader);
  group.cut.clear();
  group.isolate(1);
  group.elect(3);
  EXPECT_EQ(group.core(3).role(), Role::kLeader);
}

TEST(MembershipTest, configuration_rolls_back_with_its_truncated_entry) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(1);
  group.start(4);
  ASSERT_EQ(group.change(1, {{Kind::kAddLearner, id(4), "n"}}), Refusal::kNone);
  ASSERT_NE(find_member(group.core(1).membership(), id(4)), nullptr);
  group.elect(2);
  group.propose(2, "kept");
  group.heal();
  group.isolate(4);
  group.pass(seconds(1));
  EXPECT_EQ(find_member(group.core(1).membership(), id(4)), nullptr);
  EXPECT_EQ(group.core(1).membership_index(), 0u);
}

TEST(MembershipTest, removed_leader_steps_aside_when_that_is_committed) {
  TestGroup group(3);
  group.elect(1);
  ASSERT_EQ(group.change(1, {{Kind::kRemove, id(1)}}), Refusal::kNone);
  EXPECT_NE(group.core(1).role(), Role::kLeader);
  group.pass(milliseconds(100));
  ASSERT_NE(group.leader(), 0);
  EXPECT_NE(group.leader(), 1);
  EXPECT_EQ(group.core(group.leader()).membership().members.size(), 2u);
  group.propose(group.leader(), "a");
  EXPECT_THAT(group.at(group.leader()).applied, ElementsAre("a"));
}

TEST(MembershipTest, removed_node_disturbs_nobody) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(3);
  ASSERT_EQ(group.change(1, {{Kind::kRemove, id(3)}}), Refusal::kNone);
  group.heal();
  auto term = group.core(1).term();
  group.pass(seconds(10));  // it never learned of it, and asks for pre-votes
  EXPECT_EQ(group.leader(), 1);
  EXPECT_EQ(group.core(1).term(), term);
}

// Thesis §4.2.2: only the log of the removed voter may be good enough to win.
TEST(MembershipTest, voter_whose_removal_is_not_committed_may_still_lead) {
  TestGroup group(2);
  group.elect(1);
  group.start(3);
  group.change(1, {{Kind::kAddLearner, id(3), "n"}});
  group.pass(milliseconds(300));
  // {1,2} to {2,3}. The entry that leaves the joint configuration stays on node 1.
  group.change(1, {{Kind::kPromote, id(3)}, {Kind::kRemove, id(1)}}, false);
  group.settle([&](const Message& message) {
    const auto* append = std::get_if<Append>(&message.body);
    return append && !group.core(1).membership().joint;
  });
  ASSERT_FALSE(is_voter(group.core(1).membership(), id(1)));
  ASSERT_TRUE(group.core(2).membership().joint);
  group.pass(seconds(10));
  ASSERT_NE(group.leader(), 0);
  EXPECT_FALSE(group.core(group.leader()).membership().joint);
  EXPECT_FALSE(is_voter(group.core(group.leader()).membership(), id(1)));
}

TEST(MembershipTest, impossible_changes_are_refused) {
  TestGroup group(2);
  group.elect(1);
  EXPECT_EQ(group.change(1, {}), Refusal::kInvalidChange);
  EXPECT_EQ(group.change(1, {{Kind::kPromote, id(9)}}), Refusal::kInvalidChange);
  EXPECT_EQ(group.change(1, {{Kind::kAddLearner, id(2), "n"}}), Refusal::kInvalidChange);
  EXPECT_EQ(group.change(1, {{Kind::kRemove, id(1)}, {Kind::kDemote, id(2)}}),
            Refusal::kInvalidChange);
  EXPECT_EQ(group.change(1, {{Kind::kDemote, id(2)}, {Kind::kRemove, id(2)}}),
            Refusal::kInvalidChange);
  EXPECT_EQ(group.change(1, {{Kind::kSetAddress, id(2), std::string(256, 'x')}}),
            Refusal::kInvalidChange);
  EXPECT_EQ(group.change(2, {{Kind::kDemote, id(1)}}), Refusal::kNotLeader);
  EXPECT_EQ(group.change(1, {{Kind::kSetAddress, id(2), "elsewhere"}}), Refusal::kNone);
  EXPECT_EQ(find_member(group.core(2).membership(), id(2))->address, "elsewhere");
}

TEST(MembershipTest, quorum_values_are_a_majority_s) {
  Membership membership;
  for (int i = 1; i <= 4; ++i) membership.members.push_back({.id = id(i), .voter = true});
  auto value_of = [](NodeId node) { return node.value * 10; };
  EXPECT_EQ(quorum_value<std::uint64_t>(membership, value_of), 20u);  // 20, 30 and 40 reach it
  membership.members.pop_back();
  EXPECT_EQ(quorum_value<std::uint64_t>(membership, value_of), 20u);
  membership.joint = true;
  for (auto& member : membership.members) member.voter_before = member.id == id(1);
  EXPECT_EQ(quorum_value<std::uint64_t>(membership, value_of), 10u);
}

// ---- Snapshots ----

void small_sizes(Options& options) {
  options.log_bytes_kept = 0;
  options.snapshot_chunk_bytes = 7;
  options.snapshot_chunks_in_flight_max = 2;
}

// Node 3 misses what the others have compacted.
void fall_behind(TestGroup& group) {
  group.elect(1);
  group.isolate(3);
  for (int i = 0; i < 20; ++i) group.propose(1, "command " + std::to_string(i));
  group.snapshot(1);
  ASSERT_EQ(group.core(1).log().base(), group.core(1).snapshot().last);
}

TEST(SnapshotTest, late_follower_gets_one_in_pieces) {
  TestGroup group(3, small_sizes);
  fall_behind(group);
  group.heal();
  group.pass(milliseconds(500));
  EXPECT_EQ(group.at(3).restored.size(), 1u);
  EXPECT_EQ(group.at(3).applied, group.at(1).applied);
  group.propose(1, "after");
  group.pass(milliseconds(200));
  EXPECT_EQ(group.at(3).applied, group.at(1).applied);
}

TEST(SnapshotTest, one_that_was_cut_goes_on_where_it_ended) {
  TestGroup group(3, small_sizes);
  fall_behind(group);
  group.heal();
  int pieces = 0;
  auto counted = [&](const Message& message) {
    const auto* chunk = std::get_if<SnapshotChunk>(&message.body);
    pieces += chunk && chunk->bytes.size() > 0;
    return pieces > 10;
  };
  for (int i = 0; i < 20; ++i) {
    group.skip(milliseconds(100));
    group.step(1, Tick{});
    group.settle(counted);
  }
  ASSERT_TRUE(group.at(3).disk.unfinished.has_value());
  auto received = group.at(3).disk.unfinished->received;
  EXPECT_GE(received, 5 * 7u);
  group.crash(3);
  group.start(3);
  std::uint64_t first = ~std::uint64_t{0};
  for (int i = 0; i < 20; ++i) {
    group.skip(milliseconds(100));
    group.step(1, Tick{});
    group.settle([&](const Message& message) {
      const auto* chunk = std::get_if<SnapshotChunk>(&message.body);
      if (chunk && chunk->bytes.size() > 0) first = std::min(first, chunk->position);
      return false;
    });
  }
  EXPECT_EQ(first, received);
  EXPECT_EQ(group.at(3).applied, group.at(1).applied);
}

// Lets a snapshot come over until its installation waits for the disk of node 3.
void await_install(TestGroup& group) {
  group.at(3).disk_holds = true;
  group.heal();
  auto& waiting = group.at(3).waiting;
  for (int i = 0; i < 200 && (waiting.empty() || !waiting.back().install); ++i) {
    group.release(3);
    group.pass(milliseconds(10));
  }
  ASSERT_FALSE(waiting.empty());
  ASSERT_TRUE(waiting.back().install.has_value());
}

TEST(SnapshotTest, one_that_was_whole_before_a_crash_is_installed_after_it) {
  TestGroup group(3, small_sizes);
  fall_behind(group);
  await_install(group);
  auto& node = group.at(3);
  node.waiting.back().install.reset();  // the crash comes between the last piece and it
  node.waiting.back().base.reset();
  group.write_without_telling(3);
  group.crash(3);
  node.disk_holds = false;
  ASSERT_EQ(node.disk.unfinished->received, node.disk.unfinished->meta.size);
  group.start(3);
  group.pass(seconds(1));
  EXPECT_EQ(node.restored.size(), 1u);
  EXPECT_EQ(node.applied, group.at(1).applied);
}

TEST(SnapshotTest, piece_that_cannot_be_read_is_asked_for_again) {
  TestGroup group(3, small_sizes);
  fall_behind(group);
  group.serve_snapshots = false;
  group.heal();
  group.pass(milliseconds(150));
  auto meta = group.core(1).snapshot();
  EXPECT_TRUE(group.core(1).sends_snapshot(meta.id));
  group.step(1, SnapshotRead{.peer = id(3), .id = meta.id});
  group.serve_snapshots = true;
  group.pass(seconds(1));
  EXPECT_EQ(group.at(3).applied, group.at(1).applied);
  EXPECT_FALSE(group.core(1).sends_snapshot(meta.id));
}

TEST(SnapshotTest, is_restored_and_acknowledged_when_it_is_durable) {
  TestGroup group(3, small_sizes);
  fall_behind(group);
  await_install(group);
  EXPECT_TRUE(group.at(3).restored.empty());
  EXPECT_LT(group.core(1).status().peers[1].match, group.core(1).commit());
  group.release(3);
  group.settle();
  EXPECT_EQ(group.at(3).restored.size(), 1u);
  EXPECT_EQ(group.core(1).status().peers[1].match, group.core(1).commit());
}

// The new leader is told nothing that was meant for the old one, and the snapshot, which is
// committed in any term, is used all the same.
TEST(SnapshotTest, term_changes_while_one_is_installed) {
  TestGroup group(3, small_sizes);
  fall_behind(group);
  await_install(group);
  group.isolate(1);
  group.elect(2);
  ASSERT_EQ(group.core(3).term(), 2u);
  EXPECT_TRUE(group.at(3).restored.empty());
  group.release(3);
  EXPECT_EQ(group.under_way<AppendReply>().size(), 0u);
  group.at(3).disk_holds = false;
  group.settle();
  EXPECT_EQ(group.leader(), 2);
  EXPECT_EQ(group.at(3).restored.size(), 1u);
  group.propose(2, "new");
  group.heal();
  group.pass(seconds(1));
  EXPECT_EQ(group.at(3).applied.back(), "new");
  for (int node : {1, 3}) EXPECT_EQ(group.at(node).applied, group.at(2).applied);
}

TEST(SnapshotTest, carries_the_joint_configuration) {
  TestGroup group(3, small_sizes);
  group.elect(1);
  group.start(4);
  group.change(1, {{Kind::kAddLearner, id(4), "n"}});
  group.pass(milliseconds(300));
  group.isolate(3);
  // The joint configuration is committed, the one behind it stays where it is.
  group.change(1, {{Kind::kPromote, id(4)}, {Kind::kDemote, id(3)}}, false);
  group.settle([&](const Message& message) {
    const auto* append = std::get_if<Append>(&message.body);
    return append && !group.core(1).membership().joint;
  });
  auto applied = group.at(1).applied_index;
  ASSERT_LT(applied, group.core(1).membership_index());
  group.snapshot(1);
  EXPECT_TRUE(group.core(1).snapshot().membership.joint);
  EXPECT_EQ(group.core(1).snapshot().last.index, applied);
  group.heal();
  group.pass(seconds(1));
  EXPECT_EQ(group.core(3).snapshot().membership, group.core(1).snapshot().membership);
  EXPECT_FALSE(group.core(3).membership().joint);  // by the entry behind it
}

TEST(SnapshotTest, newcomer_takes_none_before_it_knows_a_configuration) {
  TestGroup group(1);
  for (int i = 0; i < 3; ++i) group.propose(1, "a");
  group.start(2);
  group.change(1, {{Kind::kAddLearner, id(2), "n"}});
  group.pass(milliseconds(300));
  EXPECT_EQ(group.core(2).snapshot_at(2), std::nullopt);
  EXPECT_TRUE(group.core(2).snapshot_at(group.core(2).commit()).has_value());
  EXPECT_EQ(group.core(2).snapshot_at(group.core(2).commit() + 1), std::nullopt);
}

TEST(SnapshotTest, log_behind_it_is_kept_for_peers_that_are_a_little_late) {
  TestGroup group(3, [](Options& options) { options.log_bytes_kept = 5 * 80; });
  group.elect(1);
  group.isolate(3);
  for (int i = 0; i < 20; ++i) group.propose(1, "abc");
  group.snapshot(1);
  EXPECT_EQ(group.core(1).log().base().index, group.core(1).snapshot().last.index - 5);
}

TEST(SnapshotTest, ahead_of_the_log_on_the_disk_replaces_it) {
  TestGroup group(3, small_sizes);
  group.elect(1);
  group.at(2).disk_holds = true;
  for (int i = 0; i < 5; ++i) group.propose(1, "a");
  group.pass(milliseconds(200));
  ASSERT_EQ(group.at(2).applied.size(), 5u);  // committed by the others
  group.snapshot(2);
  group.crash(2);
  group.at(2).disk_holds = false;
  group.start(2);
  EXPECT_EQ(group.core(2).log().base(), group.core(2).snapshot().last);
  EXPECT_EQ(group.at(2).disk.base, group.core(2).snapshot().last);
  group.propose(1, "b");
  group.pass(milliseconds(200));
  EXPECT_EQ(group.at(2).applied.size(), 6u);
}

}  // namespace
}  // namespace walrus::raft
