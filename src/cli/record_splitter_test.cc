#include "cli/record_splitter.h"

#include <gtest/gtest.h>

#include "base/coding.h"

namespace walrus::cli {
namespace {

// All records of `input`, fed in chunks of `chunk` bytes.
Result<std::vector<std::string>> split(RecordSplitter splitter, Bytes input, std::size_t chunk) {
  std::vector<std::string> all;
  std::vector<Bytes> records;
  auto keep = [&] {
    for (auto record : records) all.emplace_back(record);
    records.clear();
  };
  for (; !input.empty(); input.remove_prefix(std::min(chunk, input.size()))) {
    WALRUS_TRY(splitter.feed(input.substr(0, chunk), records));
    keep();
  }
  WALRUS_TRY(splitter.finish(records));
  keep();
  return all;
}

using Records = std::vector<std::string>;

TEST(RecordSplitter, gives_lines_whatever_the_chunks) {
  for (std::size_t chunk = 1; chunk < 12; ++chunk)
    EXPECT_EQ(*split(RecordSplitter::delimited("\n"), "one\n\nthree\n", chunk),
              (Records{"one", "", "three"}));
}

TEST(RecordSplitter, a_missing_final_newline_is_no_matter) {
  EXPECT_EQ(*split(RecordSplitter::delimited("\n"), "a\nb", 64), (Records{"a", "b"}));
  EXPECT_EQ(*split(RecordSplitter::delimited("\n"), "a\nb\n", 64), (Records{"a", "b"}));
  EXPECT_EQ(*split(RecordSplitter::delimited("\n"), "", 64), Records{});
  EXPECT_EQ(*split(RecordSplitter::delimited("\n"), "\n", 64), Records{""});
}

TEST(RecordSplitter, finds_delimiters_of_several_bytes_across_chunks) {
  for (std::size_t chunk = 1; chunk < 12; ++chunk)
    EXPECT_EQ(*split(RecordSplitter::delimited("<>"), "a<<>b<c<>", chunk), (Records{"a<", "b<c"}));
}

TEST(RecordSplitter, reads_length_prefixed_records) {
  std::string input;
  for (Bytes record : {Bytes("one"), Bytes(""), Bytes("a\nb")}) {
    append_le(input, static_cast<std::uint32_t>(record.size()));
    input += record;
  }
  for (std::size_t chunk = 1; chunk < 20; ++chunk)
    EXPECT_EQ(*split(RecordSplitter::length_prefixed(), input, chunk),
              (Records{"one", "", "a\nb"}));
}

TEST(RecordSplitter, an_input_cut_inside_a_record_is_an_error) {
  std::string input;
  append_le(input, std::uint32_t{5});
  input += "four";
  EXPECT_EQ(split(RecordSplitter::length_prefixed(), input, 64).error().code, Code::kCorrupt);
  EXPECT_EQ(split(RecordSplitter::length_prefixed(), "ab", 64).error().code, Code::kCorrupt);
}

TEST(RecordSplitter, refuses_a_length_above_the_limit_before_it_takes_memory) {
  std::string input;
  append_le(input, std::uint32_t{0xffffffff});
  EXPECT_EQ(split(RecordSplitter::length_prefixed(), input, 64).error().code, Code::kTooLarge);
}

}  // namespace
}  // namespace walrus::cli
