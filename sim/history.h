#pragma once
// The model of one stream: every mutation that was issued, in the order in which the engine took
// them, with what is known about its fate. A mutation that was acknowledged is {present}, one that
// was not is {absent, present}; since one journal holds all of a stream, what survives a crash is a
// prefix of the mutations, and the prefix holds at least what was promised. Nothing else is
// tolerated: the checks below return the rule that an observation violates.
//
// Pure: no clock, no random numbers, no I/O. What the engine showed comes in as Observed values.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "walrus/log.h"

namespace walrus::sim {

// A rule that was broken; none means that all is well.
struct Violation {
  std::string rule, detail;
};
using Verdict = std::optional<Violation>;

// Milliseconds of the wall clock at which a record may have been stamped.
struct StampRange {
  std::int64_t low = 0, high = 0;
};

struct ModelRecord {
  std::optional<std::string> key, value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
  StampRange stamp;
  std::int64_t appended_ms = 0;  // of the undisturbed clock: how old the record really is
  std::int64_t bytes = 0;        // its share of the encoded batch
};
using RecordRef = std::shared_ptr<const ModelRecord>;

struct ObservedRecord {
  std::int64_t offset = 0;
  std::int32_t epoch = 0;
  std::int64_t timestamp_ms = 0;
  std::optional<std::string> key, value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
};

// A stream as the engine shows it after a restart.
struct ObservedStream {
  std::int64_t log_start = 0, high_watermark = 0, log_end = 0;
  std::vector<ObservedRecord> records;
  std::map<std::string, std::string> cursors;
  // [from, to) that answered kCorrupt. Only where bytes were damaged on purpose.
  std::vector<std::pair<std::int64_t, std::int64_t>> unreadable;
};

struct Producer {
  std::int64_t id = -1;
  std::int16_t epoch = -1;
  std::int32_t sequence = -1;
};

struct Mutation {
  enum Kind { kAppend, kTrim, kTruncate, kPut } kind = kAppend;
  std::int64_t offset = 0;  // first of the batch, first kept, first dropped
  std::int64_t cut = 0;     // of a truncation: where the batch begins that it goes through
  std::vector<RecordRef> records;
  std::optional<Producer> producer;
  std::string key;
  std::optional<std::string> value;
  Durability durability;  // what its acknowledgement promises
  // When the acknowledgement came, or a reader saw it below the high watermark; ms of true time.
  std::optional<std::int64_t> promised_ms;
  bool synced = false;  // a sync of the whole stream was acknowledged after it
};

struct ModelEntry {
  std::int64_t offset = 0;
  std::int32_t epoch = 0;  // truncations before it: the engine's rises with each, and more often
  std::int64_t batch = 0;  // first offset of its batch: batches are whole
  RecordRef record;
};

struct ModelProducer {
  std::int16_t epoch = -1;
  struct Batch {
    std::int32_t first = 0, last = 0;
    std::int64_t offset = 0;
  };
  std::deque<Batch> batches;  // the last five
};

struct StreamState {
  std::int64_t log_start = 0, next = 0;
  std::int32_t epoch = 0;
  std::deque<ModelEntry> entries;
  std::map<std::string, std::string> cursors;
  std::map<std::int64_t, ModelProducer> producers;

  void apply(const Mutation&);
  // Where the batch begins that a truncation to `offset` would cut in two; else `offset`.
  std::int64_t cut_start(std::int64_t offset) const;
};

// What happened between the last acknowledgement and the reopening.
struct Loss {
  bool page_cache_lost = false;  // a power cut, or a failed sync that dropped dirty pages
  std::int64_t at_ms = 0;        // when the first of it happened
  std::int64_t seen_ms = 0;      // when what is left was looked at
  std::int64_t interval_slack_ms = 0;
  // Bytes were damaged on purpose: acknowledgements newer than this may not be below a mark yet.
  std::optional<std::int64_t> marked_ms;
};

// The answer that the engine owes to an append.
struct ExpectedAnswer {
  enum Kind { kAppended, kDuplicate, kRefused } kind = kAppended;
  std::int64_t offset = 0;
  Code code{};
};

class StreamHistory {
 public:
  StreamHistory(std::uint64_t id, const StreamOptions& options);

  std::uint64_t id() const { return id_; }
  const StreamState& now() const { return now_; }
  const StreamOptions& options() const { return options_; }
  // An alteration may have taken effect: what the engine may do is the union of both.
  void set_options(const StreamOptions&);
  // The clock that retention goes by may be ahead of true time by so much.
  void set_clock_lead(std::int64_t lead_ms) { clock_lead_ms_ = lead_ms; }

  ExpectedAnswer expect_append(std::size_t count, std::optional<std::int64_t> expected_next,
                               const std::optional<Producer>&) const;
  // Each returns the number by which acknowledge() names the mutation.
  std::uint64_t add(Mutation);
  void acknowledge(std::uint64_t number, std::int64_t now_ms);
  // The mutation that appended the batch at `offset`, if it is not folded away yet.
  std::optional<std::uint64_t> appender_of(std::int64_t offset) const;
  // Everything issued so far (up to `number`) is on the disk.
  void acknowledge_sync(std::uint64_t number);
  std::uint64_t issued() const { return folded_ + mutations_.size(); }
  // First offset that no acknowledged append reaches.
  std::int64_t acknowledged_end() const;

  // While running.
  Verdict check_bounds(std::int64_t log_start, std::int64_t high_watermark, std::int64_t log_end,
                       std::int64_t now_ms);
  // `records` are what a read of [from, to) returned.
  Verdict check_read(std::int64_t from, std::int64_t to, const std::vector<ObservedRecord>&,
                     std::int64_t now_ms) const;
  Verdict check_find(std::int64_t time_ms, std::int64_t high_watermark, std::int64_t answer) const;
  Verdict check_cursors(const std::map<std::string, std::string>&) const;

  // After a restart: folds the surviving prefix into the base. `required` is set by what was
  // promised and by what kind of crash it was.
  Verdict reconcile(const Loss&, const ObservedStream&);
  // How many of the mutations since the last restart must have survived; not 0: the stream too.
  std::size_t required(const Loss&) const;

 private:
  bool must_survive(const Mutation&, const Loss&) const;
  std::optional<std::string> difference(const StreamState&, const ObservedStream&,
                                        std::int64_t now_ms) const;
  std::optional<std::string> records_differ(const StreamState&, std::int64_t from, std::int64_t to,
                                            const std::vector<ObservedRecord>&,
                                            const ObservedStream*, std::int64_t now_ms) const;
  static std::optional<std::string> key_resurrected(const StreamState&,
                                                    const std::vector<ObservedRecord>&);
  std::optional<std::string> start_differs(const StreamState&, std::int64_t log_start,
                                           std::int64_t now_ms) const;
  bool may_be_compacted(const StreamState&, std::size_t entry, std::int64_t now_ms) const;
  bool expired(const ModelRecord&, std::int64_t now_ms) const;

  std::uint64_t id_;
  StreamOptions options_;
  bool may_retain_bytes_ = false, may_retain_time_ = false, may_compact_ = false;
  std::int64_t clock_lead_ms_ = 0, truncated_bytes_ = 0;
  std::int64_t retention_bytes_min_ = 0, retention_ms_min_ = 0, tombstone_ms_min_ = 0,
               compaction_lag_ms_min_ = 0;
  StreamState base_, now_;
  std::deque<Mutation> mutations_;
  std::uint64_t folded_ = 0;     // mutations before the first of mutations_
  std::int64_t seen_start_ = 0;  // the log start never goes back while running
};

}  // namespace walrus::sim
