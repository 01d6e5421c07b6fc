#pragma once
// The manifest of one shard: its whole state at one place of the journal. Recovery loads the newest
// valid one and replays the journal from there. Written at every checkpoint into the older of two
// slots, synced, and only then may journal files before its start be recycled.
//
//   journal/<shard>/manifest-<layout>.<slot>     slot = generation % 2
//
//   position  size  manifest header
//          0     8  magic "WALRUSM1"
//          8     4  format version (1)
//         12     4  CRC-32C of bytes 0 to 11, then of everything from position 16 on
//         16     8  length of the body
//         24     8  generation: 1, 2, 3...
//         32    16  directory UUID
//         48     8  layout: which sharding of the directory this belongs to
//         56     4  shard
//         60     4  shard count of the layout
//         64     .  body, field by field at the head of manifest.cc
//
// The CRC's place and reach hold for all versions, so that rot in the version is not mistaken for a
// newer Walrus. Bytes after the body are left from a longer manifest and mean nothing.
//
// The newest slot that is whole wins. A slot that is torn was never followed by a recycled journal
// file; if the journal files that the other slot needs are gone, the directory is corrupt.

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "log/producers.h"
#include "log/segment_store.h"

namespace walrus::log {

constexpr std::uint32_t kManifestVersion = 1;

struct StreamSnapshot {
  std::uint64_t id = 0;
  std::int64_t log_start = 0, next_offset = 0;
  std::int32_t epoch = 0;
  std::int64_t segment_base = 0;                        // of the open segment
  std::int64_t segment_records = 0, segment_bytes = 0;  // in the open segment so far
  std::int64_t segment_started_ms = 0;
  std::int64_t reclaimed_bytes = 0;
  std::int64_t max_timestamp_ms = -1;
  ChainRef chain;
  ProducerTable producers;
};

struct Manifest {
  std::uint64_t generation = 0;
  std::string directory_uuid;
  std::uint64_t layout = 0;
  std::int32_t shard = 0, shards = 1;
  std::uint64_t journal_sequence = 0;  // replay begins in this file (see kLogLeft in shard.cc)
  std::uint64_t journal_lsn = 0;       // at this place
  std::uint64_t next_file = 1;         // SegmentStore's number
  std::vector<StreamSnapshot> streams;
  // (table, stream id, key) -> value; see Engine::put_state.
  std::map<std::pair<std::uint8_t, std::pair<std::uint64_t, std::string>>, std::string> tables;
};

std::string encode_manifest(const Manifest&);
// kCorrupt (torn, rotten, or ends before the body does) or kVersion (newer than this build).
Result<Manifest> decode_manifest(Bytes);

// Writes to the slot of manifest.generation and syncs the file and its directory. On an error the
// other slot is as it was. `unsure` is set if after that error it is not known which of the two a
// restart will find, because a sync failed or because what was written could not be taken back:
// what this manifest names must stay as it is, and the instance must end.
Result<void> write_manifest(io::Env&, const io::Path& shard_directory, const Manifest&,
                            bool* unsure = nullptr);
// The newest valid one; none if no slot exists; kCorrupt if slots exist but none is valid.
Result<std::optional<Manifest>> load_manifest(io::Env&, const io::Path& shard_directory,
                                              std::uint64_t layout);
// The one before it, if it is there and whole.
Result<std::optional<Manifest>> load_older_manifest(io::Env&, const io::Path& shard_directory,
                                                    std::uint64_t layout);
// Durable on return: if `newest` is damaged from now on, the directory is, instead of being taken
// back to what it was before.
Result<void> remove_older_manifest(io::Env&, const io::Path& shard_directory,
                                   const Manifest& newest);
// Adds what does not hold in either slot, also beside a running writer.
Result<void> verify_manifests(io::Env&, const io::Path& shard_directory, std::uint64_t layout,
                              std::vector<Finding>& findings);
// The same as load_manifest, and sure to be on the disk: before anything is built on a loaded
// manifest. If the process before this one died of a failed sync, the newest slot may be whole in
// the page cache while the kernel has given up writing it; it is written once more, bit by bit, and
// synced.
Result<std::optional<Manifest>> load_settled_manifest(io::Env&, const io::Path& shard_directory,
                                                      std::uint64_t layout);

}  // namespace walrus::log
