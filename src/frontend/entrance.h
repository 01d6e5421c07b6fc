#pragma once
// Entrance: how one connection comes in on a port that may speak TLS and may ask who is there.
// Until that is proven it is a newcomer, of whom there are only so many (net/newcomers.h). On the
// connection's loop.

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "io/network.h"
#include "net/newcomers.h"
#include "net/tls_server.h"

namespace walrus::frontend {

class Entrance {
 public:
  struct Port {
    const char* name = "";
    net::TlsServer* tls = nullptr;  // none: plain text
    bool asks = false;              // who is there; if not, a TLS handshake is proof enough
  };
  // `newcomers` outlives every copy.
  Entrance(net::Newcomers& newcomers, const Port& port) : newcomers_(&newcomers), port_(port) {}

  // The connection to read from: `plain` itself, or TLS over it.
  std::unique_ptr<io::Connection> secure(io::Loop&, std::unique_ptr<io::Connection> plain);
  // `cut` ends the connection when it is the oldest of too many newcomers.
  void enter(std::function<void()> cut);
  // It is no newcomer any more, or it is gone. May be repeated.
  void leave() const { newcomers_->leave(std::exchange(*ticket_, 0)); }

 private:
  net::Newcomers* newcomers_;
  Port port_;
  // Shared by the copies; 0: no newcomer, or not any more.
  std::shared_ptr<std::uint64_t> ticket_ = std::make_shared<std::uint64_t>(0);
};

}  // namespace walrus::frontend
