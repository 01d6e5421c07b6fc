#include "raft/node_fixture.h"

namespace walrus::raft {
namespace {

using End = Proposal::End;
using Lines = std::vector<std::string>;
using Kind = MemberChange::Kind;

TEST_F(NodeTest, a_single_node_answers_and_keeps_what_it_answered) {
  found(1);
  EXPECT_EQ(leader(), 0);
  auto first = propose(0, "a");
  EXPECT_EQ(first.end, End::kApplied);
  EXPECT_EQ(first.reply, "line 1");
  EXPECT_EQ(propose(0, "b").at.index, first.at.index + 1);
  restart(0);
  ASSERT_TRUE(open(0, kGroup, options()));
  EXPECT_TRUE(until([&] { return node(0)->status().applied > first.at.index + 1; }));
  EXPECT_EQ(lines(0), (Lines{"a", "b"}));
}

TEST_F(NodeTest, every_member_applies_what_the_leader_answered) {
  found(3);
  auto leads = leader();
  for (const char* command : {"a", "b", "c"}) EXPECT_EQ(propose(leads, command).end, End::kApplied);
  auto applied = node(leads)->status().applied;
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(until([&] { return node(i)->status().applied >= applied; }));
    EXPECT_EQ(lines(i), (Lines{"a", "b", "c"}));
  }
}

TEST_F(NodeTest, a_follower_refuses_and_says_whom_to_ask) {
  found(3);
  auto leads = leader();
  auto other = (leads + 1) % 3;
  EXPECT_TRUE(until([&] { return node(other)->status().core.leader == NodeId{leads + 1}; }));
  auto proposal = propose(other, "a");
  EXPECT_EQ(proposal.end, End::kRefused);
  EXPECT_EQ(proposal.refusal, Refusal::kNotLeader);
  EXPECT_EQ(proposal.leader, NodeId{leads + 1});
}

TEST_F(NodeTest, a_read_on_any_member_sees_what_was_acknowledged) {
  found(3);
  auto leads = leader();
  for (int round = 0; round < 5; ++round) {
    auto done = propose(leads, "x");
    ASSERT_EQ(done.end, End::kApplied);
    for (std::size_t i = 0; i < 3; ++i) {
      for (auto level : {ReadLevel::kLinearizable, ReadLevel::kLease}) {
        auto read = run(i, node(i)->read(level, 2s));
        ASSERT_TRUE(read) << read.error().message;
        EXPECT_GE(*read, done.at.index);
        EXPECT_GE(lines(i).size(), static_cast<std::size_t>(round + 1));
      }
    }
  }
}

TEST_F(NodeTest, without_a_majority_calls_end_in_time_and_say_what_is_not_known) {
  found(3);
  auto leads = leader();
  world_.network().isolate(static_cast<int>(leads));
  auto begun = world_.now();
  auto proposal = propose(leads, "a", kGroup, 300ms);
  EXPECT_EQ(proposal.end, End::kUnknown);
  EXPECT_GT(proposal.at.index, 0);
  auto read = run(leads, node(leads)->read(ReadLevel::kLinearizable, 300ms));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kTimeout);
  EXPECT_LE(world_.now() - begun, 650ms);
  EXPECT_TRUE(run(leads, node(leads)->read(ReadLevel::kLocal, 300ms)));
}

TEST_F(NodeTest, a_proposal_that_another_entry_replaced_is_lost) {
  found(3);
  auto old = leader();
  world_.network().isolate(static_cast<int>(old));
  std::optional<Proposal> lost;
  node(old)->propose("never", 30s, [&](Proposal proposal) { lost = std::move(proposal); });
  auto others = [&] {
    for (std::size_t i = 0; i < 3; ++i)
      if (i != old && node(i)->status().core.role == Role::kLeader) return true;
    return false;
  };
  ASSERT_TRUE(until(others));
  auto leads = leader();
  ASSERT_NE(leads, old);
  ASSERT_EQ(propose(leads, "instead").end, End::kApplied);
  world_.network().heal_all();
  EXPECT_TRUE(until([&] { return lost.has_value(); }));
  EXPECT_EQ(lost->end, End::kLost);
  EXPECT_EQ(lines(old), (Lines{"instead"}));
}

