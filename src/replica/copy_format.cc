#include "replica/copy_format.h"

#include "base/versioned.h"

namespace walrus::replica {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kDigits = 16;
constexpr std::uint8_t kSealed = 1;

std::string versioned() { return std::string(1, static_cast<char>(kVersion)); }

std::unexpected<Error> malformed(const char* what) {
  return fail(Code::kCorrupt, "malformed {}", what);
}

std::optional<std::int64_t> offset(Decoder& from) {
  auto value = from.uvarint();
  if (!value || *value > INT64_MAX) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

}  // namespace

std::string copy_stream_name(SegmentId segment) {
  return fmt::format("{}{:016x}", kCopyPrefix, segment.value);
}

std::optional<SegmentId> parse_copy_stream_name(Bytes name) {
  if (!name.starts_with(kCopyPrefix)) return std::nullopt;
  name.remove_prefix(kCopyPrefix.size());
  if (name.size() != kDigits) return std::nullopt;
  SegmentId segment;
  for (char digit : name) {
    bool decimal = digit >= '0' && digit <= '9';
    if (!decimal && (digit < 'a' || digit > 'f')) return std::nullopt;
    auto value = decimal ? digit - '0' : digit - 'a' + 10;
    segment.value = segment.value << 4 | static_cast<std::uint64_t>(value);
  }
  return segment;
}

std::string encode_attributes(const CopyAttributes& attributes) {
  auto bytes = versioned();
  append_uvarint(bytes, static_cast<std::uint64_t>(attributes.start));
  bytes.push_back(static_cast<char>(attributes.durability));
  return bytes;
}

Result<CopyAttributes> parse_attributes(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "attributes of a copy"));
  auto start = offset(from);
  auto durability = from.le<std::uint8_t>();
  if (!start || !durability || *durability > Durability::kOs || !from.at_end())
    return malformed("attributes of a copy");
  return CopyAttributes{*start, static_cast<Durability::Kind>(*durability)};
}

std::string encode_copy_state(const CopyState& state) {
  auto bytes = versioned();
  append_uvarint(bytes, state.promised.value);
  bytes.push_back(static_cast<char>(state.knowledge));
  bytes.push_back(state.sealed_end ? static_cast<char>(kSealed) : '\0');
  if (state.sealed_end) append_uvarint(bytes, static_cast<std::uint64_t>(*state.sealed_end));
  return bytes;
}

Result<CopyState> parse_copy_state(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "state of a copy"));
  auto promised = from.uvarint();
  auto knowledge = from.le<std::uint8_t>();
  auto flags = from.le<std::uint8_t>();
  bool sound = promised && *promised <= UINT32_MAX && knowledge &&
               *knowledge <= static_cast<std::uint8_t>(Knowledge::kLimbo) && flags &&
               *flags <= kSealed;
  if (!sound) return malformed("state of a copy");
  CopyState state{.promised = {static_cast<std::uint32_t>(*promised)},
                  .knowledge = static_cast<Knowledge>(*knowledge)};
  if (*flags == kSealed) {
    state.sealed_end = offset(from);
    if (!state.sealed_end) return malformed("state of a copy");
  }
  if (!from.at_end()) return malformed("state of a copy");
  return state;
}

std::string encode_watermark(std::int64_t watermark) {
  auto bytes = versioned();
  append_uvarint(bytes, static_cast<std::uint64_t>(watermark));
  return bytes;
}

Result<std::int64_t> parse_watermark(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "watermark of a copy"));
  auto watermark = offset(from);
  if (!watermark || !from.at_end()) return malformed("watermark of a copy");
  return *watermark;
}

std::string encode_opening(Bytes producer_table) { return versioned().append(producer_table); }

Result<Bytes> parse_opening(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "producer state of a copy"));
  return from.rest();
}

std::string encode_node_record(const NodeRecord& record) {
  auto bytes = versioned();
  append_string(bytes, record.boot_id);
  append_uvarint(bytes, record.losses.directory_below.value);
  append_uvarint(bytes, record.losses.unsynced_below.value);
  append_uvarint(bytes, record.losses.torn_below.value);
  return bytes;
}

Result<NodeRecord> parse_node_record(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "record of a node's copies"));
  NodeRecord record;
  record.boot_id = from.string().value_or(Bytes());
  record.losses.directory_below.value = from.uvarint().value_or(0);
  record.losses.unsynced_below.value = from.uvarint().value_or(0);
  record.losses.torn_below.value = from.uvarint().value_or(0);
  if (!from.ok() || !from.at_end()) return malformed("record of a node's copies");
  return record;
}

}  // namespace walrus::replica
