#pragma once
// What goes into raft::Core and what comes out of it. Plain values; docs/kernel.md tells the story.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "wire/peer/raft_message.h"

namespace walrus::raft {

using wire::peer::Append;
using wire::peer::AppendReply;
using wire::peer::Entry;
using wire::peer::EntryId;
using wire::peer::EntryKind;
using wire::peer::HardState;
using wire::peer::Index;
using wire::peer::Member;
using wire::peer::Membership;
using wire::peer::Payload;
using wire::peer::SnapshotChunk;
using wire::peer::SnapshotMeta;
using wire::peer::SnapshotReply;
using wire::peer::Term;
using wire::peer::TimeoutNow;
using wire::peer::VoteReply;
using wire::peer::VoteRequest;
using Message = wire::peer::RaftMessage;

// A moment of the node's monotonic clock: never negative, never goes back within one Core.
using Instant = std::chrono::nanoseconds;
using Nanos = std::chrono::nanoseconds;
using Ticket = std::uint64_t;   // the driver's name for what it asked
using WriteId = std::uint64_t;  // rises by one a batch, from 1

// ---- Events ----

// The time of Actions::wake_at has come. Harmless at any other time.
struct Tick {};
struct Receive {
  Message message{};
};
// One command. Answered by Actions::answers, in the same step.
struct Propose {
  Ticket ticket = 0;
  Payload payload{};
};
struct MemberChange {
  enum class Kind : std::uint8_t {
    kAddLearner,  // a new member that votes in nothing yet
    kPromote,     // a learner that has caught up becomes a voter
    kDemote,      // a voter becomes a learner
    kRemove,      // a member is none any more; the leader too
    kSetAddress,
  };
  Kind kind = Kind::kAddLearner;
  NodeId id{};
  std::string address{};  // of kAddLearner and kSetAddress
};
// All of them as one change: the voters go from the old set to the new one through joint consensus.
struct ChangeMembers {
  Ticket ticket = 0;
  std::vector<MemberChange> changes{};
};
// Thesis §3.10. Proposals are refused until it succeeded or an election timeout has passed.
struct Transfer {
  Ticket ticket = 0;
  NodeId to{};  // nobody: the voter that is furthest
};
// Answered by Actions::reads, in this step or a later one.
struct Read {
  Ticket ticket = 0;
  bool lease = false;  // trust clocks within Options::clock_drift_ppm_max instead of asking around
};
// The process of that node has ended: a connection to it broke, and nobody lets one in there any
// more. Where it led, an election need not wait until it is missed; what its clock still promised
// to readers (Read::lease) went with it.
struct LeaderGone {
  NodeId node{};
};
// Everything in the writes up to and including this id is on the disk. Ids may be left out.
struct Persisted {
  WriteId id = 0;
};
// A write failed, or what it made durable is not known: the Core is kFailed from now on.
struct PersistFailed {};
// The state machine's state as of meta (from Core::snapshot_at()) is on the disk and can be read.
struct SnapshotSaved {
  SnapshotMeta meta{};
};
// The answer to a SnapshotRequest.
struct SnapshotRead {
  NodeId peer{};
  std::uint64_t id = 0;
  std::uint64_t position = 0;
  std::optional<Payload> bytes{};  // exactly those asked for; none: they cannot be read
};
using Event = std::variant<Tick, Receive, Propose, ChangeMembers, Transfer, Read, LeaderGone,
                           Persisted, PersistFailed, SnapshotSaved, SnapshotRead>;

// ---- Actions ----

// Where the log on the disk begins: nothing at or below `base` is needed. The entries behind it
// stay (`keep`), or all of the log goes.
struct LogBase {
  EntryId base{};
  bool keep = true;
};
// A piece of a snapshot that a leader sends. At position 0 it begins a new file and drops any other
// unfinished one. Persisted says that it is kept, not that it is durable: it has to be before the
// installation is.
struct SnapshotPiece {
  SnapshotMeta meta{};
  std::uint64_t position = 0;
  Payload bytes{};
};
// To be written in the order of the fields, behind all earlier batches; then Persisted{id}. A crash
// may leave any prefix of it, and fewer pieces of what was not installed.
struct Writes {
  WriteId id = 0;  // 0: nothing to write
  std::optional<HardState> hard_state{};
  std::vector<SnapshotPiece> pieces{};
  std::optional<SnapshotMeta> install{};  // the received snapshot is the node's from now on
  std::optional<LogBase> base{};
  Index first = 0;               // of `entries`; entries on the disk at or above it go
  std::vector<Entry> entries{};  // may begin behind the end of what is there, after a `base`
};

enum class Refusal : std::uint8_t {
  kNone,
  kNotLeader,         // see Status::leader
  kBusy,              // uncommitted_bytes_max, log_bytes_max or reads_max: try later
  kTransferring,      // leadership is on its way to another
  kTooLarge,          // above proposal_bytes_max
  kNotReady,          // the leader has not committed an entry of its term yet
  kChangeInProgress,  // one membership change at a time
  kNotCaughtUp,       // a learner is further behind than promotion_lag_max
  kInvalidChange,
  kFailed,  // the disk failed under this node
};
const char* refusal_name(Refusal);

// Of a Propose, ChangeMembers or Transfer. Accepted is not committed: the entry at `at` is the
// proposal's exactly if it is committed with that term.
struct Answer {
  Ticket ticket = 0;
  Refusal refusal = Refusal::kNone;
  EntryId at{};  // accepted, and not a Transfer
};
// A read is current if the state machine has applied `index`.
struct ReadAnswer {
  Ticket ticket = 0;
  Refusal refusal = Refusal::kNone;
  Index index = 0;
};
// Bytes of a snapshot to be sent to a peer: answer with SnapshotRead.
struct SnapshotRequest {
  NodeId peer{};
  SnapshotMeta meta{};
  std::uint64_t position = 0;
  std::uint64_t size = 0;
};

struct Actions {
  Writes writes{};
  std::vector<Message> messages{};        // may be sent at once: none promises what `writes` holds
  std::optional<SnapshotMeta> restore{};  // first: the state machine becomes this snapshot
  Index first_committed = 0;              // of `committed`
  std::vector<Entry> committed{};         // then: apply these, in order; each is given once
  std::vector<Answer> answers{};          // in the order of the events
  std::vector<ReadAnswer> reads{};
  std::vector<SnapshotRequest> snapshot_requests{};
  Instant wake_at{};  // send a Tick then, if nothing else came before

  void clear();  // keeps the memory
};

// What a node finds on its disk.
struct Durable {
  HardState hard_state{};
  SnapshotMeta snapshot{};       // a founder's first one: no bytes, index 0, the founders
  EntryId base{};                // of the log
  std::vector<Entry> entries{};  // the one behind `base` first
  struct Unfinished {            // pieces of a snapshot that did not become the node's
    SnapshotMeta meta{};
    std::uint64_t received = 0;  // bytes from the beginning that are there
  };
  std::optional<Unfinished> unfinished{};
};

}  // namespace walrus::raft