// Its connections broke, and nobody lets anyone in there: nobody waits until it is missed.
TEST_F(NodeTest, the_next_leader_comes_at_once_when_the_process_of_one_ends) {
  found(3);
  auto old = leader();
  ASSERT_EQ(propose(old, "a").end, End::kApplied);
  world_.node(static_cast<int>(old)).crash(io::CrashKind::kKill);
  end(old);
  auto begun = world_.now();
  auto leads = leader();
  EXPECT_NE(leads, old);
  EXPECT_LT(world_.now() - begun, 400ms);  // a vote that was split included
  ASSERT_EQ(propose(leads, "b").end, End::kApplied);
}

// It has heard the leader, and has not looked yet who is connected.
TEST_F(NodeTest, one_that_came_back_a_moment_ago_knows_too_when_the_leader_s_process_ends) {
  found(3);
  for (int round = 0; round < 10; ++round) {
    auto old = leader();
    auto back = (old + 1) % 3;
    ASSERT_EQ(propose(old, "a").end, End::kApplied);
    restart(back);
    auto options_of_one = options();
    options_of_one.founders = founders(3);
    ASSERT_TRUE(open(back, kGroup, options_of_one));
    ASSERT_TRUE(until([&] { return node(back)->status().core.leader == NodeId{old + 1}; }));
    world_.node(static_cast<int>(old)).crash(io::CrashKind::kKill);
    end(old);
    auto begun = world_.now();
    ASSERT_NE(leader(), old);
    EXPECT_LT(world_.now() - begun, 400ms) << round;
    world_.node(static_cast<int>(old)).restart();
    start(old);
    ASSERT_TRUE(open(old, kGroup, options_of_one));
  }
}

// One that is cut off may be alive: its connections are no sign of anything.
TEST_F(NodeTest, a_leader_that_is_cut_off_is_missed_after_an_election_timeout) {
  found(3);
  auto old = leader();
  world_.network().isolate(static_cast<int>(old));
  auto begun = world_.now();
  ASSERT_TRUE(until([&] {
    for (std::size_t i = 0; i < 3; ++i)
      if (i != old && node(i)->status().core.role == Role::kLeader) return true;
    return false;
  }));
  EXPECT_GE(world_.now() - begun, 400ms);
}

TEST_F(NodeTest, leadership_goes_where_it_is_told) {
  found(3);
  auto leads = leader();
  auto to = (leads + 1) % 3;
  EXPECT_TRUE(run(leads, node(leads)->transfer(NodeId{to + 1}, 5s)));
  EXPECT_EQ(leader(), to);
  EXPECT_EQ(run(leads, node(leads)->transfer(NodeId{to + 1}, 5s)).error().code, Code::kMismatch);
  EXPECT_EQ(run(to, node(to)->transfer(NodeId{9}, 5s)).error().code, Code::kInvalid);
}

TEST_F(NodeTest, a_newcomer_gets_the_snapshot_and_the_leader_may_go) {
  found(3);
  auto leads = leader();
  Lines all;
  for (int i = 0; i < 40; ++i) {
    all.push_back("command " + std::to_string(i));
    ASSERT_EQ(propose(leads, all.back()).end, End::kApplied);
  }
  node(leads)->take_snapshot();
  ASSERT_TRUE(until([&] { return node(leads)->status().core.log_bytes == 0; }));
  start(3);
  ASSERT_TRUE(open(3, kGroup, options()));
  auto added =
      run(leads, node(leads)->change_members({{Kind::kAddLearner, NodeId{4}, address_of(3)}}, 5s));
  ASSERT_EQ(added.end, End::kApplied);
  ASSERT_TRUE(until([&] { return lines(3) == all; }));
  EXPECT_EQ(host(3).stats().snapshots_installed, 1);
  auto swapped =
      run(leads, node(leads)->change_members(
                     {{Kind::kPromote, NodeId{4}}, {Kind::kRemove, NodeId{leads + 1}}}, 5s));
  ASSERT_EQ(swapped.end, End::kApplied);
  EXPECT_FALSE(node(leads)->status().membership.joint);
  end(leads);
  auto next = leader();
  ASSERT_NE(next, leads);
  EXPECT_EQ(propose(next, "after").end, End::kApplied);
  EXPECT_EQ(node(next)->status().membership.members.size(), 3);
}

