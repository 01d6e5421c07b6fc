#pragma once
// From fetched batches to records. A Walk goes over the records of the batches that one fetch
// returned and can be laid aside in the middle of a batch and resumed later, so that reading a
// large batch in small pieces costs no more than reading it at once. Records::Impl and Reader
// collect what it shows and keep the bytes alive.
//
// Threads: one at a time. The bytes that the views point into never change, so that one thread
// may use records that it was given while another goes on with the walk.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "record/batch.h"

namespace walrus::log {

class Walk {
 public:
  explicit Walk(Offset from) : next_(from.value) {}

  // Goes on with these batches. Those below next() are skipped, and the records below it too.
  void load(std::string batches);
  // The record that take() would take; nullptr: every batch is used up, load() more. kCorrupt.
  Result<const record::RecordView*> peek() {
    if (has_current_) return &current_;
    return advance();
  }
  void take() {
    next_ = current_.offset + 1;
    has_current_ = false;
  }

  Offset next() const { return {next_}; }        // everything below it was taken or does not exist
  std::int32_t epoch() const { return epoch_; }  // of the record that peek() showed
  // What the views of the record that peek() showed point into.
  std::shared_ptr<const void> owner() const;
  bool same_owner(const void* other) const { return owner_address() == other; }
  // Nothing left to show without load(). May be false although no record is left.
  bool used_up() const;
  std::size_t bytes_held() const { return batches_ ? batches_->size() : 0; }

 private:
  Result<const record::RecordView*> advance();
  Result<bool> next_in_batch();
  Result<bool> open_batch();
  const void* owner_address() const;

  std::int64_t next_;
  std::shared_ptr<const std::string> batches_;
  std::size_t position_ = 0;  // in batches_, of the batch after the open one
  std::int64_t batch_next_ = 0;
  std::int32_t epoch_ = 0;
  // The open batch: in place, so that a batch costs no allocation; a compressed one is shared with
  // whoever keeps views into its decompressed body.
  std::optional<record::RecordIterator> plain_;
  std::shared_ptr<record::RecordIterator> unpacked_;
  record::RecordView current_;
  bool has_current_ = false;
};

// A record as the user sees it; the headers are decoded separately.
void fill(StoredRecord& record, const record::RecordView& view, std::int32_t epoch);

}  // namespace walrus::log

namespace walrus {

struct Records::Impl {
  // Takes the record that the walk is at.
  Result<void> take(log::Walk&);
  void finish();  // after the last take: the headers have found their place

  std::vector<StoredRecord> records;
  Offset next{};

 private:
  struct HeaderRun {
    std::size_t record, first, count;
  };
  std::vector<std::shared_ptr<const void>> owners_;
  std::vector<Header> headers_;
  std::vector<HeaderRun> header_runs_;
};

}  // namespace walrus
