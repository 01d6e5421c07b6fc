#include "record/batch.h"

#include <gtest/gtest.h>

#include <limits>

#include "record/decode.h"
#include "record/sample_batches.h"

namespace walrus::record {
namespace {

using namespace std::string_view_literals;

constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();

std::string mixed_batch() { return encode(SampleRecords::mixed().records, {.base_offset = 1000}); }

Code parse_error(Bytes bytes) {
  auto batch = BatchView::parse(bytes);
  return batch ? Code{} : batch.error().code;
}

// What the iterator says of an uncompressed batch with this body, the first error or none.
std::optional<Error> iterate(std::string header, Bytes body) {
  header.resize(kBatchHeaderBytes);
  auto batch = header.append(body);
  store_be(batch.data() + kLengthPosition,
           static_cast<std::int32_t>(batch.size() - kLogOverheadBytes));
  auto iterator = RecordIterator::open(BatchView(batch));
  if (!iterator) return iterator.error();
  while (true) {
    auto record = iterator->next();
    if (!record) return record.error();
    if (!*record) return std::nullopt;
    std::vector<Header> headers;
    if (auto decoded = decode_headers(**record, headers); !decoded) return decoded.error();
  }
}

std::string header_of(std::int32_t count, std::int32_t last_offset_delta) {
  auto batch = mixed_batch();
  store_be(batch.data() + 23, last_offset_delta);
  store_be(batch.data() + 57, count);
  return batch;
}

// One record with this in front of its key: length, attributes, timestamp delta, offset delta.
std::string record_of(Bytes rest, std::int64_t offset_delta = 0) {
  std::string body(2, '\0');
  append_uvarint(body, zigzag(offset_delta));
  body.append(rest);
  std::string record;
  append_uvarint(record, zigzag(static_cast<std::int64_t>(body.size())));
  return record + body;
}

TEST(BatchEncode, sets_every_header_field) {
  Record records[] = {{.value = "a", .timestamp = Time(Millis(50))},
                      {.value = "b", .timestamp = Time(Millis(90))},
                      {.value = "c", .timestamp = Time(Millis(20))}};
  auto bytes = encode(
      records,
      {.base_offset = 77, .epoch = 5, .producer_id = 9, .producer_epoch = 2, .base_sequence = 11});
  auto batch = BatchView::parse(bytes);
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->base_offset(), 77);
  EXPECT_EQ(batch->last_offset(), 79);
  EXPECT_EQ(batch->next_offset(), 80);
  EXPECT_EQ(batch->epoch(), 5);
  EXPECT_EQ(batch->attributes(), 0);
  EXPECT_EQ(batch->base_timestamp(), 50);
  EXPECT_EQ(batch->max_timestamp(), 90);
  EXPECT_EQ(batch->producer_id(), 9);
  EXPECT_EQ(batch->producer_epoch(), 2);
  EXPECT_EQ(batch->base_sequence(), 11);
  EXPECT_EQ(batch->count(), 3);
  EXPECT_TRUE(batch->crc_holds());
}

TEST(BatchEncode, gives_records_without_timestamp_the_time_of_append) {
  Record records[] = {{.value = "a"}, {.value = "b", .timestamp = Time(Millis(7))}};
  auto bytes = encode(records, {.now = Time(Millis(1234))});
  BatchView batch(bytes);
  EXPECT_EQ(batch.base_timestamp(), 1234);
  EXPECT_EQ(batch.max_timestamp(), 1234);
  auto iterator = RecordIterator::open(batch);
  EXPECT_EQ((**iterator->next()).timestamp_ms, 1234);
  EXPECT_EQ((**iterator->next()).timestamp_ms, 7);
}

TEST(BatchEncode, keeps_timestamps_whose_difference_overflows) {
  Record records[] = {{.value = "a", .timestamp = Time(Millis(-kInt64Max))},
                      {.value = "b", .timestamp = Time(Millis(kInt64Max))}};
  auto bytes = encode(records, {});
  expect_records(BatchView(bytes), records);
}

TEST(BatchEncode, size_is_exact_where_varints_grow) {
  for (std::size_t size : {0, 1, 62, 63, 64, 65, 8190, 8191, 8192, 8193, 1'048'576}) {
    std::string value(size, 'v');
    Record record{.key = value, .value = value};
    Time now{Millis(1)};
    auto bytes = encode({&record, 1}, {.now = now});
    EXPECT_EQ(bytes.size(), encoded_size({&record, 1}, now)) << size;
    EXPECT_TRUE(validate(bytes, {})) << size;
  }
}

TEST(BatchEncode, crc_holds_across_many_pieces) {
  std::string value(3'000, 'v');
  std::vector<Record> records(100, Record{.value = value});
  auto bytes = encode(records, {});
  EXPECT_TRUE(BatchView(bytes).crc_holds());
}

TEST(BatchEncode, offset_and_epoch_lie_outside_the_crc) {
  auto bytes = mixed_batch();
  set_base_offset(bytes.data(), 123'456);
  set_epoch(bytes.data(), 8);
  auto batch = BatchView::parse(bytes);
  ASSERT_TRUE(batch);
  EXPECT_TRUE(batch->crc_holds());
  EXPECT_EQ(batch->base_offset(), 123'456);
  EXPECT_EQ(batch->epoch(), 8);
}

TEST(BatchEncodeDeathTest, refuses_an_empty_batch) {
  EXPECT_DEATH(encode({}, BatchFields{}), "broken invariant");
}

TEST(BatchParse, leaves_bytes_after_the_batch_alone) {
  auto bytes = mixed_batch();
  auto size = bytes.size();
  auto batch = BatchView::parse(bytes + "next batch");
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->bytes().size(), size);
}

TEST(BatchParse, refuses_every_shorter_piece) {
  auto bytes = mixed_batch();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(parse_error(Bytes(bytes).substr(0, size)), Code::kCorrupt) << size;
  }
}

TEST(BatchParse, refuses_impossible_lengths) {
  for (std::int32_t length : {-1, 0, 48, std::numeric_limits<std::int32_t>::min()}) {
    auto bytes = mixed_batch();
    store_be(bytes.data() + kLengthPosition, length);
    EXPECT_EQ(parse_error(bytes), Code::kCorrupt) << length;
  }
}

TEST(BatchParse, refuses_other_magics) {
  for (char magic : {0, 1, 3}) {
    auto bytes = mixed_batch();
    bytes[16] = magic;
    EXPECT_EQ(parse_error(bytes), Code::kCorrupt);
  }
}

TEST(BatchParse, refuses_counts_that_do_not_fit_the_offsets) {
  EXPECT_EQ(parse_error(header_of(-1, 3)), Code::kCorrupt);
  EXPECT_EQ(parse_error(header_of(4, -1)), Code::kCorrupt);
  EXPECT_EQ(parse_error(header_of(5, 3)), Code::kCorrupt);
  EXPECT_EQ(parse_error(header_of(4, 9)), Code{}) << "compaction leaves gaps";
  EXPECT_EQ(parse_error(header_of(0, 3)), Code{}) << "and empty batches";
}

TEST(BatchParse, refuses_offsets_that_overflow) {
  auto bytes = mixed_batch();
  set_base_offset(bytes.data(), -1);
  EXPECT_EQ(parse_error(bytes), Code::kCorrupt);
  set_base_offset(bytes.data(), kInt64Max - 3);
  EXPECT_EQ(parse_error(bytes), Code::kCorrupt) << "the next offset would be none";
  set_base_offset(bytes.data(), kInt64Max - 4);
  EXPECT_EQ(parse_error(bytes), Code{});
}

TEST(BatchView, crc_tells_every_flipped_bit_behind_it) {
  auto bytes = mixed_batch();
  for (std::size_t i = kBatchHeadBytes * 8; i < bytes.size() * 8; ++i) {
    bytes[i / 8] ^= static_cast<char>(1 << (i % 8));
    EXPECT_FALSE(BatchView(bytes).crc_holds()) << i;
    bytes[i / 8] ^= static_cast<char>(1 << (i % 8));
  }
  EXPECT_TRUE(BatchView(bytes).crc_holds());
}

TEST(BatchView, newest_timestamp_copes_with_an_unset_maximum) {
  auto bytes = mixed_batch();
  store_be<std::int64_t>(bytes.data() + 35, -1);
  EXPECT_EQ(BatchView(bytes).newest_timestamp(), BatchView(bytes).base_timestamp());
}

TEST(RecordIterator, encoded_records_make_up_the_body) {
  auto bytes = mixed_batch();
  auto iterator = RecordIterator::open(BatchView(bytes));
  std::string body;
  while (auto record = *iterator->next()) body += record->encoded;
  EXPECT_EQ(body, BatchView(bytes).body());
}

TEST(RecordIterator, views_survive_a_move) {
  auto sample = SampleRecords::hundred();
  auto plain = encode(sample.records, {});
  auto packed = compress(BatchView(plain), Codec::kZstd);
  auto iterator = RecordIterator::open(BatchView(*packed));
  auto record = *iterator->next();
  auto moved = std::move(*iterator);
  EXPECT_EQ(record->value, sample.records[0].value);
  EXPECT_EQ((*moved.next())->value, sample.records[1].value);
}

TEST(RecordIterator, log_append_time_is_the_time_of_all_records) {
  auto bytes = mixed_batch();
  store_be<std::int16_t>(bytes.data() + 21, 8);
  store_be<std::int64_t>(bytes.data() + 35, 4321);
  auto iterator = RecordIterator::open(BatchView(bytes));
  while (auto record = *iterator->next()) EXPECT_EQ(record->timestamp_ms, 4321);
}

TEST(RecordIterator, steps_over_gaps_that_compaction_left) {
  auto body = record_of("\x01\x01\x00"sv, 2) + record_of("\x01\x01\x00"sv, 7);
  EXPECT_FALSE(iterate(header_of(2, 9), body));
}

TEST(RecordIterator, an_emptied_batch_has_no_records_whatever_its_codec) {
  auto header = header_of(0, 9);
  store_be<std::int16_t>(header.data() + 21, 4);
  EXPECT_FALSE(iterate(header, ""));
  EXPECT_TRUE(iterate(header, "x"));
}

TEST(RecordIterator, refuses_bytes_after_the_last_record) {
  EXPECT_EQ(iterate(header_of(1, 0), record_of("\x01\x01\x00"sv) + '\0')->code, Code::kCorrupt);
}

TEST(RecordIterator, refuses_missing_records) {
  EXPECT_EQ(iterate(header_of(2, 1), record_of("\x01\x01\x00"sv))->code, Code::kCorrupt);
}

TEST(RecordIterator, refuses_offset_deltas_that_repeat_or_go_beyond_the_batch) {
  auto record = record_of("\x01\x01\x00"sv, 3);
  EXPECT_EQ(iterate(header_of(2, 9), record + record)->code, Code::kCorrupt);
  EXPECT_EQ(iterate(header_of(1, 2), record)->code, Code::kCorrupt);
  EXPECT_EQ(iterate(header_of(1, 2), record_of("\x01\x01\x00"sv, -1))->code, Code::kCorrupt);
}

TEST(RecordIterator, refuses_lengths_beyond_what_is_there) {
  for (Bytes rest : {"\x02"sv, "\x03\x01\x00"sv, "\x01\x04v\x00"sv, "\x01\x03\x00"sv, "\x01\x01"sv,
                     "\x01\x01\x02"sv, "\x01\x01\x01"sv, "\x01\x01\x00z"sv,
                     "\xfe\xff\xff\xff\x0f\x01\x00"sv, "\x01\x01\xfe\xff\xff\xff\x0f"sv}) {
    auto error = iterate(header_of(1, 0), record_of(rest));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, Code::kCorrupt);
  }
}

TEST(RecordIterator, refuses_damaged_headers) {
  // Null name; name too long; value too long; value length missing; bytes after the last header.
  for (Bytes headers : {"\x02\x01\x01"sv, "\x02\x10x"sv, "\x02\x02n\x10v"sv, "\x02\x02n"sv,
                        "\x02\x00\x01x"sv, "\x02\x00\x03"sv}) {
    auto error = iterate(header_of(1, 0), record_of("\x01\x01" + std::string(headers)));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, Code::kCorrupt);
  }
}

TEST(DecodeHeaders, keeps_what_was_there_before_on_damage) {
  RecordView record{.header_count = 1, .header_bytes = "\x02n"};
  std::vector<Header> headers = {{.name = "before"}};
  EXPECT_FALSE(decode_headers(record, headers));
  EXPECT_EQ(headers.size(), 1u);
}

}  // namespace
}  // namespace walrus::record
