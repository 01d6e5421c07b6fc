// Listening and connecting of the real loop.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/result.h"
#include "io/address.h"
#include "io/real/real_connection.h"
#include "io/real/real_gate.h"
#include "io/real/real_loop.h"

namespace walrus::io {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

class RealListener final : public Listener {
 public:
  explicit RealListener(tcp::acceptor acceptor, RealLoop& loop)
      : state_(std::make_shared<State>(State{std::move(acceptor), {}, loop, false})) {
    error_code ignored;
    state_->address = to_string(state_->acceptor.local_endpoint(ignored));
  }
  ~RealListener() override { close(); }
  Task<std::unique_ptr<Connection>> accept() override { return accept_for(state_->loop); }
  Task<std::unique_ptr<Connection>> accept_for(Loop& owner) override {
    return accept_on(state_, static_cast<RealLoop&>(owner));
  }
  std::string address() const override { return state_->address; }
  void close() override {
    state_->closed = true;
    error_code ignored;
    state_->acceptor.close(ignored);
  }

 private:
  struct State {
    tcp::acceptor acceptor;
    std::string address;
    RealLoop& loop;
    bool closed;
  };

  static Task<std::unique_ptr<Connection>> accept_on(std::shared_ptr<State> state,
                                                     RealLoop& owner) {
    while (!state->closed) {
      auto [code, socket] = co_await state->acceptor.async_accept(
          owner.context(), asio::as_tuple(asio::use_awaitable));
      if (!code) co_return std::make_unique<RealConnection>(owner.context(), std::move(socket));
      // The peer was gone before it was accepted: that is not the listener's failure.
      if (code == asio::error::connection_aborted || code.value() == EPROTO) continue;
      if (!state->closed) co_return fail_socket(code, "accept on", state->address);
    }
    co_return fail(Code::kClosed, "{}: closed", state->address);
  }

  const std::shared_ptr<State> state_;  // shared with the accept in flight
};

Result<tcp::acceptor> bind(asio::io_context& context, const tcp::endpoint& endpoint) {
  const std::string address = to_string(endpoint);
  tcp::acceptor acceptor(context);
  error_code code;
  acceptor.open(endpoint.protocol(), code);
  if (!code) acceptor.set_option(tcp::acceptor::reuse_address(true), code);
  if (!code) acceptor.bind(endpoint, code);
  if (!code) acceptor.listen(asio::socket_base::max_listen_connections, code);
  if (code) return fail_socket(code, "listen on", address);
  return acceptor;
}

// A name blocks the loop while the system resolves it: asynchronously Asio would start a thread.
Result<std::vector<tcp::endpoint>> resolve(asio::io_context& context, const Address& address) {
  error_code code;
  const bool local = address.host == "localhost";
  const auto literal = asio::ip::make_address(local ? "127.0.0.1" : address.host, code);
  if (!code) return std::vector<tcp::endpoint>{{literal, address.port}};
  tcp::resolver resolver(context);
  const auto found = resolver.resolve(address.host, std::to_string(address.port), code);
  if (code) return fail_socket(code, "resolve", address.host);
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  return endpoints;
}

// What is in flight of one connect: kept alive by its callback.
struct Attempt {
  explicit Attempt(asio::io_context& context) : socket(context), done(context) {}
  tcp::socket socket;
  RealGate done;
  error_code code;
};

Task<std::unique_ptr<Connection>> connect_on(asio::io_context& context, std::string text,
                                             Nanos timeout) {
  const auto deadline = moment_after(timeout);
  const auto left = [&] { return Nanos(deadline - std::chrono::steady_clock::now()); };
  const auto address = parse_address(text);
  if (!address) co_return std::unexpected(address.error());
  const auto endpoints = resolve(context, *address);
  if (!endpoints) co_return std::unexpected(endpoints.error());
  Result<std::unique_ptr<Connection>> last = fail(Code::kIo, "connect to {}: no address", text);
  for (const auto& endpoint : *endpoints) {
    auto attempt = std::make_shared<Attempt>(context);
    attempt->socket.async_connect(endpoint, [attempt](const error_code& result) {
      attempt->code = result;
      attempt->done.open();
    });
    if (!co_await attempt->done.wait(left())) {
      error_code ignored;
      attempt->socket.close(ignored);
      co_return fail(Code::kTimeout, "connect to {}: no answer in time", text);
    }
    if (!attempt->code) {
      co_return std::make_unique<RealConnection>(context, std::move(attempt->socket));
    }
    last = fail_socket(attempt->code, "connect to", text);
  }
  co_return last;
}

}  // namespace

Result<std::unique_ptr<Listener>> RealLoop::listen(const std::string& text) {
  WALRUS_ASSIGN(const auto address, parse_address(text));
  error_code code;
  auto host =
      asio::ip::make_address(address.host == "localhost" ? "127.0.0.1" : address.host, code);
  if (code) return fail(Code::kInvalid, "listen on {}: not an IP address", text);
  WALRUS_ASSIGN(auto acceptor, bind(context_, {host, address.port}));
  return std::make_unique<RealListener>(std::move(acceptor), *this);
}

Task<std::unique_ptr<Connection>> RealLoop::connect(std::string address, Nanos timeout) {
  return connect_on(context_, std::move(address), timeout);
}

}  // namespace walrus::io
