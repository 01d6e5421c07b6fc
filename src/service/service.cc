#include "walrus/service.h"

#include <algorithm>

#include "io/address.h"
#include "io/runner.h"
#include "net/tls_transport.h"
#include "service/guest.h"
#include "service/member.h"
#include "service/session.h"
#include "service/world.h"

namespace walrus {

using service::Answering;

namespace {

constexpr std::int64_t kCommandBytesMax = 16 << 20;
constexpr Millis kSessionTtlMax{static_cast<std::int64_t>(wire::peer::kSessionTtlMsMax)};

io::Nanos moment(Deadline deadline) { return deadline.time_since_epoch(); }

class FunctionSink final : public LogSink {
 public:
  explicit FunctionSink(std::function<void(Bytes)> write) : write_(std::move(write)) {}
  bool wants(LogLevel level) const override { return write_ && level != LogLevel::kDebug; }
  void write(LogLevel, Bytes line) override { write_(line); }

 private:
  const std::function<void(Bytes)> write_;
};

Result<void> check_address(const char* what, const std::string& text, bool plain) {
  auto address = io::parse_address(text);
  if (!address) return fail(Code::kInvalid, "{}: {}", what, address.error().message);
  if (plain && !io::is_loopback(*address))
    return fail(Code::kInvalid,
                "{}: {} is not a loopback address: without TLS nobody else can be let in", what,
                text);
  return {};
}

Result<void> check_limits(const ServiceOptions& options) {
  const auto positive = [](Millis time) { return time > Millis(0); };
  if (!positive(options.heartbeat) || !positive(options.election_timeout_min) ||
      5 * options.heartbeat > options.election_timeout_min ||
      options.election_timeout_min > std::chrono::minutes(1))
    return fail(
        Code::kInvalid,
        "heartbeat: at least 1 ms, and at most a fifth of election_timeout_min, which is at "
        "most a minute");
  if (!positive(options.session_ttl) || options.session_ttl > kSessionTtlMax)
    return fail(Code::kInvalid, "session_ttl: 1 ms to 366 days");
  if (options.command_bytes_max < 1 || options.command_bytes_max > kCommandBytesMax)
    return fail(Code::kInvalid, "command_bytes_max: 1 to {}", kCommandBytesMax);
  if (options.snapshot_after_bytes < 1 || options.snapshot_after_bytes > std::int64_t{1} << 40)
    return fail(Code::kInvalid, "snapshot_after_bytes: 1 to 2^40");
  if (options.in_flight_bytes_max < options.command_bytes_max ||
      options.in_flight_bytes_max > std::int64_t{1} << 32)
    return fail(Code::kInvalid, "in_flight_bytes_max: command_bytes_max to 2^32");
  return {};
}

Result<void> check_founders(const ServiceOptions& options, bool plain) {
  if (options.founders.empty() == options.join.empty())
    return fail(Code::kInvalid, "either founders, or members to join");
  std::vector<NodeId> ids;
  for (const auto& founder : options.founders) {
    WALRUS_TRY(check_address("founders", founder.address, plain));
    if (founder.id == NodeId{} || net::is_guest(founder.id))
      return fail(Code::kInvalid, "founders: ids are 1 to 2^63 - 1");
    ids.push_back(founder.id);
  }
  std::ranges::sort(ids);
  if (std::ranges::adjacent_find(ids) != ids.end() || ids.size() > wire::peer::kMembersMax)
    return fail(Code::kInvalid, "founders: at most {}, each id once", wire::peer::kMembersMax);
  if (!ids.empty() && !std::ranges::binary_search(ids, options.id))
    return fail(Code::kInvalid, "founders: this node, {}, is not among them", options.id.value);
  for (const auto& address : options.join) WALRUS_TRY(check_address("join", address, plain));
  return {};
}

Result<void> check(const ServiceOptions& options) {
  // In a simulated world there is nobody but its nodes.
  const bool simulated = options.world != nullptr && options.world->impl().simulated;
  const bool plain = !options.tls && !simulated;
  if (options.name.empty() || options.name.size() > wire::peer::kServiceNameBytesMax ||
      options.name.contains('\0'))
    return fail(Code::kInvalid, "name: 1 to 255 bytes, any but NUL");
  if (options.id == NodeId{} || net::is_guest(options.id))
    return fail(Code::kInvalid, "id: 1 to 2^63 - 1");
  if (options.data_dir.empty()) return fail(Code::kInvalid, "data_dir: none is given");
  if (options.world != nullptr && !options.world->impl().has(options.id))
    return fail(Code::kInvalid, "id: the world has no node {}", options.id.value);
  WALRUS_TRY(check_address("listen", options.listen, plain));
  if (!options.advertise.empty()) WALRUS_TRY(check_address("advertise", options.advertise, plain));
  WALRUS_TRY(check_founders(options, plain));
  return check_limits(options);
}

// What is known before anything is asked: of a directory that was used, or of a founder.
Result<std::optional<service::Identity>> known_identity(log::Engine& engine,
                                                        const ServiceOptions& options) {
  WALRUS_ASSIGN(auto stored, service::load_identity(engine));
  if (!stored && options.founders.empty()) return std::nullopt;
  if (!stored)
    return service::Identity{.cluster = service::cluster_of(options.name, options.founders),
                             .node = options.id,
                             .name = options.name};
  if (stored->name != options.name || stored->node != options.id)
    return fail(Code::kMismatch, "{} belongs to node {} of the group '{}', not to node {} of '{}'",
                options.data_dir.string(), stored->node.value, stored->name, options.id.value,
                options.name);
  return stored;
}

}  // namespace

Deadline within(Millis time) { return Deadline(io::real_env().mono() + time); }

const char* role_name(Role role) {
  switch (role) {
    case Role::kLeader: return "leader";
    case Role::kFollower: return "follower";
    case Role::kCandidate: return "candidate";
    case Role::kLearner: return "learner";
    case Role::kFailed: return "failed";
  }
  return "unknown";
}

// ---- A member ----

struct Service::Impl {
  Impl(io::Env& env, const ServiceOptions& options)
      : options(options),
        sink(options.log),
        runner(env),
        gateway(std::make_shared<service::Gateway>(env, runner.loop())) {}
  ~Impl() {
    stop(io::Nanos(0));
    gateway->close();
    runner.stop();
    if (member) member->drop();
  }

