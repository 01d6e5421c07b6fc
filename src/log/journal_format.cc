// The bytes of the journal: see the table in journal.h.

#include <charconv>

#include "base/crc32c.h"
#include "log/journal.h"
#include "log/journal_name.h"

namespace walrus::log {
namespace {

constexpr Bytes kFileMagic = "WALRUSJ1";
constexpr std::uint32_t kGroupMagic = 0x50524757;  // "WGRP"
constexpr Bytes kSuffix = ".wal";
constexpr std::size_t kDigits = 16;

}  // namespace

std::string journal_name(std::uint64_t sequence) { return fmt::format("{:016x}.wal", sequence); }

std::optional<std::uint64_t> journal_sequence(Bytes name) {
  if (name.size() != kDigits + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  std::uint64_t sequence = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + kDigits, sequence, 16);
  if (error != std::errc() || end != name.data() + kDigits) return std::nullopt;
  if (journal_name(sequence) != name) return std::nullopt;
  return sequence;
}

std::string encode_journal_header(const JournalHeader& header) {
  std::string rest = header.directory_uuid;
  rest.resize(16);
  append_le(rest, header.sequence);
  append_le(rest, header.nonce);
  append_le(rest, header.base_lsn);
  append_le(rest, header.size);
  append_le(rest, header.prev_sequence);
  append_le(rest, header.prev_end);
  append_le(rest, header.layout);
  append_le(rest, header.shard);
  append_le<std::uint32_t>(rest, 0);
  std::string bytes(kFileMagic);
  append_le(bytes, kJournalVersion);
  append_le(bytes, crc32c(rest, crc32c(bytes)));
  return bytes + rest;
}

Result<JournalHeader> decode_journal_header(Bytes block) {
  if (block.size() < static_cast<std::size_t>(kJournalHeaderBytes) ||
      !block.starts_with(kFileMagic)) {
    return fail(Code::kCorrupt, "not a journal file header");
  }
  auto header = block.substr(0, static_cast<std::size_t>(kJournalHeaderBytes));
  if (load_le<std::uint32_t>(header.data() + 12) !=
      crc32c(header.substr(16), crc32c(header.substr(0, 12)))) {
    return fail(Code::kCorrupt, "the journal file header's checksum does not hold");
  }
  if (auto version = load_le<std::uint32_t>(header.data() + 8); version > kJournalVersion) {
    return fail(Code::kVersion, "journal format {} is newer than {}", version, kJournalVersion);
  }
  Decoder in(header.substr(16));
  JournalHeader out;
  out.directory_uuid = *in.take(16);
  out.sequence = *in.le<std::uint64_t>();
  out.nonce = *in.le<std::uint64_t>();
  out.base_lsn = *in.le<std::uint64_t>();
  out.size = *in.le<std::int64_t>();
  out.prev_sequence = *in.le<std::uint64_t>();
  out.prev_end = *in.le<std::uint64_t>();
  out.layout = *in.le<std::uint64_t>();
  out.shard = *in.le<std::int32_t>();
  return out;
}

void encode_group_header(const GroupHeader& header, char* to) {
  store_le(to, kGroupMagic);
  store_le(to + 8, header.nonce);
  store_le(to + 16, header.lsn);
  store_le(to + 24, header.synced_to);
  store_le(to + 32, header.prev_end);
  store_le(to + 4, crc32c(Bytes(to + 8, 32), kGroupMagic));
}

std::optional<GroupHeader> decode_group_header(Bytes bytes) {
  if (bytes.size() < static_cast<std::size_t>(kGroupHeaderBytes)) return std::nullopt;
  if (load_le<std::uint32_t>(bytes.data()) != kGroupMagic) return std::nullopt;
  if (load_le<std::uint32_t>(bytes.data() + 4) != crc32c(bytes.substr(8, 32), kGroupMagic)) {
    return std::nullopt;
  }
  return GroupHeader{
      load_le<std::uint64_t>(bytes.data() + 8), load_le<std::uint64_t>(bytes.data() + 16),
      load_le<std::uint64_t>(bytes.data() + 24), load_le<std::uint64_t>(bytes.data() + 32)};
}

std::uint32_t nonce_crc(std::uint64_t nonce) {
  char bytes[8];
  store_le(bytes, nonce);
  return crc32c(Bytes(bytes, sizeof bytes));
}

std::uint32_t frame_crc(std::uint32_t nonce_crc, Lsn lsn, const char* header, Bytes payload,
                        FrameType type) {
  // One contiguous piece, so that the checksum is one call: lsn, header from 4 on, batch head.
  constexpr std::size_t kHeaderRest = static_cast<std::size_t>(kFrameHeaderBytes) - 4;
  bool batch = type == FrameType::kBatch || type == FrameType::kTruncate;
  char piece[8 + kHeaderRest + record::kBatchHeadBytes];
  store_le(piece, lsn);
  std::memcpy(piece + 8, header + 4, kHeaderRest);
  if (!batch || payload.size() < record::kBatchHeadBytes) {
    return crc32c(payload, crc32c(Bytes(piece, 8 + kHeaderRest), nonce_crc));
  }
  std::memcpy(piece + 8 + kHeaderRest, payload.data(), record::kBatchHeadBytes);
  return crc32c(Bytes(piece, sizeof piece), nonce_crc);
}

std::optional<Frame> decode_frame(Bytes bytes, std::uint32_t nonce_crc, Lsn lsn) {
  if (bytes.size() < static_cast<std::size_t>(kFrameHeaderBytes)) return std::nullopt;
  Frame frame;
  frame.length = load_le<std::uint32_t>(bytes.data() + 4);
  frame.stream = load_le<std::uint64_t>(bytes.data() + 8);
  frame.offset = load_le<std::int64_t>(bytes.data() + 16);
  frame.epoch = load_le<std::int32_t>(bytes.data() + 24);
  frame.type = static_cast<FrameType>(bytes[28]);
  frame.flags = static_cast<std::uint8_t>(bytes[29]);
  if (frame.type < FrameType::kBatch || frame.type > FrameType::kEnd) return std::nullopt;
  auto payload = bytes.substr(static_cast<std::size_t>(kFrameHeaderBytes));
  if (payload.size() < frame.length) return std::nullopt;
  payload = payload.substr(0, frame.length);
  if (load_le<std::uint32_t>(bytes.data()) !=
      frame_crc(nonce_crc, lsn, bytes.data(), payload, frame.type)) {
    return std::nullopt;
  }
  bool holds_batch =
      frame.type == FrameType::kBatch || (frame.type == FrameType::kTruncate && frame.length > 0);
  if (!holds_batch) return frame;
  auto batch = record::BatchView::parse(payload);
  if (!batch || batch->bytes().size() != frame.length || !batch->crc_holds()) return std::nullopt;
  return frame;
}

}  // namespace walrus::log
