// Elections, replication, persistence and reads of the core, one behaviour a test; several are
// scenarios that broke other implementations. Membership and snapshots have files of their own.

#include "raft/core.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raft/test_group.h"

namespace walrus::raft {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

// ---- Elections ----

TEST(CoreTest, elects_and_replicates) {
  TestGroup group(3);
  group.elect(1);
  ASSERT_EQ(group.leader(), 1);
  group.propose(1, "a");
  group.pass(milliseconds(200));
  for (int node : {1, 2, 3}) EXPECT_THAT(group.at(node).applied, ElementsAre("a"));
}

TEST(CoreTest, lone_node_leads_without_waiting) {
  TestGroup group(1);
  EXPECT_EQ(group.leader(), 1);
  group.propose(1, "a");
  EXPECT_THAT(group.at(1).applied, ElementsAre("a"));
}

TEST(CoreTest, vote_is_answered_when_it_is_durable) {
  TestGroup group(3);
  group.at(2).disk_holds = true;
  group.isolate(3);
  group.elect(1);
  EXPECT_EQ(group.leader(), 0);
  EXPECT_EQ(group.core(2).term(), 1u);
  group.release(2);
  group.settle();
  EXPECT_EQ(group.leader(), 1);
}

TEST(CoreTest, vote_that_was_lost_with_the_node_is_not_counted) {
  TestGroup group(3);
  group.at(2).disk_holds = true;
  group.isolate(3);
  group.elect(1);
  group.crash(2);
  group.start(2);
  group.settle();
  EXPECT_EQ(group.leader(), 0);
  EXPECT_EQ(group.core(2).term(), 0u);
}

TEST(CoreTest, candidate_asks_after_its_own_vote_is_durable) {
  TestGroup group(3);
  group.at(1).disk_holds = true;
  group.elect(1);
  EXPECT_EQ(group.core(1).role(), Role::kCandidate);
  EXPECT_EQ(group.core(2).term(), 0u);
  group.release(1);
  group.settle();
  EXPECT_EQ(group.leader(), 1);
}

TEST(CoreTest, candidate_claims_only_what_is_durable) {
  TestGroup group(3);
  group.elect(1);
  group.at(2).disk_holds = true;
  group.propose(1, "a");
  ASSERT_EQ(group.core(2).log().last_index(), 2u);
  group.isolate(1);
  group.elect(2);  // its pre-vote claims entry 1, node 3 has entry 2
  EXPECT_NE(group.leader(), 2);
  EXPECT_NE(group.core(2).role(), Role::kCandidate);
  group.release(2);
  group.elect(2);
  group.release(2);
  group.settle();
  EXPECT_EQ(group.leader(), 2);
}

TEST(CoreTest, pre_vote_raises_no_term) {
  TestGroup group(3);
  group.elect(1);
  auto term = group.core(1).term();
  group.isolate(3);
  group.pass(seconds(10));
  EXPECT_EQ(group.core(3).term(), term);
  group.heal();
  group.pass(seconds(2));
  EXPECT_EQ(group.leader(), 1);
  EXPECT_EQ(group.core(1).term(), term);
}

// Both campaign at once, and each has its own vote.
TEST(CoreTest, a_split_vote_is_tried_again_before_an_election_timeout) {
  TestGroup group(3);
  group.elect(1);
  group.crash(1);
  group.skip(seconds(3));
  group.step(2, Tick{});
  group.step(3, Tick{});
  group.settle();
  ASSERT_EQ(group.core(2).role(), Role::kCandidate);
  ASSERT_EQ(group.core(3).role(), Role::kCandidate);
  group.pass(milliseconds(450));  // the least election timeout is 500
  EXPECT_NE(group.leader(), 0);
}

// What delays elections, a slow disk say, may be there for long: they become fewer.
TEST(CoreTest, elections_that_nobody_wins_become_fewer) {
  TestGroup group(3);
  group.elect(1);
  group.crash(1);
  group.crash(3);
  group.skip(seconds(3));
  const auto begun = group.now();
  std::vector<Nanos> at;
  while (at.size() < 8 && group.now() < begun + seconds(30)) {
    group.skip(milliseconds(10));
    if (group.at(2).actions.wake_at > group.now()) continue;
    group.step(2, Tick{});
    at.push_back(group.now() - begun);
    group.network.clear();
  }
  ASSERT_EQ(at.size(), 8u);
  EXPECT_LE(at[1] - at[0], milliseconds(210));
  EXPECT_GE(at[2] - at[1], milliseconds(200));
  for (std::size_t i = 3; i < at.size(); ++i) EXPECT_GE(at[i] - at[i - 1], milliseconds(500));
}

TEST(CoreTest, shorter_log_is_not_elected) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(3);
  group.propose(1, "a");
  group.heal();
  group.isolate(1);
  group.elect(3);
  EXPECT_NE(group.core(3).role(), Role::kLeader);
  group.elect(2);
  EXPECT_EQ(group.core(2).role(), Role::kLeader);
}

