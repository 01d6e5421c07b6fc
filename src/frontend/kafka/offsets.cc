// ListOffsets, OffsetForLeaderEpoch, DeleteRecords: where a partition begins, ends and changed
// hands.

#include "frontend/kafka/cluster_view.h"
#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"
#include "frontend/kafka/mentions.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

// Timestamps that mean a place.
constexpr std::int64_t kLatest = -1, kEarliest = -2, kNewest = -3, kEarliestLocal = -4,
                       kLatestTiered = -5;

io::Task<std::optional<broker::TimedOffset>> resolve(broker::LogRef log, broker::Bounds bounds,
                                                     std::int64_t timestamp) {
  constexpr std::int64_t kNoTimestamp = -1;
  switch (timestamp) {
    case kLatest: {
      WALRUS_CO_ASSIGN(auto latest, co_await log->confirm());
      co_return broker::TimedOffset{latest, kNoTimestamp};
    }
    case kEarliest:
    case kEarliestLocal: co_return broker::TimedOffset{bounds.log_start, kNoTimestamp};
    case kNewest: co_return co_await broker::Local::find_newest(log);
    case kLatestTiered: co_return std::nullopt;  // nothing is tiered
    default: break;
  }
  co_return co_await broker::Local::find_time(log, timestamp);
}

// From which version on a timestamp means something.
bool is_known(std::int64_t timestamp, std::int16_t version) {
  constexpr std::int16_t kNewestVersion = 7, kLocalVersion = 8, kTieredVersion = 9;
  switch (timestamp) {
    case kNewest: return version >= kNewestVersion;
    case kEarliestLocal: return version >= kLocalVersion;
    case kLatestTiered: return version >= kTieredVersion;
    default: return timestamp >= kEarliest;
  }
}

io::Task<ListOffsetsResponse::Partition> list_one(Call call, Result<broker::TopicRef> topic,
                                                  ListOffsetsRequest::Partition asked) {
  ListOffsetsResponse::Partition to{.index = asked.index};
  auto refuse = [&](const Error& error) {
    to.error_code = number(partition_error(error));
    return to;
  };
  auto log = find_partition(topic, asked.index);
  if (!log) co_return refuse(log.error());
  auto bounds = (*log)->bounds();
  if (!bounds) co_return refuse(bounds.error());
  to.error_code = check_leader_epoch(**log, asked.current_leader_epoch);
  if (led_elsewhere(call.node, **log)) to.error_code = number(ErrorCode::kNotLeaderOrFollower);
  if (to.error_code == 0 && !is_known(asked.timestamp, call.version))
    to.error_code = number(ErrorCode::kUnsupportedVersion);
  if (to.error_code != 0) co_return to;
  auto found = co_await resolve(*log, *bounds, asked.timestamp);
  if (!found) co_return refuse(found.error());
  if (!*found) co_return to;
  to.offset = (*found)->offset.value;
  to.timestamp = (*found)->timestamp_ms;
  to.leader_epoch = bounds->epoch;
  co_return to;
}

OffsetForLeaderEpochResponse::Partition end_of_epoch(
    const Result<broker::TopicRef>& topic, const OffsetForLeaderEpochRequest::Partition& asked) {
  OffsetForLeaderEpochResponse::Partition to{.index = asked.index};
  auto log = find_partition(topic, asked.index);
  auto bounds = log ? (*log)->bounds() : Result<broker::Bounds>(std::unexpected(log.error()));
  if (!bounds) {
    to.error_code = number(partition_error(bounds.error()));
    return to;
  }
  to.error_code = check_leader_epoch(**log, asked.current_leader_epoch);
  auto newest = bounds->epoch;
  if (to.error_code != 0 || asked.leader_epoch < 0 || asked.leader_epoch > newest) return to;
  // The greatest epoch not above the one asked for, and where the next one begins.
  to.end_offset = bounds->log_end.value;
  to.leader_epoch = newest;
  auto segments = (*log)->segments();
  for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
    to.leader_epoch = segment->epoch;
    if (segment->epoch <= asked.leader_epoch) return to;
    to.end_offset = segment->base_offset;
  }
  to.leader_epoch = asked.leader_epoch;  // older than all that is kept
  return to;
}

io::Task<DeleteRecordsResponse::Partition> trim_one(Call call, Result<broker::TopicRef> topic,
                                                    DeleteRecordsRequest::Partition asked) {
  constexpr std::int64_t kHighWatermark = -1;
  DeleteRecordsResponse::Partition to{.index = asked.index, .low_watermark = -1};
  auto log = find_partition(topic, asked.index);
  auto bounds = log ? (*log)->bounds() : Result<broker::Bounds>(std::unexpected(log.error()));
  Result<void> result;
  if (!bounds) {
    result = std::unexpected(bounds.error());
  } else {
    auto first = asked.offset == kHighWatermark ? bounds->high_watermark : Offset{asked.offset};
    result = co_await (*log)->trim(call.local.loop(), first);
  }
  if (result) bounds = (*log)->bounds();
  if (result && bounds) to.low_watermark = bounds->log_start.value;
  if (!result) to.error_code = number(partition_error(result.error()));
  co_return to;
}

}  // namespace

io::Task<ListOffsetsResponse> list_offsets(Call call, ListOffsetsRequest request) {
  ListOffsetsResponse response;
  for (const auto& asked : request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.name = asked.name;
    auto found = find_topic(call.local, asked.name);
    Mentions<std::int32_t> mentions(asked.partitions, &ListOffsetsRequest::Partition::index);
    for (const auto& partition : asked.partitions) {
      auto mention = mentions.mention(partition.index);
      if (mention == Mention::kOnce) {
        WALRUS_CO_ASSIGN(auto listed, co_await list_one(call, found, partition));
        topic.partitions.push_back(listed);
      }
      if (mention == Mention::kRepeated)
        topic.partitions.push_back(
            {.index = partition.index, .error_code = number(ErrorCode::kInvalidRequest)});
    }
  }
  co_return response;
}

io::Task<OffsetForLeaderEpochResponse> offset_for_leader_epoch(
    Call call, OffsetForLeaderEpochRequest request) {
  OffsetForLeaderEpochResponse response;
  for (const auto& asked : request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.name = asked.name;
    auto found = find_topic(call.local, asked.name);
    for (const auto& partition : asked.partitions)
      topic.partitions.push_back(end_of_epoch(found, partition));
  }
  co_return response;
}

io::Task<DeleteRecordsResponse> delete_records(Call call, DeleteRecordsRequest request) {
  DeleteRecordsResponse response;
  for (const auto& asked : request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.name = asked.name;
    auto found = find_topic(call.local, asked.name);
    for (const auto& partition : asked.partitions) {
      WALRUS_CO_ASSIGN(auto trimmed, co_await trim_one(call, found, partition));
      topic.partitions.push_back(trimmed);
    }
  }
  co_return response;
}

}  // namespace walrus::frontend::kafka
