#pragma once
// The network and the loop, as coroutines. Two implementations: real (Boost.Asio on epoll) and
// simulated (virtual time; loss, delay, reordering, one-way cuts, resets, half-open connections).
//
// A Loop is one thread's io_context. Coroutines are asio::awaitable<Result<T>> and stay on their
// loop; loops talk by post(). A Connection belongs to the loop that made it, which it must not
// outlive, nor may a Listener or a Gate; at most one read and one write are in flight on it.
// close() makes whatever is in flight return kClosed. A connection that breaks answers kIo.
// Destroying one with something in flight closes it first.

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>

#include "io/env.h"

namespace walrus::io {

template <class T>
using Task = boost::asio::awaitable<Result<T>>;

class Connection {
 public:
  virtual ~Connection() = default;
  // At least one byte; zero = the peer has ended its side. kTimeout after `timeout`.
  virtual Task<std::size_t> read_some(std::span<char> to, Nanos timeout) = 0;
  // All of it, handed to the kernel; the bytes must live until the task returns.
  virtual Task<void> write(Bytes, Nanos timeout) = 0;
  // Bytes handed to the kernel since the connection was made, those of a write that failed midway
  // included.
  virtual std::int64_t written() const = 0;
  virtual void shutdown_write() = 0;
  virtual void close() = 0;
  virtual std::string peer() const = 0;  // "127.0.0.1:4711"
  // Whom the peer's certificate names ("CN=alice,O=example"), verified; empty: nobody, or no TLS.
  virtual std::string principal() const { return {}; }
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual Task<std::unique_ptr<Connection>> accept() = 0;  // kClosed after close(); kBusy: EMFILE
  // The same, but the connection belongs to `owner`, which may be another loop than the listener's
  // and on another thread: hand it over by owner.post(). How one port serves several loops.
  virtual Task<std::unique_ptr<Connection>> accept_for(Loop& owner) = 0;
  virtual std::string address() const = 0;  // with the port that was really bound
  virtual void close() = 0;
};

// Holds one coroutine of its loop until it is opened, and closes again behind it; opened while none
// waits, it lets the next one through. Used on the loop's thread only.
class Gate {
 public:
  virtual ~Gate() = default;  // while none waits, unless the loop goes with all that it suspends
  virtual boost::asio::awaitable<bool> wait(Nanos timeout) = 0;  // false: timed out
  virtual void open() = 0;
};

class Loop {
 public:
  virtual ~Loop() = default;  // destroys what is still suspended on it
  virtual void run() = 0;     // real: until stop(); simulated loops are run by their world
  virtual void stop() = 0;    // from any thread
  virtual void post(std::move_only_function<void()>) = 0;  // from any thread
  // Starts a coroutine on this loop. What it needs must outlive it; it ends by itself.
  virtual void spawn(boost::asio::awaitable<void>) = 0;
  virtual boost::asio::awaitable<void> sleep(Nanos) = 0;
  virtual std::unique_ptr<Gate> make_gate() = 0;
  // kInvalid: not an address. kExists: the port is in use. kIo. "host:0" takes a free port.
  virtual Result<std::unique_ptr<Listener>> listen(const std::string& address) = 0;
  virtual Task<std::unique_ptr<Connection>> connect(std::string address, Nanos timeout) = 0;
};

// Waits on a loop until called: the bridge from callbacks (log::Engine) to coroutines.
//   Signal signal(loop); engine.when_done(p, signal.setter()); co_await signal.wait();
// The setter may be called from any thread, once, also after the Signal is gone.
class Signal {
 public:
  explicit Signal(Loop&);  // made, waited for and destroyed on this loop
  ~Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  std::move_only_function<void(Result<void>)> setter();
  Task<void> wait(Nanos timeout = Nanos::max());  // kTimeout; may be waited for again then

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the setter, which may outlive both
  std::unique_ptr<Gate> gate_;
};

}  // namespace walrus::io
