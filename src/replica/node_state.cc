// Turns of the loop, the cores and the messages between them.

#include "replica/node_state.h"

#include <algorithm>
#include <utility>

#include "replica/node_methods.h"

namespace walrus::replica {
namespace {

constexpr Nanos kLook = std::chrono::milliseconds(50);
constexpr Nanos kSurvey = std::chrono::seconds(1);  // of all that is here, which may be much
constexpr Nanos kSendTimeout = std::chrono::seconds(2);
constexpr Nanos kKnockAgain = std::chrono::seconds(1);
constexpr Nanos kCopyIdle = std::chrono::seconds(5);  // then its core goes from memory
constexpr Nanos kLags = std::chrono::seconds(1);      // without progress: a copy that is told of
constexpr int kRounds = 32;                           // of one turn
constexpr std::size_t kControlParcelBytes = 32 << 10;
constexpr std::uint32_t kQuietLevel = 3;   // of metadata: nodes know Replicate::quiet
constexpr std::size_t kMessageBytes = 96;  // of a message without a run, at most

const Run* run_of(const Message& message) {
  if (const auto* body = std::get_if<Replicate>(&message.body)) return &body->run;
  if (const auto* body = std::get_if<FenceReply>(&message.body)) return &body->run;
  if (const auto* body = std::get_if<FetchReply>(&message.body)) return &body->run;
  return nullptr;
}
Run* run_of(Message& message) { return const_cast<Run*>(run_of(std::as_const(message))); }

std::size_t payload_bytes(const Message& message) {
  const auto* run = run_of(message);
  if (!run) return 0;
  std::size_t bytes = run->producers ? run->producers->size() : 0;
  for (const auto& batch : run->batches) bytes += batch.bytes.size();
  return bytes;
}

}  // namespace

NodeState::NodeState(io::Env& env, io::Loop& loop, log::Engine& engine, net::Rpc& rpc,
                     Metadata& metadata, const NodeOptions& options)
    : env_(env),
      loop_(loop),
      engine_(engine),
      rpc_(rpc),
      metadata_(metadata),
      options_(options),
      mailbox_(loop),
      lease_(options.lease, options.clock_drift_ppm_max),
      sealer_({.self = options.self}),
      arrears_(options.limits.gap_max) {}

Result<void> NodeState::start() {
  if (options_.self == NodeId{} || options_.incarnation == 0)
    return fail(Code::kInvalid, "a node needs an id and an incarnation");
  auto message = options_.leader.batch_bytes_max + kMessageBytes;
  if (message > rpc_.message_bytes_max())
    return fail(Code::kInvalid, "batches of {} bytes, the connections take messages of {}",
                options_.leader.batch_bytes_max, rpc_.message_bytes_max());
  if (options_.limits.parcel_bytes_max > rpc_.message_bytes_max())
    return fail(Code::kInvalid, "parcels of {} bytes, the connections take messages of {}",
                options_.limits.parcel_bytes_max, rpc_.message_bytes_max());
  auto self = weak_from_this();
  store_ = std::make_unique<CopyStore>(engine_, mailbox_,
                                       [self](SegmentId segment, Follower::Event event) {
                                         auto node = self.lock();
                                         if (node && !node->stopped_)
                                           node->happened(segment, std::move(event));
                                       });
  WALRUS_TRY(store_->open());
  files_ = std::make_unique<net::FileWorker>(env_, loop_, "walrus-segments");
  timer_ = loop_.make_gate();
  scrub_gate_ = loop_.make_gate();
  ended_ = loop_.make_gate();
  compact_gate_ = loop_.make_gate();
  rpc_.handle_send(kSegmentParcel, [self](net::Request request) {
    if (auto node = self.lock(); node && !node->stopped_) node->receive(std::move(request));
  });
  rpc_.handle_send(kSegmentKnock, [](const net::Request&) {});
  rpc_.handle(kSegmentThere,
              [](net::Request) -> io::Task<std::string> { co_return std::string(); });
  rpc_.handle(kSegmentRead, [self](net::Request request) -> io::Task<std::string> {
    return serve_read(self.lock(), std::move(request));
  });
  rpc_.handle(kSegmentFind, [self](net::Request request) -> io::Task<std::string> {
    return serve_find(self.lock(), std::move(request));
  });
  rpc_.handle(kHandedAppends, [self](net::Request request) -> io::Task<std::string> {
    return serve_handed(self.lock(), std::move(request));
  });
  rpc_.handle(kSegmentSurvey, [self](net::Request request) -> io::Task<std::string> {
    return serve_survey(self.lock(), std::move(request));
  });
  rpc_.handle(kSegmentAccept, [self](net::Request request) -> io::Task<std::string> {
    return serve_accept(self.lock(), std::move(request));
  });
  look_at_ = env_.mono() + kLook;
  retain_at_ = env_.mono() + options_.limits.retain_every;
  loop_.spawn(run_timer(shared_from_this()));
  loop_.spawn(run_scrub(shared_from_this()));
  return {};
}

void NodeState::shut() {
  if (std::exchange(stopped_, true)) return;
  mailbox_.close();
  store_.reset();
  files_.reset();
  timer_->open();
  scrub_gate_->open();
  ended_->open();
  compact_gate_->open();
  copies_.clear();
  writers_.clear();
  // Whoever waits is told once everything here is as it will stay.
  std::vector<std::move_only_function<void()>> calls;
  for (auto& [ticket, one] : requests_)
    calls.push_back([done = std::move(one.done)]() mutable { done({Refusal::kUnknown}); });
  for (auto& [ticket, asks] : confirms_)
    calls.push_back(
        [done = std::move(asks.done)]() mutable { done(fail(Code::kClosed, "stopped")); });
  for (auto& [id, part] : parts_) {
    for (auto& one : part.handed)
      calls.push_back([done = std::move(one.done)]() mutable { done({Refusal::kUnknown}); });
    for (auto& one : part.waiting)
      calls.push_back([done = std::move(one.done)]() mutable { done({Refusal::kNotLeader}); });
    for (auto& one : part.readers)
      calls.push_back(
          [done = std::move(one.done)]() mutable { done(fail(Code::kClosed, "stopped")); });
  }
  requests_.clear();
  confirms_.clear();
  parts_.clear();
  for (auto& call : std::exchange(calls_, {})) call();
  for (auto& call : calls) call();
}

void NodeState::log(LogLevel level, Bytes event, SegmentId segment, const std::string& why) {
  if (!options_.log) return;
  log_line(*options_.log, level, event, {{"segment", segment.value}, {"why", why}});
}

// ---- Turns ----

void NodeState::mark(Kind kind, SegmentId segment, Timed& cell) {
  if (!std::exchange(cell.marked, true)) marked_.emplace_back(kind, segment);
  post_turn();
}

void NodeState::mark(const PartitionId& id, Part& part) {
  if (!std::exchange(part.marked, true)) marked_parts_.push_back(id);
  post_turn();
}

void NodeState::push(SegmentId segment, CopyCell& cell, Follower::Event event) {
  cell.events.push_back(std::move(event));
  mark(Kind::kCopy, segment, cell);
}
void NodeState::push(SegmentId segment, WriterCell& cell, Leader::Event event) {
  cell.events.push_back(std::move(event));
  mark(Kind::kWriter, segment, cell);
}
void NodeState::push(Sealer::Event event) {
  sealer_events_.push_back(std::move(event));
  mark(Kind::kSealer, {}, sealer_timed_);
}

void NodeState::post_turn() {
  if (turn_runs_ || std::exchange(turn_posted_, true)) return;
  loop_.post([self = shared_from_this()] {
    self->turn_posted_ = false;
    if (!self->stopped_) return self->turn();
    for (auto& call : std::exchange(self->calls_, {})) call();
  });
}

void NodeState::turn() {
  turn_runs_ = true;
  auto now = env_.mono();
  auto busy = [this] { return !marked_.empty() || !marked_parts_.empty() || !own_.empty(); };
  for (int round = 0; round < kRounds && busy(); ++round) {
    for (const auto& id : std::exchange(marked_parts_, {})) {
      auto found = parts_.find(id);
      if (found == parts_.end()) continue;
      found->second.marked = false;
      feed(id, found->second, now);
    }
    for (auto [kind, segment] : std::exchange(marked_, {})) {
      if (kind == Kind::kCopy) step_copy(segment);
      else if (kind == Kind::kWriter) step_writer(segment);
      else step_sealer();
    }
    for (auto& message : std::exchange(own_, {})) route(std::move(message));
  }
  flush();
  if (!proposals_.empty())
    loop_.spawn(run_proposals(shared_from_this(), std::exchange(proposals_, {})));
  turn_runs_ = false;
  for (auto& call : std::exchange(calls_, {})) call();
  if (stopped_) return;
  if (busy() || !calls_.empty()) post_turn();
  if (std::exchange(want_now_, false)) metadata_.want(wanted());
  if (!wanted_next_.empty()) metadata_.want(std::exchange(wanted_next_, {}));
  if (next_wake() < armed_) timer_->open();
}

// ---- Cores ----

void NodeState::step_copy(SegmentId segment) {
  auto found = copies_.find(segment);
  if (found == copies_.end()) return;
  auto& cell = found->second;
  cell.marked = false;
  auto events = std::exchange(cell.events, {});
  cell.used_at = env_.mono();
  Follower::Actions actions;
  cell.core->step(cell.used_at, events, actions);
  if (!actions.write.batches.empty()) cell.written_at = cell.used_at;
  take_copy(segment, cell, actions);
}

void NodeState::take_copy(SegmentId segment, CopyCell& cell, Follower::Actions& actions) {
  if (actions.write.id > 0) store_->write(segment, cell.attributes, std::move(actions.write));
  for (auto& outgoing : actions.messages) answer(std::move(outgoing));
  set_wake(Kind::kCopy, segment, cell, actions.wake_at);
  if (auto readable = cell.core->readable(); std::exchange(cell.told, readable) != readable) {
    if (auto tail = tails_.find(segment); tail != tails_.end())
      wake_readers(tail->second, parts_[tail->second]);
  }
  if (repairs_.contains(segment)) finish_repair(segment);
  if (segment == writing_) compact_gate_->open();
}

void NodeState::step_writer(SegmentId segment) {
  auto found = writers_.find(segment);
  if (found == writers_.end()) return;
  auto& cell = found->second;
  cell.marked = false;
  auto events = std::exchange(cell.events, {});
  Leader::Actions actions;
  cell.core->step(env_.mono(), events, actions);
  take_writer(segment, cell, actions, events);
}

void NodeState::take_writer(SegmentId segment, WriterCell& cell, Leader::Actions& actions,
                            std::span<Leader::Event> events) {
  for (auto& message : actions.messages) {
    auto* told = std::get_if<Replicate>(&message.body);
    if (told && image_->cluster.feature_level < kQuietLevel) told->quiet = false;
    send(std::move(message));
  }
  for (const auto& request : actions.log_requests)
    loop_.spawn(read_log(shared_from_this(), segment, request, store_->stream(segment)));
  auto watermark = cell.core->watermark();
  if (std::exchange(cell.told, watermark) != watermark)
    wake_readers(cell.partition, parts_[cell.partition]);
  take_answers(cell, actions, events);
  if (actions.close_at) {
    cell.close_at = *actions.close_at;
    closing_.insert(segment);
    close_segment(segment, cell);
  }
  bool roll = actions.roll == Leader::Roll::kFull || actions.roll == Leader::Roll::kReplicaLost;
  if (roll && cell.core->role() == Leader::Role::kWriter) {
    // On the same nodes, also where a copy was lost: its node is there and can begin another one,
    // and nobody waits for the controller, which may know a better one afterwards.
    close(segment, cell, placement_of(cell.core->segment()));
  }
  if (actions.roll == Leader::Roll::kQuorumLost) recover_own(segment, cell.partition);
  set_wake(Kind::kWriter, segment, cell, actions.wake_at);
}

void NodeState::step_sealer() {
  sealer_timed_.marked = false;
  auto events = std::exchange(sealer_events_, {});
  Sealer::Actions actions;
  sealer_.step(env_.mono(), events, actions);
  set_wake(Kind::kSealer, {}, sealer_timed_, actions.wake_at);
  take_sealer(actions);
}

// ---- Time ----

void NodeState::set_wake(Kind kind, SegmentId segment, Timed& cell, Instant when) {
  if (cell.wake == when) return;
  drop_wake(kind, segment, cell);
  cell.wake = when;
  if (when != Instant::max()) wakes_.emplace(when, kind, segment);
}

void NodeState::drop_wake(Kind kind, SegmentId segment, Timed& cell) {
  if (cell.wake != Instant::max()) wakes_.erase({cell.wake, kind, segment});
  cell.wake = Instant::max();
}

Instant NodeState::next_wake() const {
  return wakes_.empty() ? look_at_ : std::min(look_at_, std::get<Instant>(*wakes_.begin()));
}

boost::asio::awaitable<void> NodeState::run_timer(std::shared_ptr<NodeState> self) {
  while (!self->stopped_) {
    auto now = self->env_.mono();
    auto next = self->next_wake();
    self->armed_ = next;
    if (next > now) co_await self->timer_->wait(next - now);
    self->armed_ = Instant{};  // awake: it looks for the next time itself
    if (!self->stopped_) self->fire(self->env_.mono());
  }
}

void NodeState::fire(Instant now) {
  while (!wakes_.empty() && std::get<Instant>(*wakes_.begin()) <= now) {
    auto [when, kind, segment] = *wakes_.begin();
    if (kind == Kind::kCopy) {
      auto& cell = copies_.at(segment);
      drop_wake(kind, segment, cell);
      push(segment, cell, Follower::Tick{});
    } else if (kind == Kind::kWriter) {
      auto& cell = writers_.at(segment);
      drop_wake(kind, segment, cell);
      push(segment, cell, Leader::Tick{});
    } else {
      drop_wake(kind, segment, sealer_timed_);
      push(Sealer::Tick{});
    }
  }
  if (now >= look_at_) look_around(now);
}

void NodeState::look_around(Instant now) {
  look_at_ = now + kLook;
  store_->poll();
  if (!begun_) return;
  check_reach();
  for (auto& id : std::set<PartitionId>(hungry_)) {
    auto& part = parts_[id];
    expire(id, part, now);
    if (!part.waiting.empty()) mark(id, part);
  }
  for (auto at = confirms_.begin(); at != confirms_.end();) {
    auto asking = at++;
    if (now < asking->second.until) continue;
    calls_.push_back([done = std::move(asking->second.done)]() mutable {
      done(fail(Code::kBusy, "not confirmed in time"));
    });
    confirms_.erase(asking);
  }
  if (!calls_.empty()) post_turn();
  if (auto wanted = this->wanted(); !wanted.empty()) metadata_.want(std::move(wanted));
  for (auto segment : closing_) {
    auto& cell = writers_.at(segment);
    if (!cell.closing && now >= cell.close_again) close_segment(segment, cell);
  }
  for (const auto& [segment, work] : recoveries_) try_recover(work);
  work_on_repairs(now);
  tell_compacted(now);
  if (now >= retain_at_) {
    retain(now);
    plan_compactions(now);
  }
  if (!orphans_.empty() && !std::exchange(sweeping_, true)) loop_.spawn(sweep(shared_from_this()));
  if (now >= survey_at_) survey(now);
}

// What has no hurry: rolls by time, and copies that nobody needs in memory.
void NodeState::survey(Instant now) {
  survey_at_ = now + kSurvey;
  for (auto& [segment, cell] : writers_) {
    bool late = now >= cell.roll_at && cell.core->watermark() > cell.core->segment().start;
    if (late && cell.core->role() == Leader::Role::kWriter) {
      close(segment, cell, placement_of(cell.core->segment()));
    }
  }
  std::vector<SegmentId> idle;
  for (const auto& [segment, cell] : copies_) {
    bool over = cell.core->failed() || (cell.core->complete() && cell.core->idle());
    if (over && cell.events.empty() && now - cell.used_at >= kCopyIdle) idle.push_back(segment);
  }
  for (auto segment : idle) close_copy(segment);
}

// ---- Messages ----

void NodeState::send(Message message) {
  if (message.to == options_.self) {
    own_.push_back(std::move(message));
  } else {
    auto& out = outbox_[message.to];
    (payload_bytes(message) == 0 ? out.light : out.heavy).push_back(std::move(message));
  }
  post_turn();
}

// What has bytes of records to carry goes as bulk; answers and questions go before it.
void NodeState::flush() {
  for (auto& [to, out] : outbox_) {
    send_parcels(to, out.light, kControlParcelBytes, net::Priority::kControl);
    send_parcels(to, out.heavy, options_.limits.parcel_bytes_max, net::Priority::kBulk);
  }
}

void NodeState::send_parcels(NodeId to, std::vector<Message>& messages, std::size_t bytes_max,
                             net::Priority priority) {
  std::size_t first = 0, bytes = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    auto size = payload_bytes(messages[i]) + kMessageBytes;
    if (i > first && bytes + size > bytes_max) {
      send_parcel(to, std::span(messages).subspan(first, i - first), priority);
      first = i;
      bytes = 0;
    }
    bytes += size;
  }
  if (first < messages.size()) send_parcel(to, std::span(messages).subspan(first), priority);
  messages.clear();
}

