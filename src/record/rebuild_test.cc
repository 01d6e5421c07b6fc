#include <gtest/gtest.h>

#include "record/batch.h"

namespace walrus::record {
namespace {

constexpr std::int64_t kCreated = 1'700'000'000'000, kAppended = 1'800'000'000'000;

std::string sample() {
  std::string value(1000, 'v');
  std::vector<walrus::Record> records;
  for (int i = 0; i < 20; ++i)
    records.push_back({.key = "key", .value = value, .timestamp = Time(Millis(kCreated + i))});
  return encode(records,
                {.base_offset = 7, .producer_id = 5, .producer_epoch = 1, .base_sequence = 3});
}

std::string coded(Codec codec) {
  auto plain = sample();
  return codec == Codec::kNone ? plain : *compress(*BatchView::parse(plain), codec);
}

class RecodeTest : public testing::TestWithParam<std::tuple<Codec, Codec>> {};

TEST_P(RecodeTest, another_codec_holds_the_same_records) {
  auto [from, to] = GetParam();
  auto before = coded(from);
  auto after = rebuild(*BatchView::parse(before), {.codec = to});
  ASSERT_TRUE(after.has_value());
  auto batch = validate(*after, {});
  ASSERT_TRUE(batch.has_value()) << batch.error().message;
  EXPECT_EQ(batch->codec(), to);
  EXPECT_EQ(batch->bytes().size(), after->size());
  EXPECT_EQ(batch->producer_id(), 5);
  EXPECT_EQ(batch->max_timestamp(), kCreated + 19);
  auto plain = rebuild(*batch, {.codec = Codec::kNone});
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(*plain, sample());
  if (from == to) EXPECT_EQ(*after, before);
}

const auto kCodecs =
    testing::Values(Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd);
INSTANTIATE_TEST_SUITE_P(, RecodeTest, testing::Combine(kCodecs, kCodecs));

TEST(RebuildTest, the_time_of_append_counts_for_every_record) {
  for (auto codec : {Codec::kNone, Codec::kLz4}) {
    auto before = coded(codec);
    auto after = rebuild(*BatchView::parse(before), {.append_time_ms = kAppended});
    ASSERT_TRUE(after.has_value());
    auto batch = *BatchView::parse(*after);
    EXPECT_TRUE(batch.crc_holds());
    EXPECT_TRUE(batch.log_append_time());
    EXPECT_EQ(batch.max_timestamp(), kAppended);
    EXPECT_EQ(batch.base_timestamp(), kCreated);  // the deltas hold against it
    auto records = RecordIterator::open(batch);
    ASSERT_TRUE(records.has_value());
    for (int i = 0; i < 20; ++i) EXPECT_EQ((**records->next()).timestamp_ms, kAppended);
    EXPECT_FALSE(*records->next());
  }
}

TEST(RebuildTest, decompression_is_bounded) {
  auto before = coded(Codec::kZstd);
  ASSERT_LT(before.size(), 1000u);
  auto after =
      rebuild(*BatchView::parse(before), {.codec = Codec::kNone, .decompressed_bytes_max = 10'000});
  ASSERT_FALSE(after.has_value());
  EXPECT_EQ(after.error().code, Code::kTooLarge);
}

TEST(RebuildTest, a_level_makes_a_difference) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += fmt::format("{} {} ", i * 7919 % 1009, i % 17);
  std::vector<walrus::Record> records{{.value = text}};
  auto plain = encode(records, {});
  for (auto codec : {Codec::kGzip, Codec::kLz4, Codec::kZstd}) {
    auto fast = rebuild(*BatchView::parse(plain), {.codec = codec, .level = 1});
    auto small = rebuild(*BatchView::parse(plain), {.codec = codec, .level = 9});
    ASSERT_TRUE(fast && small);
    EXPECT_LT(small->size(), fast->size()) << static_cast<int>(codec);
  }
}

}  // namespace
}  // namespace walrus::record
