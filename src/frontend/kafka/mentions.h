#pragma once
// Mentions: how often a request names each thing, so that what is named again costs no more than
// what is named once. Pure.

#include <functional>
#include <map>

namespace walrus::frontend::kafka {

enum class Mention {
  kOnce,      // named once in all
  kRepeated,  // named more than once, and now asked for for the first time
  kAgain,     // asked for before
};

template <class Key>
class Mentions {
 public:
  template <class List, class Projection = std::identity>
  explicit Mentions(const List& list, Projection name = {}) {
    for (const auto& one : list) ++counts_[std::invoke(name, one)].named;
  }
  Mention mention(const Key& key) {
    auto& count = counts_[key];
    if (++count.asked > 1) return Mention::kAgain;
    return count.named > 1 ? Mention::kRepeated : Mention::kOnce;
  }
  bool first(const Key& key) { return mention(key) != Mention::kAgain; }

 private:
  struct Count {
    std::size_t named = 0, asked = 0;
  };
  std::map<Key, Count> counts_;
};

}  // namespace walrus::frontend::kafka
