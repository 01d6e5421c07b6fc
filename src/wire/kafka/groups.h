#pragma once
// Messages of consumer groups: OffsetCommit, OffsetFetch, FindCoordinator, JoinGroup, Heartbeat,
// LeaveGroup, SyncGroup, DescribeGroups, ListGroups, DeleteGroups, OffsetDelete.
// Source of the layouts: https://kafka.apache.org/protocol

#include "wire/kafka/codec.h"

namespace walrus::wire::kafka {

struct OffsetCommitRequest {
  static constexpr std::int16_t kKey = 8;
  struct Partition {
    std::int32_t index = 0;
    std::int64_t offset = 0;
    std::int32_t leader_epoch = -1;
    std::optional<Bytes> metadata{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::offset>(), f<&T::leader_epoch>({.in = since(6)}),
                        f<&T::metadata>({.nullable = kAlways})};
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
  Bytes group_id{};
  std::int32_t generation_id = -1;
  Bytes member_id{};
  std::optional<Bytes> group_instance_id{};
  std::int64_t retention_time_ms = -1;
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::group_id>(),
                      f<&T::generation_id>({.in = since(1)}),
                      f<&T::member_id>({.in = since(1)}),
                      f<&T::group_instance_id>({.in = since(7), .nullable = since(7)}),
                      f<&T::retention_time_ms>({.in = only(2, 4)}),
                      f<&T::topics>()};
  }
  bool operator==(const OffsetCommitRequest&) const = default;
};

struct OffsetCommitResponse {
  static constexpr std::int16_t kKey = 8;
  struct Partition {
    std::int32_t index = 0;
    std::int16_t error_code = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::error_code>()};
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
    return std::array{f<&T::throttle_time_ms>({.in = since(3)}), f<&T::topics>()};
  }
  bool operator==(const OffsetCommitResponse&) const = default;
};

struct OffsetFetchRequest {
  static constexpr std::int16_t kKey = 9;
  struct Topic {
    Bytes name{};
    std::vector<std::int32_t> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::partitions>()};
    }
    bool operator==(const Topic&) const = default;
  };
  struct Group {
    Bytes group_id{};
    std::optional<Bytes> member_id{};
    std::int32_t member_epoch = -1;
    std::optional<std::vector<Topic>> topics{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::group_id>(), f<&T::member_id>({.in = since(9), .nullable = since(9)}),
                        f<&T::member_epoch>({.in = since(9)}),
                        f<&T::topics>({.nullable = kAlways})};
    }
    bool operator==(const Group&) const = default;
  };
  Bytes group_id{};
  std::optional<std::vector<Topic>> topics{};
  std::vector<Group> groups{};
  bool require_stable = false;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::group_id>({.in = up_to(7)}),
                      f<&T::topics>({.in = up_to(7), .nullable = only(2, 7)}),
                      f<&T::groups>({.in = since(8)}), f<&T::require_stable>({.in = since(7)})};
  }
  bool operator==(const OffsetFetchRequest&) const = default;
};

struct OffsetFetchResponse {
  static constexpr std::int16_t kKey = 9;
  struct Partition {
    std::int32_t index = 0;
    std::int64_t offset = 0;
    std::int32_t leader_epoch = -1;
    std::optional<std::string> metadata{};
    std::int16_t error_code = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::offset>(), f<&T::leader_epoch>({.in = since(5)}),
                        f<&T::metadata>({.nullable = kAlways}), f<&T::error_code>()};
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
  struct Group {
    std::string group_id{};
    std::vector<Topic> topics{};
    std::int16_t error_code = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::group_id>(), f<&T::topics>(), f<&T::error_code>()};
    }
    bool operator==(const Group&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics{};
  std::int16_t error_code = 0;
  std::vector<Group> groups{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(3)}), f<&T::topics>({.in = up_to(7)}),
                      f<&T::error_code>({.in = only(2, 7)}), f<&T::groups>({.in = since(8)})};
  }
  bool operator==(const OffsetFetchResponse&) const = default;
};

struct FindCoordinatorRequest {
  static constexpr std::int16_t kKey = 10;
  Bytes key{};
  std::int8_t key_type = 0;
  std::vector<Bytes> keys{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::key>({.in = up_to(3)}), f<&T::key_type>({.in = since(1)}),
                      f<&T::keys>({.in = since(4)})};
  }
  bool operator==(const FindCoordinatorRequest&) const = default;
};

struct FindCoordinatorResponse {
  static constexpr std::int16_t kKey = 10;
  struct Coordinator {
    std::string key{};
    std::int32_t node_id = 0;
    std::string host{};
    std::int32_t port = 0;
    std::int16_t error_code = 0;
    std::optional<std::string> error_message{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::key>(),        f<&T::node_id>(),
                        f<&T::host>(),       f<&T::port>(),
                        f<&T::error_code>(), f<&T::error_message>({.nullable = kAlways})};
    }
    bool operator==(const Coordinator&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::optional<std::string> error_message{};
  std::int32_t node_id = 0;
  std::string host{};
  std::int32_t port = 0;
  std::vector<Coordinator> coordinators{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(1)}),
                      f<&T::error_code>({.in = up_to(3)}),
                      f<&T::error_message>({.in = only(1, 3), .nullable = only(1, 3)}),
                      f<&T::node_id>({.in = up_to(3)}),
                      f<&T::host>({.in = up_to(3)}),
                      f<&T::port>({.in = up_to(3)}),
                      f<&T::coordinators>({.in = since(4)})};
  }
  bool operator==(const FindCoordinatorResponse&) const = default;
};

