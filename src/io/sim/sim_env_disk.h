#pragma once
// The Disk of one incarnation: system calls on the node's SimDisk, each of them a place where the
// process may die and a fault may strike.

#include "io/env.h"
#include "io/sim/world_state.h"

namespace walrus::io {

class SimEnvDisk final : public Disk {
 public:
  explicit SimEnvDisk(IncarnationRef incarnation) : incarnation_(std::move(incarnation)) {}
  Result<std::unique_ptr<File>> open(const Path&, Open) override;
  Result<void> make_directory(const Path&) override;
  Result<void> sync_directory(const Path&) override;
  Result<void> rename(const Path& from, const Path& to) override;
  Result<void> remove(const Path&) override;
  Result<std::vector<Entry>> list(const Path&) override;
  Result<bool> exists(const Path&) override;
  Result<std::unique_ptr<DirectoryLock>> lock(const Path& file) override;
  Result<std::int64_t> free_bytes(const Path&) override;
  std::string boot_id() override;

 private:
  const IncarnationRef incarnation_;
};

}  // namespace walrus::io
