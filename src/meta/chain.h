#pragma once
// Segment, and Chain: the sealed segments of one partition, packed.
//
// A partition of a year's age has thousands of sealed segments that hardly ever change. A chain
// keeps them in blocks of up to kBlockSegments, each one string in which a segment is told by how
// it differs from the one before it: about 20 bytes instead of 150. Copies share their blocks; a
// change copies one block and the list of blocks.
//
//   block    segment * count, the first one as if it followed a segment of zeros at offset `base`
//   segment  uvarint id - id before | uvarint epoch - epoch before | uvarint records
//            | uvarint bytes | flags u8 (1 placed as the one before, 2 copied, 4 compacted)
//            | not placed as before: leader, min_copies, count, node * count, all uvarint
//            | copied: uvarint copied - id
//            | compacted: uvarint compacted - id (from feature level 2 on)
//
// The blocks are part of a snapshot as they are: the same commands make the same blocks.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "walrus/node_id.h"

namespace walrus::meta {

constexpr std::size_t kReplicasMax = 7;  // of one segment
constexpr std::size_t kBlockSegments = 64;

enum class SegmentState : std::uint8_t { kOpen = 1, kSealing = 2, kSealed = 3 };

// A contiguous range of offsets of one partition, with one writer and one epoch for life.
struct Segment {
  SegmentId id{};
  Epoch epoch{};  // of its writer; its batches carry it
  SegmentState state = SegmentState::kOpen;
  Offset base{}, end{};  // end: sealed, the first offset after it; before that == base
  NodeId leader{};       // its writer; once sealed, who that was
  // Open, sealing: the life of the leader that it was opened for; another one never writes (R42).
  std::uint64_t leader_incarnation = 0;
  std::vector<NodeId> replicas{};  // E: the writer first when opened; no node twice
  std::uint32_t min_copies = 1;    // E was no smaller when it was opened
  std::uint64_t bytes = 0;         // sealed: as its writer or recoverer counted them
  // Stands for the moment at which `replicas` was last known to be whole: the newest segment id at
  // that time. Opened: its own id. See Node::intact_from.
  SegmentId copied{};
  // Sealed: the id under which its copies are kept since it was compacted last; none: its own. Each
  // compaction makes copies of an id of their own, so that two copies of one id are the same.
  SegmentId compacted{};
  Epoch recovery_epoch{};  // sealing: carried by fences, reads and write-backs
  NodeId recoverer{};      // sealing: who has been told to
  bool operator==(const Segment&) const = default;
};
bool is_replica(const Segment&, NodeId);
// The id that its copies have.
inline SegmentId copy_of(const Segment& segment) {
  return segment.compacted == SegmentId{} ? segment.id : segment.compacted;
}

class Chain {
 public:
  bool empty() const { return blocks_.empty(); }
  std::size_t size() const;
  Offset base() const;  // of a chain that is not empty, as all below
  Offset end() const;
  Segment first() const;
  Segment last() const;

  // What a segment is looked up by costs one block.
  std::optional<Segment> find(SegmentId) const;
  std::optional<Segment> find(Offset) const;  // that holds the offset
  // The last segment whose epoch is not above: what OffsetForLeaderEpoch is answered from (R38).
  std::optional<Segment> find(Epoch) const;
  template <class Visit>  // in order: visit(const Segment&)
  void each(const Visit& visit) const {
    for (const auto& block : blocks_)
      for (const auto& segment : unpack(*block)) visit(segment);
  }
  // From the first segment whose id is not less, while visit answers true.
  template <class Visit>
  void scan(SegmentId from, const Visit& visit) const {
    for (auto at = block_of(from); at < blocks_.size(); ++at)
      for (const auto& segment : unpack(*blocks_[at]))
        if (segment.id >= from && !visit(segment)) return;
  }

  // Begins where the chain ends, with a higher id and a higher epoch (R23): checked.
  void append(const Segment&);
  // Places a segment that is there anew; everything else of it stays (R22): checked.
  void replace(const Segment&);
  // Drops the segments that lie below the offset whole, and answers them.
  std::vector<Segment> drop_below(Offset);

  struct Block {
    SegmentId first{}, last{};
    Epoch first_epoch{};
    Offset base{}, end{};
    std::uint32_t count = 0;
    std::string packed{};
  };
  const std::vector<std::shared_ptr<const Block>>& blocks() const { return blocks_; }
  // A block of a snapshot, after those that were given before. kCorrupt: it is none, or not the
  // next one.
  Result<void> restore(Offset base, Bytes packed);

 private:
  static std::vector<Segment> unpack(const Block&);
  static std::shared_ptr<const Block> pack(const std::vector<Segment>&);
  std::size_t block_of(SegmentId) const;  // that would hold it, or the number of blocks

  std::vector<std::shared_ptr<const Block>> blocks_{};
};

}  // namespace walrus::meta
