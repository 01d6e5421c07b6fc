#pragma once
// For tests of the public face: a log in a directory of its own, on the real world, with a journal
// so small that it is recycled many times in a test.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "log/facade.h"

namespace walrus::log {

class Directory {
 public:
  Directory() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::temp_directory_path() /
            fmt::format("walrus-{}-{}-{}", test->test_suite_name(), test->name(), ::getpid());
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline EngineOptions small_options(const std::filesystem::path& root) {
  EngineOptions options;
  options.user.root = root;
  options.user.shards = 1;
  options.user.batch_bytes_max = 4 << 20;
  options.user.journal_bytes_max = 32 << 20;
  options.user.background_bytes_per_s = std::int64_t{1} << 30;
  options.journal_file_bytes_min = 1 << 20;
  options.journal_file_bytes_max = 8 << 20;
  options.checkpoint_bytes = 4 << 20;
  return options;
}

constexpr StreamOptions kOs{.durability = {.kind = Durability::kOs}};

class LogTest : public ::testing::Test {
 protected:
  LogTest() : options(small_options(directory.path() / "log")) {}

  Log open() {
    auto log = open_log(io::real_env(), options);
    EXPECT_TRUE(log.has_value()) << log.error().message;
    return *std::move(log);
  }
  // As a restart: closes, opens.
  void reopen(std::optional<Log>& log) {
    if (log) EXPECT_TRUE(log->close().has_value());
    log.reset();
    log.emplace(open());
  }

  Directory directory;
  EngineOptions options;
};

template <class T>
::testing::AssertionResult fails_with(const Result<T>& result, Code code) {
  if (result) return ::testing::AssertionFailure() << "it succeeded";
  if (result.error().code == code) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "code " << static_cast<int>(result.error().code) << ": " << result.error().message;
}

template <class T>
::testing::AssertionResult succeeds(const Result<T>& result) {
  if (result) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << result.error().message;
}

inline Record value(Bytes bytes) { return {.key = {}, .value = bytes}; }

inline std::vector<Record> values(std::span<const std::string> from) {
  std::vector<Record> records;
  for (const auto& one : from) records.push_back(value(one));
  return records;
}

inline std::vector<std::string> values_of(const Records& records) {
  std::vector<std::string> out;
  for (const auto& record : records) out.emplace_back(record.value.value_or("(none)"));
  return out;
}

// All of a stream, read in pieces.
inline std::vector<std::string> read_all(const Stream& stream, const ReadOptions& options = {}) {
  std::vector<std::string> out;
  for (Offset at{};;) {
    auto records = stream.read(at, options);
    EXPECT_TRUE(succeeds(records));
    if (!records || records->empty()) return out;
    for (const auto& record : *records) {
      EXPECT_EQ(record.offset.value, static_cast<std::int64_t>(out.size()));
      out.emplace_back(record.value.value_or("(none)"));
    }
    at = records->next();
  }
}

// Appends values "0", "1"... as one batch.
inline void append_numbers(Stream& stream, int from, int to) {
  std::vector<std::string> numbers;
  for (int i = from; i < to; ++i) numbers.push_back(std::to_string(i));
  ASSERT_TRUE(succeeds(stream.append(values(numbers))));
}

inline std::vector<std::string> numbers(int from, int to) {
  std::vector<std::string> out;
  for (int i = from; i < to; ++i) out.push_back(std::to_string(i));
  return out;
}

}  // namespace walrus::log
