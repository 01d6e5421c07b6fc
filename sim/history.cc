#include "history.h"

#include <algorithm>

#include "base/result.h"

namespace walrus::sim {
namespace {

constexpr std::size_t kProducerWindow = 5;

std::int32_t sequence_plus(std::int32_t sequence, std::size_t steps) {
  return static_cast<std::int32_t>((static_cast<std::uint64_t>(sequence) + steps) & 0x7fffffff);
}

Verdict violation(std::string rule, std::string detail) {
  return Violation{std::move(rule), std::move(detail)};
}

std::string shown(const std::optional<std::string>& bytes) {
  if (!bytes) return "none";
  return fmt::format("{} bytes \"{}\"", bytes->size(), bytes->substr(0, 24));
}

std::optional<std::string> record_differs(const ModelRecord& expected, const ObservedRecord& seen) {
  if (seen.key != expected.key) {
    return fmt::format("offset {}: key {} instead of {}", seen.offset, shown(seen.key),
                       shown(expected.key));
  }
  if (seen.value != expected.value) {
    return fmt::format("offset {}: value {} instead of {}", seen.offset, shown(seen.value),
                       shown(expected.value));
  }
  if (seen.headers != expected.headers) return fmt::format("offset {}: headers", seen.offset);
  if (seen.timestamp_ms < expected.stamp.low || seen.timestamp_ms > expected.stamp.high) {
    return fmt::format("offset {}: timestamp {} outside {}..{}", seen.offset, seen.timestamp_ms,
                       expected.stamp.low, expected.stamp.high);
  }
  return std::nullopt;
}

auto entry_at(const StreamState& state, std::int64_t offset) {
  return std::ranges::lower_bound(state.entries, offset, {}, &ModelEntry::offset);
}

void apply_append(StreamState& state, const Mutation& mutation) {
  for (std::size_t i = 0; i < mutation.records.size(); ++i) {
    state.entries.push_back({.offset = mutation.offset + static_cast<std::int64_t>(i),
                             .epoch = state.epoch,
                             .batch = mutation.offset,
                             .record = mutation.records[i]});
  }
  state.next = mutation.offset + static_cast<std::int64_t>(mutation.records.size());
  if (!mutation.producer) return;
  auto& producer = state.producers[mutation.producer->id];
  if (mutation.producer->epoch != producer.epoch) {
    producer.epoch = mutation.producer->epoch;
    producer.batches.clear();
  }
  if (producer.batches.size() == kProducerWindow) producer.batches.pop_front();
  auto first = mutation.producer->sequence;
  producer.batches.push_back(
      {first, sequence_plus(first, mutation.records.size() - 1), mutation.offset});
}

}  // namespace

std::int64_t StreamState::cut_start(std::int64_t offset) const {
  auto entry = entry_at(*this, offset);
  bool inside = entry != entries.end() && entry->offset == offset && entry->batch < offset &&
                offset > log_start;
  return inside ? entry->batch : offset;
}

void StreamState::apply(const Mutation& mutation) {
  switch (mutation.kind) {
    case Mutation::kAppend: apply_append(*this, mutation); break;
    case Mutation::kTrim:
      log_start = std::max(log_start, mutation.offset);
      while (!entries.empty() && entries.front().offset < log_start) entries.pop_front();
      break;
    case Mutation::kTruncate: {
      // A batch that the cut goes through is stored again, shortened, without its producer and in
      // the new epoch.
      auto cut = cut_start(mutation.offset);
      while (!entries.empty() && entries.back().offset >= mutation.offset) entries.pop_back();
      next = mutation.offset;
      ++epoch;
      for (auto entry = entries.rbegin(); entry != entries.rend() && entry->offset >= cut;
           ++entry) {
        entry->epoch = epoch;
      }
      for (auto& [id, producer] : producers) {
        std::erase_if(producer.batches, [&](const auto& batch) { return batch.offset >= cut; });
      }
      break;
    }
    case Mutation::kPut:
      if (mutation.value) {
        cursors[mutation.key] = *mutation.value;
      } else {
        cursors.erase(mutation.key);
      }
      break;
  }
}

StreamHistory::StreamHistory(std::uint64_t id, const StreamOptions& options) : id_(id) {
  set_options(options);
}

void StreamHistory::set_options(const StreamOptions& options) {
  options_ = options;
  auto narrow = [](bool& may, std::int64_t& least, std::int64_t value) {
    least = may ? std::min(least, value) : value;
    may = true;
  };
  if (options.retention_bytes) {
    narrow(may_retain_bytes_, retention_bytes_min_, *options.retention_bytes);
  }
  if (options.retention_time) {
    narrow(may_retain_time_, retention_ms_min_, options.retention_time->count());
  }
  if (options.compact) {
    bool before = may_compact_;
    narrow(before, compaction_lag_ms_min_, options.compaction_lag_min.count());
    narrow(may_compact_, tombstone_ms_min_, options.tombstone_retention.count());
  }
}

ExpectedAnswer StreamHistory::expect_append(std::size_t count,
                                            std::optional<std::int64_t> expected_next,
                                            const std::optional<Producer>& producer) const {
  using enum ExpectedAnswer::Kind;
  if (producer) {
    auto known = now_.producers.find(producer->id);
    if (known != now_.producers.end()) {
      const auto& state = known->second;
      if (producer->epoch < state.epoch) return {kRefused, 0, Code::kFenced};
      if (producer->epoch > state.epoch && producer->sequence != 0) {
        return {kRefused, 0, Code::kMismatch};
      }
      if (producer->epoch == state.epoch && !state.batches.empty()) {
        auto last = sequence_plus(producer->sequence, count - 1);
        for (const auto& batch : state.batches) {
          if (batch.first == producer->sequence && batch.last == last) {
            return {kDuplicate, batch.offset, {}};
          }
        }
        if (producer->sequence != sequence_plus(state.batches.back().last, 1)) {
          return {kRefused, 0, Code::kMismatch};
        }
      }
    }
  }
  if (expected_next && *expected_next != now_.next) return {kRefused, 0, Code::kMismatch};
  return {kAppended, now_.next, {}};
}

std::uint64_t StreamHistory::add(Mutation mutation) {
  if (mutation.kind == Mutation::kTruncate) {
    mutation.cut = now_.cut_start(mutation.offset);
    for (const auto& entry : now_.entries) {
      if (entry.offset >= mutation.offset) truncated_bytes_ += entry.record->bytes;
    }
  }
  now_.apply(mutation);
  if (mutation.kind == Mutation::kTrim) seen_start_ = std::max(seen_start_, now_.log_start);
  mutations_.push_back(std::move(mutation));
  return issued() - 1;
}

void StreamHistory::acknowledge(std::uint64_t number, std::int64_t now_ms) {
  if (number < folded_) return;
  auto& mutation = mutations_[number - folded_];
  if (!mutation.promised_ms) mutation.promised_ms = now_ms;
}

std::optional<std::uint64_t> StreamHistory::appender_of(std::int64_t offset) const {
  for (std::size_t i = mutations_.size(); i-- > 0;) {
    if (mutations_[i].kind == Mutation::kAppend && mutations_[i].offset == offset) {
      return folded_ + i;
    }
  }
  return std::nullopt;
}

void StreamHistory::acknowledge_sync(std::uint64_t number) {
  for (auto i = folded_; i < number; ++i) mutations_[i - folded_].synced = true;
}

std::int64_t StreamHistory::acknowledged_end() const {
  // Folded records survived a restart, and so are readable, unless truncated since. A batch that a
  // truncation cut in two is readable again once the truncation is acknowledged.
  auto end = base_.next;
  for (const auto& mutation : mutations_) {
    if (mutation.kind == Mutation::kTruncate) {
      end = std::min(end, mutation.promised_ms ? mutation.offset : mutation.cut);
    }
    if (mutation.kind == Mutation::kAppend && mutation.promised_ms) {
      end = mutation.offset + static_cast<std::int64_t>(mutation.records.size());
    }
  }
  return end;
}

Verdict StreamHistory::check_bounds(std::int64_t log_start, std::int64_t high_watermark,
                                    std::int64_t log_end, std::int64_t now_ms) {
  if (log_end != now_.next) {
    return violation("log-end", fmt::format("log end {} instead of {}", log_end, now_.next));
  }
  if (log_start < seen_start_) {
    return violation("resurrected",
                     fmt::format("log start went back from {} to {}", seen_start_, log_start));
  }
  if (auto differs = start_differs(now_, log_start, now_ms))
    return violation("log-start", *differs);
  seen_start_ = log_start;
  if (high_watermark > log_end || high_watermark < acknowledged_end()) {
    return violation("high-watermark", fmt::format("{} with {} acknowledged and the end at {}",
                                                   high_watermark, acknowledged_end(), log_end));
  }
  auto entry = entry_at(now_, high_watermark);
  if (entry != now_.entries.end() && entry->offset == high_watermark &&
      entry->batch != high_watermark && high_watermark > log_start) {
    return violation("batch-half-visible", fmt::format("high watermark {} inside the batch at {}",
                                                       high_watermark, entry->batch));
  }
  // What a reader may see is promised as if it had been acknowledged; but if the stream has become
  // less durable since, it is seen on those terms.
  for (auto& mutation : mutations_) {
    bool as_durable = options_.durability.kind <= mutation.durability.kind;
    if (mutation.kind == Mutation::kAppend && !mutation.promised_ms && as_durable &&
        mutation.offset < high_watermark) {
      mutation.promised_ms = now_ms;
    }
  }
  return std::nullopt;
}

bool StreamHistory::expired(const ModelRecord& record, std::int64_t now_ms) const {
  return may_retain_time_ && now_ms + clock_lead_ms_ - record.appended_ms >= retention_ms_min_;
}

std::optional<std::string> StreamHistory::start_differs(const StreamState& state,
                                                        std::int64_t log_start,
                                                        std::int64_t now_ms) const {
  if (log_start == state.log_start) return std::nullopt;
  if (log_start < state.log_start) {
    return fmt::format("log start {} below the trim to {}", log_start, state.log_start);
  }
  if (log_start > state.next) {
    return fmt::format("log start {} above the end {}", log_start, state.next);
  }
  // Retention may have gone by records that were truncated afterwards.
  auto bytes_after = truncated_bytes_;
  for (auto place = state.entries.size(); place-- > 0;) {
    const auto& entry = state.entries[place];
    bool kept_by_size = !may_retain_bytes_ || bytes_after < retention_bytes_min_;
    if (entry.offset < log_start && kept_by_size && !expired(*entry.record, now_ms)) {
      // A segment whose records were all compacted away has no age any more.
      bool compacted = may_retain_time_ && may_be_compacted(state, place, now_ms);
      if (!compacted) {
        return fmt::format("log start {}: offset {} was neither too old nor too far back",
                           log_start, entry.offset);
      }
    }
    bytes_after += entry.record->bytes;
  }
  return std::nullopt;
}

// A record that compaction may have dropped: superseded, or a tombstone past its time.
bool StreamHistory::may_be_compacted(const StreamState& state, std::size_t place,
                                     std::int64_t now_ms) const {
  if (!may_compact_) return false;
  const auto& record = *state.entries[place].record;
  if (!record.key) return false;
  auto age_ms = now_ms + clock_lead_ms_ - record.appended_ms;
  if (age_ms < compaction_lag_ms_min_) return false;
  if (!record.value && age_ms >= tombstone_ms_min_) return true;
  for (auto later = place + 1; later < state.entries.size(); ++later) {
    if (state.entries[later].record->key == record.key) return true;
  }
  return false;
}

// Walks the model's entries of [from, to) beside what was seen of it.
std::optional<std::string> StreamHistory::records_differ(const StreamState& state,
                                                         std::int64_t from, std::int64_t to,
                                                         const std::vector<ObservedRecord>& seen,
                                                         const ObservedStream* damaged,
                                                         std::int64_t now_ms) const {
  auto is_unreadable = [&](std::int64_t offset) {
    return damaged && std::ranges::any_of(damaged->unreadable, [&](const auto& range) {
             return offset >= range.first && offset < range.second;
           });
  };
  auto place = static_cast<std::size_t>(entry_at(state, from) - state.entries.begin());
  std::size_t next = 0;
  const ModelEntry* before = nullptr;
  for (; place < state.entries.size() && state.entries[place].offset < to; ++place) {
    const auto& entry = state.entries[place];
    if (next < seen.size() && seen[next].offset == entry.offset) {
      if (auto differs = record_differs(*entry.record, seen[next])) return differs;
      if (before && seen[next].epoch < seen[next - 1].epoch + (entry.epoch > before->epoch)) {
        return fmt::format("offset {}: epoch {} after {}, and {} truncations before it",
                           entry.offset, seen[next].epoch, seen[next - 1].epoch,
                           entry.epoch - before->epoch);
      }
      before = &entry;
      ++next;
    } else if (!may_be_compacted(state, place, now_ms) && !is_unreadable(entry.offset)) {
      return fmt::format("offset {} is missing", entry.offset);
    }
  }
  if (next < seen.size()) {
    return fmt::format("offset {} was never there, or out of order", seen[next].offset);
  }
  bool all_seen = !damaged || damaged->unreadable.empty();
  return may_compact_ && all_seen ? key_resurrected(state, seen) : std::nullopt;
}

// A key whose dropped tombstone lies between records that were seen: its older value, if seen,
// would come back to life.
std::optional<std::string> StreamHistory::key_resurrected(const StreamState& state,
                                                          const std::vector<ObservedRecord>& seen) {
  std::map<std::string, const ObservedRecord*> last;
  for (const auto& record : seen) {
    if (record.key) last[*record.key] = &record;
  }
  if (seen.empty()) return std::nullopt;
  for (const auto& [key, record] : last) {
    if (!record->value) continue;
    for (auto entry = entry_at(state, record->offset + 1); entry != state.entries.end(); ++entry) {
      if (entry->offset > seen.back().offset) break;
      if (entry->record->key == key && !entry->record->value) {
        return fmt::format("offset {}: the tombstone at {} is gone, the value before it is not",
                           record->offset, entry->offset);
      }
    }
  }
  return std::nullopt;
}

Verdict StreamHistory::check_read(std::int64_t from, std::int64_t to,
                                  const std::vector<ObservedRecord>& seen,
                                  std::int64_t now_ms) const {
  auto differs = records_differ(now_, std::max(from, seen_start_), to, seen, nullptr, now_ms);
  if (differs) return violation("read", *differs);
  return std::nullopt;
}

Verdict StreamHistory::check_find(std::int64_t time_ms, std::int64_t high_watermark,
                                  std::int64_t answer) const {
  // The first that certainly is not older bounds the answer from above, unless it may be gone.
  auto place = static_cast<std::size_t>(entry_at(now_, seen_start_) - now_.entries.begin());
  auto latest = high_watermark;
  for (; place < now_.entries.size() && now_.entries[place].offset < high_watermark; ++place) {
    const auto& entry = now_.entries[place];
    if (entry.record->stamp.low >= time_ms && !may_compact_) {
      latest = entry.offset;
      break;
    }
  }
  auto found = entry_at(now_, answer);
  bool is_record = found != now_.entries.end() && found->offset == answer;
  if (answer > latest || answer < seen_start_ ||
      (answer < high_watermark && (!is_record || found->record->stamp.high < time_ms))) {
    return violation("find-time",
                     fmt::format("time {}: offset {}, but the first not older is {} (start {})",
                                 time_ms, answer, latest, seen_start_));
  }
  return std::nullopt;
}

Verdict StreamHistory::check_cursors(const std::map<std::string, std::string>& seen) const {
  if (seen == now_.cursors) return std::nullopt;
  return violation("cursor", fmt::format("{} cursors, not the values that were put", seen.size()));
}

bool StreamHistory::must_survive(const Mutation& mutation, const Loss& loss) const {
  if (!mutation.promised_ms && !mutation.synced) return false;
  // What was not synced is below no mark: the write that was lost may have been its first.
  bool lost = loss.page_cache_lost || loss.marked_ms;
  if (loss.marked_ms && mutation.promised_ms.value_or(loss.at_ms) > *loss.marked_ms) return false;
  if ((mutation.synced && !loss.marked_ms) || !lost) return true;
  switch (mutation.durability.kind) {
    case Durability::kFsync: return true;
    case Durability::kOs: return false;
    case Durability::kInterval:
      return *mutation.promised_ms + mutation.durability.interval.count() +
                 loss.interval_slack_ms <=
             loss.marked_ms.value_or(loss.at_ms);
  }
  return true;
}

std::size_t StreamHistory::required(const Loss& loss) const {
  for (auto count = mutations_.size(); count > 0; --count) {
    if (must_survive(mutations_[count - 1], loss)) return count;
  }
  return 0;
}

std::optional<std::string> StreamHistory::difference(const StreamState& state,
                                                     const ObservedStream& seen,
                                                     std::int64_t now_ms) const {
  if (seen.log_end != state.next) {
    return fmt::format("log end {} instead of {}", seen.log_end, state.next);
  }
  if (auto differs = start_differs(state, seen.log_start, now_ms)) return differs;
  if (seen.cursors != state.cursors) {
    for (const auto& [key, value] : state.cursors) {
      auto found = seen.cursors.find(key);
      if (found == seen.cursors.end() || found->second != value) {
        return fmt::format("cursor {} is {} instead of {}", key,
                           found == seen.cursors.end() ? "absent" : found->second, value);
      }
    }
    return fmt::format("{} cursors instead of {}", seen.cursors.size(), state.cursors.size());
  }
  return records_differ(state, seen.log_start, seen.log_end, seen.records, &seen, now_ms);
}

Verdict StreamHistory::reconcile(const Loss& loss, const ObservedStream& seen) {
  if (seen.high_watermark != seen.log_end) {
    return violation("recovered-unreadable", fmt::format("high watermark {}, log end {}",
                                                         seen.high_watermark, seen.log_end));
  }
  auto least = required(loss);
  auto state = base_;
  std::optional<StreamState> matched;
  std::size_t survivors = 0;
  std::int32_t epoch = 0;  // that of the fewest mutations that may be all that survived
  std::string nearest;
  for (std::size_t count = 0; count <= mutations_.size(); ++count) {
    if (count > 0) state.apply(mutations_[count - 1]);
    auto differs = difference(state, seen, std::max(loss.at_ms, loss.seen_ms));
    if (!differs) {
      if (!matched || survivors < least) epoch = state.epoch;
      matched = state;
      survivors = count;
    } else if (nearest.empty() || (count == least)) {
      nearest = *differs;
    }
  }
  if (!matched) {
    return violation("not-a-prefix",
                     fmt::format("start {}, end {}: after none of {} mutations ({} required); "
                                 "against those required: {}",
                                 seen.log_start, seen.log_end, mutations_.size(), least, nearest));
  }
  if (survivors < least) {
    return violation("acknowledged-lost",
                     fmt::format("end {}: {} of {} mutations survived, {} were promised; {}",
                                 seen.log_end, survivors, mutations_.size(), least, nearest));
  }
  folded_ += mutations_.size();
  mutations_.clear();
  base_ = std::move(*matched);
  base_.epoch = epoch;
  base_.apply({.kind = Mutation::kTrim, .offset = seen.log_start});  // what retention took is gone
  now_ = base_;
  seen_start_ = seen.log_start;
  return std::nullopt;
}

}  // namespace walrus::sim
