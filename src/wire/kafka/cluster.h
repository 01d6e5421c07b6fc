#pragma once
// Messages about the cluster: ApiVersions, Metadata, DescribeLogDirs, DescribeCluster,
// DescribeTopicPartitions.
// Source of the layouts: https://kafka.apache.org/protocol

#include "wire/kafka/codec.h"

namespace walrus::wire::kafka {

struct MetadataRequest {
  static constexpr std::int16_t kKey = 3;
  struct Topic {
    Uuid id{};
    std::optional<Bytes> name{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::id>({.in = since(10)}), f<&T::name>({.nullable = since(10)})};
    }
    bool operator==(const Topic&) const = default;
  };
  std::optional<std::vector<Topic>> topics{};
  bool allow_auto_topic_creation = true;
  bool include_cluster_authorized_operations = false;
  bool include_topic_authorized_operations = false;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::topics>({.nullable = since(1)}),
                      f<&T::allow_auto_topic_creation>({.in = since(4)}),
                      f<&T::include_cluster_authorized_operations>({.in = only(8, 10)}),
                      f<&T::include_topic_authorized_operations>({.in = since(8)})};
  }
  bool operator==(const MetadataRequest&) const = default;
};

struct MetadataResponse {
  static constexpr std::int16_t kKey = 3;
  struct Broker {
    std::int32_t node_id = 0;
    std::string host{};
    std::int32_t port = 0;
    std::optional<std::string> rack{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::node_id>(), f<&T::host>(), f<&T::port>(),
                        f<&T::rack>({.in = since(1), .nullable = since(1)})};
    }
    bool operator==(const Broker&) const = default;
  };
  struct Partition {
    std::int16_t error_code = 0;
    std::int32_t index = 0;
    std::int32_t leader_id = 0;
    std::int32_t leader_epoch = -1;
    std::vector<std::int32_t> replicas{};
    std::vector<std::int32_t> in_sync_replicas{};
    std::vector<std::int32_t> offline_replicas{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::error_code>(),
                        f<&T::index>(),
                        f<&T::leader_id>(),
                        f<&T::leader_epoch>({.in = since(7)}),
                        f<&T::replicas>(),
                        f<&T::in_sync_replicas>(),
                        f<&T::offline_replicas>({.in = since(5)})};
    }
    bool operator==(const Partition&) const = default;
  };
  struct Topic {
    std::int16_t error_code = 0;
    std::optional<std::string> name{};
    Uuid id{};
    bool is_internal = false;
    std::vector<Partition> partitions{};
    std::int32_t authorized_operations = kOperationsUnknown;
    template <class T>
    static constexpr auto fields() {
      return std::array{
          f<&T::error_code>(),          f<&T::name>({.nullable = since(12)}),
          f<&T::id>({.in = since(10)}), f<&T::is_internal>({.in = since(1)}),
          f<&T::partitions>(),          f<&T::authorized_operations>({.in = since(8)})};
    }
    bool operator==(const Topic&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::vector<Broker> brokers{};
  std::optional<std::string> cluster_id{};
  std::int32_t controller_id = -1;
  std::vector<Topic> topics{};
  std::int32_t authorized_operations = kOperationsUnknown;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(3)}),
                      f<&T::brokers>(),
                      f<&T::cluster_id>({.in = since(2), .nullable = since(2)}),
                      f<&T::controller_id>({.in = since(1)}),
                      f<&T::topics>(),
                      f<&T::authorized_operations>({.in = only(8, 10)})};
  }
  bool operator==(const MetadataResponse&) const = default;
};

struct ApiVersionsRequest {
  static constexpr std::int16_t kKey = 18;
  Bytes client_software_name{};
  Bytes client_software_version{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::client_software_name>({.in = since(3)}),
                      f<&T::client_software_version>({.in = since(3)})};
  }
  bool operator==(const ApiVersionsRequest&) const = default;
};

struct ApiVersionsResponse {
  static constexpr std::int16_t kKey = 18;
  struct Range {
    std::int16_t key = 0;
    std::int16_t min = 0;
    std::int16_t max = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::key>(), f<&T::min>(), f<&T::max>()};
    }
    bool operator==(const Range&) const = default;
  };
  struct SupportedFeature {
    std::string name{};
    std::int16_t min = 0;
    std::int16_t max = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::min>(), f<&T::max>()};
    }
    bool operator==(const SupportedFeature&) const = default;
  };
  struct FinalizedFeature {
    std::string name{};
    std::int16_t max = 0;
    std::int16_t min = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::max>(), f<&T::min>()};
    }
    bool operator==(const FinalizedFeature&) const = default;
  };
  std::int16_t error_code = 0;
  std::vector<Range> apis{};
  std::int32_t throttle_time_ms = 0;
  std::vector<SupportedFeature> supported_features{};
  std::int64_t finalized_features_epoch = -1;
  std::vector<FinalizedFeature> finalized_features{};
  bool zk_migration_ready = false;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::error_code>(),
                      f<&T::apis>(),
                      f<&T::throttle_time_ms>({.in = since(1)}),
                      f<&T::supported_features>({.in = since(3), .tag = 0}),
                      f<&T::finalized_features_epoch>({.in = since(3), .tag = 1}),
                      f<&T::finalized_features>({.in = since(3), .tag = 2}),
                      f<&T::zk_migration_ready>({.in = since(3), .tag = 3})};
  }
  bool operator==(const ApiVersionsResponse&) const = default;
};

