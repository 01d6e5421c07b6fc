#pragma once
// Node: the copies, writers and recoveries of one process, on its engine, its Rpc and its loop. It
// drives the pure cores of this room (leader.h, follower.h, sealer.h): what they say goes to the
// disk, to peers and to metadata, and what those answer comes back to them as events.
//
//   auto node = replica::Node::start(env, loop, *engine, *rpc, metadata, {.self = NodeId{1}, ...});
//   (*node)->learned(image);                        // after each image that metadata publishes
//   (*node)->append(partition, batch, {}, [](replica::Appended appended) { ... });
//
// Metadata decides, this carries out: a segment that this life of the node leads gets a Leader, a
// replica of it a Follower on a stream of the engine (copy_store.h), a sealed one is made whole,
// and what metadata does not know any more goes (R32). Messages of all segments to one node that
// come up in a turn of the loop share parcels; the own copies are told in the same way.
//
// Lives on its loop and is used on its loop's thread alone. Goes before the Rpc, the engine and the
// loop. Callbacks come from the loop, never within the call that was given them.
//
// What is durable when: an append with Acks::kAll is answered when it is held by the segment's ack
// quorum under the topic's durability; see leader.h. What is fetched was acknowledged (R7).

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/log_line.h"
#include "log/engine.h"
#include "meta/command.h"
#include "meta/message.h"
#include "net/rpc.h"
#include "replica/leader.h"

