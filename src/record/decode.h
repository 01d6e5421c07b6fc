#pragma once
// The decoding of one record, shared by the iterator and validate(). Private to this room.

#include "record/batch.h"

namespace walrus::record {

// Decodes the record at the front of `body` and moves past it. `to.offset` and `to.timestamp_ms`
// are set to the deltas; the caller adds the batch's bases. Returns what is wrong, or nullptr. The
// headers are checked only as far as their count can be told from their size: see walk_headers().
inline const char* decode_record(Decoder& body, RecordView& to) {
  auto all = body.rest();
  auto length = body.varint();
  if (!length || *length < 0 || static_cast<std::uint64_t>(*length) > body.remaining()) {
    return "a record reaches beyond its batch";
  }
  Decoder record(*body.take(static_cast<std::size_t>(*length)));
  to.encoded = all.substr(0, all.size() - body.remaining());

  // A null string has length -1; every other negative length is damage.
  bool sane = true;
  auto nullable = [&record, &sane]() -> std::optional<Bytes> {
    auto size = record.varint();
    if (!size || *size < -1) {
      sane = false;
      return std::nullopt;
    }
    if (*size == -1) return std::nullopt;
    return record.take(static_cast<std::size_t>(*size));
  };
  record.take(1);  // attributes: none are defined
  to.timestamp_ms = record.varint().value_or(0);
  to.offset = record.varint().value_or(0);
  to.key = nullable();
  to.value = nullable();
  auto headers = record.varint().value_or(-1);
  if (!sane || !record.ok()) return "a record is cut short";
  // A header takes two bytes at least, and a record without headers ends here.
  auto headers_max = static_cast<std::int64_t>(record.remaining() / 2);
  if (headers < 0 || headers > headers_max || (headers == 0 && !record.at_end())) {
    return "a record's header count does not match its size";
  }
  to.header_count = static_cast<std::int32_t>(headers);
  to.header_bytes = record.rest();
  return nullptr;
}

// Calls visit(name, value) for each header of the record; returns what is wrong, or nullptr.
template <class Visit>
const char* walk_headers(const RecordView& record, Visit visit) {
  Decoder decoder(record.header_bytes);
  for (std::int32_t i = 0; i < record.header_count; ++i) {
    auto name_size = decoder.varint();
    if (!name_size || *name_size < 0) return "a header has no name";
    auto name = decoder.take(static_cast<std::size_t>(*name_size));
    auto value_size = decoder.varint();
    if (!name || !value_size || *value_size < -1) return "a header is cut short";
    std::optional<Bytes> value;
    if (*value_size >= 0) {
      value = decoder.take(static_cast<std::size_t>(*value_size));
      if (!value) return "a header is cut short";
    }
    visit(*name, value);
  }
  return decoder.at_end() ? nullptr : "bytes are left over after a record's headers";
}

// Timestamps are a stranger's 64 bits: their sums and differences wrap instead of overflowing.
constexpr std::int64_t wrapping_add(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
constexpr std::int64_t wrapping_subtract(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

}  // namespace walrus::record
