#pragma once
// A data directory with something of everything in it, made by a fixed load in a world without
// chance, and the file that keeps what the first release wrote.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/sim/sim_world.h"
#include "log/engine.h"

namespace walrus::golden {

using Files = std::map<std::string, std::string>;  // by path below the directory

struct StoredValue {
  std::optional<std::string> key, value;
  std::int64_t timestamp_ms = 0;
  std::size_t headers = 0;
  bool operator==(const StoredValue&) const = default;
};

// What the directory holds, told by the load itself.
struct Expected {
  struct Stream {
    std::int64_t start = 0, end = 0;
    bool clean = false;
    std::map<std::int64_t, StoredValue> records;    // by offset
    std::map<std::string, std::int64_t> cursors;    // positions
    std::optional<std::int64_t> repeated_sequence;  // a batch of producer 7, and its offset
    std::int64_t repeated_offset = 0;
  };
  std::map<std::string, Stream> streams;
};

constexpr std::int64_t kTime = 1'700'000'000'000;
log::EngineOptions golden_options(const io::Path& root);
Files make_directory(Expected&);

// The file: "= PATH SIZE" begins one, hexadecimal digits follow, "*N" stands for N zero bytes.
std::string write_text(const Files&);
Files read_text(const std::string& path);

}  // namespace walrus::golden
