#pragma once
// Groups: one coordinator, of the consumer groups whose records one journal holds. A server alone
// has one; a node of a cluster has one for each partition of kGroupsStream that it leads
// (coordinators.h). Lives on one loop; calls from other loops go there by Coordinators::ask().
//
// Durable: what members own in which generation, and the offsets that they commit, are records of
// the journal (layout in records.h). A commit is answered, an assignment is given out, only when
// its record is durable; open() reads all of it again. An offset belongs to the topic that it was
// committed for: a topic made anew under its name begins without.
//
// A coordinator that lost its journal to another answers nothing more from what it knows: what it
// would write is refused, what must be current is confirmed first, and stop() ends it.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/group/group.h"
#include "broker/group/records.h"
#include "io/network.h"

namespace walrus::broker {

struct GroupSummary {
  std::string id{}, protocol_type{}, protocol{};
  GroupState state = GroupState::kEmpty;
  std::vector<GroupMember> members{};
};

class Groups : public std::enable_shared_from_this<Groups> {
 public:
  // Env and loop outlive this.
  Groups(io::Env&, io::Loop&, const GroupOptions&, std::unique_ptr<Journal>);
  ~Groups();

  // Reads what is durable, once; every other call does it first. kCorrupt: a
  // record is not ours.
  io::Task<void> open();
  bool opening() const { return opening_; }
  bool stopped() const { return stopped_.has_value(); }

  // Errors beside those of the answers: what stop() was told, and what ails the journal.

  // Wait for their answer; a group that fails to be made durable answers
  // kNotAvailable.
  io::Task<JoinAnswer> join(std::string group, JoinEvent);
  io::Task<SyncAnswer> sync(std::string group, SyncEvent);
  io::Task<GroupError> heartbeat(std::string group, MemberEvent);
  io::Task<GroupError> leave(std::string group, MemberEvent);

  io::Task<GroupError> commit(std::string group, MemberEvent, std::vector<CommittedOffset>);
  // By topic and partition; current when it returns.
  io::Task<std::vector<CommittedOffset>> committed(std::string group);

  io::Task<std::vector<GroupSummary>> list();
  io::Task<std::optional<GroupSummary>> describe(std::string group);
  // With its offsets. kUnknownGroup; kNotEmpty: somebody is in it, or is committing to it.
  io::Task<GroupError> remove(std::string group);
  // Of each, topic and partition count. Errors as of remove(). A group of which nothing is left
  // then goes when its offsets would have gone.
  io::Task<GroupError> remove_offsets(std::string group, std::vector<CommittedOffset>);

  // Answers everything that waits, and every later call, with `why`: kClosed, the server stops;
  // kFenced, the groups have another coordinator.
  void stop(Error why);

 private:
  struct Entry {
    Group group;
    std::map<std::pair<std::string, std::int32_t>, CommittedOffset> offsets{};
    std::int64_t empty_since_ms = 0;  // 0: nobody was ever in it
    int committing = 0;               // commits that are not answered yet
    std::optional<GroupTime> due{};   // its place in deadlines_
  };
  using Places = std::map<std::string, std::unique_ptr<Entry>>;
  using Records = std::vector<JournalRecord>;
  template <class Answer>
  struct Waiting {
    Answer answer{};
    std::move_only_function<void(Result<void>)> wake;
  };

  io::Task<void> load();
  Result<void> apply(Bytes key, std::optional<Bytes> value);
  Entry& entry(const std::string& group);
  GroupError check_room(const std::string& group) const;
  void drop(Places::iterator);
  void drop_untouched(const std::string& group);
  GroupError check_idle(const std::string& group) const;
  GroupTime now() const;
  io::Task<void> store(std::function<Records()> records);
  io::Task<GroupError> store_if_idle(std::string group, std::function<Records()> records);
  void act(const std::string& group, GroupActions);
  template <class Answer>
  static void answer(std::map<Ticket, Waiting<Answer>*>&, std::vector<Answer>&);
  template <class Answer, class Event>
  io::Task<Answer> ask(std::map<Ticket, Waiting<Answer>*>&, std::string group, Event,
                       GroupActions (Group::*step)(const Event&, GroupTime));
  static boost::asio::awaitable<void> persist(std::shared_ptr<Groups>, std::string group,
                                              std::int32_t generation);
  static boost::asio::awaitable<void> watch(std::shared_ptr<Groups>);
  void schedule(const std::string& group);
  void tick_due(GroupTime now);
  static boost::asio::awaitable<void> expire(std::shared_ptr<Groups>);
  Records expired() const;
  std::string new_member_id(const JoinEvent&);

  io::Env& env_;
  io::Loop& loop_;
  const GroupOptions options_;
  const std::unique_ptr<Journal> journal_;
  Places groups_;
  // When each group wants to be looked at; it may be too early, never too late.
  std::set<std::pair<GroupTime, std::string>> deadlines_;
  std::map<Ticket, Waiting<JoinAnswer>*> joins_;
  std::map<Ticket, Waiting<SyncAnswer>*> syncs_;
  Ticket last_ticket_ = 0;
  GroupTime next_expiry_{};
  std::unique_ptr<io::Gate> changed_;  // wakes the watch over deadlines
  bool opened_ = false, opening_ = false, watching_ = false;
  std::optional<Error> stopped_{};  // why
  std::vector<std::move_only_function<void(Result<void>)>> openers_;
};

}  // namespace walrus::broker
