#pragma once
// An open file of a simulated node, and the frame that every operation of its disk runs in.

#include <utility>

#include "base/result.h"
#include "io/sim/sim_disk_state.h"
#include "io/sim/world_state.h"

namespace walrus::io {

// Runs `effect`, a callable that returns a Result, as one operation: what comes before every
// operation, the crash before or after it, the trace.
template <class Effect>
auto operate(Incarnation& life, const char* what, const Path& path, Effect&& effect)
    -> decltype(effect()) {
  WorldState& world = life.node->world;
  const auto dead = [&] { return fail(Code::kIo, "{} {}: simulated crash", what, path.string()); };
  const auto fate = world.begin_operation(life, what, path.native());
  if (fate == WorldState::Fate::kDead) return dead();
  NodeState& node = *life.node;
  const std::string place = std::string(what) + " " + path.string();
  if (fate == WorldState::Fate::kDieBefore) {
    world.crash(node, node.crash_kind, "before " + place);
    return dead();
  }
  node.disk.state().before_operation();
  auto result = effect();
  world.trace.fold(result ? 0 : static_cast<std::uint64_t>(result.error().code));
  if (fate == WorldState::Fate::kDieAfter) {
    world.crash(node, node.crash_kind, "after " + place);
    return dead();
  }
  return result;
}

class SimFile final : public File {
 public:
  SimFile(IncarnationRef, SimInodeRef, Path, bool writable);
  ~SimFile() override;
  Result<std::size_t> read(std::int64_t position, std::span<char> to) override;
  Result<void> write(std::int64_t position, Bytes) override;
  Result<void> sync() override;
  Result<void> sync_range(std::int64_t from, std::int64_t to) override;
  Result<std::int64_t> size() override;
  Result<void> truncate(std::int64_t size) override;
  Result<void> allocate(std::int64_t size) override { return truncate(size); }
  Result<void> write_zeros(std::int64_t from, std::int64_t to) override;
  Result<std::span<char>> map() override;
  void populate(std::int64_t from, std::int64_t to) override;
  void let_go(std::int64_t, std::int64_t) override {}
  // Whether an unsynced sector survives is the seed's choice anyway.
  Result<void> write_direct(std::int64_t position, Bytes) override;

 private:
  DiskChance& chance() const { return life_->node->disk.state().chance; }
  TraceHash& trace() const { return life_->node->world.trace; }
  Bytes stored(std::int64_t from, std::int64_t to) const;  // of the cache
  Result<void> write_effect(std::int64_t position, Bytes);
  Result<void> sync_effect(std::int64_t from, std::int64_t to, bool size_too);
  Result<void> resize_effect(std::int64_t size);
  // Like pread and pwrite: bytes moved, or -1 and errno.
  std::int64_t read_once(std::int64_t position, std::span<char> to);
  std::int64_t write_once(std::int64_t position, Bytes);

  const IncarnationRef life_;
  const SimInodeRef inode_;
  const Path path_;
  const bool writable_;
  std::shared_ptr<SimInode::Buffer> mapping_;
  std::size_t mapping_size_ = 0;
};

}  // namespace walrus::io
