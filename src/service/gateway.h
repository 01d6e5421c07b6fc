#pragma once
// Gateway: the way onto a loop from any thread, as long as there is one.

#include <utility>

#include "base/event.h"
#include "service/answering.h"

namespace walrus::service {

class Gateway {
 public:
  Gateway(io::Env& env, io::Loop& loop) : env_(env), loop_(&loop) {}
  io::Env& env() { return env_; }

  // False: closed, and `call` was destroyed instead.
  bool post(std::move_only_function<void()> call) {
    const LockGuard guard(lock_);
    if (loop_ == nullptr) return false;
    loop_->post(std::move(call));
    return true;
  }
  // Before the loop goes.
  void close() {
    const LockGuard guard(lock_);
    loop_ = nullptr;
  }
  // Blocks until `start` has had its Answering called, on the loop.
  template <class T>
  Result<T> call(std::move_only_function<void(Answering<T>)> start) {
    Waiting<T> waiting;
    post([start = std::move(start), answering = waiting.answering()]() mutable {
      start(std::move(answering));
    });
    return waiting.wait(env_);
  }
  // The same for a coroutine.
  template <class T>
  Result<T> run(std::move_only_function<io::Task<T>()> make) {
    return call<T>([this, make = std::move(make)](Answering<T> answering) mutable {
      loop_->spawn(finish<T>(make(), std::move(answering)));
    });
  }

 private:
  template <class T>
  static boost::asio::awaitable<void> finish(io::Task<T> task, Answering<T> answering) {
    answering(co_await std::move(task));
  }

  io::Env& env_;
  Lock lock_;
  io::Loop* loop_;  // under lock_; null: closed
};

}  // namespace walrus::service
