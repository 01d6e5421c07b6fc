#include "io/sim/sim_disk.h"

#include <algorithm>
#include <set>

#include "base/result.h"
#include "io/sim/sim_disk_state.h"

namespace walrus::io {
namespace {

void collect(const SimInodeRef& directory, const Path& path, std::vector<Path>& files) {
  for (const auto& [name, inode] : directory->entries) {
    if (inode->directory()) collect(inode, path / name, files);
    else files.push_back(path / name);
  }
}

}  // namespace

SimDisk::SimDisk(std::unique_ptr<SimDiskState> state) : state_(std::move(state)) {}
SimDisk::SimDisk(SimDisk&&) noexcept = default;
SimDisk::~SimDisk() = default;

DiskOptions& SimDisk::options() { return state_->chance.options; }
const FaultHits& SimDisk::hits() const { return state_->chance.hits; }
std::uint64_t SimDisk::operations() const { return state_->operations; }
std::int64_t SimDisk::used_bytes() const { return state_->used_bytes(); }

Result<void> SimDisk::rot(const Path& path, std::int64_t position, int bits, std::int64_t length) {
  const auto inode = state_->find(path);
  if (!inode || inode->directory()) return fail(Code::kNotFound, "rot {}", path.string());
  const auto end = length == 0 ? inode->size() : std::min(inode->size(), position + length);
  if (position < 0 || bits < 1 || (end - position) * 8 < bits) {
    return fail(Code::kInvalid, "rot {}: no {} bits at {}", path.string(), bits, position);
  }
  std::set<std::int64_t> flipped;
  while (std::ssize(flipped) < bits) {
    flipped.insert(state_->chance.random.between(position * 8, end * 8 - 1));
  }
  for (const auto bit : flipped) inode->flip(bit);
  state_->chance.hits["bit_rot"] += bits;
  return {};
}

Result<std::string> SimDisk::cached(const Path& path) const {
  const auto inode = state_->find(path);
  if (!inode || inode->directory()) return fail(Code::kNotFound, "{}", path.string());
  return std::string(inode->content());
}

Result<std::string> SimDisk::durable(const Path& path) const {
  const auto inode = state_->find_durable(path);
  if (!inode || inode->directory()) return fail(Code::kNotFound, "{}", path.string());
  return std::string(inode->durable_content());
}

std::vector<Path> SimDisk::files() const {
  std::vector<Path> found;
  collect(state_->root(), "/", found);
  std::ranges::sort(found);
  return found;
}

Result<void> SimDisk::plant(const Path& path, Bytes content) {
  auto inode = state_->find(path);
  if (!inode && !state_->parent_of(path)) return fail(Code::kNotFound, "plant {}", path.string());
  if (inode && (inode->directory() || inode->mapped())) {
    return fail(Code::kInvalid, "plant {}: a directory or mapped", path.string());
  }
  if (!inode) {
    inode = state_->create(path, false);
    state_->sync_directory(state_->parent_of(path));
  }
  inode->plant(content);
  return {};
}

}  // namespace walrus::io
