#pragma once
// Agenda: what is to happen in a simulated world, by time; ties in the order in which they were
// entered, or by the seed.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace walrus::sim {

template <class Occasion>
class Agenda {
 public:
  // `shuffle`: drawn from the seed, or 0.
  void add(std::int64_t at, Occasion occasion, std::uint64_t shuffle) {
    auto tie = (shuffle & ~std::uint64_t{0xffffffff}) | ++sequence_;
    heap_.push_back({at, tie, occasion});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  struct Next {
    std::int64_t at;
    Occasion occasion;
  };
  std::optional<Next> take(std::int64_t until) {
    if (heap_.empty() || heap_.front().at >= until) return std::nullopt;
    std::pop_heap(heap_.begin(), heap_.end(), later);
    auto entry = heap_.back();
    heap_.pop_back();
    return Next{entry.at, entry.occasion};
  }

 private:
  struct Entry {
    std::int64_t at;
    std::uint64_t tie;
    Occasion occasion;
  };
  static bool later(const Entry& a, const Entry& b) {
    return a.at != b.at ? a.at > b.at : a.tie > b.tie;
  }

  std::vector<Entry> heap_{};
  std::uint64_t sequence_ = 0;
};

}  // namespace walrus::sim
