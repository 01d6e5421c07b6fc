#pragma once
// What the golden files in tests/golden/record hold, for this room's tests.

#include <fmt/format.h>

#include <deque>
#include <string>
#include <vector>

#include "record/batch.h"

namespace walrus::record {

constexpr Time kSampleTime{Millis(1'700'000'000'000)};

// The bytes that a golden file or a fuzz corpus names: hex digits; # begins a comment.
std::string read_golden(const std::string& name);

// Records that own what they point to.
class SampleRecords {
 public:
  std::vector<Record> records;

  static SampleRecords one() {
    SampleRecords made;
    made.records.push_back({.value = "hello", .timestamp = kSampleTime});
    return made;
  }
  // Null key; tombstone; empty key and value; headers.
  static SampleRecords mixed() {
    static constexpr Header kHeaders[] = {
        {.name = "h", .value = "1"}, {.name = "null"}, {.name = "", .value = ""}};
    SampleRecords made;
    made.records = {
        {.value = "first", .timestamp = kSampleTime},
        {.key = "k1", .timestamp = kSampleTime + Millis(1)},
        {.key = "", .value = "", .timestamp = kSampleTime - Millis(5)},
        {.key = "k3",
         .value = "v3",
         .headers = kHeaders,
         .timestamp = kSampleTime + Millis(70'000)},
    };
    return made;
  }
  static SampleRecords hundred() {
    SampleRecords made;
    for (int i = 0; i < 100; ++i) {
      std::string value;
      for (int j = 0; j < i % 13; ++j) value += "walrus ";
      auto& key = made.strings_.emplace_back(fmt::format("key-{}", i % 7));
      auto& whole = made.strings_.emplace_back(value + std::to_string(i));
      made.records.push_back({.key = key, .value = whole, .timestamp = kSampleTime + Millis(i)});
    }
    return made;
  }

 private:
  std::deque<std::string> strings_;
};

// Fails the running test unless the batch holds exactly these records, all with timestamps.
void expect_records(const BatchView& batch, std::span<const Record> expected);

}  // namespace walrus::record
