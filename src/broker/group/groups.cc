#include "broker/group/groups.h"

#include <utility>

namespace walrus::broker {
namespace {

constexpr GroupTime kExpiryInterval = std::chrono::minutes(10);

}  // namespace

Groups::Groups(io::Env& env, io::Loop& loop, const GroupOptions& options,
               std::unique_ptr<Journal> journal)
    : env_(env),
      loop_(loop),
      options_(options),
      journal_(std::move(journal)),
      changed_(loop.make_gate()) {}

Groups::~Groups() = default;

GroupTime Groups::now() const { return env_.mono(); }

Groups::Entry& Groups::entry(const std::string& group) {
  auto& found = groups_[group];
  if (!found) found = std::make_unique<Entry>(Group(options_));
  return *found;
}

// Whether there may be a group of this name.
GroupError Groups::check_room(const std::string& group) const {
  if (group.size() > options_.group_id_bytes_max) return GroupError::kInvalidGroup;
  bool room = groups_.size() < options_.groups_max || groups_.contains(group);
  return room ? GroupError::kNone : GroupError::kGroupFull;
}

void Groups::drop(Places::iterator place) {
  if (auto due = place->second->due) deadlines_.erase({*due, place->first});
  groups_.erase(place);
}

// A request that was refused leaves no group behind.
void Groups::drop_untouched(const std::string& group) {
  auto found = groups_.find(group);
  if (found == groups_.end()) return;
  const auto& one = *found->second;
  if (one.group.untouched() && one.offsets.empty() && one.committing == 0) drop(found);
}

// Whether it, or what it has committed, may be removed. A commit that is on its way to the disk
// would come back after a restart.
GroupError Groups::check_idle(const std::string& group) const {
  auto found = groups_.find(group);
  if (found == groups_.end()) return GroupError::kUnknownGroup;
  const auto& one = *found->second;
  bool idle = one.group.state() == GroupState::kEmpty && one.committing == 0;
  return idle ? GroupError::kNone : GroupError::kNotEmpty;
}

// ---------------------------------------------------------------------------------------------
// What is durable

io::Task<void> Groups::open() {
  while (opening_ && !stopped_) {
    io::Signal signal(loop_);
    openers_.push_back(signal.setter());
    WALRUS_CO_TRY(co_await signal.wait());
  }
  if (stopped_) co_return std::unexpected(*stopped_);
  if (opened_) co_return Result<void>();
  opening_ = true;
  auto result = co_await load();
  opening_ = false;
  if (result && stopped_) result = std::unexpected(*stopped_);
  opened_ = result.has_value();
  for (auto& wake : std::exchange(openers_, {})) wake({});
  if (opened_ && !watching_) {
    watching_ = true;
    loop_.spawn(watch(shared_from_this()));
  }
  co_return result;
}

io::Task<void> Groups::load() {
  groups_.clear();
  deadlines_.clear();
  WALRUS_CO_TRY(co_await journal_->load(
      [this](Bytes key, std::optional<Bytes> value) { return apply(key, value); }));
  for (auto at = groups_.begin(); at != groups_.end();) {
    const auto& id = (at++)->first;
    schedule(id);
    drop_untouched(id);
  }
  co_return Result<void>();
}

Result<void> Groups::apply(Bytes key_bytes, std::optional<Bytes> value) {
  WALRUS_ASSIGN(auto key, decode_group_key(key_bytes));
  if (key.is_offset) {
    std::pair place(key.topic, key.partition);
    if (value) {
      WALRUS_ASSIGN(entry(key.group).offsets[place], decode_offset(key, *value));
    } else if (auto found = groups_.find(key.group); found != groups_.end()) {
      found->second->offsets.erase(place);  // a removed group does not come back for it
    }
    return {};
  }
  if (!value) {
    if (auto found = groups_.find(key.group); found != groups_.end()) drop(found);
    return {};
  }
  WALRUS_ASSIGN(auto snapshot, decode_group(*value));
  auto kept = std::move(entry(key.group).offsets);
  auto empty_since = snapshot.members.empty() ? snapshot.written_ms : 0;
  groups_[key.group] =
      std::make_unique<Entry>(Group(options_, snapshot, now()), std::move(kept), empty_since);
  return {};
}

// What `records` gives at the moment at which there is room for it; nothing: there is nothing to
// do. What is removed by them is gone at once, so that nothing that comes later is removed as well.
io::Task<void> Groups::store(std::function<Records()> records) {
  while (true) {
    auto all = records();
    if (all.empty()) co_return Result<void>();
    io::Signal signal(loop_);
    auto appended = journal_->append(all, signal.setter());
    if (appended) {
      for (const auto& record : all)
        if (!record.value) WALRUS_CO_TRY(apply(record.key, std::nullopt));
      co_return co_await signal.wait();
    }
    if (appended.error().code != Code::kBusy) co_return appended;
    io::Signal room(loop_);
    journal_->when_room(room.setter());
    WALRUS_CO_TRY(co_await room.wait());
    if (stopped_) co_return std::unexpected(*stopped_);
  }
}

// ---------------------------------------------------------------------------------------------
// Members

template <class Answer>
void Groups::answer(std::map<Ticket, Waiting<Answer>*>& waiting_for, std::vector<Answer>& answers) {
  for (auto& one : answers) {
    auto waiting = waiting_for.extract(one.ticket);
    if (waiting.empty()) continue;
    waiting.mapped()->answer = std::move(one);
    waiting.mapped()->wake({});
  }
}

void Groups::act(const std::string& group, GroupActions actions) {
  answer(joins_, actions.joins);
  answer(syncs_, actions.syncs);
  if (actions.persist)
    loop_.spawn(persist(shared_from_this(), group, entry(group).group.generation()));
  schedule(group);
}

// Writes the snapshot of this moment: one that had to wait for room must not overwrite a newer one.
boost::asio::awaitable<void> Groups::persist(std::shared_ptr<Groups> self, std::string group,
                                             std::int32_t generation) {
  auto stored = co_await self->store([self, group, generation]() -> Records {
    auto found = self->groups_.find(group);
    if (found == self->groups_.end()) return {};
    const auto& it = found->second->group;
    if (it.generation() != generation || it.state() == GroupState::kPreparing) return {};
    auto snapshot = it.snapshot();
    snapshot.written_ms = self->journal_->now_ms();
    if (it.state() == GroupState::kEmpty) found->second->empty_since_ms = snapshot.written_ms;
    return {group_record(group, snapshot)};
  });
  auto found = self->groups_.find(group);
  if (self->stopped_ || found == self->groups_.end()) co_return;
  self->act(group, found->second->group.persisted(generation, stored.has_value(), self->now()));
}

boost::asio::awaitable<void> Groups::watch(std::shared_ptr<Groups> self) {
  while (!self->stopped_) {
    auto now = self->now();
    self->tick_due(now);
    if (now >= self->next_expiry_) {
      self->next_expiry_ = now + kExpiryInterval;
      self->loop_.spawn(expire(self));
    }
    auto next = self->next_expiry_;
    if (!self->deadlines_.empty()) next = std::min(next, self->deadlines_.begin()->first);
    co_await self->changed_->wait(next - now);
  }
}

// Signs of life only move a deadline further away, and are not told here: what comes too early
// finds out when it comes.
void Groups::schedule(const std::string& group) {
  auto found = groups_.find(group);
  if (found == groups_.end()) return;
  auto& one = *found->second;
  auto due = one.group.next_deadline();
  if (!due || (one.due && *one.due <= *due)) return;
  if (one.due) deadlines_.erase({*one.due, group});
  one.due = due;
  deadlines_.emplace(*due, group);
  if (deadlines_.begin()->second == group) changed_->open();
}

void Groups::tick_due(GroupTime now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    auto id = deadlines_.extract(deadlines_.begin()).value().second;
    auto& one = *groups_.at(id);
    one.due.reset();
    act(id, one.group.tick(now));
    drop_untouched(id);
  }
}

