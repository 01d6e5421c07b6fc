// Properties over arbitrary records and arbitrary damage. ctest fixes the seed (RC_PARAMS).

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/crc32c.h"
#include "record/batch.h"

namespace walrus::record {
namespace {

using MaybeString = rc::Maybe<std::string>;

struct OwnedRecord {
  MaybeString key, value;
  std::vector<std::pair<std::string, MaybeString>> headers;
  rc::Maybe<std::int64_t> timestamp;

  std::vector<Header> header_views{};
  Record view() {
    header_views.clear();
    for (auto& [name, of] : headers) header_views.push_back({.name = name, .value = bytes(of)});
    Record record{.key = bytes(key), .value = bytes(value), .headers = header_views};
    if (timestamp) record.timestamp = Time(Millis(*timestamp));
    return record;
  }
  static std::optional<Bytes> bytes(const MaybeString& of) {
    return of ? std::optional<Bytes>(*of) : std::nullopt;
  }
};

rc::Gen<OwnedRecord> record_gen() {
  auto text = rc::gen::maybe(rc::gen::arbitrary<std::string>());
  auto header = rc::gen::pair(rc::gen::arbitrary<std::string>(), text);
  auto headers = rc::gen::scale(
      0.1, rc::gen::container<std::vector<std::pair<std::string, MaybeString>>>(header));
  return rc::gen::build<OwnedRecord>(
      rc::gen::set(&OwnedRecord::key, text), rc::gen::set(&OwnedRecord::value, text),
      rc::gen::set(&OwnedRecord::headers, headers),
      rc::gen::set(&OwnedRecord::timestamp, rc::gen::maybe(rc::gen::arbitrary<std::int64_t>())));
}

struct Batch {
  std::vector<OwnedRecord> owned;
  std::vector<Record> records;
  BatchFields fields;

  static Batch arbitrary() {
    Batch made;
    made.owned = *rc::gen::nonEmpty(rc::gen::container<std::vector<OwnedRecord>>(record_gen()));
    for (auto& record : made.owned) made.records.push_back(record.view());
    made.fields.base_offset = *rc::gen::inRange<std::int64_t>(0, std::int64_t{1} << 62);
    made.fields.epoch = *rc::gen::arbitrary<std::int32_t>();
    made.fields.now = Time(Millis(*rc::gen::arbitrary<std::int64_t>()));
    return made;
  }
};

void compare(const RecordView& found, const Record& record, Time now) {
  RC_ASSERT(found.key == record.key);
  RC_ASSERT(found.value == record.value);
  RC_ASSERT(found.timestamp_ms == record.timestamp.value_or(now).time_since_epoch().count());
  std::vector<Header> headers;
  RC_ASSERT(decode_headers(found, headers).has_value());
  RC_ASSERT(headers.size() == record.headers.size());
  for (std::size_t i = 0; i < headers.size(); ++i) {
    RC_ASSERT(headers[i].name == record.headers[i].name);
    RC_ASSERT(headers[i].value == record.headers[i].value);
  }
}

RC_GTEST_PROP(BatchProperty, round_trip, ()) {
  auto made = Batch::arbitrary();
  auto bytes = encode(made.records, made.fields);
  RC_ASSERT(bytes.size() == encoded_size(made.records, made.fields.now));
  auto codec = static_cast<Codec>(*rc::gen::inRange(0, 5));
  auto packed = compress(BatchView(bytes), codec);
  RC_ASSERT(packed.has_value());
  auto batch = validate(*packed, {});
  RC_ASSERT(batch.has_value());
  RC_ASSERT(batch->base_offset() == made.fields.base_offset);
  RC_ASSERT(batch->epoch() == made.fields.epoch);
  auto iterator = RecordIterator::open(*batch);
  RC_ASSERT(iterator.has_value());
  auto offset = made.fields.base_offset;
  for (const auto& record : made.records) {
    auto found = iterator->next();
    RC_ASSERT(found.has_value() && found->has_value());
    RC_ASSERT((**found).offset == offset++);
    compare(**found, record, made.fields.now);
  }
  auto end = iterator->next();
  RC_ASSERT(end.has_value() && !end->has_value());
}

// Walks a batch as far as its bytes allow; returns the records seen, none when something is wrong.
std::optional<std::int32_t> walk(Bytes bytes) {
  auto batch = BatchView::parse(bytes);
  if (!batch) return std::nullopt;
  auto iterator = RecordIterator::open(*batch, 1 << 20);
  if (!iterator) return std::nullopt;
  std::vector<Header> headers;
  for (std::int32_t seen = 0;; ++seen) {
    auto record = iterator->next();
    if (!record) return std::nullopt;
    if (!*record) return seen;
    if (!decode_headers(**record, headers)) return std::nullopt;
  }
}

RC_GTEST_PROP(BatchProperty, mutated_bytes_are_refused_or_read_in_bounds, ()) {
  auto made = Batch::arbitrary();
  auto bytes = encode(made.records, made.fields);
  bytes = *compress(BatchView(bytes), static_cast<Codec>(*rc::gen::inRange(0, 5)));
  auto mutations = *rc::gen::inRange(1, 8);
  for (int i = 0; i < mutations; ++i) {
    auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
    bytes[at] = *rc::gen::arbitrary<char>();
  }
  // Half of the time the CRC holds, so that what lies behind it is reached.
  if (*rc::gen::arbitrary<bool>()) {
    store_be(bytes.data() + 17, crc32c(Bytes(bytes).substr(kBatchHeadBytes)));
  }
  // An exact copy on the heap: a sanitizer sees a read of one byte too many.
  std::vector<char> exact(bytes.begin(), bytes.end());
  Bytes view(exact.data(), exact.size());
  auto seen = walk(view);
  auto valid = validate(view, {});
  if (valid) {
    RC_ASSERT(seen == valid->count());  // what validate lets pass, the iterator can read
  }
}

RC_GTEST_PROP(BatchProperty, cut_bytes_are_refused, ()) {
  auto made = Batch::arbitrary();
  auto bytes = encode(made.records, made.fields);
  auto size = *rc::gen::inRange<std::size_t>(0, bytes.size());
  std::vector<char> exact(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
  RC_ASSERT(!walk(Bytes(exact.data(), exact.size())).has_value());
}

}  // namespace
}  // namespace walrus::record
