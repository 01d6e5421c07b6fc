#include "service/member.h"

#include <algorithm>
#include <utility>

#include "io/address.h"
#include "net/who_is.h"
#include "wire/peer/service_command.h"

namespace walrus::service {

using namespace wire::peer;

namespace {

constexpr std::size_t kFrameSlack = 64 << 10;  // of a message, besides the largest command
constexpr io::Nanos kJoinTimeout = std::chrono::seconds(15);
constexpr io::Nanos kStopTimeout = std::chrono::seconds(5);
// One call to the leader takes no longer, so that another leader is found in time.
constexpr io::Nanos kForwardTimeout = std::chrono::seconds(2);

Failed final_failure(Code code, std::string why) {
  return {.error = {code, std::move(why)}, .again = false};
}

// Replies that one message has no room for are asked for again: they are kept.
void fit(ProposeAnswer& answer) {
  std::size_t bytes = 0, count = 0;
  for (const auto& outcome : answer.outcomes) {
    bytes += outcome.text.size();
    if (count > 0 && bytes > kReplyBytesMax) break;
    ++count;
  }
  answer.outcomes.resize(count);
}

walrus::Role role_of(const raft::NodeStatus& status) {
  if (!status.failure.empty()) return walrus::Role::kFailed;
  switch (status.core.role) {
    case raft::Role::kLeader: return walrus::Role::kLeader;
    case raft::Role::kFailed: return walrus::Role::kFailed;
    case raft::Role::kPreCandidate:
    case raft::Role::kCandidate: return walrus::Role::kCandidate;
    case raft::Role::kFollower: break;
  }
  return raft::is_voter(status.membership, status.core.self) ? walrus::Role::kFollower
                                                             : walrus::Role::kLearner;
}

}  // namespace

Member::Member(const MemberParts& parts, ServiceOptions options, const Identity& identity)
    : parts_(parts),
      options_(std::move(options)),
      identity_(identity),
      proposed_(parts.metrics.counter(
          {"walrus_service_proposed", "Commands that this node took as leader", ""})),
      forwarded_(parts.metrics.counter(
          {"walrus_service_forwarded", "Requests passed on to the leader", ""})),
      queries_(parts.metrics.counter({"walrus_service_queries", "Questions answered here", ""})) {}

Member::~Member() { drop(); }

// ---- Start and stop ----

io::Task<std::shared_ptr<Member>> Member::start(MemberParts parts, ServiceOptions options,
                                                Identity identity,
                                                std::unique_ptr<StateMachine> machine) {
  std::shared_ptr<Member> self(new Member(parts, std::move(options), identity));
  auto opened = co_await open(self, std::move(machine));
  if (opened && !self->options_.join.empty()) opened = co_await join(self);
  if (opened) co_return self;
  const auto error = opened.error();
  (void)co_await self->stop(parts.env.mono());
  self->drop();
  co_return std::unexpected(error);
}

io::Task<void> Member::open(std::shared_ptr<Member> self, std::unique_ptr<StateMachine> machine) {
  const auto& parts = self->parts_;
  const auto message_bytes =
      std::max<std::size_t>(1 << 20, static_cast<std::size_t>(self->options_.command_bytes_max)) +
      kFrameSlack;
  net::RpcOptions rpc{
      .self = {self->identity_.cluster, self->identity_.node, {self->identity_.incarnation}},
      .listen = self->options_.listen,
      .message_bytes_max = message_bytes,
      .bulk_window = std::max<std::size_t>(4 << 20, 3 * message_bytes),
      .queue_bytes_max = std::max<std::size_t>(16 << 20, 3 * message_bytes),
      .guests = true};
  rpc.log = &parts.log;
  WALRUS_CO_ASSIGN(self->rpc_, net::Rpc::start(parts.env, parts.loop, parts.transport, rpc));
  self->address_ = self->rpc_->address();
  std::weak_ptr<Member> weak = self;
  self->rpc_->handle(kServiceCall, [weak](net::Request request) {
    return on_call(weak.lock(), std::move(request));
  });
  WALRUS_CO_ASSIGN(self->host_,
                   raft::Host::start(parts.env, parts.loop, parts.engine, *self->rpc_,
                                     {.self = self->identity_.node, .log = &parts.log}));
  auto fold = std::make_unique<Fold>(std::move(machine), self->counts_, [weak] {
    if (const auto member = weak.lock()) member->reached();
  });
  WALRUS_CO_ASSIGN(self->node_, co_await self->host_->open(kServiceGroup, self->node_options(),
                                                           std::move(fold)));
  self->changed(self->node_->status());
  self->register_metrics();
  co_return Result<void>();
}

raft::NodeOptions Member::node_options() {
  raft::NodeOptions options;
  options.core.heartbeat = options_.heartbeat;
  options.core.election_timeout_min = options_.election_timeout_min;
  options.core.election_timeout_max = 2 * options_.election_timeout_min;
  options.core.proposal_bytes_max =
      static_cast<std::uint64_t>(options_.command_bytes_max) + kCommandPreludeBytesMax;
  options.core.uncommitted_bytes_max = static_cast<std::uint64_t>(options_.in_flight_bytes_max);
  options.snapshot_after_bytes = static_cast<std::uint64_t>(options_.snapshot_after_bytes);
  options.core.log_bytes_max =
      std::max(options.core.log_bytes_max,
               4 * options.snapshot_after_bytes + options.core.uncommitted_bytes_max);
  options.core.log_bytes_kept =
      std::min(options.core.log_bytes_kept, options.snapshot_after_bytes / 2);
  options.runs = raft::Runs::kOwn;
  for (const auto& founder : options_.founders)
    options.founders.members.push_back(
        {.id = founder.id, .address = founder.address, .voter = true});
  std::ranges::sort(options.founders.members, {}, &wire::peer::Member::id);
  options.on_change = [weak = weak_from_this()](const raft::NodeStatus& status) {
    if (const auto member = weak.lock()) member->changed(status);
  };
  return options;
}

// Asks the members that it was told of until one has added it, or the group refuses.
io::Task<void> Member::join(std::shared_ptr<Member> self) {
  if (self->node_->status().core.leader != NodeId{} ||
      !self->node_->status().membership.members.empty())
    co_return Result<void>();  // it was a member before
  const auto& parts = self->parts_;
  const auto deadline = parts.env.mono() + kJoinTimeout;
  const net::Identity me{{}, self->identity_.node, {self->identity_.incarnation}};
  const auto& advertised =
      self->options_.advertise.empty() ? self->address_ : self->options_.advertise;
  const ServiceRequest request{
      .body = JoinRequest{self->options_.name, self->identity_.node, advertised}};
  std::string bytes, last = "nobody answered";
  append_service_request(bytes, request);
  Backoff backoff;
  while (parts.env.mono() < deadline && !self->stopped_) {
    for (const auto& address : self->options_.join) {
      auto found = co_await net::who_is(parts.env, parts.loop, parts.transport, address, me,
                                        kForwardTimeout);
      if (!found) {
        last = found.error().message;
        continue;
      }
      if (self->stopped_) break;
      if (found->node == self->identity_.node)
        co_return fail(Code::kExists, "{}: node {} is there already", address, found->node.value);
      self->rpc_->add_peer(found->node, address);
      auto answer =
          co_await self->rpc_->call(found->node, kServiceCall, bytes, {.timeout = kForwardTimeout});
      if (!answer) {
        last = answer.error().message;
        continue;
      }
      WALRUS_CO_ASSIGN(auto parsed, parse_service_answer(*answer));
      const auto* failed = std::get_if<Failed>(&parsed);
      if (failed == nullptr) co_return Result<void>();
      if (!failed->again) co_return std::unexpected(failed->error);
      last = failed->error.message;
    }
    co_await parts.loop.sleep(backoff.next(parts.env));
  }
  co_return fail(Code::kTimeout, "joining {}: {}", self->options_.name, last);
}

io::Task<void> Member::stop(io::Nanos deadline) {
  if (stopped_) co_return Result<void>();
  if (node_ != nullptr && leads() && left(deadline) > io::Nanos(0))
    (void)co_await node_->transfer(NodeId{}, left(deadline));  // alone, or nobody is up to date
  stopped_ = true;
  channels_.close();
  for (const auto& [index, gate] : readers_) gate->open();
  if (host_) WALRUS_CO_TRY(co_await host_->stop());
  node_ = nullptr;
  if (rpc_) co_return co_await rpc_->stop(std::max(left(deadline), kStopTimeout));
  co_return Result<void>();
}

void Member::drop() {
  stopped_ = true;
  channels_.close();
  node_ = nullptr;
  host_.reset();
  rpc_.reset();
}

// ---- What the node says ----

void Member::changed(const raft::NodeStatus& status) {
  role_ = status.core.role;
  leader_ = status.core.leader;
  if (failure_.empty() && !status.failure.empty())
    log_line(parts_.log, LogLevel::kError, "service_failed",
             {{"service", options_.name}, {"why", status.failure}});
  failure_ = status.failure;
  if (!failure_.empty()) wake_readers();
}

void Member::reached() {
  if (reading_.load() == 0) return;
  parts_.loop.post([weak = weak_from_this()] {
    if (const auto member = weak.lock()) member->wake_readers();
  });
}

void Member::wake_readers() {
  const auto applied = counts_->applied_index.load();
  for (const auto& [index, gate] : readers_)
    if (index <= applied || !failure_.empty()) gate->open();
}

ServiceStatus Member::status() const {
  ServiceStatus status{.name = options_.name,
                       .cluster_id = net::to_string(identity_.cluster),
                       .self = identity_.node,
                       .role = walrus::Role::kFailed,
                       .applied_index = counts_->applied_index,
                       .sessions = counts_->sessions,
                       .failure = failure_};
  if (node_ == nullptr) {
    if (status.failure.empty()) status.failure = "stopped";
    return status;
  }
  const auto node = node_->status();
  status.leader = node.core.leader;
  status.role = role_of(node);
  status.term = node.core.term;
  status.commit_index = node.core.commit;
  status.applied_index = node.applied;
  status.snapshot_index = node.core.snapshot.index;
  status.log_bytes = node.core.log_bytes;
  status.failure = node.failure;
  for (const auto& member : node.membership.members) {
    const auto peer = std::ranges::find(node.core.peers, member.id, &raft::Status::Peer::id);
    const bool self = member.id == identity_.node;
    status.members.push_back({.peer = {member.id, member.address},
                              .voter = member.voter,
                              .match_index = self                            ? node.core.durable
                                             : peer != node.core.peers.end() ? peer->match
                                                                             : 0});
  }
  return status;
}

void Member::register_metrics() {
  auto& metrics = parts_.metrics;
  const auto read = [&](Bytes name, Bytes help, std::atomic<std::uint64_t> FoldCounts::* count) {
    metrics.read_counter({name, help, ""}, {}, [counts = counts_, count] {
      return static_cast<double>(((*counts).*count).load());
    });
  };
  read("walrus_service_applied", "Commands that the state machine applied", &FoldCounts::commands);
  read("walrus_service_repeated", "Commands that came again and were answered from memory",
       &FoldCounts::repeats);
  metrics.read_gauge({"walrus_service_sessions", "Open sessions", ""}, {},
                     [counts = counts_] { return static_cast<double>(counts->sessions.load()); });
  metrics.read_gauge(
      {"walrus_service_applied_index", "Index of the last applied command", ""}, {},
      [counts = counts_] { return static_cast<double>(counts->applied_index.load()); });
}

// ---- Requests ----

io::Task<std::string> Member::on_call(std::shared_ptr<Member> self, net::Request request) {
  if (!self || self->stopped_) co_return fail(Code::kClosed, "the service stops");
  WALRUS_CO_ASSIGN(auto asked, parse_service_request(request.body));
  WALRUS_CO_ASSIGN(auto answer, co_await self->serve(std::move(asked), request.deadline, false));
  if (auto* proposed = std::get_if<ProposeAnswer>(&answer)) fit(*proposed);
  std::string bytes;
  append_service_answer(bytes, answer);
  co_return bytes;
}

io::Task<ServiceAnswer> Member::serve(ServiceRequest request, io::Nanos deadline, bool here) {
  const auto self = shared_from_this();
  if (stopped_) co_return fail(Code::kClosed, "the service was stopped");
  if (node_ == nullptr)  // connections are taken before the group is open
    co_return again(Code::kBusy, fmt::format("node {} is starting", identity_.node.value));
  const bool anywhere = std::holds_alternative<QueryRequest>(request.body) ||
                        std::holds_alternative<StatusRequest>(request.body);
  if (!failure_.empty() && !std::holds_alternative<StatusRequest>(request.body))
    co_return Failed{{Code::kIo, fmt::format("node {} failed: {}", identity_.node.value, failure_)},
                     !here};
  if (!anywhere && !leads()) co_return co_await forward(std::move(request), deadline);
  auto answer =
      co_await std::visit([&](auto& body) { return on(std::move(body), deadline); }, request.body);
  if (self->stopped_) co_return fail(Code::kClosed, "the service was stopped");
  co_return answer;
}

io::Task<ServiceAnswer> Member::forward(ServiceRequest request, io::Nanos deadline) {
  if (request.forwarded || leader_ == identity_.node)
    co_return again(Code::kBusy, fmt::format("node {} does not lead", identity_.node.value));
  if (leader_ == NodeId{}) co_return again(Code::kBusy, "no leader is known");
  request.forwarded = true;
  forwarded_.add();
  std::string bytes;
  append_service_request(bytes, request);
  const auto self = shared_from_this();
  auto answer = co_await rpc_->call(leader_, kServiceCall, std::move(bytes),
                                    {.timeout = std::min(left(deadline), kForwardTimeout)});
  if (self->stopped_) co_return fail(Code::kClosed, "the service was stopped");
  if (!answer) co_return again(answer.error().code, answer.error().message);
  co_return parse_service_answer(*answer);
}

// The outcomes of commands that were proposed together.
struct Member::Batch {
  std::vector<CommandOutcome> outcomes;
  std::size_t left;
  std::unique_ptr<io::Gate> all;

