// What breaks in the replica world, and when it is repaired.

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "replica/copy_format.h"
#include "replica_run.h"

namespace walrus::sim {

using namespace std::chrono_literals;

void ReplicaRun::break_something() {
  switch (draw(8)) {
    case 0:
    case 1: return break_network();
    case 2:
    case 3:
    case 4: return break_process();
    case 5: return break_disk();
    default: return disturb_metadata();
  }
}

void ReplicaRun::break_network() {
  auto nodes = static_cast<int>(nodes_->processes().size());
  auto& network = nodes_->world().network();
  auto any = [&] { return static_cast<int>(draw(static_cast<std::uint64_t>(nodes))); };
  auto until = nodes_->world().now() + draw_ms(50, 1'500);
  auto heal = [this, until] {
    repairs_.at(until, [this] { nodes_->world().network().heal_all(); });
  };
  auto from = any(), to = any();
  switch (draw(4)) {
    case 0: {
      auto side = draw(1u << nodes);
      cut_in_two(network, side, nodes);
      ++tally_.hits["partition"];
      return heal();
    }
    case 1:
      if (from == to) return;
      network.cut(from, to);
      ++tally_.hits["one-way-cut"];
      return heal();
    case 2: {
      network.isolate(from);
      ++tally_.hits["isolated-node"];
      // Or only from its peers.
      auto& process = nodes_->processes()[static_cast<std::size_t>(from)];
      process.deaf = draw(2) == 0;
      repairs_.at(until, [&process] { process.deaf = false; });
      return heal();
    }
    default:
      if (from == to) return;
      network.reset_connections(from, to);
      ++tally_.hits["reset"];
      return;
  }
}

// What a weak durability loses in a power cut is not what this world is about.
void ReplicaRun::break_process() {
  auto place = draw(nodes_->processes().size());
  auto& simulated = nodes_->world().node(static_cast<int>(place));
  switch (draw(power_stays_ ? 2 : 5)) {
    case 0:
      simulated.crash_after_ops(1 + draw(60), io::CrashKind::kKill);
      ++tally_.hits["kill"];
      return;
    case 1:
      simulated.pause(draw_ms(20, 800));
      ++tally_.hits["pause"];
      return;
    case 2:
      simulated.crash_after_ops(1 + draw(60), io::CrashKind::kPowerCut);
      ++tally_.hits["power-cut"];
      return;
    case 3:
      for (auto& process : nodes_->processes())
        if (up(process.place)) nodes_->crash(process.place, io::CrashKind::kPowerCut);
      ++tally_.hits["power-cut-all"];
      return reap();
    default:
      if (!may_wipe(place)) return;
      say(fmt::format("node {} loses its disk", place + 1));
      nodes_->crash(place, io::CrashKind::kPowerCut);
      nodes_->wipe(place);
      ++tally_.hits["wiped"];
      return reap();
  }
}

// One disk at a time: all that is acknowledged is on others, and they are there.
bool ReplicaRun::may_wipe(std::size_t place) {
  if (disks_stay_ || !up(place) || !is_whole_everywhere()) return false;
  bool alone = false;
  auto look = [&](const meta::Segment& segment) {
    alone |= segment.replicas == std::vector{NodeId{place + 1}};
  };
  for (const auto& id : partitions_) {
    const auto& partition = *nodes_->state().partitions.find(id);
    partition.sealed.each(look);
    if (partition.tail) look(*partition.tail);
  }
  return !alone;
}

bool ReplicaRun::is_whole_everywhere() {
  for (const auto& process : nodes_->processes())
    if (!up(process.place)) return false;
  if (rotted_ && !is_sound(*rotted_)) return false;
  rotted_.reset();
  return std::ranges::all_of(partitions_, [&](const PartitionId& id) {
    return find_missing(id, *nodes_->state().partitions.find(id)).empty();
  });
}

// Every batch of every sealed copy can be read.
bool ReplicaRun::is_sound(std::size_t place) {
  bool sound = up(place);
  auto look = [&](const meta::Segment& segment) {
    if (!sound || !meta::is_replica(segment, NodeId{place + 1})) return;
    auto& engine = *nodes_->processes()[place].engine;
    auto stream = engine.find(replica::copy_stream_name(meta::copy_of(segment)));
    sound = stream.has_value();
    for (auto from = segment.base; sound && from < segment.end;) {
      auto fetched = engine.fetch(*stream, from, {.up_to = UpTo::kAppended});
      sound = fetched && fetched->next > from;
      if (sound) from = fetched->next;
    }
  };
  for (const auto& id : partitions_) nodes_->state().partitions.find(id)->sealed.each(look);
  return sound;
}

// A bit flips in a file that holds nothing but sealed segments that others have copies of, too.
void ReplicaRun::rot(std::size_t place) {
  if (!is_whole_everywhere()) return;
  auto& process = nodes_->processes()[place];
  std::set<std::uint64_t> sealed;
  for (const auto& id : partitions_)
    nodes_->state().partitions.find(id)->sealed.each([&](const meta::Segment& segment) {
      auto stream = process.engine->find(replica::copy_stream_name(meta::copy_of(segment)));
      if (stream && segment.replicas.size() > 1) sealed.insert(log::stream_id(*stream));
    });
  std::vector<std::string> files;
  for (const auto& [name, streams] : process.engine->streams_by_file())
    if (std::ranges::all_of(streams, [&](std::uint64_t id) { return sealed.contains(id); }))
      files.push_back(name);
  if (files.empty()) return;
  constexpr std::int64_t kHeaderBytes = 64;
  auto path = fmt::format("/data{}/{}", process.disk, files[draw(files.size())]);
  auto& disk = nodes_->world().node(static_cast<int>(place)).disk();
  if (!disk.rot(path, draw(4) == 0 ? 0 : kHeaderBytes, 1)) return;
  say(fmt::format("a bit of {} of node {} flips", path, place + 1));
  rotted_ = place;
  ++tally_.hits["rotted"];
}

void ReplicaRun::break_disk() {
  auto place = draw(nodes_->processes().size());
  if (draw(3) == 0) return rot(place);
  auto& disk = nodes_->world().node(static_cast<int>(place)).disk();
  auto until = nodes_->world().now() + draw_ms(100, 1'500);
  repairs_.at(until, [&disk] { disk.options() = {}; });
  switch (draw(4)) {
    case 0:
      if (power_stays_) return;  // what was dropped from the page cache is lost as by a cut
      disk.options().faults.sync_error = 0.3;
      return;
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

void ReplicaRun::disturb_metadata() {
  auto& process = nodes_->processes()[draw(nodes_->processes().size())];
  auto until = nodes_->world().now() + draw_ms(50, 4'000);
  if (draw(2) == 0) {
    process.deaf = true;
    ++tally_.hits["deaf-node"];
    repairs_.at(until, [&process] { process.deaf = false; });
    return;
  }
  nodes_->paused_controller = true;
  repairs_.at(std::min(until, nodes_->world().now() + 500ms),
              [this] { nodes_->paused_controller = false; });
}

}  // namespace walrus::sim
