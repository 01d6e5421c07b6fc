// Each rule of the checker: a history made by hand that breaks it is flagged, by that rule, and a
// near miss passes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "history.h"
#include "names.h"

namespace walrus::sim {
namespace {

constexpr std::int64_t kNow = 1'000'000;

RecordRef record(const std::string& value, std::optional<std::string> key = std::nullopt,
                 std::int64_t stamp = kNow) {
  auto made = std::make_shared<ModelRecord>();
  made->key = std::move(key);
  if (value != "tombstone") made->value = value;
  made->stamp = {stamp, stamp};
  made->appended_ms = stamp;
  made->bytes = 100;
  return made;
}

StreamOptions with(Durability::Kind kind, Millis interval = Millis(0)) {
  StreamOptions options;
  options.durability = {kind, interval};
  return options;
}

// A stream whose history is built with a few words.
struct Fixture {
  StreamHistory model;
  std::vector<RecordRef> records;

  explicit Fixture(const StreamOptions& options = with(Durability::kFsync)) : model(7, options) {}

  std::uint64_t append(std::vector<RecordRef> batch, std::optional<Producer> producer = {}) {
    return model.add({.kind = Mutation::kAppend,
                      .offset = model.now().next,
                      .records = std::move(batch),
                      .producer = producer,
                      .durability = model.options().durability});
  }
  std::uint64_t append(const std::string& value) { return append({record(value)}); }
  void acknowledged(const std::string& value, std::int64_t at = kNow) {
    model.acknowledge(append(value), at);
  }
  std::uint64_t add(Mutation::Kind kind, std::int64_t offset) {
    return model.add({.kind = kind, .offset = offset});
  }
};

ObservedRecord shown(std::int64_t offset, const std::string& value,
                     std::optional<std::string> key = std::nullopt) {
  return {.offset = offset,
          .timestamp_ms = kNow,
          .key = std::move(key),
          .value = value == "tombstone" ? std::nullopt : std::optional(value)};
}

ObservedStream stream(std::int64_t start, const std::vector<std::string>& values) {
  ObservedStream seen;
  seen.log_start = start;
  for (const auto& value : values) {
    seen.records.push_back(shown(start + static_cast<std::int64_t>(seen.records.size()), value));
  }
  seen.log_end = seen.high_watermark = start + static_cast<std::int64_t>(values.size());
  return seen;
}

std::string rule(const Verdict& verdict) { return verdict ? verdict->rule : "none"; }

const Loss kKilled{.page_cache_lost = false, .at_ms = kNow};
const Loss kCut{.page_cache_lost = true, .at_ms = kNow};

TEST(Checker, flags_a_lost_acknowledged_record) {
  Fixture one;
  one.acknowledged("a");
  one.acknowledged("b");
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {"a"}))), "acknowledged-lost");
}

TEST(Checker, lets_an_unacknowledged_record_be_absent) {
  Fixture one;
  one.acknowledged("a");
  one.append("b");
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {"a"}))), "none");
}

TEST(Checker, lets_an_unacknowledged_record_be_present) {
  Fixture one;
  one.acknowledged("a");
  one.append("b");
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {"a", "b"}))), "none");
}

TEST(Checker, flags_a_gap) {
  Fixture one;
  one.append("a");
  one.append("b");
  auto seen = stream(0, {"a", "b"});
  seen.records.erase(seen.records.begin());
  EXPECT_EQ(rule(one.model.reconcile(kCut, seen)), "not-a-prefix");
}

TEST(Checker, flags_a_duplicate) {
  Fixture one;
  one.acknowledged("a");
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {"a", "a"}))), "not-a-prefix");
}

TEST(Checker, flags_half_a_batch_after_a_restart) {
  Fixture one;
  one.append({record("a"), record("b")});
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {"a"}))), "not-a-prefix");
}

TEST(Checker, lets_a_whole_batch_survive) {
  Fixture one;
  one.append({record("a"), record("b")});
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {"a", "b"}))), "none");
}

TEST(Checker, flags_wrong_bytes) {
  Fixture one;
  one.acknowledged("a");
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {"A"}))), "not-a-prefix");
}

