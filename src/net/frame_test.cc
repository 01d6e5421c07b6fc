#include "net/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/coding.h"
#include "base/golden_bytes.h"
#include "net/message.h"

namespace walrus::net {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using testing::HasSubstr;

constexpr ClusterId kCluster{0x0123456789abcdef, 0xfedcba9876543210};
constexpr std::size_t kMax = 1000;

struct Kept {
  FrameHeader header;
  std::string body;
  bool operator==(const Kept&) const = default;
};

struct Outcome {
  std::vector<Kept> frames;
  std::optional<Error> error;
};

// Feeds `bytes` in pieces and stops at the first error.
Outcome split(FrameSplitter& splitter, Bytes bytes, std::size_t piece) {
  Outcome outcome;
  while (!bytes.empty()) {
    auto space = splitter.space();
    const auto size = std::min({piece, bytes.size(), space.size()});
    std::copy_n(bytes.data(), size, space.data());
    splitter.received(size);
    bytes.remove_prefix(size);
    while (true) {
      auto frame = splitter.next();
      if (!frame) {
        outcome.error = frame.error();
        return outcome;
      }
      if (!*frame) break;
      outcome.frames.push_back({(*frame)->header, std::string((*frame)->body)});
    }
  }
  return outcome;
}

Outcome split(Bytes bytes, std::size_t piece = 1 << 20, std::size_t max = kMax) {
  FrameSplitter splitter(kCluster, max);
  return split(splitter, bytes, piece);
}

const Kept kSamples[] = {
    {{.type = FrameType::kCall, .method = {7}, .id = 1, .incarnation = {3}}, "\0\xff bytes"},
    {{.type = FrameType::kData, .flags = kEnd | kYours, .id = 9, .incarnation = {3}}, ""},
    {{.type = FrameType::kSend, .flags = kControl, .method = {65535}, .incarnation = {3}}, "x"},
};

std::string encoded() {
  std::string bytes;
  for (const auto& sample : kSamples) append_frame(bytes, sample.header, kCluster, sample.body);
  return bytes;
}

TEST(PeerFrameTest, comes_back_however_it_is_cut) {
  const auto bytes = encoded();
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    const auto outcome = split(bytes, piece);
    EXPECT_FALSE(outcome.error);
    ASSERT_EQ(outcome.frames.size(), std::size(kSamples)) << piece;
    EXPECT_TRUE(std::ranges::equal(outcome.frames, kSamples)) << piece;
  }
}

TEST(PeerFrameTest, every_changed_bit_is_noticed) {
  std::string bytes;
  append_frame(bytes, kSamples[0].header, kCluster, kSamples[0].body);
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    auto changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    const auto outcome = split(changed + std::string(kMax, '\0'));
    EXPECT_TRUE(outcome.error && outcome.frames.empty()) << "bit " << bit;
  }
}

TEST(PeerFrameTest, another_cluster_is_named) {
  std::string bytes;
  append_frame(bytes, kSamples[0].header, {1, 2}, "x");
  const auto outcome = split(bytes);
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, Code::kMismatch);
  EXPECT_THAT(outcome.error->message, HasSubstr("00000000000000010000000000000002"));
}

TEST(PeerFrameTest, another_version_is_named) {
  auto bytes = encoded();
  bytes[3] = 2;
  const auto outcome = split(bytes);
  EXPECT_EQ(outcome.error.value_or(Error{}).code, Code::kVersion);
}

TEST(PeerFrameTest, a_giant_length_is_refused_by_its_header_alone) {
  for (std::uint32_t length : {std::uint32_t{kMax + 1}, std::uint32_t{1} << 31, UINT32_MAX}) {
    auto bytes = encoded().substr(0, kFrameHeaderBytes);
    store_le(bytes.data() + 8, length);
    FrameSplitter splitter(kCluster, kMax);
    EXPECT_EQ(split(splitter, bytes, 7).error.value_or(Error{}).code, Code::kTooLarge);
    EXPECT_LE(splitter.buffer_bytes(), 16U << 10);
  }
}

TEST(PeerFrameTest, a_body_of_the_limit_passes_and_takes_memory_only_as_it_comes) {
  std::string bytes;
  const std::size_t large = 8 << 20;
  append_frame(bytes, kSamples[0].header, kCluster, std::string(large, 'x'));
  FrameSplitter splitter(kCluster, large);
  EXPECT_TRUE(split(splitter, Bytes(bytes).substr(0, 1000), 100).frames.empty());
  EXPECT_LE(splitter.buffer_bytes(), 64U << 10);
  EXPECT_EQ(split(splitter, Bytes(bytes).substr(1000), 1 << 20).frames.size(), 1U);
  (void)splitter.space();
  EXPECT_LE(splitter.buffer_bytes(), 512U << 10);
}

TEST(PeerFrameTest, other_protocols_are_refused_by_their_first_bytes) {
  for (Bytes stranger : {"GET / HTTP/1.1\r\n"sv, "\x16\x03\x01"sv, "\0\0\0\x20"sv, "W?"sv}) {
    EXPECT_EQ(split(stranger, 1).error.value_or(Error{}).code, Code::kCorrupt) << stranger;
  }
}

