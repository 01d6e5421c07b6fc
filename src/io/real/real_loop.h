#pragma once
// The real loop: Boost.Asio on epoll, one io_context, run by the one thread that calls run().

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>

#include "io/network.h"

namespace walrus::io {

class RealLoop final : public Loop {
 public:
  RealLoop();
  ~RealLoop() override;
  void run() override;
  void stop() override;
  void post(std::move_only_function<void()>) override;
  void spawn(boost::asio::awaitable<void>) override;
  boost::asio::awaitable<void> sleep(Nanos) override;
  std::unique_ptr<Gate> make_gate() override;
  Result<std::unique_ptr<Listener>> listen(const std::string& address) override;
  Task<std::unique_ptr<Connection>> connect(std::string address, Nanos timeout) override;

  boost::asio::io_context& context() { return context_; }

 private:
  boost::asio::io_context context_{1};  // one thread runs it; others only post
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
};

}  // namespace walrus::io
