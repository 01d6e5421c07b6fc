#pragma once
// The configuration of a topic by name: the names of the [topic] table and Kafka's names for the
// same things. Pure.
//
// What was given to a topic by name is kept with it, as it was given, in the attributes of its
// partition 0 (layout below); what was not follows from the options that its streams were made
// with.
//
//   byte version (1), uvarint settings, each: string Kafka's name, string value

#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "record/batch.h"

namespace walrus::broker {

// name                     Kafka's name                      value
// durability               walrus.durability                 fsync | interval=<ms> | os
// segment_records_max      walrus.segment.records            1..
// segment_bytes_max        segment.bytes                     65536..
// segment_ms               segment.ms                        1.., -1 = none
// retention_ms             retention.ms                      1.., -1 = keep all: stream_options()
// retention_bytes          retention.bytes                   likewise
// compact                  cleanup.policy                    true | false; delete | compact | both
// tombstone_ms             delete.retention.ms               0..
// compaction_lag_min_ms    min.compaction.lag.ms             0..
// compaction_lag_max_ms    max.compaction.lag.ms             1.., not below the other
// batch_bytes_max          max.message.bytes                 0.., of a record batch as stored
// compression              compression.type                  producer | uncompressed, or a codec's
//                                                            name: gzip | snappy | lz4 | zstd
// timestamps               message.timestamp.type            CreateTime | LogAppendTime
// timestamp_before_max_ms  message.timestamp.before.max.ms   0..
// timestamp_after_max_ms   message.timestamp.after.max.ms    0..
// in_sync_min              min.insync.replicas               1..
struct TopicConfig {
  StreamOptions stream{};
  bool compact_and_delete = false;
  std::int64_t batch_bytes_max = 1'048'588;
  std::optional<record::Codec> codec{};  // none: as the producer compressed
  int gzip_level = -1, lz4_level = 9, zstd_level = 3;
  bool log_append_time = false;  // instead of the producer's time
  // How far a producer's time may lie from the node's.
  std::int64_t timestamp_before_max_ms = std::numeric_limits<std::int64_t>::max(),
               timestamp_after_max_ms = 3'600'000;
  std::int32_t in_sync_min = 1;                             // copies, or acks=all is refused
  std::map<std::string, std::string, std::less<>> given{};  // by Kafka's name
};
// What its streams are kept by: where the policy is to compact, and not to delete, nothing goes by
// age or size, whatever retention says.
StreamOptions stream_options(const TopicConfig&);
// Errors: kInvalid, the message names the setting; nothing is changed then.
Result<void> set_config(TopicConfig&, Bytes name, Bytes value);
// What settings may not be together, once all of a change are made. kInvalid.
Result<void> check_config(const TopicConfig&);
// Puts one setting back to what `defaults` says.
Result<void> unset_config(TopicConfig&, const TopicConfig& defaults, Bytes name);
// The same for Kafka's settings: also those beyond the table above. One is kept and told where the
// value asks for what Walrus does anyway, or where it cannot matter here (flush.ms,
// preallocate...), and refused with kInvalid where it would be ignored.
Result<void> set_kafka_config(TopicConfig&, Bytes name, Bytes value);
Result<void> unset_kafka_config(TopicConfig&, const TopicConfig& defaults, Bytes name);
// Adds an item to a setting that is a list, or takes it out.
Result<void> change_kafka_list(TopicConfig&, Bytes name, Bytes item, bool add);

// The attributes of a topic's partition 0.
std::string encode_attributes(const TopicConfig&);  // empty: nothing was given
// Of a topic whose streams have `options`. Settings that are not known are kept. kCorrupt,
// kVersion.
Result<TopicConfig> decode_attributes(Bytes, const StreamOptions& options,
                                      const TopicConfig& defaults);

enum class ConfigType : std::uint8_t {  // by Kafka's numbers
  kBoolean = 1,
  kString = 2,
  kInt = 3,
  kLong = 5,
  kDouble = 6,
  kList = 7
};
enum class ConfigSource : std::uint8_t { kTopic = 1, kNode = 4, kDefault = 5 };  // likewise
struct KafkaConfig {
  std::string name{}, value{};
  std::string node_value{}, default_value{};  // what is without the topic's, without the node's
  ConfigType type = ConfigType::kString;
  ConfigSource source = ConfigSource::kDefault;
};
// Everything that set_kafka_config() knows, by name.
std::vector<KafkaConfig> list_kafka_config(const TopicConfig&, const TopicConfig& defaults);

// What Kafka calls the same setting where it is a node's; empty: it has no such name.
Bytes node_setting_name(Bytes kafka_name);

using ConfigList = std::vector<std::pair<std::string, std::string>>;
ConfigList list_config(const TopicConfig&);  // by the names of the [topic] table, in that order

Result<Durability> parse_durability(Bytes);
std::string durability_name(const Durability&);

}  // namespace walrus::broker
