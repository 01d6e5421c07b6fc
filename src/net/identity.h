#pragma once
// Who speaks on a connection between nodes.

#include <compare>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace walrus::net {

// Drawn at random when a cluster is founded; kept by every node of it.
struct ClusterId {
  std::uint64_t high = 0, low = 0;
  auto operator<=>(const ClusterId&) const = default;
};
std::string to_string(const ClusterId&);  // 32 hexadecimal digits

struct NodeId {
  std::uint64_t value = 0;
  auto operator<=>(const NodeId&) const = default;
};

// Which life of a node: higher each time that its process starts. Who issues it keeps it on disk.
struct Incarnation {
  std::uint64_t value = 0;
  auto operator<=>(const Incarnation&) const = default;
};

struct Identity {
  ClusterId cluster{};
  NodeId node{};
  Incarnation incarnation{};
};

}  // namespace walrus::net
