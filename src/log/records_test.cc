#include "log/records.h"

#include <gtest/gtest.h>

#include "log/log_fixture.h"

namespace walrus::log {
namespace {

std::string batch(std::int64_t base, int count, std::int32_t epoch = 3) {
  std::vector<std::string> texts;
  for (int i = 0; i < count; ++i) texts.push_back("value " + std::to_string(base + i));
  return record::encode(values(texts), {.base_offset = base, .epoch = epoch});
}

std::string compressed(std::int64_t base, int count) {
  std::string plain = batch(base, count);
  auto packed = record::compress(record::BatchView(plain), record::Codec::kZstd);
  EXPECT_TRUE(succeeds(packed));
  return *packed;
}

std::vector<std::int64_t> offsets(Walk& walk) {
  std::vector<std::int64_t> seen;
  while (true) {
    auto view = walk.peek();
    EXPECT_TRUE(succeeds(view));
    if (!view || !*view) return seen;
    seen.push_back((*view)->offset);
    walk.take();
  }
}

TEST(Walk, goes_over_the_records_of_all_batches) {
  Walk walk({10});
  walk.load(batch(10, 2) + compressed(12, 2) + batch(14, 1));
  EXPECT_EQ(offsets(walk), (std::vector<std::int64_t>{10, 11, 12, 13, 14}));
  EXPECT_EQ(walk.next(), Offset{15});
  EXPECT_TRUE(walk.used_up());
}

TEST(Walk, skips_what_lies_before_its_beginning) {
  Walk walk({13});
  walk.load(batch(8, 2) + batch(10, 5));
  EXPECT_EQ(offsets(walk), (std::vector<std::int64_t>{13, 14}));
}

TEST(Walk, shows_a_record_until_it_is_taken) {
  Walk walk({0});
  walk.load(batch(0, 2));
  ASSERT_EQ((**walk.peek()).offset, 0);
  ASSERT_EQ((**walk.peek()).offset, 0);
  EXPECT_EQ(walk.next(), Offset{0});
  walk.take();
  EXPECT_EQ(walk.next(), Offset{1});
  EXPECT_EQ((**walk.peek()).offset, 1);
}

TEST(Walk, goes_on_behind_the_gap_of_a_compacted_batch) {
  std::string bytes = batch(0, 1);
  store_be<std::int32_t>(bytes.data() + 23, 6);  // covers offsets 0 to 6, holds one record
  Walk walk({0});
  walk.load(bytes);
  EXPECT_EQ(offsets(walk), (std::vector<std::int64_t>{0}));
  EXPECT_EQ(walk.next(), Offset{7});
}

TEST(Walk, control_batches_show_no_record) {
  std::string control = batch(0, 1);
  control[22] = static_cast<char>(control[22] | 0x20);
  Walk walk({0});
  walk.load(control + batch(1, 1));
  EXPECT_EQ(offsets(walk), (std::vector<std::int64_t>{1}));
}

TEST(Walk, damaged_batches_are_an_error) {
  std::string bytes = batch(0, 1);
  Walk walk({0});
  walk.load(bytes.substr(0, bytes.size() - 1));
  EXPECT_TRUE(fails_with(walk.peek(), Code::kCorrupt));
}

TEST(Walk, can_be_laid_aside_in_the_middle_of_a_batch) {
  for (const auto& bytes : {batch(0, 4), compressed(0, 4)}) {
    Walk walk({0});
    walk.load(bytes);
    ASSERT_TRUE(succeeds(walk.peek()));
    walk.take();
    Walk resumed = std::move(walk);
    EXPECT_EQ(offsets(resumed), (std::vector<std::int64_t>{1, 2, 3}));
  }
}

TEST(Records, views_outlive_the_walk) {
  Header headers[] = {{.name = "h", .value = "one"}, {.name = "none"}};
  Record with_headers{.key = "k", .value = "v", .headers = headers, .timestamp = Time(Millis(5))};
  std::vector<Record> two = {with_headers, with_headers};
  std::string plain = record::encode(two, {.base_offset = 0, .epoch = 7});
  std::string packed = compressed(2, 2);
  auto impl = std::make_unique<Records::Impl>();
  {
    Walk walk({0});
    walk.load(plain + packed);
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE(succeeds(walk.peek()));
      ASSERT_TRUE(succeeds(impl->take(walk)));
    }
  }
  impl->finish();
  Records records(std::move(impl));
  EXPECT_EQ(values_of(records), (std::vector<std::string>{"v", "v", "value 2", "value 3"}));
  const StoredRecord& first = *records.begin();
  EXPECT_EQ(first.key, "k");
  EXPECT_EQ(first.epoch, 7);
  EXPECT_EQ(first.timestamp, Time(Millis(5)));
  for (const auto* record : {&first, &first + 1}) {
    ASSERT_EQ(record->headers.size(), 2u);
    EXPECT_EQ(record->headers[0].name, "h");
    EXPECT_EQ(record->headers[0].value, "one");
    EXPECT_EQ(record->headers[1].name, "none");
    EXPECT_FALSE(record->headers[1].value);
  }
}

TEST(Records, moved_from_is_empty) {
  Records records(std::make_unique<Records::Impl>());
  Records moved = std::move(records);
  EXPECT_TRUE(moved.empty());
  EXPECT_TRUE(records.empty());  // NOLINT: says so in the header's words
}

}  // namespace
}  // namespace walrus::log
