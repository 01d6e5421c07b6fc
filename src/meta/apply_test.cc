// What each change does and refuses. That nothing else happens, in any order, is the simulated
// world's `meta` (sim/meta_run.h).

#include "meta/test_cluster.h"

namespace walrus::meta {
namespace {

TEST(Apply, nothing_is_accepted_before_founding) {
  TestCluster cluster(0);
  State empty;
  auto outcomes = apply(empty, {.changes = {TestCluster::life_of(1), CreateTopic{}}});
  EXPECT_EQ(outcomes[0].refusal, Refusal::kUnknown);
  EXPECT_EQ(outcomes[1].refusal, Refusal::kUnknown);
  EXPECT_EQ(empty.version, Version{});
  cluster.refused(Refusal::kExists, Found{uuid_of(1), 1, {}});
}

TEST(Apply, any_bytes_are_a_refusal) {
  State state;
  for (Bytes bytes : {Bytes(""), Bytes("\x01"), Bytes("\x02 later"), Bytes("garbage")}) {
    auto reply = parse_reply(apply_encoded(state, bytes));
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->at(0).refusal, Refusal::kMalformed);
  }
  EXPECT_EQ(state.version, Version{});
}

TEST(Apply, mismatch_tells_the_present_version) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  auto stale = cluster.version(id);
  cluster.open(id, TestCluster::on({1, 2, 3}));
  auto outcome = cluster.apply(OpenSegment{id, stale, TestCluster::on({1, 2, 3})});
  EXPECT_EQ(outcome.refusal, Refusal::kMismatch);
  EXPECT_EQ(outcome.version, cluster.version(id));
}

TEST(Apply, one_refusal_does_not_hinder_the_others) {
  TestCluster cluster(3);
  auto topic = cluster.create(1, 3);
  auto version = cluster.version({topic, 0});
  Command command;
  for (std::uint32_t index : {0u, 9u, 2u})
    command.changes.push_back(OpenSegment{{topic, index}, version, TestCluster::on({1, 2, 3})});
  auto outcomes = apply(cluster.state, command);
  EXPECT_TRUE(outcomes[0].done());
  EXPECT_EQ(outcomes[1].refusal, Refusal::kNotFound);
  EXPECT_TRUE(outcomes[2].done());
  EXPECT_EQ(outcomes[2].value, outcomes[0].value + 1);
}

TEST(Levels, are_raised_only_when_all_nodes_know_them) {
  TestCluster cluster(2);
  auto later = TestCluster::life_of(1);
  later.incarnation = 2;
  later.claimed = {1};
  later.feature_level_max = kFeatureLevel + 1;
  later.expected = cluster.node(1).version;
  cluster.done(later);
  RaiseLevel raise{cluster.state.cluster.version, kFeatureLevel + 1};
  cluster.refused(Refusal::kState, raise);
  cluster.set_state(2, NodeState::kRemoved, true);
  cluster.done(raise);
  EXPECT_EQ(cluster.state.cluster.feature_level, kFeatureLevel + 1);
  cluster.refused(Refusal::kInvalid, RaiseLevel{cluster.state.cluster.version, kFeatureLevel + 1});
  cluster.refused(Refusal::kUnknown, TestCluster::life_of(3));  // an old program may not join
}

// R33, R19.
TEST(Nodes, directory_that_knows_the_last_life_is_intact) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  auto next = TestCluster::life_of(1);
  next.expected = cluster.node(1).version;
  next.incarnation = 7;
  next.claimed = {1, 5};  // 5 was tried and did not get through
  cluster.done(next);
  EXPECT_EQ(cluster.node(1).intact_from, SegmentId{});
  EXPECT_TRUE(cluster.state.intact(*cluster.partition(id).tail, NodeId{1}));
}

