#include "io/sim/sim_disk_state.h"

#include <algorithm>

#include "base/check.h"
#include "base/result.h"

namespace walrus::io {

SimDiskState::SimDiskState(std::uint64_t seed, int node, const DiskOptions& options)
    : chance{.random = SimRandom(seed), .options = options, .hits = {}},
      seed_(seed),
      node_(node),
      root_(std::make_shared<SimInode>(0, true)) {}

Path SimDiskState::normal(const Path& path) {
  Path result = (Path("/") / path).lexically_normal();
  if (!result.has_filename() && result.has_relative_path()) result = result.parent_path();
  return result;
}

SimInodeRef SimDiskState::find(const Path& path) const {
  SimInodeRef at = root_;
  for (const auto& name : normal(path).relative_path()) {
    const auto entry = at->entries.find(name.string());
    if (entry == at->entries.end()) return nullptr;
    at = entry->second;
  }
  return at;
}

SimInodeRef SimDiskState::find_durable(const Path& path) const {
  SimInodeRef at = root_;
  for (const auto& name : normal(path).relative_path()) {
    const auto entry = at->durable_entries.find(name.string());
    if (entry == at->durable_entries.end()) return nullptr;
    at = entry->second;
  }
  return at;
}

SimInodeRef SimDiskState::parent_of(const Path& path) const {
  auto parent = find(normal(path).parent_path());
  return parent && parent->directory() ? parent : nullptr;
}

SimInodeRef SimDiskState::create(const Path& path, bool directory) {
  auto made = std::make_shared<SimInode>(++last_id_, directory);
  change({{parent_of(path), normal(path).filename().string(), made}});
  return made;
}

void SimDiskState::remove(const Path& path) {
  change({{parent_of(path), normal(path).filename().string(), nullptr}});
}

void SimDiskState::rename(const Path& from, const Path& to) {
  auto moved = find(from);
  if (moved == find(to)) return;
  change({{parent_of(from), normal(from).filename().string(), nullptr},
          {parent_of(to), normal(to).filename().string(), moved}});
}

void SimDiskState::change(Change settings) {
  for (const auto& [directory, name, set] : settings) {
    CHECK(directory);
    auto& entry = directory->entries[name];
    if (entry) files_.erase(entry->id());
    entry = set;
    if (set && !set->directory()) files_.emplace(set->id(), set);
    if (!set) directory->entries.erase(name);
  }
  pending_.push_back(std::move(settings));
}

void SimDiskState::apply_durable(const Change& settings) {
  for (const auto& [directory, name, set] : settings) {
    if (set) directory->durable_entries[name] = set;
    else directory->durable_entries.erase(name);
  }
}

bool SimDiskState::share_name(const Change& a, const Change& b) {
  return std::ranges::any_of(a, [&](const Setting& one) {
    return std::ranges::any_of(b, [&](const Setting& other) {
      return one.directory == other.directory && one.name == other.name;
    });
  });
}

// Everything that touches the directory, and what came before it to the same names: a rename out of
// another directory takes the making of its file along.
void SimDiskState::sync_directory(const SimInodeRef& directory) {
  std::vector<bool> wanted(pending_.size());
  for (std::size_t i = pending_.size(); i-- > 0;) {
    wanted[i] = std::ranges::find(pending_[i], directory, &Setting::directory) != pending_[i].end();
    for (std::size_t later = i + 1; !wanted[i] && later < pending_.size(); ++later) {
      wanted[i] = wanted[later] && share_name(pending_[i], pending_[later]);
    }
  }
  std::deque<Change> rest;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    if (wanted[i]) apply_durable(pending_[i]);
    else rest.push_back(std::move(pending_[i]));
  }
  pending_ = std::move(rest);
}

std::int64_t SimDiskState::room_to_grow(const SimInode& file, std::int64_t size) {
  const auto free = chance.options.capacity_bytes - used_bytes();
  if (size - file.size() <= free) return size;
  ++chance.hits["no_space"];
  return file.size() + std::max<std::int64_t>(0, free);
}

std::int64_t SimDiskState::used_bytes() const {
  std::int64_t used = 0;
  for (const auto& [id, file] : files_) used += file->size();
  return used;
}

void SimDiskState::before_operation() {
  ++operations;
  const bool write_back = chance.random.chance(chance.options.writeback);
  const bool rot = chance.random.chance(chance.options.faults.bit_rot);
  for (const auto& [id, file] : files_) {
    if (file->has_lost_pages()) file->evict(chance);
  }
  const auto pick = [&](auto&& suitable) -> SimInodeRef {
    std::vector<SimInodeRef> candidates;
    for (const auto& [id, file] : files_) {
      if (suitable(file)) candidates.push_back(file);
    }
    if (candidates.empty()) return nullptr;
    return candidates[chance.random.below(candidates.size())];
  };
  if (write_back) {
    if (auto one = pick([](const auto& i) { return i->maybe_dirty(); })) one->write_back(chance);
  }
  if (rot) {
    if (auto one = pick([](const auto& i) { return i->size() > 0; })) {
      one->flip(chance.random.between(0, one->size() * 8 - 1));
      ++chance.hits["bit_rot"];
    }
  }
}

void SimDiskState::crash(CrashKind kind) {
  if (kind == CrashKind::kPowerCut) {
    ++cuts_;
    cut_names();
  }
  for (const auto& [id, file] : files_) {
    if (kind == CrashKind::kPowerCut) file->cut_power(chance);
    else file->kill();
  }
}

// Changes that share names, directly or through others, are kept up to some point in their order.
void SimDiskState::cut_names() {
  std::vector<std::size_t> group(pending_.size());
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    group[i] = i;
    for (std::size_t earlier = 0; earlier < i; ++earlier) {
      if (!share_name(pending_[earlier], pending_[i])) continue;
      const auto from = group[earlier], to = group[i];
      std::ranges::replace(group, from, to);
    }
  }
  for (std::size_t first = 0; first < pending_.size(); ++first) {
    if (std::ranges::find(group, group[first]) - group.begin() != static_cast<long>(first))
      continue;
    const auto members = static_cast<std::uint64_t>(std::ranges::count(group, group[first]));
    auto kept = chance.random.below(members + 1);
    chance.hits["kept_name"] += static_cast<std::int64_t>(kept);
    chance.hits["lost_name"] += static_cast<std::int64_t>(members - kept);
    for (std::size_t i = first; i < pending_.size() && kept > 0; ++i) {
      if (group[i] != group[first]) continue;
      apply_durable(pending_[i]);
      --kept;
    }
  }
  pending_.clear();
  files_.clear();
  forget_cached_names(root_);
}

void SimDiskState::forget_cached_names(const SimInodeRef& directory) {
  directory->entries = directory->durable_entries;
  for (const auto& [name, inode] : directory->entries) {
    if (inode->directory()) forget_cached_names(inode);
    else files_.emplace(inode->id(), inode);
  }
}

std::string SimDiskState::boot_id() const {
  return fmt::format("{:016x}-{}-{}", mix64(seed_), node_, cuts_);
}

}  // namespace walrus::io
