#pragma once
// Group: one consumer group of the classic protocol, as a pure state machine.
// Events go in with the time at which they happen; answers to requests and what
// has to be made durable come out. No Env, no clock, no random: the ids of
// members come in with the event that needs one.
//
//   Empty ──join──▶ Preparing ──all joined, or time──▶ Completing ──leader's
//   sync, durable──▶ Stable
//     ▲                 ▲                                  │ a member is lost │
//     └── nobody left ──┴──────────────────────────────────┴── a member joins,
//     leaves, is lost ──┘
//
// Generations rise at each step from Preparing on, and no two members own a
// partition in one generation: the leader's assignment is given out only after
// it is durable, and only to members of its generation. A request that waits
// (join, sync) counts as a sign of life.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace walrus::broker {

using GroupTime = std::chrono::nanoseconds;  // of a clock that never goes back

enum class GroupError : std::uint8_t {
  kNone,
  kUnknownMember,
  kIllegalGeneration,
  kInconsistentProtocol,
  kRebalanceInProgress,
  kMemberIdRequired,
  kFencedInstance,
  kGroupFull,
  kInvalidSessionTimeout,
  kInvalidGroup,  // its name
  kTooLarge,      // what would have to be kept of it
  kNotAvailable,  // what was to be made durable was not
  kUnknownGroup,  // to be removed
  kNotEmpty,      // somebody is in it
};

enum class GroupState : std::uint8_t { kEmpty, kPreparing, kCompleting, kStable };
Bytes group_state_name(GroupState);  // as Kafka calls it: "PreparingRebalance"

struct GroupOptions {
  GroupTime initial_delay = std::chrono::seconds(3);  // for others to come, in an empty group
  GroupTime session_timeout_min = std::chrono::seconds(6);
  GroupTime session_timeout_max = std::chrono::minutes(30);
  std::size_t members_max = 10'000;
  std::size_t bytes_max = 1 << 20;  // of metadata and assignments of all members
  std::size_t groups_max = 100'000, group_id_bytes_max = 1024;
  Millis offsets_retention = std::chrono::hours(7 * 24);  // of a group that is empty
};

// Names a request that waits for its answer.
using Ticket = std::uint64_t;

struct JoinEvent {
  Ticket ticket = 0;
  std::string member_id{};      // empty: not a member yet
  std::string new_member_id{};  // that it gets then
  std::optional<std::string> instance_id{};
  std::string client_id{}, client_host{};
  GroupTime session_timeout{}, rebalance_timeout{};
  std::string protocol_type{};
  std::vector<std::pair<std::string, std::string>> protocols{};  // name, metadata; best first
  bool id_required = false;  // a newcomer is told its id first and comes again
};
struct SyncEvent {
  Ticket ticket = 0;
  std::string member_id{};
  std::optional<std::string> instance_id{};
  std::int32_t generation = 0;
  std::optional<std::string> protocol_type{}, protocol_name{};
  std::vector<std::pair<std::string, std::string>> assignments{};  // member id, assignment
};
struct MemberEvent {  // heartbeat, commit, leave
  std::string member_id{};
  std::optional<std::string> instance_id{};
  std::int32_t generation = -1;
};

struct JoinAnswer {
  Ticket ticket = 0;
  GroupError error = GroupError::kNone;
  std::string member_id{};
  std::int32_t generation = -1;
  std::string protocol_type{}, protocol{}, leader{};
  struct Member {
    std::string member_id{};
    std::optional<std::string> instance_id{};
    std::string metadata{};
  };
  std::vector<Member> members{};  // for the leader only
};
struct SyncAnswer {
  Ticket ticket = 0;
  GroupError error = GroupError::kNone;
  std::string protocol_type{}, protocol{}, assignment{};
};
// What to do: answer, in this order; and, if `persist`, make the snapshot()
// durable and report it by persisted().
struct GroupActions {
  std::vector<JoinAnswer> joins{};
  std::vector<SyncAnswer> syncs{};
  bool persist = false;
};

