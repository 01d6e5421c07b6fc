#pragma once
// Timers: many deadlines on one loop behind one coroutine, in order of time. Lives on its loop.

#include <functional>
#include <map>
#include <memory>

#include "io/network.h"

namespace walrus::net {

class Timers {
 public:
  struct Key {  // names a timer; the default one names none
    io::Nanos time{};
    std::uint64_t number = 0;
    auto operator<=>(const Key&) const = default;
  };
  using Call = std::move_only_function<void()>;

  Timers(io::Env&, io::Loop&);
  ~Timers();  // nothing is called any more

  Key at(io::Nanos time, Call);  // of Env::mono(); max: never
  void cancel(const Key&);       // nothing when it was called or cancelled before
  std::size_t size() const;

 private:
  struct State;
  static boost::asio::awaitable<void> run(std::shared_ptr<State>);
  std::shared_ptr<State> state_;  // shared with its coroutine
};

// now + timeout, at most the last moment there is.
io::Nanos moment_after(io::Nanos now, io::Nanos timeout);

}  // namespace walrus::net
