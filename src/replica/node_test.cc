// Nodes on simulated disks and a simulated network: what a cluster of them does.

#include "replica/node.h"

#include <gmock/gmock.h>

#include "base/test_log.h"
#include "replica/node_fixture.h"

namespace walrus::replica {
namespace {

TEST_F(NodeTest, takes_records_and_gives_them_on_every_node) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  std::vector<std::string> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back("value " + std::to_string(i));
    ASSERT_EQ(append(id, all.back()), i);
  }
  expect_everywhere(id, all);
}

// What replication adds to an append, where all disks take as long as each other.
TEST_F(NodeTest, an_append_to_three_takes_a_sync_and_a_round_trip) {
  begin();
  constexpr int kCount = 300;
  auto median = [&](std::uint32_t copies) {
    PartitionId id{nodes_->create(fmt::format("copies{}", copies), 1, copies), 0};
    append(id, "first");
    for (int place = 0; place < 3; ++place)
      nodes_->world().node(place).disk().options().faults = {
          .slow_sync = 1, .slow_min = 1ms, .slow_max = 1ms};
    nodes_->world().run_for(1s);
    auto at = leader(id);
    auto took = std::make_shared<std::vector<io::Nanos>>();
    auto next = nodes_->world().now();
    for (int i = 0; i < kCount; ++i, next += 2ms + io::Nanos(nodes_->world().random() % 1'000'000))
      nodes_->world().at(next, [this, id, at, took] {
        auto begun = nodes_->world().now();
        nodes_->node(at).append(id, batch_of("value"), {}, [this, took, begun](Appended appended) {
          if (appended.done()) took->push_back(nodes_->world().now() - begun);
        });
      });
    EXPECT_TRUE(until([&] { return took->size() == kCount; }));
    std::ranges::sort(*took);
    return took->empty() ? io::Nanos(0) : (*took)[took->size() / 2];
  };
  auto alone = median(1), replicated = median(3);
  EXPECT_LT(alone, 1200us);
  const auto& link = nodes_->world().network().link(0, 1);
  EXPECT_LT(replicated - alone, link.delay_min + link.delay_max + 50us);
}

// Fencing decides, not the lease: what was acknowledged stays, writing goes on in a next segment.
TEST_F(NodeTest, goes_on_in_a_next_segment_when_the_leader_is_killed) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  std::vector<std::string> all;
  auto add = [&](const std::string& value) {
    all.push_back(value);
    ASSERT_EQ(append(id, value), std::ssize(all) - 1);
  };
  for (int i = 0; i < 10; ++i) add("first " + std::to_string(i));
  auto leads = leader(id);
  auto epoch = nodes_->node(leads).leader_of(id).epoch;
  nodes_->crash(leads, io::CrashKind::kKill);
  auto begun = nodes_->world().now();
  add("second");
  EXPECT_LT(nodes_->world().now() - begun, 1s);
  EXPECT_GT(nodes_->node(leader(id)).leader_of(id).epoch, epoch);
  expect_everywhere(id, all);
  ASSERT_TRUE(nodes_->start(leads));
  add("third");
  expect_everywhere(id, all);
}

TEST_F(NodeTest, keeps_everything_over_a_power_cut_of_all_nodes) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  std::vector<std::string> all;
  for (int i = 0; i < 30; ++i) {
    all.push_back("value " + std::to_string(i));
    ASSERT_EQ(append(id, all.back()), i);
  }
  for (std::size_t place = 0; place < 3; ++place) nodes_->crash(place, io::CrashKind::kPowerCut);
  for (std::size_t place = 0; place < 3; ++place) ASSERT_TRUE(nodes_->start(place));
  all.push_back("after");
  ASSERT_EQ(append(id, "after"), 30);
  expect_everywhere(id, all);
}

