#include "cluster_disk.h"

#include "record/batch.h"

namespace walrus::sim {

std::int64_t StoredCopy::end() const {
  auto end = start;
  for (auto at = batches.find(end); at != batches.end() && !rotten.contains(end);
       at = batches.find(end))
    end = at->second.next;
  return end;
}

std::int64_t StoredCopy::written_end() const {
  return batches.empty() ? start : batches.rbegin()->second.next;
}

bool StoredCopy::damaged() const { return written_end() > end(); }

replica::Copy StoredCopy::found() const {
  replica::Copy copy{.state = state, .end = end(), .watermark = watermark};
  copy.has_producers = producers.has_value();
  if (producers) {
    Decoder from(producers->bytes());
    copy.producers = log::ProducerTable::decode(from).value();
  }
  for (const auto& [base, batch] : batches) {
    if (base >= copy.end) break;
    record::BatchView view(batch.bytes.bytes());
    if (view.producer_id() >= 0)
      copy.producers.add(view.producer_id(), view.producer_epoch(), view.base_sequence(),
                         view.count(), base, view.newest_timestamp());
  }
  return copy;
}

bool StoredCopy::apply(const replica::CopyWrite& write, std::size_t parts) {
  auto next = [&] { return parts > 0 ? parts-- > 0 : false; };
  if (write.cut) {
    if (!next()) return false;
    batches.erase(batches.lower_bound(*write.cut), batches.end());
    rotten.erase(rotten.lower_bound(*write.cut), rotten.end());
    lost_to = std::min(lost_to, *write.cut);
  }
  if (write.state) {
    if (!next()) return false;
    state = *write.state;
  }
  if (write.producers) {
    if (!next()) return false;
    producers = write.producers;
  }
  for (const auto& batch : write.batches) {
    if (!next()) return false;
    batches[batch.base] = batch;
    rotten.erase(batch.base);
  }
  watermark = std::max(watermark, write.watermark);
  return true;
}

wire::peer::Run StoredCopy::read(const replica::Attach& what, bool with_producers) const {
  wire::peer::Run run{.from = what.from};
  if (what.from == start && with_producers && producers) run.producers = producers;
  std::uint64_t bytes = 0;
  auto at = batches.find(what.from);
  for (auto next = what.from; at != batches.end() && at->first == next; ++at) {
    if (rotten.contains(next) || at->second.next > what.end) break;
    bytes += at->second.bytes.size();
    if (bytes > what.bytes_max && !run.batches.empty()) break;
    run.batches.push_back(at->second);
    next = at->second.next;
  }
  return run;
}

bool ClusterDisk::apply(std::map<SegmentId, StoredCopy>& to, const Waiting& what,
                        std::size_t parts) {
  auto [at, fresh] = to.try_emplace(what.segment);
  if (fresh) {
    at->second.start = at->second.watermark = what.start;
    at->second.durability = what.durability;
  }
  return at->second.apply(what.write, parts);
}

void ClusterDisk::write(Waiting what) {
  apply(cached, what);
  waiting.push_back(std::move(what));
}

void ClusterDisk::synced() {
  const auto& write = waiting.front().write;
  apply(durable, waiting.front());
  newest_.reset();
  if (!write.state && !write.cut && !write.producers && !write.batches.empty())
    newest_ = {waiting.front().segment, write.batches.front().base};
  waiting.pop_front();
}

void ClusterDisk::rot_newest() {
  auto& copy = durable.at(newest_->first);
  copy.lost_to = std::max(copy.lost_to, copy.written_end());
  copy.batches.erase(copy.batches.lower_bound(newest_->second), copy.batches.end());
  torn = true;
}

void ClusterDisk::kill(io::SimRandom& random) {
  // Half encoded is what nobody was told of as written.
  bool half =
      !waiting.empty() && waiting.back().durability == Durability::kFsync && random.chance(0.3);
  while (waiting.size() > (half ? 1u : 0u)) synced();
  if (half && !apply(durable, waiting.front(), random.below(3))) torn = true;
  waiting.clear();
  newest_.reset();  // a start puts a mark behind what it finds
  cached = durable;
}

void ClusterDisk::power_cut(io::SimRandom& random, bool all_lost) {
  auto whole = all_lost ? 0 : random.below(waiting.size() + 1);
  for (; whole > 0; --whole) synced();
  // A bad frame is where something was written; a clean end where nothing was.
  if (!waiting.empty() && !torn && random.chance(0.5)) {
    apply(durable, waiting.front(), random.below(3));
    torn = true;
  }
  waiting.clear();
  newest_.reset();
  cached = durable;
  rebooted = true;
}

void ClusterDisk::wipe() { *this = {}; }

}  // namespace walrus::sim
