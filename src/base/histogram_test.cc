#include "base/histogram.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>

namespace walrus {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

TEST(Histogram, empty_answers_zero) {
  Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.min(), 0);
  EXPECT_EQ(histogram.max(), 0);
  EXPECT_EQ(histogram.mean(), 0);
  EXPECT_EQ(histogram.percentile(99), 0);
}

TEST(Histogram, small_values_are_exact) {
  Histogram histogram;
  for (int i = 1; i <= 1000; ++i) histogram.record(i);
  EXPECT_EQ(histogram.percentile(0), 1);
  EXPECT_EQ(histogram.percentile(50), 500);
  EXPECT_EQ(histogram.percentile(99), 990);
  EXPECT_EQ(histogram.percentile(99.9), 999);
  EXPECT_EQ(histogram.percentile(100), 1000);
  EXPECT_EQ(histogram.min(), 1);
  EXPECT_EQ(histogram.max(), 1000);
  EXPECT_DOUBLE_EQ(histogram.mean(), 500.5);
}

TEST(Histogram, a_single_value_is_every_percentile) {
  for (std::int64_t value :
       {std::int64_t{0}, std::int64_t{2047}, std::int64_t{2048}, std::int64_t{123'456'789}, kMax}) {
    Histogram histogram;
    histogram.record(value);
    for (double percent : {-1.0, 0.0, 50.0, 100.0, 200.0}) {
      EXPECT_EQ(histogram.percentile(percent), value);
    }
  }
}

TEST(Histogram, negative_values_count_as_zero) {
  Histogram histogram;
  histogram.record(-5);
  EXPECT_EQ(histogram.count(), 1u);
  EXPECT_EQ(histogram.percentile(100), 0);
}

TEST(Histogram, records_a_value_many_times) {
  Histogram histogram;
  histogram.record(10, 99);
  histogram.record(1'000'000, 1);
  histogram.record(5, 0);
  EXPECT_EQ(histogram.count(), 100u);
  EXPECT_EQ(histogram.min(), 10);
  EXPECT_EQ(histogram.percentile(99), 10);
  EXPECT_EQ(histogram.percentile(99.1), 1'000'000);
}

TEST(Histogram, clear_empties_it) {
  Histogram histogram;
  histogram.record(7);
  histogram.clear();
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.max(), 0);
}

TEST(Histogram, buckets_come_in_order_and_sum_up) {
  Histogram histogram;
  for (std::int64_t value = 1; value < kMax / 3; value *= 3) histogram.record(value);
  std::int64_t last = 0;
  std::uint64_t count = 0;
  histogram.for_each([&](std::int64_t value, std::uint64_t times) {
    EXPECT_GT(value, last);
    last = value;
    count += times;
  });
  EXPECT_EQ(count, histogram.count());
}

RC_GTEST_PROP(HistogramProperty, percentiles_are_within_a_thousandth,
              (const std::vector<std::uint64_t>& seeds)) {
  RC_PRE(!seeds.empty());
  Histogram histogram;
  std::vector<std::int64_t> values;
  for (auto seed : seeds) {  // all magnitudes alike
    auto bits = static_cast<int>(seed % 63);
    values.push_back(static_cast<std::int64_t>((seed * 0x9e3779b97f4a7c15) >> (63 - bits) >> 1));
    histogram.record(values.back());
  }
  std::ranges::sort(values);
  for (std::size_t percent : {1u, 50u, 90u, 99u, 100u}) {
    auto exact = values[(percent * values.size() + 99) / 100 - 1];
    auto found = histogram.percentile(static_cast<double>(percent));
    RC_ASSERT(found >= exact);
    RC_ASSERT(found - exact <= exact / 1000);
  }
}

RC_GTEST_PROP(HistogramProperty, merging_equals_recording_in_one,
              (const std::vector<std::uint32_t>& a, const std::vector<std::uint32_t>& b)) {
  Histogram left, right, both;
  for (auto value : a) left.record(value), both.record(value);
  for (auto value : b) right.record(value), both.record(value);
  left.merge(right);
  RC_ASSERT(left.count() == both.count());
  RC_ASSERT(left.min() == both.min());
  RC_ASSERT(left.max() == both.max());
  RC_ASSERT(left.mean() == both.mean());
  for (double percent : {0.0, 25.0, 75.0, 99.9}) {
    RC_ASSERT(left.percentile(percent) == both.percentile(percent));
  }
}

}  // namespace
}  // namespace walrus
