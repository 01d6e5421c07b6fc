#pragma once
// Who decides: questions to a Membership, and how it changes. Pure.
//
// Membership changes by joint consensus (Raft paper §6, thesis §4.3), not by single-server changes:
// it replaces several members in one step without a moment in which fewer failures are tolerated,
// and it is safe without the rule that single-server changes were published without (a leader may
// begin one only after it committed an entry of its own term). That rule is kept here all the same,
// because it makes the leader's newest configuration the one that later leaders are bound by.
// A change that leaves the set of voters as it is (learners, addresses) is one step.

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "raft/event.h"

namespace walrus::raft {

const Member* find_member(const Membership&, NodeId);
bool is_voter(const Membership&, NodeId);  // in either set

// The configuration after the changes: joint if the voters differ. kInvalid says what is wrong:
// an unknown id, no voter left, an id twice, too many members.
Result<Membership> changed(const Membership&, std::span<const MemberChange>);
// What a joint configuration becomes.
Membership left_joint(const Membership&);
// A leader's peer may send anything: at least one voter, flags only where they mean something.
bool is_sound(const Membership&);

enum class Verdict : std::uint8_t { kOpen, kWon, kLost };
// The election's, where ask(id) is +1 for a granted vote, -1 for a refused one, 0 for none.
template <class Ask>
Verdict verdict(const Membership&, const Ask& ask);

// The largest value that a majority of the voters (of both sets, if joint) has reached.
template <class T, class ValueOf>
T quorum_value(const Membership&, const ValueOf& value_of);

// ---- Implementation ----

namespace membership {

template <class Visit>
std::size_t each_voter(const Membership& membership, bool before, const Visit& visit) {
  std::size_t voters = 0;
  for (const auto& member : membership.members) {
    if (!(before ? member.voter_before : member.voter)) continue;
    ++voters;
    visit(member.id);
  }
  return voters;
}

template <class Ask>
Verdict verdict_of_set(const Membership& membership, bool before, const Ask& ask) {
  std::size_t granted = 0, refused = 0;
  auto voters = each_voter(membership, before, [&](NodeId id) {
    auto answer = ask(id);
    granted += answer > 0;
    refused += answer < 0;
  });
  if (granted > voters / 2) return Verdict::kWon;
  return voters - refused > voters / 2 ? Verdict::kOpen : Verdict::kLost;
}

template <class T, class ValueOf>
T quorum_value_of_set(const Membership& membership, bool before, const ValueOf& value_of) {
  std::array<T, wire::peer::kMembersMax> values;
  std::size_t count = 0;
  each_voter(membership, before, [&](NodeId id) { values[count++] = value_of(id); });
  if (count == 0) return T{};
  auto* place =
      values.data() + count / 2;  // so many are at least as large, and it makes a majority
  std::nth_element(values.data(), place, values.data() + count, std::greater<T>());
  return *place;
}

}  // namespace membership

template <class Ask>
Verdict verdict(const Membership& membership, const Ask& ask) {
  auto now = membership::verdict_of_set(membership, false, ask);
  if (!membership.joint) return now;
  auto before = membership::verdict_of_set(membership, true, ask);
  if (now == Verdict::kLost || before == Verdict::kLost) return Verdict::kLost;
  return now == Verdict::kWon && before == Verdict::kWon ? Verdict::kWon : Verdict::kOpen;
}

template <class T, class ValueOf>
T quorum_value(const Membership& membership, const ValueOf& value_of) {
  T now = membership::quorum_value_of_set<T>(membership, false, value_of);
  if (!membership.joint) return now;
  return std::min(now, membership::quorum_value_of_set<T>(membership, true, value_of));
}

}  // namespace walrus::raft
