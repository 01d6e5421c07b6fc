#pragma once
// Newcomers: the connections of one loop that have not proven anything yet. Above the limit the one
// that has been here longest is cut: who means it proves itself in milliseconds.

#include <cstdint>
#include <functional>
#include <map>

namespace walrus::net {

class Newcomers {
 public:
  explicit Newcomers(std::size_t max) : max_(max) {}

  std::uint64_t enter(std::function<void()> cut) {
    if (waiting_.size() >= max_) {
      auto oldest = std::move(waiting_.extract(waiting_.begin()).mapped());
      ++cut_;
      oldest();
    }
    waiting_.emplace(++last_, std::move(cut));
    return last_;
  }
  void leave(std::uint64_t id) { waiting_.erase(id); }
  std::size_t size() const { return waiting_.size(); }
  std::uint64_t cut() const { return cut_; }

 private:
  const std::size_t max_;
  std::uint64_t last_ = 0, cut_ = 0;
  std::map<std::uint64_t, std::function<void()>> waiting_;  // oldest first
};

}  // namespace walrus::net
