#include "io/sim/sim_network.h"

#include "io/sim/sim_network_state.h"

namespace walrus::io {

SimNetwork::SimNetwork(std::unique_ptr<SimNetworkState> state, int nodes)
    : state_(std::move(state)), nodes_(nodes) {}
SimNetwork::~SimNetwork() = default;

LinkOptions& SimNetwork::link(int from, int to) { return state_->link(from, to).options; }

void SimNetwork::set_all_links(const LinkOptions& options) {
  for (int from = 0; from < nodes_; ++from) {
    for (int to = 0; to < nodes_; ++to) link(from, to) = options;
  }
}

void SimNetwork::cut(int from, int to) { state_->link(from, to).cut = true; }

void SimNetwork::heal(int from, int to) {
  state_->link(from, to).cut = false;
  state_->release(from, to);
}

void SimNetwork::isolate(int node) {
  for (int other = 0; other < nodes_; ++other) {
    if (other == node) continue;
    cut(node, other);
    cut(other, node);
  }
}

void SimNetwork::heal_all() {
  for (int from = 0; from < nodes_; ++from) {
    for (int to = 0; to < nodes_; ++to) heal(from, to);
  }
}

void SimNetwork::reset_connections(int a, int b) {
  for (const auto& channel : state_->channels_between(a, b)) {
    ++state_->hits["reset"];
    state_->reset(channel, 0);
    state_->reset(channel, 1);
  }
}

void SimNetwork::half_open(int a, int b) {
  for (const auto& channel : state_->channels_between(a, b)) {
    ++state_->hits["half_open"];
    state_->reset(channel, channel->ends[0].node == b ? 0 : 1);
  }
}

double& SimNetwork::accept_busy() { return state_->accept_busy; }

std::int64_t SimNetwork::connections() const { return std::ssize(state_->channels); }

const FaultHits& SimNetwork::hits() const { return state_->hits; }

}  // namespace walrus::io
