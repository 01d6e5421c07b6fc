#include "wire/peer/forward_message.h"

#include <gtest/gtest.h>

namespace walrus::wire::peer {
namespace {

using namespace std::string_view_literals;

const ForwardOpen kOpen{.user = "alice", .client = "10.0.0.7:4711"};
constexpr auto kGolden =
    "\x01\x05"
    "alice\x0d"
    "10.0.0.7:4711"sv;

TEST(ForwardMessageTest, golden_bytes) {
  std::string bytes;
  append_forward_open(bytes, kOpen);
  EXPECT_EQ(bytes, kGolden);
  auto parsed = parse_forward_open(kGolden);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(*parsed, kOpen);
}

TEST(ForwardMessageTest, nobody_was_asked) {
  std::string bytes;
  append_forward_open(bytes, {});
  EXPECT_EQ(bytes, "\x01\x00\x00"sv);
  EXPECT_EQ(parse_forward_open(bytes), ForwardOpen{});
}

TEST(ForwardMessageTest, every_cut_and_every_byte_too_many_is_refused) {
  for (std::size_t size = 0; size < kGolden.size(); ++size)
    EXPECT_EQ(parse_forward_open(kGolden.substr(0, size)).error().code, Code::kCorrupt) << size;
  EXPECT_EQ(parse_forward_open(std::string(kGolden) + "x").error().code, Code::kCorrupt);
}

TEST(ForwardMessageTest, a_later_version_and_long_texts_are_refused) {
  EXPECT_EQ(parse_forward_open("\x02\x00\x00"sv).error().code, Code::kVersion);
  std::string bytes;
  append_forward_open(bytes, {.user = std::string(kForwardTextBytesMax, 'u')});
  EXPECT_TRUE(parse_forward_open(bytes).has_value());
  bytes.clear();
  append_forward_open(bytes, {.user = std::string(kForwardTextBytesMax + 1, 'u')});
  EXPECT_EQ(parse_forward_open(bytes).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace walrus::wire::peer
