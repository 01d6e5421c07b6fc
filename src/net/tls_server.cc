#include "net/tls_server.h"

#include "io/address.h"

namespace walrus::net {

TlsServer::TlsServer(io::Env& env, LogSink& log, Metrics& metrics, const TlsServerOptions& options)
    : env_(env),
      log_(log),
      options_(options),
      watch_(env.disk(), log, options.files),
      handshakes_(metrics.counter({"walrus_tls_handshakes", "TLS handshakes that succeeded."})),
      failures_(metrics.counter({"walrus_tls_handshake_failures", "TLS handshakes that failed."})),
      expires_(metrics.gauge({"walrus_tls_certificate_expires",
                              "When the certificate ceases to be valid, since 1970.", "seconds"})) {
}

TlsServer::~TlsServer() = default;

Result<std::unique_ptr<TlsServer>> TlsServer::open(io::Env& env, LogSink& log, Metrics& metrics,
                                                   const TlsServerOptions& options) {
  std::unique_ptr<TlsServer> server(new TlsServer(env, log, metrics, options));
  auto& made = *server;
  WALRUS_TRY(made.watch_.open([&](const TlsMaterial& material) { return made.take(material); }));
  return server;
}

Result<void> TlsServer::take(const TlsMaterial& material) {
  WALRUS_ASSIGN(auto made, TlsContext::server(options_.files, material, options_.client_certificate,
                                              options_.version_min, env_.wall()));
  expires_.set(
      std::chrono::floor<std::chrono::seconds>(made->expires()).time_since_epoch().count());
  context_.store(std::move(made));
  return {};
}

void TlsServer::refresh() {
  watch_.refresh([this](const TlsMaterial& material) { return take(material); });
}

std::unique_ptr<io::Connection> TlsServer::secure(io::Loop& loop,
                                                  std::unique_ptr<io::Connection> plain,
                                                  const char* port, std::function<void()> secured,
                                                  std::function<std::string(Bytes)> foreign) {
  auto handshaken = [this, port, peer = plain->peer(),
                     secured = std::move(secured)](const Result<void>& result) {
    if (!result) return failed(port, peer, result.error());
    handshakes_.add();
    if (secured) secured();
  };
  return std::make_unique<TlsConnection>(
      env_, loop, std::move(plain), context_.load(),
      TlsConnectionOptions{.handshake_timeout = options_.handshake_timeout,
                           .handshaken = std::move(handshaken),
                           .foreign = std::move(foreign)});
}

void TlsServer::failed(const char* port, const std::string& peer, const Error& why) {
  failures_.add();
  auto suppressed = limit_.admit(env_.mono());
  if (!suppressed) return;
  log_line(log_, LogLevel::kWarning, "tls_handshake_failed",
           {{"port", port}, {"peer", peer}, {"error", why}, {"suppressed", *suppressed}});
}

Result<std::shared_ptr<TlsClient>> TlsClient::open(io::Env& env, const TlsClientOptions& options) {
  WALRUS_ASSIGN(auto material, read_tls_files(env.disk(), options.files));
  WALRUS_ASSIGN(auto made, TlsContext::client(options.files, material, options.version_min));
  return std::shared_ptr<TlsClient>(new TlsClient(env, std::move(made)));
}

io::Task<std::unique_ptr<io::Connection>> TlsClient::secure(io::Loop& loop,
                                                            std::unique_ptr<io::Connection> plain,
                                                            std::string address,
                                                            io::Nanos timeout) {
  WALRUS_CO_ASSIGN(auto parsed, io::parse_address(address));
  auto secured = std::make_unique<TlsConnection>(
      env_, loop, std::move(plain), context_,
      TlsConnectionOptions{.host = parsed.host, .handshake_timeout = timeout});
  WALRUS_CO_TRY(co_await secured->handshake(timeout));
  co_return std::unique_ptr<io::Connection>(std::move(secured));
}

}  // namespace walrus::net
