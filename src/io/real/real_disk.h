#pragma once
// The real disk: plain system calls. Its Files and locks own their descriptors. The blocks of a
// large file that is removed come back a moment later: see Reclaimer.

#include "io/env.h"
#include "io/real/reclaimer.h"

namespace walrus::io {

class RealDisk final : public Disk {
 public:
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
  Reclaimer reclaimer_;
};

}  // namespace walrus::io
