#pragma once
// Identity: which node of which cluster a data directory belongs to, and which lives of it it has
// claimed. Kept in the engine's stream `__cluster`, as its attributes.
//
//   version u8 = 1 | begins u8 | cluster 16 bytes | node uvarint | directory 16 bytes
//   | confirmed uvarint | floor uvarint | count uvarint | claimed uvarint * count
//
// A life begins with claim(): its incarnation is durable before anybody hears of it. What was
// claimed and not confirmed goes along with every registration, so that metadata can tell this
// directory from an old copy of it (see RegisterNode).
//
// For the start of a process: the functions block for one sync.

#include <optional>
#include <string>
#include <vector>

#include "base/uuid.h"
#include "log/engine.h"
#include "meta/state.h"
#include "net/identity.h"
#include "net/transport.h"

namespace walrus::meta {

constexpr std::size_t kClaimsMax = 1'000;  // of which none was confirmed; then the oldest go

// How the node's part in the metadata group begins. Over when a life is confirmed.
enum class Begins : std::uint8_t {
  kNot = 0,     // goes on, or joins: as what is stored of the group says
  kFounds = 1,  // its metadata group is not known to be on the disk yet
  kAlone = 2,   // it was recovered here (meta/recovery.h), and goes on with this node
  kAnew = 3,    // it was recovered on another node: what is stored of it here is to be discarded
};

struct Identity {
  Uuid cluster{};
  NodeId node{};
  Uuid directory{};  // drawn when the directory got its identity
  Begins begins = Begins::kNot;
  std::uint64_t confirmed = 0;           // that metadata last confirmed to this directory; 0: none
  std::uint64_t floor = 0;               // metadata knows a life that high; claim above it
  std::vector<std::uint64_t> claimed{};  // since confirmed, rising; the last is the present life
  std::uint64_t incarnation() const { return claimed.empty() ? confirmed : claimed.back(); }
  // As the connections of the node say it.
  net::Identity peer() const;
  bool operator==(const Identity&) const = default;
};
net::ClusterId cluster_id_of(const Uuid&);
Uuid uuid_of_cluster(const net::ClusterId&);

// Each time that the metadata of a cluster is recovered by one node, its id counts up by one: those
// who know the former id reach nobody who knows the new one, and so are no majority against it.
Uuid next_era(const Uuid& cluster);
// Whether they are one cluster, and `other` a later era of it.
bool is_later_era(const Uuid& cluster, const Uuid& other);

std::string encode(const Identity&);
Result<Identity> parse_identity(Bytes);  // kCorrupt, kVersion

// What the directory says; none: it belongs to no cluster. kCorrupt, kVersion, kIo.
Result<std::optional<Identity>> load_identity(log::Engine&);
Result<log::Pending> write_identity(log::Engine&, const Identity&);
Result<void> store_identity(log::Engine&, const Identity&);  // durable on return

// The directory becomes the first node of a new cluster: `walrus cluster init`. kExists: it belongs
// to one already; kInvalid: no id of a node.
Result<Identity> found_cluster(io::Env&, log::Engine&, NodeId);

// The directory becomes a node of the cluster that is found at one of the addresses. Asks them in
// turn until one answers. kExists: it belongs to another cluster, or to another node, or the node
// `node` is who answers there; kTimeout.
io::Task<Identity> find_cluster(io::Env&, io::Loop&, net::Transport&, log::Engine&, NodeId node,
                                std::vector<std::string> addresses, io::Nanos timeout);

// A new life, with an incarnation above all that this directory knows of. Durable on return.
Result<Identity> claim(io::Env&, log::Engine&, Identity);
// Metadata has confirmed the present life.
void confirm(Identity&);

}  // namespace walrus::meta
