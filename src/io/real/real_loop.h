#pragma once
// The real loop: Boost.Asio on epoll, one io_context, run by the one thread that calls run().

#include <memory>

namespace walrus::io {

class Loop;

std::unique_ptr<Loop> make_real_loop();

}  // namespace walrus::io
