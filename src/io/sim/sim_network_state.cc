#include "io/sim/sim_network_state.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/result.h"

namespace walrus::io {
namespace {

constexpr std::uint16_t kFirstFreePort = 32768;
constexpr int kRetransmitsMax = 6;

bool is_loopback(const std::string& host) { return host == "127.0.0.1" || host == "::1"; }
bool is_any(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

std::string host_of(int node) { return fmt::format("10.0.0.{}", node + 1); }

}  // namespace

void SimEnd::open_gates() {
  if (reading) reading->open();
  if (writing) writing->open();
}

SimNetworkState::SimNetworkState(WorldState& world)
    : random(mix64(world.seed ^ 0x6e6574)), world_(world) {}

SimNetworkState::Link& SimNetworkState::link(int from, int to) {
  return links_.try_emplace({from, to}, Link{.options = world_.options.link}).first->second;
}

bool SimNetworkState::chance(const char* family, double probability) {
  if (!random.chance(probability)) return false;
  ++hits[family];
  return true;
}

SimChannelRef SimNetworkState::connect(const IncarnationRef& from, const Address& to) {
  const int node = from->node->index;
  int target = -1;
  for (const auto& other : world_.nodes) {
    if (to.host == host_of(other->index)) target = other->index;
  }
  if (is_loopback(to.host)) target = node;
  if (target < 0) return nullptr;
  const std::string own = is_loopback(to.host) ? to.host : host_of(node);
  auto channel = std::make_shared<SimChannel>(
      SimChannel{.id = ++last_id_,
                 .ends = {SimEnd{.node = node, .life = from, .address = {own, free_port(node)}},
                          SimEnd{.node = target, .address = to}}});
  channels.emplace(channel->id, channel);
  send(channel, 0, {.kind = SimPiece::Kind::kSyn});
  return channel;
}

void SimNetworkState::send(const SimChannelRef& channel, int side, SimPiece piece) {
  const auto& from = channel->ends[static_cast<std::size_t>(side)];
  const auto& to = channel->ends[static_cast<std::size_t>(1 - side)];
  const LinkOptions& options = link(from.node, to.node).options;
  if (chance("reset", options.reset)) {
    reset(channel, 0);
    reset(channel, 1);
    return;
  }
  Nanos delay(random.between(options.delay_min.count(), options.delay_max.count()));
  Nanos again = options.retransmit_delay;
  for (int lost = 0; lost < kRetransmitsMax && chance("loss", options.loss); ++lost) {
    delay += again;
    again *= 2;
  }
  if (chance("slow", options.slow)) delay += Nanos(random.between(0, options.slow_max.count()));
  auto& direction = channel->directions[static_cast<std::size_t>(side)];
  if (options.bytes_per_s > 0) {
    const auto seconds =
        static_cast<double>(piece.bytes.size()) / static_cast<double>(options.bytes_per_s);
    direction.sent_by =
        std::max(direction.sent_by, world_.now()) + Nanos(static_cast<std::int64_t>(seconds * 1e9));
    delay += direction.sent_by - world_.now();
  }
  piece.arrival = std::max(direction.last_arrival, world_.now() + delay);
  direction.last_arrival = piece.arrival;
  direction.pieces.push_back(std::move(piece));
  schedule(channel, side, direction.pieces.front().arrival);
}

void SimNetworkState::schedule(const SimChannelRef& channel, int side, Nanos time) {
  auto& direction = channel->directions[static_cast<std::size_t>(side)];
  if (direction.scheduled || direction.held || direction.pieces.empty()) return;
  direction.scheduled = true;
  world_.schedule(time, EventKind::kDelivery, nullptr,
                  [this, channel, side] { pump(channel, side); });
}

void SimNetworkState::pump(const SimChannelRef& channel, int side) {
  auto& direction = channel->directions[static_cast<std::size_t>(side)];
  direction.scheduled = false;
  const auto& from = channel->ends[static_cast<std::size_t>(side)];
  const auto& to = channel->ends[static_cast<std::size_t>(1 - side)];
  while (!direction.pieces.empty() && direction.pieces.front().arrival <= world_.now()) {
    if (link(from.node, to.node).cut || powered_off_[to.node]) {
      direction.held = true;
      ++hits["held"];
      return;
    }
    SimPiece piece = std::move(direction.pieces.front());
    direction.pieces.pop_front();
    world_.trace.fold(channel->id << 8 | static_cast<std::uint64_t>(piece.kind) << 1 |
                      static_cast<std::uint64_t>(side));
    world_.trace.fold(piece.bytes);
    deliver(channel, 1 - side, std::move(piece));
  }
  if (!direction.pieces.empty()) schedule(channel, side, direction.pieces.front().arrival);
}

void SimNetworkState::release(int from, int to) {
  for (const auto& [id, channel] : channels) {
    for (int side = 0; side < 2; ++side) {
      auto& direction = channel->directions[static_cast<std::size_t>(side)];
      if (!direction.held || channel->ends[static_cast<std::size_t>(side)].node != from ||
          channel->ends[static_cast<std::size_t>(1 - side)].node != to) {
        continue;
      }
      direction.held = false;
      const auto& options = link(from, to).options;
      schedule(channel, side, world_.now() + options.retransmit_delay);
    }
  }
}

void SimNetworkState::deliver(const SimChannelRef& channel, int side, SimPiece piece) {
  SimEnd& end = channel->ends[static_cast<std::size_t>(side)];
  SimEnd& peer = channel->ends[static_cast<std::size_t>(1 - side)];
  switch (piece.kind) {
    case SimPiece::Kind::kSyn: return accept(channel);
    case SimPiece::Kind::kSynAck: end.established = true; break;
    case SimPiece::Kind::kData:
      if (end.finished()) {
        if (!peer.finished()) send(channel, side, {.kind = SimPiece::Kind::kReset});
        return;
      }
      end.received.push_back(std::move(piece.bytes));
      break;
    case SimPiece::Kind::kEnd: end.peer_ended = true; break;
    case SimPiece::Kind::kReset: end.reset = true; break;
    case SimPiece::Kind::kAck: end.in_flight -= piece.acknowledged; break;
  }
  end.open_gates();
  forget_if_finished(channel);
}

void SimNetworkState::accept(const SimChannelRef& channel) {
  auto& [from, to] = channel->ends;
  const auto listener = listener_for(to.node, to.address);
  if (!listener || listener->backlog.size() >= kBacklogMax) {
    ++hits["refused"];
    to.closed = true;
    return send(channel, 1, {.kind = SimPiece::Kind::kReset});
  }
  to.life = listener->life;
  to.established = true;
  listener->backlog.push_back(channel);
  listener->arrived->open();
  if (!from.life) return;  // a duplicate: nobody waits for the answer
  send(channel, 1, {.kind = SimPiece::Kind::kSynAck});
  if (!chance("duplicate", link(from.node, to.node).options.duplicate)) return;
  // The listener sees the connection twice; of the second one it hears no more but a reset.
  auto twin = std::make_shared<SimChannel>(
      SimChannel{.id = ++last_id_,
                 .ends = {SimEnd{.node = from.node, .address = from.address, .dead = true},
                          SimEnd{.node = to.node, .address = to.address}}});
  channels.emplace(twin->id, twin);
  send(twin, 0, {.kind = SimPiece::Kind::kSyn});
  send(twin, 0, {.kind = SimPiece::Kind::kReset});
}

SimListenerRef SimNetworkState::listener_for(int node, const Address& address) const {
  for (const auto& listener : listeners_) {
    if (listener->life->node->index != node || listener->address.port != address.port) continue;
    if (is_any(listener->address.host) || listener->address.host == address.host) return listener;
  }
  return nullptr;
}

Result<void> SimNetworkState::listen(const SimListenerRef& listener) {
  const int node = listener->life->node->index;
  Address& address = listener->address;
  const std::string text = to_string(address);
  if (!is_loopback(address.host) && !is_any(address.host) && address.host != host_of(node)) {
    return fail(Code::kIo, "listen on {}: not an address of this node", text);
  }
  if (!listener->life->alive) return fail(Code::kIo, "listen on {}: simulated crash", text);
  if (address.port == 0) address.port = free_port(node);
  for (const auto& other : listeners_) {
    if (other->life->node->index != node || other->address.port != address.port) continue;
    if (other->address.host == address.host || is_any(other->address.host) ||
        is_any(address.host)) {
      return fail(Code::kExists, "listen on {}: Address already in use", text);
    }
  }
  listeners_.push_back(listener);
  return {};
}

void SimNetworkState::close(const SimListenerRef& listener) {
  if (std::exchange(listener->closed, true)) return;
  std::erase(listeners_, listener);
  listener->arrived->open();
  for (const auto& channel : std::exchange(listener->backlog, {})) close(channel, 1);
}

// As the kernel does it: a reset when something was not read, else the end of the stream.
void SimNetworkState::close(const SimChannelRef& channel, int side) {
  SimEnd& end = channel->ends[static_cast<std::size_t>(side)];
  if (std::exchange(end.closed, true)) return;
  if (!end.reset && !end.dead && end.established) {
    if (!end.received.empty()) send(channel, side, {.kind = SimPiece::Kind::kReset});
    else if (!end.ended) send(channel, side, {.kind = SimPiece::Kind::kEnd});
  }
  end.ended = true;
  end.open_gates();
  forget_if_finished(channel);
}

void SimNetworkState::reset(const SimChannelRef& channel, int side) {
  SimEnd& end = channel->ends[static_cast<std::size_t>(side)];
  end.reset = true;
  end.open_gates();
  forget_if_finished(channel);
}

std::vector<SimChannelRef> SimNetworkState::channels_between(int a, int b) const {
  std::vector<SimChannelRef> found;
  for (const auto& [id, channel] : channels) {
    const int from = channel->ends[0].node, to = channel->ends[1].node;
    if ((from == a && to == b) || (from == b && to == a)) found.push_back(channel);
  }
  return found;
}

void SimNetworkState::node_died(int node, CrashKind kind) {
  powered_off_[node] = kind == CrashKind::kPowerCut;
  std::erase_if(listeners_, [&](const auto& one) { return one->life->node->index == node; });
  const auto all = channels;  // forgetting changes the map
  for (const auto& [id, channel] : all) {
    for (int side = 0; side < 2; ++side) {
      SimEnd& end = channel->ends[static_cast<std::size_t>(side)];
      if (end.node != node || end.dead || !end.life) continue;
      if (kind == CrashKind::kKill) close(channel, side);
      end.dead = true;
      forget_if_finished(channel);
    }
  }
}

void SimNetworkState::node_started(int node) {
  powered_off_[node] = false;
  for (const auto& other : world_.nodes) release(other->index, node);
}

void SimNetworkState::forget_if_finished(const SimChannelRef& channel) {
  if (channel->ends[0].finished() && channel->ends[1].finished()) channels.erase(channel->id);
}

std::uint16_t SimNetworkState::free_port(int node) {
  auto& last = last_port_.try_emplace(node, kFirstFreePort - 1).first->second;
  const auto taken = [&](const auto& listener) {
    return listener->life->node->index == node && listener->address.port == last;
  };
  do last = last == 65535 ? kFirstFreePort : static_cast<std::uint16_t>(last + 1);
  while (std::ranges::any_of(listeners_, taken));
  return last;
}

}  // namespace walrus::io
