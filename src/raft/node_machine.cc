// What was committed goes to the Machine, in order, wherever it runs.

#include <algorithm>
#include <utility>

#include "raft/host_state.h"
#include "raft/node_state.h"

namespace walrus::raft {
namespace {

constexpr std::size_t kApplyEntriesMax = 1024;  // for one call

template <class T>
io::Task<T> run_on(net::FileWorker* worker, std::move_only_function<Result<T>()> call) {
  if (worker == nullptr) co_return call();
  co_return co_await worker->run<T>(std::move(call));
}

}  // namespace

void NodeState::take_committed(Actions& actions) {
  if (actions.restore) {
    restoring_ = true;
    auto last = actions.restore->last.index;
    // What was waited for up to there is done, or lost: nobody here can tell.
    while (!waiting_.empty() && waiting_.begin()->first <= last) {
      auto node = waiting_.extract(waiting_.begin());
      node.mapped().done({.end = Proposal::End::kUnknown,
                          .leader = core_->leader(),
                          .at = {node.mapped().term, node.key()}});
    }
    auto snapshot = snapshot_ && snapshot_->meta == *actions.restore
                        ? snapshot_
                        : std::make_shared<const StoredSnapshot>(*actions.restore);
    enqueue(RestoreTask{std::move(snapshot)});
  }
  if (actions.committed.empty()) return;
  settle_committed(actions.first_committed, actions.committed);
  auto* last = tasks_.empty() ? nullptr : std::get_if<ApplyTask>(&tasks_.back());
  if (last && last->entries.size() + actions.committed.size() <= kApplyEntriesMax) {
    std::ranges::move(actions.committed, std::back_inserter(last->entries));
    return;
  }
  enqueue(ApplyTask{actions.first_committed, std::move(actions.committed)});
}

// An entry of another term in its place: that proposal never will be.
void NodeState::settle_committed(Index first, const std::vector<Entry>& entries) {
  auto at = waiting_.lower_bound(first);
  while (at != waiting_.end() && at->first < first + entries.size()) {
    auto next = std::next(at);
    auto index = at->first;
    if (entries[static_cast<std::size_t>(index - first)].term != at->second.term) {
      auto node = waiting_.extract(at);
      node.mapped().done({.end = Proposal::End::kLost,
                          .leader = core_->leader(),
                          .at = {node.mapped().term, index}});
    }
    at = next;
  }
}

void NodeState::enqueue(Task task) {
  tasks_.push_back(std::move(task));
  work_->open();
}

boost::asio::awaitable<void> NodeState::run_machine(std::shared_ptr<NodeState> self) {
  while (!self->shut_) {
    if (self->failure_) self->tasks_.clear();
    if (self->tasks_.empty()) {
      co_await self->work_->wait(io::Nanos::max());
      continue;
    }
    auto task = std::move(self->tasks_.front());
    self->tasks_.pop_front();
    co_await run_task(self, std::move(task));
  }
  self->tasks_.clear();
  if (--self->running_ == 0) self->idle_->open();
}

boost::asio::awaitable<void> NodeState::run_task(std::shared_ptr<NodeState> self, Task task) {
  if (auto* batch = std::get_if<ApplyTask>(&task)) co_await apply(self, std::move(*batch));
  else if (auto* given = std::get_if<RestoreTask>(&task)) co_await restore(self, std::move(*given));
  else if (auto* asked = std::get_if<CallTask>(&task)) co_await call(self, std::move(*asked));
  else co_await freeze(self);
}

boost::asio::awaitable<void> NodeState::apply(std::shared_ptr<NodeState> self, ApplyTask task) {
  auto shared = std::make_shared<const ApplyTask>(std::move(task));
  auto call = [machine = self->machine_, shared]() -> Result<std::vector<std::string>> {
    std::vector<Command> commands;
    commands.reserve(shared->entries.size());
    for (std::size_t i = 0; i < shared->entries.size(); ++i) {
      const auto& entry = shared->entries[i];
      if (entry.kind == EntryKind::kCommand)
        commands.push_back({{entry.term, shared->first + i}, entry.payload.bytes()});
    }
    std::vector<std::string> replies;
    if (commands.empty()) return replies;
    WALRUS_TRY(machine->apply(commands, replies));
    if (replies.empty()) replies.resize(commands.size());
    if (replies.size() != commands.size())
      return fail(Code::kInvalid, "{} replies to {} commands", replies.size(), commands.size());
    return replies;
  };
  bool commands = std::ranges::any_of(
      shared->entries, [](const Entry& entry) { return entry.kind == EntryKind::kCommand; });
  Result<std::vector<std::string>> replies;
  if (commands) replies = co_await run_on<std::vector<std::string>>(self->runner_, call);
  if (!self->usable() || self->failure_) co_return;
  if (!replies) {
    self->fail_with({replies.error().code, "apply: " + replies.error().message});
    co_return;
  }
  self->applied_batch(*shared, *std::move(replies));
  self->maybe_snapshot();
}

void NodeState::applied_batch(const ApplyTask& task, std::vector<std::string> replies) {
  std::size_t reply = 0;
  for (std::size_t i = 0; i < task.entries.size(); ++i) {
    const auto& entry = task.entries[i];
    EntryId at{entry.term, task.first + i};
    applied_ = at;
    bytes_since_snapshot_ += EntryLog::bytes_of(entry);
    bool command = entry.kind == EntryKind::kCommand;
    auto text = command ? std::move(replies[reply++]) : std::string();
    if (!waiting_.empty() && waiting_.begin()->first <= at.index)
      answer_applied(at.index, at.term, std::move(text));
    if (entry.kind == EntryKind::kMembership)
      membership_applied(at.index, *wire::peer::parse_membership(entry.payload.bytes()));
  }
  applied_to(applied_.index);
}

void NodeState::answer_applied(Index index, Term term, std::string reply) {
  while (!waiting_.empty() && waiting_.begin()->first <= index) {
    auto node = waiting_.extract(waiting_.begin());
    auto& one = node.mapped();
    if (one.change) {
      changes_.push_back(std::move(one));
      continue;
    }
    one.done({.end = Proposal::End::kApplied,
              .leader = core_->leader(),
              .at = {term, index},
              .reply = std::move(reply)});
  }
}

// A change is over when its configuration is in force alone.
void NodeState::membership_applied(Index index, const Membership& membership) {
  if (membership.joint) return;
  for (auto& change : std::exchange(changes_, {}))
    change.done(
        {.end = Proposal::End::kApplied, .leader = core_->leader(), .at = {change.term, index}});
}

void NodeState::applied_to(Index index) {
  while (!reads_behind_.empty() && reads_behind_.begin()->first <= index) {
    auto node = reads_behind_.extract(reads_behind_.begin());
    node.mapped().done(index);
  }
}

boost::asio::awaitable<void> NodeState::restore(std::shared_ptr<NodeState> self, RestoreTask task) {
  using Starts = std::vector<std::uint64_t>;
  self->restoring_ = true;
  auto* worker = self->runner_ ? self->runner_ : &self->host_->files();
  auto call = [machine = self->machine_, snapshot = task.snapshot,
               &engine = self->host_->engine]() -> Result<Starts> {
    SnapshotReader reader(engine, snapshot);
    WALRUS_TRY(machine->restore(snapshot->meta.last, reader));
    return reader.finish();
  };
  auto starts = co_await run_on<Starts>(worker, call);
  if (!self->usable() || self->failure_) co_return;
  self->restoring_ = false;
  if (!starts) {
    self->fail_with({starts.error().code, "restore: " + starts.error().message});
    co_return;
  }
  // Now its pieces are known, and it can be sent to others.
  if (self->snapshot_ == task.snapshot && task.snapshot->starts.empty()) {
    auto known = std::make_shared<StoredSnapshot>(*task.snapshot);
    known->starts = *std::move(starts);
    self->snapshot_ = std::move(known);
  }
  self->applied_ = task.snapshot->meta.last;
  self->bytes_since_snapshot_ = 0;
  if (!task.snapshot->meta.membership.joint)
    self->membership_applied(self->applied_.index, task.snapshot->meta.membership);
  self->applied_to(self->applied_.index);
}

boost::asio::awaitable<void> NodeState::freeze(std::shared_ptr<NodeState> self) {
  using View = std::unique_ptr<Frozen>;
  auto call = [machine = self->machine_]() -> Result<View> { return machine->freeze(); };
  auto view = co_await run_on<View>(self->runner_, call);
  if (!self->usable() || self->failure_) co_return;
  if (view && *view) self->frozen(*std::move(view));
  else self->fail_with({Code::kInvalid, "freeze: " + (view ? "no view" : view.error().message)});
}

boost::asio::awaitable<void> NodeState::call(std::shared_ptr<NodeState> self, CallTask task) {
  auto shared = std::make_shared<CallTask>(std::move(task));
  auto call = [machine = self->machine_, shared]() -> Result<void> {
    shared->call(*machine);
    return {};
  };
  (void)co_await run_on<void>(self->runner_, call);
}

void NodeState::at_machine(std::move_only_function<void(Machine&)> call) {
  if (usable() && !failure_) enqueue(CallTask{std::move(call)});
}

}  // namespace walrus::raft
