#include "raft/host_state.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log_line.h"
#include "base/mix64.h"
#include "wire/peer/raft_bundle.h"

namespace walrus::raft {
namespace {

// What a message takes besides entries' payloads or a piece: metadata has up to 64 members.
constexpr std::size_t kMessageOverheadMax = 24 << 10;
constexpr std::size_t kControlBundleBytes = 32 << 10;
constexpr auto kGroupOf = &std::pair<GroupId, NodeState*>::first;
constexpr std::size_t kStoredOverhead = 4 << 10;  // of a record batch with one record
constexpr io::Nanos kThereTimeout = std::chrono::milliseconds(500),
                    kThereAgain = std::chrono::milliseconds(200);

constexpr std::size_t kFetchedAhead = 4;  // of groups that are looked at one after the other

std::size_t place_of(net::Priority priority) { return priority == net::Priority::kBulk ? 0 : 1; }

}  // namespace

HostState::HostState(io::Env& world, io::Loop& on, log::Engine& with, net::Rpc& over,
                     const HostOptions& given)
    : env(world),
      loop(on),
      engine(with),
      rpc(over),
      options(given),
      mailbox_(on),
      ticking_(on.make_gate()) {}

Result<void> HostState::start() {
  if (options.self == NodeId{}) return fail(Code::kInvalid, "a node needs an id");
  if (options.tick <= io::Nanos(0)) return fail(Code::kInvalid, "the tick of raft is no time");
  // What a crash left behind of a group that was being removed.
  for (const auto& stream : engine.list(kStreamPrefix)) {
    auto name = parse_stream_name(log::stream_name(stream));
    if (name && name->snapshot && !engine.find(log_stream_name(name->group)))
      WALRUS_TRY(engine.remove(log::stream_name(stream)));
  }
  auto self = weak_from_this();
  writer_ = std::make_unique<Writer>(
      env, engine, mailbox_, options.full_disk_retry, [self](GroupId group, std::string why) {
        auto host = self.lock();
        if (!host || !host->nodes_.contains(group)) return;
        if (!why.empty()) host->log(LogLevel::kWarning, "raft.disk_full", group, why);
        host->nodes_[group].state->disk_waits(std::move(why));
      });
  files_ = std::make_unique<net::FileWorker>(env, loop, "walrus-raft-files");
  machines_ = std::make_unique<net::FileWorker>(env, loop, "walrus-machines");
  rpc.handle_send(net::Method{wire::peer::kRaftBundleMethod}, [self](net::Request request) {
    if (auto host = self.lock(); host && !host->stopped) host->take_bundle(std::move(request));
  });
  rpc.handle(net::Method{wire::peer::kRaftThereMethod},
             [](const net::Request&) -> io::Task<std::string> { co_return std::string(); });
  rpc.handle(net::Method{wire::peer::kRaftReadIndexMethod},
             [self](net::Request request) -> io::Task<std::string> {
               return answer_read_index(self.lock(), std::move(request));
             });
  loop.spawn(run_ticks(shared_from_this()));
  return {};
}

void HostState::shut() {
  if (stopped) return;
  stopped = true;
  for (auto& look : std::exchange(looks_, {})) {
    if (!look.node) continue;
    look.node->shut();
    if (turn_runs_) left_.push_back(std::move(look.node));
  }
  mailbox_.close();
  writer_.reset();
  files_.reset();
  machines_.reset();
  by_group_.clear();
  marked_.clear();
  orders_.clear();
  ticking_->open();
  nodes_.clear();
}

void HostState::enter(const std::shared_ptr<NodeState>& state) {
  auto free = std::ranges::find(looks_, nullptr, &Look::node);
  state->slot = static_cast<std::size_t>(free - looks_.begin());
  if (free == looks_.end()) looks_.emplace_back();
  looks_[state->slot].node = state;
  by_group_.insert(std::ranges::lower_bound(by_group_, state->group(), {}, kGroupOf),
                   {state->group(), state.get()});
  look_at(*state);
  if (std::exchange(state->marked, false)) mark(*state);  // by its start
}

void HostState::leave(NodeState& state) {
  if (turn_runs_) left_.push_back(looks_[state.slot].node);
  looks_[state.slot] = {};
  by_group_.erase(std::ranges::lower_bound(by_group_, state.group(), {}, kGroupOf));
}

// A bundle names many, mostly in order: `place` is that of the one before.
NodeState* HostState::node_of(GroupId group, std::size_t& place) const {
  constexpr std::size_t kNear = 8;
  auto near = by_group_.begin() + static_cast<std::ptrdiff_t>(place);
  auto end =
      by_group_.begin() + static_cast<std::ptrdiff_t>(std::min(place + kNear, by_group_.size()));
  auto found = std::find_if(near, end, [&](const auto& one) { return one.first == group; });
  if (found == end) found = std::ranges::lower_bound(by_group_, group, {}, kGroupOf);
  if (found == by_group_.end() || found->first != group) return nullptr;
  place = static_cast<std::size_t>(found - by_group_.begin());
  return found->second;
}

void HostState::look_at(NodeState& state) {
  bool entered = state.slot < looks_.size() && looks_[state.slot].node.get() == &state;
  if (!entered) return;
  looks_[state.slot].at = state.next_look();
  next_look_ = std::min(next_look_, looks_[state.slot].at);
}

// ---- Turns ----

void HostState::mark(NodeState& node) {
  if (std::exchange(node.marked, true) || node.slot == SIZE_MAX) return;
  marked_.push_back(node.slot);
  post_turn();
}

void HostState::write(Writer::Order order) {
  orders_.push_back(std::move(order));
  post_turn();
}

void HostState::post_turn() {
  if (turn_runs_ || std::exchange(turn_posted_, true)) return;
  loop.post([self = shared_from_this()] {
    self->turn_posted_ = false;
    if (!self->stopped) self->turn();
  });
}

// Steps every node that has events, once; sends what comes of it, then has it written.
void HostState::turn() {
  turn_runs_ = true;
  auto now = env.mono();
  const auto slots = std::exchange(marked_, {});
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (i + 1 < slots.size())
      if (const auto* next = looks_[slots[i + 1]].node.get()) next->fetch_ahead();
    auto* node = looks_[slots[i]].node.get();
    if (!node || !std::exchange(node->marked, false)) continue;  // it has left since
    ++stats.steps;
    node->step(now, actions_);
    if (stopped) return left_.clear();
  }
  for (auto& [to, outbox] : outboxes_)
    for (auto priority : {net::Priority::kControl, net::Priority::kBulk})
      flush(to, outbox, priority);
  if (!orders_.empty()) {
    stats.writes += orders_.size();
    writer_->submit(std::exchange(orders_, {}));
  }
  turn_runs_ = false;
  left_.clear();
  if (!marked_.empty() || !orders_.empty()) post_turn();
}

