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

// What an operator sees of it; set as of a moment ago.
struct Cluster::Gauges {
  explicit Gauges(Metrics& metrics)
      : leads_metadata(
            metrics.gauge({"walrus_metadata_leads", "1 on the node that leads the metadata."})),
        quorum(metrics.gauge(
            {"walrus_metadata_reachable", "1 while the node holds a lease from the metadata."})),
        applied(metrics.gauge({"walrus_metadata_applied", "Index of the last applied command."})),
        nodes(metrics.gauge({"walrus_cluster_nodes", "Nodes that are not removed."})),
        leaders(metrics.gauge({"walrus_replica_leaders", "Segments that this node writes."})),
        copies(metrics.gauge({"walrus_replica_copies", "Copies of segments on this node."})),
        waiting(metrics.gauge(
            {"walrus_replica_waiting", "Appends that wait for a segment or for other nodes."})),
        recoveries(metrics.gauge(
            {"walrus_replica_recoveries", "Segments of dead writers that this node is sealing."})),
        links(metrics.gauge({"walrus_peer_links", "Connections to other nodes."})) {}
  Gauge &leads_metadata, &quorum, &applied, &nodes, &leaders, &copies, &waiting, &recoveries,
      &links;
};

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
                              .join = options_.join};
  options.controller.voters_max = options_.voters_max;
  WALRUS_CO_ASSIGN(member_, co_await meta::Member::start({parts_.env, parts_.loop, parts_.transport,
                                                          parts_.engine, *rpc_, *host_, parts_.log},
                                                         std::move(options)));
  member_->on_lease([this](io::Nanos asked_at) { node_->lease_granted(asked_at); });
  member_->on_work([this](const meta::Work& given) { work(given); });
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
  if (registered_) member_->copying(node_->copying(), stats.repaired_bytes);
  if (!status.failure.empty()) {
    const LockGuard guard(lock_);
    if (failure_.empty())
      log_line(parts_.log, LogLevel::kError, "node_failed", {{"why", status.failure}});
    failure_ = status.failure;
  }
  std::int64_t nodes = 0;
  member_->image()->nodes.each([&nodes](NodeId, const meta::Node& node) {
    if (node.state != meta::NodeState::kRemoved) ++nodes;
  });
  gauges_->leads_metadata.set(status.leads ? 1 : 0);
  gauges_->quorum.set(reachable ? 1 : 0);
  gauges_->applied.set(static_cast<std::int64_t>(status.applied));
  gauges_->nodes.set(nodes);
  gauges_->leaders.set(static_cast<std::int64_t>(stats.leaders));
  gauges_->copies.set(static_cast<std::int64_t>(stats.copies));
  gauges_->waiting.set(static_cast<std::int64_t>(stats.waiting));
  gauges_->recoveries.set(static_cast<std::int64_t>(stats.recoveries));
  gauges_->links.set(static_cast<std::int64_t>(rpc_->stats().links));
}

Result<void> Cluster::failure() const {
  const LockGuard guard(lock_);
  if (failure_.empty()) return {};
  return fail(Code::kFenced, "{}", failure_);
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