TEST(Nodes, old_copy_of_a_directory_is_treated_as_wiped) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  auto life = TestCluster::life_of(1);
  life.expected = cluster.node(1).version;
  life.incarnation = 7;
  life.claimed = {1};
  cluster.done(life);
  auto copy = life;  // taken before life 7, and started a few times
  copy.expected = cluster.node(1).version;
  copy.incarnation = 9;
  copy.claimed = {1, 6, 8};
  cluster.done(copy);
  const auto& tail = *cluster.partition(id).tail;
  EXPECT_FALSE(cluster.state.intact(tail, NodeId{1}));
  EXPECT_TRUE(cluster.state.intact(tail, NodeId{2}));
  // What is opened later is there.
  cluster.done(cluster.seal_of(id, 10));
  cluster.open(id, TestCluster::on({1, 2, 3}));
  EXPECT_TRUE(cluster.state.intact(*cluster.partition(id).tail, NodeId{1}));
}

TEST(Nodes, empty_directory_of_the_same_id_is_wiped) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  auto fresh = TestCluster::life_of(1);
  fresh.directory = uuid_of(99);
  fresh.incarnation = 2;
  cluster.refused(Refusal::kExists, fresh);  // the id is taken
  fresh.expected = cluster.node(1).version;
  cluster.done(fresh);
  EXPECT_FALSE(cluster.state.intact(*cluster.partition(id).tail, NodeId{1}));
}

TEST(Nodes, one_directory_is_one_node) {
  TestCluster cluster(2);
  auto twin = TestCluster::life_of(3);
  twin.directory = uuid_of(1);
  cluster.refused(Refusal::kExists, twin);
}

TEST(Nodes, life_that_is_over_cannot_register) {
  TestCluster cluster(1);
  auto life = TestCluster::life_of(1);
  life.expected = cluster.node(1).version;
  life.incarnation = 5;
  life.claimed = {1};
  cluster.done(life);
  life.expected = cluster.node(1).version;
  auto outcome = cluster.apply(life);  // the answer was lost, it asks again: value says it is done
  EXPECT_EQ(outcome.refusal, Refusal::kEpoch);
  EXPECT_EQ(outcome.value, 5u);
}

