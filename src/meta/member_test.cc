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

// Of one partition, led by the node at that place, with the others of nodes 1 to 3 beside it.
CreateTopic opened_on(std::uint8_t number, std::size_t leads) {
  auto made = topic(number);
  Placement place{.leader = NodeId{leads + 1}, .replicas = {NodeId{leads + 1}}};
  for (std::uint64_t id = 1; place.replicas.size() < 3; ++id)
    if (NodeId{id} != place.leader) place.replicas.push_back(NodeId{id});
  made.first = {place};
  return made;
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
  // The first answer may be that nothing is known of it: asked again, it is done or there.
  auto created = propose(other, topic(1));
  if (!created && created.error().code == Code::kTimeout) created = propose(other, topic(1));
  ASSERT_TRUE(created) << created.error().message;
  EXPECT_TRUE(created->done() || created->refusal == Refusal::kExists);
  EXPECT_LT(world_.now() - at, 500ms);  // its connections broke: nobody waits until it is missed
  EXPECT_NE(leader(), old);
}

TEST_F(MemberTest, every_node_learns_whose_disk_is_full_and_opens_nothing_there) {
  found(4);
  const auto other = (leader() + 1) % 4;
  std::vector<std::set<NodeId>> full(4);
  for (std::size_t i = 0; i < 4; ++i)
    member(i).on_full([&full, i](const std::set<NodeId>& nodes) { full[i] = nodes; });
  member(other).feel({.full = true, .damaged = {{{named(1), 0}, SegmentId{1}}}});
  const std::set<NodeId> one{NodeId{other + 1}};
  ASSERT_TRUE(until([&] { return full == std::vector(4, one); }, 3s));
  const auto told = run(other, member(other).conditions());
  ASSERT_TRUE(told) << told.error().message;
  ASSERT_EQ(told->nodes.size(), 1u);
  EXPECT_EQ(told->nodes[0].condition.damaged.size(), 1u);
  ASSERT_TRUE(propose(0, topic(1)));
  member(0).want({named(1), 0});
  ASSERT_TRUE(until([&] { return tail(0, {named(1), 0}) != nullptr; }));
  EXPECT_FALSE(is_replica(*tail(0, {named(1), 0}), NodeId{other + 1}));
  // Another controller learns of it from the node.
  crash(leader());
  ASSERT_TRUE(until([&] { return leader() != SIZE_MAX; }));
  world_.run_for(2s);
  EXPECT_EQ(full[other], one);
  member(other).feel({});
  ASSERT_TRUE(until([&] { return full[other].empty(); }, 3s));
}

TEST_F(MemberTest, a_partition_that_is_wanted_is_opened) {
  found(3);
  ASSERT_TRUE(propose(0, topic(1, 2)));
  const auto at = world_.now();
  member(2).want({named(1), 1});
  ASSERT_TRUE(until([&] { return tail(2, {named(1), 1}) != nullptr; }));
  EXPECT_LT(world_.now() - at, 100ms);
  EXPECT_EQ(tail(2, {named(1), 1})->replicas.size(), 3u);
  EXPECT_EQ(tail(2, {named(1), 0}), nullptr);
}

// From the death of a node to the segment that goes on elsewhere, with nothing to recover.
TEST_F(MemberTest, segments_of_a_dead_node_go_on_elsewhere) {
  found(3);
  for (std::size_t i = 0; i < 3; ++i) obey(i);
  const PartitionId partition{named(1), 0};
  ASSERT_TRUE(propose(0, topic(1)));
  member(0).want(partition);
  ASSERT_TRUE(
      until([&] { return tail(0, partition) && tail(1, partition) && tail(2, partition); }));
  const auto dead = place_of(tail(0, partition)->leader);
  const auto metadata = leader();
  const auto alive = (dead + 1) % 3;
  crash(dead);
  const auto at = world_.now();
  member(alive).want(partition);
  ASSERT_TRUE(until([&] {
    const auto* now = tail(alive, partition);
    return now && now->state == SegmentState::kOpen && place_of(now->leader) != dead;
  }));
  EXPECT_LT(world_.now() - at, metadata == dead ? 500ms : 80ms);
  EXPECT_EQ(tail(alive, partition)->replicas.size(), 2u);
  EXPECT_EQ(node(dead, alive)->lease_epoch, 2u);  // what it may still hold is renewed no more
}

