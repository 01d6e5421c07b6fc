#include "io/sim/sim_inode.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace walrus::io {
namespace {

constexpr std::int64_t kGrowthWhileMapped = 16 << 20;

std::int64_t pages_of(std::int64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes; }

// Equal when the shorter one is continued with zeros.
bool equal_with_zeros(Bytes a, Bytes b) {
  if (a.size() > b.size()) std::swap(a, b);
  const Bytes rest = b.substr(a.size());
  return a == b.substr(0, a.size()) && std::ranges::all_of(rest, [](char c) { return c == 0; });
}

Bytes part_of(const SimInode::Buffer& buffer, std::int64_t from, std::int64_t length) {
  const auto begin = std::min<std::int64_t>(from, std::ssize(buffer));
  const auto end = std::min<std::int64_t>(from + length, std::ssize(buffer));
  return {buffer.data() + begin, static_cast<std::size_t>(end - begin)};
}

}  // namespace

void SimInode::write(std::int64_t position, Bytes from) {
  const auto end = position + std::ssize(from);
  if (end > size()) resize(end);
  std::memcpy(cached_->data() + position, from.data(), from.size());
  mark_dirty(position, end);
}

void SimInode::resize(std::int64_t size) {
  const auto before = this->size();
  cached_->resize(static_cast<std::size_t>(size));
  // Zeros that were not written are dirty too: the disk may hold what was there before a cut.
  if (size > before) mark_dirty(before, size);
  if (size >= before) return;
  lost_.erase(lost_.lower_bound(size / kPageBytes), lost_.end());
  if (size % kPageBytes != 0) mark_dirty(size - 1, size);
}

bool SimInode::can_resize(std::int64_t size) const {
  return mappings_ == 0 ||
         (size >= this->size() && size <= static_cast<std::int64_t>(cached_->capacity()));
}

std::shared_ptr<SimInode::Buffer> SimInode::map() {
  if (mappings_++ == 0) cached_->reserve(cached_->size() + kGrowthWhileMapped);
  return cached_;
}

void SimInode::unmap() {
  CHECK(mappings_ > 0);
  for (std::int64_t page = 0; page < pages_of(size()); ++page) {
    if (page_differs(page)) mark_dirty(page * kPageBytes, page * kPageBytes + 1);
  }
  --mappings_;
}

Bytes SimInode::durable_content() const { return part_of(durable_, 0, durable_size_); }

SimInode::Outcome SimInode::sync(std::int64_t from, std::int64_t to, DiskChance& chance) {
  const DiskFaults& faults = chance.options.faults;
  auto pages = dirty_pages(from, to);
  if (chance.fault("sync_error", faults.sync_error)) {
    for (const auto page : pages) {
      if (chance.random.chance(0.5)) {
        transfer(page);
      } else {
        lose(page);
        ++chance.hits["dropped_page"];
      }
    }
    return Outcome::kFailed;
  }
  const auto take_one = [&] {
    const auto at = pages.begin() + static_cast<std::ptrdiff_t>(chance.random.below(pages.size()));
    const auto page = *at;
    pages.erase(at);
    return page;
  };
  if (!pages.empty() && chance.fault("lost_write", faults.lost_write)) lose(take_one());
  std::optional<std::int64_t> astray;
  if (!pages.empty() && size() > kPageBytes &&
      chance.fault("misdirected_write", faults.misdirected_write)) {
    astray = take_one();
  }
  for (const auto page : pages) transfer(page);
  if (astray) misdirect(*astray, chance);
  return Outcome::kDone;
}

void SimInode::size_synced() {
  durable_size_ = size();
  durable_.resize(static_cast<std::size_t>(durable_size_));
}

bool SimInode::maybe_dirty() const {
  return !directory_ && size() > 0 &&
         (mappings_ > 0 || std::ranges::find(dirty_, true) != dirty_.end());
}

void SimInode::write_back(DiskChance& chance) {
  constexpr std::int64_t kPagesMax = 16;
  const auto first = chance.random.below(static_cast<std::uint64_t>(pages_of(size())));
  const auto from = static_cast<std::int64_t>(first) * kPageBytes;
  const auto to = from + chance.random.between(1, kPagesMax) * kPageBytes;
  for (const auto page : dirty_pages(from, to)) {
    transfer(page);
    ++chance.hits["writeback"];
  }
}

void SimInode::evict(DiskChance& chance) {
  for (auto next = lost_.begin(); next != lost_.end();) {
    const auto at = next++;
    const auto page = at->first;
    const auto length = at->second.size();
    if (cached_page(page) != at->second) {  // stored through a mapping since: dirty again
      mark_dirty(page * kPageBytes, page * kPageBytes + 1);
      continue;
    }
    if (!chance.random.chance(chance.options.evict)) continue;
    const Bytes old = durable_page(page);
    char* to = cached_->data() + page * kPageBytes;
    std::memset(to, 0, length);
    std::memcpy(to, old.data(), std::min(old.size(), length));
    ++chance.hits["evicted_page"];
    lost_.erase(at);
  }
}

void SimInode::flip(std::int64_t bit) {
  const auto byte = static_cast<std::size_t>(bit / 8);
  const auto mask = static_cast<char>(1 << (bit % 8));
  if (byte < cached_->size()) (*cached_)[byte] ^= mask;
  if (byte < durable_.size()) durable_[byte] ^= mask;
  const auto lost = lost_.find(bit / 8 / kPageBytes);
  if (lost != lost_.end() && byte < cached_->size()) lost->second[byte % kPageBytes] ^= mask;
}

