#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "record/batch.h"
#include "record/sample_batches.h"

namespace walrus::record {
namespace {

constexpr std::size_t kAttributes = 21, kLastOffsetDelta = 23, kMaxTimestamp = 35, kProducerId = 43,
                      kProducerEpoch = 51, kBaseSequence = 53, kCount = 57;

std::string mixed_batch() { return encode(SampleRecords::mixed().records, {}); }

void fix_crc(std::string& batch) {
  store_be(batch.data() + 17, crc32c(Bytes(batch).substr(kBatchHeadBytes)));
}

// The mixed batch with one field changed and the CRC made to hold again.
template <class T>
std::string with(std::size_t position, T value) {
  auto batch = mixed_batch();
  store_be(batch.data() + position, value);
  fix_crc(batch);
  return batch;
}

Code error_of(Bytes batch, const Limits& limits = {}) {
  auto valid = validate(batch, limits);
  return valid ? Code{} : valid.error().code;
}

std::string with_attributes(std::int16_t attributes) { return with(kAttributes, attributes); }

TEST(Validate, accepts_what_encode_writes) {
  auto bytes = mixed_batch();
  auto batch = validate(bytes, {});
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_EQ(batch->bytes(), Bytes(bytes));
}

TEST(Validate, refuses_a_wrong_crc) {
  auto batch = mixed_batch();
  batch.back() ^= 1;
  EXPECT_EQ(error_of(batch), Code::kCorrupt);
}

TEST(Validate, refuses_bytes_after_the_batch) {
  EXPECT_EQ(error_of(mixed_batch() + "x"), Code::kCorrupt);
}

TEST(Validate, refuses_too_many_bytes) {
  auto batch = mixed_batch();
  EXPECT_EQ(error_of(batch, {.batch_bytes_max = batch.size()}), Code{});
  EXPECT_EQ(error_of(batch, {.batch_bytes_max = batch.size() - 1}), Code::kTooLarge);
}

TEST(Validate, refuses_too_many_records) {
  EXPECT_EQ(error_of(mixed_batch(), {.records_max = 4}), Code{});
  EXPECT_EQ(error_of(mixed_batch(), {.records_max = 3}), Code::kTooLarge);
}

TEST(Validate, refuses_records_that_grow_beyond_the_limit) {
  std::string zeros(1 << 20, '\0');
  Record record{.value = zeros};
  auto plain = encode({&record, 1}, {});
  for (auto codec : {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    auto bomb = compress(BatchView(plain), codec);
    ASSERT_TRUE(bomb);
    EXPECT_EQ(error_of(*bomb, {.batch_bytes_max = 512 << 10}), Code::kTooLarge);
    EXPECT_EQ(error_of(*bomb, {.batch_bytes_max = 2 << 20}), Code{});
  }
}

TEST(Validate, refuses_unknown_codecs_and_attributes) {
  for (int codec : {5, 6, 7}) {
    EXPECT_EQ(error_of(with_attributes(static_cast<std::int16_t>(codec))), Code::kCorrupt);
  }
  EXPECT_EQ(error_of(with_attributes(128)), Code::kCorrupt);
  EXPECT_EQ(error_of(with_attributes(-32768)), Code::kCorrupt);
}

TEST(Validate, accepts_a_transactional_batch) { EXPECT_EQ(error_of(with_attributes(16)), Code{}); }

TEST(Validate, refuses_control_batches_unless_allowed) {
  EXPECT_EQ(error_of(with_attributes(32)), Code::kCorrupt);
  EXPECT_EQ(error_of(with_attributes(32), {.control = true}), Code{});
}

TEST(Validate, leaves_log_append_time_to_the_broker) {
  EXPECT_EQ(error_of(with_attributes(8)), Code::kCorrupt);
  EXPECT_EQ(error_of(with_attributes(8), {.dense = false}), Code{});
}

TEST(Validate, wants_clients_batches_dense) {
  EXPECT_EQ(error_of(with<std::int32_t>(kLastOffsetDelta, 4)), Code::kCorrupt);
  EXPECT_EQ(error_of(with<std::int32_t>(kLastOffsetDelta, 4), {.dense = false}), Code{});
}

TEST(Validate, wants_clients_offset_deltas_to_count_up) {
  Record records[] = {{.value = "a"}, {.value = "b"}};
  auto batch = encode(records, {});
  batch[kBatchHeaderBytes + 3] = 2;  // the first record's offset delta: 1 instead of 0
  batch[batch.size() - 5] = 4;       // the second one's: 2
  store_be<std::int32_t>(batch.data() + kLastOffsetDelta, 2);
  fix_crc(batch);
  EXPECT_EQ(error_of(batch, {.dense = false}), Code{});
  store_be<std::int32_t>(batch.data() + kLastOffsetDelta, 1);
  fix_crc(batch);
  EXPECT_EQ(error_of(batch), Code::kCorrupt);
}

TEST(Validate, refuses_an_empty_batch_from_a_client) {
  auto batch = mixed_batch().substr(0, kBatchHeaderBytes);
  store_be<std::int32_t>(batch.data() + kLengthPosition, kBatchHeaderBytes - kLogOverheadBytes);
  store_be<std::int32_t>(batch.data() + kCount, 0);
  fix_crc(batch);
  EXPECT_EQ(error_of(batch), Code::kCorrupt);
  EXPECT_EQ(error_of(batch, {.dense = false}), Code{});
}

TEST(Validate, refuses_timestamps_above_the_maximum) {
  auto newest = BatchView(mixed_batch()).max_timestamp();
  EXPECT_EQ(error_of(with<std::int64_t>(kMaxTimestamp, newest - 1)), Code::kCorrupt);
  EXPECT_EQ(error_of(with<std::int64_t>(kMaxTimestamp, newest + 1)), Code{});
}

TEST(Validate, accepts_an_unset_maximum) {
  EXPECT_EQ(error_of(with<std::int64_t>(kMaxTimestamp, -1)), Code{});
}

TEST(Validate, wants_epoch_and_sequence_beside_a_producer_id) {
  auto batch = encode(SampleRecords::mixed().records,
                      {.producer_id = 1, .producer_epoch = 0, .base_sequence = 0});
  EXPECT_EQ(error_of(batch), Code{});
  auto without_epoch = batch, without_sequence = batch;
  store_be<std::int16_t>(without_epoch.data() + kProducerEpoch, -1);
  fix_crc(without_epoch);
  EXPECT_EQ(error_of(without_epoch), Code::kCorrupt);
  store_be<std::int32_t>(without_sequence.data() + kBaseSequence, -1);
  fix_crc(without_sequence);
  EXPECT_EQ(error_of(without_sequence), Code::kCorrupt);
  EXPECT_EQ(error_of(with<std::int64_t>(kProducerId, -2)), Code::kCorrupt);
}

TEST(Validate, accepts_zero_epoch_and_sequence_without_producer_id) {
  auto batch = with<std::int16_t>(kProducerEpoch, 0);
  store_be<std::int32_t>(batch.data() + kBaseSequence, 0);
  fix_crc(batch);
  EXPECT_EQ(error_of(batch), Code{});
}

TEST(Validate, looks_into_headers) {
  Header header{.name = "n", .value = "v"};
  Record record{.value = "x", .headers = {&header, 1}};
  auto batch = encode({&record, 1}, {});
  batch[batch.size() - 2] = 6;  // the header's value claims three bytes
  fix_crc(batch);
  EXPECT_EQ(error_of(batch), Code::kCorrupt);
}

TEST(Validate, refuses_damage_inside_compressed_records) {
  auto plain = mixed_batch();
  plain[kBatchHeaderBytes] = 2;  // the first record's length
  for (auto codec : {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    EXPECT_EQ(error_of(*compress(BatchView(plain), codec)), Code::kCorrupt);
  }
}

}  // namespace
}  // namespace walrus::record
