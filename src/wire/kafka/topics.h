#pragma once
// Messages that make and change topics: CreateTopics, DeleteTopics, CreatePartitions, ElectLeaders,
// AlterPartitionReassignments, ListPartitionReassignments.
// Source of the layouts: https://kafka.apache.org/protocol

#include "wire/kafka/codec.h"

namespace walrus::wire::kafka {

struct CreateTopicsRequest {
  static constexpr std::int16_t kKey = 19;
  struct Assignment {
    std::int32_t partition = 0;
    std::vector<std::int32_t> broker_ids{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::partition>(), f<&T::broker_ids>()};
    }
    bool operator==(const Assignment&) const = default;
  };
  struct Config {
    Bytes name{};
    std::optional<Bytes> value{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::value>({.nullable = kAlways})};
    }
    bool operator==(const Config&) const = default;
  };
  struct Topic {
    Bytes name{};
    std::int32_t partitions = 0;
    std::int16_t replication_factor = 0;
    std::vector<Assignment> assignments{};
    std::vector<Config> configs{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::partitions>(), f<&T::replication_factor>(),
                        f<&T::assignments>(), f<&T::configs>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::vector<Topic> topics{};
  std::int32_t timeout_ms = 60'000;
  bool validate_only = false;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::topics>(), f<&T::timeout_ms>(), f<&T::validate_only>({.in = since(1)})};
  }
  bool operator==(const CreateTopicsRequest&) const = default;
};

struct CreateTopicsResponse {
  static constexpr std::int16_t kKey = 19;
  struct Config {
    std::string name{};
    std::optional<std::string> value{};
    bool read_only = false;
    std::int8_t source = -1;
    bool is_sensitive = false;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::value>({.nullable = kAlways}), f<&T::read_only>(),
                        f<&T::source>(), f<&T::is_sensitive>()};
    }
    bool operator==(const Config&) const = default;
  };
  struct Topic {
    std::string name{};
    Uuid id{};
    std::int16_t error_code = 0;
    std::optional<std::string> error_message{};
    std::int16_t config_error_code = 0;
    std::int32_t partitions = -1;
    std::int16_t replication_factor = -1;
    std::optional<std::vector<Config>> configs{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(),
                        f<&T::id>({.in = since(7)}),
                        f<&T::error_code>(),
                        f<&T::error_message>({.in = since(1), .nullable = since(1)}),
                        f<&T::config_error_code>({.in = since(5), .tag = 0}),
                        f<&T::partitions>({.in = since(5)}),
                        f<&T::replication_factor>({.in = since(5)}),
                        f<&T::configs>({.in = since(5), .nullable = since(5)})};
    }
    bool operator==(const Topic&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(2)}), f<&T::topics>()};
  }
  bool operator==(const CreateTopicsResponse&) const = default;
};

struct DeleteTopicsRequest {
  static constexpr std::int16_t kKey = 20;
  struct Topic {
    std::optional<Bytes> name{};
    Uuid id{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>({.nullable = kAlways}), f<&T::id>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::vector<Topic> topics{};
  std::vector<Bytes> names{};
  std::int32_t timeout_ms = 0;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::topics>({.in = since(6)}), f<&T::names>({.in = up_to(5)}),
                      f<&T::timeout_ms>()};
  }
  bool operator==(const DeleteTopicsRequest&) const = default;
};

struct DeleteTopicsResponse {
  static constexpr std::int16_t kKey = 20;
  struct Topic {
    std::optional<std::string> name{};
    Uuid id{};
    std::int16_t error_code = 0;
    std::optional<std::string> error_message{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>({.nullable = since(6)}), f<&T::id>({.in = since(6)}),
                        f<&T::error_code>(),
                        f<&T::error_message>({.in = since(5), .nullable = since(5)})};
    }
    bool operator==(const Topic&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(1)}), f<&T::topics>()};
  }
  bool operator==(const DeleteTopicsResponse&) const = default;
};

