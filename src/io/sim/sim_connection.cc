#include "io/sim/sim_connection.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>

#include "base/result.h"
#include "io/sim/sim_network_state.h"

namespace walrus::io {

namespace asio = boost::asio;

namespace {

constexpr std::int64_t kPieceMax = 64 << 10;

SimNetworkState& network_of(const SimLoopState& loop) { return loop.world().network->state(); }

struct Side {  // one end of a channel, and the loop that it belongs to
  SimLoopRef loop;
  SimChannelRef channel;
  int index;

  SimEnd& end() const { return channel->ends[static_cast<std::size_t>(index)]; }
  SimEnd& peer() const { return channel->ends[static_cast<std::size_t>(1 - index)]; }
  SimNetworkState& network() const { return network_of(*loop); }
  std::string peer_name() const { return to_string(peer().address); }
  void send(SimPiece piece) const { network().send(channel, index, std::move(piece)); }
};

// Others get their turn before every read and write: in the real world they run meanwhile.
asio::awaitable<void> take_turns(Side side) {
  co_await asio::post(*side.loop->context, asio::use_awaitable);
}

// Moves what is there to `to`, all of it that fits or, by the link's options, only a part.
std::size_t take_received(const Side& side, std::span<char> to) {
  SimEnd& end = side.end();
  const auto& options = side.network().link(side.peer().node, end.node).options;
  if (side.network().chance("partial_read", options.partial_read)) {
    to = to.first(1 + side.network().random.below(to.size()));
  }
  std::size_t taken = 0;
  while (taken < to.size() && !end.received.empty()) {
    const Bytes front = Bytes(end.received.front()).substr(end.received_skip);
    const auto length = std::min(front.size(), to.size() - taken);
    std::memcpy(to.data() + taken, front.data(), length);
    taken += length;
    end.received_skip += length;
    if (length < front.size()) break;
    end.received.pop_front();
    end.received_skip = 0;
  }
  end.unacknowledged += static_cast<std::int64_t>(taken);
  if (end.received.empty() || end.unacknowledged >= SimNetworkState::kWindowBytes / 4) {
    side.send({.kind = SimPiece::Kind::kAck, .acknowledged = std::exchange(end.unacknowledged, 0)});
  }
  return taken;
}

Task<std::size_t> read_some_on(Side side, std::span<char> to, Nanos timeout) {
  co_await take_turns(side);
  SimEnd& end = side.end();
  WorldState& world = side.loop->world();
  const Nanos deadline = world.deadline(timeout);
  while (true) {
    if (end.closed) co_return fail(Code::kClosed, "{}: closed", side.peer_name());
    if (to.empty()) co_return std::size_t{0};
    if (!end.received.empty()) co_return take_received(side, to);
    if (end.reset) {
      co_return fail(Code::kIo, "read from {}: Connection reset by peer", side.peer_name());
    }
    if (end.peer_ended) co_return std::size_t{0};
    const Nanos left = deadline == Nanos::max() ? deadline : deadline - world.now();
    if (!co_await end.reading->wait(left) && !end.closed) {
      co_return fail(Code::kTimeout, "{}: nothing to read in time", side.peer_name());
    }
  }
}

Task<void> write_on(Side side, Bytes from, Nanos timeout) {
  co_await take_turns(side);
  SimEnd& end = side.end();
  WorldState& world = side.loop->world();
  const Nanos deadline = world.deadline(timeout);
  while (!from.empty()) {
    if (end.closed) co_return fail(Code::kClosed, "{}: closed", side.peer_name());
    if (end.reset || end.ended) {
      co_return fail(Code::kIo, "write to {}: Broken pipe", side.peer_name());
    }
    const auto room = std::min(SimNetworkState::kWindowBytes - end.in_flight, kPieceMax);
    if (room > 0) {
      const Bytes piece = from.substr(0, static_cast<std::size_t>(room));
      end.in_flight += std::ssize(piece);
      end.written += std::ssize(piece);
      from.remove_prefix(piece.size());
      side.send({.kind = SimPiece::Kind::kData, .bytes = std::string(piece)});
      continue;
    }
    const Nanos left = deadline == Nanos::max() ? deadline : deadline - world.now();
    if (!co_await end.writing->wait(left) && !end.closed) {
      co_return fail(Code::kTimeout, "{}: the peer does not read", side.peer_name());
    }
  }
  co_return Result<void>();
}

class SimConnection final : public Connection {
 public:
  explicit SimConnection(Side side) : side_(std::move(side)) {}
  ~SimConnection() override { close(); }
  Task<std::size_t> read_some(std::span<char> to, Nanos timeout) override {
    return read_some_on(side_, to, timeout);
  }
  Task<void> write(Bytes from, Nanos timeout) override { return write_on(side_, from, timeout); }
  std::int64_t written() const override { return side_.end().written; }
  void shutdown_write() override {
    SimEnd& end = side_.end();
    if (end.finished() || std::exchange(end.ended, true)) return;
    side_.send({.kind = SimPiece::Kind::kEnd});
  }
  void close() override { side_.network().close(side_.channel, side_.index); }
  std::string peer() const override { return side_.peer_name(); }