struct JoinGroupRequest {
  static constexpr std::int16_t kKey = 11;
  struct Protocol {
    Bytes name{};
    Bytes metadata{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), raw<&T::metadata>()};
    }
    bool operator==(const Protocol&) const = default;
  };
  Bytes group_id{};
  std::int32_t session_timeout_ms = 0;
  std::int32_t rebalance_timeout_ms = -1;
  Bytes member_id{};
  std::optional<Bytes> group_instance_id{};
  Bytes protocol_type{};
  std::vector<Protocol> protocols{};
  std::optional<Bytes> reason{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::group_id>(),
                      f<&T::session_timeout_ms>(),
                      f<&T::rebalance_timeout_ms>({.in = since(1)}),
                      f<&T::member_id>(),
                      f<&T::group_instance_id>({.in = since(5), .nullable = since(5)}),
                      f<&T::protocol_type>(),
                      f<&T::protocols>(),
                      f<&T::reason>({.in = since(8), .nullable = since(8)})};
  }
  bool operator==(const JoinGroupRequest&) const = default;
};

struct JoinGroupResponse {
  static constexpr std::int16_t kKey = 11;
  struct Member {
    std::string member_id{};
    std::optional<std::string> group_instance_id{};
    std::string metadata{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::member_id>(),
                        f<&T::group_instance_id>({.in = since(5), .nullable = since(5)}),
                        raw<&T::metadata>()};
    }
    bool operator==(const Member&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::int32_t generation_id = -1;
  std::optional<std::string> protocol_type{};
  std::optional<std::string> protocol_name{};
  std::string leader{};
  bool skip_assignment = false;
  std::string member_id{};
  std::vector<Member> members{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(2)}),
                      f<&T::error_code>(),
                      f<&T::generation_id>(),
                      f<&T::protocol_type>({.in = since(7), .nullable = since(7)}),
                      f<&T::protocol_name>({.nullable = since(7)}),
                      f<&T::leader>(),
                      f<&T::skip_assignment>({.in = since(9)}),
                      f<&T::member_id>(),
                      f<&T::members>()};
  }
  bool operator==(const JoinGroupResponse&) const = default;
};

struct HeartbeatRequest {
  static constexpr std::int16_t kKey = 12;
  Bytes group_id{};
  std::int32_t generation_id = 0;
  Bytes member_id{};
  std::optional<Bytes> group_instance_id{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::group_id>(), f<&T::generation_id>(), f<&T::member_id>(),
                      f<&T::group_instance_id>({.in = since(3), .nullable = since(3)})};
  }
  bool operator==(const HeartbeatRequest&) const = default;
};

struct HeartbeatResponse {
  static constexpr std::int16_t kKey = 12;
  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(1)}), f<&T::error_code>()};
  }
  bool operator==(const HeartbeatResponse&) const = default;
};

struct LeaveGroupRequest {
  static constexpr std::int16_t kKey = 13;
  struct Member {
    Bytes member_id{};
    std::optional<Bytes> group_instance_id{};
    std::optional<Bytes> reason{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::member_id>(), f<&T::group_instance_id>({.nullable = kAlways}),
                        f<&T::reason>({.in = since(5), .nullable = since(5)})};
    }
    bool operator==(const Member&) const = default;
  };
  Bytes group_id{};
  Bytes member_id{};
  std::vector<Member> members{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::group_id>(), f<&T::member_id>({.in = up_to(2)}),
                      f<&T::members>({.in = since(3)})};
  }
  bool operator==(const LeaveGroupRequest&) const = default;
};

struct LeaveGroupResponse {
  static constexpr std::int16_t kKey = 13;
  struct Member {
    std::string member_id{};
    std::optional<std::string> group_instance_id{};
    std::int16_t error_code = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::member_id>(), f<&T::group_instance_id>({.nullable = kAlways}),
                        f<&T::error_code>()};
    }
    bool operator==(const Member&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::vector<Member> members{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(1)}), f<&T::error_code>(),
                      f<&T::members>({.in = since(3)})};
  }
  bool operator==(const LeaveGroupResponse&) const = default;
};

struct SyncGroupRequest {
  static constexpr std::int16_t kKey = 14;
  struct Assignment {
    Bytes member_id{};
    Bytes assignment{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::member_id>(), raw<&T::assignment>()};
    }
    bool operator==(const Assignment&) const = default;
  };
  Bytes group_id{};
  std::int32_t generation_id = 0;
  Bytes member_id{};
  std::optional<Bytes> group_instance_id{};
  std::optional<Bytes> protocol_type{};
  std::optional<Bytes> protocol_name{};
  std::vector<Assignment> assignments{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::group_id>(),
                      f<&T::generation_id>(),
                      f<&T::member_id>(),
                      f<&T::group_instance_id>({.in = since(3), .nullable = since(3)}),
                      f<&T::protocol_type>({.in = since(5), .nullable = since(5)}),
                      f<&T::protocol_name>({.in = since(5), .nullable = since(5)}),
                      f<&T::assignments>()};
  }
  bool operator==(const SyncGroupRequest&) const = default;
};

