#pragma once
// NodeTruth: what all replicas of one group have to agree on, seen from where users see it: state
// machines, proposals, reads, leadership. Pure.
//
//   election safety        a term has at most one leader
//   durable term           who led a term is never seen in an older one again
//   state machine safety   replicas apply the same commands, in the same order, at the same places
//   each once              a state machine is given each command once, behind its snapshot, in
//   order snapshot = replay      a restored state is that of replaying to its place exactly once an
//   acknowledged command is applied where it was said to be, with its
//                          reply; what was refused or lost is applied nowhere
//   never stale            a read is served with all that was acknowledged when it was asked

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "history.h"
#include "raft/node.h"

namespace walrus::sim {

// Every try of a command has a number of its own; what counts is that each client's commands take
// effect once and in order.
struct NodeCommand {
  std::uint32_t client = 0, sequence = 0;
  std::uint64_t attempt = 0;
  std::string bytes(std::size_t padding) const;
  static std::optional<NodeCommand> parse(Bytes);
};

// What the state machine holds. Its size grows, so that snapshots have pieces.
struct NodeMachineState {
  raft::EntryId last{};  // of what was applied, or restored
  std::uint64_t hash = 0;
  std::map<std::uint32_t, std::uint32_t> sequences{};       // the last that took effect, by client
  std::string apply(raft::EntryId at, const NodeCommand&);  // the reply
  std::string bytes(std::size_t padding) const;
  static std::optional<NodeMachineState> parse(Bytes);
  bool same(const NodeMachineState& other) const {
    return hash == other.hash && sequences == other.sequences;
  }
};

class NodeTruth {
 public:
  const Verdict& violation() const { return violation_; }
  void fail(std::string rule, std::string detail);

  // A replica applied one command: its state then, the one before it, and its answer.
  void applied(NodeId, raft::EntryId at, raft::Index before, const NodeCommand&,
               const NodeMachineState&);
  void restored(NodeId, raft::EntryId last, const NodeMachineState&);
  void seen(NodeId, raft::Term, bool leads);
  void acknowledged(const NodeCommand&, const raft::Proposal&);
  void never(const NodeCommand&, const char* why);  // refused, or lost
  void read(raft::Index at_invocation, raft::Index served);
  raft::Index known() const { return known_; }  // the highest place that somebody was told of
  raft::Index frontier() const { return places_.empty() ? 0 : places_.rbegin()->first; }
  const NodeMachineState* state_at(raft::Index) const;  // after the last command up to there

 private:
  struct Place {
    raft::Term term = 0;
    std::uint64_t attempt = 0;
    NodeMachineState state{};
  };
  Verdict violation_{};
  std::map<raft::Index, Place> places_{};  // of commands
  std::map<raft::Term, NodeId> leaders_{};
  std::map<std::uint64_t, raft::Index> applied_{};  // by attempt
  std::map<std::uint64_t, std::string> never_{};
  raft::Index known_ = 0;
};

}  // namespace walrus::sim
