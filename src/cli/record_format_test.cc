#include "cli/record_format.h"

#include <gtest/gtest.h>

namespace walrus::cli {
namespace {

std::string print(Bytes format, const StoredRecord& record) {
  std::string text;
  RecordFormat::parse(format)->append(text, "topic", 3, record);
  return text;
}

StoredRecord sample() {
  StoredRecord record;
  record.key = "key";
  record.value = "value";
  record.timestamp = Time(Millis(1234));
  record.offset = Offset{42};
  return record;
}

TEST(RecordFormat, prints_all_tokens) {
  Header headers[] = {{.name = "a", .value = "1"}, {.name = "b"}};
  auto record = sample();
  record.headers = headers;
  EXPECT_EQ(print("%t/%p@%o %T %k=%s [%h] 100%%\\n", record),
            "topic/3@42 1234 key=value [a=1,b=] 100%\n");
}

TEST(RecordFormat, what_is_not_there_prints_nothing) {
  EXPECT_EQ(print("<%k|%s|%h>", StoredRecord()), "<||>");
}

TEST(RecordFormat, payload_is_never_interpreted) {
  auto record = sample();
  record.value = Bytes("%k\\n\0", 5);
  EXPECT_EQ(print("%s", record), std::string("%k\\n\0", 5));
}

TEST(RecordFormat, a_percent_sign_from_an_escape_is_no_token) {
  EXPECT_EQ(print("\\x25s", sample()), "%s");
}

TEST(RecordFormat, refuses_unknown_tokens) {
  EXPECT_FALSE(RecordFormat::parse("%q"));
  EXPECT_FALSE(RecordFormat::parse("100%"));
  EXPECT_FALSE(RecordFormat::parse("\\q"));
}

TEST(RecordFormat, knows_when_it_needs_more_than_values) {
  EXPECT_FALSE(RecordFormat::parse("%o %s")->needs_key_or_headers());
  EXPECT_TRUE(RecordFormat::parse("%k")->needs_key_or_headers());
  EXPECT_TRUE(RecordFormat::parse("%h")->needs_key_or_headers());
}

}  // namespace
}  // namespace walrus::cli
