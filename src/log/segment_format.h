#pragma once
// The bytes of segment and pack files other than their batches; all little endian. Pure.
//
//   position  size  segment header, at position 0 of both
//          0     8  magic "WALRUSS1" (segment file) or "WALRUSP1" (pack file)
//          8     4  format version (1)
//         12     4  CRC-32C of bytes 0 to 11 and 16 to 63
//         16    16  directory UUID
//         32     8  stream id; 0 in a pack file
//         40     8  base offset: of the first batch; 0 in a pack file
//         48     8  number: of the pack or the rewritten file; 0 for a file of the first writing
//         56     4  shard that wrote it
//         60     4  zero
//
// A sealed segment file ends with its index, one entry for each stretch of batches, and a footer:
//   position  size  index entry
//          0     8  offset: base offset of the batch at `position`
//          8     8  position of that batch in the file
//         16     8  largest max timestamp of all batches before it; -2^63 when there is none
//
//   position  size  footer, the last 64 bytes of the file
//          0     8  magic "WALRUSF1"
//          8     4  format version (1)
//         12     4  CRC-32C of all index entries, then of the footer's bytes 0 to 11 and 16 to 63
//         16     8  position of the index = end of the batches
//         24     8  count of index entries
//         32     8  end offset: last offset of the last batch + 1
//         40     8  count of records
//         48     8  smallest base timestamp of the batches that hold records; -1: none do
//         56     8  largest max timestamp of the batches that hold records; -1: none do
//
// The place and reach of the CRCs hold for all versions.
//
// A segment file grows by one piece at each checkpoint. A piece ends with zeros up to a multiple of
// 4096, unless index and footer follow: no block is written again after it was synced, because a
// power cut may take with it what shared a block with the bytes being written.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/result.h"

namespace walrus::log {

constexpr std::uint32_t kSegmentVersion = 1;
constexpr std::int64_t kFileHeaderBytes = 64, kFooterBytes = 64, kIndexEntryBytes = 24;
constexpr std::int64_t kSegmentBlockBytes = 4096;
// Where the piece that follows one that ends here begins.
constexpr std::int64_t next_piece(std::int64_t end) {
  return (end + kSegmentBlockBytes - 1) / kSegmentBlockBytes * kSegmentBlockBytes;
}
constexpr std::int64_t kNoTimestamp = INT64_MIN;  // smaller than every timestamp

struct SegmentHeader {
  bool pack = false;
  std::string directory_uuid;  // 16 bytes
  std::uint64_t stream = 0;
  std::int64_t base_offset = 0;
  std::uint64_t number = 0;
  std::uint32_t shard = 0;
};

std::string encode_segment_header(const SegmentHeader&);
// kCorrupt or kVersion, without the file's name.
Result<SegmentHeader> decode_segment_header(Bytes);

struct IndexEntry {
  std::int64_t offset = 0, position = 0, max_timestamp_before = kNoTimestamp;
  bool operator==(const IndexEntry&) const = default;
};

struct Footer {
  std::int64_t index_position = 0, entries = 0;
  std::int64_t end_offset = 0, records = 0;
  std::int64_t min_timestamp_ms = -1, max_timestamp_ms = -1;
};

// Index entries and footer, as they follow the last batch.
std::string encode_footer(const Footer&, std::span<const IndexEntry>);
// The footer of a file of `file_bytes`, from its last 64 bytes; its numbers fit the file, but the
// CRC was not checked: decode_index does that.
Result<Footer> decode_footer(Bytes footer, std::int64_t file_bytes);
// The entries of `index`, which lie between the batches and `footer`; rising, inside the file.
Result<std::vector<IndexEntry>> decode_index(const Footer&, Bytes index, Bytes footer);

}  // namespace walrus::log
