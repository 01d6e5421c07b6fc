#pragma once
// A Walrus directory: its lock, its identity file and its making.
//
//   position  size  identity file WALRUS
//          0     8  magic "WALRUSD1"
//          8     4  format version (1)
//         12     4  CRC-32C of bytes 0 to 11, then of 16 to 63
//         16    16  directory UUID
//         32     8  layout: changes with the shard count
//         40     4  shard count
//         44    20  zero
//
// Written last when a directory is made, by rename: without it the directory is not a Walrus
// directory, and a directory that holds anything else is never touched.

#include <optional>

#include "io/env.h"

namespace walrus::log {

struct Identity {
  std::string uuid;  // 16 bytes
  std::uint64_t layout = 1;
  std::int32_t shards = 1;
};

std::string encode_identity(const Identity&);
Result<Identity> decode_identity(Bytes);  // kCorrupt, kVersion

// The identity of the directory; none if it is empty or its making was interrupted. kInvalid: it
// holds something else.
Result<std::optional<Identity>> read_identity(io::Env&, const io::Path& root);
// The namespaces right below it, and the pieces of those with long keys.
Result<std::vector<io::Path>> namespaces_below(io::Env&, const io::Path& root);
// Durable on return.
Result<void> write_identity(io::Env&, const io::Path& root, const Identity&);

// As walrus::verify, on any world. What a finding names begins with the root.
Result<std::vector<Finding>> verify_directory(io::Env&, const io::Path& root);

constexpr Bytes kIdentityName = "WALRUS";
constexpr std::uint32_t kDirectoryVersion = 1;

}  // namespace walrus::log