// One timer for all groups. Its times are multiples of the tick, and so are the heartbeats of the
// Cores, so that those of all groups fall together.
boost::asio::awaitable<void> HostState::run_ticks(std::shared_ptr<HostState> self) {
  auto tick = self->options.tick;
  while (!self->stopped) {
    if (self->nodes_.empty()) {
      co_await self->ticking_->wait(io::Nanos::max());
      continue;
    }
    auto now = self->env.mono();
    co_await self->ticking_->wait((now / tick + 1) * tick - now);
    if (self->stopped) co_return;
    now = self->env.mono();
    self->look_for_peers();
    self->tick_those_due(now);
  }
}

// What a tick calls may open and close groups.
void HostState::tick_those_due(Instant now) {
  if (next_look_ > now) return;
  next_look_ = Instant::max();
  const auto sent = stats.messages_sent;
  auto fetch = [&](std::size_t i, auto what) {
    if (i < looks_.size() && looks_[i].at <= now) (looks_[i].node.get()->*what)();
  };
  for (std::size_t i = 0; i < looks_.size(); ++i) {
    fetch(i + 2 * kFetchedAhead, &NodeState::fetch_for_push);
    fetch(i + kFetchedAhead, &NodeState::fetch_ahead);
    if (looks_[i].at > now) {
      next_look_ = std::min(next_look_, looks_[i].at);
      continue;
    }
    auto node = looks_[i].node;
    node->tick(now, actions_);
    if (stopped) return;
  }
  if (stats.messages_sent != sent) post_turn();
}

// ---- Who is there ----

