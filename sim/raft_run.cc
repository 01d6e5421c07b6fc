#include "raft_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "linearizable.h"

namespace walrus::sim {
namespace {

using raft::Role;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kHealAt = 50 * kSecond, kQuietAt = 55 * kSecond, kEnd = 65 * kSecond;
constexpr std::int64_t kProgressWithin = 4 * kSecond;  // after everything is healed
constexpr std::size_t kMembersMax = 7;

RaftPlan plan_of(std::uint64_t seed) {
  io::SimRandom random(seed);
  return draw_raft_plan(random);
}

KvValue kv_value(std::uint32_t value) { return value == 0 ? KvValue() : std::to_string(value); }

// A ticket names the client and its try.
raft::Ticket ticket_of(std::size_t client, std::uint32_t tries) {
  return static_cast<raft::Ticket>(client) << 32 | tries;
}

}  // namespace

RaftRun::RaftRun(std::uint64_t seed) : RaftWorld(seed, plan_of(seed)) {
  clients_.resize(static_cast<std::size_t>(plan_.clients));
}

void RaftRun::run() {
  for (std::size_t i = 0; i < clients_.size(); ++i) at(about(plan_.think), Kind::kClient, i, 0);
  for (std::size_t i = 0; i < kNemeses; ++i)
    if (every(i) > raft::Nanos{0}) at(about(every(i)), Kind::kNemesis, i);
  while (!violation() && handle_next(kHealAt)) {
  }
  if (violation()) return;
  heal();
  while (!violation() && handle_next(kEnd)) {
  }
  if (!violation()) check_end();
  if (!violation()) check_history();
  tally_.member_steps = static_cast<std::int64_t>(truth_.member_steps());
  tally_.trace = trace_.value();
}

// ---- Clients ----

RaftRun::Client* RaftRun::client_of(raft::Ticket ticket) {
  auto& client = clients_[static_cast<std::size_t>(ticket >> 32)];
  return client.busy && client.tries == static_cast<std::uint32_t>(ticket) ? &client : nullptr;
}

// `what` is the try that this turn was meant for: another one has its own.
void RaftRun::client_turn(std::size_t client, std::uint64_t what) {
  auto& one = clients_[client];
  if (what != one.tries) return;
  if (!one.busy) begin(client);
  else ask(client);
}

void RaftRun::begin(std::size_t client) {
  if (now() >= kQuietAt) return;
  auto& one = clients_[client];
  one.busy = true;
  one.reading = client < static_cast<std::size_t>(plan_.readers) || random_.chance(plan_.reads);
  one.lease = random_.chance(plan_.lease);
  one.floor = known_;
  record(client);
  ask(client);
}

// A repeated command is answered as its first copy was, so that a client sees one operation.
void RaftRun::record(std::size_t client) {
  auto& one = clients_[client];
  auto draw = random_.below(10);
  using Command = RaftCommand::Kind;
  one.command = {.client = static_cast<std::uint32_t>(client),
                 .sequence = one.sequence + 1,
                 .kind = draw < 6   ? Command::kPut
                         : draw < 9 ? Command::kCas
                                    : Command::kDelete,
                 .key = static_cast<std::uint8_t>(random_.below(kRaftKeys))};
  one.command.expected = one.seen[one.command.key];
  KvOperation operation{.session = client, .key = std::to_string(one.command.key)};
  using Kind = KvOperation::Kind;
  constexpr Kind kKinds[] = {Kind::kPut, Kind::kCas, Kind::kDelete};
  if (!one.reading) operation.kind = kKinds[static_cast<std::size_t>(one.command.kind)];
  if (operation.kind == Kind::kCas) operation.expected = kv_value(one.command.expected);
  if (operation.kind == Kind::kPut || operation.kind == Kind::kCas)
    operation.value = kv_value(one.command.value());
  one.operation = history_.invoke(std::move(operation), now());
}

void RaftRun::record_answer(std::size_t client, const Node& node, raft::Index index) {
  auto& one = clients_[client];
  auto& done = history_.done(one.operation, now(), index);
  bool changed = node.state.changed >> client & 1;
  auto& seen = one.seen[one.command.key];
  if (one.reading) {
    seen = node.state.values[one.command.key];
    done.value = kv_value(seen);
  } else if (one.command.kind != RaftCommand::Kind::kPut) {
    done.changed = changed;
  }
  if (!one.reading && changed)
    seen = one.command.kind == RaftCommand::Kind::kDelete ? 0 : one.command.value();
}

RaftRun::Node* RaftRun::random_node(bool up) {
  std::vector<Node*> fit;
  for (auto& node : nodes_)
    if ((node->core != nullptr) == up) fit.push_back(node.get());
  return fit.empty() ? nullptr : fit[random_.below(fit.size())];
}

// Where several take themselves for the leader, readers find the old one and writers the new one.
// Else the last leader known, or who leads.
RaftRun::Node* RaftRun::someone(const Client& client) {
  Node *oldest = nullptr, *newest = nullptr;
  for (auto& node : nodes_) {
    if (!node->core || node->core->role() != Role::kLeader) continue;
    if (!oldest || node->core->term() < oldest->core->term()) oldest = node.get();
    if (!newest || node->core->term() > newest->core->term()) newest = node.get();
  }
  bool finds = oldest && random_.chance(oldest != newest ? 0.9 : client.reading ? 0.5 : 0.1);
  if (finds) return client.reading ? oldest : newest;
  auto* known = node_of(client.target);
  if (known && known->core && random_.chance(0.9)) return known;
  return random_node(true);
}

void RaftRun::ask(std::size_t client) {
  auto& one = clients_[client];
  ++one.tries;
  auto* node = someone(one);
  // An answer that does not come is given up.
  at(in(milliseconds(300), milliseconds(1500)), Kind::kClient, client, one.tries);
  if (!node || node->paused_until > now()) return;
  auto ticket = ticket_of(client, one.tries);
  if (one.reading) {
    auto* newest = leader();
    bool stale = node->core->role() == Role::kLeader && newest != node;
    if (stale) tally_.hit(RaftFamily::kReadOnStaleLeader);
    step(*node, raft::Read{.ticket = ticket, .lease = one.lease});
    return;
  }
  auto bytes = one.command.bytes(random_.below(plan_.command_bytes_max));
  step(*node, raft::Propose{.ticket = ticket, .payload = raft::Payload::copy_of(bytes)});
}

void RaftRun::retry(std::size_t client, raft::Nanos after) {
  at(about(after), Kind::kClient, client, clients_[client].tries);
}

void RaftRun::answer(Node& node, const raft::Answer& answer) {
  if (answer.refusal == raft::Refusal::kBusy) tally_.hit(RaftFamily::kRefusedBusy);
  if (answer.ticket >> 32 >= clients_.size()) return;  // the nemesis'
  if (answer.refusal == raft::Refusal::kNone) {
    node.waiters.push_back({answer.ticket, answer.at, false});
    return;
  }
  auto* client = client_of(answer.ticket);
  if (!client) return;
  client->target = node.core->leader();
  retry(static_cast<std::size_t>(answer.ticket >> 32), milliseconds(10));
}

void RaftRun::read_answer(Node& node, const raft::ReadAnswer& answer) {
  auto* client = client_of(answer.ticket);
  if (answer.refusal == raft::Refusal::kNone) {
    node.waiters.push_back({answer.ticket, {0, answer.index}, true});
  } else if (client) {
    client->target = node.core->leader();
    retry(static_cast<std::size_t>(answer.ticket >> 32), milliseconds(10));
  }
}

void RaftRun::acknowledge(Node& node, const Waiter& waiter, bool kept) {
  auto* client = client_of(waiter.ticket);
  auto place = static_cast<std::size_t>(waiter.ticket >> 32);
  if (!client || !kept) {
    if (client) retry(place, milliseconds(5));
    return;
  }
  client->target = node.id;
  if (waiter.read) {
    truth_.check_read(client->floor, node.state.applied);
    ++tally_.reads;
    if (client->lease) tally_.hit(RaftFamily::kLeaseRead);
  } else {
    ++client->sequence;
    truth_.check_acknowledged(client->command, waiter.at.index);
    ++tally_.commands;
  }
  record_answer(place, node, waiter.read ? node.state.applied : truth_.effect_of(client->command));
  known_ = std::max(known_, waiter.read ? node.state.applied : waiter.at.index);
  end(place);
}

void RaftRun::end(std::size_t client) {
  auto& one = clients_[client];
  one.busy = false;
  one.done_at = now();
  ++one.tries;
  const bool reader = client < static_cast<std::size_t>(plan_.readers);
  auto think = reader ? plan_.readers_think : plan_.think;
  if (calm_) think = std::min(think, raft::Nanos(milliseconds(200)));  // is everybody served?
  at(about(think), Kind::kClient, client, one.tries);
}

// ---- Faults ----

raft::Nanos RaftRun::every(std::size_t nemesis) const {
  const raft::Nanos all[] = {plan_.cut_every,    plan_.partition_every, plan_.isolate_every,
                             plan_.crash_every,  plan_.crash_all_every, plan_.slow_every,
                             plan_.stuck_every,  plan_.fail_every,      plan_.pause_every,
                             plan_.member_every, plan_.transfer_every};
  return all[nemesis];
}

void RaftRun::nemesis_turn(std::size_t nemesis) {
  if (nemesis >= kNodesMax) {  // a node whose disk failed starts anew
    auto& node = *nodes_[nemesis - kNodesMax];
    if (!node.core || node.core->role() != Role::kFailed) return;
    crash(node, true);
    at(in(milliseconds(1), seconds(1)), Kind::kRestart, nemesis - kNodesMax);
    return;
  }
  if (calm_) return;
  at(about(every(nemesis)), Kind::kNemesis, nemesis);
  switch (nemesis) {
    case kCut: return cut_some();
    case kSplit: return split();
    case kIsolate: return isolate_leader();
    case kMember: return change_members();
    case kTransfer: return transfer();
    case kCrash:
      if (auto* node = random_.chance(0.4) ? leader() : random_node(true)) {
        tally_.hit(RaftFamily::kCrash);
        crash(*node, random_.chance(0.5));
        const bool quick = random_.chance(plan_.quick_restarts);
        raft::Nanos longest = quick ? raft::Nanos(milliseconds(30)) : seconds(3);
        at(in(milliseconds(1), longest), Kind::kRestart,
           static_cast<std::size_t>(node->id.value - 1));
      }
      return;
    case kCrashAll:
      tally_.hit(RaftFamily::kCrashOfAll);
      for (auto& node : nodes_) {
        crash(*node, random_.chance(0.5));
        at(in(milliseconds(1), seconds(1)), Kind::kRestart,
           static_cast<std::size_t>(node->id.value - 1));
      }
      return;
    default: return disturb_disk(nemesis);
  }
}

void RaftRun::cut(std::size_t from, std::size_t to, Nanos until) {
  auto link = from * kNodesMax + to;
  cut_[link] = 1;
  at(until, Kind::kHeal, 0, link);
}

void RaftRun::cut_some() {
  tally_.hit(RaftFamily::kOneWayCut);
  auto until = in(milliseconds(100), seconds(4));
  for (auto times = random_.between(1, 3); times > 0; --times) {
    auto from = random_.below(nodes_.size()), to = random_.below(nodes_.size());
    if (from != to) cut(from, to, until);
  }
}

void RaftRun::split() {
  tally_.hit(RaftFamily::kPartition);
  auto until = in(milliseconds(200), seconds(5));
  std::uint64_t side = random_.next();
  for (std::size_t from = 0; from < nodes_.size(); ++from)
    for (std::size_t to = 0; to < nodes_.size(); ++to)
      if ((side >> from & 1) != (side >> to & 1)) cut(from, to, until);
}

void RaftRun::isolate_leader() {
  auto* node = leader();
  if (!node) return;
  tally_.hit(RaftFamily::kIsolatedLeader);
  auto until = in(milliseconds(300), seconds(4));
  auto self = static_cast<std::size_t>(node->id.value - 1);
  bool hears = random_.chance(0.2), heard = !hears && random_.chance(0.2);
  bool partly = random_.chance(0.3);  // some see both sides
  // One node does not see the leader, whom all others see.
  auto only = random_.chance(plan_.unseen) ? random_.below(nodes_.size()) : nodes_.size();
  auto heard_one = random_.chance(plan_.hears_one) ? random_.below(nodes_.size()) : nodes_.size();
  for (std::size_t other = 0; other < nodes_.size(); ++other) {
    if (other == self || (partly && random_.chance(0.5))) continue;
    if (only < nodes_.size() && other != only) continue;
    if (!heard) cut(self, other, until);
    if (!hears && other != heard_one) cut(other, self, until);
  }
}

void RaftRun::disturb_disk(std::size_t nemesis) {
  auto* node = random_.chance(0.5) ? leader() : random_node(true);
  if (!node) return;
  switch (nemesis) {
    case kSlow:
      tally_.hit(RaftFamily::kSlowDisk);
      node->slow_until = in(milliseconds(200), seconds(4));
      node->slow_by = random_.between(5, 300) * 1'000'000;
      return;
    case kStuck:
      tally_.hit(RaftFamily::kStuckDisk);
      node->stuck_until = in(milliseconds(200), seconds(4));
      return;
    case kFail: node->fail_next = true; return;
    case kPause:
      tally_.hit(RaftFamily::kPause);
      node->paused_until = in(milliseconds(50), seconds(3));
      return;
    default: return;
  }
}

std::vector<raft::MemberChange> RaftRun::draw_change(Node& leader) {
  using Kind = raft::MemberChange::Kind;
  const auto& members = leader.core->membership().members;
  std::vector<NodeId> voters, learners;
  for (const auto& member : members) (member.voter ? voters : learners).push_back(member.id);
  auto any = [&](const std::vector<NodeId>& of) { return of[random_.below(of.size())]; };
  switch (random_.below(6)) {
    case 0:
    case 1: {  // a new node, or one that was removed and has its disk still
      if (members.size() >= kMembersMax) return {{Kind::kRemove, any(voters)}};
      Node* back = nullptr;
      for (auto& node : nodes_)
        if (!raft::find_member(leader.core->membership(), node->id) && random_.chance(0.5))
          back = node.get();
      bool fresh = !back || (nodes_.size() < kNodesMax && random_.chance(0.3));
      if (fresh && nodes_.size() == kNodesMax) return {};
      if (fresh) {
        back = &add_node();
        start(*back);
      }
      return {{Kind::kAddLearner, back->id, "n"}};
    }
    case 2:
      if (!learners.empty()) return {{Kind::kPromote, any(learners)}};
      return {{Kind::kDemote, any(voters)}};
    case 3: return {{Kind::kRemove, random_.chance(0.3) ? leader.id : any(voters)}};
    case 4:
      if (learners.empty()) return {{Kind::kSetAddress, any(voters), "moved"}};
      return {{Kind::kPromote, any(learners)}, {Kind::kRemove, any(voters)}};
    default: {
      std::vector<raft::MemberChange> all;
      for (auto id : learners)
        all.push_back({random_.chance(0.8) ? Kind::kPromote : Kind::kRemove, id});
      return all;
    }
  }
}

void RaftRun::change_members() {
  auto* node = leader();
  if (!node || node->paused_until > now()) return;
  auto changes = draw_change(*node);
  bool goes = std::ranges::any_of(changes, [&](const auto& change) {
    return change.id == node->id && change.kind == raft::MemberChange::Kind::kRemove;
  });
  if (changes.empty()) return;
  auto before = node->core->membership_index();
  step(*node, raft::ChangeMembers{.ticket = ~raft::Ticket{0}, .changes = std::move(changes)});
  if (goes && node->core && node->core->membership_index() > before)
    tally_.hit(RaftFamily::kLeaderRemoved);
}

void RaftRun::transfer() {
  auto* node = leader();
  if (!node || node->paused_until > now()) return;
  if (transfer_to_ != NodeId{} && transfer_to_ == node->id) tally_.hit(RaftFamily::kTransferDone);
  const auto& members = node->core->membership().members;
  transfer_to_ = random_.chance(0.3) ? NodeId{} : members[random_.below(members.size())].id;
  tally_.hit(RaftFamily::kTransfer);
  if (transfer_to_ == node->id) transfer_to_ = NodeId{};
  step(*node, raft::Transfer{.ticket = ~raft::Ticket{0}, .to = transfer_to_});
}

// ---- The end ----

void RaftRun::heal() {
  note("everything is healed");
  calm_ = true;
  std::ranges::fill(cut_, 0);
  for (auto& node : nodes_) {
    node->slow_until = node->stuck_until = node->paused_until = 0;
    node->fail_next = false;
    if (node->core && node->core->role() == Role::kFailed) crash(*node, true);
    if (!node->core) start(*node);
  }
  plan_.delay_max = std::min(plan_.delay_max, plan_.delay_min + milliseconds(5));
}

// One leader whose members all hold the same, and clients that were served until the end.
void RaftRun::check_end() {
  auto* node = leader();
  if (!node) return truth_.fail("progress", "nobody leads after everything was healed");
  for (const auto& client : clients_) {
    if (client.busy) return truth_.fail("progress", "an operation never ended");
    if (client.done_at < kHealAt + kProgressWithin)
      return truth_.fail("progress", "a client was not served after everything was healed");
  }
  for (const auto& member : node->core->membership().members) {
    auto* other = node_of(member.id);
    if (other->state != node->state)
      truth_.fail("progress", fmt::format("node {} is at {}, the leader at {}", member.id.value,
                                          other->state.applied, node->state.applied));
  }
  if (node->core->membership().joint)
    truth_.fail("progress", "a joint configuration was never left");
}

// What clients were told, and nothing else.
void RaftRun::check_history() {
  if (auto verdict = check_linearizable(history_)) truth_.fail(verdict->rule, verdict->detail);
}

}  // namespace walrus::sim