  Result<void> start(std::unique_ptr<StateMachine> machine);
  net::Transport& transport() { return tls ? static_cast<net::Transport&>(*tls) : tcp; }
  Result<service::Identity> find_identity();
  Result<void> stop(io::Nanos deadline);
  Result<void> ask(wire::peer::ChangeRequest request, Deadline deadline);
  Result<Session> open(std::optional<SessionPlace> place, Deadline deadline);
  static io::Task<service::Identity> ask_members(Impl&, service::Identity);
  static io::Task<void> ask_on(Impl&, wire::peer::ChangeRequest, Deadline);

  const ServiceOptions options;
  FunctionSink sink;
  Metrics metrics;
  std::unique_ptr<log::Engine> engine;
  net::TcpTransport tcp;
  std::unique_ptr<net::TlsTransport> tls;  // none: plain TCP
  io::Runner runner;
  const std::shared_ptr<service::Gateway> gateway;  // shared with sessions
  std::shared_ptr<service::Member> member;          // shared with its coroutines
  std::shared_ptr<service::Endpoint> endpoint;      // of the member; shared with sessions
  std::string address;
  bool stopped = false;
};

Result<Service> Service::start(const ServiceOptions& options,
                               std::unique_ptr<StateMachine> machine) {
  if (!machine) return fail(Code::kInvalid, "no state machine is given");
  WALRUS_TRY(check(options));
  auto& env = options.world != nullptr ? options.world->impl().env(options.id) : io::real_env();
  auto impl = std::make_unique<Impl>(env, options);
  WALRUS_TRY(impl->start(std::move(machine)));
  return Service(std::move(impl));
}

Result<void> Service::Impl::start(std::unique_ptr<StateMachine> machine) {
  auto& env = gateway->env();
  log::EngineOptions stored;
  stored.user.root = options.data_dir;
  stored.user.shards = 1;
  if (options.tls) {
    WALRUS_ASSIGN(tls, net::TlsTransport::open(env, tcp, sink, metrics,
                                               {.files = *options.tls, .self = options.id}));
  }
  WALRUS_ASSIGN(engine, log::Engine::open(env, stored));
  WALRUS_ASSIGN(const auto identity, find_identity());
  const service::MemberParts parts{env, runner.loop(), *engine, transport(), metrics, sink};
  WALRUS_ASSIGN(member, gateway->run<std::shared_ptr<service::Member>>([&] {
    return service::Member::start(parts, options, identity, std::move(machine));
  }));
  endpoint = service::Member::endpoint(member);
  address = member->address();
  return {};
}

Result<service::Identity> Service::Impl::find_identity() {
  WALRUS_ASSIGN(auto known, known_identity(*engine, options));
  if (!known) {
    const service::Identity newcomer{.node = options.id, .incarnation = 1, .name = options.name};
    WALRUS_ASSIGN(known,
                  gateway->run<service::Identity>([&] { return ask_members(*this, newcomer); }));
    known->incarnation = 0;
  }
  ++known->incarnation;
  WALRUS_TRY(service::store_identity(*engine, *known));
  return *known;
}

// Which cluster it is that a newcomer is to join.
io::Task<service::Identity> Service::Impl::ask_members(Impl& impl, service::Identity newcomer) {
  constexpr io::Nanos kTimeout = std::chrono::seconds(2);
  Error last{Code::kTimeout, "nobody answered"};
  for (const auto& address : impl.options.join) {
    auto found =
        co_await net::who_is(impl.gateway->env(), impl.runner.loop(), impl.transport(), address,
                             {{}, newcomer.node, {newcomer.incarnation}}, kTimeout);
    if (found) {
      newcomer.cluster = found->cluster;
      co_return newcomer;
    }
    last = found.error();
  }
  co_return fail(Code::kTimeout, "joining {}: no member was reached: {}", impl.options.name,
                 last.message);
}

Result<void> Service::Impl::stop(io::Nanos deadline) {
  if (std::exchange(stopped, true)) return {};
  Result<void> result;
  if (member) result = gateway->run<void>([&] { return member->stop(deadline); });
  gateway->close();
  runner.stop();
  if (member) member->drop();
  if (engine)
    if (auto closed = engine->close(); result && !closed) result = std::move(closed);
  return result;
}

Result<Session> Service::connect(std::span<const std::string> addresses,
                                 const std::optional<TlsFiles>& tls, Deadline deadline) {
  return service::connect(io::real_env(), {addresses.begin(), addresses.end()}, tls, std::nullopt,
                          deadline);
}

Result<Session> Service::reconnect(std::span<const std::string> addresses,
                                   const std::optional<TlsFiles>& tls, SessionPlace place,
                                   Deadline deadline) {
  return service::connect(io::real_env(), {addresses.begin(), addresses.end()}, tls, place,
                          deadline);
}

Service::Service(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Service::Service(Service&&) noexcept = default;
Service& Service::operator=(Service&&) noexcept = default;
Service::~Service() = default;

Result<void> Service::stop(Deadline deadline) { return impl_->stop(moment(deadline)); }

ServiceStatus Service::status() const {
  const auto& impl = *impl_;
  auto status = impl.gateway->call<ServiceStatus>(
      [member = impl.member](Answering<ServiceStatus> answering) { answering(member->status()); });
  if (status) return *std::move(status);
  return {.name = impl.options.name,
          .self = impl.options.id,
          .role = Role::kFailed,
          .failure = "stopped"};
}

std::string Service::metrics() const { return impl_->metrics.render(); }
const std::string& Service::address() const { return impl_->address; }

Result<Session> Service::Impl::open(std::optional<SessionPlace> place, Deadline deadline) {
  if (!member) return fail(Code::kClosed, "the service was stopped");
  WALRUS_ASSIGN(auto opened, gateway->run<service::Opened>([&] {
    return service::open_channel(gateway->env(), runner.loop(), member->channels(), endpoint, place,
                                 moment(deadline));
  }));
  return Session(std::make_shared<Session::Impl>(gateway, std::move(opened.channel),
                                                 &member->channels(), opened.id));
}

Result<Session> Service::session(Deadline deadline) { return impl_->open(std::nullopt, deadline); }

Result<Session> Service::resume(std::uint64_t id, std::uint64_t next_sequence, Deadline deadline) {
  return impl_->open(SessionPlace{id, next_sequence}, deadline);
}

io::Task<void> Service::Impl::ask_on(Impl& impl, wire::peer::ChangeRequest request,
                                     Deadline deadline) {
  auto done = service::expect<wire::peer::DoneAnswer>(
      co_await service::ask_until(impl.gateway->env(), impl.runner.loop(), impl.endpoint,
                                  {.body = std::move(request)}, moment(deadline)));
  if (!done) co_return std::unexpected(std::move(done).error());
  co_return Result<void>();
}

Result<void> Service::Impl::ask(wire::peer::ChangeRequest request, Deadline deadline) {
  if (request.id == NodeId{} || net::is_guest(request.id))
    return fail(Code::kInvalid, "id: 1 to 2^63 - 1");
  return gateway->run<void>([&] { return ask_on(*this, std::move(request), deadline); });
}

Result<void> Service::add_learner(const Peer& peer, Deadline deadline) {
  return impl_->ask({wire::peer::ChangeKind::kAddLearner, peer.id, peer.address}, deadline);
}

Result<void> Service::promote(NodeId id, Deadline deadline) {
  return impl_->ask({wire::peer::ChangeKind::kPromote, id, {}}, deadline);
}

Result<void> Service::remove(NodeId id, Deadline deadline) {
  return impl_->ask({wire::peer::ChangeKind::kRemove, id, {}}, deadline);
}

Result<void> Service::transfer_leadership(NodeId id, Deadline deadline) {
  return impl_->ask({wire::peer::ChangeKind::kTransfer, id, {}}, deadline);
}

// ---- From outside ----

namespace {

// Everything of a session from outside; goes with its last handle.
struct Outside {
  static Result<std::shared_ptr<Outside>> make(io::Env& env, std::vector<std::string> addresses,
                                               const std::optional<TlsFiles>& files) {
    for (const auto& address : addresses)
      WALRUS_TRY(check_address("connect", address, !files && !env.single_threaded()));
    auto outside = std::make_shared<Outside>(env);
    net::Transport* transport = &outside->tcp;
    if (files) {
      WALRUS_ASSIGN(outside->tls, net::TlsTransport::open(env, outside->tcp, outside->sink,
                                                          outside->metrics, {.files = *files}));
      transport = outside->tls.get();
    }
    outside->guest = std::make_shared<service::Guest>(env, outside->runner.loop(), *transport,
                                                      std::move(addresses));
    return outside;
  }
  explicit Outside(io::Env& env)
      : runner(env), gateway(std::make_shared<service::Gateway>(env, runner.loop())) {}
  ~Outside() {
    gateway->close();
    runner.stop();
    channels.close();
    if (guest) guest->stop();
  }

  FunctionSink sink{{}};
  Metrics metrics;
  net::TcpTransport tcp;
  std::unique_ptr<net::TlsTransport> tls;  // none: plain TCP
  io::Runner runner;
  std::shared_ptr<service::Gateway> gateway;  // shared with the session's handles
  std::shared_ptr<service::Guest> guest;      // shared with its coroutines and channels
  service::Channels channels;
};

io::Task<service::Opened> open_outside(Outside& outside, std::optional<SessionPlace> place,
                                       io::Nanos deadline) {
  WALRUS_CO_TRY(co_await service::Guest::start(outside.guest, deadline));
  co_return co_await service::open_channel(outside.gateway->env(), outside.runner.loop(),
                                           outside.channels, outside.guest, place, deadline);
}

io::Task<ServiceStatus> ask_status(Outside& outside, Deadline deadline) {
  WALRUS_CO_TRY(co_await service::Guest::start(outside.guest, moment(deadline)));
  co_return service::expect<ServiceStatus>(
      co_await service::ask_until(outside.gateway->env(), outside.runner.loop(), outside.guest,
                                  {.body = wire::peer::StatusRequest{}}, moment(deadline)));
}

}  // namespace

Result<Session> service::connect(io::Env& env, std::vector<std::string> addresses,
                                 const std::optional<TlsFiles>& tls,
                                 std::optional<SessionPlace> place, Deadline deadline) {
  WALRUS_ASSIGN(auto outside, Outside::make(env, std::move(addresses), tls));
  WALRUS_ASSIGN(auto opened, outside->gateway->run<service::Opened>(
                                 [&] { return open_outside(*outside, place, moment(deadline)); }));
  return Session(std::make_shared<Session::Impl>(outside->gateway, std::move(opened.channel),
                                                 &outside->channels, opened.id, outside));
}

Result<ServiceStatus> service_status(const std::string& address, const std::optional<TlsFiles>& tls,
                                     Deadline deadline) {
  WALRUS_ASSIGN(auto outside, Outside::make(io::real_env(), {address}, tls));
  return outside->gateway->run<ServiceStatus>([&] { return ask_status(*outside, deadline); });
}

}  // namespace walrus
