#include "raft/mailbox.h"

#include <utility>

namespace walrus::raft {

void Mailbox::send(Call call) {
  const LockGuard guard(state_->lock);
  if (state_->loop == nullptr) return;
  state_->calls.push_back(std::move(call));
  if (state_->calls.size() == 1) state_->loop->post([state = state_] { run(state); });
}

void Mailbox::close() {
  std::vector<Call> dropped;
  const LockGuard guard(state_->lock);
  state_->loop = nullptr;
  dropped.swap(state_->calls);
}

void Mailbox::run(const std::shared_ptr<State>& state) {
  std::vector<Call> calls;
  {
    const LockGuard guard(state->lock);
    calls.swap(state->calls);
  }
  for (auto& call : calls) {
    call();
    if (state->loop == nullptr) return;
  }
}

}  // namespace walrus::raft
