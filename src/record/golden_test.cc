#include <gtest/gtest.h>

#include <fstream>

#include "record/sample_batches.h"
#include "walrus_source_dir.h"

namespace walrus::record {

std::string read_golden(const std::string& name) {
  std::ifstream file(WALRUS_SOURCE_DIR "/tests/golden/record/" + name + ".hex");
  std::string bytes, line, digits;
  while (std::getline(file, line)) {
    for (char c : line.substr(0, line.find('#'))) {
      if (std::isxdigit(static_cast<unsigned char>(c))) digits += c;
    }
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  EXPECT_GE(bytes.size(), kBatchHeaderBytes) << name;
  return bytes;
}

void expect_records(const BatchView& batch, std::span<const Record> expected) {
  auto iterator = RecordIterator::open(batch);
  ASSERT_TRUE(iterator) << iterator.error().message;
  std::int64_t offset = batch.base_offset();
  for (const auto& record : expected) {
    auto next = iterator->next();
    ASSERT_TRUE(next) << next.error().message;
    ASSERT_TRUE(*next);
    EXPECT_EQ((*next)->offset, offset++);
    EXPECT_EQ((*next)->timestamp_ms, record.timestamp->time_since_epoch().count());
    EXPECT_EQ((*next)->key, record.key);
    EXPECT_EQ((*next)->value, record.value);
    std::vector<Header> headers;
    ASSERT_TRUE(decode_headers(**next, headers));
    ASSERT_EQ(headers.size(), record.headers.size());
    for (std::size_t i = 0; i < headers.size(); ++i) {
      EXPECT_EQ(headers[i].name, record.headers[i].name);
      EXPECT_EQ(headers[i].value, record.headers[i].value);
    }
  }
  auto end = iterator->next();
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_FALSE(*end);
}

namespace {

void expect_golden(const std::string& name, const SampleRecords& sample, BatchFields fields) {
  auto golden = read_golden(name);
  EXPECT_EQ(encode(sample.records, fields), golden);
  EXPECT_EQ(encoded_size(sample.records, fields.now), golden.size());
  auto batch = validate(golden, {});
  ASSERT_TRUE(batch) << batch.error().message;
  expect_records(*batch, sample.records);
}

TEST(GoldenBatch, one_record) { expect_golden("one_record", SampleRecords::one(), {}); }

TEST(GoldenBatch, null_key_tombstone_empty_value_and_headers) {
  expect_golden("mixed", SampleRecords::mixed(), {});
}

TEST(GoldenBatch, producer_fields) {
  BatchFields fields{.producer_id = 4711, .producer_epoch = 3, .base_sequence = 42};
  expect_golden("producer", SampleRecords::one(), fields);
}

TEST(GoldenBatch, a_hundred_records) { expect_golden("sample", SampleRecords::hundred(), {}); }

class GoldenCodec : public testing::TestWithParam<const char*> {};

TEST_P(GoldenCodec, decodes_to_the_sample) {
  auto golden = read_golden(GetParam());
  auto batch = validate(golden, {});
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_NE(batch->codec(), Codec::kNone);
  expect_records(*batch, SampleRecords::hundred().records);
}

INSTANTIATE_TEST_SUITE_P(AllCodecs, GoldenCodec,
                         testing::Values("sample_gzip", "sample_gzip_members",
                                         "sample_snappy_xerial", "sample_snappy_raw",
                                         "sample_snappy_blocks", "sample_lz4", "sample_zstd"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace walrus::record
