#include "record/batch.h"

namespace walrus::record {

Result<std::string> shorten(const BatchView& batch, std::int64_t end_offset) {
  WALRUS_ASSIGN(auto records, RecordIterator::open(batch));
  std::vector<Record> kept;
  std::vector<std::vector<Header>> headers;
  for (;;) {
    WALRUS_ASSIGN(auto one, records.next());
    if (!one || one->offset >= end_offset) break;
    headers.emplace_back();
    WALRUS_TRY(decode_headers(*one, headers.back()));
    kept.push_back({.key = one->key, .value = one->value, .timestamp = Time(Millis(one->timestamp_ms))});
  }
  if (kept.empty()) return fail(Code::kInvalid, "nothing of the batch lies below {}", end_offset);
  for (std::size_t i = 0; i < kept.size(); ++i) kept[i].headers = headers[i];
  auto plain = encode(kept, {.base_offset = batch.base_offset(),
                             .epoch = batch.epoch(),
                             .now = Time(Millis(batch.base_timestamp())),
                             .producer_id = batch.producer_id(),
                             .producer_epoch = batch.producer_epoch(),
                             .base_sequence = batch.base_sequence()});
  if (batch.codec() == Codec::kNone) return plain;
  return compress(BatchView(plain), batch.codec());
}

}  // namespace walrus::record
