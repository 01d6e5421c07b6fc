#include "broker/topic_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ranges>
#include <utility>

#include "base/coding.h"

namespace walrus::broker {
namespace {

constexpr std::uint8_t kAttributesVersion = 1;
constexpr std::size_t kValueBytesMax = 1024;  // all settings fit into the attributes of a stream
constexpr std::int64_t kBatchBytesMax = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kNoLag = std::numeric_limits<std::int64_t>::max();  // as Kafka has it

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

// Into a member that keeps its value if it is refused.
template <class T>
Result<void> set_number(T& to, Bytes name, Bytes value, std::int64_t min,
                        std::int64_t max = std::numeric_limits<T>::max()) {
  auto parsed = number(name, value, min);
  if (!parsed || *parsed > max)
    return invalid(name, value,
                   max == std::numeric_limits<std::int64_t>::max()
                       ? fmt::format("a number from {}", min)
                       : fmt::format("a number from {} to {}", min, max));
  to = static_cast<T>(*parsed);
  return {};
}

std::string print(const std::optional<Millis>& value) {
  return std::to_string(value ? value->count() : -1);
}

struct Entry {
  Bytes name, kafka_name;
  ConfigType type;
  Result<void> (*set)(TopicConfig&, Bytes name, Bytes value);
  void (*copy)(TopicConfig& to, const TopicConfig& from);
  std::string (*print)(const TopicConfig&);
};

Result<void> set_durability(TopicConfig& config, Bytes name, Bytes value) {
  auto parsed = parse_durability(value);
  if (!parsed) return invalid(name, value, "fsync, interval=<1..3600000> or os");
  config.stream.durability = *parsed;
  return {};
}

Bytes trimmed(Bytes value) {
  constexpr Bytes kBlank = " \t\r\n";
  auto from = std::min(value.find_first_not_of(kBlank), value.size());
  return value.substr(from, value.find_last_not_of(kBlank) + 1 - from);
}

Result<void> set_compact(TopicConfig& config, Bytes name, Bytes value) {
  bool compacts = value == "true", deletes = value == "false";
  if (!compacts && !deletes) {
    for (auto part : std::views::split(value, ',')) {
      auto item = trimmed(Bytes(part.begin(), part.end()));
      if (item != "compact" && item != "delete")
        return invalid(name, value, "true, false, compact, delete or both");
      (item == "compact" ? compacts : deletes) = true;
    }
    if (!compacts && !deletes) return invalid(name, value, "true, false, compact, delete or both");
  }
  config.stream.compact = compacts;
  config.compact_and_delete = compacts && deletes;
  return {};
}

Result<void> set_millis(std::optional<Millis>& to, Bytes name, Bytes value) {
  WALRUS_ASSIGN(auto parsed, optional_number(name, value));
  to.reset();
  if (parsed) to = Millis(*parsed);
  return {};
}

constexpr std::pair<Bytes, record::Codec> kCodecs[] = {{"uncompressed", record::Codec::kNone},
                                                       {"gzip", record::Codec::kGzip},
                                                       {"snappy", record::Codec::kSnappy},
                                                       {"lz4", record::Codec::kLz4},
                                                       {"zstd", record::Codec::kZstd}};

Result<void> set_codec(TopicConfig& config, Bytes name, Bytes value) {
  using Named = std::pair<Bytes, record::Codec>;
  if (value == "none") value = kCodecs[0].first;
  const auto* found = std::ranges::find(kCodecs, value, &Named::first);
  if (found == std::end(kCodecs) && value != "producer")
    return invalid(name, value, "producer, uncompressed, gzip, snappy, lz4 or zstd");
  config.codec.reset();
  if (found != std::end(kCodecs)) config.codec = found->second;
  return {};
}

std::string print_codec(const TopicConfig& config) {
  for (const auto& [name, codec] : kCodecs)
    if (config.codec == codec) return std::string(name);
  return "producer";
}

Result<void> set_timestamps(TopicConfig& config, Bytes name, Bytes value) {
  if (value != "CreateTime" && value != "LogAppendTime")
    return invalid(name, value, "CreateTime or LogAppendTime");
  config.log_append_time = value == "LogAppendTime";
  return {};
}

// Of a member of TopicConfig, or of its stream's options, that is a plain number.
template <auto member>
auto& at(auto& config) {
  if constexpr (requires { config.*member; }) return config.*member;
  else return config.stream.*member;
}
template <auto member>
void copy(TopicConfig& to, const TopicConfig& from) {
  at<member>(to) = at<member>(from);
}
template <auto member>
constexpr Entry number_entry(Bytes name, Bytes kafka_name, ConfigType type,
                             Result<void> (*set)(TopicConfig&, Bytes, Bytes)) {
  return {name, kafka_name,   type,
          set,  copy<member>, [](const TopicConfig& c) { return std::to_string(at<member>(c)); }};
}

using Config = TopicConfig;
using Options = StreamOptions;
constexpr std::array kEntries{
    Entry{"durability", "walrus.durability", ConfigType::kString, set_durability,
          copy<&Options::durability>,
          [](const Config& c) { return durability_name(c.stream.durability); }},
    number_entry<&Options::segment_records_max>(
        "segment_records_max", "walrus.segment.records", ConfigType::kLong,
        [](Config& c, Bytes name, Bytes value) {
          return set_number(c.stream.segment_records_max, name, value, 1);
        }),
    number_entry<&Options::segment_bytes_max>(
        "segment_bytes_max", "segment.bytes", ConfigType::kInt,
        [](Config& c, Bytes name, Bytes value) {
          return set_number(c.stream.segment_bytes_max, name, value, 64 << 10);
        }),
    Entry{"segment_ms", "segment.ms", ConfigType::kLong,
          [](Config& c, Bytes name, Bytes value) {
            return set_millis(c.stream.segment_time_max, name, value);
          },
          copy<&Options::segment_time_max>,
          [](const Config& c) { return print(c.stream.segment_time_max); }},
    Entry{"retention_ms", "retention.ms", ConfigType::kLong,
          [](Config& c, Bytes name, Bytes value) {
            return set_millis(c.stream.retention_time, name, value);
          },
          copy<&Options::retention_time>,
          [](const Config& c) { return print(c.stream.retention_time); }},
    Entry{"retention_bytes", "retention.bytes", ConfigType::kLong,
          [](Config& c, Bytes name, Bytes value) -> Result<void> {
            WALRUS_ASSIGN(c.stream.retention_bytes, optional_number(name, value));
            return {};
          },
          copy<&Options::retention_bytes>,
          [](const Config& c) { return std::to_string(c.stream.retention_bytes.value_or(-1)); }},
    Entry{"compact", "cleanup.policy", ConfigType::kList, set_compact,
          [](Config& to, const Config& from) {
            to.stream.compact = from.stream.compact;
            to.compact_and_delete = from.compact_and_delete;
          },
          [](const Config& c) { return std::string(c.stream.compact ? "true" : "false"); }},
    Entry{"tombstone_ms", "delete.retention.ms", ConfigType::kLong,
          [](Config& c, Bytes name, Bytes value) -> Result<void> {
            WALRUS_ASSIGN(auto parsed, number(name, value, 0));
            c.stream.tombstone_retention = Millis(parsed);
            return {};
          },
          copy<&Options::tombstone_retention>,
          [](const Config& c) { return std::to_string(c.stream.tombstone_retention.count()); }},
    Entry{"compaction_lag_min_ms", "min.compaction.lag.ms", ConfigType::kLong,
          [](Config& c, Bytes name, Bytes value) -> Result<void> {
            WALRUS_ASSIGN(auto parsed, number(name, value, 0));
            c.stream.compaction_lag_min = Millis(parsed);
            return {};
          },
          copy<&Options::compaction_lag_min>,
          [](const Config& c) { return std::to_string(c.stream.compaction_lag_min.count()); }},
    Entry{"compaction_lag_max_ms", "max.compaction.lag.ms", ConfigType::kLong,
          [](Config& c, Bytes name, Bytes value) -> Result<void> {
            WALRUS_ASSIGN(auto parsed, number(name, value, 1));
            c.stream.compaction_lag_max.reset();
            if (parsed != kNoLag) c.stream.compaction_lag_max = Millis(parsed);
            return {};
          },
          copy<&Options::compaction_lag_max>,
          [](const Config& c) {
            return std::to_string(c.stream.compaction_lag_max.value_or(Millis(kNoLag)).count());
          }},
    number_entry<&Config::batch_bytes_max>("batch_bytes_max", "max.message.bytes", ConfigType::kInt,
                                           [](Config& c, Bytes name, Bytes value) {
                                             return set_number(c.batch_bytes_max, name, value, 0,
                                                               kBatchBytesMax);
                                           }),
    Entry{"compression", "compression.type", ConfigType::kString, set_codec, copy<&Config::codec>,
          print_codec},
    Entry{"timestamps", "message.timestamp.type", ConfigType::kString, set_timestamps,
          copy<&Config::log_append_time>,
          [](const Config& c) {
            return std::string(c.log_append_time ? "LogAppendTime" : "CreateTime");
          }},
    number_entry<&Config::timestamp_before_max_ms>(
        "timestamp_before_max_ms", "message.timestamp.before.max.ms", ConfigType::kLong,
        [](Config& c, Bytes name, Bytes value) {
          return set_number(c.timestamp_before_max_ms, name, value, 0);
        }),
    number_entry<&Config::timestamp_after_max_ms>(
        "timestamp_after_max_ms", "message.timestamp.after.max.ms", ConfigType::kLong,
        [](Config& c, Bytes name, Bytes value) {
          return set_number(c.timestamp_after_max_ms, name, value, 0);
        }),
    number_entry<&Config::in_sync_min>("in_sync_min", "min.insync.replicas", ConfigType::kInt,
                                       [](Config& c, Bytes name, Bytes value) {
                                         return set_number(c.in_sync_min, name, value, 1);
                                       }),
};
// Of a codec that the broker itself uses; without a name in the [topic] table.
constexpr std::array kLevels{
    number_entry<&Config::gzip_level>("", "compression.gzip.level", ConfigType::kInt,
                                      [](Config& c, Bytes name, Bytes value) -> Result<void> {
                                        if (value == "0")
                                          return invalid(name, value,
                                                         "-1, or a number from 1 to 9");
                                        return set_number(c.gzip_level, name, value, -1, 9);
                                      }),
    number_entry<&Config::lz4_level>("", "compression.lz4.level", ConfigType::kInt,
                                     [](Config& c, Bytes name, Bytes value) {
                                       return set_number(c.lz4_level, name, value, 1, 17);
                                     }),
    number_entry<&Config::zstd_level>("", "compression.zstd.level", ConfigType::kInt,
                                      [](Config& c, Bytes name, Bytes value) {
                                        return set_number(c.zstd_level, name, value, -131'072, 22);
                                      }),
};

const Entry* find(Bytes name) {
  auto named = [name](const Entry& entry) {
    return (!name.empty() && entry.name == name) || entry.kafka_name == name;
  };
  if (const auto* entry = std::ranges::find_if(kEntries, named); entry != kEntries.end())
    return entry;
  const auto* level = std::ranges::find_if(kLevels, named);
  return level == kLevels.end() ? nullptr : level;
}

// As Kafka's names have it.
std::string kafka_value(const Entry& entry, const TopicConfig& config) {
  if (entry.kafka_name != "cleanup.policy") return entry.print(config);
  if (!config.stream.compact) return "delete";
  return config.compact_and_delete ? "compact,delete" : "compact";
}

bool compacts_only(const TopicConfig& config) {
  return config.stream.compact && !config.compact_and_delete;
}

std::unexpected<Error> unknown(Bytes name) {
  return fail(Code::kInvalid, "unknown setting {}", name);
}

}  // namespace

StreamOptions stream_options(const TopicConfig& config) {
  auto options = config.stream;
  if (!compacts_only(config)) return options;
  options.retention_time.reset();
  options.retention_bytes.reset();
  return options;
}

Result<void> set_config(TopicConfig& config, Bytes name, Bytes value) {
  const auto* entry = find(name);
  if (entry == nullptr) return unknown(name);
  WALRUS_TRY(entry->set(config, name, value));
  config.given[std::string(entry->kafka_name)] = kafka_value(*entry, config);
  return {};
}

Result<void> check_config(const TopicConfig& config) {
  auto least = config.stream.compaction_lag_min;
  auto most = config.stream.compaction_lag_max;
  if (!most || least <= *most) return {};
  return fail(Code::kInvalid,
              "min.compaction.lag.ms = {}: above max.compaction.lag.ms, which is {}", least.count(),
              most->count());
}

Result<void> unset_config(TopicConfig& config, const TopicConfig& defaults, Bytes name) {
  const auto* entry = find(name);
  if (entry == nullptr) return unknown(name);
  entry->copy(config, defaults);
  config.given.erase(std::string(entry->kafka_name));
  return {};
}

namespace {

// Settings of Kafka without a counterpart here, and the value that they are told to have.
struct Other {
  Bytes name, value;
  ConfigType type;
  bool fixed = false;    // the value says what is done here; without it, none can matter
  std::int64_t min = 0;  // of a number
};
constexpr Bytes kMax = "9223372036854775807";
constexpr Other kOthers[] = {
    {"file.delete.delay.ms", "60000", ConfigType::kLong},
    {"flush.messages", kMax, ConfigType::kLong},
    {"flush.ms", kMax, ConfigType::kLong},
    {"follower.replication.throttled.replicas", "", ConfigType::kList},
    {"index.interval.bytes", "4096", ConfigType::kInt},
    {"leader.replication.throttled.replicas", "", ConfigType::kList},
    {"local.retention.bytes", "-2", ConfigType::kLong, true, -2},
    {"local.retention.ms", "-2", ConfigType::kLong, true, -2},
    {"min.cleanable.dirty.ratio", "0.5", ConfigType::kDouble},
    {"preallocate", "false", ConfigType::kBoolean},
    {"remote.log.copy.disable", "false", ConfigType::kBoolean, true},
    {"remote.log.delete.on.disable", "false", ConfigType::kBoolean, true},
    {"remote.storage.enable", "false", ConfigType::kBoolean, true},
    {"segment.index.bytes", "10485760", ConfigType::kInt, false, 4},
    {"segment.jitter.ms", "0", ConfigType::kLong},
    {"unclean.leader.election.enable", "false", ConfigType::kBoolean},
};

const Other* find_other(Bytes name) {
  const auto* other = std::ranges::find(kOthers, name, &Other::name);
  return other == std::end(kOthers) ? nullptr : other;
}

// What Kafka would not take either.
Result<void> check_type(const Other& other, Bytes value) {
  auto parses = [&](auto number, auto... max) {
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    bool whole = error == std::errc() && end == value.data() + value.size();
    return whole && number >= static_cast<decltype(number)>(other.min) && (... && (number <= max));
  };
  auto expected = fmt::format("a number from {}", other.min);
  switch (other.type) {
    case ConfigType::kBoolean:
      if (value == "true" || value == "false") return {};
      return invalid(other.name, value, "true or false");
    case ConfigType::kInt:
      if (parses(std::int32_t{})) return {};
      return invalid(other.name, value, expected);
    case ConfigType::kLong:
      if (parses(std::int64_t{})) return {};
      return invalid(other.name, value, expected);
    case ConfigType::kDouble:
      if (parses(double{}, 1.0)) return {};
      return invalid(other.name, value, "a number from 0 to 1");
    default: return {};
  }
}

}  // namespace

Result<void> set_kafka_config(TopicConfig& config, Bytes name, Bytes value) {
  value = trimmed(value);  // as Kafka does
  const auto* other = find_other(name);
  if (other == nullptr) return set_config(config, name, value);
  if (value.size() > kValueBytesMax)
    return fail(Code::kInvalid, "{}: a value of {} bytes, the limit is {}", name, value.size(),
                kValueBytesMax);
  WALRUS_TRY(check_type(*other, value));
  if (other->fixed && value != other->value) return invalid(name, value, other->value);
  config.given[std::string(name)] = value;
  return {};
}

Result<void> unset_kafka_config(TopicConfig& config, const TopicConfig& defaults, Bytes name) {
  if (find_other(name) == nullptr) return unset_config(config, defaults, name);
  config.given.erase(std::string(name));
  return {};
}

Result<void> change_kafka_list(TopicConfig& config, Bytes name, Bytes item, bool add) {
  item = trimmed(item);
  if (const auto* other = find_other(name); other != nullptr && other->type == ConfigType::kList)
    return {};  // of no consequence here
  if (name != "cleanup.policy") return fail(Code::kInvalid, "{} is not a list", name);
  if (item != "compact" && item != "delete") return invalid(name, item, "compact or delete");
  bool compacts = config.stream.compact, deletes = !compacts || config.compact_and_delete;
  (item == "compact" ? compacts : deletes) = add;
  if (!compacts && !deletes) return fail(Code::kInvalid, "{} would be empty", name);
  return set_config(config, name, !compacts ? "delete" : deletes ? "compact,delete" : "compact");
}

std::string encode_attributes(const TopicConfig& config) {
  if (config.given.empty()) return "";
  std::string bytes;
  append_le(bytes, kAttributesVersion);
  append_uvarint(bytes, config.given.size());
  for (const auto& [name, value] : config.given) {
    append_string(bytes, name);
    append_string(bytes, value);
  }
  return bytes;
}

Result<TopicConfig> decode_attributes(Bytes bytes, const StreamOptions& options,
                                      const TopicConfig& defaults) {
  auto config = defaults;
  config.stream = options;
  config.given.clear();
  if (bytes.empty()) return config;
  Decoder from(bytes);
  auto version = from.le<std::uint8_t>();
  if (version && *version > kAttributesVersion)
    return fail(Code::kVersion, "settings of a topic of version {}, newer than {}", *version,
                kAttributesVersion);
  auto count = from.uvarint().value_or(0);
  for (std::uint64_t i = 0; i < count && from.ok(); ++i) {
    std::string name(from.string().value_or(Bytes())), value(from.string().value_or(Bytes()));
    (void)set_kafka_config(config, name, value);  // a newer release may have known more
    config.given[std::move(name)] = std::move(value);
  }
  if (!from.ok() || !from.at_end()) return fail(Code::kCorrupt, "damaged settings of a topic");
  auto given = std::exchange(config.stream, options);  // these are what the engine goes by
  if (compacts_only(config)) {
    config.stream.retention_time = given.retention_time;
    config.stream.retention_bytes = given.retention_bytes;
  }
  return config;
}

namespace {

ConfigSource source_of(const TopicConfig& config, const KafkaConfig& one) {
  if (config.given.contains(one.name) || one.value != one.node_value) return ConfigSource::kTopic;
  return one.node_value != one.default_value ? ConfigSource::kNode : ConfigSource::kDefault;
}

}  // namespace

std::vector<KafkaConfig> list_kafka_config(const TopicConfig& config, const TopicConfig& defaults) {
  std::vector<KafkaConfig> list;
  auto add = [&](const Entry& entry) {
    list.push_back({.name = std::string(entry.kafka_name),
                    .value = kafka_value(entry, config),
                    .node_value = kafka_value(entry, defaults),
                    .default_value = kafka_value(entry, {}),
                    .type = entry.type});
  };
  std::ranges::for_each(kEntries, add);
  std::ranges::for_each(kLevels, add);
  for (const auto& other : kOthers) {
    auto given = config.given.find(other.name);
    std::string value(other.value);
    list.push_back({.name = std::string(other.name),
                    .value = given == config.given.end() ? value : given->second,
                    .node_value = value,
                    .default_value = value,
                    .type = other.type});
  }
  for (auto& one : list) one.source = source_of(config, one);
  std::ranges::sort(list, {}, &KafkaConfig::name);
  return list;
}

Bytes node_setting_name(Bytes kafka_name) {
  static constexpr std::pair<Bytes, Bytes> kNames[] = {
      {"cleanup.policy", "log.cleanup.policy"},
      {"compression.gzip.level", "compression.gzip.level"},
      {"compression.lz4.level", "compression.lz4.level"},
      {"compression.type", "compression.type"},
      {"compression.zstd.level", "compression.zstd.level"},
      {"delete.retention.ms", "log.cleaner.delete.retention.ms"},
      {"file.delete.delay.ms", "log.segment.delete.delay.ms"},
      {"flush.messages", "log.flush.interval.messages"},
      {"flush.ms", "log.flush.interval.ms"},
      {"index.interval.bytes", "log.index.interval.bytes"},
      {"max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"},
      {"max.message.bytes", "message.max.bytes"},
      {"message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"},
      {"message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"},
      {"message.timestamp.type", "log.message.timestamp.type"},
      {"min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"},
      {"min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"},
      {"min.insync.replicas", "min.insync.replicas"},
      {"preallocate", "log.preallocate"},
      {"retention.bytes", "log.retention.bytes"},
      {"retention.ms", "log.retention.ms"},
      {"segment.bytes", "log.segment.bytes"},
      {"segment.index.bytes", "log.index.size.max.bytes"},
      {"segment.jitter.ms", "log.roll.jitter.ms"},
      {"segment.ms", "log.roll.ms"},
      {"unclean.leader.election.enable", "unclean.leader.election.enable"},
  };
  using Named = std::pair<Bytes, Bytes>;
  const auto* found = std::ranges::find(kNames, kafka_name, &Named::first);
  return found == std::end(kNames) ? Bytes() : found->second;
}

ConfigList list_config(const TopicConfig& config) {
  ConfigList list;
  for (const auto& entry : kEntries)
    list.emplace_back(std::string(entry.name), entry.print(config));
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
