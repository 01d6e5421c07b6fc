#include "replica/leader.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "replica/replica_fixture.h"

namespace walrus::replica {
namespace {

class LeaderTest : public testing::Test {
 protected:
  void SetUp() override {
    lease_.granted(Instant(0));
    leader_ =
        Leader::open({.self = kWriter, .incarnation = 5}, three_replicas(), {}, lease_).value();
  }
  void step(Leader::Event event) {
    Leader::Event events[] = {std::move(event)};
    leader_->step(now_, events, actions_);
  }
  void append(Ticket ticket, std::int64_t producer = -1, std::int32_t sequence = -1) {
    step(Leader::Append{.ticket = ticket, .batch = batch_bytes(producer, sequence)});
  }
  void reply(std::uint64_t node, std::int64_t durable, Answer answer = Answer::kOk,
             std::uint64_t round = 0) {
    step(Leader::Receive{
        {NodeId{node}, kWriter, kSegment, Epoch{1},
         ReplicateReply{
             .answer = answer, .round = round, .durable = durable, .accepted = durable}}});
  }

  Lease lease_{std::chrono::seconds(3), 10'000};
  std::unique_ptr<Leader> leader_;
  Leader::Actions actions_;
  Instant now_{1000};
};

TEST_F(LeaderTest, acknowledges_on_a_quorum_that_need_not_hold_its_own_copy) {
  append(1);
  EXPECT_EQ(actions_.messages.size(), 3u);  // its own node, too
  reply(2, 1);
  EXPECT_TRUE(actions_.appended.empty());
  reply(3, 1);
  ASSERT_EQ(actions_.appended.size(), 1u);
  EXPECT_EQ(actions_.appended[0].offset, 0);
  EXPECT_EQ(leader_->watermark(), 1);
}

// R39: what ends a transaction is acknowledged like what is in it.
TEST_F(LeaderTest, acknowledges_control_batches_on_a_quorum_in_their_order) {
  append(1);
  auto control = batch_bytes();
  control[22] = static_cast<char>(control[22] | 32);
  store_be(control.data() + 17, crc32c(Bytes(control).substr(record::kBatchHeadBytes)));
  step(Leader::Append{.ticket = 2, .batch = control});
  reply(1, 2);
  EXPECT_TRUE(actions_.appended.empty());
  reply(2, 1);
  ASSERT_EQ(actions_.appended.size(), 1u);
  EXPECT_EQ(actions_.appended[0].ticket, 1u);
  reply(3, 2);
  ASSERT_EQ(actions_.appended.size(), 1u);
  EXPECT_EQ(actions_.appended[0].offset, 1);
}

TEST_F(LeaderTest, looks_at_the_lease_when_it_acknowledges) {
  append(1);
  reply(2, 1);
  now_ = std::chrono::seconds(3);
  reply(3, 1);
  EXPECT_TRUE(actions_.appended.empty());
  append(2);
  EXPECT_EQ(actions_.appended.at(0).refusal, Refusal::kNoLease);
  lease_.granted(now_);
  step(Leader::Tick{});
  EXPECT_EQ(actions_.appended.size(), 1u);
}

TEST_F(LeaderTest, is_not_opened_for_another_life_of_the_node) {
  EXPECT_FALSE(Leader::open({.self = kWriter, .incarnation = 6}, three_replicas(), {}, lease_));
}

TEST_F(LeaderTest, a_fenced_writer_answers_unknown) {
  append(1);
  reply(2, 0, Answer::kFenced);
  EXPECT_EQ(actions_.appended.at(0).refusal, Refusal::kUnknown);
  EXPECT_EQ(leader_->role(), Leader::Role::kDeposed);
  append(2);
  EXPECT_EQ(actions_.appended.at(0).refusal, Refusal::kNotLeader);
}

// A smaller one would find room: but what waits is given again, and would come behind it then.
TEST_F(LeaderTest, what_comes_behind_an_append_that_waits_does_not_go_before_it) {
  Leader::Options options{.self = kWriter, .incarnation = 5};
  options.window_bytes_max = 300;
  leader_ = Leader::open(options, three_replicas(), {}, lease_).value();
  Record large[] = {{.value = "0123456789012345678901234567890123456789"}};
  auto sequenced = [](std::int32_t first) {
    return record::BatchFields{.producer_id = 7, .producer_epoch = 0, .base_sequence = first};
  };
  std::vector<Leader::Event> events;
  events.emplace_back(Leader::Append{.ticket = 1, .batch = record::encode(large, sequenced(0))});
  events.emplace_back(Leader::Append{.ticket = 2, .batch = record::encode(large, sequenced(1))});
  events.emplace_back(Leader::Append{.ticket = 3, .batch = record::encode(large, sequenced(2))});
  events.emplace_back(Leader::Append{.ticket = 4, .batch = batch_bytes(7, 3)});
  leader_->step(now_, events, actions_);
  ASSERT_EQ(leader_->log_end(), 2);
  ASSERT_EQ(actions_.appended.size(), 2u);
  for (std::size_t i : {0u, 1u}) {
    EXPECT_EQ(actions_.appended[i].ticket, 3 + i);
    EXPECT_EQ(actions_.appended[i].refusal, Refusal::kBusy);
  }
}

TEST_F(LeaderTest, a_producer_that_is_unknown_begins_with_its_first_batch) {
  step(Leader::Append{.ticket = 1, .batch = batch_bytes(7, 5)});
  EXPECT_EQ(actions_.appended.at(0).refusal, Refusal::kOutOfOrder);
  append(2, 7, 0);
  for (std::int32_t sequence : {1, 2}) append(3, 7, sequence);
  EXPECT_TRUE(actions_.appended.empty());
  EXPECT_EQ(leader_->log_end(), 3);
}

TEST_F(LeaderTest, a_producer_that_is_unknown_begins_anywhere_when_nothing_comes_before) {
  step(Leader::Append{.ticket = 1, .batch = batch_bytes(7, 5), .any_sequence = true});
  EXPECT_TRUE(actions_.appended.empty());
  append(2, 7, 6);
  EXPECT_TRUE(actions_.appended.empty());
  step(Leader::Append{.ticket = 3, .batch = batch_bytes(7, 9), .any_sequence = true});
  EXPECT_EQ(actions_.appended.at(0).refusal, Refusal::kOutOfOrder);  // it is known now
  EXPECT_EQ(leader_->log_end(), 2);
}

TEST_F(LeaderTest, closes_at_what_is_acknowledged_and_acknowledges_nothing_more) {
  append(1);
  reply(2, 1);
  reply(3, 1);
  append(2);
  step(Leader::Close{});
  EXPECT_FALSE(actions_.close_at);
  now_ += std::chrono::seconds(1);
  step(Leader::Tick{});
  EXPECT_EQ(actions_.close_at, 1);
  EXPECT_EQ(actions_.appended.at(0).refusal, Refusal::kUnknown);
  reply(2, 2);
  reply(3, 2);
  EXPECT_EQ(leader_->watermark(), 1);
}

TEST_F(LeaderTest, closes_an_os_segment_at_what_a_quorum_of_disks_holds) {
  auto segment = three_replicas();
  segment.durability = Durability::kOs;
  leader_ = Leader::open({.self = kWriter, .incarnation = 5}, segment, {}, lease_).value();
  append(1);
  reply(2, 1);
  reply(3, 1);
  step(Leader::Close{});
  ASSERT_FALSE(actions_.messages.empty());
  EXPECT_TRUE(std::get<Replicate>(actions_.messages[0].body).sync);
  append(2);  // it is still the writer
  EXPECT_EQ(leader_->role(), Leader::Role::kWriter);
  reply(2, 1, Answer::kSynced);
  now_ += std::chrono::seconds(1);
  step(Leader::Tick{});
  EXPECT_EQ(leader_->role(), Leader::Role::kWriter);
  reply(3, 1, Answer::kSynced);
  EXPECT_EQ(leader_->role(), Leader::Role::kDraining);
  reply(1, 2);
  reply(2, 2);
  EXPECT_EQ(leader_->watermark(), 2);
  EXPECT_FALSE(actions_.close_at);  // the second batch is on no disk yet
  reply(1, 2, Answer::kSynced);
  EXPECT_FALSE(actions_.close_at);
  reply(2, 2, Answer::kSynced);
  EXPECT_EQ(actions_.close_at, 2);
}

TEST_F(LeaderTest, asks_for_a_roll_at_once_when_a_copy_is_lost) {
  append(1);
  reply(2, 1);
  EXPECT_EQ(actions_.roll, Leader::Roll::kNo);
  reply(3, 0, Answer::kLimbo);
  EXPECT_EQ(actions_.roll, Leader::Roll::kReplicaLost);
}

TEST_F(LeaderTest, does_not_close_on_lost_copies_but_asks_for_recovery) {
  append(1);
  reply(2, 1);
  reply(3, 1);
  EXPECT_EQ(leader_->watermark(), 1);
  reply(2, 0, Answer::kLimbo);
  EXPECT_EQ(actions_.roll, Leader::Roll::kReplicaLost);
  reply(3, 0, Answer::kLimbo);
  EXPECT_EQ(actions_.roll, Leader::Roll::kQuorumLost);
  step(Leader::Close{});
  now_ += std::chrono::seconds(1);
  step(Leader::Tick{});
  EXPECT_FALSE(actions_.close_at);
  EXPECT_EQ(actions_.roll, Leader::Roll::kQuorumLost);
}

TEST_F(LeaderTest, asks_for_a_roll_when_a_copy_stays_away_and_not_when_it_comes_back) {
  append(1);
  reply(1, 1);
  reply(2, 1);
  now_ += std::chrono::seconds(9);
  step(Leader::Tick{});
  EXPECT_EQ(actions_.roll, Leader::Roll::kNo);
  now_ += std::chrono::seconds(1);
  step(Leader::Tick{});
  EXPECT_EQ(actions_.roll, Leader::Roll::kReplicaAway);
  reply(3, 1);
  EXPECT_EQ(actions_.roll, Leader::Roll::kNo);
}

// It answers, and is told of all the same: the quorum goes on without it.
TEST_F(LeaderTest, a_copy_that_lacks_for_long_what_was_acknowledged_is_slow) {
  append(1);
  reply(1, 1);
  EXPECT_TRUE(leader_->slow(now_ + std::chrono::hours(1)).empty());  // nothing is acknowledged
  reply(2, 1);
  append(2);
  reply(3, 0);
  EXPECT_TRUE(leader_->slow(now_ + std::chrono::seconds(29)).empty());
  EXPECT_EQ(leader_->slow(now_ + std::chrono::seconds(30)), std::vector{NodeId{3}});
  reply(3, 1);  // it has what was acknowledged then
  EXPECT_TRUE(leader_->slow(now_ + std::chrono::hours(1)).empty());
  reply(1, 2);
  reply(2, 2);
  EXPECT_EQ(leader_->slow(now_ + std::chrono::seconds(30)), std::vector{NodeId{3}});
  reply(3, 0, Answer::kLimbo);  // lost, which is another matter
  EXPECT_TRUE(leader_->slow(now_ + std::chrono::hours(1)).empty());
}

// It stands still by what it has, not by whether it answers.
TEST_F(LeaderTest, a_copy_that_answers_and_comes_no_further_lags) {
  append(1);
  reply(1, 1);
  reply(2, 1);
  EXPECT_FALSE(leader_->lags(now_, std::chrono::seconds(1)));
  now_ += std::chrono::seconds(1);
  reply(3, 0);
  EXPECT_TRUE(leader_->lags(now_, std::chrono::seconds(1)));
  reply(3, 1);
  EXPECT_FALSE(leader_->lags(now_ + std::chrono::hours(1), std::chrono::seconds(1)));
}

TEST_F(LeaderTest, a_copy_that_much_has_passed_by_is_slow_sooner) {
  leader_ = Leader::open({.self = kWriter, .incarnation = 5, .slow_bytes = 1}, three_replicas(), {},
                         lease_)
                .value();
  append(1);
  reply(1, 1);
  reply(2, 1);
  EXPECT_TRUE(leader_->slow(now_ + std::chrono::seconds(10)).empty());  // nothing came since
  append(2);
  EXPECT_TRUE(leader_->slow(now_ + std::chrono::seconds(9)).empty());
  EXPECT_EQ(leader_->slow(now_ + std::chrono::seconds(10)), std::vector{NodeId{3}});
}

TEST_F(LeaderTest, tells_the_watermark_within_5_ms_without_a_further_append) {
  append(1);
  reply(2, 1);
  reply(3, 1);
  EXPECT_LE(actions_.wake_at - now_, std::chrono::milliseconds(5));
  now_ = actions_.wake_at;
  step(Leader::Tick{});
  ASSERT_EQ(actions_.messages.size(), 3u);
  EXPECT_EQ(std::get<Replicate>(actions_.messages[0].body).watermark, 1);
  EXPECT_TRUE(std::get<Replicate>(actions_.messages[0].body).quiet);
}

// Nobody answers a quiet message: that the watermark is known follows from a later answer, which
// is asked for when none comes by itself.
TEST_F(LeaderTest, asks_once_whether_the_watermark_came) {
  append(1);
  reply(1, 1);
  reply(2, 1);
  reply(3, 1);
  now_ = actions_.wake_at;
  step(Leader::Tick{});
  ASSERT_EQ(actions_.messages.size(), 3u);
  now_ = actions_.wake_at;
  step(Leader::Tick{});
  ASSERT_EQ(actions_.messages.size(), 3u);
  std::vector<std::pair<NodeId, std::uint64_t>> asked;
  for (const auto& message : actions_.messages) {
    const auto& body = std::get<Replicate>(message.body);
    EXPECT_FALSE(body.quiet);
    EXPECT_EQ(body.watermark, 1);
    asked.emplace_back(message.to, body.round);
  }
  for (auto [from, round] : asked) reply(from.value, 1, Answer::kOk, round);
  now_ += std::chrono::seconds(2);
  step(Leader::Tick{});
  EXPECT_TRUE(actions_.messages.empty());
}

TEST_F(LeaderTest, an_answer_to_later_batches_says_that_the_watermark_came) {
  append(1);
  reply(2, 1);
  reply(3, 1);
  now_ = actions_.wake_at;
  step(Leader::Tick{});
  append(2);
  for (const auto& message : std::vector(actions_.messages)) {
    const auto& body = std::get<Replicate>(message.body);
    EXPECT_FALSE(body.quiet);
    EXPECT_EQ(body.watermark, 1);
  }
}

TEST_F(LeaderTest, a_batch_sent_again_waits_for_the_first_one) {
  append(1, 9, 0);
  append(2, 9, 0);
  EXPECT_TRUE(actions_.appended.empty());
  reply(2, 1);
  reply(3, 1);
  EXPECT_EQ(actions_.appended.size(), 2u);
  EXPECT_EQ(leader_->log_end(), 1);
}

TEST_F(LeaderTest, confirms_when_a_quorum_answered_a_later_round) {
  step(Leader::Confirm{1});
  ASSERT_EQ(actions_.messages.size(), 3u);
  auto round = std::get<Replicate>(actions_.messages[0].body).round;
  reply(2, 0, Answer::kOk, round - 1);
  reply(3, 0, Answer::kOk, round + 2);
  EXPECT_TRUE(actions_.confirmed.empty());
  reply(2, 0, Answer::kOk, round + 1);
  EXPECT_EQ(actions_.confirmed.size(), 1u);
}

TEST_F(LeaderTest, sends_again_what_was_lost_although_other_messages_are_answered) {
  append(1);
  bool again = false;
  for (int i = 0; i < 20; ++i) {
    now_ += std::chrono::milliseconds(100);
    step(Leader::Confirm{static_cast<Ticket>(i)});
    for (const auto& message : actions_.messages)
      again |= !std::get<Replicate>(message.body).run.batches.empty();
    reply(2, 0);
  }
  EXPECT_TRUE(again);
}

TEST_F(LeaderTest, waits_for_the_producers_of_the_segment_before) {
  auto segment = three_replicas();
  leader_ = Leader::open({.self = kWriter, .incarnation = 5}, segment,
                         Leader::Previous{{6}, {NodeId{2}}}, lease_)
                .value();
  now_ = std::chrono::seconds(1);
  append(1);
  EXPECT_EQ(actions_.appended.at(0).refusal, Refusal::kNotReady);
  ASSERT_EQ(actions_.messages.size(), 1u);
  EXPECT_EQ(actions_.messages[0].segment, SegmentId{6});
  step(Leader::Receive{{NodeId{2}, kWriter, SegmentId{6}, Epoch{1},
                        FetchReply{.run = {.from = 0, .producers = no_producers()}}}});
  append(2);
  EXPECT_TRUE(actions_.appended.empty());
}

// Retention may drop the segment before while its producers are being fetched.
TEST_F(LeaderTest, waits_for_no_producers_of_records_that_were_all_deleted) {
  leader_ = Leader::open({.self = kWriter, .incarnation = 5}, three_replicas(),
                         Leader::Previous{{6}, {NodeId{2}}}, lease_)
                .value();
  append(1);
  EXPECT_EQ(actions_.appended.at(0).refusal, Refusal::kNotReady);
  step(Leader::Before{});
  append(2, 7, 0);
  EXPECT_TRUE(actions_.appended.empty());
  reply(2, 1);
  reply(3, 1);
  ASSERT_EQ(actions_.appended.size(), 1u);
  EXPECT_EQ(actions_.appended[0].refusal, Refusal::kNone);
}

TEST_F(LeaderTest, asks_its_own_copy_first_for_the_producers) {
  leader_ = Leader::open({.self = kWriter, .incarnation = 5}, three_replicas(),
                         Leader::Previous{{6}, {NodeId{2}, kWriter, NodeId{3}}}, lease_)
                .value();
  now_ = std::chrono::seconds(1);
  step(Leader::Tick{});
  ASSERT_EQ(actions_.messages.size(), 1u);
  EXPECT_EQ(actions_.messages[0].to, kWriter);
  now_ = actions_.wake_at;
  step(Leader::Tick{});
  ASSERT_EQ(actions_.messages.size(), 1u);
  EXPECT_EQ(actions_.messages[0].to, NodeId{3});
}

TEST(Quorums, follow_from_replicas_and_min_copies) {
  EXPECT_EQ(ack_quorum(3, 2), 2u);
  EXPECT_EQ(ack_quorum(3, 3), 3u);
  EXPECT_EQ(ack_quorum(2, 1), 2u);
  EXPECT_EQ(ack_quorum(1, 1), 1u);
  EXPECT_EQ(replicas_to_open(3, 2, 5).value(), 3u);
  EXPECT_EQ(replicas_to_open(3, 2, 2).value(), 2u);
  EXPECT_FALSE(replicas_to_open(3, 2, 1));
  EXPECT_FALSE(replicas_to_open(2, 2, 1));  // RF 2: no writes with one node down
  EXPECT_EQ(replicas_to_open(2, 1, 1).value(), 1u);
  EXPECT_EQ(three_replicas().cover(), 2u);
}

}  // namespace
}  // namespace walrus::replica
