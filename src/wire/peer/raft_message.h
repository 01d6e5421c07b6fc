#pragma once
// What Raft nodes tell each other, what they keep, and the bytes of both. Pure.
//
// A message travels inside a frame of the peer protocol, which knows the cluster, the incarnation
// and a checksum; none of that is here. Integers are uvarints unless a size is given.
//
//   message     version u8 = 1 | kind u8 | from | to | term | body by kind
//     1 vote request    flags u8 (1 pre-vote, 2 forced) | last.term | last.index
//     2 vote reply      flags u8 (1 pre-vote, 2 granted)
//     3 append          previous.term | previous.index | commit | round | count | entry * count
//     4 append reply    flags u8 (1 rejected) | round | match | previous | hint.term | hint.index
//     5 snapshot chunk  meta | position | size | bytes
//     6 snapshot reply  flags u8 (1 resume) | id u64 | position
//     7 timeout now     nothing
//   entry       kind u8 | term | size | bytes
//   meta        last.term | last.index | id u64 | size | membership
//   membership  version u8 = 1 | flags u8 (1 joint) | count | member * count
//   member      id | flags u8 (1 voter, 2 voter before, 4 leaves) | size | address
//
// The same encodings of entry, meta, membership and hard state are what a node writes to its disk.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "walrus/node_id.h"

namespace walrus::wire::peer {

using Term = std::uint64_t;
using Index = std::uint64_t;  // a place in the Raft log; the first entry has index 1

constexpr std::size_t kMembersMax = 64;
constexpr std::size_t kAddressBytesMax = 255;

// Names an entry: two logs that hold the same id agree up to it (log matching, Raft paper §5.3).
// The order is "more up to date" of §5.4.1: by term, then by index.
struct EntryId {
  Term term = 0;
  Index index = 0;
  auto operator<=>(const EntryId&) const = default;
};

// Bytes that several may hold and nobody changes: a view, and what keeps it alive. Copying copies
// no bytes.
class Payload {
 public:
  Payload() = default;
  Payload(Bytes bytes, std::shared_ptr<const void> owner)
      : bytes_(bytes), owner_(std::move(owner)) {}
  static Payload copy_of(Bytes bytes) {
    if (bytes.empty()) return {};
    auto owner = std::make_shared<const std::string>(bytes);
    Bytes view = *owner;
    return {view, std::move(owner)};
  }
  Bytes bytes() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }
  bool operator==(const Payload& other) const { return bytes_ == other.bytes_; }

 private:
  Bytes bytes_{};
  std::shared_ptr<const void> owner_{};  // of bytes_; none: of an empty view
};

enum class EntryKind : std::uint8_t {
  kCommand = 1,     // the state machine's
  kNoop = 2,        // a new leader's first entry (thesis §3.6.2)
  kMembership = 3,  // a Membership, in force from the moment it is in a log (thesis §4.1)
};

struct Entry {
  EntryKind kind = EntryKind::kCommand;
  Term term = 0;
  Payload payload{};
  bool operator==(const Entry&) const = default;
};

struct Member {
  NodeId id{};
  std::string address{};      // how its peers reach it; the core does not look at it
  bool voter = false;         // votes in the newest configuration
  bool voter_before = false;  // joint only: votes in the configuration before, too
  bool leaves = false;        // joint only: no member any more when the joint one is left
  bool operator==(const Member&) const = default;
};

// A whole configuration; a member that votes in none is a learner.
struct Membership {
  std::vector<Member> members{};  // ids rise
  bool joint = false;             // C_old,new of thesis §4.3: both sets of voters have to agree
  bool operator==(const Membership&) const = default;
};

struct SnapshotMeta {
  EntryId last{};           // the last entry that the state contains
  Membership membership{};  // as of that entry
  std::uint64_t id = 0;     // names the bytes: same id, same bytes
  std::uint64_t size = 0;   // of the state, in bytes
  bool operator==(const SnapshotMeta&) const = default;
};

struct HardState {
  Term term = 0;
  NodeId vote{};  // in this term; nobody: none given
  bool operator==(const HardState&) const = default;
};

struct VoteRequest {
  bool pre = false;     // thesis §9.6: would you? The message's term is the one to come
  bool forced = false;  // asked on a leader's order (thesis §3.10): voters do not wait for it
  EntryId last{};       // what is on the candidate's disk
  bool operator==(const VoteRequest&) const = default;
};
struct VoteReply {
  bool pre = false, granted = false;
  bool operator==(const VoteReply&) const = default;
};
struct Append {
  EntryId previous{};       // {0, 0}: a sign of life that says nothing of the log
  Index commit = 0;         // the leader's
  std::uint64_t round = 0;  // the leader's newest; comes back in the reply
  std::vector<Entry> entries{};
  bool operator==(const Append&) const = default;
};
struct AppendReply {
  bool rejected = false;    // `previous` is not in the log, or the term is over
  std::uint64_t round = 0;  // 0: none seen
  Index match = 0;          // agrees with the leader's log up to here, on the disk
  Index previous = 0;       // of the append that this answers
  EntryId hint{};           // rejected: the newest entry that may agree
  bool operator==(const AppendReply&) const = default;
};
struct SnapshotChunk {
  SnapshotMeta meta{};
  std::uint64_t position = 0;  // of the chunk's first byte
  Payload bytes{};  // none, and meta.size is not 0: an offer, the reply says where to go on
  bool operator==(const SnapshotChunk&) const = default;
};
struct SnapshotReply {
  bool resume = false;         // go on from `position`, forget what was sent
  std::uint64_t id = 0;        // of the snapshot
  std::uint64_t position = 0;  // bytes received
  bool operator==(const SnapshotReply&) const = default;
};
struct TimeoutNow {  // thesis §3.10: start an election at once
  bool operator==(const TimeoutNow&) const = default;
};

using RaftBody = std::variant<VoteRequest, VoteReply, Append, AppendReply, SnapshotChunk,
                              SnapshotReply, TimeoutNow>;
struct RaftMessage {
  NodeId from{}, to{};
  Term term = 0;
  RaftBody body{};
  bool operator==(const RaftMessage&) const = default;
};

void append_raft_message(std::string& to, const RaftMessage&);
void append_entry(std::string& to, const Entry&);
void append_membership(std::string& to, const Membership&);
void append_snapshot_meta(std::string& to, const SnapshotMeta&);
void append_hard_state(std::string& to, const HardState&);

// Each takes the whole of `bytes`, or answers kCorrupt, or kVersion for a version it does not know.
// Payloads are views into `bytes`, which `owner` keeps alive; without an owner they are copies.
Result<RaftMessage> parse_raft_message(Bytes bytes, const std::shared_ptr<const void>& owner = {});
Result<Entry> parse_entry(Bytes bytes, const std::shared_ptr<const void>& owner = {});
Result<Membership> parse_membership(Bytes bytes);
Result<SnapshotMeta> parse_snapshot_meta(Bytes bytes);
Result<HardState> parse_hard_state(Bytes bytes);

}  // namespace walrus::wire::peer
