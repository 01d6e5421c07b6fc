// The metadata is recovered by one survivor: it goes on with what that has, nobody of the former
// era decides anything against it, and who survived as well joins it with its copies.

#include "meta/recovery.h"

#include "meta/member_fixture.h"
#include "meta/snapshot.h"
#include "meta/test_cluster.h"

namespace walrus::meta {
namespace {

class RecoveryTest : public MemberTest {
 protected:
  // A cluster of three with a topic, whose segment of partition 0 is open on all of them.
  void found_three() {
    found(3);
    CreateTopic topic{.topic = uuid_of(7),
                      .name = "t",
                      .partitions = 2,
                      .replication_factor = 3,
                      .min_copies = 2};
    topic.first = {{NodeId{1}, {NodeId{1}, NodeId{2}, NodeId{3}}}};
    auto made = propose(0, std::move(topic));
    ASSERT_TRUE(made && made->done());
    ASSERT_TRUE(until([&] { return tail(0, kFirst) && tail(1, kFirst) && tail(2, kFirst); }));
  }
  // All are down, and what is at these places is gone.
  void lose(std::initializer_list<std::size_t> places) {
    for (std::size_t i = 0; i < 3; ++i) crash(i);
    for (std::size_t i = 0; i < 3; ++i) world_.node(static_cast<int>(i)).restart();
    for (const auto place : places) remove_all(place);
  }
  Result<Survey> recover(std::size_t place) {
    WALRUS_ASSIGN(auto engine, open_engine(place));
    WALRUS_ASSIGN(auto survey, recover_metadata(env(place), *engine));
    WALRUS_TRY(engine->close());
    return survey;
  }
  Result<Survey> look_at(std::size_t place) {
    WALRUS_ASSIGN(auto engine, open_engine(place));
    return survey(*engine);
  }
  void registers(std::size_t place) {
    auto registered = run(place, member(place).registered(30s));
    ASSERT_TRUE(registered) << registered.error().message;
  }
  std::string failure_of(std::size_t place) { return member(place).status().failure; }

