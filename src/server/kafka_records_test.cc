// What a topic's settings ask of the records that are produced to it, and what becomes of them.

#include <limits>

#include "server/kafka_fixture.h"

namespace walrus::server {
namespace {

constexpr std::int64_t kStart = 1'700'000'000'000;  // the simulated wall clock at first
constexpr std::int64_t kHour = 3'600'000;

class KafkaRecordsTest : public KafkaTest {
 protected:
  std::string stored(Bytes topic) {
    auto part = fetch(fetch_request(topic, 0)).topics.at(0).partitions.at(0);
    return std::string(part.records.value_or(Bytes()));
  }
  static std::string keyed(std::vector<std::optional<Bytes>> keys) {
    std::vector<walrus::Record> records;
    for (auto key : keys) records.push_back({.key = key, .value = "v"});
    return record::encode(records, {.now = Time(Millis(kStart))});
  }
  // A batch whose records lie so far apart, as no encoder of ours would write its maximum.
  static std::string timed(std::vector<std::int64_t> times, bool maximum = true) {
    std::vector<walrus::Record> records;
    for (auto time : times) records.push_back({.value = "v", .timestamp = Time(Millis(time))});
    auto batch = record::encode(records, {});
    if (!maximum) store_be<std::int64_t>(batch.data() + 35, -1);
    return with_crc(batch);
  }
};

TEST_F(KafkaRecordsTest, the_time_of_append_replaces_the_producers) {
  start();
  make("t", 1, {{.name = "message.timestamp.type", .value = "LogAppendTime"}});
  auto answer = produce("t", timed({5, 7}));
  EXPECT_EQ(answer.error_code, 0);
  EXPECT_GE(answer.log_append_time_ms, kStart);
  EXPECT_LT(answer.log_append_time_ms, kStart + kHour);
  auto bytes = stored("t");
  auto batch = record::BatchView::parse(bytes);
  ASSERT_TRUE(batch.has_value());
  EXPECT_TRUE(batch->crc_holds());
  EXPECT_TRUE(batch->log_append_time());
  EXPECT_EQ(batch->max_timestamp(), answer.log_append_time_ms);
  make("own");
  EXPECT_EQ(produce("own", batch_of({"a"})).log_append_time_ms, -1);
  auto claims = batch_of({"a"});
  claims[22] = 8;
  EXPECT_EQ(produce("own", with_crc(claims)).error_code, 32);
}

TEST_F(KafkaRecordsTest, times_that_are_too_far_away_are_refused_record_by_record) {
  start();
  make("t");
  EXPECT_EQ(produce("t", timed({0, kStart + kHour})).error_code, 0);  // any past, an hour ahead
  for (bool maximum : {true, false}) {
    auto refused = produce("t", timed({kStart, kStart + 2 * kHour, kStart}, maximum));
    EXPECT_EQ(refused.error_code, 32);
    ASSERT_EQ(refused.record_errors.size(), 1u);
    EXPECT_EQ(refused.record_errors[0].batch_index, 1);
    EXPECT_TRUE(refused.error_message.has_value());
  }
  EXPECT_EQ(produce("t", timed({-1, -1})).error_code, 0);  // none given
  make("near", 1,
       {{.name = "message.timestamp.before.max.ms", .value = "60000"},
        {.name = "message.timestamp.after.max.ms", .value = "60000"}});
  EXPECT_EQ(produce("near", timed({kStart})).error_code, 0);
  EXPECT_EQ(produce("near", timed({kStart, kStart - 70'000})).error_code, 32);
  EXPECT_EQ(produce("near", timed({kStart + kHour})).error_code, 32);
  make("never", 1, {{.name = "message.timestamp.after.max.ms", .value = "9223372036854775807"}});
  EXPECT_EQ(produce("never", timed({std::numeric_limits<std::int64_t>::max()})).error_code, 0);
  // The time of append counts whatever the producer says.
  make("append", 1, {{.name = "message.timestamp.type", .value = "LogAppendTime"}});
  EXPECT_EQ(produce("append", timed({kStart + 2 * kHour})).error_code, 0);
}

TEST_F(KafkaRecordsTest, a_topic_chooses_how_its_records_are_compressed) {
  start();
  std::string value(10'000, 'x');
  auto plain = batch_of({value, value});
  const std::pair<Bytes, record::Codec> codecs[] = {{"uncompressed", record::Codec::kNone},
                                                    {"gzip", record::Codec::kGzip},
                                                    {"snappy", record::Codec::kSnappy},
                                                    {"lz4", record::Codec::kLz4},
                                                    {"zstd", record::Codec::kZstd}};
  for (const auto& [name, codec] : codecs) {
    make(name, 1, {{.name = "compression.type", .value = name}});
    auto sent = record::compress(*record::BatchView::parse(plain), record::Codec::kLz4);
    ASSERT_TRUE(sent.has_value());
    for (const auto& batch : {plain, *sent}) EXPECT_EQ(produce(name, batch).error_code, 0) << name;
    auto bytes = stored(name);
    Bytes rest = bytes;
    for (int i = 0; i < 2; ++i) {
      auto batch = record::BatchView::parse(rest);
      ASSERT_TRUE(batch.has_value());
      EXPECT_TRUE(batch->crc_holds());
      EXPECT_EQ(batch->codec(), codec) << name;
      auto records = record::RecordIterator::open(*batch);
      ASSERT_TRUE(records.has_value());
      EXPECT_EQ((**records->next()).value, value);
      rest.remove_prefix(batch->bytes().size());
    }
  }
}

TEST_F(KafkaRecordsTest, a_topic_limits_its_batches) {
  start();
  make("t", 1, {{.name = "max.message.bytes", .value = "1000"}});
  EXPECT_EQ(produce("t", batch_of({std::string(900, 'x')})).error_code, 0);
  EXPECT_EQ(produce("t", batch_of({std::string(1000, 'x')})).error_code, 10);
  // What is small only compressed, and would be stored without.
  make("plain", 1,
       {{.name = "max.message.bytes", .value = "1000"},
        {.name = "compression.type", .value = "uncompressed"}});
  auto large = batch_of({std::string(5000, 'x')});
  auto small = record::compress(*record::BatchView::parse(large), record::Codec::kGzip);
  ASSERT_TRUE(small.has_value());
  EXPECT_EQ(produce("plain", *small).error_code, 10);
  make("wide", 1, {{.name = "max.message.bytes", .value = "3000000"}});
  EXPECT_EQ(produce("wide", batch_of({std::string(2 << 20, 'x')})).error_code, 0);
}

TEST_F(KafkaRecordsTest, a_compacted_topic_takes_keys_only) {
  start();
  make("t", 1, {{.name = "cleanup.policy", .value = "compact"}});
  EXPECT_EQ(produce("t", keyed({"a", "b"})).error_code, 0);
  auto refused = produce("t", keyed({"a", std::nullopt, "b", std::nullopt}));
  EXPECT_EQ(refused.error_code, 87);
  ASSERT_EQ(refused.record_errors.size(), 2u);
  EXPECT_EQ(refused.record_errors[0].batch_index, 1);
  EXPECT_EQ(refused.record_errors[1].batch_index, 3);
  EXPECT_EQ(produce("t", keyed({std::nullopt}), 7).error_code, 87);
}

TEST_F(KafkaRecordsTest, one_copy_is_not_two) {
  start();
  make("t", 1, {{.name = "min.insync.replicas", .value = "2"}});
  auto code = [&](std::int16_t acks) {
    auto batch = batch_of({"a"});
    auto response = client().ask<ProduceResponse>(produce_request("t", batch, acks), 9);
    return response->topics.at(0).partitions.at(0).error_code;
  };
  EXPECT_EQ(code(-1), 19);
  EXPECT_EQ(code(1), 0);
}

// Compressed records are looked at as plain ones are, and a bomb is not unpacked.
TEST_F(KafkaRecordsTest, what_is_wrong_inside_a_compressed_batch_is_found) {
  start();
  make("t");
  auto plain = batch_of({"aaaa", "bbbb"});
  auto pack = [](std::string batch) {
    auto packed = record::compress(*record::BatchView::parse(batch), record::Codec::kZstd);
    return packed.value_or("");
  };
  EXPECT_EQ(produce("t", pack(plain)).error_code, 0);
  auto counts = plain;  // one record more than there is
  store_be<std::int32_t>(counts.data() + 57, 3);
  store_be<std::int32_t>(counts.data() + 23, 2);
  EXPECT_EQ(produce("t", pack(counts)).error_code, 87);
  auto delta = plain;  // the second record's offset delta
  delta[61 + 1 + 11 + 3] = 8;
  EXPECT_EQ(produce("t", pack(delta)).error_code, 87);
  auto size = plain;  // the first record's length
  size[61] = 126;
  EXPECT_EQ(produce("t", pack(size)).error_code, 87);
  EXPECT_EQ(produce("t", pack(batch_of({std::string(70 << 20, 'x')}))).error_code, 10);
}

TEST_F(KafkaRecordsTest, sequences_wrap_and_are_known_after_a_restart) {
  start();
  make("t");
  constexpr auto kLast = std::numeric_limits<std::int32_t>::max();
  auto id = client().ask<InitProducerIdResponse>(InitProducerIdRequest{}, 4)->producer_id;
  auto send = [&](std::int32_t sequence, std::int16_t epoch = 0) {
    auto answer = produce("t", batch_of({"a", "b"}, {id, epoch, sequence}));
    return answer.error_code == 0 ? answer.base_offset : -answer.error_code;
  };
  EXPECT_EQ(send(kLast - 2), 0);
  EXPECT_EQ(send(kLast), 2);  // its second record has sequence 0
  EXPECT_EQ(send(0), -45);
  restart();
  EXPECT_EQ(send(kLast), 2);
  EXPECT_EQ(send(kLast - 2), 0);
  EXPECT_EQ(send(1), 4);
  EXPECT_EQ(send(3, 1), -45);  // a new epoch begins at 0
  EXPECT_EQ(send(0, 1), 6);
  EXPECT_EQ(send(3, 0), -47);
  restart();
  EXPECT_EQ(send(3, 0), -47);
  EXPECT_EQ(send(2, 1), 8);
  // A batch that was refused leaves those behind it refused, too.
  std::string burst;
  std::int32_t correlation = 0;
  auto other = connect();
  for (std::int32_t sequence : {6, 8, 4}) {
    auto batch = batch_of({"a", "b"}, {id, 1, sequence});
    burst += KafkaClient::frame(produce_request("t", batch), 9, ++correlation);
  }
  ASSERT_TRUE(other->send_raw(burst).has_value());
  for (std::int16_t code : {45, 45, 0}) {
    auto answer = other->receive<ProduceResponse>(9);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->topics.at(0).partitions.at(0).error_code, code);
  }
}

TEST_F(KafkaRecordsTest, idle_producers_are_remembered_for_a_day_at_least) {
  start();
  make("t");
  auto id = client().ask<InitProducerIdResponse>(InitProducerIdRequest{}, 4)->producer_id;
  EXPECT_EQ(produce("t", batch_of({"a"}, {id, 3, 0})).error_code, 0);
  world_.node(0).jump_wall_clock(Millis(30 * 24 * kHour));  // believed tenfold at most
  world_.run_for(20h);
  client_ = connect();
  EXPECT_EQ(produce("t", batch_of({"a"}, {id, 2, 9})).error_code, 47);
  world_.run_for(5h);
  client_ = connect();
  EXPECT_EQ(produce("t", batch_of({"a"}, {id, 2, 9})).error_code, 0);
}

TEST_F(KafkaRecordsTest, settings_that_were_given_are_told_as_the_topics_own) {
  start();
  make("t", 1,
       {{.name = "retention.ms", .value = "-1"},
        {.name = "preallocate", .value = "true"},
        {.name = "min.compaction.lag.ms", .value = "7"},
        {.name = "max.compaction.lag.ms", .value = "8"},
        {.name = "compression.type", .value = "lz4"}});
  auto config = [&](Bytes name) {
    DescribeConfigsRequest request{.include_synonyms = true};
    request.resources.push_back({.type = 2, .name = "t"});
    auto all = client().ask<DescribeConfigsResponse>(request, 4)->resources.at(0).configs;
    auto found = std::ranges::find(all, name, &DescribeConfigsResponse::Config::name);
    return found == all.end() ? DescribeConfigsResponse::Config{} : *found;
  };
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(config("retention.ms").value, "-1");
    EXPECT_EQ(config("retention.ms").source, 1);
    EXPECT_EQ(config("retention.ms").synonyms.size(), 2u);
    EXPECT_EQ(config("preallocate").value, "true");
    EXPECT_EQ(config("preallocate").source, 1);
    EXPECT_EQ(config("compression.type").value, "lz4");
    EXPECT_EQ(config("min.compaction.lag.ms").value, "7");
    EXPECT_EQ(config("max.compaction.lag.ms").value, "8");
    EXPECT_EQ(config("max.compaction.lag.ms").source, 1);
    EXPECT_EQ(config("segment.bytes").source, 5);
    EXPECT_EQ(config("max.message.bytes").synonyms.at(0).name, "message.max.bytes");
    EXPECT_EQ(config("message.timestamp.after.max.ms").value, "3600000");
    if (i == 0) restart();
  }
  IncrementalAlterConfigsRequest remove;
  remove.resources.push_back(
      {.type = 2, .name = "t", .configs = {{.name = "retention.ms", .operation = 1}}});
  EXPECT_EQ(client().ask<IncrementalAlterConfigsResponse>(remove, 1)->resources.at(0).error_code,
            0);
  EXPECT_EQ(config("retention.ms").source, 5);
}

}  // namespace
}  // namespace walrus::server
