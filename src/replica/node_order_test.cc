// What keeps the order of those that send on before they are answered.

#include "replica/node.h"

#include <gmock/gmock.h>

#include "replica/node_fixture.h"

namespace walrus::replica {
namespace {

// ---- A client sends on before it is answered, and its order is kept ----

TEST_F(NodeTest, what_is_pipelined_behind_an_append_that_was_sent_away_is_sent_away_too) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "before"), 0);
  auto leads = leader(id), at = (leads + 1) % 3;
  auto early = std::make_shared<Pipeline>(), late = std::make_shared<Pipeline>();
  EXPECT_EQ(append_at(at, id, batch_of("0"), {.pipeline = early}).refusal, Refusal::kNotLeader);
  nodes_->paused_controller = true;
  nodes_->crash(leads, io::CrashKind::kKill);
  claim(id, at);
  std::vector<std::optional<Refusal>> answers(2);
  auto give = [&](std::size_t place, io::Nanos wait) {
    nodes_->node(at).append(id, batch_of("1"), {.wait = wait, .pipeline = late},
                            [&answers, place](Appended one) { answers[place] = one.refusal; });
  };
  give(0, 300ms);
  give(1, 20s);
  EXPECT_TRUE(until([&] { return answers[0].has_value(); }));
  EXPECT_FALSE(answers[1]);
  recover(id, at, at);
  EXPECT_TRUE(until([&] { return answers[1].has_value(); }));
  EXPECT_TRUE(nodes_->node(at).leader_of(id).here);
  EXPECT_EQ(answers[1], Refusal::kNotLeader);
  EXPECT_EQ(append_at(at, id, batch_of("1"), {.pipeline = early}).refusal, Refusal::kNotLeader);
  auto again = std::make_shared<Pipeline>();
  EXPECT_EQ(append_at(at, id, batch_of("0"), {.pipeline = again}).first.value, 1);
  EXPECT_EQ(append_at(at, id, batch_of("1"), {.pipeline = again}).first.value, 2);
}

// ---- An idempotent producer sends on before it is answered ----

// What it gets for batches that it gave a node one after the other, as of an append in sequence.
struct Sent {
  std::vector<std::optional<Refusal>> answers{};
  bool all() const {
    return std::ranges::all_of(answers, [](const auto& one) { return one.has_value(); });
  }
};

// Nobody leads: the first waits for longer than it may, and is sent away. What comes behind it is
// not out of order for that, whatever the log knows of the producer, but comes again, too.
TEST_F(NodeTest, what_is_behind_an_append_that_was_sent_away_is_sent_away_too) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "before"), 0);
  auto leads = leader(id);
  std::int64_t known = 77, fresh = 78;
  ASSERT_TRUE(append_at(leads, id, batch_of("known 0", known, 0)).done());
  auto at = (leads + 1) % 3;
  nodes_->paused_controller = true;
  nodes_->crash(leads, io::CrashKind::kKill);
  claim(id, at);
  auto sent = std::make_shared<Sent>();
  auto give = [&](std::int64_t producer, std::int32_t sequence, io::Nanos wait) {
    auto place = sent->answers.size();
    sent->answers.emplace_back();
    nodes_->node(at).append(id, batch_of("v" + std::to_string(sequence), producer, sequence),
                            {.wait = wait, .in_sequence = true},
                            [sent, place](Appended one) { sent->answers[place] = one.refusal; });
  };
  give(known, 1, 300ms);
  give(fresh, 0, 300ms);
  give(known, 2, 20s);  // in flight as well
  give(fresh, 1, 20s);
  EXPECT_TRUE(until([&] { return sent->answers[0] && sent->answers[1]; }));
  EXPECT_TRUE(is_passing(*sent->answers[0]) && is_passing(*sent->answers[1]));
  EXPECT_FALSE(sent->answers[2] || sent->answers[3]);
  recover(id, at, at);
  EXPECT_TRUE(until([&] { return sent->all(); }));
  EXPECT_TRUE(nodes_->node(at).leader_of(id).here);
  EXPECT_EQ(sent->answers[2], Refusal::kNotLeader);
  EXPECT_EQ(sent->answers[3], Refusal::kNotLeader);
  // All of them again, in their order.
  sent->answers.clear();
  for (auto sequence : {1, 2, 3}) give(known, sequence, 5s);
  for (auto sequence : {0, 1, 2}) give(fresh, sequence, 5s);
  EXPECT_TRUE(until([&] { return sent->all(); }));
  for (const auto& answer : sent->answers) EXPECT_EQ(answer, Refusal::kNone);
}

