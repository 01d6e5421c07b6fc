#include "replica/arrears.h"

#include <algorithm>

namespace walrus::replica {
namespace {

// Sequences live in [0, 2^31) and wrap; a producer has a few batches under way.
bool is_before(std::int32_t one, std::int32_t other) {
  auto distance = static_cast<std::uint32_t>(other - one) & 0x7fffffffU;
  return distance > 0 && distance < (1U << 30);
}

}  // namespace

std::optional<Sequence> sequence_of(const record::BatchView& batch) {
  if (batch.producer_id() < 0 || batch.base_sequence() < 0) return std::nullopt;
  return Sequence{batch.producer_id(), batch.producer_epoch(), batch.base_sequence()};
}

void Arrears::owe(const PartitionId& id, const Sequence& sequence, Instant now) {
  Key key{id, sequence.producer};
  auto found = owed_.find(key);
  bool earlier = found != owed_.end() && now < found->second.until &&
                 found->second.epoch == sequence.epoch &&
                 is_before(found->second.first, sequence.first);
  if (!earlier) enter(key, {sequence.epoch, sequence.first, now + kept_max_, false});
}

void Arrears::enter(const Key& key, const Owed& owed) {
  if (owed_.size() >= producers_max_ && !owed_.contains(key)) {
    auto until = [](const auto& one) { return one.second.until; };
    owed_.erase(std::ranges::min_element(owed_, {}, until));
  }
  owed_.insert_or_assign(key, owed);
}

bool Arrears::behind(const PartitionId& id, const Sequence& sequence, Instant now) const {
  auto found = owed_.find({id, sequence.producer});
  return found != owed_.end() && found->second.epoch == sequence.epoch &&
         now < found->second.until && is_before(found->second.first, sequence.first);
}

void Arrears::miss(const PartitionId& id, const Sequence& sequence, Instant now) {
  if (behind(id, sequence, now) || gap_lasted(id, sequence, now)) return;
  enter({id, sequence.producer},
        {sequence.epoch, (sequence.first - 1) & INT32_MAX, now + gap_max_, true});
}

bool Arrears::gap_lasted(const PartitionId& id, const Sequence& sequence, Instant now) const {
  if (gap_max_ <= Nanos(0)) return true;
  auto found = owed_.find({id, sequence.producer});
  if (found == owed_.end()) return false;
  const auto& owed = found->second;
  return owed.gap && owed.epoch == sequence.epoch && is_before(owed.first, sequence.first) &&
         owed.until <= now && now < owed.until + kept_max_;
}

void Arrears::come(const PartitionId& id, const Sequence& sequence) {
  auto found = owed_.find({id, sequence.producer});
  if (found == owed_.end()) return;
  if (found->second.epoch != sequence.epoch || found->second.first == sequence.first)
    owed_.erase(found);
}

void Arrears::settle(const PartitionId& id, const Sequence& sequence) {
  auto found = owed_.find({id, sequence.producer});
  if (found == owed_.end()) return;
  if (found->second.epoch != sequence.epoch || !is_before(sequence.first, found->second.first))
    owed_.erase(found);
}

}  // namespace walrus::replica
