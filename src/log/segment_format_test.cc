#include "log/segment_format.h"

#include <gtest/gtest.h>

namespace walrus::log {
namespace {

const SegmentHeader kHeader{.directory_uuid = "0123456789abcdef",
                            .stream = 17,
                            .base_offset = 1000,
                            .number = 4,
                            .shard = 3};

std::string flip(std::string bytes, std::size_t bit) {
  bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  return bytes;
}

TEST(SegmentHeader, decodes_what_it_encoded) {
  auto header = decode_segment_header(encode_segment_header(kHeader)).value();
  EXPECT_FALSE(header.pack);
  EXPECT_EQ(header.directory_uuid, kHeader.directory_uuid);
  EXPECT_EQ(header.stream, 17U);
  EXPECT_EQ(header.base_offset, 1000);
  EXPECT_EQ(header.number, 4U);
  EXPECT_EQ(header.shard, 3U);
}

TEST(SegmentHeader, notices_every_flipped_bit) {
  auto bytes = encode_segment_header(kHeader);
  ASSERT_EQ(bytes.size(), 64U);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto header = decode_segment_header(flip(bytes, bit));
    ASSERT_FALSE(header.has_value()) << bit;
    EXPECT_EQ(header.error().code, Code::kCorrupt) << bit;
  }
}

TEST(SegmentHeader, is_not_shorter) {
  auto bytes = encode_segment_header(kHeader);
  bytes.pop_back();
  EXPECT_EQ(decode_segment_header(bytes).error().code, Code::kCorrupt);
}

class FooterTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kDataEnd = 10'000;
  FooterTest() {
    footer_ = {.index_position = kDataEnd,
               .end_offset = 300,
               .records = 250,
               .min_timestamp_ms = 5,
               .max_timestamp_ms = 99};
    for (int i = 0; i < 5; ++i) {
      entries_.push_back({.offset = 10 * i,
                          .position = 64 + 512 * i,
                          .max_timestamp_before = i == 0 ? kNoTimestamp : i});
    }
    bytes_ = encode_footer(footer_, entries_);
  }
  static Result<std::vector<IndexEntry>> decode(Bytes bytes) {
    auto block = bytes.substr(bytes.size() - kFooterBytes);
    WALRUS_ASSIGN(auto footer,
                  decode_footer(block, kDataEnd + static_cast<std::int64_t>(bytes.size())));
    return decode_index(footer, bytes.substr(0, bytes.size() - kFooterBytes), block);
  }
  Footer footer_;
  std::vector<IndexEntry> entries_;
  std::string bytes_;
};

TEST_F(FooterTest, decodes_what_it_encoded) {
  EXPECT_EQ(decode(bytes_).value(), entries_);
  auto footer = decode_footer(Bytes(bytes_).substr(bytes_.size() - 64),
                              kDataEnd + static_cast<std::int64_t>(bytes_.size()))
                    .value();
  EXPECT_EQ(footer.entries, 5);
  EXPECT_EQ(footer.end_offset, 300);
  EXPECT_EQ(footer.records, 250);
  EXPECT_EQ(footer.min_timestamp_ms, 5);
  EXPECT_EQ(footer.max_timestamp_ms, 99);
}

TEST_F(FooterTest, notices_every_flipped_bit) {
  for (std::size_t bit = 0; bit < bytes_.size() * 8; ++bit) {
    auto entries = decode(flip(bytes_, bit));
    ASSERT_FALSE(entries.has_value()) << bit;
    EXPECT_EQ(entries.error().code, Code::kCorrupt) << bit;
  }
}

TEST_F(FooterTest, refuses_an_index_that_does_not_fit_the_file) {
  EXPECT_EQ(decode_footer(Bytes(bytes_).substr(bytes_.size() - 64), 500).error().code,
            Code::kCorrupt);
}

TEST_F(FooterTest, refuses_entries_out_of_order) {
  std::swap(entries_[1], entries_[2]);
  EXPECT_EQ(decode(encode_footer(footer_, entries_)).error().code, Code::kCorrupt);
}

TEST_F(FooterTest, refuses_entries_beyond_the_batches) {
  entries_.back().position = kDataEnd;
  EXPECT_EQ(decode(encode_footer(footer_, entries_)).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace walrus::log