// Whoever asks is to wait, and not to be told that there is nothing.
TEST_F(NodeTest, a_node_that_has_just_started_is_busy_and_denies_no_partition) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "value"), 0);
  nodes_->crash(0, io::CrashKind::kPowerCut);
  ASSERT_TRUE(nodes_->start(0));
  ASSERT_FALSE(nodes_->node(0).begun());
  EXPECT_EQ(nodes_->node(0).bounds(id).error().code, Code::kBusy);
  EXPECT_EQ(nodes_->await(0, nodes_->node(0).fetch(id, Offset{0}, {})).error().code, Code::kBusy);
  ASSERT_TRUE(until([&] { return nodes_->node(0).begun(); }));
  EXPECT_TRUE(nodes_->node(0).bounds(id));
  PartitionId unknown{id.topic, 7};
  EXPECT_EQ(nodes_->node(0).bounds(unknown).error().code, Code::kNotFound);
}

// What was not synced may be gone on two of three disks: the writer lives, but nothing that it
// sends can be acknowledged any more. The segment is recovered under its hands, and writing goes
// on.
TEST_F(NodeTest, a_segment_whose_copies_are_in_limbo_is_recovered_while_its_leader_lives) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3, {{"walrus.durability", "os"}}), 0};
  for (int i = 0; i < 10; ++i) ASSERT_EQ(append(id, "value " + std::to_string(i)), i);
  auto leads = leader(id);
  auto epoch = nodes_->node(leads).leader_of(id).epoch;
  for (std::size_t place = 0; place < 3; ++place)
    if (place != leads) nodes_->crash(place, io::CrashKind::kPowerCut);
  for (std::size_t place = 0; place < 3; ++place)
    if (place != leads) ASSERT_TRUE(nodes_->start(place));
  ASSERT_GE(append(id, "after"), 10);
  EXPECT_GT(nodes_->node(leader(id)).leader_of(id).epoch, epoch);
  EXPECT_THAT(values(leads, id), ::testing::Contains("after"));
}

TEST_F(NodeTest, rolls_by_count_and_reads_across_segments) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3, {{"walrus.segment.records", "10"}}), 0};
  std::vector<std::string> all;
  for (int i = 0; i < 55; ++i) {
    all.push_back("value " + std::to_string(i));
    ASSERT_EQ(append(id, all.back()), i);
  }
  EXPECT_GE(nodes_->state().partitions.find(id)->sealed.size(), 5u);
  expect_everywhere(id, all);
  auto segments = nodes_->node(0).segments(id);
  ASSERT_GE(segments.size(), 6u);
  for (std::size_t i = 1; i < segments.size(); ++i) {
    EXPECT_EQ(segments[i].base_offset, segments[i - 1].end_offset);
    EXPECT_GT(segments[i].epoch, segments[i - 1].epoch);
  }
  EXPECT_EQ(nodes_->node(0).end_of_epoch(id, {std::uint32_t(segments[1].epoch)}).second.value,
            segments[1].end_offset);
}

TEST_F(NodeTest, answers_a_batch_that_was_sent_again_with_its_offset_also_after_a_failover) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "before"), 0);
  auto leads = leader(id);
  for (int i = 0; i < 3; ++i) {
    auto appended = append_at(leads, id, batch_of("mine " + std::to_string(i), 77, i));
    ASSERT_TRUE(appended.done()) << refusal_name(appended.refusal);
    ASSERT_EQ(appended.first.value, 1 + i);
  }
  nodes_->crash(leads, io::CrashKind::kKill);
  ASSERT_EQ(append(id, "other"), 4);
  leads = leader(id);
  EXPECT_EQ(append_at(leads, id, batch_of("mine 2", 77, 2)).first.value, 3);
  EXPECT_EQ(append_at(leads, id, batch_of("mine 4", 77, 4)).refusal, Refusal::kOutOfOrder);
  EXPECT_EQ(append_at(leads, id, batch_of("mine 3", 77, 3)).first.value, 5);
}