TEST(Checker, flags_an_os_record_lost_by_a_kill) {
  Fixture one(with(Durability::kOs));
  one.acknowledged("a");
  EXPECT_EQ(rule(one.model.reconcile(kKilled, stream(0, {}))), "acknowledged-lost");
}

TEST(Checker, lets_an_os_record_be_lost_by_a_power_cut) {
  Fixture one(with(Durability::kOs));
  one.acknowledged("a");
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {}))), "none");
}

TEST(Checker, flags_an_os_record_lost_after_a_sync) {
  Fixture one(with(Durability::kOs));
  one.acknowledged("a");
  one.model.acknowledge_sync(one.model.issued());
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {}))), "acknowledged-lost");
}

TEST(Checker, flags_an_interval_record_lost_after_its_interval) {
  Fixture one(with(Durability::kInterval, Millis(100)));
  one.acknowledged("a", kNow - 101);
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {}))), "acknowledged-lost");
}

TEST(Checker, lets_an_interval_record_be_lost_within_its_interval) {
  Fixture one(with(Durability::kInterval, Millis(100)));
  one.acknowledged("a", kNow - 99);
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {}))), "none");
}

TEST(Checker, flags_a_trimmed_record_that_comes_back) {
  Fixture one;
  one.acknowledged("a");
  one.acknowledged("b");
  one.model.acknowledge(one.add(Mutation::kTrim, 1), kNow);
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {"a", "b"}))), "acknowledged-lost");
}

TEST(Checker, lets_an_unacknowledged_trim_be_undone) {
  Fixture one;
  one.acknowledged("a");
  one.acknowledged("b");
  one.add(Mutation::kTrim, 1);
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {"a", "b"}))), "none");
}

TEST(Checker, flags_a_truncated_record_that_comes_back) {
  Fixture one;
  one.acknowledged("a");
  one.acknowledged("b");
  one.model.acknowledge(one.add(Mutation::kTruncate, 1), kNow);
  one.acknowledged("c");
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {"a", "b"}))), "acknowledged-lost");
  auto seen = stream(0, {"a", "c"});
  EXPECT_EQ(rule(one.model.reconcile(kCut, seen)), "not-a-prefix");  // in the epoch of "b"
  seen.records[1].epoch = 1;
  EXPECT_EQ(rule(one.model.reconcile(kCut, seen)), "none");
}

TEST(Checker, lets_a_truncation_of_what_was_lost_be_lost_with_it) {
  Fixture one;
  one.acknowledged("a");
  one.append("b");
  one.add(Mutation::kTruncate, 1);
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {"a"}))), "none");
  one.acknowledged("c");  // whether in another epoch than "a" nobody can say
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {"a", "c"}))), "none");
}

TEST(Checker, flags_a_cursor_older_than_acknowledged) {
  Fixture one;
  one.model.acknowledge(one.model.add({.kind = Mutation::kPut, .key = "c", .value = "1"}), kNow);
  one.model.acknowledge(one.model.add({.kind = Mutation::kPut, .key = "c", .value = "2"}), kNow);
  auto seen = stream(0, {});
  seen.cursors["c"] = "1";
  EXPECT_EQ(rule(one.model.reconcile(kCut, seen)), "acknowledged-lost");
}

TEST(Checker, lets_a_cursor_be_a_later_unacknowledged_value) {
  Fixture one;
  one.model.acknowledge(one.model.add({.kind = Mutation::kPut, .key = "c", .value = "1"}), kNow);
  one.model.add({.kind = Mutation::kPut, .key = "c", .value = "2"});
  auto seen = stream(0, {});
  seen.cursors["c"] = "2";
  EXPECT_EQ(rule(one.model.reconcile(kCut, seen)), "none");
}

TEST(Checker, flags_a_cursor_that_survived_the_data_before_it) {
  Fixture one(with(Durability::kOs));
  one.append("a");
  one.model.add({.kind = Mutation::kPut, .key = "c", .value = "1"});
  auto seen = stream(0, {});
  seen.cursors["c"] = "1";
  EXPECT_EQ(rule(one.model.reconcile(kCut, seen)), "not-a-prefix");
}

