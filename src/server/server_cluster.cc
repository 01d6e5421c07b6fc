// The part of Server that makes it a node of a cluster.

#include "base/check.h"
#include "broker/cluster/cluster_catalogue.h"
#include "broker/cluster/seals.h"
#include "broker/run_on.h"
#include "server/cluster_directory.h"
#include "server/server.h"

namespace walrus::server {
namespace {

// A newcomer asks for so long who is there, a node of a cluster that stands waits as long as it
// takes: both ends look in between whether they are to stop.
constexpr io::Nanos kFindTimeout = std::chrono::seconds(60);
constexpr io::Nanos kWaitSlice = std::chrono::seconds(1);

// Why the cluster has it not, with what its operator may have forgotten.
std::unexpected<Error> is_no_node(Error why, std::uint32_t level) {
  if (level < meta::kFeatureLevel)
    why.message += fmt::format(" (cluster.feature_level_max = {}, its program knows {})", level,
                               meta::kFeatureLevel);
  return std::unexpected(std::move(why));
}

}  // namespace

net::Transport& Server::transport() {
  return peer_tls_ ? static_cast<net::Transport&>(*peer_tls_) : tcp_;
}

Result<void> Server::open_cluster() {
  NodeId self{options_.broker.node_id};
  if (options_.cluster_tls) {
    WALRUS_ASSIGN(peer_tls_,
                  net::TlsTransport::open(env_, tcp_, log_, metrics_,
                                          {.files = options_.security.tls.files, .self = self}));
  }
  if (options_.cluster.feature_level < meta::kFeatureLevel)
    log_line(log_, LogLevel::kWarning, "feature_level_held",
             {{"level", options_.cluster.feature_level}, {"program_knows", meta::kFeatureLevel}});
  run_loops();
  WALRUS_ASSIGN(auto identity, find_identity(self));
  return gateway_->run<void>(
      [this, identity = std::move(identity)] { return compose_cluster(this, identity); });
}

// Of a directory that is a node's already, or that becomes one by --join.
Result<meta::Identity> Server::find_identity(NodeId self) {
  WALRUS_ASSIGN(auto known, meta::load_identity(*engine_));
  if (known && known->node == self) return *known;
  if (known)
    return fail(Code::kMismatch, "{} belongs to node {} of a cluster: start it with --node-id {}",
                options_.engine.user.root.string(), known->node.value, known->node.value);
  WALRUS_TRY(check_without_topics(*engine_));
  log_line(log_, LogLevel::kInfo, "joining", {{"node", self.value}});
  const auto deadline = env_.mono() + kFindTimeout;
  for (bool told = false;; told = true) {
    auto found = gateway_->run<meta::Identity>([this, self] {
      return meta::find_cluster(env_, *loops_[0], transport(), *engine_, self,
                                options_.cluster.join, kWaitSlice);
    });
    bool over = start_given_up() || env_.mono() >= deadline;
    if (found || found.error().code != Code::kTimeout || over) return found;
    if (!told) log_line(log_, LogLevel::kWarning, "join_waits", {{"why", found.error()}});
  }
}

// In one turn of the loop up to where it waits: what comes from other nodes finds its handlers.
io::Task<void> Server::compose_cluster(Server* server, meta::Identity identity) {
  const ClusterParts parts{server->env_,        *server->loops_[0], *server->engine_,
                           server->transport(), server->metrics_,   server->log_};
  WALRUS_CO_ASSIGN(server->cluster_,
                   Cluster::start(parts, server->options_.cluster, std::move(identity)));
  auto& cluster = *server->cluster_;
  server->bridge_ = broker::Bridge::make({parts.env, parts.loop, parts.engine, cluster.rpc(),
                                          cluster.node(), cluster.metadata(), cluster.self()});
  cluster.on_image(
      [bridge = server->bridge_](const replica::ImageRef& image) { bridge->learned(image); });
  WALRUS_CO_TRY(server->compose(std::make_unique<broker::ClusterCatalogue>(
      server->bridge_, broker::ClusterCatalogue::Options{
                           .defaults = server->options_.broker.topic_defaults,
                           .replication_factor = server->options_.cluster.replication_factor})));
  server->owners_ =
      broker::Owners::start(server->bridge_, cluster.rpc(), *server->broker_, server->groups_,
                            {.replication_factor = server->options_.cluster.replication_factor});
  cluster.rpc().handle_stream(frontend::native::kForwardNative,
                              [server](net::Request request, net::Stream& stream) {
                                return server->native_->serve_forwarded(std::move(request), stream);
                              });
  std::vector<meta::Listener> listeners{{"native", server->native_->address()},
                                        {"admin", server->admin_->address()}};
  if (server->kafka_) listeners.push_back({"kafka", server->kafka_->advertised()});
  co_return co_await cluster.join(std::move(listeners));
}

// Where requests go that this node does not serve.
void Server::route(frontend::native::Forwarding& forwarding) {
  forwarding.rpc = &cluster_->rpc();
  forwarding.loop = loops_[0].get();
  forwarding.self = cluster_->self();
  forwarding.owner_of = [this](io::Loop& here, std::string topic, io::Nanos timeout) {
    return owners_->owner_of(here, std::move(topic), timeout);
  };
  forwarding.coordinator_of = [this](io::Loop& here, std::string group, io::Nanos timeout) {
    return owners_->coordinator_of(here, std::move(group), timeout);
  };
  forwarding.coordinators = [this](io::Loop& here, io::Nanos timeout) {
    return owners_->coordinators(here, timeout);
  };
}

// What Kafka's clients may ask of the whole cluster.
void Server::add_operations(frontend::kafka::NodeOptions& node) {
  node.accept_loss = [bridge = bridge_](io::Loop& here, PartitionId id, std::string by) {
    return broker::run_on<void>(here, bridge->loop(), [bridge, id, by = std::move(by)] {
      return broker::accept_any_loss(bridge, id, by);
    });
  };
  node.health = [this](io::Loop& here) {
    return broker::run_on<meta::Health>(here, *loops_[0], [this] { return ask_health(this); });
  };
}

io::Task<meta::Health> Server::ask_health(Server* server) {
  auto member = server->cluster_->member();
  if (!member) co_return fail(Code::kBusy, "not a node of the cluster yet");
  co_return co_await member->health();
}

Result<void> Server::await_registered() {
  bool told = false;
  while (true) {
    auto registered = gateway_->run<void>([this] { return cluster_->registered(kWaitSlice); });
    if (registered || start_given_up()) return registered;
    WALRUS_TRY(engine_->failure());
    auto failed = cluster_->failure();
    if (registered.error().code != Code::kTimeout) failed = registered;
    if (!failed) return is_no_node(failed.error(), options_.cluster.feature_level);
    if (!std::exchange(told, true))
      log_line(log_, LogLevel::kWarning, "waiting_for_cluster", {{"error", registered.error()}});
  }
}

}  // namespace walrus::server
