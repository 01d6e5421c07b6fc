#include <algorithm>

#include "base/crc32c.h"
#include "record/batch.h"

namespace walrus::record {

// The records are kept as they are encoded: their deltas, so also the gaps that compaction left,
// still hold against the same base offset and base timestamp.
Result<std::string> shorten(const BatchView& batch, std::int64_t end_offset) {
  if (end_offset <= batch.base_offset() || end_offset > batch.next_offset()) {
    return fail(Code::kInvalid, "record batch: end offset {} is not within {}..{}", end_offset,
                batch.base_offset() + 1, batch.next_offset());
  }
  WALRUS_ASSIGN(auto records, RecordIterator::open(batch));
  std::string plain(batch.bytes().substr(0, kBatchHeaderBytes));
  std::int32_t count = 0;
  auto max_timestamp = batch.base_timestamp();
  while (true) {
    WALRUS_ASSIGN(auto record, records.next());
    if (!record || record->offset >= end_offset) break;
    max_timestamp =
        count == 0 ? record->timestamp_ms : std::max(max_timestamp, record->timestamp_ms);
    plain += record->encoded;
    ++count;
  }
  store_be(plain.data() + kLengthPosition,
           static_cast<std::int32_t>(plain.size() - kLogOverheadBytes));
  store_be(plain.data() + kAttributesPosition,
           static_cast<std::int16_t>(batch.attributes() & ~kCodecBits));
  store_be(plain.data() + 23, static_cast<std::int32_t>(end_offset - 1 - batch.base_offset()));
  store_be(plain.data() + 35, max_timestamp);
  store_be(plain.data() + 57, count);
  store_be(plain.data() + 17, crc32c(Bytes(plain).substr(kBatchHeadBytes)));
  return batch.codec() == Codec::kNone ? plain : compress(BatchView(plain), batch.codec());
}

}  // namespace walrus::record
