#include "base/log_line.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace walrus {
namespace {

class Lines : public LogSink {
 public:
  explicit Lines(LogLevel least) : least_(least) {}
  bool wants(LogLevel level) const override { return level >= least_; }
  void write(LogLevel level, Bytes line) override { lines.emplace_back(level, line); }
  std::vector<std::pair<LogLevel, std::string>> lines;

 private:
  LogLevel least_;
};

std::string value(Bytes text) { return std::string(LogValue(text).text()); }

TEST(LogLine, is_an_event_and_its_fields) {
  std::string path = "/var/lib/walrus";
  EXPECT_EQ(format_log_line("segment_sealed", {{"stream", 17u},
                                               {"offset", Offset{-1}},
                                               {"path", path},
                                               {"clean", true},
                                               {"ratio", 0.5},
                                               {"face", "native"}}),
            "segment_sealed stream=17 offset=-1 path=/var/lib/walrus clean=true ratio=0.5 "
            "face=native");
}

TEST(LogLine, without_fields_is_the_event) { EXPECT_EQ(format_log_line("stopped", {}), "stopped"); }

TEST(LogLine, quotes_values_that_would_not_stand_alone) {
  EXPECT_EQ(value("plain-text_1.5:x/y"), "plain-text_1.5:x/y");
  EXPECT_EQ(value(""), "\"\"");
  EXPECT_EQ(value("two words"), "\"two words\"");
  EXPECT_EQ(value("a=b"), "\"a=b\"");
  EXPECT_EQ(value("say \"hi\""), "\"say \\\"hi\\\"\"");
  EXPECT_EQ(value("C:\\x"), "\"C:\\\\x\"");
}

TEST(LogLine, stays_one_line_whatever_a_value_holds) {
  EXPECT_EQ(value("a\nb\r\tc"), "\"a\\nb\\r\\tc\"");
  EXPECT_EQ(value(Bytes("\0\x1b[31m\x7f", 7)), "\"\\x00\\x1b[31m\\x7f\"");
}

TEST(LogLine, keeps_utf8_and_escapes_other_bytes) {
  EXPECT_EQ(value("h\xc3\xa9"), "h\xc3\xa9");
  EXPECT_EQ(value("h\xc3\xa9\xff"), "\"h\xc3\xa9\\xff\"");
}

TEST(LogLine, writes_an_error_with_its_code) {
  Error error{Code::kNoSpace, "segments/00/1.seg at 4096: disk full"};
  EXPECT_EQ(format_log_line("checkpoint_failed", {{"error", error}}),
            "checkpoint_failed error=\"no_space: segments/00/1.seg at 4096: disk full\"");
}

TEST(LogLine, goes_to_the_sink_with_its_level) {
  Lines lines(LogLevel::kInfo);
  log_line(lines, LogLevel::kWarning, "disk_low", {{"free_bytes", 12}});
  ASSERT_EQ(lines.lines.size(), 1u);
  EXPECT_EQ(lines.lines[0], std::pair(LogLevel::kWarning, std::string("disk_low free_bytes=12")));
}

TEST(LogLine, a_level_that_the_sink_does_not_want_is_dropped) {
  Lines lines(LogLevel::kInfo);
  log_line(lines, LogLevel::kDebug, "tick");
  EXPECT_TRUE(lines.lines.empty());
}

TEST(LogLine, level_names) {
  EXPECT_STREQ(level_name(LogLevel::kDebug), "debug");
  EXPECT_STREQ(level_name(LogLevel::kError), "error");
}

}  // namespace
}  // namespace walrus
