#include "broker/topic_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace walrus::broker {
namespace {

std::unexpected<Error> invalid(Bytes name, Bytes value, Bytes expected) {
  return fail(Code::kInvalid, "{} = {}: expected {}", name, value, expected);
}

Result<std::int64_t> number(Bytes name, Bytes value, std::int64_t min) {
  std::int64_t parsed = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
  if (error != std::errc() || end != value.data() + value.size() || parsed < min)
    return invalid(name, value, fmt::format("a number from {}", min));
  return parsed;
}

// -1 means none, as in Kafka.
Result<std::optional<std::int64_t>> optional_number(Bytes name, Bytes value) {
  if (value == "-1") return std::optional<std::int64_t>();
  auto parsed = number(name, value, 1);
  if (!parsed) return invalid(name, value, "a number from 1, or -1 for none");
  return std::optional(*parsed);
}

std::string print(const std::optional<Millis>& value) {
  return std::to_string(value ? value->count() : -1);
}

struct Entry {
  Bytes name, kafka_name;
  Result<void> (*set)(StreamOptions&, Bytes name, Bytes value);
  void (*copy)(StreamOptions& to, const StreamOptions& from);
  std::string (*print)(const StreamOptions&);
};

Result<void> set_durability(StreamOptions& options, Bytes name, Bytes value) {
  auto parsed = parse_durability(value);
  if (!parsed) return invalid(name, value, "fsync, interval=<1..3600000> or os");
  options.durability = *parsed;
  return {};
}

Result<void> set_compact(StreamOptions& options, Bytes name, Bytes value) {
  bool both = value == "compact,delete" || value == "delete,compact";  // retention holds as well
  if (value == "true" || value == "compact" || both) options.compact = true;
  else if (value == "false" || value == "delete") options.compact = false;
  else return invalid(name, value, "true, false, compact, delete or both");
  return {};
}

Result<void> set_millis(std::optional<Millis>& to, Bytes name, Bytes value) {
  WALRUS_ASSIGN(auto parsed, optional_number(name, value));
  to.reset();
  if (parsed) to = Millis(*parsed);
  return {};
}

constexpr std::array kEntries{
    Entry{"durability", "walrus.durability", set_durability,
          [](StreamOptions& to, const StreamOptions& from) { to.durability = from.durability; },
          [](const StreamOptions& o) { return durability_name(o.durability); }},
    Entry{"segment_records_max", "walrus.segment.records",
          [](StreamOptions& o, Bytes name, Bytes value) -> Result<void> {
            WALRUS_ASSIGN(o.segment_records_max, number(name, value, 1));
            return {};
          },
          [](StreamOptions& to, const StreamOptions& from) {
            to.segment_records_max = from.segment_records_max;
          },
          [](const StreamOptions& o) { return std::to_string(o.segment_records_max); }},
    Entry{"segment_bytes_max", "segment.bytes",
          [](StreamOptions& o, Bytes name, Bytes value) -> Result<void> {
            WALRUS_ASSIGN(o.segment_bytes_max, number(name, value, 64 << 10));
            return {};
          },
          [](StreamOptions& to, const StreamOptions& from) {
            to.segment_bytes_max = from.segment_bytes_max;
          },
          [](const StreamOptions& o) { return std::to_string(o.segment_bytes_max); }},
    Entry{"segment_ms", "segment.ms",
          [](StreamOptions& o, Bytes name, Bytes value) {
            return set_millis(o.segment_time_max, name, value);
          },
          [](StreamOptions& to, const StreamOptions& from) {
            to.segment_time_max = from.segment_time_max;
          },
          [](const StreamOptions& o) { return print(o.segment_time_max); }},
    Entry{"retention_ms", "retention.ms",
          [](StreamOptions& o, Bytes name, Bytes value) {
            return set_millis(o.retention_time, name, value);
          },
          [](StreamOptions& to, const StreamOptions& from) {
            to.retention_time = from.retention_time;
          },
          [](const StreamOptions& o) { return print(o.retention_time); }},
    Entry{"retention_bytes", "retention.bytes",
          [](StreamOptions& o, Bytes name, Bytes value) -> Result<void> {
            WALRUS_ASSIGN(o.retention_bytes, optional_number(name, value));
            return {};
          },
          [](StreamOptions& to, const StreamOptions& from) {
            to.retention_bytes = from.retention_bytes;
          },
          [](const StreamOptions& o) { return std::to_string(o.retention_bytes.value_or(-1)); }},
    Entry{"compact", "cleanup.policy", set_compact,
          [](StreamOptions& to, const StreamOptions& from) { to.compact = from.compact; },
          [](const StreamOptions& o) { return std::string(o.compact ? "true" : "false"); }},
    Entry{"tombstone_ms", "delete.retention.ms",
          [](StreamOptions& o, Bytes name, Bytes value) -> Result<void> {
            WALRUS_ASSIGN(auto parsed, number(name, value, 0));
            o.tombstone_retention = Millis(parsed);
            return {};
          },
          [](StreamOptions& to, const StreamOptions& from) {
            to.tombstone_retention = from.tombstone_retention;
          },
          [](const StreamOptions& o) { return std::to_string(o.tombstone_retention.count()); }},
};

Result<const Entry*> find(Bytes name) {
  for (const auto& entry : kEntries)
    if (entry.name == name || entry.kafka_name == name) return &entry;
  return fail(Code::kInvalid, "unknown setting {}", name);
}

}  // namespace

Result<void> set_config(StreamOptions& options, Bytes name, Bytes value) {
  WALRUS_ASSIGN(auto entry, find(name));
  return entry->set(options, name, value);
}

