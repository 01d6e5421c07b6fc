#pragma once
// Groups: the coordinator of all consumer groups of this node. Lives on one
// loop, which the broker chooses; calls from other loops go there by run_on().
//
// Durable: what members own in which generation, and the offsets that they
// commit, are records of the compacted stream kGroupsStream (layout in
// records.h). A commit is answered, an assignment is given out, only when its
// record is durable; open() reads all of it again. An offset belongs to the
// topic that it was committed for: a topic made anew under its name begins
// without.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "broker/broker.h"
#include "broker/group/group.h"
#include "broker/group/records.h"
#include "broker/run_on.h"
#include "io/network.h"
#include "log/engine.h"

namespace walrus::broker {

struct GroupSummary {
  std::string id{}, protocol_type{}, protocol{};
  GroupState state = GroupState::kEmpty;
  std::vector<GroupMember> members{};
};

class Groups : public std::enable_shared_from_this<Groups> {
 public:
  Groups(log::Engine&, io::Loop&, const GroupOptions&);
  ~Groups();

  io::Loop& loop() { return loop_; }
  const GroupOptions& options() const { return options_; }
  // Reads what is durable, once; every other call does it first. kCorrupt: a
  // record is not ours.
  io::Task<void> open();

  // Wait for their answer; a group that fails to be made durable answers
  // kNotAvailable.
  io::Task<JoinAnswer> join(std::string group, JoinEvent);
  io::Task<SyncAnswer> sync(std::string group, SyncEvent);
  io::Task<GroupError> heartbeat(std::string group, MemberEvent);
  io::Task<GroupError> leave(std::string group, MemberEvent);

  io::Task<GroupError> commit(std::string group, MemberEvent, std::vector<CommittedOffset>);
  io::Task<std::vector<CommittedOffset>> committed(std::string group);  // by topic and partition

  io::Task<std::vector<GroupSummary>> list();
  io::Task<std::optional<GroupSummary>> describe(std::string group);
  // With its offsets. kNotFound; kBusy: somebody is in it, or is committing to it.
  io::Task<void> remove(std::string group);
  // Of each, topic and partition count. Errors as of remove(). A group of which nothing is left
  // then goes when its offsets would have gone.
  io::Task<void> remove_offsets(std::string group, std::vector<CommittedOffset>);

  void stop();  // answers everything that waits with kNotAvailable

 private:
  struct Entry {
    Group group;
    std::map<std::pair<std::string, std::int32_t>, CommittedOffset> offsets{};
    std::int64_t empty_since_ms = 0;  // 0: nobody was ever in it
    int committing = 0;               // commits that are not answered yet
    std::optional<GroupTime> due{};   // its place in deadlines_
  };
  using Places = std::map<std::string, std::unique_ptr<Entry>>;
  using Records = std::vector<GroupRecord>;
  template <class Answer>
  struct Waiting {
    Answer answer{};
    std::move_only_function<void(Result<void>)> wake;
  };

  Result<void> load();
  Result<void> apply(Bytes key, std::optional<Bytes> value);
  Entry& entry(const std::string& group);
  GroupError check_room(const std::string& group) const;
  void drop(Places::iterator);
  void drop_untouched(const std::string& group);
  Result<void> check_idle(const std::string& group) const;
  GroupTime now() const;
  Result<log::Appended> append(std::span<const GroupRecord>);
  io::Task<void> store(std::function<Records()> records);
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

  log::Engine& engine_;
  io::Loop& loop_;
  const GroupOptions options_;
  std::optional<log::StreamRef> stream_;
  Places groups_;
  // When each group wants to be looked at; it may be too early, never too late.
  std::set<std::pair<GroupTime, std::string>> deadlines_;
  std::map<Ticket, Waiting<JoinAnswer>*> joins_;
  std::map<Ticket, Waiting<SyncAnswer>*> syncs_;
  Ticket last_ticket_ = 0;
  GroupTime next_expiry_{};
  std::unique_ptr<io::Gate> changed_;  // wakes the watch over deadlines
  bool opened_ = false, opening_ = false, stopped_ = false, watching_ = false;
  std::vector<std::move_only_function<void(Result<void>)>> openers_;
};

// Calls a method of the coordinator from any loop: there, and back with its result.
template <class T, class... P>
io::Task<T> ask_groups(io::Loop& here, std::shared_ptr<Groups> groups,
                       io::Task<T> (Groups::*method)(P...), std::type_identity_t<P>... arguments) {
  return run_on<T>(here, groups->loop(),
                   [groups, method, ... arguments = std::move(arguments)]() mutable {
                     return (groups.get()->*method)(std::move(arguments)...);
                   });
}

}  // namespace walrus::broker