// What cannot be sent is lost: the cores send again.
void NodeState::send_parcel(NodeId to, std::span<const Message> messages, net::Priority priority) {
  std::string bytes;
  wire::peer::append_parcel(bytes, messages);
  auto sent = rpc_.send(to, kSegmentParcel, std::move(bytes),
                        {.timeout = kSendTimeout, .priority = priority});
  if (!sent) return void(++stats_.parcels_refused);
  ++stats_.parcels_sent;
  stats_.messages_sent += messages.size();
}

// Who was there and is not leads nothing for now: clients wait for the next one, or for this one's
// return, instead of going where nobody answers. Unless it is this node that is cut off, which
// clients may not be.
void NodeState::check_reach() {
  if (!begun_ || stopped_) return;
  std::set<NodeId> gone;
  std::size_t all = 0;
  image_->nodes.each([&](NodeId id, const meta::Node& node) {
    if (node.state == meta::NodeState::kRemoved) return;
    ++all;
    if (id == options_.self) return;
    if (rpc_.connected(id)) return void(met_[id] = {});
    auto known = met_.find(id);
    if (known == met_.end()) return;
    gone.insert(id);
    knock(id, known->second);
  });
  if (2 * gone.size() >= all) gone.clear();
  auto changed = std::exchange(out_of_reach_, std::move(gone));
  if (changed == out_of_reach_) return;
  for (const auto& id : hungry_) mark(id, parts_[id]);
  changed.insert(out_of_reach_.begin(), out_of_reach_.end());
  if (on_reach_) on_reach_(changed);
}

