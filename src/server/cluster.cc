#include "server/cluster.h"

#include <algorithm>

#include "base/check.h"
#include "io/address.h"

namespace walrus::server {
namespace {

constexpr io::Nanos kBeginPause = std::chrono::milliseconds(2);
constexpr std::size_t kFrameSlack = 64 << 10;  // of a message, beside the largest batch
constexpr std::size_t kForwardedMax = 4'096;   // connections of clients that one node hands on
constexpr io::Nanos kLookInterval = std::chrono::milliseconds(500);

// The address that others are told, for one that is listened on.
Result<std::string> advertised(const std::string& advertise, const std::string& listening) {
  WALRUS_ASSIGN(auto address, io::parse_address(advertise.empty() ? listening : advertise));
  WALRUS_ASSIGN(auto bound, io::parse_address(listening));
  if (address.host == "0.0.0.0" || address.host == "::")
    return fail(Code::kInvalid,
                "peer.advertise: other nodes cannot connect to {}: name an address of this node",
                address.host);
  if (address.port == 0) address.port = bound.port;
  return io::to_string(address);
}

}  // namespace

// What an operator sees of it; set as of a moment ago. What the controller alone knows is 0 on
// other nodes, so that the greatest of all nodes is the cluster's.
struct Cluster::Gauges {
  explicit Gauges(Metrics& metrics) {
    auto gauge = [&metrics](Bytes name, Bytes help) { return &metrics.gauge({name, help}); };
    auto counter = [&metrics](Bytes name, Bytes help, Bytes unit = "") {
      return &metrics.counter({name, help, unit});
    };
    leads_metadata = gauge("walrus_metadata_leads", "1 on the node that leads the metadata.");
    quorum =
        gauge("walrus_metadata_reachable", "1 while the node holds a lease from the metadata.");
    votes = gauge("walrus_metadata_votes", "1 on nodes that vote on the metadata.");
    term = gauge("walrus_metadata_term", "Term of the metadata's leader; rises with elections.");
    committed = gauge("walrus_metadata_committed", "Index of the last command that is decided.");
    applied = gauge("walrus_metadata_applied", "Index of the last applied command.");
    nodes = gauge("walrus_cluster_nodes", "Nodes that are not removed.");
    alive = gauge("walrus_cluster_nodes_alive", "Nodes that answer the controller, told by it.");
    under_replicated = gauge("walrus_cluster_under_replicated",
                             "Segments with fewer copies than they should have, told by the "
                             "controller.");
    stuck = gauge("walrus_cluster_stuck",
                  "Partitions and segments that wait for nodes or an operator, told by the "
                  "controller.");
    draining = gauge("walrus_cluster_draining_segments",
                     "Copies that have yet to leave nodes that go, told by the controller.");
    losses = gauge("walrus_cluster_losses", "Times that acknowledged records were given up.");
    leaders = gauge("walrus_replica_leaders", "Segments that this node writes.");
    lagging = gauge("walrus_replica_lagging",
                    "Segments that this node writes of which a copy has not come further for 1 s.");
    slow =
        gauge("walrus_replica_slow",
              "Copies on other nodes, of segments that this one writes, that have been behind for "
              "long.");
    damaged = gauge("walrus_replica_damaged", "Sealed copies on this node that are damaged.");
    copies = gauge("walrus_replica_copies", "Copies of segments on this node.");
    waiting =
        gauge("walrus_replica_waiting", "Appends that wait for a segment or for other nodes.");
    recoveries =
        gauge("walrus_replica_recoveries", "Segments of dead writers that this node is sealing.");
    links = gauge("walrus_peer_links", "Connections to other nodes.");
    appends = counter("walrus_replica_appends", "Batches that this node was given to write.");
    refused = counter("walrus_replica_appends_refused", "Batches that it did not take.");
    messages = counter("walrus_replica_messages", "Messages of segments to other nodes.");
    handed_on = counter("walrus_replica_appends_handed_on",
                        "Batches that went on to the node that leads since a planned roll.");
    repaired = counter("walrus_replica_repaired", "Fetched to make copies whole.", "bytes");
    remote = counter("walrus_replica_remote_reads", "Reads that another node's copy served.");
    scrubbed = counter("walrus_replica_scrubbed", "Of sealed copies, read for damage.", "bytes");
    rounds = counter("walrus_replica_scrub_rounds", "Times that all sealed copies were read.");
    found = counter("walrus_replica_copies_damaged", "Sealed copies that damage was found in.");
    mended = counter("walrus_replica_copies_mended", "Of them, made whole from another node's.");
  }
  void set(const meta::State&);
  void set(const meta::MemberStatus&);
  void set(const std::optional<meta::Health>&);
  void set(const replica::NodeStats&);

