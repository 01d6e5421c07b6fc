#pragma once
// Who speaks on a connection between nodes.

#include <compare>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "walrus/node_id.h"

namespace walrus::net {

// Drawn at random when a cluster is founded; kept by every node of it.
struct ClusterId {
  std::uint64_t high = 0, low = 0;
  auto operator<=>(const ClusterId&) const = default;
};
std::string to_string(const ClusterId&);  // 32 hexadecimal digits

using walrus::NodeId;

// An id with this bit is of a guest: it names a process for as long as it runs, and no node. Drawn
// at random, and never proved by a certificate.
constexpr std::uint64_t kGuestBit = std::uint64_t{1} << 63;
constexpr bool is_guest(NodeId id) { return (id.value & kGuestBit) != 0; }

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
