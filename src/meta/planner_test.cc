#include "meta/planner.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "meta/test_cluster.h"

namespace walrus::meta {
namespace {

using namespace std::chrono_literals;

// A cluster whose nodes do at once what the planner tells them to.
class Controlled : public TestCluster {
 public:
  explicit Controlled(std::uint64_t nodes, std::uint64_t racks = 0) : TestCluster(nodes, racks) {
    for (std::uint64_t id = 1; id <= nodes; ++id) observe(id, true, 1h);
  }

  Observed observed{};
  Planner planner{PlanLimits{.copies_node_max = 100, .segments_max = 50}};

  void observe(std::uint64_t id, bool alive, Nanos since) {
    std::erase_if(observed.nodes, [&](const Sight& one) { return one.node == NodeId{id}; });
    observed.nodes.push_back({NodeId{id}, alive, node(id).incarnation, since});
  }
  Plan plan() { return planner.plan(state, observed); }
  void restart(std::uint64_t id, bool wiped) {
    auto life = life_of(id);
    life.incarnation = node(id).incarnation + 1;
    life.directory = node(id).directory;
    life.expected = node(id).version;
    if (!wiped) life.claimed = {node(id).incarnation};
    done(life);
    observe(id, true, 1h);
  }

  // One turn of the controller. Returns what it found to do.
  bool searched = false;
  std::size_t turn() {
    auto plan = this->plan();
    std::size_t work = plan.changes.size();
    for (const auto& command : commands(plan, Time(Millis(++now)))) {
      auto outcomes = meta::apply(state, command);
      for (const auto& outcome : outcomes)
        EXPECT_TRUE(outcome.done() || outcome.refusal == Refusal::kMismatch)
            << refusal_name(outcome.refusal);
    }
    for (const auto& [by, recoveries] : plan.recoveries)
      for (const auto& one : recoveries) work += recover(one);
    for (const auto& [leader, rolls] : plan.rolls)
      for (const auto& roll : rolls) work += carry_out(roll);
    for (const auto& [pair, copies] : plan.copies)
      for (const auto& copy : copies) work += carry_out(copy);
    EXPECT_EQ(broken_rule(state), "");
    searched = plan.searched;
    return work;
  }
  // Until a whole search for repairs, begun with nothing to do, has found nothing to do.
  void settle() {
    std::size_t work = 1;
    for (int turns = 0; turns < 1000; ++turns) {
      work += turn();
      if (!searched) continue;
      if (work == 0) return;
      work = 0;
    }
    ADD_FAILURE() << "the controller does not come to rest";
  }

