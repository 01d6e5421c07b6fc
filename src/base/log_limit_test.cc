#include "base/log_limit.h"

#include <gtest/gtest.h>

namespace walrus {
namespace {

using namespace std::chrono_literals;

TEST(LogLimitTest, admits_so_many_in_a_span_and_counts_the_rest) {
  LogLimit limit(2, 1s);
  EXPECT_EQ(limit.admit(0ms), 0u);
  EXPECT_EQ(limit.admit(10ms), 0u);
  EXPECT_EQ(limit.admit(20ms), std::nullopt);
  EXPECT_EQ(limit.admit(999ms), std::nullopt);
  EXPECT_EQ(limit.admit(1000ms), 2u);
  EXPECT_EQ(limit.admit(1001ms), 0u);
  EXPECT_EQ(limit.admit(1002ms), std::nullopt);
  EXPECT_EQ(limit.admit(5s), 1u);
}

}  // namespace
}  // namespace walrus
