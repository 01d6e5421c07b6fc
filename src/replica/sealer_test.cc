#include "replica/sealer.h"

#include <gtest/gtest.h>

#include "replica/replica_fixture.h"

namespace walrus::replica {
namespace {

Told told(std::uint64_t node, std::int64_t durable, Knowledge knowledge = Knowledge::kWhole) {
  return {.replica = NodeId{node}, .answered = true, .knowledge = knowledge, .durable = durable};
}

TEST(DecideEnd, two_plain_answers_of_three_end_it_at_the_longest) {
  Told all[] = {told(1, 5), told(2, 7), {.replica = NodeId{3}}};
  auto end = decide_end(0, 2, all);
  EXPECT_EQ(end.kind, End::kAt);
  EXPECT_EQ(end.end, 7);
}

TEST(DecideEnd, limbo_is_no_negative_but_what_it_holds_counts) {
  Told all[] = {told(1, 9, Knowledge::kLimbo), told(2, 7), {.replica = NodeId{3}}};
  EXPECT_EQ(decide_end(0, 2, all).kind, End::kWait);
  all[2] = told(3, 7);
  EXPECT_EQ(decide_end(0, 2, all).end, 9);
}

TEST(DecideEnd, torn_counts_when_all_have_answered) {
  Told all[] = {told(1, 5, Knowledge::kTorn), told(2, 5), {.replica = NodeId{3}}};
  EXPECT_EQ(decide_end(0, 2, all).kind, End::kWait);
  all[2] = told(3, 0, Knowledge::kLimbo);
  EXPECT_EQ(decide_end(0, 2, all).kind, End::kAt);
}

TEST(DecideEnd, too_many_in_limbo_is_a_loss_when_all_have_answered) {
  Told all[] = {told(1, 5), told(2, 0, Knowledge::kLimbo), {.replica = NodeId{3}}};
  EXPECT_EQ(decide_end(0, 2, all).kind, End::kWait);
  all[2].gone = true;
  auto end = decide_end(0, 2, all);
  EXPECT_EQ(end.kind, End::kLost);
  EXPECT_EQ(end.end, 5);
}

TEST(DecideEnd, a_no_about_what_was_seen_acknowledged_is_worth_nothing) {
  Told all[] = {told(1, 5), told(2, 5), {.replica = NodeId{3}}};
  all[0].watermark = 6;
  EXPECT_EQ(decide_end(0, 2, all).kind, End::kWait);
}

class SealerTest : public testing::Test {
 protected:
  void step(Sealer::Event event) {
    Sealer::Event events[] = {std::move(event)};
    sealer_.step(now_, events, actions_);
  }
  void begin() {
    auto segment = three_replicas();
    step(Sealer::Seal{.segment = segment});
    segment.state = SegmentState::kSealing;
    segment.recovery = {2};
    step(Sealer::Decided{.segment = segment, .taken = true});
  }
  void fenced(std::uint64_t node, std::int64_t durable) {
    step(Sealer::Receive{{NodeId{node}, kRecoverer, kSegment, Epoch{2},
                          FenceReply{.promised = {2}, .durable = durable}}});
  }