 private:
  std::size_t recover(const Recover& one) {
    auto seal = seal_of(one.partition, partition(one.partition).sealed_end.value + 7);
    if (seal.epoch != one.epoch || seal.segment != one.segment) return 1;
    seal.next = one.next;
    return apply(seal).done() ? 1 : 0;
  }
  std::size_t carry_out(const Roll& roll) {
    const auto& tail = partition(roll.partition).tail;
    if (!tail || tail->id != roll.segment || tail->state != SegmentState::kOpen) return 1;
    auto seal = seal_of(roll.partition, partition(roll.partition).sealed_end.value + 5);
    seal.next = roll.next;
    return done(seal).done() ? 1 : 0;
  }
  std::size_t carry_out(const Copy& copy) {
    auto before = version(copy.partition);
    MoveCopies change{copy.partition, before, {{copy.segment, {copy.to}, {}}}};
    if (copy.replaces != NodeId{}) change.moves[0].dropped.push_back(copy.replaces);
    return apply(change).done() ? 1 : 0;
  }
};

PartitionId first(const Uuid& topic) { return {topic, 0}; }

TEST(Planner, does_nothing_where_all_is_well) {
  Controlled cluster(3);
  auto id = first(cluster.create(1));
  cluster.open(id, TestCluster::on({1, 2, 3}));
  auto plan = cluster.plan();
  EXPECT_TRUE(plan.changes.empty() && plan.recoveries.empty() && plan.rolls.empty() &&
              plan.copies.empty() && plan.stuck.empty());
  EXPECT_EQ(plan.under_replicated, 0u);
}

// R11, R28: the leader is gone, so its segments are sealed, by replicas that are alive.
TEST(Planner, seals_what_a_dead_leader_wrote) {
  Controlled cluster(3);
  auto topic = cluster.create(1, 4);
  for (std::uint32_t index = 0; index < 4; ++index)
    cluster.open({topic, index}, TestCluster::on({1, 2, 3}));
  cluster.observe(1, false, 300ms);
  auto plan = cluster.plan();
  std::map<NodeId, int> by;
  int expired = 0;
  for (const auto& change : plan.changes) {
    if (const auto* begin = std::get_if<BeginSeal>(&change)) ++by[begin->recoverer];
    expired += std::holds_alternative<ExpireLease>(change) ? 1 : 0;
  }
  EXPECT_EQ(expired, 1);
  EXPECT_EQ(by, (std::map<NodeId, int>{{NodeId{2}, 2}, {NodeId{3}, 2}}));
  EXPECT_EQ(commands(plan, {}).size(), 1u);  // one command for all
  for (const auto& command : commands(plan, {})) apply(cluster.state, command);
  plan = cluster.plan();
  EXPECT_TRUE(plan.changes.empty());
  EXPECT_EQ(plan.recoveries[NodeId{2}].size(), 2u);
  EXPECT_FALSE(plan.recoveries[NodeId{2}][0].next);  // nothing waits: R42
  cluster.observed.wanted = {plan.recoveries[NodeId{2}][0].partition};
  EXPECT_TRUE(cluster.plan().recoveries[NodeId{2}][0].next);
}

// R42: a leader that restarted has another life, and does not go on.
TEST(Planner, seals_what_an_earlier_life_wrote) {
  Controlled cluster(3);
  auto id = first(cluster.create(1));
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.restart(1, false);
  auto plan = cluster.plan();
  ASSERT_EQ(plan.changes.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<BeginSeal>(plan.changes[0]));
}

TEST(Planner, gives_a_recovery_to_another_when_its_recoverer_dies) {
  Controlled cluster(3);
  auto id = first(cluster.create(1));
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.done(BeginSeal{id, cluster.version(id), NodeId{2}});
  cluster.observe(2, false, 1s);
  cluster.observe(1, false, 1s);
  auto plan = cluster.plan();
  ASSERT_FALSE(plan.changes.empty());
  EXPECT_EQ(std::get<BeginSeal>(plan.changes[0]).recoverer, NodeId{3});
  EXPECT_EQ(plan.stuck.at(0).why, Stuck::Why::kUnsealable);  // one of three knows too little
}

// Until an operator has said what is to become of it, it stays in sight.
TEST(Planner, segment_that_cannot_be_sealed_stays_reported) {
  Controlled cluster(3);
  auto id = first(cluster.create(1));
  cluster.open(id, TestCluster::on({1, 2, 3}));
  for (std::uint64_t node : {1u, 2u}) cluster.observe(node, false, 1s);
  auto plan = cluster.plan();
  EXPECT_EQ(plan.stuck.at(0).why, Stuck::Why::kUnsealable);
  for (const auto& command : commands(plan, {})) apply(cluster.state, command);
  plan = cluster.plan();
  EXPECT_EQ(plan.recoveries[NodeId{3}].size(), 1u);
  EXPECT_EQ(plan.stuck.at(0).why, Stuck::Why::kUnsealable);
}

// R41: somebody has to be there whom the operator tells that it is lost.
TEST(Planner, segment_whose_nodes_are_all_removed_is_recovered_by_another) {
  Controlled cluster(3);
  auto id = first(cluster.create(1, 1, 1, 1));
  cluster.open(id, TestCluster::on({1}));
  cluster.observe(1, false, 1s);
  EXPECT_TRUE(std::ranges::none_of(cluster.plan().changes, [](const Change& change) {
    return std::holds_alternative<BeginSeal>(change);
  }));  // it may come back
  cluster.set_state(1, NodeState::kRemoved, true);
  auto plan = cluster.plan();
  auto begins = std::ranges::find_if(
      plan.changes, [](const Change& change) { return std::holds_alternative<BeginSeal>(change); });
  ASSERT_NE(begins, plan.changes.end());
  EXPECT_NE(std::get<BeginSeal>(*begins).recoverer, NodeId{1});
}

// It is alive, and what it leads is its own to give away.
TEST(Planner, a_node_that_is_about_to_stop_is_given_nothing) {
  Controlled cluster(4);
  auto topic = cluster.create(1, 40);
  for (std::uint32_t index = 0; index < 20; ++index)
    cluster.open({topic, index}, TestCluster::on({1 + index % 3, 1 + (index + 1) % 3, 4}));
  std::ranges::find(cluster.observed.nodes, NodeId{4}, &Sight::node)->leaves = true;
  for (std::uint32_t index = 20; index < 40; ++index)
    cluster.observed.wanted.push_back({topic, index});
  auto plan = cluster.plan();
  EXPECT_EQ(plan.changes.size(), 20u);
  for (const auto& change : plan.changes) {
    const auto& next = std::get<OpenSegment>(change).place;
    EXPECT_EQ(std::ranges::count(next.replicas, NodeId{4}), 0);
  }
  for (const auto& [leader, rolls] : plan.rolls)
    for (const auto& roll : rolls) EXPECT_EQ(std::ranges::count(roll.next.replicas, NodeId{4}), 0);
  EXPECT_EQ(std::ranges::count_if(
                plan.changes,
                [](const Change& change) { return std::holds_alternative<BeginSeal>(change); }),
            0);
  // It recovers nothing either, where another one can.
  cluster.observe(1, false, 1s);
  for (const auto& change : cluster.plan().changes)
    if (const auto* begun = std::get_if<BeginSeal>(&change)) EXPECT_NE(begun->recoverer, NodeId{4});
}

// R42: the next segment opens on the first append.
TEST(Planner, opens_where_appends_wait) {
  Controlled cluster(3);
  auto topic = cluster.create(1, 2);
  cluster.observed.wanted = {{topic, 1}, {topic, 7}};
  auto plan = cluster.plan();
  ASSERT_EQ(plan.changes.size(), 1u);
  EXPECT_EQ(std::get<OpenSegment>(plan.changes[0]).partition, (PartitionId{topic, 1}));
  for (std::uint64_t id : {2u, 3u}) cluster.observe(id, false, 1s);
  plan = cluster.plan();
  EXPECT_TRUE(plan.changes.empty());
  EXPECT_EQ(plan.stuck.at(0).why, Stuck::Why::kNoNodes);
}

// R29.
TEST(Planner, rolls_without_a_lost_follower_if_there_is_another_or_after_a_while) {
  Controlled cluster(4);
  auto id = first(cluster.create(1));
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.observe(3, false, 100ms);
  auto plan = cluster.plan();
  ASSERT_EQ(plan.rolls[NodeId{1}].size(), 1u);
  EXPECT_EQ(plan.rolls[NodeId{1}][0].reason, RollReason::kFollower);
  EXPECT_EQ(plan.rolls[NodeId{1}][0].next, TestCluster::on({1, 2, 4}));
  cluster.observe(4, false, 100ms);
  plan = cluster.plan();
  EXPECT_TRUE(plan.rolls.empty());  // it may come back
  EXPECT_EQ(plan.under_replicated, 1u);
  ASSERT_EQ(plan.lacking.size(), 1u);
  EXPECT_EQ(plan.lacking[0], (UnderReplicated{id, cluster.partition(id).tail->id, 2, 3}));
  cluster.observe(3, false, 10s);
  plan = cluster.plan();
  EXPECT_EQ(plan.rolls[NodeId{1}][0].next, TestCluster::on({1, 2}));
  cluster.observe(2, false, 10s);
  EXPECT_TRUE(cluster.plan().rolls.empty());  // fewer than min_copies: not made do with
}

TEST(Planner, follower_that_was_wiped_is_replaced) {
  Controlled cluster(4);
  auto id = first(cluster.create(1));
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.restart(3, true);
  EXPECT_EQ(cluster.plan().rolls[NodeId{1}].at(0).reason, RollReason::kFollower);
}

TEST(Planner, segment_on_too_few_nodes_grows_again) {
  Controlled cluster(3);
  auto id = first(cluster.create(1));
  cluster.open(id, TestCluster::on({1, 2}));
  auto plan = cluster.plan();
  EXPECT_EQ(plan.rolls[NodeId{1}].at(0).reason, RollReason::kReplicas);
  EXPECT_EQ(plan.rolls[NodeId{1}].at(0).next.replicas.size(), 3u);
}

TEST(Planner, joining_node_becomes_active_and_gets_its_share) {
  Controlled cluster(3);
  auto topic = cluster.create(1, 40);
  for (std::uint32_t index = 0; index < 40; ++index)
    cluster.open({topic, index},
                 TestCluster::on({1 + index % 3, 1 + (index + 1) % 3, 1 + (index + 2) % 3}));
  cluster.done(TestCluster::life_of(4));
  cluster.observe(4, true, 1h);
  cluster.settle();
  EXPECT_EQ(cluster.node(4).state, NodeState::kActive);
  for (std::uint64_t id = 1; id <= 4; ++id) {
    EXPECT_GE(cluster.state.load(NodeId{id}).leads, 7u);
    EXPECT_LE(cluster.state.load(NodeId{id}).leads, 13u);
  }
}

TEST(Planner, leaders_return_only_to_a_node_that_stays) {
  Controlled cluster(3);
  auto topic = cluster.create(1, 30);
  for (std::uint32_t index = 0; index < 30; ++index)
    cluster.open({topic, index}, TestCluster::on({1 + index % 2, 3 - (1 + index % 2), 3}));
  cluster.observe(3, true, 1s);
  EXPECT_TRUE(cluster.plan().rolls.empty());
  cluster.observe(3, true, 1min);
  EXPECT_FALSE(cluster.plan().rolls.empty());
  cluster.settle();
  EXPECT_GE(cluster.state.load(NodeId{3}).leads, 8u);
}

TEST(Planner, internal_leaders_go_home) {
  Controlled cluster(3);
  cluster.done(CreateTopic{.topic = uuid_of(9),
                           .name = "__internal",
                           .internal = true,
                           .partitions = 20,
                           .replication_factor = 3,
                           .min_copies = 2});
  for (std::uint32_t index = 0; index < 20; ++index)
    cluster.open({uuid_of(9), index}, TestCluster::on({1, 2, 3}));
  cluster.settle();
  std::vector<Alive> living{{NodeId{1}}, {NodeId{2}}, {NodeId{3}}};
  Placer placer(cluster.state, living);
  for (std::uint32_t index = 0; index < 20; ++index) {
    PartitionId id{uuid_of(9), index};
    EXPECT_EQ(cluster.partition(id).tail->leader, placer.home(id));
  }
}

TEST(Planner, drains_a_node_and_says_when_it_is_done) {
  Controlled cluster(4);
  auto topic = cluster.create(1, 10);
  for (std::uint32_t index = 0; index < 10; ++index) {
    PartitionId id{topic, index};
    for (int i = 1; i <= 3; ++i) {
      cluster.open(id, TestCluster::on({1, 2, 3}));
      cluster.done(cluster.seal_of(id, i * 10));
    }
    cluster.open(id, TestCluster::on({1, 2, 3}));
  }
  cluster.set_state(1, NodeState::kDraining);
  cluster.observed.copy_bytes_per_s = 1'000;
  auto plan = cluster.plan();
  ASSERT_EQ(plan.drains.size(), 1u);
  EXPECT_EQ(plan.drains[0].left,
            (Load{.leads = 10, .tails = 10, .sealed = 30, .sealed_bytes = 30'000}));
  EXPECT_EQ(plan.drains[0].finishes_in, 30s);
  EXPECT_EQ(plan.rolls[NodeId{1}].at(0).reason, RollReason::kDrain);
  cluster.settle();
  EXPECT_EQ(cluster.node(1).state, NodeState::kDrained);
  EXPECT_TRUE(cluster.state.load(NodeId{1}).empty());
  cluster.state.partitions.each([](const PartitionId&, const Partition& partition) {
    partition.sealed.each([](const Segment& one) { EXPECT_EQ(one.replicas.size(), 3u); });
  });
}

TEST(Planner, drain_below_min_copies_is_stuck_and_says_so) {
  Controlled cluster(2);
  auto id = first(cluster.create(1, 1, 2, 2));
  cluster.open(id, TestCluster::on({1, 2}));
  cluster.set_state(1, NodeState::kDraining);
  auto plan = cluster.plan();
  EXPECT_TRUE(plan.rolls.empty());
  EXPECT_EQ(plan.stuck.at(0).why, Stuck::Why::kNoNodes);
}

TEST(Planner, copies_are_paced_and_not_made_twice) {
  Controlled cluster(4);
  auto topic = cluster.create(1, 40);
  for (std::uint32_t index = 0; index < 40; ++index) {
    cluster.open({topic, index}, TestCluster::on({1, 2, 3}));
    cluster.done(cluster.seal_of({topic, index}, 10));
  }
  cluster.set_state(3, NodeState::kRemoved, true);
  Planner planner(PlanLimits{.copies_max = 5, .copies_node_max = 3, .copies_node_bytes = 0});
  auto plan = planner.plan(cluster.state, cluster.observed);
  std::size_t count = 0;
  for (const auto& [pair, copies] : plan.copies) {
    EXPECT_EQ(pair.second, NodeId{4});
    count += copies.size();
    for (const auto& copy : copies) cluster.observed.copies.push_back(copy);
  }
  EXPECT_EQ(count, 3u);
  EXPECT_TRUE(planner.plan(cluster.state, cluster.observed).copies.empty());
}

// What was reported and is made since holds up nothing, and small copies are many at once.
TEST(Planner, thousands_of_small_copies_are_not_made_a_few_at_a_time) {
  Controlled cluster(3);
  auto topic = cluster.create(1, 1000);
  for (std::uint32_t index = 0; index < 1000; ++index) {
    cluster.open({topic, index}, TestCluster::on({1, 2}));
    cluster.done(cluster.seal_of({topic, index}, 10));
  }
  Planner planner;
  auto count = [&] {
    std::size_t count = 0;
    for (const auto& [pair, copies] : planner.plan(cluster.state, cluster.observed).copies) {
      count += copies.size();
      for (const auto& copy : copies) cluster.observed.copies.push_back(copy);
    }
    return count;
  };
  EXPECT_EQ(count(), 200u);
  EXPECT_EQ(count(), 0u);
  for (const auto& copy : cluster.observed.copies)
    cluster.done(MoveCopies{
        copy.partition, cluster.version(copy.partition), {{copy.segment, {copy.to}, {}}}});
  EXPECT_EQ(count(), 200u);
}

TEST(Planner, large_copies_are_made_a_few_at_a_time) {
  Controlled cluster(3);
  auto topic = cluster.create(1, 20);
  for (std::uint32_t index = 0; index < 20; ++index) {
    cluster.open({topic, index}, TestCluster::on({1, 2}));
    auto seal = cluster.seal_of({topic, index}, 10);
    seal.bytes = 1 << 30;
    cluster.done(seal);
  }
  Planner planner;
  std::size_t count = 0;
  for (const auto& [pair, copies] : planner.plan(cluster.state, cluster.observed).copies)
    count += copies.size();
  EXPECT_EQ(count, PlanLimits().copies_node_max);
}

TEST(Planner, what_has_fewer_copies_than_its_topic_wants_is_named_also_where_no_node_is_left) {
  Controlled cluster(3);
  auto id = first(cluster.create(1));
  cluster.observe(3, false, 1s);
  auto sealed = cluster.open(id, TestCluster::on({1, 2}));
  cluster.done(cluster.seal_of(id, 10));
  auto open = cluster.open(id, TestCluster::on({1, 2}));
  auto plan = cluster.plan();
  EXPECT_EQ(plan.under_replicated, 2u);
  EXPECT_EQ(plan.lacking, (std::vector<UnderReplicated>{{id, open, 2, 3}, {id, sealed, 2, 3}}));
  EXPECT_TRUE(plan.rolls.empty() && plan.copies.empty());
  cluster.observe(2, false, 1s);
  EXPECT_EQ(cluster.plan().lacking[0].copies, 1u);
  cluster.observe(2, true, 1s);
  cluster.observe(3, true, 0s);  // it has just come back
  plan = cluster.plan();
  EXPECT_EQ(plan.rolls[NodeId{1}].at(0).reason, RollReason::kReplicas);
  EXPECT_EQ(plan.copies.size(), 1u);
  cluster.settle();
  EXPECT_EQ(cluster.plan().under_replicated, 0u);
}

// A search that takes several plans does not forget meanwhile what it has found.
TEST(Planner, what_a_long_search_has_found_is_told_in_every_plan) {
  Controlled cluster(3);
  auto topic = cluster.create(1, 30);
  cluster.observe(3, false, 1s);
  for (std::uint32_t index = 0; index < 30; ++index) {
    cluster.open({topic, index}, TestCluster::on({1, 2}));
    cluster.done(cluster.seal_of({topic, index}, 10));
  }
  Planner planner(PlanLimits{.segments_max = 7});
  int plans = 0;
  while (!planner.plan(cluster.state, cluster.observed).searched) ++plans;
  EXPECT_EQ(plans, 4);
  for (int i = 0; i < 10; ++i) {
    auto plan = planner.plan(cluster.state, cluster.observed);
    EXPECT_EQ(plan.under_replicated, 30u);
    EXPECT_EQ(plan.lacking.size(), 30u);
  }
}

// What one copy of two holds has to come to the other before the end is decided.
TEST(Planner, recovery_that_waits_for_a_quorum_is_reported) {
  Controlled cluster(3);
  auto id = first(cluster.create(1));
  cluster.open(id, TestCluster::on({1, 2}));
  cluster.observe(1, false, 1s);
  for (const auto& command : commands(cluster.plan(), {})) apply(cluster.state, command);
  auto plan = cluster.plan();
  EXPECT_EQ(plan.recoveries[NodeId{2}].size(), 1u);
  ASSERT_EQ(plan.stuck.size(), 1u);
  EXPECT_EQ(plan.stuck[0].why, Stuck::Why::kUnsealable);
  cluster.set_state(1, NodeState::kRemoved, true);  // nobody waits for it any more
  EXPECT_TRUE(cluster.plan().stuck.empty());
}

TEST(Planner, node_whose_disk_is_full_leads_nothing_and_is_used_again_when_there_is_room) {
  Controlled cluster(3);
  auto topic = cluster.create(1, 12);
  for (std::uint32_t index = 0; index < 12; ++index)
    cluster.open({topic, index},
                 TestCluster::on({1 + index % 3, 1 + (index + 1) % 3, 1 + (index + 2) % 3}));
  cluster.observed.full = {NodeId{1}};
  EXPECT_EQ(cluster.plan().rolls[NodeId{1}].at(0).reason, RollReason::kDrain);
  EXPECT_TRUE(cluster.plan().stuck.empty());
  cluster.settle();
  EXPECT_EQ(cluster.state.load(NodeId{1}).tails, 0u);
  EXPECT_EQ(cluster.state.load(NodeId{2}).tails, 12u);
  EXPECT_GT(cluster.plan().under_replicated, 0u);
  cluster.observed.full.clear();
  cluster.settle();
  EXPECT_EQ(cluster.state.load(NodeId{1}).tails, 12u);
  EXPECT_EQ(cluster.plan().under_replicated, 0u);
}

TEST(Planner, where_too_few_nodes_have_room_segments_stay_where_they_are) {
  Controlled cluster(3);
  auto id = first(cluster.create(1));
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.observed.full = {NodeId{1}, NodeId{2}};
  auto plan = cluster.plan();
  EXPECT_TRUE(plan.rolls.empty() && plan.stuck.empty());
}

TEST(Planner, no_copy_is_made_on_a_node_whose_disk_is_full) {
  Controlled cluster(5);
  auto id = first(cluster.create(1));
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.done(cluster.seal_of(id, 10));
  cluster.observed.full = {NodeId{2}, NodeId{4}};
  cluster.set_state(3, NodeState::kRemoved, true);
  cluster.settle();
  auto replicas = cluster.partition(id).sealed.last().replicas;
  EXPECT_EQ(std::set<NodeId>(replicas.begin(), replicas.end()),
            (std::set<NodeId>{NodeId{1}, NodeId{2}, NodeId{5}}));
}

// R29: it holds up nobody, but what it lacks is on fewer disks than it should be.
TEST(Planner, slow_follower_is_replaced_if_there_is_another_node) {
  for (std::uint64_t nodes : {3u, 4u}) {
    Controlled cluster(nodes);
    auto id = first(cluster.create(1));
    auto segment = cluster.open(id, TestCluster::on({1, 2, 3}));
    cluster.observed.slow = {{id, segment, NodeId{3}}};
    cluster.observed.slow_nodes = {NodeId{3}};
    auto plan = cluster.plan();
    if (nodes == 3) {
      EXPECT_TRUE(plan.rolls.empty());
      continue;
    }
    ASSERT_EQ(plan.rolls[NodeId{1}].size(), 1u);
    EXPECT_EQ(plan.rolls[NodeId{1}][0].reason, RollReason::kFollower);
    EXPECT_EQ(plan.rolls[NodeId{1}][0].next, TestCluster::on({1, 2, 4}));
    cluster.settle();  // it is not chosen again at once, though it has least
    EXPECT_EQ(cluster.partition(id).tail->replicas, TestCluster::on({1, 2, 4}).replicas);
  }
}

// There is nobody else to lead what is at home on it.
TEST(Planner, slow_home_of_an_internal_topic_is_left_alone) {
  Controlled cluster(4);
  cluster.done(CreateTopic{.topic = uuid_of(9),
                           .name = "__internal",
                           .internal = true,
                           .partitions = 1,
                           .replication_factor = 3,
                           .min_copies = 2});
  cluster.observed.wanted = {first(uuid_of(9))};
  cluster.settle();
  const auto& tail = *cluster.partition(first(uuid_of(9))).tail;
  cluster.observed.slow = {{first(uuid_of(9)), tail.id, tail.leader}};
  cluster.observed.slow_nodes = {tail.leader};
  EXPECT_TRUE(cluster.plan().rolls.empty());
}

TEST(Planner, replacement_is_given_what_the_old_one_had) {
  Controlled cluster(5);
  auto topic = cluster.create(1, 20);
  for (std::uint32_t index = 0; index < 20; ++index) {
    cluster.open({topic, index}, TestCluster::on({1, 2, 3}));
    cluster.done(cluster.seal_of({topic, index}, 10));
  }
  cluster.done(ReplaceNode{NodeId{3}, cluster.node(3).version, NodeId{5}, cluster.node(5).version});
  cluster.observed.copy_bytes_per_s = 1'000;
  auto drains = cluster.plan().drains;
  ASSERT_EQ(drains.size(), 1u);  // its progress
  EXPECT_EQ(drains[0].node, NodeId{3});
  EXPECT_EQ(drains[0].left.sealed, 20u);
  EXPECT_EQ(drains[0].finishes_in, 20s);
  cluster.settle();
  EXPECT_TRUE(cluster.plan().drains.empty());
  EXPECT_EQ(cluster.state.load(NodeId{5}).sealed, 20u);
  EXPECT_EQ(cluster.state.load(NodeId{4}).sealed, 0u);
}

// Of six nodes 3 hands over to 6, although 4 and 5 have less.
TEST(Planner, a_node_that_is_there_hands_over_to_its_heir_alone) {
  Controlled cluster(6);
  auto topic = cluster.create(1, 12);
  for (std::uint32_t index = 0; index < 12; ++index) {
    PartitionId id{topic, index};
    auto place = index % 2 == 0 ? TestCluster::on({3, 1, 2}) : TestCluster::on({1, 2, 3});
    cluster.open(id, place);
    cluster.done(cluster.seal_of(id, 10));
    cluster.open(id, place);
  }
  cluster.done(HandOver{NodeId{3}, cluster.node(3).version, NodeId{6}, cluster.node(6).version});
  auto plan = cluster.plan();
  ASSERT_EQ(plan.drains.size(), 1u);
  EXPECT_EQ(plan.drains[0].left,
            (Load{.leads = 6, .tails = 12, .sealed = 12, .sealed_bytes = 12'000}));
  for (const auto& [leader, rolls] : plan.rolls)
    for (const auto& roll : rolls) {
      EXPECT_EQ(roll.reason, RollReason::kDrain);
      if (leader == NodeId{3}) EXPECT_EQ(roll.next.leader, NodeId{6});
      EXPECT_TRUE(std::ranges::count(roll.next.replicas, NodeId{6}) == 1);
    }
  for (const auto& [pair, copies] : plan.copies) EXPECT_EQ(pair.second, NodeId{6});
  cluster.settle();
  EXPECT_EQ(cluster.node(3).state, NodeState::kRemoved);
  EXPECT_EQ(cluster.node(3).replaced_by, NodeId{6});
  EXPECT_TRUE(cluster.state.load(NodeId{3}).empty());
  cluster.state.partitions.each([](const PartitionId&, const Partition& partition) {
    EXPECT_EQ(partition.losses_total, 0u);
    partition.sealed.each([](const Segment& one) {
      const std::set<NodeId> on(one.replicas.begin(), one.replicas.end());
      if (one.base == Offset{}) EXPECT_EQ(on, (std::set<NodeId>{NodeId{1}, NodeId{2}, NodeId{6}}));
    });
  });
}

TEST(Planner, a_drain_goes_on_where_the_heir_leaves_as_well) {
  Controlled cluster(5);
  auto id = first(cluster.create(1));
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.done(HandOver{NodeId{3}, cluster.node(3).version, NodeId{4}, cluster.node(4).version});
  cluster.set_state(4, NodeState::kRemoved, true);
  cluster.settle();
  EXPECT_EQ(cluster.node(3).state, NodeState::kRemoved);
  EXPECT_TRUE(std::ranges::count(cluster.partition(id).tail->replicas, NodeId{5}) == 1);
}

TEST(Planner, the_feature_level_rises_when_all_know_it) {
  Controlled cluster(3);
  auto upgrade = [&cluster](std::uint64_t id) {
    auto life = TestCluster::life_of(id);
    life.incarnation = cluster.node(id).incarnation + 1;
    life.expected = cluster.node(id).version;
    life.claimed = {cluster.node(id).incarnation};
    life.feature_level_max = kFeatureLevel + 1;
    cluster.done(life);
    cluster.observe(id, true, 1h);
  };
  upgrade(1);
  upgrade(2);
  EXPECT_EQ(cluster.turn(), 0u);
  EXPECT_EQ(cluster.state.cluster.feature_level, kFeatureLevel);
  upgrade(3);
  cluster.settle();
  EXPECT_EQ(cluster.state.cluster.feature_level, kFeatureLevel + 1);
  auto old = TestCluster::life_of(4);
  cluster.refused(Refusal::kUnknown, old);
}

TEST(Planner, dead_nodes_copies_are_made_elsewhere_after_a_while) {
  Controlled cluster(4);
  auto id = first(cluster.create(1));
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.done(cluster.seal_of(id, 10));
  cluster.observe(3, false, 19min);
  EXPECT_TRUE(cluster.plan().copies.empty());
  cluster.observe(3, false, 20min);
  cluster.settle();
  auto replicas = cluster.partition(id).sealed.last().replicas;
  EXPECT_EQ(std::set<NodeId>(replicas.begin(), replicas.end()),
            (std::set<NodeId>{NodeId{1}, NodeId{2}, NodeId{4}}));
}

TEST(Planner, last_copy_that_is_away_is_reported) {
  Controlled cluster(2);
  auto id = first(cluster.create(1, 1, 2, 1));
  cluster.open(id, TestCluster::on({1}));
  cluster.done(cluster.seal_of(id, 10));
  cluster.observe(1, false, 1s);
  EXPECT_EQ(cluster.plan().stuck.at(0).why, Stuck::Why::kNoCopy);
}

// Whatever happened: once nodes stay as they are, everything is where it has to be.
RC_GTEST_PROP(Planner, comes_to_rest_with_everything_in_place, ()) {
  auto nodes = *rc::gen::inRange<std::uint64_t>(3, 7);
  Controlled cluster(nodes);
  auto topic = cluster.create(1, *rc::gen::inRange<std::uint32_t>(1, 12));
  auto partitions = cluster.state.topics.find(topic)->partitions;
  for (std::uint32_t index = 0; index < partitions; ++index)
    cluster.observed.wanted.push_back({topic, index});
  cluster.settle();
  auto faults = *rc::gen::container<std::vector<std::pair<int, std::uint64_t>>>(
      rc::gen::pair(rc::gen::inRange(0, 4), rc::gen::inRange<std::uint64_t>(1, nodes + 1)));
  std::set<std::uint64_t> down;
  for (auto [what, id] : faults) {
    if (what == 0 && down.size() < (nodes - 1) / 2 && down.insert(id).second)
      cluster.observe(id, false, 1h);
    if (what == 1 && down.erase(id) > 0) cluster.restart(id, false);
    if (what == 2 && !down.contains(id)) cluster.restart(id, false);
    if (what == 3) cluster.settle();
  }
  cluster.settle();
  auto want = std::min<std::size_t>(3, nodes - down.size());
  cluster.state.partitions.each([&](const PartitionId&, const Partition& partition) {
    RC_ASSERT(partition.tail.has_value());
    RC_ASSERT(partition.tail->state == SegmentState::kOpen);
    RC_ASSERT(partition.tail->replicas.size() == want);
    for (auto node : partition.tail->replicas) RC_ASSERT(!down.contains(node.value));
    partition.sealed.each([&](const Segment& segment) {
      std::size_t there = 0;
      for (auto node : segment.replicas) there += down.contains(node.value) ? 0 : 1;
      RC_ASSERT(there == want);
    });
  });
}

}  // namespace
}  // namespace walrus::meta