// A process that is killed lets go of its connections one after the other: a client may have lost
// its own, and ask here, before this node has lost its. But it answers nothing any more.
io::Task<void> NodeState::ask_reach(std::shared_ptr<NodeState> self, io::Nanos at_most) {
  struct Asked {
    std::unique_ptr<io::Gate> answered;
    std::size_t left = 1;
    void count() {
      if (--left == 0) answered->open();
    }
  };
  if (self->stopped_) co_return fail(Code::kClosed, "this node stops");
  auto asked = std::make_shared<Asked>(self->loop_.make_gate());
  for (const auto& [id, again] : self->met_) {
    if (!self->rpc_.connected(id)) continue;
    ++asked->left;
    self->rpc_.call(
        id, kSegmentThere, {},
        {.timeout = at_most, .priority = net::Priority::kControl, .only_if_there = true},
        [asked](const Result<std::string>&) { asked->count(); });
  }
  asked->count();
  (void)co_await asked->answered->wait(at_most);
  self->check_reach();
  co_return Result<void>();
}

// A connection is made again only for what is to be sent, and that may be nothing any more: clients
// are told of no such leader, and what they send waits here.
void NodeState::knock(NodeId id, Instant& again) {
  auto now = env_.mono();
  if (now < again) return;
  again = now + kKnockAgain;
  (void)rpc_.send(id, kSegmentKnock, {},
                  {.timeout = kKnockAgain, .priority = net::Priority::kControl});
}

