// Compaction: when, and what nodes on simulated disks and a simulated network make of it.

#include "replica/compaction.h"

#include <gmock/gmock.h>

#include "meta/test_cluster.h"
#include "replica/node_fixture.h"

namespace walrus::replica {
namespace {

using ::testing::ElementsAre;

meta::Topic topic_with(meta::Settings settings, bool internal = false) {
  return {.name = "t", .internal = internal, .settings = std::move(settings)};
}

TEST(CompactionOf, follows_the_policy_but_of_internal_topics) {
  EXPECT_FALSE(compaction_of(topic_with({})));
  EXPECT_FALSE(compaction_of(topic_with({{"cleanup.policy", "delete"}})));
  EXPECT_EQ(compaction_of(topic_with({{"cleanup.policy", "compact"}})), Millis(86'400'000));
  EXPECT_EQ(compaction_of(
                topic_with({{"cleanup.policy", "compact,delete"}, {"delete.retention.ms", "7"}})),
            Millis(7));
  EXPECT_FALSE(compaction_of(topic_with({{"cleanup.policy", "compact"}}, true)));
}

TEST(CompactionLagOf, follows_the_settings) {
  auto none = compaction_lag_of(topic_with({}));
  EXPECT_EQ(none.min, Millis(0));
  EXPECT_FALSE(none.max);
  auto lag = compaction_lag_of(
      topic_with({{"min.compaction.lag.ms", "5"}, {"max.compaction.lag.ms", "7"}}));
  EXPECT_EQ(lag.min, Millis(5));
  EXPECT_EQ(lag.max, Millis(7));
  EXPECT_FALSE(
      compaction_lag_of(topic_with({{"max.compaction.lag.ms", "9223372036854775807"}})).max);
}

// Sealed segments of 1000 bytes and 100 records each.
class WantsCompaction : public ::testing::Test {
 protected:
  void seal(int segments) {
    for (; segments > 0; --segments) {
      cluster.open(id, meta::TestCluster::on({1}));
      cluster.done(cluster.seal_of(id, end += 100));
    }
  }
  bool wants(std::int64_t bytes_min) { return wants_compaction(cluster.partition(id), bytes_min); }

