#include "wire/native/reply.h"

#include <gtest/gtest.h>

#include <climits>

#include "wire/native/errors.h"
#include "wire/native/frame.h"

namespace walrus::wire::native {
namespace {

using namespace std::string_view_literals;

Bytes body(const std::string& frame) { return Bytes(frame).substr(kFrameHeaderBytes); }

TEST(ReplyTest, plain_replies) {
  std::string out;
  append_ok(out);
  append_empty(out);
  append_payload(out, "");
  append_payload(out, "a\n");
  append_offset(out, Offset{42});
  append_pair(out, 7, 2);
  append_error(out, text::unknown_topic("t"));
  EXPECT_EQ(out,
            "\x02\0\0\0OK\x05\0\0\0EMPTY\x03\0\0\0OK \x05\0\0\0OK a\n\x05\0\0\0OK 42"
            "\x06\0\0\0OK 7 2\x13\0\0\0ERR unknown topic t"sv);
}

TEST(ReplyTest, records_round_trip) {
  const ReadRecord records[] = {
      {Offset{5}, 1700000000000, "a\nb"}, {Offset{7}, 0, ""}, {Offset{8}, -1, std::nullopt}};
  std::string lines, frame;
  for (const auto& record : records) append_record_line(lines, record);
  append_records(frame, 3, Offset{9}, lines);
  EXPECT_EQ(body(frame), "OK 3 9\n5 1700000000000 3 a\nb\n7 0 0 \n8 -1 -1 \n");
  auto reply = parse_records(body(frame));
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->next, Offset{9});
  EXPECT_TRUE(std::ranges::equal(reply->records, records));
}

TEST(ReplyTest, records_cut_anywhere_are_malformed) {
  Bytes whole = "OK 2 9\n5 17 3 abc\n7 0 0 \n";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto reply = parse_records(whole.substr(0, size));
    ASSERT_FALSE(reply.has_value()) << size;
    EXPECT_EQ(reply.error().code, Code::kCorrupt);
  }
  EXPECT_FALSE(parse_records("OK 2 9\n5 17 3 abc\n7 0 0 \nx").has_value());
  EXPECT_FALSE(parse_records("OK 9223372036854775807 9\n").has_value());
}

TEST(ReplyTest, batches_and_pairs_round_trip) {
  std::string frame;
  append_batches(frame, Offset{3}, "\0\n batch"sv);
  auto batches = parse_batches(body(frame));
  ASSERT_TRUE(batches.has_value());
  EXPECT_EQ(batches->next, Offset{3});
  EXPECT_EQ(batches->batches, "\0\n batch"sv);
  auto batch = parse_batch_reply("OK 10 5");
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->first, Offset{10});
  EXPECT_EQ(batch->count, 5);
  EXPECT_EQ(parse_producer("OK 4000 0")->id, 4000);
  EXPECT_FALSE(parse_producer("OK 4000 40000").has_value());
}

TEST(ReplyTest, get_tells_payload_from_empty) {
  EXPECT_EQ(parse_payload("EMPTY").value(), std::nullopt);
  EXPECT_EQ(parse_payload("OK EMPTY").value(), "EMPTY");
  EXPECT_EQ(parse_payload("OK ").value(), "");
  EXPECT_EQ(parse_payload("ERR unknown topic t").error().code, Code::kNotFound);
}

TEST(ReplyTest, error_texts_carry_the_code_a_caller_acts_on) {
  EXPECT_EQ(error_of("unknown topic t").code, Code::kNotFound);
  EXPECT_EQ(error_of(text::unknown_consumer("c")).code, Code::kNotFound);
  EXPECT_EQ(error_of(text::topic_exists("t")).code, Code::kExists);
  EXPECT_EQ(error_of(text::unknown_group("g")).code, Code::kNotFound);
  EXPECT_EQ(error_of(text::group_has_members("g")).code, Code::kBusy);
  EXPECT_EQ(error_of(text::expected_offset(1, 2)).code, Code::kMismatch);
  EXPECT_EQ(error_of(text::out_of_range(0, 5)).code, Code::kOutOfRange);
  EXPECT_EQ(error_of(text::kStorageFull).code, Code::kNoSpace);
  EXPECT_EQ(error_of(text::kStorageFailed).code, Code::kIo);
  EXPECT_EQ(error_of(text::kTooManyConnections).code, Code::kBusy);
  EXPECT_EQ(error_of(text::kTimedOut).code, Code::kTimeout);
  EXPECT_EQ(error_of("anything else").code, Code::kInvalid);
}

TEST(ReplyTest, error_texts_are_exact) {
  EXPECT_EQ(text::expected_offset(3, 5), "expected offset 3, next is 5");
  EXPECT_EQ(text::out_of_range(2, 9), "offset out of range 2..9");
  EXPECT_EQ(text::unknown_consumer("c"), "unknown consumer c");
  EXPECT_EQ(text::kStorageFull, "storage full");
  EXPECT_EQ(text::kStorageFailed, "storage failed");
  EXPECT_EQ(text::kTooManyConnections, "too many connections");
  EXPECT_EQ(text::kInvalidFrameLength, "invalid frame length");
}

}  // namespace
}  // namespace walrus::wire::native