TEST(Checker, flags_records_that_were_recovered_but_are_not_readable) {
  Fixture one;
  one.append("a");
  auto seen = stream(0, {"a"});
  seen.high_watermark = 0;
  EXPECT_EQ(rule(one.model.reconcile(kCut, seen)), "recovered-unreadable");
}

TEST(Checker, flags_what_a_reader_saw_and_a_cut_took) {
  Fixture one;
  one.append("a");
  EXPECT_EQ(rule(one.model.check_bounds(0, 1, 1, kNow)), "none");
  EXPECT_EQ(rule(one.model.reconcile(kCut, stream(0, {}))), "acknowledged-lost");
}

TEST(Checker, flags_an_acknowledged_record_above_the_high_watermark) {
  Fixture one;
  one.acknowledged("a");
  EXPECT_EQ(rule(one.model.check_bounds(0, 0, 1, kNow)), "high-watermark");
  EXPECT_EQ(rule(one.model.check_bounds(0, 1, 1, kNow)), "none");
}

TEST(Checker, flags_a_high_watermark_inside_a_batch) {
  Fixture one;
  one.append({record("a"), record("b")});
  EXPECT_EQ(rule(one.model.check_bounds(0, 1, 2, kNow)), "batch-half-visible");
}

TEST(Checker, flags_a_log_end_that_is_not_the_model_s) {
  Fixture one;
  one.append("a");
  EXPECT_EQ(rule(one.model.check_bounds(0, 0, 2, kNow)), "log-end");
}

TEST(Checker, flags_a_log_start_that_goes_back) {
  Fixture one;
  one.acknowledged("a");
  one.acknowledged("b");
  one.add(Mutation::kTrim, 1);
  EXPECT_EQ(rule(one.model.check_bounds(0, 2, 2, kNow)), "resurrected");
  EXPECT_EQ(rule(one.model.check_bounds(1, 2, 2, kNow)), "none");
}

TEST(Checker, flags_a_log_start_that_moves_without_retention) {
  Fixture one;
  one.acknowledged("a");
  one.acknowledged("b");
  EXPECT_EQ(rule(one.model.check_bounds(1, 2, 2, kNow)), "log-start");
}

TEST(Checker, flags_retention_by_time_that_deletes_young_records) {
  auto options = with(Durability::kFsync);
  options.retention_time = Millis(100);
  Fixture one(options);
  one.acknowledged("a");
  one.acknowledged("b");
  EXPECT_EQ(rule(one.model.check_bounds(1, 2, 2, kNow + 99)), "log-start");
  EXPECT_EQ(rule(one.model.check_bounds(1, 2, 2, kNow + 100)), "none");
}

TEST(Checker, flags_retention_by_size_that_keeps_too_little) {
  auto options = with(Durability::kFsync);
  options.retention_bytes = 200;  // two records of the fixture
  Fixture one(options);
  one.acknowledged("a");
  one.acknowledged("b");
  one.acknowledged("c");
  EXPECT_EQ(rule(one.model.check_bounds(2, 3, 3, kNow)), "log-start");
  EXPECT_EQ(rule(one.model.check_bounds(1, 3, 3, kNow)), "none");
}

TEST(Checker, flags_a_read_of_other_bytes) {
  Fixture one;
  one.acknowledged("a");
  EXPECT_EQ(rule(one.model.check_read(0, 1, {shown(0, "b")}, kNow)), "read");
  EXPECT_EQ(rule(one.model.check_read(0, 1, {shown(0, "a")}, kNow)), "none");
}

TEST(Checker, flags_a_read_that_leaves_a_record_out) {
  Fixture one;
  one.acknowledged("a");
  one.acknowledged("b");
  EXPECT_EQ(rule(one.model.check_read(0, 2, {shown(1, "b")}, kNow)), "read");
  EXPECT_EQ(rule(one.model.check_read(0, 1, {shown(0, "a")}, kNow)), "none");
}

TEST(Checker, flags_compaction_that_drops_the_last_record_of_a_key) {
  auto options = with(Durability::kFsync);
  options.compact = true;
  Fixture one(options);
  one.model.acknowledge(one.append({record("a", "k")}), kNow);
  one.model.acknowledge(one.append({record("b", "k")}), kNow);
  EXPECT_EQ(rule(one.model.check_read(0, 2, {shown(0, "a", "k")}, kNow)), "read");
  EXPECT_EQ(rule(one.model.check_read(0, 2, {shown(1, "b", "k")}, kNow)), "none");
}