void SimInode::plant(Bytes content) {
  CHECK(mappings_ == 0);
  cached_->assign(content.begin(), content.end());
  durable_ = *cached_;
  durable_size_ = size();
  dirty_.clear();
  lost_.clear();
}

void SimInode::kill() {
  if (mappings_ == 0) return;
  while (mappings_ > 1) --mappings_;
  unmap();
  cached_ = std::make_shared<Buffer>(*cached_);
}

void SimInode::cut_power(DiskChance& chance) {
  // The pages first: dirty_pages() tells what the mapping changed only while it is one.
  for (const auto page : dirty_pages(0, size())) {
    const auto end = std::min(size(), (page + 1) * kPageBytes);
    for (auto at = page * kPageBytes; at < end; at += kSectorBytes) cut_sector(at, chance);
  }
  if (size() != durable_size_) {
    bool is_new = chance.random.chance(0.5);
    ++chance.hits[is_new ? "new_size" : "old_size"];
    if (is_new) durable_size_ = size();
  }
  durable_.resize(static_cast<std::size_t>(durable_size_));
  cached_ = std::make_shared<Buffer>(durable_);
  dirty_.clear();
  lost_.clear();
  mappings_ = 0;
}

// Old, new, or the first bytes new and the rest old (or garbage).
void SimInode::cut_sector(std::int64_t position, DiskChance& chance) {
  const Bytes now = part_of(*cached_, position, kSectorBytes);
  const Bytes old = part_of(durable_, position, kSectorBytes);
  if (equal_with_zeros(now, old)) return;
  auto length = std::ssize(now);
  std::string garbage;
  if (chance.fault("torn_sector", chance.options.torn)) {
    length = chance.random.between(1, std::max<std::int64_t>(1, length - 1));
    if (chance.fault("garbage_sector", chance.options.faults.garbage_sector)) {
      while (length + std::ssize(garbage) < std::ssize(now)) {
        garbage += static_cast<char>(chance.random.next());
      }
    }
  } else if (chance.random.chance(0.5)) {
    ++chance.hits["old_sector"];
    return;
  } else {
    ++chance.hits["new_sector"];
  }
  const auto end = static_cast<std::size_t>(position + std::ssize(now));
  if (durable_.size() < end) durable_.resize(end);
  std::memcpy(durable_.data() + position, now.data(), static_cast<std::size_t>(length));
  std::memcpy(durable_.data() + position + length, garbage.data(), garbage.size());
}

std::vector<std::int64_t> SimInode::dirty_pages(std::int64_t from, std::int64_t to) {
  std::vector<std::int64_t> pages;
  const auto end = pages_of(std::min(to, size()));
  for (auto page = std::max<std::int64_t>(from, 0) / kPageBytes; page < end; ++page) {
    const bool marked = page < std::ssize(dirty_) && dirty_[static_cast<std::size_t>(page)];
    if (!marked && (mappings_ == 0 || !page_differs(page))) continue;
    pages.push_back(page);
  }
  return pages;
}

// Whether a store through a mapping made the page dirty: what was lost counts as clean.
bool SimInode::page_differs(std::int64_t page) const {
  if (const auto lost = lost_.find(page); lost != lost_.end()) {
    return cached_page(page) != lost->second;
  }
  return !equal_with_zeros(cached_page(page), durable_page(page));
}

Bytes SimInode::cached_page(std::int64_t page) const {
  return part_of(*cached_, page * kPageBytes, kPageBytes);
}
Bytes SimInode::durable_page(std::int64_t page) const {
  return part_of(durable_, page * kPageBytes, kPageBytes);
}

void SimInode::transfer(std::int64_t page) {
  const Bytes now = cached_page(page);
  const auto at = static_cast<std::size_t>(page * kPageBytes);
  if (durable_.size() < at + now.size()) durable_.resize(at + now.size());
  std::memcpy(durable_.data() + at, now.data(), now.size());
  if (page < std::ssize(dirty_)) dirty_[static_cast<std::size_t>(page)] = false;
  lost_.erase(page);
}

void SimInode::lose(std::int64_t page) {
  if (page < std::ssize(dirty_)) dirty_[static_cast<std::size_t>(page)] = false;
  lost_[page] = std::string(cached_page(page));
}

// The page lands on another one, which keeps reading right until it is evicted.
void SimInode::misdirect(std::int64_t page, DiskChance& chance) {
  auto target = static_cast<std::int64_t>(
      chance.random.below(static_cast<std::uint64_t>(pages_of(size()) - 1)));
  if (target >= page) ++target;
  const std::string content(cached_page(page));
  lose(page);
  lose(target);
  const auto at = static_cast<std::size_t>(target * kPageBytes);
  if (durable_.size() < at + content.size()) durable_.resize(at + content.size());
  std::memcpy(durable_.data() + at, content.data(), content.size());
}

void SimInode::mark_dirty(std::int64_t from, std::int64_t to) {
  const auto end = pages_of(to);
  if (std::ssize(dirty_) < end) dirty_.resize(static_cast<std::size_t>(end));
  for (auto page = from / kPageBytes; page < end; ++page) {
    dirty_[static_cast<std::size_t>(page)] = true;
    lost_.erase(page);
  }
}

}  // namespace walrus::io