// Nobody listens there any more, so that no answer has to be waited for.
TEST_F(MemberTest, a_process_that_died_is_lost_at_once) {
  found(3);
  for (std::size_t i = 0; i < 3; ++i) obey(i);
  const auto other = (leader() + 1) % 3;
  ASSERT_TRUE(propose(0, opened_on(1, other)));
  const auto at = world_.now();
  crash(other);
  const auto who = leader();
  const PartitionId partition{named(1), 0};
  ASSERT_TRUE(until([&] {
    const auto* now = tail(who, partition);
    return now == nullptr || now->state == SegmentState::kSealing;
  }));
  EXPECT_LT(world_.now() - at, 50ms);
}

// The one that led metadata dies: who controls next waits for no silence of it.
TEST_F(MemberTest, the_death_of_the_controller_is_seen_as_fast) {
  found(3);
  for (std::size_t i = 0; i < 3; ++i) obey(i);
  const auto old = leader();
  ASSERT_TRUE(propose(0, opened_on(1, old)));
  const auto other = (old + 1) % 3;
  const PartitionId partition{named(1), 0};
  ASSERT_TRUE(until([&] { return tail(other, partition) != nullptr; }));
  const auto at = world_.now();
  crash(old);
  ASSERT_TRUE(until([&] {
    const auto* now = tail(other, partition);
    return now == nullptr || now->state == SegmentState::kSealing;
  }));
  EXPECT_LT(world_.now() - at, 350ms);  // a vote that was split included
}

// What it leads it gives away itself; meanwhile it is trusted with nothing new.
TEST_F(MemberTest, a_node_that_is_about_to_stop_says_so_and_is_given_nothing) {
  found(3);
  const auto other = (leader() + 1) % 3;
  ASSERT_TRUE(propose(0, opened_on(1, other)));
  ASSERT_TRUE(propose(0, topic(2, 30)));
  member(other).leave_soon();
  world_.run_for(50ms);
  for (std::uint32_t i = 0; i < 30; ++i) member(leader()).want({named(2), i});
  ASSERT_TRUE(until([&] { return tail(leader(), {named(2), 29}) != nullptr; }));
  const auto id = NodeId{other + 1};
  for (std::uint32_t i = 0; i < 30; ++i)
    EXPECT_EQ(std::ranges::count(tail(leader(), {named(2), i})->replicas, id), 0);
  // It is alive, and keeps its lease and its segment.
  world_.run_for(1s);
  EXPECT_GT(told(other).leased_at, world_.now() - 250ms);
  EXPECT_EQ(tail(leader(), {named(1), 0})->leader, id);
  EXPECT_EQ(tail(leader(), {named(1), 0})->state, SegmentState::kOpen);
}

// Its connections stay, but nothing comes: after three heartbeats and a little.
TEST_F(MemberTest, a_node_that_stands_still_is_lost_after_three_heartbeats) {
  found(3);
  for (std::size_t i = 0; i < 3; ++i) obey(i);
  const PartitionId partition{named(1), 0};
  const auto other = (leader() + 1) % 3;
  ASSERT_TRUE(propose(0, opened_on(1, other)));
  world_.node(static_cast<int>(other)).pause(2s);
  const auto at = world_.now();
  const auto who = leader();
  ASSERT_TRUE(until([&] { return tail(who, partition)->state == SegmentState::kSealing; }));
  EXPECT_GT(world_.now() - at, 250ms);
  EXPECT_LT(world_.now() - at, 500ms);
  // Back, it learns that its lease is over, and is trusted again.
  ASSERT_TRUE(until([&] { return told(other).leased_at > at + 2s; }));
}

TEST_F(MemberTest, a_node_that_stops_says_so) {
  found(3);
  for (std::size_t i = 0; i < 3; ++i) obey(i);
  const PartitionId partition{named(1), 0};
  const auto other = (leader() + 1) % 3;
  ASSERT_TRUE(propose(0, opened_on(1, other)));
  const auto at = world_.now();
  ASSERT_TRUE(run(other, member(other).stop(world_.now() + 1s)));
  EXPECT_LT(world_.now() - at, 100ms);
  const auto who = leader();
  ASSERT_TRUE(until([&] {
    const auto* now = tail(who, partition);
    return now == nullptr || now->state == SegmentState::kSealing;
  }));
  EXPECT_LT(world_.now() - at, 150ms);
}