TEST_F(NodeTest, a_producer_whose_batch_is_refused_for_good_is_a_line_for_the_operator) {
  LinesLog log;
  auto options = small_nodes(1, 3);
  options.node.log = &log;
  options.node.limits.gap_max = {};  // what is missing is believed at once
  begin(std::move(options));
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "before"), 0);
  ASSERT_TRUE(append_at(leader(id), id, batch_of("mine", 77, 0)).done());
  EXPECT_FALSE(log.lines().contains("producer_refused"));
  auto far_ahead = append_at(leader(id), id, batch_of("far ahead", 77, 4), {.in_sequence = true});
  EXPECT_EQ(far_ahead.refusal, Refusal::kOutOfOrder);
  EXPECT_TRUE(log.lines().contains(
      "producer_refused topic=orders partition=0 producer=77 epoch=0 sequence=4 why=out_of_order"))
      << log.lines();
  nodes_.reset();  // before the log
}

TEST_F(NodeTest, a_node_that_was_away_is_made_whole) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3, {{"walrus.segment.records", "20"}}), 0};
  ASSERT_EQ(append(id, "v0"), 0);
  auto away = (leader(id) + 1) % 3;
  nodes_->crash(away, io::CrashKind::kKill);
  std::vector<std::string> all{"v0"};
  for (int i = 1; i < 50; ++i) {
    all.push_back("v" + std::to_string(i));
    ASSERT_EQ(append(id, all.back()), i);
  }
  ASSERT_TRUE(nodes_->start(away));
  all.push_back("v50");
  ASSERT_EQ(append(id, "v50"), 50);
  expect_everywhere(id, all);
  EXPECT_TRUE(until([&] { return has_all_sealed(away, id); }, 60s));
  for (std::size_t place = 0; place < 3; ++place)
    if (place != away) nodes_->crash(place, io::CrashKind::kKill);
  auto sealed = nodes_->state().partitions.find(id)->sealed.end().value;
  EXPECT_GE(std::ssize(values(away, id)), sealed);
}

TEST_F(NodeTest, a_wiped_disk_loses_nothing_and_is_filled_again) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3, {{"walrus.segment.records", "10"}}), 0};
  std::vector<std::string> all;
  for (int i = 0; i < 35; ++i) {
    all.push_back("v" + std::to_string(i));
    ASSERT_EQ(append(id, all.back()), i);
  }
  auto lost = (leader(id) + 1) % 3;
  nodes_->crash(lost, io::CrashKind::kPowerCut);
  nodes_->wipe(lost);
  ASSERT_TRUE(nodes_->start(lost));
  EXPECT_TRUE(until([&] { return has_all_sealed(lost, id); }, 60s));
  for (std::size_t place = 0; place < 3; ++place)
    if (place != lost) nodes_->crash(place, io::CrashKind::kKill);
  auto sealed = nodes_->state().partitions.find(id)->sealed.end().value;
  auto kept = values(lost, id);
  ASSERT_GE(std::ssize(kept), sealed);
  EXPECT_TRUE(std::equal(kept.begin(), kept.end(), all.begin()));
}

// R19: that it came back with a torn end is nobody's concern any more when the leader dies, though
// the third node is what is left beside it.
TEST_F(NodeTest, a_copy_with_a_torn_end_is_replaced_before_it_can_hold_up_anything) {
  int torn = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    begin(seed);
    PartitionId id{nodes_->create("orders", 1, 3), 0};
    ASSERT_EQ(append(id, "v0"), 0);
    auto back = (leader(id) + 1) % 3;
    auto& machine = nodes_->world().node(static_cast<int>(back));
    machine.crash_after_ops(2 + seed % 4, io::CrashKind::kPowerCut);
    for (int i = 1; i < 20 && !machine.crashed(); ++i) append(id, "v" + std::to_string(i));
    ASSERT_TRUE(machine.crashed());
    ASSERT_TRUE(nodes_->start(back));
    if (!nodes_->processes()[back].engine->opened_torn()) continue;
    ++torn;
    nodes_->paused_controller = true;  // nobody has to be asked for a place
    auto next = append(id, "after it came back");
    nodes_->world().run_for(1s);
    EXPECT_GT(append(id, "to the next segment"), next) << "seed " << seed;
    nodes_->paused_controller = false;
    nodes_->crash(leader(id), io::CrashKind::kKill);
    EXPECT_GT(append(id, "after the leader died"), next) << "seed " << seed;
  }
  EXPECT_GT(torn, 2);
}

