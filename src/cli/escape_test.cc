#include "cli/escape.h"

#include <gtest/gtest.h>

namespace walrus::cli {
namespace {

TEST(Escape, decodes) {
  EXPECT_EQ(*unescape("a\\n\\r\\t\\\\\\x41\\xff"), "a\n\r\t\\A\xff");
  EXPECT_EQ(*unescape("\\0"), std::string(1, '\0'));
  EXPECT_EQ(*unescape(""), "");
}

TEST(Escape, refuses_what_it_does_not_know) {
  EXPECT_FALSE(unescape("\\"));
  EXPECT_FALSE(unescape("\\q"));
  EXPECT_FALSE(unescape("\\x4"));
  EXPECT_FALSE(unescape("\\xzz"));
}

}  // namespace
}  // namespace walrus::cli
