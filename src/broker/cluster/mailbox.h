#pragma once
// Mailbox: things from any thread for one loop, in the order in which they were put; what comes
// before the loop looks goes in one turn.

#include <memory>
#include <utility>
#include <vector>

#include "base/event.h"
#include "io/network.h"

namespace walrus::broker {

template <class T>
class Mailbox : public std::enable_shared_from_this<Mailbox<T>> {
 public:
  // `take` is called on the loop, for each.
  Mailbox(io::Loop& loop, std::move_only_function<void(T&&)> take)
      : loop_(loop), take_(std::move(take)) {}

  void put(T item) {
    LockGuard guard(lock_);
    items_.push_back(std::move(item));
    if (std::exchange(posted_, true)) return;
    guard.unlock();
    loop_.post([self = this->shared_from_this()] { self->drain(); });
  }

 private:
  void drain() {
    std::vector<T> items;
    {
      LockGuard guard(lock_);
      items.swap(items_);
      posted_ = false;
    }
    for (auto& item : items) take_(std::move(item));
  }

  io::Loop& loop_;
  std::move_only_function<void(T&&)> take_;  // on the loop
  Lock lock_;
  std::vector<T> items_;  // under lock_, as is
  bool posted_ = false;
};

}  // namespace walrus::broker
