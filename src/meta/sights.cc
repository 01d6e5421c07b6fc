#include "meta/sights.h"

#include <algorithm>
#include <set>

namespace walrus::meta {
namespace {

constexpr Nanos kRateOver = std::chrono::seconds(10), kRateStep = std::chrono::seconds(1);

}  // namespace

void Sights::heard(NodeId node, const Heartbeat& beat, Nanos now) {
  auto& seen = seen_[node];
  const auto& last = seen.last;
  changed_ |=
      last.wanted != beat.wanted || last.copies != beat.copies || last.leaving != beat.leaving;
  const bool same_life = last.incarnation == beat.incarnation && seen.heard_at != Nanos{};
  if (same_life && beat.copied_bytes > last.copied_bytes)
    copied_ += beat.copied_bytes - last.copied_bytes;
  seen.heard_at = now;
  seen.gone = beat.leaving == Leaving::kNow;
  seen.last = beat;
}

void Sights::gone(NodeId node) { seen_[node].gone = true; }

bool Sights::ready(const State& image, Nanos now) const {
  if (now - began_ > silence_max_) return true;
  bool all = true;
  image.nodes.each([&](NodeId id, const Node& node) {
    if (node.state == NodeState::kRemoved) return;
    const auto seen = seen_.find(id);
    all &= seen != seen_.end() && (seen->second.gone || is_alive(node, seen->second, now));
  });
  return all;
}

bool Sights::is_alive(const Node& node, const Seen& seen, Nanos now) const {
  return seen.heard_at != Nanos{} && !seen.gone && now - seen.heard_at <= silence_max_ &&
         seen.last.incarnation == node.incarnation && seen.last.lease_epoch == node.lease_epoch;
}

bool Sights::look(const State& image, Nanos now) {
  bool changed = std::exchange(changed_, false);
  image.nodes.each([&](NodeId id, const Node& node) {
    if (node.state == NodeState::kRemoved) {
      changed |= seen_.erase(id) > 0;
      told_.erase(id);
      slow_at_.erase(id);
      return;
    }
    auto [found, added] = seen_.try_emplace(id);
    auto& seen = found->second;
    if (added || seen.since == Nanos{}) seen.since = began_;
    const bool alive = is_alive(node, seen, now);
    if (alive == seen.alive && (!alive || seen.incarnation == node.incarnation)) return;
    if (alive || seen.alive) seen.since = now;
    seen.alive = alive;
    seen.incarnation = node.incarnation;
    changed = true;
  });
  return changed;
}

std::vector<Sight> Sights::see(const State& image, Nanos now) const {
  std::vector<Sight> all;
  image.nodes.each([&](NodeId id, const Node& node) {
    if (node.state == NodeState::kRemoved) return;
    const auto seen = seen_.find(id);
    const bool leaves = seen != seen_.end() && seen->second.last.leaving != Leaving::kNo;
    all.push_back({id, alive(id), node.incarnation, since(id, now), leaves});
  });
  return all;
}

bool Sights::alive(NodeId node) const {
  const auto seen = seen_.find(node);
  return seen != seen_.end() && seen->second.alive;
}

bool Sights::heard_of(NodeId node) const {
  const auto seen = seen_.find(node);
  return seen != seen_.end() && seen->second.heard_at != Nanos{};
}

Nanos Sights::since(NodeId node, Nanos now) const {
  const auto seen = seen_.find(node);
  return now - (seen == seen_.end() ? began_ : seen->second.since);
}

std::vector<PartitionId> Sights::wanted() const {
  std::set<PartitionId> all;
  for (const auto& [node, seen] : seen_)
    if (seen.alive) all.insert(seen.last.wanted.begin(), seen.last.wanted.end());
  return {all.begin(), all.end()};
}

std::vector<Copy> Sights::copies() const {
  std::vector<Copy> all;
  for (const auto& [node, seen] : seen_)
    if (seen.alive) all.insert(all.end(), seen.last.copies.begin(), seen.last.copies.end());
  return all;
}

// ---- How nodes are ----

void Sights::told(NodeId node, Condition condition, Nanos now) {
  // Who does not answer is not slow but away.
  std::erase_if(condition.slow, [this](const SlowCopy& one) { return !alive(one.node); });
  for (const auto& one : condition.slow) slow_at_[one.node] = now;
  auto& told = told_[node];
  changed_ |= told.condition != condition;
  told = {now, std::move(condition)};
}

Conditions Sights::conditions(Nanos now) const {
  Conditions all;
  for (const auto& [node, told] : told_)
    if (now - told.at <= kConditionLasts && !told.condition.well())
      all.nodes.push_back({node, told.condition});
  return all;
}

void Sights::observe(Observed& observed, Nanos now) const {
  for (const auto& [node, condition] : conditions(now).nodes) {
    if (condition.full) observed.full.push_back(node);
    observed.slow.insert(observed.slow.end(), condition.slow.begin(), condition.slow.end());
  }
  for (const auto& [node, at] : slow_at_)
    if (now - at <= kSlowLasts) observed.slow_nodes.push_back(node);
}

std::uint64_t Sights::copy_bytes_per_s(Nanos now) {
  if (rate_.empty() || now - rate_.back().at >= kRateStep) rate_.push_back({now, copied_});
  while (rate_.size() > 2 && now - rate_.front().at > kRateOver) rate_.erase(rate_.begin());
  const auto over = std::chrono::duration_cast<std::chrono::milliseconds>(now - rate_.front().at);
  if (over.count() <= 0) return 0;
  return (copied_ - rate_.front().bytes) * 1000 / static_cast<std::uint64_t>(over.count());
}

}  // namespace walrus::meta
