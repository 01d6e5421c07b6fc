// Scrubbing: sealed copies are read from time to time, slowly, so that what rots and is read by
// nobody is found while other copies have it (R35). Whatever else meets damage in a sealed copy
// leaves it to this to find out where it begins.
//
// A damaged copy is mended by the way of every copy that is behind: what lies from the damage on is
// given up and fetched (Follower::Damaged). Not before another copy has shown that it has all of
// that: until then what lies behind the damage may be the last there is of it, and is read on.

#include <algorithm>

#include "replica/node_state.h"

namespace walrus::replica {
namespace {

constexpr std::uint64_t kScrubBytes = 256 << 10, kCheckBytes = 1 << 20;
constexpr Nanos kFirstRound = std::chrono::minutes(10);  // after a start, at most
constexpr Nanos kRestMax = std::chrono::hours(1), kNotBegun = std::chrono::seconds(1);

struct Piece {
  std::int64_t next = 0;
  std::uint64_t bytes = 0;
};

}  // namespace

// ---- What there is ----

std::optional<NodeState::Sealed> NodeState::sealed_here(const PartitionId& id,
                                                        SegmentId copy) const {
  const auto* partition = partition_of(id);
  auto found = partition ? find_copied(*partition, copy) : std::nullopt;
  if (!found || found->pending || !meta::is_replica(found->segment, options_.self) ||
      !is_whole(copy, found->segment.end))
    return std::nullopt;
  return Sealed{id, copy, std::move(found->segment)};
}

// In the order of partitions and segments.
std::optional<NodeState::Sealed> NodeState::next_sealed(const Sealed& after) const {
  for (auto at = parts_.lower_bound(after.partition); at != parts_.end(); ++at) {
    const auto& [id, part] = *at;
    auto from = id == after.partition ? SegmentId{after.copy.value + 1} : SegmentId{};
    for (auto next = std::ranges::lower_bound(part.mine, from); next != part.mine.end(); ++next) {
      if (*next == part.tail || damaged_.contains(*next)) continue;
      if (auto sealed = sealed_here(id, *next)) return sealed;
    }
  }
  return std::nullopt;
}

void NodeState::suspect(SegmentId segment) {
  if (damaged_.contains(segment)) return;
  suspects_.insert(segment);
  scrub_gate_->open();
}

std::optional<NodeState::Sealed> NodeState::next_suspect() {
  while (!suspects_.empty()) {
    auto segment = suspects_.extract(suspects_.begin()).value();
    for (const auto& [id, part] : parts_) {
      if (!std::ranges::binary_search(part.mine, segment)) continue;
      if (auto sealed = sealed_here(id, segment)) return sealed;
    }
  }
  return std::nullopt;
}

std::vector<meta::DamagedCopy> NodeState::damaged() const {
  std::vector<meta::DamagedCopy> damaged;
  for (const auto& [copy, one] : damaged_) {
    if (!one.tried || one.mending || damaged.size() == meta::kConditionListMax) continue;
    // By the id that operators know: copies of a compacted segment have one of their own.
    if (auto sealed = sealed_here(one.partition, copy))
      damaged.push_back({one.partition, sealed->segment.id});
  }
  return damaged;
}

// ---- Reading ----

boost::asio::awaitable<void> NodeState::run_scrub(std::shared_ptr<NodeState> self) {
  const auto& limits = self->options_.limits;
  auto round_at = self->env_.mono() + std::min(limits.scrub_every, kFirstRound);
  if (limits.scrub_bytes_per_s == 0) round_at = Instant::max();
  Sealed at;
  while (!self->stopped_) {
    if (co_await see_to_damage(self)) continue;
    auto now = self->env_.mono();
    if (now < round_at || !self->begun_) {
      co_await self->scrub_gate_->wait(std::min(self->next_scrub(round_at) - now, kRestMax));
    } else if (auto next = self->next_sealed(at)) {
      at = *std::move(next);
      co_await scrub(self, at, true);
    } else {
      at = {};
      ++self->stats_.scrub_rounds;
      round_at = now + limits.scrub_every;
    }
  }
}

// True: there was some.
boost::asio::awaitable<bool> NodeState::see_to_damage(std::shared_ptr<NodeState> self) {
  if (self->stopped_) co_return false;
  if (auto segment = self->next_to_mend(self->env_.mono())) {
    co_await mend(self, *segment);
    co_return true;
  }
  auto suspect = self->next_suspect();
  if (suspect) co_await scrub(self, *std::move(suspect), false);
  co_return suspect.has_value();
}

Instant NodeState::next_scrub(Instant round_at) const {
  if (!begun_) return env_.mono() + kNotBegun;
  for (const auto& [segment, damage] : damaged_)
    if (!damage.mending) round_at = std::min(round_at, damage.again);
  return round_at;
}

boost::asio::awaitable<void> NodeState::scrub(std::shared_ptr<NodeState> self, Sealed sealed,
                                              bool in_no_hurry) {
  const auto& segment = sealed.segment;
  auto stream = self->store_->stream(sealed.copy);
  auto from = segment.base.value;
  while (stream && from < segment.end.value) {
    auto read = [&engine = self->engine_, stream, from]() -> Result<Piece> {
      log::FetchOptions options{.bytes_max = kScrubBytes, .up_to = UpTo::kAppended};
      WALRUS_ASSIGN(auto fetched, engine.fetch(stream, Offset{from}, options));
      return Piece{fetched.next.value, fetched.bytes.size()};
    };
    auto piece = co_await self->files_->run<Piece>(read);
    if (self->stopped_) co_return;
    if (!piece && piece.error().code == Code::kCorrupt) {
      ++self->stats_.copies_damaged;
      self->log(LogLevel::kError, "segment_copy_damaged", sealed.copy, piece.error().message);
      self->damaged_[sealed.copy] = {.partition = sealed.partition, .from = from};
      co_return;
    }
    if (!piece || piece->next <= from) co_return;  // it goes, or is fetched anew
    from = piece->next;
    self->stats_.scrubbed_bytes += piece->bytes;
    if (!in_no_hurry) continue;
    auto rate = static_cast<std::uint64_t>(self->options_.limits.scrub_bytes_per_s);
    co_await self->scrub_gate_->wait(Nanos(piece->bytes * 1'000'000'000 / rate));
    while (co_await see_to_damage(self)) {
    }
    if (self->stopped_) co_return;
  }
}

// ---- Mending ----

// What is damaged and is here no more is damaged no more.
std::optional<SegmentId> NodeState::next_to_mend(Instant now) {
  std::erase_if(damaged_, [this](const auto& one) {
    const auto& [segment, damage] = one;
    return damage.mending ? !repairs_.contains(segment) : !sealed_here(damage.partition, segment);
  });
  for (const auto& [segment, damage] : damaged_)
    if (!damage.mending && now >= damage.again) return segment;
  return std::nullopt;
}

void NodeState::end_repair(SegmentId id) {
  repairs_.erase(id);
  if (damaged_.erase(id) == 0) return;
  ++stats_.copies_mended;
  log(LogLevel::kInfo, "segment_copy_mended", id, "another copy had what was damaged");
  suspect(id);  // there may be more behind it
}

boost::asio::awaitable<void> NodeState::mend(std::shared_ptr<NodeState> self, SegmentId id) {
  auto& begun = self->damaged_.at(id);
  begun.again = self->env_.mono() + self->options_.limits.mend_again;
  auto damage = begun;
  auto sealed = self->sealed_here(damage.partition, id);
  if (!sealed || self->repairs_.contains(id)) co_return;
  for (auto source : sealed->segment.replicas) {
    if (source == self->options_.self || !self->image_->intact(sealed->segment, source)) continue;
    auto sound = co_await check_source(self, source, id,
                                       {damage.from, sealed->segment.end.value, kCheckBytes});
    if (self->stopped_) co_return;
    auto found = self->damaged_.find(id);
    auto* cell = found == self->damaged_.end() ? nullptr : self->copy_cell(id);
    if (!cell || !self->sealed_here(damage.partition, id)) co_return;
    if (!sound) continue;
    found->second.mending = true;
    auto& repair = self->repairs_[id];
    repair.partition = damage.partition;
    repair.source = source;
    self->push(id, *cell, Follower::Damaged{damage.from});
    co_return;
  }
  if (auto found = self->damaged_.find(id); found != self->damaged_.end())
    found->second.tried = true;
}

}  // namespace walrus::replica
