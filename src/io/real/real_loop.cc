#include "io/real/real_loop.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/check.h"
#include "io/real/real_gate.h"

namespace walrus::io {

namespace asio = boost::asio;

RealLoop::RealLoop() : work_(context_.get_executor()) {}

// The io_context destroys what is suspended on it; see its own destructor.
RealLoop::~RealLoop() = default;

// Ready to be run again after it was stopped. A stop() that came first makes it return at once.
void RealLoop::run() {
  context_.run();
  context_.restart();
}

void RealLoop::stop() { context_.stop(); }

void RealLoop::post(std::move_only_function<void()> call) { asio::post(context_, std::move(call)); }

void RealLoop::spawn(asio::awaitable<void> coroutine) {
  // Our code does not throw; what a library throws must have become a Result before.
  asio::co_spawn(context_, std::move(coroutine),
                 [](const std::exception_ptr& thrown) { CHECK(thrown == nullptr); });
}

asio::awaitable<void> RealLoop::sleep(Nanos length) {
  asio::steady_timer timer(context_);
  timer.expires_at(moment_after(length));
  co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

std::unique_ptr<Gate> RealLoop::make_gate() { return std::make_unique<RealGate>(context_); }

asio::awaitable<bool> RealGate::wait(Nanos timeout) {
  if (!open_) {
    timer_.expires_at(moment_after(timeout));
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  co_return std::exchange(open_, false);
}

void RealGate::open() {
  open_ = true;
  timer_.cancel();
}

std::chrono::steady_clock::time_point moment_after(Nanos length) {
  const auto now = std::chrono::steady_clock::now();
  const auto last = std::chrono::steady_clock::time_point::max();
  return length >= last - now ? last : now + length;
}

}  // namespace walrus::io