// Offsets that were committed long ago, of groups in which nobody has been for as long; and groups
// of which nothing is left then.
Groups::Records Groups::expired() const {
  Records records;
  auto oldest = journal_->now_ms() - options_.offsets_retention.count();
  for (const auto& [id, one] : groups_) {
    bool idle = check_idle(id) == GroupError::kNone && one->empty_since_ms <= oldest &&
                !one->group.next_deadline();
    if (!idle) continue;
    std::size_t left = 0;
    for (const auto& [place, offset] : one->offsets) {
      if (offset.committed_ms > oldest) ++left;
      else records.push_back(offset_tombstone(id, place.first, place.second));
    }
    if (left == 0) records.push_back(group_tombstone(id));
  }
  return records;
}

boost::asio::awaitable<void> Groups::expire(std::shared_ptr<Groups> self) {
  // What fails is written with the next change, or expires again after a restart.
  (void)co_await self->store([self] { return self->expired(); });
}

std::string Groups::new_member_id(const JoinEvent& event) {
  return fmt::format("{}-{:016x}{:016x}", event.instance_id.value_or(event.client_id),
                     env_.random(), env_.random());
}

// Gives an event to its group and waits until it is answered.
template <class Answer, class Event>
io::Task<Answer> Groups::ask(std::map<Ticket, Waiting<Answer>*>& waiting_for, std::string group,
                             Event event, GroupActions (Group::*step)(const Event&, GroupTime)) {
  io::Signal signal(loop_);
  Waiting<Answer> waiting{.answer = {.error = GroupError::kNotAvailable}, .wake = signal.setter()};
  event.ticket = ++last_ticket_;
  waiting_for[event.ticket] = &waiting;
  act(group, (entry(group).group.*step)(event, now()));
  drop_untouched(group);
  auto waited = co_await signal.wait();
  waiting_for.erase(event.ticket);
  if (!waited) co_return std::unexpected(std::move(waited).error());
  co_return std::move(waiting.answer);
}

