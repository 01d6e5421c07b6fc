#pragma once
// State: the metadata of a cluster as of one moment. A value without I/O, clock or random numbers.
//
// It changes only by committed commands (command.h), on every node in the same order and so in the
// same way. Copying costs a dozen references, whatever its size: an image for readers is a copy
// that is not changed any more, and may be read by any thread. What is in it is durable, because
// the log of commands is.
//
// Every object has the version at which it last changed, by which commands compare and swap, and by
// which who saw version n learns what changed since (`changes_since`).

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "meta/chain.h"
#include "meta/map.h"
#include "walrus/log.h"
#include "walrus/node_id.h"
#include "wire/sasl/scram.h"

namespace walrus::meta {

// What this program knows. A command or a field that came later belongs to a higher level, and is
// not used before all nodes know it.
//   2  compaction of segments
//   3  the settings min.compaction.lag.ms and max.compaction.lag.ms of topics; messages of a
//      segment's writer that nobody answers (Replicate::quiet)
constexpr std::uint32_t kFeatureLevel = 3;

constexpr std::size_t kNodesMax = 1'000;  // also those that were removed
constexpr std::size_t kTopicsMax = 100'000;
constexpr std::size_t kPartitionsMax = 200'000;  // of the cluster
constexpr std::size_t kTopicPartitionsMax = 10'000;
constexpr std::size_t kUsersMax = 10'000;
constexpr std::size_t kTombstonesMax = 10'000;
constexpr std::size_t kSettingsMax = 64;  // of a topic, of the cluster
constexpr std::size_t kLossesMax = 16;    // that a partition remembers
constexpr std::size_t kListenersMax = 8;
constexpr std::size_t kRecoveriesMax = 1'000;

// Counts the commands that changed something. Of an object: when it last changed; 0: never.
struct Version {
  std::uint64_t value = 0;
  auto operator<=>(const Version&) const = default;
};

using Settings = std::map<std::string, std::string, std::less<>>;  // by Kafka's names

// A time that one node made the metadata go on alone (meta/recovery.h), with what it knew then.
struct Recovery {
  Uuid cluster{};                     // the cluster's id since
  NodeId by{};                        // who did
  std::uint64_t term = 0, index = 0;  // of the last entry of the log that it had
  Time at{};
  bool operator==(const Recovery&) const = default;
};

struct Cluster {
  Version version{};
  Uuid id{};                        // zero: not founded yet, nothing else is accepted
  std::uint32_t feature_level = 0;  // never lowered; every node knows it
  Settings settings{};              // of all nodes, above their files
  std::string users_secret{};       // see broker::UserTable
  bool operator==(const Cluster&) const = default;
};

// joining → active ⇄ draining → drained → removed; drained → active. Any → removed by force.
enum class NodeState : std::uint8_t {
  kJoining = 1,   // known; holds nothing yet
  kActive = 2,    // is given new segments
  kDraining = 3,  // is given none; what it has is moved away
  kDrained = 4,   // is in no replica set
  kRemoved = 5,   // for good; its id is never given again, and its copies count as unknown (R19)
};

struct Listener {
  std::string name{};     // native, kafka, peer, admin
  std::string address{};  // host:port
  bool operator==(const Listener&) const = default;
};

struct Node {
  Version version{};
  NodeState state = NodeState::kJoining;
  Uuid directory{};               // R33: same id and another directory: what was there is lost
  std::uint64_t incarnation = 0;  // its newest life; see RegisterNode
  std::uint32_t lease_epoch = 0;  // leases of an earlier one are renewed no more (R15)
  // Copies are lost that are older: a segment's copy on this node is there if the segment was
  // `copied` at or after this. Raised when the node comes with an empty or an old directory.
  SegmentId intact_from{};
  std::uint32_t feature_level_max = 0;  // that its program knows
  std::vector<Listener> listeners{};
  std::string rack{};
  std::uint32_t capacity = 100;  // its share against other nodes'; 0: is given no new segment
  Time since{};                  // it has been in this state
  // Draining or removed: who takes over what it has; nobody in particular: none.
  NodeId replaced_by{};
  bool operator==(const Node&) const = default;
};

struct Topic {
  Version version{};
  std::string name{};
  bool internal = false;  // leaders stay where they are on a planned roll
  std::uint32_t partitions = 1;
  std::uint32_t replication_factor = 1;
  std::uint32_t min_copies = 1;  // min.insync.replicas; smaller replica sets are refused
  Settings settings{};
  Time created{};
  bool operator==(const Topic&) const = default;
};

// A topic that was deleted. It is kept so that who follows the changes learns of it, and so that
// its id is not taken again; the oldest go when there are too many. Data cannot come back in any
// case, because segment ids are never given again.
struct Tombstone {
  Version version{};
  std::string name{};
  Time deleted{};
  bool operator==(const Tombstone&) const = default;
};

// Records that were acknowledged and may be gone (R41).
struct Loss {
  SegmentId segment{};
  Epoch epoch{};              // of the segment
  Offset end{};               // where it was sealed
  Offset known{};             // up to where records were acknowledged, as far as anybody knows
  std::string accepted_by{};  // the operator; empty: the topic's durability allows it
  Time at{};
  bool operator==(const Loss&) const = default;
};

// A sealed segment that is being made anew without what newer records of the same keys supersede:
// one node writes the copies' new bytes, the other replicas fetch them from it. When all have them
// they take the place of the old ones.
struct Compaction {
  SegmentId segment{};            // of the chain, not its last one
  SegmentId copy{};               // the id of the new copies; never that of a segment
  NodeId by{};                    // who writes the first one
  std::vector<NodeId> holders{};  // replicas of the segment that have all of it on the disk
  bool operator==(const Compaction&) const = default;
};

struct Partition {
  Version version{};
  Epoch epoch{};                  // the highest that was issued; of `tail`, or of its recovery
  Offset log_start{};             // may lie in the tail
  Chain sealed{};                 // an empty segment leaves no trace in it but its epoch
  Offset sealed_end{};            // of the last sealed segment, also after it was trimmed
  std::optional<Segment> tail{};  // open or sealing, begins there; none: the next append opens it
  std::vector<Loss> losses{};     // the newest
  std::uint64_t losses_total = 0;
  // From feature level 2 on. Below it each key has one record at most, but for what is not told by
  // keys; rises from segment to segment as passes of compaction end.
  Offset compacted_to{};
  std::optional<Compaction> compaction{};
};

struct User {
  Version version{};
  std::map<wire::sasl::ScramMechanism, wire::sasl::ScramCredential> credentials{};
  bool operator==(const User&) const = default;
};

// What a node has, and what that weighs. Follows from the partitions; kept beside them, so that
// nobody has to count.
struct Load {
  std::uint32_t leads = 0;   // tails that it writes
  std::uint32_t tails = 0;   // tails that it is a replica of
  std::uint64_t sealed = 0;  // sealed segments that it is a replica of
  std::uint64_t sealed_bytes = 0;
  bool empty() const { return *this == Load{}; }
  bool operator==(const Load&) const = default;
};

// What changed after a version.
struct Changes {
  bool whole = false;  // too much was forgotten since: take the image as it is
  bool cluster = false;
  bool users = false;  // take them all
  std::vector<NodeId> nodes{};
  std::vector<Uuid> topics{}, deleted{};
  std::vector<PartitionId> partitions{};
};

// By node, ids rise.
using Loads = std::vector<std::pair<NodeId, Load>>;

struct State {
  Version version{};
  Time time{};  // of the newest command; never goes back
  Cluster cluster{};
  SegmentId next_segment{1};
  std::int64_t next_producer = 0;
  Version forgotten{};  // tombstones up to this version are gone
  Version users_version{};
  std::vector<Recovery> recoveries{};  // all, kRecoveriesMax at most

  Map<NodeId, Node> nodes{};
  Map<Uuid, Topic> topics{};
  Map<std::string, Uuid> topic_names{};
  Map<Uuid, Tombstone> tombstones{};
  Map<PartitionId, Partition> partitions{};
  Map<std::string, User> users{};
  std::shared_ptr<const Loads> loads = std::make_shared<const Loads>();  // of nodes that have any

  const Topic* find_topic(Bytes name) const;
  const Node* find_node(NodeId id) const { return nodes.find(id); }
  Load load(NodeId) const;
  // Whether the node's copy of a segment that it is a replica of is there, as far as metadata
  // knows. If not, it counts as limbo in recovery (R19) and as missing for repair (R29).
  bool intact(const Segment&, NodeId) const;
  // Whether every intact replica of the segment that is compacted holds the new copy.
  bool compacted_everywhere(const Partition&) const;
  Changes changes_since(Version) const;
};

}  // namespace walrus::meta
