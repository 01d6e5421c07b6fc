#pragma once
// What a node keeps on its disk of the copies of segments that it has. Each is a stream of the
// engine, whose offsets are those of the partition: it begins where the segment does, and its
// batches are stored as the segment's leader gave them.
//
//   stream      __segment/<16 hexadecimal digits of the segment's id>
//   attributes  version u8 = 1 | start | durability u8 (0 fsync, 1 interval, 2 os)
//   state       in table log::Table::kCopies, by key:
//     copy        version u8 = 1 | promised | knowledge u8 | flags u8 (1 sealed) | sealed: end
//     watermark   version u8 = 1 | the highest that was told
//     producers   version u8 = 1 | log::ProducerTable as of the start
//
// And one stream of the node itself, `__segments`, with in the same table:
//     losses      version u8 = 1 | kernel's boot id: size, bytes | directory_below |
//                 unsynced_below | torn_below
//
// Numbers are uvarints unless a size is given. A copy without `copy` has promised nothing.

#include <optional>
#include <string>

#include "replica/follower.h"

namespace walrus::replica {

constexpr Bytes kCopyPrefix = "__segment/", kOwnStream = "__segments";
constexpr Bytes kCopyKey = "copy", kWatermarkKey = "watermark", kProducersKey = "producers",
                kLossesKey = "losses";

std::string copy_stream_name(SegmentId);
std::optional<SegmentId> parse_copy_stream_name(Bytes);  // none: of no copy

struct CopyAttributes {
  std::int64_t start = 0;
  Durability::Kind durability = Durability::kFsync;
  // Of durability kInterval; not among the bytes: the stream's own option keeps it.
  Millis interval{200};
  bool operator==(const CopyAttributes&) const = default;
};
std::string encode_attributes(const CopyAttributes&);
std::string encode_copy_state(const CopyState&);
std::string encode_watermark(std::int64_t);
std::string encode_opening(Bytes producer_table);

// What the last start of a node knew and found out.
struct NodeRecord {
  std::string boot_id{};  // of the kernel under which it ran
  Losses losses{};
};
std::string encode_node_record(const NodeRecord&);

// The whole of the bytes: kCorrupt, or kVersion.
Result<CopyAttributes> parse_attributes(Bytes);
Result<CopyState> parse_copy_state(Bytes);
Result<std::int64_t> parse_watermark(Bytes);
Result<Bytes> parse_opening(Bytes);  // a view into them; the table is not looked at
Result<NodeRecord> parse_node_record(Bytes);

}  // namespace walrus::replica
