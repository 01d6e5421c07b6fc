// What a Member asks of other nodes, and what they ask of it.

#include <algorithm>
#include <utility>

#include "meta/member.h"
#include "meta/recovery.h"
#include "net/who_is.h"

namespace walrus::meta {
namespace {

constexpr Nanos kProbe = std::chrono::milliseconds(500), kWhoIs = std::chrono::seconds(1);
constexpr std::size_t kWatchersMax = 64;
constexpr std::size_t kEarlyMax = 64;  // handouts; what is dropped is handed out again

}  // namespace

// ---- Asked of us ----

void Member::serve() {
  using Handler = Task<std::string> (*)(Self, net::Request);
  const auto handle = [&](net::Method method, Handler handler) {
    parts_.rpc.handle(method, [weak = weak_from_this(), handler](net::Request request) {
      return handler(weak.lock(), std::move(request));
    });
  };
  handle(kJoinMethod, on_join);
  handle(kRejoinMethod, on_rejoin);
  handle(kProposeMethod, on_propose);
  handle(kBeatMethod, on_beat);
  handle(kWorkMethod, on_work);
  handle(kWatchMethod, on_watch);
  handle(kProbeMethod, on_probe);
  handle(kHealthMethod, on_health);
  handle(kConcernsMethod, on_concerns);
  handle(kConditionMethod, on_condition);
  handle(kConditionsMethod, on_conditions);
  handle(kEnrollMethod, on_enroll);
  parts_.rpc.on_foreign_cluster([weak = weak_from_this()](const net::ClusterId& other) {
    if (const auto self = weak.lock()) self->met(other);
  });
}

// Nodes alone, and none that was removed.
Result<void> Member::admits(const net::Request& request) const {
  if (stopped_) return fail(Code::kClosed, "this node stops");
  if (net::is_guest(request.from)) return fail(Code::kInvalid, "of nodes alone");
  const auto* node = image_->find_node(request.from);
  if (node != nullptr && node->state == NodeState::kRemoved)
    return fail(Code::kFenced, "node {} was removed from the cluster", request.from.value);
  return {};
}

NotLeader Member::who_leads() const {
  NotLeader who{.leader = leader_ == options_.identity.node ? NodeId{} : leader_};
  if (who.leader == NodeId{} || node_ == nullptr) return who;
  for (const auto& member : node_->status().membership.members)
    if (member.id == who.leader) who.address = member.address;
  return who;
}

io::Task<std::string> Member::on_join(Self self, net::Request request) {
  if (!self) co_return fail(Code::kClosed, "this node stops");
  WALRUS_CO_ASSIGN(auto asked, parse_as<JoinRequest>(request.body));
  WALRUS_CO_TRY(self->admits(request));
  if (asked.node != request.from) co_return fail(Code::kInvalid, "nobody joins for another");
  if (!self->controller_) co_return encode(Message(self->who_leads()));
  WALRUS_CO_TRY(
      co_await Controller::join(self->controller_, std::move(asked), self->left(request.deadline)));
  co_return encode(Message(Done{}));
}

io::Task<std::string> Member::on_rejoin(Self self, net::Request request) {
  if (!self) co_return fail(Code::kClosed, "this node stops");
  WALRUS_CO_ASSIGN(auto asked, parse_as<RejoinRequest>(request.body));
  WALRUS_CO_TRY(self->admits(request));
  if (asked.join.node != request.from) co_return fail(Code::kInvalid, "nobody joins for another");
  if (!self->controller_) co_return encode(Message(self->who_leads()));
  WALRUS_CO_TRY(check_rejoin(*self->image_, asked));
  WALRUS_CO_TRY(co_await Controller::join(self->controller_, std::move(asked.join),
                                          self->left(request.deadline)));
  co_return encode(Message(Done{}));
}

io::Task<std::string> Member::on_enroll(Self self, net::Request request) {
  if (!self) co_return fail(Code::kClosed, "this node stops");
  WALRUS_CO_ASSIGN(auto asked, parse_as<EnrollRequest>(request.body));
  WALRUS_CO_TRY(self->admits(request));
  if (asked.node.node != request.from || asked.node.incarnation != request.incarnation.value)
    co_return fail(Code::kInvalid, "nobody registers another");
  if (!self->controller_) co_return encode(Message(self->who_leads()));
  WALRUS_CO_ASSIGN(const auto outcome,
                   co_await Controller::enroll(self->controller_, std::move(asked.node),
                                               self->left(request.deadline)));
  co_return encode(Message(Enrolled{outcome}));
}

io::Task<std::string> Member::on_propose(Self self, net::Request request) {
  if (!self) co_return fail(Code::kClosed, "this node stops");
  WALRUS_CO_ASSIGN(auto asked, parse_as<ProposeRequest>(request.body));
  WALRUS_CO_TRY(self->admits(request));
  if (asked.command.size() > kCommandBytesMax) co_return fail(Code::kTooLarge, "a large command");
  if (!self->controller_) co_return encode(Message(self->who_leads()));
  WALRUS_CO_ASSIGN(auto done,
                   co_await self->propose_here(std::move(asked.command), request.deadline));
  co_return encode(Message(std::move(done)));
}

io::Task<std::string> Member::on_beat(Self self, net::Request request) {
  if (!self) co_return fail(Code::kClosed, "this node stops");
  WALRUS_CO_ASSIGN(auto beat, parse_as<Heartbeat>(request.body));
  WALRUS_CO_TRY(self->admits(request));
  if (beat.incarnation != request.incarnation.value)
    co_return fail(Code::kInvalid, "a heartbeat of another life");
  if (beat.wanted.size() > kBeatWantedMax || beat.copies.size() > kBeatCopiesMax)
    co_return fail(Code::kTooLarge, "a heartbeat of too much");
  if (!self->controller_) co_return encode(Message(self->who_leads()));
  WALRUS_CO_ASSIGN(auto leased,
                   co_await Controller::beat(self->controller_, request.from, std::move(beat)));
  co_return encode(Message(leased));
}

io::Task<std::string> Member::on_work(Self self, net::Request request) {
  if (!self) co_return fail(Code::kClosed, "this node stops");
  WALRUS_CO_ASSIGN(auto handout, parse_as<Handout>(request.body));
  WALRUS_CO_TRY(self->admits(request));
  if (handout.incarnation != self->incarnation())
    co_return fail(Code::kMismatch, "for another life of this node");
  self->take(std::move(handout));
  co_return encode(Message(Done{}));
}

// Not before what it is about is known here.
void Member::take(Handout handout) {
  if (image_->version >= handout.image) return hand_over(handout);
  if (early_.size() < kEarlyMax) early_.push_back(std::move(handout));
}

void Member::hand_over(const Handout& handout) {
  if (!on_work_ || stopped_ || handout.incarnation != incarnation()) return;
  const auto call = on_work_;
  for (const auto& work : handout.recoveries) call(work);
  for (const auto& work : handout.rolls) call(work);
  for (const auto& work : handout.copies) call(work);
}

io::Task<std::string> Member::on_watch(Self self, net::Request request) {
  if (!self) co_return fail(Code::kClosed, "this node stops");
  WALRUS_CO_TRY(self->admits(request));
  if (self->watched_.size() >= kWatchersMax) co_return fail(Code::kBusy, "watched by too many");
  const auto over = request.over;
  request.occupied.release();
  const auto gate = self->parts_.loop.make_gate();
  self->watched_.push_back({over, gate.get()});
  while (!*over && !self->stopped_) co_await gate->wait(Nanos::max());
  std::erase_if(self->watched_, [&](const Watched& one) { return one.gate == gate.get(); });
  co_return fail(Code::kClosed, "this node stops");
}

void Member::sweep() {
  for (const auto& one : watched_)
    if (*one.over || stopped_) one.gate->open();
}

io::Task<std::string> Member::on_probe(Self self, net::Request request) {
  if (!self) co_return fail(Code::kClosed, "this node stops");
  WALRUS_CO_TRY(self->admits(request));
  if (self->leaving_) co_return fail(Code::kClosed, "this node stops");
  co_return encode(Message(Here{self->incarnation()}));
}

io::Task<std::string> Member::on_health(Self self, net::Request request) {
  if (!self) co_return fail(Code::kClosed, "this node stops");
  WALRUS_CO_TRY(self->admits(request));
  if (!self->controller_) co_return encode(Message(self->who_leads()));
  co_return encode(Message(self->controller_->health()));
}

io::Task<std::string> Member::on_concerns(Self self, net::Request request) {
  if (!self) co_return fail(Code::kClosed, "this node stops");
  WALRUS_CO_TRY(self->admits(request));
  if (!self->controller_) co_return encode(Message(self->who_leads()));
  co_return encode(Message(self->controller_->concerns()));
}

io::Task<std::string> Member::on_condition(Self self, net::Request request) {
  if (!self) co_return fail(Code::kClosed, "this node stops");
  WALRUS_CO_ASSIGN(auto told, parse_as<Condition>(request.body));
  WALRUS_CO_TRY(self->admits(request));
  if (told.incarnation != request.incarnation.value)
    co_return fail(Code::kInvalid, "the condition of another life");
  if (told.slow.size() > kConditionListMax || told.damaged.size() > kConditionListMax)
    co_return fail(Code::kTooLarge, "a condition with too much to it");
  if (!self->controller_) co_return encode(Message(self->who_leads()));
  co_return encode(Message(self->controller_->condition(request.from, std::move(told))));
}

io::Task<std::string> Member::on_conditions(Self self, net::Request request) {
  if (!self) co_return fail(Code::kClosed, "this node stops");
  WALRUS_CO_TRY(self->admits(request));
  if (!self->controller_) co_return encode(Message(self->who_leads()));
  co_return encode(Message(self->controller_->conditions()));
}

// ---- Asked of others ----

// What only the leader of metadata answers. kBusy: it was not asked, or does not lead.
io::Task<Message> Member::ask_leader(net::Method method, Message question, Nanos deadline) {
  const auto self = shared_from_this();
  const auto peer = choose_peer();
  if (peer == NodeId{}) co_return fail(Code::kBusy, "nobody is known who leads");
  // A connection that is there: what was handed to it may be executed, what waits for one may not.
  if (!parts_.rpc.connected(peer)) {
    const auto here = co_await parts_.rpc.call(
        peer, kProbeMethod, encode(Message(Done{})),
        {.timeout = std::min(left(deadline), kProbe), .only_if_there = true});
    if (stopped_) co_return fail(Code::kBusy, "this node stops");
    if (!here) {
      if (hint_ == peer) hint_ = {};
      if (is_over(here.error())) co_return std::unexpected(here.error());
      co_return fail(Code::kBusy, "node {}: {}", peer.value, here.error().message);
    }
  }
  const auto reply = co_await parts_.rpc.call(peer, method, encode(question),
                                              {.timeout = left(deadline), .only_if_there = true});
  if (!reply) {
    if (hint_ == peer) hint_ = {};
    co_return std::unexpected(reply.error());
  }
  WALRUS_CO_ASSIGN(auto answer, parse_message(*reply));
  const auto* elsewhere = std::get_if<NotLeader>(&answer);
  if (elsewhere == nullptr) co_return answer;
  learn_leader(*elsewhere);
  co_return fail(Code::kBusy, "node {} does not lead", peer.value);
}

// The leader, if it is known; else one of the others, in turn.
NodeId Member::choose_peer() {
  const auto me = options_.identity.node;
  if (leader_ != NodeId{} && leader_ != me) return leader_;
  if (hint_ != NodeId{} && hint_ != me) return hint_;
  auto known = peers_;
  if (node_ != nullptr)
    for (const auto& member : node_->status().membership.members) known.insert(member.id);
  for (const auto& [id, address] : addresses_) known.insert(id);
  known.erase(me);
  if (known.empty()) return {};
  return *std::next(known.begin(), static_cast<std::ptrdiff_t>(next_peer_++ % known.size()));
}

void Member::learn_leader(const NotLeader& who) {
  hint_ = who.leader == options_.identity.node || net::is_guest(who.leader) ? NodeId{} : who.leader;
  if (hint_ != NodeId{} && !who.address.empty() && !addresses_.contains(hint_))
    parts_.rpc.add_peer(hint_, who.address);
}

io::Task<net::Found> Member::who_is(Self self, std::string address, net::Identity as,
                                    Nanos deadline) {
  co_return co_await net::who_is(self->parts_.env, self->parts_.loop, self->parts_.transport,
                                 std::move(address), as, std::min(self->left(deadline), kWhoIs));
}

// Nodes of the cluster behind the addresses that this one was told of.
io::Task<void> Member::find_peers(Self self, Nanos deadline) {
  const auto me = self->options_.identity.peer();
  const auto addresses = self->options_.join;
  for (const auto& address : addresses) {
    auto found = co_await who_is(self, address, me, deadline);
    // It is connected to this node already and takes no second connection of it; of a guest it may.
    if (!found && found.error().code == Code::kBusy)
      found = co_await who_is(
          self, address, {{}, NodeId{self->parts_.env.random() | net::kGuestBit}, {1}}, deadline);
    if (self->stopped_) co_return fail(Code::kClosed, "this node stops");
    if (!found && is_over(found.error())) co_return std::unexpected(found.error());
    if (!found || found->node == me.node) continue;
    // One of an earlier era was left out of a recovery, and has yet to learn of it.
    const auto other = uuid_of_cluster(found->cluster), own = uuid_of_cluster(me.cluster);
    if (is_later_era(other, own)) continue;
    self->met(found->cluster);
    if (self->failure_) co_return std::unexpected(*self->failure_);
    if (other != own)
      co_return fail(Code::kMismatch, "{} is of another cluster, {}, than this node, {}", address,
                     net::to_string(found->cluster), net::to_string(me.cluster));
    self->peers_.insert(found->node);
    if (!self->addresses_.contains(found->node)) self->parts_.rpc.add_peer(found->node, address);
  }
  co_return Result<void>();
}

}  // namespace walrus::meta
