#pragma once
// Commands: the only way in which metadata changes, and their bytes.
//
// A command is a list of changes. Each is a compare-and-swap on exactly what it changes, is done
// whole or refused, and has its outcome; one that is refused does not hinder the others. So the
// changes of many partitions go in one command. A refusal is an answer, never a fault: a command of
// any bytes at all is applied everywhere, with the same outcomes.
//
//   command  version u8 = 1 | time, varint of ms | count | change * count
//   change   kind u8 | size | fields in the order in which they stand below
//   reply    version u8 = 1 | count | outcome * count
//   outcome  refusal u8 | version | value
//
// The fields of each stand in layout.h. Integers are uvarints, times and offsets zig-zag varints,
// strings have their size before them, lists their count, optional values a byte. A field that is
// added later stands at the end of its change: it is absent in older bytes, and may be sent only at
// its feature level. A kind of change that the program does not know is refused.

#include <variant>

#include "meta/state.h"

namespace walrus::meta {

constexpr std::size_t kCommandBytesMax = 1 << 20;
constexpr std::size_t kChangesMax = 10'000;

struct Placement {
  NodeId leader{};
  std::vector<NodeId> replicas{};  // the leader among them
  bool operator==(const Placement&) const = default;
};

// What stands in the place of a change that could not be read; kind 0, never sent.
struct Unreadable {
  enum class Why : std::uint8_t { kMalformed, kUnknown } why = Why::kMalformed;
  bool operator==(const Unreadable&) const = default;
};

// The first change of a cluster.
struct Found {
  Uuid cluster{};
  std::uint32_t feature_level = kFeatureLevel;
  std::string users_secret{};
  bool operator==(const Found&) const = default;
};

// Refused while a node is registered, and not removed, whose program does not know the level.
struct RaiseLevel {
  Version expected{};  // of the cluster
  std::uint32_t level = 0;
  bool operator==(const RaiseLevel&) const = default;
};

struct ConfigureCluster {
  Version expected{};  // of the cluster
  Settings set{};
  std::vector<std::string> unset{};
  bool operator==(const ConfigureCluster&) const = default;
};

// A node has begun a new life. `incarnation` is higher than all before, and the node has it on its
// disk before it sends this, together with `claimed`: the incarnation that metadata last confirmed
// to this directory, and all that it tried since then. A directory that does not know the node's
// newest incarnation is an old copy, and is treated as wiped, as another directory is: what the
// node held is lost, `intact_from` is raised. (Incarnations of two copies differ, because the low
// half of each is random.) Its state stays.
struct RegisterNode {
  NodeId node{};
  Version expected{};  // of the node; 0: it is new
  Uuid directory{};
  std::uint64_t incarnation = 0;
  std::vector<std::uint64_t> claimed{};
  std::uint32_t feature_level_max = kFeatureLevel;
  std::vector<Listener> listeners{};
  std::string rack{};
  std::uint32_t capacity = 100;
  bool operator==(const RegisterNode&) const = default;
};

// Drained needs an empty load; so does removed, unless forced: then the copies that it has count
// as unknown for ever (R19).
struct SetNodeState {
  NodeId node{};
  Version expected{};
  NodeState state = NodeState::kActive;
  bool force = false;
  bool operator==(const SetNodeState&) const = default;
};

// `old` is removed by force, and `by` is given its copies to make again.
struct ReplaceNode {
  NodeId old{};
  Version expected{};
  NodeId by{};
  Version by_expected{};
  bool operator==(const ReplaceNode&) const = default;
};

// No lease is renewed any more that was granted to the node before; it has to ask for one anew.
struct ExpireLease {
  NodeId node{};
  Version expected{};
  bool operator==(const ExpireLease&) const = default;
};

// kExists: the name or the id is taken. Value: none.
struct CreateTopic {
  Uuid topic{};
  std::string name{};
  bool internal = false;
  std::uint32_t partitions = 1;
  std::uint32_t replication_factor = 1;
  std::uint32_t min_copies = 1;
  Settings settings{};
  std::vector<Placement> first{};  // of the first segments, from partition 0 on; may be fewer
  bool operator==(const CreateTopic&) const = default;
};

struct DeleteTopic {
  Uuid topic{};
  Version expected{};
  bool operator==(const DeleteTopic&) const = default;
};

// Segments that are open keep what they were opened with; the next ones follow.
struct AlterTopic {
  Uuid topic{};
  Version expected{};
  Settings set{};
  std::vector<std::string> unset{};
  std::optional<std::uint32_t> replication_factor{}, min_copies{};
  bool operator==(const AlterTopic&) const = default;
};

struct AddPartitions {
  Uuid topic{};
  Version expected{};
  std::uint32_t partitions = 0;    // how many it has then
  std::vector<Placement> first{};  // of the new ones
  bool operator==(const AddPartitions&) const = default;
};

// Opens a segment where there is none that takes records (R23, R42). Value: its id; its epoch is
// the partition's next one.
struct OpenSegment {
  PartitionId partition{};
  Version expected{};
  Placement place{};
  bool operator==(const OpenSegment&) const = default;
};

// Open, or sealing, becomes sealing, with an epoch above all before (R11). Value: that epoch. Who
// was to recover it before can decide nothing any more.
struct BeginSeal {
  PartitionId partition{};
  Version expected{};
  NodeId recoverer{};
  bool operator==(const BeginSeal&) const = default;
};

// R41. A topic of durability fsync needs the operator who accepts it.
struct AcceptedLoss {
  Offset known{};  // up to where records were acknowledged, as far as anybody knows; above the end
  std::string accepted_by{};
  bool operator==(const AcceptedLoss&) const = default;
};

// Decides a segment's end, once (R22), and opens the next one in the same step (R24). From open:
// by its writer, with its epoch, where it has acknowledged (R27). From sealing: by its recoverer,
// with the recovery's epoch. `end` is at least the log start. Value: the id of `next`, or 0.
struct Seal {
  PartitionId partition{};
  Version expected{};
  SegmentId segment{};
  Epoch epoch{};
  Offset end{};
  std::uint64_t bytes = 0;
  std::optional<AcceptedLoss> loss{};  // only from sealing
  std::optional<Placement> next{};
  bool operator==(const Seal&) const = default;
};

// Never goes back. Drops sealed segments below it (R32).
struct SetLogStart {
  PartitionId partition{};
  Version expected{};
  Offset log_start{};
  bool operator==(const SetLogStart&) const = default;
};

// The replica sets of sealed segments (R29, R31) become those of their copies that are intact, and
// `added`, which hold checked copies now, without `dropped`. At least one intact copy was there
// before, and as many as the segment's min_copies are there after, if so many were there before.
struct CopyMove {
  SegmentId segment{};
  std::vector<NodeId> added{}, dropped{};
  bool operator==(const CopyMove&) const = default;
};
struct MoveCopies {
  PartitionId partition{};
  Version expected{};
  std::vector<CopyMove> moves{};  // segments rise; all or none
  bool operator==(const MoveCopies&) const = default;
};

// All credentials of a user; none: it is gone.
struct SetUser {
  std::string name{};
  Version expected{};  // 0: it is new
  std::map<wire::sasl::ScramMechanism, wire::sasl::ScramCredential> credentials{};
  bool operator==(const SetUser&) const = default;
};

// Value: the first of `count` producer ids that nobody else is given.
struct TakeProducerIds {
  std::int64_t expected_next = 0;
  std::uint32_t count = 0;
  bool operator==(const TakeProducerIds&) const = default;
};

// A sealed segment, not the last one, is to be made anew by a node; what was being made in the
// partition before is given up. Value: the id of the new copies. Level 2.
struct BeginCompaction {
  PartitionId partition{};
  Version expected{};
  SegmentId segment{};
  NodeId by{};
  bool operator==(const BeginCompaction&) const = default;
};

// A replica of the segment has all of the new copy on its disk. The last one that was missing makes
// it take the old one's place, on the nodes that hold it. Value: 1 then, otherwise 0. Level 2.
struct HoldCompacted {
  PartitionId partition{};
  Version expected{};
  SegmentId copy{};
  NodeId node{};
  std::uint64_t bytes = 0;  // of the new copy
  bool operator==(const HoldCompacted&) const = default;
};

// A pass over the segments below is over: rises, up to where the last sealed one begins. Level 2.
struct EndCompaction {
  PartitionId partition{};
  Version expected{};
  Offset compacted_to{};
  bool operator==(const EndCompaction&) const = default;
};

// The metadata group of cluster `from` goes on with `by` alone, as cluster `cluster` (recovery.h):
// others may have decided more than it knows of. So no number is issued that may have been issued
// already (of segments, epochs, producers, versions), no lease holds, and what took records is to
// be recovered, by `by`. Part of what the recovery writes to the log; never proposed.
struct RecoverMetadata {
  Uuid from{}, cluster{};
  NodeId by{};
  std::uint64_t term = 0, index = 0;  // of the last entry that `by` has
  bool operator==(const RecoverMetadata&) const = default;
};
constexpr std::uint64_t kSkippedSegments = 1 << 20, kSkippedVersions = 1 << 20;
constexpr std::uint32_t kSkippedEpochs = 1'000;
constexpr std::int64_t kSkippedProducers = std::int64_t{1} << 32;

// `old` leaves, and what it has goes to `by` as far as that has no copy already: as kDraining, and
// removed when nothing is left of it. Active, draining or drained before.
struct HandOver {
  NodeId old{};
  Version expected{};
  NodeId by{};
  Version by_expected{};
  bool operator==(const HandOver&) const = default;
};

// In the order of their kinds.
using Change =
    std::variant<Unreadable, Found, RaiseLevel, ConfigureCluster, RegisterNode, SetNodeState,
                 ReplaceNode, ExpireLease, CreateTopic, DeleteTopic, AlterTopic, AddPartitions,
                 OpenSegment, BeginSeal, Seal, SetLogStart, MoveCopies, SetUser, TakeProducerIds,
                 BeginCompaction, HoldCompacted, EndCompaction, RecoverMetadata, HandOver>;

struct Command {
  Time time{};  // of whoever proposes it
  std::vector<Change> changes{};
  bool operator==(const Command&) const = default;
};

enum class Refusal : std::uint8_t {
  kNone = 0,       // done
  kMalformed = 1,  // its bytes are no change
  kUnknown = 2,    // its kind belongs to a later program, or to a higher feature level
  kNotFound = 3,   // what it changes is not there (any more)
  kExists = 4,     // what it makes is there already
  kMismatch = 5,   // what it changes has another version than expected: read again
  kState = 6,      // not in the state in which this may be done
  kEpoch = 7,      // of another writer or recoverer than the present one
  kInvalid = 8,    // asks for what cannot be
  kLimit = 9,      // would be too many
};
Bytes refusal_name(Refusal);

struct Outcome {
  Refusal refusal = Refusal::kNone;
  Version version{};        // that the object has now; 0: there is none
  std::uint64_t value = 0;  // what was issued; see each change
  bool done() const { return refusal == Refusal::kNone; }
  bool operator==(const Outcome&) const = default;
};

// One outcome per change. Pure: the same state and command give the same state and outcomes.
std::vector<Outcome> apply(State&, const Command&);
// The bytes of a command, whatever they are; the bytes of its reply.
std::string apply_encoded(State&, Bytes command);

std::string encode(const Command&);
// kCorrupt, kVersion, kTooLarge: not a command as a whole. A change that is malformed or unknown is
// Unreadable in its place, and refused by apply().
Result<Command> parse_command(Bytes);
std::string encode_reply(const std::vector<Outcome>&);
Result<std::vector<Outcome>> parse_reply(Bytes);

}  // namespace walrus::meta
