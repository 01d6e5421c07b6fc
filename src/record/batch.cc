#include "record/batch.h"

#include <limits>

#include "base/check.h"
#include "base/crc32c.h"
#include "record/decode.h"

namespace walrus::record {
namespace {

// The CRC of a large batch is taken in pieces of this size while they are still in the L1 cache.
constexpr std::size_t kCrcPieceBytes = 8 << 10;
constexpr std::int64_t kInt32Max = std::numeric_limits<std::int32_t>::max();

std::int64_t timestamp_of(const Record& record, Time now) {
  return record.timestamp.value_or(now).time_since_epoch().count();
}

std::size_t nullable_size(const std::optional<Bytes>& bytes) {
  if (!bytes) return 1;
  auto size = bytes->size();
  return static_cast<std::size_t>(varint_size(static_cast<std::int64_t>(size))) + size;
}

// Bytes of a record after its length prefix.
std::size_t body_size(const Record& record, std::int64_t timestamp_delta, std::int64_t index) {
  auto size =
      static_cast<std::size_t>(1 + varint_size(timestamp_delta) + varint_size(index)) +
      nullable_size(record.key) + nullable_size(record.value) +
      static_cast<std::size_t>(varint_size(static_cast<std::int64_t>(record.headers.size())));
  for (const auto& header : record.headers) {
    size += nullable_size(header.name) + nullable_size(header.value);
  }
  return size;
}

char* store_bytes(char* to, Bytes bytes) {
  to = store_varint(to, static_cast<std::int64_t>(bytes.size()));
  copy_bytes(to, bytes);
  return to + bytes.size();
}

char* store_nullable(char* to, const std::optional<Bytes>& bytes) {
  return bytes ? store_bytes(to, *bytes) : store_varint(to, -1);
}

char* store_record(char* to, const Record& record, std::int64_t timestamp_delta,
                   std::int64_t index) {
  auto size = body_size(record, timestamp_delta, index);
  CHECK(size <= static_cast<std::size_t>(kInt32Max));
  to = store_varint(to, static_cast<std::int64_t>(size));
  *to++ = 0;  // attributes
  to = store_varint(to, timestamp_delta);
  to = store_varint(to, index);
  to = store_nullable(to, record.key);
  to = store_nullable(to, record.value);
  to = store_varint(to, static_cast<std::int64_t>(record.headers.size()));
  for (const auto& header : record.headers) {
    to = store_bytes(to, header.name);
    to = store_nullable(to, header.value);
  }
  return to;
}

}  // namespace

Result<BatchView> BatchView::parse(Bytes bytes) {
  if (bytes.size() < kBatchHeaderBytes) {
    return fail(Code::kCorrupt, "record batch: {} bytes are less than a header", bytes.size());
  }
  auto length = load_be<std::int32_t>(bytes.data() + kLengthPosition);
  if (length < static_cast<std::int32_t>(kBatchHeaderBytes - kLogOverheadBytes)) {
    return fail(Code::kCorrupt, "record batch: impossible length {}", length);
  }
  auto size = kLogOverheadBytes + static_cast<std::size_t>(length);
  if (size > bytes.size()) {
    return fail(Code::kCorrupt, "record batch: cut short, {} of {} bytes", bytes.size(), size);
  }
  BatchView batch(bytes.substr(0, size));
  if (auto magic = bytes[16]; magic != kMagic) {
    return fail(Code::kCorrupt, "record batch: magic {}, not 2", static_cast<int>(magic));
  }
  std::int64_t count = batch.count(), delta = batch.last_offset_delta();
  if (delta < 0 || count < 0 || count > delta + 1) {
    return fail(Code::kCorrupt, "record batch: {} records, last offset delta {}", count, delta);
  }
  // The next offset, too, must be an offset.
  auto base = batch.base_offset();
  if (base < 0 || base >= std::numeric_limits<std::int64_t>::max() - delta) {
    return fail(Code::kCorrupt, "record batch: impossible base offset {}", base);
  }
  return batch;
}

bool BatchView::crc_holds() const { return crc32c(bytes_.substr(kBatchHeadBytes)) == crc(); }

std::size_t encoded_size(std::span<const Record> records, Time now) {
  auto size = kBatchHeaderBytes;
  if (records.empty()) return size;
  auto base_timestamp = timestamp_of(records[0], now);
  std::int64_t index = 0;
  for (const auto& record : records) {
    auto delta = wrapping_subtract(timestamp_of(record, now), base_timestamp);
    auto body = body_size(record, delta, index++);
    size += static_cast<std::size_t>(varint_size(static_cast<std::int64_t>(body))) + body;
  }
  return size;
}

std::size_t encode(std::span<const Record> records, const BatchFields& fields, char* to) {
  CHECK(!records.empty() && records.size() <= static_cast<std::size_t>(kInt32Max));
  auto count = static_cast<std::int32_t>(records.size());
  auto base_timestamp = timestamp_of(records[0], fields.now);
  auto max_timestamp = base_timestamp;
  for (const auto& record : records.subspan(1)) {
    max_timestamp = std::max(max_timestamp, timestamp_of(record, fields.now));
  }
  store_be(to, fields.base_offset);
  store_be(to + 12, fields.epoch);
  to[16] = kMagic;
  store_be<std::int16_t>(to + kAttributesPosition, 0);
  store_be<std::int32_t>(to + 23, count - 1);
  store_be(to + 27, base_timestamp);
  store_be(to + 35, max_timestamp);
  store_be(to + 43, fields.producer_id);
  store_be(to + 51, fields.producer_epoch);
  store_be(to + 53, fields.base_sequence);
  store_be(to + 57, count);

  char* at = to + kBatchHeaderBytes;
  char* summed = to + kBatchHeadBytes;  // where the CRC has not been yet
  std::uint32_t crc = 0;
  for (std::int64_t index = 0; index < count; ++index) {
    const auto& record = records[static_cast<std::size_t>(index)];
    auto delta = wrapping_subtract(timestamp_of(record, fields.now), base_timestamp);
    at = store_record(at, record, delta, index);
    if (auto piece = static_cast<std::size_t>(at - summed); piece >= kCrcPieceBytes) {
      crc = crc32c(Bytes(summed, piece), crc);
      summed = at;
    }
  }
  crc = crc32c(Bytes(summed, static_cast<std::size_t>(at - summed)), crc);
  auto size = static_cast<std::size_t>(at - to);
  CHECK(size - kLogOverheadBytes <= static_cast<std::size_t>(kInt32Max));
  store_be(to + kLengthPosition, static_cast<std::int32_t>(size - kLogOverheadBytes));
  store_be(to + 17, crc);
  return size;
}

std::string encode(std::span<const Record> records, const BatchFields& fields) {
  std::string batch;
  batch.resize_and_overwrite(encoded_size(records, fields.now),
                             [&](char* to, std::size_t) { return encode(records, fields, to); });
  return batch;
}

}  // namespace walrus::record
