// Disks that are full, slow, or rot: what nodes do about them.

#include <gmock/gmock.h>

#include "replica/node_fixture.h"

namespace walrus::replica {
namespace {

class NodeDisksTest : public NodeTest {
 protected:
  SimulatedNodes::Options options(std::size_t nodes = 3) {
    auto options = small_nodes(1, nodes);
    options.engine.checkpoint_interval = 200ms;
    options.node.limits.scrub_bytes_per_s = 64 << 20;
    options.node.limits.scrub_every = 500ms;
    options.node.limits.mend_again = 1s;
    return options;
  }
  io::SimDisk& disk(std::size_t place) {
    return nodes_->world().node(static_cast<int>(place)).disk();
  }
  // A bit of a value in a stored segment flips; nothing is read for that.
  void rot(std::size_t place, const std::string& value) {
    std::string path;
    std::size_t at = std::string::npos;
    auto find = [&] {
      for (const auto& file : disk(place).files()) {
        path = file.string();
        if (path.find("/segments/") == std::string::npos) continue;
        at = disk(place).cached(file)->find(value);
        if (at != std::string::npos) return true;
      }
      return false;
    };
    ASSERT_TRUE(until(find)) << value << " is in no segment file";
    nodes_->world().run_for(100ms);  // until a manifest names the file: it is read from there
    ASSERT_TRUE(find());
    ASSERT_TRUE(disk(place).rot(path, static_cast<std::int64_t>(at), 1, 1));
  }
  bool has_all_batches(std::size_t place, PartitionId id) {
    bool all = true;
    auto& engine = *nodes_->processes()[place].engine;
    nodes_->state().partitions.find(id)->sealed.each([&](const meta::Segment& segment) {
      auto stream = engine.find(copy_stream_name(segment.id));
      auto from = segment.base.value;
      while (all && from < segment.end.value) {
        auto fetched = engine.fetch(*stream, Offset{from}, {.up_to = UpTo::kAppended});
        all = fetched && fetched->next.value > from;
        if (all) from = fetched->next.value;
      }
    });
    return all;
  }
  std::vector<std::string> fill(PartitionId id, int records) {
    std::vector<std::string> all;
    for (int i = 0; i < records; ++i) {
      all.push_back("value " + std::to_string(100 + i));
      EXPECT_EQ(append(id, all.back()), i);
    }
    return all;
  }
  const meta::Segment* tail(PartitionId id) {
    const auto* partition = nodes_->state().partitions.find(id);
    return partition->tail ? &*partition->tail : nullptr;
  }
  bool writes_to(PartitionId id, std::size_t place) {
    return tail(id) && meta::is_replica(*tail(id), NodeId{place + 1});
  }
  void set_room(std::size_t place, std::int64_t bytes) {
    disk(place).options().capacity_bytes = disk(place).used_bytes() + bytes;
  }
};

TEST_F(NodeDisksTest, damage_that_nobody_reads_is_found_and_mended) {
  begin(options());
  PartitionId id{nodes_->create("orders", 1, 3, {{"walrus.segment.records", "10"}}), 0};
  auto all = fill(id, 35);
  rot(1, "value 112");
  ASSERT_FALSE(has_all_batches(1, id));
  EXPECT_TRUE(until([&] { return nodes_->node(1).stats().copies_mended == 1; }));
  EXPECT_TRUE(until([&] { return has_all_batches(1, id); }));
  EXPECT_EQ(nodes_->node(1).stats().damaged, 0u);
  EXPECT_TRUE(nodes_->node(1).damaged().empty());
  expect_everywhere(id, all);
}

// Two bits: what lies behind the first is found when that is mended.
TEST_F(NodeDisksTest, damage_is_mended_also_over_a_kill) {
  begin(options());
  PartitionId id{nodes_->create("orders", 1, 3, {{"walrus.segment.records", "10"}}), 0};
  auto all = fill(id, 35);
  rot(1, "value 112");
  rot(1, "value 117");
  ASSERT_TRUE(until([&] { return nodes_->node(1).stats().copies_damaged > 0; }));
  nodes_->crash(1, io::CrashKind::kKill);
  ASSERT_TRUE(nodes_->start(1));
  EXPECT_TRUE(until([&] { return has_all_batches(1, id) && has_all_sealed(1, id); }));
  all.push_back("after");
  ASSERT_EQ(append(id, "after"), 35);
  expect_everywhere(id, all);
}

TEST_F(NodeDisksTest, a_read_that_meets_damage_is_served_from_elsewhere_and_has_it_mended) {
  auto quiet = options();
  quiet.node.limits.scrub_bytes_per_s = 0;
  begin(quiet);
  PartitionId id{nodes_->create("orders", 1, 3, {{"walrus.segment.records", "10"}}), 0};
  auto all = fill(id, 35);
  rot(2, "value 105");
  nodes_->world().run_for(3s);
  ASSERT_FALSE(has_all_batches(2, id));  // nobody has looked
  EXPECT_EQ(values(2, id), all);
  EXPECT_TRUE(until([&] { return has_all_batches(2, id) && has_all_sealed(2, id); }));
}

// What no other copy can replace is not given up: what lies behind it is read on.
TEST_F(NodeDisksTest, damage_that_cannot_be_mended_is_told_and_costs_no_more) {
  begin(options());
  PartitionId id{nodes_->create("orders", 1, 1, {{"walrus.segment.records", "10"}}), 0};
  auto all = fill(id, 25);
  auto place = leader(id);
  rot(place, "value 103");
  ASSERT_TRUE(until([&] { return !nodes_->node(place).damaged().empty(); }));
  EXPECT_EQ(nodes_->node(place).damaged()[0].partition, id);
  nodes_->world().run_for(5s);
  EXPECT_EQ(nodes_->node(place).damaged().size(), 1u);
  EXPECT_FALSE(nodes_->await(place, nodes_->node(place).fetch(id, Offset{3}, {})));
  EXPECT_EQ(values(place, id, 4), std::vector(all.begin() + 4, all.end()));
  ASSERT_TRUE(nodes_->await(place, nodes_->node(place).trim(id, Offset{10})));
  EXPECT_TRUE(until([&] { return nodes_->node(place).damaged().empty(); }));  // it has gone
}

// One has what the other lacks, though neither has all: nothing is given up that is not elsewhere.
TEST_F(NodeDisksTest, copies_that_are_damaged_in_different_places_mend_each_other) {
  begin(options(2));
  PartitionId id{nodes_->create("orders", 1, 2, {{"walrus.segment.records", "20"}}), 0};
  auto all = fill(id, 25);
  rot(0, "value 103");
  rot(1, "value 112");
  for (std::size_t place : {0u, 1u}) {
    EXPECT_EQ(values(place, id), all) << place;
    EXPECT_TRUE(until([&] { return has_all_batches(place, id); }, 30s)) << place;
  }
}

TEST_F(NodeDisksTest, a_node_whose_disk_is_full_leads_nothing_until_there_is_room) {
  begin(options());
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  std::vector<std::string> all;
  auto add = [&] {
    all.push_back("value " + std::to_string(all.size()));
    ASSERT_EQ(append(id, all.back()), std::ssize(all) - 1);
  };
  for (int i = 0; i < 10; ++i) add();
  auto full = leader(id);
  set_room(full, 64 << 10);
  for (int i = 0; i < 10; ++i) add();
  EXPECT_TRUE(until([&] { return tail(id) && !writes_to(id, full); }, 3s));
  for (int i = 0; i < 10; ++i) add();
  EXPECT_NE(leader(id), full);
  set_room(full, 1 << 30);
  EXPECT_TRUE(until([&] { return writes_to(id, full); }));
  add();
  EXPECT_TRUE(until([&] { return has_all_sealed(full, id); }, 30s));
  expect_everywhere(id, all);
}

TEST_F(NodeDisksTest, where_too_few_have_room_appends_are_refused_and_reads_go_on) {
  begin(options());
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  auto all = fill(id, 10);
  auto leads = leader(id);
  for (std::size_t place = 0; place < 3; ++place)
    if (place != leads) set_room(place, 64 << 10);
  auto refused = [&] {
    return append_at(leads, id, batch_of("too much"), {.wait = 100ms}).refusal == Refusal::kNoRoom;
  };
  nodes_->world().run_for(300ms);
  EXPECT_TRUE(refused());
  auto end = nodes_->node(leads).bounds(id)->high_watermark.value;
  EXPECT_EQ(std::ssize(values(leads, id)), end);
  set_room((leads + 1) % 3, 1 << 30);
  nodes_->world().run_for(300ms);
  EXPECT_EQ(append(id, "after"), end);
}

TEST_F(NodeDisksTest, what_waits_for_a_leader_is_refused_when_too_few_have_room) {
  begin(options());
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  fill(id, 10);
  auto leads = leader(id), other = (leads + 1) % 3;
  for (std::size_t place = 0; place < 3; ++place)
    if (place != other) nodes_->crash(place, io::CrashKind::kKill);
  nodes_->world().run_for(2s);
  std::optional<Refusal> refusal;
  nodes_->node(other).append(id, batch_of("waits"), {.wait = 10s},
                             [&](replica::Appended appended) { refusal = appended.refusal; });
  nodes_->world().run_for(50ms);
  ASSERT_FALSE(refusal);
  nodes_->node(other).learn_full({NodeId{other + 1}, NodeId{leads + 1}});
  nodes_->world().run_for(50ms);
  EXPECT_EQ(refusal, Refusal::kNoRoom);
}

// It comes again, and what its producer had sent behind it does not come before.
TEST_F(NodeDisksTest, what_is_behind_an_append_that_found_no_room_is_not_out_of_order) {
  begin(options());
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  fill(id, 10);
  auto leads = leader(id);
  auto give = [&](std::int32_t sequence) {
    return append_at(leads, id, batch_of("v" + std::to_string(sequence), 77, sequence),
                     {.wait = 5s, .in_sequence = true})
        .refusal;
  };
  ASSERT_EQ(give(0), Refusal::kNone);
  for (std::size_t place = 0; place < 3; ++place)
    if (place != leads) set_room(place, 64 << 10);
  nodes_->world().run_for(300ms);
  EXPECT_EQ(give(1), Refusal::kNoRoom);
  for (std::size_t place = 0; place < 3; ++place) set_room(place, 1 << 30);
  nodes_->world().run_for(300ms);
  EXPECT_EQ(give(2), Refusal::kNotLeader);
  for (auto sequence : {1, 2}) EXPECT_EQ(give(sequence), Refusal::kNone);
}

TEST_F(NodeDisksTest, a_follower_that_is_slow_for_long_is_replaced) {
  auto four = options(4);
  four.node.leader.slow_after = 2s;
  begin(four);
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "first"), 0);
  auto slow = tail(id)->replicas[1].value - 1;
  if (slow == leader(id)) slow = tail(id)->replicas[2].value - 1;
  disk(slow).options().faults = {.slow_sync = 1, .slow_min = 5s, .slow_max = 5s};
  std::vector<std::string> all{"first"};
  auto until_moved = nodes_->world().now() + 30s;
  while (writes_to(id, slow) && nodes_->world().now() < until_moved) {
    all.push_back("value " + std::to_string(all.size()));
    ASSERT_EQ(append(id, all.back()), std::ssize(all) - 1);
    nodes_->world().run_for(50ms);
  }
  EXPECT_FALSE(writes_to(id, slow));
  EXPECT_EQ(tail(id)->replicas.size(), 3u);
  disk(slow).options().faults = {};
  EXPECT_TRUE(until([&] { return has_all_sealed(slow, id); }, 30s));
  expect_everywhere(id, all);
}

}  // namespace
}  // namespace walrus::replica