struct GroupMember {
  std::string id{};
  std::optional<std::string> instance_id{};
  std::string client_id{}, client_host{};
  GroupTime session_timeout{}, rebalance_timeout{};
  std::vector<std::pair<std::string, std::string>> protocols{};
  std::string assignment{};
  GroupTime alive_until{};
  Ticket joining = 0, syncing = 0;  // 0: no request waits
};

// What survives a restart: who owned what in which generation.
struct GroupSnapshot {
  std::int32_t generation = 0;
  std::string protocol_type{}, protocol{}, leader{};
  std::vector<GroupMember> members{};
  std::int64_t written_ms = 0;  // since 1970; of a group without members: since when it is empty
};

class Group {
 public:
  explicit Group(const GroupOptions& options) : options_(options) {}
  Group(const GroupOptions&, const GroupSnapshot&, GroupTime now);

  GroupActions join(const JoinEvent&, GroupTime now);
  GroupActions sync(const SyncEvent&, GroupTime now);
  GroupActions leave(const MemberEvent&, GroupTime now, GroupError& error);
  GroupError heartbeat(const MemberEvent&, GroupTime now);
  // Whether offsets of this member and generation may be committed; without
  // either, only while nobody is in the group.
  GroupError check_commit(const MemberEvent&, GroupTime now);
  // A snapshot that an action asked for is durable, or could not be made so.
  GroupActions persisted(std::int32_t generation, bool durable, GroupTime now);
  // Everything that is due; call again at next_deadline().
  GroupActions tick(GroupTime now);
  // As of the last event: what has become due since is not left out, however late this is asked.
  std::optional<GroupTime> next_deadline() const;

  GroupState state() const { return state_; }
  std::int32_t generation() const { return generation_; }
  const std::string& protocol_type() const { return protocol_type_; }
  const std::string& protocol() const { return protocol_; }
  const std::string& leader() const { return leader_; }
  const std::map<std::string, GroupMember>& members() const { return members_; }
  // Nobody is in it, is about to be, or ever was.
  bool untouched() const { return members_.empty() && promised_.empty() && generation_ == 0; }
  GroupSnapshot snapshot() const;

 private:
  GroupError check_member(const MemberEvent&) const;
  GroupError admit(const JoinEvent&) const;
  bool supports(const JoinEvent&) const;
  std::size_t metadata_bytes(const JoinEvent&) const;
  void add(const JoinEvent&, const std::string& id, GroupTime now);
  void update(GroupMember&, const JoinEvent&, GroupTime now);
  void replace_static(const JoinEvent&, const std::string& old_id, GroupTime now, GroupActions&);
  void rejoin(GroupMember&, const JoinEvent&, GroupTime now, GroupActions&);
  void remove(const std::string& id, GroupTime now, GroupActions&);
  void prepare(GroupTime now, GroupActions&);
  void complete_if_due(GroupTime now, GroupActions&);
  void complete(GroupTime now, GroupActions&);
  std::string vote() const;
  JoinAnswer join_answer(const GroupMember&) const;
  SyncAnswer sync_answer(const GroupMember&) const;
  GroupTime rebalance_timeout() const;

  const GroupOptions options_;
  GroupState state_ = GroupState::kEmpty;
  std::int32_t generation_ = 0;
  std::string protocol_type_, protocol_, leader_;
  std::map<std::string, GroupMember> members_;    // by id
  std::map<std::string, std::string> instances_;  // instance id, member id
  std::map<std::string, GroupTime> promised_;     // ids told to newcomers, and until when
  GroupTime not_before_{}, deadline_{};           // of Preparing: to complete; deadline_
                                                  // of Completing: to sync
  GroupTime delay_until_{};  // the most that the initial delay may be extended to
  GroupTime seen_{};         // of the last event that was looked at
  bool persisting_ = false;  // the leader's assignment is on its way to the disk
};

}  // namespace walrus::broker
