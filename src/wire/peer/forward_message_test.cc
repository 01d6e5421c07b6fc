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

HandedAppends some_appends() {
  HandedAppends handed{.wait_ms = 300, .appends = {{2, "batch"}, {0, ""}}};
  handed.partition.topic.bytes.fill('t');
  handed.partition.index = 5;
  return handed;
}
constexpr auto kGoldenAppends =
    "\x01tttttttttttttttt\x05\xac\x02\x02"
    "\x02\x05"
    "batch"
    "\x00\x00"sv;
const std::vector<HandedReply> kReplies{{0, 300}, {9, 0}};
constexpr auto kGoldenReplies = "\x01\x02\x00\xac\x02\x09\x00"sv;

TEST(HandedAppendsTest, golden_bytes) {
  std::string bytes;
  append_handed(bytes, some_appends());
  EXPECT_EQ(bytes, kGoldenAppends);
  EXPECT_EQ(parse_handed(kGoldenAppends), some_appends());
  bytes.clear();
  append_handed_replies(bytes, kReplies);
  EXPECT_EQ(bytes, kGoldenReplies);
  EXPECT_EQ(parse_handed_replies(kGoldenReplies), kReplies);
}

TEST(HandedAppendsTest, every_cut_and_every_byte_too_many_is_refused) {
  for (std::size_t size = 0; size < kGoldenAppends.size(); ++size)
    EXPECT_EQ(parse_handed(kGoldenAppends.substr(0, size)).error().code, Code::kCorrupt) << size;
  for (std::size_t size = 0; size < kGoldenReplies.size(); ++size)
    EXPECT_EQ(parse_handed_replies(kGoldenReplies.substr(0, size)).error().code, Code::kCorrupt)
        << size;
  EXPECT_EQ(parse_handed(std::string(kGoldenAppends) + "x").error().code, Code::kCorrupt);
  EXPECT_EQ(parse_handed_replies(std::string(kGoldenReplies) + "x").error().code, Code::kCorrupt);
}

TEST(HandedAppendsTest, what_cannot_be_is_refused) {
  EXPECT_EQ(parse_handed("\x02"sv).error().code, Code::kVersion);
  EXPECT_EQ(parse_handed_replies("\x02"sv).error().code, Code::kVersion);
  auto handed = some_appends();
  handed.appends[0].acks = 3;
  std::string bytes;
  append_handed(bytes, handed);
  EXPECT_EQ(parse_handed(bytes).error().code, Code::kCorrupt);
  handed.appends.clear();
  bytes.clear();
  append_handed(bytes, handed);
  EXPECT_EQ(parse_handed(bytes).error().code, Code::kCorrupt);
  handed.appends.resize(kHandedAppendsMax + 1);
  bytes.clear();
  append_handed(bytes, handed);
  EXPECT_EQ(parse_handed(bytes).error().code, Code::kCorrupt);
  // A count that is larger than what follows takes no memory.
  EXPECT_EQ(parse_handed_replies("\x01\xe8\x07"sv).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace walrus::wire::peer
