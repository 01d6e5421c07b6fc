#pragma once
// NativeServer: the port of the native protocol. One listener; each connection is a Session on one
// of the broker's loops.

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "broker/broker.h"
#include "frontend/native/session.h"
#include "net/acceptor.h"
#include "net/newcomers.h"
#include "net/tls_server.h"

namespace walrus::frontend::native {

struct NativeOptions {
  std::string listen = "127.0.0.1:9091";
  std::size_t connections_max = 10'000;
  std::size_t connections_per_address_max = 10'000;
  std::int64_t memory_bytes_max = 1 << 30;  // see SessionMemory
  net::TlsServer* tls = nullptr;            // none: plain text; outlives the server
  std::size_t newcomers_max = 1'024;        // connections that have not proven anything yet
  SessionOptions session{};
};

class NativeServer {
 public:
  // Binds on the broker's first loop, to be called before the loops run or on that loop.
  static Result<std::unique_ptr<NativeServer>> listen(broker::Broker&, Metrics&, NativeOptions);
  ~NativeServer();

  void start();
  // On the first loop: serves what another node hands on, until that ends; see forward.h. Before
  // start() this node may not know the topics yet: then nothing is taken.
  io::Task<void> serve_forwarded(net::Request, net::Stream&);
  const std::string& address() const { return acceptor_->address(); }
  // On the first loop: takes no connection and no request any more, answers what was taken, and
  // waits for the connections to end. kTimeout: some have not.
  io::Task<void> stop(io::Nanos timeout);

 private:
  NativeServer(broker::Broker&, Metrics&, NativeOptions, std::unique_ptr<net::Acceptor>);
  void serve(std::size_t loop, std::unique_ptr<io::Connection>);

  broker::Broker& broker_;
  NativeOptions options_;
  std::unique_ptr<net::Acceptor> acceptor_;
  std::vector<std::set<std::shared_ptr<Session>>> sessions_;  // each set on its loop only
  std::vector<net::Newcomers> newcomers_;                     // likewise
  Metrics& metrics_;
  Gauge& connections_;
  Counter& accepted_;
  SessionCounters counters_;
  SessionMemory memory_;
  std::atomic<bool> started_{false}, stopping_{false};
};

}  // namespace walrus::frontend::native