TEST(Nodes, drained_means_nothing_is_left) {
  TestCluster cluster(4);
  PartitionId id{cluster.create(1), 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.set_state(1, NodeState::kDraining);
  cluster.refused(Refusal::kState,
                  SetNodeState{NodeId{1}, cluster.node(1).version, NodeState::kDrained, false});
  auto seal = cluster.seal_of(id, 10);
  seal.next = TestCluster::on({2, 3, 4});
  cluster.done(seal);
  auto segment = cluster.partition(id).sealed.last().id;
  cluster.done(MoveCopies{id, cluster.version(id), {{segment, {NodeId{4}}, {NodeId{1}}}}});
  EXPECT_TRUE(cluster.state.load(NodeId{1}).empty());
  cluster.set_state(1, NodeState::kDrained);
  cluster.set_state(1, NodeState::kRemoved);
  cluster.refused(Refusal::kState,
                  SetNodeState{NodeId{1}, cluster.node(1).version, NodeState::kActive, false});
  cluster.refused(Refusal::kExists, TestCluster::life_of(1));  // an id is given once
}

TEST(Nodes, replaced_node_counts_as_unknown) {
  TestCluster cluster(4);
  PartitionId id{cluster.create(1), 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.done(ReplaceNode{NodeId{1}, cluster.node(1).version, NodeId{4}, cluster.node(4).version});
  EXPECT_EQ(cluster.node(1).state, NodeState::kRemoved);
  EXPECT_EQ(cluster.node(1).replaced_by, NodeId{4});
  EXPECT_FALSE(cluster.state.intact(*cluster.partition(id).tail, NodeId{1}));
}

TEST(Nodes, hand_over_is_a_drain_with_an_heir) {
  TestCluster cluster(4);
  PartitionId id{cluster.create(1), 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  auto to = [&](std::uint64_t old, std::uint64_t by) {
    return HandOver{NodeId{old}, cluster.node(old).version, NodeId{by}, cluster.node(by).version};
  };
  cluster.refused(Refusal::kInvalid, to(1, 1));
  cluster.refused(Refusal::kNotFound, HandOver{NodeId{9}, {1}, NodeId{1}, {1}});
  cluster.refused(Refusal::kMismatch, HandOver{NodeId{1}, {1}, NodeId{2}, cluster.node(2).version});
  cluster.done(to(1, 4));
  EXPECT_EQ(cluster.node(1).state, NodeState::kDraining);
  EXPECT_EQ(cluster.node(1).replaced_by, NodeId{4});
  EXPECT_TRUE(cluster.state.intact(*cluster.partition(id).tail, NodeId{1}));
  cluster.refused(Refusal::kState, to(4, 1));  // who leaves takes nothing over
  cluster.done(to(1, 2));                      // thought better of it
  EXPECT_EQ(cluster.node(1).replaced_by, NodeId{2});
  cluster.set_state(1, NodeState::kActive);
  EXPECT_EQ(cluster.node(1).replaced_by, NodeId{});
  cluster.set_state(3, NodeState::kRemoved, true);
  cluster.refused(Refusal::kState, to(3, 4));
}

// Whatever others issued in the meantime is not issued again, and who wrote is fenced.
TEST(Cluster, recovery_is_above_all_that_others_may_have_been_given) {
  TestCluster cluster(3);
  const auto topic = cluster.create(1, 3);
  cluster.open({topic, 0}, TestCluster::on({2, 1, 3}));
  cluster.open({topic, 1}, TestCluster::on({1, 2, 3}));
  cluster.done(BeginSeal{{topic, 1}, cluster.version({topic, 1}), NodeId{3}});
  const auto before = cluster.state;
  const RecoverMetadata recover{uuid_of(0xcc), uuid_of(0xcd), NodeId{1}, 7, 100};
  auto wrong = recover;
  wrong.from = uuid_of(0xcd);
  cluster.refused(Refusal::kMismatch, wrong);
  wrong = recover;
  wrong.by = NodeId{9};
  cluster.refused(Refusal::kInvalid, wrong);
  wrong = recover;
  wrong.cluster = wrong.from;
  cluster.refused(Refusal::kInvalid, wrong);
  cluster.done(recover);
  EXPECT_EQ(cluster.state.cluster.id, uuid_of(0xcd));
  EXPECT_EQ(cluster.state.recoveries.size(), 1u);
  EXPECT_EQ(cluster.state.next_segment.value, before.next_segment.value + kSkippedSegments);
  EXPECT_EQ(cluster.state.next_producer, before.next_producer + kSkippedProducers);
  EXPECT_GT(cluster.state.version.value, before.version.value + kSkippedVersions);
  for (std::uint32_t index = 0; index < 3; ++index) {
    const auto& partition = cluster.partition({topic, index});
    EXPECT_EQ(partition.epoch.value,
              before.partitions.find(PartitionId{topic, index})->epoch.value + kSkippedEpochs);
    EXPECT_EQ(partition.tail.has_value(), index < 2);
    if (!partition.tail) continue;
    EXPECT_EQ(partition.tail->state, SegmentState::kSealing);
    EXPECT_EQ(partition.tail->recoverer, NodeId{1});
  }
  for (std::uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(cluster.node(id).lease_epoch, before.find_node(NodeId{id})->lease_epoch + 1);
    EXPECT_EQ(cluster.node(id).intact_from, SegmentId{});
  }
  cluster.refused(Refusal::kMismatch, recover);  // once
  cluster.open({topic, 2}, TestCluster::on({1, 2, 3}));
}

TEST(Nodes, lease_epoch_rises_with_each_life_and_expiry) {
  TestCluster cluster(1);
  EXPECT_EQ(cluster.node(1).lease_epoch, 1u);
  cluster.done(ExpireLease{NodeId{1}, cluster.node(1).version});
  EXPECT_EQ(cluster.node(1).lease_epoch, 2u);
}

TEST(Topics, deleted_topic_leaves_a_tombstone_and_its_name) {
  TestCluster cluster(3);
  auto topic = cluster.create(1);
  PartitionId id{topic, 0};
  auto segment = cluster.open(id, TestCluster::on({1, 2, 3}));
  auto version = cluster.state.version;
  cluster.done(DeleteTopic{topic, cluster.state.topics.find(topic)->version});
  EXPECT_FALSE(cluster.state.find_topic("t1"));
  EXPECT_TRUE(cluster.state.load(NodeId{1}).empty());
  EXPECT_EQ(cluster.state.changes_since(version).deleted, std::vector{topic});
  CreateTopic again{.topic = topic, .name = "t1"};
  cluster.refused(Refusal::kExists, again);  // under the old id never
  again.topic = uuid_of(9);
  cluster.done(again);
  EXPECT_TRUE(cluster.partition({uuid_of(9), 0}).sealed.empty());
  EXPECT_GT(cluster.open({uuid_of(9), 0}, TestCluster::on({1})), segment);
}

TEST(Topics, tombstones_are_bounded_and_followers_learn_of_it) {
  State state;
  apply(state, {.changes = {Found{uuid_of(1), 1, {}}}});
  auto version = state.version;
  for (std::uint32_t i = 0; i <= kTombstonesMax; ++i) {
    auto topic = uuid_of(2);
    std::memcpy(topic.bytes.data(), &i, sizeof i);
    apply(state, {.changes = {CreateTopic{.topic = topic, .name = "t"}}});
    apply(state, {.changes = {DeleteTopic{topic, state.version}}});
  }
  EXPECT_LE(state.tombstones.size(), kTombstonesMax);
  EXPECT_GT(state.tombstones.size(), kTombstonesMax / 2);
  EXPECT_TRUE(state.changes_since(version).whole);
  EXPECT_FALSE(state.changes_since(state.forgotten).whole);
  EXPECT_EQ(broken_rule(state), "");
}

TEST(Topics, names_and_numbers_have_limits) {
  TestCluster cluster(1);
  for (const auto* name : {"", ".", "..", "a b", "a/b", "\xc3\xa4"})
    cluster.refused(Refusal::kInvalid, CreateTopic{.topic = uuid_of(1), .name = name});
  CreateTopic create{.topic = uuid_of(1), .name = std::string(249, 'x')};
  create.min_copies = 2;
  cluster.refused(Refusal::kInvalid, create);
  create.replication_factor = 8;
  cluster.refused(Refusal::kInvalid, create);
  create.replication_factor = 2;
  create.partitions = kTopicPartitionsMax + 1;
  cluster.refused(Refusal::kLimit, create);
  create.partitions = 1;
  cluster.done(create);
}

TEST(Topics, grow_and_never_shrink) {
  TestCluster cluster(3);
  auto topic = cluster.create(1, 2);
  auto version = [&] { return cluster.state.topics.find(topic)->version; };
  cluster.refused(Refusal::kInvalid, AddPartitions{topic, version(), 2, {}});
  cluster.done(AddPartitions{topic, version(), 4, {TestCluster::on({3, 1, 2})}});
  EXPECT_EQ(cluster.partition({topic, 2}).tail->leader, NodeId{3});
  EXPECT_FALSE(cluster.partition({topic, 3}).tail);
}

// R1, R23, R24.
TEST(Segments, seal_and_open_are_one_step) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  auto first = cluster.open(id, TestCluster::on({1, 2, 3}));
  auto seal = cluster.seal_of(id, 1000);
  seal.next = TestCluster::on({2, 3, 1});
  SegmentId second{cluster.done(seal).value};
  const auto& partition = cluster.partition(id);
  EXPECT_GT(second, first);
  EXPECT_EQ(partition.sealed.last().end, Offset{1000});
  EXPECT_EQ(partition.tail->base, Offset{1000});
  EXPECT_EQ(partition.tail->epoch, Epoch{2});
  cluster.refused(Refusal::kState, OpenSegment{id, cluster.version(id), TestCluster::on({1, 2})});
}

// R11, R21, R22.
TEST(Segments, recovery_has_an_epoch_of_its_own) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  auto writers = cluster.seal_of(id, 500);
  EXPECT_EQ(cluster.done(BeginSeal{id, cluster.version(id), NodeId{2}}).value, 2u);
  auto first = cluster.seal_of(id, 400);
  writers.expected = cluster.version(id);
  cluster.refused(Refusal::kEpoch, writers);  // the writer decides nothing any more
  EXPECT_EQ(cluster.done(BeginSeal{id, cluster.version(id), NodeId{3}}).value, 3u);
  first.expected = cluster.version(id);
  cluster.refused(Refusal::kEpoch, first);  // nor does the recoverer before
  cluster.done(cluster.seal_of(id, 450));
  EXPECT_EQ(cluster.partition(id).sealed.last().end, Offset{450});
  EXPECT_EQ(cluster.partition(id).sealed.last().epoch, Epoch{1});
  cluster.open(id, TestCluster::on({2, 3}));
  EXPECT_EQ(cluster.partition(id).tail->epoch, Epoch{4});
}

TEST(Segments, end_is_not_below_base_or_log_start) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  auto seal = cluster.seal_of(id, 100);
  seal.next = TestCluster::on({1, 2, 3});
  cluster.done(seal);
  cluster.refused(Refusal::kInvalid, cluster.seal_of(id, 99));
  cluster.done(SetLogStart{id, cluster.version(id), Offset{150}});
  cluster.refused(Refusal::kInvalid, cluster.seal_of(id, 149));
  cluster.done(cluster.seal_of(id, 150));
  EXPECT_TRUE(cluster.partition(id).sealed.empty());
  EXPECT_EQ(cluster.partition(id).sealed_end, Offset{150});
}

