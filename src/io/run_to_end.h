#pragma once
// run_to_end: for tests of either world: runs a loop until the coroutine given to it is over.

#include <gtest/gtest.h>

#include <utility>

#include "io/network.h"

namespace walrus::io {

namespace run_to_end_detail {
inline boost::asio::awaitable<void> stop_after(Loop& loop, boost::asio::awaitable<void> test,
                                               bool& over) {
  co_await std::move(test);
  over = true;
  loop.stop();
}
}  // namespace run_to_end_detail

inline void run_to_end(Loop& loop, boost::asio::awaitable<void> test) {
  bool over = false;
  loop.spawn(run_to_end_detail::stop_after(loop, std::move(test), over));
  loop.run();
  ASSERT_TRUE(over);
}

}  // namespace walrus::io
