#pragma once
// Transport: how nodes reach each other, as a byte stream. Today TCP; TLS is a Transport around
// another one, QUIC would be one beside it. Lives on the loops that it is used from; stateless, or
// its state may be used from all of them.

#include <memory>
#include <optional>
#include <string>

#include "io/network.h"
#include "net/identity.h"

namespace walrus::net {

// A byte stream, and who has been proved to be at its other end.
struct Channel {
  std::unique_ptr<io::Connection> bytes{};
  std::optional<NodeId> proved{};  // by a certificate; none: nothing is proved
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual Result<std::unique_ptr<io::Listener>> listen(io::Loop&, const std::string& address) = 0;
  // To the node that is expected there (0: any). The timeout covers all that is needed until bytes
  // of the caller can be sent.
  virtual io::Task<Channel> connect(io::Loop&, std::string address, NodeId expected,
                                    io::Nanos timeout) = 0;
  // What is to be done with a connection of the listener before its first byte is read; runs beside
  // further accepts.
  virtual io::Task<Channel> accepted(io::Loop&, std::unique_ptr<io::Connection>,
                                     io::Nanos timeout) = 0;
};

class TcpTransport final : public Transport {
 public:
  Result<std::unique_ptr<io::Listener>> listen(io::Loop&, const std::string& address) override;
  io::Task<Channel> connect(io::Loop&, std::string address, NodeId, io::Nanos timeout) override;
  io::Task<Channel> accepted(io::Loop&, std::unique_ptr<io::Connection>,
                             io::Nanos timeout) override;
};

}  // namespace walrus::net
