#include "net/tls_transport.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/coding.h"
#include "io/address.h"
#include "net/message.h"
#include "net/timers.h"

namespace walrus::net {

struct TlsTransport::Certificates {
  NodeName self{};
  std::shared_ptr<const TlsContext> accepts{}, connects{};
};

// Holds one of handshakes_max places until its coroutine is left. Who needs it may take it away
// from another loop: then the connection is closed, on its own one.
class TlsTransport::Place {
 public:
  Place(TlsTransport& transport, io::Loop& loop, io::Connection& connection)
      : transport_(transport), held_(std::make_shared<Held>(&connection)) {
    const LockGuard guard(transport_.lock_);
    // Under the lock the loop of whoever holds a place is there.
    id_ = transport_.newcomers_.enter([&loop, held = held_] {
      loop.post([held] {
        held->taken = true;
        if (held->connection != nullptr) held->connection->close();
      });
    });
  }
  ~Place() {
    held_->connection = nullptr;
    const LockGuard guard(transport_.lock_);
    transport_.newcomers_.leave(id_);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  bool taken() const { return held_->taken; }

 private:
  struct Held {  // shared with what was posted; touched on the connection's loop only
    io::Connection* connection;
    bool taken = false;
  };
  TlsTransport& transport_;
  const std::shared_ptr<Held> held_;
  std::uint64_t id_ = 0;
};

namespace {

// Whom a handshake has proved to be there; shared with the handshake.
using Proved = std::shared_ptr<std::optional<NodeId>>;

std::function<Result<void>(const std::vector<std::string>&)> judge(NodeName self, NodeId expected,
                                                                   Proved proved) {
  return [self = std::move(self), expected,
          proved = std::move(proved)](const std::vector<std::string>& uris) -> Result<void> {
    WALRUS_ASSIGN(const auto name, node_name_of(uris));
    if (name.cluster != self.cluster)
      return fail(Code::kMismatch, "it is {}, this is {}", describe(name), describe(self));
    if (expected.value != 0 && name.node != expected)
      return fail(Code::kMismatch, "it is node {}, not {}", name.node.value, expected.value);
    *proved = name.node;
    return {};
  };
}

// What a node that speaks the protocol without TLS is told. Its own cluster's id is in its hello.
std::string refuse_plain(Bytes first) {
  if (first.size() < kFrameHeaderBytes || !first.starts_with("WPP")) return {};
  const ClusterId cluster{load_le<std::uint64_t>(first.data() + 16),
                          load_le<std::uint64_t>(first.data() + 24)};
  std::string body, bytes;
  append_refusal(body, {RefusalReason::kProtocol, "this port speaks TLS only"});
  append_frame(bytes, {.type = FrameType::kRefuse}, cluster, body);
  return bytes;
}

}  // namespace

TlsTransport::TlsTransport(io::Env& env, Transport& below, LogSink& log, Metrics& metrics,
                           const TlsTransportOptions& options)
    : env_(env),
      below_(below),
      log_(log),
      options_(options),
      watch_(env.disk(), log, options.files),
      handshakes_(metrics.counter(
          {"walrus_peer_tls_handshakes", "TLS handshakes between nodes that succeeded."})),
      failures_(metrics.counter(
          {"walrus_peer_tls_handshake_failures", "TLS handshakes between nodes that failed."})),
      expires_(metrics.gauge({"walrus_peer_tls_certificate_expires",
                              "When this node's certificate ceases to be valid, since 1970.",
                              "seconds"})),
      newcomers_(options.handshakes_max) {}

TlsTransport::~TlsTransport() = default;

Result<std::unique_ptr<TlsTransport>> TlsTransport::open(io::Env& env, Transport& below,
                                                         LogSink& log, Metrics& metrics,
                                                         const TlsTransportOptions& options) {
  const auto& files = options.files;
  if (files.ca.empty() || files.certificate.empty() || files.key.empty())
    return fail(Code::kInvalid, "mutual TLS needs a CA, a certificate and its key");
  if (options.handshakes_max == 0) return fail(Code::kInvalid, "a limit of no handshake");
  std::unique_ptr<TlsTransport> made(new TlsTransport(env, below, log, metrics, options));
  auto& transport = *made;
  const auto take = [&transport](const TlsMaterial& material) { return transport.take(material); };
  WALRUS_TRY(transport.watch_.open(take));
  transport.refresher_ = env.start_worker("walrus-tls", [&transport, take] {
    if (transport.reload_.exchange(false)) transport.watch_.reload(take);
    else transport.watch_.refresh(take);
    return transport.options_.refresh_interval;
  });
  return made;
}

Result<void> TlsTransport::take(const TlsMaterial& material) {
  const auto& files = options_.files;
  Certificates made;
  WALRUS_ASSIGN(made.accepts, TlsContext::server(files, material, ClientCertificate::kRequired,
                                                 TlsVersion::k13, env_.wall()));
  WALRUS_ASSIGN(made.connects, TlsContext::client(files, material, TlsVersion::k13));
  auto name = node_name_of(made.accepts->uris());
  if (!name)
    return fail(Code::kInvalid, "{}: {}", files.certificate.string(), name.error().message);
  if (options_.self.value != 0 && name->node != options_.self)
    return fail(Code::kInvalid, "{}: it is of node {}, this is node {}", files.certificate.string(),
                name->node.value, options_.self.value);
  const auto before = certificates_.load();
  if (before && *name != before->self)
    return fail(Code::kInvalid, "{}: it is of {}, this is {}", files.certificate.string(),
                describe(*name), describe(before->self));
  if (!made.accepts->serves_both_sides())
    return fail(Code::kInvalid,
                "{}: it is not for both sides of a connection (serverAuth and "
                "clientAuth)",
                files.certificate.string());
  made.self = *std::move(name);
  const auto expires = std::chrono::floor<std::chrono::seconds>(made.accepts->expires());
  expires_.set(expires.time_since_epoch().count());
  certificates_.store(std::make_shared<const Certificates>(std::move(made)));
  return {};
}

NodeName TlsTransport::self() const { return certificates_.load()->self; }

Result<std::unique_ptr<io::Listener>> TlsTransport::listen(io::Loop& loop,
                                                           const std::string& address) {
  return below_.listen(loop, address);
}

io::Task<Channel> TlsTransport::connect(io::Loop& loop, std::string address, NodeId expected,
                                        io::Nanos timeout) {
  const auto deadline = moment_after(env_.mono(), timeout);
  const auto certificates = certificates_.load();
  std::string host;
  if (expected.value == 0) {
    WALRUS_CO_ASSIGN(const auto parsed, io::parse_address(address));
    host = parsed.host;
  }
  WALRUS_CO_ASSIGN(auto channel, co_await below_.connect(loop, address, expected, timeout));
  const auto proved = std::make_shared<std::optional<NodeId>>();
  const auto left = std::max(deadline - env_.mono(), io::Nanos(0));
  auto secured = std::make_unique<TlsConnection>(
      env_, loop, std::move(channel.bytes), certificates->connects,
      TlsConnectionOptions{.host = std::move(host),
                           .judge = judge(certificates->self, expected, proved),
                           .handshake_timeout = left});
  auto shaken = co_await secured->handshake(left);
  if (!shaken) {
    failed("out", address, shaken.error());
    co_return std::unexpected(std::move(shaken).error());
  }
  handshakes_.add();
  co_return Channel{.bytes = std::move(secured), .proved = *proved};
}

io::Task<Channel> TlsTransport::accepted(io::Loop& loop, std::unique_ptr<io::Connection> connection,
                                         io::Nanos timeout) {
  const auto certificates = certificates_.load();
  const auto peer = connection->peer();
  const auto proved = std::make_shared<std::optional<NodeId>>();
  auto secured = std::make_unique<TlsConnection>(
      env_, loop, std::move(connection), certificates->accepts,
      TlsConnectionOptions{.judge = judge(certificates->self, {}, proved),
                           .handshake_timeout = timeout,
                           .foreign = refuse_plain});
  const Place place(*this, loop, *secured);
  auto shaken = co_await secured->handshake(timeout);
  if (place.taken())
    shaken = fail(Code::kBusy, "more than {} handshakes at once, this one was the slowest",
                  options_.handshakes_max);
  if (!shaken) {
    failed("in", peer, shaken.error());
    co_return std::unexpected(std::move(shaken).error());
  }
  handshakes_.add();
  co_return Channel{.bytes = std::move(secured), .proved = *proved};
}

io::Task<NodeId> TlsTransport::find(io::Loop& loop, std::string address, NodeId expected,
                                    io::Nanos timeout) {
  const auto deadline = moment_after(env_.mono(), timeout);
  WALRUS_CO_ASSIGN(auto channel, co_await connect(loop, address, expected, timeout));
  // It has judged us when it answers the end of the connection: by its own end, or by an alert.
  channel.bytes->shutdown_write();
  char none[1];
  const auto end =
      co_await channel.bytes->read_some(none, std::max(deadline - env_.mono(), io::Nanos(0)));
  if (!end && end.error().code != Code::kIo) {
    failed("out", address, end.error());
    co_return std::unexpected(end.error());
  }
  co_return *channel.proved;
}

void TlsTransport::failed(const char* direction, const std::string& peer, const Error& why) {
  failures_.add();
  const auto suppressed = limit_.admit(env_.mono());
  if (!suppressed) return;
  log_line(log_, LogLevel::kWarning, "tls_handshake_failed",
           {{"port", "peer"},
            {"direction", direction},
            {"peer", peer},
            {"error", why},
            {"suppressed", *suppressed}});
}

}  // namespace walrus::net
