#pragma once
// GroupId names a Raft group among all of a cluster; never given to another one.

#include <compare>
#include <cstdint>

namespace walrus::raft {

struct GroupId {
  std::uint64_t value = 0;
  auto operator<=>(const GroupId&) const = default;
};

}  // namespace walrus::raft
