#include "broker/group/group.h"

#include <algorithm>

#include "base/check.h"

namespace walrus::broker {

Bytes group_state_name(GroupState state) {
  switch (state) {
    case GroupState::kEmpty: return "Empty";
    case GroupState::kPreparing: return "PreparingRebalance";
    case GroupState::kCompleting: return "CompletingRebalance";
    case GroupState::kStable: return "Stable";
  }
  return "";
}

Group::Group(const GroupOptions& options, const GroupSnapshot& from, GroupTime now)
    : options_(options),
      state_(from.members.empty() ? GroupState::kEmpty : GroupState::kStable),
      generation_(from.generation),
      protocol_type_(from.protocol_type),
      protocol_(from.protocol),
      leader_(from.leader),
      seen_(now) {
  for (auto member : from.members) {
    member.alive_until = now + member.session_timeout;
    member.joining = member.syncing = 0;
    if (member.instance_id) instances_[*member.instance_id] = member.id;
    members_[member.id] = std::move(member);
  }
}

GroupSnapshot Group::snapshot() const {
  GroupSnapshot to{.generation = generation_,
                   .protocol_type = protocol_type_,
                   .protocol = protocol_,
                   .leader = leader_};
  for (const auto& [id, member] : members_) to.members.push_back(member);
  return to;
}

GroupActions Group::join(const JoinEvent& event, GroupTime now) {
  seen_ = now;
  GroupActions actions;
  auto refuse = [&](GroupError error, const std::string& id) {
    actions.joins.push_back({.ticket = event.ticket, .error = error, .member_id = id});
    return actions;
  };
  if (auto error = admit(event); error != GroupError::kNone) return refuse(error, event.member_id);
  auto instance = event.instance_id ? instances_.find(*event.instance_id) : instances_.end();
  bool known_instance = event.instance_id && instance != instances_.end();
  if (event.member_id.empty()) {
    if (known_instance) {
      replace_static(event, instance->second, now, actions);
    } else if (event.id_required && !event.instance_id) {
      promised_[event.new_member_id] = now + event.session_timeout;
      return refuse(GroupError::kMemberIdRequired, event.new_member_id);
    } else {
      add(event, event.new_member_id, now);
      prepare(now, actions);
    }
  } else if (promised_.erase(event.member_id) > 0) {
    add(event, event.member_id, now);
    prepare(now, actions);
  } else if (event.instance_id && known_instance && instance->second != event.member_id) {
    return refuse(GroupError::kFencedInstance, event.member_id);
  } else if (auto member = members_.find(event.member_id); member != members_.end()) {
    rejoin(member->second, event, now, actions);
  } else {
    return refuse(GroupError::kUnknownMember, event.member_id);
  }
  complete_if_due(now, actions);
  return actions;
}

GroupError Group::admit(const JoinEvent& event) const {
  if (event.session_timeout < options_.session_timeout_min ||
      event.session_timeout > options_.session_timeout_max)
    return GroupError::kInvalidSessionTimeout;
  if (!supports(event)) return GroupError::kInconsistentProtocol;
  if (metadata_bytes(event) > options_.bytes_max) return GroupError::kTooLarge;
  bool newcomer = !members_.contains(event.member_id);
  if (newcomer && members_.size() + promised_.size() >= options_.members_max &&
      !promised_.contains(event.member_id))
    return GroupError::kGroupFull;
  return GroupError::kNone;
}

// Of all members, once this one has joined.
std::size_t Group::metadata_bytes(const JoinEvent& event) const {
  std::size_t bytes = 0;
  auto add = [&bytes](const auto& protocols) {
    for (const auto& [name, metadata] : protocols) bytes += name.size() + metadata.size();
  };
  add(event.protocols);
  for (const auto& [id, member] : members_)
    if (id != event.member_id) add(member.protocols);
  return bytes;
}

// One of its protocols is known to every other member, and the type is the
// group's.
bool Group::supports(const JoinEvent& event) const {
  if (event.protocols.empty() || event.protocol_type.empty()) return false;
  if (members_.empty()) return true;
  bool alone = members_.size() == 1 && members_.contains(event.member_id);
  if (alone) return true;
  if (event.protocol_type != protocol_type_) return false;
  return std::ranges::any_of(event.protocols, [&](const auto& protocol) {
    return std::ranges::all_of(members_, [&](const auto& one) {
      return one.first == event.member_id ||
             std::ranges::any_of(one.second.protocols,
                                 [&](const auto& other) { return other.first == protocol.first; });
    });
  });
}

void Group::add(const JoinEvent& event, const std::string& id, GroupTime now) {
  if (members_.empty()) protocol_type_ = event.protocol_type;
  auto& member = members_[id];
  member.id = id;
  member.instance_id = event.instance_id;
  if (event.instance_id) instances_[*event.instance_id] = id;
  update(member, event, now);
  if (leader_.empty()) leader_ = id;
  // Each newcomer extends the first wait of a group that was empty, within its
  // limit.
  if (state_ == GroupState::kPreparing && not_before_ > now)
    not_before_ = std::min(now + options_.initial_delay, delay_until_);
}

void Group::update(GroupMember& member, const JoinEvent& event, GroupTime now) {
  member.client_id = event.client_id;
  member.client_host = event.client_host;
  member.session_timeout = event.session_timeout;
  member.rebalance_timeout = event.rebalance_timeout;
  member.protocols = event.protocols;
  member.alive_until = now + event.session_timeout;
  member.joining = event.ticket;
}

// A static member that comes back without its id takes the place of what it
// was.
void Group::replace_static(const JoinEvent& event, const std::string& old_id, GroupTime now,
                           GroupActions& actions) {
  auto node = members_.extract(old_id);
  CHECK(!node.empty());
  auto& member = node.mapped();
  if (member.joining != 0)
    actions.joins.push_back(
        {.ticket = member.joining, .error = GroupError::kFencedInstance, .member_id = old_id});
  if (member.syncing != 0)
    actions.syncs.push_back({.ticket = member.syncing, .error = GroupError::kFencedInstance});
  member.joining = member.syncing = 0;
  member.id = node.key() = event.new_member_id;
  bool was_leader = leader_ == old_id;
  if (was_leader) leader_ = event.new_member_id;
  instances_[*event.instance_id] = event.new_member_id;
  bool same = member.protocols == event.protocols;
  auto& kept = members_.insert(std::move(node)).position->second;
  update(kept, event, now);
  if (state_ == GroupState::kStable && same && !was_leader) {
    actions.joins.push_back(join_answer(kept));
    kept.joining = 0;
    actions.persist = true;  // its new id
    return;
  }
  prepare(now, actions);
}

void Group::rejoin(GroupMember& member, const JoinEvent& event, GroupTime now,
                   GroupActions& actions) {
  bool same = member.protocols == event.protocols;
  bool leads = leader_ == member.id;
  // Of two requests that wait the newer one counts.
  if (member.joining != 0)
    actions.joins.push_back({.ticket = member.joining,
                             .error = GroupError::kRebalanceInProgress,
                             .member_id = member.id});
  update(member, event, now);
  bool keeps = (state_ == GroupState::kStable && same && !leads) ||
               (state_ == GroupState::kCompleting && same);
  if (!keeps) return prepare(now, actions);
  actions.joins.push_back(join_answer(member));
  member.joining = 0;
}

// Those who waited for an assignment have to join again; a wait for all to join
// begins.
void Group::prepare(GroupTime now, GroupActions& actions) {
  if (state_ == GroupState::kPreparing) return;
  if (state_ == GroupState::kEmpty) {
    not_before_ = now + options_.initial_delay;
    delay_until_ = now + rebalance_timeout();
    not_before_ = std::min(not_before_, delay_until_);
  } else {
    not_before_ = now;
  }
  for (auto& [id, member] : members_) {
    if (member.syncing == 0) continue;
    actions.syncs.push_back(
        {.ticket = std::exchange(member.syncing, 0), .error = GroupError::kRebalanceInProgress});
    member.alive_until = now + member.session_timeout;
  }
  state_ = GroupState::kPreparing;
  persisting_ = false;
  deadline_ = std::max(now + rebalance_timeout(), not_before_);
}

void Group::complete_if_due(GroupTime now, GroupActions& actions) {
  if (state_ != GroupState::kPreparing || now < not_before_) return;
  bool all = promised_.empty() &&
             std::ranges::all_of(members_, [](const auto& one) { return one.second.joining != 0; });
  if (all || now >= deadline_) complete(now, actions);
}

// Who has not joined again is no member any more, unless it is static: its
// place is kept until its session ends.
void Group::complete(GroupTime now, GroupActions& actions) {
  for (auto at = members_.begin(); at != members_.end();) {
    bool lost = at->second.joining == 0 && !at->second.instance_id;
    at = lost ? members_.erase(at) : std::next(at);
  }
  ++generation_;
  auto joined =
      std::ranges::find_if(members_, [](const auto& one) { return one.second.joining != 0; });
  if (joined == members_.end()) {
    state_ = members_.empty() ? GroupState::kEmpty : GroupState::kPreparing;
    deadline_ = now + rebalance_timeout();
    if (members_.empty()) leader_ = protocol_ = "";
    actions.persist = members_.empty();
    return;
  }
  auto leads = members_.find(leader_);
  if (leads == members_.end() || leads->second.joining == 0) leader_ = joined->first;
  protocol_ = vote();
  state_ = GroupState::kCompleting;
  deadline_ = now + rebalance_timeout();
  for (auto& [id, member] : members_) {
    member.assignment.clear();
    if (member.joining == 0) continue;
    actions.joins.push_back(join_answer(member));
    member.joining = 0;
    member.alive_until = now + member.session_timeout;
  }
}

// Of the protocols that all know, the one that most members put first.
std::string Group::vote() const {
  std::map<std::string, std::size_t> known, votes;
  for (const auto& [id, member] : members_)
    for (const auto& [name, metadata] : member.protocols) ++known[name];
  for (const auto& [id, member] : members_) {
    auto best = std::ranges::find_if(member.protocols, [&](const auto& protocol) {
      return known[protocol.first] == members_.size();
    });
    if (best != member.protocols.end()) ++votes[best->first];
  }
  auto most =
      std::ranges::max_element(votes, {}, &std::pair<const std::string, std::size_t>::second);
  return most == votes.end() ? "" : most->first;
}

GroupActions Group::sync(const SyncEvent& event, GroupTime now) {
  seen_ = now;
  GroupActions actions;
  auto refuse = [&](GroupError error) {
    actions.syncs.push_back({.ticket = event.ticket, .error = error});
    return actions;
  };
  auto error = check_member({event.member_id, event.instance_id, event.generation});
  if (error != GroupError::kNone) return refuse(error);
  if ((event.protocol_type && *event.protocol_type != protocol_type_) ||
      (event.protocol_name && *event.protocol_name != protocol_))
    return refuse(GroupError::kInconsistentProtocol);
  if (state_ == GroupState::kPreparing) return refuse(GroupError::kRebalanceInProgress);
  std::size_t bytes = 0;
  for (const auto& [id, assignment] : event.assignments) bytes += assignment.size();
  if (bytes > options_.bytes_max) return refuse(GroupError::kTooLarge);
  auto& member = members_.at(event.member_id);
  member.alive_until = now + member.session_timeout;
  if (member.syncing != 0)
    actions.syncs.push_back({.ticket = member.syncing, .error = GroupError::kRebalanceInProgress});
  member.syncing = event.ticket;
  if (state_ == GroupState::kStable) {
    actions.syncs.push_back(sync_answer(member));
    member.syncing = 0;
    return actions;
  }
  if (member.id != leader_ || persisting_) return actions;
  for (auto& [id, one] : members_) one.assignment.clear();
  for (const auto& [id, assignment] : event.assignments)
    if (auto found = members_.find(id); found != members_.end())
      found->second.assignment = assignment;
  persisting_ = true;
  actions.persist = true;
  return actions;
}

GroupActions Group::persisted(std::int32_t generation, bool durable, GroupTime now) {
  seen_ = now;
  GroupActions actions;
  if (state_ != GroupState::kCompleting || generation != generation_ || !persisting_)
    return actions;
  persisting_ = false;
  if (durable) state_ = GroupState::kStable;
  for (auto& [id, member] : members_) {
    if (!durable) member.assignment.clear();
    if (member.syncing == 0) continue;
    auto answer = sync_answer(member);
    if (!durable) answer = {.ticket = member.syncing, .error = GroupError::kNotAvailable};
    actions.syncs.push_back(std::move(answer));
    member.syncing = 0;
    member.alive_until = now + member.session_timeout;
  }
  return actions;
}

GroupActions Group::leave(const MemberEvent& event, GroupTime now, GroupError& error) {
  seen_ = now;
  GroupActions actions;
  auto id = event.member_id;
  error = GroupError::kUnknownMember;
  if (event.instance_id) {
    auto instance = instances_.find(*event.instance_id);
    if (instance == instances_.end()) return actions;
    error = GroupError::kFencedInstance;
    if (!id.empty() && id != instance->second) return actions;
    id = instance->second;
  }
  if (promised_.erase(id) == 0 && !members_.contains(id)) {
    error = GroupError::kUnknownMember;
    return actions;
  }
  error = GroupError::kNone;
  remove(id, now, actions);
  complete_if_due(now, actions);
  return actions;
}

void Group::remove(const std::string& id, GroupTime now, GroupActions& actions) {
  auto found = members_.find(id);
  if (found == members_.end()) return;
  auto& member = found->second;
  if (member.joining != 0)
    actions.joins.push_back(
        {.ticket = member.joining, .error = GroupError::kUnknownMember, .member_id = member.id});
  if (member.syncing != 0)
    actions.syncs.push_back({.ticket = member.syncing, .error = GroupError::kUnknownMember});
  if (member.instance_id) instances_.erase(*member.instance_id);
  members_.erase(found);
  if (leader_ == id) leader_ = members_.empty() ? "" : members_.begin()->first;
  if (state_ != GroupState::kEmpty) prepare(now, actions);
}

GroupError Group::check_member(const MemberEvent& event) const {
  if (event.instance_id) {
    auto instance = instances_.find(*event.instance_id);
    if (instance == instances_.end()) return GroupError::kUnknownMember;
    if (instance->second != event.member_id) return GroupError::kFencedInstance;
  }
  if (!members_.contains(event.member_id)) return GroupError::kUnknownMember;
  if (event.generation != generation_) return GroupError::kIllegalGeneration;
  return GroupError::kNone;
}

GroupError Group::heartbeat(const MemberEvent& event, GroupTime now) {
  auto error = check_member(event);
  if (error != GroupError::kNone) return error;
  auto& member = members_.at(event.member_id);
  member.alive_until = now + member.session_timeout;
  return state_ == GroupState::kPreparing ? GroupError::kRebalanceInProgress : GroupError::kNone;
}

GroupError Group::check_commit(const MemberEvent& event, GroupTime now) {
  // Who names no generation is no member, whatever it calls itself.
  if (event.generation < 0 && state_ == GroupState::kEmpty) return GroupError::kNone;
  auto error = check_member(event);
  if (error != GroupError::kNone) return error;
  if (state_ == GroupState::kCompleting) return GroupError::kRebalanceInProgress;
  auto& member = members_.at(event.member_id);
  member.alive_until = now + member.session_timeout;
  return GroupError::kNone;
}

GroupActions Group::tick(GroupTime now) {
  seen_ = now;
  GroupActions actions;
  std::erase_if(promised_, [&](const auto& one) { return one.second <= now; });
  std::vector<std::string> lost;
  for (const auto& [id, member] : members_) {
    bool waits = member.joining != 0 || member.syncing != 0;
    bool late = state_ == GroupState::kCompleting && now >= deadline_ && member.syncing == 0 &&
                member.assignment.empty();
    if (late || (!waits && member.alive_until <= now)) lost.push_back(id);
  }
  for (const auto& id : lost) remove(id, now, actions);
  complete_if_due(now, actions);
  return actions;
}

// What was past when it was last looked at and is still there waits for something else than time.
std::optional<GroupTime> Group::next_deadline() const {
  std::optional<GroupTime> next;
  auto at = [&next, this](GroupTime time) {
    if (time > seen_) next = next ? std::min(*next, time) : time;
  };
  for (const auto& [id, until] : promised_) at(until);
  for (const auto& [id, member] : members_)
    if (member.joining == 0 && member.syncing == 0) at(member.alive_until);
  if (state_ == GroupState::kPreparing) at(not_before_);
  if (state_ == GroupState::kPreparing || state_ == GroupState::kCompleting) at(deadline_);
  return next;
}

JoinAnswer Group::join_answer(const GroupMember& member) const {
  JoinAnswer answer{.ticket = member.joining,
                    .member_id = member.id,
                    .generation = generation_,
                    .protocol_type = protocol_type_,
                    .protocol = protocol_,
                    .leader = leader_};
  if (member.id != leader_) return answer;
  for (const auto& [id, one] : members_) {
    auto chosen =
        std::ranges::find(one.protocols, protocol_, &std::pair<std::string, std::string>::first);
    answer.members.push_back({.member_id = id,
                              .instance_id = one.instance_id,
                              .metadata = chosen == one.protocols.end() ? "" : chosen->second});
  }
  return answer;
}

SyncAnswer Group::sync_answer(const GroupMember& member) const {
  return {.ticket = member.syncing,
          .protocol_type = protocol_type_,
          .protocol = protocol_,
          .assignment = member.assignment};
}

GroupTime Group::rebalance_timeout() const {
  GroupTime longest{};
  for (const auto& [id, member] : members_) longest = std::max(longest, member.rebalance_timeout);
  return longest;
}

}  // namespace walrus::broker