// The bytes stay where they came, and occupy the sender's window, as long as a batch is in memory.
void NodeState::receive(net::Request request) {
  if (!begun_) return;
  auto owner = std::make_shared<net::Request>(std::move(request));
  auto messages = wire::peer::parse_parcel(owner->body, owner);
  if (!messages) return void(++stats_.parcels_refused);
  ++stats_.parcels_received;
  for (auto& message : *messages) {
    if (message.from != owner->from || message.to != options_.self) continue;  // nobody else's
    ++stats_.messages_received;
    route(std::move(message));
  }
}

bool NodeState::may_hold(SegmentId segment) const {
  // Of what metadata issued since the image that is known here nothing can be said yet.
  return tails_.contains(segment) || segment >= image_->next_segment;
}

// How often its topic wants it synced, where that is known here (yet).
std::optional<Millis> NodeState::interval_of(SegmentId segment) const {
  auto tail = tails_.find(segment);
  const auto* topic = tail == tails_.end() ? nullptr : image_->topics.find(tail->second.topic);
  if (!topic) return std::nullopt;
  auto durability = durability_of(*topic);
  if (durability.kind != Durability::kInterval) return std::nullopt;
  return durability.interval;
}

void NodeState::route(Message&& message) {
  auto segment = message.segment;
  if (std::holds_alternative<ReplicateReply>(message.body)) {
    auto writer = writers_.find(segment);
    bool mine = writer != writers_.end() && message.epoch == writer->second.core->segment().epoch;
    if (mine) push(segment, writer->second, Leader::Receive{std::move(message)});
    else if (sealer_.has(segment)) push(Sealer::Receive{std::move(message)});
    return;
  }
  if (std::holds_alternative<FenceReply>(message.body)) {
    if (sealer_.has(segment)) push(Sealer::Receive{std::move(message)});
    return;
  }
  if (std::holds_alternative<FetchReply>(message.body)) {
    for (auto& [id, writer] : writers_)
      if (writer.core->waits_for(segment)) push(id, writer, Leader::Receive{message});
    stats_.repaired_bytes += payload_bytes(message);
    auto copy = copies_.find(segment);
    if (copy != copies_.end()) push(segment, copy->second, Follower::Receive{std::move(message)});
    return;
  }
  auto* copy = copy_cell(segment);
  if (!copy) {
    // A copy begins with what its writer or its recoverer says.
    CopyAttributes attributes;
    if (const auto* body = std::get_if<Replicate>(&message.body))
      attributes = {body->start, body->durability};
    else if (const auto* fence = std::get_if<Fence>(&message.body))
      attributes = {fence->start, fence->durability};
    else return;
    if (!may_hold(segment) || orphans_.contains(segment)) return;
    if (!tails_.contains(segment)) ahead_.insert(segment);
    if (auto interval = interval_of(segment)) attributes.interval = *interval;
    copy = &make_copy(segment, attributes, std::nullopt);
  }
  push(segment, *copy, Follower::Receive{std::move(message)});
}

