#pragma once
// The last offset of each key, for compaction. Keys are known by their 128-bit hash alone, so that
// a key costs 24 bytes whatever its length; that two keys share one is not expected within the
// life of the universe. Bounded: says no when full.

#include <cstdint>
#include <optional>
#include <vector>

#include "walrus/log.h"

namespace walrus::log {

class KeyMap {
 public:
  explicit KeyMap(std::int64_t bytes_max) : bytes_max_(bytes_max) {}

  // Whether `keys` more would surely fit.
  bool has_room(std::int64_t keys);
  void put(Bytes key, std::int64_t offset);  // needs room
  std::optional<std::int64_t> last_offset(Bytes key) const;

 private:
  struct Slot {
    std::uint64_t low = 0, high = 0;
    std::int64_t offset = -1;  // -1: free
  };
  // The slot of a key, or the free one where it belongs. Needs a free slot.
  static Slot& find(std::vector<Slot>&, std::uint64_t low, std::uint64_t high);
  bool resize(std::size_t slots);

  const std::int64_t bytes_max_;
  std::vector<Slot> slots_;  // a power of two, at most three quarters used; linear probing
  std::size_t used_ = 0;
};

}  // namespace walrus::log
