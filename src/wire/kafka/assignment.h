#pragma once
// What members of the protocol type "consumer" are assigned: bytes that clients agree upon among
// themselves, and that a broker only carries (ConsumerProtocolAssignment.json). Read here to show
// people who reads what; nothing is decided by it.

#include "wire/kafka/codec.h"

namespace walrus::wire::kafka {

struct ConsumerAssignment {
  struct Topic {
    Bytes name{};
    std::vector<std::int32_t> partitions{};
    template <class T>
    static constexpr auto fields() {
      return std::array{f<&T::name>(), f<&T::partitions>()};
    }
    bool operator==(const Topic&) const = default;
  };
  std::int16_t version = 0;
  std::vector<Topic> topics{};  // what follows them belongs to the assignor
  template <class T>
  static constexpr auto fields() {
    return std::array{f<&T::version>(), f<&T::topics>()};
  }
  bool operator==(const ConsumerAssignment&) const = default;
};

Result<ConsumerAssignment> decode_assignment(Bytes);  // kCorrupt. Views into the bytes

}  // namespace walrus::wire::kafka
