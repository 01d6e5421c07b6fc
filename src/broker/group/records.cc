#include "broker/group/records.h"

#include "base/coding.h"

namespace walrus::broker {
namespace {

constexpr char kOffset = 'o', kGroup = 'g';
constexpr std::uint8_t kVersion = 1;

std::int64_t millis(GroupTime time) { return std::chrono::duration_cast<Millis>(time).count(); }

std::unexpected<Error> corrupt() { return fail(Code::kCorrupt, "a damaged group record"); }

Result<Decoder> open_value(Bytes value) {
  Decoder decoder(value);
  auto version = decoder.le<std::uint8_t>();
  if (!version) return corrupt();
  if (*version != kVersion)
    return fail(Code::kVersion, "group record of version {}, known is {}", *version, kVersion);
  return decoder;
}

std::string text(Decoder& from) { return std::string(from.string().value_or(Bytes())); }

// The protocol has 31 bits for it.
Result<GroupTime> timeout(Decoder& from) {
  auto ms = from.le<std::int64_t>().value_or(0);
  if (ms < 0 || ms > INT32_MAX) return corrupt();
  return Millis(ms);
}

Result<GroupMember> decode_member(Decoder& from) {
  GroupMember member{.id = text(from)};
  if (from.le<std::uint8_t>().value_or(0) != 0) member.instance_id = text(from);
  member.client_id = text(from);
  member.client_host = text(from);
  WALRUS_ASSIGN(member.session_timeout, timeout(from));
  WALRUS_ASSIGN(member.rebalance_timeout, timeout(from));
  auto protocols = from.uvarint().value_or(0);
  for (std::uint64_t i = 0; i < protocols && from.ok(); ++i) {
    auto name = text(from);
    member.protocols.emplace_back(std::move(name), text(from));
  }
  member.assignment = text(from);
  return member;
}

}  // namespace

JournalRecord offset_tombstone(Bytes group, Bytes topic, std::int32_t partition) {
  JournalRecord record{.key = {kOffset}};
  append_string(record.key, group);
  append_string(record.key, topic);
  append_le(record.key, partition);
  return record;
}

JournalRecord offset_record(Bytes group, const CommittedOffset& committed) {
  auto record = offset_tombstone(group, committed.topic, committed.partition);
  auto& value = record.value.emplace();
  append_le(value, kVersion);
  append_le(value, committed.topic_id);
  append_le(value, committed.offset);
  append_le(value, committed.leader_epoch);
  append_string(value, committed.metadata);
  append_le(value, committed.committed_ms);
  return record;
}

JournalRecord group_tombstone(Bytes group) {
  JournalRecord record{.key = {kGroup}};
  append_string(record.key, group);
  return record;
}

JournalRecord group_record(Bytes group, const GroupSnapshot& snapshot) {
  auto record = group_tombstone(group);
  auto& value = record.value.emplace();
  append_le(value, kVersion);
  append_le(value, snapshot.written_ms);
  append_le(value, snapshot.generation);
  append_string(value, snapshot.protocol_type);
  append_string(value, snapshot.protocol);
  append_string(value, snapshot.leader);
  append_uvarint(value, snapshot.members.size());
  for (const auto& member : snapshot.members) {
    append_string(value, member.id);
    append_le<std::uint8_t>(value, member.instance_id ? 1 : 0);
    if (member.instance_id) append_string(value, *member.instance_id);
    append_string(value, member.client_id);
    append_string(value, member.client_host);
    append_le(value, millis(member.session_timeout));
    append_le(value, millis(member.rebalance_timeout));
    append_uvarint(value, member.protocols.size());
    for (const auto& [name, metadata] : member.protocols) {
      append_string(value, name);
      append_string(value, metadata);
    }
    append_string(value, member.assignment);
  }
  return record;
}

Result<GroupKey> decode_group_key(Bytes bytes) {
  Decoder from(bytes);
  GroupKey key;
  auto kind = from.le<char>();
  key.is_offset = kind == kOffset;
  key.group = text(from);
  if (key.is_offset) {
    key.topic = text(from);
    key.partition = from.le<std::int32_t>().value_or(-1);
  }
  if (!from.ok() || !from.at_end() || (kind != kOffset && kind != kGroup)) return corrupt();
  return key;
}

Result<CommittedOffset> decode_offset(const GroupKey& key, Bytes value) {
  WALRUS_ASSIGN(auto from, open_value(value));
  CommittedOffset committed{.topic = key.topic, .partition = key.partition};
  committed.topic_id = from.le<std::uint64_t>().value_or(0);
  committed.offset = from.le<std::int64_t>().value_or(0);
  committed.leader_epoch = from.le<std::int32_t>().value_or(0);
  committed.metadata = text(from);
  committed.committed_ms = from.le<std::int64_t>().value_or(0);
  if (!from.ok() || !from.at_end()) return corrupt();
  return committed;
}

Result<GroupSnapshot> decode_group(Bytes value) {
  WALRUS_ASSIGN(auto from, open_value(value));
  GroupSnapshot snapshot;
  snapshot.written_ms = from.le<std::int64_t>().value_or(0);
  snapshot.generation = from.le<std::int32_t>().value_or(0);
  snapshot.protocol_type = text(from);
  snapshot.protocol = text(from);
  snapshot.leader = text(from);
  auto members = from.uvarint().value_or(0);
  for (std::uint64_t i = 0; i < members && from.ok(); ++i) {
    WALRUS_ASSIGN(auto member, decode_member(from));
    snapshot.members.push_back(std::move(member));
  }
  if (!from.ok() || !from.at_end()) return corrupt();
  return snapshot;
}

}  // namespace walrus::broker