TEST_F(NodeTest, what_was_deleted_leaves_the_disks) {
  begin();
  auto topic = nodes_->create("orders", 1, 3);
  PartitionId id{topic, 0};
  ASSERT_EQ(append(id, "v0"), 0);
  auto& engine = *nodes_->processes()[0].engine;
  ASSERT_EQ(engine.list(kCopyPrefix).size(), 1u);
  nodes_->change(meta::DeleteTopic{topic, nodes_->state().topics.find(topic)->version});
  EXPECT_TRUE(until([&] { return engine.list(kCopyPrefix).empty(); }));
  EXPECT_EQ(append_at(0, id, batch_of("v1")).refusal, Refusal::kNotLeader);
}

// Its only copy moves while the next writer asks for the producer state that it has.
TEST_F(NodeTest, a_writer_follows_the_segment_before_to_where_it_goes) {
  begin();
  PartitionId id{nodes_->create("single", 1, 1), 0};
  ASSERT_EQ(append(id, "before"), 0);
  auto from = leader(id), next = (from + 1) % 3, heir = (from + 2) % 3;
  auto& network = nodes_->world().network();
  network.cut(static_cast<int>(next), static_cast<int>(from));
  nodes_->paused_controller = true;
  auto sealed = nodes_->state().partitions.find(id)->tail->id;
  nodes_->node(from).roll({{.partition = id,
                            .segment = sealed,
                            .next = {.leader = NodeId{next + 1}, .replicas = {NodeId{next + 1}}}}});
  ASSERT_TRUE(until([&] { return nodes_->node(next).leader_of(id).here; }));
  EXPECT_EQ(append_at(next, id, batch_of("early"), {.wait = 1s}).refusal, Refusal::kNotReady);
  auto move = [&](std::vector<NodeId> added, std::vector<NodeId> dropped) {
    auto version = nodes_->state().partitions.find(id)->version;
    return nodes_->change(meta::MoveCopies{id, version, {{sealed, added, dropped}}}).done();
  };
  ASSERT_TRUE(move({NodeId{heir + 1}}, {}));
  ASSERT_TRUE(until([&] { return has_all_sealed(heir, id); }));
  ASSERT_TRUE(move({}, {NodeId{from + 1}}));
  EXPECT_EQ(append_at(next, id, batch_of("after"), {.wait = 5s}).first.value, 1);
}

TEST_F(NodeTest, trims_whole_segments_below_the_log_start) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3, {{"walrus.segment.records", "10"}}), 0};
  for (int i = 0; i < 35; ++i) ASSERT_EQ(append(id, "v" + std::to_string(i)), i);
  auto& engine = *nodes_->processes()[1].engine;
  auto before = engine.list(kCopyPrefix).size();
  ASSERT_TRUE(nodes_->await(0, nodes_->node(0).trim(id, Offset{25})));
  EXPECT_TRUE(until([&] { return engine.list(kCopyPrefix).size() + 2 == before; }));
  EXPECT_EQ(nodes_->node(0).bounds(id)->log_start.value, 25);
  auto below = nodes_->await(0, nodes_->node(0).fetch(id, Offset{24}, {}));
  ASSERT_FALSE(below);
  EXPECT_EQ(below.error().code, Code::kOutOfRange);
  EXPECT_EQ(values(0, id, 25).front(), "v25");
  auto beyond = nodes_->await(0, nodes_->node(0).trim(id, Offset{36}));
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, Code::kOutOfRange);
}

