// What breaks in the member world, and when it is repaired.

#include <fmt/format.h>

#include <algorithm>

#include "member_run.h"

namespace walrus::sim {

using namespace std::chrono_literals;

void MemberRun::break_something() {
  if (!recovered_ && draw(20) == 0) return lose_majority();
  switch (draw(8)) {
    case 0:
    case 1: return break_network();
    case 2:
    case 3:
    case 4: return break_process();
    case 5: return break_disk();
    default: return change_nodes();
  }
}

void MemberRun::break_network() {
  const auto nodes = processes_.size();
  auto& network = world_->network();
  const auto until = world_->now() + draw_ms(50, 2'500);
  const auto heal = [this, until] { repairs_.at(until, [this] { world_->network().heal_all(); }); };
  const auto from = static_cast<int>(draw(nodes)), to = static_cast<int>(draw(nodes));
  switch (draw(4)) {
    case 0: {
      const auto side = draw(1u << nodes);
      cut_in_two(network, side, static_cast<int>(nodes));
      ++tally_.hits["partition"];
      return heal();
    }
    case 1:
      if (from == to) return;
      network.cut(from, to);
      ++tally_.hits["one-way-cut"];
      return heal();
    case 2:
      if (leader() == SIZE_MAX) return;
      network.isolate(static_cast<int>(leader()));
      ++tally_.hits["isolated-leader"];
      return heal();
    default:
      if (from != to) network.reset_connections(from, to);
      ++tally_.hits["reset"];
      return;
  }
}

void MemberRun::break_process() {
  auto& process = processes_[draw(processes_.size())];
  auto& simulated = world_->node(static_cast<int>(process.place));
  switch (draw(7)) {
    case 0:
    case 1:
      simulated.crash_after_ops(1 + draw(60), io::CrashKind::kKill);
      ++tally_.hits["kill"];
      return;
    case 2:
      simulated.crash_after_ops(1 + draw(60), io::CrashKind::kPowerCut);
      ++tally_.hits["power-cut"];
      return;
    case 3:
      if (draw(3) != 0) return;
      for (auto& one : processes_)
        if (one.up && !world_->node(static_cast<int>(one.place)).crashed())
          world_->node(static_cast<int>(one.place)).crash(io::CrashKind::kPowerCut);
      ++tally_.hits["power-cut-all"];
      return reap();
    case 4:
      simulated.pause(draw_ms(20, 1'500));
      ++tally_.hits["pause"];
      return;
    case 5:
      simulated.jump_wall_clock(draw(2) == 0 ? Millis(5'000) : Millis(-5'000));
      ++tally_.hits["clock-jump"];
      return;
    default: {
      auto* one = member(process.place);
      if (one == nullptr) return;
      ++tally_.hits["stop"];
      process.loop->spawn(stop(*this, process.place, process.life));
      return;
    }
  }
}

void MemberRun::break_disk() {
  const auto place = draw(processes_.size());
  auto& disk = world_->node(static_cast<int>(place)).disk();
  const auto until = world_->now() + draw_ms(100, 1'500);
  if (auto* one = member(place); one != nullptr && draw(3) == 0) {
    one->feel({.full = true});
    ++tally_.hits["full-told"];
    repairs_.at(until, [this, place] {
      if (auto* now = member(place)) now->feel({});
    });
    return;
  }
  repairs_.at(until, [&disk] { disk.options() = {}; });
  if (draw(3) == 0) {
    disk.options().capacity_bytes = disk.used_bytes() + static_cast<std::int64_t>(draw(64 << 10));
    ++tally_.hits["disk-full"];
    return;
  }
  disk.options().faults.slow_sync = 0.5;
  disk.options().faults.slow_min = 1ms;
  disk.options().faults.slow_max = draw_ms(5, 400);
}

void MemberRun::change_nodes() {
  auto& process = processes_[draw(processes_.size())];
  const NodeId id{process.place + 1};
  const auto up = members_up();
  if (draw(2) == 0) return lose_directory(process);
  if (up.empty()) return;
  const auto by = up[draw(up.size())];
  const auto* node = truth_.newest().find_node(id);
  std::size_t staying = 0;
  truth_.newest().nodes.each(
      [&](NodeId, const meta::Node& one) { staying += one.state != meta::NodeState::kRemoved; });
  if (node == nullptr || process.removed) return;
  switch (node->state) {
    case meta::NodeState::kActive: return operate(by, id, meta::NodeState::kDraining);
    case meta::NodeState::kDraining: return operate(by, id, meta::NodeState::kActive);
    case meta::NodeState::kDrained:
      if (staying <= 3) return operate(by, id, meta::NodeState::kActive);
      return operate(by, id, meta::NodeState::kRemoved);
    default: return;
  }
}

// What the node had is gone, or is as it was in an earlier life. One node at a time, and nothing is
// on its disk that is not on those of the others: more no replication can bear.
void MemberRun::lose_directory(Process& process) {
  auto& simulated = world_->node(static_cast<int>(process.place));
  if (!process.up || simulated.crashed() || process.removed) return;
  if (!may_lose(process) || (process.copy_life == 0 && draw(3) != 0)) {
    // Remembered for later, as it is on the disk.
    if (!process.counted || process.lost || !among_voters(process)) return;
    simulated.crash(io::CrashKind::kKill);
    end(process, 1ms);
    simulated.restart();
    process.copy = files_of(process.place, "/data");
    process.copy_life = process.life;
    return;
  }
  bool old = process.copy_life != 0 && process.copy_life < process.life && draw(8) != 0;
  simulated.crash(io::CrashKind::kKill);
  end(process, draw_ms(100, 1'500));
  simulated.restart();
  remove_files(process.place, "/data");
  if (old && !put_back(process.place, process.copy)) {
    remove_files(process.place, "/data");
    old = false;
  }
  process.lost = true;
  process.copy = {};
  process.copy_life = 0;
  ++tally_.hits[old ? "directory-old" : "directory-wiped"];
  say(fmt::format("node {} loses its directory{}", process.place + 1, old ? ": an old one" : ""));
}

// A copy from the time when a node was the only one to vote is a majority by itself, and cannot
// know of what came later: that hole stays (docs/cluster.md).
bool MemberRun::among_voters(const Process& process) {
  auto* one = member(process.place);
  if (one == nullptr) return false;
  const auto group = one->status().members;
  return !group.joint && std::ranges::count_if(group.members, [](const raft::Member& voter) {
                           return voter.voter;
                         }) >= 3;
}

bool MemberRun::may_lose(const Process& process) {
  auto* one = member(process.place);
  const auto at = leader();
  if (one == nullptr || !process.counted || at == SIZE_MAX || at == process.place) return false;
  const auto own = one->status();
  for (const auto& other : processes_) {
    if (other.removed || other.place == process.place) continue;
    auto* beside = member(other.place);
    if (beside == nullptr || other.lost || !other.counted) return false;
    const auto status = beside->status();
    if (status.term < own.term || status.durable < own.last) return false;
  }
  return among_voters(processes_[at]);
}

}  // namespace walrus::sim