// What is missing may be on its way here, from another node that has just refused it.
TEST_F(NodeTest, a_gap_in_front_of_a_batch_is_believed_when_it_lasts) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "before"), 0);
  auto give = [&](std::int32_t sequence) {
    return append_at(leader(id), id, batch_of("v" + std::to_string(sequence), 77, sequence),
                     {.in_sequence = true})
        .refusal;
  };
  ASSERT_EQ(give(0), Refusal::kNone);
  EXPECT_EQ(give(2), Refusal::kNotLeader);
  EXPECT_EQ(give(3), Refusal::kNotLeader);
  for (auto sequence : {1, 2, 3}) EXPECT_EQ(give(sequence), Refusal::kNone);
  EXPECT_EQ(give(9), Refusal::kNotLeader);
  nodes_->world().run_for(3s);
  EXPECT_EQ(give(9), Refusal::kOutOfOrder);
  EXPECT_EQ(give(4), Refusal::kNone);
}

// Whoever answers to a batch says that all before it is stored. Of a producer that the log does not
// know, what comes before may be on its way, too; or long gone with the records of that time.
TEST_F(NodeTest, the_beginning_of_a_producer_is_waited_for_until_the_gap_has_lasted) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "before"), 0);
  auto give = [&](std::int64_t producer, std::int32_t sequence) {
    return append_at(leader(id), id, batch_of("v" + std::to_string(sequence), producer, sequence),
                     {.in_sequence = true})
        .refusal;
  };
  EXPECT_EQ(give(77, 1), Refusal::kNotLeader);
  EXPECT_EQ(give(77, 2), Refusal::kNotLeader);
  for (auto sequence : {0, 1, 2}) EXPECT_EQ(give(77, sequence), Refusal::kNone);
  EXPECT_EQ(give(78, 9), Refusal::kNotLeader);
  nodes_->world().run_for(3s);
  EXPECT_EQ(give(78, 9), Refusal::kNone);
  EXPECT_EQ(give(78, 10), Refusal::kNone);
}

// Its outcome is not known; this node leads again, without it in the log.
TEST_F(NodeTest, what_is_behind_an_append_of_unknown_outcome_is_not_out_of_order) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "before"), 0);
  auto at = leader(id);
  ASSERT_TRUE(append_at(at, id, batch_of("in", 77, 0), {.in_sequence = true}).done());
  // Nothing that it sends gets to the copies of others, until it is deposed.
  nodes_->paused_controller = true;
  nodes_->world().network().isolate(static_cast<int>(at));
  auto sent = std::make_shared<Sent>();
  auto give = [&](std::int32_t sequence) {
    auto place = sent->answers.size();
    sent->answers.emplace_back();
    nodes_->node(at).append(id, batch_of("v" + std::to_string(sequence), 77, sequence),
                            {.wait = 20s, .in_sequence = true},
                            [sent, place](Appended one) { sent->answers[place] = one.refusal; });
  };
  give(1);
  nodes_->world().run_for(100ms);
  claim(id, (at + 1) % 3);
  recover(id, (at + 1) % 3, at);
  EXPECT_TRUE(until([&] { return sent->answers[0].has_value(); }));
  EXPECT_EQ(sent->answers[0], Refusal::kUnknown);
  give(2);
  nodes_->world().network().heal_all();
  EXPECT_TRUE(until([&] { return sent->all(); }, 30s));
  EXPECT_EQ(sent->answers[1], Refusal::kNotLeader);
  EXPECT_TRUE(nodes_->node(at).leader_of(id).here);
  sent->answers.clear();
  for (auto sequence : {1, 2, 3}) give(sequence);
  EXPECT_TRUE(until([&] { return sent->all(); }));
  for (const auto& answer : sent->answers) EXPECT_EQ(answer, Refusal::kNone);
}

