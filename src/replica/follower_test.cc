#include "replica/follower.h"

#include <gtest/gtest.h>

#include "replica/replica_fixture.h"

namespace walrus::replica {
namespace {

TEST(Follower, answers_a_batch_when_it_is_durable) {
  OneCopy copy;
  copy.replicate(1, 0, 2);
  EXPECT_EQ(copy.said<ReplicateReply>(), nullptr);
  copy.sync();
  ASSERT_NE(copy.said<ReplicateReply>(), nullptr);
  EXPECT_EQ(copy.said<ReplicateReply>()->durable, 2);
}

TEST(Follower, takes_batches_in_order_and_each_once) {
  OneCopy copy;
  copy.replicate(1, 0, 2);
  copy.replicate(1, 3, 1);
  ASSERT_NE(copy.said<ReplicateReply>(), nullptr);
  EXPECT_EQ(copy.said<ReplicateReply>()->answer, Answer::kGap);
  EXPECT_EQ(copy.said<ReplicateReply>()->accepted, 2);
  copy.replicate(1, 0, 3);
  EXPECT_EQ(copy.actions.write.batches.size(), 1u);
  EXPECT_EQ(copy.core->accepted(), 3);
}

TEST(Follower, a_batch_whose_crc_fails_is_not_taken) {
  OneCopy copy;
  auto bytes = batch_bytes();
  bytes.back() ^= 1;
  copy.receive({1}, Replicate{.run = {.from = 0, .batches = {{0, 1, Payload::copy_of(bytes)}}}});
  EXPECT_EQ(copy.core->accepted(), 0);
}

TEST(Follower, a_fence_is_answered_when_promise_and_batches_before_it_are_durable) {
  OneCopy copy;
  copy.replicate(1, 0, 2);
  copy.fence(2);
  EXPECT_EQ(copy.said<FenceReply>(), nullptr);
  copy.sync();
  ASSERT_NE(copy.said<FenceReply>(), nullptr);
  EXPECT_EQ(copy.said<FenceReply>()->durable, 2);
  EXPECT_EQ(copy.said<ReplicateReply>(), nullptr);  // nothing to the fenced epoch
}

TEST(Follower, refuses_the_fenced_epoch) {
  OneCopy copy;
  copy.fence(2);
  copy.replicate(1, 0, 1);
  ASSERT_NE(copy.said<ReplicateReply>(), nullptr);
  EXPECT_EQ(copy.said<ReplicateReply>()->answer, Answer::kFenced);
  EXPECT_EQ(copy.core->accepted(), 0);
}

TEST(Follower, a_read_for_recovery_fences) {
  OneCopy copy;
  copy.replicate(1, 0, 2);
  copy.sync();
  copy.receive({2}, Fence{.bytes_max = 100}, kRecoverer);
  copy.sync();
  copy.replicate(1, 2, 1);
  EXPECT_EQ(copy.said<ReplicateReply>()->answer, Answer::kFenced);
}

TEST(Follower, limbo_neither_acknowledges_nor_denies_and_takes_what_is_written_back) {
  OneCopy copy({}, Knowledge::kLimbo);
  copy.replicate(1, 0, 1);
  EXPECT_EQ(copy.said<ReplicateReply>()->answer, Answer::kLimbo);
  copy.fence(2);
  copy.sync();
  EXPECT_EQ(copy.said<FenceReply>()->knowledge, Knowledge::kLimbo);
  copy.replicate(2, 0, 1, true);
  copy.sync();
  EXPECT_EQ(copy.said<ReplicateReply>()->durable, 1);
}

TEST(Follower, what_was_damaged_here_stays_acknowledged) {
  OneCopy copy;
  copy.replicate(1, 0, 3);
  copy.sync();
  copy.receive({1}, Replicate{.watermark = 3, .round = 9, .run = {.from = 3}});
  ASSERT_EQ(copy.core->readable(), 3);
  copy.step(Follower::Damaged{1});
  EXPECT_EQ(copy.core->readable(), 1);
  EXPECT_EQ(copy.core->acknowledged(), 3);
}

TEST(Follower, a_sealed_copy_drops_what_lies_behind_the_end) {
  OneCopy copy;
  copy.replicate(1, 0, 3);
  copy.sync();
  copy.step(Follower::Sealed{2, {}});
  EXPECT_EQ(copy.actions.write.cut, 2);
  EXPECT_TRUE(copy.core->complete());
  copy.replicate(1, 2, 1);
  EXPECT_EQ(copy.said<ReplicateReply>()->answer, Answer::kFenced);
}

TEST(Follower, a_sealed_copy_that_is_behind_fetches_and_knows_all_in_the_end) {
  OneCopy copy({}, Knowledge::kLimbo);
  copy.now = 1'000'000'000;
  copy.step(Follower::Sealed{1, {kWriter, kSelf}});
  ASSERT_NE(copy.said<Fetch>(), nullptr);
  copy.receive(
      {0}, FetchReply{.run = {.from = 0, .producers = no_producers(), .batches = {batch_at(0)}}});
  copy.sync();
  EXPECT_TRUE(copy.core->complete());
  EXPECT_EQ(copy.core->state().knowledge, Knowledge::kWhole);
}

TEST(Follower, what_is_asked_for_is_told_as_synced_when_it_is_whatever_the_durability) {
  OneCopy copy({}, Knowledge::kWhole, Durability::kOs);
  copy.replicate(1, 0, 2);
  copy.sync();  // the promise of the epoch
  copy.replicate(1, 2, 1);
  copy.reach_the_file();
  EXPECT_EQ(copy.said<ReplicateReply>()->durable, 3);
  copy.receive({1}, Replicate{.sync = true, .run = {.from = 3}});
  EXPECT_TRUE(copy.actions.write.state);  // which is synced, and with it what came before
  EXPECT_EQ(copy.said<ReplicateReply>()->answer, Answer::kOk);  // to the message itself
  auto asked = copy.written;
  copy.replicate(1, 3, 1);
  copy.reach_the_file();
  EXPECT_EQ(copy.said<ReplicateReply>()->answer, Answer::kOk);
  copy.step(Follower::Persisted{asked});
  ASSERT_NE(copy.said<ReplicateReply>(), nullptr);
  EXPECT_EQ(copy.said<ReplicateReply>()->answer, Answer::kSynced);
  EXPECT_EQ(copy.said<ReplicateReply>()->durable, 3);
}

TEST(Follower, what_is_written_back_counts_when_it_is_synced_whatever_the_durability) {
  OneCopy copy({}, Knowledge::kWhole, Durability::kOs);
  copy.fence(2);
  copy.sync();
  copy.replicate(2, 0, 2, true);
  copy.reach_the_file();
  EXPECT_EQ(copy.core->durable(), 0);
  copy.sync();
  EXPECT_EQ(copy.said<ReplicateReply>()->durable, 2);
}

TEST(Follower, a_failed_sync_silences_the_copy) {
  OneCopy copy;
  copy.replicate(1, 0, 1);
  copy.step(Follower::PersistFailed{});
  copy.fence(2);
  EXPECT_TRUE(copy.actions.messages.empty());
  EXPECT_TRUE(copy.core->failed());
}

TEST(Follower, readers_see_what_is_acknowledged_and_durable_only) {
  OneCopy copy;
  copy.replicate(1, 0, 3);
  copy.sync();
  EXPECT_EQ(copy.core->readable(), 0);
  copy.receive({1}, Replicate{.watermark = 2});
  EXPECT_EQ(copy.core->readable(), 2);
  copy.receive({1}, Replicate{.watermark = 1});  // overtaken
  EXPECT_EQ(copy.core->readable(), 2);
}

TEST(Follower, a_quiet_message_is_believed_and_not_answered) {
  OneCopy copy;
  copy.replicate(1, 0, 3);
  copy.receive({1}, Replicate{.quiet = true, .watermark = 1, .round = 7});
  EXPECT_TRUE(copy.actions.messages.empty());
  copy.sync();
  EXPECT_EQ(copy.core->readable(), 1);
  ASSERT_NE(copy.said<ReplicateReply>(), nullptr);  // to the batches
  EXPECT_EQ(copy.said<ReplicateReply>()->round, 7u);
  copy.receive({1}, Replicate{.quiet = true, .watermark = 3, .round = 8});
  EXPECT_EQ(copy.core->readable(), 3);
  EXPECT_TRUE(copy.actions.messages.empty());
  copy.receive({1}, Replicate{.watermark = 3, .round = 9});
  ASSERT_NE(copy.said<ReplicateReply>(), nullptr);
  EXPECT_EQ(copy.said<ReplicateReply>()->round, 9u);
}

TEST(Follower, a_copy_found_after_a_crash_shows_what_was_acknowledged_and_no_more) {
  OneCopy copy(Copy{.end = 3, .watermark = 2});
  copy.now = 1'000'000'000;
  copy.step(Follower::Tick{});
  EXPECT_EQ(copy.core->readable(), 2);
  EXPECT_TRUE(copy.actions.messages.empty());  // of an open segment nothing is fetched
  copy.step(Follower::Sealed{4, {kWriter, kSelf}});
  EXPECT_EQ(copy.core->readable(), 3);
  ASSERT_NE(copy.said<Fetch>(), nullptr);
  EXPECT_EQ(copy.said<Fetch>()->from, 3);
}

TEST(Knowledge, what_a_start_may_have_lost_is_limbo_or_torn) {
  Losses losses{.directory_below = {5}, .unsynced_below = {10}, .torn_below = {15}};
  constexpr auto kFsync = Durability::kFsync, kOs = Durability::kOs;
  EXPECT_EQ(knowledge_of(losses, {4}, kFsync, false), Knowledge::kLimbo);
  EXPECT_EQ(knowledge_of(losses, {9}, kFsync, false), Knowledge::kTorn);
  EXPECT_EQ(knowledge_of(losses, {9}, kOs, false), Knowledge::kLimbo);
  EXPECT_EQ(knowledge_of(losses, {15}, kFsync, false), Knowledge::kWhole);
  EXPECT_EQ(knowledge_of(losses, {15}, kFsync, true), Knowledge::kLimbo);
}

}  // namespace
}  // namespace walrus::replica
