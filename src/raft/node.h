#pragma once
// Node: one member of one group, the driver of its Core: what the Core wants written goes to the
// streams of the Host's engine, what it wants sent to the Host's Rpc, what it committed to the
// Machine. Made by a Host (raft/host.h), which all groups of a process share.
//
//   auto node = co_await host.open(GroupId{7}, options, std::move(machine));
//   auto proposal = co_await (*node)->propose("set x 1", 5s);
//   if (proposal.end == Proposal::End::kApplied) use(proposal.reply);
//
// Lives on the Host's loop; every call on its thread, and every callback runs there, never within
// the call itself. Pointers are valid until the group is closed or removed, or the Host goes.
//
// What is durable when: a proposal that ended as kApplied is on the disks of a majority and applied
// here; see docs/kernel.md. A failed disk ends the node (NodeStatus::failure): it neither votes nor
// acknowledges any more. A full disk does not: what has to be written waits and is tried again, and
// a leader that waits longer than Options::disk_stall hands over to a voter whose disk has room.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/network.h"
#include "raft/core.h"
#include "raft/group_id.h"
#include "raft/machine.h"

namespace walrus::raft {

// How a proposal or a change of members ended.
struct Proposal {
  enum class End : std::uint8_t {
    kApplied,  // committed at `at`, and this node's Machine has applied it
    kRefused,  // `refusal` says why; it is in no log
    kLost,     // accepted, but another entry was committed in its place: it never will be
    kUnknown,  // no answer in time, or the node stopped or failed: it may be committed, or yet be
  };
  End end = End::kUnknown;
  Refusal refusal = Refusal::kNone;
  NodeId leader{};      // as far as this node knows; of kRefused: whom to ask instead
  EntryId at{};         // of all but kRefused
  std::string reply{};  // the Machine's; of kApplied
};
const char* end_name(Proposal::End);

enum class ReadLevel : std::uint8_t {
  kLinearizable,  // everything acknowledged anywhere before the call is seen
  // The same, if no clock runs faster than Options::clock_drift_ppm_max says, and a port refuses
  // connections only where the process is gone.
  kLease,
  kLocal,  // what this node has applied: may be old
};

// Where the Machine's calls run.
enum class Runs : std::uint8_t {
  kLoop,    // on the loop, at once: for state machines whose apply() takes microseconds
  kShared,  // on a worker of the host, beside machines of other groups
  kOwn,     // on a worker of its own
};

struct NodeStatus {
  Status core{};
  Membership membership{};  // in force here: the newest in the log
  Index applied = 0;        // by the Machine
  Term applied_term = 0;    // of that entry
  std::string failure{};    // why the node is kFailed; empty: it is not
  std::string waits_for{};  // what keeps the disk from taking more: a full one, say
  std::uint64_t snapshot_bytes = 0, log_bytes_since_snapshot = 0;
  bool snapshotting = false, restoring = false;
};

struct NodeOptions {
  // id and seed are set by the Host. heartbeat should be the same for all groups of a process:
  // those of equal interval fall together and share frames.
  Options core{};
  // A snapshot is taken when the log has grown by so much since the last one (the entries' sizes,
  // with EntryLog::kEntryOverheadBytes each). At most half of core.log_bytes_max.
  std::uint64_t snapshot_after_bytes = 64 << 20;
  Runs runs = Runs::kShared;
  // Founds the group if there is nothing of it here: the same members on each founder, all of them
  // voters. Empty: what is here is opened; a node that has nothing joins, and learns of the group
  // when its leader was told to add it.
  Membership founders{};
  // Role, term, leader, membership or failure is another one. For more look at status().
  std::function<void(const NodeStatus&)> on_change{};
};

class NodeState;

class Node {
 public:
  using ProposalDone = std::move_only_function<void(Proposal)>;
  using ReadDone = std::move_only_function<void(Result<Index>)>;
  using Done = std::move_only_function<void(Result<void>)>;
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  explicit Node(std::shared_ptr<NodeState>);  // by a Host
  ~Node();
  GroupId group() const;

  // Ends within the timeout. Only a leader accepts: on another node ask Proposal::leader there.
  // Commands of one node are applied in the order of their propose() calls, if they are.
  void propose(std::string command, Nanos timeout, ProposalDone);
  Awaitable<Proposal> propose(std::string command, Nanos timeout);

  // Ends when the change is over: a joint configuration has been left.
  void change_members(std::vector<MemberChange>, Nanos timeout, ProposalDone);
  Awaitable<Proposal> change_members(std::vector<MemberChange>, Nanos timeout);

  // Done when the Machine has applied what a read of this level has to see: the index it has
  // applied. On any member, learners too: a follower asks the leader for the index. kTimeout: no
  // leader answered, or the Machine did not get so far; kBusy: reads_max wait; kClosed: stopped;
  // kIo: failed.
  void read(ReadLevel, Nanos timeout, ReadDone);
  io::Task<Index> read(ReadLevel, Nanos timeout);

  // Leadership goes to that voter (nobody: the one that is furthest). Done when this node knows of
  // the new leader. kTimeout: it leads still, or does not know who does; kMismatch: it does not
  // lead; kBusy: it is under way already; kInvalid: no voter.
  void transfer(NodeId to, Nanos timeout, Done);
  io::Task<void> transfer(NodeId to, Nanos timeout);

  // Takes a snapshot as soon as possible, whatever the log's size.
  void take_snapshot();

  // Runs where the Machine's calls run, between two of them, behind those that wait already. Not
  // at all if the node stops or fails before.
  void at_machine(std::move_only_function<void(Machine&)>);

  NodeStatus status() const;

 private:
  const std::shared_ptr<NodeState> state_;  // shared with its coroutines
};

}  // namespace walrus::raft
