#include "log/key_map.h"

#include <gtest/gtest.h>

#include <string>

namespace walrus::log {
namespace {

TEST(KeyMap, knows_the_last_offset_of_each_key) {
  KeyMap map(1 << 24);
  for (std::int64_t i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(map.has_room(1));
    map.put("key " + std::to_string(i % 7'000), i);
  }
  for (std::int64_t i = 13'000; i < 20'000; ++i) {
    EXPECT_EQ(map.last_offset("key " + std::to_string(i % 7'000)), i);
  }
  EXPECT_EQ(map.last_offset("another"), std::nullopt);
}

TEST(KeyMap, tells_the_empty_key_from_none) {
  KeyMap map(1 << 20);
  EXPECT_EQ(map.last_offset(""), std::nullopt);
  ASSERT_TRUE(map.has_room(1));
  map.put("", 0);
  EXPECT_EQ(map.last_offset(""), 0);
}

TEST(KeyMap, says_no_when_full) {
  KeyMap map(200'000);
  std::int64_t keys = 0;
  for (; map.has_room(1); ++keys) map.put(std::to_string(keys), keys);
  EXPECT_GT(keys, 2'000);
  EXPECT_LT(keys * 24, 200'000);
  EXPECT_EQ(map.last_offset("1"), 1);
}

TEST(KeyMap, has_room_for_nothing_without_memory) {
  KeyMap map(0);
  EXPECT_TRUE(map.has_room(0));
  EXPECT_FALSE(map.has_room(1));
}

}  // namespace
}  // namespace walrus::log
