#pragma once
// Producer state of one stream: per producer id its epoch and its last five batches, so that a
// batch sent again after a lost answer is recognised and answered with its first offset instead of
// being appended twice. Kafka's rule (KIP-98, KIP-360). Pure; folded from batch headers by append
// and by recovery alike, and part of the manifest.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/result.h"

namespace walrus::log {

constexpr int kProducerBatches = 5;

struct ProducerBatch {
  std::int32_t first_sequence = 0, last_sequence = 0;
  std::int64_t first_offset = 0;
};

struct ProducerEntry {
  std::int64_t id = 0;
  std::int16_t epoch = 0;
  std::int64_t last_timestamp_ms = 0;
  std::vector<ProducerBatch> batches;  // oldest first, at most kProducerBatches
};

class ProducerTable {
 public:
  // Before an append. The first offset of the same batch appended before; none: append it;
  // kMismatch: out of order; kFenced: an older epoch. Unknown producer: any sequence is taken.
  Result<std::optional<std::int64_t>> check(std::int64_t id, std::int16_t epoch,
                                            std::int32_t first_sequence, std::int32_t count) const;
  // Whether check() knows which sequence is next in this epoch: it takes no other.
  bool knows(std::int64_t id, std::int16_t epoch) const;
  // After an append, and for each batch at recovery.
  void add(std::int64_t id, std::int16_t epoch, std::int32_t first_sequence, std::int32_t count,
           std::int64_t first_offset, std::int64_t timestamp_ms);
  // What followed it: as if the batches that `later` remembers had been added here.
  void follow(const ProducerTable& later);
  // Forgets batches at or above `end` (truncate) and producers idle since before `cutoff_ms`.
  void truncate(std::int64_t end);
  void expire(std::int64_t cutoff_ms);

  bool empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }
  void encode(std::string& to) const;
  static Result<ProducerTable> decode(Decoder&);  // kCorrupt

 private:
  std::vector<ProducerEntry> entries_;  // sorted by id
};

}  // namespace walrus::log