void NodeState::answer(Outgoing&& outgoing) {
  if (!outgoing.attach) return send(std::move(outgoing.message));
  auto stream = store_->stream(outgoing.message.segment);
  if (!stream) return send(std::move(outgoing.message));
  loop_.spawn(read_and_send(shared_from_this(), std::move(outgoing), std::move(stream)));
}

boost::asio::awaitable<void> NodeState::read_and_send(std::shared_ptr<NodeState> self,
                                                      Outgoing outgoing, log::StreamRef stream) {
  auto what = *outgoing.attach;
  auto read = [&engine = self->engine_, stream, what] {
    return CopyStore::read(engine, stream, what);
  };
  auto run = co_await self->files_->run<Run>(read);
  if (self->stopped_) co_return;
  auto segment = outgoing.message.segment;
  auto cell = self->copies_.find(segment);
  if (run) {
    if (cell != self->copies_.end() && what.from == cell->second.core->start())
      run->producers = self->store_->opening(segment);
    *run_of(outgoing.message) = *std::move(run);
  } else if (run.error().code == Code::kCorrupt && cell != self->copies_.end()) {
    self->log(LogLevel::kError, "segment_copy_damaged", segment, run.error().message);
    if (cell->second.core->state().sealed_end) self->suspect(segment);
    else self->push(segment, cell->second, Follower::Damaged{what.from});
  }
  self->send(std::move(outgoing.message));
}

