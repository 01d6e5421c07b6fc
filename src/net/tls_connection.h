#pragma once
// TlsConnection: a Connection secured by TLS, over another one, on its loop, in either world.
//
// The handshake is part of the first read of a server's connection, so that a peer that never sends
// anything costs nothing but its socket; a client calls handshake(), a server may. Bytes count as
// written() when the whole record that holds them was handed to the kernel: of a part nobody can
// read anything. A peer that ends without saying so (close_notify) may have been cut: that is an
// error, kIo.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/network.h"
#include "net/tls_context.h"

namespace walrus::net {

struct TlsConnectionOptions {
  std::string host{};  // of a client: whom the server's certificate must name; an IP or a DNS name;
                       // empty: as `judge` says
  // The peer's certificate is good. Is it one that is wanted, by the URIs that it is for? Asked
  // within the handshake, so that the peer is told; the handshake fails with its error.
  std::function<Result<void>(const std::vector<std::string>& uris)> judge{};
  io::Nanos handshake_timeout = std::chrono::seconds(10);  // from now
  // The handshake has come to its end; for a server.
  std::function<void(const Result<void>&)> handshaken{};
  // Of a server: what a peer is answered whose first bytes are no TLS, before the connection ends.
  std::function<std::string(Bytes first)> foreign{};
};

class TlsConnection final : public io::Connection {
 public:
  // `plain` is connected and unused. The context is kept.
  TlsConnection(io::Env&, io::Loop&, std::unique_ptr<io::Connection> plain,
                std::shared_ptr<const TlsContext>, TlsConnectionOptions);
  ~TlsConnection() override;

  // kTimeout; kInvalid: refused, with the reason; kIo, kClosed: the connection; those of `judge`.
  // With TLS 1.3 a client is done before the server has judged its certificate: that it is refused
  // is what the next read answers, kInvalid.
  io::Task<void> handshake(io::Nanos timeout);

  io::Task<std::size_t> read_some(std::span<char> to, io::Nanos timeout) override;
  io::Task<void> write(Bytes, io::Nanos timeout) override;
  std::int64_t written() const override;
  void shutdown_write() override;
  void close() override;
  std::string peer() const override;
  std::string principal() const override;
  // The peer's certificate once the handshake is done: its common name, and the DNS names that it
  // is for.
  std::string common_name() const;
  std::vector<std::string> dns_names() const;

  struct State;

 private:
  const std::shared_ptr<State> state_;  // shared with what is in flight
};

}  // namespace walrus::net
