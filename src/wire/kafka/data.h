#pragma once
// Messages that move records, and those about offsets and producers: Produce, Fetch, ListOffsets,
// InitProducerId, OffsetForLeaderEpoch, DeleteRecords.
// Source of the layouts: https://kafka.apache.org/protocol

#include "wire/kafka/codec.h"

namespace walrus::wire::kafka {

struct ProduceRequest {
  static constexpr std::int16_t kKey = 0;
  struct Partition {
    std::int32_t index = 0;
    std::optional<Bytes> records{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), raw<&T::records>({.nullable = kAlways})};
    }
    bool operator==(const Partition&) const = default;
  };
  struct Topic {
    Bytes name{};
    std::vector<Partition> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::partitions>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::optional<Bytes> transactional_id{};
  std::int16_t acks = 0;
  std::int32_t timeout_ms = 0;
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::transactional_id>({.nullable = kAlways}), f<&T::acks>(),
                      f<&T::timeout_ms>(), f<&T::topics>()};
  }
  bool operator==(const ProduceRequest&) const = default;
};
// Where the leader is, told with an error (Produce from 10, Fetch from 12).
struct CurrentLeader {
  std::int32_t leader_id = -1;
  std::int32_t leader_epoch = -1;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::leader_id>(), f<&T::leader_epoch>()};
  }
  bool operator==(const CurrentLeader&) const = default;
};
struct NodeEndpoint {
  std::int32_t node_id = 0;
  std::string host{};
  std::int32_t port = 0;
  std::optional<std::string> rack{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::node_id>(), f<&T::host>(), f<&T::port>(),
                      f<&T::rack>({.nullable = kAlways})};
  }
  bool operator==(const NodeEndpoint&) const = default;
};

struct ProduceResponse {
  static constexpr std::int16_t kKey = 0;
  struct RecordError {
    std::int32_t batch_index = 0;
    std::optional<std::string> text{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::batch_index>(), f<&T::text>({.nullable = kAlways})};
    }
    bool operator==(const RecordError&) const = default;
  };
  struct Partition {
    std::int32_t index = 0;
    std::int16_t error_code = 0;
    std::int64_t base_offset = 0;
    std::int64_t log_append_time_ms = -1;
    std::int64_t log_start_offset = -1;
    std::vector<RecordError> record_errors{};
    std::optional<std::string> error_message{};
    CurrentLeader current_leader{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(),
                        f<&T::error_code>(),
                        f<&T::base_offset>(),
                        f<&T::log_append_time_ms>({.in = since(2)}),
                        f<&T::log_start_offset>({.in = since(5)}),
                        f<&T::record_errors>({.in = since(8)}),
                        f<&T::error_message>({.in = since(8), .nullable = since(8)}),
                        f<&T::current_leader>({.in = since(10), .tag = 0})};
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
  std::vector<Topic> topics{};
  std::int32_t throttle_time_ms = 0;
  std::vector<NodeEndpoint> node_endpoints{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::topics>(), f<&T::throttle_time_ms>({.in = since(1)}),
                      f<&T::node_endpoints>({.in = since(10), .tag = 0})};
  }
  bool operator==(const ProduceResponse&) const = default;
};

