#pragma once
// The record batch: the only shape in which records travel. Layout: Kafka's record batch v2
// (https://kafka.apache.org/documentation/#recordbatch), big endian.
//
//   position  size  record batch
//          0     8  base offset              set by the leader, outside the CRC
//          8     4  length                   bytes after this field: whole batch = 12 + length
//         12     4  leader epoch             set by the leader, outside the CRC
//         16     1  magic                    2
//         17     4  CRC-32C                  of everything from position 21 on
//         21     2  attributes               bits 0-2 codec, 3 time type (1 = log append time),
//                                            4 transactional, 5 control, 6 delete horizon
//         23     4  last offset delta        last offset of the batch - base offset
//         27     8  base timestamp           ms since 1970
//         35     8  max timestamp
//         43     8  producer id              -1 = none
//         51     2  producer epoch
//         53     4  base sequence
//         57     4  record count
//         61     .  records (compressed as a whole if a codec is set), each:
//                   varint length, int8 attributes (0), varint timestamp delta, varint offset
//                   delta, varint key length (-1 = null), key, varint value length (-1 = null),
//                   value, varint header count, per header: varint name length, name, varint value
//                   length (-1 = null), value
//
// Pure: no Env, no allocation except for decompression. Thread-safe: no shared state.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/result.h"

namespace walrus::record {

constexpr std::size_t kBatchHeaderBytes = 61;
constexpr std::size_t kBatchHeadBytes = 21;  // up to the end of the CRC: what the CRC leaves out
constexpr std::size_t kLengthPosition = 8, kAttributesPosition = 21;
constexpr int kCodecBits = 7, kLogAppendTimeBit = 8;  // of the attributes
constexpr std::size_t kLogOverheadBytes = 12;         // base offset + length
constexpr std::int8_t kMagic = 2;

enum class Codec : std::uint8_t { kNone = 0, kGzip = 1, kSnappy = 2, kLz4 = 3, kZstd = 4 };

// A view of one whole batch. Made by parse() only, so that every accessor is in bounds.
class BatchView {
 public:
  // Checks that the bytes begin with a whole batch of magic 2 with sane counts: 0 <= record count
  // <= last offset delta + 1, last offset delta >= 0, base offset >= 0, base + delta does not
  // overflow. Does not check the CRC. kCorrupt says what is wrong. Bytes after the batch are left
  // alone.
  static Result<BatchView> parse(Bytes bytes);
  // Unchecked: the bytes came from parse() before.
  explicit BatchView(Bytes whole) : bytes_(whole) {}

  Bytes bytes() const { return bytes_; }
  std::int64_t base_offset() const { return load_be<std::int64_t>(bytes_.data()); }
  std::int32_t epoch() const { return load_be<std::int32_t>(bytes_.data() + 12); }
  std::uint32_t crc() const { return load_be<std::uint32_t>(bytes_.data() + 17); }
  std::int16_t attributes() const { return load_be<std::int16_t>(bytes_.data() + 21); }
  std::int32_t last_offset_delta() const { return load_be<std::int32_t>(bytes_.data() + 23); }
  std::int64_t base_timestamp() const { return load_be<std::int64_t>(bytes_.data() + 27); }
  std::int64_t max_timestamp() const { return load_be<std::int64_t>(bytes_.data() + 35); }
  std::int64_t producer_id() const { return load_be<std::int64_t>(bytes_.data() + 43); }
  std::int16_t producer_epoch() const { return load_be<std::int16_t>(bytes_.data() + 51); }
  std::int32_t base_sequence() const { return load_be<std::int32_t>(bytes_.data() + 53); }
  std::int32_t count() const { return load_be<std::int32_t>(bytes_.data() + 57); }
  Bytes body() const { return bytes_.substr(kBatchHeaderBytes); }

  // The newest timestamp as far as the header tells: some clients leave the maximum unset (-1).
  std::int64_t newest_timestamp() const { return std::max(base_timestamp(), max_timestamp()); }
  std::int64_t last_offset() const { return base_offset() + last_offset_delta(); }
  std::int64_t next_offset() const { return last_offset() + 1; }
  Codec codec() const { return static_cast<Codec>(attributes() & kCodecBits); }
  bool log_append_time() const { return (attributes() & 8) != 0; }
  bool transactional() const { return (attributes() & 16) != 0; }
  bool control() const { return (attributes() & 32) != 0; }
  bool crc_holds() const;

