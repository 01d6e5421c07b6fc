#include "log/segment_index.h"

#include <algorithm>

namespace walrus::log {
namespace {

// List and hash map nodes, roughly: what an index without entries costs.
constexpr std::int64_t kSlotBytes = 256;

}  // namespace

bool is_same_file(const std::weak_ptr<SegmentFile>& kept, const FileRef& file) {
  return !kept.owner_before(file) && !file.owner_before(kept);
}

std::optional<IndexEntry> IndexState::add(const record::BatchView& batch, std::int64_t position,
                                          std::int64_t interval_bytes) {
  std::optional<IndexEntry> entry;
  if (entry_position < 0 || position - entry_position >= interval_bytes) {
    entry = IndexEntry{
        .offset = batch.base_offset(), .position = position, .max_timestamp_before = max_timestamp};
    entry_position = position;
  }
  if (batch.count() > 0) {
    min_timestamp =
        std::min(min_timestamp, std::min(batch.base_timestamp(), batch.max_timestamp()));
    max_timestamp = std::max(max_timestamp, batch.max_timestamp());
  }
  records += batch.count();
  next_offset = batch.next_offset();
  end_position = position + batch_bytes(batch.bytes());
  return entry;
}

Footer IndexState::footer(std::int64_t index_position) const {
  return {.index_position = index_position,
          .end_offset = next_offset,
          .records = records,
          .min_timestamp_ms = records > 0 ? min_timestamp : -1,
          .max_timestamp_ms = records > 0 ? max_timestamp : -1};
}

void SparseIndex::add(const record::BatchView& batch, std::int64_t position,
                      std::int64_t interval_bytes) {
  if (auto entry = state.add(batch, position, interval_bytes)) entries.push_back(*entry);
}

const IndexEntry* SparseIndex::before_offset(std::int64_t offset) const {
  auto after = std::ranges::upper_bound(entries, offset, {}, &IndexEntry::offset);
  return after == entries.begin() ? nullptr : &*std::prev(after);
}

const IndexEntry* SparseIndex::before_time(std::int64_t time_ms) const {
  auto after = std::ranges::lower_bound(entries, time_ms, {}, &IndexEntry::max_timestamp_before);
  return after == entries.begin() ? nullptr : &*std::prev(after);
}

IndexCache::Place IndexCache::lookup(const FileRef& file, std::int64_t run_position) {
  auto found = places_.find({file.get(), run_position});
  if (found == places_.end()) return slots_.end();
  auto place = found->second;
  if (!is_same_file(place->file, file)) {
    erase(place);
    return slots_.end();
  }
  slots_.splice(slots_.begin(), slots_, place);
  return place;
}

const SparseIndex* IndexCache::find(const FileRef& file, std::int64_t run_position) {
  auto place = lookup(file, run_position);
  return place == slots_.end() ? nullptr : &place->index;
}

void IndexCache::put(const FileRef& file, std::int64_t run_position, SparseIndex index) {
  auto place = lookup(file, run_position);
  if (place != slots_.end()) erase(place);
  index.entries.shrink_to_fit();
  slots_.push_front({.key = {file.get(), run_position}, .file = file, .index = std::move(index)});
  places_[slots_.front().key] = slots_.begin();
  account(slots_.front());
}

void IndexCache::extend(const FileRef& file, std::int64_t run_position, std::int64_t from,
                        std::span<const IndexEntry> added, const IndexState& state) {
  auto place = lookup(file, run_position);
  if (place == slots_.end() || place->index.state.end_position != from) return;
  auto& entries = place->index.entries;
  entries.insert(entries.end(), added.begin(), added.end());
  place->index.state = state;
  account(*place);
}

void IndexCache::drop(const FileRef& file, std::int64_t run_position) {
  auto place = lookup(file, run_position);
  if (place != slots_.end()) erase(place);
}

// The slot is the most recently used one.
void IndexCache::account(Slot& slot) {
  auto capacity = static_cast<std::int64_t>(slot.index.entries.capacity());
  auto bytes = kSlotBytes + capacity * static_cast<std::int64_t>(sizeof(IndexEntry));
  bytes_ += bytes - slot.bytes;
  slot.bytes = bytes;
  while (bytes_ > bytes_max_ && slots_.size() > 1) erase(std::prev(slots_.end()));
}

void IndexCache::erase(Place place) {
  bytes_ -= place->bytes;
  places_.erase(place->key);
  slots_.erase(place);
}

}  // namespace walrus::log
