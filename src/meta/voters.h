#pragma once
// Who is a member of the metadata group, and who of them votes. Pure.
//
// Every registered node is a member: it learns. Voters are 1 while fewer than three nodes are
// active, then 3, from five on 5 if so wanted; never an even number, which would bear no more
// failures than one less. Those who vote go on as long as they can; a voter that is drained,
// removed, or away for long is replaced by a node that is alive, of another rack if there is one.

#include <set>
#include <vector>

#include "meta/state.h"
#include "raft/event.h"

namespace walrus::meta {

struct VoterSight {
  NodeId self{};  // leads
  std::set<NodeId> alive{};
  std::set<NodeId> away{};  // not alive for so long that another one may vote instead
  // Members that are to begin anew: their disk has lost what they voted for, or never was theirs.
  std::set<NodeId> lost{};
  std::set<NodeId> strangers{};  // members that never registered
};

// One change of the group that brings it nearer to what it should be; empty: it is as it should be,
// or nothing can be done now. Applied as one step, and then asked again.
std::vector<raft::MemberChange> next_members(const raft::Membership&, const State&,
                                             const VoterSight&, std::uint32_t voters_max);

// Of the node's peer listener; empty: it has none.
const std::string& peer_address(const Node&);

}  // namespace walrus::meta
