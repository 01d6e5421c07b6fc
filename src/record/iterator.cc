#include "record/batch.h"
#include "record/decode.h"

namespace walrus::record {

Result<RecordIterator> RecordIterator::open(const BatchView& batch, std::size_t limit) {
  RecordIterator iterator;
  iterator.rest_ = batch.body();
  // A batch that compaction has emptied has no body, whatever its codec bits say.
  if (batch.codec() != Codec::kNone && batch.count() > 0) {
    WALRUS_ASSIGN(auto body, decompress(batch.codec(), batch.body(), limit));
    iterator.decompressed_ = std::make_unique<std::string>(std::move(body));
    iterator.rest_ = *iterator.decompressed_;
  }
  iterator.base_offset_ = batch.base_offset();
  iterator.base_timestamp_ = batch.base_timestamp();
  iterator.max_timestamp_ = batch.max_timestamp();
  iterator.log_append_time_ = batch.log_append_time();
  iterator.left_ = batch.count();
  iterator.delta_max_ = batch.last_offset_delta();
  return iterator;
}

Result<std::optional<RecordView>> RecordIterator::next() {
  if (left_ == 0) {
    if (rest_.empty()) return std::nullopt;
    return fail(Code::kCorrupt,
                "record batch at offset {}: {} bytes are left over after the last"
                " record",
                base_offset_, rest_.size());
  }
  Decoder body(rest_);
  RecordView record;
  if (const char* wrong = decode_record(body, record)) {
    return fail(Code::kCorrupt, "record batch at offset {}: {}", base_offset_, wrong);
  }
  if (record.offset <= last_delta_ || record.offset > delta_max_) {
    return fail(Code::kCorrupt,
                "record batch at offset {}: offset delta {} after {}, the last is"
                " {}",
                base_offset_, record.offset, last_delta_, delta_max_);
  }
  last_delta_ = static_cast<std::int32_t>(record.offset);
  --left_;
  rest_ = body.rest();
  record.offset += base_offset_;
  record.timestamp_ms =
      log_append_time_ ? max_timestamp_ : wrapping_add(base_timestamp_, record.timestamp_ms);
  return record;
}

Result<void> decode_headers(const RecordView& record, std::vector<Header>& to) {
  auto before = to.size();
  const char* wrong = walk_headers(record, [&to](Bytes name, std::optional<Bytes> value) {
    to.push_back({.name = name, .value = value});
  });
  if (!wrong) return {};
  to.resize(before);
  return fail(Code::kCorrupt, "record at offset {}: {}", record.offset, wrong);
}

}  // namespace walrus::record
