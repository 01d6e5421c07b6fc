#pragma once
// run_on: runs a coroutine on another loop and comes back with its result.

#include <memory>
#include <optional>
#include <utility>

#include "io/network.h"

namespace walrus::broker {

template <class T>
using Make = std::move_only_function<io::Task<T>()>;

namespace run_on_detail {
template <class T>
boost::asio::awaitable<void> carry(Make<T> make, std::shared_ptr<std::optional<Result<T>>> result,
                                   std::move_only_function<void(Result<void>)> done) {
  result->emplace(co_await make());
  done({});
}
}  // namespace run_on_detail

// `make` is called on `there` and must take by value what its coroutine keeps.
template <class T>
io::Task<T> run_on(io::Loop& here, io::Loop& there, Make<T> make) {
  if (&here == &there) co_return co_await make();
  auto result = std::make_shared<std::optional<Result<T>>>();
  io::Signal signal(here);
  there.post([&there, make = std::move(make), result, done = signal.setter()]() mutable {
    there.spawn(run_on_detail::carry<T>(std::move(make), result, std::move(done)));
  });
  WALRUS_CO_TRY(co_await signal.wait());
  co_return std::move(**result);
}

}  // namespace walrus::broker