  void take(std::size_t place, raft::Proposal proposal) {
    auto& outcome = outcomes[place];
    outcome = {.refused = Code::kBusy, .text = raft::end_name(proposal.end)};
    if (proposal.end == raft::Proposal::End::kApplied) {
      if (auto parsed = parse_outcome(proposal.reply)) outcome = *std::move(parsed);
    } else if (proposal.refusal == raft::Refusal::kTooLarge) {
      outcome.refused = Code::kTooLarge;
      outcome.text = "the leader takes no command of this size";
    }
    if (--left == 0) all->open();
  }
};

io::Task<ServiceAnswer> Member::on(ProposeRequest request, io::Nanos deadline) {
  const auto self = shared_from_this();
  const auto count = request.commands.size();
  auto batch = std::make_shared<Batch>(std::vector<CommandOutcome>(count), count,
                                       parts_.loop.make_gate());  // shared with the callbacks
  for (std::size_t i = 0; i < count; ++i) {
    node_->propose(encode(ProposeCommand{.session = request.session,
                                         .sequence = request.first + i,
                                         .answered = request.answered,
                                         .command = request.commands[i]}),
                   left(deadline),
                   [batch, i](raft::Proposal proposal) { batch->take(i, std::move(proposal)); });
  }
  proposed_.add(count);
  if (batch->left > 0) co_await batch->all->wait(io::Nanos::max());
  co_return ProposeAnswer{std::move(batch->outcomes)};
}

io::Task<ServiceAnswer> Member::on(OpenSessionRequest, io::Nanos deadline) {
  const auto ttl = static_cast<std::uint64_t>(options_.session_ttl.count());
  const auto proposal = co_await node_->propose(encode(OpenSession{ttl}), left(deadline));
  if (proposal.end != raft::Proposal::End::kApplied)
    co_return again(Code::kBusy, raft::end_name(proposal.end));
  WALRUS_CO_ASSIGN(auto outcome, parse_outcome(proposal.reply));
  if (outcome.refused != Code{}) co_return final_failure(outcome.refused, std::move(outcome.text));
  co_return SessionAnswer{
      .session = outcome.index,
      .index = outcome.index,
      .command_bytes_max = static_cast<std::uint64_t>(options_.command_bytes_max)};
}

io::Task<ServiceAnswer> Member::on(FindSessionRequest request, io::Nanos deadline) {
  const auto self = shared_from_this();
  const auto index = co_await node_->read(raft::ReadLevel::kLinearizable, left(deadline));
  if (self->stopped_) co_return fail(Code::kClosed, "the service was stopped");
  if (!index) co_return again(index.error().code, index.error().message);
  auto answer = co_await at_fold<SessionAnswer>(
      [session = request.session](Fold& fold) -> Result<SessionAnswer> {
        const auto last = fold.sessions().last_sequence(session);
        if (!last) return fail(Code::kNotFound, "session {} is over", session);
        return SessionAnswer{
            .session = session, .last_sequence = *last, .index = fold.applied_index()};
      },
      deadline);
  if (!answer && answer.error().code == Code::kNotFound)
    co_return final_failure(Code::kNotFound, answer.error().message);
  if (!answer) co_return again(answer.error().code, answer.error().message);
  answer->command_bytes_max = static_cast<std::uint64_t>(options_.command_bytes_max);
  co_return *answer;
}

io::Task<ServiceAnswer> Member::on(QueryRequest request, io::Nanos deadline) {
  const auto self = shared_from_this();
  if (request.level == Read::kLinearizable) {
    const auto index = co_await node_->read(raft::ReadLevel::kLinearizable, left(deadline));
    if (!index) co_return again(index.error().code, index.error().message);
  } else if (request.level == Read::kSession) {
    const auto applied = co_await await_applied(request.index, deadline);
    if (!applied) co_return again(applied.error().code, applied.error().message);
  }
  if (self->stopped_) co_return fail(Code::kClosed, "the service was stopped");
  auto answer = co_await at_fold<QueryAnswer>(
      [question = std::move(request.question)](Fold& fold) -> Result<QueryAnswer> {
        WALRUS_ASSIGN(auto text, fold.query(question));
        return QueryAnswer{fold.applied_index(), std::move(text)};
      },
      deadline);
  queries_.add();
  if (!answer && answer.error().code == Code::kInvalid)
    co_return final_failure(Code::kInvalid, answer.error().message);
  if (!answer) co_return again(answer.error().code, answer.error().message);
  if (answer->answer.size() > kReplyBytesMax)
    co_return final_failure(Code::kTooLarge, fmt::format("an answer of {} bytes, at most {}",
                                                         answer->answer.size(), kReplyBytesMax));
  co_return *std::move(answer);
}

io::Task<ServiceAnswer> Member::on(StatusRequest, io::Nanos) { co_return status(); }

// ---- Membership ----

io::Task<ServiceAnswer> Member::on(JoinRequest request, io::Nanos deadline) {
  if (request.name != options_.name)
    co_return final_failure(Code::kMismatch, fmt::format("this is the group '{}', not '{}'",
                                                         options_.name, request.name));
  co_return co_await on(
      ChangeRequest{
          .kind = ChangeKind::kAddLearner, .id = request.id, .address = std::move(request.address)},
      deadline);
}

io::Task<ServiceAnswer> Member::on(ChangeRequest request, io::Nanos deadline) {
  const auto members = node_->status().membership;
  const auto* member = raft::find_member(members, request.id);
  raft::MemberChange change{.id = request.id, .address = request.address};
  switch (request.kind) {
    case ChangeKind::kAddLearner: {
      const auto address = io::parse_address(request.address);
      if (!address) co_return final_failure(address.error().code, address.error().message);
      if (net::is_guest(request.id)) co_return final_failure(Code::kInvalid, "not a node's id");
      if (member != nullptr && member->address != request.address)
        co_return final_failure(Code::kExists, fmt::format("node {} is a member at {}",
                                                           request.id.value, member->address));
      if (member != nullptr && !members.joint) co_return DoneAnswer{};
      change.kind = raft::MemberChange::Kind::kAddLearner;
      break;
    }
    case ChangeKind::kPromote:
      if (member == nullptr)
        co_return final_failure(Code::kNotFound,
                                fmt::format("node {} is no member", request.id.value));
      if (member->voter && !members.joint) co_return DoneAnswer{};
      change.kind = raft::MemberChange::Kind::kPromote;
      break;
    case ChangeKind::kRemove:
      if (member == nullptr && !members.joint) co_return DoneAnswer{};
      change.kind = raft::MemberChange::Kind::kRemove;
      break;
    case ChangeKind::kTransfer:
      if (member == nullptr || !member->voter)
        co_return final_failure(Code::kNotFound,
                                fmt::format("node {} is no voter", request.id.value));
      co_return co_await transfer(request.id, deadline);
  }
  co_return co_await this->change(std::move(change), deadline);
}

io::Task<ServiceAnswer> Member::change(raft::MemberChange change, io::Nanos deadline) {
  const auto proposal = co_await node_->change_members({std::move(change)}, left(deadline));
  if (proposal.end == raft::Proposal::End::kApplied) co_return DoneAnswer{};
  if (proposal.end == raft::Proposal::End::kRefused &&
      proposal.refusal == raft::Refusal::kInvalidChange)
    co_return final_failure(Code::kInvalid,
                            "the group cannot change so: there are too many members, or no voter "
                            "would be left");
  const auto* why = proposal.end == raft::Proposal::End::kRefused
                        ? raft::refusal_name(proposal.refusal)
                        : raft::end_name(proposal.end);
  co_return again(Code::kBusy, why);
}

io::Task<ServiceAnswer> Member::transfer(NodeId to, io::Nanos deadline) {
  if (to == identity_.node) co_return DoneAnswer{};
  const auto self = shared_from_this();
  const auto done = co_await node_->transfer(to, left(deadline));
  if (done && self->leader_ == to) co_return DoneAnswer{};
  co_return done ? again(Code::kBusy, "another node leads now")
                 : again(done.error().code, done.error().message);
}

// ---- Helpers ----

io::Task<void> Member::await_applied(std::uint64_t index, io::Nanos deadline) {
  const auto self = shared_from_this();
  const auto gate = parts_.loop.make_gate();
  const auto place = readers_.emplace(index, gate.get());
  ++reading_;
  bool in_time = true;
  while (counts_->applied_index.load() < index && failure_.empty() && !stopped_ && in_time)
    in_time = co_await gate->wait(left(deadline));
  --reading_;
  readers_.erase(place);
  if (counts_->applied_index.load() >= index) co_return Result<void>();
  if (stopped_) co_return fail(Code::kClosed, "the service was stopped");
  co_return fail(Code::kTimeout, "node {} has not applied {} yet", identity_.node.value, index);
}

template <class T>
io::Task<T> Member::at_fold(std::move_only_function<Result<T>(Fold&)> call, io::Nanos deadline) {
  struct Slot {
    Result<T> result = fail(Code::kClosed, "stopped");
  };
  auto slot = std::make_shared<Slot>();
  io::Signal signal(parts_.loop);
  node_->at_machine([slot, call = std::move(call),
                     answering = Answering<void>(signal.setter())](raft::Machine& machine) mutable {
    slot->result = call(static_cast<Fold&>(machine));
    answering({});
  });
  WALRUS_CO_TRY(co_await signal.wait(left(deadline)));
  co_return std::move(slot->result);
}

std::string Member::encode(decltype(ServiceCommand::body) body) const {
  std::string bytes;
  append_service_command(bytes, {.leader_time_ms = parts_.env.wall().time_since_epoch().count(),
                                 .seed = parts_.env.random(),
                                 .body = body});
  return bytes;
}

io::Nanos Member::left(io::Nanos deadline) const {
  return std::max(deadline - parts_.env.mono(), io::Nanos(0));
}

Failed Member::again(Code code, std::string why) const {
  return {.error = {code, std::move(why)}, .again = true};
}

// The member of this process, as a session sees it.
class LocalEndpoint final : public Endpoint {
 public:
  explicit LocalEndpoint(std::weak_ptr<Member> member) : member_(std::move(member)) {}
  io::Task<ServiceAnswer> ask(ServiceRequest request, io::Nanos deadline) override {
    const auto member = member_.lock();
    if (!member) co_return fail(Code::kClosed, "the service was stopped");
    co_return co_await member->serve(std::move(request), deadline, true);
  }

 private:
  const std::weak_ptr<Member> member_;
};

std::shared_ptr<Endpoint> Member::endpoint(const std::shared_ptr<Member>& member) {
  return std::make_shared<LocalEndpoint>(member);
}

}  // namespace walrus::service
