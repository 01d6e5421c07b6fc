#pragma once
// Files that nobody but their owner may read: keys and certificates.

#include <string>
#include <vector>

#include "io/env.h"

namespace walrus::cli {

struct PrivateFile {
  io::Path path{};
  std::string text{};
};

// All of one directory, which is made if need be. Durable on return. Each file is there whole or
// not at all; without `replace` an existing one is kExists, before anything is written.
Result<void> write_private_files(io::Disk&, const std::vector<PrivateFile>&, bool replace);

}  // namespace walrus::cli
