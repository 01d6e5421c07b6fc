// Processes of the node world: how they begin, open their groups, and end.

#include <fmt/format.h>

#include <algorithm>

#include "node_run.h"

namespace walrus::sim {

using namespace std::chrono_literals;

void NodeRun::start_due() {
  for (auto& process : processes_) {
    if (process.up || process.start_at > world_->now()) continue;
    if (start(process)) continue;
    // A disk that is full or fails, or a crash on the way.
    end(process, draw_ms(10, 300));
  }
}

bool NodeRun::start(Process& process) {
  auto& simulated = world_->node(static_cast<int>(process.place));
  auto& env = simulated.restart();
  ++process.life;
  process.up = true;
  process.broken = false;
  process.loop = env.make_loop();
  auto engine = log::Engine::open(env, engine_options_);
  if (!engine) {
    say(fmt::format("node {} does not start: {}", process.place + 1, engine.error().message));
    if (!simulated.crashed() && engine.error().code == Code::kCorrupt)
      flag("what is on the disk opens", engine.error().message);
    return false;
  }
  process.engine = *std::move(engine);
  process.transport = std::make_unique<net::TcpTransport>();
  net::RpcOptions options;
  options.self = {{1, 2}, {process.place + 1}, {process.life}};
  options.listen = simulated.host() + ":9093";
  options.silence_max = 2s;
  options.keepalive_interval = 500ms;
  options.backoff_max = 200ms;
  auto rpc = net::Rpc::start(env, *process.loop, *process.transport, options);
  if (!rpc) return false;
  process.rpc = *std::move(rpc);
  raft::HostOptions host_options;
  host_options.self = NodeId{process.place + 1};
  host_options.tick = 5ms;
  auto host = raft::Host::start(env, *process.loop, *process.engine, *process.rpc, host_options);
  if (!host) return false;
  process.host = *std::move(host);
  process.counted = {};
  ++tally_.reopenings;
  if (process.life > 1) ++tally_.restarts;
  say(fmt::format("node {} starts, life {}", process.place + 1, process.life));
  for (auto& group : groups_) group.busy[process.place] = true;
  process.loop->spawn(open_groups(*this, process.place, process.life));
  return true;
}

// Crashed ones are gone; those whose engine failed end as a server would, and start anew.
void NodeRun::reap() {
  for (auto& process : processes_) {
    if (!process.up) continue;
    auto& simulated = world_->node(static_cast<int>(process.place));
    bool failed = process.engine && !process.engine->failure();
    if (!simulated.crashed() && !failed && !process.broken) continue;
    if (!simulated.crashed()) simulated.crash(io::CrashKind::kKill);
    ++tally_.crashes;
    say(fmt::format("node {} is down", process.place + 1));
    end(process, healed_ ? io::Nanos(1ms) : draw_ms(1, 1'500));
  }
}

void NodeRun::end(Process& process, io::Nanos down_for) {
  auto& simulated = world_->node(static_cast<int>(process.place));
  if (!simulated.crashed()) simulated.crash(io::CrashKind::kKill);
  count(process);
  process.up = false;
  process.host.reset();
  process.rpc.reset();
  process.engine.reset();
  process.transport.reset();
  process.loop.reset();
  process.start_at = world_->now() + down_for;
}

void NodeRun::count(Process& process) {
  if (!process.host) return;
  auto stats = process.host->stats();
  auto& before = process.counted;
  tally_.hits["snapshot-taken"] +=
      static_cast<std::int64_t>(stats.snapshots_taken - before.snapshots_taken);
  tally_.hits["snapshot-given"] +=
      static_cast<std::int64_t>(stats.snapshots_installed - before.snapshots_installed);
  tally_.hits["messages"] +=
      static_cast<std::int64_t>(stats.messages_received - before.messages_received);
  before = stats;
}

bool NodeRun::lives(std::size_t place, std::uint64_t life) const {
  const auto& process = processes_[place];
  return process.up && process.life == life && process.host &&
         !world_->node(static_cast<int>(place)).crashed();
}

boost::asio::awaitable<void> NodeRun::open_groups(NodeRun& run, std::size_t place,
                                                  std::uint64_t life) {
  for (std::size_t group = 0; group < run.groups_.size(); ++group) {
    if (!run.lives(place, life)) co_return;
    co_await open_group(run, place, life, group);
  }
}

boost::asio::awaitable<void> NodeRun::open_group(NodeRun& run, std::size_t place,
                                                 std::uint64_t life, std::size_t group) {
  auto& of = run.groups_[group];
  auto options = run.node_options_;
  if (place < run.founders_) options.founders = of.founders;
  options.on_change = [&run, place, group](const raft::NodeStatus& status) {
    run.changed(place, group, status);
  };
  NodeMachine::Settings settings{NodeId{place + 1}, 100 + group * 300, 64};
  if (options.runs != raft::Runs::kLoop) {
    auto& env = run.world_->node(static_cast<int>(place)).env();
    settings.linger = [&run, &env](bool told_to_fail) { run.linger(env, told_to_fail); };
  }
  auto machine = std::make_unique<NodeMachine>(of.truth, settings, of.fails[place]);
  auto opened = co_await run.processes_[place].host->open(of.id, options, std::move(machine));
  if (!run.lives(place, life)) co_return;
  of.busy[place] = false;
  if (opened) co_return;
  auto code = opened.error().code;
  bool excused =
      code == Code::kIo || code == Code::kNoSpace || code == Code::kBusy || code == Code::kClosed;
  if (!excused) run.flag("what is on the disk opens", opened.error().message);
  run.processes_[place].broken = true;
}

boost::asio::awaitable<void> NodeRun::reopen_group(NodeRun& run, std::size_t place,
                                                   std::uint64_t life, std::size_t group) {
  auto closed = co_await run.processes_[place].host->close(run.groups_[group].id);
  if (!run.lives(place, life)) co_return;
  if (!closed) run.flag("close", closed.error().message);
  ++run.tally_.hits["group-reopened"];
  co_await open_group(run, place, life, group);
}

void NodeRun::changed(std::size_t place, std::size_t group, const raft::NodeStatus& status) {
  groups_[group].truth.seen(NodeId{place + 1}, status.core.term,
                            status.core.role == raft::Role::kLeader);
  say(fmt::format("node {} group {}: role {} term {} leader {} commit {} {}", place + 1, group,
                  static_cast<int>(status.core.role), status.core.term, status.core.leader.value,
                  status.core.commit, status.failure));
}

raft::Node* NodeRun::node(std::size_t place, std::size_t group) {
  auto& process = processes_[place];
  if (!process.up || !process.host || groups_[group].busy[place] ||
      world_->node(static_cast<int>(place)).crashed())
    return nullptr;
  return process.host->find(groups_[group].id);
}

raft::Node* NodeRun::leader(std::size_t group) {
  raft::Node* best = nullptr;
  raft::Term term = 0;
  for (std::size_t place = 0; place < processes_.size(); ++place) {
    auto* one = node(place, group);
    if (!one) continue;
    auto status = one->status();
    if (status.core.role != raft::Role::kLeader || status.core.term < term) continue;
    best = one;
    term = status.core.term;
  }
  return best;
}

}  // namespace walrus::sim