  meta::TestCluster cluster{1};
  PartitionId id{cluster.create(1, 1, 1, 1), 0};
  std::int64_t end = 0;
};

TEST_F(WantsCompaction, when_the_new_outweighs_the_old_and_the_last_one_does_not_count) {
  seal(2);
  EXPECT_TRUE(wants(999));
  EXPECT_FALSE(wants(1'000));
  seal(1);
  EXPECT_TRUE(wants(1'999));
  EXPECT_FALSE(wants_compaction(cluster.partition(id), 1'000, Offset{199}));
  EXPECT_TRUE(wants_compaction(cluster.partition(id), 999, Offset{199}));
  cluster.done(meta::EndCompaction{id, cluster.version(id), Offset{200}});
  EXPECT_FALSE(wants(0));
  seal(2);  // 2000 bytes below, 2000 above
  EXPECT_FALSE(wants(0));
  seal(1);
  EXPECT_TRUE(wants(0));
}

class CompactionTest : public NodeTest {
 protected:
  void begin(std::uint64_t seed = 1, const meta::Settings& more = {},
             std::int64_t compact_bytes_min = 1) {
    auto options = small_nodes(seed);
    options.node.limits.retain_every = 200ms;
    options.node.limits.compact_bytes_min = compact_bytes_min;
    options.node.limits.compaction_stalls = 5s;
    NodeTest::begin(std::move(options));
    meta::Settings settings{{"cleanup.policy", "compact"},
                            {"delete.retention.ms", "0"},
                            {"walrus.segment.records", "4"}};
    for (const auto& [name, value] : more) settings[name] = value;
    id = {nodes_->create("t", 1, 3, settings), 0};
  }
  Time now() { return nodes_->world().node(0).env().wall(); }
  bool until(const std::function<bool()>& done, io::Nanos timeout = 30s) {
    return NodeTest::until(done, timeout);
  }
  const meta::Partition& partition() { return *nodes_->state().partitions.find(id); }
  std::size_t leader() {
    std::size_t leads = 0;
    EXPECT_TRUE(until([&] {
      for (std::size_t place = 0; place < 3; ++place)
        if (up(place) && nodes_->node(place).leader_of(id).here) return leads = place, true;
      for (std::size_t place = 0; place < 3; ++place)
        if (up(place) && !partition().tail) return leads = place, true;
      return false;
    }));
    return leads;
  }
  // none: a tombstone
  void append(const std::string& key, const std::optional<std::string>& value) {
    auto at = fresh_ ? now() : Time(Millis(1'000 + ++at_));
    Record records[] = {{.key = key, .value = value, .timestamp = at}};
    auto batch = record::encode(records, {});
    for (int attempt = 0; attempt < 50; ++attempt) {
      if (append_at(leader(), id, batch, {.wait = 500ms}).done()) return;
      nodes_->world().run_for(20ms);
    }
    ADD_FAILURE() << key << " is not taken";
  }
  // "offset key=value"
  std::vector<std::string> shown(std::size_t place, std::int64_t from = 0) {
    std::vector<std::string> shown;
    each_record(place, id, from, [&](const auto& one) {
      shown.push_back(std::to_string(one.offset) + " " + std::string(*one.key) + "=" +
                      std::string(one.value.value_or("")));
    });
    return shown;
  }
  std::string stored(std::size_t place, const meta::Segment& segment) {
    auto& engine = *nodes_->processes()[place].engine;
    auto stream = engine.find(copy_stream_name(meta::copy_of(segment)));
    if (!stream) return "none";
    return engine.fetch(*stream, segment.base, {.up_to = UpTo::kAppended})->bytes;
  }
  std::size_t copies(std::size_t place) {
    return nodes_->processes()[place].engine->list(kCopyPrefix).size();
  }
  void fill() {
    append("a", "1");
    append("b", "1");
    append("a", "2");
    append("c", "1");  // sealed
    append("c", std::nullopt);
    append("d", "1");
    append("a", "3");
    append("d", "2");                                            // sealed
    for (int i = 0; i < 5; ++i) append("e", std::to_string(i));  // sealed, and one more
  }
  const std::vector<std::string> left_{"1 b=1", "6 a=3",  "7 d=2",  "8 e=0",
                                       "9 e=1", "10 e=2", "11 e=3", "12 e=4"};

  PartitionId id{};
  std::int64_t at_ = 0;
  bool fresh_ = false;  // records have the time of now, not one of long ago
};

TEST_F(CompactionTest, leaves_the_newest_record_of_each_key_and_every_replica_has_the_same) {
  begin();
  fill();
  ASSERT_TRUE(until([&] { return partition().compacted_to == Offset{8}; }));
  for (std::size_t place = 0; place < 3; ++place) {
    ASSERT_TRUE(until([&] { return nodes_->node(place).bounds(id)->high_watermark.value == 13; }));
    EXPECT_EQ(shown(place), left_) << "node " << place + 1;
    EXPECT_THAT(shown(place, 2), ::testing::Contains("6 a=3"));  // from an offset that is gone
    EXPECT_EQ(shown(place, 2).front(), "6 a=3");
    auto found = nodes_->await(place, nodes_->node(place).find_time(id, Time(Millis(1'003))));
    EXPECT_EQ(found.value(), Offset{6});
    // The old copies are gone.
    EXPECT_TRUE(until([&] { return copies(place) == partition().sealed.size() + 1; }));
  }
  int compacted = 0;
  partition().sealed.each([&](const meta::Segment& segment) {
    compacted += segment.compacted != SegmentId{};
    for (std::size_t place = 0; place < 3; ++place)
      EXPECT_EQ(stored(place, segment), stored(0, segment)) << segment.id.value;
  });
  EXPECT_EQ(compacted, 2);
}

TEST_F(CompactionTest, leaves_what_is_too_young_until_it_is_old_enough) {
  begin(6, {{"min.compaction.lag.ms", "60000"}});
  fresh_ = true;
  fill();
  for (int round = 0; round < 10; ++round) {
    nodes_->world().run_for(4s);
    EXPECT_EQ(partition().compacted_to, Offset{});
    EXPECT_FALSE(partition().compaction);
    EXPECT_EQ(shown(leader()).size(), 13U);
  }
  ASSERT_TRUE(until([&] { return partition().compacted_to == Offset{8}; }));
  EXPECT_EQ(shown(leader()), left_);
}

// Segments are compacted whole. One that is half young waits; what is below it does not.
TEST_F(CompactionTest, goes_as_far_as_all_is_old_enough) {
  begin(7, {{"min.compaction.lag.ms", "60000"}});
  for (auto value : {"1", "2", "3", "4"}) append("a", value);  // sealed
  append("a", "5");
  fresh_ = true;
  for (auto value : {"6", "7", "8"}) append("a", value);  // sealed
  for (int i = 0; i < 5; ++i) append("e", std::to_string(i));
  ASSERT_TRUE(until([&] { return partition().compacted_to == Offset{4}; }));
  nodes_->world().run_for(5s);
  EXPECT_EQ(partition().compacted_to, Offset{4});
  EXPECT_EQ(shown(leader()).front(), "4 a=5");
  EXPECT_EQ(shown(leader()).size(), 9U);
  ASSERT_TRUE(until([&] { return partition().compacted_to == Offset{8}; }, 90s));
  EXPECT_EQ(shown(leader()).front(), "7 a=8");
}

// A record waits no longer than that, however little there is, while more comes in.
TEST_F(CompactionTest, the_late_are_compacted_although_it_is_not_worth_it) {
  begin(8, {{"max.compaction.lag.ms", "20000"}, {"walrus.segment.records", "1000"}}, 1 << 30);
  fresh_ = true;
  for (int i = 0; i < 15; ++i) {
    append("a", std::to_string(i));
    nodes_->world().run_for(1s);
  }
  EXPECT_EQ(shown(leader()).size(), 15U);
  std::size_t most = 0;
  for (int i = 15; i < 80; ++i) {
    append("a", std::to_string(i));
    nodes_->world().run_for(1s);
    most = std::max(most, shown(leader()).size());
  }
  EXPECT_LT(most, 45U);
  EXPECT_GT(partition().compacted_to, Offset{30});
}

TEST_F(CompactionTest, survives_a_power_cut_of_all_nodes) {
  begin(2);
  fill();
  ASSERT_TRUE(until([&] { return partition().compacted_to == Offset{8}; }));
  for (std::size_t place = 0; place < 3; ++place) nodes_->crash(place, io::CrashKind::kPowerCut);
  for (std::size_t place = 0; place < 3; ++place) ASSERT_TRUE(nodes_->start(place));
  append("e", "5");
  auto all = left_;
  all.push_back("13 e=5");
  for (std::size_t place = 0; place < 3; ++place) {
    ASSERT_TRUE(until([&] {
      auto bounds = nodes_->node(place).bounds(id);
      return bounds && bounds->high_watermark.value == 14;
    }));
    EXPECT_EQ(shown(place), all) << "node " << place + 1;
  }
}

// The old copies stay until it has the new one.
TEST_F(CompactionTest, waits_for_a_replica_that_is_away) {
  begin(3);
  append("a", "1");
  auto away = (leader() + 1) % 3;
  append("a", "2");
  append("a", "3");
  append("a", "4");  // sealed, with a copy on all three
  ASSERT_TRUE(until([&] { return partition().sealed.size() == 1; }));
  nodes_->crash(away, io::CrashKind::kPowerCut);
  for (int i = 0; i < 6; ++i) append("b", std::to_string(i));
  ASSERT_TRUE(
      until([&] { return partition().compaction && partition().compaction->holders.size() == 2; }));
  nodes_->world().run_for(3s);
  EXPECT_EQ(meta::copy_of(partition().sealed.first()), partition().sealed.first().id);
  ASSERT_TRUE(nodes_->start(away));
  ASSERT_TRUE(until([&] { return partition().sealed.first().compacted != SegmentId{}; }));
  nodes_->world().run_for(200ms);  // it learns of it
  EXPECT_EQ(shown(away).front(), "3 a=4");
}

// What it had written is gone, also for metadata; it fetches it from those who have it.
TEST_F(CompactionTest, who_wrote_the_new_copy_and_was_off_the_segment_since_has_to_get_it_again) {
  begin(3);
  append("a", "1");
  auto away = (leader() + 1) % 3;
  for (auto value : {"2", "3", "4"}) append("a", value);  // sealed, with a copy on all three
  ASSERT_TRUE(until([&] { return partition().sealed.size() == 1; }));
  nodes_->crash(away, io::CrashKind::kPowerCut);
  for (int i = 0; i < 6; ++i) append("b", std::to_string(i));
  ASSERT_TRUE(
      until([&] { return partition().compaction && partition().compaction->holders.size() == 2; }));
  auto work = *partition().compaction;
  auto& engine = *nodes_->processes()[work.by.value - 1].engine;
  nodes_->paused_controller = true;
  auto move = [&](std::vector<NodeId> added, std::vector<NodeId> dropped) {
    auto version = partition().version;
    return nodes_->change(meta::MoveCopies{id, version, {{work.segment, added, dropped}}}).done();
  };
  ASSERT_TRUE(move({}, {work.by}));
  ASSERT_TRUE(until([&] { return !engine.find(copy_stream_name(work.copy)); }));
  ASSERT_TRUE(move({work.by}, {}));
  ASSERT_TRUE(nodes_->start(away));
  ASSERT_TRUE(until([&] { return partition().sealed.first().compacted == work.copy; }));
  for (std::size_t place = 0; place < 3; ++place)
    EXPECT_EQ(stored(place, partition().sealed.first()), stored(0, partition().sealed.first()));
}

// It waits for no copy that nobody gives it.
TEST_F(CompactionTest, who_is_taken_off_the_segment_before_it_has_the_new_copy_removes_its_own) {
  begin(3);
  append("a", "1");
  auto off = (leader() + 1) % 3;
  for (auto value : {"2", "3", "4"}) append("a", value);  // sealed, with a copy on all three
  ASSERT_TRUE(until([&] { return partition().sealed.size() == 1; }));
  nodes_->world().network().isolate(static_cast<int>(off));
  for (int i = 0; i < 6; ++i) append("b", std::to_string(i));
  ASSERT_TRUE(until([&] { return partition().compaction.has_value(); }));
  auto work = *partition().compaction;
  auto& engine = *nodes_->processes()[off].engine;
  ASSERT_TRUE(until([&] { return engine.find(copy_stream_name(work.copy)).has_value(); }));
  nodes_->paused_controller = true;
  meta::MoveCopies move{id, partition().version, {{work.segment, {}, {NodeId{off + 1}}}}};
  ASSERT_TRUE(nodes_->change(move).done());
  EXPECT_TRUE(until([&] { return !engine.find(copy_stream_name(work.copy)); }));
}

TEST_F(CompactionTest, goes_on_at_another_node_when_the_first_one_dies) {
  begin(4);
  fill();
  ASSERT_TRUE(until([&] { return partition().compaction.has_value(); }));
  auto first = *partition().compaction;
  nodes_->crash(first.by.value - 1, io::CrashKind::kKill);
  nodes_->wipe(first.by.value - 1);
  ASSERT_TRUE(nodes_->start(first.by.value - 1));
  append("e", "5");  // it may have led
  ASSERT_TRUE(until([&] { return partition().compacted_to >= Offset{8}; }, 60s));
  nodes_->world().run_for(1s);
  for (std::size_t place = 0; place < 3; ++place) {
    auto seen = shown(place);
    ASSERT_GE(seen.size(), 5u);
    EXPECT_THAT(std::vector(seen.begin(), seen.begin() + 3), ElementsAre("1 b=1", "6 a=3", "7 d=2"))
        << "node " << place + 1;
    EXPECT_EQ(seen.back(), "13 e=5") << "node " << place + 1;
  }
}

// R32: what a node has heard is not enough to remove anything by.
TEST_F(CompactionTest, copies_go_only_when_a_current_image_does_not_know_them) {
  begin(5);
  fill();
  ASSERT_TRUE(until([&] { return partition().compacted_to == Offset{8}; }));
  auto& process = nodes_->processes()[(leader() + 1) % 3];
  ASSERT_TRUE(until([&] { return copies(process.place) == 4; }));
  process.deaf = true;
  auto other = (process.place + 1) % 3;
  ASSERT_TRUE(nodes_->await(other, nodes_->node(other).trim(id, Offset{8})));
  process.loop->post([this, &process] {
    process.node->learned(std::make_shared<const meta::State>(nodes_->state()));
  });
  ASSERT_TRUE(until([&] { return process.node->bounds(id)->log_start == Offset{8}; }));
  nodes_->world().run_for(3s);
  EXPECT_EQ(copies(process.place), 4u);
  process.deaf = false;
  EXPECT_TRUE(until([&] { return copies(process.place) == 2; }));
}

}  // namespace
}  // namespace walrus::replica
