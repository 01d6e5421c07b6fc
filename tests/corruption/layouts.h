#pragma once
// Where in the files of a Walrus directory which structure lies, by the layout tables in the format
// headers: the places that the corruption matrix damages, one by one.

#include <cstdint>
#include <string>
#include <vector>

#include "io/env.h"

namespace walrus::corruption {

struct Structure {
  std::string kind;  // "group header"
  io::Path file;
  std::int64_t position = 0, length = 0;
  // Reading may come out right in spite of damage here: a second copy serves instead, or nothing
  // that is replayed or read depends on it any more.
  bool spare = false;
};

// Everything in one file with this content; nothing for files without a known layout. What lies
// below `replay_start` in a journal is in segment files, too.
std::vector<Structure> structures_of(const io::Path&, const std::string& content,
                                     std::uint64_t replay_start);

}  // namespace walrus::corruption