// Whoever led before judged it without what the next one had taken; and leads again.
TEST_F(NodeTest, what_is_behind_an_append_that_a_leader_of_before_judged_is_not_out_of_order) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "before"), 0);
  auto at = leader(id), next = (at + 1) % 3;
  AppendRequest request{.wait = 5s, .in_sequence = true};
  auto give = [&](std::size_t place, std::int32_t sequence) {
    return append_at(place, id, batch_of("v" + std::to_string(sequence), 77, sequence), request);
  };
  ASSERT_TRUE(give(at, 0).done());
  EXPECT_EQ(give(at, 9).refusal, Refusal::kNotLeader);
  nodes_->world().run_for(3s);  // so that a gap is believed
  nodes_->paused_controller = true;
  auto& process = nodes_->processes()[at];
  process.deaf = true;
  nodes_->world().network().isolate(static_cast<int>(at));
  claim(id, next);
  recover(id, next, next);
  ASSERT_TRUE(until([&] { return nodes_->node(next).leader_of(id).here; }));
  ASSERT_TRUE(give(next, 1).done());
  std::optional<Refusal> judged;
  nodes_->node(at).append(id, batch_of("v9", 77, 9), request,
                          [&judged](Appended one) { judged = one.refusal; });
  nodes_->world().run_for(20ms);
  ASSERT_FALSE(judged);
  nodes_->world().network().heal_all();
  process.deaf = false;
  claim(id, next);
  recover(id, next, at);
  ASSERT_TRUE(until([&] { return nodes_->node(at).leader_of(id).here; }));
  EXPECT_EQ(judged, Refusal::kNotLeader);
  EXPECT_EQ(give(at, 3).refusal, Refusal::kNotLeader);
  EXPECT_TRUE(give(at, 2).done());
  EXPECT_TRUE(give(at, 3).done());
}

// ---- Handed on ----

class HandOnTest : public NodeTest {
 protected:
  // A leader that has rolled its segment to another node, which was told; and that one.
  std::pair<std::size_t, std::size_t> roll(PartitionId id) {
    auto from = leader(id), to = (from + 1) % 3;
    auto tail = *nodes_->state().partitions.find(id)->tail;
    nodes_->node(from).roll({{.partition = id,
                              .segment = tail.id,
                              .next = {.leader = NodeId{to + 1}, .replicas = tail.replicas}}});
    return {from, to};
  }
  bool leads_elsewhere(std::size_t place, PartitionId id) {
    auto hint = nodes_->node(place).leader_of(id);
    return hint.leader != NodeId{} && hint.leader != NodeId{place + 1};
  }
  // A partition with one record, rolled by `from`, which knows that `to` leads it.
  void begin_rolled() {
    begin();
    PartitionId id{nodes_->create("orders", 1, 3), 0};
    ASSERT_EQ(append(id, "before"), 0);
    auto [from, to] = roll(id);
    ASSERT_TRUE(until([&, place = from] { return leads_elsewhere(place, id); }));
    rolled_ = {id, from, to};
  }

  struct Rolled {
    PartitionId id{};
    std::size_t from = 0, to = 0;
  };
  Rolled rolled_{};
};

// A producer that sends one batch behind the other and learns nothing of the roll under way.
TEST_F(HandOnTest, a_roll_to_another_node_costs_a_producer_of_the_old_one_nothing) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "before"), 0);
  auto [from, to] = roll(id);
  std::vector<Refusal> refused;
  std::vector<std::int64_t> offsets;
  constexpr int kBatches = 200;
  for (int i = 0; i < kBatches; ++i)
    nodes_->world().at(nodes_->world().now() + Millis(2 * i), [&, i, place = from] {
      nodes_->node(place).append(id, batch_of("value " + std::to_string(i), 77, i),
                                 {.wait = 5s, .hand_on = true}, [&](Appended appended) {
                                   if (!appended.done()) refused.push_back(appended.refusal);
                                   offsets.push_back(appended.first.value);
                                 });
    });
  ASSERT_TRUE(until([&] { return offsets.size() == kBatches; }));
  EXPECT_TRUE(refused.empty()) << refusal_name(refused.front());
  for (int i = 0; i < kBatches; ++i) EXPECT_EQ(offsets[static_cast<std::size_t>(i)], i + 1);
  EXPECT_EQ(leader(id), to);
  EXPECT_GT(nodes_->node(from).stats().appends_handed_on, 100u);
}

TEST_F(HandOnTest, a_partition_goes_on_whose_next_leader_dies_before_it_took_anything) {
  begin();
  PartitionId id{nodes_->create("orders", 1, 3), 0};
  ASSERT_EQ(append(id, "before"), 0);
  auto to = roll(id).second;
  ASSERT_TRUE(until([&] { return nodes_->node(to).leader_of(id).here; }));
  nodes_->crash(to, io::CrashKind::kKill);
  EXPECT_TRUE(until(
      [&] {
        const auto& tail = nodes_->state().partitions.find(id)->tail;
        return tail && tail->leader != NodeId{to + 1};
      },
      500ms));  // nobody has asked
}

