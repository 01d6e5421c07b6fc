// What goes because it has outlived its topic's settings.

#include "replica/node.h"

#include <gmock/gmock.h>

#include "replica/node_fixture.h"
#include "replica/retention.h"

namespace walrus::replica {
namespace {

Aged aged(std::int64_t end, std::int64_t bytes, std::int64_t newest_ms) {
  return {Offset{end}, bytes, Time(Millis(newest_ms))};
}

TEST(Retention, holds_only_where_the_policy_is_to_delete) {
  meta::Topic topic{.settings = {{"retention.ms", "5000"}}};
  EXPECT_EQ(retention_of(topic).time, Millis(5000));
  topic.settings.insert_or_assign("cleanup.policy", "compact,delete");
  EXPECT_EQ(retention_of(topic).time, Millis(5000));
  topic.settings.insert_or_assign("cleanup.policy", "compact");
  EXPECT_FALSE(retention_of(topic).any());
}

TEST(Retention, by_size_keeps_no_less_than_what_is_asked_for) {
  std::vector<Aged> sealed(10, Aged{.bytes = 100});
  for (std::size_t i = 0; i < sealed.size(); ++i)
    sealed[i].end = Offset{static_cast<std::int64_t>(10 * i + 10)};
  EXPECT_EQ(first_kept({.bytes = 801}, sealed, {})->value, 10);
  EXPECT_EQ(first_kept({.bytes = 800}, sealed, {})->value, 20);
  EXPECT_FALSE(first_kept({.bytes = 1'000}, sealed, {}));
  EXPECT_FALSE(first_kept({.bytes = 901}, sealed, {}));
  EXPECT_FALSE(first_kept({}, sealed, {}));
  EXPECT_FALSE(first_kept({.bytes = 0}, {}, {}));
}

TEST(Retention, one_pass_drops_a_quarter_at_most_but_for_one_segment) {
  std::vector<Aged> sealed(8, Aged{.bytes = 100});
  for (std::size_t i = 0; i < sealed.size(); ++i)
    sealed[i].end = Offset{static_cast<std::int64_t>(10 * i + 10)};
  EXPECT_EQ(first_kept({.bytes = 0}, sealed, {})->value, 20);
  EXPECT_EQ(first_kept({.bytes = 0}, std::vector{aged(7, 1'000, 0)}, {})->value, 7);
}

TEST(Retention, by_time_stops_at_the_first_segment_with_a_record_that_is_young_enough) {
  const Time now(Millis(1'000));
  std::vector sealed{aged(10, 1, 399), aged(20, 1, 400), aged(30, 1, 0), aged(40, 100, 0)};
  EXPECT_EQ(first_kept({.time = Millis(600)}, sealed, now)->value, 10);
  EXPECT_EQ(first_kept({.time = Millis(599)}, sealed, now)->value, 30);
  EXPECT_FALSE(first_kept({.time = Millis(601)}, sealed, now));
  sealed[0].newest.reset();  // not known here
  EXPECT_FALSE(first_kept({.time = Millis(0)}, sealed, now));
}

class RetentionTest : public NodeTest {
 protected:
  void begin_looking_every_second() {
    auto options = small_nodes(7);
    options.node.limits.retain_every = 1s;
    options.node.limits.trimmed_bytes_max = 1'000;
    NodeTest::begin(std::move(options));
  }
  // With the present time of the cluster, whatever the clock of a node says.
  std::int64_t append_now(PartitionId id, std::size_t bytes = 100) {
    Time now{Millis(1'700'000'000'000) + std::chrono::duration_cast<Millis>(nodes_->world().now())};
    std::string value(bytes, 'v');
    Record records[] = {{.value = value, .timestamp = now}};
    auto batch = record::encode(records, {});
    for (int attempt = 0; attempt < 50; ++attempt) {
      auto appended = append_at(leader(id), id, batch, {.wait = 500ms});
      if (appended.done()) return appended.first.value;
    }
    ADD_FAILURE() << "not taken";
    return -1;
  }
  std::int64_t log_start(PartitionId id) {
    return nodes_->state().partitions.find(id)->log_start.value;
  }
  std::size_t copies(std::size_t place) {
    return nodes_->processes()[place].engine->list(kCopyPrefix).size();
  }
};

TEST_F(RetentionTest, drops_segments_by_size_on_every_node_and_on_one_that_was_away) {
  begin_looking_every_second();
  PartitionId id{nodes_->create("orders", 1, 3,
                                {{"walrus.segment.records", "10"}, {"retention.bytes", "3000"}}),
                 0};
  for (int i = 0; i < 15; ++i) ASSERT_EQ(append_now(id), i);
  auto away = (leader(id) + 1) % 3;
  nodes_->crash(away, io::CrashKind::kPowerCut);
  for (int i = 15; i < 105; ++i) ASSERT_EQ(append_now(id), i);
  auto kept = [&] {
    std::int64_t bytes = 0;
    nodes_->state().partitions.find(id)->sealed.each(
        [&](const meta::Segment& segment) { bytes += static_cast<std::int64_t>(segment.bytes); });
    return bytes;
  };
  const auto segment = nodes_->state().partitions.find(id)->sealed.last().bytes;
  EXPECT_TRUE(until(
      [&] { return kept() >= 3'000 && kept() < 3'000 + static_cast<std::int64_t>(segment); }, 30s));
  ASSERT_TRUE(nodes_->start(away));
  auto there = nodes_->state().partitions.find(id)->sealed.size() + 1;
  for (std::size_t place = 0; place < 3; ++place)
    EXPECT_TRUE(until([&] { return copies(place) <= there; }, 30s)) << "node " << place + 1;
  for (std::size_t place = 0; place < 3; ++place) {
    ASSERT_TRUE(
        until([&] { return nodes_->node(place).bounds(id)->log_start.value == log_start(id); }));
    auto below = nodes_->await(place, nodes_->node(place).fetch(id, Offset{0}, {}));
    ASSERT_FALSE(below);
    EXPECT_EQ(below.error().code, Code::kOutOfRange);
  }
  EXPECT_EQ(append_now(id), 105);
}

TEST_F(RetentionTest, drops_segments_by_time_also_where_nobody_leads) {
  begin_looking_every_second();
  PartitionId id{
      nodes_->create("orders", 1, 3, {{"walrus.segment.records", "10"}, {"retention.ms", "20000"}}),
      0};
  for (int i = 0; i < 20; ++i) ASSERT_EQ(append_now(id), i);
  nodes_->world().run_for(15s);
  EXPECT_EQ(log_start(id), 0);
  ASSERT_EQ(append_now(id), 20);
  // The segment is sealed, and the next one opened only when somebody appends.
  for (std::size_t place = 0; place < 3; ++place) nodes_->crash(place, io::CrashKind::kKill);
  for (std::size_t place = 0; place < 3; ++place) ASSERT_TRUE(nodes_->start(place));
  EXPECT_TRUE(until([&] { return log_start(id) >= 20; }, 40s));
  EXPECT_TRUE(until([&] { return log_start(id) == 21; }, 40s));
  for (std::size_t place = 0; place < 3; ++place)
    EXPECT_TRUE(until([&] { return copies(place) == 0; }, 30s)) << "node " << place + 1;
  EXPECT_EQ(append_now(id), 21);
}

// The clock that ages records gains ten seconds in a second at most.
TEST_F(RetentionTest, a_wall_clock_that_jumps_deletes_nothing_at_once) {
  begin_looking_every_second();
  PartitionId id{nodes_->create("orders", 1, 3,
                                {{"walrus.segment.records", "10"}, {"retention.ms", "3600000"}}),
                 0};
  for (int i = 0; i < 25; ++i) ASSERT_EQ(append_now(id), i);
  nodes_->world().node(1).jump_wall_clock(std::chrono::hours(24 * 3650));
  nodes_->world().run_for(60s);
  EXPECT_EQ(log_start(id), 0);
}

// All of it was deleted: the segment ends, its copies go, and a producer goes on.
TEST_F(RetentionTest, an_open_segment_that_was_trimmed_is_ended_and_its_room_given_back) {
  begin_looking_every_second();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(
        append_at(leader(id), id, batch_of(std::string(100, 'v'), 77, i), {.wait = 5s}).done());
  auto before = nodes_->state().partitions.find(id)->tail->id;
  auto here = leader(id);
  ASSERT_TRUE(nodes_->await(here, nodes_->node(here).trim(id, Offset{20})));
  EXPECT_EQ(nodes_->node(here).bounds(id)->log_start.value, 20);
  EXPECT_TRUE(until([&] {
    const auto& tail = nodes_->state().partitions.find(id)->tail;
    return tail && tail->id != before;
  }));
  for (std::size_t place = 0; place < 3; ++place)
    EXPECT_TRUE(until([&] {
      return !nodes_->processes()[place].engine->find(copy_stream_name(before));
    })) << "node "
        << place + 1;
  auto next = append_at(leader(id), id, batch_of("next", 77, 20), {.wait = 5s});
  ASSERT_TRUE(next.done()) << refusal_name(next.refusal);
  EXPECT_EQ(next.first.value, 20);
}

TEST_F(RetentionTest, a_loss_below_the_log_start_does_not_hold_up_the_recovery) {
  begin_looking_every_second();
  PartitionId id{nodes_->create("orders", 1, 3, {{"walrus.durability", "os"}}), 0};
  for (int i = 0; i < 10; ++i) ASSERT_EQ(append_now(id), i);
  auto here = leader(id);
  ASSERT_TRUE(nodes_->await(here, nodes_->node(here).trim(id, Offset{9})));
  for (std::size_t place = 0; place < 3; ++place) nodes_->crash(place, io::CrashKind::kPowerCut);
  for (std::size_t place = 0; place < 3; ++place) ASSERT_TRUE(nodes_->start(place));
  auto next = append_now(id);
  EXPECT_GE(next, 9);
  EXPECT_GE(nodes_->state().partitions.find(id)->losses_total, 1u);
  EXPECT_EQ(log_start(id), 9);
}

}  // namespace
}  // namespace walrus::replica