TEST(Segments, empty_one_leaves_only_its_epoch) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.done(cluster.seal_of(id, 0));
  EXPECT_TRUE(cluster.partition(id).sealed.empty());
  cluster.open(id, TestCluster::on({1, 2, 3}));
  EXPECT_EQ(cluster.partition(id).tail->epoch, Epoch{2});
  EXPECT_EQ(cluster.partition(id).tail->base, Offset{0});
}

// R29: fewer nodes than min_copies are refused, not made do with.
TEST(Segments, placement_is_checked) {
  TestCluster cluster(4);
  PartitionId id{cluster.create(1), 0};
  auto open = [&](std::initializer_list<std::uint64_t> nodes) {
    return OpenSegment{id, cluster.version(id), TestCluster::on(nodes)};
  };
  cluster.refused(Refusal::kInvalid, open({1}));
  cluster.refused(Refusal::kInvalid, open({1, 2, 3, 4}));
  cluster.refused(Refusal::kInvalid, open({1, 1}));
  cluster.refused(Refusal::kState, open({1, 9}));
  auto stranger = open({1, 2});
  stranger.place.leader = NodeId{3};
  cluster.refused(Refusal::kInvalid, stranger);
  cluster.set_state(4, NodeState::kDraining);
  cluster.refused(Refusal::kState, open({1, 4}));
  cluster.done(open({1, 2}));
}