namespace walrus::replica {

using ImageRef = std::shared_ptr<const meta::State>;

// What a Node asks of metadata. Answers come on the node's loop. It outlives the Node.
class Metadata {
 public:
  virtual ~Metadata() = default;
  // The outcomes of its changes. An error: it is not known whether it was done; every change is a
  // compare-and-swap, so that it may be proposed again.
  virtual io::Task<std::vector<meta::Outcome>> propose(meta::Command) = 0;
  // An image at least as new as everything that was committed when this was called (R34).
  virtual io::Task<ImageRef> current() = 0;
  // Appends wait there and no segment takes them; told again while they do. Empty: nowhere.
  virtual void want(std::vector<PartitionId>) = 0;
};

struct NodeLimits {
  std::size_t parcel_bytes_max = 1 << 20;      // beyond it a message goes in a parcel of its own
  std::uint64_t waiting_bytes_max = 64 << 20;  // appends that wait for a segment, all partitions
  std::size_t waiting_max = 100'000;
  Nanos append_wait_max = std::chrono::seconds(10);  // for a segment, a lease, the producer state
  Nanos metadata_retry = std::chrono::milliseconds(250);
  std::int64_t fetch_bytes_max = 8 << 20;
  std::size_t copies_at_once = 4;  // of sealed segments that are made here
  // Of small ones more: as many as there are so many bytes in them, and no more than that.
  std::uint64_t copies_bytes = 4 << 20;
  std::size_t copies_small_max = 64;
  Nanos retain_every = std::chrono::seconds(10);  // it is looked what goes, and what is compacted
  std::int64_t compact_bytes_min = 64 << 10;      // never compacted, of a partition
  std::int64_t compact_map_bytes_max = 64 << 20;  // memory of a pass, for keys
  Nanos compaction_stalls = std::chrono::minutes(5);  // then another node takes over
  std::int64_t trimmed_bytes_max = 1 << 20;     // of an open segment, half of it; then it is ended
  Nanos hand_on_max = std::chrono::seconds(1);  // appends, after a roll to another node
  Nanos gap_max = std::chrono::seconds(3);      // what a producer sent before its turn (arrears.h)
  // Sealed copies are read for damage: so fast, 0: never; a round begins so long after the last.
  std::int64_t scrub_bytes_per_s = 4 << 20;
  Nanos scrub_every = std::chrono::hours(24);
  Nanos mend_again = std::chrono::seconds(10);  // a damaged copy that no other could mend
};

struct NodeOptions {
  NodeId self{};
  std::uint64_t incarnation = 0;  // that metadata has confirmed
  Nanos lease = std::chrono::seconds(3);
  std::uint32_t clock_drift_ppm_max = 1'000;
  Leader::Options leader{};  // self, incarnation, records_max and bytes_max are set here
  NodeLimits limits{};
  LogSink* log = nullptr;
};

// The answer to an append: kNone, and the offset of its first record; or why not. See refusal_name.
struct Appended {
  Refusal refusal = Refusal::kNone;
  Offset first{};
  bool done() const { return refusal == Refusal::kNone; }
};
struct AppendRequest {
  Acks acks = Acks::kAll;
  std::optional<Offset> expected_next{};
  // So long it waits for a segment that takes it; then kBusy, or kNotLeader where another writes.
  std::optional<Nanos> wait{};  // none: append_wait_max
  // Where this node led the partition until a moment ago, it goes on to who leads it now.
  bool hand_on = false;
  // Who asks sends on before it is answered, and again what was sent away: a batch of an idempotent
  // producer is not judged while one in front of it was, and has not come again (arrears.h).
  bool in_sequence = false;
  bool follows = false;  // likewise: one in front of it was sent away before it got here
  std::shared_ptr<Pipeline> pipeline{};  // none: it is nobody's concern what is in front of it
};

// As this node has it: a hint where another one leads.
struct LeaderHint {
  NodeId leader{};  // none: nobody for now, or who does is out of this node's reach
  Epoch epoch{};
  bool here = false;       // this life of this node takes appends
  Nanos hands_on_until{};  // by Env::mono(): until then append() may be asked to hand on
};

// What is known of a segment that is being sealed, for an operator to look at.
struct SealSurvey {
  struct Copy {
    NodeId node{};
    bool answered = false;
    bool removed = false;  // from the cluster: it never will
    Knowledge knowledge = Knowledge::kLimbo;
    Offset end{};  // it has all below
    bool operator==(const Copy&) const = default;
  };
  Epoch epoch{};          // of the recovery
  bool waits = false;     // for an operator to accept the loss
  Offset start{}, end{};  // what survives, on one copy at least
  Offset known{};         // acknowledged up to here at least, as far as anybody knows
  std::vector<Copy> copies{};
  bool operator==(const SealSurvey&) const = default;
};
struct AcceptedEnd {
  Epoch epoch{};
  Offset end{};
  std::string by{};  // up to 255 bytes
};

struct NodeStats {
  std::uint64_t appends = 0, append_bytes = 0, appends_refused = 0;
  std::uint64_t parcels_sent = 0, parcels_received = 0, parcels_refused = 0, messages_sent = 0,
                messages_received = 0;
  std::uint64_t copies_made = 0, copies_removed = 0, repaired_bytes = 0, remote_reads = 0;
  std::uint64_t appends_handed_on = 0;
  std::uint64_t log_starts_moved = 0;                     // by retention
  std::uint64_t compactions = 0, segments_compacted = 0;  // passes, and what they made smaller
  std::size_t leaders = 0, copies = 0, recoveries = 0, waiting = 0;  // now
  std::size_t lagging = 0;  // segments written here of which a copy lags, or is lost
  std::size_t slow = 0;     // copies of them that are slow (Leader::slow)
  std::uint64_t scrubbed_bytes = 0, scrub_rounds = 0;  // read for damage
  std::uint64_t copies_damaged = 0, copies_mended = 0;
  std::size_t damaged = 0;  // now
};

class NodeState;

class Node {
 public:
  // Registers its methods with the Rpc (node_methods.h) and finds the copies that are on the disk.
  // It takes part in nothing before the first image. kInvalid: options; kCorrupt, kVersion, kIo:
  // what is stored.
  static Result<std::unique_ptr<Node>> start(io::Env&, io::Loop&, log::Engine&, net::Rpc&,
                                             Metadata&, const NodeOptions&);
  // What waits is answered (kUnknown, kNotLeader, kClosed) before it returns.
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  // Before stop(): what it leads is rolled to others that have the copies, while it still serves,
  // and appends are handed on. What nobody can take, or not within the time, it goes on leading.
  io::Task<void> give_away(Nanos timeout);
  // Segments that it leads are closed by a planned roll where that is possible within the time.
  io::Task<void> stop(Nanos timeout);

