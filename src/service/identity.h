#pragma once
// Identity: which member of which group a data directory belongs to, and how often it was started.
// Kept as the attributes of the engine's stream `__service`.
//
//   version u8 = 1 | cluster u64, u64 little endian | node uvarint | incarnation uvarint | name
//   string

#include <optional>
#include <string>

#include "log/engine.h"
#include "net/identity.h"
#include "walrus/service.h"

namespace walrus::service {

struct Identity {
  net::ClusterId cluster{};
  NodeId node{};
  std::uint64_t incarnation = 0;  // of the present start; rises
  std::string name{};             // of the group
  bool fresh = false;             // not stored: this is the directory's first start
  bool operator==(const Identity&) const = default;
};

// The same on every founder: drawn from the name and the founders, so that nodes that were told of
// different ones do not meet.
net::ClusterId cluster_of(Bytes name, std::vector<Peer> founders);

std::string encode_identity(const Identity&);
Result<Identity> parse_identity(Bytes);  // kCorrupt, kVersion

// What the directory says; none: it is new.
Result<std::optional<Identity>> load_identity(log::Engine&);
Result<void> store_identity(log::Engine&, const Identity&);  // durable on return

}  // namespace walrus::service
