#include "cli/record_splitter.h"

#include "base/coding.h"

namespace walrus::cli {
namespace {

constexpr std::size_t kLengthBytes = 4;

std::unexpected<Error> too_large(std::size_t bytes) {
  return fail(Code::kTooLarge, "a record of {} bytes or more: above the limit of {}", bytes,
              RecordSplitter::kRecordBytesMax);
}

}  // namespace

Result<void> RecordSplitter::feed(Bytes chunk, std::vector<Bytes>& records) {
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  buffer_.append(chunk);
  return delimiter_.empty() ? split_lengths(records) : split_delimited(records);
}

Result<void> RecordSplitter::split_delimited(std::vector<Bytes>& records) {
  while (true) {
    auto end = buffer_.find(delimiter_, scanned_);
    if (end == std::string::npos) break;
    records.push_back(Bytes(buffer_).substr(begin_, end - begin_));
    begin_ = scanned_ = end + delimiter_.size();
  }
  if (buffer_.size() - begin_ > kRecordBytesMax) return too_large(buffer_.size() - begin_);
  // A delimiter of several bytes may have begun at the end.
  if (buffer_.size() >= delimiter_.size())
    scanned_ = std::max(begin_, buffer_.size() - delimiter_.size() + 1);
  return {};
}

Result<void> RecordSplitter::split_lengths(std::vector<Bytes>& records) {
  while (buffer_.size() - begin_ >= kLengthBytes) {
    auto length = load_le<std::uint32_t>(buffer_.data() + begin_);
    if (length > kRecordBytesMax) return too_large(length);
    if (buffer_.size() - begin_ - kLengthBytes < length) break;
    records.push_back(Bytes(buffer_).substr(begin_ + kLengthBytes, length));
    begin_ += kLengthBytes + length;
  }
  scanned_ = begin_;
  return {};
}

Result<void> RecordSplitter::finish(std::vector<Bytes>& records) {
  auto rest = Bytes(buffer_).substr(begin_);
  scanned_ = begin_ = buffer_.size();
  if (rest.empty()) return {};
  if (delimiter_.empty())
    return fail(Code::kCorrupt, "the input ends inside a length-prefixed record");
  records.push_back(rest);
  return {};
}

}  // namespace walrus::cli
