// The course of one life of a node: it joins, registers, keeps its lease.

#include <algorithm>
#include <utility>

#include "meta/member.h"
#include "meta/recovery.h"
#include "raft/membership.h"

namespace walrus::meta {
namespace {

constexpr Nanos kJoinAttempt = std::chrono::seconds(3);
constexpr Nanos kJoinAgainMin = std::chrono::milliseconds(20),
                kJoinAgainMax = std::chrono::milliseconds(500);
constexpr std::size_t kBeatsMax = 8;  // under way at once
constexpr std::size_t kSecretBytes = 32;
constexpr Nanos kConditionEvery = std::chrono::seconds(1);

// Between attempts: twice as long each time, and spread.
class Patience {
 public:
  Nanos next(io::Env& env) {
    const auto full = std::exchange(full_, std::min(2 * full_, kJoinAgainMax));
    const auto half = static_cast<std::uint64_t>(full.count() / 2);
    return Nanos(static_cast<std::int64_t>(half + env.random() % (half + 1)));
  }

 private:
  Nanos full_ = kJoinAgainMin;
};

// Who could lead in the place of a node whose disk is full: a voter that is there and has room.
NodeId heir_with_room(NodeId self, const Health& health, const std::set<NodeId>& full,
                      const raft::Membership& members) {
  for (const auto& sight : health.nodes) {
    const bool fits = sight.node != self && sight.alive && !full.contains(sight.node);
    if (fits && raft::is_voter(members, sight.node)) return sight.node;
  }
  return {};
}

// What another attempt may mend.
bool passes(const Error& error) {
  return error.code != Code::kFenced && error.code != Code::kMismatch &&
         error.code != Code::kClosed && error.code != Code::kInvalid &&
         error.code != Code::kVersion && error.code != Code::kExists;
}

}  // namespace

boost::asio::awaitable<void> Member::live(Self self) {
  self->parts_.loop.spawn(beat_on(self));
  const bool anew = self->options_.identity.begins == Begins::kAnew;
  Result<void> done;
  if (self->node_ == nullptr) done = co_await (anew ? rejoin(self) : join(self));
  if (done && self->node_ == nullptr && !self->stopped_) done = co_await open(self);
  if (done) done = co_await enroll(self);
  if (!done && !self->stopped_) self->give_up(done.error());
}

JoinRequest Member::join_request() const {
  const auto peer = std::ranges::find(options_.listeners, "peer", &Listener::name);
  return {.node = options_.identity.node,
          .address = peer->address,
          .feature_level_max = options_.feature_level};
}

// A directory with nothing of the group in it asks to be let in, before it takes any part.
io::Task<void> Member::join(Self self) {
  co_return co_await ask_in(self, kJoinMethod, self->join_request());
}

// The group was recovered without this node: what is here of it is discarded when it is let in, and
// not if nobody else may have it.
io::Task<void> Member::rejoin(Self self) {
  RejoinRequest request{.join = self->join_request()};
  auto found = survey(self->parts_.engine);
  if (!found && found.error().code != Code::kNotFound)
    co_return std::unexpected(std::move(found).error());
  if (found) {
    request.recoveries = found->state->recoveries.size();
    request.term = found->last.term;
    request.index = found->last.index;
    found->state->nodes.each([&self](NodeId id, const Node& node) {
      const auto& address = peer_address(node);
      const bool stays = node.state != NodeState::kRemoved && !address.empty();
      if (!stays || id == self->options_.identity.node) return;
      self->peers_.insert(id);
      self->parts_.rpc.add_peer(id, address);
    });
  }
  WALRUS_CO_TRY(co_await ask_in(self, kRejoinMethod, std::move(request)));
  log_line(self->parts_.log, LogLevel::kWarning, "metadata_discarded",
           {{"cluster", to_string(self->options_.identity.cluster)}});
  const auto removed = co_await self->parts_.host.remove(kMetadataGroup);
  if (!removed && removed.error().code != Code::kNotFound) co_return removed;
  self->options_.identity.begins = Begins::kNot;
  co_return co_await self->write_down();
}

io::Task<void> Member::ask_in(Self self, net::Method method, Message request) {
  Patience patience;
  std::string last;
  while (!self->stopped_) {
    const auto deadline = self->parts_.env.mono() + kJoinAttempt;
    WALRUS_CO_TRY(co_await find_peers(self, deadline));
    const auto answer = co_await self->ask_leader(method, request, deadline);
    if (self->stopped_) break;
    if (answer) co_return Result<void>();
    if (!passes(answer.error())) co_return std::unexpected(answer.error());
    if (std::exchange(last, answer.error().message) != answer.error().message)
      log_line(self->parts_.log, LogLevel::kInfo, "node_waits_to_join", {{"why", answer.error()}});
    // Who was asked may have named the leader.
    if (self->hint_ == NodeId{}) co_await self->parts_.loop.sleep(patience.next(self->parts_.env));
  }
  co_return fail(Code::kClosed, "this node stops");
}

io::Task<void> Member::enroll(Self self) {
  Patience patience;
  bool taken = false;
  while (!self->stopped_ && !self->failure_ && !self->is_registered()) {
    auto outcome = co_await self->register_once();
    if (self->stopped_) break;
    if (!outcome && !passes(outcome.error())) co_return std::unexpected(outcome.error());
    if (outcome) {
      WALRUS_CO_ASSIGN(taken, self->judge_enrolment(*outcome));
    } else if (!taken) {
      auto found = co_await find_peers(self, self->parts_.env.mono() + kJoinAttempt);
      if (!found && is_over(found.error())) co_return found;
    }
    const auto deadline = self->parts_.env.mono() + patience.next(self->parts_.env);
    const auto asked = self->leader_;
    const Waiting waiting(*self);
    while (!self->stopped_ && !self->is_registered() && self->leader_ == asked &&
           self->left(deadline) > Nanos(0))
      co_await waiting.gate->wait(self->left(deadline));
  }
  if (self->stopped_ || self->failure_) co_return Result<void>();
  self->registered_ = true;
  log_line(self->parts_.log, LogLevel::kInfo, "node_registered",
           {{"node", self->options_.identity.node.value},
            {"cluster", to_string(self->options_.identity.cluster)},
            {"incarnation", self->incarnation()}});
  self->wake();
  co_return co_await self->keep_identity();
}

// In the image here: all that was committed before it is, too.
bool Member::is_registered() const {
  const auto* node = image_->find_node(options_.identity.node);
  return node != nullptr && node->incarnation == incarnation() &&
         node->directory == options_.identity.directory;
}

io::Task<Outcome> Member::register_once() {
  const auto self = shared_from_this();
  const auto& identity = options_.identity;
  if (controller_ && image_->cluster.id.is_zero()) WALRUS_CO_TRY(co_await found());
  RegisterNode node{.node = identity.node,
                    .directory = identity.directory,
                    .incarnation = identity.incarnation(),
                    .claimed = identity.claimed,
                    .feature_level_max = options_.feature_level,
                    .listeners = options_.listeners,
                    .rack = options_.rack,
                    .capacity = options_.capacity};
  node.claimed.back() = identity.confirmed;  // those before this one
  if (identity.confirmed == 0) node.claimed.pop_back();
  if (controller_)
    co_return co_await Controller::enroll(controller_, std::move(node), kJoinAttempt);
  WALRUS_CO_ASSIGN(auto answer, co_await ask_leader(kEnrollMethod, EnrollRequest{std::move(node)},
                                                    parts_.env.mono() + kJoinAttempt));
  if (const auto* enrolled = std::get_if<Enrolled>(&answer)) co_return enrolled->outcome;
  co_return fail(Code::kCorrupt, "an answer of another kind than the question");
}

io::Task<void> Member::found() {
  const auto self = shared_from_this();
  if (options_.identity.begins != Begins::kFounds)
    co_return fail(Code::kBusy, "who founds the cluster has not done so yet");
  std::string secret;
  for (std::size_t i = 0; i < kSecretBytes / sizeof(std::uint64_t); ++i)
    append_le(secret, parts_.env.random());
  WALRUS_CO_TRY(co_await propose_one(
      Found{options_.identity.cluster, options_.feature_level, std::move(secret)}, kJoinAttempt));
  co_return Result<void>();
}

// True: metadata knows this life, and this node will know it.
Result<bool> Member::judge_enrolment(const Outcome& outcome) {
  const auto id = options_.identity.node.value;
  switch (outcome.refusal) {
    case Refusal::kNone: return true;
    case Refusal::kMismatch: return false;  // it changed meanwhile
    case Refusal::kEpoch:
      if (outcome.value == incarnation()) return true;  // an attempt whose answer was lost
      options_.identity.floor = outcome.value;
      (void)store_identity(parts_.engine, options_.identity);
      return fail(Code::kFenced,
                  "a later life of node {} was registered; start again, which claims a later one",
                  id);
    case Refusal::kUnknown:
      return fail(Code::kMismatch,
                  "the cluster is of a later feature level than this program, which knows {}: "
                  "start a later one",
                  options_.feature_level);
    case Refusal::kExists:
      if (outcome.version != Version{}) return false;  // the node was made meanwhile
      return fail(Code::kMismatch, "this directory is that of another node of the cluster");
    case Refusal::kLimit: return fail(Code::kMismatch, "the cluster has as many nodes as it may");
    default:
      return fail(Code::kMismatch, "node {} is not taken: {}", id, refusal_name(outcome.refusal));
  }
}

// What is confirmed need not be claimed again.
io::Task<void> Member::keep_identity() {
  const auto self = shared_from_this();
  confirm(options_.identity);
  options_.identity.begins = Begins::kNot;
  co_return co_await write_down();
}

io::Task<void> Member::write_down() {
  const auto self = shared_from_this();
  WALRUS_CO_ASSIGN(const auto pending, write_identity(parts_.engine, options_.identity));
  io::Signal signal(parts_.loop);
  parts_.engine.when_done(pending, signal.setter());
  co_return co_await signal.wait();
}

// A node of this cluster after its metadata was recovered without this node: an era that is over
// must not decide anything any more, even if a majority of it is there.
void Member::met(const net::ClusterId& other) {
  const auto cluster = uuid_of_cluster(other);
  if (stopped_ || failure_ || !is_later_era(options_.identity.cluster, cluster)) return;
  auto identity = options_.identity;
  identity.cluster = cluster;
  identity.begins = Begins::kAnew;
  const auto stored = store_identity(parts_.engine, identity);
  if (controller_) controller_->end();
  controller_.reset();
  if (std::exchange(node_, nullptr) != nullptr) parts_.loop.spawn(leave_group(shared_from_this()));
  if (!stored) return give_up(stored.error());
  give_up({Code::kFenced,
           fmt::format("the metadata of this cluster was recovered without this node, which is "
                       "cluster {} since: start it again, and it joins that",
                       to_string(cluster))});
}

boost::asio::awaitable<void> Member::leave_group(Self self) {
  (void)co_await self->parts_.host.close(kMetadataGroup);
}

void Member::give_up(Error why) {
  if (failure_ || stopped_) return;
  log_line(parts_.log, LogLevel::kError, "node_gives_up", {{"why", why}});
  failure_ = std::move(why);
  wake();
}

// ---- Heartbeats ----

boost::asio::awaitable<void> Member::beat_on(Self self) {
  while (!self->stopped_ && !self->failure_) {
    co_await self->beat_gate_->wait(self->options_.heartbeat);
    self->sweep();
    if (self->stopped_ || !self->registered_ || self->leaving_ || self->failure_) continue;
    self->beat();
  }
}

void Member::beat() {
  if (beats_under_way_ >= kBeatsMax) return;
  const auto now = parts_.env.mono();
  std::erase_if(wanted_, [&](const auto& one) { return one.second.until <= now; });
  if (controller_) {
    ++beats_under_way_;
    parts_.loop.spawn(beat_here(shared_from_this(), heartbeat(), now));
    return tell_condition({}, now);
  }
  const auto peer = choose_peer();
  if (peer == NodeId{}) return;
  tell_condition(peer, now);
  ++beats_under_way_;
  parts_.rpc.call(peer, kBeatMethod, encode(Message(heartbeat())),
                  {.timeout = 3 * options_.heartbeat, .priority = net::Priority::kControl},
                  [weak = weak_from_this(), now](Result<std::string> reply) {
                    const auto self = weak.lock();
                    if (!self) return;
                    auto answer = reply ? parse_message(*reply)
                                        : Result<Message>(std::unexpected(reply.error()));
                    self->beaten(now, answer);
                  });
}

boost::asio::awaitable<void> Member::beat_here(Self self, Heartbeat beat, Nanos asked_at) {
  const auto me = self->options_.identity.node;
  const auto leased = co_await Controller::beat(self->controller_, me, std::move(beat));
  self->beaten(asked_at, leased ? Result<Message>(*leased)
                                : Result<Message>(std::unexpected(leased.error())));
}

void Member::beaten(Nanos asked_at, const Result<Message>& answer) {
  --beats_under_way_;
  if (stopped_) return;
  if (!answer) {
    hint_ = {};
    if (answer.error().code == Code::kFenced) give_up(answer.error());
    return;
  }
  if (const auto* elsewhere = std::get_if<NotLeader>(&*answer)) return learn_leader(*elsewhere);
  const auto* leased = std::get_if<Leased>(&*answer);
  if (leased == nullptr || !leased->granted) return;
  leased_at_ = std::max(leased_at_, asked_at);
  if (on_lease_) on_lease_(asked_at);
}

// ---- How the node is ----

void Member::feel(Condition condition) {
  condition.incarnation = incarnation();
  condition.slow.resize(std::min(condition.slow.size(), kConditionListMax));
  condition.damaged.resize(std::min(condition.damaged.size(), kConditionListMax));
  condition_due_ |= condition_ != condition;
  condition_ = std::move(condition);
}

// To whom the heartbeats go; none: it is this node. One of an earlier program does not know the
// question: then nobody is full, as far as that goes.
void Member::tell_condition(NodeId leader, Nanos now) {
  if (now - full_at_ > kConditionLasts) learn_full({});
  if (!condition_due_ && now - condition_at_ < kConditionEvery) return;
  condition_due_ = false;
  condition_at_ = now;
  condition_.incarnation = incarnation();
  if (controller_) {
    full_at_ = now;
    learn_full(controller_->condition(options_.identity.node, condition_));
    if (!condition_.full) return;
    // What is to be decided would have to wait for room, sooner or later.
    const auto heir = heir_with_room(options_.identity.node, controller_->health(), full_,
                                     node_->status().membership);
    if (heir != NodeId{}) node_->transfer(heir, kConditionEvery, [](Result<void>) {});
    return;
  }
  parts_.rpc.call(leader, kConditionMethod, encode(Message(condition_)),
                  {.timeout = 3 * options_.heartbeat},
                  [weak = weak_from_this()](Result<std::string> reply) {
                    const auto self = weak.lock();
                    if (!self || self->stopped_ || !reply) return;
                    const auto answer = parse_message(*reply);
                    const auto* told = answer ? std::get_if<Conditions>(&*answer) : nullptr;
                    if (told == nullptr) return void(self->condition_due_ = true);
                    self->full_at_ = self->parts_.env.mono();
                    self->learn_full(*told);
                  });
}

void Member::learn_full(const Conditions& told) {
  std::set<NodeId> full;
  for (const auto& one : told.nodes)
    if (one.condition.full) full.insert(one.node);
  if (full == full_) return;
  full_ = std::move(full);
  if (on_full_) on_full_(full_);
}

Heartbeat Member::heartbeat() const {
  const auto* node = image_->find_node(options_.identity.node);
  Heartbeat beat{.incarnation = incarnation(),
                 .lease_epoch = node ? node->lease_epoch : 0,
                 .leaving = leaving_       ? Leaving::kNow
                            : leaves_soon_ ? Leaving::kSoon
                                           : Leaving::kNo,
                 .copied_bytes = copied_bytes_};
  for (const auto& [partition, wanted] : wanted_) {
    if (beat.wanted.size() == kBeatWantedMax) break;
    beat.wanted.push_back(partition);
  }
  beat.copies = copies_;
  return beat;
}

void Member::leave_soon() {
  leaves_soon_ = true;
  beat_gate_->open();
}

void Member::want(const PartitionId& partition) {
  const auto [found, added] = wanted_.try_emplace(partition);
  found->second = {parts_.env.mono() + options_.want_max, open_segment(*image_, partition)};
  if (added) beat_gate_->open();
}

void Member::copying(std::vector<Copy> copies, std::uint64_t bytes_total) {
  copies_ = std::move(copies);
  if (copies_.size() > kBeatCopiesMax) copies_.resize(kBeatCopiesMax);
  copied_bytes_ = bytes_total;
}

}  // namespace walrus::meta
