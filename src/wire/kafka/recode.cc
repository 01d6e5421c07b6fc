#include "wire/kafka/recode.h"

#include <algorithm>

#include "wire/kafka/cluster.h"
#include "wire/kafka/configs.h"
#include "wire/kafka/data.h"
#include "wire/kafka/groups.h"
#include "wire/kafka/security.h"
#include "wire/kafka/topics.h"

namespace walrus::wire::kafka {
namespace {

struct Entry {
  std::int16_t key = 0;
  Direction direction = Direction::kRequest;
  Result<std::string> (*recode)(Bytes, std::int16_t) = nullptr;
  std::span<const Field> (*table)() = nullptr;
};

template <class Message>
Result<std::string> recode_as(Bytes body, std::int16_t version) {
  WALRUS_ASSIGN(auto message, decode<Message>(body, version));
  std::string again;
  encode(again, message, version);
  return again;
}

template <class Message>
constexpr Entry entry(Direction direction) {
  return {Message::kKey, direction, recode_as<Message>, table_of<Message>};
}

template <class Request, class Response>
constexpr std::array<Entry, 2> pair() {
  return {entry<Request>(Direction::kRequest), entry<Response>(Direction::kResponse)};
}

#define WALRUS_PAIR(Name) pair<Name##Request, Name##Response>()
constexpr std::array kEntries{WALRUS_PAIR(Produce),
                              WALRUS_PAIR(Fetch),
                              WALRUS_PAIR(ListOffsets),
                              WALRUS_PAIR(Metadata),
                              WALRUS_PAIR(OffsetCommit),
                              WALRUS_PAIR(OffsetFetch),
                              WALRUS_PAIR(FindCoordinator),
                              WALRUS_PAIR(JoinGroup),
                              WALRUS_PAIR(Heartbeat),
                              WALRUS_PAIR(LeaveGroup),
                              WALRUS_PAIR(SyncGroup),
                              WALRUS_PAIR(DescribeGroups),
                              WALRUS_PAIR(ListGroups),
                              WALRUS_PAIR(SaslHandshake),
                              WALRUS_PAIR(ApiVersions),
                              WALRUS_PAIR(CreateTopics),
                              WALRUS_PAIR(DeleteTopics),
                              WALRUS_PAIR(DeleteRecords),
                              WALRUS_PAIR(InitProducerId),
                              WALRUS_PAIR(OffsetForLeaderEpoch),
                              WALRUS_PAIR(DescribeConfigs),
                              WALRUS_PAIR(AlterConfigs),
                              WALRUS_PAIR(DescribeLogDirs),
                              WALRUS_PAIR(SaslAuthenticate),
                              WALRUS_PAIR(CreatePartitions),
                              WALRUS_PAIR(DeleteGroups),
                              WALRUS_PAIR(ElectLeaders),
                              WALRUS_PAIR(IncrementalAlterConfigs),
                              WALRUS_PAIR(AlterPartitionReassignments),
                              WALRUS_PAIR(ListPartitionReassignments),
                              WALRUS_PAIR(OffsetDelete),
                              WALRUS_PAIR(DescribeUserScramCredentials),
                              WALRUS_PAIR(AlterUserScramCredentials),
                              WALRUS_PAIR(DescribeCluster),
                              WALRUS_PAIR(DescribeTopicPartitions)};
#undef WALRUS_PAIR
static_assert(kEntries.size() == kApis.size(), "each API has its messages here");

const Entry* find(std::int16_t key, Direction direction) {
  for (const auto& pair : kEntries)
    for (const auto& one : pair)
      if (one.key == key && one.direction == direction) return &one;
  return nullptr;
}

}  // namespace

Result<std::string> recode(std::int16_t key, Direction direction, std::int16_t version,
                           Bytes body) {
  const auto* found = find(key, direction);
  if (found == nullptr) return fail(Code::kNotFound, "no API {}", key);
  return found->recode(body, version);
}

std::span<const Field> table_of(std::int16_t key, Direction direction) {
  const auto* found = find(key, direction);
  return found == nullptr ? std::span<const Field>() : found->table();
}

}  // namespace walrus::wire::kafka
