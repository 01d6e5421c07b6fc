#pragma once
// Mailbox: calls from any thread to one loop, run there in order; those that come together share a
// turn of the loop. Copies are the same mailbox.

#include <functional>
#include <memory>
#include <vector>

#include "base/event.h"
#include "io/network.h"

namespace walrus::raft {

class Mailbox {
 public:
  using Call = std::move_only_function<void()>;

  explicit Mailbox(io::Loop& loop) : state_(std::make_shared<State>()) { state_->loop = &loop; }

  void send(Call);  // any thread; dropped once it is closed
  void close();     // on the loop's thread; nothing is called any more

 private:
  struct State {
    Lock lock;
    io::Loop* loop = nullptr;   // null: closed
    std::vector<Call> calls{};  // that the posted turn will run
  };
  static void run(const std::shared_ptr<State>&);
  std::shared_ptr<State> state_;  // shared with who sends, who may outlive the loop
};

}  // namespace walrus::raft
