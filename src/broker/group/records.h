#pragma once
// What the journal of consumer groups holds. A record's key says what it is of,
// its value is the whole state; no value: it is gone. Strings are uvarint
// length and bytes, integers little endian.
//
//   offset   key    byte 'o', string group, string topic, i32 partition
//            value  byte version (1), u64 topic id, i64 offset, i32 leader
//            epoch, string metadata,
//                   i64 commit time in ms
//   group    key    byte 'g', string group
//            value  byte version (1), i64 time in ms, i32 generation, string protocol type,
//            string protocol, string
//                   leader, uvarint members, each: string id, byte 1 and string
//                   instance id or byte 0, string client id, string client
//                   host, i64 session timeout in ms, i64 rebalance timeout in
//                   ms, uvarint protocols (string name, string metadata),
//                   string assignment

#include <optional>
#include <string>

#include "broker/group/group.h"
#include "broker/journal.h"

namespace walrus::broker {

struct CommittedOffset {
  std::string topic{};
  std::int32_t partition = 0;
  std::uint64_t topic_id = 0;
  std::int64_t offset = -1;
  std::int32_t leader_epoch = -1;
  std::string metadata{};
  std::int64_t committed_ms = 0;
  bool operator==(const CommittedOffset&) const = default;
};

JournalRecord offset_record(Bytes group, const CommittedOffset&);
JournalRecord offset_tombstone(Bytes group, Bytes topic, std::int32_t partition);
JournalRecord group_record(Bytes group, const GroupSnapshot&);
JournalRecord group_tombstone(Bytes group);

struct GroupKey {
  bool is_offset = false;
  std::string group{}, topic{};
  std::int32_t partition = 0;
};
Result<GroupKey> decode_group_key(Bytes);  // kCorrupt
// Of an offset record: topic and partition come from the key. kCorrupt,
// kVersion.
Result<CommittedOffset> decode_offset(const GroupKey&, Bytes value);
Result<GroupSnapshot> decode_group(Bytes value);

}  // namespace walrus::broker