TEST_F(NodeTest, a_leader_that_is_cut_off_takes_nothing_once_its_lease_is_over) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "v0"), 0);
  auto cut = leader(id);
  nodes_->processes()[cut].deaf = true;
  nodes_->world().network().isolate(static_cast<int>(cut));
  auto late = std::make_shared<std::optional<Appended>>();
  nodes_->node(cut).append(id, batch_of("lost"), {.wait = 200ms},
                           [late](Appended appended) { *late = appended; });
  std::vector<std::string> all{"v0"};
  EXPECT_TRUE(until(
      [&] {
        for (std::size_t place = 0; place < 3; ++place)
          if (place != cut && nodes_->node(place).leader_of(id).here) return true;
        if (auto other = (cut + 1) % 3; nodes_->node(other).wanted().empty())
          nodes_->node(other).append(id, batch_of("v1"), {.wait = 5s}, [](Appended) {});
        return false;
      },
      5s));
  nodes_->world().run_for(4s);
  auto refused = append_at(cut, id, batch_of("too late"), {.wait = 100ms});
  EXPECT_EQ(refused.refusal, Refusal::kNoLease);
  nodes_->processes()[cut].deaf = false;
  nodes_->world().network().heal_all();
  EXPECT_TRUE(until([&] { return late->has_value(); }));
  EXPECT_EQ((*late)->refusal, Refusal::kUnknown);
  auto end = nodes_->node(leader(id)).bounds(id)->high_watermark;
  auto there = values(leader(id), id);
  EXPECT_EQ(std::ssize(there), end.value);
  expect_everywhere(id, there);
}

TEST_F(NodeTest, a_node_that_stops_ends_its_segments_and_others_go_on) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "v0"), 0);
  auto stopped = leader(id);
  auto begun = nodes_->world().now();
  ASSERT_TRUE(nodes_->await(stopped, nodes_->node(stopped).stop(5s)));
  EXPECT_LT(nodes_->world().now() - begun, 500ms);
  const auto& partition = *nodes_->state().partitions.find(id);
  EXPECT_EQ(partition.sealed_end.value, 1);
  // In the same step another one has taken over, of those that had the copies.
  ASSERT_TRUE(partition.tail);
  auto one = nodes_->processes()[stopped].id();
  EXPECT_NE(partition.tail->leader, one);
  EXPECT_EQ(partition.tail->replicas.size(), 2U);
  EXPECT_EQ(std::ranges::count(partition.tail->replicas, one), 0);
  EXPECT_EQ(append_at(stopped, id, batch_of("no")).refusal, Refusal::kNotLeader);
  nodes_->drop(nodes_->processes()[stopped]);
  EXPECT_EQ(append(id, "v1"), 1);
}

TEST_F(NodeTest, a_node_that_gives_away_what_it_leads_still_serves_its_clients) {
  begin(3, 4);
  constexpr std::uint32_t kPartitions = 60;
  auto topic = nodes_->create("many", kPartitions, 3);
  for (std::uint32_t i = 0; i < kPartitions; ++i) ASSERT_EQ(append({topic, i}, "v0"), 0);
  auto giver = leader({topic, 0});
  auto one = nodes_->processes()[giver].id();
  std::vector<std::uint32_t> led;
  for (std::uint32_t i = 0; i < kPartitions; ++i)
    if (leader({topic, i}) == giver) led.push_back(i);
  ASSERT_TRUE(nodes_->await(giver, nodes_->node(giver).give_away(5s)));
  for (auto i : led) {
    SCOPED_TRACE(i);
    const auto& partition = *nodes_->state().partitions.find(PartitionId{topic, i});
    ASSERT_TRUE(partition.tail);
    EXPECT_NE(partition.tail->leader, one);
    auto late = append_at(giver, {topic, i}, batch_of("v1"), {.hand_on = true});
    EXPECT_TRUE(late.done());
    EXPECT_EQ(late.first.value, 1);
  }
}

TEST_F(NodeTest, an_append_with_another_expected_offset_is_refused) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "v0"), 0);
  auto here = leader(id);
  EXPECT_EQ(append_at(here, id, batch_of("no"), {.expected_next = Offset{0}}).refusal,
            Refusal::kMismatch);
  EXPECT_EQ(append_at(here, id, batch_of("v1"), {.expected_next = Offset{1}}).first.value, 1);
}

