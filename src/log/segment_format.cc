#include "log/segment_format.h"

#include "base/check.h"
#include "base/crc32c.h"

namespace walrus::log {
namespace {

constexpr Bytes kSegmentMagic = "WALRUSS1", kPackMagic = "WALRUSP1", kFooterMagic = "WALRUSF1";
constexpr std::size_t kUuidBytes = 16, kCrcPosition = 12;

std::uint32_t block_crc(Bytes block, std::uint32_t before = 0) {
  return crc32c(block.substr(kCrcPosition + 4), crc32c(block.substr(0, kCrcPosition), before));
}

std::int64_t number_at(Bytes block, std::size_t position) {
  return load_le<std::int64_t>(block.data() + position);
}

Result<void> check_version(Bytes block, const char* what) {
  auto version = load_le<std::uint32_t>(block.data() + 8);
  if (version == kSegmentVersion) return {};
  if (version == 0) return fail(Code::kCorrupt, "{}: no format version", what);
  return fail(Code::kVersion, "{}: format version {} is newer than {}", what, version,
              kSegmentVersion);
}

}  // namespace

std::string encode_segment_header(const SegmentHeader& header) {
  CHECK(header.directory_uuid.size() == kUuidBytes);
  std::string bytes(header.pack ? kPackMagic : kSegmentMagic);
  append_le(bytes, kSegmentVersion);
  append_le(bytes, std::uint32_t{0});
  bytes += header.directory_uuid;
  append_le(bytes, header.stream);
  append_le(bytes, header.base_offset);
  append_le(bytes, header.number);
  append_le(bytes, header.shard);
  append_le(bytes, std::uint32_t{0});
  CHECK(bytes.size() == kFileHeaderBytes);
  store_le(bytes.data() + kCrcPosition, block_crc(bytes));
  return bytes;
}

Result<SegmentHeader> decode_segment_header(Bytes bytes) {
  if (bytes.size() < kFileHeaderBytes) return fail(Code::kCorrupt, "file header: too short");
  bytes = bytes.substr(0, kFileHeaderBytes);
  bool pack = bytes.starts_with(kPackMagic);
  if (!pack && !bytes.starts_with(kSegmentMagic)) {
    return fail(Code::kCorrupt, "file header: not a segment or pack file");
  }
  if (load_le<std::uint32_t>(bytes.data() + kCrcPosition) != block_crc(bytes)) {
    return fail(Code::kCorrupt, "file header: its CRC does not hold");
  }
  WALRUS_TRY(check_version(bytes, "file header"));
  return SegmentHeader{.pack = pack,
                       .directory_uuid = std::string(bytes.substr(16, kUuidBytes)),
                       .stream = load_le<std::uint64_t>(bytes.data() + 32),
                       .base_offset = number_at(bytes, 40),
                       .number = load_le<std::uint64_t>(bytes.data() + 48),
                       .shard = load_le<std::uint32_t>(bytes.data() + 56)};
}

std::string encode_footer(const Footer& footer, std::span<const IndexEntry> entries) {
  std::string bytes;
  bytes.reserve(entries.size() * kIndexEntryBytes + kFooterBytes);
  for (const IndexEntry& entry : entries) {
    append_le(bytes, entry.offset);
    append_le(bytes, entry.position);
    append_le(bytes, entry.max_timestamp_before);
  }
  auto index_bytes = bytes.size();
  bytes += kFooterMagic;
  append_le(bytes, kSegmentVersion);
  append_le(bytes, std::uint32_t{0});
  append_le(bytes, footer.index_position);
  append_le(bytes, static_cast<std::int64_t>(entries.size()));
  append_le(bytes, footer.end_offset);
  append_le(bytes, footer.records);
  append_le(bytes, footer.min_timestamp_ms);
  append_le(bytes, footer.max_timestamp_ms);
  CHECK(bytes.size() == index_bytes + kFooterBytes);
  auto whole = Bytes(bytes);
  auto crc = block_crc(whole.substr(index_bytes), crc32c(whole.substr(0, index_bytes)));
  store_le(bytes.data() + index_bytes + kCrcPosition, crc);
  return bytes;
}

Result<Footer> decode_footer(Bytes bytes, std::int64_t file_bytes) {
  if (bytes.size() != kFooterBytes || file_bytes < kFileHeaderBytes + kFooterBytes ||
      !bytes.starts_with(kFooterMagic)) {
    return fail(Code::kCorrupt, "footer: none");
  }
  Footer footer{.index_position = number_at(bytes, 16),
                .entries = number_at(bytes, 24),
                .end_offset = number_at(bytes, 32),
                .records = number_at(bytes, 40),
                .min_timestamp_ms = number_at(bytes, 48),
                .max_timestamp_ms = number_at(bytes, 56)};
  auto index_end = file_bytes - kFooterBytes;
  if (footer.index_position < kFileHeaderBytes || footer.index_position > index_end ||
      footer.entries < 0 ||
      footer.entries != (index_end - footer.index_position) / kIndexEntryBytes ||
      (index_end - footer.index_position) % kIndexEntryBytes != 0) {
    return fail(Code::kCorrupt, "footer: its index does not fit the file");
  }
  return footer;
}

Result<std::vector<IndexEntry>> decode_index(const Footer& footer, Bytes index, Bytes block) {
  if (block.size() != kFooterBytes ||
      index.size() != static_cast<std::size_t>(footer.entries * kIndexEntryBytes)) {
    return fail(Code::kCorrupt, "index: not as long as its footer says");
  }
  if (load_le<std::uint32_t>(block.data() + kCrcPosition) != block_crc(block, crc32c(index))) {
    return fail(Code::kCorrupt, "index and footer: their CRC does not hold");
  }
  WALRUS_TRY(check_version(block, "footer"));
  std::vector<IndexEntry> entries;
  entries.reserve(static_cast<std::size_t>(footer.entries));
  for (std::size_t at = 0; at < index.size(); at += kIndexEntryBytes) {
    IndexEntry entry{.offset = number_at(index, at),
                     .position = number_at(index, at + 8),
                     .max_timestamp_before = number_at(index, at + 16)};
    bool rises = entries.empty()
                     ? entry.position >= kFileHeaderBytes && entry.offset >= 0
                     : entry.position > entries.back().position &&
                           entry.offset > entries.back().offset &&
                           entry.max_timestamp_before >= entries.back().max_timestamp_before;
    if (!rises || entry.position >= footer.index_position || entry.offset >= footer.end_offset) {
      return fail(Code::kCorrupt, "index: entry {} is out of order", entries.size());
    }
    entries.push_back(entry);
  }
  return entries;
}

}  // namespace walrus::log
