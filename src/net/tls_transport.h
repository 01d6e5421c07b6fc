#pragma once
// TlsTransport: another Transport with TLS around it, so that only nodes of one cluster reach each
// other. TLS 1.3 and nothing below; both sides show a certificate, for which a CA of ours has
// signed, which is valid now and for this use, and which names a node of our own certificate's
// cluster (net/node_name.h). That node is Channel::proved. Who connects says which node it expects;
// if any will do, the certificate must be for the address' host, as a web server's.
//
// No tickets and no session is ever resumed: each handshake is a whole one and meets the
// certificates of the moment. An established connection keeps what it began with, also when one of
// the two certificates expires or its CA is not trusted any more.
//
// Every handshake that fails is counted, and logged within a limit: one line with the address, the
// direction and the reason; no key material is in any line. The certificates' files are read again
// when they change (net/tls_watch.h). May be used from several loops; goes after them.

#include <atomic>
#include <memory>
#include <string>

#include "base/event.h"
#include "base/log_limit.h"
#include "base/log_line.h"
#include "base/metrics.h"
#include "net/newcomers.h"
#include "net/node_name.h"
#include "net/tls_connection.h"
#include "net/tls_watch.h"
#include "net/transport.h"

namespace walrus::net {

struct TlsTransportOptions {
  TlsFiles files{};  // all three
  NodeId self{};     // whom the certificate must name; 0: whom the first one names
  // Of accepted connections, at once. Above it the one that has taken longest gives way: who means
  // it is done in milliseconds.
  std::size_t handshakes_max = 64;
  io::Nanos refresh_interval = std::chrono::seconds(1);  // how often the files are looked at
};

class TlsTransport final : public Transport {
 public:
  // `below` lives as long. kInvalid: a file is missing or cannot be used, the certificate names no
  // node or another one than self, has expired, or is not for both sides of a connection.
  static Result<std::unique_ptr<TlsTransport>> open(io::Env&, Transport& below, LogSink&, Metrics&,
                                                    const TlsTransportOptions&);
  ~TlsTransport() override;

  NodeName self() const;  // which no later certificate changes
  // Any thread: the files are whole, somebody says: at the next look, within refresh_interval, they
  // are taken or refused, and the log says which.
  void reload() { reload_ = true; }

  Result<std::unique_ptr<io::Listener>> listen(io::Loop&, const std::string& address) override;
  // kMismatch: the node there is another one, or of another cluster. kInvalid: its certificate is
  // no good, or it does not speak TLS.
  io::Task<Channel> connect(io::Loop&, std::string address, NodeId expected,
                            io::Nanos timeout) override;
  io::Task<Channel> accepted(io::Loop&, std::unique_ptr<io::Connection>,
                             io::Nanos timeout) override;
  // Which node is there, and that it takes us too (kInvalid, with what it says, if not). `expected`
  // as above. The connection is used for nothing else.
  io::Task<NodeId> find(io::Loop&, std::string address, NodeId expected, io::Nanos timeout);

 private:
  struct Certificates;  // what a connection is made with
  class Place;          // of a handshake among those of accepted connections
  TlsTransport(io::Env&, Transport&, LogSink&, Metrics&, const TlsTransportOptions&);
  Result<void> take(const TlsMaterial&);
  void failed(const char* direction, const std::string& peer, const Error&);

  io::Env& env_;
  Transport& below_;
  LogSink& log_;
  const TlsTransportOptions options_;
  TlsWatch watch_;
  std::atomic<std::shared_ptr<const Certificates>> certificates_;  // shared with connections
  LogLimit limit_{10, std::chrono::seconds(10)};
  Counter& handshakes_;
  Counter& failures_;
  Gauge& expires_;
  Lock lock_;
  Newcomers newcomers_;  // under lock_: places of all loops
  std::atomic<bool> reload_{false};
  std::unique_ptr<io::Worker> refresher_;
};

}  // namespace walrus::net
