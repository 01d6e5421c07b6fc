#include "broker/topic_config.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace walrus::broker {
namespace {

TEST(TopicConfigTest, both_names_of_a_setting_mean_the_same) {
  const std::pair<Bytes, Bytes> names[] = {
      {"durability", "walrus.durability"},
      {"segment_records_max", "walrus.segment.records"},
      {"segment_bytes_max", "segment.bytes"},
      {"segment_ms", "segment.ms"},
      {"retention_ms", "retention.ms"},
      {"retention_bytes", "retention.bytes"},
      {"compact", "cleanup.policy"},
      {"tombstone_ms", "delete.retention.ms"},
      {"compaction_lag_min_ms", "min.compaction.lag.ms"},
      {"compaction_lag_max_ms", "max.compaction.lag.ms"},
      {"batch_bytes_max", "max.message.bytes"},
      {"compression", "compression.type"},
      {"timestamps", "message.timestamp.type"},
      {"timestamp_before_max_ms", "message.timestamp.before.max.ms"},
      {"timestamp_after_max_ms", "message.timestamp.after.max.ms"},
      {"in_sync_min", "min.insync.replicas"}};
  for (const auto& [ours, kafka] : names) {
    Bytes value = ours == "durability"    ? "os"
                  : ours == "compact"     ? "compact"
                  : ours == "compression" ? "gzip"
                  : ours == "timestamps"  ? "LogAppendTime"
                                          : "2000000";
    TopicConfig one, other;
    EXPECT_TRUE(set_config(one, ours, value).has_value()) << ours;
    EXPECT_TRUE(set_config(other, kafka, value).has_value()) << kafka;
    EXPECT_EQ(list_config(one), list_config(other)) << ours;
    EXPECT_NE(list_config(one), list_config({})) << ours << " has an effect";
    EXPECT_TRUE(unset_config(one, {}, kafka).has_value());
    EXPECT_EQ(list_config(one), list_config({})) << ours;
  }
}

TEST(TopicConfigTest, what_is_listed_can_be_set) {
  TopicConfig options{.stream = {.durability = {Durability::kInterval, Millis(200)},
                                 .segment_time_max = Millis(5),
                                 .retention_bytes = 7,
                                 .compact = true,
                                 .compaction_lag_min = Millis(6),
                                 .compaction_lag_max = Millis(9)},
                      .codec = record::Codec::kLz4,
                      .log_append_time = true,
                      .timestamp_before_max_ms = 8,
                      .in_sync_min = 2};
  TopicConfig again;
  for (const auto& [name, value] : list_config(options))
    EXPECT_TRUE(set_config(again, name, value).has_value()) << name << " = " << value;
  EXPECT_EQ(list_config(again), list_config(options));
}

TEST(TopicConfigTest, minus_one_means_none) {
  TopicConfig options{.stream = {.retention_bytes = 7, .retention_time = Millis(7)}};
  EXPECT_TRUE(set_config(options, "retention_bytes", "-1").has_value());
  EXPECT_TRUE(set_config(options, "retention_ms", "-1").has_value());
  EXPECT_EQ(options.stream.retention_bytes, std::nullopt);
  EXPECT_EQ(options.stream.retention_time, std::nullopt);
}

TEST(TopicConfigTest, bad_values_are_refused_and_change_nothing) {
  const std::pair<Bytes, Bytes> bad[] = {{"durability", "fsink"},
                                         {"durability", "interval=0"},
                                         {"durability", "interval="},
                                         {"segment_records_max", "0"},
                                         {"segment_bytes_max", "1"},
                                         {"retention_ms", "0"},
                                         {"retention_bytes", "-2"},
                                         {"compact", "yes"},
                                         {"segment_ms", "5s"},
                                         {"tombstone_ms", ""},
                                         {"compaction_lag_min_ms", "-1"},
                                         {"compaction_lag_max_ms", "0"},
                                         {"compression", "brotli"},
                                         {"timestamps", "Never"},
                                         {"timestamp_after_max_ms", "-1"},
                                         {"batch_bytes_max", "2147483648"},
                                         {"in_sync_min", "0"},
                                         {"colour", "red"}};
  for (const auto& [name, value] : bad) {
    TopicConfig options;
    auto set = set_config(options, name, value);
    ASSERT_FALSE(set.has_value()) << name << " = " << value;
    EXPECT_EQ(set.error().code, Code::kInvalid);
    EXPECT_NE(set.error().message.find(name), std::string::npos);
    EXPECT_EQ(list_config(options), list_config({}));
  }
}

TEST(TopicConfigTest, what_was_given_is_kept_and_told_even_if_it_is_the_default) {
  TopicConfig defaults{.stream = {.retention_time = Millis(5000)}};
  auto config = defaults;
  EXPECT_TRUE(set_kafka_config(config, "segment.bytes", "1073741824").has_value());
  EXPECT_TRUE(set_kafka_config(config, "flush.ms", "7").has_value());
  EXPECT_TRUE(set_kafka_config(config, "cleanup.policy", "delete,compact").has_value());
  auto again = decode_attributes(encode_attributes(config), config.stream, defaults);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->given, config.given);
  auto list = list_kafka_config(*again, defaults);
  auto find = [&](Bytes name) { return *std::ranges::find(list, name, &KafkaConfig::name); };
  EXPECT_EQ(find("segment.bytes").source, ConfigSource::kTopic);
  EXPECT_EQ(find("segment.bytes").value, find("segment.bytes").default_value);
  EXPECT_EQ(find("flush.ms").value, "7");
  EXPECT_EQ(find("flush.ms").source, ConfigSource::kTopic);
  EXPECT_EQ(find("cleanup.policy").value, "compact,delete");
  EXPECT_EQ(find("retention.ms").source, ConfigSource::kNode);
  EXPECT_EQ(find("retention.ms").default_value, "-1");
  EXPECT_EQ(find("preallocate").source, ConfigSource::kDefault);
  for (Bytes name : {"segment.bytes", "flush.ms", "cleanup.policy"})
    EXPECT_TRUE(unset_kafka_config(*again, defaults, name).has_value());
  EXPECT_EQ(encode_attributes(*again), "");
}

