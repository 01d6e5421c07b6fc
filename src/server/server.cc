#include "server/server.h"

#include "base/check.h"
#include "broker/cluster/cluster_users.h"
#include "broker/engine_journal.h"
#include "broker/run_on.h"
#include "log/directory.h"
#include "server/cluster_directory.h"

namespace walrus::server {
namespace {

// The engine's counters by Prometheus name: totals are counters, anything else a gauge.
std::string engine_metrics(const std::map<std::string, double>& values) {
  std::string text;
  for (const auto& [name, value] : values)
    text += fmt::format("# TYPE {} {}\n{} {}\n", name,
                        name.ends_with("_total") ? "counter" : "gauge", name, value);
  return text;
}

constexpr io::Nanos kAnswerMax = std::chrono::milliseconds(200);  // of nodes that stand still

io::Task<void> ask_who_is_there(std::shared_ptr<broker::Bridge> bridge) {
  if (auto node = bridge->node()) (void)co_await (*node)->ask_reach(kAnswerMax);
  co_return Result<void>();
}

}  // namespace

Server::Server(io::Env& env, const ServerOptions& options, LogSink& log)
    : env_(env),
      options_(options),
      log_(log),
      storage_low_(metrics_.gauge(
          {"walrus_storage_low",
           "1 while there is too little free disk space: a single server refuses appends, a node "
           "of a cluster is given nothing new."})) {}

Result<std::unique_ptr<Server>> Server::start(io::Env& env, const ServerOptions& options,
                                              LogSink& log) {
  WALRUS_ASSIGN(auto server, open(env, options, log));
  WALRUS_TRY(server->serve());
  return server;
}

Result<std::unique_ptr<Server>> Server::open(io::Env& env, const ServerOptions& options,
                                             LogSink& log) {
  std::unique_ptr<Server> server(new Server(env, options, log));
  WALRUS_TRY(server->open_engine());
  server->watch();
  server->watcher_ = env.start_worker("watch", [self = server.get()] { return self->watch(); });
  return server;
}

Result<void> Server::serve() {
  if (!cluster_) {
    accept();
    run_loops();
    return {};
  }
  WALRUS_TRY(await_registered());
  return gateway_->run<void>([this]() -> io::Task<void> {
    accept();
    co_return Result<void>();
  });
}

Result<void> Server::open_engine() {
  auto options = options_.engine;
  bool joins = !options_.cluster.join.empty();
  if (joins && options.user.shards == 0) {
    WALRUS_ASSIGN(options.user.shards, journals_of_node(env_, options.user.root));
  }
  WALRUS_ASSIGN(engine_, log::Engine::open(env_, options));
  for (std::size_t i = 0; i < options_.loops; ++i) loops_.push_back(env_.make_loop());
  gateway_ = std::make_unique<service::Gateway>(env_, *loops_[0]);
  WALRUS_ASSIGN(auto identity, meta::load_identity(*engine_));
  if (identity || !options_.cluster.join.empty()) return open_cluster();
  return compose(nullptr);
}

// Everything in front of the engine, or of the cluster whose topics the catalogue has.
Result<void> Server::compose(std::unique_ptr<broker::Catalogue> catalogue) {
  std::vector<io::Loop*> loops;
  for (const auto& loop : loops_) loops.push_back(loop.get());
  broker_ =
      std::make_unique<broker::Broker>(*engine_, loops, options_.broker, std::move(catalogue));
  groups_ = std::make_shared<broker::Coordinators>(env_, *loops_[0], options_.groups, 1);
  // In a cluster the groups are given to whom they belong to.
  if (!cluster_)
    groups_->begin(0, std::make_unique<broker::EngineJournal>(*engine_, *loops_[0],
                                                              std::string(broker::kGroupsStream)));
  WALRUS_TRY(open_security());
  return bind();
}

void Server::accept() {
  native_->start();
  if (kafka_) kafka_->start();
  admin_->start();
}

Result<void> Server::open_security() {
  if (bridge_) {
    users_ = broker::ClusterUsers::make(bridge_);
  } else {
    WALRUS_ASSIGN(users_, broker::Users::load(*engine_, *loops_[0]));
  }
  auth_journal_ = std::make_shared<broker::AuthJournal>(
      log_, metrics_.counter(
                {"walrus_authentication_failures", "Clients that could not prove who they are."}));
  const auto& security = options_.security;
  if (security.native.tls || security.kafka.tls) {
    WALRUS_ASSIGN(tls_, net::TlsServer::open(env_, log_, metrics_, security.tls));
  }
  bool asked = !security.native.mechanisms.empty() || !security.kafka.mechanisms.empty();
  if (asked && !bridge_ && users_->table()->users().empty())
    log_line(log_, LogLevel::kWarning, "no_users",
             {{"hint", "nobody can log in: stop the server, walrus user add NAME --data-dir DIR"}});
  return {};
}

broker::PortSecurity Server::security_of(const PortSecurityOptions& port) const {
  return {.mechanisms = port.mechanisms,
          .users = users_,
          .journal = auth_journal_,
          .session_lifetime = options_.security.session_lifetime};
}

Result<void> Server::bind() {
  auto native = options_.native;
  native.session.security = security_of(options_.security.native);
  native.session.groups = groups_;
  if (options_.security.native.tls) native.tls = tls_.get();
  if (cluster_) {
    route(native.session.forwarding);
    native.session.cluster = {.loop = loops_[0].get(),
                              .member = [cluster = cluster_.get()] { return cluster->member(); },
                              .bridge = bridge_};
  }
  WALRUS_ASSIGN(native_, frontend::native::NativeServer::listen(*broker_, metrics_, native));
  if (!options_.kafka.listen.empty()) WALRUS_TRY(bind_kafka());
  frontend::admin::AdminPages pages{.metrics = [this] { return metrics_page(); },
                                    .health = [this] { return engine_->health(); },
                                    .ready = [this] { return ready(); }};
  WALRUS_ASSIGN(admin_, frontend::admin::AdminServer::listen(*loops_[0], options_.admin_listen,
                                                             std::move(pages)));
  return {};
}

Result<void> Server::bind_kafka() {
  WALRUS_ASSIGN(auto identity, log::read_identity(env_, options_.engine.user.root));
  CHECK(identity.has_value());  // the engine is open
  auto options = options_.kafka;
  auto& node = options.session.node;
  node.uuid = identity->uuid;
  node.rack = options_.cluster.rack;
  if (cluster_) {
    node.replication_factor = options_.cluster.replication_factor;
    const auto& id = cluster_->id().bytes;
    node.uuid.assign(id.begin(), id.end());
    node.image = [cluster = cluster_.get()] { return cluster->image(); };
    node.want = [this](std::vector<PartitionId> partitions) {
      loops_[0]->post([this, partitions = std::move(partitions)]() mutable {
        cluster_->metadata().want(std::move(partitions));
      });
    };
    node.learn_who_is_there = [&loop = *loops_[0], bridge = bridge_](io::Loop& here) {
      return broker::run_on<void>(here, loop, [bridge] { return ask_who_is_there(bridge); });
    };
    node.leads_metadata = [cluster = cluster_.get()] { return cluster->leads_metadata(); };
    add_operations(node);
    node.coordinator_of = [this](io::Loop& here, std::string group, io::Nanos timeout) {
      return owners_->coordinator_of(here, std::move(group), timeout);
    };
  }
  options.session.security = security_of(options_.security.kafka);
  options.session.groups = groups_;
  if (options_.security.kafka.tls) options.tls = tls_.get();
  WALRUS_ASSIGN(kafka_, frontend::kafka::KafkaServer::listen(*broker_, metrics_, options));
  return {};
}

void Server::run_loops() {
  if (env_.single_threaded()) return;  // the world runs them
  for (std::size_t i = 0; i < loops_.size(); ++i) {
    loop_workers_.push_back(
        env_.start_worker(fmt::format("loop{}", i), [this, loop = loops_[i].get()] {
          // A loop that has not begun when a stop is asked for must still run: it drains.
          if (loops_ended_.load()) return io::Worker::kForever;
          loop->run();
          return io::Worker::kForever;
        }));
    loop_workers_.back()->hurry();
  }
}

Server::~Server() {
  watcher_.reset();
  // Everything that the engine still has to answer is answered while the loops are there.
  if (engine_) (void)engine_->close();
  if (gateway_) gateway_->close();
  stop_loops();
  if (cluster_) cluster_->drop();
}

void Server::stop_loops() {
  stopping_ = true;
  loops_ended_ = true;
  for (auto& loop : loops_) loop->stop();
  loop_workers_.clear();
}

Result<void> Server::wait() {
  env_.wait(wake_, io::Worker::kForever);
  return engine_->failure();
}

std::string Server::metrics_page() const {
  return metrics_.render() + engine_metrics(engine_->metrics());
}

Result<void> Server::ready() const {
  if (stopping_.load()) return fail(Code::kClosed, "stopping");
  if (disk_low_.load() || broker_->storage_low()) return fail(Code::kNoSpace, "storage full");
  if (cluster_ && !cluster_->has_quorum())
    return fail(Code::kBusy, "the cluster's metadata is out of reach");
  return engine_->health();
}

// Looks at the disk, at the engine and at the certificates. Below the watermark a single server
// refuses appends, and takes them again, by itself, an eighth above it; in a cluster others take
// them meanwhile, if they have room.
io::Nanos Server::watch() {
  auto free = env_.disk().free_bytes(options_.engine.user.root);
  bool low = disk_low_.load();
  auto min = options_.disk_free_bytes_min;
  bool next = min > 0 ? free && *free < (low ? min + min / 8 : min) : cluster_ && is_full();
  if (next != low) {
    disk_low_.store(next);
    if (cluster_) cluster_->set_storage_low(next);
    else broker_->set_storage_low(next);
    storage_low_.set(next ? 1 : 0);
    log_line(log_, next ? LogLevel::kError : LogLevel::kInfo,
             next ? "storage_low" : "storage_recovered",
             {{"free_bytes", *free}, {"disk_free_bytes_min", min}});
  }
  if (auto failure = engine_->failure(); !failure && !wake_.is_set()) {
    log_line(log_, LogLevel::kError, "storage_failed", {{"error", failure.error()}});
    wake_.set();
  }
  if (cluster_ && !cluster_->failure()) wake_.set();
  watch_certificates();
  return options_.watch_interval;
}

// Of a disk that is not looked after: when the engine has met its end.
bool Server::is_full() const {
  auto health = engine_->health();
  return !health && health.error().code == Code::kNoSpace;
}

void Server::watch_certificates() {
  bool asked = options_.reload != nullptr && options_.reload->exchange(false);
  if (asked && !tls_ && !peer_tls_) log_line(log_, LogLevel::kInfo, "nothing_to_reload");
  if (asked && tls_) tls_->reload();
  if (asked && peer_tls_) peer_tls_->reload();
  auto now = env_.mono();
  if (tls_ && now - certificates_looked_at_ >= options_.certificate_interval) {
    certificates_looked_at_ = now;
    tls_->refresh();
  }
}

Result<void> Server::stop() {
  stopping_ = true;
  log_line(log_, LogLevel::kInfo, "stopping");
  Event drained;
  loops_[0]->post([this, &drained] { loops_[0]->spawn(drain(this, &drained)); });
  env_.wait(drained, io::Worker::kForever);
  watcher_.reset();
  auto closed = engine_->close();
  stop_loops();
  return closed;
}

boost::asio::awaitable<void> Server::drain(Server* server, Event* drained) {
  auto result = co_await server->drain_all();
  if (!result)
    log_line(server->log_, LogLevel::kWarning, "drain_failed", {{"error", result.error()}});
  drained->set();
}

io::Task<void> Server::drain_all() {
  if (cluster_) (void)co_await cluster_->give_away();  // before clients lose their connections
  auto ended = co_await native_->stop(options_.drain_timeout);
  groups_->stop();
  if (kafka_) {
    auto kafka_ended = co_await kafka_->stop(options_.drain_timeout);
    if (ended) ended = std::move(kafka_ended);
  }
  for (std::size_t i = 0; i < broker_->loops(); ++i) {
    auto& local = broker_->local(i);
    WALRUS_CO_TRY(co_await broker::run_on<void>(*loops_[0], local.loop(),
                                                [&local] { return local.flush(); }));
  }
  if (cluster_) {
    owners_->stop();
    bridge_->stop();
    auto left = co_await cluster_->stop();
    if (ended) ended = std::move(left);
  }
  admin_->close();  // last: /readyz says meanwhile that the server stops
  co_return ended;
}

}  // namespace walrus::server
