// Answers to requests that are odd, as Kafka gives them; `./dev conformance answers` compares more
// of them with a real one.

#include "server/kafka_fixture.h"
#include "wire/kafka/groups.h"

namespace walrus::server {
namespace {

TEST_F(KafkaTest, bytes_behind_a_request_are_ignored) {
  start();
  auto frame = KafkaClient::frame(MetadataRequest{.topics = std::nullopt}, 12, 1);
  frame += std::string(3, '\0');
  finish_frame(frame, 0);
  ASSERT_TRUE(client().send_raw(frame).has_value());
  auto response = client().receive<MetadataResponse>(12);
  ASSERT_TRUE(response.has_value()) << response.error().message;
  EXPECT_EQ(response->brokers.size(), 1u);
}

TEST_F(KafkaTest, an_id_counts_beside_an_empty_name) {
  start();
  make("t");
  auto all = client().ask<MetadataResponse>(MetadataRequest{.topics = std::nullopt}, 12);
  ASSERT_TRUE(all.has_value());
  MetadataRequest request;
  request.topics.emplace().push_back({.id = all->topics.at(0).id, .name = ""});
  auto found = client().ask<MetadataResponse>(request, 12);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->topics.at(0).error_code, 0);
  EXPECT_EQ(found->topics.at(0).name, "t");
}

TEST_F(KafkaTest, a_batch_of_a_transaction_is_refused) {
  start();
  make("t");
  auto batch = batch_of({"a"}, {.id = 5, .epoch = 0, .sequence = 0});
  batch[22] = 16;
  EXPECT_EQ(produce("t", with_crc(batch)).error_code, 53);
  EXPECT_EQ(fetch(fetch_request("t", 0)).topics.at(0).partitions.at(0).high_watermark, 0);
}

TEST_F(KafkaTest, a_timestamp_means_what_its_version_knows) {
  start();
  make("t");
  EXPECT_EQ(produce("t", batch_of({"a"})).error_code, 0);
  auto error = [&](std::int64_t timestamp, std::int16_t version) {
    ListOffsetsRequest request;
    request.topics.push_back({.name = "t", .partitions = {{.index = 0, .timestamp = timestamp}}});
    auto response = client().ask<ListOffsetsResponse>(request, version);
    EXPECT_TRUE(response.has_value());
    return response ? response->topics.at(0).partitions.at(0).error_code : -2;
  };
  EXPECT_EQ(error(-3, 6), 35);
  EXPECT_EQ(error(-3, 7), 0);
  EXPECT_EQ(error(-4, 7), 35);
  EXPECT_EQ(error(-4, 8), 0);
  EXPECT_EQ(error(-5, 8), 35);
  EXPECT_EQ(error(-5, 9), 0);
  EXPECT_EQ(error(-7, 10), 35);
}

TEST_F(KafkaTest, a_partition_that_is_asked_for_twice_is_refused_once) {
  start();
  make("t");
  ListOffsetsRequest request;
  request.topics.push_back(
      {.name = "t", .partitions = {{.index = 0, .timestamp = -1}, {.index = 0, .timestamp = -2}}});
  auto response = client().ask<ListOffsetsResponse>(request, 5);
  ASSERT_TRUE(response.has_value());
  ASSERT_EQ(response->topics.at(0).partitions.size(), 1u);
  EXPECT_EQ(response->topics[0].partitions[0].error_code, 42);
}

TEST_F(KafkaTest, an_epoch_below_all_has_no_end) {
  start();
  make("t");
  EXPECT_EQ(produce("t", batch_of({"a"})).error_code, 0);
  OffsetForLeaderEpochRequest request;
  request.topics.push_back({.name = "t", .partitions = {{.index = 0, .leader_epoch = -1}}});
  auto response = client().ask<OffsetForLeaderEpochResponse>(request, 4);
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->topics.at(0).partitions.at(0).error_code, 0);
  EXPECT_EQ(response->topics[0].partitions[0].end_offset, -1);
  EXPECT_EQ(response->topics[0].partitions[0].leader_epoch, -1);
}

TEST_F(KafkaTest, a_topic_that_is_named_twice_is_neither_made_nor_removed) {
  start();
  make("t");
  DeleteTopicsRequest doomed{.timeout_ms = 1000};
  doomed.names = {"t", "t"};
  auto removed = client().ask<DeleteTopicsResponse>(doomed, 4);
  ASSERT_TRUE(removed.has_value());
  ASSERT_EQ(removed->topics.size(), 1u);
  EXPECT_EQ(removed->topics[0].error_code, 42);
  CreateTopicsRequest request;
  for (int i = 0; i < 2; ++i)
    request.topics.push_back({.name = "new", .partitions = 1, .replication_factor = 1});
  auto created = client().ask<CreateTopicsResponse>(request, 7);
  ASSERT_TRUE(created.has_value());
  ASSERT_EQ(created->topics.size(), 1u);
  EXPECT_EQ(created->topics[0].error_code, 42);
  auto topics = client().ask<MetadataResponse>(MetadataRequest{.topics = std::nullopt}, 9);
  ASSERT_TRUE(topics.has_value());
  ASSERT_EQ(topics->topics.size(), 1u);
  EXPECT_EQ(topics->topics[0].name, "t");
}