TEST_F(HandOnTest, is_over_after_a_second) {
  ASSERT_NO_FATAL_FAILURE(begin_rolled());
  auto [id, from, to] = rolled_;
  auto now = nodes_->world().node(static_cast<int>(from)).env().mono();
  EXPECT_GT(nodes_->node(from).leader_of(id).hands_on_until, now);
  EXPECT_TRUE(append_at(from, id, batch_of("handed on"), {.hand_on = true}).done());
  EXPECT_EQ(append_at(from, id, batch_of("not asked to")).refusal, Refusal::kNotLeader);
  nodes_->world().run_for(1s);
  EXPECT_EQ(append_at(from, id, batch_of("late"), {.hand_on = true}).refusal, Refusal::kNotLeader);
  // Another node never led it.
  auto third = 3 - from - to;
  EXPECT_EQ(append_at(third, id, batch_of("no"), {.hand_on = true}).refusal, Refusal::kNotLeader);
}

// A client that is told of none pauses for longer than it takes to find the next one.
TEST_F(HandOnTest, goes_to_the_leader_after_one_that_died) {
  ASSERT_NO_FATAL_FAILURE(begin_rolled());
  auto [id, from, to] = rolled_;
  auto next = 3 - from - to;
  ASSERT_TRUE(append_at(from, id, batch_of("to the first"), {.hand_on = true}).done());
  nodes_->world().run_for(800ms);
  nodes_->paused_controller = true;
  nodes_->crash(to, io::CrashKind::kKill);
  std::optional<Appended> late;
  nodes_->node(from).append(id, batch_of("late", 77, 0),
                            {.wait = 5s, .hand_on = true, .in_sequence = true},
                            [&late](Appended appended) { late = appended; });
  nodes_->world().run_for(50ms);
  ASSERT_FALSE(late);
  claim(id, next);
  recover(id, next, next);
  ASSERT_TRUE(until([&] { return late.has_value(); }));
  EXPECT_TRUE(late->done()) << refusal_name(late->refusal);
  // The second that it lasts begins anew with the next leader.
  nodes_->world().run_for(500ms);
  EXPECT_TRUE(append_at(from, id, batch_of("more"), {.hand_on = true}).done());
  nodes_->world().run_for(500ms);
  EXPECT_EQ(append_at(from, id, batch_of("over"), {.hand_on = true}).refusal, Refusal::kNotLeader);
}

// Whether the dead one had taken it or not.
TEST_F(HandOnTest, a_producer_s_batch_that_was_under_way_goes_to_the_next_leader_once) {
  for (auto delay : {0ms, 1ms, 2ms, 3ms, 5ms, 8ms}) {
    ASSERT_NO_FATAL_FAILURE(begin_rolled());
    auto [id, from, to] = rolled_;
    auto answer = std::make_shared<std::optional<Appended>>();
    nodes_->node(from).append(id, batch_of("once", 77, 0),
                              {.wait = 5s, .hand_on = true, .in_sequence = true},
                              [answer](Appended appended) { *answer = appended; });
    nodes_->world().run_for(delay);
    nodes_->crash(to, io::CrashKind::kKill);
    ASSERT_TRUE(until([&] { return answer->has_value(); }));
    EXPECT_TRUE((*answer)->done()) << refusal_name((*answer)->refusal);
    EXPECT_EQ((*answer)->first.value, 1);
    EXPECT_EQ(append(id, "behind"), 2) << delay.count();
  }
}

// Nobody knows what became of what was under way.
TEST_F(HandOnTest, what_was_given_to_a_node_that_dies_is_unknown) {
  ASSERT_NO_FATAL_FAILURE(begin_rolled());
  auto [id, from, to] = rolled_;
  auto answer = std::make_shared<std::optional<Appended>>();
  nodes_->world().network().isolate(static_cast<int>(to));
  nodes_->node(from).append(id, batch_of("lost"), {.hand_on = true},
                            [answer](Appended appended) { *answer = appended; });
  ASSERT_TRUE(until([&] { return answer->has_value(); }));
  EXPECT_EQ((*answer)->refusal, Refusal::kUnknown);
}

}  // namespace
}  // namespace walrus::replica
