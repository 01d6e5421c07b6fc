#include "broker/cursors.h"

#include <gtest/gtest.h>

namespace walrus::broker {
namespace {

TEST(CursorsTest, decodes_what_it_encodes_and_refuses_the_rest) {
  EXPECT_EQ(decode_position(encode_position(Offset{1LL << 40})).value(), Offset{1LL << 40});
  EXPECT_EQ(decode_position("short").error().code, Code::kCorrupt);
  EXPECT_EQ(decode_position(encode_position(Offset{-1})).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace walrus::broker