struct CreatePartitionsRequest {
  static constexpr std::int16_t kKey = 37;
  struct Assignment {
    std::vector<std::int32_t> broker_ids{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::broker_ids>()};
    }
    bool operator==(const Assignment&) const = default;
  };
  struct Topic {
    Bytes name{};
    std::int32_t count = 0;
    std::optional<std::vector<Assignment>> assignments{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::count>(), f<&T::assignments>({.nullable = kAlways})};
    }
    bool operator==(const Topic&) const = default;
  };
  std::vector<Topic> topics{};
  std::int32_t timeout_ms = 0;
  bool validate_only = false;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::topics>(), f<&T::timeout_ms>(), f<&T::validate_only>()};
  }
  bool operator==(const CreatePartitionsRequest&) const = default;
};

struct CreatePartitionsResponse {
  static constexpr std::int16_t kKey = 37;
  struct Topic {
    std::string name{};
    std::int16_t error_code = 0;
    std::optional<std::string> error_message{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::error_code>(),
                        f<&T::error_message>({.nullable = kAlways})};
    }
    bool operator==(const Topic&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::topics>()};
  }
  bool operator==(const CreatePartitionsResponse&) const = default;
};

struct ElectLeadersRequest {
  static constexpr std::int16_t kKey = 43;
  struct Topic {
    Bytes name{};
    std::vector<std::int32_t> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::partitions>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::int8_t election_type = 0;
  std::optional<std::vector<Topic>> topics{};
  std::int32_t timeout_ms = 60'000;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::election_type>({.in = since(1)}), f<&T::topics>({.nullable = kAlways}),
                      f<&T::timeout_ms>()};
  }
  bool operator==(const ElectLeadersRequest&) const = default;
};

struct ElectLeadersResponse {
  static constexpr std::int16_t kKey = 43;
  struct Partition {
    std::int32_t index = 0;
    std::int16_t error_code = 0;
    std::optional<std::string> error_message{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::error_code>(),
                        f<&T::error_message>({.nullable = kAlways})};
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
  std::int16_t error_code = 0;
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::error_code>({.in = since(1)}),
                      f<&T::topics>()};
  }
  bool operator==(const ElectLeadersResponse&) const = default;
};

struct AlterPartitionReassignmentsRequest {
  static constexpr std::int16_t kKey = 45;
  struct Partition {
    std::int32_t index = 0;
    std::optional<std::vector<std::int32_t>> replicas{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::replicas>({.nullable = kAlways})};
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
  std::int32_t timeout_ms = 60'000;
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::timeout_ms>(), f<&T::topics>()};
  }
  bool operator==(const AlterPartitionReassignmentsRequest&) const = default;
};

struct AlterPartitionReassignmentsResponse {
  static constexpr std::int16_t kKey = 45;
  struct Partition {
    std::int32_t index = 0;
    std::int16_t error_code = 0;
    std::optional<std::string> error_message{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::error_code>(),
                        f<&T::error_message>({.nullable = kAlways})};
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
  std::int16_t error_code = 0;
  std::optional<std::string> error_message{};
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::error_code>(),
                      f<&T::error_message>({.nullable = kAlways}), f<&T::topics>()};
  }
  bool operator==(const AlterPartitionReassignmentsResponse&) const = default;
};

struct ListPartitionReassignmentsRequest {
  static constexpr std::int16_t kKey = 46;
  struct Topic {
    Bytes name{};
    std::vector<std::int32_t> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::partitions>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::int32_t timeout_ms = 60'000;
  std::optional<std::vector<Topic>> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::timeout_ms>(), f<&T::topics>({.nullable = kAlways})};
  }
  bool operator==(const ListPartitionReassignmentsRequest&) const = default;
};

struct ListPartitionReassignmentsResponse {
  static constexpr std::int16_t kKey = 46;
  struct Partition {
    std::int32_t index = 0;
    std::vector<std::int32_t> replicas{};
    std::vector<std::int32_t> adding_replicas{};
    std::vector<std::int32_t> removing_replicas{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::replicas>(), f<&T::adding_replicas>(),
                        f<&T::removing_replicas>()};
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
  std::int16_t error_code = 0;
  std::optional<std::string> error_message{};
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::error_code>(),
                      f<&T::error_message>({.nullable = kAlways}), f<&T::topics>()};
  }
  bool operator==(const ListPartitionReassignmentsResponse&) const = default;
};

}  // namespace walrus::wire::kafka
