#include "member_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "io/sim/sim_random.h"

namespace walrus::sim {
namespace {

using namespace std::chrono_literals;

constexpr auto kFaults = 12s;       // of simulated time, unless the operations come first
constexpr auto kWholeWithin = 90s;  // after everything is healed
constexpr std::size_t kClients = 3;

}  // namespace

const std::vector<std::string>& member_families() {
  static const std::vector<std::string> families{
      "kill",        "power-cut",        "power-cut-all", "partition",
      "one-way-cut", "isolated-leader",  "reset",         "loss",
      "pause",       "slow-sync",        "disk-full",     "stop",
      "clock-jump",  "directory-wiped",  "directory-old", "drained",
      "removed",     "joined",           "recover",       "roll",
      "lease",       "proposal-unknown", "refused",       "full-told",
      "recovered",   "left-out",         "level-raised",  "level-refused"};
  return families;
}

MemberRun::MemberRun(std::uint64_t seed, std::int64_t operations) : operations_(operations) {
  io::SimRandom random(mix64(seed ^ 0x6d656d62));
  const auto nodes = 3 + random.below(3);
  world_ = std::make_unique<io::World>(seed, io::WorldOptions{.nodes = static_cast<int>(nodes)});
  if (draw(2) == 0) world_->network().set_all_links({.loss = 0.01, .reset = 0.001});
  auto& engine = engine_options_;
  engine.user.root = "/data";
  engine.user.shards = 1;
  engine.user.journal_bytes_max = 8 << 20;
  engine.user.batch_bytes_max = 2 << 20;
  engine.journal_file_bytes_min = engine.journal_file_bytes_max = 2 << 20;
  engine.checkpoint_interval = draw_ms(500, 5'000);
  auto& member = member_options_;
  member.snapshot_after_bytes = 1'000 + draw(20'000);
  member.controller.voters_max = draw(3) == 0 ? 5 : 3;
  member.controller.voter_away_max = draw_ms(1'000, 30'000);
  member.controller.plan.return_after = draw_ms(100, 3'000);
  member.controller.plan.follower_away_max = draw_ms(500, 5'000);
  processes_.resize(nodes);
  for (std::size_t i = 0; i < nodes; ++i) {
    processes_[i].place = i;
    processes_[i].log = std::make_unique<Log>(*this, i);
    processes_[i].start_at = i == 0 ? 0ms : draw_ms(0, 3'000);
    if (draw(3) == 0) processes_[i].level = kLaterLevel;
  }
  clients_.resize(kClients);
}

MemberRun::~MemberRun() {
  for (auto& process : processes_) end(process, 0ms);
}

void MemberRun::Log::write(LogLevel, Bytes line) {
  run_.say(fmt::format("node {}: {}", place_ + 1, line));
}

void MemberRun::run() {
  while (!violation_ && world_->now() < kFaults && tally_.operations < operations_) let_pass();
  if (!violation_) heal();
  for (const auto& [family, hits] : world_->hits()) {
    if (family == "net.reset") tally_.hits["reset"] += hits;
    if (family == "net.loss") tally_.hits["loss"] += hits;
    if (family == "disk.slow_sync" || family == "slow_sync") tally_.hits["slow-sync"] += hits;
  }
  tally_.trace = world_->trace_hash();
}

// Faults and their repair, in the order of a seed; between them the world runs.
void MemberRun::let_pass() {
  const auto crashed = [this] {
    return std::ranges::any_of(processes_, [this](const Process& one) {
      return one.up && world_->node(static_cast<int>(one.place)).crashed();
    });
  };
  world_->run_until(crashed, draw_ms(5, 100));
  if (truth_.violation()) flag(truth_.violation()->rule, truth_.violation()->detail);
  if (violation_) return;
  reap();
  repairs_.mend_due(world_->now());
  watch();
  start_due();
  drive();
  if (!healed_ && draw(6) == 0) break_something();
}

void MemberRun::watch() {
  const auto before = std::exchange(level_, truth_.newest().cluster.feature_level);
  if (before == meta::kFeatureLevel && level_ == kLaterLevel) ++tally_.hits["level-raised"];
  for (auto& process : processes_) {
    const auto* node = truth_.newest().find_node(NodeId{process.place + 1});
    if (node == nullptr || node->state != meta::NodeState::kRemoved || process.removed) continue;
    process.removed = true;
    process.broken = process.up;
  }
  for (const auto place : members_up()) {
    const auto status = member(place)->status();
    auto& process = processes_[place];
    if (!status.failure.empty()) note_failure(process, status.failure);
    if (status.leads && !status.members.joint)
      truth_.voters(static_cast<std::size_t>(std::ranges::count_if(
          status.members.members, [](const raft::Member& one) { return one.voter; })));
    if (!status.registered || std::exchange(process.counted, true)) continue;
    const auto* known = member(place)->image()->find_node(status.self);
    if (process.before.incarnation != 0) truth_.registered(process.before, *known, process.lost);
    else ++tally_.hits["joined"];
    process.lost = false;
    process.before = *known;
  }
}

void MemberRun::note_failure(Process& process, const std::string& why) {
  if (process.broken) return;
  process.broken = true;
  if (why.find("recovered without this node") != std::string::npos) ++tally_.hits["left-out"];
  if (why.find("this program knows") == std::string::npos) return;
  ++tally_.hits["level-refused"];
  process.level = kLaterLevel;  // as the message says
}

void MemberRun::heal() {
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
    // Whose program is older is given the later one.
    if (process.up && process.level != kLaterLevel) process.broken = true;
  }
  for (auto& client : clients_) client.done = 0;
  const auto deadline = world_->now() + kWholeWithin;
  for (auto missing = unsettled(); !violation_ && !missing.empty(); missing = unsettled()) {
    if (world_->now() > deadline) return flag("whole", missing);
    let_pass();
  }
}

// What is missing until the cluster is whole; empty: nothing.
std::string MemberRun::unsettled() {
  if (std::ranges::any_of(clients_, [](const Client& one) { return one.done < 2; }))
    return "a client is not served";
  const auto at = leader();
  if (at == SIZE_MAX) return "nobody leads metadata";
  const auto& image = *member(at)->image();
  if (image.cluster.feature_level != kLaterLevel) return "the feature level was not raised";
  for (const auto& process : processes_)
    if (auto missing = unsettled_node(image, process); !missing.empty()) return missing;
  if (auto missing = unsettled_group(member(at)->status().members); !missing.empty())
    return missing;
  std::string missing;
  image.partitions.each([&](const PartitionId& id, const meta::Partition& partition) {
    if (!partition.tail) return;
    const auto* leads = image.find_node(partition.tail->leader);
    if (partition.tail->state != meta::SegmentState::kOpen ||
        leads->incarnation != partition.tail->leader_incarnation)
      missing = fmt::format("partition {} has no writer that lives", id.index);
  });
  for (const auto place : members_up())
    if (member(place)->image()->version != image.version)
      missing = fmt::format("node {} has an old image", place + 1);
  return missing;
}

std::string MemberRun::unsettled_node(const meta::State& image, const Process& process) {
  if (process.removed) return {};
  const NodeId id{process.place + 1};
  const auto* node = image.find_node(id);
  const auto* one = process.up ? member(process.place) : nullptr;
  if (node == nullptr || one == nullptr || !one->status().registered || process.broken)
    return fmt::format("node {} is not registered", id.value);
  if (node->state == meta::NodeState::kActive) return {};
  // The operator has thought better of it.
  const bool leaves =
      node->state == meta::NodeState::kDraining || node->state == meta::NodeState::kDrained;
  if (leaves) operate(process.place, id, meta::NodeState::kActive);
  return fmt::format("node {} is in state {}", id.value, static_cast<int>(node->state));
}

std::string MemberRun::unsettled_group(const raft::Membership& group) const {
  const auto nodes = static_cast<std::size_t>(
      std::ranges::count_if(processes_, [](const Process& one) { return !one.removed; }));
  const auto voters = static_cast<std::size_t>(
      std::ranges::count_if(group.members, [](const raft::Member& one) { return one.voter; }));
  const bool five = nodes >= 5 && member_options_.controller.voters_max == 5;
  const std::size_t wanted = five ? 5 : nodes >= 3 ? 3 : 1;
  if (!group.joint && voters == wanted && group.members.size() == nodes) return {};
  return fmt::format("{} of {} members vote{}, {} nodes are there", voters, group.members.size(),
                     group.joint ? ", and it is being changed" : "", nodes);
}

void MemberRun::flag(const std::string& rule, std::string detail) {
  say(fmt::format("VIOLATION {}: {}", rule, detail));
  if (!violation_) violation_ = Violation{rule, std::move(detail)};
}

void MemberRun::say(const std::string& line) {
  if (narrating_)
    std::printf("%10.6f %s\n", std::chrono::duration<double>(world_->now()).count(), line.c_str());
}

}  // namespace walrus::sim