 private:
  const Side side_;
};

std::unique_ptr<Connection> take_over(const SimLoopRef& loop, SimChannelRef channel, int index) {
  Side side{.loop = loop, .channel = std::move(channel), .index = index};
  if (!side.end().reading) side.end().reading = std::make_unique<SimGate>(loop);
  if (!side.end().writing) side.end().writing = std::make_unique<SimGate>(loop);
  return std::make_unique<SimConnection>(std::move(side));
}

Task<std::unique_ptr<Connection>> accept_on(SimLoopRef loop, SimListenerRef listener,
                                            SimLoopRef owner) {
  SimNetworkState& network = network_of(*loop);
  const std::string name = to_string(listener->address);
  while (!listener->closed) {
    if (listener->backlog.empty()) {
      co_await listener->arrived->wait(Nanos::max());
      continue;
    }
    if (network.chance("accept_busy", network.accept_busy)) {
      co_return fail(Code::kBusy, "accept on {}: Too many open files", name);
    }
    auto channel = std::move(listener->backlog.front());
    listener->backlog.pop_front();
    co_return take_over(owner, std::move(channel), 1);
  }
  co_return fail(Code::kClosed, "{}: closed", name);
}

class SimListener final : public Listener {
 public:
  SimListener(SimLoopRef loop, SimListenerRef state)
      : loop_(std::move(loop)), state_(std::move(state)) {}
  ~SimListener() override { close(); }
  Task<std::unique_ptr<Connection>> accept() override { return accept_on(loop_, state_, loop_); }
  Task<std::unique_ptr<Connection>> accept_for(Loop& owner) override {
    return accept_on(loop_, state_, static_cast<SimLoop&>(owner).state());
  }
  std::string address() const override { return to_string(state_->address); }
  void close() override { network_of(*loop_).close(state_); }

 private:
  const SimLoopRef loop_;
  const SimListenerRef state_;
};

void name_loopback(Address& address) {
  if (address.host == "localhost") address.host = "127.0.0.1";
}

}  // namespace

Result<std::unique_ptr<Listener>> sim_listen(const SimLoopRef& loop, const std::string& text) {
  WALRUS_ASSIGN(auto address, parse_address(text));
  name_loopback(address);
  auto listener = std::make_shared<SimListenerState>(
      SimListenerState{.life = loop->life,
                       .address = std::move(address),
                       .arrived = std::make_unique<SimGate>(loop)});
  WALRUS_TRY(network_of(*loop).listen(listener));
  return std::make_unique<SimListener>(loop, std::move(listener));
}

Task<std::unique_ptr<Connection>> sim_connect(SimLoopRef loop, std::string text, Nanos timeout) {
  auto address = parse_address(text);
  if (!address) co_return std::unexpected(address.error());
  name_loopback(*address);
  auto channel = network_of(*loop).connect(loop->life, *address);
  if (!channel) co_return fail(Code::kIo, "connect to {}: No route to host", text);
  auto connection = take_over(loop, channel, 0);  // closes it on every way out but the good one
  SimEnd& end = channel->ends[0];
  const Nanos deadline = loop->world().deadline(timeout);
  while (!end.established && !end.reset) {
    const Nanos left = deadline == Nanos::max() ? deadline : deadline - loop->world().now();
    if (!co_await end.writing->wait(left)) {
      co_return fail(Code::kTimeout, "connect to {}: no answer in time", text);
    }
  }
  if (!end.established) co_return fail(Code::kIo, "connect to {}: Connection refused", text);
  co_return connection;
}

}  // namespace walrus::io
