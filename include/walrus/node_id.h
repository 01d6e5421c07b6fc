#pragma once
// walrus/node_id.h: NodeId names a node of a cluster or of a replicated service, for good: an id is
// never given to another node. 0 is nobody.

#include <compare>
#include <cstdint>

namespace walrus {

struct NodeId {
  std::uint64_t value = 0;
  auto operator<=>(const NodeId&) const = default;
};

}  // namespace walrus
