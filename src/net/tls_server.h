#pragma once
// TlsServer: what secures the connections of a node's ports, with certificates that may change.
// TlsClient: the same for connections that are made. Shared by loops; any thread.
//
// Certificates are read again when their files change: refresh(), called every second or so; see
// net/tls_watch.h. Connections keep what they began with.

#include <atomic>
#include <memory>
#include <string>

#include "base/log_limit.h"
#include "base/log_line.h"
#include "base/metrics.h"
#include "net/tls_connection.h"
#include "net/tls_watch.h"

namespace walrus::net {

struct TlsServerOptions {
  TlsFiles files{};
  ClientCertificate client_certificate = ClientCertificate::kNone;
  TlsVersion version_min = TlsVersion::k12;
  io::Nanos handshake_timeout = std::chrono::seconds(10);
};

class TlsServer {
 public:
  // kInvalid, kNotFound...: what is wrong with which file.
  static Result<std::unique_ptr<TlsServer>> open(io::Env&, LogSink&, Metrics&,
                                                 const TlsServerOptions&);
  ~TlsServer();

  // `plain` was accepted by a port named `port` and belongs to `loop`, on which this is called.
  // `secured`: the handshake was successful. `foreign`: see TlsConnectionOptions.
  std::unique_ptr<io::Connection> secure(io::Loop& loop, std::unique_ptr<io::Connection> plain,
                                         const char* port, std::function<void()> secured,
                                         std::function<std::string(Bytes)> foreign);
  // By one thread at a time.
  void refresh();

 private:
  TlsServer(io::Env&, LogSink&, Metrics&, const TlsServerOptions&);
  Result<void> take(const TlsMaterial&);
  void failed(const char* port, const std::string& peer, const Error&);

  io::Env& env_;
  LogSink& log_;
  const TlsServerOptions options_;
  TlsWatch watch_;
  std::atomic<std::shared_ptr<const TlsContext>> context_;
  LogLimit limit_{10, std::chrono::seconds(10)};
  Counter& handshakes_;
  Counter& failures_;
  Gauge& expires_;
};

struct TlsClientOptions {
  TlsFiles files{};
  TlsVersion version_min = TlsVersion::k12;
};

class TlsClient {
 public:
  static Result<std::shared_ptr<TlsClient>> open(io::Env&, const TlsClientOptions&);
  // `plain` is connected to `address`, whose host the server's certificate must name.
  io::Task<std::unique_ptr<io::Connection>> secure(io::Loop&, std::unique_ptr<io::Connection> plain,
                                                   std::string address, io::Nanos timeout);

 private:
  TlsClient(io::Env& env, std::shared_ptr<const TlsContext> context)
      : env_(env), context_(std::move(context)) {}
  io::Env& env_;
  const std::shared_ptr<const TlsContext> context_;
};

}  // namespace walrus::net