TEST(CoreTest, nobody_votes_while_a_leader_is_heard) {
  TestGroup group(3);
  group.elect(1);
  Message ask{.from = TestGroup::id(3),
              .to = TestGroup::id(2),
              .term = 9,
              .body = VoteRequest{.last = {9, 9}}};
  group.step(2, Receive{ask});
  EXPECT_EQ(group.core(2).term(), 1u);
}

// Its process has ended: nobody waits until it is missed, and nobody is bound by having heard it.
TEST(CoreTest, a_leader_that_is_known_to_be_gone_is_followed_at_once) {
  TestGroup group(3);
  group.elect(1);
  group.pass(milliseconds(200));
  group.crash(1);
  group.step(2, LeaderGone{TestGroup::id(3)});  // nobody who leads
  group.pass(milliseconds(100));
  EXPECT_EQ(group.core(2).leader(), TestGroup::id(1));
  group.step(2, LeaderGone{TestGroup::id(1)});
  group.step(3, LeaderGone{TestGroup::id(1)});
  EXPECT_EQ(group.core(2).leader(), NodeId{});
  group.pass(milliseconds(350));  // a vote that was split included
  EXPECT_GT(group.leader(), 1);
}

// One that errs about it disturbs nobody.
TEST(CoreTest, who_thinks_alone_that_the_leader_is_gone_wins_nothing) {
  TestGroup group(3);
  group.elect(1);
  group.step(2, LeaderGone{TestGroup::id(1)});
  group.pass(seconds(2));
  EXPECT_EQ(group.leader(), 1);
  EXPECT_EQ(group.core(2).leader(), TestGroup::id(1));
  EXPECT_EQ(group.core(1).term(), 1u);
}

TEST(CoreTest, restarted_node_keeps_the_promise_it_forgot) {
  TestGroup group(3);
  group.elect(1);
  group.crash(2);
  group.start(2);
  Message ask{.from = TestGroup::id(3),
              .to = TestGroup::id(2),
              .term = 9,
              .body = VoteRequest{.last = {9, 9}}};
  group.step(2, Receive{ask});
  EXPECT_EQ(group.core(2).term(), 1u);
}

TEST(CoreTest, leader_that_no_quorum_hears_steps_down) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(1);
  group.pass(seconds(2), {1});
  EXPECT_NE(group.core(1).role(), Role::kLeader);
}

TEST(CoreTest, low_priority_waits_longer) {
  TestGroup group(3, [](Options& options) {
    if (options.id == TestGroup::id(1)) options.priority = 0;
  });
  EXPECT_GE(group.at(1).actions.wake_at - group.now(), milliseconds(1000));
  EXPECT_LT(group.at(2).actions.wake_at - group.now(), milliseconds(1000));
}

// ---- Commitment ----

