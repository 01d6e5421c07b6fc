// The bytes of tests/golden/native: added to, never changed.

#include <gtest/gtest.h>

#include <fstream>

#include "walrus_source_dir.h"
#include "wire/native/frame.h"
#include "wire/native/reply.h"
#include "wire/native/request.h"

namespace walrus::wire::native {
namespace {

using namespace std::string_view_literals;

std::string read_golden(const std::string& name) {
  std::ifstream file(WALRUS_SOURCE_DIR "/tests/golden/native/" + name + ".hex");
  std::string bytes, line, digits;
  while (std::getline(file, line))
    if (!line.starts_with('#')) digits += line;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

sasl::ScramCredential credential(std::size_t key_bytes) {
  return {.iterations = 4096,
          .salt = "salt",
          .stored_key = std::string(key_bytes, 'k'),
          .server_key = std::string(key_bytes, 's')};
}
constexpr auto kSha256 = sasl::ScramMechanism::kSha256, kSha512 = sasl::ScramMechanism::kSha512;

const Request kRequests[] = {
    Register{"logs"},
    Put{{"logs"}, "hello"},
    Put{{"logs"}, ""},
    Put{{"logs", 2}, "\0\xff\r\n "sv},
    Get{{"logs"}},
    Get{{"logs"}, 500},
    State{{"logs"}},
    Metrics{},
    Append{{"logs"}, "hello"},
    AppendAt{{"logs"}, 7, "hello"},
    Producer{},
    Batch{{"logs"}, "\0\0\0\0\0\0\0\0"sv},
    Read{{"logs"}, 0, 262144, 0},
    ReadBatch{{"logs"}, 3, 1000, 20},
    Poll{{"logs"}, "billing", 262144, 0},
    Commit{{"logs"}, "billing", 12},
    List{},
    List{"lo"},
    Delete{"logs"},
    Help{},
    Help{"PUT"},
    Create{"logs", {{"partitions", "3"}, {"durability", "os"}}},
    Configure{"logs", {{"retention_ms", "1000"}, {"compact", std::nullopt}}},
    Describe{"logs"},
    Find{{"logs"}, 1700000000000},
    Auth{},
    Auth{"PLAIN", "\0user\0secret"sv},
    Auth{"SCRAM-SHA-256", "n,,n=user,r=abc"},
    ListUsers{},
    AddUser{"alice", {{kSha256, credential(32)}, {kSha512, credential(64)}}},
    SetUser{"alice", {{kSha512, credential(64)}}},
    DeleteUser{"alice"},
    ListGroups{},
    DescribeGroup{"my group"},
    SetGroup{"logs", {{0, 5}, {3, 12}}, "my group"},
    DeleteGroup{"my group"},
};

TEST(GoldenTest, requests_encode_to_the_golden_bytes) {
  std::string bytes;
  for (const auto& request : kRequests) append_request(bytes, request);
  EXPECT_EQ(bytes, read_golden("requests"));
}

TEST(GoldenTest, golden_bytes_parse_to_the_requests) {
  auto bytes = read_golden("requests");
  FrameSplitter splitter;
  auto space = splitter.space();
  ASSERT_GE(space.size(), bytes.size());
  bytes.copy(space.data(), bytes.size());
  splitter.received(bytes.size());
  for (const auto& expected : kRequests) {
    auto event = splitter.next();
    ASSERT_TRUE(event.has_value());
    auto request = parse_request(event->body);
    ASSERT_TRUE(request.has_value()) << request.error().message;
    EXPECT_EQ(*request, expected);
  }
  EXPECT_TRUE(splitter.at_border());
}

TEST(GoldenTest, replies_encode_to_the_golden_bytes) {
  std::string bytes, lines;
  append_ok(bytes);
  append_empty(bytes);
  append_payload(bytes, "hello");
  append_payload(bytes, "");
  append_offset(bytes, Offset{42});
  append_pair(bytes, 4000, 5);
  append_error(bytes, "unknown topic logs");
  append_record_line(lines, {Offset{5}, 1700000000000, "a\nb"});
  append_record_line(lines, {Offset{7}, 1700000000001, ""});
  append_record_line(lines, {Offset{8}, 1700000000002, std::nullopt});
  append_records(bytes, 3, Offset{9}, lines);
  append_records(bytes, 0, Offset{9}, "");
  append_batches(bytes, Offset{9}, "\0\xff"sv);
  append_text(bytes, "[]");
  EXPECT_EQ(bytes, read_golden("replies"));
}

}  // namespace
}  // namespace walrus::wire::native
