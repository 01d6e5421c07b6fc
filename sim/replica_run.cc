#include "replica_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/mix64.h"
#include "io/sim/sim_random.h"
#include "replica/compaction.h"
#include "replica/copy_format.h"

namespace walrus::sim {
namespace {

using namespace std::chrono_literals;

constexpr auto kFaults = 10s;          // of simulated time, unless the operations come first
constexpr auto kProgressWithin = 60s;  // after everything is healed

}  // namespace

const std::vector<std::string>& replica_families() {
  static const std::vector<std::string> families{
      "kill",      "power-cut", "power-cut-all", "partition", "one-way-cut", "isolated-node",
      "reset",     "loss",      "pause",         "slow-sync", "sync-error",  "disk-full",
      "deaf-node", "wiped",     "trim",          "failover",  "roll",        "remote-read",
      "copy-made", "confirmed", "sent-again",    "retired",   "retained",    "handed-on",
      "rotted",    "mended",    "full-told",     "compacted", "relieved",    "tombstone-gone",
      "sent-early"};
  return families;
}

ReplicaRun::ReplicaRun(std::uint64_t seed, std::int64_t operations)
    : operations_(operations), seed_(seed) {
  auto options = draw_options();
  compact_bytes_min_ = options.node.limits.compact_bytes_min;
  nodes_ = std::make_unique<replica::SimulatedNodes>(std::move(options));
  nodes_->on_change = [this](const meta::State& state) { decided(state); };
  truth_.decided(nodes_->state(), wall());
  start_at_.resize(nodes_->processes().size());
  if (draw(2) == 0) nodes_->world().network().set_all_links({.loss = 0.01, .reset = 0.001});
  create_topics();
}

// What nodes still answer as they go is late.
ReplicaRun::~ReplicaRun() {
  narrating_ = false;
  for (auto& producer : producers_) producer.attempt = ++attempts_;
  nodes_.reset();
}

// A segment that was claimed was ended by somebody else; one that was not, by its writer.
void ReplicaRun::count(const PartitionId& id, const meta::Partition& partition) {
  auto& before = tails_[id];
  bool same = partition.tail && partition.tail->id == before.first;
  bool sealing = partition.tail && partition.tail->state == meta::SegmentState::kSealing;
  if (sealing && !(same && before.second)) ++tally_.hits["failover"];
  if (!same && before.first != SegmentId{} && !before.second) ++tally_.hits["roll"];
  before = {partition.tail ? partition.tail->id : SegmentId{}, sealing};
}

// Where new copies took the place of old ones, all nodes that are there have all of them.
void ReplicaRun::count_compaction(const PartitionId& id, const meta::Partition& partition) {
  auto before = compactions_.extract(id);
  if (partition.compaction) compactions_[id] = *partition.compaction;
  if (before.empty()) return;
  auto was = before.mapped();
  auto segment = partition.sealed.find(was.segment);
  bool goes_on = partition.compaction && partition.compaction->copy == was.copy;
  if (goes_on || !segment) return;
  if (meta::copy_of(*segment) != was.copy) return void(++tally_.hits["relieved"]);
  ++tally_.hits["compacted"];
  for (auto replica : segment->replicas)
    if (up(replica.value - 1) && nodes_->processes()[replica.value - 1].engine->failure() &&
        nodes_->state().intact(*segment, replica) &&
        !is_whole(replica.value - 1, was.copy, segment->end.value))
      truth_.flag("R29", fmt::format("node {} has not all of copy {} of segment {}", replica.value,
                                     was.copy.value, segment->id.value));
}

void ReplicaRun::decided(const meta::State& state) {
  state.partitions.changed_since(decided_.value,
                                 [&](const PartitionId& id, const meta::Partition& partition) {
                                   count(id, partition);
                                   count_compaction(id, partition);
                                 });
  if (narrating_)
    state.partitions.changed_since(decided_.value, [&](const PartitionId& id,
                                                       const meta::Partition& partition) {
      std::string tail = "none";
      if (partition.tail)
        tail = fmt::format("{} epoch {} node {} of {}{}", partition.tail->id.value,
                           partition.tail->epoch.value, partition.tail->leader.value,
                           partition.tail->replicas.size(),
                           partition.tail->state == meta::SegmentState::kOpen ? "" : " sealing");
      say(fmt::format("partition {:.6}/{}: sealed to {}, tail {}",
                      Bytes(id.topic.bytes.data(), id.topic.bytes.size()), id.index,
                      partition.sealed_end.value, tail));
    });
  decided_ = state.version;
  truth_.decided(state, wall());
}

replica::SimulatedNodes::Options ReplicaRun::draw_options() {
  io::SimRandom random(mix64(seed_ ^ 0x7265706c));
  auto options = replica::small_nodes(seed_, 3 + random.below(3));
  auto& engine = options.engine;
  engine.user.shards = 1 + static_cast<int>(random.below(2));
  engine.mapped = random.below(4) != 0;
  engine.user.journal_bytes_max = 2 << 20;
  engine.user.batch_bytes_max = 64 << 10;
  engine.journal_file_bytes_min = engine.journal_file_bytes_max = 256 << 10;
  engine.checkpoint_bytes = 64 << 10;
  engine.checkpoint_interval = Millis(static_cast<std::int64_t>(300 + random.below(5'000)));
  auto& leader = options.node.leader;
  leader.batch_bytes_max = 32 << 10;
  leader.message_bytes_max = 200 + random.below(4'000);
  leader.in_flight_bytes_max = 1'000 + random.below(10'000);
  leader.in_flight_messages_max = 1 + random.below(16);
  leader.window_bytes_max = 2'000 + random.below(60'000);
  leader.window_bytes_kept = random.below(2'000);
  leader.slow_after = Millis(static_cast<std::int64_t>(1'000 + random.below(4'000)));
  if (random.below(2) == 0) options.node.limits.gap_max = 0s;  // then who asks keeps his order
  patient_ = options.node.limits.gap_max > 0s;
  options.node.limits.parcel_bytes_max = 500 + random.below(100'000);
  options.node.limits.copies_at_once = 1 + random.below(4);
  options.node.limits.retain_every = Millis(static_cast<std::int64_t>(100 + random.below(900)));
  options.node.limits.scrub_bytes_per_s = 16 << 20;
  options.node.limits.scrub_every = Millis(static_cast<std::int64_t>(200 + random.below(3'000)));
  options.node.limits.mend_again = 500ms;
  options.node.limits.compact_bytes_min = static_cast<std::int64_t>(100 + random.below(2'000));
  options.node.limits.compaction_stalls =
      Millis(static_cast<std::int64_t>(50 + random.below(random.below(2) == 0 ? 300 : 3'000)));
  options.node.limits.trimmed_bytes_max = static_cast<std::int64_t>(200 + random.below(5'000));
  options.plan.follower_away_max = Millis(static_cast<std::int64_t>(500 + random.below(3'000)));
  options.plan.repair_after = Millis(static_cast<std::int64_t>(2'000 + random.below(10'000)));
  options.not_started = [this](std::size_t place, const Error& error) {
    say(fmt::format("node {} does not start: {}", place + 1, error.message));
    bool crashed = nodes_ && nodes_->world().node(static_cast<int>(place)).crashed();
    if (!crashed && error.code == Code::kCorrupt)
      truth_.flag("what is on the disk opens", error.message);
  };
  return options;
}

void ReplicaRun::create_topics() {
  const auto topics = 1 + draw(3);
  for (std::uint64_t i = 0; i < topics; ++i) {
    auto copies = static_cast<std::uint32_t>(1 + draw(3));
    auto parts = static_cast<std::uint32_t>(1 + draw(3));
    auto weak = draw(5) == 0;
    power_stays_ |= weak;
    disks_stay_ |= copies == 1;
    meta::Settings settings{{"walrus.segment.records", std::to_string(3 + draw(60))}};
    if (weak) settings["walrus.durability"] = draw(2) == 0 ? "os" : "interval=200";
    if (draw(3) == 0) settings["segment.ms"] = std::to_string(100 + draw(2'000));
    if (draw(3) == 0) settings["retention.ms"] = std::to_string(200 + draw(4'000));
    else if (draw(3) == 0) settings["retention.bytes"] = std::to_string(500 + draw(8'000));
    std::uint64_t keys = 0;
    if (draw(2) == 0) {
      keys = draw(4) == 0 ? 80 : 2 + draw(8);
      settings["cleanup.policy"] = draw(2) == 0 ? "compact" : "compact,delete";
      if (draw(3) > 0) settings["delete.retention.ms"] = std::to_string(draw(3) * 700);
      auto lag = draw(3) == 0 ? 1 + draw(3'000) : 0;
      if (lag > 0) settings["min.compaction.lag.ms"] = std::to_string(lag);
      if (draw(3) == 0) settings["max.compaction.lag.ms"] = std::to_string(lag + 500 + draw(3'000));
    }
    auto id = nodes_->create("topic" + std::to_string(i), parts, copies, settings);
    for (std::uint32_t part = 0; part < parts; ++part) {
      partitions_.push_back({id, part});
      for (auto producers = 1 + draw(2); producers > 0; --producers)
        producers_.push_back({.partition = partitions_.back(),
                              .id = static_cast<std::int64_t>(producers_.size()) + 1,
                              .keys = keys,
                              .target = draw(nodes_->processes().size())});
    }
  }
}

void ReplicaRun::run() {
  for (std::size_t i = 0; i < producers_.size(); ++i) again(i, draw_ms(1, 200));
  auto& world = nodes_->world();
  while (!violation() && world.now() < kFaults && tally_.operations < operations_) let_pass();
  if (!violation()) heal();
  if (!violation()) check_end();
  for (const auto& [family, hits] : world.hits()) {
    if (family == "net.reset") tally_.hits["reset"] += hits;
    if (family == "net.loss") tally_.hits["loss"] += hits;
    if (family == "disk.slow_sync" || family == "slow_sync") tally_.hits["slow-sync"] += hits;
    if (family == "disk.sync_error" || family == "sync_error") tally_.hits["sync-error"] += hits;
  }
  for (const auto& process : nodes_->processes())
    if (process.node)
      tally_.hits["mended"] += static_cast<std::int64_t>(process.node->stats().copies_mended);
  tally_.hits["retained"] += truth_.retained();
  tally_.hits["tombstone-gone"] += truth_.tombstones_gone();
  tally_.trace = world.trace_hash();
}

void ReplicaRun::let_pass() {
  auto crashed = [this] {
    return violation() || std::ranges::any_of(nodes_->processes(), [this](const auto& one) {
             return one.up && nodes_->world().node(static_cast<int>(one.place)).crashed();
           });
  };
  nodes_->world().run_until(crashed, draw_ms(5, 120));
  if (violation()) return;
  reap();
  for (const auto& process : nodes_->processes())
    if (process.full) ++tally_.hits["full-told"];
  repairs_.mend_due(nodes_->world().now());
  start_due();
  look_at_bounds();
  look_at_copies();
  if (draw(2) == 0) read_somewhere();
  if (draw(4) == 0) confirm_somewhere();
  if (!quiet_ && draw(30) == 0) trim_somewhere();
  if (!healed_ && draw(3) == 0) break_something();
}

void ReplicaRun::start_due() {
  for (auto& process : nodes_->processes()) {
    if (process.up || start_at_[process.place] > nodes_->world().now()) continue;
    ++tally_.reopenings;
    if (process.life > 0) ++tally_.restarts;
    if (nodes_->start(process.place)) {
      say(fmt::format("node {} starts, life {}", process.place + 1, process.life));
      continue;
    }
    nodes_->drop(process);
    start_at_[process.place] = nodes_->world().now() + draw_ms(10, 300);
  }
}

// Crashed ones are gone; those whose engine failed end as a server would, and start anew.
void ReplicaRun::reap() {
  for (auto& process : nodes_->processes()) {
    if (!process.up) continue;
    auto& simulated = nodes_->world().node(static_cast<int>(process.place));
    if (!simulated.crashed() && process.engine->failure()) continue;
    ++tally_.crashes;
    say(fmt::format("node {} is down", process.place + 1));
    if (process.node) {
      auto stats = process.node->stats();
      tally_.hits["remote-read"] += static_cast<std::int64_t>(stats.remote_reads);
      tally_.hits["retired"] += static_cast<std::int64_t>(stats.copies_removed);
      tally_.hits["handed-on"] += static_cast<std::int64_t>(stats.appends_handed_on);
      tally_.hits["copy-made"] += static_cast<std::int64_t>(stats.copies_made);
      tally_.hits["mended"] += static_cast<std::int64_t>(stats.copies_mended);
    }
    nodes_->drop(process);
    start_at_[process.place] =
        nodes_->world().now() + (healed_ ? io::Nanos(1ms) : draw_ms(1, 1'500));
  }
}

void ReplicaRun::heal() {
  say("everything is healed");
  healed_ = true;
  repairs_.mend_all();
  auto& world = nodes_->world();
  world.network().heal_all();
  world.network().set_all_links({});
  for (auto& process : nodes_->processes()) {
    auto& node = world.node(static_cast<int>(process.place));
    node.crash_after_ops(0, io::CrashKind::kKill);
    node.disk().options() = {};
    process.deaf = false;
    start_at_[process.place] = std::min(start_at_[process.place], world.now());
  }
  for (auto& producer : producers_) producer.done = 0;
  auto deadline = world.now() + kProgressWithin;
  bool served = false, rotted = false;
  while (!violation()) {
    auto missing = find_unsettled();
    if (missing.empty() && std::exchange(rotted, true)) return;
    if (missing.empty()) {
      rot(draw(nodes_->processes().size()));  // whatever lies still is found and mended, too
      deadline = world.now() + kProgressWithin;
    }
    if (world.now() > deadline && narrating_)
      for (auto& process : nodes_->processes())
        for (const auto& copy : process.node->copying())
          say(fmt::format("node {} copies segment {} from {} to {} instead of {}",
                          process.place + 1, copy.segment.value, copy.from.value, copy.to.value,
                          copy.replaces.value));
    if (world.now() > deadline) return truth_.flag("progress", "after healing: " + missing);
    let_pass();
    served |= std::ranges::all_of(producers_, [](const Producer& one) { return one.done >= 3; });
    quiet_ = served;
  }
}

// Every producer was served since and has no more to say, and every replica has all. What is
// missing is the answer.
std::string ReplicaRun::find_unsettled() {
  for (const auto& process : nodes_->processes())
    if (!up(process.place)) return fmt::format("node {} is down", process.place + 1);
  for (const auto& one : producers_)
    if (!quiet_ || !one.values.empty())
      return fmt::format("producer {} of {}/{}", one.id, one.partition.topic.bytes[5],
                         one.partition.index);
  for (const auto& id : partitions_) {
    const auto& partition = *nodes_->state().partitions.find(id);
    auto missing = find_missing(id, partition);
    if (!missing.empty()) return missing;
    if (auto why = find_uncompacted(id, partition); !why.empty()) return why;
  }
  if (rotted_ && !is_sound(*rotted_)) return fmt::format("node {} has damage", *rotted_ + 1);
  return find_kept_too_long();
}

// What has outlived its settings, or was dropped and is still on a disk, or is still shown.
std::string ReplicaRun::find_kept_too_long() {
  for (const auto& id : partitions_)
    if (auto why = truth_.overdue(id, wall(), 5s); !why.empty()) return why;
  for (const auto& process : nodes_->processes()) {
    std::set<std::string> known;
    for (const auto& id : partitions_) {
      const auto& partition = *nodes_->state().partitions.find(id);
      if (process.node->bounds(id)->log_start != partition.log_start)
        return fmt::format("node {} has another log start", process.place + 1);
      auto add = [&](const meta::Segment& segment) {
        if (meta::is_replica(segment, process.id()))
          known.insert(replica::copy_stream_name(meta::copy_of(segment)));
      };
      partition.sealed.each(add);
      if (partition.tail) add(*partition.tail);
    }
    for (const auto& stream : process.engine->list(replica::kCopyPrefix))
      if (!known.contains(log::stream_name(stream)))
        return fmt::format("node {} still has {}", process.place + 1, log::stream_name(stream));
  }
  return {};
}

std::string ReplicaRun::find_uncompacted(const PartitionId& id, const meta::Partition& partition) {
  if (!replica::compaction_of(*nodes_->state().topics.find(id.topic))) return {};
  if (!partition.compaction && !replica::wants_compaction(partition, compact_bytes_min_)) return {};
  return fmt::format(
      "partition {} is not compacted, up to {} of {}{}", id.index, partition.compacted_to.value,
      partition.sealed_end.value,
      partition.compaction
          ? fmt::format(", copy {} of segment {} by node {} on {} nodes",
                        partition.compaction->copy.value, partition.compaction->segment.value,
                        partition.compaction->by.value, partition.compaction->holders.size())
          : "");
}

// -1: there is no such copy.
std::int64_t ReplicaRun::stored_end(std::size_t place, SegmentId copy) {
  auto& engine = *nodes_->processes()[place].engine;
  auto stream = engine.find(replica::copy_stream_name(copy));
  if (!stream) return -1;
  auto bounds = engine.bounds(*stream);
  return bounds ? bounds->log_end.value : -1;
}

bool ReplicaRun::is_whole(std::size_t place, SegmentId copy, std::int64_t end) {
  return stored_end(place, copy) == end;
}

// What metadata counts on is not removed (R32), but for what is mended, from the damage on. A
// writer that does not know yet that its segment was sealed has more.
void ReplicaRun::look_at_copies() {
  const auto& id = partitions_[draw(partitions_.size())];
  nodes_->state().partitions.find(id)->sealed.each([&](const meta::Segment& segment) {
    for (auto replica : segment.replicas) {
      const auto& process = nodes_->processes()[replica.value - 1];
      bool counts = up(process.place) && process.engine->failure() &&
                    nodes_->state().intact(segment, replica);
      if (!counts || process.node->stats().damaged > 0) continue;
      auto copy = meta::copy_of(segment);
      auto& held_by = held_[{process.place, copy}];
      bool there = stored_end(process.place, copy) >= segment.end.value;
      if (!there && held_by == process.life)
        truth_.flag("R32", fmt::format("node {} has removed copy {} of segment {}",
                                       process.place + 1, copy.value, segment.id.value));
      held_by = there ? process.life : 0;
    }
  });
}

std::string ReplicaRun::find_missing(const PartitionId& id, const meta::Partition& partition) {
  std::string missing;
  auto look = [&](const meta::Segment& segment, NodeId replica, std::int64_t end) {
    if (!missing.empty()) return;
    if (!nodes_->state().intact(segment, replica))
      missing = fmt::format("node {} has lost segment {}", replica.value, segment.id.value);
    else if (!is_whole(replica.value - 1, meta::copy_of(segment), end))
      missing = fmt::format("node {} has not all of segment {} up to {}", replica.value,
                            segment.id.value, end);
  };
  partition.sealed.each([&](const meta::Segment& segment) {
    for (auto replica : segment.replicas) look(segment, replica, segment.end.value);
  });
  if (!partition.tail) return missing;
  const auto& tail = *partition.tail;
  if (tail.state != meta::SegmentState::kOpen)
    return fmt::format("segment {} is not sealed", tail.id.value);
  auto end = nodes_->node(tail.leader.value - 1).bounds(id)->high_watermark.value;
  if (end > tail.base.value)
    for (auto replica : tail.replicas) look(tail, replica, end);
  return missing;
}

void ReplicaRun::check_end() {
  for (std::size_t place = 0; place < nodes_->processes().size(); ++place)
    for (const auto& id : partitions_) read_all(place, id);
  for (const auto& id : partitions_) {
    const auto& partition = *nodes_->state().partitions.find(id);
    truth_.check_all_read(id, partition.log_start.value);
    check_replicas(id, partition);
  }
  bool any = std::ranges::any_of(partitions_, [this](const PartitionId& id) {
    return !nodes_->state().partitions.find(id)->sealed.empty();
  });
  if (any && tally_.hits["replicas compared"] == 0)
    truth_.flag("the end", "no replicas were compared");
}

// Byte for byte, below what is acknowledged.
void ReplicaRun::check_replicas(const PartitionId& id, const meta::Partition& partition) {
  auto compare = [&](const meta::Segment& segment, std::int64_t end) {
    std::optional<std::string> first;
    for (auto replica : segment.replicas) {
      auto& engine = *nodes_->processes()[replica.value - 1].engine;
      auto stream = engine.find(replica::copy_stream_name(meta::copy_of(segment)));
      std::string bytes;
      for (auto from = segment.base.value; stream && from < end;) {
        auto fetched = engine.fetch(*stream, Offset{from}, {.up_to = UpTo::kAppended});
        if (!fetched || fetched->next.value == from) break;
        bytes += fetched->bytes;
        from = fetched->next.value;
      }
      if (first && *first != bytes)
        truth_.flag("I3", fmt::format("partition {} segment {}: node {} has other bytes", id.index,
                                      segment.id.value, replica.value));
      if (!first) first = std::move(bytes);
      else ++tally_.hits["replicas compared"];
    }
    if (segment.replicas.size() == 1) ++tally_.hits["replicas compared"];
  };
  partition.sealed.each([&](const meta::Segment& one) { compare(one, one.end.value); });
}

void ReplicaRun::read_all(std::size_t place, const PartitionId& id) {
  auto& node = nodes_->node(place);
  auto from = node.bounds(id)->log_start;
  std::set<std::int64_t> shown;
  auto deadline = nodes_->world().now() + 20s;
  while (!violation()) {
    auto bounds = node.bounds(id);
    from = std::max(from, bounds->log_start);  // of a trim that was under way
    if (from >= bounds->high_watermark) return truth_.check_keys(id, shown, *bounds, wall());
    auto fetched = nodes_->await(place, node.fetch(id, from, {.bytes_max = 10'000}));
    if (fetched && fetched->next > from) {
      take_read(id, from.value, *fetched, &shown);
      from = fetched->next;
    } else if (nodes_->world().now() > deadline) {
      return truth_.flag(
          "I10", fmt::format("node {} partition {} offset {}: {}", place + 1, id.index, from.value,
                             fetched ? "nothing" : fetched.error().message));
    } else {
      nodes_->world().run_for(50ms);
    }
  }
}

void ReplicaRun::say(const std::string& line) {
  if (!narrating_) return;
  auto now = nodes_ ? nodes_->world().now() : io::Nanos(0);
  std::printf("%10.6f %s\n", std::chrono::duration<double>(now).count(), line.c_str());
}

}  // namespace walrus::sim
