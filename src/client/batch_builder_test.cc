#include "client/batch_builder.h"

#include <gtest/gtest.h>

namespace walrus::client {
namespace {

TEST(BatchBuilder, keeps_copies_of_keys_values_and_headers) {
  BatchBuilder builder;
  {
    std::string key = "k", value = "v", name = "h", content = "c";
    Header header{.name = name, .value = content};
    builder.add({.key = key, .value = value, .headers = {&header, 1}}, Time(Millis(7)));
    key = value = name = content = "?";
  }
  builder.add({.value = ""}, Time(Millis(8)));
  builder.add({}, Time(Millis(9)));
  auto batch = builder.seal({.producer_id = 4, .producer_epoch = 0, .base_sequence = 11},
                            record::Codec::kNone);
  ASSERT_TRUE(batch);
  auto view = record::validate(*batch, {});
  ASSERT_TRUE(view) << view.error().message;
  EXPECT_EQ(view->count(), 3);
  EXPECT_EQ(view->base_sequence(), 11);
  auto records = record::RecordIterator::open(*view);
  auto first = *records->next();
  EXPECT_EQ(first->key, "k");
  EXPECT_EQ(first->value, "v");
  EXPECT_EQ(first->timestamp_ms, 7);
  std::vector<Header> headers;
  ASSERT_TRUE(record::decode_headers(*first, headers));
  ASSERT_EQ(headers.size(), 1u);
  EXPECT_EQ(headers[0].name, "h");
  EXPECT_EQ(headers[0].value, "c");
  EXPECT_EQ((*records->next())->value, "");
  EXPECT_EQ((*records->next())->value, std::nullopt);
}

TEST(BatchBuilder, is_empty_after_seal) {
  BatchBuilder builder;
  builder.add({.value = "a"}, Time());
  ASSERT_TRUE(builder.seal({}, record::Codec::kNone));
  EXPECT_TRUE(builder.empty());
  EXPECT_EQ(builder.payload_bytes(), 0);
  builder.add({.value = "b"}, Time());
  auto batch = builder.seal({}, record::Codec::kNone);
  EXPECT_EQ(record::BatchView(*batch).count(), 1);
}

TEST(BatchBuilder, estimates_no_less_than_it_writes) {
  BatchBuilder builder;
  std::string value(100, 'x');
  for (int i = 0; i < 500; ++i) builder.add({.key = "key", .value = value}, Time(Millis(i)));
  auto estimate = builder.encoded_bytes();
  auto batch = builder.seal({}, record::Codec::kNone);
  EXPECT_GE(estimate, static_cast<std::int64_t>(batch->size()));
}

TEST(BatchBuilder, compresses) {
  BatchBuilder builder;
  std::string value(1000, 'x');
  for (int i = 0; i < 50; ++i) builder.add({.value = value}, Time());
  auto batch = builder.seal({}, record::Codec::kZstd);
  ASSERT_TRUE(batch);
  EXPECT_LT(batch->size(), 5000u);
  EXPECT_EQ(record::BatchView(*batch).codec(), record::Codec::kZstd);
  EXPECT_TRUE(record::validate(*batch, {}));
}

}  // namespace
}  // namespace walrus::client
