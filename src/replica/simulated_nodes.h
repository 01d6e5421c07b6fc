#pragma once
// SimulatedNodes: processes of a simulated world, each with the engine, the connections and the
// replica::Node that ship, around one State that stands for the metadata group: it is changed and
// read at once and in order, but what is said to it and what it says takes its time, and does not
// go through where the world is told so. Its controller is meta::Planner. For tests and worlds.

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"
#include "io/sim/sim_world.h"
#include "meta/planner.h"
#include "net/transport.h"
#include "replica/node.h"
#include "replica/node_methods.h"

namespace walrus::replica {

using namespace std::chrono_literals;

class SimulatedNodes {
 public:
  struct Options {
    std::size_t nodes = 3;
    log::EngineOptions engine{};
    NodeOptions node{};
    std::uint64_t seed = 1;
    meta::PlanLimits plan{};
    io::Nanos control_every = 30ms, renew_every = 100ms;
    std::int64_t disk_free_bytes_min = 256 << 10;  // with less a node is full, see Server::watch()
    std::function<void(std::size_t place, const Error&)> not_started{};
  };
  class Port;
  struct Process {  // what refers to the others goes first
    std::size_t place = 0;
    std::uint64_t life = 0, incarnation = 0, disk = 0;
    Uuid directory{};
    bool up = false, wiped = true;
    bool deaf = false;  // nothing goes between it and metadata
    bool full = false;  // as it has told
    io::Nanos up_since{};
    std::unique_ptr<io::Loop> loop{};
    std::unique_ptr<log::Engine> engine{};
    std::unique_ptr<net::TcpTransport> transport{};
    std::unique_ptr<net::Rpc> rpc{};
    std::unique_ptr<Port> port{};
    std::unique_ptr<Node> node{};
    NodeId id() const { return NodeId{place + 1}; }
  };

  // One process's way to metadata.
  class Port : public Metadata {
   public:
    Port(SimulatedNodes& nodes, std::size_t place, std::uint64_t life)
        : nodes_(nodes), place_(place), life_(life) {}
    io::Task<std::vector<meta::Outcome>> propose(meta::Command command) override {
      return propose_at(nodes_, place_, life_, std::move(command));
    }
    io::Task<ImageRef> current() override { return current_at(nodes_, place_, life_); }
    void want(std::vector<PartitionId> wanted) override {
      if (nodes_.hears(place_, life_)) nodes_.wanted_.insert(wanted.begin(), wanted.end());
    }

   private:
    static io::Task<std::vector<meta::Outcome>> propose_at(SimulatedNodes& nodes, std::size_t place,
                                                           std::uint64_t life,
                                                           meta::Command command) {
      if (!co_await there(nodes, place, life)) co_return fail(Code::kTimeout, "cut off");
      auto outcomes = nodes.apply(std::move(command));
      if (!co_await there(nodes, place, life)) co_return fail(Code::kTimeout, "cut off");
      co_return outcomes;
    }
    static io::Task<ImageRef> current_at(SimulatedNodes& nodes, std::size_t place,
                                         std::uint64_t life) {
      if (!co_await there(nodes, place, life)) co_return fail(Code::kTimeout, "cut off");
      auto image = nodes.image_;
      if (!co_await there(nodes, place, life)) co_return fail(Code::kTimeout, "cut off");
      co_return image;
    }
    static boost::asio::awaitable<bool> there(SimulatedNodes& nodes, std::size_t place,
                                              std::uint64_t life) {
      co_await nodes.processes_[place].loop->sleep(nodes.delay());
      if (nodes.hears(place, life)) co_return true;
      co_await nodes.processes_[place].loop->sleep(300ms);
      co_return false;
    }

    SimulatedNodes& nodes_;
    const std::size_t place_;
    const std::uint64_t life_;
  };

  explicit SimulatedNodes(Options options) : options_(std::move(options)) {
    world_ = std::make_unique<io::World>(
        options_.seed, io::WorldOptions{.nodes = static_cast<int>(options_.nodes)});
    processes_.resize(options_.nodes);
    for (std::size_t i = 0; i < processes_.size(); ++i) processes_[i].place = i;
    Uuid cluster;
    cluster.bytes.fill('c');
    change(meta::Found{cluster, meta::kFeatureLevel, "secret"});
    for (auto& process : processes_) start(process.place);
    world_->at(options_.control_every, [this] { control(); });
    world_->at(options_.renew_every, [this] { renew(); });
  }
  ~SimulatedNodes() {
    gone_ = true;
    for (auto& process : processes_) drop(process);
  }
  SimulatedNodes(const SimulatedNodes&) = delete;
  SimulatedNodes& operator=(const SimulatedNodes&) = delete;

  io::World& world() { return *world_; }
  const meta::State& state() const { return *image_; }
  std::vector<Process>& processes() { return processes_; }
  Node& node(std::size_t place) { return *processes_[place].node; }
  bool lives(std::size_t place, std::uint64_t life) const {
    const auto& process = processes_[place];
    return process.up && process.life == life && process.node &&
           !world_->node(static_cast<int>(place)).crashed();
  }

