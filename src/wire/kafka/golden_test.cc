// The bytes of tests/golden/kafka, written by client libraries: added to, never changed.

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "walrus_source_dir.h"
#include "wire/kafka/cluster.h"
#include "wire/kafka/data.h"
#include "wire/kafka/header.h"
#include "wire/kafka/recode.h"

namespace walrus::wire::kafka {
namespace {

struct Golden {
  std::int16_t key = 0, version = 0;
  Direction direction = Direction::kRequest;
  std::string bytes{};
};

std::vector<Golden> read_golden(const std::string& name) {
  std::ifstream file(WALRUS_SOURCE_DIR "/tests/golden/kafka/" + name + ".hex");
  std::vector<Golden> all;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line.starts_with('#')) continue;
    std::istringstream words(line);
    Golden golden;
    std::string direction, digits;
    words >> golden.key >> golden.version >> direction >> digits;
    golden.direction = direction == "request" ? Direction::kRequest : Direction::kResponse;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
      golden.bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    all.push_back(std::move(golden));
  }
  return all;
}

// Whole frames, as clients sent them to a server.
class RecordedTest : public testing::TestWithParam<const char*> {};

TEST_P(RecordedTest, requests_decode_and_encode_to_the_same_bytes) {
  auto all = read_golden(GetParam());
  EXPECT_GE(all.size(), 4u);
  for (const auto& golden : all) {
    SCOPED_TRACE(fmt::format("key {} version {}", golden.key, golden.version));
    auto frame = parse_request(golden.bytes);
    ASSERT_TRUE(frame.has_value()) << frame.error().message;
    EXPECT_EQ(frame->header.key, golden.key);
    EXPECT_EQ(frame->header.version, golden.version);
    ASSERT_NE(frame->api, nullptr);
    if (!frame->api->versions.contains(golden.version)) continue;  // asked, and not served
    auto body = recode(golden.key, Direction::kRequest, golden.version, frame->body);
    ASSERT_TRUE(body.has_value()) << body.error().message;
    std::string again;
    append_request_header(again, frame->header);
    EXPECT_EQ(again + *body, golden.bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(, RecordedTest,
                         testing::Values("kcat_1_7_1", "confluent_kafka_2_16", "kafkajs_2_2_4",
                                         "kafka_python_2_0_2", "kafka_python_3_0_12"),
                         [](const auto& info) { return std::string(info.param); });

TEST(CodecGoldenTest, bodies_of_every_message_and_version_come_back_as_they_were) {
  std::set<std::tuple<std::int16_t, std::int16_t, Direction>> seen;
  for (const auto& golden : read_golden("kafka_python_codec")) {
    SCOPED_TRACE(fmt::format("key {} version {} {}", golden.key, golden.version,
                             golden.direction == Direction::kRequest ? "request" : "response"));
    auto again = recode(golden.key, golden.direction, golden.version, golden.bytes);
    ASSERT_TRUE(again.has_value()) << again.error().message;
    EXPECT_EQ(*again, golden.bytes);
    seen.insert({golden.key, golden.version, golden.direction});
  }
  for (const auto& api : kApis)
    for (auto version = api.versions.from; version <= api.versions.to; ++version)
      for (auto direction : {Direction::kRequest, Direction::kResponse})
        EXPECT_TRUE(seen.contains({api.key, version, direction}))
            << api.name << " version " << version;
}

// What the values mean, where an order of like fields could be mistaken.
TEST(CodecGoldenTest, fields_are_where_another_library_put_them) {
  bool fetch = false, produce = false, metadata = false;
  for (const auto& golden : read_golden("kafka_python_codec")) {
    if (golden.bytes.size() < 40) continue;  // the filling with nothing in it
    if (golden.key == FetchRequest::kKey && golden.version == 11 &&
        golden.direction == Direction::kRequest) {
      auto request = decode<FetchRequest>(golden.bytes, 11);
      ASSERT_TRUE(request.has_value());
      EXPECT_EQ(request->wait_max_ms, request->replica_id + 1);
      EXPECT_EQ(request->bytes_min, request->replica_id + 2);
      EXPECT_EQ(request->bytes_max, request->replica_id + 3);
      fetch = true;
    }
    if (golden.key == ProduceResponse::kKey && golden.version == 8 &&
        golden.direction == Direction::kResponse) {
      auto response = decode<ProduceResponse>(golden.bytes, 8);
      ASSERT_TRUE(response.has_value());
      const auto& part = response->topics.at(0).partitions.at(0);
      EXPECT_EQ(part.error_code, part.index + 1);
      EXPECT_EQ(part.base_offset, part.index + 2);
      EXPECT_EQ(part.log_append_time_ms, part.index + 3);
      EXPECT_EQ(part.log_start_offset, part.index + 4);
      produce = true;
    }
    if (golden.key == MetadataResponse::kKey && golden.version == 7 &&
        golden.direction == Direction::kResponse) {
      auto response = decode<MetadataResponse>(golden.bytes, 7);
      ASSERT_TRUE(response.has_value());
      const auto& part = response->topics.at(0).partitions.at(0);
      EXPECT_EQ(part.index, part.error_code + 1);
      EXPECT_EQ(part.leader_id, part.error_code + 2);
      EXPECT_EQ(part.leader_epoch, part.error_code + 3);
      metadata = true;
    }
  }
  EXPECT_TRUE(fetch && produce && metadata);
}

}  // namespace
}  // namespace walrus::wire::kafka
