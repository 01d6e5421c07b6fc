#include "client/batch_builder.h"

namespace walrus::client {
namespace {

// Length prefixes and deltas of one record, at most, for records of ordinary size.
constexpr std::int64_t kRecordOverheadBytes = 16;
constexpr std::int64_t kHeaderOverheadBytes = 6;

}  // namespace

void BatchBuilder::add(const Record& record, Time now) {
  Stored stored;
  stored.key = store(record.key);
  stored.value = store(record.value);
  payload_bytes_ += static_cast<std::int64_t>(stored.key.size + stored.value.size);
  stored.headers_begin = headers_.size();
  for (const auto& header : record.headers)
    headers_.emplace_back(store(header.name), store(header.value));
  stored.headers_end = headers_.size();
  stored.timestamp = record.timestamp.value_or(now);
  records_.push_back(stored);
}

std::int64_t BatchBuilder::encoded_bytes() const {
  return static_cast<std::int64_t>(record::kBatchHeaderBytes + arena_.size()) +
         kRecordOverheadBytes * static_cast<std::int64_t>(records_.size()) +
         kHeaderOverheadBytes * static_cast<std::int64_t>(headers_.size());
}

Result<std::string> BatchBuilder::seal(const record::BatchFields& fields, record::Codec codec) {
  std::vector<Header> headers;
  headers.reserve(headers_.size());
  for (const auto& [name, value] : headers_)
    headers.push_back({.name = *view(name), .value = view(value)});
  std::vector<Record> records(records_.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto& stored = records_[i];
    records[i].key = view(stored.key);
    records[i].value = view(stored.value);
    records[i].timestamp = stored.timestamp;
    records[i].headers =
        std::span(headers).subspan(stored.headers_begin, stored.headers_end - stored.headers_begin);
  }
  auto batch = record::encode(records, fields);
  arena_.clear();
  records_.clear();
  headers_.clear();
  payload_bytes_ = 0;
  if (codec == record::Codec::kNone) return batch;
  return record::compress(record::BatchView(batch), codec);
}

BatchBuilder::Span BatchBuilder::store(std::optional<Bytes> bytes) {
  if (!bytes) return {};
  Span span{.begin = arena_.size(), .size = bytes->size(), .null = false};
  arena_.append(*bytes);
  return span;
}

std::optional<Bytes> BatchBuilder::view(const Span& span) const {
  if (span.null) return std::nullopt;
  return Bytes(arena_).substr(span.begin, span.size);
}

}  // namespace walrus::client