// Raft paper, figure 8: an entry of an old term that lies on a majority may still be overwritten by
// a leader that never saw it, so it is not committed before an entry of the new term is.
TEST(CoreTest, figure_8_old_entry_is_not_committed_by_counting) {
  TestGroup group(3, [](Options& options) {
    options.append_bytes_max = 1;  // every entry in a message of its own
    options.in_flight_messages_max = 1;
  });
  group.elect(1);
  group.isolate(1);
  auto old = group.propose(1, "old").at;
  group.pass(seconds(2), {1});  // it steps down
  group.heal();
  auto no_op_of_term_2 = [](const Message& message) {
    const auto* append = std::get_if<Append>(&message.body);
    return append && !append->entries.empty() && append->entries[0].term == 2;
  };
  group.step(1, Tick{});
  group.settle(no_op_of_term_2);
  while (group.core(1).role() != Role::kLeader) {
    group.skip(seconds(3));
    group.step(1, Tick{});
    group.settle(no_op_of_term_2);
  }
  ASSERT_EQ(group.core(1).term(), 2u);
  EXPECT_TRUE(group.core(2).log().holds(old));
  EXPECT_TRUE(group.core(3).log().holds(old));
  EXPECT_LT(group.core(1).commit(), old.index);
  group.pass(seconds(3));
  EXPECT_GT(group.core(1).commit(), old.index);
}

// The whole of figure 8, (a) to (d): what was on a majority is overwritten, and nobody applied it.
TEST(CoreTest, figure_8_old_entry_on_a_majority_is_overwritten) {
  TestGroup group(5, [](Options& options) {
    options.append_bytes_max = 1;  // every entry in a message of its own
    options.in_flight_messages_max = 1;
  });
  auto campaign = [&](int node, const std::function<bool(const Message&)>& lost) {
    for (int time = 0; time < 3 && group.core(node).role() != Role::kLeader; ++time) {
      group.skip(seconds(3));
      group.step(node, Tick{});
      group.settle(lost);
    }
    ASSERT_EQ(group.core(node).role(), Role::kLeader);
  };
  auto has_entries = [](const Message& message) {
    const auto* append = std::get_if<Append>(&message.body);
    return append && !append->entries.empty();
  };
  group.elect(1);
  for (int other : {3, 4, 5}) group.cut.insert({{1, other}, {other, 1}});
  auto old = group.propose(1, "old").at;  // (a) on 1 and 2
  group.crash(1);
  group.heal();
  campaign(5, has_entries);  // (b) 5 leads, and its entry stays with it
  auto newer = group.core(5).log().last();
  ASSERT_EQ(newer.index, old.index);
  group.crash(5);
  group.start(1);
  campaign(1, [&](const Message& message) {  // (c) 1 leads again, and the old entry reaches 3
    if (!has_entries(message)) return false;
    return std::get<Append>(message.body).entries[0].term != old.term || message.to.value == 4;
  });
  for (int node : {1, 2, 3}) EXPECT_TRUE(group.core(node).log().holds(old));
  EXPECT_LT(group.core(1).commit(), old.index);
  group.crash(1);
  group.start(5);
  campaign(5, {});  // (d)
  group.start(1);
  group.pass(seconds(1));
  ASSERT_EQ(group.leader(), 5);
  for (int node : {1, 2, 3, 4, 5}) {
    EXPECT_TRUE(group.core(node).log().holds(newer));
    EXPECT_GE(group.core(node).commit(), newer.index);
    EXPECT_TRUE(group.at(node).applied.empty());
  }
}

TEST(CoreTest, leader_counts_its_own_copy_when_it_is_durable) {
  TestGroup group(3);
  group.elect(1);
  auto before = group.core(1).commit();
  group.at(1).disk_holds = true;
  group.isolate(3);
  group.propose(1, "a");
  EXPECT_EQ(group.core(1).commit(), before);
  group.release(1);
  EXPECT_EQ(group.core(1).commit(), before + 1);
}

