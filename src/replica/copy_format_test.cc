// The bytes that a node keeps of its copies: they stay as they are.

#include "replica/copy_format.h"

#include <gtest/gtest.h>

namespace walrus::replica {
namespace {

std::string hex(Bytes bytes) {
  std::string text;
  for (char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

TEST(CopyFormat, is_written_as_it_always_was) {
  EXPECT_EQ(copy_stream_name(SegmentId{0xabc}), "__segment/0000000000000abc");
  EXPECT_EQ(hex(encode_attributes({.start = 300, .durability = Durability::kOs})), "01ac0202");
  EXPECT_EQ(hex(encode_copy_state({.promised = {7}})), "01070000");
  EXPECT_EQ(hex(encode_copy_state(
                {.promised = {300}, .knowledge = Knowledge::kLimbo, .sealed_end = 129})),
            "01ac0202018101");
  EXPECT_EQ(hex(encode_watermark(300)), "01ac02");
  EXPECT_EQ(hex(encode_opening(Bytes("\0", 1))), "0100");
  EXPECT_EQ(hex(encode_node_record(
                {.boot_id = "ab", .losses = {SegmentId{1}, SegmentId{2}, SegmentId{300}}})),
            "010261620102ac02");
}

TEST(CopyFormat, comes_back_as_it_was) {
  EXPECT_EQ(parse_copy_stream_name("__segment/0000000000000abc"), SegmentId{0xabc});
  CopyAttributes attributes{.start = INT64_MAX, .durability = Durability::kInterval};
  EXPECT_EQ(parse_attributes(encode_attributes(attributes)).value(), attributes);
  for (auto sealed : {std::optional<std::int64_t>(), std::optional<std::int64_t>(0),
                      std::optional<std::int64_t>(INT64_MAX)}) {
    CopyState state{.promised = {UINT32_MAX}, .knowledge = Knowledge::kTorn, .sealed_end = sealed};
    EXPECT_EQ(parse_copy_state(encode_copy_state(state)).value(), state);
  }
  EXPECT_EQ(parse_watermark(encode_watermark(7)).value(), 7);
  auto opening = encode_opening("table");
  EXPECT_EQ(parse_opening(opening).value(), "table");
  auto record = parse_node_record(encode_node_record({.boot_id = "x", .losses = {{}, {}, {9}}}));
  EXPECT_EQ(record->boot_id, "x");
  EXPECT_EQ(record->losses.torn_below, SegmentId{9});
}

TEST(CopyFormat, refuses_what_is_none) {
  for (Bytes name : {"__segment/", "__segment/0abc", "__segment/0000000000000ABC", "orders",
                     "__segment/0000000000000abc0"})
    EXPECT_FALSE(parse_copy_stream_name(name)) << name;
  auto state = encode_copy_state({.promised = {7}, .sealed_end = 300});
  for (std::size_t size = 0; size < state.size(); ++size)
    EXPECT_FALSE(parse_copy_state(Bytes(state).substr(0, size))) << size;
  EXPECT_FALSE(parse_copy_state(state + "x"));
  EXPECT_FALSE(parse_attributes(Bytes("\x01\x00\x03", 3)));  // no such durability
  EXPECT_FALSE(parse_copy_state(Bytes("\x01\x00\x03\x00", 4)));
  EXPECT_FALSE(parse_copy_state(Bytes("\x01\x00\x00\x02", 4)));
  EXPECT_FALSE(parse_watermark(""));
  EXPECT_FALSE(parse_node_record(Bytes("\x01\x09x", 3)));
  EXPECT_EQ(parse_watermark(Bytes("\x02\x00", 2)).error().code, Code::kVersion);
}

}  // namespace
}  // namespace walrus::replica