struct FetchRequest {
  static constexpr std::int16_t kKey = 1;
  struct ReplicaState {
    std::int32_t replica_id = -1;
    std::int64_t replica_epoch = -1;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::replica_id>(), f<&T::replica_epoch>()};
    }
    bool operator==(const ReplicaState&) const = default;
  };
  struct Partition {
    std::int32_t index = 0;
    std::int32_t current_leader_epoch = -1;
    std::int64_t fetch_offset = 0;
    std::int32_t last_fetched_epoch = -1;
    std::int64_t log_start_offset = -1;
    std::int32_t bytes_max = 0;
    Uuid replica_directory_id{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(),
                        f<&T::current_leader_epoch>({.in = since(9)}),
                        f<&T::fetch_offset>(),
                        f<&T::last_fetched_epoch>({.in = since(12)}),
                        f<&T::log_start_offset>({.in = since(5)}),
                        f<&T::bytes_max>(),
                        f<&T::replica_directory_id>({.in = since(17), .tag = 0})};
    }
    bool operator==(const Partition&) const = default;
  };
  struct Topic {
    Bytes name{};
    Uuid id{};
    std::vector<Partition> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>({.in = up_to(12)}), f<&T::id>({.in = since(13)}),
                        f<&T::partitions>()};
    }
    bool operator==(const Topic&) const = default;
  };
  struct ForgottenTopic {
    Bytes name{};
    Uuid id{};
    std::vector<std::int32_t> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>({.in = only(7, 12)}), f<&T::id>({.in = since(13)}),
                        f<&T::partitions>()};
    }
    bool operator==(const ForgottenTopic&) const = default;
  };
  std::optional<Bytes> cluster_id{};
  std::int32_t replica_id = -1;
  ReplicaState replica_state{};
  std::int32_t wait_max_ms = 0;
  std::int32_t bytes_min = 0;
  std::int32_t bytes_max = 0x7fffffff;
  std::int8_t isolation_level = 0;
  std::int32_t session_id = 0;
  std::int32_t session_epoch = -1;
  std::vector<Topic> topics{};
  std::vector<ForgottenTopic> forgotten_topics{};
  Bytes rack_id{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::cluster_id>({.in = since(12), .nullable = since(12), .tag = 0}),
                      f<&T::replica_id>({.in = up_to(14)}),
                      f<&T::replica_state>({.in = since(15), .tag = 1}),
                      f<&T::wait_max_ms>(),
                      f<&T::bytes_min>(),
                      f<&T::bytes_max>({.in = since(3)}),
                      f<&T::isolation_level>({.in = since(4)}),
                      f<&T::session_id>({.in = since(7)}),
                      f<&T::session_epoch>({.in = since(7)}),
                      f<&T::topics>(),
                      f<&T::forgotten_topics>({.in = since(7)}),
                      f<&T::rack_id>({.in = since(11)})};
  }
  bool operator==(const FetchRequest&) const = default;
};

struct FetchResponse {
  static constexpr std::int16_t kKey = 1;
  struct DivergingEpoch {
    std::int32_t epoch = -1;
    std::int64_t end_offset = -1;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::epoch>(), f<&T::end_offset>()};
    }
    bool operator==(const DivergingEpoch&) const = default;
  };
  struct SnapshotId {
    std::int64_t end_offset = -1;
    std::int32_t epoch = -1;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::end_offset>(), f<&T::epoch>()};
    }
    bool operator==(const SnapshotId&) const = default;
  };
  struct AbortedTransaction {
    std::int64_t producer_id = 0;
    std::int64_t first_offset = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::producer_id>(), f<&T::first_offset>()};
    }
    bool operator==(const AbortedTransaction&) const = default;
  };
  struct Partition {
    std::int32_t index = 0;
    std::int16_t error_code = 0;
    std::int64_t high_watermark = 0;
    std::int64_t last_stable_offset = -1;
    std::int64_t log_start_offset = -1;
    DivergingEpoch diverging_epoch{};
    CurrentLeader current_leader{};
    SnapshotId snapshot_id{};
    std::optional<std::vector<AbortedTransaction>> aborted_transactions{};
    std::int32_t preferred_read_replica = -1;
    std::optional<Bytes> records{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(),
                        f<&T::error_code>(),
                        f<&T::high_watermark>(),
                        f<&T::last_stable_offset>({.in = since(4)}),
                        f<&T::log_start_offset>({.in = since(5)}),
                        f<&T::diverging_epoch>({.in = since(12), .tag = 0}),
                        f<&T::current_leader>({.in = since(12), .tag = 1}),
                        f<&T::snapshot_id>({.in = since(12), .tag = 2}),
                        f<&T::aborted_transactions>({.in = since(4), .nullable = since(4)}),
                        f<&T::preferred_read_replica>({.in = since(11)}),
                        raw<&T::records>({.nullable = kAlways})};
    }
    bool operator==(const Partition&) const = default;
  };
  struct Topic {
    std::string name{};
    Uuid id{};
    std::vector<Partition> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>({.in = up_to(12)}), f<&T::id>({.in = since(13)}),
                        f<&T::partitions>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::int32_t session_id = 0;
  std::vector<Topic> topics{};
  std::vector<NodeEndpoint> node_endpoints{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(1)}),
                      f<&T::error_code>({.in = since(7)}), f<&T::session_id>({.in = since(7)}),
                      f<&T::topics>(), f<&T::node_endpoints>({.in = since(16), .tag = 0})};
  }
  bool operator==(const FetchResponse&) const = default;
};

