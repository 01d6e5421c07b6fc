#pragma once
// What a simulated node sees of the network: connecting, listening, reading and writing.

#include <memory>
#include <string>

#include "io/network.h"
#include "io/sim/sim_loop.h"

namespace walrus::io {

Result<std::unique_ptr<Listener>> sim_listen(const SimLoopRef&, const std::string& address);
Task<std::unique_ptr<Connection>> sim_connect(SimLoopRef, std::string address, Nanos timeout);

}  // namespace walrus::io