  // ---- Processes ----
  bool start(std::size_t place) {
    auto& process = processes_[place];
    auto& simulated = world_->node(static_cast<int>(place));
    drop(process);
    auto& env = simulated.restart();
    ++process.life;
    process.up = true;
    process.up_since = world_->now();
    process.loop = env.make_loop();
    auto refused = [&](const Error& error) {
      if (options_.not_started) options_.not_started(place, error);
      process.up = false;
      return false;
    };
    auto engine_options = options_.engine;
    engine_options.user.root += std::to_string(process.disk);
    auto engine = log::Engine::open(env, engine_options);
    if (!engine) return refused(engine.error());
    process.engine = *std::move(engine);
    process.transport = std::make_unique<net::TcpTransport>();
    process.incarnation = (process.life << 32) + place + 1;
    net::RpcOptions rpc_options;
    rpc_options.self = {{1, 2}, process.id(), {process.life}};
    rpc_options.listen = simulated.host() + ":9093";
    rpc_options.silence_max = 2s;
    rpc_options.keepalive_interval = 500ms;
    rpc_options.backoff_max = 200ms;
    rpc_options = with_segments(rpc_options, options_.node.leader.batch_bytes_max);
    auto rpc = net::Rpc::start(env, *process.loop, *process.transport, rpc_options);
    if (!rpc) return refused(rpc.error());
    process.rpc = *std::move(rpc);
    for (const auto& other : processes_)
      if (other.place != place)
        process.rpc->add_peer(other.id(),
                              world_->node(static_cast<int>(other.place)).host() + ":9093");
    register_node(process);
    process.port = std::make_unique<Port>(*this, place, process.life);
    auto node_options = options_.node;
    node_options.self = process.id();
    node_options.incarnation = process.incarnation;
    auto node =
        Node::start(env, *process.loop, *process.engine, *process.rpc, *process.port, node_options);
    if (!node) return refused(node.error());
    process.node = *std::move(node);
    tell(place);
    return true;
  }
  void crash(std::size_t place, io::CrashKind kind) {
    world_->node(static_cast<int>(place)).crash(kind);
  }
  // From its next start on it has another, empty disk.
  void wipe(std::size_t place) {
    processes_[place].wiped = true;
    ++processes_[place].disk;
  }
  void drop(Process& process) {
    auto& simulated = world_->node(static_cast<int>(process.place));
    if (process.up && !simulated.crashed()) simulated.crash(io::CrashKind::kKill);
    process.up = false;
    process.node.reset();
    process.rpc.reset();
    process.port.reset();
    process.engine.reset();
    process.transport.reset();
    process.loop.reset();
  }

  // ---- Metadata ----
  std::vector<meta::Outcome> apply(meta::Command command) {
    command.time = Time(std::chrono::duration_cast<Millis>(world_->now()) + Millis(1));
    auto before = state_.version;
    auto outcomes = meta::apply(state_, command);
    if (state_.version == before) return outcomes;
    image_ = std::make_shared<const meta::State>(state_);
    if (on_change) on_change(*image_);
    for (const auto& process : processes_) tell(process.place);
    return outcomes;
  }
  meta::Outcome change(meta::Change change) {
    return apply({.changes = {std::move(change)}}).at(0);
  }
  std::function<void(const meta::State&)> on_change{};

  // A topic that is open where the planner puts it, once something is appended.
  Uuid create(const std::string& name, std::uint32_t partitions, std::uint32_t copies,
              meta::Settings settings = {}, std::uint32_t min_copies = 0) {
    Uuid id;
    for (std::size_t i = 0; i < id.bytes.size(); ++i)
      id.bytes[i] = static_cast<char>(i < name.size() ? name[i] : '.');
    change(meta::CreateTopic{.topic = id,
                             .name = name,
                             .partitions = partitions,
                             .replication_factor = copies,
                             .min_copies = min_copies > 0 ? min_copies : copies / 2 + 1,
                             .settings = std::move(settings)});
    return id;
  }
  bool paused_controller = false;

  // Runs a coroutine on a process's loop, and the world until it is over.
  template <class T>
  Result<T> await(std::size_t place, io::Task<T> task, io::Nanos timeout = 10s) {
    auto result = std::make_shared<std::optional<Result<T>>>();
    processes_[place].loop->spawn(keep(std::move(task), result));
    world_->run_until([&] { return result->has_value(); }, timeout);
    if (!result->has_value()) return fail(Code::kTimeout, "not over");
    return **result;
  }

 private:
  template <class T>
  static boost::asio::awaitable<void> keep(io::Task<T> task,
                                           std::shared_ptr<std::optional<Result<T>>> result) {
    *result = co_await std::move(task);
  }