TEST_F(MemberTest, a_leader_that_stops_hands_over) {
  found(3);
  const auto old = leader();
  const auto at = world_.now();
  ASSERT_TRUE(run(old, member(old).stop(world_.now() + 1s)));
  ASSERT_TRUE(until([&] { return leader() != SIZE_MAX && leader() != old; }));
  EXPECT_LT(world_.now() - at, 200ms);
}

TEST_F(MemberTest, a_new_controller_waits_before_it_judges) {
  found(3);
  for (std::size_t i = 0; i < 3; ++i) obey(i);
  const auto old = leader();
  const auto other = (old + 1) % 3;
  ASSERT_TRUE(propose(other, opened_on(1, other)));
  ASSERT_TRUE(run(old, member(old).stop(world_.now() + 1s)));
  world_.run_for(1s);
  // The segment of a node that lived all the while is its own.
  EXPECT_EQ(tail(other, {named(1), 0})->leader, NodeId{other + 1});
  EXPECT_EQ(tail(other, {named(1), 0})->epoch, Epoch{1});
}

TEST_F(MemberTest, a_drained_node_is_removed_with_its_vote) {
  found(4);
  for (std::size_t i = 0; i < 4; ++i) obey(i);
  const auto gone = place_of_follower_that_votes();
  const auto by = leader();
  ASSERT_TRUE(propose(by, opened_on(1, gone)));
  set_state(by, gone, NodeState::kDraining);
  ASSERT_TRUE(until([&] { return node(gone, by)->state == NodeState::kDrained; }));
  EXPECT_NE(tail(by, {named(1), 0})->leader, NodeId{gone + 1});
  set_state(by, gone, NodeState::kRemoved);
  ASSERT_TRUE(until([&] { return !is_member(gone) && voters() == 3; }));
  ASSERT_TRUE(until([&] { return !member(gone).status().failure.empty(); }));
  auto refused = propose(gone, topic(7));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kFenced);
}

TEST_F(MemberTest, a_dead_node_is_removed_by_force_and_one_of_two_votes) {
  found(3);
  const auto gone = (leader() + 1) % 3;
  crash(gone);
  world_.run_for(1s);
  EXPECT_EQ(voters(), 3u);  // it may come back
  const auto by = leader();
  set_state(by, gone, NodeState::kRemoved, true);
  ASSERT_TRUE(until([&] { return voters() == 1 && !is_member(gone); }));
  // Its id is never given again.
  world_.node(static_cast<int>(gone)).restart();
  start(gone);
  auto registered = run(gone, member(gone).registered(20s));
  ASSERT_FALSE(registered);
}

TEST_F(MemberTest, another_node_votes_for_one_that_stays_away) {
  found(4);
  const auto gone = place_of_follower_that_votes();
  crash(gone);
  world_.run_for(25s);
  const auto by = leader();
  EXPECT_TRUE(votes(gone));
  ASSERT_TRUE(until([&] { return !votes(gone) && voters() == 3; }));
  EXPECT_TRUE(is_member(gone));
  restart(gone);
  ASSERT_TRUE(run(gone, member(gone).registered(10s)));
  EXPECT_EQ(node(gone, by)->state, NodeState::kActive);
}

// R33: another directory under the same id. It may not vote with what it has forgotten.
TEST_F(MemberTest, a_node_whose_disk_was_replaced_begins_anew) {
  found(3);
  ASSERT_TRUE(propose(0, topic(1)));
  const auto wiped = (leader() + 1) % 3;
  crash(wiped);
  world_.node(static_cast<int>(wiped)).restart();
  remove_all(wiped);
  start(wiped, leader());
  auto registered = run(wiped, member(wiped).registered(20s));
  ASSERT_TRUE(registered) << registered.error().message;
  EXPECT_GT(node(wiped, wiped)->intact_from, SegmentId{});
  ASSERT_TRUE(until([&] { return voters() == 3 && votes(wiped); }));
  EXPECT_NE(member(wiped).image()->topics.find(named(1)), nullptr);
}

