// What a node hears from metadata and what it does about it: lives, leases, images, the controller.

#include <fmt/format.h>

#include <algorithm>

#include "cluster_world.h"

namespace walrus::sim {

using replica::Follower;
using replica::Leader;
using replica::Sealer;
using replica::Segment;
using replica::SegmentState;

void ClusterWorld::ask(Node& node, Request request) {
  request.node = node.place;
  request.process = node.process;
  request.incarnation = node.incarnation;
  request.asked_at = local(node);
  auto when = arrival(node.place, kMetadata);
  if (!when) return;
  requests_.push_back(std::move(request));
  at(*when, Kind::kRequest, node.place, requests_.size() - 1);
}

void ClusterWorld::answer(const Request& request) {
  if (is_cut(request.node, kMetadata)) return;
  metadata_.judge(now_);
  Reply reply{.request = request};
  const auto& command = request.command;
  auto before = metadata_.now().version;
  // A node that metadata takes for another life of itself has no say.
  bool speaks = metadata_.now().nodes[request.node].incarnation == request.incarnation;
  switch (request.kind) {
    case Request::kRegister:
      if (request.process != nodes_[request.node]->process) return;
      reply.incarnation = metadata_.register_node(request.node, request.process, now_);
      reply.taken = true;
      break;
    case Request::kRenew:
      reply.taken = metadata_.renew(request.node, request.incarnation, now_);
      break;
    case Request::kClaim:
      reply.taken = speaks && metadata_.claim(command.segment);
      if (!reply.taken) hit(ClusterFamily::kSealerLostRace);
      break;
    case Request::kEnd:
      reply.taken = speaks && metadata_.end(command);
      if (reply.taken) {
        hit(ClusterFamily::kSealed);
        ++tally_.sealed;
        if (command.lost) ++tally_.losses;
        note(fmt::format("segment {} is sealed at {}{}", command.segment.id.value, command.end,
                         command.lost ? ", records are lost" : ""));
      }
      break;
    case Request::kClose:
      reply.taken = metadata_.close(command.segment.id, command.segment.epoch, command.end);
      if (reply.taken) {
        hit(ClusterFamily::kPlannedRoll);
        ++tally_.sealed;
      }
      break;
    case Request::kOpen: metadata_.open_next(request.partition); break;
  }
  if (const auto* segment = metadata_.find(command.segment.id)) reply.segment = *segment;
  reply.image = metadata_.image();
  if (auto when = arrival(kMetadata, request.node)) {
    replies_.push_back(std::move(reply));
    at(*when, Kind::kReply, request.node, replies_.size() - 1, request.process);
  }
  if (metadata_.now().version == before) return;
  // The others hear of what changed, if nothing is lost on the way.
  for (auto& node : nodes_) {
    if (node->place == request.node || !node->up) continue;
    auto when = arrival(kMetadata, node->place);
    if (!when) continue;
    Reply told{.request = {.kind = Request::kOpen, .node = node->place, .process = node->process}};
    told.image = metadata_.image();
    replies_.push_back(std::move(told));
    at(*when, Kind::kReply, node->place, replies_.size() - 1, node->process);
  }
}

void ClusterWorld::take_reply(Node& node, const Reply& reply) {
  if (is_cut(kMetadata, node.place)) return;
  switch (reply.request.kind) {
    case Request::kRegister: joined(node, reply); break;
    case Request::kRenew:
      if (node.incarnation == 0) return;
      if (!reply.taken) {  // there is another life of it
        kill(node);
        return at(about(std::chrono::milliseconds(100)), Kind::kRestart, node.place);
      }
      node.lease->granted(reply.request.asked_at);
      break;
    case Request::kClaim:
    case Request::kEnd:
      if (node.incarnation > 0)
        step_sealer(node, Sealer::Decided{.segment = reply.segment, .taken = reply.taken});
      break;
    default: break;
  }
  if (node.incarnation > 0) learn(node, reply.image);
}

// What its disk may have lost is known now by the ids that were issued, and is durable before the
// node answers anything.
void ClusterWorld::joined(Node& node, const Reply& reply) {
  if (node.incarnation > 0) return;
  node.incarnation = reply.incarnation;
  auto& disk = node.disk;
  auto next = reply.image->next_segment;
  if (!disk.identity) disk.losses.directory_below = next;
  if (disk.rebooted) disk.losses.unsynced_below = next;
  if (disk.torn) disk.losses.torn_below = next;
  disk.identity = true;
  disk.rebooted = disk.torn = false;
  node.lease = std::make_unique<replica::Lease>(plan_.lease, plan_.drift_ppm_max);
  node.lease->granted(reply.request.asked_at);
  auto options = plan_.sealer;
  options.self = node.id();
  node.sealer = std::make_unique<Sealer>(options);
}

void ClusterWorld::renew(Node& node) {
  ask(node, {.kind = node.incarnation > 0 ? Request::kRenew : Request::kRegister});
  auto next = static_cast<Nanos>(static_cast<double>(plan_.renew_every.count()) / node.rate);
  at(now_ + next, Kind::kRenew, node.place, 0, node.process);
  if (node.incarnation > 0 && (calm_ || random_.chance(0.02))) scrub(node);
  // What is told to metadata until it says what became of it.
  for (auto& [id, writer] : node.writers)
    if (writer.close_at && now_ - writer.close_sent_at > plan_.renew_every.count())
      send_close(node, writer);
}

// Bytes that turned bad are found by looking at them.
void ClusterWorld::scrub(Node& node) {
  std::vector<std::pair<SegmentId, std::int64_t>> rotten;
  for (const auto& [id, copy] : node.disk.durable)
    if (!copy.rotten.empty()) rotten.emplace_back(id, *copy.rotten.begin());
  for (auto [id, offset] : rotten) {
    const auto& segment = *metadata_.find(id);
    copy_of(node, id, segment.start, segment.durability);
    step_copy(node, id, Follower::Damaged{offset});
    if (node.image && segment.state == SegmentState::kSealed && node.copies.contains(id))
      step_copy(node, id, Follower::Sealed{segment.end, segment.replicas});
  }
}

// ---- The image ----

void ClusterWorld::learn(Node& node, const ClusterImageRef& image) {
  if (!image || (node.image && image->version <= node.image->version)) return;
  node.image = image;
  for (std::size_t p = 0; p < plan_.partitions; ++p) learn_chain(node, p);
}

void ClusterWorld::learn_chain(Node& node, std::size_t partition) {
  const auto& chain = node.image->partitions[partition];
  auto& looked = node.looked[partition];
  for (; looked < chain.segments.size(); ++looked) {
    const auto& segment = chain.segments[looked];
    if (segment.state == SegmentState::kOpen) return open_writer(node, chain, segment);
    if (node.writers.contains(segment.id)) {
      step_writer(node, segment.id, Leader::Deposed{});
      if (segment.state == SegmentState::kSealed) node.writers.erase(segment.id);
    }
    if (segment.state == SegmentState::kSealing) return;
    learn_sealed(node, segment);
  }
}

void ClusterWorld::learn_sealed(Node& node, const Segment& segment) {
  if (!segment.has(node.id())) return;
  auto stored = node.disk.cached.find(segment.id);
  bool whole = stored != node.disk.cached.end() && stored->second.state.sealed_end &&
               stored->second.end() == segment.end &&
               stored->second.state.knowledge == wire::peer::Knowledge::kWhole;
  if (whole && !node.copies.contains(segment.id)) return;
  auto& copy = copy_of(node, segment.id, segment.start, segment.durability);
  if (copy.core->complete()) return;
  if (copy.core->accepted() < segment.end) hit(ClusterFamily::kRepaired);
  step_copy(node, segment.id, Follower::Sealed{segment.end, segment.replicas});
}

void ClusterWorld::open_writer(Node& node, const ClusterChain& chain, const Segment& segment) {
  if (segment.leader != node.id() || node.writers.contains(segment.id)) return;
  auto options = plan_.leader;
  options.self = node.id();
  options.incarnation = node.incarnation;
  std::optional<Leader::Previous> previous;
  if (const auto* before = chain.before_tail()) previous = {before->id, before->replicas};
  auto leader = Leader::open(options, segment, previous, *node.lease);
  if (!leader) return;  // of an earlier life
  note(fmt::format("node {} writes segment {} from {}", node.place + 1, segment.id.value,
                   segment.start));
  node.writers[segment.id].core = *std::move(leader);
  node.writers[segment.id].acknowledged_end = segment.start;
  step_writer(node, segment.id, Leader::Tick{});
}

// ---- The controller ----

void ClusterWorld::control(Node& node) {
  auto next = static_cast<Nanos>(static_cast<double>(plan_.control_every.count()) / node.rate);
  at(now_ + next, Kind::kControl, node.place, 0, node.process);
  if (node.incarnation == 0 || !node.image || node.image->controller != node.place) return;
  for (std::size_t p = 0; p < plan_.partitions; ++p) control_partition(node, p);
}

void ClusterWorld::control_partition(Node& node, std::size_t partition) {
  const auto* tail = node.image->partitions[partition].tail();
  if (!tail || tail->state == SegmentState::kSealed)
    return ask(node, {.kind = Request::kOpen, .partition = partition});
  if (node.sealer->has(tail->id)) step_sealer(node, Sealer::Learned{*tail});
  if (node.sealer->has(tail->id)) return;
  const auto& leader = node.image->nodes[tail->leader.value - 1];
  bool led = leader.alive && leader.incarnation == tail->leader_incarnation;
  if (tail->state == SegmentState::kOpen && led) return;
  step_sealer(node, Sealer::Seal{.segment = *tail});
}

}  // namespace walrus::sim
