#pragma once
// What is behind a walrus::World.

#include <map>
#include <memory>

#include "io/sim/sim_world.h"
#include "walrus/testing.h"

namespace walrus {

struct World::Impl {
  std::unique_ptr<io::World> simulated{};  // none: the real one
  int nodes = 0;
  std::string host{};  // of node 1 of a real one, but for its last number

  // Of the present life of a node; a crashed one is started again. 0: beside the nodes.
  io::Env& env(NodeId);
  bool has(NodeId id) const {
    return id.value >= 1 && id.value <= static_cast<std::uint64_t>(nodes);
  }
  io::Node& node(NodeId id) { return simulated->node(static_cast<int>(id.value) - 1); }
};

namespace service {

// An outside session over an Env of the caller's choice. `place`: none for a new one.
Result<Session> connect(io::Env&, std::vector<std::string> addresses,
                        const std::optional<TlsFiles>&, std::optional<SessionPlace> place,
                        Deadline);

}  // namespace service
}  // namespace walrus