// A copy of the directory that is older than the node's newest life: what came between is lost.
TEST_F(MemberTest, a_copy_of_an_old_directory_is_recognised) {
  found(3);
  const auto node_place = (leader() + 1) % 3;
  crash(node_place, io::CrashKind::kPowerCut);
  world_.node(static_cast<int>(node_place)).restart();
  const auto copy = copy_of(node_place);
  start(node_place);
  ASSERT_TRUE(run(node_place, member(node_place).registered(20s)));
  EXPECT_EQ(node(node_place, node_place)->intact_from, SegmentId{});
  crash(node_place, io::CrashKind::kPowerCut);
  world_.node(static_cast<int>(node_place)).restart();
  put_back(node_place, copy);
  world_.run_for(2s);
  start(node_place);
  auto registered = run(node_place, member(node_place).registered(20s));
  ASSERT_TRUE(registered) << registered.error().message;
  EXPECT_GT(node(node_place, node_place)->intact_from, SegmentId{});
  ASSERT_TRUE(until([&] { return voters() == 3; }));
}

TEST_F(MemberTest, the_feature_level_rises_with_the_last_old_program) {
  feature_level_[0] = feature_level_[2] = kFeatureLevel + 1;
  start(1, 1);  // an old program founds
  ASSERT_TRUE(run(1, member(1).registered(5s)));
  start(0, 1);
  start(2, 1);
  for (const std::size_t i : {0, 2}) ASSERT_TRUE(run(i, member(i).registered(20s)));
  ASSERT_TRUE(until([&] { return active(3) && voters() == 3; }));
  world_.run_for(2s);
  EXPECT_EQ(member(0).image()->cluster.feature_level, kFeatureLevel);
  crash(1);
  feature_level_[1] = kFeatureLevel + 1;
  restart(1, 1);
  ASSERT_TRUE(run(1, member(1).registered(20s)));
  const auto raised = [&](std::size_t place) {
    return member(place).image()->cluster.feature_level == kFeatureLevel + 1;
  };
  ASSERT_TRUE(until([&] { return raised(0) && raised(1) && raised(2); }));
  // One that comes back, and one that is new.
  crash(1);
  feature_level_[1] = feature_level_[3] = kFeatureLevel;
  restart(1, 0);
  start(3, 0);
  for (const std::size_t i : {1, 3}) {
    ASSERT_TRUE(until([&] { return !member(i).status().failure.empty(); }));
    EXPECT_NE(member(i).status().failure.find(fmt::format("this program knows {}", kFeatureLevel)),
              std::string::npos)
        << member(i).status().failure;
  }
  EXPECT_FALSE(run(3, member(3).registered(1s)));
}

TEST_F(MemberTest, five_nodes_have_five_voters_if_so_wanted) {
  voters_max_ = 5;
  found(5, 5);
}

TEST_F(MemberTest, tells_its_health_on_every_node) {
  found(3);
  world_.run_for(1s);
  for (std::size_t i = 0; i < 3; ++i) {
    auto health = run(i, member(i).health());
    ASSERT_TRUE(health) << health.error().message;
    EXPECT_EQ(health->controller, NodeId{leader() + 1});
    ASSERT_EQ(health->nodes.size(), 3u);
    for (const auto& one : health->nodes) EXPECT_TRUE(one.alive);
  }
}

TEST_F(MemberTest, a_node_without_the_cluster_waits_and_proposes_nothing) {
  found(3);
  const auto alone = (leader() + 1) % 3;
  world_.network().isolate(static_cast<int>(alone));
  auto created = propose(alone, topic(1), 1s);
  ASSERT_FALSE(created);
  EXPECT_TRUE(created.error().code == Code::kBusy || created.error().code == Code::kTimeout);
  auto seen = run(alone, member(alone).current(500ms));
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().code, Code::kTimeout);
}

TEST_F(MemberTest, another_address_reaches_the_others) {
  found(3);
  const auto moved = (leader() + 1) % 3;
  crash(moved);
  world_.node(static_cast<int>(moved)).restart();
  port_ = 9193;
  start(moved);
  port_ = 9093;
  auto registered = run(moved, member(moved).registered(20s));
  ASSERT_TRUE(registered) << registered.error().message;
  const auto by = leader();
  ASSERT_TRUE(until([&] {
    for (const auto& one : member(by).status().members.members)
      if (one.id == NodeId{moved + 1}) return one.address.ends_with(":9193");
    return false;
  }));
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
