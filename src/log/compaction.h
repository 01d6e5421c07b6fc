#pragma once
// Compactor: compaction by key over batches, wherever they lie: of a stream's files, or of a
// partition's segments. It is shown batches twice: note() learns the last offset of each key, then
// copy() hands on what is still wanted.
//
// A batch keeps its base offset, and every record its offset and timestamp. Where batches vanish,
// the one before them is stretched (its last offset delta) up to the next, or an empty batch takes
// their place, so that the offsets of what is handed on stay without a gap.
//
// Batches that are transactional, control batches, or not decodable are opaque: handed on bit by
// bit. Their keys supersede nothing, since nothing is known of the transaction's outcome.
//
// A batch with a record that is younger than the policy's lag is handed on bit by bit too, and so
// is everything behind the first of them that note() is shown: of what came in within that time a
// reader misses nothing.
//
// Pure; not thread-safe.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "log/key_map.h"
#include "record/batch.h"

namespace walrus::log {

struct CompactPolicy {
  std::int64_t now_ms = 0, tombstone_retention_ms = 0;
  std::int64_t map_bytes_max = 64 << 20;  // memory for the key map
  std::int64_t lag_ms = 0;  // what is younger stays as it is; 0: nothing does for that
};

class Compactor {
 public:
  using Sink = std::function<Result<void>(const std::string& batch)>;
  // Without a policy everything is handed on as it is.
  Compactor(const std::optional<CompactPolicy>&, Sink);

  // ---- First pass, in the order of offsets ----
  // False: the map is full, or the batch too young, and nothing of it or behind it is noted. What
  // was not noted stays, but for what a noted record supersedes.
  bool note(const record::BatchView&);
  struct Young {
    std::int64_t offset = 0, timestamp_ms = 0;  // of the batch; of its newest record
  };
  const std::optional<Young>& young() const { return young_; }  // what ended the noting
  // `hides_all`: nothing lies before what copy() is shown that is older than a tombstone of it and
  // that it has to hide. Otherwise tombstones stay, as they do beside opaque batches.
  void end_noting(bool hides_all);
  std::int64_t noted_end() const { return noted_end_; }  // everything noted lies below

  // ---- Second pass ----
  // Both are shown batches from the first one on: an opaque one keeps the tombstones behind it.
  // Whether copy() would drop anything of the batch.
  bool shrinks(const record::BatchView&);
  // What follows begins at the offset, in this epoch.
  void begin(std::int64_t offset, std::int32_t epoch);
  Result<void> copy(const record::BatchView&);
  // All offsets below `end` are covered by what was handed on.
  Result<void> end(std::int64_t end) { return flush(end); }
  std::int64_t dropped() const { return dropped_; }  // records

 private:
  bool is_young(const record::BatchView&) const;
  bool is_wanted(const record::RecordView&) const;
  Result<void> keep(std::string batch, bool elastic);
  Result<void> flush(std::int64_t next);
  Result<void> put(const std::string& batch);
  std::optional<std::vector<record::RecordView>> decode(const record::BatchView&,
                                                        Result<record::RecordIterator>&);

  const std::optional<CompactPolicy> policy_;
  const Sink sink_;
  std::optional<KeyMap> keys_{};  // none: everything stays
  std::int64_t noted_end_ = 0;
  std::optional<Young> young_{};
  bool saw_opaque_ = false;
  std::int64_t tombstones_before_ms_ = INT64_MIN;
  std::int64_t covered_ = 0, dropped_ = 0;
  std::int32_t epoch_ = 0;
  std::string held_{};  // the last batch kept, until it is known what follows
  bool held_elastic_ = false;
};

}  // namespace walrus::log
