#include "broker/cluster/owners.h"

#include <algorithm>
#include <utility>

#include "broker/cluster/reach_log.h"
#include "broker/cluster/tails.h"
#include "broker/run_on.h"

namespace walrus::broker {
namespace {

constexpr io::Nanos kLookInterval = std::chrono::milliseconds(500);

LogRef reach(const std::shared_ptr<Bridge>& bridge, net::Rpc& rpc, const LogRef& log) {
  auto replicated = std::dynamic_pointer_cast<ReplicatedLog>(log);
  return replicated ? std::make_shared<ReachLog>(bridge, rpc, replicated) : log;
}
}  // namespace

std::shared_ptr<Owners> Owners::start(std::shared_ptr<Bridge> bridge, net::Rpc& rpc, Broker& broker,
                                      std::shared_ptr<Coordinators> coordinators,
                                      const OwnersOptions& options) {
  std::shared_ptr<Owners> owners(new Owners(bridge, rpc, broker, std::move(coordinators), options));
  std::weak_ptr<Owners> weak = owners;
  broker.keep_cursors(
      [weak](const Topic& topic) -> Result<std::shared_ptr<Cursors>> {
        auto self = weak.lock();
        if (!self) return fail(Code::kClosed, "shutting down");
        return self->open_cursors(topic);
      },
      [bridge, &rpc](const LogRef& log) { return reach(bridge, rpc, log); });
  serve_reach(rpc, bridge);
  serve_tails(rpc, bridge);
  bridge->on_image([weak](const ImageRef& image) {
    if (auto self = weak.lock()) self->learned(image);
  });
  return owners;
}

Owners::Owners(std::shared_ptr<Bridge> bridge, net::Rpc& rpc, Broker& broker,
               std::shared_ptr<Coordinators> coordinators, const OwnersOptions& options)
    : bridge_(std::move(bridge)),
      loop_(bridge_->loop()),
      rpc_(rpc),
      broker_(broker),
      coordinators_(std::move(coordinators)),
      options_(options),
      image_(std::make_shared<const meta::State>()) {
  internal_[kGroups].name = kGroupsStream;
  internal_[kCursors].name = kCursorsStream;
}

Owners::~Owners() = default;

void Owners::stop() {
  stopped_ = true;
  changed_.wake_all(fail(Code::kClosed, "shutting down"));
}

// ---------------------------------------------------------------------------------------------
// What is this node's

void Owners::learned(const ImageRef& image) {
  if (stopped_ || image->version < image_->version) return;
  auto changes = image->changes_since(image_->version);
  image_ = image;
  for (auto kind : {kGroups, kCursors}) see(kind);
  if (changes.whole || !changes.deleted.empty())
    for (auto& part : internal_[kCursors].parts)
      if (part.keeper) forget_topics(*part.keeper);
  changed_.wake_all({});
}

void Owners::see(Kind kind) {
  auto& internal = internal_[kind];
  const auto* id = image_->topic_names.find(std::string(internal.name));
  const auto* topic = id ? image_->topics.find(*id) : nullptr;
  std::size_t partitions = topic ? topic->partitions : 0;
  auto now = topic ? *id : Uuid{};
  if (now != internal.id || partitions != internal.parts.size()) renew(kind, now, partitions);
  for (std::size_t i = 0; i < partitions; ++i) consider(kind, i);
  if (topic) grow_replicas(internal);
}

// It was made, or is not what it was: everything begins anew.
void Owners::renew(Kind kind, const Uuid& id, std::size_t partitions) {
  auto& internal = internal_[kind];
  for (std::size_t i = 0; i < internal.parts.size(); ++i) let_go(kind, i);
  internal.id = id;
  internal.parts.clear();
  internal.parts.resize(partitions);
  if (kind == kGroups) coordinators_->set_partitions(partitions);
}

// None: nobody writes it at the moment.
const meta::Segment* Owners::tail(const Internal& internal, std::size_t partition) const {
  PartitionId id{internal.id, static_cast<std::uint32_t>(partition)};
  const auto* found = image_->partitions.find(id);
  if (!found || !found->tail || found->tail->state != meta::SegmentState::kOpen) return nullptr;
  return &*found->tail;
}

void Owners::consider(Kind kind, std::size_t partition) {
  if (stopped_) return;
  auto& part = internal_[kind].parts[partition];
  const auto* segment = tail(internal_[kind], partition);
  bool leads = segment && segment->leader == bridge_->self();
  if (leads && !part.ours && !part.retrying) take_over(kind, partition);
  if (!leads && part.ours) let_go(kind, partition);
}

void Owners::take_over(Kind kind, std::size_t partition) {
  auto& internal = internal_[kind];
  auto& part = internal.parts[partition];
  auto opened = broker_.catalogue().open(loop_, internal.name);
  if (!opened || (*opened)->partitions.size() <= partition) {
    lost(kind, partition);  // the catalogue is not so far
    return;
  }
  auto journal =
      std::make_unique<LogJournal>(broker_.engine(), loop_, (*opened)->partitions[partition],
                                   options_.journal, [weak = weak_from_this(), kind, partition] {
                                     if (auto self = weak.lock()) self->lost(kind, partition);
                                   });
  part.ours = true;
  if (kind == kGroups)
    return coordinators_->begin(partition, std::move(journal), Coordinators::Load::kAtOnce);
  part.keeper = std::make_shared<CursorKeeper>(std::move(journal));
  loop_.spawn(open_keeper(shared_from_this(), part.keeper));
}

boost::asio::awaitable<void> Owners::open_keeper(std::shared_ptr<Owners> self,
                                                 std::shared_ptr<CursorKeeper> keeper) {
  while (!keeper->stopped() && !self->stopped_) {
    if (co_await keeper->open()) co_return self->forget_topics(*keeper);
    co_await self->loop_.sleep(self->options_.retry);
  }
}

void Owners::let_go(Kind kind, std::size_t partition) {
  auto& part = internal_[kind].parts[partition];
  if (!std::exchange(part.ours, false)) return;
  if (kind == kGroups) return coordinators_->end(partition);
  part.keeper->stop();
  part.keeper.reset();
  broker_.local(0).end_lost_queues();
}

// Another one has written; or this node, in a life of its own of which it does not know enough.
void Owners::lost(Kind kind, std::size_t partition) {
  auto& parts = internal_[kind].parts;
  if (partition >= parts.size()) return;
  let_go(kind, partition);
  if (std::exchange(parts[partition].retrying, true)) return;
  loop_.spawn(look_again(weak_from_this(), loop_, kind, partition, options_.retry));
}

boost::asio::awaitable<void> Owners::look_again(std::weak_ptr<Owners> weak, io::Loop& loop,
                                                Kind kind, std::size_t partition, io::Nanos after) {
  co_await loop.sleep(after);
  auto self = weak.lock();
  if (!self || partition >= self->internal_[kind].parts.size()) co_return;
  self->internal_[kind].parts[partition].retrying = false;
  self->consider(kind, partition);
}

Result<std::shared_ptr<Cursors>> Owners::open_cursors(const Topic& topic) {
  const auto& parts = internal_[kCursors].parts;
  if (parts.empty()) return fail(Code::kFenced, "the cursors are kept elsewhere");
  const auto& part = parts[group_partition(topic.name, parts.size())];
  if (!part.keeper) return fail(Code::kFenced, "the cursors are kept elsewhere");
  return part.keeper->cursors(topic.id);
}

// A position was stored after its topic was made, and before its keeper's epoch ended: an image
// that knows of the next epoch knows the topic, or that it is gone.
void Owners::forget_topics(CursorKeeper& keeper) const {
  keeper.forget([this](const Uuid& id) { return image_->topics.find(id) == nullptr; });
}

// ---------------------------------------------------------------------------------------------
// Who it is

io::Task<NodeId> Owners::coordinator_of(io::Loop& here, std::string group, io::Nanos timeout) {
  return run_on<NodeId>(here, loop_, [self = shared_from_this(), group, timeout] {
    return self->find(kGroups, group, timeout);
  });
}

io::Task<NodeId> Owners::owner_of(io::Loop& here, std::string topic, io::Nanos timeout) {
  return run_on<NodeId>(here, loop_, [self = shared_from_this(), topic, timeout] {
    return self->find(kCursors, topic, timeout);
  });
}

io::Task<std::vector<NodeId>> Owners::coordinators(io::Loop& here, io::Nanos timeout) {
  return run_on<std::vector<NodeId>>(here, loop_, [self = shared_from_this(), timeout] {
    return self->find_all(kGroups, timeout);
  });
}

io::Task<NodeId> Owners::find(Kind kind, std::string name, io::Nanos timeout) {
  auto self = shared_from_this();
  auto deadline = bridge_->env().mono() + timeout;
  while (true) {
    auto& internal = internal_[kind];
    if (internal.parts.empty()) {
      if (!std::exchange(internal.making, true)) loop_.spawn(make(self, kind));
    } else {
      auto partition = group_partition(name, internal.parts.size());
      if (const auto* segment = tail(internal, partition)) co_return segment->leader;
      WALRUS_CO_TRY(want(internal, {partition}));
    }
    WALRUS_CO_TRY(co_await await_change(internal.name, deadline));
  }
}

io::Task<std::vector<NodeId>> Owners::find_all(Kind kind, io::Nanos timeout) {
  auto self = shared_from_this();
  auto deadline = bridge_->env().mono() + timeout;
  while (true) {
    const auto& internal = internal_[kind];
    std::vector<NodeId> leaders;
    std::vector<std::size_t> without;
    for (std::size_t i = 0; i < internal.parts.size(); ++i) {
      if (const auto* segment = tail(internal, i)) leaders.push_back(segment->leader);
      else without.push_back(i);
    }
    if (without.empty()) co_return leaders;
    WALRUS_CO_TRY(want(internal, std::move(without)));
    WALRUS_CO_TRY(co_await await_change(internal.name, deadline));
  }
}

// Somebody is to lead them.
Result<void> Owners::want(const Internal& internal, std::vector<std::size_t> partitions) {
  WALRUS_ASSIGN(auto* metadata, bridge_->metadata());
  std::vector<PartitionId> wanted;
  for (auto partition : partitions)
    wanted.push_back({internal.id, static_cast<std::uint32_t>(partition)});
  metadata->want(std::move(wanted));
  return {};
}

// Until there is another image, or for a while. kBusy: the time is over.
io::Task<void> Owners::await_change(Bytes what, io::Nanos deadline) {
  if (stopped_) co_return fail(Code::kClosed, "shutting down");
  auto left = deadline - bridge_->env().mono();
  if (left <= io::Nanos(0)) co_return fail(Code::kBusy, "nobody leads {} now", what);
  io::Signal signal(loop_);
  auto waiter = changed_.add(signal.setter());
  (void)co_await signal.wait(std::min(left, kLookInterval));
  changed_.remove(waiter);
  if (stopped_) co_return fail(Code::kClosed, "shutting down");
  co_return Result<void>();
}

// What fails is asked for again.
boost::asio::awaitable<void> Owners::make(std::shared_ptr<Owners> self, Kind kind) {
  NewTopic topic{.name = std::string(self->internal_[kind].name),
                 .partitions = self->options_.partitions,
                 .replication_factor = self->nodes(),
                 .internal = true};
  topic.config.stream.durability.kind = Durability::kFsync;
  (void)co_await self->broker_.catalogue().create(self->loop_, std::move(topic));
  self->internal_[kind].making = false;
}

// On how many nodes an internal topic belongs.
std::uint32_t Owners::nodes() const {
  std::uint32_t active = 0;
  image_->nodes.each([&active](const NodeId&, const meta::Node& node) {
    if (node.state == meta::NodeState::kActive) ++active;
  });
  return std::clamp<std::uint32_t>(active, 1, options_.replication_factor);
}

// As nodes come, up to what is wanted; by the one that leads its first partition.
void Owners::grow_replicas(const Internal& internal) {
  const auto& topic = *image_->topics.find(internal.id);
  const auto* segment = tail(internal, 0);
  auto wanted = nodes();
  bool due = wanted > topic.replication_factor && segment && segment->leader == bridge_->self();
  if (!due || std::exchange(proposing_, true)) return;
  loop_.spawn(propose(shared_from_this(), {.topic = internal.id,
                                           .expected = topic.version,
                                           .replication_factor = wanted,
                                           .min_copies = wanted / 2 + 1}));
}

boost::asio::awaitable<void> Owners::propose(std::shared_ptr<Owners> self,
                                             meta::AlterTopic change) {
  meta::Command command{.time = Time(Millis(self->bridge_->engine().trusted_ms()))};
  command.changes.emplace_back(std::move(change));
  auto metadata = self->bridge_->metadata();
  if (metadata) (void)co_await (*metadata)->propose(std::move(command));
  self->proposing_ = false;
}

}  // namespace walrus::broker
