#pragma once
// Walking over stored batches, with every check that makes them trustworthy. A batch's own CRC
// leaves out its first 21 bytes; of these the walk checks base offset (each batch begins where the
// one before ends), length, epoch and magic, and the CRC field is checked by the sum itself: every
// bit of a batch is covered.

#include <optional>
#include <string>

#include "io/env.h"
#include "log/segment_format.h"
#include "log/segment_store.h"
#include "record/batch.h"

namespace walrus::log {

// What the next batch of a run has to be.
struct Expected {
  std::int64_t offset = 0;
  std::optional<std::int32_t> epoch;  // none: any
  std::int64_t bytes_left = 0;        // to the end of the run
};

// What is wrong with a batch as far as its header tells; nullptr: nothing. Needs
// record::kBatchHeaderBytes bytes; the rest of the batch need not be there.
const char* batch_header_fault(Bytes header, const Expected&);
// Bytes from `position` to where the next piece begins, if `bytes`, which lie there, are the zeros
// between; 0 if not. What is not in `bytes` is taken for zeros: the batch behind will tell.
std::int64_t padding_bytes(Bytes bytes, std::int64_t position);
// Size of the whole batch, from a header without fault.
std::int64_t batch_bytes(Bytes header);
std::unexpected<Error> corrupt_at(Bytes file_name, std::int64_t position, Bytes what);
// Fails with kCorrupt where the file ends before `to` is full.
Result<void> read_exactly(io::File&, Bytes file_name, std::int64_t position, std::span<char> to);
// The same into a new string.
Result<std::string> read_piece(io::File&, Bytes file_name, std::int64_t position,
                               std::int64_t bytes);

struct ScanRange {
  std::int64_t from = 0, to = 0;  // positions
  std::int64_t offset = 0;        // of the first batch
  std::optional<std::int32_t> epoch{};
  bool check_crc = true;
  bool pieces = true;  // zeros may separate batches: a segment file, not a pack
};

// Reads the batches of a range in order, in large pieces. File and name must outlive it.
class BatchScanner {
 public:
  BatchScanner(io::File& file, Bytes file_name, const ScanRange& range)
      : file_(file), name_(file_name), range_(range), position_(range.from) {}

  // The next batch, checked, valid until the following call; none at the end of the range. After an
  // error position() is that of the damaged batch, and only resume() goes on.
  Result<std::optional<record::BatchView>> next();
  std::int64_t position() const { return position_; }  // of the batch that next() returned last
  std::int64_t next_offset() const { return range_.offset; }
  void resume(std::int64_t position, std::int64_t offset);

 private:
  Result<Bytes> need(std::int64_t bytes);
  // The header of the batch at position_, which may have to be looked for behind padding.
  Result<Bytes> find_header();
  Result<Bytes> header_at(std::int64_t left);

  io::File& file_;
  Bytes name_;
  ScanRange range_;
  std::int64_t position_;
  std::int64_t returned_bytes_ = 0;  // of the batch at position_, to be stepped over
  std::string buffer_;               // the file from buffer_position_ on
  std::int64_t buffer_position_ = 0;
};

}  // namespace walrus::log