io::Task<JoinAnswer> Groups::join(std::string group, JoinEvent event) {
  WALRUS_CO_TRY(co_await open());
  if (auto error = check_room(group); error != GroupError::kNone)
    co_return JoinAnswer{.error = error, .member_id = event.member_id};
  if (event.member_id.empty()) event.new_member_id = new_member_id(event);
  co_return co_await ask(joins_, std::move(group), std::move(event), &Group::join);
}

io::Task<SyncAnswer> Groups::sync(std::string group, SyncEvent event) {
  WALRUS_CO_TRY(co_await open());
  if (!groups_.contains(group)) co_return SyncAnswer{.error = GroupError::kUnknownMember};
  co_return co_await ask(syncs_, std::move(group), std::move(event), &Group::sync);
}

io::Task<GroupError> Groups::heartbeat(std::string group, MemberEvent event) {
  WALRUS_CO_TRY(co_await open());
  auto found = groups_.find(group);
  if (found == groups_.end()) co_return GroupError::kUnknownMember;
  co_return found->second->group.heartbeat(event, now());
}

io::Task<GroupError> Groups::leave(std::string group, MemberEvent event) {
  WALRUS_CO_TRY(co_await open());
  auto found = groups_.find(group);
  if (found == groups_.end()) co_return GroupError::kUnknownMember;
  auto error = GroupError::kNone;
  act(group, found->second->group.leave(event, now(), error));
  drop_untouched(group);
  co_return error;
}

// ---------------------------------------------------------------------------------------------
// Offsets

