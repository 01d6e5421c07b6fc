#include <gtest/gtest.h>

#include "record/batch.h"
#include "record/sample_batches.h"

namespace walrus::record {
namespace {

constexpr Codec kCodecs[] = {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd};

class CodecTest : public testing::TestWithParam<Codec> {
 protected:
  // The compressed form of `plain` alone: a batch's body.
  std::string packed(Bytes plain) {
    std::string batch(kBatchHeaderBytes, '\0');
    store_be<std::int32_t>(batch.data() + 57, 1);
    batch.append(plain);
    auto made = compress(BatchView(batch), GetParam());
    EXPECT_TRUE(made) << made.error().message;
    return made->substr(kBatchHeaderBytes);
  }
  Code error_of(Bytes input, std::size_t limit = 1 << 20) {
    auto plain = decompress(GetParam(), input, limit);
    return plain ? Code{} : plain.error().code;
  }
};

TEST_P(CodecTest, compressed_batch_is_valid_and_holds_the_same_records) {
  auto sample = SampleRecords::hundred();
  auto plain = encode(sample.records, {.base_offset = 9, .epoch = 3});
  auto made = compress(BatchView(plain), GetParam());
  ASSERT_TRUE(made);
  EXPECT_LT(made->size(), plain.size());
  auto batch = validate(*made, {});
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_EQ(batch->codec(), GetParam());
  EXPECT_EQ(batch->base_offset(), 9);
  EXPECT_EQ(batch->epoch(), 3);
  expect_records(*batch, sample.records);
}

TEST_P(CodecTest, decompressing_gives_the_first_batch_back) {
  auto plain = encode(SampleRecords::hundred().records, {});
  auto made = compress(BatchView(plain), GetParam());
  EXPECT_EQ(*compress(BatchView(*made), Codec::kNone), plain);
}

TEST_P(CodecTest, recompresses_from_every_codec) {
  auto plain = encode(SampleRecords::hundred().records, {});
  auto direct = compress(BatchView(plain), GetParam());
  for (auto other : kCodecs) {
    auto between = compress(BatchView(plain), other);
    EXPECT_EQ(*compress(BatchView(*between), GetParam()), *direct);
  }
}

TEST_P(CodecTest, round_trip_of_all_sizes) {
  for (std::size_t size : {0u, 1u, 100u, 4095u, 4096u, 4097u, 65'536u, 300'000u}) {
    std::string plain;
    std::uint32_t state = 1;  // not compressible
    while (plain.size() < size) plain += static_cast<char>((state = state * 1'664'525 + 1) >> 24);
    auto back = decompress(GetParam(), packed(plain), size);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_TRUE(*back == plain) << size;
  }
}

TEST_P(CodecTest, a_bomb_is_refused_at_the_limit) {
  std::string zeros(8 << 20, '\0');
  auto bomb = packed(zeros);
  EXPECT_LT(bomb.size(), zeros.size() / 20);
  EXPECT_EQ(error_of(bomb, 1000), Code::kTooLarge);
  EXPECT_EQ(error_of(bomb, zeros.size() - 1), Code::kTooLarge);
  EXPECT_EQ(error_of(bomb, zeros.size()), Code{});
}

TEST_P(CodecTest, every_shorter_piece_is_damaged) {
  auto input = packed("walrus walrus walrus walrus walrus walrus");
  for (std::size_t size = 0; size < input.size(); ++size) {
    // Between its header and its first block a snappy stream is whole, and empty.
    if (GetParam() == Codec::kSnappy && size == 16) continue;
    EXPECT_EQ(error_of(Bytes(input).substr(0, size)), Code::kCorrupt) << size;
  }
}

TEST_P(CodecTest, bytes_after_the_end_are_damage) {
  EXPECT_EQ(error_of(packed("walrus") + "junk"), Code::kCorrupt);
}

TEST_P(CodecTest, streams_may_follow_each_other) {
  auto back = decompress(GetParam(), packed("wal") + packed("rus"), 100);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, "walrus");
}

TEST_P(CodecTest, garbage_is_damage) {
  EXPECT_EQ(error_of(std::string(100, '\xff')), Code::kCorrupt);
}

std::string codec_name(const testing::TestParamInfo<Codec>& test) {
  constexpr const char* kNames[] = {"none", "gzip", "snappy", "lz4", "zstd"};
  return kNames[static_cast<int>(test.param)];
}
INSTANTIATE_TEST_SUITE_P(AllCodecs, CodecTest, testing::ValuesIn(kCodecs), codec_name);

TEST(Decompress, none_is_a_copy_within_the_limit) {
  EXPECT_EQ(*decompress(Codec::kNone, "abc", 3), "abc");
  EXPECT_EQ(decompress(Codec::kNone, "abc", 2).error().code, Code::kTooLarge);
}

TEST(Decompress, unknown_codec_is_damage) {
  EXPECT_EQ(decompress(static_cast<Codec>(7), "abc", 3).error().code, Code::kCorrupt);
}

TEST(Decompress, a_snappy_block_that_claims_more_than_it_can_hold_takes_no_memory) {
  std::string block;
  append_uvarint(block, 60 << 20);
  EXPECT_EQ(decompress(Codec::kSnappy, block + "abc", 64 << 20).error().code, Code::kCorrupt);
}

TEST(Decompress, snappy_blocks_share_one_limit) {
  std::string block(
      "\x04\x0c"
      "abcd",
      6),
      framed("\x82SNAPPY\0\0\0\0\1\0\0\0\1", 16);
  for (int i = 0; i < 3; ++i) {
    append_be<std::int32_t>(framed, 6);
    framed += block;
  }
  EXPECT_EQ(*decompress(Codec::kSnappy, framed, 12), "abcdabcdabcd");
  EXPECT_EQ(decompress(Codec::kSnappy, framed, 11).error().code, Code::kTooLarge);
}

TEST(Decompress, a_newer_xerial_version_is_refused) {
  Bytes framed("\x82SNAPPY\0\0\0\0\2\0\0\0\2", 16);
  EXPECT_EQ(decompress(Codec::kSnappy, framed, 100).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace walrus::record