boost::asio::awaitable<void> NodeState::read_log(std::shared_ptr<NodeState> self, SegmentId segment,
                                                 Leader::LogRequest request,
                                                 log::StreamRef stream) {
  Leader::LogRead answer{.replica = request.replica, .run = {.from = request.from}};
  if (stream) {
    Attach what{request.from, INT64_MAX, request.bytes_max};
    auto read = [&engine = self->engine_, stream, what] {
      return CopyStore::read(engine, stream, what);
    };
    auto run = co_await self->files_->run<Run>(read);
    if (self->stopped_) co_return;
    auto cell = self->copies_.find(segment);
    if (run) answer.run = *std::move(run);
    else if (run.error().code == Code::kCorrupt && cell != self->copies_.end())
      self->push(segment, cell->second, Follower::Damaged{what.from});
  }
  auto writer = self->writers_.find(segment);
  if (writer != self->writers_.end())
    self->push(segment, writer->second, Leader::Event(std::move(answer)));
}

// ---- Copies ----

NodeState::CopyCell* NodeState::copy_cell(SegmentId segment) {
  if (auto found = copies_.find(segment); found != copies_.end()) return &found->second;
  if (!store_->has(segment) || orphans_.contains(segment)) return nullptr;
  auto stored = store_->load(segment);
  if (!stored) {
    log(LogLevel::kError, "segment_copy_unreadable", segment, stored.error().message);
    return nullptr;
  }
  return &make_copy(segment, stored->attributes, stored->copy);
}

