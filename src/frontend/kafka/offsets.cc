// ListOffsets, OffsetForLeaderEpoch, DeleteRecords: where a partition begins, ends and changed
// hands.

#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"
#include "frontend/kafka/mentions.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

// Timestamps that mean a place.
constexpr std::int64_t kLatest = -1, kEarliest = -2, kNewest = -3, kEarliestLocal = -4,
                       kLatestTiered = -5;

Result<std::optional<broker::TimedOffset>> resolve(Call call, const log::StreamRef& stream,
                                                   const log::Bounds& bounds,
                                                   std::int64_t timestamp) {
  constexpr std::int64_t kNoTimestamp = -1;
  switch (timestamp) {
    case kLatest: return broker::TimedOffset{bounds.high_watermark, kNoTimestamp};
    case kEarliest:
    case kEarliestLocal: return broker::TimedOffset{bounds.log_start, kNoTimestamp};
    case kNewest: return call.local.find_newest(stream);
    case kLatestTiered: return std::nullopt;  // nothing is tiered
    default: break;
  }
  return call.local.find_time(stream, timestamp);
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

ListOffsetsResponse::Partition list_one(Call call, const Result<broker::TopicRef>& topic,
                                        const ListOffsetsRequest::Partition& asked) {
  ListOffsetsResponse::Partition to{.index = asked.index};
  auto refuse = [&](const Error& error) {
    to.error_code = number(partition_error(error));
    return to;
  };
  auto stream = find_partition(topic, asked.index);
  if (!stream) return refuse(stream.error());
  auto bounds = call.local.engine().bounds(*stream);
  if (!bounds) return refuse(bounds.error());
  to.error_code = check_leader_epoch(call, *stream, asked.current_leader_epoch);
  if (to.error_code == 0 && !is_known(asked.timestamp, call.version))
    to.error_code = number(ErrorCode::kUnsupportedVersion);
  if (to.error_code != 0) return to;
  auto found = resolve(call, *stream, *bounds, asked.timestamp);
  if (!found) return refuse(found.error());
  if (!*found) return to;
  to.offset = (*found)->offset.value;
  to.timestamp = (*found)->timestamp_ms;
  to.leader_epoch = call.local.epoch(*stream);
  return to;
}

OffsetForLeaderEpochResponse::Partition end_of_epoch(
    Call call, const Result<broker::TopicRef>& topic,
    const OffsetForLeaderEpochRequest::Partition& asked) {
  OffsetForLeaderEpochResponse::Partition to{.index = asked.index};
  auto stream = find_partition(topic, asked.index);
  auto bounds = stream ? call.local.engine().bounds(*stream)
                       : Result<log::Bounds>(std::unexpected(stream.error()));
  if (!bounds) {
    to.error_code = number(partition_error(bounds.error()));
    return to;
  }
  to.error_code = check_leader_epoch(call, *stream, asked.current_leader_epoch);
  auto newest = call.local.epoch(*stream);
  if (to.error_code != 0 || asked.leader_epoch < 0 || asked.leader_epoch > newest) return to;
  // The greatest epoch not above the one asked for, and where the next one begins.
  to.end_offset = bounds->log_end.value;
  to.leader_epoch = newest;
  auto segments = call.local.engine().segments(*stream);
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
  auto stream = find_partition(topic, asked.index);
  auto bounds = stream ? call.local.engine().bounds(*stream)
                       : Result<log::Bounds>(std::unexpected(stream.error()));
  Result<void> result;
  if (!bounds) {
    result = std::unexpected(bounds.error());
  } else {
    auto first = asked.offset == kHighWatermark ? bounds->high_watermark : Offset{asked.offset};
    auto trimmed = call.local.engine().trim(*stream, first);
    result = trimmed ? co_await call.local.durable(*trimmed)
                     : Result<void>(std::unexpected(trimmed.error()));
  }
  if (result) bounds = call.local.engine().bounds(*stream);
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
      if (mention == Mention::kOnce) topic.partitions.push_back(list_one(call, found, partition));
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
      topic.partitions.push_back(end_of_epoch(call, found, partition));
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
