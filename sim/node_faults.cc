// What breaks in the node world, and when it is repaired.

#include <fmt/format.h>

#include <algorithm>

#include "node_run.h"

namespace walrus::sim {

using namespace std::chrono_literals;

// A group that failed on a node because it was told to is opened again; nothing else may fail.
void NodeRun::look_after_groups() {
  for (auto& process : processes_) {
    for (std::size_t group = 0; group < groups_.size(); ++group) {
      auto* one = node(process.place, group);
      auto failure = one ? one->status().failure : std::string();
      if (failure.empty() || *groups_[group].fails[process.place]) continue;
      if (process.engine && !process.engine->failure()) continue;  // it ends, soon
      if (failure != "apply: told to fail") {
        flag("a group fails", failure);
        return;
      }
      ++tally_.hits["machine-fails"];
      groups_[group].busy[process.place] = true;
      process.loop->spawn(reopen_group(*this, process.place, process.life, group));
    }
  }
}

void NodeRun::break_something() {
  switch (draw(8)) {
    case 0:
    case 1: return break_network();
    case 2:
    case 3: return break_process();
    case 4: return break_disk();
    case 5:
    case 6: return change_members();
    default: return disturb_group();
  }
}

void NodeRun::break_network() {
  auto nodes = static_cast<int>(processes_.size());
  auto& network = world_->network();
  auto any = [&] { return static_cast<int>(draw(static_cast<std::uint64_t>(nodes))); };
  auto until = world_->now() + draw_ms(50, 1'500);
  auto heal = [this, until] { repairs_.at(until, [this] { world_->network().heal_all(); }); };
  switch (draw(4)) {
    case 0: {
      auto side = draw(1u << processes_.size());
      cut_in_two(network, side, nodes);
      ++tally_.hits["partition"];
      return heal();
    }
    case 1: {
      auto from = any(), to = any();
      if (from == to) return;
      network.cut(from, to);
      ++tally_.hits["one-way-cut"];
      return heal();
    }
    case 2: {
      auto group = draw(groups_.size());
      for (std::size_t place = 0; place < processes_.size(); ++place) {
        auto* one = node(place, group);
        if (!one || one->status().core.role != raft::Role::kLeader) continue;
        network.isolate(static_cast<int>(place));
        ++tally_.hits["isolated-leader"];
        return heal();
      }
      return;
    }
    default: {
      auto from = any(), to = any();
      if (from == to) return;
      network.reset_connections(from, to);
      ++tally_.hits["reset"];
      return;
    }
  }
}

void NodeRun::break_process() {
  auto place = draw(processes_.size());
  auto& simulated = world_->node(static_cast<int>(place));
  switch (draw(4)) {
    case 0:
      simulated.crash_after_ops(1 + draw(60), io::CrashKind::kKill);
      ++tally_.hits["kill"];
      return;
    case 1:
      simulated.crash_after_ops(1 + draw(60), io::CrashKind::kPowerCut);
      ++tally_.hits["power-cut"];
      return;
    case 2:
      for (auto& process : processes_) {
        if (!process.up) continue;
        auto& one = world_->node(static_cast<int>(process.place));
        if (!one.crashed()) one.crash(io::CrashKind::kPowerCut);
      }
      ++tally_.hits["power-cut-all"];
      return reap();
    default: {
      // A leader that is late believes that it still is one.
      auto* leads = draw(2) == 0 ? leader(draw(groups_.size())) : nullptr;
      if (leads) place = static_cast<std::size_t>(leads->status().core.self.value - 1);
      world_->node(static_cast<int>(place)).pause(draw_ms(20, 900));
      ++tally_.hits["pause"];
      return;
    }
  }
}

// Whoever writes while a snapshot is on its way here may lose its power at one of the syncs that
// follow: what lies in several journals is not on the disk at once.
void NodeRun::before_write(std::size_t place) {
  if (healed_ || draw(16) != 0 || !receives(place)) return;
  world_->node(static_cast<int>(place))
      .crash_after_ops(1 + draw(4), io::CrashKind::kPowerCut, {"sync", ".wal"});
  ++tally_.hits["cut-while-receiving"];
}

bool NodeRun::receives(std::size_t place) {
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    auto* leads = leader(group);
    if (!leads) continue;
    const auto status = leads->status();
    auto peer = std::ranges::find(status.core.peers, NodeId{place + 1}, &raft::Status::Peer::id);
    if (peer != status.core.peers.end() && peer->state == raft::Progress::State::kSnapshot)
      return true;
  }
  return false;
}

// A machine on a worker of its own: while it works, more is committed.
void NodeRun::linger(io::Env& env, bool told_to_fail) {
  if (healed_ || draw(told_to_fail ? 2 : 32) != 0) return;
  Event never;
  (void)env.wait(never, draw_ms(1, 30));
}

void NodeRun::break_disk() {
  auto place = draw(processes_.size());
  auto& disk = world_->node(static_cast<int>(place)).disk();
  auto until = world_->now() + draw_ms(100, 1'500);
  repairs_.at(until, [&disk] { disk.options() = {}; });
  switch (draw(4)) {
    case 0: disk.options().faults.sync_error = 0.3; return;
    case 1:
      disk.options().capacity_bytes = disk.used_bytes() + static_cast<std::int64_t>(draw(64 << 10));
      ++tally_.hits["disk-full"];
      return;
    default:
      disk.options().faults.slow_sync = 0.5;
      disk.options().faults.slow_min = 1ms;
      disk.options().faults.slow_max = draw_ms(5, 400);
      return;
  }
}

void NodeRun::change_members() {
  using Kind = raft::MemberChange::Kind;
  auto group = draw(groups_.size());
  auto* leads = leader(group);
  if (!leads) return;
  auto status = leads->status();
  const auto& members = status.membership.members;
  std::vector<NodeId> voters, learners;
  for (const auto& member : members) (member.voter ? voters : learners).push_back(member.id);
  auto any = [&](const std::vector<NodeId>& of) { return of[draw(of.size())]; };
  std::vector<raft::MemberChange> changes;
  if (draw(4) == 0) {
    ++tally_.hits["transfer"];
    leads->transfer(draw(2) == 0 ? NodeId{} : any(voters), 1s, [](const Result<void>&) {});
    return;
  }
  if (!learners.empty() && draw(3) != 0) {
    changes.push_back({Kind::kPromote, any(learners)});
    if (voters.size() > 1 && draw(2) == 0) changes.push_back({Kind::kRemove, any(voters)});
  } else if (voters.size() > 1 && draw(2) == 0) {
    auto id = draw(3) == 0 ? status.core.self : any(voters);
    if (id == status.core.self) ++tally_.hits["leader-removed"];
    changes.push_back({draw(4) == 0 ? Kind::kDemote : Kind::kRemove, id});
  } else {
    for (std::size_t place = 0; place < processes_.size(); ++place) {
      NodeId id{place + 1};
      if (raft::find_member(status.membership, id)) continue;
      changes.push_back(
          {Kind::kAddLearner, id, world_->node(static_cast<int>(place)).host() + ":9093"});
      break;
    }
  }
  if (changes.empty()) return;
  leads->change_members(std::move(changes), 2s, [this](const raft::Proposal& proposal) {
    if (proposal.end == raft::Proposal::End::kApplied) ++tally_.hits["member-change"];
  });
}

void NodeRun::disturb_group() {
  auto group = draw(groups_.size());
  auto place = draw(processes_.size());
  auto* one = node(place, group);
  if (!one) return;
  auto& of = groups_[group];
  switch (draw(3)) {
    case 0: one->take_snapshot(); return;
    case 1: {
      // Others of this process live on; it comes back when it is opened again.
      *of.fails[place] = true;
      repairs_.at(world_->now() + draw_ms(50, 500),
                  [this, place, group] { *groups_[group].fails[place] = false; });
      return;
    }
    default:
      of.busy[place] = true;
      processes_[place].loop->spawn(reopen_group(*this, place, processes_[place].life, group));
      return;
  }
}

}  // namespace walrus::sim