// R41.
TEST(Segments, loss_is_accepted_only_in_recovery_and_recorded) {
  TestCluster cluster(3);
  auto topic = cluster.create(1);
  PartitionId id{topic, 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  auto seal = cluster.seal_of(id, 40);
  seal.loss = AcceptedLoss{Offset{55}, "alice"};
  cluster.refused(Refusal::kState, seal);
  cluster.done(BeginSeal{id, cluster.version(id), NodeId{2}});
  seal = cluster.seal_of(id, 40);
  seal.loss = AcceptedLoss{Offset{55}, ""};
  cluster.refused(Refusal::kInvalid, seal);  // fsync: the operator has to say so
  seal.loss = AcceptedLoss{Offset{40}, "alice"};
  cluster.refused(Refusal::kInvalid, seal);  // nothing is lost
  seal.loss = AcceptedLoss{Offset{55}, "alice"};
  cluster.done(seal);
  const auto& loss = cluster.partition(id).losses.at(0);
  EXPECT_EQ(loss.end, Offset{40});
  EXPECT_EQ(loss.known, Offset{55});
  EXPECT_EQ(loss.accepted_by, "alice");
  EXPECT_EQ(loss.at, cluster.state.time);
}

TEST(Segments, topic_that_is_not_fsync_loses_without_being_asked) {
  TestCluster cluster(3);
  auto topic = cluster.create(1);
  cluster.done(AlterTopic{.topic = topic,
                          .expected = cluster.state.topics.find(topic)->version,
                          .set = {{"walrus.durability", "os"}}});
  PartitionId id{topic, 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.done(BeginSeal{id, cluster.version(id), NodeId{2}});
  auto seal = cluster.seal_of(id, 40);
  seal.loss = AcceptedLoss{Offset{55}, ""};
  cluster.done(seal);
}

// R32.
TEST(Segments, log_start_drops_what_lies_below) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1), 0};
  for (std::int64_t end : {100, 200, 300}) {
    cluster.open(id, TestCluster::on({1, 2, 3}));
    cluster.done(cluster.seal_of(id, end));
  }
  cluster.refused(Refusal::kInvalid, SetLogStart{id, cluster.version(id), Offset{301}});
  cluster.done(SetLogStart{id, cluster.version(id), Offset{150}});
  EXPECT_EQ(cluster.partition(id).sealed.size(), 2u);
  cluster.refused(Refusal::kInvalid, SetLogStart{id, cluster.version(id), Offset{150}});
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.done(BeginSeal{id, cluster.version(id), NodeId{2}});
  cluster.refused(Refusal::kState, SetLogStart{id, cluster.version(id), Offset{301}});
  cluster.done(SetLogStart{id, cluster.version(id), Offset{300}});
  EXPECT_TRUE(cluster.partition(id).sealed.empty());
}

