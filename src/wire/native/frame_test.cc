#include "wire/native/frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

namespace walrus::wire::native {
namespace {

using Kind = FrameSplitter::Kind;

// Feeds `bytes` in pieces of `piece` and writes down what comes out.
std::vector<std::string> split(FrameSplitter& splitter, Bytes bytes, std::size_t piece) {
  std::vector<std::string> events;
  while (!bytes.empty()) {
    auto space = splitter.space();
    auto size = std::min({piece, bytes.size(), space.size()});
    std::memcpy(space.data(), bytes.data(), size);
    splitter.received(size);
    bytes.remove_prefix(size);
    while (auto event = splitter.next()) {
      if (event->kind == Kind::kFrame) events.emplace_back(event->body);
      if (event->kind == Kind::kBadLength) events.emplace_back("<bad length>");
      if (event->kind == Kind::kClose) events.emplace_back("<close>");
    }
  }
  return events;
}

TEST(FrameTest, header_is_little_endian_length) {
  std::string bytes;
  append_frame(bytes, "GET t");
  EXPECT_EQ(bytes, std::string("\x05\0\0\0GET t", 9));
}

TEST(FrameTest, splits_at_every_byte_border) {
  std::string bytes;
  append_frame(bytes, "REGISTER a");
  append_frame(bytes, std::string_view("PUT a \0\xff", 8));
  append_frame(bytes, "GET a");
  std::vector<std::string> expected{"REGISTER a", std::string("PUT a \0\xff", 8), "GET a"};
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    FrameSplitter splitter;
    EXPECT_EQ(split(splitter, bytes, piece), expected) << "pieces of " << piece;
    EXPECT_TRUE(splitter.at_border());
  }
}

TEST(FrameTest, zero_length_is_an_error_and_the_next_frame_is_valid) {
  std::string bytes(4, '\0');
  append_frame(bytes, "GET a");
  FrameSplitter splitter;
  EXPECT_EQ(split(splitter, bytes, 3), (std::vector<std::string>{"<bad length>", "GET a"}));
}

TEST(FrameTest, oversize_body_is_drained_and_the_next_frame_is_valid) {
  std::string bytes;
  append_frame(bytes, std::string(1001, 'x'));
  append_frame(bytes, "GET a");
  for (std::size_t piece : {1, 7, 1000, 5000}) {
    FrameSplitter splitter({.frame_bytes_max = 1000});
    EXPECT_EQ(split(splitter, bytes, piece), (std::vector<std::string>{"<bad length>", "GET a"}));
  }
}

TEST(FrameTest, oversize_is_answered_before_the_body_has_come) {
  FrameSplitter splitter({.frame_bytes_max = 1000});
  EXPECT_EQ(split(splitter, Bytes("\xe9\x03\0\0", 4), 4),
            (std::vector<std::string>{"<bad length>"}));
  EXPECT_FALSE(splitter.at_border());
}

TEST(FrameTest, frame_of_exactly_the_limit_passes) {
  std::string bytes;
  append_frame(bytes, std::string(1000, 'x'));
  FrameSplitter splitter({.frame_bytes_max = 1000});
  EXPECT_EQ(split(splitter, bytes, 600).size(), 1u);
}

TEST(FrameTest, above_the_drain_limit_the_connection_is_closed) {
  std::string bytes("\x01\0\0\x04", 4);  // 64 MiB + 1
  append_frame(bytes, "GET a");
  FrameSplitter splitter;
  EXPECT_EQ(split(splitter, bytes, 4), (std::vector<std::string>{"<close>"}));
}

TEST(FrameTest, length_field_alone_takes_no_memory) {
  FrameSplitter splitter;
  split(splitter, Bytes("\0\0\x10\0abc", 7), 7);  // 1 MiB, of which three bytes came
  EXPECT_LE(splitter.buffer_bytes(), 16u << 10);
}

TEST(FrameTest, large_buffer_is_given_back_when_idle) {
  std::string bytes;
  append_frame(bytes, std::string(kFrameBytesMax, 'x'));
  FrameSplitter splitter;
  split(splitter, bytes, 1 << 16);
  splitter.space();
  EXPECT_LE(splitter.buffer_bytes(), 64u << 10);
}

}  // namespace
}  // namespace walrus::wire::native
