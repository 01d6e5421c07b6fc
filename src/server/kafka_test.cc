// The Kafka protocol against a simulated server without faults: what is answered to whom.

#include "server/kafka_fixture.h"

namespace walrus::server {
namespace {

TEST_F(KafkaTest, api_versions_tells_what_is_served) {
  start();
  ApiVersionsRequest request{.client_software_name = "test", .client_software_version = "1.0"};
  auto response = client().ask<ApiVersionsResponse>(request, 3);
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->error_code, 0);
  auto range = [&](std::int16_t key) {
    auto found = std::ranges::find(response->apis, key, &ApiVersionsResponse::Range::key);
    return found == response->apis.end() ? std::pair(-1, -1)
                                         : std::pair<int, int>(found->min, found->max);
  };
  EXPECT_EQ(range(0), std::pair(0, 11));  // from 0, or librdkafka does not compress
  EXPECT_EQ(range(1), std::pair(4, 17));
  EXPECT_EQ(range(18), std::pair(0, 4));
  EXPECT_EQ(range(4), std::pair(-1, -1));
  request.client_software_name = "no spaces";
  EXPECT_EQ(client().ask<ApiVersionsResponse>(request, 3)->error_code, 42);
}

TEST_F(KafkaTest, metadata_makes_topics_where_both_sides_want_it) {
  options_.kafka.session.node.partitions_default = 3;
  start();
  MetadataRequest request{.topics = std::vector<MetadataRequest::Topic>{{.name = "new"}}};
  request.allow_auto_topic_creation = false;
  EXPECT_EQ(client().ask<MetadataResponse>(request, 12)->topics.at(0).error_code, 3);
  request.allow_auto_topic_creation = true;
  auto made = client().ask<MetadataResponse>(request, 12);
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(made->topics.at(0).error_code, 0);
  EXPECT_EQ(made->topics[0].partitions.size(), 3u);
  EXPECT_EQ(made->controller_id, 1);
  EXPECT_EQ(made->cluster_id->size(), 22u);
  request.topics->at(0).name = "not legal";
  EXPECT_EQ(client().ask<MetadataResponse>(request, 12)->topics.at(0).error_code, 17);
  // All topics: null, or an empty list in version 0.
  EXPECT_EQ(client().ask<MetadataResponse>(MetadataRequest{}, 1)->topics.size(), 1u);
  MetadataRequest none{.topics = std::vector<MetadataRequest::Topic>()};
  EXPECT_EQ(client().ask<MetadataResponse>(none, 0)->topics.size(), 1u);
  EXPECT_EQ(client().ask<MetadataResponse>(none, 1)->topics.size(), 0u);
}

TEST_F(KafkaTest, a_topic_made_anew_has_another_id_and_no_old_records) {
  start();
  make("t");
  auto first = client().ask<MetadataResponse>(MetadataRequest{}, 12)->topics.at(0).id;
  EXPECT_EQ(produce("t", batch_of({"old"})).base_offset, 0);
  DeleteTopicsRequest doomed;
  doomed.topics.push_back({.id = first});
  EXPECT_EQ(client().ask<DeleteTopicsResponse>(doomed, 6)->topics.at(0).name, "t");
  EXPECT_EQ(client().ask<DeleteTopicsResponse>(doomed, 6)->topics.at(0).error_code, 100);
  make("t");
  auto second = client().ask<MetadataResponse>(MetadataRequest{}, 12)->topics.at(0).id;
  EXPECT_NE(first, second);
  auto request = fetch_request("", 0);
  request.topics[0].id = first;
  EXPECT_EQ(fetch(request, 13).topics.at(0).partitions.at(0).error_code, 100);
  request.topics[0].id = second;
  auto response = fetch(request, 13);
  EXPECT_EQ(response.topics.at(0).partitions.at(0).error_code, 0);
  EXPECT_EQ(response.topics[0].partitions[0].high_watermark, 0);
}

TEST_F(KafkaTest, batches_that_are_wrong_are_refused_by_what_is_wrong) {
  start();
  make("t");
  auto good = batch_of({"a", "b"});
  auto flipped = good;
  flipped.back() ^= 1;
  EXPECT_EQ(produce("t", flipped).error_code, 2);
  EXPECT_EQ(produce("t", Bytes(good).substr(0, 50)).error_code, 87);
  EXPECT_EQ(produce("t", "").error_code, 87);
  EXPECT_EQ(produce("t", good + good).error_code, 87);  // one batch at a time
  auto magic = good;
  magic[16] = 1;
  EXPECT_EQ(produce("t", magic).error_code, 87);
  auto codec = good;
  codec[22] = 5;
  EXPECT_EQ(produce("t", with_crc(codec)).error_code, 76);
  auto control = good;
  control[22] = 32;
  EXPECT_EQ(produce("t", with_crc(control)).error_code, 87);
  auto count = good;
  store_be<std::int32_t>(count.data() + 57, 1);
  EXPECT_EQ(produce("t", with_crc(count)).error_code, 87);
  EXPECT_EQ(produce("t", batch_of({std::string(2 << 20, 'x')})).error_code, 10);
  EXPECT_EQ(produce("absent", good).error_code, 3);
  auto zstd = record::compress(*record::BatchView::parse(good), record::Codec::kZstd);
  ASSERT_TRUE(zstd.has_value());
  EXPECT_EQ(produce("t", *zstd, 6).error_code, 76);  // consumers of that time cannot read it
  EXPECT_EQ(produce("t", *zstd, 7).error_code, 0);
  auto acks = client().ask<ProduceResponse>(produce_request("t", good, 2), 9);
  EXPECT_EQ(acks->topics.at(0).partitions.at(0).error_code, 21);
  // Nothing but the one is stored, byte for byte but for what the leader sets.
  auto stored = fetch(fetch_request("t", 0)).topics.at(0).partitions.at(0);
  EXPECT_EQ(stored.high_watermark, 2);
  EXPECT_EQ(stored.records->substr(21), Bytes(*zstd).substr(21));
}

TEST_F(KafkaTest, a_repeated_batch_answers_its_first_offset) {
  start();
  make("t");
  auto id = client().ask<InitProducerIdResponse>(InitProducerIdRequest{}, 4);
  ASSERT_TRUE(id.has_value());
  Producer producer{id->producer_id, 0, 0};
  EXPECT_EQ(produce("t", batch_of({"a", "b"}, producer)).base_offset, 0);
  EXPECT_EQ(produce("t", batch_of({"a", "b"}, producer)).base_offset, 0);
  producer.sequence = 2;
  EXPECT_EQ(produce("t", batch_of({"c"}, producer)).base_offset, 2);
  producer.sequence = 5;
  EXPECT_EQ(produce("t", batch_of({"d"}, producer)).error_code, 45);
  producer = {id->producer_id, 1, 0};
  EXPECT_EQ(produce("t", batch_of({"e"}, producer)).base_offset, 3);
  producer = {id->producer_id, 0, 3};
  EXPECT_EQ(produce("t", batch_of({"f"}, producer)).error_code, 47);
  auto transactional =
      client().ask<InitProducerIdResponse>(InitProducerIdRequest{.transactional_id = "tx"}, 4);
  EXPECT_EQ(transactional->error_code, 53);
}

TEST_F(KafkaTest, responses_are_in_the_order_of_the_requests) {
  start();
  make("t");
  auto batch = batch_of({"x"});
  std::string burst;
  std::int32_t id = 1;  // after what make() asked
  for (int i = 0; i < 20; ++i) {
    burst += KafkaClient::frame(produce_request("t", batch), 9, ++id);
    burst += KafkaClient::frame(fetch_request("t", i), 12, ++id);
  }
  ASSERT_TRUE(client().send_raw(burst).has_value());
  for (int i = 0; i < 20; ++i) {
    auto produced = client().receive<ProduceResponse>(9);
    ASSERT_TRUE(produced.has_value()) << produced.error().message;
    EXPECT_EQ(produced->topics.at(0).partitions.at(0).base_offset, i);
    auto fetched = client().receive<FetchResponse>(12);
    ASSERT_TRUE(fetched.has_value()) << fetched.error().message;
    EXPECT_EQ(fetched->topics.at(0).partitions.at(0).high_watermark, i + 1);
  }
}

TEST_F(KafkaTest, acks_0_is_not_answered_and_an_error_ends_the_connection) {
  start();
  make("t");
  std::string burst = KafkaClient::frame(produce_request("t", batch_of({"x"}), 0), 9, 99);
  burst += KafkaClient::frame(fetch_request("t", 0), 12, 2);
  ASSERT_TRUE(client().send_raw(burst).has_value());
  auto fetched = client().receive<FetchResponse>(12);
  ASSERT_TRUE(fetched.has_value()) << fetched.error().message;
  EXPECT_EQ(fetched->topics.at(0).partitions.at(0).high_watermark, 1);
  ASSERT_TRUE(client().send(produce_request("absent", batch_of({"x"}), 0), 9).has_value());
  EXPECT_EQ(client().rest(), "");
}

TEST_F(KafkaTest, a_fetch_waits_for_records_and_is_woken_by_them) {
  start();
  make("t");
  auto& env = world_.node(1).env();
  auto before = env.mono();
  auto empty = fetch(fetch_request("t", 0, 500));
  EXPECT_EQ(empty.topics.at(0).partitions.at(0).records, "");
  EXPECT_GE(env.mono() - before, 500ms);
  auto waiting = connect();
  ASSERT_TRUE(waiting->send(fetch_request("t", 0, 100'000), 12).has_value());
  before = env.mono();
  EXPECT_EQ(produce("t", batch_of({"x"})).error_code, 0);
  auto woken = waiting->receive<FetchResponse>(12);
  ASSERT_TRUE(woken.has_value());
  EXPECT_EQ(woken->topics.at(0).partitions.at(0).high_watermark, 1);
  EXPECT_LT(env.mono() - before, 10s);
}

TEST_F(KafkaTest, limits_of_a_fetch_let_one_batch_through) {
  start();
  make("wide", 2);
  auto big = batch_of({std::string(5000, 'x')});
  for (std::int32_t partition : {0, 1}) {
    ProduceRequest request{.acks = -1, .timeout_ms = 1000};
    request.topics.push_back(
        {.name = "wide", .partitions = {{.index = partition, .records = big}}});
    ASSERT_TRUE(client().ask<ProduceResponse>(request, 9).has_value());
  }
  FetchRequest request{.wait_max_ms = 1000, .bytes_min = 100'000, .bytes_max = 100};
  request.topics.push_back(
      {.name = "wide",
       .partitions = {{.index = 1, .bytes_max = 10}, {.index = 0, .bytes_max = 10}}});
  auto response = fetch(request);
  const auto& parts = response.topics.at(0).partitions;
  EXPECT_EQ(parts.at(0).records->size(), big.size());  // the first in the request's order
  EXPECT_EQ(parts.at(1).records->size(), 0u);
  EXPECT_EQ(parts[1].high_watermark, 1);
}

TEST_F(KafkaTest, offsets_that_do_not_exist_are_told) {
  start();
  make("t");
  EXPECT_EQ(produce("t", batch_of({"a", "b", "c"})).error_code, 0);
  for (std::int64_t offset : {-1, 4}) {
    auto part = fetch(fetch_request("t", offset, 1000)).topics.at(0).partitions.at(0);
    EXPECT_EQ(part.error_code, 1) << offset;
    EXPECT_EQ(part.high_watermark, -1);
  }
  // Inside a batch: the whole batch, the client skips.
  auto inside = fetch(fetch_request("t", 1)).topics.at(0).partitions.at(0);
  EXPECT_EQ(record::BatchView::parse(*inside.records)->base_offset(), 0);
  DeleteRecordsRequest trim{.timeout_ms = 1000};
  trim.topics.push_back({.name = "t", .partitions = {{.index = 0, .offset = 2}}});
  auto trimmed = client().ask<DeleteRecordsResponse>(trim, 2);
  EXPECT_EQ(trimmed->topics.at(0).partitions.at(0).low_watermark, 2);
  auto below = fetch(fetch_request("t", 1)).topics.at(0).partitions.at(0);
  EXPECT_EQ(below.error_code, 1);
  auto at = fetch(fetch_request("t", 2)).topics.at(0).partitions.at(0);
  EXPECT_EQ(at.log_start_offset, 2);
}

TEST_F(KafkaTest, offsets_are_listed_by_place_and_time) {
  start();
  make("t");
  for (std::int64_t i = 0; i < 3; ++i)
    EXPECT_EQ(produce("t", batch_of({"a"}, {}, 1'000 * (i + 1))).error_code, 0);
  auto list = [&](std::int64_t timestamp) {
    ListOffsetsRequest request;
    request.topics.push_back({.name = "t", .partitions = {{.index = 0, .timestamp = timestamp}}});
    auto part = client().ask<ListOffsetsResponse>(request, 7)->topics.at(0).partitions.at(0);
    EXPECT_EQ(part.error_code, 0);
    return std::pair(part.offset, part.timestamp);
  };
  using Answer = std::pair<std::int64_t, std::int64_t>;
  EXPECT_EQ(list(-1), Answer(3, -1));
  EXPECT_EQ(list(-2), Answer(0, -1));
  EXPECT_EQ(list(-3), Answer(2, 3'000));
  EXPECT_EQ(list(0), Answer(0, 1'000));
  EXPECT_EQ(list(1'001), Answer(1, 2'000));
  EXPECT_EQ(list(3'001), Answer(-1, -1));
}

TEST_F(KafkaTest, topics_that_cannot_be_made_are_refused_by_reason) {
  start();
  make("t");
  auto code = [&](CreateTopicsRequest::Topic topic) { return create(std::move(topic)).error_code; };
  EXPECT_EQ(code({.name = "t", .partitions = 1, .replication_factor = 1}), 36);
  EXPECT_EQ(code({.name = "..", .partitions = 1, .replication_factor = 1}), 17);
  EXPECT_EQ(code({.name = "a", .partitions = 0, .replication_factor = 1}), 37);
  EXPECT_EQ(code({.name = "a", .partitions = 5000, .replication_factor = 1}), 37);
  EXPECT_EQ(code({.name = "a", .partitions = 1, .replication_factor = 3}), 38);
  EXPECT_EQ(code({.name = "a",
                  .partitions = 1,
                  .replication_factor = 1,
                  .configs = {{.name = "no.such", .value = "1"}}}),
            40);
  EXPECT_EQ(code({.name = "a",
                  .partitions = -1,
                  .replication_factor = -1,
                  .assignments = {{.partition = 0, .broker_ids = {2}}}}),
            39);
  auto checked = create({.name = "b", .partitions = -1, .replication_factor = -1}, true);
  EXPECT_EQ(checked.error_code, 0);
  EXPECT_EQ(checked.partitions, 1);
  EXPECT_EQ(client().ask<MetadataResponse>(MetadataRequest{}, 12)->topics.size(), 1u);
  EXPECT_EQ(code({.name = "c",
                  .partitions = -1,
                  .replication_factor = -1,
                  .assignments = {{.partition = 1, .broker_ids = {1}},
                                  {.partition = 0, .broker_ids = {1}}},
                  .configs = {{.name = "retention.ms", .value = "1000"},
                              {.name = "min.insync.replicas", .value = "1"}}}),
            0);
}

TEST_F(KafkaTest, settings_are_told_and_changed) {
  start();
  make("t");
  auto describe = [&](std::int8_t type, Bytes name) {
    DescribeConfigsRequest request{.include_synonyms = true};
    request.resources.push_back({.type = type, .name = name});
    return client().ask<DescribeConfigsResponse>(request, 4)->resources.at(0);
  };
  auto find = [](const auto& resource, Bytes name) {
    auto found = std::ranges::find(resource.configs, name, &DescribeConfigsResponse::Config::name);
    return found == resource.configs.end() ? DescribeConfigsResponse::Config{} : *found;
  };
  auto alter = [&](Bytes name, std::int8_t operation, std::optional<Bytes> value,
                   bool validate_only = false) {
    IncrementalAlterConfigsRequest request{.validate_only = validate_only};
    request.resources.push_back(
        {.type = 2,
         .name = "t",
         .configs = {{.name = name, .operation = operation, .value = value}}});
    return client().ask<IncrementalAlterConfigsResponse>(request, 1)->resources.at(0).error_code;
  };
  auto fresh = describe(2, "t");
  EXPECT_EQ(fresh.error_code, 0);
  EXPECT_GE(fresh.configs.size(), 30u);
  EXPECT_EQ(find(fresh, "retention.ms").value, "-1");
  EXPECT_EQ(find(fresh, "retention.ms").source, 5);
  EXPECT_EQ(find(fresh, "cleanup.policy").value, "delete");
  EXPECT_EQ(alter("retention.ms", 0, "60000", true), 0);
  EXPECT_EQ(find(describe(2, "t"), "retention.ms").value, "-1");
  EXPECT_EQ(alter("retention.ms", 0, "60000"), 0);
  EXPECT_EQ(alter("cleanup.policy", 2, "compact"), 0);
  EXPECT_EQ(alter("flush.ms", 0, "1"), 0);                   // cannot matter here
  EXPECT_EQ(alter("remote.storage.enable", 0, "true"), 40);  // would be ignored
  EXPECT_EQ(find(fresh, "min.compaction.lag.ms").value, "0");
  EXPECT_EQ(find(fresh, "max.compaction.lag.ms").value, "9223372036854775807");
  EXPECT_EQ(find(fresh, "max.compaction.lag.ms").source, 5);
  EXPECT_EQ(alter("min.compaction.lag.ms", 0, "-1"), 40);
  EXPECT_EQ(alter("min.compaction.lag.ms", 0, "2000"), 0);
  EXPECT_EQ(alter("max.compaction.lag.ms", 0, "1999"), 40);
  EXPECT_EQ(alter("max.compaction.lag.ms", 0, "1999", true), 40);
  EXPECT_EQ(alter("max.compaction.lag.ms", 0, "2000"), 0);
  EXPECT_EQ(alter("no.such.thing", 0, "1"), 40);
  EXPECT_EQ(alter("retention.ms", 0, std::nullopt), 42);
  EXPECT_EQ(alter("retention.ms", 2, "1"), 40);
  auto changed = describe(2, "t");
  EXPECT_EQ(find(changed, "retention.ms").value, "60000");
  EXPECT_EQ(find(changed, "retention.ms").source, 1);
  EXPECT_EQ(find(changed, "retention.ms").synonyms.size(), 2u);
  EXPECT_EQ(find(changed, "cleanup.policy").value, "compact,delete");
  EXPECT_EQ(find(changed, "flush.ms").value, "1");
  EXPECT_EQ(find(changed, "min.compaction.lag.ms").value, "2000");
  EXPECT_EQ(find(changed, "min.compaction.lag.ms").source, 1);
  EXPECT_EQ(find(changed, "max.compaction.lag.ms").value, "2000");
  EXPECT_EQ(alter("retention.ms", 1, std::nullopt), 0);
  EXPECT_EQ(alter("cleanup.policy", 3, "compact"), 0);
  EXPECT_EQ(find(describe(2, "t"), "retention.ms").value, "-1");
  EXPECT_EQ(find(describe(2, "t"), "cleanup.policy").value, "delete");
  // The older API replaces everything.
  EXPECT_EQ(alter("retention.bytes", 0, "100000"), 0);
  AlterConfigsRequest anew;
  anew.resources.push_back(
      {.type = 2, .name = "t", .configs = {{.name = "retention.ms", .value = "5000"}}});
  EXPECT_EQ(client().ask<AlterConfigsResponse>(anew, 2)->resources.at(0).error_code, 0);
  EXPECT_EQ(find(describe(2, "t"), "retention.ms").value, "5000");
  EXPECT_EQ(find(describe(2, "t"), "retention.bytes").value, "-1");
  EXPECT_EQ(describe(2, "absent").error_code, 3);
  EXPECT_EQ(find(describe(4, "1"), "num.partitions").value, "1");
  EXPECT_EQ(find(describe(4, "1"), "num.partitions").read_only, true);
  EXPECT_EQ(find(describe(4, "1"), "advertised.listeners").value,
            "PLAINTEXT://" + options_.kafka.listen);
  EXPECT_EQ(find(describe(4, "1"), "connections.max.reauth.ms").value, "0");
  EXPECT_EQ(find(describe(4, "1"), "offsets.retention.minutes").value, "10080");
  EXPECT_EQ(find(describe(4, "1"), "group.max.size").value, "10000");
  EXPECT_EQ(describe(4, "7").error_code, 42);
  anew.resources[0].type = 4;
  EXPECT_EQ(client().ask<AlterConfigsResponse>(anew, 2)->resources.at(0).error_code, 42);
}

TEST_F(KafkaTest, partitions_are_added_and_none_is_taken) {
  start();
  make("t");
  EXPECT_EQ(produce("t", batch_of({"a"})).base_offset, 0);
  auto grow = [&](Bytes name, std::int32_t count, bool validate_only = false) {
    CreatePartitionsRequest request{.validate_only = validate_only};
    request.topics.push_back({.name = name, .count = count});
    return client().ask<CreatePartitionsResponse>(request, 3)->topics.at(0).error_code;
  };
  auto partitions = [&] {
    return client().ask<MetadataResponse>(MetadataRequest{}, 12)->topics.at(0).partitions.size();
  };
  EXPECT_EQ(grow("t", 3, true), 0);
  EXPECT_EQ(partitions(), 1u);
  EXPECT_EQ(grow("t", 3), 0);
  EXPECT_EQ(partitions(), 3u);
  EXPECT_EQ(grow("t", 3), 37);
  EXPECT_EQ(grow("t", 2), 37);
  EXPECT_EQ(grow("t", 1'000'000), 37);
  EXPECT_EQ(grow("absent", 2), 3);
  auto batch = batch_of({"b"});
  auto request = produce_request("t", batch);
  request.topics[0].partitions[0].index = 2;
  EXPECT_EQ(client().ask<ProduceResponse>(request, 9)->topics.at(0).partitions.at(0).error_code, 0);
  EXPECT_EQ(fetch(fetch_request("t", 0)).topics.at(0).partitions.at(0).high_watermark, 1);
  DescribeLogDirsRequest all;
  auto told = client().ask<DescribeLogDirsResponse>(all, 4);
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->directories.at(0).topics.at(0).partitions.size(), 3u);
  EXPECT_GT(told->directories[0].topics[0].partitions[2].bytes, 0);
}

TEST_F(KafkaTest, nothing_can_be_moved_on_one_node) {
  start();
  make("t");
  ElectLeadersRequest elect;
  elect.topics.emplace().push_back({.name = "t", .partitions = {0, 1}});
  auto elected = client().ask<ElectLeadersResponse>(elect, 2)->topics.at(0).partitions;
  EXPECT_EQ(elected.at(0).error_code, 84);
  EXPECT_EQ(elected.at(1).error_code, 3);
  AlterPartitionReassignmentsRequest move;
  move.topics.push_back({.name = "t", .partitions = {{.index = 0, .replicas = {{1}}}}});
  auto moved = [&] {
    return client()
        .ask<AlterPartitionReassignmentsResponse>(move, 0)
        ->topics.at(0)
        .partitions.at(0)
        .error_code;
  };
  EXPECT_EQ(moved(), 0);
  move.topics[0].partitions[0].replicas = {{1, 1}};
  EXPECT_EQ(moved(), 39);
  move.topics[0].partitions[0].replicas = {{2}};
  EXPECT_EQ(moved(), 39);
  move.topics[0].partitions[0].replicas.reset();
  EXPECT_EQ(moved(), 85);
  auto listed =
      client().ask<ListPartitionReassignmentsResponse>(ListPartitionReassignmentsRequest{}, 0);
  ASSERT_TRUE(listed.has_value());
  EXPECT_TRUE(listed->topics.empty());
}

TEST_F(KafkaTest, a_stop_answers_what_was_taken_and_ends_what_waits) {
  start();
  make("t");
  auto waiting = connect();
  ASSERT_TRUE(waiting->send(fetch_request("t", 0, 1'000'000), 12).has_value());
  EXPECT_EQ(produce("t", batch_of({"x"})).error_code, 0);
  ASSERT_TRUE(waiting->receive<FetchResponse>(12).has_value());
  ASSERT_TRUE(waiting->send(fetch_request("t", 1, 1'000'000), 12).has_value());
  auto before = world_.node(0).env().mono();
  EXPECT_TRUE(server_->stop().has_value());
  EXPECT_LT(world_.node(0).env().mono() - before, 5s);
}

}  // namespace
}  // namespace walrus::server