// As in Kafka: retention is kept and told, and holds again where the policy deletes.
TEST(TopicConfigTest, retention_holds_only_where_the_policy_is_to_delete) {
  TopicConfig config;
  EXPECT_TRUE(set_kafka_config(config, "retention.ms", "5000").has_value());
  EXPECT_TRUE(set_kafka_config(config, "retention.bytes", "70000").has_value());
  EXPECT_EQ(stream_options(config).retention_time, Millis(5000));
  EXPECT_TRUE(set_kafka_config(config, "cleanup.policy", "compact").has_value());
  auto kept_by = stream_options(config);
  EXPECT_TRUE(kept_by.compact);
  EXPECT_FALSE(kept_by.retention_time || kept_by.retention_bytes);
  auto again = decode_attributes(encode_attributes(config), kept_by, {});
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->stream.retention_time, Millis(5000));
  EXPECT_EQ(again->stream.retention_bytes, 70000);
  EXPECT_TRUE(change_kafka_list(*again, "cleanup.policy", "delete", true).has_value());
  EXPECT_EQ(stream_options(*again).retention_time, Millis(5000));
  EXPECT_EQ(stream_options(*again).retention_bytes, 70000);
}

TEST(TopicConfigTest, lags_of_compaction_are_told_and_checked_together) {
  TopicConfig config;
  auto told = [&](Bytes name) {
    auto list = list_kafka_config(config, {});
    return *std::ranges::find(list, name, &KafkaConfig::name);
  };
  EXPECT_EQ(told("min.compaction.lag.ms").value, "0");
  EXPECT_EQ(told("max.compaction.lag.ms").value, "9223372036854775807");
  EXPECT_EQ(told("max.compaction.lag.ms").source, ConfigSource::kDefault);
  EXPECT_TRUE(set_kafka_config(config, "min.compaction.lag.ms", "8").has_value());
  EXPECT_TRUE(set_kafka_config(config, "max.compaction.lag.ms", "7").has_value());
  EXPECT_EQ(check_config(config).error().code, Code::kInvalid);
  EXPECT_EQ(check_config(config).error().message,
            "min.compaction.lag.ms = 8: above max.compaction.lag.ms, which is 7");
  EXPECT_TRUE(set_kafka_config(config, "max.compaction.lag.ms", "8").has_value());
  EXPECT_TRUE(check_config(config).has_value());
  auto again = decode_attributes(encode_attributes(config), stream_options(config), {});
  ASSERT_TRUE(again.has_value());
  config = *again;
  EXPECT_EQ(config.stream.compaction_lag_min, Millis(8));
  EXPECT_EQ(config.stream.compaction_lag_max, Millis(8));
  EXPECT_EQ(told("max.compaction.lag.ms").value, "8");
  EXPECT_EQ(told("max.compaction.lag.ms").source, ConfigSource::kTopic);
  EXPECT_TRUE(set_kafka_config(config, "max.compaction.lag.ms", "9223372036854775807").has_value());
  EXPECT_FALSE(config.stream.compaction_lag_max);
}