 private:
  Bytes bytes_;
};

// What of a batch does not come from its records.
struct BatchFields {
  std::int64_t base_offset = 0;
  std::int32_t epoch = 0;
  Time now{};  // the timestamp of records that have none
  std::int64_t producer_id = -1;
  std::int16_t producer_epoch = -1;
  std::int32_t base_sequence = -1;
};

// Bytes that encode() will write at most / exactly. Hot path: one pass over the records.
std::size_t encoded_size(std::span<const Record>, Time now);
// Writes one uncompressed batch with its CRC to `to`, which has room for encoded_size() bytes, in
// one pass, and returns its size. Needs 1 <= records.size() <= 2^31 - 1 (a CHECK).
std::size_t encode(std::span<const Record>, const BatchFields&, char* to);
std::string encode(std::span<const Record>, const BatchFields&);
// The same batch with its records compressed; lies outside the hot path.
Result<std::string> compress(const BatchView&, Codec, std::optional<int> level = {});

// The batch as a broker stores it that has a say in it: its records compressed by another codec,
// and the time at which it was appended instead of its producer's.
struct Changes {
  std::optional<Codec> codec{};
  std::optional<int> level{};  // of the codec; none: the codec's own
  std::optional<std::int64_t> append_time_ms{};
  std::size_t decompressed_bytes_max = 64 << 20;
};
// kTooLarge, kCorrupt; kInvalid: the level.
Result<std::string> rebuild(const BatchView&, const Changes&);

// The batch cut at `end_offset`, which becomes its next offset: base offset < end_offset <= next
// offset, else kInvalid. Codec, attributes, producer fields and the gaps that compaction left stay;
// where only a gap lies below the end, the batch is left without records.
Result<std::string> shorten(const BatchView&, std::int64_t end_offset);

// Sets what lies outside the CRC.
inline void set_base_offset(char* batch, std::int64_t offset) { store_be(batch, offset); }
inline void set_epoch(char* batch, std::int32_t epoch) { store_be(batch + 12, epoch); }

// One decoded record of a batch; views into the batch's (decompressed) body.
struct RecordView {
  std::int64_t offset = 0, timestamp_ms = 0;
  std::optional<Bytes> key, value;
  std::int32_t header_count = 0;
  Bytes header_bytes;  // as encoded; see decode_headers()
  Bytes encoded;       // the whole encoded record, length prefix included
};

// Iterates over the records of a batch. The batch's codec decides whether the body is decompressed
// first; `limit` bounds the decompressed size (kTooLarge beyond it).
class RecordIterator {
 public:
  static Result<RecordIterator> open(const BatchView&, std::size_t limit = 64 << 20);
  // The next record; none after the last; kCorrupt where the body does not hold what the header
  // says (also bytes left over after the last record).
  Result<std::optional<RecordView>> next();

 private:
  RecordIterator() = default;
  std::unique_ptr<std::string> decompressed_;  // on the heap, so that views survive a move
  Bytes rest_;                                 // records not yet returned
  std::int64_t base_offset_ = 0, base_timestamp_ = 0, max_timestamp_ = 0;
  bool log_append_time_ = false;
  std::int32_t left_ = 0, delta_max_ = 0, last_delta_ = -1;
};

// Appends the headers of a record to `to` (views into the same bytes).
Result<void> decode_headers(const RecordView&, std::vector<Header>& to);

struct Limits {
  std::size_t batch_bytes_max = 64 << 20;
  std::int64_t records_max = 1 << 20;
  // A client's batch: last offset delta + 1 == count > 0, deltas 0, 1, 2..., no attribute that only
  // a broker sets (log append time, delete horizon).
  bool dense = true;
  bool control = false;  // control batches are allowed: for peers, never for clients
};
// Everything that is checked of a batch that a stranger sent: whole and nothing after it, CRC,
// counts, deltas, codec, attributes, headers, no timestamp above the header's maximum (unless that
// is -1, unset, as older Sarama releases leave it), epoch and sequence >= 0 if a producer id is
// set. batch_bytes_max bounds the batch and its decompressed records. kTooLarge or kCorrupt; says
// what.
Result<BatchView> validate(Bytes, const Limits&);

// Decompresses at most `limit` bytes; kTooLarge beyond, kCorrupt where the codec says so.
Result<std::string> decompress(Codec, Bytes, std::size_t limit);

}  // namespace walrus::record
