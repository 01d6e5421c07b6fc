#pragma once
// Answering: a callback that is called exactly once, at the latest when it is destroyed: then with
// kClosed. So nobody waits for what was dropped on the way.

#include <functional>
#include <memory>
#include <utility>

#include "base/event.h"
#include "io/env.h"
#include "io/runner.h"

namespace walrus::service {

template <class T>
class Answering {
 public:
  Answering() = default;
  Answering(io::Done<T> done) : done_(std::move(done)) {}  // NOLINT: converts
  Answering(Answering&& other) noexcept : done_(std::exchange(other.done_, nullptr)) {}
  Answering& operator=(Answering&& other) noexcept {
    drop();
    done_ = std::exchange(other.done_, nullptr);
    return *this;
  }
  ~Answering() { drop(); }
  void operator()(Result<T> result) {
    if (auto done = std::exchange(done_, nullptr)) done(std::move(result));
  }
  explicit operator bool() const { return static_cast<bool>(done_); }

 private:
  void drop() {
    if (done_) (*this)(fail(Code::kClosed, "stopped"));
  }
  io::Done<T> done_{};
};

// A caller that blocks until its Answering is called.
template <class T>
class Waiting {
 public:
  Answering<T> answering() {
    return Answering<T>([slot = slot_](Result<T> result) {
      slot->result = std::move(result);
      slot->event.set();
    });
  }
  Result<T> wait(io::Env& env) {
    if (!env.wait(slot_->event, io::Nanos::max())) return fail(Code::kClosed, "stopped");
    return std::move(slot_->result);
  }

 private:
  struct Slot {
    Event event;
    Result<T> result = fail(Code::kClosed, "stopped");
  };
  std::shared_ptr<Slot> slot_ = std::make_shared<Slot>();  // shared: set() may still run
};

}  // namespace walrus::service