TEST(CoreTest, slow_leader_disk_does_not_stop_the_others) {
  TestGroup group(3);
  group.elect(1);
  auto before = group.core(1).commit();
  group.at(1).disk_holds = true;
  group.propose(1, "a");
  EXPECT_EQ(group.core(1).commit(), before + 1);  // by 2 and 3
  EXPECT_THAT(group.at(1).applied, ElementsAre("a"));
}

TEST(CoreTest, leader_with_a_stuck_disk_hands_over) {
  TestGroup group(3);
  group.elect(1);
  group.at(1).disk_holds = true;
  group.propose(1, "a");
  group.pass(seconds(3));
  EXPECT_NE(group.leader(), 1);
  EXPECT_NE(group.leader(), 0);
  EXPECT_THAT(group.at(group.leader()).applied, ElementsAre("a"));
}

TEST(CoreTest, append_is_acknowledged_when_it_is_durable) {
  TestGroup group(3);
  group.elect(1);
  auto before = group.core(1).commit();
  group.isolate(3);
  group.at(2).disk_holds = true;
  group.propose(1, "a");
  EXPECT_EQ(group.core(1).commit(), before);
  group.release(2);
  group.settle();
  EXPECT_EQ(group.core(1).commit(), before + 1);
}

TEST(CoreTest, follower_with_a_failed_append_acknowledges_nothing_more) {
  TestGroup group(3);
  group.elect(1);
  auto before = group.core(1).commit();
  group.isolate(3);
  group.at(2).disk_holds = true;
  group.propose(1, "a");
  group.fail_disk(2);
  group.pass(milliseconds(500));
  EXPECT_EQ(group.core(2).role(), Role::kFailed);
  EXPECT_EQ(group.core(1).commit(), before);
  group.crash(2);  // started anew it has what its disk has
  group.at(2).disk_holds = false;
  group.start(2);
  group.pass(seconds(3));
  EXPECT_GT(group.core(group.leader()).commit(), before);
}

// A write that failed may have left any part of it. Nobody was told of it, so another leader may
// never have had it: it goes.
TEST(CoreTest, what_a_failed_append_left_is_truncated) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(3);
  for (int node : {1, 2}) group.at(node).disk_holds = true;
  group.propose(1, "left");
  auto left = group.core(2).log().at(2);
  group.fail_disk(2);
  for (int node : {1, 2}) {
    group.crash(node);
    group.at(node).disk_holds = false;
  }
  group.at(2).disk.entries.push_back(left);
  for (int node : {1, 2}) group.start(node);
  ASSERT_EQ(group.core(1).log().last_index(), 1u);
  ASSERT_EQ(group.core(2).log().last_index(), 2u);
  group.heal();
  group.isolate(2);
  group.elect(3);
  group.propose(3, "kept");
  group.heal();
  group.pass(seconds(2));
  for (int node : {1, 2, 3}) EXPECT_THAT(group.at(node).applied, ElementsAre("kept"));
}

TEST(CoreTest, leader_with_a_failed_disk_asks_another_to_lead) {
  TestGroup group(3);
  group.elect(1);
  group.fail_disk(1);
  EXPECT_EQ(group.propose(1, "a").refusal, Refusal::kFailed);
  group.settle();
  EXPECT_NE(group.leader(), 0);
  EXPECT_NE(group.leader(), 1);
}

TEST(CoreTest, commit_is_clamped_to_what_the_message_vouches_for) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(1);
  group.propose(1, "lost");  // entry 2 of term 1, on node 1 alone
  group.elect(2);
  group.propose(2, "kept");
  ASSERT_GE(group.core(2).commit(), 3u);
  // A sign of life from the new leader that says nothing of the log.
  Message beat{.from = TestGroup::id(2),
               .to = TestGroup::id(1),
               .term = group.core(2).term(),
               .body = Append{.previous = {1, 1}, .commit = 3, .round = 1}};
  group.step(1, Receive{beat});
  EXPECT_EQ(group.core(1).commit(), 1u);
  EXPECT_TRUE(group.at(1).applied.empty());
}

