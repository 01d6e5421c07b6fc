#include "raft/node_state.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/host_state.h"

namespace walrus::raft {

NodeState::NodeState(std::shared_ptr<HostState> host, GroupId group, NodeOptions options,
                     std::unique_ptr<Machine> machine)
    : host_(std::move(host)),
      group_(group),
      options_(std::move(options)),
      machine_(std::move(machine)),
      idle_(host_->loop.make_gate()),
      work_(host_->loop.make_gate()) {}

io::Loop& NodeState::loop() { return host_->loop; }

Result<void> NodeState::start(Store::Loaded loaded, Instant now) {
  WALRUS_ASSIGN(core_, Core::open(options_.core, std::move(loaded.durable), now));
  store_ = std::move(loaded.store);
  snapshot_ = std::move(loaded.snapshot);
  if (options_.runs == Runs::kShared) runner_ = &host_->machines();
  if (options_.runs == Runs::kOwn) {
    own_worker_ = std::make_unique<net::FileWorker>(host_->env, host_->loop, "walrus-machine");
    runner_ = own_worker_.get();
  }
  const auto& meta = core_->snapshot();
  if (meta.last.index > 0) {
    if (!snapshot_) snapshot_ = std::make_shared<const StoredSnapshot>(meta);
    enqueue(RestoreTask{snapshot_});
  }
  ++running_;
  host_->loop.spawn(run_machine(shared_from_this()));
  push(Tick{});
  return {};
}

// ---- The Core ----

void NodeState::push(Event event) {
  if (!usable()) return;
  events_.push_back(std::move(event));
  host_->mark(*this);
}

// What a step looks at first: this, up to failure_, and of the Core.
void NodeState::fetch_ahead() const {
  constexpr int kLine = 64, kLines = 5;
  const auto* const here = reinterpret_cast<const char*>(this);
  for (int line = 0; line < kLines; ++line) __builtin_prefetch(here + line * kLine);
  core_->fetch_ahead();
}

void NodeState::step(Instant now, Actions& out) {
  if (!usable()) return;
  for (const auto& event : events_)
    if (const auto* receive = std::get_if<Receive>(&event)) note_reply(receive->message);
  core_->step(now, events_, out);
  events_.clear();
  wake_at_ = out.wake_at;
  take_messages(out.messages);
  take_writes(out.writes);
  take_answers(out.answers);
  take_reads(out.reads);
  take_committed(out);
  for (auto& request : out.snapshot_requests) {
    ++running_;
    host_->loop.spawn(send_piece(shared_from_this(), std::move(request)));
  }
  note_changes();
  if (!older_.empty()) release_snapshots();
  maybe_snapshot();
  host_->look_at(*this);
}

// ---- Idle groups ----

bool NodeState::hear(Instant now, Message& message, Actions& out) {
  if (!usable() || !rests() || !core_->hear(now, message, out)) return false;
  note_reply(message);
  take_at_rest(out);
  host_->look_at(*this);
  return true;
}

// What a step does besides has nothing to do: the Core's state is what it was, and no snapshot is
// to be taken or let go.
void NodeState::take_at_rest(Actions& out) {
  wake_at_ = out.wake_at;
  take_messages(out.messages);
}

bool NodeState::rests() const {
  return events_.empty() && older_.empty() && !snapshotting_ && !snapshot_wanted_ && !restoring_ &&
         snapshot_after_ == Instant{};
}

void NodeState::tick(Instant now, Actions& out) {
  if (!usable()) return;
  bool beat = now >= wake_at_ && rests() && core_->beat(now, out);
  if (beat) take_at_rest(out);
  else if (now >= wake_at_) push(Tick{});
  if (now >= next_deadline_) expire(now);
  if (!reads_.empty()) start_reads();
  if (now >= snapshot_after_) snapshot_after_ = {};
  if (!beat) maybe_snapshot();
  host_->look_at(*this);
}

Instant NodeState::next_look() const {
  if (!usable()) return Instant::max();
  auto at = std::min(wake_at_, next_deadline_);
  if (!reads_.empty()) return Instant{};  // at the next tick
  return snapshot_after_ > Instant{} ? std::min(at, snapshot_after_) : at;
}

// ---- What it wants written ----

void NodeState::take_writes(Writes& writes) {
  if (writes.id == 0) return;
  StoreJob job{.writes = std::move(writes)};
  submit(std::move(job));
}

void NodeState::submit(StoreJob job) {
  auto place = jobs_over_ + jobs_.size();
  jobs_.push_back({.write = job.writes.id});
  ++running_;
  host_->write({store_, std::move(job), [self = shared_from_this(), place](Result<StoreJob> done) {
                  self->job_done(std::move(done), place);
                }});
}

void NodeState::job_done(Result<StoreJob> result, std::size_t place) {
  if (--running_ == 0) idle_->open();
  if (!usable()) return;
  jobs_[place - jobs_over_].result = std::move(result);
  while (!jobs_.empty() && jobs_.front().result) {
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    ++jobs_over_;
    if (!*job.result) {
      fail_with(job.result->error());
      continue;
    }
    auto& done = **job.result;
    if (done.installed) {
      ++host_->stats.snapshots_installed;
      adopt_snapshot(std::move(done.installed));
    }
    if (job.write != 0) push(Persisted{job.write});
    if (done.save) {
      snapshotting_ = false;
      push(SnapshotSaved{done.save->meta});
      adopt_snapshot(std::move(done.save));
    }
    if (done.may_trim) submit({.trim = done.may_trim});
  }
}

void NodeState::fail_with(const Error& error) {
  if (failure_ || !usable()) return;
  failure_ = std::make_unique<const Error>(error);
  host_->log(LogLevel::kError, "raft.group_failed", group_, error.message);
  push(PersistFailed{});
  fail_waiting(Code::kIo, error.message);
  if (builder_) builder_->stop();
  work_->open();
}

// ---- What it wants sent ----

// Appends with entries and pieces of snapshots may fill a link; everything else must not wait for
// them. An empty append must not overtake the entries that it follows on, but as a sign of life.
void NodeState::take_messages(std::vector<Message>& messages) {
  if (core_->term() != sent_term_) sent_.clear();
  sent_term_ = core_->term();
  for (auto& message : messages) route(message);
}

void NodeState::route(Message& message) {
  using net::Priority;
  auto priority = Priority::kControl;
  if (auto* append = std::get_if<Append>(&message.body)) {
    auto peer = std::ranges::find(sent_, message.to, &Sent::peer);
    if (!append->entries.empty()) {
      if (peer == sent_.end()) peer = sent_.insert(sent_.end(), {.peer = message.to});
      peer->sent = append->previous.index + append->entries.size();
      priority = Priority::kBulk;
    } else if (append->previous != EntryId{} && peer != sent_.end() && peer->sent > peer->match) {
      host_->send(group_, message, Priority::kBulk);
      append->previous = {};
    }
  } else if (auto* chunk = std::get_if<SnapshotChunk>(&message.body)) {
    if (chunk->bytes.size() > 0) priority = Priority::kBulk;
  }
  host_->send(group_, message, priority);
}

void NodeState::note_reply(const Message& message) {
  const auto* reply = std::get_if<AppendReply>(&message.body);
  if (!reply || message.term != sent_term_) return;
  auto peer = std::ranges::find(sent_, message.from, &Sent::peer);
  if (peer == sent_.end()) return;
  peer->match = std::max(peer->match, reply->match);
  // What was rejected is probed again.
  if (reply->rejected || peer->match >= peer->sent) sent_.erase(peer);
}

// ---- What others are told ----

void NodeState::note_changes() {
  Told now{.role = core_->role(),
           .term = core_->term(),
           .leader = core_->leader(),
           .membership = core_->membership_index(),
           .failed = failure_ != nullptr};
  settle_transfers();
  if (now == told_) return;
  if (now.membership != told_.membership || told_ == Told{}) host_->learn(core_->membership());
  bool leader = now.leader != told_.leader;
  told_ = now;
  if (leader && !reads_.empty()) start_reads();
  if (options_.on_change) options_.on_change(status());
}

NodeStatus NodeState::status() const {
  NodeStatus status{.core = core_->status(),
                    .membership = core_->membership(),
                    .applied = applied_.index,
                    .applied_term = applied_.term,
                    .waits_for = waits_for_,
                    .snapshot_bytes = snapshot_ ? snapshot_->meta.size : 0,
                    .log_bytes_since_snapshot = bytes_since_snapshot_,
                    .snapshotting = snapshotting_,
                    .restoring = restoring_};
  if (failure_) status.failure = failure_->message;
  return status;
}

// ---- The end ----

void NodeState::shut() {
  if (std::exchange(shut_, true)) return;
  fail_waiting(Code::kClosed, "the node has stopped");
  events_.clear();
  if (builder_) builder_->stop();
  if (store_) store_->cancel();
  work_->open();
}

io::Task<void> NodeState::stopped() {
  CHECK(shut_);
  while (running_ > 0 && !host_->stopped) co_await idle_->wait(io::Nanos::max());
  co_return Result<void>();
}

}  // namespace walrus::raft
