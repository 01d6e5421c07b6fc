#pragma once
// A Gate made of a timer: the coroutine waits for it to expire, and opening cancels it. What waits
// sits in the io_context's timer queue and so goes with the io_context.

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "io/network.h"

namespace walrus::io {

class RealGate final : public Gate {
 public:
  explicit RealGate(boost::asio::io_context& context) : timer_(context) {}
  boost::asio::awaitable<bool> wait(Nanos timeout) override;
  void open() override;

 private:
  boost::asio::steady_timer timer_;
  bool open_ = false;
};

// The moment after so long, or the last one there is.
std::chrono::steady_clock::time_point moment_after(Nanos);

}  // namespace walrus::io
