#include "log/segment_scan.h"

#include <algorithm>

#include "base/check.h"

namespace walrus::log {
namespace {

constexpr std::int64_t kPieceBytes = 1 << 20;
constexpr auto kHeaderBytes = static_cast<std::int64_t>(record::kBatchHeaderBytes);

}  // namespace

std::int64_t batch_bytes(Bytes header) {
  return static_cast<std::int64_t>(record::kLogOverheadBytes) +
         load_be<std::int32_t>(header.data() + record::kLengthPosition);
}

const char* batch_header_fault(Bytes header, const Expected& expected) {
  record::BatchView batch(header);
  auto bytes = batch_bytes(header);
  if (static_cast<std::int8_t>(header[16]) != record::kMagic) return "not a record batch";
  if (bytes < kHeaderBytes) return "impossible batch length";
  if (bytes > expected.bytes_left) return "batch reaches beyond its run";
  if (batch.base_offset() != expected.offset) return "base offset does not follow";
  if (expected.epoch && batch.epoch() != *expected.epoch) return "epoch is not that of the run";
  if (batch.last_offset_delta() < 0 || batch.base_offset() > INT64_MAX - 1 - INT32_MAX ||
      batch.count() < 0 || batch.count() > std::int64_t{batch.last_offset_delta()} + 1) {
    return "impossible record count";
  }
  return nullptr;
}

std::int64_t padding_bytes(Bytes bytes, std::int64_t position) {
  auto gap = next_piece(position) - position;
  auto zeros = bytes.substr(0, static_cast<std::size_t>(gap));
  return zeros.find_first_not_of('\0') == Bytes::npos ? gap : 0;
}

std::unexpected<Error> corrupt_at(Bytes file_name, std::int64_t position, Bytes what) {
  return fail(Code::kCorrupt, "segments/{}: position {}: {}", file_name, position, what);
}

Result<void> read_exactly(io::File& file, Bytes file_name, std::int64_t position,
                          std::span<char> to) {
  WALRUS_ASSIGN(auto read, file.read(position, to));
  if (read == to.size()) return {};
  return corrupt_at(file_name, position + static_cast<std::int64_t>(read), "the file ends here");
}

Result<std::string> read_piece(io::File& file, Bytes file_name, std::int64_t position,
                               std::int64_t bytes) {
  std::string piece;
  Result<void> read;
  // The size is not taken from the callback's argument: libstdc++ 12 passes the capacity.
  auto size = static_cast<std::size_t>(bytes);
  piece.resize_and_overwrite(size, [&](char* to, std::size_t) {
    read = read_exactly(file, file_name, position, std::span(to, size));
    return size;
  });
  WALRUS_TRY(std::move(read));
  return piece;
}

void BatchScanner::resume(std::int64_t position, std::int64_t offset) {
  position_ = position;
  range_.offset = offset;
  returned_bytes_ = 0;
}

// At least `bytes` from position_ on, which the range holds; kCorrupt where the file does not.
Result<Bytes> BatchScanner::need(std::int64_t bytes) {
  auto buffered_end = buffer_position_ + static_cast<std::int64_t>(buffer_.size());
  if (position_ < buffer_position_ || position_ + bytes > buffered_end) {
    auto piece = std::min(std::max(bytes, kPieceBytes), range_.to - position_);
    Result<std::size_t> read;
    auto size = static_cast<std::size_t>(piece);
    buffer_.resize_and_overwrite(size, [&](char* to, std::size_t) {
      read = file_.read(position_, std::span(to, size));
      return read.value_or(0);
    });
    buffer_position_ = position_;
    if (!read) return std::unexpected(std::move(read).error());
    if (static_cast<std::int64_t>(*read) < bytes) {
      return corrupt_at(name_, position_, "the file ends inside this batch");
    }
  }
  return Bytes(buffer_).substr(static_cast<std::size_t>(position_ - buffer_position_));
}

Result<Bytes> BatchScanner::header_at(std::int64_t left) {
  if (left < kHeaderBytes) return corrupt_at(name_, position_, "the run ends inside a batch");
  WALRUS_ASSIGN(auto bytes, need(kHeaderBytes));
  Expected expected{.offset = range_.offset, .epoch = range_.epoch, .bytes_left = left};
  const char* fault = batch_header_fault(bytes, expected);
  if (fault) return corrupt_at(name_, position_, fault);
  return bytes;
}

Result<Bytes> BatchScanner::find_header() {
  auto header = header_at(range_.to - position_);
  if (header || !range_.pieces || header.error().code != Code::kCorrupt) return header;
  auto here = position_;
  auto gap = std::min(next_piece(here), range_.to) - here;
  if (gap == 0) return header;
  WALRUS_ASSIGN(auto bytes, need(gap));
  if (padding_bytes(bytes.substr(0, static_cast<std::size_t>(gap)), here) == 0) return header;
  position_ = here + gap;
  if (position_ == range_.to) return Bytes();
  auto behind = header_at(range_.to - position_);
  if (!behind) position_ = here;  // where the damage was met first
  return behind ? behind : header;
}

Result<std::optional<record::BatchView>> BatchScanner::next() {
  position_ += returned_bytes_;
  returned_bytes_ = 0;
  if (position_ == range_.to) return std::nullopt;
  WALRUS_ASSIGN(auto bytes, find_header());
  if (bytes.empty()) return std::nullopt;
  auto size = batch_bytes(bytes);
  WALRUS_ASSIGN(bytes, need(size));
  record::BatchView batch(bytes.substr(0, static_cast<std::size_t>(size)));
  if (range_.check_crc && !batch.crc_holds()) {
    return corrupt_at(name_, position_, "the batch's CRC does not hold");
  }
  returned_bytes_ = size;
  range_.offset = batch.next_offset();
  return batch;
}

}  // namespace walrus::log
