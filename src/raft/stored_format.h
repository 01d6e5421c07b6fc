#pragma once
// What a group keeps in the engine. Two kinds of streams, and small state of the first kind
// (log::Table::kRaft), all in the journal of their shard. Numbers are uvarints unless a size is
// given; entry kinds, memberships and metadata are encoded as in wire/peer/raft_message.h.
//
//   stream __raft/<group, 16 hexadecimal digits>            the log
//     attributes  version u8 = 1 | group u64 le | founders: a membership
//     record      key: version u8 = 1 | entry kind u8 | index | term; value: the payload
//                 A record replaces those before it that are of its index or a higher one.
//     state       "hard_state"  version and hard state, as in raft_message.h
//                 "snapshot"    version u8 = 1 | number | metadata; none: the founders, at index 0
//                 "base"        version u8 = 1 | term | index | offset: the log begins behind this
//                               entry, with the record at that offset
//   stream __raft/<group>/<number, decimal>                 a snapshot
//     attributes  version u8 = 1 | flags u8 (1 received) | metadata, if received
//     record      a piece. key: version u8 = 1 | position | crc u32 le, of all bytes up to the end
//                 of the piece; value: its bytes
//
// A snapshot's id is, in its high half, the CRC-32C of term, index and size (u64 le each), and in
// its low half that of the bytes.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "raft/event.h"
#include "raft/group_id.h"

namespace walrus::raft {

constexpr Bytes kStreamPrefix = "__raft/";
constexpr Bytes kHardStateKey = "hard_state", kSnapshotKey = "snapshot", kBaseKey = "base";

std::string log_stream_name(GroupId);
std::string snapshot_stream_name(GroupId, std::uint64_t number);
struct StreamName {
  GroupId group{};
  std::optional<std::uint64_t> snapshot{};  // none: the log
};
std::optional<StreamName> parse_stream_name(Bytes);

struct StoredGroup {
  GroupId group{};
  Membership founders{};
  bool operator==(const StoredGroup&) const = default;
};
std::string encode_group(const StoredGroup&);
Result<StoredGroup> parse_group(Bytes);

struct EntryKey {
  EntryKind kind{};
  EntryId at{};
  bool operator==(const EntryKey&) const = default;
};
void append_entry_key(std::string& to, const EntryKey&);
Result<EntryKey> parse_entry_key(Bytes);

struct StoredInstall {
  std::uint64_t number = 0;
  SnapshotMeta meta{};
  bool operator==(const StoredInstall&) const = default;
};
std::string encode_install(const StoredInstall&);
Result<StoredInstall> parse_install(Bytes);

struct StoredBase {
  EntryId base{};
  std::int64_t offset = 0;  // of the first record that may count
  bool operator==(const StoredBase&) const = default;
};
std::string encode_base(const StoredBase&);
Result<StoredBase> parse_base(Bytes);

// Of a received one its metadata; none: this node's own, whose metadata is known at its end.
using SnapshotOrigin = std::optional<SnapshotMeta>;
std::string encode_origin(const SnapshotOrigin&);
Result<SnapshotOrigin> parse_origin(Bytes);

struct PieceKey {
  std::uint64_t position = 0;
  std::uint32_t crc = 0;
  bool operator==(const PieceKey&) const = default;
};
void append_piece_key(std::string& to, const PieceKey&);
Result<PieceKey> parse_piece_key(Bytes);

// Of a snapshot whose bytes have this CRC-32C. The id that `meta` has is not looked at.
std::uint64_t snapshot_id(const SnapshotMeta& meta, std::uint32_t crc);

}  // namespace walrus::raft
