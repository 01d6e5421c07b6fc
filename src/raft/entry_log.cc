#include "raft/entry_log.h"

#include <algorithm>

namespace walrus::raft {

Index EntryLog::newest_with_term(Index from, Term term) const {
  if (from <= base_.index) return base_.index;
  auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(head_);
  auto end = begin + static_cast<std::ptrdiff_t>(std::min(from, last_index()) - base_.index);
  auto newer = std::partition_point(begin, end, [&](const Entry& e) { return e.term <= term; });
  return base_.index + static_cast<Index>(newer - begin);
}

void EntryLog::truncate(Index first_dropped) {
  CHECK(first_dropped > base_.index);
  while (last_index() >= first_dropped) {
    bytes_ -= bytes_of(entries_.back());
    entries_.pop_back();
  }
  last_term_ = size() == 0 ? base_.term : entries_.back().term;
}

void EntryLog::trim(EntryId base) {
  CHECK(holds(base));
  auto dropped = static_cast<std::size_t>(base.index - base_.index);
  for (std::size_t i = 0; i < dropped; ++i) bytes_ -= bytes_of(entries_[head_ + i]);
  head_ += dropped;
  base_ = base;
}

void EntryLog::let_go(std::size_t entries) {
  for (; freed_ < head_ && entries > 0; --entries) entries_[freed_++].payload = {};
  if (freed_ < head_ || head_ < 64 || head_ < entries_.size() / 2) return;
  // Each entry is moved at most once.
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(head_));
  head_ = freed_ = 0;
}

void EntryLog::reset(EntryId base) {
  entries_.clear();
  head_ = freed_ = 0;
  bytes_ = 0;
  base_ = base;
  last_term_ = base.term;
}

}  // namespace walrus::raft
