#pragma once
// The table of Kafka's APIs: key, name, the versions that the codec knows, and the version from
// which requests and responses are flexible (compact lengths, tagged fields, headers with tags).
// Which of them a broker serves is its own table (frontend/kafka/handlers.h).

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "walrus/log.h"

namespace walrus::wire::kafka {

struct Versions {
  std::int16_t from = 0, to = std::numeric_limits<std::int16_t>::max();
  constexpr bool contains(std::int16_t version) const { return version >= from && version <= to; }
  bool operator==(const Versions&) const = default;
};
constexpr Versions kNever{.from = 1, .to = 0};

struct Api {
  std::int16_t key = 0;
  Bytes name{};
  Versions versions{};
  std::int16_t flexible_from = 0;
};

constexpr std::int16_t kInflexible = std::numeric_limits<std::int16_t>::max();

constexpr std::array kApis{
    Api{0, "Produce", {3, 11}, 9},
    Api{1, "Fetch", {4, 17}, 12},
    Api{2, "ListOffsets", {1, 10}, 6},
    Api{3, "Metadata", {0, 12}, 9},
    Api{8, "OffsetCommit", {2, 9}, 8},
    Api{9, "OffsetFetch", {1, 9}, 6},
    Api{10, "FindCoordinator", {0, 6}, 3},
    Api{11, "JoinGroup", {0, 9}, 6},
    Api{12, "Heartbeat", {0, 4}, 4},
    Api{13, "LeaveGroup", {0, 5}, 4},
    Api{14, "SyncGroup", {0, 5}, 4},
    Api{15, "DescribeGroups", {0, 6}, 5},
    Api{16, "ListGroups", {0, 5}, 3},
    Api{17, "SaslHandshake", {0, 1}, kInflexible},
    Api{18, "ApiVersions", {0, 4}, 3},
    Api{19, "CreateTopics", {2, 7}, 5},
    Api{20, "DeleteTopics", {1, 6}, 4},
    Api{21, "DeleteRecords", {0, 2}, 2},
    Api{22, "InitProducerId", {0, 5}, 2},
    Api{23, "OffsetForLeaderEpoch", {2, 4}, 4},
    Api{32, "DescribeConfigs", {1, 4}, 4},
    Api{33, "AlterConfigs", {0, 2}, 2},
    Api{35, "DescribeLogDirs", {1, 4}, 2},
    Api{36, "SaslAuthenticate", {0, 2}, 2},
    Api{37, "CreatePartitions", {0, 3}, 2},
    Api{42, "DeleteGroups", {0, 2}, 2},
    Api{43, "ElectLeaders", {0, 2}, 2},
    Api{44, "IncrementalAlterConfigs", {0, 1}, 1},
    Api{45, "AlterPartitionReassignments", {0, 0}, 0},
    Api{46, "ListPartitionReassignments", {0, 0}, 0},
    Api{47, "OffsetDelete", {0, 0}, kInflexible},
    Api{50, "DescribeUserScramCredentials", {0, 0}, 0},
    Api{51, "AlterUserScramCredentials", {0, 0}, 0},
    Api{60, "DescribeCluster", {0, 1}, 0},
    Api{75, "DescribeTopicPartitions", {0, 0}, 0},
};

// Its place in kApis, or -1.
constexpr std::ptrdiff_t api_place(std::int16_t key) {
  for (std::size_t i = 0; i < kApis.size(); ++i)
    if (kApis[i].key == key) return static_cast<std::ptrdiff_t>(i);
  return -1;
}
constexpr const Api* find_api(std::int16_t key) {
  auto place = api_place(key);
  return place < 0 ? nullptr : &kApis[static_cast<std::size_t>(place)];
}

}  // namespace walrus::wire::kafka