  io::Nanos delay() { return io::Nanos(100'000 + static_cast<long>(world_->random() % 2'000'000)); }
  bool hears(std::size_t place, std::uint64_t life) const {
    return lives(place, life) && !processes_[place].deaf;
  }
  // On the process's loop, after a while, if it can be.
  void later(std::size_t place, std::function<void(Process&)> call) {
    auto life = processes_[place].life;
    world_->at(world_->now() + delay(), [this, place, life, call = std::move(call)] {
      if (gone_ || !hears(place, life)) return;
      processes_[place].loop->post([this, place, life, call] {
        if (lives(place, life)) call(processes_[place]);
      });
    });
  }
  void tell(std::size_t place) {
    later(place, [image = image_](Process& process) { process.node->learned(image); });
  }

  void register_node(Process& process) {
    if (std::exchange(process.wiped, false))
      for (auto& byte : process.directory.bytes) byte = static_cast<char>(world_->random());
    const auto* known = state_.nodes.find(process.id());
    meta::RegisterNode life{.node = process.id(),
                            .expected = known ? known->version : meta::Version{},
                            .directory = process.directory,
                            .incarnation = process.incarnation,
                            .listeners = {{"peer", "10.0.0.1:9093"}}};
    if (known) life.claimed.push_back(known->incarnation);
    CHECK(change(life).done());
    known = state_.nodes.find(process.id());
    if (known && known->state == meta::NodeState::kJoining)
      change(meta::SetNodeState{process.id(), known->version, meta::NodeState::kActive, false});
  }

  void control() {
    if (gone_) return;
    world_->at(world_->now() + options_.control_every, [this] { control(); });
    if (paused_controller) return;
    meta::Observed seen;
    auto wanted = std::exchange(wanted_, {});
    for (auto& process : processes_) {
      bool alive = hears(process.place, process.life);
      seen.nodes.push_back(
          {process.id(), alive, process.incarnation, world_->now() - process.up_since});
      if (!alive) continue;
      for (const auto& id : process.node->wanted()) wanted.insert(id);
      for (const auto& copy : process.node->copying()) seen.copies.push_back(copy);
      observe_condition(process, seen);
    }
    tell_full(seen.full);
    seen.wanted.assign(wanted.begin(), wanted.end());
    auto plan = planner_.plan(*image_, seen);
    for (auto& command : meta::commands(plan, Time{}, options_.plan)) apply(std::move(command));
    for (const auto& [to, work] : plan.recoveries)
      later(to.value - 1, [work](Process& process) { process.node->recover(work); });
    for (const auto& [to, work] : plan.rolls)
      later(to.value - 1, [work](Process& process) { process.node->roll(work); });
    for (const auto& [pair, work] : plan.copies)
      later(pair.second.value - 1, [work](Process& process) { process.node->copy(work); });
  }

  void observe_condition(Process& process, meta::Observed& seen) {
    auto& disk = world_->node(static_cast<int>(process.place)).disk();
    auto free = disk.options().capacity_bytes - disk.used_bytes();
    auto min = options_.disk_free_bytes_min;
    process.full = free < (process.full ? min + min / 8 : min);
    if (process.full) seen.full.push_back(process.id());
    for (const auto& copy : process.node->slow()) {
      seen.slow.push_back(copy);
      seen.slow_nodes.push_back(copy.node);
    }
  }
  void tell_full(const std::vector<NodeId>& nodes) {
    std::set<NodeId> full(nodes.begin(), nodes.end());
    if (full == full_) return;
    full_ = full;
    for (auto& process : processes_)
      later(process.place, [full](Process& one) { one.node->learn_full(full); });
  }

  void renew() {
    if (gone_) return;
    world_->at(world_->now() + options_.renew_every, [this] { renew(); });
    for (auto& process : processes_) {
      if (!hears(process.place, process.life)) continue;
      auto asked = world_->node(static_cast<int>(process.place)).env().mono();
      later(process.place, [asked, image = image_, full = full_](Process& one) {
        one.node->lease_granted(asked);
        one.node->learned(image);  // what it did not hear of
        one.node->learn_full(full);
      });
    }
  }

  const Options options_;
  meta::Planner planner_{options_.plan};
  std::unique_ptr<io::World> world_{};
  std::vector<Process> processes_{};
  meta::State state_{};
  ImageRef image_ = std::make_shared<const meta::State>();
  std::set<NodeId> full_{};
  std::set<PartitionId> wanted_{};  // by others than the nodes themselves, since the last look
  bool gone_ = false;
};

// Engines and segments that are small.
inline SimulatedNodes::Options small_nodes(std::uint64_t seed, std::size_t nodes = 3) {
  SimulatedNodes::Options options;
  options.nodes = nodes;
  options.seed = seed;
  auto& engine = options.engine;
  engine.user.root = "/data";
  engine.user.shards = 2;
  engine.user.journal_bytes_max = 4 << 20;
  engine.user.batch_bytes_max = 256 << 10;
  engine.user.in_flight_bytes_max = 1 << 20;
  engine.journal_file_bytes_min = engine.journal_file_bytes_max = 1 << 20;
  engine.checkpoint_bytes = 256 << 10;
  options.node.leader.batch_bytes_max = 128 << 10;
  options.plan.follower_away_max = 3s;
  options.plan.return_after = 500ms;
  options.plan.repair_after = 20s;
  return options;
}

}  // namespace walrus::replica
