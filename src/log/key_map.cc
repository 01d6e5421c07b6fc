#include "log/key_map.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <bit>

#include "base/check.h"

namespace walrus::log {
namespace {

constexpr std::size_t kSlotsMin = 1024;

constexpr std::size_t usable(std::size_t slots) { return slots / 4 * 3; }

}  // namespace

KeyMap::Slot& KeyMap::find(std::vector<Slot>& slots, std::uint64_t low, std::uint64_t high) {
  auto mask = slots.size() - 1;
  for (std::size_t at = low & mask;; at = (at + 1) & mask) {
    Slot& slot = slots[at];
    if (slot.offset < 0 || (slot.low == low && slot.high == high)) return slot;
  }
}

// While it grows, the old slots and the new ones are there side by side: both count.
bool KeyMap::resize(std::size_t slots) {
  auto bytes = (slots_.size() + slots) * sizeof(Slot);
  if (static_cast<std::int64_t>(bytes) > bytes_max_) return false;
  std::vector<Slot> larger(slots);
  for (const Slot& slot : slots_) {
    if (slot.offset >= 0) find(larger, slot.low, slot.high) = slot;
  }
  slots_ = std::move(larger);
  return true;
}

bool KeyMap::has_room(std::int64_t keys) {
  auto wanted = used_ + static_cast<std::size_t>(keys);
  while (wanted > usable(slots_.size())) {
    if (!resize(slots_.empty() ? kSlotsMin : slots_.size() * 2)) return false;
  }
  return true;
}

void KeyMap::put(Bytes key, std::int64_t offset) {
  CHECK(used_ < usable(slots_.size()));
  auto hash = XXH3_128bits(key.data(), key.size());
  Slot& slot = find(slots_, hash.low64, hash.high64);
  if (slot.offset < 0) ++used_;
  slot = {.low = hash.low64, .high = hash.high64, .offset = offset};
}

std::optional<std::int64_t> KeyMap::last_offset(Bytes key) const {
  if (slots_.empty()) return std::nullopt;
  auto hash = XXH3_128bits(key.data(), key.size());
  const Slot& slot = find(const_cast<std::vector<Slot>&>(slots_), hash.low64, hash.high64);
  if (slot.offset < 0) return std::nullopt;
  return slot.offset;
}

}  // namespace walrus::log
