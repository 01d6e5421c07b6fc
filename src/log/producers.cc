#include "log/producers.h"

#include <algorithm>

namespace walrus::log {
namespace {

// Sequences live in [0, 2^31) and wrap.
std::int32_t sequence_after(std::int32_t sequence, std::int64_t steps) {
  return static_cast<std::int32_t>((std::int64_t{sequence} + steps) & 0x7fffffff);
}

auto find_place(auto& entries, std::int64_t id) {
  return std::ranges::lower_bound(entries, id, {}, &ProducerEntry::id);
}

// id, epoch, timestamp, batch count: a byte each at least.
constexpr std::size_t kEntryBytesMin = 4;

}  // namespace

Result<std::optional<std::int64_t>> ProducerTable::check(std::int64_t id, std::int16_t epoch,
                                                         std::int32_t first_sequence,
                                                         std::int32_t count) const {
  if (first_sequence < 0 || count < 1) {
    return fail(Code::kInvalid, "producer {}: first sequence {}, {} records", id, first_sequence,
                count);
  }
  auto found = find_place(entries_, id);
  if (found == entries_.end() || found->id != id) return std::nullopt;
  const ProducerEntry& entry = *found;
  if (epoch < entry.epoch) {
    return fail(Code::kFenced, "producer {}: epoch {} is older than {}", id, epoch, entry.epoch);
  }
  if (epoch > entry.epoch) {
    if (first_sequence == 0) return std::nullopt;
    return fail(Code::kMismatch, "producer {}: epoch {} begins with sequence {} instead of 0", id,
                epoch, first_sequence);
  }
  auto last_sequence = sequence_after(first_sequence, count - 1);
  for (const ProducerBatch& batch : entry.batches) {
    if (batch.first_sequence == first_sequence && batch.last_sequence == last_sequence) {
      return batch.first_offset;
    }
  }
  // A truncation may have taken every batch that was remembered: the next sequence is unknown.
  if (entry.batches.empty()) return std::nullopt;
  auto expected = sequence_after(entry.batches.back().last_sequence, 1);
  if (first_sequence != expected) {
    return fail(Code::kMismatch, "producer {}: sequence {} where {} is next", id, first_sequence,
                expected);
  }
  return std::nullopt;
}

bool ProducerTable::knows(std::int64_t id, std::int16_t epoch) const {
  auto found = find_place(entries_, id);
  return found != entries_.end() && found->id == id && found->epoch == epoch &&
         !found->batches.empty();
}

void ProducerTable::add(std::int64_t id, std::int16_t epoch, std::int32_t first_sequence,
                        std::int32_t count, std::int64_t first_offset, std::int64_t timestamp_ms) {
  if (first_sequence < 0 || count < 1) return;  // holds nothing that could be sent again
  auto place = find_place(entries_, id);
  if (place == entries_.end() || place->id != id) {
    place = entries_.insert(place, ProducerEntry{.id = id, .epoch = epoch});
  }
  ProducerEntry& entry = *place;
  if (epoch < entry.epoch) return;
  if (epoch > entry.epoch) {
    entry.epoch = epoch;
    entry.batches.clear();
  }
  if (entry.batches.size() == kProducerBatches) entry.batches.erase(entry.batches.begin());
  entry.batches.push_back({.first_sequence = first_sequence,
                           .last_sequence = sequence_after(first_sequence, count - 1),
                           .first_offset = first_offset});
  entry.last_timestamp_ms = timestamp_ms;
}

void ProducerTable::follow(const ProducerTable& later) {
  for (const ProducerEntry& entry : later.entries_) {
    for (const ProducerBatch& batch : entry.batches) {
      auto count = ((batch.last_sequence - batch.first_sequence) & 0x7fffffff) + 1;
      add(entry.id, entry.epoch, batch.first_sequence, count, batch.first_offset,
          entry.last_timestamp_ms);
    }
  }
}

void ProducerTable::truncate(std::int64_t end) {
  for (ProducerEntry& entry : entries_) {
    std::erase_if(entry.batches,
                  [end](const ProducerBatch& batch) { return batch.first_offset >= end; });
  }
}

void ProducerTable::expire(std::int64_t cutoff_ms) {
  std::erase_if(entries_, [cutoff_ms](const ProducerEntry& entry) {
    return entry.last_timestamp_ms < cutoff_ms;
  });
}

void ProducerTable::encode(std::string& to) const {
  append_uvarint(to, entries_.size());
  for (const ProducerEntry& entry : entries_) {
    append_uvarint(to, zigzag(entry.id));
    append_uvarint(to, zigzag(entry.epoch));
    append_uvarint(to, zigzag(entry.last_timestamp_ms));
    append_uvarint(to, entry.batches.size());
    for (const ProducerBatch& batch : entry.batches) {
      append_uvarint(to, static_cast<std::uint32_t>(batch.first_sequence));
      append_uvarint(to, static_cast<std::uint32_t>(batch.last_sequence));
      append_uvarint(to, zigzag(batch.first_offset));
    }
  }
}

namespace {

std::optional<ProducerEntry> decode_entry(Decoder& from) {
  auto id = from.varint();
  auto epoch = from.varint();
  auto timestamp = from.varint();
  auto batches = from.uvarint();
  if (!from.ok() || *epoch < INT16_MIN || *epoch > INT16_MAX || *batches > kProducerBatches) {
    return std::nullopt;
  }
  ProducerEntry entry{
      .id = *id, .epoch = static_cast<std::int16_t>(*epoch), .last_timestamp_ms = *timestamp};
  entry.batches.reserve(*batches);
  for (std::uint64_t i = 0; i < *batches; ++i) {
    auto first = from.uvarint();
    auto last = from.uvarint();
    auto offset = from.varint();
    if (!from.ok() || *first > INT32_MAX || *last > INT32_MAX || *offset < 0) return std::nullopt;
    entry.batches.push_back({.first_sequence = static_cast<std::int32_t>(*first),
                             .last_sequence = static_cast<std::int32_t>(*last),
                             .first_offset = *offset});
  }
  return entry;
}

}  // namespace

Result<ProducerTable> ProducerTable::decode(Decoder& from) {
  auto count = from.uvarint();
  if (!count || *count > from.remaining() / kEntryBytesMin) {
    return fail(Code::kCorrupt, "producer table: its length does not hold");
  }
  ProducerTable table;
  table.entries_.reserve(*count);
  for (std::uint64_t i = 0; i < *count; ++i) {
    auto entry = decode_entry(from);
    if (!entry || (i > 0 && entry->id <= table.entries_.back().id)) {
      return fail(Code::kCorrupt, "producer table: entry {} of {} is damaged", i, *count);
    }
    table.entries_.push_back(std::move(*entry));
  }
  return table;
}

}  // namespace walrus::log