  // ---- From metadata ----
  // The first one is at least as new as the confirmation of this incarnation. Older ones than the
  // last are ignored.
  void learned(ImageRef);
  bool begun() const;  // it goes by an image: before that it knows no partition, and says kBusy
  void lease_granted(Nanos asked_at);  // by Env::mono()
  // Work that the controller hands out. Given again while it is not done, it does nothing.
  void recover(const std::vector<meta::Recover>&);
  void roll(const std::vector<meta::Roll>&);
  void copy(const std::vector<meta::Copy>&);
  std::vector<PartitionId> wanted() const;  // for the heartbeat
  std::vector<meta::Copy> copying() const;  // likewise
  // For the condition of the node, up to 1,000 each: copies of others that are slow, own ones that
  // are damaged and could not be mended yet.
  std::vector<meta::SlowCopy> slow() const;
  std::vector<meta::DamagedCopy> damaged() const;
  // Whose disks are full: where fewer nodes have room than a topic is to be written to, appends to
  // it are refused with kNoRoom, but for internal ones.
  void learn_full(std::set<NodeId>);

  // ---- For an operator ----
  // What the node that seals a segment knows of it, this one or another. kNotFound: it does not
  // (any more, or not yet).
  io::Task<SealSurvey> survey(NodeId sealer, SegmentId);
  // The operator's word that what is above `end` may be lost (R41), as a survey of that epoch has
  // shown it; recorded with its author when the segment is sealed. kMismatch: it is not as it was
  // shown any more; kBusy: not all of its nodes have answered.
  io::Task<void> accept_loss(NodeId sealer, SegmentId, AcceptedEnd);

  // ---- For the broker ----
  // One record batch v2 that record::validate() took; base offset and epoch are set here. Answers
  // come in the order in which the batches of a partition were given.
  void append(PartitionId, std::string batch, const AppendRequest&,
              std::move_only_function<void(Appended)>);
  // The high watermark, when an ack quorum has confirmed that this node still leads (R15). kBusy:
  // it does not, or not yet.
  void confirm(PartitionId, std::move_only_function<void(Result<Offset>)>);
  // Whole batches from the one that holds `from`, below what is readable here; sealed segments that
  // are not here come from another replica. kOutOfRange: outside of bounds(); kNotFound: no such
  // partition; kBusy: no replica has it now.
  io::Task<log::Fetched> fetch(PartitionId, Offset from, log::FetchOptions);
  // kNotFound. high_watermark and log_end: what is readable here, of a follower it may lag (R8).
  Result<log::Bounds> bounds(PartitionId) const;
  std::vector<log::SegmentInfo> segments(PartitionId) const;  // of the chain, the last may be open
  // The first record not older; none: the high watermark.
  io::Task<Offset> find_time(PartitionId, Time);
  // Calls back once when something above `offset` is readable here, or the partition is gone. The
  // returned id cancels; what was cancelled is destroyed, not called.
  std::uint64_t when_readable(PartitionId, Offset offset, log::Done<void>);
  void cancel(std::uint64_t id);
  // The log start never goes back; durable when done, and known here. kOutOfRange: beyond the high
  // watermark.
  io::Task<void> trim(PartitionId, Offset first_kept);
  LeaderHint leader_of(PartitionId) const;
  // Asks all who were there whether they are, and waits for their answers, but no longer than that:
  // leader_of() names nobody then who had died before this was called.
  io::Task<void> ask_reach(io::Nanos at_most);
  // Called with the nodes that are out of reach now, or there again: leader_of() tells something
  // else of what they lead.
  void on_reach(std::function<void(const std::set<NodeId>&)>);
  // The end offset of the last segment whose epoch is not above (R38), and that epoch.
  std::pair<Epoch, Offset> end_of_epoch(PartitionId, Epoch) const;

  NodeStats stats() const;

 private:
  explicit Node(std::shared_ptr<NodeState>);
  const std::shared_ptr<NodeState> state_;  // shared with coroutines and callbacks
};

}  // namespace walrus::replica