TEST_F(NodeTest, old_snapshots_go_and_the_log_becomes_short) {
  auto small = options();
  small.snapshot_after_bytes = 2'000;
  found(1, small);
  leader();
  for (int i = 0; i < 200; ++i) ASSERT_EQ(propose(0, std::string(50, 'x')).end, End::kApplied);
  ASSERT_TRUE(until([&] { return !node(0)->status().snapshotting; }));
  world_.run_for(1s);
  EXPECT_GE(host(0).stats().snapshots_taken, 5);
  EXPECT_LE(node(0)->status().core.log_bytes, 3'000);
  EXPECT_EQ(processes_[0].engine->list("__raft/").size(), 2);  // the log and one snapshot
  auto log = *processes_[0].engine->find("__raft/0000000000000007");
  EXPECT_GT(processes_[0].engine->bounds(log)->log_start.value, 150);
  restart(0);
  ASSERT_TRUE(open(0, kGroup, small));
  EXPECT_TRUE(until([&] { return lines(0).size() == 200; }));
}

TEST_F(NodeTest, an_error_of_a_machine_fails_its_group_on_its_node_alone) {
  constexpr GroupId kOther{8};
  found(1);
  found(1, options(), kOther);
  leader();
  leader(kOther);
  ASSERT_EQ(propose(0, "a").end, End::kApplied);
  EXPECT_EQ(propose(0, "fail").end, End::kUnknown);
  EXPECT_EQ(node(0)->status().failure, "apply: told to");
  EXPECT_EQ(node(0)->status().core.role, Role::kFailed);
  auto refused = propose(0, "b");
  EXPECT_EQ(refused.end, End::kRefused);
  EXPECT_EQ(refused.refusal, Refusal::kFailed);
  EXPECT_EQ(run(0, node(0)->read(ReadLevel::kLocal, 1s)).error().code, Code::kIo);
  EXPECT_EQ(propose(0, "goes on", kOther).end, End::kApplied);
  EXPECT_TRUE(node(0, kOther)->status().failure.empty());
}

TEST_F(NodeTest, a_full_disk_is_waited_for) {
  found(1);
  leader();
  ASSERT_EQ(propose(0, "a").end, End::kApplied);
  auto& disk = world_.node(0).disk();
  disk.options().capacity_bytes = disk.used_bytes();
  std::vector<Proposal> ends;
  for (int i = 0; i < 120; ++i)
    node(0)->propose(std::string(60'000, 'x'), 60s,
                     [&](Proposal proposal) { ends.push_back(std::move(proposal)); });
  ASSERT_TRUE(until([&] { return !node(0)->status().waits_for.empty(); }));
  EXPECT_LT(ends.size(), 120);
  EXPECT_TRUE(node(0)->status().failure.empty());
  disk.options().capacity_bytes = std::int64_t{1} << 40;
  EXPECT_TRUE(until([&] { return ends.size() == 120; }, 60s));
  for (const auto& one : ends) EXPECT_EQ(one.end, End::kApplied);
  EXPECT_TRUE(node(0)->status().waits_for.empty());
}

TEST_F(NodeTest, a_failed_sync_ends_the_node_and_a_follower_takes_over) {
  found(3);
  auto leads = leader();
  world_.node(static_cast<int>(leads)).disk().options().faults.sync_error = 1;
  (void)propose(leads, "a", kGroup, 1s);
  EXPECT_TRUE(until([&] { return !node(leads)->status().failure.empty(); }));
  auto next = leader();
  EXPECT_NE(next, leads);
  EXPECT_EQ(propose(next, "b").end, End::kApplied);
}

TEST_F(NodeTest, open_says_what_is_wrong) {
  start(0);
  auto large = options();
  large.core.proposal_bytes_max = 2 << 20;
  EXPECT_EQ(open(0, kGroup, large).error().code, Code::kInvalid);
  auto quick = options();
  quick.core.heartbeat = 1ms;
  EXPECT_EQ(open(0, kGroup, quick).error().code, Code::kInvalid);
  auto nobody = options();
  nobody.founders.members.push_back({.id = NodeId{1}, .address = "a"});
  EXPECT_EQ(open(0, kGroup, nobody).error().code, Code::kInvalid);
  ASSERT_TRUE(open(0, kGroup, options()));
  EXPECT_EQ(open(0, kGroup, options()).error().code, Code::kExists);
  EXPECT_EQ(run(0, host(0).close(GroupId{9})).error().code, Code::kNotFound);
}

TEST_F(NodeTest, a_closed_group_opens_again_as_it_was) {
  found(1);
  leader();
  ASSERT_EQ(propose(0, "a").end, End::kApplied);
  std::optional<Proposal> end;
  node(0)->propose("on its way", 5s, [&](Proposal proposal) { end = std::move(proposal); });
  ASSERT_TRUE(run(0, host(0).close(kGroup)));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->end, End::kUnknown);
  EXPECT_EQ(node(0), nullptr);
  ASSERT_TRUE(open(0, kGroup, options()));
  leader();
  EXPECT_EQ(lines(0).front(), "a");
}

// However far it has come: its stream has a name in memory long before the disk has it.
TEST_F(NodeTest, a_group_that_is_closed_while_it_takes_a_snapshot_opens_and_takes_another) {
  found(1);
  leader();
  auto& faults = world_.node(0).disk().options().faults;
  faults.slow_min = faults.slow_max = 100ms;
  int snapshots_begun = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 5; ++i) ASSERT_EQ(propose(0, std::string(60, 'x')).end, End::kApplied);
    faults.slow_sync = 1;
    node(0)->take_snapshot();
    world_.run_for(round * 100us);
    snapshots_begun += node(0)->status().snapshotting ? 1 : 0;
    ASSERT_TRUE(run(0, host(0).close(kGroup)));
    auto opened = open(0, kGroup, options());
    ASSERT_TRUE(opened) << opened.error().message;
    faults.slow_sync = 0;
    leader();
    auto taken = host(0).stats().snapshots_taken;
    node(0)->take_snapshot();
    ASSERT_TRUE(until([&] { return host(0).stats().snapshots_taken > taken; }, 5s)) << round;
    EXPECT_EQ(node(0)->status().failure, "");
  }
  EXPECT_GT(snapshots_begun, 0);
}

