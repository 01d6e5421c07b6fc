#pragma once
// RecordSplitter: cuts an input into records, either at a delimiter or by lengths. Pure.
//
//   delimited        every record ends with the delimiter, which is not part of it; what follows
//                    the last delimiter is a record too unless it is empty. So a text file gives
//                    its lines, whether or not its last line ends with a newline.
//   length-prefixed  u32 little endian, then so many bytes; may be 0. As frames of the native
//                    protocol.

#include <string>
#include <vector>

#include "base/result.h"

namespace walrus::cli {

class RecordSplitter {
 public:
  static constexpr std::size_t kRecordBytesMax = 64 << 20;

  static RecordSplitter delimited(std::string delimiter) {
    return RecordSplitter(std::move(delimiter));
  }
  static RecordSplitter length_prefixed() { return RecordSplitter(""); }

  // Adds input and appends the records that are whole now. Their views live until the next call.
  Result<void> feed(Bytes chunk, std::vector<Bytes>& records);
  // The end of one input. kCorrupt: it ends inside a length-prefixed record.
  Result<void> finish(std::vector<Bytes>& records);

 private:
  explicit RecordSplitter(std::string delimiter) : delimiter_(std::move(delimiter)) {}
  Result<void> split_delimited(std::vector<Bytes>& records);
  Result<void> split_lengths(std::vector<Bytes>& records);

  std::string delimiter_;  // empty: length-prefixed
  std::string buffer_;
  std::size_t begin_ = 0;    // of the first record not yet given
  std::size_t scanned_ = 0;  // no delimiter begins before it
};

}  // namespace walrus::cli
