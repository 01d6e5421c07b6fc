#include "wire/kafka/codec.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "wire/kafka/cluster.h"
#include "wire/kafka/data.h"
#include "wire/kafka/groups.h"
#include "wire/kafka/header.h"
#include "wire/kafka/recode.h"

namespace walrus::wire::kafka {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

FetchRequest some_fetch(std::int32_t seed, Bytes name) {
  FetchRequest request{.wait_max_ms = seed, .bytes_min = 1, .bytes_max = seed / 2};
  request.topics.push_back({.name = name, .partitions = {{.index = seed, .fetch_offset = 7}}});
  request.rack_id = name;
  return request;
}

TEST(KafkaCodecTest, decodes_what_it_encoded_in_every_version) {
  for (std::int16_t version = 4; version <= 17; ++version) {
    auto request = some_fetch(1234, "topic");
    std::string bytes;
    encode(bytes, request, version);
    auto again = decode<FetchRequest>(bytes, version);
    ASSERT_TRUE(again.has_value()) << version;
    EXPECT_EQ(again->wait_max_ms, 1234);
    EXPECT_EQ(again->topics.at(0).name, version <= 12 ? "topic" : "");
    EXPECT_EQ(again->rack_id, version >= 11 ? "topic" : "");
  }
}

TEST(KafkaCodecTest, records_are_views_of_the_input) {
  ProduceRequest request{.acks = -1};
  request.topics.push_back({.name = "t", .partitions = {{.index = 0, .records = "records"}}});
  std::string bytes;
  encode(bytes, request, 9);
  auto again = decode<ProduceRequest>(bytes, 9);
  ASSERT_TRUE(again.has_value());
  auto records = again->topics[0].partitions[0].records;
  ASSERT_TRUE(records.has_value());
  EXPECT_GE(records->data(), bytes.data());
  EXPECT_LT(records->data(), bytes.data() + bytes.size());
}

TEST(KafkaCodecTest, null_and_empty_differ) {
  for (std::int16_t version : {1, 9, 12}) {
    std::string null, empty;
    encode(null, MetadataRequest{}, version);
    encode(empty, MetadataRequest{.topics = std::vector<MetadataRequest::Topic>()}, version);
    EXPECT_FALSE(decode<MetadataRequest>(null, version)->topics.has_value());
    EXPECT_TRUE(decode<MetadataRequest>(empty, version)->topics.has_value());
  }
}

TEST(KafkaCodecTest, null_where_none_is_allowed_is_malformed) {
  std::string bytes("\xff\xff", 2);  // a null group id
  EXPECT_FALSE(decode<HeartbeatRequest>(bytes + std::string(6, '\0'), 0).has_value());
}

TEST(KafkaCodecTest, counts_beyond_the_bytes_take_no_memory) {
  std::string bytes("\x7f\xff\xff\xff", 4);  // topics of a MetadataRequest
  auto decoded = decode<MetadataRequest>(bytes, 1);
  ASSERT_FALSE(decoded.has_value());
  EXPECT_EQ(decoded.error().code, Code::kCorrupt);
}

TEST(KafkaCodecTest, arrays_are_held_to_a_budget) {
  // One byte on the wire (an empty compact string), a whole string in memory.
  constexpr std::size_t kCount = 8 << 20;
  std::string bytes;
  append_uvarint(bytes, kCount + 1);
  bytes.append(kCount, '\1');
  bytes += "\0\0"sv;
  EXPECT_FALSE(decode<DescribeGroupsRequest>(bytes, 5).has_value());
}

TEST(KafkaCodecTest, unknown_tags_and_bytes_left_over_are_passed_over) {
  std::string bytes;
  encode(bytes, HeartbeatRequest{.group_id = "g", .member_id = "m"}, 4);
  ASSERT_EQ(bytes.back(), '\0');
  auto tagged = bytes.substr(0, bytes.size() - 1) + "\1\x63\3abc"s;
  EXPECT_TRUE(decode<HeartbeatRequest>(tagged, 4).has_value());
  EXPECT_TRUE(decode<HeartbeatRequest>(bytes + "x", 4).has_value());
}

TEST(KafkaCodecTest, versions_outside_the_table_are_refused) {
  EXPECT_EQ(decode<FetchRequest>("", 3).error().code, Code::kVersion);
  EXPECT_EQ(decode<FetchRequest>("", 18).error().code, Code::kVersion);
}

TEST(KafkaHeaderTest, client_id_is_never_compact) {
  std::string bytes;
  append_request_header(bytes, {.key = 12, .version = 4, .correlation_id = 5, .client_id = "id"});
  EXPECT_EQ(bytes, "\0\x0c\0\4\0\0\0\5\0\2id\0"sv);
  auto frame = parse_request(bytes);
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->header.client_id, "id");
  EXPECT_TRUE(frame->body.empty());
}

TEST(KafkaHeaderTest, api_versions_answers_without_tags) {
  std::string plain, tagged;
  append_response_header(plain, *find_api(18), 3, 7);
  append_response_header(tagged, *find_api(3), 9, 7);
  EXPECT_EQ(plain.size(), 8u);
  EXPECT_EQ(tagged.size(), 9u);
}

RC_GTEST_PROP(KafkaCodecProperty, any_bytes_decode_to_what_encodes_to_a_fixed_point,
              (std::uint16_t place, bool response, std::uint8_t version_seed, std::string bytes)) {
  const auto& api = kApis[place % kApis.size()];
  auto span = api.versions.to - api.versions.from + 1;
  auto version = static_cast<std::int16_t>(api.versions.from + version_seed % span);
  auto direction = response ? Direction::kResponse : Direction::kRequest;
  auto once = recode(api.key, direction, version, bytes);
  if (!once) return;
  auto twice = recode(api.key, direction, version, *once);
  RC_ASSERT(twice.has_value());
  RC_ASSERT(*twice == *once);
}

}  // namespace
}  // namespace walrus::wire::kafka
