#include "server/option.h"

#include <algorithm>

#include "meta/state.h"

namespace walrus::server {
namespace {

constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kDayMs = 86'400'000;
constexpr Bytes kProtocols = "auto|plaintext|ssl|sasl_plaintext|sasl_ssl";
using enum OptionType;

constexpr Option kOptions[] = {
    {"node.id", kInteger, "1", 1, std::numeric_limits<std::int32_t>::max(),
     "This node's id. In a cluster no two nodes have the same, and it stays with the directory."},
    {"node.data_dir", kString, "./walrus-data", 0, 0,
     "The data directory; made if it does not exist."},
    {"node.namespace", kString, "", 0, 0,
     "A namespace below the data directory: another set of topics. Empty: the directory itself."},
    {"node.rack", kString, "", 0, 0,
     "Where the node stands. A cluster spreads the copies of a segment over racks."},

    {"native.listen", kAddress, "127.0.0.1:9091", 0, 0, "Address of the native protocol."},
    {"native.security", kChoice, "auto", 0, 0,
     "What the port asks for: TLS (ssl), a user (sasl), both. auto: TLS if there is a "
     "security.certificate, a user if security.sasl names a mechanism.",
     kProtocols},
    {"native.frame_bytes_max", kInteger, "1048576", 1024, 64 << 20,
     "Longest request frame. A longer one is refused and its body drained up to 64 MiB."},
    {"native.connections_max", kInteger, "10000", 1, 1'000'000,
     "Open connections; more are told `ERR too many connections`. Lowered if the limit on open "
     "files is too small for it."},
    {"native.idle_timeout_ms", kInteger, "600000", 1000, 30 * kDayMs,
     "A connection without a request for so long is closed."},
    {"native.output_bytes_max", kInteger, "4194304", 64 << 10, 1 << 30,
     "Replies and requests of one connection that may wait; above it no more is read from it."},

    {"kafka.listen", kOptionalAddress, "127.0.0.1:9092", 0, 0,
     "Address of the Kafka protocol; empty: it is not served."},
    {"kafka.advertise", kString, "", 0, 0,
     "Address that Kafka clients are told to connect to; port 0 means the port listened on. Empty: "
     "the address listened on."},
    {"kafka.security", kChoice, "auto", 0, 0, "As native.security.", kProtocols},
    {"kafka.request_bytes_max", kInteger, "104857600", 1024, 1 << 30,
     "Longest request; a connection that sends a longer one is closed."},
    {"kafka.connections_max", kInteger, "5000", 1, 1'000'000,
     "Open connections; more are closed. Lowered if the limit on open files is too small for it."},
    {"kafka.auto_create_topics", kBoolean, "true", 0, 0,
     "A Kafka client that asks for an unknown topic makes it, unless it says otherwise."},
    {"kafka.partitions_default", kInteger, "1", 1, 4096,
     "Partitions of a topic whose maker names no number."},
    {"kafka.group_initial_delay_ms", kInteger, "3000", 0, kDayMs,
     "How long an empty consumer group waits for more members before it begins."},
    {"kafka.offsets_retention_ms", kInteger, "604800000", 1, kInt64Max,
     "Offsets of a consumer group are forgotten when it is empty, and they are, for so long."},

    {"peer.listen", kAddress, "127.0.0.1:9093", 0, 0,
     "Address for the other nodes of a cluster; a single server does not listen on it."},
    {"peer.advertise", kString, "", 0, 0,
     "Address that the other nodes are told to connect to; port 0 means the port listened on. "
     "Empty: the address listened on."},
    {"peer.security", kChoice, "auto", 0, 0,
     "Between nodes. ssl: each shows a certificate that names it (walrus cert node), signed by "
     "security.ca. auto: ssl if there are a security.certificate and a security.ca.",
     "auto|plaintext|ssl"},
    {"admin.listen", kAddress, "127.0.0.1:9094", 0, 0,
     "Address of HTTP: /metrics, /healthz, /readyz."},

    {"cluster.join", kAddresses, "", 0, 0,
     "Peer addresses of members of a cluster that the node is to join; without effect once it "
     "has."},
    {"cluster.voters", kInteger, "3", 1, 5,
     "Nodes that keep the cluster's metadata: 1, 3 or 5; one as long as there are fewer than "
     "three. The node that leads them goes by its own."},
    {"cluster.acks_min", kChoice, "all", 0, 0,
     "What a Kafka producer may be content with: all = acks=1 waits like acks=all; 1 = acks=1 is "
     "answered when the leader has the batch, which its death may take back.",
     "all|1"},
    {"cluster.scrub_bytes_per_s", kInteger, "4194304", 0, 1LL << 40,
     "So fast a node reads its sealed copies to find damage, which it mends from other nodes' "
     "copies; 0 = only what somebody reads is checked."},
    {"cluster.scrub_interval_ms", kInteger, "86400000", 100, 365 * kDayMs,
     "So long after one round of that has ended the next one begins."},
    {"cluster.feature_level_max", kInteger, "0", 0, meta::kFeatureLevel,
     "The node says that it knows no higher feature level; 0 = that of its program. For the time "
     "of an upgrade: while one node has it, the cluster's level does not rise above it, and the "
     "way back to the release before stays open."},

    {"log.shards", kInteger, "0", 0, 1024,
     "Journals, and loops that serve connections; 0 = the number of cores, but one journal in a "
     "directory that is made for a node of a cluster. May change between starts."},
    {"log.journal_bytes_max", kInteger, "1073741824", 1 << 20, 1LL << 40,
     "Size of one shard's journal; above four times topic.batch_bytes_max, and of a node of a "
     "cluster at least 4210688. All journals together leave half of a smaller disk free."},
    {"log.in_flight_bytes_max", kInteger, "67108864", 1 << 20, 1LL << 40,
     "Appended bytes that are not acknowledged yet, of one shard."},
    {"log.cache_bytes_max", kInteger, "268435456", 0, 1LL << 40, "Cache of stored segments."},
    {"log.background_bytes_per_s", kInteger, "67108864", 1 << 20, 1LL << 40,
     "I/O budget of checkpoints, retention, compaction and new journal files."},
    {"log.maintenance_interval_ms", kInteger, "5000", 10, kDayMs,
     "How often retention, rolls by time and compaction are looked at."},

    {"topic.durability", kDurability, "fsync", 0, 0,
     "What an acknowledgement means: fsync (on disk), interval=<ms> (on disk within so long), os "
     "(in the page cache). Like all of [topic]: for topics made from now on."},
    {"topic.segment_records_max", kInteger, "1000000", 1, kInt64Max, "Records of a segment."},
    {"topic.segment_bytes_max", kInteger, "1073741824", 64 << 10, kInt64Max, "Size of a segment."},
    {"topic.segment_ms", kInteger, "-1", -1, kInt64Max, "Age of a segment; -1 = no limit."},
    {"topic.retention_ms", kInteger, "-1", -1, kInt64Max,
     "Older records are removed; -1 = kept for ever."},
    {"topic.retention_bytes", kInteger, "-1", -1, kInt64Max,
     "The oldest records above so many bytes are removed; -1 = all are kept."},
    {"topic.batch_bytes_max", kInteger, "1048588", 1024, 64 << 20,
     "Longest record batch, and longest payload of PUT and APPEND."},
    {"topic.replication_factor", kInteger, "3", 1, 7,
     "Copies of a topic of a cluster; fewer where there are fewer nodes when it is made. A single "
     "server has one."},

    {"security.certificate", kString, "", 0, 0,
     "PEM file: the certificate that TLS clients are shown, then those between it and its CA. Read "
     "again when it changes."},
    {"security.key", kString, "", 0, 0, "PEM file: the certificate's private key, no password."},
    {"security.ca", kString, "", 0, 0,
     "PEM file: who may sign the certificates of clients and of nodes."},
    {"security.client_certificate", kChoice, "none", 0, 0,
     "Certificates of clients: not asked for; must be good where one is shown; needed, and the "
     "user "
     "is its subject where security.sasl asks for none.",
     "none|requested|required"},
    {"security.sasl", kList, "", 0, 0,
     "Mechanisms by which clients may prove who they are; empty: nobody is asked. PLAIN off "
     "loopback only with TLS.",
     "SCRAM-SHA-256|SCRAM-SHA-512|PLAIN"},
    {"security.session_ms", kInteger, "0", 0, 30 * kDayMs,
     "So long after it has proven who it is a client has to do so again; 0 = never."},
    {"security.insecure", kBoolean, "false", 0, 0,
     "Allows addresses other than loopback where nobody is asked who he is."},

    {"limits.memory_bytes_max", kInteger, "1073741824", 16 << 20, kInt64Max,
     "Replies and requests of all connections that may wait, taken together."},
    {"limits.connections_per_address_max", kInteger, "10000", 1, 1'000'000,
     "Open connections from one address."},
    {"limits.newcomers_max", kInteger, "1024", 1, 1'000'000,
     "Connections of a port that asks for TLS or a user, and that have proven nothing yet; above "
     "it "
     "the oldest is closed. After 10 s each is."},
    {"limits.disk_free_bytes_min", kInteger, "268435456", 0, kInt64Max,
     "With less free space where the data lies, appends are refused with `ERR storage full` until "
     "there is an eighth more than this; a node of a cluster is given nothing new meanwhile. 0 = "
     "only when the disk is full."},
};

constexpr bool sorted_by_table() {
  for (std::size_t i = 1; i < std::size(kOptions); ++i) {
    auto table = kOptions[i].key.substr(0, kOptions[i].key.find('.'));
    auto before = kOptions[i - 1].key.substr(0, kOptions[i - 1].key.find('.'));
    if (table == before) continue;
    for (std::size_t j = 0; j + 1 < i; ++j)
      if (kOptions[j].key.starts_with(table) && kOptions[j].key[table.size()] == '.') return false;
  }
  return true;
}
static_assert(sorted_by_table(), "a table stands in one place");

}  // namespace

std::span<const Option> options() { return kOptions; }

const Option* find_option(Bytes key) {
  auto found = std::ranges::find(kOptions, key, &Option::key);
  return found == std::end(kOptions) ? nullptr : found;
}

}  // namespace walrus::server
