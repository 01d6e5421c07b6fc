#include "base/uuid.h"

#include <gtest/gtest.h>

namespace walrus {
namespace {

TEST(Uuid, is_ordered_by_unsigned_bytes) {
  Uuid low, high;
  low.bytes[0] = '\x7f';
  high.bytes[0] = '\x80';
  EXPECT_LT(low, high);
  EXPECT_LT(Uuid{}, low);
  EXPECT_TRUE(Uuid{}.is_zero());
  EXPECT_FALSE(high.is_zero());
}

TEST(Uuid, is_printed_as_32_digits) {
  Uuid uuid;
  uuid.bytes[0] = '\xa0';
  uuid.bytes[15] = '\x0f';
  EXPECT_EQ(to_string(uuid), "a000000000000000000000000000000f");
}

}  // namespace
}  // namespace walrus