TEST_F(NodeTest, many_partitions_go_on_together_when_a_node_dies) {
  begin(3, 4);
  constexpr std::uint32_t kPartitions = 60;
  auto topic = nodes_->create("many", kPartitions, 3);
  auto round = [&](const std::string& value) {
    std::size_t open = kPartitions;
    for (std::uint32_t i = 0; i < kPartitions; ++i) {
      PartitionId id{topic, i};
      auto again = std::make_shared<std::function<void()>>();
      *again = [this, id, value, again, &open] {
        auto here = leader(id);
        nodes_->node(here).append(
            id, batch_of(value), {.wait = 300ms}, [this, again, &open](Appended appended) {
              if (appended.done()) return void(--open);
              nodes_->world().at(nodes_->world().now() + 20ms, [again] { (*again)(); });
            });
      };
      (*again)();
    }
    EXPECT_TRUE(until([&] { return open == 0; }, 20s)) << open << " of " << value;
  };
  round("a");
  round("b");
  nodes_->crash(1, io::CrashKind::kKill);
  auto begun = nodes_->world().now();
  round("c");
  EXPECT_LT(nodes_->world().now() - begun, 2s);
  for (std::uint32_t i = 0; i < kPartitions; ++i) expect_everywhere({topic, i}, {"a", "b", "c"});
}

TEST_F(NodeTest, what_was_written_to_a_moment_ago_is_opened_again_before_anybody_asks) {
  begin();
  auto topic = nodes_->create("orders", 12, 3);
  auto tail = [&](std::uint32_t i) {
    return nodes_->state().partitions.find(PartitionId{topic, i})->tail;
  };
  for (std::uint32_t i = 0; i < 12; ++i) ASSERT_EQ(append({topic, i}, "old"), 0);
  nodes_->world().run_for(3s);
  for (std::uint32_t i = 0; i < 12; i += 2) ASSERT_EQ(append({topic, i}, "new"), 1);
  nodes_->crash(0, io::CrashKind::kKill);
  auto goes_on = [&](std::uint32_t i) { return tail(i) && tail(i)->leader != NodeId{1}; };
  for (std::uint32_t i = 0; i < 12; i += 2) EXPECT_TRUE(until([&] { return goes_on(i); }, 500ms));
  // What is idle costs nothing (R42).
  for (std::uint32_t i = 1; i < 12; i += 2)
    EXPECT_TRUE(goes_on(i) || until([&] { return !tail(i); }, 500ms));
}

// Nothing else is to be sent to it: whoever asks is told of no leader.
TEST_F(NodeTest, a_connection_to_a_leader_that_broke_is_made_again_by_itself) {
  begin(1, 4);
  PartitionId id{nodes_->create("orders", 1, 1), 0};
  ASSERT_EQ(append(id, "first"), 0);
  auto leads = leader(id), other = (leads + 1) % 4;
  auto names_it = [&] { return nodes_->node(other).leader_of(id).leader == NodeId{leads + 1}; };
  ASSERT_TRUE(nodes_->processes()[other].rpc->send(NodeId{leads + 1}, kSegmentKnock, {}));
  nodes_->world().run_for(100ms);  // they have met
  ASSERT_TRUE(names_it());
  auto& network = nodes_->world().network();
  auto from = static_cast<int>(other), to = static_cast<int>(leads);
  network.cut(from, to);
  network.cut(to, from);
  network.reset_connections(from, to);
  EXPECT_TRUE(until([&] { return !names_it(); }, 1s));
  nodes_->world().run_for(2s);
  EXPECT_FALSE(names_it());
  network.heal_all();
  EXPECT_TRUE(until(names_it, 5s));
}

// A client hears of a leader's end in the moment of it, and asks before this node has noticed.
TEST_F(NodeTest, a_leader_that_has_just_died_is_named_to_nobody) {
  begin(1, 4);
  PartitionId id{nodes_->create("orders", 1, 1), 0};
  ASSERT_EQ(append(id, "first"), 0);
  auto leads = leader(id), other = (leads + 1) % 4;
  auto named = [&] { return nodes_->node(other).leader_of(id).leader; };
  ASSERT_TRUE(nodes_->processes()[other].rpc->send(NodeId{leads + 1}, kSegmentKnock, {}));
  nodes_->world().run_for(100ms);  // they have met
  ASSERT_TRUE(nodes_->await(other, nodes_->node(other).ask_reach(200ms)));
  EXPECT_EQ(named(), NodeId{leads + 1});
  nodes_->crash(leads, io::CrashKind::kKill);
  EXPECT_EQ(named(), NodeId{leads + 1});
  ASSERT_TRUE(nodes_->await(other, nodes_->node(other).ask_reach(200ms)));
  EXPECT_EQ(named(), NodeId{});
}

