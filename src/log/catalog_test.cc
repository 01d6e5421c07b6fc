// The catalogue's values: their bytes, those of every earlier version, and what is refused.

#include "log/catalog.h"

#include <gtest/gtest.h>

namespace walrus::log {
namespace {

CatalogEntry some_entry() {
  CatalogEntry entry{.id = 300};
  entry.options.durability = {Durability::kInterval, Millis(200)};
  entry.options.segment_records_max = 50;
  entry.options.segment_bytes_max = 65'536;
  entry.options.segment_time_max = Millis(5);
  entry.options.retention_time = Millis(1'000);
  entry.options.compact = true;
  entry.options.tombstone_retention = Millis(7);
  return entry;
}

// Behind the version: id, durability, segment, retention, compaction.
const std::string kPlain(
    "\xac\x02"
    "\x01\x90\x03"
    "\x64\x80\x80\x08\x01\x0a"
    "\x00\x00\x01\xd0\x0f"
    "\x01\x0e",
    18);
const std::string kLags("\x90\x03\x01\xd0\x0f", 5);  // 200 ms, 1 s

std::string bytes_of(char version, const std::string& rest) { return version + rest; }

TEST(CatalogEntryTest, has_golden_bytes_of_the_lowest_version_that_holds_it) {
  auto entry = some_entry();
  EXPECT_EQ(encode_catalog_entry(entry), bytes_of(1, kPlain));
  entry.attributes = "mine";
  EXPECT_EQ(encode_catalog_entry(entry), bytes_of(2, kPlain + "\x04mine"));
  entry.options.compaction_lag_min = Millis(200);
  entry.options.compaction_lag_max = Millis(1'000);
  EXPECT_EQ(encode_catalog_entry(entry), bytes_of(3, kPlain + "\x04mine" + kLags));
  entry.attributes = "";
  entry.options.compaction_lag_max.reset();
  EXPECT_EQ(encode_catalog_entry(entry), bytes_of(3, kPlain + std::string("\0\x90\x03\0\0", 5)));
}

TEST(CatalogEntryTest, of_every_version_is_read) {
  for (char version : {1, 2, 3}) {
    auto rest = kPlain;
    if (version > 1) rest += "\x04mine";
    if (version > 2) rest += kLags;
    auto entry = decode_catalog_entry(bytes_of(version, rest));
    ASSERT_TRUE(entry.has_value()) << entry.error().message;
    EXPECT_EQ(entry->id, 300U);
    EXPECT_EQ(entry->options.segment_time_max, Millis(5));
    EXPECT_EQ(entry->options.tombstone_retention, Millis(7));
    EXPECT_EQ(entry->attributes, version > 1 ? "mine" : "");
    EXPECT_EQ(entry->options.compaction_lag_min, Millis(version > 2 ? 200 : 0));
    EXPECT_EQ(entry->options.compaction_lag_max.value_or(Millis(0)),
              Millis(version > 2 ? 1'000 : 0));
  }
}

TEST(CatalogEntryTest, that_is_damaged_is_told_and_a_newer_one_refused) {
  auto entry = some_entry();
  entry.options.compaction_lag_min = Millis(200);
  entry.attributes = "mine";
  auto bytes = encode_catalog_entry(entry);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_EQ(decode_catalog_entry(Bytes(bytes).substr(0, size)).error().code, Code::kCorrupt);
  EXPECT_EQ(decode_catalog_entry(bytes + "x").error().code, Code::kCorrupt);
  // What an earlier version would hold is not written as this one.
  auto hollow = bytes_of(3, kPlain + std::string("\x04mine\0\0\0", 8));
  EXPECT_EQ(decode_catalog_entry(hollow).error().code, Code::kCorrupt);
  bytes[0] = 4;
  EXPECT_EQ(decode_catalog_entry(bytes).error().code, Code::kVersion);
}

TEST(StreamOptionsTest, lags_of_compaction_are_checked) {
  auto check = [](Millis least, std::optional<Millis> most) {
    return check_stream_options({.compaction_lag_min = least, .compaction_lag_max = most});
  };
  EXPECT_TRUE(check(Millis(0), std::nullopt).has_value());
  EXPECT_TRUE(check(Millis(5), Millis(5)).has_value());
  EXPECT_EQ(check(Millis(-1), std::nullopt).error().message,
            "compaction_lag_min must not be negative");
  EXPECT_EQ(check(Millis(0), Millis(0)).error().message,
            "compaction_lag_max must be at least 1 ms");
  EXPECT_EQ(check(Millis(6), Millis(5)).error().message,
            "compaction_lag_max must not be below compaction_lag_min");
}

}  // namespace
}  // namespace walrus::log
