#pragma once
// EntryLog: the part of a node's Raft log that is in memory: everything behind its base. The base
// is an entry that a snapshot covers; of it only the id is kept. Owned by a Core.
//
// What is trimmed is let go a little at a time: to free some 100,000 payloads at once would stop
// the loop for milliseconds.

#include <vector>

#include "base/check.h"
#include "raft/event.h"

namespace walrus::raft {

class EntryLog {
 public:
  // What an entry costs in memory besides its payload, in round numbers.
  static constexpr std::uint64_t kEntryOverheadBytes = 64;
  static std::uint64_t bytes_of(const Entry& entry) {
    return entry.payload.size() + kEntryOverheadBytes;
  }

  EntryId base() const { return base_; }
  Index first_index() const { return base_.index + 1; }
  Index last_index() const { return base_.index + size(); }
  EntryId last() const { return id_of(last_index()); }
  std::uint64_t bytes() const { return bytes_; }

  Term term_at(Index index) const {
    auto last = last_index();
    CHECK(index >= base_.index && index <= last);
    if (index == last) return last_term_;  // the one that is asked for most
    return index == base_.index ? base_.term : at(index).term;
  }
  EntryId id_of(Index index) const { return {term_at(index), index}; }
  const Entry& at(Index index) const {
    CHECK(index > base_.index && index <= last_index());
    return entries_[head_ + static_cast<std::size_t>(index - base_.index - 1)];
  }
  // The log contains this entry, or its base is it.
  bool holds(EntryId id) const {
    return id.index >= base_.index && id.index <= last_index() && term_at(id.index) == id.term;
  }
  // The newest index, at most `from` and at least the base's, whose term is at most `term`; terms
  // never fall along a log.
  Index newest_with_term(Index from, Term term) const;

  void append(Entry entry) {
    let_go(2);  // more than comes, so that it ends
    bytes_ += bytes_of(entry);
    last_term_ = entry.term;
    entries_.push_back(std::move(entry));
  }
  void truncate(Index first_dropped);  // the tail
  void trim(EntryId base);             // the head; `base` is in the log
  void reset(EntryId base);            // all of it
  void let_go(std::size_t entries);    // frees at most so many of those that are trimmed
  std::size_t trimmed() const { return head_ - freed_; }  // and not freed yet

 private:
  std::size_t size() const { return entries_.size() - head_; }

  EntryId base_{};
  Term last_term_ = 0;  // of the last entry, or the base
  std::vector<Entry> entries_{};
  std::size_t head_ = 0;   // entries_ before it are trimmed
  std::size_t freed_ = 0;  // and the payloads of those before this are let go
  std::uint64_t bytes_ = 0;
};

}  // namespace walrus::raft