TEST_F(NodeTest, a_removed_group_leaves_nothing) {
  auto small = options();
  small.snapshot_after_bytes = 1'000;
  found(1, small);
  leader();
  for (int i = 0; i < 50; ++i) ASSERT_EQ(propose(0, std::string(50, 'x')).end, End::kApplied);
  EXPECT_EQ(host(0).stored(), std::vector<GroupId>{kGroup});
  ASSERT_TRUE(run(0, host(0).remove(kGroup)));
  EXPECT_TRUE(host(0).stored().empty());
  EXPECT_TRUE(processes_[0].engine->list("__raft/").empty());
  EXPECT_EQ(run(0, host(0).remove(kGroup)).error().code, Code::kNotFound);
  restart(0);
  EXPECT_TRUE(host(0).stored().empty());
}

// A tick's heartbeats of all groups between two nodes go in one frame.
TEST_F(NodeTest, idle_groups_share_frames) {
  constexpr std::uint64_t kGroups = 40;
  for (std::uint64_t i = 1; i <= kGroups; ++i) found(3, options(), GroupId{i});
  for (std::uint64_t i = 1; i <= kGroups; ++i) leader(GroupId{i});
  world_.run_for(2s);
  std::uint64_t bundles = 0, messages = 0, steps = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    bundles -= host(i).stats().bundles_sent;
    messages -= host(i).stats().messages_sent;
    steps -= host(i).stats().steps;
  }
  world_.run_for(5s);
  for (std::size_t i = 0; i < 3; ++i) {
    bundles += host(i).stats().bundles_sent;
    messages += host(i).stats().messages_sent;
    steps += host(i).stats().steps;
  }
  // Five times a second; each leader's, and the answers, to each of the two others.
  EXPECT_GE(messages, kGroups * 4 * 24);
  EXPECT_LE(messages, kGroups * 4 * 26);
  EXPECT_LE(bundles, 3 * 2 * 2 * 5 * 5 + 20);
  EXPECT_EQ(steps, 0u);  // nothing is news
}

}  // namespace
}  // namespace walrus::raft
