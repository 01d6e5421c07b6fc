#pragma once
// Waiters: who waits on one loop for something to change. Lives on that loop; shared, because
// callbacks of the engine that are still under way hold it. Everybody is woken to look again; who
// gave up has left by remove(), so that the list holds no more than what really waits.

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "base/result.h"

namespace walrus::broker {

class Waiters {
 public:
  using Wake = std::move_only_function<void(Result<void>)>;
  std::uint64_t add(Wake wake) {
    waiting_.emplace(++last_id_, std::move(wake));
    return last_id_;
  }
  void remove(std::uint64_t id) { waiting_.erase(id); }
  void wake(std::uint64_t id, const Result<void>& result) {
    auto found = waiting_.find(id);
    if (found == waiting_.end()) return;
    auto call = std::move(found->second);
    waiting_.erase(found);
    call(result);
  }
  void wake_all(const Result<void>& result) {
    auto waiting = std::exchange(waiting_, {});
    for (auto& [id, call] : waiting) call(result);
  }
  bool empty() const { return waiting_.empty(); }

 private:
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Wake> waiting_;
};

}  // namespace walrus::broker
