#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "record/batch.h"
#include "record/sample_batches.h"

namespace walrus::record {
namespace {

constexpr Codec kCodecs[] = {Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd};

TEST(Shorten, keeps_exactly_the_records_below_the_end_with_every_codec) {
  auto sample = SampleRecords::hundred();
  auto plain = encode(sample.records, {.base_offset = 500, .epoch = 2});
  for (auto codec : kCodecs) {
    auto packed = compress(BatchView(plain), codec);
    auto cut = shorten(BatchView(*packed), 537);
    ASSERT_TRUE(cut) << cut.error().message;
    auto batch = validate(*cut, {});
    ASSERT_TRUE(batch) << batch.error().message;
    EXPECT_EQ(batch->codec(), codec);
    EXPECT_EQ(batch->base_offset(), 500);
    EXPECT_EQ(batch->next_offset(), 537);
    EXPECT_EQ(batch->epoch(), 2);
    expect_records(*batch, std::span(sample.records).first(37));
  }
}

TEST(Shorten, equals_encoding_the_kept_records) {
  auto sample = SampleRecords::mixed();
  BatchFields fields{.producer_id = 7, .producer_epoch = 1, .base_sequence = 10};
  auto whole = encode(sample.records, fields);
  for (std::size_t kept = 1; kept <= sample.records.size(); ++kept) {
    EXPECT_EQ(*shorten(BatchView(whole), static_cast<std::int64_t>(kept)),
              encode(std::span(sample.records).first(kept), fields));
  }
}

TEST(Shorten, keeps_the_transactional_bit) {
  auto whole = encode(SampleRecords::mixed().records, {});
  store_be<std::int16_t>(whole.data() + 21, 16);
  EXPECT_TRUE(BatchView(*shorten(BatchView(whole), 2)).transactional());
}

TEST(Shorten, keeps_gaps_that_compaction_left) {
  Record records[] = {{.value = "a"}, {.value = "b"}};
  auto whole = encode(records, {.base_offset = 10});
  whole[kBatchHeaderBytes + 3] = 2 * 2;  // offset deltas 2 and 6 of 0..9
  whole[whole.size() - 5] = 2 * 6;
  store_be<std::int32_t>(whole.data() + 23, 9);
  store_be(whole.data() + 17, crc32c(Bytes(whole).substr(kBatchHeadBytes)));
  ASSERT_TRUE(validate(whole, {.dense = false}));

  auto cut = shorten(BatchView(whole), 15);
  auto batch = validate(*cut, {.dense = false});
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_EQ(batch->next_offset(), 15);
  EXPECT_EQ(batch->count(), 1);
  EXPECT_EQ((*RecordIterator::open(*batch)->next())->offset, 12);

  auto empty = shorten(BatchView(whole), 11);
  batch = validate(*empty, {.dense = false});
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_EQ(batch->next_offset(), 11);
  EXPECT_EQ(batch->count(), 0);
}

TEST(Shorten, refuses_an_end_outside_the_batch) {
  auto whole = encode(SampleRecords::mixed().records, {.base_offset = 10});
  EXPECT_EQ(shorten(BatchView(whole), 10).error().code, Code::kInvalid);
  EXPECT_EQ(shorten(BatchView(whole), 15).error().code, Code::kInvalid);
  EXPECT_EQ(*shorten(BatchView(whole), 14), whole);
}

TEST(Shorten, damage_below_the_end_is_told) {
  auto whole = encode(SampleRecords::mixed().records, {});
  whole[kBatchHeaderBytes] = 2;
  EXPECT_EQ(shorten(BatchView(whole), 2).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace walrus::record
