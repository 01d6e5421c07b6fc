#include "meta/voters.h"

#include <algorithm>
#include <tuple>

#include "raft/membership.h"

namespace walrus::meta {
namespace {

using MemberKind = raft::MemberChange::Kind;

struct Candidate {
  NodeId id{};
  std::string rack{};
  int rank = 0;  // see rank_of
};

bool leaves(NodeId id, const State& image, const VoterSight& sight) {
  const auto* node = image.find_node(id);
  return (node != nullptr && node->state == NodeState::kRemoved) || sight.lost.contains(id) ||
         sight.strangers.contains(id);
}

std::uint32_t voters_for(std::size_t nodes, std::uint32_t voters_max) {
  if (nodes >= 5 && voters_max >= 5) return 5;
  return nodes >= 3 && voters_max >= 3 ? 3 : 1;
}

// Lower is better; none: not to vote.
std::optional<int> rank_of(const raft::Member& member, const Node& node, const VoterSight& sight) {
  const bool alive = sight.alive.contains(member.id) || member.id == sight.self;
  const bool here = alive || !sight.away.contains(member.id);
  if (node.state == NodeState::kActive) {
    if (member.voter) return member.id == sight.self ? 0 : here ? 1 : 4;
    if (alive) return 2;
  }
  if (node.state == NodeState::kDraining && member.voter) return here ? 3 : 5;
  return std::nullopt;
}

// The best ones first, of different racks where the rank is the same.
std::vector<NodeId> choose(std::vector<Candidate> from, std::size_t count) {
  std::vector<NodeId> chosen;
  std::vector<std::string> racks;
  while (chosen.size() < count && !from.empty()) {
    const auto best = std::ranges::min_element(from, {}, [&](const Candidate& one) {
      const bool again = !one.rack.empty() && std::ranges::find(racks, one.rack) != racks.end();
      return std::tuple(one.rank, again, one.id);
    });
    chosen.push_back(best->id);
    racks.push_back(best->rack);
    from.erase(best);
  }
  if (chosen.size() % 2 == 0 && !chosen.empty()) chosen.pop_back();
  return chosen;
}

std::vector<NodeId> choose_voters(const raft::Membership& group, const State& image,
                                  const VoterSight& sight, std::uint32_t voters_max) {
  std::vector<Candidate> candidates;
  std::size_t nodes = 0;
  for (const auto& member : group.members) {
    const auto* node = image.find_node(member.id);
    if (node == nullptr || leaves(member.id, image, sight)) continue;
    nodes += node->state == NodeState::kActive || node->state == NodeState::kDraining;
    const auto rank = rank_of(member, *node, sight);
    if (rank) candidates.push_back({member.id, node->rack, *rank});
  }
  const auto dead = [&](NodeId id) { return id != sight.self && !sight.alive.contains(id); };
  const auto count = voters_for(nodes, voters_max);
  if (count == 1) std::erase_if(candidates, [&](const auto& one) { return dead(one.id); });
  auto chosen = choose(std::move(candidates), count);
  // Those who are dead would have to confirm that they vote now.
  const auto lacking = static_cast<std::size_t>(std::ranges::count_if(chosen, dead));
  if (2 * lacking >= chosen.size()) chosen.clear();
  return chosen;
}

// Registered nodes that are no members yet, and addresses that are others now.
std::optional<raft::MemberChange> mend(const raft::Membership& group, const State& image,
                                       const VoterSight& sight) {
  std::optional<raft::MemberChange> change;
  image.nodes.each([&](NodeId id, const Node& node) {
    const auto& address = peer_address(node);
    if (change || node.state == NodeState::kRemoved || address.empty()) return;
    const auto* member = raft::find_member(group, id);
    if (member == nullptr && group.members.size() < wire::peer::kMembersMax)
      change = {MemberKind::kAddLearner, id, address};
    else if (member != nullptr && member->address != address && !sight.lost.contains(id))
      change = {MemberKind::kSetAddress, id, address};
  });
  return change;
}

}  // namespace

const std::string& peer_address(const Node& node) {
  static const std::string kNone;
  const auto found = std::ranges::find(node.listeners, "peer", &Listener::name);
  return found == node.listeners.end() ? kNone : found->address;
}

std::vector<raft::MemberChange> next_members(const raft::Membership& group, const State& image,
                                             const VoterSight& sight, std::uint32_t voters_max) {
  if (group.joint) return {};
  const auto voters = choose_voters(group, image, sight, voters_max);
  const auto votes = [&](NodeId id) { return std::ranges::find(voters, id) != voters.end(); };
  std::vector<raft::MemberChange> changes;
  for (const auto& member : group.members) {
    if (voters.empty() && member.voter) continue;  // nobody could take its place now
    if (leaves(member.id, image, sight)) changes.push_back({MemberKind::kRemove, member.id, {}});
    else if (!member.voter && votes(member.id))
      changes.push_back({MemberKind::kPromote, member.id, {}});
    else if (member.voter && !votes(member.id))
      changes.push_back({MemberKind::kDemote, member.id, {}});
  }
  if (!changes.empty()) return changes;
  if (auto change = mend(group, image, sight)) changes.push_back(*std::move(change));
  return changes;
}

}  // namespace walrus::meta
