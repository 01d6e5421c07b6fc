#pragma once
// All files below a data directory or a backup, as they are at the moment.

#include <string>
#include <vector>

#include "io/env.h"

namespace walrus::cli {

struct DirectoryFile {
  std::string path;  // below the directory
  std::int64_t bytes = 0;
};

Result<std::vector<DirectoryFile>> list_files(io::Disk&, const io::Path& directory);
std::int64_t total_bytes(const std::vector<DirectoryFile>&);

}  // namespace walrus::cli
