#include "log/compaction.h"

#include <algorithm>
#include <span>

#include "base/check.h"
#include "base/crc32c.h"

namespace walrus::log {
namespace {

using record::BatchView;
using record::RecordIterator;
using record::RecordView;

constexpr std::size_t kAttributesPosition = 21, kLastDeltaPosition = 23, kMaxTimestampPosition = 35,
                      kCountPosition = 57;

void set_crc(std::string& batch) {
  store_be(batch.data() + 17, crc32c(Bytes(batch).substr(record::kBatchHeadBytes)));
}

// A batch without records that covers [base, end).
std::string empty_batch(std::int64_t base, std::int64_t end, std::int32_t epoch) {
  std::string batch(record::kBatchHeaderBytes, '\0');
  record::set_base_offset(batch.data(), base);
  store_be(batch.data() + record::kLengthPosition,
           static_cast<std::int32_t>(record::kBatchHeaderBytes - record::kLogOverheadBytes));
  record::set_epoch(batch.data(), epoch);
  batch[16] = record::kMagic;
  store_be(batch.data() + kLastDeltaPosition, static_cast<std::int32_t>(end - base - 1));
  store_be(batch.data() + 27, std::int64_t{-1});
  store_be(batch.data() + kMaxTimestampPosition, std::int64_t{-1});
  store_be(batch.data() + 43, std::int64_t{-1});  // no producer
  store_be(batch.data() + 51, std::int16_t{-1});
  store_be(batch.data() + 53, std::int32_t{-1});
  set_crc(batch);
  return batch;
}

bool is_opaque(const BatchView& batch) { return batch.transactional() || batch.control(); }

// The records of a batch; none if it is not decodable. The views live as long as `from`.
std::optional<std::vector<RecordView>> decode_all(Result<RecordIterator>& from) {
  if (!from) return std::nullopt;
  std::vector<RecordView> records;
  for (;;) {
    auto record = from->next();
    if (!record) return std::nullopt;
    if (!*record) return records;
    records.push_back(**record);
  }
}

// The batch with some of its records, which keep their bytes: their deltas stay what they were.
Result<std::string> rebuild(const BatchView& batch, std::span<const RecordView> records) {
  std::string smaller(batch.bytes().substr(0, record::kBatchHeaderBytes));
  std::int64_t newest = INT64_MIN;
  for (const RecordView& record : records) {
    smaller += record.encoded;
    newest = std::max(newest, record.timestamp_ms);
  }
  auto attributes = static_cast<std::int16_t>(batch.attributes() & ~7);
  store_be(smaller.data() + kAttributesPosition, attributes);
  store_be(smaller.data() + record::kLengthPosition,
           static_cast<std::int32_t>(smaller.size() - record::kLogOverheadBytes));
  if (!batch.log_append_time()) store_be(smaller.data() + kMaxTimestampPosition, newest);
  store_be(smaller.data() + kCountPosition, static_cast<std::int32_t>(records.size()));
  set_crc(smaller);
  if (batch.codec() == record::Codec::kNone) return smaller;
  return record::compress(BatchView(smaller), batch.codec());
}

}  // namespace

Compactor::Compactor(const std::optional<CompactPolicy>& policy, Sink sink)
    : policy_(policy), sink_(std::move(sink)) {
  if (policy_) keys_.emplace(policy_->map_bytes_max);
}

bool Compactor::is_young(const BatchView& batch) const {
  return policy_->lag_ms > 0 && batch.max_timestamp() > policy_->now_ms - policy_->lag_ms;
}

bool Compactor::note(const BatchView& batch) {
  if (is_young(batch)) {
    young_ = {batch.base_offset(), batch.max_timestamp()};
    return false;
  }
  if (!keys_->has_room(batch.count())) return false;
  noted_end_ = batch.next_offset();
  if (batch.count() == 0) return true;
  std::optional<std::vector<RecordView>> records;
  auto iterator = RecordIterator::open(batch);
  if (!is_opaque(batch)) records = decode_all(iterator);
  if (!records) {
    saw_opaque_ = true;
    return true;
  }
  for (const RecordView& record : *records) {
    if (record.key) keys_->put(*record.key, record.offset);
  }
  return true;
}

void Compactor::end_noting(bool hides_all) {
  // Without what lies before, or in doubt, a tombstone may still hide something.
  auto oldest_kept = policy_->now_ms - policy_->tombstone_retention_ms;
  tombstones_before_ms_ = hides_all && !saw_opaque_ ? oldest_kept : INT64_MIN;
}

bool Compactor::is_wanted(const RecordView& record) const {
  if (!record.key) return true;
  auto last = keys_->last_offset(*record.key);
  if (last && *last > record.offset) return false;
  return record.value || record.timestamp_ms > tombstones_before_ms_;
}

// What may hold something that nobody can tell, or that stays for its age: tombstones behind it
// stay.
std::optional<std::vector<RecordView>> Compactor::decode(const BatchView& batch,
                                                         Result<RecordIterator>& from) {
  std::optional<std::vector<RecordView>> records;
  if (!is_opaque(batch) && !is_young(batch)) records = decode_all(from);
  if (!records) tombstones_before_ms_ = INT64_MIN;
  return records;
}

bool Compactor::shrinks(const BatchView& batch) {
  if (!keys_ || batch.base_offset() >= noted_end_ || batch.count() == 0) return false;
  auto iterator = RecordIterator::open(batch);
  auto records = decode(batch, iterator);
  return records && std::ranges::any_of(
                        *records, [this](const RecordView& record) { return !is_wanted(record); });
}

void Compactor::begin(std::int64_t offset, std::int32_t epoch) {
  CHECK(held_.empty());
  covered_ = offset;
  epoch_ = epoch;
}

Result<void> Compactor::copy(const BatchView& batch) {
  if (!keys_ || batch.base_offset() >= noted_end_) {
    return keep(std::string(batch.bytes()), !is_opaque(batch) && keys_.has_value());
  }
  if (batch.count() == 0 && !is_opaque(batch)) return {};
  auto iterator = RecordIterator::open(batch);
  auto records = decode(batch, iterator);
  if (!records) return keep(std::string(batch.bytes()), false);
  auto all = records->size();
  std::erase_if(*records, [this](const RecordView& record) { return !is_wanted(record); });
  dropped_ += static_cast<std::int64_t>(all - records->size());
  if (records->empty()) return {};
  if (records->size() == all) return keep(std::string(batch.bytes()), true);
  WALRUS_ASSIGN(auto smaller, rebuild(batch, *records));
  return keep(std::move(smaller), true);
}

// The batch follows in what is handed on; `elastic`: it may be stretched over a gap behind it.
Result<void> Compactor::keep(std::string batch, bool elastic) {
  WALRUS_TRY(flush(BatchView(batch).base_offset()));
  held_ = std::move(batch);
  held_elastic_ = elastic;
  return {};
}

// Hands on the batch held and covers all offsets below `next`.
Result<void> Compactor::flush(std::int64_t next) {
  if (!held_.empty()) {
    BatchView batch(held_);
    auto delta = next - batch.base_offset() - 1;
    if (held_elastic_ && delta != batch.last_offset_delta() && delta <= INT32_MAX) {
      store_be(held_.data() + kLastDeltaPosition, static_cast<std::int32_t>(delta));
      set_crc(held_);
    }
    WALRUS_TRY(put(held_));
    held_.clear();
  }
  while (covered_ < next) {
    auto end = std::min(next, covered_ + INT32_MAX);
    WALRUS_TRY(put(empty_batch(covered_, end, epoch_)));
  }
  return {};
}

Result<void> Compactor::put(const std::string& bytes) {
  BatchView batch{Bytes(bytes)};
  CHECK(batch.base_offset() == covered_);
  covered_ = batch.next_offset();
  return sink_(bytes);
}

}  // namespace walrus::log
