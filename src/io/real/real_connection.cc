#include "io/real/real_connection.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/result.h"
#include "io/address.h"

namespace walrus::io {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

// So many reads or writes in a row may succeed without waiting before others get their turn.
constexpr int kTurnMax = 16;

}  // namespace

struct RealConnection::State {
  struct Direction {
    explicit Direction(asio::io_context& context) : ready(context) {}
    RealGate ready;
    bool waiting = false;  // the socket was asked to tell when it is ready
    int in_a_row = 0;
  };

  State(asio::io_context& loop, tcp::socket s)
      : context(loop), socket(std::move(s)), reading(loop), writing(loop) {}

  std::unexpected<Error> fail_closed() const { return fail(Code::kClosed, "{}: closed", peer); }

  asio::io_context& context;
  tcp::socket socket;
  std::string peer;
  Direction reading, writing;
  std::int64_t written = 0;
  bool closed = false;
};

namespace {

using StateRef = std::shared_ptr<RealConnection::State>;
using Direction = RealConnection::State::Direction;

// Lets other coroutines run when this one had a long turn.
asio::awaitable<void> take_turns(StateRef state, Direction& direction) {
  if (++direction.in_a_row < kTurnMax) co_return;
  direction.in_a_row = 0;
  co_await asio::post(state->context, asio::use_awaitable);
}

// One wait may stay behind after a timeout; the next call joins it.
asio::awaitable<bool> until_ready(StateRef state, Direction& direction, tcp::socket::wait_type what,
                                  Nanos timeout) {
  direction.in_a_row = 0;
  if (!direction.waiting) {
    direction.waiting = true;
    state->socket.async_wait(what, [state, &direction](const error_code&) {
      direction.waiting = false;
      direction.ready.open();
    });
  }
  co_return co_await direction.ready.wait(timeout);
}

Nanos left_until(std::chrono::steady_clock::time_point deadline) {
  if (deadline == std::chrono::steady_clock::time_point::max()) return Nanos::max();
  return std::max(Nanos::zero(), Nanos(deadline - std::chrono::steady_clock::now()));
}

bool try_again(const error_code& code) {
  return code == asio::error::would_block || code == asio::error::try_again ||
         code == asio::error::interrupted;
}

Task<std::size_t> read_some_on(StateRef state, std::span<char> to, Nanos timeout) {
  co_await take_turns(state, state->reading);
  const auto deadline = moment_after(timeout);
  while (true) {
    if (state->closed) co_return state->fail_closed();
    error_code code;
    const auto bytes = state->socket.read_some(asio::buffer(to.data(), to.size()), code);
    if (!code) co_return bytes;
    if (code == asio::error::eof) co_return std::size_t{0};
    if (!try_again(code)) co_return fail_socket(code, "read from", state->peer);
    const auto left = left_until(deadline);
    if (!co_await until_ready(state, state->reading, tcp::socket::wait_read, left) &&
        !state->closed) {
      co_return fail(Code::kTimeout, "{}: nothing to read in time", state->peer);
    }
  }
}

Task<void> write_on(StateRef state, Bytes from, Nanos timeout) {
  co_await take_turns(state, state->writing);
  const auto deadline = moment_after(timeout);
  while (!from.empty()) {
    if (state->closed) co_return state->fail_closed();
    error_code code;
    const auto bytes = state->socket.write_some(asio::buffer(from.data(), from.size()), code);
    state->written += static_cast<std::int64_t>(bytes);
    from.remove_prefix(bytes);
    if (!code) continue;
    if (!try_again(code)) co_return fail_socket(code, "write to", state->peer);
    const auto left = left_until(deadline);
    if (!co_await until_ready(state, state->writing, tcp::socket::wait_write, left) &&
        !state->closed) {
      co_return fail(Code::kTimeout, "{}: the peer does not read", state->peer);
    }
  }
  co_return Result<void>();
}

}  // namespace

RealConnection::RealConnection(asio::io_context& context, tcp::socket socket)
    : state_(std::make_shared<State>(context, std::move(socket))) {
  error_code ignored;  // a peer that is gone already shows at the first read
  state_->socket.set_option(tcp::no_delay(true), ignored);
  state_->socket.non_blocking(true, ignored);
  const auto endpoint = state_->socket.remote_endpoint(ignored);
  state_->peer = to_string(endpoint);
}

RealConnection::~RealConnection() { close(); }

Task<std::size_t> RealConnection::read_some(std::span<char> to, Nanos timeout) {
  return read_some_on(state_, to, timeout);
}

Task<void> RealConnection::write(Bytes from, Nanos timeout) {
  return write_on(state_, from, timeout);
}

std::int64_t RealConnection::written() const { return state_->written; }

void RealConnection::shutdown_write() {
  error_code ignored;
  state_->socket.shutdown(tcp::socket::shutdown_send, ignored);
}

void RealConnection::close() {
  if (state_->closed) return;
  state_->closed = true;
  error_code ignored;
  state_->socket.close(ignored);
  // What waits for the socket is called back with an error and finds out.
}

std::string RealConnection::peer() const { return state_->peer; }

std::string to_string(const tcp::endpoint& endpoint) {
  return to_string(Address{.host = endpoint.address().to_string(), .port = endpoint.port()});
}

std::unexpected<Error> fail_socket(const error_code& error, const char* call,
                                   const std::string& address) {
  Code code = Code::kIo;
  if (error == asio::error::no_descriptors || error.value() == ENFILE ||
      error == asio::error::no_buffer_space || error == asio::error::no_memory) {
    code = Code::kBusy;
  }
  if (error == asio::error::address_in_use) code = Code::kExists;
  return fail(code, "{} {}: {}", call, address, error.message());
}

}  // namespace walrus::io
