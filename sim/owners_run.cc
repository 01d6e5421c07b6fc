#include "owners_run.h"

#include <algorithm>
#include <cstdio>

namespace walrus::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kNodes = 4;
constexpr std::size_t kClients = 3;  // the place of the node that the clients are at

}  // namespace

const std::vector<std::string>& owners_families() {
  static const std::vector<std::string> families{"coordinator-struck",
                                                 "queue-owner-struck",
                                                 "node-kill",
                                                 "node-power-cut",
                                                 "node-deaf",
                                                 "answered-elsewhere",
                                                 "answered-loading",
                                                 "unknown-outcome",
                                                 "fenced-commit",
                                                 "leader-syncs-again",
                                                 "empty",
                                                 "redelivered",
                                                 "journal-shrunk",
                                                 "journal-room-back"};
  return families;
}

OwnersRun::OwnersRun(std::uint64_t seed, std::int64_t operations) : operations_(operations) {
  auto options = replica::small_nodes(seed, kNodes);
  options.node.limits.retain_every = 500ms;
  options.node.limits.trimmed_bytes_max = 2'000;
  nodes_ = std::make_unique<replica::SimulatedNodes>(options);
  faces_.resize(kNodes);
  for (std::size_t place = 0; place < kNodes; ++place) open(place);
  nodes_->on_change = [this](const meta::State& state) { tell(state); };
  tell(nodes_->state());
  loop_ = world().node(kClients).env().make_loop();
  for (std::uint64_t i = 0; i < 2 + draw(2); ++i)
    members_.push_back({.name = fmt::format("c{}", i)});
}

OwnersRun::~OwnersRun() {
  nodes_->on_change = nullptr;
  loop_.reset();
  for (auto& face : faces_) {
    face.bridge->stop();
    face.owners.reset();
    face.groups.reset();
  }
  for (auto& process : nodes_->processes()) nodes_->drop(process);
  faces_.clear();
}

void OwnersRun::open(std::size_t place) {
  auto& process = nodes_->processes()[place];
  auto& env = world().node(static_cast<int>(place)).env();
  Face face{.life = process.life};
  face.bridge = broker::Bridge::make({.env = env,
                                      .loop = *process.loop,
                                      .engine = *process.engine,
                                      .rpc = *process.rpc,
                                      .node = *process.node,
                                      .metadata = *process.port,
                                      .self = process.id()});
  face.broker = std::make_unique<broker::Broker>(
      *process.engine, std::vector<io::Loop*>{process.loop.get()},
      broker::BrokerOptions{.node_id = process.id().value},
      std::make_unique<broker::ClusterCatalogue>(face.bridge, broker::ClusterCatalogue::Options{}));
  broker::GroupOptions groups{.initial_delay = 50ms, .session_timeout_min = 100ms};
  face.groups = std::make_shared<broker::Coordinators>(env, *process.loop, groups, 0);
  face.owners = broker::Owners::start(face.bridge, *process.rpc, *face.broker, face.groups,
                                      {.partitions = 3, .journal = {.waste_records_min = 20}});
  faces_[place] = std::move(face);
}

// After the node has learned it, as a server does.
void OwnersRun::tell(const meta::State& state) {
  state.topics.each([this](const Uuid&, const meta::Topic& topic) {
    auto durability = topic.settings.find("walrus.durability");
    if (topic.internal && durability != topic.settings.end() && durability->second != "fsync")
      flag("internal-durability", topic.name + " is not on disks when it is acknowledged");
  });
  auto image = std::make_shared<const meta::State>(state);
  for (std::size_t place = 0; place < faces_.size(); ++place) {
    auto life = faces_[place].life;
    world().at(world().now() + 3ms, [this, place, life, image] {
      bool there = nodes_->on_change && nodes_->lives(place, life) && faces_[place].life == life &&
                   !nodes_->processes()[place].deaf;
      if (!there) return;
      nodes_->processes()[place].loop->post(
          [bridge = faces_[place].bridge, image] { bridge->learned(image); });
    });
  }
}

bool OwnersRun::up(std::size_t place) const { return nodes_->lives(place, faces_[place].life); }

void OwnersRun::run() {
  for (auto& member : members_) loop_->spawn(repeat([this, &member] { return act(member); }));
  loop_->spawn(repeat([this] { return produce(); }));
  for (int i = 0; i < 2; ++i) loop_->spawn(repeat([this] { return get(); }));
  loop_->spawn(repeat([this] { return consume(); }));
  running_ = members_.size() + 4;
  while (!violation_ && tally_.operations < operations_) let_pass();
  finishing_ = true;
  while (struck_) bring_back();
  bool ended =
      violation_ || world().run_until([this] { return violation_ || ended_ == running_; }, 5min);
  count_shrunk();
  if (!violation_) check_end();  // it names what the takers wait for in vain
  if (!ended) flag("hang", "the clients do not end");
  tally_.trace = world().trace_hash();
}

