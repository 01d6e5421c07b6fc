#include "cli/time_text.h"

#include <gtest/gtest.h>

namespace walrus::cli {
namespace {

std::optional<std::int64_t> millis(Bytes text) {
  auto time = parse_time(text);
  if (!time) return std::nullopt;
  return time->time_since_epoch().count();
}

TEST(TimeText, parses_rfc_3339) {
  EXPECT_EQ(millis("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(millis("2026-05-13T08:00:00Z"), 1778659200000);
  EXPECT_EQ(millis("2026-05-13t08:00:00.25z"), 1778659200250);
  EXPECT_EQ(millis("2026-05-13T08:00:00.123456Z"), 1778659200123);
  EXPECT_EQ(millis("2026-05-13T10:00:00+02:00"), 1778659200000);
  EXPECT_EQ(millis("2026-05-13 02:30:00-05:30"), 1778659200000);
}

TEST(TimeText, refuses_everything_else) {
  for (Bytes text : {"", "now", "2026-05-13", "2026-05-13T08:00:00", "2026-13-01T00:00:00Z",
                     "2026-02-30T00:00:00Z", "2026-05-13T24:00:00Z", "2026-05-13T08:60:00Z",
                     "2026-05-13T08:00:00.Z", "2026-05-13T08:00:00+2", "2026-05-13T08:00:00Zx",
                     "-026-05-13T08:00:00Z"})
    EXPECT_EQ(millis(text), std::nullopt) << text;
}

TEST(TimeText, writes_what_it_parses) {
  for (Bytes text : {"1970-01-01T00:00:00Z", "2026-05-13T08:00:09Z", "1969-12-31T23:59:59Z",
                     "2100-02-28T23:00:00Z"})
    EXPECT_EQ(format_time(*parse_time(text)), text);
  EXPECT_EQ(format_time(*parse_time("2026-05-13T08:00:00.999Z")), "2026-05-13T08:00:00Z");
}

}  // namespace
}  // namespace walrus::cli