NodeState::CopyCell& NodeState::make_copy(SegmentId segment, const CopyAttributes& attributes,
                                          const std::optional<Copy>& found) {
  auto& cell = copies_[segment];
  cell.attributes = attributes;
  cell.used_at = env_.mono();
  Follower::Options options{.self = options_.self,
                            .segment = segment,
                            .durability = attributes.durability,
                            .start = attributes.start};
  auto knowledge = knowledge_of(losses_, segment, attributes.durability, false);
  cell.core = Follower::open(options, found, knowledge);
  if (!found) ++stats_.copies_made;
  mark(Kind::kCopy, segment, cell);
  return cell;
}

void NodeState::close_copy(SegmentId segment) {
  auto found = copies_.find(segment);
  if (found == copies_.end()) return;
  drop_wake(Kind::kCopy, segment, found->second);
  copies_.erase(found);
}

void NodeState::happened(SegmentId segment, Follower::Event event) {
  auto found = copies_.find(segment);
  if (found == copies_.end()) return;
  if (std::holds_alternative<Follower::PersistFailed>(event))
    log(LogLevel::kError, "segment_copy_failed", segment, "the disk");
  push(segment, found->second, std::move(event));
}

// ---- What others look at ----

NodeStats NodeState::stats() const {
  auto stats = stats_;
  stats.leaders = writers_.size();
  stats.copies = copies_.size();
  stats.recoveries = sealer_.size();
  stats.waiting = waiting_count_;
  stats.damaged = damaged_.size();
  for (const auto& [segment, cell] : writers_) {
    stats.lagging += cell.core->lags(env_.mono(), kLags) ? 1 : 0;
    stats.slow += cell.core->slow(env_.mono()).size();
  }
  return stats;
}

std::vector<meta::SlowCopy> NodeState::slow() const {
  std::vector<meta::SlowCopy> slow;
  for (const auto& [segment, cell] : writers_) {
    for (auto node : cell.core->slow(env_.mono())) slow.push_back({cell.partition, segment, node});
    if (slow.size() >= meta::kConditionListMax) break;
  }
  return slow;
}

}  // namespace walrus::replica