TEST(CoreTest, old_append_cuts_nothing) {
  TestGroup group(3);
  group.elect(1);
  group.propose(1, "a", false);
  auto early = group.under_way<Append>();
  group.settle();
  group.propose(1, "b");
  auto last = group.core(2).log().last();
  for (const auto& message : early) group.deliver(message);
  EXPECT_EQ(group.core(2).log().last(), last);
}

TEST(CoreTest, conflicting_tail_is_replaced) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(1);
  for (const auto* command : {"x", "y", "z"}) group.propose(1, command);
  group.elect(2);
  group.propose(2, "kept");
  group.heal();
  group.pass(seconds(1));
  EXPECT_THAT(group.at(1).applied, ElementsAre("kept"));
  EXPECT_EQ(group.core(1).log().last(), group.core(2).log().last());
}

// A node that votes in a new term has dropped what it owed to the old leader: both counting on it
// would commit an entry that the new leader does not have.
TEST(CoreTest, answer_for_an_old_leader_is_never_given_in_a_new_term) {
  TestGroup group(3);
  group.elect(1);
  group.at(3).disk_holds = true;
  group.cut = {{1, 2}, {2, 1}};
  group.propose(1, "x");  // reaches 3, whose disk takes its time
  group.cut.insert({1, 3});
  group.elect(2);
  ASSERT_EQ(group.core(3).term(), 2u);
  group.release(3);  // the entry, then the vote
  group.settle();
  EXPECT_EQ(group.core(2).role(), Role::kLeader);
  EXPECT_EQ(group.core(1).commit(), 1u);
}

// ---- Limits ----

TEST(CoreTest, uncommitted_bytes_are_limited) {
  TestGroup group(3, [](Options& options) { options.uncommitted_bytes_max = 300; });
  group.elect(1);
  group.isolate(1);
  int accepted = 0;
  Refusal last = Refusal::kNone;
  for (int i = 0; i < 10 && last == Refusal::kNone; ++i) {
    last = group.propose(1, std::string(50, 'x')).refusal;
    accepted += last == Refusal::kNone;
  }
  EXPECT_EQ(last, Refusal::kBusy);
  EXPECT_EQ(accepted, 2);
  group.heal();
  group.pass(milliseconds(300));
  EXPECT_EQ(group.propose(1, "y").refusal, Refusal::kNone);
}

TEST(CoreTest, large_proposal_and_full_log_are_refused) {
  TestGroup group(1, [](Options& options) {
    options.proposal_bytes_max = 100;
    options.log_bytes_max = 1000;
    options.log_bytes_kept = 0;
  });
  EXPECT_EQ(group.propose(1, std::string(101, 'x')).refusal, Refusal::kTooLarge);
  Refusal last = Refusal::kNone;
  for (int i = 0; i < 20 && last == Refusal::kNone; ++i)
    last = group.propose(1, std::string(100, 'x')).refusal;
  EXPECT_EQ(last, Refusal::kBusy);
  group.snapshot(1);
  EXPECT_EQ(group.propose(1, "x").refusal, Refusal::kNone);
}

TEST(CoreTest, appends_are_pipelined_and_limited) {
  TestGroup group(2, [](Options& options) {
    options.append_bytes_max = 200;
    options.in_flight_messages_max = 3;
  });
  group.elect(1);
  for (int i = 0; i < 20; ++i) group.propose(1, std::string(60, 'x'), false);
  auto appends = group.under_way<Append>();
  EXPECT_EQ(appends.size(), 3u);
  group.settle();
  EXPECT_EQ(group.core(2).log().last(), group.core(1).log().last());
}

TEST(CoreTest, entries_are_batched_by_bytes) {
  TestGroup group(2, [](Options& options) {
    options.append_bytes_max = 500;
    options.in_flight_messages_max = 1;
  });
  group.elect(1);
  for (int i = 0; i < 9; ++i) group.propose(1, std::string(60, 'x'), false);
  group.deliver(group.under_way<Append>().at(0));
  group.network.erase(group.network.begin());
  auto reply = group.under_way<AppendReply>().at(0);
  group.network.clear();
  group.deliver(reply);
  auto next = group.under_way<Append>();
  ASSERT_EQ(next.size(), 1u);
  EXPECT_EQ(std::get<Append>(next[0].body).entries.size(), 4u);  // of 124 bytes each
}