// A connection that breaks where nobody can be connected to any more says that the process is gone:
// its groups need not wait until their leader is missed. What only stands still, or is cut off,
// they do miss.
void HostState::look_for_peers() {
  for (auto& [id, peer] : peers_) {
    bool lost = std::exchange(peer.connected, rpc.connected(id)) && !peer.connected;
    if (lost && !std::exchange(peer.asked, true))
      loop.spawn(ask_whether_there(shared_from_this(), id));
  }
}

std::vector<NodeState*> HostState::led_by(NodeId id) const {
  std::vector<NodeState*> led;
  for (const auto& [group, node] : by_group_)
    if (node->core()->leader() == id) led.push_back(node);
  return led;
}

boost::asio::awaitable<void> HostState::ask_whether_there(std::shared_ptr<HostState> self,
                                                          NodeId id) {
  while (!self->stopped && !self->rpc.connected(id) && !self->led_by(id).empty()) {
    auto there = co_await self->rpc.call(
        id, net::Method{wire::peer::kRaftThereMethod}, {},
        {.timeout = kThereTimeout, .priority = net::Priority::kControl, .only_if_there = true});
    if (self->stopped) co_return;
    if (!there && there.error().code == Code::kIo)
      for (auto* node : self->led_by(id)) node->push(LeaderGone{id});
    co_await self->loop.sleep(kThereAgain);
  }
  if (auto peer = self->peers_.find(id); peer != self->peers_.end()) peer->second.asked = false;
}

// ---- Out ----

std::size_t HostState::limit_of(net::Priority priority) const {
  return priority == net::Priority::kBulk ? options.bundle_bytes_max : kControlBundleBytes;
}

void HostState::send(GroupId group, const Message& message, net::Priority priority) {
  auto& outbox = outboxes_[message.to];
  auto& bundle = outbox.bundles[place_of(priority)];
  if (bundle.empty()) wire::peer::begin_bundle(bundle);
  auto before = bundle.size();
  wire::peer::append_bundled(bundle, group.value, message);
  ++stats.messages_sent;
  auto limit = limit_of(priority);
  if (bundle.size() < limit) return;
  // A large one goes alone, so that bundles stay within their limit.
  std::string last;
  if (before > 1 && bundle.size() > limit) {
    wire::peer::begin_bundle(last);
    last.append(bundle, before);
    bundle.resize(before);
  }
  flush(message.to, outbox, priority);
  bundle = std::move(last);
  if (!bundle.empty()) flush(message.to, outbox, priority);
}

// What cannot be sent is lost: the cores send again.
void HostState::flush(NodeId to, Outbox& outbox, net::Priority priority) {
  auto& bundle = outbox.bundles[place_of(priority)];
  if (bundle.empty()) return;
  constexpr io::Nanos kTimeout = std::chrono::seconds(2);
  auto sent = rpc.send(to, net::Method{wire::peer::kRaftBundleMethod}, std::exchange(bundle, {}),
                       {.timeout = kTimeout, .priority = priority});
  if (sent) ++stats.bundles_sent;
  else ++stats.bundles_refused;
}

void HostState::learn(const Membership& membership) {
  for (const auto& member : membership.members) {
    if (member.id == options.self || member.address.empty()) continue;
    auto& known = peers_[member.id].address;
    if (known == member.address) continue;
    known = member.address;
    rpc.add_peer(member.id, member.address);
  }
}

// ---- In ----

// What nothing follows from but an answer is handled at once, everything else in the turn to come.
void HostState::take_bundle(net::Request request) {
  ++stats.bundles_received;
  const Arrived bundle{request.from, env.mono(),
                       std::make_shared<const std::string>(std::move(request.body))};
  auto reader = wire::peer::BundleReader::open(*bundle.body);
  if (!reader) {
    ++stats.messages_dropped;
    return;
  }
  if (auto peer = peers_.find(request.from); peer != peers_.end()) peer->second.connected = true;
  const auto sent = stats.messages_sent;
  auto messages = std::exchange(arrived_, {});  // its memory
  std::size_t place = 0;
  while (true) {
    wire::peer::Bundled bundled;
    auto more = reader->next(bundled);
    if (!more) ++stats.messages_dropped;
    if (!more || !*more) break;
    messages.emplace_back(node_of(GroupId{bundled.group}, place), bundled.message);
    if (messages.back().first != nullptr) messages.back().first->fetch_for_push();
  }
  // Of those to come the memory is fetched meanwhile.
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (i + kFetchedAhead < messages.size())
      if (const auto* node = messages[i + kFetchedAhead].first) node->fetch_ahead();
    take_message(bundle, messages[i].first, messages[i].second);
  }
  messages.clear();
  arrived_ = std::move(messages);
  if (stats.messages_sent != sent) post_turn();
}

