#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace walrus {
namespace {

using namespace std::string_literals;

TEST(Utf8, accepts_text) {
  for (const auto& text : {""s, "plain"s, "\0"s, "h\xc3\xa9"s, "\xe2\x82\xac"s, "\xed\x9f\xbf"s,
                           "\xee\x80\x80"s, "\xf0\x9f\xa6\xad"s, "\xf4\x8f\xbf\xbf"s}) {
    EXPECT_TRUE(is_utf8(text)) << text;
  }
}

TEST(Utf8, refuses_everything_else) {
  for (const auto& bytes : {"\x80"s, "\xc0\x80"s, "\xc1\xbf"s, "\xc3"s, "\xc3("s, "\xe0\x9f\xbf"s,
                            "\xe2\x82"s, "\xed\xa0\x80"s, "\xf0\x8f\xbf\xbf"s, "\xf4\x90\x80\x80"s,
                            "\xf5\x80\x80\x80"s, "\xff"s, "ok\xfe"s}) {
    EXPECT_FALSE(is_utf8(bytes)) << testing::PrintToString(bytes);
  }
}

TEST(Utf8, tells_a_characters_length) {
  EXPECT_EQ(utf8_character("a\xff"), 1u);
  EXPECT_EQ(utf8_character("\xc3\xa9z"), 2u);
  EXPECT_EQ(utf8_character("\xe2\x82\xacz"), 3u);
  EXPECT_EQ(utf8_character("\xf0\x9f\xa6\xadz"), 4u);
  EXPECT_EQ(utf8_character("\xff"), 0u);
  EXPECT_EQ(utf8_character(""), 0u);
}

}  // namespace
}  // namespace walrus
