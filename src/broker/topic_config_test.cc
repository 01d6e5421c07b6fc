#include "broker/topic_config.h"

#include <gtest/gtest.h>

namespace walrus::broker {
namespace {

TEST(TopicConfigTest, both_names_of_a_setting_mean_the_same) {
  const std::pair<Bytes, Bytes> names[] = {
      {"durability", "walrus.durability"},    {"segment_records_max", "walrus.segment.records"},
      {"segment_bytes_max", "segment.bytes"}, {"segment_ms", "segment.ms"},
      {"retention_ms", "retention.ms"},       {"retention_bytes", "retention.bytes"},
      {"compact", "cleanup.policy"},          {"tombstone_ms", "delete.retention.ms"}};
  for (const auto& [ours, kafka] : names) {
    Bytes value = ours == "durability" ? "os" : ours == "compact" ? "compact" : "2000000";
    StreamOptions one, other;
    EXPECT_TRUE(set_config(one, ours, value).has_value()) << ours;
    EXPECT_TRUE(set_config(other, kafka, value).has_value()) << kafka;
    EXPECT_EQ(list_config(one), list_config(other)) << ours;
    EXPECT_NE(list_config(one), list_config({})) << ours << " has an effect";
    EXPECT_TRUE(unset_config(one, {}, kafka).has_value());
    EXPECT_EQ(list_config(one), list_config({})) << ours;
  }
}

TEST(TopicConfigTest, what_is_listed_can_be_set) {
  StreamOptions options{.durability = {Durability::kInterval, Millis(200)},
                        .segment_time_max = Millis(5),
                        .retention_bytes = 7,
                        .compact = true};
  StreamOptions again;
  for (const auto& [name, value] : list_config(options))
    EXPECT_TRUE(set_config(again, name, value).has_value()) << name << " = " << value;
  EXPECT_EQ(list_config(again), list_config(options));
}

TEST(TopicConfigTest, minus_one_means_none) {
  StreamOptions options{.retention_bytes = 7, .retention_time = Millis(7)};
  EXPECT_TRUE(set_config(options, "retention_bytes", "-1").has_value());
  EXPECT_TRUE(set_config(options, "retention_ms", "-1").has_value());
  EXPECT_EQ(options.retention_bytes, std::nullopt);
  EXPECT_EQ(options.retention_time, std::nullopt);
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
                                         {"colour", "red"}};
  for (const auto& [name, value] : bad) {
    StreamOptions options;
    auto set = set_config(options, name, value);
    ASSERT_FALSE(set.has_value()) << name << " = " << value;
    EXPECT_EQ(set.error().code, Code::kInvalid);
    EXPECT_NE(set.error().message.find(name), std::string::npos);
    EXPECT_EQ(list_config(options), list_config({}));
  }
}

}  // namespace
}  // namespace walrus::broker