TEST(Checker, flags_a_tombstone_dropped_too_early) {
  auto options = with(Durability::kFsync);
  options.compact = true;
  options.tombstone_retention = Millis(100);
  Fixture one(options);
  one.model.acknowledge(one.append({record("tombstone", "k")}), kNow);
  EXPECT_EQ(rule(one.model.check_read(0, 1, {}, kNow + 99)), "read");
  EXPECT_EQ(rule(one.model.check_read(0, 1, {}, kNow + 100)), "none");
}

TEST(Checker, flags_compaction_of_what_is_too_young) {
  auto options = with(Durability::kFsync);
  options.compact = true;
  options.compaction_lag_min = Millis(100);
  Fixture one(options);
  one.model.acknowledge(one.append({record("a", "k")}), kNow);
  one.model.acknowledge(one.append({record("b", "k")}), kNow);
  EXPECT_EQ(rule(one.model.check_read(0, 2, {shown(1, "b", "k")}, kNow + 99)), "read");
  EXPECT_EQ(rule(one.model.check_read(0, 2, {shown(1, "b", "k")}, kNow + 100)), "none");
}

TEST(Checker, flags_a_superseded_value_that_outlives_its_tombstone) {
  auto options = with(Durability::kFsync);
  options.compact = true;
  options.tombstone_retention = Millis(0);
  Fixture one(options);
  one.model.acknowledge(one.append({record("a", "k")}), kNow);
  one.model.acknowledge(one.append({record("tombstone", "k")}), kNow);
  one.model.acknowledge(one.append({record("b")}), kNow);
  EXPECT_EQ(rule(one.model.check_read(0, 3, {shown(0, "a", "k"), shown(2, "b")}, kNow)), "read");
  EXPECT_EQ(rule(one.model.check_read(0, 3, {shown(2, "b")}, kNow)), "none");
}

TEST(Checker, finds_the_first_record_that_is_not_older) {
  Fixture one;
  one.append({record("a", std::nullopt, 10), record("b", std::nullopt, 30),
              record("c", std::nullopt, 20)});
  EXPECT_EQ(rule(one.model.check_find(15, 3, 1)), "none");
  EXPECT_EQ(rule(one.model.check_find(15, 3, 2)), "find-time");
  EXPECT_EQ(rule(one.model.check_find(15, 3, 0)), "find-time");
  EXPECT_EQ(rule(one.model.check_find(31, 3, 3)), "none");
}

TEST(Checker, owes_a_retried_batch_its_first_offset) {
  Fixture one;
  one.append("before");
  one.append({record("a"), record("b")}, Producer{1, 0, 0});
  one.append({record("c")}, Producer{1, 0, 2});
  auto again = one.model.expect_append(2, std::nullopt, Producer{1, 0, 0});
  EXPECT_EQ(again.kind, ExpectedAnswer::kDuplicate);
  EXPECT_EQ(again.offset, 1);
}

TEST(Checker, forgets_the_sixth_batch_back) {
  Fixture one;
  for (std::int32_t i = 0; i < 6; ++i) one.append({record("a")}, Producer{1, 0, i});
  EXPECT_EQ(one.model.expect_append(1, std::nullopt, Producer{1, 0, 0}).code, Code::kMismatch);
  EXPECT_EQ(one.model.expect_append(1, std::nullopt, Producer{1, 0, 1}).kind,
            ExpectedAnswer::kDuplicate);
}

TEST(Checker, owes_a_refusal_to_gaps_and_old_epochs) {
  Fixture one;
  one.append({record("a")}, Producer{1, 3, 0});
  EXPECT_EQ(one.model.expect_append(1, std::nullopt, Producer{1, 3, 2}).code, Code::kMismatch);
  EXPECT_EQ(one.model.expect_append(1, std::nullopt, Producer{1, 2, 1}).code, Code::kFenced);
  EXPECT_EQ(one.model.expect_append(1, std::nullopt, Producer{1, 4, 0}).kind,
            ExpectedAnswer::kAppended);
}

