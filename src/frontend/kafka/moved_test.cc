#include "frontend/kafka/moved.h"

#include <gtest/gtest.h>

namespace walrus::frontend::kafka {
namespace {

using namespace std::chrono_literals;

PartitionId partition(std::uint32_t index) { return {Uuid{{1}}, index}; }

// All that comes is handed on but one partition a time, and that one is told until its time is
// over.
TEST(MovedTest, of_many_partitions_one_is_told_at_a_time) {
  Moved moved;
  auto now = io::Nanos(5s);
  for (auto end = now + Moved::kEvery; now < end; now += 10ms)
    for (std::uint32_t p = 0; p < 3; ++p) EXPECT_FALSE(moved.tells(partition(p), now));
  EXPECT_TRUE(moved.tells(partition(2), now));
  for (auto end = now + Moved::kEvery; now < end; now += 10ms)
    for (std::uint32_t p = 0; p < 3; ++p) EXPECT_EQ(moved.tells(partition(p), now), p == 2);
  EXPECT_TRUE(moved.tells(partition(0), now));
  EXPECT_FALSE(moved.tells(partition(2), now));
  EXPECT_TRUE(moved.tells(partition(0), now));
}

// The other nodes are given time to know of a move again.
TEST(MovedTest, begins_anew_after_a_while) {
  Moved moved;
  auto now = io::Nanos(0);
  EXPECT_FALSE(moved.tells(partition(0), now));
  now += Moved::kEvery;
  EXPECT_TRUE(moved.tells(partition(0), now));
  now += Moved::kEvery + Moved::kOver;
  EXPECT_FALSE(moved.tells(partition(0), now));
  EXPECT_FALSE(moved.tells(partition(1), now + Moved::kEvery - 1ns));
  EXPECT_TRUE(moved.tells(partition(1), now + Moved::kEvery));
}

}  // namespace
}  // namespace walrus::frontend::kafka