  Gauge *leads_metadata, *quorum, *votes, *term, *committed, *applied, *nodes, *alive,
      *under_replicated, *stuck, *draining, *losses, *leaders, *lagging, *slow, *damaged, *copies,
      *waiting, *recoveries, *links;
  Counter *appends, *refused, *messages, *handed_on, *repaired, *remote, *scrubbed, *rounds, *found,
      *mended;
  replica::NodeStats counted{};              // of the counters
  std::optional<meta::Version> losses_of{};  // that `losses` was counted of
};

void Cluster::Gauges::set(const meta::State& image) {
  std::int64_t present = 0;
  image.nodes.each([&present](NodeId, const meta::Node& node) {
    if (node.state != meta::NodeState::kRemoved) ++present;
  });
  nodes->set(present);
  if (losses_of == image.version) return;
  losses_of = image.version;
  std::uint64_t lost = 0;
  image.partitions.each([&lost](const PartitionId&, const meta::Partition& partition) {
    lost += partition.losses_total;
  });
  losses->set(static_cast<std::int64_t>(lost));
}

void Cluster::Gauges::set(const meta::MemberStatus& status) {
  leads_metadata->set(status.leads ? 1 : 0);
  votes->set(status.voter ? 1 : 0);
  term->set(static_cast<std::int64_t>(status.term));
  committed->set(static_cast<std::int64_t>(status.commit));
  applied->set(static_cast<std::int64_t>(status.applied));
}

void Cluster::Gauges::set(const std::optional<meta::Health>& health) {
  std::uint64_t living = 0, leaving = 0;
  if (health) {
    for (const auto& sight : health->nodes) living += sight.alive ? 1 : 0;
    for (const auto& drain : health->drains) leaving += drain.left.tails + drain.left.sealed;
  }
  alive->set(static_cast<std::int64_t>(living));
  draining->set(static_cast<std::int64_t>(leaving));
  under_replicated->set(health ? static_cast<std::int64_t>(health->under_replicated) : 0);
  stuck->set(health ? static_cast<std::int64_t>(health->stuck_total) : 0);
}

void Cluster::Gauges::set(const replica::NodeStats& stats) {
  leaders->set(static_cast<std::int64_t>(stats.leaders));
  lagging->set(static_cast<std::int64_t>(stats.lagging));
  slow->set(static_cast<std::int64_t>(stats.slow));
  damaged->set(static_cast<std::int64_t>(stats.damaged));
  copies->set(static_cast<std::int64_t>(stats.copies));
  waiting->set(static_cast<std::int64_t>(stats.waiting));
  recoveries->set(static_cast<std::int64_t>(stats.recoveries));
  appends->add(stats.appends - counted.appends);
  refused->add(stats.appends_refused - counted.appends_refused);
  messages->add(stats.messages_sent - counted.messages_sent);
  handed_on->add(stats.appends_handed_on - counted.appends_handed_on);
  repaired->add(stats.repaired_bytes - counted.repaired_bytes);
  remote->add(stats.remote_reads - counted.remote_reads);
  scrubbed->add(stats.scrubbed_bytes - counted.scrubbed_bytes);
  rounds->add(stats.scrub_rounds - counted.scrub_rounds);
  found->add(stats.copies_damaged - counted.copies_damaged);
  mended->add(stats.copies_mended - counted.copies_mended);
  counted = stats;
}

Cluster::Cluster(const ClusterParts& parts, ClusterOptions options, meta::Identity identity)
    : parts_(parts),
      options_(std::move(options)),
      identity_(std::move(identity)),
      gauges_(std::make_unique<Gauges>(parts.metrics)),
      alive_(std::make_shared<Cluster*>(this)) {}

Cluster::~Cluster() { drop(); }

Result<std::unique_ptr<Cluster>> Cluster::start(const ClusterParts& parts, ClusterOptions options,
                                                meta::Identity identity) {
  std::unique_ptr<Cluster> cluster(new Cluster(parts, std::move(options), std::move(identity)));
  WALRUS_TRY(cluster->open());
  return cluster;
}

Result<void> Cluster::open() {
  const auto& engine = parts_.engine.options().user;
  if (engine.batch_bytes_max < kCommandBatchBytes)
    return fail(Code::kInvalid,
                "log.journal_bytes_max = {}: a node of a cluster needs {} at least, for the log of "
                "the metadata",
                engine.journal_bytes_max, kClusterJournalBytesMin);
  WALRUS_ASSIGN(identity_, meta::claim(parts_.env, parts_.engine, identity_));
  const auto message_bytes = std::max<std::size_t>(1 << 20, options_.batch_bytes_max) + kFrameSlack;
  net::RpcOptions rpc{.self = identity_.peer(),
                      .listen = options_.listen,
                      .message_bytes_max = message_bytes,
                      .bulk_window = std::max<std::size_t>(16 << 20, 3 * message_bytes),
                      .streams_max = kForwardedMax,
                      .queue_bytes_max = std::max<std::size_t>(32 << 20, 3 * message_bytes)};
  rpc.log = &parts_.log;
  WALRUS_ASSIGN(rpc_, net::Rpc::start(parts_.env, parts_.loop, parts_.transport, rpc));
  WALRUS_ASSIGN(address_, advertised(options_.advertise, rpc_->address()));
  WALRUS_ASSIGN(host_, raft::Host::start(parts_.env, parts_.loop, parts_.engine, *rpc_,
                                         {.self = identity_.node, .log = &parts_.log}));
  replica::NodeOptions node{.self = identity_.node, .incarnation = identity_.incarnation()};
  node.log = &parts_.log;
  node.limits.retain_every = parts_.engine.options().maintenance_interval;
  node.limits.scrub_bytes_per_s = options_.scrub_bytes_per_s;
  node.limits.scrub_every = options_.scrub_every;
  node.leader.batch_bytes_max = options_.batch_bytes_max;
  WALRUS_ASSIGN(
      node_, replica::Node::start(parts_.env, parts_.loop, parts_.engine, *rpc_, metadata_, node));
  return {};
}

io::Task<void> Cluster::join(std::vector<meta::Listener> of_clients) {
  of_clients.push_back({"peer", address_});
  meta::MemberOptions options{.identity = identity_,
                              .listeners = std::move(of_clients),
                              .rack = options_.rack,
                              .join = options_.join,
                              .feature_level = options_.feature_level};
  options.controller.voters_max = options_.voters_max;
  WALRUS_CO_ASSIGN(member_, co_await meta::Member::start({parts_.env, parts_.loop, parts_.transport,
                                                          parts_.engine, *rpc_, *host_, parts_.log},
                                                         std::move(options)));
  member_->on_lease([this](io::Nanos asked_at) { node_->lease_granted(asked_at); });
  member_->on_work([this](const meta::Work& given) { work(given); });
  member_->on_full([this](const std::set<NodeId>& full) { node_->learn_full(full); });
  parts_.loop.spawn(look(alive_));
  co_return Result<void>();
}

io::Task<void> Cluster::registered(io::Nanos timeout) {
  const auto deadline = parts_.env.mono() + timeout;
  WALRUS_CO_TRY(co_await member_->registered(timeout));
  if (!std::exchange(registered_, true)) {
    member_->subscribe([this](std::shared_ptr<const meta::State> image) { learned(image); });
    learned(member_->image());
  }
  while (!node_->begun()) {
    if (parts_.env.mono() >= deadline)
      co_return fail(Code::kTimeout, "what the disk may have lost is not written down yet");
    co_await parts_.loop.sleep(kBeginPause);
  }
  co_return Result<void>();
}

void Cluster::learned(std::shared_ptr<const meta::State> image) {
  image_.store(image);
  node_->learned(image);
  if (on_image_) on_image_(image);
}

void Cluster::work(const meta::Work& given) {
  if (auto* recover = std::get_if<meta::Recover>(&given)) node_->recover({*recover});
  else if (auto* roll = std::get_if<meta::Roll>(&given)) node_->roll({*roll});
  else if (auto* copy = std::get_if<meta::Copy>(&given)) node_->copy({*copy});
}

boost::asio::awaitable<void> Cluster::look(std::weak_ptr<Cluster*> alive) {
  while (true) {
    io::Loop* loop = nullptr;
    {
      auto cluster = alive.lock();
      if (!cluster) co_return;
      (*cluster)->look_once();
      loop = &(*cluster)->parts_.loop;
    }
    co_await loop->sleep(kLookInterval);
  }
}

void Cluster::look_once() {
  const auto status = member_->status();
  const auto stats = node_->stats();
  const bool reachable = status.leased_until > parts_.env.mono();
  has_quorum_.store(reachable);
  leads_metadata_.store(status.leader.value);
  if (registered_) {
    member_->copying(node_->copying(), stats.repaired_bytes);
    member_->feel(
        {.full = storage_low_.load(), .slow = node_->slow(), .damaged = node_->damaged()});
  }
  if (!status.failure.empty()) {
    const LockGuard guard(lock_);
    if (failure_.empty())
      log_line(parts_.log, LogLevel::kError, "node_failed", {{"why", status.failure}});
    failure_ = status.failure;
  }
  gauges_->set(*member_->image());
  gauges_->set(status);
  gauges_->set(member_->own_health());
  gauges_->set(stats);
  gauges_->quorum->set(reachable ? 1 : 0);
  gauges_->links->set(static_cast<std::int64_t>(rpc_->stats().links));
}

Result<void> Cluster::failure() const {
  const LockGuard guard(lock_);
  if (failure_.empty()) return {};
  return fail(Code::kFenced, "{}", failure_);
}

// Clients go on here until they have learned who leads now (frontend/kafka/moved.h): none has come
// for a while then. Those that never learn lose their connections.
io::Task<void> Cluster::give_away() {
  constexpr io::Nanos kQuiet = std::chrono::milliseconds(50), kLearnedMax = std::chrono::seconds(1);
  if (member_) member_->leave_soon();
  if (!registered_) co_return Result<void>();
  WALRUS_CO_TRY(co_await node_->give_away(options_.stop_timeout / 4));
  const auto until = parts_.env.mono() + std::min(kLearnedMax, options_.stop_timeout / 4);
  for (bool quiet = false; !quiet && parts_.env.mono() < until;) {
    auto before = node_->stats().appends;
    co_await parts_.loop.sleep(kQuiet);
    quiet = node_->stats().appends == before;
  }
  co_return Result<void>();
}

io::Task<void> Cluster::stop() {
  if (std::exchange(stopped_, true)) co_return Result<void>();
  alive_.reset();
  Result<void> result;
  auto keep = [&result](Result<void> ended) {
    if (result && !ended) result = std::move(ended);
  };
  const auto deadline = parts_.env.mono() + options_.stop_timeout;
  auto left = [&] { return std::max(deadline - parts_.env.mono(), io::Nanos(0)); };
  if (registered_) keep(co_await node_->stop(left()));
  if (member_) keep(co_await member_->stop(deadline));
  keep(co_await host_->stop());
  keep(co_await rpc_->stop(std::max<io::Nanos>(left(), std::chrono::seconds(1))));
  co_return result;
}

void Cluster::drop() {
  alive_.reset();
  node_.reset();
  if (member_) member_->drop();
  member_.reset();
  host_.reset();
  rpc_.reset();
}

io::Task<std::vector<meta::Outcome>> Cluster::Metadata::propose(meta::Command command) {
  if (!cluster_.member_) co_return fail(Code::kBusy, "not a member yet");
  co_return co_await cluster_.member_->propose(std::move(command.changes));
}

io::Task<replica::ImageRef> Cluster::Metadata::current() {
  if (!cluster_.member_) co_return fail(Code::kBusy, "not a member yet");
  co_return co_await cluster_.member_->current();
}

void Cluster::Metadata::want(std::vector<PartitionId> partitions) {
  if (!cluster_.member_) return;
  for (const auto& partition : partitions) cluster_.member_->want(partition);
}

}  // namespace walrus::server