TEST(Checker, owes_a_refusal_to_another_expected_offset) {
  Fixture one;
  one.append("a");
  EXPECT_EQ(one.model.expect_append(1, 0, std::nullopt).code, Code::kMismatch);
  EXPECT_EQ(one.model.expect_append(1, 1, std::nullopt).kind, ExpectedAnswer::kAppended);
}

TEST(Checker, flags_an_acknowledged_tail_cut_below_a_mark) {
  Fixture one;
  one.acknowledged("a", kNow - 50);
  Loss damaged = kCut;
  damaged.marked_ms = kNow - 40;
  EXPECT_EQ(rule(one.model.reconcile(damaged, stream(0, {}))), "acknowledged-lost");
}

TEST(Checker, lets_a_damaged_tail_above_the_mark_go) {
  Fixture one;
  one.acknowledged("a", kNow - 30);
  Loss damaged = kCut;
  damaged.marked_ms = kNow - 40;
  EXPECT_EQ(rule(one.model.reconcile(damaged, stream(0, {}))), "none");
}

TEST(Checker, lets_a_damaged_record_be_refused_but_not_be_wrong) {
  Fixture one;
  one.acknowledged("a");
  one.acknowledged("b");
  auto seen = stream(0, {"a", "b"});
  seen.records.pop_back();
  seen.unreadable = {{1, 2}};
  EXPECT_EQ(rule(one.model.reconcile(kCut, seen)), "none");
  Fixture two;
  two.acknowledged("a");
  two.acknowledged("b");
  seen.records[0].value = "x";
  EXPECT_EQ(rule(two.model.reconcile(kCut, seen)), "not-a-prefix");
}

TEST(Checker, flags_a_removed_stream_that_comes_back) {
  NameHistory name;
  auto options = with(Durability::kFsync);
  name.acknowledge(name.add({.kind = Naming::kCreate, .id = 1, .options = options}), kNow);
  name.acknowledge(name.add({.kind = Naming::kRemove, .id = 1}), kNow);
  EXPECT_EQ(rule(name.reconcile("n", ObservedName{1, options}, std::nullopt)),
            "resurrected-stream");
  EXPECT_EQ(rule(name.reconcile("n", std::nullopt, std::nullopt)), "none");
}

TEST(Checker, lets_an_unacknowledged_removal_be_undone) {
  NameHistory name;
  auto options = with(Durability::kFsync);
  name.acknowledge(name.add({.kind = Naming::kCreate, .id = 1, .options = options}), kNow);
  name.add({.kind = Naming::kRemove, .id = 1});
  EXPECT_EQ(rule(name.reconcile("n", ObservedName{1, options}, std::nullopt)), "none");
}

TEST(Checker, flags_a_lost_creation_of_a_stream_whose_records_were_acknowledged) {
  NameHistory name;
  name.add({.kind = Naming::kCreate, .id = 1});
  name.require_creation(1);
  EXPECT_EQ(rule(name.reconcile("n", std::nullopt, std::nullopt)), "acknowledged-lost");
}

TEST(Checker, flags_options_that_were_never_set) {
  NameHistory name;
  name.add({.kind = Naming::kCreate, .id = 1, .options = with(Durability::kFsync)});
  EXPECT_EQ(rule(name.reconcile("n", ObservedName{1, with(Durability::kOs)}, std::nullopt)),
            "catalogue");
}

TEST(Checker, flags_a_lost_alteration) {
  NameHistory name;
  auto before = with(Durability::kFsync), after = with(Durability::kOs);
  name.acknowledge(name.add({.kind = Naming::kCreate, .id = 1, .options = before}), kNow);
  name.acknowledge(name.add({.kind = Naming::kAlter, .id = 1, .options = after}), kNow);
  EXPECT_EQ(rule(name.reconcile("n", ObservedName{1, before}, std::nullopt)), "resurrected-stream");
  EXPECT_EQ(rule(name.reconcile("n", ObservedName{1, after}, std::nullopt)), "none");
}

}  // namespace
}  // namespace walrus::sim
