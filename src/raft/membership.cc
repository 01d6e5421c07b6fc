#include "raft/membership.h"

#include "base/result.h"

namespace walrus::raft {
namespace {

auto place_of(const Membership& membership, NodeId id) {
  return std::ranges::lower_bound(membership.members, id, {}, &Member::id);
}

bool unequal_voters(const Membership& membership) {
  return std::ranges::any_of(
      membership.members, [](const Member& member) { return member.voter != member.voter_before; });
}

Result<void> apply(Membership& membership, const MemberChange& change) {
  using Kind = MemberChange::Kind;
  auto place =
      membership.members.begin() + (place_of(membership, change.id) - membership.members.cbegin());
  bool known = place != membership.members.end() && place->id == change.id;
  if (change.kind == Kind::kAddLearner) {
    if (known) return fail(Code::kInvalid, "node {} is a member already", change.id.value);
    if (change.id == NodeId{} || change.address.size() > wire::peer::kAddressBytesMax)
      return fail(Code::kInvalid, "node {}: bad id or address", change.id.value);
    if (membership.members.size() == wire::peer::kMembersMax)
      return fail(Code::kInvalid, "more than {} members", wire::peer::kMembersMax);
    membership.members.insert(place, Member{.id = change.id, .address = change.address});
    return {};
  }
  if (!known) return fail(Code::kInvalid, "node {} is no member", change.id.value);
  switch (change.kind) {
    case Kind::kAddLearner: break;
    case Kind::kPromote: place->voter = true; break;
    case Kind::kDemote: place->voter = false; break;
    case Kind::kRemove:
      place->voter = false;
      place->leaves = place->voter_before;
      if (!place->voter_before) membership.members.erase(place);
      break;
    case Kind::kSetAddress:
      if (change.address.size() > wire::peer::kAddressBytesMax)
        return fail(Code::kInvalid, "node {}: bad address", change.id.value);
      place->address = change.address;
      break;
  }
  return {};
}

}  // namespace

const Member* find_member(const Membership& membership, NodeId id) {
  auto place = place_of(membership, id);
  return place != membership.members.end() && place->id == id ? &*place : nullptr;
}

bool is_voter(const Membership& membership, NodeId id) {
  const auto* member = find_member(membership, id);
  return member && (member->voter || member->voter_before);
}

Result<Membership> changed(const Membership& now, std::span<const MemberChange> changes) {
  if (now.joint) return fail(Code::kBusy, "a membership change is in progress");
  Membership next = now;
  for (auto& member : next.members) member.voter_before = member.voter;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j)
      if (changes[i].id == changes[j].id)
        return fail(Code::kInvalid, "node {} is changed twice", changes[i].id.value);
    WALRUS_TRY(apply(next, changes[i]));
  }
  if (std::ranges::none_of(next.members, &Member::voter))
    return fail(Code::kInvalid, "no voter would be left");
  next.joint = unequal_voters(next);
  if (!next.joint)
    for (auto& member : next.members) member.voter_before = false;
  if (next == now) return fail(Code::kInvalid, "the change changes nothing");
  return next;
}

Membership left_joint(const Membership& joint) {
  Membership next;
  for (const auto& member : joint.members)
    if (!member.leaves)
      next.members.push_back({.id = member.id, .address = member.address, .voter = member.voter});
  return next;
}

bool is_sound(const Membership& membership) {
  bool voter = false, before = false;
  for (const auto& member : membership.members) {
    voter |= member.voter;
    before |= member.voter_before;
    if (member.leaves && member.voter) return false;
    if (!membership.joint && (member.voter_before || member.leaves)) return false;
  }
  return voter && (before || !membership.joint);
}

}  // namespace walrus::raft
