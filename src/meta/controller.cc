#include "meta/controller.h"

#include <algorithm>

#include "raft/membership.h"

namespace walrus::meta {
namespace {

constexpr Nanos kProposeTimeout = std::chrono::seconds(2), kChangeTimeout = std::chrono::seconds(5),
                kWorkTimeout = std::chrono::seconds(1), kWatchTimeout = std::chrono::hours(1),
                kLeaseTimeout = std::chrono::milliseconds(300);
// A copy that was handed out and is not reported as under way yet.
constexpr Nanos kCopyStarts = std::chrono::seconds(3);

PartitionId partition_of(const Work& work) {
  return std::visit([](const auto& one) { return one.partition; }, work);
}
SegmentId segment_of(const Work& work) {
  return std::visit([](const auto& one) { return one.segment; }, work);
}

void add(Handout& to, Work work) {
  if (auto* recover = std::get_if<Recover>(&work)) to.recoveries.push_back(std::move(*recover));
  else if (auto* roll = std::get_if<Roll>(&work)) to.rolls.push_back(std::move(*roll));
  else to.copies.push_back(std::get<Copy>(work));
}

std::size_t size_of(const Handout& handout) {
  return handout.recoveries.size() + handout.rolls.size() + handout.copies.size();
}

}  // namespace

Controller::Controller(ControllerParts parts, const ControllerOptions& options)
    : parts_(std::move(parts)),
      options_(options),
      gate_(parts_.loop.make_gate()),
      sights_(parts_.env.mono(), options.silence_max),
      planner_(options.plan, options.spread) {
  health_.controller = parts_.self;
}

void Controller::begin() {
  log_line(parts_.log, LogLevel::kInfo, "controller_began", {{"node", parts_.self.value}});
  parts_.loop.spawn(run(shared_from_this()));
  poke();
}

void Controller::end() {
  over_ = true;
  poke();
}

void Controller::learned() {
  changed_ = true;
  poke();
}

// ---- The loop ----

boost::asio::awaitable<void> Controller::run(std::shared_ptr<Controller> self) {
  auto& parts = self->parts_;
  while (!self->over_) {
    co_await self->gate_->wait(self->options_.tick);
    if (self->over_) co_return;
    const auto now = parts.env.mono();
    const auto image = parts.image();
    self->changed_ |= self->sights_.look(*image, now);
    self->watch_all(*image);
    if (!self->sights_.ready(*image, now)) continue;
    if (!self->changing_) {
      self->changing_ = true;
      parts.loop.spawn(tend_members(self));
    }
    if (!self->changed_ && now < self->plan_at_) continue;
    self->changed_ = false;
    self->plan_at_ = now + self->options_.plan_again;
    auto plan = self->plan(*image, now);
    self->hand_out(*image, plan, now);
    for (auto& command : commands(plan, parts.env.wall(), self->options_.plan)) {
      // What was refused is planned anew, with the image that made it outdated.
      co_await parts.node.propose(encode(command), kProposeTimeout);
      if (self->over_) co_return;
    }
  }
}

Plan Controller::plan(const State& image, Nanos now) {
  Observed observed{.nodes = sights_.see(image, now),
                    .wanted = sights_.wanted(),
                    .copies = sights_.copies(),
                    .copy_bytes_per_s = sights_.copy_bytes_per_s(now)};
  for (const auto& [key, out] : handed_out_) {
    const auto* copy = std::get_if<Copy>(&out.work);
    const bool reported =
        copy && std::ranges::find(observed.copies, *copy) != observed.copies.end();
    if (copy && !reported && now - out.at < kCopyStarts) observed.copies.push_back(*copy);
  }
  sights_.observe(observed, now);
  auto plan = planner_.plan(image, observed);
  health_.nodes = std::move(observed.nodes);
  health_.copies = std::move(observed.copies);
  tell(plan);
  return plan;
}

void Controller::tell(const Plan& plan) {
  for (const auto& change : plan.changes) {
    const auto* expire = std::get_if<ExpireLease>(&change);
    if (expire)
      log_line(parts_.log, LogLevel::kWarning, "node_lost", {{"node", expire->node.value}});
  }
  health_.drains = plan.drains;
  health_.stuck = plan.stuck;
  health_.stuck_total = plan.stuck.size();
  health_.under_replicated = plan.under_replicated;
  health_.searched |= plan.searched;
  lacking_ = plan.lacking;
}

Conditions Controller::condition(NodeId from, Condition condition) {
  const auto now = parts_.env.mono();
  const auto* node = parts_.image()->find_node(from);
  const bool known = node != nullptr && node->incarnation == condition.incarnation;
  if (known) sights_.told(from, std::move(condition), now);
  Conditions full;
  for (const auto& one : sights_.conditions(now).nodes)
    if (one.condition.full)
      full.nodes.push_back({one.node, {.incarnation = one.condition.incarnation, .full = true}});
  return full;
}

Health Controller::health() const {
  auto health = health_;
  const auto cut = [](auto& list) { list.resize(std::min(list.size(), kHealthListMax)); };
  cut(health.nodes);
  cut(health.drains);
  cut(health.stuck);
  cut(health.copies);
  return health;
}

// ---- Work ----

void Controller::hand_out(const State& image, Plan& plan, Nanos now) {
  for (auto& [key, out] : handed_out_) out.planned = false;
  std::map<NodeId, Handout> to_send;
  for (auto& [node, works] : plan.recoveries)
    for (auto& work : works) note(node, std::move(work), now, to_send);
  for (auto& [node, works] : plan.rolls)
    for (auto& work : works) note(node, std::move(work), now, to_send);
  for (auto& [pair, works] : plan.copies)
    for (auto& work : works) note(pair.second, std::move(work), now, to_send);
  // A copy that is under way is not planned again.
  std::erase_if(handed_out_, [&](const auto& entry) {
    const auto& out = entry.second;
    const bool starts = std::holds_alternative<Copy>(out.work) && now - out.at < kCopyStarts;
    return !out.planned && !starts;
  });
  for (auto& [node, handout] : to_send) send(image, node, std::move(handout));
}

void Controller::note(NodeId node, Work work, Nanos now, std::map<NodeId, Handout>& to_send) {
  const auto target = std::holds_alternative<Copy>(work) ? node : NodeId{};
  const WorkKey key{work.index(), partition_of(work), segment_of(work), target};
  auto [found, added] = handed_out_.try_emplace(key);
  auto& out = found->second;
  const bool same = !added && out.node == node && out.work == work;
  out.planned = true;
  if (same && now - out.at < options_.work_again) return;
  out.node = node;
  out.at = now;
  out.work = work;
  add(to_send[node], std::move(work));
}

void Controller::send(const State& image, NodeId node, Handout handout) {
  const auto* known = image.find_node(node);
  if (known == nullptr) return;
  handout.incarnation = known->incarnation;
  handout.image = image.version;
  if (node == parts_.self) return parts_.to_self(std::move(handout));
  const auto flush = [&](Handout& part) {
    if (size_of(part) == 0) return;
    part.incarnation = known->incarnation;
    part.image = image.version;
    // Lost on the way, it is handed out again.
    parts_.rpc.call(node, kWorkMethod, encode(Message(std::exchange(part, {}))),
                    {.timeout = kWorkTimeout}, [](Result<std::string>) {});
  };
  Handout part;
  const auto each = [&](auto& from) {
    for (auto& work : from) {
      add(part, std::move(work));
      if (size_of(part) == kHandoutMax) flush(part);
    }
  };
  each(handout.recoveries);
  each(handout.rolls);
  each(handout.copies);
  flush(part);
}

// ---- Nodes ----

io::Task<Leased> Controller::beat(std::shared_ptr<Controller> self, NodeId from, Heartbeat beat) {
  const auto incarnation = beat.incarnation;
  const auto known_epoch = beat.lease_epoch;
  const auto judge = [&]() -> Result<Leased> {
    if (self->over_) return fail(Code::kBusy, "metadata is not led here any more");
    const auto image = self->parts_.image();
    const auto* node = image->find_node(from);
    if (node == nullptr || incarnation > node->incarnation)
      return fail(Code::kBusy, "node {} is not known here yet", from.value);
    if (node->state == NodeState::kRemoved || incarnation < node->incarnation)
      return fail(Code::kFenced, "node {} is removed, or a later life of it is registered",
                  from.value);
    return Leased{known_epoch == node->lease_epoch, node->lease_epoch};
  };
  WALRUS_CO_ASSIGN(auto leased, judge());
  const bool leaving = beat.leaving == Leaving::kNow;
  const bool was = self->sights_.alive(from);
  self->sights_.heard(from, beat, self->parts_.env.mono());
  if (!was || beat.leaving != Leaving::kNo || !beat.wanted.empty()) self->poke();
  if (!leased.granted || leaving) co_return Leased{false, leased.lease_epoch};
  // Only who still leads may grant (R15), and what it knows then decides.
  const auto read = co_await self->parts_.node.read(raft::ReadLevel::kLease, kLeaseTimeout);
  if (!read)
    co_return fail(Code::kBusy, "no majority confirms who leads: {}", read.error().message);
  co_return judge();
}

void Controller::watch_all(const State& image) {
  image.nodes.each([&](NodeId id, const Node& node) {
    if (id == parts_.self || node.state == NodeState::kRemoved) return;
    if (!sights_.alive(id)) {
      if (sought_.insert(id).second) parts_.loop.spawn(seek(shared_from_this(), id));
    } else if (watched_.insert(id).second) {
      parts_.loop.spawn(watch(shared_from_this(), id));
    }
  });
}

io::Task<std::string> Controller::probe(NodeId node) {
  return parts_.rpc.call(node, kProbeMethod, encode(Message(Done{})),
                         {.timeout = options_.probe_timeout,
                          .priority = net::Priority::kControl,
                          .only_if_there = true});
}

// Of a node that was not heard of since this began: whether its silence has to be waited for.
boost::asio::awaitable<void> Controller::seek(std::shared_ptr<Controller> self, NodeId node) {
  const auto answer = co_await self->probe(node);
  if (self->over_) co_return;
  if (!answer && answer.error().code == Code::kIo && !self->sights_.heard_of(node))
    self->sights_.gone(node);
  self->poke();
}

// A question that is answered by nobody: that it ends says that the connection did.
boost::asio::awaitable<void> Controller::watch(std::shared_ptr<Controller> self, NodeId node) {
  auto& parts = self->parts_;
  const auto ended = co_await parts.rpc.call(node, kWatchMethod, encode(Message(Done{})),
                                             {.timeout = kWatchTimeout});
  if (self->over_) co_return;
  if (ended || ended.error().code != Code::kTimeout) {
    const auto answer = co_await self->probe(node);
    if (self->over_) co_return;
    const auto here = answer ? parse_as<Here>(*answer) : Result<Here>(fail(Code::kIo, "gone"));
    const auto image = parts.image();
    const auto* known = image->find_node(node);
    if (!here || known == nullptr || here->incarnation != known->incarnation)
      self->sights_.gone(node);
  }
  self->watched_.erase(node);
  self->poke();
}

// ---- Members of the group ----

boost::asio::awaitable<void> Controller::tend_members(std::shared_ptr<Controller> self) {
  const auto image = self->parts_.image();
  const auto sight = self->voter_sight(*image, self->parts_.env.mono());
  auto changes =
      next_members(self->parts_.node.status().membership, *image, sight, self->options_.voters_max);
  if (!changes.empty()) {
    std::vector<NodeId> removed;
    for (const auto& change : changes)
      if (change.kind == raft::MemberChange::Kind::kRemove) removed.push_back(change.id);
    const auto done = co_await self->change(std::move(changes), kChangeTimeout);
    if (done)
      for (const auto id : removed) self->lost_.erase(id);
  }
  self->changing_ = false;
}

VoterSight Controller::voter_sight(const State& image, Nanos now) {
  VoterSight sight{.self = parts_.self};
  image.nodes.each([&](NodeId id, const Node& node) {
    if (sights_.alive(id)) sight.alive.insert(id);
    else if (sights_.since(id, now) >= options_.voter_away_max) sight.away.insert(id);
    auto [known, added] = intact_from_.try_emplace(id, node.intact_from);
    if (node.intact_from == known->second) return;
    known->second = node.intact_from;
    if (joined_.erase(id) == 0 && id != parts_.self) lost_.insert(id);
  });
  const auto members = parts_.node.status().membership.members;
  std::erase_if(lost_, [&](NodeId id) { return !raft::find_member({.members = members}, id); });
  sight.lost = lost_;
  std::erase_if(strangers_, [&](const auto& one) { return image.find_node(one.first) != nullptr; });
  for (const auto& member : members) {
    if (image.find_node(member.id) != nullptr) continue;
    const auto since = strangers_.try_emplace(member.id, now).first->second;
    if (now - since >= options_.stranger_max) sight.strangers.insert(member.id);
  }
  return sight;
}

io::Task<void> Controller::change(std::vector<raft::MemberChange> changes, Nanos timeout) {
  const auto self = shared_from_this();
  const auto proposal = co_await parts_.node.change_members(std::move(changes), timeout);
  if (proposal.end == raft::Proposal::End::kApplied) co_return Result<void>();
  co_return fail(Code::kBusy, "members of the metadata group: {}",
                 proposal.end == raft::Proposal::End::kRefused
                     ? raft::refusal_name(proposal.refusal)
                     : raft::end_name(proposal.end));
}

io::Task<Outcome> Controller::enroll(std::shared_ptr<Controller> self, RegisterNode node,
                                     Nanos timeout) {
  const auto image = self->parts_.image();
  if (image->cluster.id.is_zero()) co_return fail(Code::kBusy, "the cluster is not founded yet");
  const auto* known = image->find_node(node.node);
  node.expected = known ? known->version : Version{};
  const Command command{self->parts_.env.wall(), {std::move(node)}};
  const auto proposal = co_await self->parts_.node.propose(encode(command), timeout);
  if (proposal.end == raft::Proposal::End::kUnknown)
    co_return fail(Code::kTimeout, "it is not known whether the node was registered");
  if (proposal.end != raft::Proposal::End::kApplied)
    co_return fail(Code::kBusy, "metadata: {}", raft::end_name(proposal.end));
  WALRUS_CO_ASSIGN(const auto outcomes, parse_reply(proposal.reply));
  co_return outcomes.at(0);
}

io::Task<void> Controller::join(std::shared_ptr<Controller> self, JoinRequest request,
                                Nanos timeout) {
  const auto image = self->parts_.image();
  const auto* node = image->find_node(request.node);
  if (node != nullptr && node->state == NodeState::kRemoved)
    co_return fail(Code::kFenced, "node {} was removed; its id is not given again",
                   request.node.value);
  if (request.feature_level_max < image->cluster.feature_level)
    co_return fail(Code::kMismatch, "the cluster is of feature level {}, this program knows {}",
                   image->cluster.feature_level, request.feature_level_max);
  if (request.node == self->parts_.self)
    co_return fail(Code::kMismatch, "node {} is the one that leads", request.node.value);
  if (self->changing_) co_return fail(Code::kBusy, "the members are being changed");
  self->changing_ = true;
  const auto members = self->parts_.node.status().membership;
  const auto* member = raft::find_member(members, request.node);
  Result<void> done;
  // It has forgotten its votes and its log, so it may be no member with them.
  if (member != nullptr) {
    auto sight = self->voter_sight(*image, self->parts_.env.mono());
    sight.lost.insert(request.node);
    auto changes = next_members(members, *image, sight, self->options_.voters_max);
    done = changes.empty() ? fail(Code::kBusy, "no other node can vote in its place")
                           : co_await self->change(std::move(changes), timeout);
  }
  if (done && !self->over_)
    done = co_await self->change(
        {{raft::MemberChange::Kind::kAddLearner, request.node, request.address}}, timeout);
  if (done && node != nullptr) self->joined_.insert(request.node);
  self->changing_ = false;
  co_return done;
}

}  // namespace walrus::meta
