// What the tests of SegmentStore::Rewrite do not reach: keys of a part of a log, and a map that is
// full.

#include "log/compaction.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"

namespace walrus::log {
namespace {

using record::BatchView;

struct Keyed {
  std::string key;
  std::optional<std::string> value{};  // none: a tombstone
};

std::string keyed_batch(std::int64_t base, const std::vector<Keyed>& keyed,
                        std::int64_t at_ms = 0) {
  std::vector<Record> records;
  for (const auto& [key, value] : keyed)
    records.push_back({.key = key, .value = value, .timestamp = Time(Millis(at_ms))});
  return record::encode(records, {.base_offset = base, .epoch = 3});
}

class CompactorTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kNow = 10'000, kRetention = 1'000;

  // "offset key=value", of what is handed on; checks that offsets have no gap.
  std::vector<std::string> compact(const std::vector<std::string>& noted,
                                   const std::vector<std::string>& batches, bool hides_all = true,
                                   std::int64_t map_bytes_max = 1 << 20, std::int64_t lag_ms = 0) {
    std::string out;
    Compactor compactor(CompactPolicy{kNow, kRetention, map_bytes_max, lag_ms},
                        [&](const std::string& batch) -> Result<void> {
                          out += batch;
                          return {};
                        });
    for (const auto& batch : noted)
      if (!compactor.note(BatchView(batch))) break;
    compactor.end_noting(hides_all);
    noted_end = compactor.noted_end();
    young = compactor.young();
    auto begin = BatchView(batches.front()).base_offset();
    auto end = BatchView(batches.back()).next_offset();
    compactor.begin(begin, 3);
    for (const auto& batch : batches) {
      auto before = compactor.dropped();
      bool shrinks = compactor.shrinks(BatchView(batch));
      EXPECT_TRUE(compactor.copy(BatchView(batch)));
      EXPECT_EQ(shrinks, compactor.dropped() > before);
    }
    EXPECT_TRUE(compactor.end(end));
    std::vector<std::string> seen;
    for (Bytes rest = out; !rest.empty();) {
      auto batch = BatchView::parse(rest).value();
      EXPECT_EQ(batch.base_offset(), begin);
      EXPECT_EQ(batch.epoch(), 3);
      EXPECT_TRUE(batch.crc_holds());
      begin = batch.next_offset();
      rest.remove_prefix(batch.bytes().size());
      auto records = record::RecordIterator::open(batch).value();
      for (auto one = records.next(); one && *one; one = records.next())
        seen.push_back(std::to_string((*one)->offset) + " " + std::string(*(*one)->key) + "=" +
                       std::string((*one)->value.value_or("")));
    }
    EXPECT_EQ(begin, end);
    return seen;
  }
  using Seen = std::vector<std::string>;
  std::int64_t noted_end = 0;
  std::optional<Compactor::Young> young{};
};

// What lies below the noted part has one record a key: it goes where a newer one was noted.
TEST_F(CompactorTest, keys_of_the_newer_part_supersede_records_of_the_older_one) {
  auto old = keyed_batch(0, {{"a", "1"}, {"b", "1"}, {"c", "1"}});
  auto fresh = keyed_batch(3, {{"a", "2"}, {"d", "1"}, {"d", "2"}});
  EXPECT_EQ(compact({fresh}, {old}), (Seen{"1 b=1", "2 c=1"}));
  EXPECT_EQ(compact({fresh}, {old, fresh}), (Seen{"1 b=1", "2 c=1", "3 a=2", "5 d=2"}));
}

TEST_F(CompactorTest, batches_that_vanish_leave_no_gap) {
  auto first = keyed_batch(0, {{"a", "1"}}), second = keyed_batch(1, {{"a", "2"}}),
       third = keyed_batch(2, {{"b", "1"}}), fourth = keyed_batch(3, {{"a", "3"}});
  EXPECT_EQ(compact({first, second, third, fourth}, {first, second, third}), (Seen{"2 b=1"}));
  EXPECT_EQ(compact({first, second, fourth}, {first, second}), Seen{});
}

TEST_F(CompactorTest, tombstones_stay_for_their_time_and_where_they_may_hide_something) {
  auto value = keyed_batch(0, {{"a", "1"}});
  auto old = keyed_batch(1, {{"a"}}, kNow - kRetention), young = keyed_batch(1, {{"a"}}, kNow);
  EXPECT_EQ(compact({value, old}, {value, old}), Seen{});
  EXPECT_EQ(compact({value, young}, {value, young}), (Seen{"1 a="}));
  EXPECT_EQ(compact({value, old}, {value, old}, false), (Seen{"1 a="}));
}

TEST_F(CompactorTest, what_nobody_can_read_keeps_the_tombstones_behind_it) {
  auto opaque = keyed_batch(0, {{"a", "1"}});
  opaque[22] = static_cast<char>(opaque[22] | 16);  // of a transaction
  store_be(opaque.data() + 17, crc32c(Bytes(opaque).substr(21)));
  auto old = keyed_batch(1, {{"a"}}), more = keyed_batch(2, {{"b", "1"}, {"b", "2"}});
  EXPECT_EQ(compact({more}, {opaque, old, more}), (Seen{"0 a=1", "1 a=", "3 b=2"}));
}

// Neither does a young record go, nor does it supersede an older one.
TEST_F(CompactorTest, what_is_too_young_stays_and_all_behind_it) {
  constexpr std::int64_t kLag = 500, kOld = kNow - kLag;
  auto old = keyed_batch(0, {{"a", "1"}, {"a", "2"}, {"b", "1"}}, kOld);
  auto fresh = keyed_batch(3, {{"a", "3"}, {"a", "4"}, {"b", "2"}}, kOld + 1);
  auto behind = keyed_batch(6, {{"b", "3"}, {"b", "4"}}, kOld);
  auto left = Seen{"1 a=2", "2 b=1", "3 a=3", "4 a=4", "5 b=2", "6 b=3", "7 b=4"};
  EXPECT_EQ(compact({old, fresh, behind}, {old, fresh, behind}, true, 1 << 20, kLag), left);
  ASSERT_TRUE(young.has_value());
  EXPECT_EQ(young->offset, 3);
  EXPECT_EQ(young->timestamp_ms, kOld + 1);
  EXPECT_EQ(noted_end, 3);
  EXPECT_EQ(compact({old, fresh, behind}, {old, fresh, behind}, true, 1 << 20, kLag - 1),
            (Seen{"4 a=4", "7 b=4"}));
  EXPECT_FALSE(young.has_value());
}

// As when the lag was made longer: below what is noted there is something that is too young now.
TEST_F(CompactorTest, tombstones_behind_what_is_too_young_stay) {
  auto value = keyed_batch(0, {{"a", "1"}}, kNow), gone = keyed_batch(1, {{"a"}});
  auto more = keyed_batch(2, {{"a"}, {"b", "1"}, {"b", "2"}});
  EXPECT_EQ(compact({more}, {value, gone, more}, true, 1 << 20, 500),
            (Seen{"0 a=1", "2 a=", "4 b=2"}));
}

TEST_F(CompactorTest, what_the_map_has_no_room_for_stays) {
  std::vector<std::string> batches;
  for (int i = 0; i < 2'000; ++i)
    batches.push_back(keyed_batch(2 * i, {{"key " + std::to_string(i), "1"}, {"same", "1"}}));
  auto seen = compact(batches, batches, true, 30'000);
  EXPECT_LT(noted_end, 2'000);
  EXPECT_GT(noted_end, 1'000);
  EXPECT_EQ(std::ssize(seen), 4'000 - noted_end / 2 + 1);
}

}  // namespace
}  // namespace walrus::log
