#pragma once
// What the nodes of a segment's replica set tell each other, and the bytes of it. Pure.
//
// Messages travel inside frames of the peer protocol, which knows the cluster, the incarnation and
// a checksum; none of that is here. What one node has to tell another at one time, of however many
// segments, is one parcel. Integers are uvarints unless a size is given; batches are copied as they
// are, never encoded anew.
//
//   parcel     version u8 = 1 | from | to | count | message * count
//   message    kind u8 | segment | epoch | body by kind
//     1 replicate        flags u8 (1 recovery, 2 sync, 4 quiet) | durability u8 | start
//                        | watermark | round | run
//     2 replicate reply  answer u8 | promised | round | durable | accepted
//     3 fence            durability u8 | start | from | bytes_max
//     4 fence reply      answer u8 | promised | knowledge u8 | watermark | durable | run
//     5 fetch            from | bytes_max
//     6 fetch reply      answer u8 | run
//   run        from | flags u8 (1 producers) | producers: size | bytes | size | record batch *
//   durability 0 fsync, 1 interval, 2 os
//
// Record batches: src/record/batch.h; the first has base offset `from`, each follows the one before
// it without a gap.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "wire/peer/raft_message.h"

namespace walrus::wire::peer {

constexpr std::size_t kParcelMessagesMax = 100'000;
constexpr std::size_t kProducersBytesMax = 64 << 20;

// One record batch v2, whole, as it lies on the disk.
struct Batch {
  std::int64_t base = 0, next = 0;  // offsets: its first, and the first one after it
  Payload bytes{};
  bool operator==(const Batch&) const = default;
};

// Batches in a row.
struct Run {
  std::int64_t from = 0;               // base of the first
  std::optional<Payload> producers{};  // the partition's producer state (log::ProducerTable) there
  std::vector<Batch> batches{};
  std::int64_t end() const { return batches.empty() ? from : batches.back().next; }
  bool operator==(const Run&) const = default;
};

// How much a replica knows of a segment beyond what it holds (R17, R19).
enum class Knowledge : std::uint8_t {
  kWhole = 0,  // what it does not hold, it never acknowledged: a plain no
  kTorn = 1,   // its journal ended in a bad frame: a no that counts when all have answered
  kLimbo = 2,  // it may have lost what it acknowledged: no answer
};

enum class Answer : std::uint8_t {
  kOk = 0,
  kGap = 1,      // behind what this copy has; go on at `accepted`
  kFenced = 2,   // a higher epoch is promised, or the segment is sealed
  kLimbo = 3,    // this copy takes nothing but what recovery writes back
  kUnknown = 4,  // of a fetch: this copy cannot tell
  kSynced = 5,   // all below `durable` is on the disk, whatever the durability
};

// From the segment's writer; with `recovery`, what a recoverer writes back (R30). Without batches:
// the watermark, or the question whether the epoch still holds.
struct Replicate {
  bool recovery = false;
  bool sync = false;   // bring to the disk what was taken, and say so by kSynced
  bool quiet = false;  // it tells the watermark, and nobody waits for an answer
  Durability::Kind durability = Durability::kFsync;
  std::int64_t start = 0;      // of the segment
  std::int64_t watermark = 0;  // everything below is acknowledged (R6)
  std::uint64_t round = 0;     // rises with each message of a sender; comes back
  Run run{};
  bool operator==(const Replicate&) const = default;
};
struct ReplicateReply {
  Answer answer = Answer::kOk;
  Epoch promised{};           // fenced: by which epoch
  std::uint64_t round = 0;    // the highest seen
  std::int64_t durable = 0;   // all below is held, under the segment's durability
  std::int64_t accepted = 0;  // all below is held in memory
  bool operator==(const ReplicateReply&) const = default;
};
// From a recoverer: promise my epoch, durably; then say what you hold, and give what you have from
// `from` on. There is no reading for recovery that does not fence (R13).
struct Fence {
  Durability::Kind durability = Durability::kFsync;
  std::int64_t start = 0;
  std::int64_t from = 0;
  std::uint64_t bytes_max = 0;
  bool operator==(const Fence&) const = default;
};
struct FenceReply {
  Answer answer = Answer::kOk;  // or kFenced: by `promised`
  Epoch promised{};
  Knowledge knowledge = Knowledge::kWhole;
  std::int64_t watermark = 0;  // the highest that this copy was told of
  std::int64_t durable = 0;    // all below is held
  Run run{};
  bool operator==(const FenceReply&) const = default;
};
// From a replica that is behind in a sealed segment, and from a new writer: at the segment's end
// the run has no batches but the producer state (R38).
struct Fetch {
  std::int64_t from = 0;
  std::uint64_t bytes_max = 0;
  bool operator==(const Fetch&) const = default;
};
struct FetchReply {
  Answer answer = Answer::kOk;  // or kUnknown
  Run run{};
  bool operator==(const FetchReply&) const = default;
};

using SegmentBody = std::variant<Replicate, ReplicateReply, Fence, FenceReply, Fetch, FetchReply>;
struct SegmentMessage {
  NodeId from{}, to{};
  SegmentId segment{};
  Epoch epoch{};  // of the writer or recoverer that asks; a reply repeats it (R2)
  SegmentBody body{};
  bool operator==(const SegmentMessage&) const = default;
};

// All of them from one node to one node, at least one: a CHECK.
void append_parcel(std::string& to, std::span<const SegmentMessage>);
// The whole of `bytes`, or kCorrupt, or kVersion for a version that is not known. Batches are sound
// in form (record::BatchView::parse) and in a row; their CRC is the receiver's to check. Payloads
// are views into `bytes`, which `owner` keeps alive; without an owner they are copies.
Result<std::vector<SegmentMessage>> parse_parcel(Bytes bytes,
                                                 const std::shared_ptr<const void>& owner = {});

// Batches in a row as they lie in `bytes`; kCorrupt. As above for `owner`.
Result<std::vector<Batch>> parse_batches(Bytes bytes, std::int64_t from,
                                         const std::shared_ptr<const void>& owner = {});

}  // namespace walrus::wire::peer
