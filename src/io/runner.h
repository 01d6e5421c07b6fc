#pragma once
// Runner: a loop with a thread of its own, for callers who block. Everything of a connection lives
// on the loop; the faces (Client, Producer, Session) only hand work to it and wait.

#include <memory>
#include <utility>

#include "io/network.h"

namespace walrus::io {

template <class T>
using Done = std::move_only_function<void(Result<T>)>;

class Runner {
 public:
  explicit Runner(Env& env);
  ~Runner() { stop(); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  Env& env() { return env_; }
  Loop& loop() { return *loop_; }
  // After it nothing runs on the loop; what is suspended there goes with the Runner.
  void stop();

  // Runs `start` on the loop and blocks until the callback that it is given has been called.
  template <class T>
  Result<T> call(std::move_only_function<void(Done<T>)> start) {
    auto slot = std::make_shared<Slot<T>>();  // shared: the setter may still be in Event::set()
    loop_->post([start = std::move(start), slot]() mutable {
      start([slot](Result<T> result) {
        slot->result = std::move(result);
        slot->event.set();
      });
    });
    env_.wait(slot->event, Nanos::max());
    return std::move(slot->result);
  }

  // The same for a coroutine.
  template <class T>
  Result<T> run(std::move_only_function<Task<T>()> make) {
    return call<T>([this, make = std::move(make)](Done<T> done) mutable {
      loop_->spawn(finish<T>(make(), std::move(done)));
    });
  }

 private:
  template <class T>
  struct Slot {
    Event event;
    Result<T> result = fail(Code::kClosed, "not answered");
  };
  template <class T>
  static boost::asio::awaitable<void> finish(Task<T> task, Done<T> done) {
    done(co_await std::move(task));
  }

  Env& env_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Worker> worker_;
};

}  // namespace walrus::io
