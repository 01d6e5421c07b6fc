#pragma once
// The admin port: HTTP for operators and their tools.
//
//   GET /metrics   Prometheus text
//   GET /healthz   200 while the process serves; 503 with the reason once the storage has failed
//   GET /readyz    200 while it takes work; 503 while starting, stopping, or short of storage
//
// Anything else is 404, another method 405. Lives on one loop.

#include <functional>
#include <memory>
#include <string>

#include "io/network.h"
#include "net/acceptor.h"

namespace walrus::frontend::admin {

struct AdminPages {
  std::function<std::string()> metrics{};
  std::function<Result<void>()> health{};
  std::function<Result<void>()> ready{};
};

class AdminServer {
 public:
  static Result<std::unique_ptr<AdminServer>> listen(io::Loop&, const std::string& address,
                                                     AdminPages);
  ~AdminServer();
  void start();
  void close();  // no further connections; those that are open end with their request
  const std::string& address() const;

 private:
  struct Shared;
  AdminServer(std::unique_ptr<net::Acceptor>, std::shared_ptr<Shared>);
  static boost::asio::awaitable<void> serve(std::shared_ptr<Shared>,
                                            std::unique_ptr<io::Connection>);
  static io::Task<void> answer_all(std::shared_ptr<Shared>, io::Connection&);

  std::unique_ptr<net::Acceptor> acceptor_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace walrus::frontend::admin