// R29, R31, R19.
TEST(Copies, lost_ones_are_dropped_when_others_are_made) {
  TestCluster cluster(5);
  PartitionId id{cluster.create(1), 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  auto open = cluster.partition(id).tail->id;
  cluster.refused(Refusal::kState, MoveCopies{id, cluster.version(id), {{open, {NodeId{4}}, {}}}});
  cluster.done(cluster.seal_of(id, 10));
  for (std::uint64_t wiped : {1u, 2u}) {
    auto life = TestCluster::life_of(wiped);
    life.directory = uuid_of(static_cast<std::uint8_t>(100 + wiped));
    life.incarnation = 2;
    life.expected = cluster.node(wiped).version;
    cluster.done(life);
  }
  cluster.done(MoveCopies{id, cluster.version(id), {{open, {NodeId{4}, NodeId{1}}, {}}}});
  auto segment = cluster.partition(id).sealed.last();
  EXPECT_EQ(segment.replicas, (std::vector{NodeId{3}, NodeId{4}, NodeId{1}}));
  for (auto node : segment.replicas) EXPECT_TRUE(cluster.state.intact(segment, node));
}

TEST(Copies, are_never_fewer_than_min_copies_by_choice) {
  TestCluster cluster(4);
  PartitionId id{cluster.create(1), 0};
  cluster.open(id, TestCluster::on({1, 2, 3}));
  cluster.done(cluster.seal_of(id, 10));
  auto segment = cluster.partition(id).sealed.last().id;
  auto move = [&](std::vector<NodeId> added, std::vector<NodeId> dropped) {
    return MoveCopies{id, cluster.version(id), {{segment, added, dropped}}};
  };
  cluster.refused(Refusal::kState, move({}, {NodeId{1}, NodeId{2}}));
  cluster.refused(Refusal::kInvalid, move({NodeId{1}}, {}));
  cluster.refused(Refusal::kInvalid, move({NodeId{4}}, {NodeId{4}}));
  cluster.refused(Refusal::kInvalid, move({}, {}));
  cluster.done(move({}, {NodeId{1}}));
}

TEST(Copies, cannot_be_made_of_nothing) {
  TestCluster cluster(3);
  PartitionId id{cluster.create(1, 1, 1, 1), 0};
  cluster.open(id, TestCluster::on({1}));
  cluster.done(cluster.seal_of(id, 10));
  auto segment = cluster.partition(id).sealed.last().id;
  cluster.set_state(1, NodeState::kRemoved, true);
  cluster.refused(Refusal::kState,
                  MoveCopies{id, cluster.version(id), {{segment, {NodeId{2}}, {}}}});
}

// ---- Compaction ----

class Compactions : public ::testing::Test {
 protected:
  Compactions() {
    for (int i = 1; i <= 3; ++i) {
      segments.push_back(cluster.open(id, TestCluster::on({1, 2, 3})));
      cluster.done(cluster.seal_of(id, i * 100));
    }
  }
  SegmentId begin(SegmentId segment, std::uint64_t by = 1) {
    return SegmentId{
        cluster.done(BeginCompaction{id, cluster.version(id), segment, NodeId{by}}).value};
  }
  HoldCompacted hold(SegmentId copy, std::uint64_t node) {
    return {id, cluster.version(id), copy, NodeId{node}, 50};
  }
  void wipe(std::uint64_t node) {
    auto life = TestCluster::life_of(node);
    life.directory = uuid_of(static_cast<std::uint8_t>(100 + node));
    life.incarnation = 2;
    life.expected = cluster.node(node).version;
    cluster.done(life);
  }
  Segment first() { return cluster.partition(id).sealed.first(); }

  TestCluster cluster{4};
  PartitionId id{cluster.create(1), 0};
  std::vector<SegmentId> segments{};
};

// What was acknowledged is on as many disks afterwards as before.
TEST_F(Compactions, new_copies_count_when_every_intact_replica_has_them) {
  auto copy = begin(segments[0]);
  EXPECT_GT(copy, segments[2]);
  cluster.refused(Refusal::kState, hold(segments[0], 1));
  cluster.refused(Refusal::kState, hold(copy, 4));
  EXPECT_EQ(cluster.done(hold(copy, 1)).value, 0u);
  cluster.refused(Refusal::kExists, hold(copy, 1));
  EXPECT_EQ(cluster.done(hold(copy, 3)).value, 0u);
  EXPECT_EQ(copy_of(first()), segments[0]);
  EXPECT_EQ(cluster.done(hold(copy, 2)).value, 1u);
  EXPECT_EQ(copy_of(first()), copy);
  EXPECT_EQ(first().id, segments[0]);
  EXPECT_EQ(first().bytes, 50u);
  EXPECT_EQ(first().replicas.size(), 3u);
  EXPECT_FALSE(cluster.partition(id).compaction);
  cluster.refused(Refusal::kState, hold(copy, 2));
}

TEST_F(Compactions, disk_that_is_lost_meanwhile_holds_nothing) {
  auto copy = begin(segments[0]);
  cluster.done(hold(copy, 3));
  wipe(3);
  cluster.done(hold(copy, 1));
  EXPECT_EQ(cluster.done(hold(copy, 2)).value, 1u);
  EXPECT_EQ(first().replicas, (std::vector{NodeId{1}, NodeId{2}}));
}

// It may have made its old copy again; of the new one it said so before it lost it.
TEST_F(Compactions, copy_that_was_held_before_a_loss_does_not_count_after_a_repair) {
  auto copy = begin(segments[0]);
  cluster.done(hold(copy, 3));
  wipe(3);
  cluster.done(MoveCopies{id, cluster.version(id), {{segments[0], {NodeId{3}}, {}}}});
  cluster.done(hold(copy, 1));
  EXPECT_EQ(cluster.done(hold(copy, 2)).value, 0u);
  EXPECT_EQ(copy_of(first()), segments[0]);
  EXPECT_GT(begin(segments[0], 2), copy);  // somebody begins anew
}

// It was taken off the segment, has removed its copies, and fetches them anew.
TEST_F(Compactions, copy_that_was_held_does_not_count_after_its_node_was_away_from_the_segment) {
  auto copy = begin(segments[0]);
  cluster.done(hold(copy, 3));
  cluster.done(hold(copy, 1));
  cluster.done(MoveCopies{id, cluster.version(id), {{segments[0], {NodeId{4}}, {NodeId{3}}}}});
  EXPECT_EQ(cluster.partition(id).compaction->holders, std::vector{NodeId{1}});
  cluster.done(MoveCopies{id, cluster.version(id), {{segments[0], {NodeId{3}}, {NodeId{4}}}}});
  EXPECT_EQ(cluster.done(hold(copy, 2)).value, 0u);
  EXPECT_EQ(copy_of(first()), segments[0]);
  EXPECT_EQ(cluster.done(hold(copy, 3)).value, 1u);
  EXPECT_EQ(copy_of(first()), copy);
}

TEST_F(Compactions, last_sealed_segment_stays_for_its_producers) {
  cluster.refused(Refusal::kState,
                  BeginCompaction{id, cluster.version(id), segments[2], NodeId{1}});
  cluster.refused(Refusal::kState,
                  BeginCompaction{id, cluster.version(id), segments[0], NodeId{77}});
  cluster.refused(Refusal::kNotFound,
                  BeginCompaction{id, cluster.version(id), SegmentId{99}, NodeId{1}});
}

TEST_F(Compactions, trim_gives_up_what_it_drops) {
  auto copy = begin(segments[0]);
  cluster.done(SetLogStart{id, cluster.version(id), Offset{100}});
  EXPECT_FALSE(cluster.partition(id).compaction);
  cluster.refused(Refusal::kState, hold(copy, 1));
}

TEST_F(Compactions, end_of_a_pass_rises_below_the_last_segment) {
  cluster.refused(Refusal::kInvalid, EndCompaction{id, cluster.version(id), Offset{201}});
  cluster.done(EndCompaction{id, cluster.version(id), Offset{200}});
  cluster.refused(Refusal::kInvalid, EndCompaction{id, cluster.version(id), Offset{200}});
}

TEST(Levels, compaction_waits_for_the_second) {
  TestCluster cluster(1, 0, 1);
  PartitionId id{cluster.create(1, 1, 1, 1), 0};
  cluster.open(id, TestCluster::on({1}));
  cluster.done(cluster.seal_of(id, 10));
  cluster.refused(Refusal::kUnknown, EndCompaction{id, cluster.version(id), Offset{1}});
}

TEST(Producers, blocks_do_not_overlap) {
  TestCluster cluster(1);
  EXPECT_EQ(cluster.done(TakeProducerIds{0, 1000}).value, 0u);
  auto late = cluster.apply(TakeProducerIds{0, 1000});
  EXPECT_EQ(late.refusal, Refusal::kMismatch);
  EXPECT_EQ(late.value, 1000u);
  EXPECT_EQ(cluster.done(TakeProducerIds{1000, 1}).value, 1000u);
}

TEST(Users, are_made_changed_and_removed) {
  TestCluster cluster(0);
  wire::sasl::ScramCredential credential{4096, std::string(24, 's'), std::string(32, 'k'),
                                         std::string(32, 'v')};
  SetUser user{.name = "u", .credentials = {{wire::sasl::ScramMechanism::kSha256, credential}}};
  auto made = cluster.done(user);
  cluster.refused(Refusal::kExists, user);
  user.expected = made.version;
  user.credentials.begin()->second.iterations = 1;
  cluster.refused(Refusal::kInvalid, user);
  user.credentials.clear();
  cluster.done(user);
  EXPECT_TRUE(cluster.state.users.empty());
  EXPECT_TRUE(cluster.state.changes_since(made.version).users);
}

TEST(Changes, name_what_changed_and_nothing_else) {
  TestCluster cluster(3);
  auto topic = cluster.create(1, 100);
  auto seen = cluster.state.version;
  cluster.open({topic, 42}, TestCluster::on({1, 2, 3}));
  auto changes = cluster.state.changes_since(seen);
  EXPECT_FALSE(changes.whole);
  EXPECT_EQ(changes.partitions, (std::vector<PartitionId>{{topic, 42}}));
  EXPECT_TRUE(changes.topics.empty() && changes.nodes.empty() && !changes.cluster);
  EXPECT_TRUE(cluster.state.changes_since(Version{seen.value + 100}).whole);  // of another life
}

}  // namespace
}  // namespace walrus::meta
