#pragma once
// What nodes ask of each other about metadata, beside what the Raft group itself sends, and its
// bytes. Pure.
//
// A message travels as a call of the peer protocol (docs/peer-protocol.md), which knows the
// cluster, the caller, its incarnation and a checksum; the answer is the reply of that call. What
// only the leader of metadata can answer, another node answers with NotLeader; errors of the call
// say the rest.
//
//   message  version u8 = 1 | kind u8 | fields in the order in which they stand below
//
//   method           asks             answers
//   0x0200  join     JoinRequest      Done
//   0x0201  propose  ProposeRequest   Proposed
//   0x0202  beat     Heartbeat        Leased
//   0x0203  work     Handout          Done
//   0x0204  watch    Done             nothing, for as long as the node lives
//   0x0205  probe    Done             Here
//   0x0206  health   Done             Health
//   0x0207  enroll   EnrollRequest    Enrolled
//   0x0208  concerns Done             Concerns
//   0x0209  condition Condition       Conditions
//   0x020a  conditions Done           Conditions
//   0x020b  rejoin   RejoinRequest    Done
//
// Encoded as fields.h says: a field that is added later stands at the end, is absent in older bytes
// and needs a version of its own.

#include <string>
#include <variant>
#include <vector>

#include "meta/planner.h"
#include "net/frame.h"

namespace walrus::meta {

constexpr net::Method kJoinMethod{0x0200}, kProposeMethod{0x0201}, kBeatMethod{0x0202},
    kWorkMethod{0x0203}, kWatchMethod{0x0204}, kProbeMethod{0x0205}, kHealthMethod{0x0206},
    kEnrollMethod{0x0207}, kConcernsMethod{0x0208}, kConditionMethod{0x0209},
    kConditionsMethod{0x020a}, kRejoinMethod{0x020b};

constexpr std::size_t kBeatWantedMax = 1'000, kBeatCopiesMax = 256;  // of one heartbeat
constexpr std::size_t kHandoutMax = 1'000;                           // works of one handout
constexpr std::size_t kHealthListMax = 1'000;                        // of each list of a Health
constexpr std::size_t kConditionListMax = 1'000;                     // of each list of a Condition

// A node with nothing of the group on its disk wants to be a learner of it. What the group knew of
// the node as a member is over then.
struct JoinRequest {
  NodeId node{};
  std::string address{};  // of its peer listener
  std::uint32_t feature_level_max = kFeatureLevel;
  bool operator==(const JoinRequest&) const = default;
};
// A node has begun a new life. The leader fills in which version of the node it knows: a node that
// is far behind, or whose disk forgot what the group gave it, can register all the same.
struct EnrollRequest {
  RegisterNode node{};
  bool operator==(const EnrollRequest&) const = default;
};
struct Enrolled {
  Outcome outcome{};
  bool operator==(const Enrolled&) const = default;
};
struct ProposeRequest {
  std::string command{};  // as encode(Command) made it
  bool operator==(const ProposeRequest&) const = default;
};
struct Proposed {
  std::uint64_t index = 0;  // of the log, at which it was applied
  std::string reply{};      // as encode_reply() made it
  bool operator==(const Proposed&) const = default;
};
// Whether a node stops. A program that does not know kSoon refuses the heartbeat: the node's lease
// is renewed no more then, which it outlives while it gives away what it leads.
enum class Leaving : std::uint8_t {
  kNo = 0,
  kNow = 1,   // it is gone
  kSoon = 2,  // it gives away what it leads: nothing more is to be placed on it
};
// Of a registered node, every 100 ms.
struct Heartbeat {
  std::uint64_t incarnation = 0;
  std::uint32_t lease_epoch = 0;  // the newest that it knows of
  Leaving leaving = Leaving::kNo;
  std::vector<PartitionId> wanted{};  // see Member::want()
  std::vector<Copy> copies{};         // that it makes at the moment
  std::uint64_t copied_bytes = 0;     // since it started
  bool operator==(const Heartbeat&) const = default;
};
struct Leased {
  bool granted = false;           // the lease counts from when the heartbeat was sent
  std::uint32_t lease_epoch = 0;  // not granted: the node has to know of this one first
  bool operator==(const Leased&) const = default;
};
struct Handout {
  std::uint64_t incarnation = 0;  // the life of the receiver that it is for
  Version image{};                // with which it was planned: to be known before it is begun
  std::vector<Recover> recoveries{};
  std::vector<Roll> rolls{};
  std::vector<Copy> copies{};
  bool operator==(const Handout&) const = default;
};
struct Here {
  std::uint64_t incarnation = 0;
  bool operator==(const Here&) const = default;
};
struct Done {
  bool operator==(const Done&) const = default;
};
struct NotLeader {
  NodeId leader{};        // as far as the node knows; 0: it does not
  std::string address{};  // of its peer listener; empty: not known
  bool operator==(const NotLeader&) const = default;
};

// What the controller sees, for `walrus cluster status` and `health`.
struct Health {
  NodeId controller{};
  std::vector<Sight> nodes{};
  std::vector<Drain> drains{};
  std::vector<Stuck> stuck{};  // the first ones
  std::vector<Copy> copies{};  // under way
  std::uint64_t stuck_total = 0;
  std::uint64_t under_replicated = 0;
  bool searched = false;  // all sealed segments were looked at since it began
  bool operator==(const Health&) const = default;
};

// What of it an operator may want to look at one by one.
struct Concerns {
  std::vector<UnderReplicated> lacking{};  // the first ones
  bool operator==(const Concerns&) const = default;
};

// A sealed copy of which a part is not what was written, and no other copy could mend it yet (R35).
struct DamagedCopy {
  PartitionId partition{};
  SegmentId segment{};
  bool operator==(const DamagedCopy&) const = default;
};

// How a node is, as it says of itself: every second, and with the next heartbeat if it has changed.
// The answer is whose disks are full.
struct Condition {
  std::uint64_t incarnation = 0;
  bool full = false;             // its disk has no room to speak of: nothing more is to come there
  std::vector<SlowCopy> slow{};  // of segments that it writes
  std::vector<DamagedCopy> damaged{};  // of its own
  bool operator==(const Condition&) const = default;
  bool well() const { return !full && slow.empty() && damaged.empty(); }
};
struct NodeCondition {
  NodeId node{};
  Condition condition{};
  bool operator==(const NodeCondition&) const = default;
};
struct Conditions {
  std::vector<NodeCondition> nodes{};  // that are not well; nodes rise
  bool operator==(const Conditions&) const = default;
};

// As a JoinRequest, of a node that took part in the metadata group before that was recovered
// without it. It discards what it has of the group when it is let in; not if it knows of more than
// the recovery did.
struct RejoinRequest {
  JoinRequest join{};
  std::uint64_t recoveries = 0;       // that it knows of
  std::uint64_t term = 0, index = 0;  // of the last entry of the log that it has
  bool operator==(const RejoinRequest&) const = default;
};

// In the order of their kinds, from 1.
using Message = std::variant<JoinRequest, EnrollRequest, Enrolled, ProposeRequest, Proposed,
                             Heartbeat, Leased, Handout, Here, Done, NotLeader, Health, Concerns,
                             Condition, Conditions, RejoinRequest>;

std::string encode(const Message&);
// The whole of `bytes`: kCorrupt, or kVersion for a version that this node does not know.
Result<Message> parse_message(Bytes);

// The one of that kind, which is one of Message's. kCorrupt: it is another one.
template <class T>
Result<T> parse_as(Bytes);

}  // namespace walrus::meta