TEST(PeerFrameTest, flags_and_methods_of_other_types_are_refused) {
  const FrameHeader wrong[] = {{.type = FrameType::kPing, .flags = kEnd},
                               {.type = FrameType::kData, .flags = kControl},
                               {.type = FrameType::kCall, .flags = kYours},
                               {.type = FrameType::kReply, .method = {1}},
                               {.type = FrameType(0)},
                               {.type = FrameType(15)}};
  for (const auto& header : wrong) {
    std::string bytes;
    append_frame(bytes, header, kCluster, "");
    EXPECT_EQ(split(bytes).error.value_or(Error{}).code, Code::kCorrupt);
  }
}

// --- bodies ---

const PeerLimits kLimits{1 << 20, 4 << 20, 1 << 20, 512 << 10, 64};
const Hello kHello{{1}, {2}, 0x1111, 0x2222, kLimits};
const Welcome kWelcome{{2}, 0x1111, kLimits};
const Refusal kRefusal{RefusalReason::kOldIncarnation, "incarnation 3 of node 1"};

TEST(PeerMessageTest, bodies_come_back) {
  std::string hello, welcome, refusal, error, credit;
  append_hello(hello, kHello);
  append_welcome(welcome, kWelcome);
  append_refusal(refusal, kRefusal);
  append_error(error, {Code::kBusy, "later"});
  append_credit(credit, {WindowKind::kStream, 4096});
  EXPECT_EQ(parse_hello(hello), kHello);
  EXPECT_EQ(parse_welcome(welcome), kWelcome);
  EXPECT_EQ(parse_refusal(refusal), kRefusal);
  EXPECT_EQ(parse_error(error)->message, "later");
  EXPECT_EQ(parse_error(error)->code, Code::kBusy);
  EXPECT_EQ(parse_credit(credit)->bytes, 4096U);
  for (std::size_t size = 0; size < hello.size(); ++size)
    EXPECT_FALSE(parse_hello(hello.substr(0, size)));
  EXPECT_FALSE(parse_hello(hello + "x"));
  EXPECT_FALSE(parse_welcome(welcome + "x"));
  EXPECT_FALSE(parse_credit(credit + "x"));
}

TEST(PeerMessageTest, values_out_of_range_are_refused) {
  EXPECT_FALSE(parse_hello(std::string(52, '\0')));  // node 0
  EXPECT_FALSE(parse_refusal("\x00why"sv));
  EXPECT_FALSE(parse_refusal("\x0awhy"sv));
  EXPECT_FALSE(parse_error("\x00why"sv));
  EXPECT_FALSE(parse_error("\x11why"sv));
  EXPECT_FALSE(parse_credit("\x03\x01\0\0\0"sv));
  EXPECT_FALSE(parse_credit("\x00\0\0\0\0"sv));
  EXPECT_FALSE(parse_call("\0\0\0"sv));
}

TEST(PeerMessageTest, a_strangers_text_is_cut_and_printable) {
  std::string body = "\x01";
  body += "a\nb\x1b[31m" + std::string(5000, 'x');
  const auto refusal = parse_refusal(body);
  ASSERT_TRUE(refusal);
  EXPECT_THAT(refusal->text, testing::StartsWith("a?b?[31m"));
  EXPECT_EQ(refusal->text.size(), kTextBytesMax);
}

// --- golden ---

// One of each type, in the order of the golden file.
std::vector<Kept> one_of_each() {
  const auto header = [](FrameType type, std::uint64_t id = 0, std::uint8_t flags = 0,
                         std::uint16_t method = 0) {
    return FrameHeader{
        .type = type, .flags = flags, .method = {method}, .id = id, .incarnation = {3}};
  };
  const auto built = [](auto append, const auto& value) {
    std::string body;
    append(body, value);
    return body;
  };
  const auto prelude = "\xf4\x01\0\0"s;  // 500 ms
  const auto error = built(append_error, Error{Code::kNotFound, "no method 9"});
  return {
      {header(FrameType::kHello), built(append_hello, kHello)},
      {header(FrameType::kWelcome), built(append_welcome, kWelcome)},
      {header(FrameType::kRefuse), built(append_refusal, kRefusal)},
      {header(FrameType::kCall, 1, 0, 7), prelude + "hello"},
      {header(FrameType::kCall, 2, kControl, 7), prelude},
      {header(FrameType::kReply, 1, kYours), "world"},
      {header(FrameType::kError, 2, kYours | kControl), error},
      {header(FrameType::kCancel, 1), error},
      {header(FrameType::kSend, 0, kControl, 9), prelude + "beat"},
      {header(FrameType::kOpen, 3, 0, 8), prelude + "file"},
      {header(FrameType::kAccept, 3, kYours), ""},
      {header(FrameType::kData, 3), "some bytes"},
      {header(FrameType::kData, 3, kEnd | kYours), ""},
      {header(FrameType::kCredit, 3, kYours), built(append_credit, Credit{WindowKind::kStream, 9})},
      {header(FrameType::kCredit), built(append_credit, Credit{WindowKind::kBulk, 524288})},
      {header(FrameType::kPing, 5), ""},
      {header(FrameType::kPong, 5), ""},
  };
}

TEST(PeerGoldenTest, frames_encode_to_the_golden_bytes) {
  std::string bytes;
  for (const auto& [head, body] : one_of_each()) append_frame(bytes, head, kCluster, body);
  EXPECT_EQ(bytes, golden_bytes("peer/frames"));
}

TEST(PeerGoldenTest, golden_bytes_split_to_the_frames) {
  EXPECT_EQ(split(golden_bytes("peer/frames")).frames, one_of_each());
}

}  // namespace
}  // namespace walrus::net
