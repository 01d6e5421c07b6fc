#include "frontend/kafka/server.h"

#include <algorithm>

#include "broker/topic_config.h"
#include "frontend/entrance.h"
#include "io/address.h"

namespace walrus::frontend::kafka {
namespace {

constexpr Bytes kHeldBytes = "walrus_kafka_held";

// What clients are told to connect to.
Result<void> set_advertised(NodeOptions& node, const std::string& advertise,
                            const std::string& listening) {
  WALRUS_ASSIGN(auto address, io::parse_address(advertise.empty() ? listening : advertise));
  WALRUS_ASSIGN(auto bound, io::parse_address(listening));
  if (address.host == "0.0.0.0" || address.host == "::")
    return fail(Code::kInvalid,
                "kafka.advertise: clients cannot connect to {}: name an address of this node",
                address.host);
  node.host = address.host;
  node.port = address.port == 0 ? bound.port : address.port;
  return {};
}

std::string protocol_of(const KafkaOptions& options) {
  bool asks = !options.session.security.mechanisms.empty();
  return fmt::format("{}{}", asks ? "SASL_" : "", options.tls != nullptr ? "SSL" : "PLAINTEXT");
}

// What clients and tools ask a broker for beside its topics' defaults. Listed as what they are now.
std::vector<broker::KafkaConfig> node_settings(const KafkaOptions& options, Bytes listening) {
  using broker::ConfigType;
  std::vector<broker::KafkaConfig> list;
  auto add = [&list](Bytes name, ConfigType type, const auto& value) {
    list.push_back({.name = std::string(name), .value = fmt::format("{}", value), .type = type});
  };
  auto millis = [](auto time) { return std::chrono::floor<Millis>(time).count(); };
  const auto& session = options.session;
  const auto& groups = session.groups->options();
  auto protocol = protocol_of(options);
  add("advertised.listeners", ConfigType::kString,
      fmt::format("{}://{}:{}", protocol, session.node.host, session.node.port));
  add("listeners", ConfigType::kString, fmt::format("{}://{}", protocol, listening));
  std::vector<Bytes> mechanisms;
  for (auto mechanism : session.security.mechanisms)
    mechanisms.push_back(mechanism_name(mechanism));
  add("sasl.enabled.mechanisms", ConfigType::kList, fmt::format("{}", fmt::join(mechanisms, ",")));
  add("connections.max.reauth.ms", ConfigType::kLong, millis(session.security.session_lifetime));
  add("connections.max.idle.ms", ConfigType::kLong, millis(session.idle_timeout));
  add("max.connections", ConfigType::kInt, options.connections_max);
  add("max.connections.per.ip", ConfigType::kInt, options.connections_per_address_max);
  add("socket.request.max.bytes", ConfigType::kInt, session.request_bytes_max);
  add("fetch.max.bytes", ConfigType::kInt, session.node.fetch_bytes_max);
  add("max.incremental.fetch.session.cache.slots", ConfigType::kInt,
      options.fetch_sessions.sessions_max);
  add("group.initial.rebalance.delay.ms", ConfigType::kInt, millis(groups.initial_delay));
  add("group.min.session.timeout.ms", ConfigType::kInt, millis(groups.session_timeout_min));
  add("group.max.session.timeout.ms", ConfigType::kInt, millis(groups.session_timeout_max));
  add("group.max.size", ConfigType::kInt, groups.members_max);
  add("offsets.retention.minutes", ConfigType::kInt,
      std::chrono::floor<std::chrono::minutes>(groups.offsets_retention).count());
  return list;
}

FetchSessionOptions share(FetchSessionOptions of_all, std::size_t loops) {
  of_all.sessions_max = std::max<std::size_t>(1, of_all.sessions_max / loops);
  of_all.partitions_max = std::max<std::size_t>(1, of_all.partitions_max / loops);
  return of_all;
}

}  // namespace

KafkaServer::KafkaServer(broker::Broker& broker, Metrics& metrics, KafkaOptions options,
                         std::unique_ptr<net::Acceptor> acceptor)
    : broker_(broker),
      options_(std::move(options)),
      acceptor_(std::move(acceptor)),
      sessions_(broker.loops()),
      session_loops_(broker.loops(),
                     SessionLoop{FetchSessions(share(options_.fetch_sessions, broker.loops()))}),
      newcomers_(broker.loops(),
                 net::Newcomers(std::max<std::size_t>(options_.newcomers_max / broker.loops(), 1))),
      metrics_(metrics),
      connections_(metrics.gauge({"walrus_kafka_connections", "Open connections."})),
      accepted_(metrics.counter({"walrus_kafka_accepted", "Connections accepted."})),
      counters_{metrics.counter({"walrus_kafka_requests", "Requests received."}),
                metrics.counter({"walrus_kafka_errors",
                                 "Requests that were refused or ended their connection."}),
                metrics.counter({"walrus_kafka_received", "Bytes received.", "bytes"}),
                metrics.counter({"walrus_kafka_sent", "Bytes of responses sent.", "bytes"})} {
  options_.session.node.settings = std::make_shared<const std::vector<broker::KafkaConfig>>(
      node_settings(options_, acceptor_->address()));
  options_.session.counters = &counters_;
  options_.session.memory = &memory_;
  memory_.bytes_max = options_.memory_bytes_max;
  metrics.read_gauge({kHeldBytes, "Requests and responses that are held.", "bytes"}, {},
                     [this] { return static_cast<double>(memory_.bytes.load()); });
}

KafkaServer::~KafkaServer() { metrics_.remove(kHeldBytes, {}); }

Result<std::unique_ptr<KafkaServer>> KafkaServer::listen(broker::Broker& broker, Metrics& metrics,
                                                         KafkaOptions options) {
  std::vector<io::Loop*> loops;
  for (std::size_t i = 0; i < broker.loops(); ++i) loops.push_back(&broker.local(i).loop());
  WALRUS_ASSIGN(auto acceptor,
                net::Acceptor::listen(
                    loops, {.listen = options.listen,
                            .connections_max = options.connections_max,
                            .connections_per_address_max = options.connections_per_address_max}));
  WALRUS_TRY(set_advertised(options.session.node, options.advertise, acceptor->address()));
  return std::unique_ptr<KafkaServer>(
      new KafkaServer(broker, metrics, std::move(options), std::move(acceptor)));
}

std::string KafkaServer::advertised() const {
  const auto& node = options_.session.node;
  return io::to_string({node.host, static_cast<std::uint16_t>(node.port)});
}

void KafkaServer::start() {
  acceptor_->start(
      [this](std::size_t loop, std::unique_ptr<io::Connection> connection) {
        serve(loop, std::move(connection));
      },
      "");  // the protocol has no words for it: too many connections are closed
}

void KafkaServer::serve(std::size_t loop, std::unique_ptr<io::Connection> connection) {
  auto peer = connection->peer();
  Entrance entrance(newcomers_[loop], {.name = "kafka",
                                       .tls = options_.tls,
                                       .asks = !options_.session.security.mechanisms.empty()});
  connection = entrance.secure(broker_.local(loop).loop(), std::move(connection));
  auto session = std::make_shared<Session>(broker_.local(loop), session_loops_[loop],
                                           std::move(connection), options_.session);
  std::weak_ptr weak(session);
  entrance.enter([weak] {
    if (auto cut = weak.lock()) cut->cut();
  });
  sessions_[loop].insert(session);
  accepted_.add();
  connections_.add(1);
  session->start(
      [this, loop, peer, weak, entrance] {
        entrance.leave();
        sessions_[loop].erase(weak.lock());
        connections_.add(-1);
        acceptor_->release(peer);
      },
      [entrance] { entrance.leave(); });
  if (stopping_) session->stop();  // was on its way here
}

io::Task<void> KafkaServer::stop(io::Nanos timeout) {
  stopping_ = true;
  acceptor_->close();
  for (std::size_t i = 0; i < broker_.loops(); ++i) {
    auto& local = broker_.local(i);
    local.loop().post([this, i, &local] {
      local.stop();
      auto sessions = sessions_[i];
      for (const auto& session : sessions) session->stop();
    });
  }
  co_return co_await acceptor_->drained(timeout);
}

}  // namespace walrus::frontend::kafka