void HostState::take_message(const Arrived& bundle, NodeState* node, Bytes bytes) {
  if (node == nullptr) {
    ++stats.messages_dropped;
    return;
  }
  // Entries stay in memory as views: they must not keep much else alive.
  bool shares = bytes.size() > bundle.body->size() / 2;
  auto message = wire::peer::parse_raft_message(
      bytes, shares ? std::shared_ptr<const void>(bundle.body) : nullptr);
  if (!message || message->from != bundle.from) {  // nobody speaks for another
    ++stats.messages_dropped;
    return;
  }
  ++stats.messages_received;
  if (!node->hear(bundle.now, *message, actions_)) node->push(Receive{*std::move(message)});
}

io::Task<std::string> HostState::answer_read_index(std::shared_ptr<HostState> self,
                                                   net::Request request) {
  if (!self || self->stopped) co_return fail(Code::kClosed, "stopping");
  WALRUS_CO_ASSIGN(auto asked, wire::peer::parse_read_index_request(request.body));
  auto found = self->nodes_.find(GroupId{asked.group});
  if (found == self->nodes_.end())
    co_return fail(Code::kNotFound, "no raft group {:016x} here", asked.group);
  struct Waiter {
    std::unique_ptr<io::Gate> gate;
    std::optional<ReadAnswer> answer{};
  };
  auto waiter = std::make_shared<Waiter>(self->loop.make_gate());  // shared with the callback
  found->second.state->serve_read_index(asked.lease, [waiter](ReadAnswer answer) {
    waiter->answer = answer;
    waiter->gate->open();
  });
  while (!waiter->answer) co_await waiter->gate->wait(io::Nanos::max());
  if (waiter->answer->refusal != Refusal::kNone)
    co_return fail(Code::kMismatch, "{}", refusal_name(waiter->answer->refusal));
  co_return wire::peer::encode_read_index_reply(waiter->answer->index);
}

// ---- Groups ----

NodeOptions HostState::complete(NodeOptions given, GroupId group) {
  given.core.id = options.self;
  auto seed = options.seed != 0 ? options.seed : env.random();
  given.core.seed = mix64(seed ^ mix64(group.value));
  return given;
}

Result<void> HostState::check(const NodeOptions& node) const {
  const auto& core = node.core;
  auto message =
      std::max({core.append_bytes_max, core.proposal_bytes_max, core.snapshot_chunk_bytes}) +
      kMessageOverheadMax;
  if (message > rpc.message_bytes_max())
    return fail(Code::kInvalid, "messages of {} bytes, the connections take {}", message,
                rpc.message_bytes_max());
  auto stored = std::max(core.proposal_bytes_max, core.snapshot_chunk_bytes) + kStoredOverhead;
  if (stored > static_cast<std::uint64_t>(engine.options().user.batch_bytes_max))
    return fail(Code::kInvalid, "entries of {} bytes, the log's batches hold {}", stored,
                engine.options().user.batch_bytes_max);
  if (node.snapshot_after_bytes == 0 || node.snapshot_after_bytes > core.log_bytes_max / 2)
    return fail(Code::kInvalid, "a snapshot after {} bytes, the log holds {}",
                node.snapshot_after_bytes, core.log_bytes_max);
  if (options.tick > core.heartbeat / 2)
    return fail(Code::kInvalid, "a heartbeat is at least two ticks of the host");
  if (!node.founders.members.empty() && !is_sound(node.founders))
    return fail(Code::kInvalid, "the founders are no configuration");
  return {};
}

io::Task<void> HostState::durable(std::shared_ptr<HostState> self,
                                  std::vector<log::Pending> places) {
  for (const auto& place : places) {
    if (self->stopped) co_return fail(Code::kClosed, "the host has stopped");
    io::Signal signal(self->loop);
    self->engine.when_done(place, signal.setter());
    WALRUS_CO_TRY(co_await signal.wait());
  }
  co_return Result<void>();
}