TEST_F(KafkaTest, defaults_are_the_brokers_in_every_version) {
  start();
  CreateTopicsRequest request;
  request.topics.push_back({.name = "t", .partitions = -1, .replication_factor = -1});
  auto created = client().ask<CreateTopicsResponse>(request, 3);
  ASSERT_TRUE(created.has_value());
  EXPECT_EQ(created->topics.at(0).error_code, 0);
}

TEST_F(KafkaTest, endpoints_that_are_no_brokers_are_refused) {
  start();
  for (auto [type, code] : {std::pair{2, 114}, {9, 115}}) {
    auto told = client().ask<DescribeClusterResponse>(
        DescribeClusterRequest{.endpoint_type = static_cast<std::int8_t>(type)}, 1);
    ASSERT_TRUE(told.has_value());
    EXPECT_EQ(told->error_code, code);
    EXPECT_EQ(told->endpoint_type, 1);
  }
}

TEST_F(KafkaTest, a_change_that_is_unclear_changes_nothing) {
  start();
  make("t");
  using Config = IncrementalAlterConfigsRequest::Config;
  auto error = [&](std::vector<Config> configs) {
    IncrementalAlterConfigsRequest request;
    request.resources.push_back({.type = 2, .name = "t", .configs = std::move(configs)});
    auto response = client().ask<IncrementalAlterConfigsResponse>(request, 1);
    EXPECT_TRUE(response.has_value());
    return response ? response->resources.at(0).error_code : -2;
  };
  EXPECT_EQ(error({{.name = "retention.ms"}}), 42);
  EXPECT_EQ(error({{.name = "retention.ms", .value = "1"}, {.name = "retention.ms", .value = "2"}}),
            42);
  EXPECT_EQ(error({{.name = "retention.ms", .operation = 1}}), 0);
}

TEST_F(KafkaTest, a_group_has_a_name) {
  start();
  auto beat = client().ask<HeartbeatResponse>(HeartbeatRequest{.member_id = "m"}, 3);
  ASSERT_TRUE(beat.has_value());
  EXPECT_EQ(beat->error_code, 24);
  auto sync = client().ask<SyncGroupResponse>(SyncGroupRequest{.member_id = "m"}, 3);
  ASSERT_TRUE(sync.has_value());
  EXPECT_EQ(sync->error_code, 24);
  auto left = client().ask<LeaveGroupResponse>(LeaveGroupRequest{.member_id = "m"}, 1);
  ASSERT_TRUE(left.has_value());
  EXPECT_EQ(left->error_code, 24);
}

TEST_F(KafkaTest, who_names_no_generation_commits_to_an_empty_group) {
  start();
  make("t");
  OffsetCommitRequest request{.group_id = "g", .generation_id = -1, .member_id = "anything"};
  request.topics.push_back({.name = "t", .partitions = {{.index = 0, .offset = 5}}});
  auto committed = client().ask<OffsetCommitResponse>(request, 7);
  ASSERT_TRUE(committed.has_value());
  EXPECT_EQ(committed->topics.at(0).partitions.at(0).error_code, 0);
}

TEST_F(KafkaTest, groups_are_filtered_by_state_and_type_whatever_the_case) {
  start();
  make("t");
  OffsetCommitRequest request{.group_id = "g", .generation_id = -1};
  request.topics.push_back({.name = "t", .partitions = {{.index = 0, .offset = 5}}});
  ASSERT_TRUE(client().ask<OffsetCommitResponse>(request, 7).has_value());
  auto count = [&](std::vector<Bytes> states, std::vector<Bytes> types) {
    auto listed = client().ask<ListGroupsResponse>(
        ListGroupsRequest{.states = std::move(states), .types = std::move(types)}, 5);
    EXPECT_TRUE(listed.has_value());
    return listed ? listed->groups.size() : 99;
  };
  EXPECT_EQ(count({}, {}), 1u);
  EXPECT_EQ(count({"eMPTY"}, {"Classic"}), 1u);
  EXPECT_EQ(count({"Stable"}, {}), 0u);
  EXPECT_EQ(count({}, {"consumer"}), 0u);
}

TEST_F(KafkaTest, offsets_of_what_is_not_there_are_not_deleted) {
  start();
  make("t");
  OffsetDeleteRequest request{.group_id = "g"};
  request.topics.push_back({.name = "t", .partitions = {{.index = 9}}});
  auto none = client().ask<OffsetDeleteResponse>(request, 0);
  ASSERT_TRUE(none.has_value());
  EXPECT_EQ(none->error_code, 69);
  EXPECT_TRUE(none->topics.empty());
  OffsetCommitRequest commit{.group_id = "g", .generation_id = -1};
  commit.topics.push_back({.name = "t", .partitions = {{.index = 0, .offset = 5}}});
  ASSERT_TRUE(client().ask<OffsetCommitResponse>(commit, 7).has_value());
  auto unknown = client().ask<OffsetDeleteResponse>(request, 0);
  ASSERT_TRUE(unknown.has_value());
  EXPECT_EQ(unknown->topics.at(0).partitions.at(0).error_code, 3);
  // The group is there when nothing is left of it, too.
  request.topics[0].partitions[0].index = 0;
  for (int i = 0; i < 2; ++i) {
    auto deleted = client().ask<OffsetDeleteResponse>(request, 0);
    ASSERT_TRUE(deleted.has_value());
    EXPECT_EQ(deleted->error_code, 0);
  }
}

}  // namespace
}  // namespace walrus::server