struct DescribeLogDirsRequest {
  static constexpr std::int16_t kKey = 35;
  struct Topic {
    Bytes name{};
    std::vector<std::int32_t> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::partitions>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::optional<std::vector<Topic>> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::topics>({.nullable = kAlways})};
  }
  bool operator==(const DescribeLogDirsRequest&) const = default;
};

struct DescribeLogDirsResponse {
  static constexpr std::int16_t kKey = 35;
  struct Partition {
    std::int32_t index = 0;
    std::int64_t bytes = 0;
    std::int64_t offset_lag = 0;
    bool is_future = false;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::bytes>(), f<&T::offset_lag>(), f<&T::is_future>()};
    }
    bool operator==(const Partition&) const = default;
  };
  struct Topic {
    std::string name{};
    std::vector<Partition> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::partitions>()};
    }
    bool operator==(const Topic&) const = default;
  };
  struct Directory {
    std::int16_t error_code = 0;
    std::string path{};
    std::vector<Topic> topics{};
    std::int64_t total_bytes = -1;
    std::int64_t usable_bytes = -1;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::error_code>(), f<&T::path>(), f<&T::topics>(),
                        f<&T::total_bytes>({.in = since(4)}),
                        f<&T::usable_bytes>({.in = since(4)})};
    }
    bool operator==(const Directory&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::vector<Directory> directories{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::error_code>({.in = since(3)}),
                      f<&T::directories>()};
  }
  bool operator==(const DescribeLogDirsResponse&) const = default;
};

struct DescribeClusterRequest {
  static constexpr std::int16_t kKey = 60;
  bool include_authorized_operations = false;
  std::int8_t endpoint_type = 1;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::include_authorized_operations>(),
                      f<&T::endpoint_type>({.in = since(1)})};
  }
  bool operator==(const DescribeClusterRequest&) const = default;
};

struct DescribeClusterResponse {
  static constexpr std::int16_t kKey = 60;
  struct Broker {
    std::int32_t id = 0;
    std::string host{};
    std::int32_t port = 0;
    std::optional<std::string> rack{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::id>(), f<&T::host>(), f<&T::port>(),
                        f<&T::rack>({.nullable = kAlways})};
    }
    bool operator==(const Broker&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::optional<std::string> error_message{};
  std::int8_t endpoint_type = 1;
  std::string cluster_id{};
  std::int32_t controller_id = -1;
  std::vector<Broker> brokers{};
  std::int32_t authorized_operations = kOperationsUnknown;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(),
                      f<&T::error_code>(),
                      f<&T::error_message>({.nullable = kAlways}),
                      f<&T::endpoint_type>({.in = since(1)}),
                      f<&T::cluster_id>(),
                      f<&T::controller_id>(),
                      f<&T::brokers>(),
                      f<&T::authorized_operations>()};
  }
  bool operator==(const DescribeClusterResponse&) const = default;
};
struct PartitionCursor {
  std::string topic{};
  std::int32_t partition = 0;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::topic>(), f<&T::partition>()};
  }
  bool operator==(const PartitionCursor&) const = default;
};

struct DescribeTopicPartitionsRequest {
  static constexpr std::int16_t kKey = 75;
  struct Topic {
    Bytes name{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::vector<Topic> topics{};
  std::int32_t partitions_max = 2000;
  std::optional<PartitionCursor> cursor{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::topics>(), f<&T::partitions_max>(),
                      f<&T::cursor>({.nullable = kAlways})};
  }
  bool operator==(const DescribeTopicPartitionsRequest&) const = default;
};

struct DescribeTopicPartitionsResponse {
  static constexpr std::int16_t kKey = 75;
  struct Partition {
    std::int16_t error_code = 0;
    std::int32_t index = 0;
    std::int32_t leader_id = 0;
    std::int32_t leader_epoch = -1;
    std::vector<std::int32_t> replicas{};
    std::vector<std::int32_t> in_sync_replicas{};
    std::optional<std::vector<std::int32_t>> eligible_leader_replicas{};
    std::optional<std::vector<std::int32_t>> last_known_eligible_leader_replicas{};
    std::vector<std::int32_t> offline_replicas{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::error_code>(),
                        f<&T::index>(),
                        f<&T::leader_id>(),
                        f<&T::leader_epoch>(),
                        f<&T::replicas>(),
                        f<&T::in_sync_replicas>(),
                        f<&T::eligible_leader_replicas>({.nullable = kAlways}),
                        f<&T::last_known_eligible_leader_replicas>({.nullable = kAlways}),
                        f<&T::offline_replicas>()};
    }
    bool operator==(const Partition&) const = default;
  };
  struct Topic {
    std::int16_t error_code = 0;
    std::optional<std::string> name{};
    Uuid id{};
    bool is_internal = false;
    std::vector<Partition> partitions{};
    std::int32_t authorized_operations = kOperationsUnknown;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::error_code>(), f<&T::name>({.nullable = kAlways}),
                        f<&T::id>(),         f<&T::is_internal>(),
                        f<&T::partitions>(), f<&T::authorized_operations>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics{};
  std::optional<PartitionCursor> next{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::topics>(),
                      f<&T::next>({.nullable = kAlways})};
  }
  bool operator==(const DescribeTopicPartitionsResponse&) const = default;
};

}  // namespace walrus::wire::kafka