TEST_F(NodeTest, finds_records_by_time_wherever_they_are) {
  begin(5, 4);
  PartitionId id{nodes_->create("orders", 1, 2, {{"walrus.segment.records", "5"}}), 0};
  std::vector<std::int64_t> times;
  for (int i = 0; i < 20; ++i) {
    Record records[] = {{.value = "v", .timestamp = Time(Millis(1'000 + 10 * i))}};
    auto place = leader(id);
    Appended appended;
    do {
      appended = append_at(leader(id), id, record::encode(records, {}), {.wait = 500ms});
    } while (!appended.done());
    ASSERT_EQ(appended.first.value, i);
    (void)place;
  }
  for (std::size_t place = 0; place < 4; ++place) {
    ASSERT_TRUE(until([&] { return nodes_->node(place).bounds(id)->high_watermark.value >= 15; }));
    auto found = nodes_->await(place, nodes_->node(place).find_time(id, Time(Millis(1'065))));
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->value, 7) << "node " << place + 1;
  }
}

TEST_F(NodeTest, copies_are_synced_as_often_as_their_topic_says) {
  begin(8, 3);
  PartitionId id{nodes_->create("often", 1, 3, {{"walrus.durability", "interval=20"}}), 0};
  append(id, "v");
  auto name = copy_stream_name(nodes_->state().partitions.find(id)->tail->id);
  for (auto& process : nodes_->processes()) {
    EXPECT_TRUE(until([&] {
      auto stream = process.engine->find(name);
      auto info = stream ? process.engine->info(*stream)
                         : Result<StreamInfo>(fail(Code::kNotFound, "not yet"));
      return info && info->options.durability.kind == Durability::kInterval &&
             info->options.durability.interval == Millis(20);
    })) << "node "
        << process.place + 1;
  }
}

TEST(SealSurveyCode, encodes_to_the_golden_bytes_and_back) {
  const SealSurvey survey{.epoch = Epoch{5},
                          .waits = true,
                          .start = Offset{1},
                          .end = Offset{300},
                          .known = Offset{301},
                          .copies = {{NodeId{2}, true, false, Knowledge::kTorn, Offset{300}},
                                     {NodeId{3}, false, true, Knowledge::kLimbo, Offset{1}}}};
  const std::string bytes(
      "\x01\x05\x01\xac\x02\xad\x02\x02"
      "\x02\x01\x01\xac\x02"
      "\x03\x02\x02\x01",
      17);
  EXPECT_EQ(encode(survey), bytes);
  EXPECT_EQ(*parse_survey(bytes), survey);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(parse_survey(Bytes(bytes).substr(0, size))) << size;
  EXPECT_FALSE(parse_survey(bytes + "x"));
  auto many = bytes;
  many[7] = 100;  // copies of one segment
  EXPECT_FALSE(parse_survey(many));
}

// R41: of what its only node had nothing survives, and an operator says so, at any node.
TEST_F(NodeTest, loss_is_accepted_at_any_node_and_recorded) {
  begin(6, 3);
  PartitionId id{nodes_->create("single", 1, 1), 0};
  append(id, "gone");
  auto lost = leader(id);
  auto segment = nodes_->state().partitions.find(id)->tail->id;
  nodes_->crash(lost, io::CrashKind::kPowerCut);
  auto asked = (lost + 1) % 3;
  auto ask = [&]() -> Result<SealSurvey> {
    const auto& tail = nodes_->state().partitions.find(id)->tail;
    if (!tail || tail->state != meta::SegmentState::kSealing)
      return fail(Code::kNotFound, "it is not being sealed");
    return nodes_->await(asked, nodes_->node(asked).survey(tail->recoverer, segment));
  };
  EXPECT_FALSE(ask());  // it may come back
  NodeId node{lost + 1};
  auto removed = nodes_->change(meta::SetNodeState{node, nodes_->state().nodes.find(node)->version,
                                                   meta::NodeState::kRemoved, true});
  ASSERT_TRUE(removed.done());
  Result<SealSurvey> survey = ask();
  for (int i = 0; i < 100 && !(survey && survey->waits); ++i) {
    nodes_->world().run_for(20ms);
    survey = ask();
  }
  ASSERT_TRUE(survey) << survey.error().message;
  EXPECT_TRUE(survey->waits);
  EXPECT_EQ(survey->end, Offset{0});
  ASSERT_EQ(survey->copies.size(), 1u);
  EXPECT_TRUE(survey->copies[0].removed);
  auto sealer = nodes_->state().partitions.find(id)->tail->recoverer;
  auto accept = [&](Epoch epoch) {
    return nodes_->await(
        asked, nodes_->node(asked).accept_loss(sealer, segment, {epoch, survey->end, "alice"}));
  };
  EXPECT_EQ(accept(Epoch{survey->epoch.value + 1}).error().code, Code::kMismatch);
  auto accepted = accept(survey->epoch);
  ASSERT_TRUE(accepted) << accepted.error().message;
  EXPECT_TRUE(until([&] { return nodes_->state().partitions.find(id)->losses_total == 1; }));
  EXPECT_EQ(nodes_->state().partitions.find(id)->losses[0].accepted_by, "alice");
  EXPECT_EQ(append(id, "new"), 0);
}

// Removed while its answer is waited for, a node counts as having answered (R19).
TEST_F(NodeTest, node_that_is_removed_meanwhile_is_waited_for_no_more) {
  begin(7, 3);
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  append(id, "kept");
  auto leads = leader(id);
  std::size_t silent = (leads + 1) % 3, left = (leads + 2) % 3;
  ASSERT_TRUE(until([&] { return nodes_->node(left).bounds(id)->high_watermark.value == 1; }));
  nodes_->crash(leads, io::CrashKind::kKill);
  nodes_->crash(silent, io::CrashKind::kKill);
  ASSERT_TRUE(until([&] {
    const auto& tail = nodes_->state().partitions.find(id)->tail;
    return tail && tail->recoverer == NodeId{left + 1};
  }));
  auto segment = nodes_->state().partitions.find(id)->tail->id;
  auto ask = [&] {
    return nodes_->await(left, nodes_->node(left).survey(NodeId{left + 1}, segment));
  };
  ASSERT_TRUE(until([&] { return nodes_->node(left).stats().recoveries == 1; }));
  nodes_->world().run_for(500ms);
  auto survey = ask();
  ASSERT_TRUE(survey) << survey.error().message;
  EXPECT_FALSE(survey->waits);
  EXPECT_EQ(survey->end, Offset{1});
  auto early = nodes_->await(left, nodes_->node(left).accept_loss(NodeId{left + 1}, segment,
                                                                  {survey->epoch, {}, "alice"}));
  EXPECT_EQ(early.error().code, Code::kBusy);
  for (auto place : {leads, silent}) {
    NodeId node{place + 1};
    nodes_->change(meta::SetNodeState{node, nodes_->state().nodes.find(node)->version,
                                      meta::NodeState::kRemoved, true});
  }
  nodes_->world().run_for(500ms);
  survey = ask();
  ASSERT_TRUE(survey) << survey.error().message;
  EXPECT_TRUE(survey->waits);
  ASSERT_TRUE(
      nodes_->await(left, nodes_->node(left).accept_loss(NodeId{left + 1}, segment,
                                                         {survey->epoch, survey->end, "alice"})));
  EXPECT_TRUE(until([&] { return nodes_->state().partitions.find(id)->losses_total == 1; }));
  EXPECT_EQ(nodes_->state().partitions.find(id)->sealed_end, Offset{1});
}

}  // namespace
}  // namespace walrus::replica
