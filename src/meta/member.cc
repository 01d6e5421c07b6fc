#include "meta/member.h"

#include <algorithm>
#include <utility>

#include "raft/membership.h"

namespace walrus::meta {
namespace {

// Between attempts that were refused for the moment.
constexpr Nanos kAgainMin = std::chrono::milliseconds(10),
                kAgainMax = std::chrono::milliseconds(60);
// One attempt takes no longer, so that another leader is found in time.
constexpr Nanos kAttempt = std::chrono::seconds(2);
constexpr Nanos kGoodbye = std::chrono::milliseconds(300);

}  // namespace

// Of the partition; 0: there is none.
SegmentId Member::open_segment(const State& image, const PartitionId& id) {
  const auto* partition = image.partitions.find(id);
  if (partition == nullptr || !partition->tail) return {};
  return partition->tail->state == SegmentState::kOpen ? partition->tail->id : SegmentId{};
}

struct Member::Inbox {
  Lock lock{};
  Image newest{};       // under lock, as the others
  bool posted = false;  // the loop was told
};

Member::Member(const MemberParts& parts, MemberOptions options)
    : parts_(parts),
      options_(std::move(options)),
      inbox_(std::make_shared<Inbox>()),
      beat_gate_(parts.loop.make_gate()) {}

Member::~Member() { drop(); }

// ---- Start and stop ----

io::Task<std::shared_ptr<Member>> Member::start(MemberParts parts, MemberOptions options) {
  const auto& identity = options.identity;
  if (identity.node == NodeId{} || identity.claimed.empty())
    co_return fail(Code::kInvalid, "the directory's identity has claimed no life");
  if (std::ranges::find(options.listeners, "peer", &Listener::name) == options.listeners.end())
    co_return fail(Code::kInvalid, "no listener for peers is named");
  const auto voters = options.controller.voters_max;
  if (voters != 1 && voters != 3 && voters != 5)
    co_return fail(Code::kInvalid, "{} voters: 1, 3 or 5 there may be", voters);
  const Self self(new Member(parts, std::move(options)));
  self->serve();
  const auto stored = parts.host.stored();
  const bool there = std::ranges::find(stored, kMetadataGroup) != stored.end();
  const auto begins = self->options_.identity.begins;
  const bool discards = begins == Begins::kAnew;
  if ((there && !discards) || begins == Begins::kFounds) WALRUS_CO_TRY(co_await open(self));
  parts.loop.spawn(live(self));
  co_return self;
}

raft::NodeOptions Member::node_options() {
  raft::NodeOptions options;
  options.core.heartbeat = options_.raft_heartbeat;
  options.core.election_timeout_min = options_.election_timeout_min;
  options.core.election_timeout_max = options_.election_timeout_max;
  options.core.proposal_bytes_max = kCommandBytesMax;
  options.snapshot_after_bytes = options_.snapshot_after_bytes;
  options.core.log_bytes_kept =
      std::min(options.core.log_bytes_kept, options.snapshot_after_bytes / 2);
  options.runs = raft::Runs::kOwn;
  if (options_.identity.begins == Begins::kFounds) {
    const auto peer = std::ranges::find(options_.listeners, "peer", &Listener::name);
    options.founders.members = {
        {.id = options_.identity.node, .address = peer->address, .voter = true}};
  }
  options.on_change = [weak = weak_from_this()](const raft::NodeStatus& status) {
    if (const auto member = weak.lock()) member->changed(status);
  };
  return options;
}

io::Task<void> Member::open(Self self) {
  auto publish = [inbox = self->inbox_, weak = self->weak_from_this(),
                  &loop = self->parts_.loop](Image image) {
    {
      const LockGuard guard(inbox->lock);
      inbox->newest = std::move(image);
      if (std::exchange(inbox->posted, true)) return;
    }
    loop.post([weak] {
      if (const auto member = weak.lock()) member->adopt();
    });
  };
  WALRUS_CO_ASSIGN(self->node_,
                   co_await self->parts_.host.open(
                       kMetadataGroup, self->node_options(),
                       std::make_unique<Machine>(publish, self->options_.feature_level)));
  if (self->failure_) {  // of an era that is over, as it learned meanwhile
    self->node_ = nullptr;
    co_return co_await self->parts_.host.close(kMetadataGroup);
  }
  self->changed(self->node_->status());
  co_return Result<void>();
}

io::Task<void> Member::stop(Nanos deadline) {
  const auto self = shared_from_this();
  if (std::exchange(leaving_, true) || stopped_) co_return Result<void>();
  if (node_ != nullptr && controller_ && left(deadline) > Nanos(0))
    (void)co_await node_->transfer(NodeId{}, left(deadline));  // alone, or nobody is up to date
  if (registered_ && !controller_ && !stopped_)
    (void)co_await ask_leader(kBeatMethod, heartbeat(),
                              std::min(deadline, parts_.env.mono() + kGoodbye));
  if (controller_) controller_->end();
  stopped_ = true;
  controller_.reset();
  wake();
  const bool open = std::exchange(node_, nullptr) != nullptr;
  if (!open) co_return Result<void>();
  co_return co_await parts_.host.close(kMetadataGroup);
}

void Member::drop() {
  stopped_ = true;
  if (controller_) controller_->end();
  controller_.reset();
  node_ = nullptr;
  on_lease_ = nullptr;
  on_work_ = nullptr;
  subscribers_.clear();
}

void Member::wake() {
  beat_gate_->open();
  for (auto* gate : waiting_) gate->open();
  sweep();
}

// ---- What the group says ----

void Member::changed(const raft::NodeStatus& status) {
  if (stopped_ || node_ == nullptr) return;
  const bool leads = status.core.role == raft::Role::kLeader;
  if (leads && !controller_) {
    controller_ = std::make_shared<Controller>(
        ControllerParts{.env = parts_.env,
                        .loop = parts_.loop,
                        .rpc = parts_.rpc,
                        .log = parts_.log,
                        .node = *node_,
                        .self = options_.identity.node,
                        .image = [this] { return image_; },
                        .to_self = [this](Handout handout) { take(std::move(handout)); }},
        options_.controller);
    controller_->begin();
  } else if (!leads && controller_) {
    controller_->end();
    controller_.reset();
  }
  if (status.core.leader != NodeId{}) hint_ = {};
  if (std::exchange(leader_, status.core.leader) != status.core.leader) wake();
  if (!status.failure.empty()) give_up({Code::kIo, status.failure});
}

void Member::adopt() {
  Image newest;
  {
    const LockGuard guard(inbox_->lock);
    inbox_->posted = false;
    newest = inbox_->newest;
  }
  if (stopped_ || !newest.state || newest.state == image_) return;
  applied_ = std::max(applied_, newest.applied);
  const auto before = std::exchange(image_, std::move(newest.state));
  follow(*before);
  look_at_self();
  if (controller_) {
    controller_->learned();
    // Followers apply what is committed when they are told that it is: at once, not with the next
    // heartbeat. A round of the leader tells them.
    node_->read(raft::ReadLevel::kLinearizable, kAttempt, [](Result<raft::Index>) {});
  }
  const auto subscribers = subscribers_;
  for (const auto& [id, call] : subscribers)
    if (subscribers_.contains(id)) call(image_);
  for (auto& handout : std::exchange(early_, {})) take(std::move(handout));
  wake();
}

// Where nodes are; and what nobody has to want any more.
void Member::follow(const State& before) {
  const auto see = [this](NodeId id, const Node& node) {
    if (id == options_.identity.node) return;
    if (node.state == NodeState::kRemoved) {
      if (addresses_.erase(id) > 0) parts_.rpc.remove_peer(id);
      return;
    }
    const auto& address = peer_address(node);
    if (!address.empty() && addresses_[id] != address) {
      addresses_[id] = address;
      parts_.rpc.add_peer(id, address);
    }
    parts_.rpc.registered(id, {node.incarnation});
  };
  const auto changes = image_->changes_since(before.version);
  if (changes.whole) image_->nodes.each(see);
  for (const auto id : changes.nodes)
    if (const auto* node = image_->find_node(id)) see(id, *node);
  std::erase_if(wanted_, [this](const auto& one) {
    const auto* partition = image_->partitions.find(one.first);
    const auto open = open_segment(*image_, one.first);
    return partition == nullptr || (open != SegmentId{} && open != one.second.instead_of);
  });
}

void Member::look_at_self() {
  const auto* node = image_->find_node(options_.identity.node);
  if (node == nullptr) return;
  if (node->state == NodeState::kRemoved)
    return give_up({Code::kFenced, "this node was removed from the cluster"});
  if (node->incarnation > options_.identity.incarnation() && registered_)
    give_up({Code::kFenced, "a later life of this node is registered"});
}

MemberStatus Member::status() const {
  MemberStatus status{.cluster = options_.identity.cluster,
                      .self = options_.identity.node,
                      .leader = leader_,
                      .incarnation = incarnation(),
                      .registered = registered_,
                      .leads = controller_ != nullptr,
                      .failure = failure_ ? failure_->message : std::string(),
                      .lease = options_.controller.lease};
  if (leased_at_ != Nanos{}) status.leased_until = leased_at_ + options_.controller.lease;
  if (node_ == nullptr) return status;
  const auto node = node_->status();
  status.term = node.core.term;
  status.commit = node.core.commit;
  status.applied = node.applied;
  status.last = node.core.last;
  status.durable = node.core.durable;
  status.members = node.membership;
  status.role = node.core.role;
  status.applied_term = node.applied_term;
  status.snapshot = node.core.snapshot;
  status.peers = node.core.peers;
  status.voter = raft::is_voter(node.membership, status.self);
  return status;
}

// ---- Images ----

Member::Subscription Member::subscribe(std::function<void(std::shared_ptr<const State>)> call) {
  subscribers_.emplace(++last_subscription_, std::move(call));
  return last_subscription_;
}

void Member::unsubscribe(Subscription id) { subscribers_.erase(id); }

io::Task<std::shared_ptr<const State>> Member::current(Nanos timeout) {
  const auto self = shared_from_this();
  WALRUS_CO_TRY(usable());
  if (node_ == nullptr) co_return fail(Code::kTimeout, "this node is no member of metadata yet");
  WALRUS_CO_TRY(co_await node_->read(raft::ReadLevel::kLinearizable, timeout));
  if (stopped_) co_return fail(Code::kClosed, "this node stops");
  adopt();  // it is published: the Machine had applied it
  co_return image_;
}

// ---- Proposals ----

io::Task<std::vector<Outcome>> Member::propose(std::vector<Change> changes, Nanos timeout) {
  const auto self = shared_from_this();
  const auto deadline = parts_.env.mono() + timeout;
  const auto count = changes.size();
  if (count == 0) co_return fail(Code::kInvalid, "a command without changes");
  const auto bytes = encode(Command{parts_.env.wall(), std::move(changes)});
  if (count > kChangesMax || bytes.size() > kCommandBytesMax)
    co_return fail(Code::kTooLarge, "a command of {} changes and {} bytes, at most {} and {}",
                   count, bytes.size(), kChangesMax, kCommandBytesMax);
  std::string last = "no time";
  while (left(deadline) > Nanos(0)) {
    WALRUS_CO_TRY(usable());
    auto done = co_await propose_once(bytes, std::min(deadline, parts_.env.mono() + kAttempt));
    if (done) {
      WALRUS_CO_ASSIGN(auto outcomes, parse_reply(done->reply));
      if (outcomes.size() != count) co_return fail(Code::kCorrupt, "a reply of another command");
      (void)co_await await_applied(done->index, deadline);
      co_return outcomes;
    }
    if (done.error().code != Code::kBusy) co_return std::unexpected(std::move(done).error());
    last = std::move(done).error().message;
    const auto spread = static_cast<std::uint64_t>((kAgainMax - kAgainMin).count());
    const auto pause = kAgainMin + Nanos(parts_.env.random() % spread);
    co_await parts_.loop.sleep(std::min(pause, left(deadline)));
  }
  co_return fail(Code::kBusy, "metadata took no proposal: {}", last);
}

io::Task<Outcome> Member::propose_one(Change change, Nanos timeout) {
  std::vector<Change> changes;
  changes.push_back(std::move(change));
  WALRUS_CO_ASSIGN(auto outcomes, co_await propose(std::move(changes), timeout));
  co_return outcomes.front();
}

// kBusy: it is certain that nothing was and will be done by this attempt.
io::Task<Proposed> Member::propose_once(const std::string& command, Nanos deadline) {
  if (controller_) co_return co_await propose_here(command, deadline);
  auto answer = co_await ask_leader(kProposeMethod, ProposeRequest{command}, deadline);
  if (answer) {
    if (auto* proposed = std::get_if<Proposed>(&*answer)) co_return std::move(*proposed);
    co_return fail(Code::kCorrupt, "an answer of another kind than the question");
  }
  switch (answer.error().code) {
    case Code::kBusy:
    case Code::kFenced:
    case Code::kInvalid:
    case Code::kTooLarge: co_return std::unexpected(std::move(answer).error());
    case Code::kMismatch:  // another node is there: not sent
      co_return fail(Code::kBusy, "{}", answer.error().message);
    default:
      co_return fail(stopped_ ? Code::kClosed : Code::kTimeout,
                     "it is not known whether it was done: {}", answer.error().message);
  }
}

io::Task<Proposed> Member::propose_here(std::string command, Nanos deadline) {
  const auto self = shared_from_this();
  if (node_ == nullptr) co_return fail(Code::kBusy, "this node is no member of metadata");
  const auto proposal = co_await node_->propose(std::move(command), left(deadline));
  using End = raft::Proposal::End;
  switch (proposal.end) {
    case End::kApplied: co_return Proposed{proposal.at.index, proposal.reply};
    case End::kRefused:
      co_return fail(proposal.refusal == raft::Refusal::kTooLarge ? Code::kTooLarge : Code::kBusy,
                     "metadata: {}", raft::refusal_name(proposal.refusal));
    case End::kLost: co_return fail(Code::kBusy, "another leader took over before it was done");
    case End::kUnknown: break;
  }
  co_return fail(stopped_ ? Code::kClosed : Code::kTimeout, "it is not known whether it was done");
}

io::Task<void> Member::await_applied(std::uint64_t index, Nanos deadline) {
  const auto self = shared_from_this();
  adopt();
  const Waiting waiting(*this);
  while (applied_ < index) {
    if (stopped_ || failure_) co_return fail(Code::kClosed, "this node stops");
    if (!co_await waiting.gate->wait(left(deadline)) && applied_ < index)
      co_return fail(Code::kTimeout, "not applied here yet");
  }
  co_return Result<void>();
}

io::Task<void> Member::registered(Nanos timeout) {
  const auto self = shared_from_this();
  const auto deadline = parts_.env.mono() + timeout;
  const Waiting waiting(*this);
  while (!registered_) {
    WALRUS_CO_TRY(usable());
    if (!co_await waiting.gate->wait(left(deadline)) && !registered_)
      co_return fail(Code::kTimeout, "the cluster does not know this node yet");
  }
  co_return usable();
}

template <class Told>
io::Task<Told> Member::ask_controller(net::Method method, Told (Controller::*of)() const,
                                      Nanos timeout) {
  const auto self = shared_from_this();
  const auto deadline = parts_.env.mono() + timeout;
  std::string last = "no time";
  while (left(deadline) > Nanos(0)) {
    if (stopped_) co_return fail(Code::kClosed, "this node stops");
    if (controller_) co_return (controller_.get()->*of)();
    auto answer =
        co_await ask_leader(method, Done{}, std::min(deadline, parts_.env.mono() + kAttempt));
    if (answer) {
      if (auto* told = std::get_if<Told>(&*answer)) co_return std::move(*told);
      co_return fail(Code::kCorrupt, "an answer of another kind than the question");
    }
    last = std::move(answer).error().message;
    co_await parts_.loop.sleep(std::min(kAgainMax, left(deadline)));
  }
  co_return fail(Code::kTimeout, "no controller answered: {}", last);
}

io::Task<Health> Member::health(Nanos timeout) {
  return ask_controller(kHealthMethod, &Controller::health, timeout);
}

io::Task<Concerns> Member::concerns(Nanos timeout) {
  return ask_controller(kConcernsMethod, &Controller::concerns, timeout);
}

io::Task<Conditions> Member::conditions(Nanos timeout) {
  return ask_controller(kConditionsMethod, &Controller::conditions, timeout);
}

std::optional<Health> Member::own_health() const {
  if (!controller_) return std::nullopt;
  return controller_->health();
}

// ---- Helpers ----

Nanos Member::left(Nanos deadline) const {
  return std::max(deadline - parts_.env.mono(), Nanos(0));
}

Result<void> Member::usable() const {
  if (stopped_) return fail(Code::kClosed, "this node stops");
  if (failure_) return std::unexpected(*failure_);
  return {};
}

}  // namespace walrus::meta