TEST(TopicConfigTest, attributes_have_golden_bytes) {
  TopicConfig config;
  EXPECT_TRUE(set_config(config, "timestamps", "LogAppendTime").has_value());
  EXPECT_TRUE(set_config(config, "compression", "none").has_value());
  EXPECT_EQ(encode_attributes(config),
            "\x01\x02"
            "\x10"
            "compression.type"
            "\x0c"
            "uncompressed"
            "\x16"
            "message.timestamp.type"
            "\x0d"
            "LogAppendTime");
}

TEST(TopicConfigTest, damaged_attributes_are_told_and_newer_ones_are_refused) {
  TopicConfig config;
  EXPECT_TRUE(set_config(config, "timestamps", "LogAppendTime").has_value());
  auto bytes = encode_attributes(config);
  for (std::size_t size = 1; size < bytes.size(); ++size)
    EXPECT_EQ(decode_attributes(Bytes(bytes).substr(0, size), {}, {}).error().code, Code::kCorrupt);
  EXPECT_EQ(decode_attributes(bytes + "x", {}, {}).error().code, Code::kCorrupt);
  bytes[0] = 2;
  EXPECT_EQ(decode_attributes(bytes, {}, {}).error().code, Code::kVersion);
}

TEST(TopicConfigTest, kafka_settings_are_checked_by_their_type) {
  const std::string long_text(1025, '0');
  const std::pair<Bytes, Bytes> bad[] = {{"flush.ms", "soon"},
                                         {"preallocate", "maybe"},
                                         {"min.cleanable.dirty.ratio", "half"},
                                         {"min.cleanable.dirty.ratio", "1.01"},
                                         {"min.cleanable.dirty.ratio", "-0.01"},
                                         {"min.cleanable.dirty.ratio", "nan"},
                                         {"segment.index.bytes", "3"},
                                         {"flush.messages", "-1"},
                                         {"compression.gzip.level", "0"},
                                         {"leader.replication.throttled.replicas", long_text},
                                         {"message.timestamp.difference.max.ms", "1"}};
  for (const auto& [name, value] : bad) {
    TopicConfig config;
    EXPECT_FALSE(set_kafka_config(config, name, value).has_value()) << name;
    EXPECT_TRUE(config.given.empty());
  }
}

