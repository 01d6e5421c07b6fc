#include "io/sim/sim_network_state.h"
namespace walrus::io {
SimNetwork::SimNetwork(std::unique_ptr<SimNetworkState> state) : state_(std::move(state)) {}
SimNetwork::~SimNetwork() = default;
const FaultHits& SimNetwork::hits() const { return state_->hits; }
}  // namespace walrus::io
