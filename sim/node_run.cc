#include "node_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "io/sim/sim_random.h"

namespace walrus::sim {
namespace {

using namespace std::chrono_literals;

constexpr auto kFaults = 8s;           // of simulated time, unless the operations come first
constexpr auto kProgressWithin = 30s;  // after everything is healed
constexpr std::size_t kSpareNodes = 2;

}  // namespace

const std::vector<std::string>& node_families() {
  static const std::vector<std::string> families{"kill",
                                                 "power-cut",
                                                 "power-cut-all",
                                                 "cut-while-receiving",
                                                 "partition",
                                                 "one-way-cut",
                                                 "isolated-leader",
                                                 "reset",
                                                 "loss",
                                                 "pause",
                                                 "slow-sync",
                                                 "sync-error",
                                                 "disk-full",
                                                 "member-change",
                                                 "leader-removed",
                                                 "transfer",
                                                 "snapshot-taken",
                                                 "snapshot-given",
                                                 "machine-fails",
                                                 "group-reopened",
                                                 "proposal-lost",
                                                 "proposal-unknown",
                                                 "proposal-refused",
                                                 "read-on-follower",
                                                 "read-lease"};
  return families;
}

NodeRun::NodeRun(std::uint64_t seed, std::int64_t operations) : operations_(operations) {
  io::SimRandom random(mix64(seed ^ 0x6e6f6465));
  founders_ = 1 + random.below(5);
  if (founders_ == 2 && random.chance(0.5)) founders_ = 3;
  io::WorldOptions options{.nodes = static_cast<int>(founders_ + kSpareNodes)};
  world_ = std::make_unique<io::World>(seed, options);
  draw_options();
  processes_.resize(founders_ + kSpareNodes);
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    processes_[i].place = i;
    world_->node(static_cast<int>(i)).at_crash_points([this, i](std::string_view name) {
      if (name == "raft-write") before_write(i);
    });
  }
  groups_.resize(1 + draw(3));
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    auto& group = groups_[i];
    group.id = raft::GroupId{i * 0x100000001 + 7};
    group.busy.resize(processes_.size());
    for (std::size_t node = 0; node < processes_.size(); ++node) {
      group.fails.push_back(std::make_shared<bool>(false));
      if (node < founders_)
        group.founders.members.push_back(
            {.id = NodeId{node + 1},
             .address = world_->node(static_cast<int>(node)).host() + ":9093",
             .voter = true});
    }
    for (std::uint32_t client = 0; client < 2; ++client)
      clients_.push_back({.group = i, .number = client});
  }
}

