#include "cluster_truth.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crc32c.h"

namespace walrus::sim {

using replica::Segment;
using replica::SegmentState;
using wire::peer::Answer;
using wire::peer::Knowledge;

std::uint64_t hash_of(const wire::peer::Batch& batch) {
  return mix64(crc32c(batch.bytes.bytes()) ^ batch.bytes.size() << 32);
}

void ClusterTruth::fail(std::string rule, std::string detail) {
  if (!violation_) violation_ = Violation{std::move(rule), std::move(detail)};
}

// ---- Metadata ----

void ClusterTruth::check_metadata(const ClusterImage& image) {
  if (image.version == version_) return;
  version_ = image.version;
  for (std::size_t p = 0; p < image.partitions.size(); ++p) {
    const auto& chain = image.partitions[p];
    const auto& segments = chain.segments;
    // All but the last few were looked at before, and are sealed.
    for (auto i = segments.size() > 3 ? segments.size() - 3 : 0; i < segments.size(); ++i) {
      const auto& one = segments[i];
      auto& known = known_[one.id];
      bool last = i + 1 == segments.size();
      if (!last && one.state != SegmentState::kSealed)
        fail("I6 chain without gap", fmt::format("segment {} is not sealed", one.id.value));
      if (i > 0 && (segments[i - 1].end != one.start || segments[i - 1].epoch >= one.epoch))
        fail("I6 chain without gap", fmt::format("segment {} begins at {} behind {}", one.id.value,
                                                 one.start, segments[i - 1].end));
      if (!known.in_metadata) {
        known.in_metadata = true;
        known.partition = p;
        known.durable.fill(one.start);
        known.synced.fill(one.start);
      } else if (known.segment.state == SegmentState::kSealed &&
                 (one.state != SegmentState::kSealed || one.end != known.segment.end)) {
        fail("I2 sealed once",
             fmt::format("segment {}: {} after {}", one.id.value, one.end, known.segment.end));
      } else if (one.recovery < known.segment.recovery) {
        fail("R1 epochs rise", fmt::format("segment {}", one.id.value));
      }
      bool sealed_now =
          one.state == SegmentState::kSealed && known.segment.state != SegmentState::kSealed;
      known.segment = one;
      if (sealed_now) check_sealed(chain, one, known);
    }
  }
}

void ClusterTruth::check_sealed(const ClusterChain& chain, const Segment& segment, Known& known) {
  auto loss = std::ranges::find(chain.losses, segment.id, &ClusterLoss::segment);
  known.lost = loss != chain.losses.end();
  if (known.lost) {
    bool may = segment.durability != Durability::kFsync || known.loss_accepted;
    if (!may || loss->end != segment.end)
      fail("R41 loss is recorded", fmt::format("segment {} lost records", segment.id.value));
    return;
  }
  if (segment.end < known.watermark)
    fail("I1 acknowledged is kept", fmt::format("segment {}: sealed at {}, acknowledged to {}",
                                                segment.id.value, segment.end, known.watermark));
  check_disks(known, segment.end);
}

void ClusterTruth::check_disks(const Known& known, std::int64_t end) {
  auto disks = std::ranges::count_if(known.segment.replicas,
                                     [&](NodeId id) { return known.synced[id.value - 1] >= end; });
  if (disks < static_cast<std::ptrdiff_t>(known.segment.ack_quorum))
    fail("I4 sealed on disks",
         fmt::format("segment {}: sealed at {}, on {} disks", known.segment.id.value, end, disks));
}

void ClusterTruth::check_quorum(const Known& known, std::int64_t end) {
  std::size_t copies = 0;
  for (auto id : known.segment.replicas) copies += known.durable[id.value - 1] >= end;
  if (copies < known.segment.ack_quorum)
    fail("I4 acknowledged on a quorum", fmt::format("segment {}: {} acknowledged, {} hold it",
                                                    known.segment.id.value, end, copies));
}

std::int64_t ClusterTruth::acknowledged_of(std::size_t partition) const {
  std::int64_t highest = 0;
  for (const auto& [id, known] : known_)
    if (known.partition == partition) highest = std::max(highest, known.watermark);
  return highest;
}

bool ClusterTruth::lost_records(std::size_t partition) const {
  return std::ranges::any_of(known_, [&](const auto& one) {
    return one.second.partition == partition && one.second.lost;
  });
}

// ---- Leaders ----

void ClusterTruth::check_leader(const replica::Leader& leader, std::int64_t before,
                                const LeaderSeen& seen) {
  auto id = leader.segment().id;
  auto& known = known_[id];
  auto watermark = leader.watermark();
  if (watermark < before)
    fail("I7 watermark never falls",
         fmt::format("segment {}: {} after {}", id.value, watermark, before));
  if (watermark == before) return;
  if (known.segment.leader_incarnation != seen.incarnation ||
      known.segment.leader.value != seen.node + 1)
    fail("R42 one life", fmt::format("segment {} on node {}", id.value, seen.node + 1));
  if (seen.now >= seen.lease_until)
    fail("R15 within the lease", fmt::format("node {} acknowledges {} ms late", seen.node + 1,
                                             (seen.now - seen.lease_until) / 1'000'000));
  if (known.segment.state == SegmentState::kSealed && watermark > known.segment.end && !known.lost)
    fail("I8 nothing after the successor", fmt::format("segment {}: {} acknowledged, sealed at {}",
                                                       id.value, watermark, known.segment.end));
  check_quorum(known, watermark);
  known.watermark = std::max(known.watermark, watermark);
}

void ClusterTruth::check_acknowledged(const replica::Leader& leader, std::int64_t& last_end,
                                      std::int64_t end) {
  if (end > leader.watermark())
    fail("R5 acknowledged in order",
         fmt::format("segment {}: {} above the watermark {}", leader.segment().id.value, end,
                     leader.watermark()));
  if (end < last_end)
    fail("R5 acknowledged in order",
         fmt::format("segment {}: {} after {}", leader.segment().id.value, end, last_end));
  last_end = end;
}

// ---- Copies ----

void ClusterTruth::check_message(std::size_t node, const ClusterDisk& disk,
                                 const wire::peer::SegmentMessage& message) {
  auto found = known_.find(message.segment);
  if (found == known_.end() || !found->second.in_metadata)
    return fail("R1 epochs rise", fmt::format("segment {} is nobody's", message.segment.value));
  const auto& known = found->second;
  bool os = known.segment.durability != Durability::kFsync;
  auto stored_at = disk.durable.find(message.segment);
  auto cached_at = disk.cached.find(message.segment);
  static const StoredCopy kNone;
  const auto& synced = stored_at == disk.durable.end() ? kNone : stored_at->second;
  bool there = os ? cached_at != disk.cached.end() : stored_at != disk.durable.end();
  auto held = !there ? known.segment.start
              : os   ? cached_at->second.written_end()
                     : synced.written_end();
  auto ever = known.durable[node];
  if (known.segment.state == SegmentState::kSealed) ever = std::min(ever, known.segment.end);
  if (synced.lost_end() && synced.state.knowledge == Knowledge::kTorn)
    ever = std::min(ever, synced.written_end());
  auto who = fmt::format("node {}, segment {}", node + 1, message.segment.value);
  auto ceiling = std::max({known.watermark, known.segment.start,
                           known.segment.state == SegmentState::kSealed ? known.segment.end : 0});
  if (const auto* reply = std::get_if<wire::peer::ReplicateReply>(&message.body)) {
    if (reply->answer == Answer::kSynced && reply->durable > synced.written_end())
      fail("R3 durable first", fmt::format("{}: tells {} as synced", who, reply->durable));
    if (reply->answer != Answer::kOk) return;
    if (reply->durable > held)
      fail("R3 durable first", fmt::format("{}: tells {}, has {}", who, reply->durable, held));
    if (message.epoch < synced.state.promised)
      fail("I5 fenced is silent", fmt::format("{}: answers epoch {}, promised {}", who,
                                              message.epoch.value, synced.state.promised.value));
    bool recovery = message.epoch > known.segment.epoch;
    if (!recovery && (synced.state.knowledge == Knowledge::kLimbo || reply->durable < ever))
      fail("I11 limbo says nothing", fmt::format("{}: acknowledges, lost {}", who, ever));
    if (synced.state.promised < message.epoch)
      fail("R3 durable first", fmt::format("{}: epoch {} not promised", who, message.epoch.value));
  } else if (const auto* fenced = std::get_if<wire::peer::FenceReply>(&message.body)) {
    if (fenced->answer != Answer::kOk) return;
    if (synced.state.promised < message.epoch || fenced->durable > held)
      fail("R3 durable first", fmt::format("{}: fence of epoch {}", who, message.epoch.value));
    if (fenced->knowledge != Knowledge::kLimbo && fenced->durable < ever)
      fail("I11 limbo says nothing",
           fmt::format("{}: denies {}, which it had", who, fenced->durable));
  } else if (const auto* sent = std::get_if<wire::peer::Replicate>(&message.body)) {
    if (sent->watermark > ceiling)
      fail("R7 watermark from the writer", fmt::format("{}: {}", who, sent->watermark));
    for (const auto& batch : sent->run.batches) {
      auto at = known.batches.find(batch.base);
      if (at != known.batches.end() && at->second.second != hash_of(batch))
        fail("I3 copies agree", fmt::format("{}: offset {}", who, batch.base));
    }
  }
}

void ClusterTruth::check_watermark(SegmentId segment, std::int64_t before, std::int64_t after) {
  if (after < before)
    fail("I7 watermark never falls",
         fmt::format("segment {}: {} after {}", segment.value, after, before));
}

void ClusterTruth::check_stored(std::size_t node, const StoredCopy& copy, SegmentId segment,
                                const replica::CopyWrite& write) {
  check_batches(segment, write);
  auto& known = known_[segment];
  known.synced[node] = std::max(known.synced[node], copy.written_end());
  if (known.segment.durability == Durability::kFsync)
    note_durable(node, segment, copy.written_end());
}

void ClusterTruth::note_durable(std::size_t node, SegmentId segment, std::int64_t end) {
  auto& durable = known_[segment].durable[node];
  durable = std::max(durable, end);
}

void ClusterTruth::check_batches(SegmentId segment, const replica::CopyWrite& write) {
  auto& known = known_[segment];
  for (const auto& batch : write.batches) {
    auto hash = hash_of(batch);
    auto [at, fresh] = known.batches.try_emplace(batch.base, batch.next, hash);
    if (!fresh && at->second != std::pair{batch.next, hash})
      fail("I3 copies agree", fmt::format("segment {}, offset {}", segment.value, batch.base));
  }
}

void ClusterTruth::check_read(SegmentId segment, std::int64_t offset,
                              const wire::peer::Batch& batch) {
  const auto& known = known_[segment];
  auto limit = std::max(known.watermark,
                        known.segment.state == SegmentState::kSealed ? known.segment.end : -1);
  auto at = known.batches.find(batch.base);
  bool right = at != known.batches.end() && at->second == std::pair{batch.next, hash_of(batch)} &&
               batch.base <= offset && offset < batch.next;
  if (!right || batch.next > limit)
    fail("I10 readable is there",
         fmt::format("segment {}: a reader is shown offset {}, acknowledged {}", segment.value,
                     batch.base, limit));
}

}  // namespace walrus::sim