struct SyncGroupResponse {
  static constexpr std::int16_t kKey = 14;
  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::optional<std::string> protocol_type{};
  std::optional<std::string> protocol_name{};
  std::string assignment{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(1)}), f<&T::error_code>(),
                      f<&T::protocol_type>({.in = since(5), .nullable = since(5)}),
                      f<&T::protocol_name>({.in = since(5), .nullable = since(5)}),
                      raw<&T::assignment>()};
  }
  bool operator==(const SyncGroupResponse&) const = default;
};

struct DescribeGroupsRequest {
  static constexpr std::int16_t kKey = 15;
  std::vector<Bytes> groups{};
  bool include_authorized_operations = false;
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::groups>(), f<&T::include_authorized_operations>({.in = since(3)})};
  }
  bool operator==(const DescribeGroupsRequest&) const = default;
};

struct DescribeGroupsResponse {
  static constexpr std::int16_t kKey = 15;
  struct Member {
    std::string member_id{};
    std::optional<std::string> group_instance_id{};
    std::string client_id{};
    std::string client_host{};
    std::string metadata{};
    std::string assignment{};
    template <class T>
    static constexpr auto fields() {
      return std::array{
          f<&T::member_id>(),  f<&T::group_instance_id>({.in = since(4), .nullable = since(4)}),
          f<&T::client_id>(),  f<&T::client_host>(),
          raw<&T::metadata>(), raw<&T::assignment>()};
    }
    bool operator==(const Member&) const = default;
  };
  struct Group {
    std::int16_t error_code = 0;
    std::optional<std::string> error_message{};
    std::string group_id{};
    std::string state{};
    std::string protocol_type{};
    std::string protocol{};
    std::vector<Member> members{};
    std::int32_t authorized_operations = kOperationsUnknown;
    template <class T>
    static constexpr auto fields() {
      return std::array{
          f<&T::error_code>(),    f<&T::error_message>({.in = since(6), .nullable = since(6)}),
          f<&T::group_id>(),      f<&T::state>(),
          f<&T::protocol_type>(), f<&T::protocol>(),
          f<&T::members>(),       f<&T::authorized_operations>({.in = since(3)})};
    }
    bool operator==(const Group&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::vector<Group> groups{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(1)}), f<&T::groups>()};
  }
  bool operator==(const DescribeGroupsResponse&) const = default;
};

struct ListGroupsRequest {
  static constexpr std::int16_t kKey = 16;
  std::vector<Bytes> states{};
  std::vector<Bytes> types{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::states>({.in = since(4)}), f<&T::types>({.in = since(5)})};
  }
  bool operator==(const ListGroupsRequest&) const = default;
};

struct ListGroupsResponse {
  static constexpr std::int16_t kKey = 16;
  struct Group {
    std::string group_id{};
    std::string protocol_type{};
    std::string state{};
    std::string type{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::group_id>(), f<&T::protocol_type>(), f<&T::state>({.in = since(4)}),
                        f<&T::type>({.in = since(5)})};
    }
    bool operator==(const Group&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::int16_t error_code = 0;
  std::vector<Group> groups{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>({.in = since(1)}), f<&T::error_code>(),
                      f<&T::groups>()};
  }
  bool operator==(const ListGroupsResponse&) const = default;
};

struct DeleteGroupsRequest {
  static constexpr std::int16_t kKey = 42;
  std::vector<Bytes> groups{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::groups>()};
  }
  bool operator==(const DeleteGroupsRequest&) const = default;
};

struct DeleteGroupsResponse {
  static constexpr std::int16_t kKey = 42;
  struct Group {
    std::string group_id{};
    std::int16_t error_code = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::group_id>(), f<&T::error_code>()};
    }
    bool operator==(const Group&) const = default;
  };
  std::int32_t throttle_time_ms = 0;
  std::vector<Group> groups{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::throttle_time_ms>(), f<&T::groups>()};
  }
  bool operator==(const DeleteGroupsResponse&) const = default;
};

struct OffsetDeleteRequest {
  static constexpr std::int16_t kKey = 47;
  struct Partition {
    std::int32_t index = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>()};
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
  Bytes group_id{};
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::group_id>(), f<&T::topics>()};
  }
  bool operator==(const OffsetDeleteRequest&) const = default;
};

struct OffsetDeleteResponse {
  static constexpr std::int16_t kKey = 47;
  struct Partition {
    std::int32_t index = 0;
    std::int16_t error_code = 0;
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::index>(), f<&T::error_code>()};
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
  std::int16_t error_code = 0;
  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics{};
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::error_code>(), f<&T::throttle_time_ms>(), f<&T::topics>()};
  }
  bool operator==(const OffsetDeleteResponse&) const = default;
};

}  // namespace walrus::wire::kafka
