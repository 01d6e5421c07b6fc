#include "record/batch.h"
#include "record/decode.h"

namespace walrus::record {
namespace {

constexpr int kDefinedBits = 0x7f, kDeleteHorizonBit = 64;
constexpr std::int64_t kTimestampUnset = -1;

Result<void> check_header(const BatchView& batch, const Limits& limits) {
  int attributes = batch.attributes();
  if ((attributes & ~kDefinedBits) != 0) {
    return fail(Code::kCorrupt, "record batch: unknown attributes {:#x}", attributes & 0xffff);
  }
  if (static_cast<int>(batch.codec()) > static_cast<int>(Codec::kZstd)) {
    return fail(Code::kCorrupt, "record batch: unknown codec {}", attributes & kCodecBits);
  }
  if (batch.control() && !limits.control) {
    return fail(Code::kCorrupt, "record batch: a control batch from a client");
  }
  if (limits.dense && (attributes & (kLogAppendTimeBit | kDeleteHorizonBit)) != 0) {
    return fail(Code::kCorrupt, "record batch: attributes {:#x} are the broker's to set",
                attributes);
  }
  if (batch.count() > limits.records_max) {
    return fail(Code::kTooLarge, "record batch: {} records, {} are allowed", batch.count(),
                limits.records_max);
  }
  if (limits.dense && (batch.count() == 0 || batch.last_offset_delta() + 1LL != batch.count())) {
    return fail(Code::kCorrupt, "record batch: {} records, last offset delta {}", batch.count(),
                batch.last_offset_delta());
  }
  // Without a producer id some clients leave 0 in epoch and sequence, others -1.
  bool has_producer = batch.producer_id() != -1;
  if (batch.producer_id() < -1 ||
      (has_producer && (batch.producer_epoch() < 0 || batch.base_sequence() < 0))) {
    return fail(Code::kCorrupt, "record batch: producer id {}, epoch {}, sequence {}",
                batch.producer_id(), batch.producer_epoch(), batch.base_sequence());
  }
  return {};
}

// The same steps as RecordIterator, without building a Result per record.
Result<void> check_records(const BatchView& batch, const Limits& limits) {
  std::string decompressed;
  auto bytes = batch.body();
  if (batch.codec() != Codec::kNone && batch.count() > 0) {
    WALRUS_ASSIGN(decompressed, decompress(batch.codec(), bytes, limits.batch_bytes_max));
    bytes = decompressed;
  }
  Decoder body(bytes);
  std::int64_t last_delta = -1;
  auto newest = batch.max_timestamp();
  bool bounded = newest != kTimestampUnset && !batch.log_append_time();
  for (std::int32_t i = 0; i < batch.count(); ++i) {
    RecordView record;
    const char* wrong = decode_record(body, record);
    if (!wrong && record.header_count > 0) wrong = walk_headers(record, [](auto&&...) {});
    auto delta = record.offset;
    if (!wrong && (delta <= last_delta || delta > batch.last_offset_delta() ||
                   (limits.dense && delta != i))) {
      wrong = "the offset delta is out of order";
    }
    if (!wrong && bounded && wrapping_add(batch.base_timestamp(), record.timestamp_ms) > newest) {
      wrong = "a timestamp above the batch's maximum";
    }
    if (wrong) return fail(Code::kCorrupt, "record batch: record {}: {}", i, wrong);
    last_delta = delta;
  }
  if (!body.at_end()) {
    return fail(Code::kCorrupt, "record batch: {} bytes are left over after the last record",
                body.remaining());
  }
  return {};
}

}  // namespace

Result<BatchView> validate(Bytes bytes, const Limits& limits) {
  // Told before the CRC is taken, so that a batch too large costs nothing; before parse(), so that
  // a batch too large of which only the beginning was read is called what it is.
  if (bytes.size() > limits.batch_bytes_max) {
    return fail(Code::kTooLarge, "record batch: {} bytes, {} are allowed", bytes.size(),
                limits.batch_bytes_max);
  }
  WALRUS_ASSIGN(auto batch, BatchView::parse(bytes));
  if (batch.bytes().size() != bytes.size()) {
    return fail(Code::kCorrupt, "record batch: {} bytes are left over after the batch",
                bytes.size() - batch.bytes().size());
  }
  if (!batch.crc_holds()) return fail(Code::kCorrupt, "record batch: the CRC does not hold");
  WALRUS_TRY(check_header(batch, limits));
  WALRUS_TRY(check_records(batch, limits));
  return batch;
}

}  // namespace walrus::record
