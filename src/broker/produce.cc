// Local::produce(): a batch from a client that builds its own.

#include <limits>

#include "broker/broker.h"
#include "record/batch.h"

namespace walrus::broker {
namespace {

// Whole, of our format, within limits, and everything in it as it should be.
Result<record::BatchView> check_batch(Bytes bytes, const ProduceRules& rules,
                                      std::int64_t batch_bytes_max,
                                      std::size_t decompressed_bytes_max) {
  constexpr std::size_t kMagicPosition = 16;  // in every format
  if (bytes.size() > kMagicPosition && bytes[kMagicPosition] != record::kMagic)
    return fail(Code::kInvalid, "record batch: magic {}, only 2 is taken",
                static_cast<int>(bytes[kMagicPosition]));
  auto parsed = record::BatchView::parse(bytes);
  if (!parsed) return fail(Code::kInvalid, "{}", parsed.error().message);
  auto batch = *parsed;
  if (batch.bytes().size() != bytes.size())
    return fail(Code::kInvalid, "{} bytes after the record batch: one batch is taken at a time",
                bytes.size() - batch.bytes().size());
  if (std::ssize(bytes) > batch_bytes_max)
    return fail(Code::kTooLarge, "a record batch of {} bytes, the limit is {}", bytes.size(),
                batch_bytes_max);
  auto codec = batch.codec();
  bool allowed = codec < record::Codec::kZstd || (codec == record::Codec::kZstd && rules.zstd);
  // One pass sums what is good; what is not is told from what was damaged on its way.
  Result<record::BatchView> valid =
      fail(Code::kVersion, "record batch: codec {} is not allowed", static_cast<int>(codec));
  if (batch.log_append_time())
    valid = fail(Code::kOutOfRange, "record batch: the time of append is the broker's to set");
  else if (allowed) valid = record::validate(bytes, {.batch_bytes_max = decompressed_bytes_max});
  if (!valid && !batch.crc_holds())
    return fail(Code::kCorrupt, "record batch: the CRC does not hold");
  if (!valid && valid.error().code == Code::kCorrupt)
    return fail(Code::kInvalid, "{}", valid.error().message);
  return valid;
}

// The times that a producer may give to its records.
struct Times {
  std::int64_t oldest = std::numeric_limits<std::int64_t>::min();
  std::int64_t newest = std::numeric_limits<std::int64_t>::max();
  // -1: the producer gave none.
  bool allow(std::int64_t time) const { return time == -1 || (time >= oldest && time <= newest); }
};

Times allowed_times(const TopicConfig& config, std::int64_t now_ms) {
  Times times;
  if (config.log_append_time) return times;
  if (config.timestamp_before_max_ms < now_ms)
    times.oldest = now_ms - config.timestamp_before_max_ms;
  if (config.timestamp_after_max_ms < times.newest - now_ms)
    times.newest = now_ms + config.timestamp_after_max_ms;
  return times;
}

// What the header alone tells: no record is newer than the maximum that validate() has checked.
bool needs_look(const record::BatchView& batch, const TopicConfig& config, const Times& times) {
  bool any_oldest = times.oldest == std::numeric_limits<std::int64_t>::min();
  bool any_newest = times.newest == std::numeric_limits<std::int64_t>::max();
  bool newest_known = batch.max_timestamp() != -1 && times.allow(batch.max_timestamp());
  return config.stream.compact || !any_oldest || (!any_newest && !newest_known);
}

// What a topic's settings ask of each record.
Result<void> check_records(const record::BatchView& batch, const TopicConfig& config,
                           const Times& times, std::size_t decompressed_bytes_max,
                           BadRecords* bad) {
  if (!needs_look(batch, config, times)) return {};
  WALRUS_ASSIGN(auto records, record::RecordIterator::open(batch, decompressed_bytes_max));
  BadRecords found;
  bool untimely = false;
  for (std::int32_t i = 0;; ++i) {
    WALRUS_ASSIGN(auto record, records.next());
    if (!record) break;
    if (config.stream.compact && !record->key)
      found.push_back({i, "a topic that is compacted takes no record without a key"});
    if (times.allow(record->timestamp_ms)) continue;
    untimely = true;
    found.push_back({i, fmt::format("timestamp {} is not within {}..{}", record->timestamp_ms,
                                    times.oldest, times.newest)});
  }
  if (found.empty()) return {};
  auto message = fmt::format("{} of {} records are refused: record {}: {}", found.size(),
                             batch.count(), found[0].index, found[0].why);
  if (bad != nullptr) *bad = std::move(found);
  return fail(untimely ? Code::kOutOfRange : Code::kInvalid, "{}", message);
}

std::optional<int> level_of(const TopicConfig& config) {
  switch (*config.codec) {
    case record::Codec::kGzip: return config.gzip_level;
    case record::Codec::kLz4: return config.lz4_level;
    case record::Codec::kZstd: return config.zstd_level;
    default: return std::nullopt;
  }
}

}  // namespace

Result<Stored> Local::produce(const Topic& topic, std::size_t partition, Bytes bytes,
                              const ProduceRules& rules, BadRecords* bad) {
  if (broker_.storage_low()) return fail(Code::kNoSpace, "storage full");
  const auto& config = topic.config;
  auto decompressed_bytes_max = broker_.options_.decompressed_bytes_max;
  WALRUS_ASSIGN(auto batch,
                check_batch(bytes, rules, config.batch_bytes_max, decompressed_bytes_max));
  auto now_ms = engine().env().wall().time_since_epoch().count();
  WALRUS_TRY(
      check_records(batch, config, allowed_times(config, now_ms), decompressed_bytes_max, bad));
  auto& log = *topic.partitions[partition];
  Stored stored;
  bool recompress = config.codec && *config.codec != batch.codec();
  if (!recompress && !config.log_append_time) {
    WALRUS_ASSIGN(stored.appending, log.append_batch(batch, rules.append));
    return stored;
  }
  if (config.log_append_time) stored.append_time_ms = now_ms;
  record::Changes changes{.append_time_ms = stored.append_time_ms,
                          .decompressed_bytes_max = decompressed_bytes_max};
  if (recompress) {
    changes.codec = config.codec;
    changes.level = level_of(config);
  }
  WALRUS_ASSIGN(auto rebuilt, record::rebuild(batch, changes));
  if (std::ssize(rebuilt) > config.batch_bytes_max)
    return fail(Code::kTooLarge, "a record batch of {} bytes as it is stored, the limit is {}",
                rebuilt.size(), config.batch_bytes_max);
  WALRUS_ASSIGN(stored.appending, log.append_batch(record::BatchView(rebuilt), rules.append));
  return stored;
}

}  // namespace walrus::broker