// Of the internal topics: a first segment that begins above 0 has had others before it.
void OwnersRun::count_shrunk() {
  nodes_->state().partitions.each([this](const PartitionId& id, const meta::Partition& partition) {
    if (!nodes_->state().topics.find(id.topic)->internal) return;
    if (partition.log_start.value > 0) ++tally_.hits["journal-shrunk"];
    auto first = partition.sealed.empty() ? partition.sealed_end : partition.sealed.base();
    if (first.value > 0 && partition.log_start >= first) ++tally_.hits["journal-room-back"];
  });
}

void OwnersRun::let_pass() {
  if (!struck_ && draw(3) == 0) strike();
  if (struck_ && world().now() >= back_at_) bring_back();
  auto before = tally_.operations;
  auto began = world().now();
  world().run_until(
      [&] {
        return violation_ || tally_.operations > before + 20 ||
               (struck_ && world().now() >= back_at_);
      },
      5s);
  if (!violation_ && world().now() - began >= 30s) flag("hang", "nothing goes on");
}

// The clients' own node is spared.
std::size_t OwnersRun::victim() {
  auto kind = draw(4);
  auto node = kind < 2 ? coordinator_ : kind == 2 ? owner_ : NodeId{1 + draw(kNodes - 1)};
  if (node == NodeId{} || node.value - 1 == kClients) node = NodeId{1 + draw(kNodes - 1)};
  if (node == coordinator_) ++tally_.hits["coordinator-struck"];
  if (node == owner_) ++tally_.hits["queue-owner-struck"];
  return node.value - 1;
}

void OwnersRun::strike() {
  auto place = victim();
  struck_ = place;
  back_at_ = world().now() + std::chrono::milliseconds(draw(6'000));
  switch (draw(3)) {
    case 0:
      ++tally_.hits["node-deaf"];
      nodes_->processes()[place].deaf = true;
      say(fmt::format("node {} hears nothing of metadata", place + 1));
      return;
    case 1:
      ++tally_.hits["node-power-cut"];
      nodes_->crash(place, io::CrashKind::kPowerCut);
      break;
    default: ++tally_.hits["node-kill"]; nodes_->crash(place, io::CrashKind::kKill);
  }
  ++tally_.crashes;
  say(fmt::format("node {} dies", place + 1));
}

void OwnersRun::bring_back() {
  auto place = *std::exchange(struck_, std::nullopt);
  auto& process = nodes_->processes()[place];
  say(fmt::format("node {} is back", place + 1));
  if (!world().node(static_cast<int>(place)).crashed()) {
    process.deaf = false;
    process.loop->post([&process, image = std::make_shared<const meta::State>(nodes_->state())] {
      process.node->learned(image);
    });
    tell(nodes_->state());
    return;
  }
  faces_[place].bridge->stop();
  faces_[place].owners.reset();
  faces_[place].groups.reset();
  if (!nodes_->start(place)) return flag("no-start", "a node does not start again");
  open(place);
  ++tally_.restarts;
  tell(nodes_->state());
}

// Until the run is over: what breaks begins again after a while. What began before the end is not
// what the end asks for, though it succeeds.
boost::asio::awaitable<void> OwnersRun::repeat(std::function<Done()> once) {
  while (!violation_) {
    bool last = finishing_;
    auto result = co_await once();
    if (!result) refused(result.error());
    if (last && result) break;
    co_await loop_->sleep(Millis(1 + draw(60)));
  }
  ++ended_;
}

io::Task<NodeId> OwnersRun::find(bool group) {
  if (draw(20) == 0) co_return NodeId{1 + draw(kNodes)};  // a client that is mistaken
  auto& owners = *faces_[kClients].owners;
  auto found = group ? co_await owners.coordinator_of(*loop_, "g", 2s)
                     : co_await owners.owner_of(*loop_, "q", 2s);
  if (found) (group ? coordinator_ : owner_) = *found;
  co_return found;
}

void OwnersRun::refused(const Error& error) {
  say(fmt::format("refused: {}", error.message));
  if (error.code == Code::kFenced) ++tally_.hits["answered-elsewhere"];
  if (error.code == Code::kBusy) ++tally_.hits["answered-loading"];
  if (error.code == Code::kTimeout) ++tally_.hits["unknown-outcome"];
  operation(false);
}

void OwnersRun::operation(bool acknowledged) {
  ++tally_.operations;
  ++(acknowledged ? tally_.acknowledged : tally_.refused);
}

void OwnersRun::flag(const char* rule, std::string detail) {
  say(fmt::format("VIOLATION {}: {}", rule, detail));
  if (!violation_) violation_ = Violation{rule, std::move(detail)};
}

void OwnersRun::say(std::string line) {
  if (narrating_)
    std::printf("%10.6f %s\n", std::chrono::duration<double>(world().now()).count(), line.c_str());
}

}  // namespace walrus::sim
