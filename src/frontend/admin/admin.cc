#include "frontend/admin/admin.h"

#include "base/metrics.h"
#include "wire/http/message.h"

namespace walrus::frontend::admin {
namespace {

constexpr std::size_t kConnectionsMax = 64;
constexpr io::Nanos kTimeout = std::chrono::seconds(30);

wire::http::Response answer(const AdminPages& pages, const wire::http::Request& request) {
  wire::http::Response response{.keep_alive = request.keep_alive, .head = request.method == "HEAD"};
  auto check = [&response](const std::function<Result<void>()>& page) {
    auto result = page();
    response.status = result ? 200 : 503;
    response.body = result ? "ok\n" : result.error().message + "\n";
  };
  bool known =
      request.path == "/metrics" || request.path == "/healthz" || request.path == "/readyz";
  if (!known) {
    response.status = 404;
    response.body = "not found; there are /metrics, /healthz and /readyz\n";
  } else if (request.method != "GET" && request.method != "HEAD") {
    response.status = 405;
    response.allow = "GET, HEAD";
    response.body = "method not allowed\n";
  } else if (request.path == "/metrics") {
    response.content_type = std::string(Metrics::kContentType);
    response.body = pages.metrics();
  } else {
    check(request.path == "/healthz" ? pages.health : pages.ready);
  }
  return response;
}

}  // namespace

struct AdminServer::Shared {
  AdminPages pages;
  io::Loop* loop;
  net::Acceptor* acceptor = nullptr;  // null once it has gone
  bool closing = false;
};

AdminServer::AdminServer(std::unique_ptr<net::Acceptor> acceptor, std::shared_ptr<Shared> shared)
    : acceptor_(std::move(acceptor)), shared_(std::move(shared)) {
  shared_->acceptor = acceptor_.get();
}

AdminServer::~AdminServer() { shared_->acceptor = nullptr; }

Result<std::unique_ptr<AdminServer>> AdminServer::listen(io::Loop& loop, const std::string& address,
                                                         AdminPages pages) {
  WALRUS_ASSIGN(auto acceptor,
                net::Acceptor::listen({&loop}, {.listen = address,
                                                .connections_max = kConnectionsMax,
                                                .connections_per_address_max = kConnectionsMax}));
  auto shared = std::make_shared<Shared>(std::move(pages), &loop);
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(acceptor), std::move(shared)));
}

void AdminServer::start() {
  wire::http::Response busy{.status = 503, .body = "too many connections\n", .keep_alive = false};
  auto serve_one = [shared = shared_, loop = shared_->loop](
                       std::size_t, std::unique_ptr<io::Connection> connection) {
    loop->spawn(serve(shared, std::move(connection)));
  };
  acceptor_->start(serve_one, wire::http::encode(busy));
}

void AdminServer::close() {
  shared_->closing = true;
  acceptor_->close();
}

const std::string& AdminServer::address() const { return acceptor_->address(); }

boost::asio::awaitable<void> AdminServer::serve(std::shared_ptr<Shared> shared,
                                                std::unique_ptr<io::Connection> connection) {
  auto peer = connection->peer();
  (void)co_await answer_all(shared, *connection);
  connection->close();
  if (shared->acceptor != nullptr) shared->acceptor->release(peer);
}

io::Task<void> AdminServer::answer_all(std::shared_ptr<Shared> shared, io::Connection& connection) {
  std::string received;
  while (!shared->closing) {
    auto request = wire::http::parse_request(received);
    if (!request) {
      auto refusal = wire::http::encode({.status = request.error().status,
                                         .body = request.error().reason + "\n",
                                         .keep_alive = false});
      co_return co_await connection.write(refusal, kTimeout);
    }
    if (!*request) {
      char bytes[2048];
      WALRUS_CO_ASSIGN(auto size, co_await connection.read_some(bytes, kTimeout));
      if (size == 0) break;
      received.append(bytes, size);
      continue;
    }
    received.erase(0, (*request)->head_bytes);
    auto response = wire::http::encode(answer(shared->pages, **request));
    WALRUS_CO_TRY(co_await connection.write(response, kTimeout));
    if (!(*request)->keep_alive) break;
  }
  co_return Result<void>();
}

}  // namespace walrus::frontend::admin
