#pragma once
// A snapshot: all of a State as one stream of bytes. It is written from an image while commands go
// on, a chunk at a time, and read in chunks of any size. Who restores one has the State that was
// written, to the byte: the same snapshot, the same fingerprint, the same answers to all commands
// that follow.
//
//   snapshot   "WALRMETA" | version u8 = 1 | record *
//   record     kind u8 | size | payload
//     1 counters   version | time | next segment | next producer | forgotten | users' version
//     2 cluster    its fields
//     3 node       id | its fields                                    ids rise, as all keys do
//     4 topic      id | its fields
//     5 tombstone  id | its fields
//     6 partition  id | version | epoch | log start | sealed end | tail | losses | losses in all
//     7 block      base | packed      sealed segments (chain.h) of the partition before it
//     8 user       name | its fields
//     9 end        crc u32 of all before this record, CRC-32C, little endian
//    10 recovery   its fields       behind the cluster, in their order
//
// Fields are encoded as those of commands (layout.h). Names and loads follow from the rest.

#include <cstdint>
#include <string>

#include "meta/state.h"

namespace walrus::meta {

constexpr std::size_t kSnapshotRecordBytesMax = 1 << 20;

// The bytes of an image, from the beginning to the end.
class SnapshotStream {
 public:
  explicit SnapshotStream(State image) : image_(std::move(image)) {}
  // Appends about so many bytes, one record more at most. False: that was the end.
  bool next(std::string& to, std::size_t bytes);

 private:
  enum class Part : std::uint8_t {
    kHead,
    kNodes,
    kTopics,
    kTombstones,
    kPartitions,
    kUsers,
    kEnd,
    kDone
  };
  // Appends what is left of the map from `from_` on; false: the chunk is full.
  template <class Key, class Value>
  bool append_map(std::string& to, const Map<Key, Value>& map, std::optional<Key>& from);
  bool append_partitions(std::string& to);
  bool full(const std::string& to) const { return to.size() >= full_at_; }

  const State image_;
  Part part_ = Part::kHead;
  std::size_t full_at_ = 0;
  std::uint32_t crc_ = 0;
  // The last that was written of the map whose part it is.
  std::optional<NodeId> node_{};
  std::optional<Uuid> topic_{}, tombstone_{};
  std::optional<PartitionId> partition_{};
  std::size_t blocks_ = 0;  // of that partition, that were written
  std::optional<std::string> user_{};
};

// Makes a State of the bytes of a snapshot.
class SnapshotLoader {
 public:
  // kCorrupt, kVersion: no snapshot that this program can read. Nothing more is to be fed then.
  Result<void> feed(Bytes);
  // kCorrupt: it is not whole, or no State that commands could have made.
  Result<State> finish();

 private:
  Result<void> record(unsigned kind, Bytes payload);
  template <class Key, class Value>
  bool add(Map<Key, Value>& map, Bytes payload);
  bool add_partition(Bytes payload);
  bool add_block(Bytes payload);
  void close_partition();

  State state_{};
  std::string pending_{};  // bytes of a record that is not whole yet
  unsigned last_kind_ = 0;
  bool begun_ = false, ended_ = false;
  std::uint32_t crc_ = 0;
  std::optional<PartitionId> partition_{};  // whose blocks may follow
  Partition open_{};
};

// 64 bits of a snapshot's bytes, to compare states by (XXH3; not against somebody who is
// ill-meant).
std::uint64_t fingerprint(const State&);

}  // namespace walrus::meta
