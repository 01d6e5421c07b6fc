#include "log/catalog.h"

namespace walrus::log {
namespace {

constexpr std::uint8_t kPlainVersion = 1, kAttributesVersion = 2, kVersion = 3;
constexpr std::size_t kNameBytesMax = 255, kAttributesBytesMax = 64 << 10;

void append_optional(std::string& to, std::optional<std::int64_t> value) {
  to.push_back(value ? 1 : 0);
  append_uvarint(to, zigzag(value.value_or(0)));
}

std::optional<std::int64_t> take_optional(Decoder& in) {
  auto present = in.le<std::uint8_t>();
  auto value = in.varint();
  if (!present || *present == 0) return std::nullopt;
  return value;
}

std::optional<std::int64_t> count_of(std::optional<Millis> time) {
  if (!time) return std::nullopt;
  return time->count();
}

bool has_lag(const StreamOptions& options) {
  return options.compaction_lag_min.count() != 0 || options.compaction_lag_max;
}

}  // namespace

std::string encode_catalog_entry(const CatalogEntry& entry) {
  const auto& options = entry.options;
  auto version = entry.attributes.empty() ? kPlainVersion : kAttributesVersion;
  if (has_lag(options)) version = kVersion;
  std::string bytes(1, static_cast<char>(version));
  append_uvarint(bytes, entry.id);
  bytes.push_back(static_cast<char>(options.durability.kind));
  append_uvarint(bytes, zigzag(options.durability.interval.count()));
  append_uvarint(bytes, zigzag(options.segment_records_max));
  append_uvarint(bytes, zigzag(options.segment_bytes_max));
  append_optional(bytes, count_of(options.segment_time_max));
  append_optional(bytes, options.retention_bytes);
  append_optional(bytes, count_of(options.retention_time));
  bytes.push_back(options.compact ? 1 : 0);
  append_uvarint(bytes, zigzag(options.tombstone_retention.count()));
  if (version >= kAttributesVersion) append_string(bytes, entry.attributes);
  if (version < kVersion) return bytes;
  append_uvarint(bytes, zigzag(options.compaction_lag_min.count()));
  append_optional(bytes, count_of(options.compaction_lag_max));
  return bytes;
}

Result<CatalogEntry> decode_catalog_entry(Bytes bytes) {
  Decoder in(bytes);
  auto version = in.le<std::uint8_t>();
  if (version && *version > kVersion) {
    return fail(Code::kVersion, "catalogue entry of version {}, newer than {}", *version, kVersion);
  }
  CatalogEntry entry;
  auto& options = entry.options;
  entry.id = in.uvarint().value_or(0);
  auto kind = in.le<std::uint8_t>().value_or(0);
  options.durability.kind = static_cast<Durability::Kind>(kind);
  options.durability.interval = Millis(in.varint().value_or(0));
  options.segment_records_max = in.varint().value_or(0);
  options.segment_bytes_max = in.varint().value_or(0);
  if (auto value = take_optional(in)) options.segment_time_max = Millis(*value);
  options.retention_bytes = take_optional(in);
  if (auto value = take_optional(in)) options.retention_time = Millis(*value);
  options.compact = in.le<std::uint8_t>().value_or(0) != 0;
  options.tombstone_retention = Millis(in.varint().value_or(0));
  if (version >= kAttributesVersion) entry.attributes = in.string().value_or(Bytes());
  bool hollow = version == kAttributesVersion && entry.attributes.empty();
  if (version == kVersion) {
    options.compaction_lag_min = Millis(in.varint().value_or(0));
    if (auto value = take_optional(in)) options.compaction_lag_max = Millis(*value);
    hollow = !has_lag(options);
  }
  if (hollow || !in.ok() || !in.at_end() || kind > Durability::kOs || entry.id == 0) {
    return fail(Code::kCorrupt, "a catalogue entry that cannot be read");
  }
  return entry;
}

Result<void> check_stream_name(Bytes name) {
  if (name.empty() || name.size() > kNameBytesMax) {
    return fail(Code::kInvalid, "a stream name has 1 to {} bytes, not {}", kNameBytesMax,
                name.size());
  }
  if (name.find('\0') != Bytes::npos) return fail(Code::kInvalid, "a stream name holds no NUL");
  return {};
}

Result<void> check_attributes(Bytes attributes) {
  if (attributes.size() <= kAttributesBytesMax) return {};
  return fail(Code::kTooLarge, "attributes of {} bytes, the limit is {}", attributes.size(),
              kAttributesBytesMax);
}

Result<void> check_stream_options(const StreamOptions& options) {
  auto bad = [](const char* what) { return fail(Code::kInvalid, "{}", what); };
  using std::chrono::hours;
  if (options.segment_records_max < 1) return bad("segment_records_max must be at least 1");
  if (options.segment_bytes_max < 1) return bad("segment_bytes_max must be at least 1");
  if (options.segment_time_max && options.segment_time_max->count() < 1) {
    return bad("segment_time_max must be at least 1 ms");
  }
  if (options.retention_bytes && *options.retention_bytes < 0) {
    return bad("retention_bytes must not be negative");
  }
  if (options.retention_time && options.retention_time->count() < 0) {
    return bad("retention_time must not be negative");
  }
  if (options.tombstone_retention.count() < 0) {
    return bad("tombstone_retention must not be negative");
  }
  if (options.compaction_lag_min.count() < 0) {
    return bad("compaction_lag_min must not be negative");
  }
  if (options.compaction_lag_max && *options.compaction_lag_max < Millis(1)) {
    return bad("compaction_lag_max must be at least 1 ms");
  }
  if (options.compaction_lag_max && *options.compaction_lag_max < options.compaction_lag_min) {
    return bad("compaction_lag_max must not be below compaction_lag_min");
  }
  bool interval = options.durability.kind == Durability::kInterval;
  if (interval &&
      (options.durability.interval < Millis(1) || options.durability.interval > hours(1))) {
    return bad("the interval of durability must be 1 ms to 1 h");
  }
  return {};
}

}  // namespace walrus::log
