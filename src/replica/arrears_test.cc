#include "replica/arrears.h"

#include <gtest/gtest.h>

#include "replica/replica_fixture.h"

namespace walrus::replica {
namespace {

using std::chrono::seconds;

const PartitionId kOne{{}, 0}, kOther{{}, 1};
constexpr Instant kNow{1000};

Sequence at(std::int32_t first, std::int64_t producer = 7, std::int16_t epoch = 0) {
  return {producer, epoch, first};
}

// Of a batch that is not in order: whether what is missing in front of it may come yet.
bool may_come(Arrears& arrears, const PartitionId& id, const Sequence& sequence, Instant now) {
  if (arrears.gap_lasted(id, sequence, now)) return false;
  arrears.miss(id, sequence, now);
  return true;
}

TEST(Arrears, what_comes_behind_is_told_until_the_missing_one_comes) {
  Arrears arrears;
  EXPECT_FALSE(arrears.behind(kOne, at(9), kNow));
  arrears.owe(kOne, at(5), kNow);
  EXPECT_TRUE(arrears.behind(kOne, at(9), kNow));
  EXPECT_FALSE(arrears.behind(kOne, at(5), kNow));
  EXPECT_FALSE(arrears.behind(kOne, at(4), kNow));
  EXPECT_FALSE(arrears.behind(kOther, at(9), kNow));
  EXPECT_FALSE(arrears.behind(kOne, at(9, 8), kNow));
  arrears.come(kOne, at(9));
  EXPECT_TRUE(arrears.behind(kOne, at(9), kNow));
  arrears.come(kOne, at(5));
  EXPECT_FALSE(arrears.behind(kOne, at(9), kNow));
}

TEST(Arrears, the_first_of_several_counts) {
  Arrears arrears;
  arrears.owe(kOne, at(5), kNow);
  arrears.owe(kOne, at(9), kNow);
  EXPECT_TRUE(arrears.behind(kOne, at(6), kNow));
  arrears.owe(kOne, at(2), kNow);
  EXPECT_TRUE(arrears.behind(kOne, at(5), kNow));
  arrears.settle(kOne, at(1));  // the log has one in front of it
  EXPECT_TRUE(arrears.behind(kOne, at(5), kNow));
  arrears.settle(kOne, at(5));  // one behind it, so that it has that, too
  EXPECT_TRUE(arrears.empty());
}

TEST(Arrears, a_gap_is_believed_when_it_lasts) {
  Arrears arrears(seconds(3));
  EXPECT_TRUE(may_come(arrears, kOne, at(9), kNow));
  EXPECT_TRUE(may_come(arrears, kOne, at(9), kNow + seconds(2)));
  EXPECT_TRUE(arrears.behind(kOne, at(12), kNow + seconds(2)));
  EXPECT_FALSE(may_come(arrears, kOne, at(9), kNow + seconds(3)));
  EXPECT_FALSE(may_come(arrears, kOne, at(12), kNow + seconds(4)));
  EXPECT_TRUE(may_come(arrears, kOne, at(9, 8), kNow + seconds(4)));  // another producer's
  // It was filled: what is missing next is another gap.
  arrears.settle(kOne, at(9));
  EXPECT_TRUE(may_come(arrears, kOne, at(20), kNow + seconds(5)));
  Arrears impatient;
  EXPECT_FALSE(may_come(impatient, kOne, at(9), kNow));
}

TEST(Arrears, a_debt_of_long_ago_is_no_gap_that_has_lasted) {
  Arrears arrears(seconds(3), seconds(20));
  arrears.owe(kOne, at(5), kNow);
  EXPECT_TRUE(may_come(arrears, kOne, at(9), kNow + seconds(19)));
  EXPECT_TRUE(may_come(arrears, kOne, at(9), kNow + seconds(20)));
  EXPECT_FALSE(may_come(arrears, kOne, at(9), kNow + seconds(23)));
  EXPECT_TRUE(may_come(arrears, kOne, at(50), kNow + seconds(43)));  // nor is a gap of long ago
}

TEST(Arrears, what_comes_before_a_gap_does_not_fill_it) {
  Arrears arrears(seconds(3));
  EXPECT_TRUE(may_come(arrears, kOne, at(9), kNow));
  arrears.come(kOne, at(5));
  arrears.settle(kOne, at(5));
  EXPECT_TRUE(arrears.behind(kOne, at(9), kNow));
  EXPECT_FALSE(arrears.behind(kOne, at(5), kNow));
  arrears.owe(kOne, at(9), kNow);  // as it is sent away: the earlier one stays
  EXPECT_TRUE(arrears.behind(kOne, at(9), kNow));
}

TEST(Arrears, sequences_wrap) {
  Arrears arrears(seconds(3));
  arrears.owe(kOne, at(INT32_MAX - 2), kNow);
  EXPECT_TRUE(arrears.behind(kOne, at(1), kNow));
  EXPECT_FALSE(arrears.behind(kOne, at(INT32_MAX - 3), kNow));
  EXPECT_TRUE(may_come(arrears, kOther, at(0), kNow));
  EXPECT_TRUE(arrears.behind(kOther, at(0), kNow));
}

TEST(Arrears, a_new_epoch_owes_nothing) {
  Arrears arrears;
  arrears.owe(kOne, at(5), kNow);
  EXPECT_FALSE(arrears.behind(kOne, at(9, 7, 1), kNow));
  arrears.come(kOne, at(0, 7, 1));
  EXPECT_TRUE(arrears.empty());
}

TEST(Arrears, forgets_who_stays_away_and_above_its_limit_the_oldest) {
  Arrears arrears(seconds(3), seconds(60), 2);
  arrears.owe(kOne, at(5, 1), kNow);
  EXPECT_TRUE(arrears.behind(kOne, at(9, 1), kNow + seconds(59)));
  EXPECT_FALSE(arrears.behind(kOne, at(9, 1), kNow + seconds(60)));
  arrears.owe(kOne, at(5, 2), kNow + seconds(1));
  arrears.owe(kOne, at(5, 3), kNow + seconds(2));
  EXPECT_FALSE(arrears.behind(kOne, at(9, 1), kNow + seconds(2)));
  EXPECT_TRUE(arrears.behind(kOne, at(9, 2), kNow + seconds(2)));
  EXPECT_TRUE(arrears.behind(kOne, at(9, 3), kNow + seconds(2)));
}

TEST(Arrears, only_batches_of_idempotent_producers_have_an_order) {
  auto plain = batch_bytes();
  EXPECT_FALSE(sequence_of(record::BatchView(plain)));
  auto idempotent = batch_bytes(7, 3);
  EXPECT_EQ(sequence_of(record::BatchView(idempotent)), at(3));
}

}  // namespace
}  // namespace walrus::replica