void NodeRun::draw_options() {
  if (draw(2) == 0) world_->network().set_all_links({.loss = 0.01, .reset = 0.002});
  auto& engine = engine_options_;
  engine.user.root = "/data";
  engine.user.shards = 1 + static_cast<int>(draw(2));
  engine.user.journal_bytes_max = 1 << 20;
  engine.user.batch_bytes_max = 64 << 10;
  engine.user.in_flight_bytes_max = 256 << 10;
  engine.journal_file_bytes_min = engine.journal_file_bytes_max = 256 << 10;
  engine.checkpoint_bytes = 64 << 10;
  engine.checkpoint_interval = draw_ms(500, 5'000);
  engine.mapped = draw(4) != 0;
  engine.bulk_sync_bytes = 200 + static_cast<std::int64_t>(draw(3'000));
  auto& core = node_options_.core;
  core.heartbeat = Millis(20 + 10 * static_cast<std::int64_t>(draw(5)));
  core.election_timeout_min = core.heartbeat * static_cast<std::int64_t>(3 + draw(4));
  core.election_timeout_max = core.election_timeout_min * 2;
  core.append_bytes_max = 200 + draw(1'000);
  core.in_flight_messages_max = 1 + draw(8);
  core.in_flight_bytes_max = 2'000;
  core.proposal_bytes_max = 512;
  core.uncommitted_bytes_max = 4'000;
  core.log_bytes_max = 32'000;
  core.log_bytes_kept = draw(3) * 500;
  core.snapshot_chunk_bytes = 40 + draw(300);
  core.snapshot_chunks_in_flight_max = 1 + draw(4);
  core.disk_stall = draw_ms(100, 1'000);
  node_options_.snapshot_after_bytes = 500 + draw(6'000);
  constexpr raft::Runs kRuns[] = {raft::Runs::kLoop, raft::Runs::kShared, raft::Runs::kOwn};
  node_options_.runs = kRuns[draw(3)];
}

NodeRun::~NodeRun() {
  for (auto& process : processes_) {
    process.host.reset();
    process.rpc.reset();
    process.engine.reset();
    process.loop.reset();
  }
}

void NodeRun::run() {
  for (auto& process : processes_) process.start_at = world_->now();
  start_due();
  for (std::size_t i = 0; i < clients_.size(); ++i) again(i, draw_ms(1, 200));
  while (!violation_ && world_->now() < kFaults && tally_.operations < operations_) let_pass();
  if (!violation_) heal();
  if (!violation_) check_end();
  for (auto& process : processes_) count(process);
  for (const auto& [family, hits] : world_->hits()) {
    if (family == "net.reset") tally_.hits["reset"] += hits;
    if (family == "net.loss") tally_.hits["loss"] += hits;
    if (family == "disk.slow_sync" || family == "slow_sync") tally_.hits["slow-sync"] += hits;
    if (family == "disk.sync_error" || family == "sync_error") tally_.hits["sync-error"] += hits;
  }
  tally_.trace = world_->trace_hash();
}

// Faults and their repair, in the order of a seed; between them the world runs.
void NodeRun::let_pass() {
  auto until = draw_ms(5, 150);
  auto crashed = [this] {
    return violation_ || std::ranges::any_of(processes_, [this](const Process& one) {
             return one.up && world_->node(static_cast<int>(one.place)).crashed();
           });
  };
  world_->run_until(crashed, until);
  for (auto& group : groups_)
    if (group.truth.violation())
      flag(group.truth.violation()->rule, group.truth.violation()->detail);
  if (violation_) return;
  reap();
  repairs_.mend_due(world_->now());
  look_after_groups();
  start_due();
  if (!healed_ && draw(3) == 0) break_something();
}

void NodeRun::heal() {
  say("everything is healed");
  healed_ = true;
  repairs_.mend_all();
  world_->network().heal_all();
  world_->network().set_all_links({});
  for (auto& process : processes_) {
    auto& node = world_->node(static_cast<int>(process.place));
    node.crash_after_ops(0, io::CrashKind::kKill);
    node.disk().options() = {};
    process.start_at = std::min(process.start_at, world_->now());
  }
  for (auto& group : groups_)
    for (auto& fails : group.fails) *fails = false;
  for (auto& client : clients_) client.done = 0;
  auto deadline = world_->now() + kProgressWithin;
  while (!violation_ && !settled()) {
    if (world_->now() > deadline) return flag("progress", "it does not go on after healing");
    let_pass();
  }
}

// Every client was served since, and every member has applied all that its leader has.
bool NodeRun::settled() {
  if (std::ranges::any_of(clients_, [](const Client& one) { return one.done < 3; })) return false;
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    auto* leads = leader(group);
    if (!leads) return false;
    auto status = leads->status();
    if (status.membership.joint || status.applied != status.core.last) return false;
    for (const auto& member : status.membership.members) {
      auto* one = node(static_cast<std::size_t>(member.id.value - 1), group);
      if (!one || one->status().applied != status.applied) return false;
    }
  }
  return true;
}

void NodeRun::check_end() {
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    auto status = leader(group)->status();
    for (const auto& member : status.membership.members) {
      auto* one = node(static_cast<std::size_t>(member.id.value - 1), group);
      one->at_machine([&, group](raft::Machine& machine) {
        const auto& state = static_cast<const NodeMachine&>(machine).state();
        const auto* all = groups_[group].truth.state_at(INT64_MAX);
        if (all && !all->same(state))
          flag("one state",
               fmt::format("node {} of group {} ends with another", member.id.value, group));
        tally_.hits["states compared"] += 1;
      });
    }
  }
  world_->run_for(200ms);
  if (tally_.hits["states compared"] == 0) flag("one state", "no state was compared");
}

void NodeRun::flag(const std::string& rule, std::string detail) {
  say(fmt::format("VIOLATION {}: {}", rule, detail));
  if (!violation_) violation_ = Violation{rule, std::move(detail)};
}

void NodeRun::say(const std::string& line) {
  if (narrating_)
    std::printf("%10.6f %s\n", std::chrono::duration<double>(world_->now()).count(), line.c_str());
}

}  // namespace walrus::sim
