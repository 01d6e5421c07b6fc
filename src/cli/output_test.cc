#include "cli/output.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace walrus::cli {
namespace {

TEST(Output, bytes_are_a_string_where_they_are_text) {
  EXPECT_EQ(json_of(Bytes("gr\xc3\xbc\xc3\x9f")).dump(), "\"gr\xc3\xbc\xc3\x9f\"");
  EXPECT_EQ(json_of(Bytes("\xff")).dump(), "{\"base64\":\"/w==\"}");
  EXPECT_EQ(json_of(std::optional<Bytes>()).dump(), "null");
}

TEST(Output, errors_keep_their_code_and_gain_what_failed) {
  auto result = about("put t", Result<void>(fail(Code::kNoSpace, "storage full")));
  EXPECT_EQ(result.error().code, Code::kNoSpace);
  EXPECT_EQ(result.error().message, "put t: storage full");
}

TEST(Output, what_a_stranger_calls_itself_does_not_steer_the_terminal) {
  EXPECT_EQ(printable("a\x1b[2Jb\x7f"), "a?[2Jb?");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m \xc2\xa7 gr\xc3\xbc\xc3\x9f"),
            "?31m \xc2\xa7 gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(cell({{"name", "a\nb"}, {"lag", 5}}, "name"), "a?b");
  EXPECT_EQ(cell({{"name", nullptr}}, "name"), "-");
}

TEST(Output, tables_align_numbers_to_the_right) {
  Table table({"name", "records"});
  table.add({"a", "5"});
  table.add({"longer", "12345678"});
  EXPECT_EQ(table.text(), "name     records\na              5\nlonger  12345678\n");
}

}  // namespace
}  // namespace walrus::cli