io::Task<GroupError> Groups::commit(std::string group, MemberEvent event,
                                    std::vector<CommittedOffset> offsets) {
  WALRUS_CO_TRY(co_await open());
  if (auto error = check_room(group); error != GroupError::kNone) co_return error;
  ++entry(group).committing;  // it stays there until this is answered
  Records records;
  for (const auto& one : offsets) records.push_back(offset_record(group, one));
  // Who is fenced while it waits for room commits nothing.
  auto error = GroupError::kNone;
  auto stored = co_await store([&] {
    error = entry(group).group.check_commit(event, now());
    return error == GroupError::kNone ? records : Records();
  });
  auto& it = entry(group);
  --it.committing;
  // Those of one loop become durable in the order in which they are appended, and are applied so.
  auto& to = it.offsets;
  if (stored && error == GroupError::kNone)
    for (auto& one : offsets) to[{one.topic, one.partition}] = std::move(one);
  drop_untouched(group);
  if (stored) co_return error;
  if (stopped_) co_return std::unexpected(*stopped_);
  if (stored.error().code == Code::kClosed || stored.error().code == Code::kFenced)
    co_return std::unexpected(std::move(stored).error());
  co_return stored.error().code == Code::kTooLarge ? GroupError::kTooLarge
                                                   : GroupError::kNotAvailable;
}

io::Task<std::vector<CommittedOffset>> Groups::committed(std::string group) {
  WALRUS_CO_TRY(co_await open());
  WALRUS_CO_TRY(co_await journal_->confirm());
  std::vector<CommittedOffset> all;
  auto found = groups_.find(group);
  if (found == groups_.end()) co_return all;
  for (const auto& [place, one] : found->second->offsets) all.push_back(one);
  co_return all;
}

// ---------------------------------------------------------------------------------------------
// Administration

io::Task<std::vector<GroupSummary>> Groups::list() {
  WALRUS_CO_TRY(co_await open());
  std::vector<GroupSummary> all;
  for (const auto& [id, one] : groups_)
    all.push_back(
        {.id = id, .protocol_type = one->group.protocol_type(), .state = one->group.state()});
  co_return all;
}

io::Task<std::optional<GroupSummary>> Groups::describe(std::string group) {
  WALRUS_CO_TRY(co_await open());
  auto found = groups_.find(group);
  if (found == groups_.end()) co_return std::optional<GroupSummary>();
  const auto& it = found->second->group;
  GroupSummary summary{.id = group,
                       .protocol_type = it.protocol_type(),
                       .protocol = it.protocol(),
                       .state = it.state()};
  for (const auto& [id, member] : it.members()) summary.members.push_back(member);
  co_return std::optional(std::move(summary));
}

// What is removed is decided when there is room for it, and only while nobody is in the group.
io::Task<GroupError> Groups::store_if_idle(std::string group, std::function<Records()> records) {
  WALRUS_CO_TRY(co_await open());
  auto error = GroupError::kNone;
  auto stored = co_await store([&] {
    error = check_idle(group);
    return error == GroupError::kNone ? records() : Records();
  });
  if (!stored) co_return std::unexpected(std::move(stored).error());
  co_return error;
}

io::Task<GroupError> Groups::remove(std::string group) {
  co_return co_await store_if_idle(group, [this, &group] {
    Records records;
    for (const auto& [place, one] : groups_.at(group)->offsets)
      records.push_back(offset_tombstone(group, place.first, place.second));
    records.push_back(group_tombstone(group));
    return records;
  });
}

io::Task<GroupError> Groups::remove_offsets(std::string group,
                                            std::vector<CommittedOffset> doomed) {
  co_return co_await store_if_idle(group, [this, &group, &doomed] {
    Records records;
    const auto& known = groups_.at(group)->offsets;
    for (const auto& one : doomed)
      if (known.contains({one.topic, one.partition}))
        records.push_back(offset_tombstone(group, one.topic, one.partition));
    return records;
  });
}

void Groups::stop(Error why) {
  if (stopped_) return;
  stopped_ = std::move(why);
  std::unexpected<Error> stopped(*stopped_);
  for (auto& [ticket, waiting] : std::exchange(joins_, {})) waiting->wake(stopped);
  for (auto& [ticket, waiting] : std::exchange(syncs_, {})) waiting->wake(stopped);
  for (auto& wake : std::exchange(openers_, {})) wake(stopped);
  changed_->open();
}

}  // namespace walrus::broker