namespace {

// Settings of Kafka without a counterpart here, and the value that they are told to have.
struct Other {
  Bytes name, value;
  ConfigType type;
  bool fixed = false;  // the value says what is done here; without it, none can matter
};
constexpr Bytes kMax = "9223372036854775807";
constexpr Other kOthers[] = {
    {"compression.gzip.level", "-1", ConfigType::kInt},
    {"compression.lz4.level", "9", ConfigType::kInt},
    {"compression.type", "producer", ConfigType::kString, true},
    {"compression.zstd.level", "3", ConfigType::kInt},
    {"file.delete.delay.ms", "60000", ConfigType::kLong},
    {"flush.messages", kMax, ConfigType::kLong},
    {"flush.ms", kMax, ConfigType::kLong},
    {"follower.replication.throttled.replicas", "", ConfigType::kList},
    {"index.interval.bytes", "4096", ConfigType::kInt},
    {"leader.replication.throttled.replicas", "", ConfigType::kList},
    {"local.retention.bytes", "-2", ConfigType::kLong, true},
    {"local.retention.ms", "-2", ConfigType::kLong, true},
    {"max.compaction.lag.ms", kMax, ConfigType::kLong, true},
    {"max.message.bytes", "1048588", ConfigType::kInt, true},
    {"message.timestamp.after.max.ms", kMax, ConfigType::kLong, true},
    {"message.timestamp.before.max.ms", kMax, ConfigType::kLong, true},
    {"message.timestamp.type", "CreateTime", ConfigType::kString, true},
    {"min.cleanable.dirty.ratio", "0.5", ConfigType::kDouble},
    {"min.compaction.lag.ms", "0", ConfigType::kLong, true},
    {"min.insync.replicas", "1", ConfigType::kInt, true},
    {"preallocate", "false", ConfigType::kBoolean},
    {"remote.storage.enable", "false", ConfigType::kBoolean, true},
    {"segment.index.bytes", "10485760", ConfigType::kInt},
    {"segment.jitter.ms", "0", ConfigType::kLong},
    {"unclean.leader.election.enable", "false", ConfigType::kBoolean},
};

const Other* find_other(Bytes name) {
  const auto* other = std::ranges::find(kOthers, name, &Other::name);
  return other == std::end(kOthers) ? nullptr : other;
}

ConfigType type_of(const Entry& entry) {
  if (entry.kafka_name == "cleanup.policy") return ConfigType::kList;
  if (entry.kafka_name == "walrus.durability") return ConfigType::kString;
  return entry.kafka_name == "segment.bytes" ? ConfigType::kInt : ConfigType::kLong;
}

std::string kafka_value(const Entry& entry, const StreamOptions& options) {
  if (entry.kafka_name != "cleanup.policy") return entry.print(options);
  return options.compact ? "compact" : "delete";
}

}  // namespace

Result<void> set_kafka_config(StreamOptions& options, Bytes name, Bytes value) {
  const auto* other = find_other(name);
  if (other == nullptr) return set_config(options, name, value);
  if (other->fixed && value != other->value) return invalid(name, value, other->value);
  return {};
}

Result<void> unset_kafka_config(StreamOptions& options, const StreamOptions& defaults, Bytes name) {
  return find_other(name) != nullptr ? Result<void>() : unset_config(options, defaults, name);
}

Result<void> change_kafka_list(StreamOptions& options, Bytes name, Bytes item, bool add) {
  if (name != "cleanup.policy") return fail(Code::kInvalid, "{} is not a list", name);
  if (item != "compact" && item != "delete") return invalid(name, item, "compact or delete");
  if (item == "compact") options.compact = add;
  else if (!add && !options.compact) return fail(Code::kInvalid, "{} would be empty", name);
  return {};
}

std::vector<KafkaConfig> list_kafka_config(const StreamOptions& options,
                                           const StreamOptions& defaults) {
  std::vector<KafkaConfig> list;
  for (const auto& entry : kEntries) {
    auto value = kafka_value(entry, options), fallback = kafka_value(entry, defaults);
    list.push_back({std::string(entry.kafka_name), value, fallback, type_of(entry)});
  }
  for (const auto& other : kOthers)
    list.push_back(
        {std::string(other.name), std::string(other.value), std::string(other.value), other.type});
  std::ranges::sort(list, {}, &KafkaConfig::name);
  return list;
}

Result<void> unset_config(StreamOptions& options, const StreamOptions& defaults, Bytes name) {
  WALRUS_ASSIGN(auto entry, find(name));
  entry->copy(options, defaults);
  return {};
}

ConfigList list_config(const StreamOptions& options) {
  ConfigList list;
  for (const auto& entry : kEntries)
    list.emplace_back(std::string(entry.name), entry.print(options));
  return list;
}

Result<Durability> parse_durability(Bytes text) {
  if (text == "fsync") return Durability{.kind = Durability::kFsync};
  if (text == "os") return Durability{.kind = Durability::kOs};
  constexpr Bytes kInterval = "interval=";
  if (text.starts_with(kInterval)) {
    auto parsed = number("durability", text.substr(kInterval.size()), 1);
    if (parsed && *parsed <= 3'600'000)
      return Durability{.kind = Durability::kInterval, .interval = Millis(*parsed)};
  }
  return invalid("durability", text, "fsync, interval=<1..3600000> or os");
}

std::string durability_name(const Durability& durability) {
  if (durability.kind == Durability::kFsync) return "fsync";
  if (durability.kind == Durability::kOs) return "os";
  return fmt::format("interval={}", durability.interval.count());
}

}  // namespace walrus::broker
