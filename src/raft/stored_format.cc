#include "raft/stored_format.h"

#include <charconv>

#include "base/crc32c.h"
#include "base/versioned.h"

namespace walrus::raft {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kGroupDigits = 16;

std::string begin_value() { return std::string(1, static_cast<char>(kVersion)); }

EntryId take_id(Decoder& from) {
  EntryId id;
  id.term = from.uvarint().value_or(0);
  id.index = from.uvarint().value_or(0);
  return id;
}

template <class T>
Result<T> whole(const Decoder& from, T value, const char* what) {
  if (!from.ok() || !from.at_end()) return fail(Code::kCorrupt, "malformed {}", what);
  return value;
}

template <class Number>
std::optional<Number> number_of(Bytes digits, int base) {
  Number value{};
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string log_stream_name(GroupId group) {
  return fmt::format("{}{:016x}", kStreamPrefix, group.value);
}

std::string snapshot_stream_name(GroupId group, std::uint64_t number) {
  return fmt::format("{}/{}", log_stream_name(group), number);
}

std::optional<StreamName> parse_stream_name(Bytes name) {
  if (!name.starts_with(kStreamPrefix)) return std::nullopt;
  name.remove_prefix(kStreamPrefix.size());
  if (name.size() < kGroupDigits) return std::nullopt;
  auto group = number_of<std::uint64_t>(name.substr(0, kGroupDigits), 16);
  if (!group) return std::nullopt;
  name.remove_prefix(kGroupDigits);
  if (name.empty()) return StreamName{GroupId{*group}, {}};
  auto number = name[0] == '/' ? number_of<std::uint64_t>(name.substr(1), 10) : std::nullopt;
  if (!number) return std::nullopt;
  return StreamName{GroupId{*group}, *number};
}

std::string encode_group(const StoredGroup& group) {
  auto to = begin_value();
  append_le(to, group.group.value);
  wire::peer::append_membership(to, group.founders);
  return to;
}

Result<StoredGroup> parse_group(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "raft group"));
  StoredGroup group{.group = GroupId{from.le<std::uint64_t>().value_or(0)}};
  if (!from.ok()) return fail(Code::kCorrupt, "malformed raft group");
  WALRUS_ASSIGN(group.founders, wire::peer::parse_membership(from.rest()));
  return group;
}

void append_entry_key(std::string& to, const EntryKey& key) {
  to.push_back(static_cast<char>(kVersion));
  to.push_back(static_cast<char>(key.kind));
  append_uvarint(to, key.at.index);
  append_uvarint(to, key.at.term);
}

Result<EntryKey> parse_entry_key(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "raft entry"));
  EntryKey key;
  auto kind = from.le<std::uint8_t>().value_or(0);
  if (kind < 1 || kind > 3) return fail(Code::kCorrupt, "raft entry of kind {}", kind);
  key.kind = static_cast<EntryKind>(kind);
  key.at.index = from.uvarint().value_or(0);
  key.at.term = from.uvarint().value_or(0);
  return whole(from, key, "raft entry");
}

std::string encode_install(const StoredInstall& install) {
  auto to = begin_value();
  append_uvarint(to, install.number);
  wire::peer::append_snapshot_meta(to, install.meta);
  return to;
}

Result<StoredInstall> parse_install(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "raft snapshot"));
  StoredInstall install{.number = from.uvarint().value_or(0)};
  if (!from.ok()) return fail(Code::kCorrupt, "malformed raft snapshot");
  WALRUS_ASSIGN(install.meta, wire::peer::parse_snapshot_meta(from.rest()));
  return install;
}

std::string encode_base(const StoredBase& base) {
  auto to = begin_value();
  append_uvarint(to, base.base.term);
  append_uvarint(to, base.base.index);
  append_uvarint(to, static_cast<std::uint64_t>(base.offset));
  return to;
}

Result<StoredBase> parse_base(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "raft log base"));
  StoredBase base{.base = take_id(from)};
  auto offset = from.uvarint().value_or(0);
  if (offset > std::uint64_t{INT64_MAX}) return fail(Code::kCorrupt, "malformed raft log base");
  base.offset = static_cast<std::int64_t>(offset);
  return whole(from, base, "raft log base");
}

std::string encode_origin(const SnapshotOrigin& origin) {
  auto to = begin_value();
  to.push_back(origin ? 1 : 0);
  if (origin) wire::peer::append_snapshot_meta(to, *origin);
  return to;
}

Result<SnapshotOrigin> parse_origin(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "raft snapshot's origin"));
  auto flags = from.le<std::uint8_t>().value_or(0xff);
  if (flags > 1) return fail(Code::kCorrupt, "malformed raft snapshot's origin");
  if (flags == 0) return whole(from, SnapshotOrigin{}, "raft snapshot's origin");
  WALRUS_ASSIGN(auto meta, wire::peer::parse_snapshot_meta(from.rest()));
  return SnapshotOrigin(std::move(meta));
}

void append_piece_key(std::string& to, const PieceKey& key) {
  to.push_back(static_cast<char>(kVersion));
  append_uvarint(to, key.position);
  append_le(to, key.crc);
}

Result<PieceKey> parse_piece_key(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "snapshot piece"));
  PieceKey key;
  key.position = from.uvarint().value_or(0);
  key.crc = from.le<std::uint32_t>().value_or(0);
  return whole(from, key, "snapshot piece");
}

std::uint64_t snapshot_id(const SnapshotMeta& meta, std::uint32_t crc) {
  std::string what;
  append_le(what, meta.last.term);
  append_le(what, meta.last.index);
  append_le(what, meta.size);
  return std::uint64_t{crc32c(what)} << 32 | crc;
}

}  // namespace walrus::raft