// ---- Reads ----

TEST(CoreTest, read_waits_for_a_quorum) {
  TestGroup group(3);
  group.elect(1);
  group.propose(1, "a");
  auto ticket = group.read(1);
  EXPECT_FALSE(group.at(1).reads.contains(ticket));
  group.settle();
  ASSERT_TRUE(group.at(1).reads.contains(ticket));
  EXPECT_EQ(group.at(1).reads[ticket].index, group.core(1).commit());
}

TEST(CoreTest, stale_leader_refuses_reads) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(1);
  group.elect(2);
  group.propose(2, "new");
  ASSERT_EQ(group.core(1).role(), Role::kLeader);  // it does not know
  auto ticket = group.read(1);
  auto lease = group.read(1, true);
  group.settle();
  EXPECT_FALSE(group.at(1).reads.contains(ticket));
  EXPECT_FALSE(group.at(1).reads.contains(lease));
  group.heal();
  group.pass(seconds(2));
  EXPECT_EQ(group.at(1).reads[ticket].refusal, Refusal::kNotLeader);
  EXPECT_EQ(group.at(1).reads[lease].refusal, Refusal::kNotLeader);
}

TEST(CoreTest, new_leader_answers_reads_after_its_no_op) {
  TestGroup group(3);
  group.elect(1);
  group.propose(1, "a");
  group.crash(1);
  group.at(3).disk_holds = true;
  group.at(2).disk_holds = true;
  group.elect(2);
  for (int i = 0; i < 3 && group.leader() != 2; ++i) {
    group.release(2);
    group.release(3);
    group.settle();
  }
  ASSERT_EQ(group.leader(), 2);
  auto ticket = group.read(2);
  group.settle();
  EXPECT_FALSE(group.at(2).reads.contains(ticket));  // the no-op is on no disk yet
  for (int i = 0; i < 3; ++i) {
    group.release(2);
    group.release(3);
    group.settle();
  }
  ASSERT_TRUE(group.at(2).reads.contains(ticket));
  EXPECT_GE(group.at(2).reads[ticket].index, 3u);
}

TEST(CoreTest, lease_read_needs_no_message) {
  TestGroup group(3);
  group.elect(1);
  group.pass(milliseconds(200));
  auto ticket = group.read(1, true);
  EXPECT_TRUE(group.at(1).reads.contains(ticket));
}

