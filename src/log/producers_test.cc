#include "log/producers.h"

#include <gtest/gtest.h>

namespace walrus::log {
namespace {

constexpr std::int64_t kId = 7;

std::string encoded(const ProducerTable& table) {
  std::string bytes;
  table.encode(bytes);
  return bytes;
}

void expect_fresh(const Result<std::optional<std::int64_t>>& answer) {
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_FALSE(answer->has_value());
}

void expect_code(const Result<std::optional<std::int64_t>>& answer, Code code) {
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, code);
}

TEST(ProducerTable, takes_any_sequence_of_an_unknown_producer) {
  ProducerTable table;
  expect_fresh(table.check(kId, 3, 4711, 5));
}

TEST(ProducerTable, answers_a_repeated_batch_with_its_first_offset) {
  ProducerTable table;
  table.add(kId, 0, 0, 10, 100, 1);
  table.add(kId, 0, 10, 5, 110, 2);
  EXPECT_EQ(table.check(kId, 0, 0, 10).value(), 100);
  EXPECT_EQ(table.check(kId, 0, 10, 5).value(), 110);
}

TEST(ProducerTable, does_not_take_a_batch_with_other_bounds_for_a_repeat) {
  ProducerTable table;
  table.add(kId, 0, 0, 10, 100, 1);
  expect_code(table.check(kId, 0, 0, 9), Code::kMismatch);
  expect_code(table.check(kId, 0, 1, 9), Code::kMismatch);
}

TEST(ProducerTable, remembers_five_batches) {
  ProducerTable table;
  for (int i = 0; i < 6; ++i) table.add(kId, 0, i, 1, 100 + i, 1);
  expect_code(table.check(kId, 0, 0, 1), Code::kMismatch);
  for (int i = 1; i < 6; ++i) EXPECT_EQ(table.check(kId, 0, i, 1).value(), 100 + i);
}

TEST(ProducerTable, takes_only_the_next_sequence) {
  ProducerTable table;
  table.add(kId, 0, 0, 10, 100, 1);
  expect_fresh(table.check(kId, 0, 10, 1));
  expect_code(table.check(kId, 0, 11, 1), Code::kMismatch);
}

TEST(ProducerTable, wraps_sequences_from_the_largest_to_zero) {
  ProducerTable table;
  table.add(kId, 0, INT32_MAX, 1, 5, 1);
  expect_fresh(table.check(kId, 0, 0, 1));
  expect_code(table.check(kId, 0, 1, 1), Code::kMismatch);
}

TEST(ProducerTable, wraps_sequences_inside_a_batch) {
  ProducerTable table;
  table.add(kId, 0, INT32_MAX - 1, 4, 5, 1);  // the last two: 0 and 1
  EXPECT_EQ(table.check(kId, 0, INT32_MAX - 1, 4).value(), 5);
  expect_fresh(table.check(kId, 0, 2, 1));
}

TEST(ProducerTable, fences_an_older_epoch_also_for_repeats) {
  ProducerTable table;
  table.add(kId, 1, 0, 10, 100, 1);
  table.add(kId, 2, 0, 1, 110, 1);
  expect_code(table.check(kId, 1, 0, 10), Code::kFenced);
  expect_code(table.check(kId, 1, 10, 1), Code::kFenced);
}

TEST(ProducerTable, begins_a_new_epoch_at_sequence_zero) {
  ProducerTable table;
  table.add(kId, 1, 0, 10, 100, 1);
  expect_code(table.check(kId, 2, 10, 1), Code::kMismatch);
  expect_fresh(table.check(kId, 2, 0, 10));  // not the batch of epoch 1
}

TEST(ProducerTable, refuses_what_is_no_sequence) {
  ProducerTable table;
  expect_code(table.check(kId, 0, -1, 1), Code::kInvalid);
  expect_code(table.check(kId, 0, 0, 0), Code::kInvalid);
}

TEST(ProducerTable, forgets_truncated_batches_but_not_the_epoch) {
  ProducerTable table;
  table.add(kId, 1, 0, 10, 100, 1);
  table.add(kId, 1, 10, 10, 110, 1);
  table.truncate(110);
  EXPECT_EQ(table.check(kId, 1, 0, 10).value(), 100);
  expect_fresh(table.check(kId, 1, 10, 10));
  table.truncate(0);
  expect_code(table.check(kId, 0, 0, 1), Code::kFenced);
  expect_fresh(table.check(kId, 1, 33, 1));
}

TEST(ProducerTable, expires_idle_producers) {
  ProducerTable table;
  table.add(1, 0, 0, 1, 0, 1'000);
  table.add(2, 0, 0, 1, 1, 2'000);
  table.expire(2'000);
  EXPECT_EQ(table.size(), 1U);
  expect_fresh(table.check(1, 0, 9, 1));
  EXPECT_EQ(table.check(2, 0, 0, 1).value(), 1);
}

ProducerTable sample() {
  ProducerTable table;
  table.add(9, 2, 5, 3, 1'000, 1'700'000'000'000);
  table.add(2, 0, INT32_MAX, 2, 7, -1);
  for (int i = 0; i < 7; ++i) table.add(400, 1, i * 100, 100, i * 100, 12 + i);
  return table;
}

TEST(ProducerTable, decodes_what_it_encoded) {
  auto bytes = encoded(sample());
  Decoder decoder(bytes);
  auto table = ProducerTable::decode(decoder);
  ASSERT_TRUE(table.has_value());
  EXPECT_TRUE(decoder.at_end());
  EXPECT_EQ(encoded(*table), bytes);
  EXPECT_EQ(table->check(9, 2, 5, 3).value(), 1'000);
}

TEST(ProducerTable, refuses_every_shorter_encoding) {
  auto bytes = encoded(sample());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    Decoder decoder(Bytes(bytes).substr(0, size));
    auto table = ProducerTable::decode(decoder);
    ASSERT_FALSE(table.has_value()) << size;
    EXPECT_EQ(table.error().code, Code::kCorrupt);
  }
}

TEST(ProducerTable, refuses_a_count_that_the_bytes_cannot_hold) {
  std::string bytes;
  append_uvarint(bytes, std::uint64_t{1} << 60);
  bytes += std::string(64, '\0');
  Decoder decoder(bytes);
  EXPECT_EQ(ProducerTable::decode(decoder).error().code, Code::kCorrupt);
}

TEST(ProducerTable, follows_with_the_batches_that_came_later) {
  ProducerTable before, later, all;
  for (int i = 0; i < 8; ++i) {
    auto& half = i < 4 ? before : later;
    half.add(7, 0, i * 10, 10, i * 10, 0);
    all.add(7, 0, i * 10, 10, i * 10, 0);
  }
  later.add(8, 1, 0, 1, 80, 0);
  all.add(8, 1, 0, 1, 80, 0);
  before.follow(later);
  std::string followed, added;
  before.encode(followed);
  all.encode(added);
  EXPECT_EQ(followed, added);
}

}  // namespace
}  // namespace walrus::log