  static inline const PartitionId kFirst{uuid_of(7), 0}, kSecond{uuid_of(7), 1};
};

TEST_F(RecoveryTest, one_of_three_goes_on_alone_and_grows_again) {
  found_three();
  const auto before = *member(2).image();
  lose({0, 1});
  const auto seen = look_at(2);
  ASSERT_TRUE(seen) << seen.error().message;
  EXPECT_FALSE(seen->recovered);
  EXPECT_EQ(seen->members.members.size(), 3u);
  EXPECT_EQ(fingerprint(*seen->state), fingerprint(before));
  const auto after = recover(2);
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_TRUE(after->recovered);
  EXPECT_EQ(after->identity.cluster, next_era(seen->identity.cluster));
  ASSERT_EQ(after->state->recoveries.size(), 1u);
  EXPECT_EQ(after->state->recoveries[0].index, seen->last.index);
  start(2);
  registers(2);
  ASSERT_TRUE(until([&] { return leader() == 2; }));
  EXPECT_EQ(voters(), 1u);
  const auto* segment = tail(2, kFirst);
  ASSERT_NE(segment, nullptr);
  EXPECT_EQ(segment->state, SegmentState::kSealing);
  EXPECT_GT(segment->recovery_epoch.value, before.partitions.find(kFirst)->epoch.value + 500);
  // Two new nodes, then the old ones with new directories: their copies count as lost.
  start(3, 2);
  start(4, 2);
  start(0, 2);
  start(1, 2);
  for (const std::size_t place : {3, 4, 0, 1}) registers(place);
  ASSERT_TRUE(until([&] { return active(5) && voters() == 3; }));
  EXPECT_FALSE(member(2).image()->intact(*tail(2, kFirst), NodeId{1}));
  EXPECT_TRUE(member(2).image()->intact(*tail(2, kFirst), NodeId{3}));
  auto opened = propose(4, OpenSegment{kSecond,
                                       member(4).image()->partitions.find(kSecond)->version,
                                       {NodeId{4}, {NodeId{3}, NodeId{4}, NodeId{5}}}});
  ASSERT_TRUE(opened && opened->done());
  EXPECT_GT(opened->value, before.next_segment.value + 1'000);
}

TEST_F(RecoveryTest, a_survivor_that_was_left_out_joins_with_its_copies) {
  found_three();
  lose({0});
  ASSERT_TRUE(recover(2));
  start(2);
  start(1, 1);
  registers(2);
  ASSERT_TRUE(until([&] { return !failure_of(1).empty(); }));
  EXPECT_NE(failure_of(1).find("recovered without this node"), std::string::npos);
  crash(1);
  restart(1, 1);  // nobody is told to it but who it knew
  registers(1);
  ASSERT_TRUE(until([&] {
    const auto* segment = tail(2, kFirst);
    return segment && member(2).image()->intact(*segment, NodeId{2}) &&
           member(1).image()->version == member(2).image()->version;
  }));
  EXPECT_EQ(member(1).cluster_id(), member(2).cluster_id());
  EXPECT_FALSE(votes(1));  // two do not
}

TEST_F(RecoveryTest, a_majority_of_the_former_era_decides_nothing_when_it_meets_the_new_one) {
  found_three();
  lose({});
  ASSERT_TRUE(recover(2));
  start(0);
  start(1, 0);
  registers(0);
  auto made = propose(0, ConfigureCluster{member(0).image()->cluster.version, {{"a", "1"}}, {}});
  ASSERT_TRUE(made && made->done());  // nobody knows better yet
  start(2, 0);
  registers(2);
  ASSERT_TRUE(until([&] { return !failure_of(0).empty() && !failure_of(1).empty(); }));
  EXPECT_FALSE(propose(0, TakeProducerIds{0, 1}, 2s));
  // What they decided meanwhile is not lost without a word.
  crash(0);
  restart(0, 2);
  ASSERT_TRUE(until([&] { return !failure_of(0).empty(); }));
  EXPECT_NE(failure_of(0).find("what it knows beyond is lost"), std::string::npos);
  crash(0);
  world_.node(0).restart();
  {
    auto engine = open_engine(0);
    ASSERT_TRUE(engine);
    ASSERT_TRUE(forget_metadata(**engine));
    EXPECT_EQ(forget_metadata(**engine).error().code, Code::kNotFound);
    ASSERT_TRUE((*engine)->close());
  }
  start(0, 2);
  registers(0);
  EXPECT_EQ(member(0).image()->cluster.settings.count("a"), 0u);
  // The other one could as well become the survivor, of a later era still.
  crash(1);
  world_.node(1).restart();
  const auto later = recover(1);
  ASSERT_TRUE(later) << later.error().message;
  EXPECT_EQ(later->state->cluster.settings.count("a"), 1u);
  EXPECT_TRUE(is_later_era(member(2).cluster_id(), later->identity.cluster));
}

TEST_F(RecoveryTest, a_crash_at_any_point_leaves_what_can_be_done_again) {
  found_three();
  lose({0, 1});
  const auto files = copy_of(2);
  int crashes = 0;
  for (std::uint64_t ops = 1;; ++ops) {
    put_back(2, files);
    world_.node(2).crash_after_ops(ops, io::CrashKind::kPowerCut);
    const auto done = recover(2);
    const bool crashed = world_.node(2).crashed();
    world_.node(2).crash_after_ops(0, io::CrashKind::kKill);
    if (crashed) world_.node(2).restart();
    const auto again = recover(2);
    ASSERT_TRUE(again) << ops << ": " << again.error().message;
    EXPECT_TRUE(again->recovered);
    EXPECT_EQ(again->state->recoveries.size(), 1u) << ops;
    if (!crashed) break;
    ++crashes;
  }
  EXPECT_GT(crashes, 4);
  start(2);
  registers(2);
}

TEST_F(RecoveryTest, directories_that_cannot_be_recovered_are_refused) {
  start(3, 3);
  registers(3);
  crash(3);
  world_.node(3).restart();
  const auto alone = recover(3);
  ASSERT_FALSE(alone);
  EXPECT_NE(alone.error().message.find("only voter"), std::string::npos);
  auto engine = open_engine(1);
  ASSERT_TRUE(engine);
  EXPECT_EQ(recover_metadata(env(1), **engine).error().code, Code::kNotFound);
  ASSERT_TRUE(store_identity(**engine,
                             {.cluster = uuid_of(1), .node = NodeId{2}, .directory = uuid_of(2)}));
  EXPECT_EQ(recover_metadata(env(1), **engine).error().code, Code::kNotFound);
  EXPECT_EQ(forget_metadata(**engine).error().code, Code::kNotFound);
}

TEST(Recovery, eras_of_a_cluster_count_up) {
  Uuid id = uuid_of(9);
  EXPECT_FALSE(is_later_era(id, id));
  EXPECT_TRUE(is_later_era(id, next_era(id)));
  EXPECT_TRUE(is_later_era(id, next_era(next_era(id))));
  EXPECT_FALSE(is_later_era(next_era(id), id));
  EXPECT_FALSE(is_later_era(id, uuid_of(8)));
  id.bytes.fill('\xff');
  EXPECT_TRUE(is_later_era(id, next_era(id)));
}

TEST(Recovery, tells_what_is_on_the_survivor) {
  TestCluster cluster(4);
  const auto topic = cluster.create(1, 3, 3, 1);
  cluster.open({topic, 0}, TestCluster::on({1, 2, 3}));
  cluster.done(cluster.seal_of({topic, 0}, 10));
  cluster.open({topic, 0}, TestCluster::on({2, 3, 4}));
  cluster.done(cluster.seal_of({topic, 0}, 110));
  cluster.open({topic, 0}, TestCluster::on({2, 1}));
  cluster.open({topic, 1}, TestCluster::on({1}));
  cluster.open({topic, 2}, TestCluster::on({2}));
  const auto all = survivals(cluster.state, NodeId{1});
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].topic, "t1");
  EXPECT_EQ(all[0].partitions, 3u);
  EXPECT_EQ(std::pair(all[0].sealed, all[0].sealed_here), std::pair(2ul, 1ul));
  EXPECT_EQ(std::pair(all[0].records, all[0].records_here), std::pair(110ul, 10ul));
  EXPECT_EQ(std::tuple(all[0].open, all[0].open_here, all[0].open_whole),
            std::tuple(3ul, 2ul, 1ul));
}

TEST(Recovery, a_node_that_knows_of_more_may_not_discard_it) {
  TestCluster cluster(2);
  cluster.done(RecoverMetadata{uuid_of(0xcc), uuid_of(0xcd), NodeId{1}, 7, 100});
  const auto asked = [&](std::uint64_t recoveries, std::uint64_t term, std::uint64_t index) {
    const auto may = check_rejoin(cluster.state, {{.node = NodeId{2}}, recoveries, term, index});
    return may ? Code{} : may.error().code;
  };
  EXPECT_EQ(asked(0, 7, 100), Code{});
  EXPECT_EQ(asked(0, 6, 200), Code{});
  EXPECT_EQ(asked(0, 7, 101), Code::kMismatch);
  EXPECT_EQ(asked(0, 8, 1), Code::kMismatch);
  EXPECT_EQ(asked(1, 1, 1), Code::kBusy);
}

}  // namespace
}  // namespace walrus::meta