// A clock that runs slow by d sees less time pass: T (1 - 2 d) of it is over before the least
// election timeout T is on a clock that runs fast by d.
TEST(CoreTest, lease_ends_a_drift_margin_before_anyone_may_be_elected) {
  TestGroup group(3, [](Options& options) { options.clock_drift_ppm_max = 50'000; });
  group.elect(1);
  group.pass(milliseconds(105));
  group.isolate(1);
  auto renewed = group.now();
  group.pass(milliseconds(400), {1});
  auto early = group.read(1, true);
  EXPECT_TRUE(group.at(1).reads.contains(early));
  group.pass(milliseconds(451) - (group.now() - renewed), {1});
  auto late = group.read(1, true);
  EXPECT_FALSE(group.at(1).reads.contains(late));
}

TEST(CoreTest, no_lease_after_another_was_told_to_take_over) {
  TestGroup group(3);
  group.elect(1);
  group.pass(milliseconds(200));
  EXPECT_EQ(group.transfer(1, 2), Refusal::kNone);
  ASSERT_EQ(group.under_way<TimeoutNow>().size(), 1u);
  auto ticket = group.read(1, true);
  EXPECT_FALSE(group.at(1).reads.contains(ticket));
}

// ---- Transfer ----

TEST(CoreTest, leadership_is_transferred) {
  TestGroup group(3);
  group.elect(1);
  EXPECT_EQ(group.transfer(1, 3), Refusal::kNone);
  EXPECT_EQ(group.propose(1, "a", false).refusal, Refusal::kTransferring);
  group.settle();
  EXPECT_EQ(group.leader(), 3);
}

TEST(CoreTest, transfer_to_a_lagging_peer_waits_until_it_has_everything) {
  TestGroup group(3);
  group.elect(1);
  group.at(3).disk_holds = true;
  group.propose(1, "a");
  EXPECT_EQ(group.transfer(1, 3), Refusal::kNone);
  group.settle();
  EXPECT_EQ(group.leader(), 1);
  group.at(3).disk_holds = false;
  group.release(3);
  group.settle();
  EXPECT_EQ(group.leader(), 3);
  EXPECT_THAT(group.at(3).applied, ElementsAre("a"));
}

TEST(CoreTest, transfer_that_does_not_succeed_ends) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(3);
  group.propose(1, "a");
  EXPECT_EQ(group.transfer(1, 3), Refusal::kNone);
  EXPECT_EQ(group.propose(1, "b").refusal, Refusal::kTransferring);
  group.pass(milliseconds(1200));
  EXPECT_EQ(group.leader(), 1);
  EXPECT_EQ(group.propose(1, "b").refusal, Refusal::kNone);
}

// ---- Bad input ----

TEST(EntryLogTest, what_is_trimmed_is_let_go_a_little_at_a_time) {
  auto payload = std::make_shared<const std::string>("x");
  EntryLog log;
  auto add = [&] { log.append({.term = 1, .payload = Payload(*payload, payload)}); };
  for (int i = 0; i < 1000; ++i) add();
  log.trim(log.id_of(900));
  EXPECT_EQ(log.bytes(), 100 * (1 + EntryLog::kEntryOverheadBytes));
  EXPECT_EQ(log.first_index(), 901u);
  EXPECT_EQ(payload.use_count(), 1 + 1000);
  log.let_go(400);
  EXPECT_EQ(log.trimmed(), 500u);
  EXPECT_EQ(payload.use_count(), 1 + 600);
  log.trim(log.id_of(950));
  EXPECT_EQ(log.trimmed(), 550u);
  // More goes than comes.
  for (int i = 0; i < 275; ++i) add();
  EXPECT_EQ(log.trimmed(), 0u);
  EXPECT_EQ(payload.use_count(), 1 + 50 + 275);
  EXPECT_EQ(log.last_index(), 1275u);
  EXPECT_EQ(log.term_at(951), 1u);
  log.let_go(1000);
  EXPECT_EQ(payload.use_count(), 1 + 50 + 275);
  log.trim(log.id_of(1000));
  log.reset({1, 2000});
  EXPECT_EQ(payload.use_count(), 1);
  EXPECT_EQ(log.trimmed(), 0u);
  EXPECT_EQ(log.last_index(), 2000u);
}

TEST(CoreTest, contradictions_on_the_disk_are_refused) {
  auto open = [](Durable durable) {
    return Core::open({.id = TestGroup::id(1)}, std::move(durable), Instant(1)).error().code;
  };
  Durable good;
  good.snapshot.membership.members = {{.id = TestGroup::id(1), .voter = true}};
  good.hard_state.term = 3;
  good.entries = {{.kind = EntryKind::kNoop, .term = 2}, {.kind = EntryKind::kNoop, .term = 3}};
  EXPECT_TRUE(Core::open({.id = TestGroup::id(1)}, good, Instant(1)).has_value());
  auto falling = good;
  falling.entries[1].term = 1;
  EXPECT_EQ(open(falling), Code::kCorrupt);
  auto forgotten = good;
  forgotten.hard_state.term = 2;
  EXPECT_EQ(open(forgotten), Code::kCorrupt);
  auto gap = good;
  gap.base = {1, 5};
  EXPECT_EQ(open(gap), Code::kCorrupt);
  auto garbage = good;
  garbage.entries[1].kind = EntryKind::kMembership;
  EXPECT_EQ(open(garbage), Code::kCorrupt);
}

TEST(CoreTest, options_out_of_range_are_refused) {
  auto open = [](Options options) { return Core::open(options, {}, Instant(1)).has_value(); };
  EXPECT_TRUE(open({.id = TestGroup::id(1)}));
  EXPECT_FALSE(open({}));
  EXPECT_FALSE(open({.id = TestGroup::id(1), .heartbeat = milliseconds(400)}));
  EXPECT_FALSE(open({.id = TestGroup::id(1), .election_timeout_max = milliseconds(500)}));
  EXPECT_FALSE(open({.id = TestGroup::id(1), .clock_drift_ppm_max = 400'000}));
  EXPECT_FALSE(open({.id = TestGroup::id(1), .in_flight_messages_max = 0}));
}

TEST(CoreTest, messages_that_no_core_sends_change_nothing) {
  TestGroup group(3);
  group.elect(1);
  auto last = group.core(2).log().last();
  auto from_leader = [&](wire::peer::RaftBody body) {
    return Message{
        .from = TestGroup::id(1), .to = TestGroup::id(2), .term = 1, .body = std::move(body)};
  };
  Entry newer{.kind = EntryKind::kCommand, .term = 7};
  Entry garbage{.kind = EntryKind::kMembership, .term = 1, .payload = Payload::copy_of("x")};
  group.deliver(from_leader(Append{.previous = last, .entries = {newer}}));
  group.deliver(from_leader(Append{.previous = last, .entries = {garbage}}));
  group.deliver(from_leader(Append{.previous = {1, ~Index{0}}, .entries = {newer}}));
  group.deliver(from_leader(SnapshotChunk{.meta = {.last = {1, 99}}}));
  group.deliver(
      Message{.from = TestGroup::id(3), .to = TestGroup::id(2), .term = 1, .body = TimeoutNow{}});
  group.deliver(Message{
      .from = TestGroup::id(3), .to = TestGroup::id(2), .term = ~Term{0}, .body = AppendReply{}});
  group.deliver(Message{.from = TestGroup::id(2),
                        .to = TestGroup::id(1),
                        .term = 1,
                        .body = AppendReply{.round = ~std::uint64_t{0}, .match = 1'000'000}});
  group.settle();
  EXPECT_EQ(group.core(2).log().last(), last);
  EXPECT_EQ(group.leader(), 1);
  EXPECT_EQ(group.core(2).term(), 1u);
}

TEST(CoreTest, what_would_let_terms_fall_behind_the_commit_index_is_not_taken) {
  TestGroup group(3);
  group.elect(1);
  group.propose(1, "a");
  group.elect(2);
  group.pass(milliseconds(200));
  auto last = group.core(3).log().last();
  ASSERT_EQ(group.leader(), 2);
  ASSERT_EQ(last.term, 2u);
  ASSERT_EQ(group.core(3).commit(), last.index);
  auto from_leader = [&](wire::peer::RaftBody body) {
    return Message{
        .from = TestGroup::id(2), .to = TestGroup::id(3), .term = 2, .body = std::move(body)};
  };
  const Entry older{.kind = EntryKind::kNoop, .term = 1};
  auto before = group.core(3).log().id_of(last.index - 1);
  group.deliver(from_leader(Append{.previous = before, .entries = {older, older}}));
  SnapshotMeta snapshot{.last = {1, last.index + 5}, .membership = group.core(3).membership()};
  group.deliver(from_leader(SnapshotChunk{.meta = snapshot}));
  group.settle();
  EXPECT_EQ(group.core(3).log().last(), last);
  EXPECT_EQ(group.core(3).snapshot().last.index, 0u);
  group.propose(2, "b");
  EXPECT_EQ(group.core(3).log().last(), (EntryId{2, last.index + 1}));
}

}  // namespace
}  // namespace walrus::raft
