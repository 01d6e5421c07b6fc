#include "cluster_world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/check.h"

namespace walrus::sim {

using replica::Follower;
using replica::Instant;
using replica::Leader;
using replica::Sealer;
using replica::Segment;
using replica::SegmentState;
using wire::peer::SegmentMessage;

ClusterWorld::ClusterWorld(std::uint64_t seed, const ClusterPlan& plan)
    : plan_(plan),
      random_(mix64(seed ^ 0xc1a5)),
      metadata_(plan_, random_),
      cut_(kPlaces * kPlaces),
      link_free_(kPlaces * kPlaces) {
  CHECK(plan.nodes <= kClusterNodesMax);
  for (std::size_t i = 0; i < plan.nodes; ++i) {
    nodes_.push_back(std::make_unique<Node>());
    nodes_.back()->place = i;
    nodes_.back()->disk.identity = true;
  }
  for (auto& node : nodes_) start(*node);
}

// ---- Time ----

void ClusterWorld::at(Nanos when, Kind kind, std::size_t who, std::uint64_t what,
                      std::uint32_t process) {
  agenda_.add(std::max(when, now_), {kind, static_cast<std::uint16_t>(who), process, what},
              plan_.shuffle_ties ? random_.next() : 0);
}

bool ClusterWorld::handle_next(Nanos until) {
  auto next = agenda_.take(until);
  if (!next) return false;
  now_ = next->at;
  ++tally_.events;
  trace_.fold(static_cast<std::uint64_t>(now_) * 16 +
              static_cast<std::uint64_t>(next->occasion.kind));
  handle(next->occasion);
  truth_.check_metadata(metadata_.now());
  return true;
}

void ClusterWorld::handle(const Occasion& occasion) {
  switch (occasion.kind) {
    case Kind::kClient: return client_turn(occasion.who, occasion.what);
    case Kind::kNemesis: return nemesis_turn(occasion.who);
    case Kind::kHeal: cut_[occasion.what] = 0; return;
    case Kind::kRequest: return answer(requests_[occasion.what]);
    default: return handle_node(*nodes_[occasion.who], occasion);
  }
}

void ClusterWorld::handle_node(Node& node, const Occasion& occasion) {
  if (occasion.kind == Kind::kRestart) {
    if (!node.up) start(node);
    return;
  }
  bool of_a_life = occasion.kind != Kind::kParcel;
  if (!node.up || (of_a_life && occasion.process != node.process)) return;
  if (node.paused_until > now_) {
    at(node.paused_until, occasion.kind, occasion.who, occasion.what, occasion.process);
    if (occasion.kind == Kind::kTick) node.tick_at = node.paused_until;
    return;
  }
  switch (occasion.kind) {
    case Kind::kTick:
      if (now_ == node.tick_at) tick(node);  // else another one was needed earlier
      break;
    case Kind::kParcel: receive(node, occasion.what); break;
    case Kind::kReply: take_reply(node, replies_[occasion.what]); break;
    case Kind::kSynced: synced(node); break;
    case Kind::kWritten: {
      SegmentId id{occasion.what >> 32};
      auto write = static_cast<replica::WriteId>(static_cast<std::uint32_t>(occasion.what));
      step_copy(node, id, Follower::Persisted{.id = write, .synced = false});
      break;
    }
    case Kind::kRenew: renew(node); break;
    case Kind::kControl: control(node); break;
    default: break;
  }
  if (node.up) flush(node);
}

void ClusterWorld::wake(Node& node, Instant when) {
  if (when == Instant::max()) return;
  auto real = static_cast<Nanos>(static_cast<double>(when.count() - node.offset) / node.rate) + 2;
  real = std::max(real, now_ + 1000);
  if (node.tick_at >= 0 && node.tick_at <= real) return;
  node.tick_at = real;
  at(real, Kind::kTick, node.place, 0, node.process);
}

void ClusterWorld::tick(Node& node) {
  node.tick_at = -1;
  auto time = local(node);
  std::vector<SegmentId> copies, writers;
  for (auto& [id, copy] : node.copies)
    if (copy.wake <= time) copies.push_back(id);
  for (auto& [id, writer] : node.writers)
    if (writer.wake <= time) writers.push_back(id);
  for (auto id : copies) step_copy(node, id, Follower::Tick{});
  for (auto id : writers) step_writer(node, id, Leader::Tick{});
  if (node.sealer && node.sealer_wake <= time) step_sealer(node, Sealer::Tick{});
  schedule_tick(node);
}

void ClusterWorld::schedule_tick(Node& node) {
  auto next = node.sealer_wake;
  for (const auto& [id, copy] : node.copies) next = std::min(next, copy.wake);
  for (const auto& [id, writer] : node.writers) next = std::min(next, writer.wake);
  wake(node, next);
}

void ClusterWorld::note(const std::string& line) {
  if (narrate_) std::printf("%10.3f ms  %s\n", static_cast<double>(now_) / 1e6, line.c_str());
}

// ---- Nodes ----

void ClusterWorld::start(Node& node) {
  note(fmt::format("node {} starts", node.place + 1));
  ++node.process;
  node.up = true;
  node.incarnation = 0;
  node.image.reset();
  node.looked.assign(plan_.partitions, 0);
  node.tick_at = -1;
  node.paused_until = 0;
  node.fail_next = false;
  node.disk_free_at = node.sync_begins = now_;
  auto deviation = std::array{-1.0, 1.0, 0.0, 0.5}[random_.below(4)] * plan_.drift;
  if (deviation != 0) hit(ClusterFamily::kClockDrift);
  node.rate = 1 + deviation;
  node.offset = 1'000'000'000 * static_cast<Nanos>(1 + random_.below(1000));
  at(now_, Kind::kRenew, node.place, 0, node.process);
  at(about(plan_.control_every), Kind::kControl, node.place, 0, node.process);
}

void ClusterWorld::down(Node& node) {
  ++tally_.crashes;
  node.up = false;
  ++node.process;
  node.copies.clear();
  node.writers.clear();
  node.sealer.reset();
  node.sealer_wake = Instant::max();
  node.lease.reset();
  node.outbox.clear();
}

void ClusterWorld::kill(Node& node) {
  if (!node.up) return;
  note(fmt::format("node {} is killed", node.place + 1));
  hit(ClusterFamily::kKill);
  for (const auto& one : node.disk.waiting) truth_.check_batches(one.segment, one.write);
  node.disk.kill(random_);
  if (node.disk.torn) hit(ClusterFamily::kTornJournal);
  for (const auto& [id, copy] : node.disk.durable) truth_.check_stored(node.place, copy, id, {});
  down(node);
}

void ClusterWorld::power_cut(Node& node, bool all_lost) {
  note(fmt::format("node {} loses power", node.place + 1));
  hit(ClusterFamily::kPowerCut);
  if (!node.disk.waiting.empty()) hit(ClusterFamily::kLostWrites);
  for (const auto& one : node.disk.waiting) truth_.check_batches(one.segment, one.write);
  node.disk.power_cut(random_, all_lost);
  for (const auto& [id, copy] : node.disk.durable) truth_.check_stored(node.place, copy, id, {});
  if (node.disk.torn) hit(ClusterFamily::kTornJournal);
  if (node.up) down(node);
}

ClusterWorld::CopyOf& ClusterWorld::copy_of(Node& node, SegmentId id, std::int64_t start,
                                            Durability::Kind durability) {
  auto [at, fresh] = node.copies.try_emplace(id);
  if (!fresh) return at->second;
  auto options = plan_.follower;
  options.self = node.id();
  options.segment = id;
  options.start = start;
  options.durability = durability;
  std::optional<replica::Copy> found;
  bool damaged = false;
  if (auto stored = node.disk.cached.find(id); stored != node.disk.cached.end()) {
    found = stored->second.found();
    damaged = stored->second.damaged();
  }
  at->second.core = Follower::open(
      options, found, replica::knowledge_of(node.disk.losses, id, durability, damaged));
  return at->second;
}

// ---- Links ----

std::optional<ClusterWorld::Nanos> ClusterWorld::arrival(std::size_t from, std::size_t to) {
  auto link = from * kPlaces + to;
  if (cut_[link]) return std::nullopt;
  if (!calm_ && random_.chance(plan_.drop)) {
    hit(ClusterFamily::kDrop);
    return std::nullopt;
  }
  auto when = in(plan_.delay_min, plan_.delay_max);
  if (plan_.in_order) when = std::max(when, link_free_[link] + 1);
  else if (when < link_free_[link]) hit(ClusterFamily::kReorder);
  link_free_[link] = std::max(link_free_[link], when);
  return when;
}

void ClusterWorld::flush(Node& node) {
  std::map<NodeId, std::vector<SegmentMessage>> by_node;
  for (auto& message : node.outbox) by_node[message.to].push_back(std::move(message));
  node.outbox.clear();
  for (const auto& [id, messages] : by_node) {
    auto parcel = std::make_shared<std::string>();
    wire::peer::append_parcel(*parcel, messages);
    tally_.messages += static_cast<std::int64_t>(messages.size());
    auto to = static_cast<std::size_t>(id.value - 1);
    parcels_.push_back(std::move(parcel));
    auto slot = parcels_.size() - 1;
    if (to == node.place) {
      at(now_ + 1000, Kind::kParcel, to, slot);
      continue;
    }
    int copies = !calm_ && random_.chance(plan_.duplicate) ? 2 : 1;
    if (copies == 2) hit(ClusterFamily::kDuplicate);
    for (; copies > 0; --copies)
      if (auto when = arrival(node.place, to)) at(*when, Kind::kParcel, to, slot);
  }
}

void ClusterWorld::receive(Node& node, std::uint64_t slot) {
  if (node.incarnation == 0) return;  // it does not know yet what its disk may have lost
  auto parcel = parcels_[slot];
  auto messages = wire::peer::parse_parcel(*parcel, parcel);
  if (!messages) return truth_.fail("parcels parse", messages.error().message);
  auto from = static_cast<std::size_t>(messages->front().from.value - 1);
  if (is_cut(from, node.place)) return;
  for (auto& message : *messages)
    if (node.up) route(node, message);
}

void ClusterWorld::route(Node& node, SegmentMessage& message) {
  auto id = message.segment;
  if (const auto* sent = std::get_if<wire::peer::Replicate>(&message.body)) {
    copy_of(node, id, sent->start, sent->durability);
    step_copy(node, id, Follower::Receive{std::move(message)});
  } else if (const auto* fence = std::get_if<wire::peer::Fence>(&message.body)) {
    copy_of(node, id, fence->start, fence->durability);
    step_copy(node, id, Follower::Receive{std::move(message)});
  } else if (std::get_if<wire::peer::Fetch>(&message.body)) {
    const auto* segment = metadata_.find(id);
    copy_of(node, id, segment->start, segment->durability);
    step_copy(node, id, Follower::Receive{std::move(message)});
  } else if (std::get_if<wire::peer::FetchReply>(&message.body)) {
    std::vector<SegmentId> waiting;
    for (auto& [writer_id, writer] : node.writers)
      if (writer.core->waits_for(id)) waiting.push_back(writer_id);
    for (auto writer : waiting) step_writer(node, writer, Leader::Receive{message});
    if (node.copies.contains(id)) step_copy(node, id, Follower::Receive{std::move(message)});
  } else {
    if (node.writers.contains(id)) step_writer(node, id, Leader::Receive{message});
    if (node.sealer && node.sealer->has(id)) step_sealer(node, Sealer::Receive{std::move(message)});
  }
}

// ---- Copies ----

void ClusterWorld::step_copy(Node& node, SegmentId id, Follower::Event event) {
  auto found = node.copies.find(id);
  if (found == node.copies.end() || truth_.violation()) return;
  auto& core = *found->second.core;
  auto before = core.watermark();
  Follower::Actions actions;
  Follower::Event events[] = {std::move(event)};
  core.step(local(node), events, actions);
  if (!core.state().sealed_end) truth_.check_watermark(id, before, core.watermark());
  if (metadata_.find(id)->durability != Durability::kFsync)
    truth_.note_durable(node.place, id, core.durable());
  found->second.wake = actions.wake_at;
  take_copy(node, id, actions);
  wake(node, actions.wake_at);
  if (core.complete() && core.idle()) node.copies.erase(id);
}

void ClusterWorld::take_copy(Node& node, SegmentId id, Follower::Actions& actions) {
  std::vector<std::int64_t> damaged;
  // What is read for an answer was written before.
  if (actions.write.id != 0) write(node, id, std::move(actions.write));
  for (auto& outgoing : actions.messages) {
    truth_.check_message(node.place, node.disk, outgoing.message);
    if (outgoing.attach && !attach(node, id, outgoing)) damaged.push_back(outgoing.attach->from);
    node.outbox.push_back(std::move(outgoing.message));
  }
  if (narrate_)
    for (auto from : damaged)
      note(fmt::format("node {}: segment {} is damaged at {}", node.place + 1, id.value, from));
  for (auto from : damaged) step_copy(node, id, Follower::Damaged{from});
}

// False: what lies there is not what was written.
bool ClusterWorld::attach(Node& node, SegmentId id, replica::Outgoing& outgoing) {
  auto run = node.disk.cached[id].read(*outgoing.attach, true);
  bool good = !run.batches.empty();
  if (auto* fenced = std::get_if<wire::peer::FenceReply>(&outgoing.message.body))
    fenced->run = std::move(run);
  if (auto* fetched = std::get_if<wire::peer::FetchReply>(&outgoing.message.body))
    fetched->run = std::move(run);
  return good;
}

void ClusterWorld::write(Node& node, SegmentId id, replica::CopyWrite write) {
  const auto& segment = *metadata_.find(id);
  bool os = segment.durability != Durability::kFsync;
  // What comes while a sync runs is covered by the next one.
  if (now_ >= node.sync_begins) {
    node.sync_begins = std::max(node.disk_free_at, now_);
    if (now_ < node.stuck_until) node.sync_begins = std::max(node.sync_begins, node.stuck_until);
    auto slow = now_ < node.slow_until ? node.slow_by : 0;
    node.disk_free_at =
        node.sync_begins + slow + random_.between(plan_.sync_min.count(), plan_.sync_max.count());
  }
  if (os && !write.state)
    at(now_ + 1000, Kind::kWritten, node.place, id.value << 32 | write.id, node.process);
  at(node.disk_free_at, Kind::kSynced, node.place, 0, node.process);
  node.disk.write({node.disk_free_at, id, segment.start, segment.durability, std::move(write)});
  if (os) truth_.check_batches(id, node.disk.waiting.back().write);
}

void ClusterWorld::synced(Node& node) {
  auto& waiting = node.disk.waiting;
  if (waiting.empty() || waiting.front().done_at > now_) return;
  if (node.fail_next) {
    hit(ClusterFamily::kFailedSync);
    note(fmt::format("node {}: a sync fails", node.place + 1));
    std::vector<SegmentId> ids;
    for (auto& [id, copy] : node.copies) ids.push_back(id);
    for (auto id : ids) step_copy(node, id, Follower::PersistFailed{});
    kill(node);
    at(in(std::chrono::milliseconds(50), std::chrono::seconds(2)), Kind::kRestart, node.place);
    return;
  }
  std::map<SegmentId, replica::WriteId> done;
  while (!waiting.empty() && waiting.front().done_at <= now_) {
    auto id = waiting.front().segment;
    done[id] = waiting.front().write.id;
    auto write = waiting.front().write;
    node.disk.synced();
    truth_.check_stored(node.place, node.disk.durable[id], id, write);
  }
  for (auto [id, write] : done) step_copy(node, id, Follower::Persisted{.id = write});
}

// ---- Writers ----

void ClusterWorld::step_writer(Node& node, SegmentId id, Leader::Event event) {
  auto found = node.writers.find(id);
  if (found == node.writers.end() || truth_.violation()) return;
  auto& core = *found->second.core;
  auto before = core.watermark();
  auto role = core.role();
  Leader::Actions actions;
  Leader::Event events[] = {std::move(event)};
  core.step(local(node), events, actions);
  const auto& seen = metadata_.now().nodes[node.place];
  truth_.check_leader(core, before,
                      {.node = node.place,
                       .incarnation = node.incarnation,
                       .now = now_,
                       .lease_until = seen.renewed_at + plan_.lease.count()});
  found->second.wake = actions.wake_at;
  if (role != Leader::Role::kDeposed && core.role() == Leader::Role::kDeposed) {
    note(fmt::format("node {} is deposed in segment {}", node.place + 1, id.value));
    if (core.log_end() > core.watermark()) hit(ClusterFamily::kFencedWithWaiting);
  }
  take_writer(node, id, actions);
  wake(node, actions.wake_at);
}

void ClusterWorld::take_writer(Node& node, SegmentId id, Leader::Actions& actions) {
  auto& writer = node.writers.at(id);
  for (auto& message : actions.messages) {
    truth_.check_message(node.place, node.disk, message);
    node.outbox.push_back(std::move(message));
  }
  for (const auto& one : actions.appended) appended(node, writer, one);
  for (const auto& one : actions.confirmed) confirmed(node, one);
  if (actions.close_at) {
    writer.close_at = actions.close_at;
    note(fmt::format("node {} closes segment {} at {}", node.place + 1, id.value,
                     *actions.close_at));
    send_close(node, writer);
  }
  bool rolls = actions.roll != Leader::Roll::kNo;
  bool lost = actions.roll == Leader::Roll::kQuorumLost;
  for (const auto& one : actions.log_requests) {
    hit(ClusterFamily::kLogRead);
    replica::Attach what{one.from, writer.core->log_end(), one.bytes_max};
    auto stored = node.disk.cached.find(id);
    wire::peer::Run run;
    if (stored != node.disk.cached.end()) run = stored->second.read(what, false);
    step_writer(node, id, Leader::LogRead{one.replica, std::move(run)});
  }
  if (lost) return step_sealer(node, Sealer::Seal{.segment = writer.core->segment()});
  if (rolls && writer.core->role() == Leader::Role::kWriter) {
    note(fmt::format("node {} wants to roll segment {}: {}", node.place + 1, id.value,
                     static_cast<int>(actions.roll)));
    step_writer(node, id, Leader::Close{});
  }
}

void ClusterWorld::send_close(Node& node, Writer& writer) {
  writer.close_sent_at = now_;
  Request request{.kind = Request::kClose};
  request.command.segment = writer.core->segment();
  request.command.end = *writer.close_at;
  ask(node, std::move(request));
}

// ---- Sealing ----

void ClusterWorld::step_sealer(Node& node, Sealer::Event event) {
  if (!node.sealer || truth_.violation()) return;
  Sealer::Actions actions;
  Sealer::Event events[] = {std::move(event)};
  node.sealer->step(local(node), events, actions);
  node.sealer_wake = actions.wake_at;
  for (auto& message : actions.messages) {
    truth_.check_message(node.place, node.disk, message);
    if (const auto* sent = std::get_if<wire::peer::Replicate>(&message.body))
      if (!sent->run.batches.empty()) hit(ClusterFamily::kWrittenBack);
    node.outbox.push_back(std::move(message));
  }
  for (auto& command : actions.commands) {
    Request request{.kind =
                        command.kind == Sealer::Command::kClaim ? Request::kClaim : Request::kEnd};
    request.command = std::move(command);
    ask(node, std::move(request));
  }
  for (const auto& one : actions.blocked) blocked(node, one);
  wake(node, actions.wake_at);
}

}  // namespace walrus::sim
