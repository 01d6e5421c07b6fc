#include "base/result.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"

namespace walrus {
namespace {

Result<std::unique_ptr<int>> positive(int value) {
  if (value <= 0) return fail(Code::kInvalid, "{} is not positive", value);
  return std::make_unique<int>(value);
}

Result<int> sum(int a, int b) {
  WALRUS_ASSIGN(auto left, positive(a));
  WALRUS_ASSIGN(auto right, positive(b));
  return *left + *right;
}

Result<void> both(int a, int b) {
  WALRUS_TRY(positive(a));
  WALRUS_TRY(positive(b));
  return {};
}

TEST(Result, fail_formats_its_message) {
  auto result = positive(-3);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kInvalid);
  EXPECT_EQ(result.error().message, "-3 is not positive");
}

TEST(Result, assign_gives_values_that_only_move) { EXPECT_EQ(*sum(1, 2), 3); }

TEST(Result, assign_returns_the_first_error) {
  EXPECT_EQ(sum(-1, -2).error().message, "-1 is not positive");
  EXPECT_EQ(sum(1, -2).error().message, "-2 is not positive");
}

TEST(Result, try_returns_the_error) {
  EXPECT_TRUE(both(1, 2));
  EXPECT_EQ(both(1, 0).error().message, "0 is not positive");
}

TEST(Result, code_names_are_snake_case_and_distinct) {
  std::vector<std::string> names;
  for (int code = 1; code <= static_cast<int>(Code::kFenced); ++code) {
    names.emplace_back(code_name(static_cast<Code>(code)));
    EXPECT_NE(names.back(), "unknown") << code;
  }
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
  EXPECT_STREQ(code_name(Code::kOutOfRange), "out_of_range");
}

TEST(CheckDeathTest, ends_the_process_and_names_the_condition) {
  CHECK(1 + 1 == 2);
  EXPECT_DEATH(CHECK(1 + 1 == 3), "broken invariant: 1 \\+ 1 == 3 at .*result_test.cc:");
}

}  // namespace
}  // namespace walrus
