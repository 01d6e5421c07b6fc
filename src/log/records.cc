#include "log/records.h"

#include <algorithm>
#include <utility>

namespace walrus::log {

void Walk::load(std::string batches) {
  batches_ = std::make_shared<const std::string>(std::move(batches));
  position_ = 0;
  plain_.reset();
  unpacked_.reset();
  has_current_ = false;
}

Result<const record::RecordView*> Walk::advance() {
  while (true) {
    WALRUS_ASSIGN(bool found, next_in_batch());
    if (found) return &current_;
    WALRUS_ASSIGN(bool opened, open_batch());
    if (!opened) return nullptr;
  }
}

// Moves to the next record of the open batch that is not below next(); false: there is none.
Result<bool> Walk::next_in_batch() {
  if (!plain_ && !unpacked_) return false;
  auto& records = unpacked_ ? *unpacked_ : *plain_;
  while (true) {
    WALRUS_ASSIGN(auto record, records.next());
    if (!record) break;
    if (record->offset < next_) continue;
    current_ = *record;
    has_current_ = true;
    return true;
  }
  // A compacted batch covers more offsets than it holds records.
  next_ = std::max(next_, batch_next_);
  plain_.reset();
  unpacked_.reset();
  return false;
}

// Opens the next batch that reaches beyond next(); false: there is none.
Result<bool> Walk::open_batch() {
  while (batches_ && position_ < batches_->size()) {
    WALRUS_ASSIGN(auto batch, record::BatchView::parse(Bytes(*batches_).substr(position_)));
    position_ += batch.bytes().size();
    if (batch.next_offset() <= next_) continue;
    if (batch.control()) {  // markers, not records
      next_ = batch.next_offset();
      continue;
    }
    batch_next_ = batch.next_offset();
    epoch_ = batch.epoch();
    WALRUS_ASSIGN(auto records, record::RecordIterator::open(batch));
    if (batch.codec() == record::Codec::kNone) plain_ = std::move(records);
    else unpacked_ = std::make_shared<record::RecordIterator>(std::move(records));
    return true;
  }
  return false;
}

const void* Walk::owner_address() const {
  if (unpacked_) return unpacked_.get();
  return batches_.get();
}

std::shared_ptr<const void> Walk::owner() const {
  if (unpacked_) return unpacked_;
  return batches_;
}

bool Walk::used_up() const {
  return !has_current_ && !plain_ && !unpacked_ && (!batches_ || position_ == batches_->size());
}

void fill(StoredRecord& record, const record::RecordView& view, std::int32_t epoch) {
  record.key = view.key;
  record.value = view.value;
  record.timestamp = Time(Millis(view.timestamp_ms));
  record.offset = {view.offset};
  record.epoch = epoch;
}

}  // namespace walrus::log

namespace walrus {

Result<void> Records::Impl::take(log::Walk& walk) {
  WALRUS_ASSIGN(const auto* view, walk.peek());
  if (view->header_count > 0) {
    std::size_t first = headers_.size();
    WALRUS_TRY(record::decode_headers(*view, headers_));
    header_runs_.push_back({records.size(), first, headers_.size() - first});
  }
  if (owners_.empty() || !walk.same_owner(owners_.back().get())) owners_.push_back(walk.owner());
  log::fill(records.emplace_back(), *view, walk.epoch());
  walk.take();
  return {};
}

void Records::Impl::finish() {
  for (const auto& run : header_runs_)
    records[run.record].headers = std::span(headers_).subspan(run.first, run.count);
}

Records::Records(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Records::Records(Records&&) noexcept = default;
Records& Records::operator=(Records&&) noexcept = default;
Records::~Records() = default;

const StoredRecord* Records::begin() const { return impl_ ? impl_->records.data() : nullptr; }
const StoredRecord* Records::end() const {
  return impl_ ? impl_->records.data() + impl_->records.size() : nullptr;
}
Offset Records::next() const { return impl_ ? impl_->next : Offset{}; }

}  // namespace walrus
