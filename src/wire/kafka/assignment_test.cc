#include "wire/kafka/assignment.h"

#include <gtest/gtest.h>

namespace walrus::wire::kafka {
namespace {

using namespace std::string_view_literals;

// As Java's client 4.4 and librdkafka 2.15 write it: version, topics with their partitions, and
// the assignor's own bytes, which may be null.
constexpr Bytes kTwoTopics =
    "\0\0"
    "\0\0\0\2"
    "\0\1a"
    "\0\0\0\2\0\0\0\0\0\0\0\3"
    "\0\2bc"
    "\0\0\0\1\0\0\0\1"
    "\xff\xff\xff\xff"sv;

TEST(AssignmentTest, topics_and_partitions_are_read) {
  auto assignment = decode_assignment(kTwoTopics);
  ASSERT_TRUE(assignment.has_value());
  ASSERT_EQ(assignment->topics.size(), 2u);
  EXPECT_EQ(assignment->topics[0].name, "a");
  EXPECT_EQ(assignment->topics[0].partitions, (std::vector<std::int32_t>{0, 3}));
  EXPECT_EQ(assignment->topics[1].name, "bc");
  EXPECT_EQ(assignment->topics[1].partitions, (std::vector<std::int32_t>{1}));
}

TEST(AssignmentTest, bytes_that_are_cut_or_lie_are_refused) {
  constexpr std::size_t kUserDataBytes = 4;
  for (std::size_t size = 0; size + kUserDataBytes < kTwoTopics.size(); ++size)
    EXPECT_FALSE(decode_assignment(kTwoTopics.substr(0, size)).has_value()) << size;
  EXPECT_FALSE(decode_assignment("\0\0\x7f\xff\xff\xff\0\1a\0\0\0\0"sv).has_value());
  EXPECT_FALSE(decode_assignment("\xff\xff\0\0\0\0"sv).has_value());
}

}  // namespace
}  // namespace walrus::wire::kafka
