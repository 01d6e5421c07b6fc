#pragma once
// Server: the composition root. Opens the engine, makes the loops, binds the ports, watches the
// disk, and takes all of it down again in order. Works in both worlds: real loops run on workers of
// their own, simulated ones are run by their world.
//
// A directory that belongs to a cluster, or cluster.join, makes it a node of one (cluster.h): then
// topics, users and groups are the cluster's, and it serves once the cluster knows it. The first
// loop is the one on which all of that lives.
//
// Durable when: what was acknowledged before stop() is durable in any case; stop() also answers
// what was taken, makes GET's cursors durable and checkpoints.

#include <memory>
#include <string>
#include <vector>

#include "base/event.h"
#include "base/log_line.h"
#include "base/metrics.h"
#include "broker/auth/authentication.h"
#include "broker/auth/users.h"
#include "broker/broker.h"
#include "broker/cluster/bridge.h"
#include "broker/cluster/owners.h"
#include "frontend/admin/admin.h"
#include "frontend/kafka/server.h"
#include "frontend/native/server.h"
#include "io/env.h"
#include "io/network.h"
#include "log/engine.h"
#include "net/tls_server.h"
#include "net/tls_transport.h"
#include "server/cluster.h"
#include "service/gateway.h"

namespace walrus::server {

// What a port asks of its clients.
struct PortSecurityOptions {
  bool tls = false;  // needs certificate and key
  std::vector<wire::sasl::Mechanism> mechanisms{};
};

struct SecurityOptions {
  net::TlsServerOptions tls{};
  PortSecurityOptions native{}, kafka{};
  io::Nanos session_lifetime{0};
};

struct ServerOptions {
  log::EngineOptions engine{};
  broker::BrokerOptions broker{};
  frontend::native::NativeOptions native{};
  frontend::kafka::KafkaOptions kafka{};  // an empty address: no such port
  SecurityOptions security{};
  broker::GroupOptions groups{};
  ClusterOptions cluster{};
  bool cluster_tls = false;  // between nodes, with the files of security.tls
  std::string admin_listen = "127.0.0.1:9094";
  std::size_t loops = 1;
  std::int64_t disk_free_bytes_min = 256 << 20;
  io::Nanos watch_interval = std::chrono::milliseconds(100);  // of the disk and of health
  io::Nanos certificate_interval = std::chrono::seconds(1);   // looked at for changes
  io::Nanos drain_timeout = std::chrono::seconds(10);
  // Set by whoever wants the certificates read again now, a signal handler too; the log says what
  // became of it. Outlives the server.
  std::atomic<bool>* reload = nullptr;
  // True: start() is given up where it waits for a cluster. Outlives it.
  const std::atomic<bool>* stop = nullptr;
};

class Server {
 public:
  // Serves when it returns. Errors name what could not be opened or bound.
  static Result<std::unique_ptr<Server>> start(io::Env&, const ServerOptions&, LogSink&);
  // The same in two steps, for nodes of one process that have to wait for each other.
  static Result<std::unique_ptr<Server>> open(io::Env&, const ServerOptions&, LogSink&);
  Result<void> serve();
  ~Server();  // without stop(): as a crash, but for the engine, which is closed

  const std::string& native_address() const { return native_->address(); }
  std::string kafka_address() const { return kafka_ ? kafka_->address() : ""; }
  const std::string& admin_address() const { return admin_->address(); }
  std::string peer_address() const { return cluster_ ? cluster_->address() : ""; }

  // Waits for stop_requested(), for a failure of the storage, which is returned, or for the end of
  // the node's part in its cluster (Cluster::failure()).
  Result<void> wait();
  Event& stop_requested() { return wake_; }  // set() may be called from a signal handler
  // Graceful, once.
  Result<void> stop();

  log::Engine& engine() { return *engine_; }
  broker::Broker& broker() { return *broker_; }
  broker::Users& users() { return *users_; }
  Cluster* cluster() { return cluster_.get(); }  // null: a single server
  std::string metrics_page() const;

 private:
  Server(io::Env&, const ServerOptions&, LogSink&);
  Result<void> open_engine();
  Result<void> compose(std::unique_ptr<broker::Catalogue>);
  Result<void> bind();
  void accept();
  Result<void> open_cluster();
  Result<meta::Identity> find_identity(NodeId self);
  static io::Task<void> compose_cluster(Server*, meta::Identity);
  void route(frontend::native::Forwarding&);
  void add_operations(frontend::kafka::NodeOptions&);
  static io::Task<meta::Health> ask_health(Server*);
  Result<void> await_registered();
  bool start_given_up() const { return options_.stop != nullptr && options_.stop->load(); }
  net::Transport& transport();
  Result<void> bind_kafka();
  Result<void> open_security();
  broker::PortSecurity security_of(const PortSecurityOptions&) const;
  void run_loops();
  void stop_loops();
  io::Nanos watch();
  bool is_full() const;
  void watch_certificates();
  Result<void> ready() const;
  static boost::asio::awaitable<void> drain(Server*, Event*);
  io::Task<void> drain_all();

  io::Env& env_;
  const ServerOptions options_;
  LogSink& log_;
  Metrics metrics_;
  net::TcpTransport tcp_;
  std::unique_ptr<net::TlsTransport> peer_tls_;  // none: plain TCP between nodes, or no cluster
  std::unique_ptr<log::Engine> engine_;
  std::vector<std::unique_ptr<io::Loop>> loops_;
  std::unique_ptr<service::Gateway> gateway_;  // to the first loop
  std::unique_ptr<Cluster> cluster_;           // none: a single server
  std::shared_ptr<broker::Bridge> bridge_;     // shared with what it is asked
  std::shared_ptr<broker::Owners> owners_;     // of a cluster; shared with its coroutines
  std::unique_ptr<broker::Broker> broker_;
  std::shared_ptr<broker::Users> users_;  // shared with the sessions
  std::shared_ptr<broker::AuthJournal> auth_journal_;
  std::shared_ptr<broker::Coordinators> groups_;  // shared with the sessions
  std::unique_ptr<net::TlsServer> tls_;           // none: no port asks for it
  io::Nanos certificates_looked_at_{};            // on the watcher
  std::unique_ptr<frontend::native::NativeServer> native_;
  std::unique_ptr<frontend::kafka::KafkaServer> kafka_;
  std::unique_ptr<frontend::admin::AdminServer> admin_;
  std::vector<std::unique_ptr<io::Worker>> loop_workers_;
  std::unique_ptr<io::Worker> watcher_;
  Event wake_;
  std::atomic<bool> stopping_{false}, loops_ended_{false}, disk_low_{false};
  Gauge& storage_low_;
};

}  // namespace walrus::server