struct ListOffsetsRequest {
  static constexpr std::int16_t kKey = 2;
  struct Partition {
    std::int32_t index = 0;
    std::int32_t current_leader_epoch = -1;
    std::int64_t timestamp = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::current_leader_epoch>({.in = since(4)}),
                        f<&T::timestamp>()};
    }
    bool operator==(const Partition&) const = default;
  };
  struct Topic {
    Bytes name{};
    std::vector<Partition> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::partitions>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::int32_t replica_id = 0;
  std::int8_t isolation_level = 0;
  std::vector<Topic> topics{};
  std::int32_t timeout_ms = 0;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::replica_id>(), f<&T::isolation_level>({.in = since(2)}),
                      f<&T::topics>(), f<&T::timeout_ms>({.in = since(10)})};
  }
  bool operator==(const ListOffsetsRequest&) const = default;
};

struct ListOffsetsResponse {
  static constexpr std::int16_t kKey = 2;
  struct Partition {
    std::int32_t index = 0;
    std::int16_t error_code = 0;
    std::int64_t timestamp = -1;
    std::int64_t offset = -1;
    std::int32_t leader_epoch = -1;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::error_code>(), f<&T::timestamp>({.in = since(1)}),
                        f<&T::offset>({.in = since(1)}), f<&T::leader_epoch>({.in = since(4)})};
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
  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(2)}), f<&T::topics>()};
  }
  bool operator==(const ListOffsetsResponse&) const = default;
};

struct DeleteRecordsRequest {
  static constexpr std::int16_t kKey = 21;
  struct Partition {
    std::int32_t index = 0;
    std::int64_t offset = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::offset>()};
    }
    bool operator==(const Partition&) const = default;
  };
  struct Topic {
    Bytes name{};
    std::vector<Partition> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::partitions>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::vector<Topic> topics{};
  std::int32_t timeout_ms = 0;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::topics>(), f<&T::timeout_ms>()};
  }
  bool operator==(const DeleteRecordsRequest&) const = default;
};

struct DeleteRecordsResponse {
  static constexpr std::int16_t kKey = 21;
  struct Partition {
    std::int32_t index = 0;
    std::int64_t low_watermark = 0;
    std::int16_t error_code = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::low_watermark>(), f<&T::error_code>()};
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
  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::topics>()};
  }
  bool operator==(const DeleteRecordsResponse&) const = default;
};

struct InitProducerIdRequest {
  static constexpr std::int16_t kKey = 22;
  std::optional<Bytes> transactional_id{};
  std::int32_t transaction_timeout_ms = 0;
  std::int64_t producer_id = -1;
  std::int16_t producer_epoch = -1;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::transactional_id>({.nullable = kAlways}),
                      f<&T::transaction_timeout_ms>(), f<&T::producer_id>({.in = since(3)}),
                      f<&T::producer_epoch>({.in = since(3)})};
  }
  bool operator==(const InitProducerIdRequest&) const = default;
};

struct InitProducerIdResponse {
  static constexpr std::int16_t kKey = 22;
  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::int64_t producer_id = -1;
  std::int16_t producer_epoch = 0;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::error_code>(), f<&T::producer_id>(),
                      f<&T::producer_epoch>()};
  }
  bool operator==(const InitProducerIdResponse&) const = default;
};

struct OffsetForLeaderEpochRequest {
  static constexpr std::int16_t kKey = 23;
  struct Partition {
    std::int32_t index = 0;
    std::int32_t current_leader_epoch = -1;
    std::int32_t leader_epoch = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::current_leader_epoch>({.in = since(2)}),
                        f<&T::leader_epoch>()};
    }
    bool operator==(const Partition&) const = default;
  };
  struct Topic {
    Bytes name{};
    std::vector<Partition> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::partitions>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::int32_t replica_id = -2;
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::replica_id>({.in = since(3)}), f<&T::topics>()};
  }
  bool operator==(const OffsetForLeaderEpochRequest&) const = default;
};

struct OffsetForLeaderEpochResponse {
  static constexpr std::int16_t kKey = 23;
  struct Partition {
    std::int16_t error_code = 0;
    std::int32_t index = 0;
    std::int32_t leader_epoch = -1;
    std::int64_t end_offset = -1;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::error_code>(), f<&T::index>(), f<&T::leader_epoch>({.in = since(1)}),
                        f<&T::end_offset>()};
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
  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(2)}), f<&T::topics>()};
  }
  bool operator==(const OffsetForLeaderEpochResponse&) const = default;
};

}  // namespace walrus::wire::kafka
