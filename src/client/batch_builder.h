#pragma once
// BatchBuilder: collects copies of records until they make a batch. All bytes lie in one arena, so
// that a record costs no allocation of its own.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "record/batch.h"

namespace walrus::client {

class BatchBuilder {
 public:
  void add(const Record&, Time now);
  bool empty() const { return records_.empty(); }
  std::int32_t count() const { return static_cast<std::int32_t>(records_.size()); }
  // Bytes of keys and values; with headers and what the layout adds, about what encode() writes.
  std::int64_t payload_bytes() const { return payload_bytes_; }
  std::int64_t encoded_bytes() const;
  // The batch of everything added; the builder is empty afterwards.
  Result<std::string> seal(const record::BatchFields&, record::Codec);

 private:
  struct Span {
    std::size_t begin = 0, size = 0;
    bool null = true;
  };
  struct Stored {
    Span key, value;
    std::size_t headers_begin = 0, headers_end = 0;
    Time timestamp;
  };
  Span store(std::optional<Bytes>);
  std::optional<Bytes> view(const Span&) const;

  std::string arena_;
  std::vector<Stored> records_;
  std::vector<std::pair<Span, Span>> headers_;
  std::int64_t payload_bytes_ = 0;
};

}  // namespace walrus::client