io::Task<Node*> HostState::open(std::shared_ptr<HostState> self, GroupId group, NodeOptions options,
                                std::unique_ptr<Machine> machine) {
  if (self->stopped) co_return fail(Code::kClosed, "the host has stopped");
  options = self->complete(std::move(options), group);
  WALRUS_CO_TRY(self->check(options));
  if (self->nodes_.contains(group) || self->opening_.contains(group))
    co_return fail(Code::kExists, "raft group {:016x} is open", group.value);
  self->opening_.insert(group);
  auto opened = co_await load(self, group, std::move(options), std::move(machine));
  self->opening_.erase(group);
  co_return opened;
}

io::Task<Node*> HostState::load(std::shared_ptr<HostState> self, GroupId group, NodeOptions options,
                                std::unique_ptr<Machine> machine) {
  StoredGroup stored{group, options.founders};
  auto& engine = self->engine;
  auto make = [&engine, stored] { return Store::make(engine, stored); };
  WALRUS_CO_ASSIGN(auto made, co_await self->files_->run<Store::Made>(make));
  if (made.pending.shard != nullptr) WALRUS_CO_TRY(co_await durable(self, {made.pending}));
  if (self->stopped) co_return fail(Code::kClosed, "the host has stopped");
  auto read = [&engine, stored, stream = made.stream] {
    return Store::load(engine, stored, stream);
  };
  WALRUS_CO_ASSIGN(auto loaded, co_await self->files_->run<Store::Loaded>(read));
  if (self->stopped) co_return fail(Code::kClosed, "the host has stopped");
  auto state = std::make_shared<NodeState>(self, group, std::move(options), std::move(machine));
  WALRUS_CO_TRY(state->start(std::move(loaded), self->env.mono()));
  auto& opened = self->nodes_[group];
  opened.state = state;
  opened.node = std::make_unique<Node>(state);
  self->enter(state);
  self->ticking_->open();
  co_return opened.node.get();
}

io::Task<void> HostState::close(std::shared_ptr<HostState> self, GroupId group) {
  auto found = self->nodes_.find(group);
  if (found == self->nodes_.end())
    co_return fail(Code::kNotFound, "raft group {:016x} is not open", group.value);
  auto state = found->second.state;
  state->shut();
  self->leave(*state);
  // Not to be opened again before nothing of it is written any more.
  self->opening_.insert(group);
  auto node = self->nodes_.extract(found);
  auto stopped = co_await state->stopped();
  self->opening_.erase(group);
  co_return stopped;
}

io::Task<void> HostState::remove(std::shared_ptr<HostState> self, GroupId group) {
  if (self->nodes_.contains(group)) WALRUS_CO_TRY(co_await close(self, group));
  if (self->stopped) co_return fail(Code::kClosed, "the host has stopped");
  if (self->opening_.contains(group))
    co_return fail(Code::kBusy, "raft group {:016x} is being opened", group.value);
  auto call = [&engine = self->engine, group] { return Store::remove(engine, group); };
  WALRUS_CO_ASSIGN(auto pending, co_await self->files_->run<std::vector<log::Pending>>(call));
  co_return co_await durable(self, std::move(pending));
}

io::Task<void> HostState::stop(std::shared_ptr<HostState> self) {
  std::vector<GroupId> open;
  for (const auto& [group, one] : self->nodes_) open.push_back(group);
  for (auto group : open)
    if (self->nodes_.contains(group)) WALRUS_CO_TRY(co_await close(self, group));
  co_return Result<void>();
}

Node* HostState::find(GroupId group) {
  auto found = nodes_.find(group);
  return found == nodes_.end() ? nullptr : found->second.node.get();
}

std::vector<GroupId> HostState::stored() const {
  std::vector<GroupId> groups;
  for (const auto& stream : engine.list(kStreamPrefix)) {
    auto name = parse_stream_name(log::stream_name(stream));
    if (name && !name->snapshot) groups.push_back(name->group);
  }
  return groups;
}

void HostState::log(LogLevel level, Bytes event, GroupId group, Bytes why) {
  if (options.log == nullptr) return;
  log_line(*options.log, level, event,
           {{"group", fmt::format("{:016x}", group.value)}, {"why", std::string(why)}});
}

}  // namespace walrus::raft
