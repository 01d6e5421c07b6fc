#include "server/setup.h"

#include <sys/resource.h>

#include <algorithm>

#include "base/check.h"
#include "broker/topic_config.h"

namespace walrus::server {
namespace {

constexpr std::int64_t kFilesReserve = 128;  // listeners, loops, journals, admin connections
constexpr std::int64_t kConnectionsMin = 16;
// What a batch of one record has around the payload of a PUT or APPEND, generously.
constexpr std::int64_t kBatchAroundPayload = 256;
constexpr std::int64_t kBatchesPerJournal = 16;
constexpr std::int64_t kJournalFiles = 8;  // at least so many, as long as a file is no absurdity
constexpr std::int64_t kJournalFileBytesMin = 64 << 10;

std::optional<std::int64_t> unless_minus_one(std::int64_t value) {
  return value < 0 ? std::nullopt : std::optional(value);
}

std::optional<Millis> millis_unless_minus_one(std::int64_t value) {
  return value < 0 ? std::nullopt : std::optional(Millis(value));
}

broker::TopicConfig topic_defaults(const Config& config) {
  auto durability = broker::parse_durability(config.string("topic.durability"));
  CHECK(durability.has_value());  // checked when it was loaded
  return {
      .stream = {.durability = *durability,
                 .segment_records_max = config.integer("topic.segment_records_max"),
                 .segment_bytes_max = config.integer("topic.segment_bytes_max"),
                 .segment_time_max = millis_unless_minus_one(config.integer("topic.segment_ms")),
                 .retention_bytes = unless_minus_one(config.integer("topic.retention_bytes")),
                 .retention_time = millis_unless_minus_one(config.integer("topic.retention_ms"))},
      .batch_bytes_max = config.integer("topic.batch_bytes_max")};
}

PortSecurityOptions port_security(const Config& config, Bytes table) {
  auto protocol = config.protocol(table);
  PortSecurityOptions port{.tls = protocol.tls};
  if (!protocol.sasl) return port;
  for (const auto& name : config.list("security.sasl")) {
    auto mechanism = wire::sasl::parse_mechanism(name);
    CHECK(mechanism.has_value());  // checked when it was loaded
    port.mechanisms.push_back(*mechanism);
  }
  return port;
}

SecurityOptions security_options(const Config& config) {
  SecurityOptions security{.native = port_security(config, "native"),
                           .kafka = port_security(config, "kafka"),
                           .session_lifetime = Millis(config.integer("security.session_ms"))};
  security.tls.files = {.ca = config.string("security.ca"),
                        .certificate = config.string("security.certificate"),
                        .key = config.string("security.key")};
  const auto& wanted = config.string("security.client_certificate");
  if (wanted == "requested") security.tls.client_certificate = net::ClientCertificate::kRequested;
  if (wanted == "required") security.tls.client_certificate = net::ClientCertificate::kRequired;
  return security;
}

ClusterOptions cluster_options(const Config& config) {
  ClusterOptions cluster{
      .listen = config.string("peer.listen"),
      .advertise = config.string("peer.advertise"),
      .rack = config.string("node.rack"),
      .join = config.list("cluster.join"),
      .voters_max = static_cast<std::uint32_t>(config.integer("cluster.voters"))};
  cluster.replication_factor =
      static_cast<std::uint32_t>(config.integer("topic.replication_factor"));
  cluster.scrub_bytes_per_s = config.integer("cluster.scrub_bytes_per_s");
  cluster.scrub_every = Millis(config.integer("cluster.scrub_interval_ms"));
  if (auto level = config.integer("cluster.feature_level_max"); level > 0)
    cluster.feature_level = static_cast<std::uint32_t>(level);
  return cluster;
}

}  // namespace

ServerOptions server_options(const Config& config, int cores) {
  ServerOptions options;
  auto& user = options.engine.user;
  user.root = config.string("node.data_dir");
  user.key = config.string("node.namespace");
  user.shards = static_cast<int>(config.integer("log.shards"));
  user.journal_bytes_max = config.integer("log.journal_bytes_max");
  // How small a journal may be follows from the largest batch and from the size of its files; a
  // topic may ask for larger batches than the node's, as far as the journal has room for them.
  auto batch_bytes = config.integer("topic.batch_bytes_max") + kBatchAroundPayload;
  // A node of a cluster keeps the metadata's log in it, too.
  if (user.journal_bytes_max >= kClusterJournalBytesMin)
    batch_bytes = std::max(batch_bytes, kCommandBatchBytes);
  user.batch_bytes_max = std::min(
      user.batch_bytes_max, std::max(batch_bytes, user.journal_bytes_max / kBatchesPerJournal));
  auto& file_bytes_min = options.engine.journal_file_bytes_min;
  file_bytes_min = std::clamp(user.journal_bytes_max / kJournalFiles,
                              std::min(kJournalFileBytesMin, file_bytes_min), file_bytes_min);
  user.in_flight_bytes_max = config.integer("log.in_flight_bytes_max");
  user.cache_bytes_max = config.integer("log.cache_bytes_max");
  user.background_bytes_per_s = config.integer("log.background_bytes_per_s");
  options.engine.maintenance_interval = Millis(config.integer("log.maintenance_interval_ms"));
  options.loops = static_cast<std::size_t>(user.shards > 0 ? user.shards : std::max(cores, 1));

  options.broker.node_id = static_cast<std::uint64_t>(config.integer("node.id"));
  options.broker.topic_defaults = topic_defaults(config);

  auto& native = options.native;
  native.listen = config.string("native.listen");
  native.connections_max = static_cast<std::size_t>(config.integer("native.connections_max"));
  native.connections_per_address_max =
      static_cast<std::size_t>(config.integer("limits.connections_per_address_max"));
  native.session.frame_bytes_max =
      static_cast<std::size_t>(config.integer("native.frame_bytes_max"));
  native.session.output_bytes_max =
      static_cast<std::size_t>(config.integer("native.output_bytes_max"));
  native.session.idle_timeout = Millis(config.integer("native.idle_timeout_ms"));
  native.memory_bytes_max = config.integer("limits.memory_bytes_max");

  auto& kafka = options.kafka;
  kafka.listen = config.string("kafka.listen");
  kafka.advertise = config.string("kafka.advertise");
  kafka.connections_max = static_cast<std::size_t>(config.integer("kafka.connections_max"));
  kafka.connections_per_address_max = native.connections_per_address_max;
  kafka.memory_bytes_max = native.memory_bytes_max;
  kafka.session.request_bytes_max =
      static_cast<std::size_t>(config.integer("kafka.request_bytes_max"));
  auto& node = kafka.session.node;
  node.node_id = static_cast<std::int32_t>(config.integer("node.id"));
  node.acks_all = config.string("cluster.acks_min") == "all";
  node.auto_create_topics = config.boolean("kafka.auto_create_topics");
  node.partitions_default = static_cast<std::int32_t>(config.integer("kafka.partitions_default"));

  options.groups.initial_delay = Millis(config.integer("kafka.group_initial_delay_ms"));
  options.groups.offsets_retention = Millis(config.integer("kafka.offsets_retention_ms"));

  native.newcomers_max = static_cast<std::size_t>(config.integer("limits.newcomers_max"));
  kafka.newcomers_max = native.newcomers_max;
  options.security = security_options(config);
  options.admin_listen = config.string("admin.listen");
  options.cluster_tls = config.protocol("peer").tls;
  options.cluster = cluster_options(config);
  options.cluster.batch_bytes_max = static_cast<std::size_t>(user.batch_bytes_max);
  options.disk_free_bytes_min = config.integer("limits.disk_free_bytes_min");
  return options;
}

Result<void> fit_open_files(ServerOptions& options, LogSink& log) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  auto files = static_cast<std::int64_t>(std::min<rlim_t>(limit.rlim_cur, 1 << 24));
  auto own = kFilesReserve + options.engine.open_files_max;
  if (files < kFilesReserve + kConnectionsMin + 16)
    return fail(Code::kInvalid,
                "the limit on open files is {}: at least {} are needed: raise it (ulimit -n)",
                files, kFilesReserve + kConnectionsMin + 16);
  // With few files the engine keeps fewer of its segments open.
  options.engine.open_files_max =
      std::min(options.engine.open_files_max, (files - kFilesReserve) / 2);
  own = kFilesReserve + options.engine.open_files_max;
  auto connections = static_cast<std::int64_t>(options.native.connections_max);
  auto kafka_connections = static_cast<std::int64_t>(options.kafka.connections_max);
  if (options.kafka.listen.empty()) kafka_connections = 0;
  if (connections + kafka_connections + own > files) {
    // Both faces get less, in proportion.
    auto share = (files - own) * connections / (connections + kafka_connections);
    options.native.connections_max = static_cast<std::size_t>(std::max<std::int64_t>(share, 1));
    options.kafka.connections_max =
        static_cast<std::size_t>(std::max<std::int64_t>(files - own - share, 1));
    log_line(log, LogLevel::kWarning, "few_open_files",
             {{"limit", files},
              {"connections_max", connections + kafka_connections},
              {"native_connections_max_now", options.native.connections_max},
              {"kafka_connections_max_now", options.kafka.connections_max},
              {"hint", "raise the limit on open files (ulimit -n)"}});
  }
  return {};
}

}  // namespace walrus::server