TEST(TopicConfigTest, blanks_around_a_value_of_kafka_and_its_items_mean_nothing) {
  TopicConfig config;
  EXPECT_TRUE(set_kafka_config(config, "cleanup.policy", " compact , delete").has_value());
  EXPECT_TRUE(set_kafka_config(config, "retention.ms", "\t5000 ").has_value());
  EXPECT_TRUE(set_kafka_config(config, "preallocate", "true\n").has_value());
  EXPECT_EQ(config.given["cleanup.policy"], "compact,delete");
  EXPECT_EQ(config.given["retention.ms"], "5000");
  EXPECT_EQ(config.given["preallocate"], "true");
  EXPECT_TRUE(change_kafka_list(config, "cleanup.policy", " delete ", false).has_value());
  EXPECT_EQ(config.given["cleanup.policy"], "compact");
  for (Bytes bad : {"", " ", "compact,", "compact,never", "compact delete"})
    EXPECT_FALSE(set_kafka_config(config, "cleanup.policy", bad).has_value()) << bad;
  EXPECT_FALSE(set_kafka_config(config, "retention.ms", "5 000").has_value());
  EXPECT_FALSE(set_kafka_config(config, "retention.ms", " ").has_value());
}

// Connect, Streams, MirrorMaker and schema registries make their topics with these, and copy what
// they find on others.
TEST(TopicConfigTest, takes_what_tools_give_and_tells_it_as_the_topics_own) {
  const std::pair<Bytes, Bytes> given[] = {
      {"cleanup.policy", "compact"},
      {"compression.type", "producer"},
      {"delete.retention.ms", "86400000"},
      {"file.delete.delay.ms", "60000"},
      {"flush.messages", "1"},
      {"flush.ms", "1000"},
      {"follower.replication.throttled.replicas", "*"},
      {"index.interval.bytes", "4096"},
      {"leader.replication.throttled.replicas", "0:1,1:2"},
      {"local.retention.bytes", "-2"},
      {"local.retention.ms", "-2"},
      {"max.compaction.lag.ms", "9223372036854775807"},
      {"max.message.bytes", "1048588"},
      {"message.timestamp.after.max.ms", "3600000"},
      {"message.timestamp.before.max.ms", "9223372036854775807"},
      {"message.timestamp.type", "CreateTime"},
      {"min.cleanable.dirty.ratio", "0.01"},
      {"min.compaction.lag.ms", "0"},
      {"min.insync.replicas", "1"},
      {"preallocate", "false"},
      {"remote.log.copy.disable", "false"},
      {"remote.log.delete.on.disable", "false"},
      {"remote.storage.enable", "false"},
      {"retention.bytes", "-1"},
      {"retention.ms", "-1"},
      {"segment.bytes", "52428800"},
      {"segment.index.bytes", "10485760"},
      {"segment.jitter.ms", "100"},
      {"segment.ms", "604800000"},
      {"unclean.leader.election.enable", "true"}};
  TopicConfig config;
  for (const auto& [name, value] : given) {
    auto set = set_kafka_config(config, name, value);
    EXPECT_TRUE(set.has_value()) << set.error().message;
  }
  auto list = list_kafka_config(config, {});
  for (const auto& [name, value] : given) {
    auto told = std::ranges::find(list, name, &KafkaConfig::name);
    ASSERT_NE(told, list.end()) << name;
    EXPECT_EQ(told->value, value) << name;
    EXPECT_EQ(told->source, ConfigSource::kTopic) << name;
  }
}

TEST(TopicConfigTest, a_list_is_changed_item_by_item) {
  TopicConfig config;
  EXPECT_TRUE(change_kafka_list(config, "cleanup.policy", "compact", true).has_value());
  EXPECT_EQ(config.given["cleanup.policy"], "compact,delete");
  EXPECT_TRUE(change_kafka_list(config, "cleanup.policy", "delete", false).has_value());
  EXPECT_EQ(config.given["cleanup.policy"], "compact");
  EXPECT_FALSE(change_kafka_list(config, "cleanup.policy", "compact", false).has_value());
  EXPECT_TRUE(config.stream.compact);
}

}  // namespace
}  // namespace walrus::broker