  Sealer sealer_{{.self = kRecoverer}};
  Sealer::Actions actions_;
  Instant now_ = std::chrono::seconds(1);
};

TEST_F(SealerTest, claims_before_it_fences) {
  step(Sealer::Seal{.segment = three_replicas()});
  EXPECT_EQ(actions_.commands.size(), 1u);
  EXPECT_TRUE(actions_.messages.empty());
}

TEST_F(SealerTest, gives_up_a_segment_whose_command_failed) {
  step(Sealer::Seal{.segment = three_replicas()});
  step(Sealer::Decided{.segment = three_replicas(), .taken = false});
  EXPECT_FALSE(sealer_.has(kSegment));
}

TEST_F(SealerTest, writes_back_before_it_ends_and_waits_for_nobody_who_hangs) {
  begin();
  EXPECT_EQ(actions_.messages.size(), 3u);
  fenced(1, 3);
  EXPECT_TRUE(actions_.commands.empty());
  fenced(2, 2);  // the third one hangs
  EXPECT_TRUE(actions_.commands.empty());
  ASSERT_EQ(actions_.messages.size(), 1u);  // the read for node 2
  EXPECT_EQ(std::get<Fence>(actions_.messages[0].body).from, 2);
  step(Sealer::Receive{
      {NodeId{1}, kRecoverer, kSegment, Epoch{2},
       FenceReply{.promised = {2}, .durable = 3, .run = {.from = 2, .batches = {batch_at(2)}}}}});
  ASSERT_EQ(actions_.messages.size(), 1u);
  EXPECT_TRUE(std::get<Replicate>(actions_.messages[0].body).recovery);
  step(Sealer::Receive{{NodeId{2}, kRecoverer, kSegment, Epoch{2},
                        ReplicateReply{.round = 1, .durable = 3, .accepted = 3}}});
  ASSERT_EQ(actions_.commands.size(), 1u);
  EXPECT_EQ(actions_.commands[0].end, 3);
}

// R41: an operator's word counts for what was shown, and for nothing less.
TEST_F(SealerTest, seals_what_survives_on_an_operators_word) {
  begin();
  fenced(1, 3);
  step(Sealer::Receive{{NodeId{2}, kRecoverer, kSegment, Epoch{2},
                        FenceReply{.promised = {2}, .knowledge = Knowledge::kLimbo}}});
  auto survey = sealer_.survey(kSegment);
  ASSERT_TRUE(survey.has_value());
  EXPECT_FALSE(survey->needs_operator);  // node 3 may know more
  step(Sealer::Removed{NodeId{3}});
  ASSERT_EQ(actions_.blocked.size(), 1u);
  survey = sealer_.survey(kSegment);
  EXPECT_TRUE(survey->needs_operator);
  EXPECT_EQ(survey->recovery, Epoch{2});
  EXPECT_EQ(survey->end.end, 3);
  EXPECT_TRUE(survey->told.at(2).gone);
  step(Sealer::AcceptLoss{kSegment, 4});
  EXPECT_TRUE(actions_.messages.empty());  // less survives than was accepted
  EXPECT_TRUE(sealer_.survey(kSegment)->needs_operator);
  step(Sealer::AcceptLoss{kSegment, 3});
  ASSERT_EQ(actions_.messages.size(), 1u);  // the other one is made whole first
  step(
      Sealer::Receive{{NodeId{2}, kRecoverer, kSegment, Epoch{2},
                       FenceReply{.promised = {2}, .knowledge = Knowledge::kLimbo, .durable = 3}}});
  ASSERT_EQ(actions_.commands.size(), 1u);
  EXPECT_TRUE(actions_.commands[0].lost);
  EXPECT_EQ(actions_.commands[0].end, 3);
}

TEST_F(SealerTest, of_nodes_that_are_all_removed_nothing_survives) {
  begin();
  for (std::uint64_t node : {1u, 2u, 3u}) step(Sealer::Removed{NodeId{node}});
  EXPECT_TRUE(sealer_.survey(kSegment)->needs_operator);
  step(Sealer::AcceptLoss{kSegment, 0});
  ASSERT_EQ(actions_.commands.size(), 1u);
  EXPECT_EQ(actions_.commands[0].end, 0);
  EXPECT_TRUE(actions_.commands[0].lost);
}

TEST_F(SealerTest, says_nothing_of_what_it_does_not_seal) {
  EXPECT_FALSE(sealer_.survey(kSegment));
  step(Sealer::Seal{.segment = three_replicas()});
  EXPECT_FALSE(sealer_.survey(kSegment));  // nobody was asked yet
}

}  // namespace
}  // namespace walrus::replica
