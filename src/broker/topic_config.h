#pragma once
// The configuration of a topic by name: the names of the [topic] table and Kafka's names for the
// same things. Pure.

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace walrus::broker {

// name                 Kafka's name              value
// durability           walrus.durability         fsync | interval=<ms> | os
// segment_records_max  walrus.segment.records    1..
// segment_bytes_max    segment.bytes             65536..
// segment_ms           segment.ms                1.., -1 = none
// retention_ms         retention.ms              1.., -1 = keep all
// retention_bytes      retention.bytes           1.., -1 = keep all
// compact              cleanup.policy            true | false; delete | compact
// tombstone_ms         delete.retention.ms       0..
// Errors: kInvalid, the message names the setting.
Result<void> set_config(StreamOptions&, Bytes name, Bytes value);
// One setting by Kafka's name, or by Walrus's where Kafka has none. What Kafka knows beyond the
// table above is taken where its value asks for what Walrus does anyway, or where it cannot matter
// here (flush.ms, preallocate...), and refused with kInvalid where it would be ignored.
Result<void> set_kafka_config(StreamOptions&, Bytes name, Bytes value);
Result<void> unset_kafka_config(StreamOptions&, const StreamOptions& defaults, Bytes name);
// Adds an item to a setting that is a list, or takes it out.
Result<void> change_kafka_list(StreamOptions&, Bytes name, Bytes item, bool add);

enum class ConfigType : std::uint8_t {  // by Kafka's numbers
  kBoolean = 1,
  kString = 2,
  kInt = 3,
  kLong = 5,
  kDouble = 6,
  kList = 7
};
struct KafkaConfig {
  std::string name{}, value{}, default_value{};
  ConfigType type = ConfigType::kString;
};
// Everything that set_kafka_config() knows, by name.
std::vector<KafkaConfig> list_kafka_config(const StreamOptions&, const StreamOptions& defaults);
// Puts one setting back to what `defaults` says.
Result<void> unset_config(StreamOptions&, const StreamOptions& defaults, Bytes name);

using ConfigList = std::vector<std::pair<std::string, std::string>>;
ConfigList list_config(const StreamOptions&);  // by the names of the [topic] table, in that order

Result<Durability> parse_durability(Bytes);
std::string durability_name(const Durability&);

}  // namespace walrus::broker
