#include "meta/chain.h"

#include <algorithm>

#include "base/check.h"
#include "base/coding.h"

namespace walrus::meta {
namespace {

constexpr unsigned kPlacedAsBefore = 1, kCopied = 2, kCompacted = 4;

bool placed_alike(const Segment& a, const Segment& b) {
  return a.leader == b.leader && a.min_copies == b.min_copies && a.replicas == b.replicas;
}

void append_segment(std::string& to, const Segment& segment, const Segment& before) {
  append_uvarint(to, segment.id.value - before.id.value);
  append_uvarint(to, segment.epoch.value - before.epoch.value);
  append_uvarint(to, static_cast<std::uint64_t>(segment.end.value - segment.base.value));
  append_uvarint(to, segment.bytes);
  bool alike = placed_alike(segment, before), copied = segment.copied != segment.id,
       compacted = segment.compacted != SegmentId{};
  to.push_back(static_cast<char>((alike ? kPlacedAsBefore : 0u) | (copied ? kCopied : 0u) |
                                 (compacted ? kCompacted : 0u)));
  if (!alike) {
    append_uvarint(to, segment.leader.value);
    append_uvarint(to, segment.min_copies);
    append_uvarint(to, segment.replicas.size());
    for (auto node : segment.replicas) append_uvarint(to, node.value);
  }
  if (copied) append_uvarint(to, segment.copied.value - segment.id.value);
  if (compacted) append_uvarint(to, segment.compacted.value - segment.id.value);
}

// Reads a block; what a segment may not be spoils it.
class Parser {
 public:
  explicit Parser(Bytes bytes) : from_(bytes) {}
  bool at_end() const { return from_.at_end(); }
  bool ok() const { return ok_ && from_.ok(); }

  Segment segment(const Segment& before) {
    Segment segment{.state = SegmentState::kSealed, .base = before.end};
    segment.id.value = risen(before.id.value, UINT64_MAX);
    segment.epoch.value = static_cast<std::uint32_t>(risen(before.epoch.value, kEpochMax));
    segment.end.value =
        static_cast<std::int64_t>(risen(static_cast<std::uint64_t>(before.end.value), INT64_MAX));
    segment.bytes = number();
    auto flags = from_.le<std::uint8_t>().value_or(0);
    if (flags > (kPlacedAsBefore | kCopied | kCompacted)) ok_ = false;
    if ((flags & kPlacedAsBefore) != 0) place_as(segment, before);
    else place(segment);
    segment.copied = segment.id;
    if ((flags & kCopied) != 0) segment.copied.value = risen(segment.id.value, UINT64_MAX);
    if ((flags & kCompacted) != 0) segment.compacted.value = risen(segment.id.value, UINT64_MAX);
    return segment;
  }

 private:
  std::uint64_t number() { return from_.uvarint().value_or(0); }
  std::uint64_t risen(std::uint64_t from, std::uint64_t max) {
    auto by = number();
    if (by == 0 || by > max - from) ok_ = false;
    return ok() ? from + by : from;
  }
  void place_as(Segment& segment, const Segment& before) {
    if (before.replicas.empty()) ok_ = false;
    segment.leader = before.leader;
    segment.min_copies = before.min_copies;
    segment.replicas = before.replicas;
  }
  void place(Segment& segment) {
    segment.leader.value = number();
    auto min_copies = number(), count = number();
    if (segment.leader == NodeId{} || min_copies < 1 || min_copies > kReplicasMax || count < 1 ||
        count > kReplicasMax)
      ok_ = false;
    segment.min_copies = static_cast<std::uint32_t>(min_copies);
    for (; count > 0 && ok(); --count) {
      NodeId node{number()};
      if (node == NodeId{} || is_replica(segment, node)) ok_ = false;
      segment.replicas.push_back(node);
    }
  }

  Decoder from_;
  bool ok_ = true;
};

Result<std::vector<Segment>> parse_block(Offset base, Bytes packed) {
  std::vector<Segment> segments;
  Segment before{.base = base, .end = base};
  Parser from(packed);
  while (!from.at_end() && from.ok() && segments.size() <= kBlockSegments) {
    segments.push_back(from.segment(before));
    before = segments.back();
  }
  if (base.value < 0 || !from.ok() || segments.empty() || segments.size() > kBlockSegments)
    return fail(Code::kCorrupt, "malformed block of segments");
  return segments;
}

}  // namespace

bool is_replica(const Segment& segment, NodeId node) {
  return std::ranges::find(segment.replicas, node) != segment.replicas.end();
}

std::size_t Chain::size() const {
  std::size_t size = 0;
  for (const auto& block : blocks_) size += block->count;
  return size;
}
Offset Chain::base() const { return blocks_.front()->base; }
Offset Chain::end() const { return blocks_.back()->end; }
Segment Chain::first() const { return unpack(*blocks_.front()).front(); }
Segment Chain::last() const { return unpack(*blocks_.back()).back(); }

std::optional<Segment> Chain::find(SegmentId id) const {
  std::optional<Segment> found;
  scan(id, [&](const Segment& segment) {
    if (segment.id == id) found = segment;
    return false;
  });
  return found;
}

std::optional<Segment> Chain::find(Offset offset) const {
  auto block = std::ranges::upper_bound(blocks_, offset, {}, [](const auto& b) { return b->base; });
  if (block == blocks_.begin()) return std::nullopt;
  for (auto& segment : unpack(**std::prev(block)))
    if (segment.base <= offset && offset < segment.end) return std::move(segment);
  return std::nullopt;
}

std::optional<Segment> Chain::find(Epoch epoch) const {
  auto block =
      std::ranges::upper_bound(blocks_, epoch, {}, [](const auto& b) { return b->first_epoch; });
  if (block == blocks_.begin()) return std::nullopt;
  auto segments = unpack(**std::prev(block));
  auto above = std::ranges::upper_bound(segments, epoch, {}, &Segment::epoch);
  return *std::prev(above);
}

void Chain::append(const Segment& segment) {
  CHECK(segment.state == SegmentState::kSealed && segment.end > segment.base);
  CHECK(empty() || (segment.base == end() && segment.id > blocks_.back()->last));
  if (empty() || blocks_.back()->count == kBlockSegments) {
    blocks_.push_back(pack({segment}));
    return;
  }
  auto segments = unpack(*blocks_.back());
  CHECK(segment.epoch > segments.back().epoch);
  segments.push_back(segment);
  blocks_.back() = pack(segments);
}

void Chain::replace(const Segment& segment) {
  auto at = block_of(segment.id);
  CHECK(at < blocks_.size());
  auto segments = unpack(*blocks_[at]);
  auto found = std::ranges::lower_bound(segments, segment.id, {}, &Segment::id);
  CHECK(found != segments.end() && found->id == segment.id && found->epoch == segment.epoch &&
        found->base == segment.base && found->end == segment.end);
  *found = segment;
  blocks_[at] = pack(segments);
}

std::vector<Segment> Chain::drop_below(Offset offset) {
  std::vector<Segment> dropped;
  std::size_t whole = 0;
  for (; whole < blocks_.size() && blocks_[whole]->end <= offset; ++whole)
    for (auto& segment : unpack(*blocks_[whole])) dropped.push_back(std::move(segment));
  blocks_.erase(blocks_.begin(), blocks_.begin() + static_cast<std::ptrdiff_t>(whole));
  if (empty() || base() >= offset) return dropped;
  auto segments = unpack(*blocks_.front());
  auto kept = std::ranges::upper_bound(segments, offset, {}, &Segment::end);
  if (kept == segments.begin()) return dropped;
  std::move(segments.begin(), kept, std::back_inserter(dropped));
  segments.erase(segments.begin(), kept);
  blocks_.front() = pack(segments);
  return dropped;
}

Result<void> Chain::restore(Offset base, Bytes packed) {
  WALRUS_ASSIGN(auto segments, parse_block(base, packed));
  if (!empty() && (base != end() || segments.front().id <= blocks_.back()->last ||
                   segments.front().epoch <= last().epoch))
    return fail(Code::kCorrupt, "a block of segments that does not follow");
  blocks_.push_back(pack(segments));
  if (blocks_.back()->packed != packed)
    return fail(Code::kCorrupt, "a block of segments that is not packed as it should be");
  return {};
}

std::vector<Segment> Chain::unpack(const Block& block) {
  auto segments = parse_block(block.base, block.packed);
  CHECK(segments.has_value());
  return *std::move(segments);
}

std::shared_ptr<const Chain::Block> Chain::pack(const std::vector<Segment>& segments) {
  Block block{.first = segments.front().id,
              .last = segments.back().id,
              .first_epoch = segments.front().epoch,
              .base = segments.front().base,
              .end = segments.back().end,
              .count = static_cast<std::uint32_t>(segments.size())};
  Segment before{};
  for (const auto& segment : segments) {
    append_segment(block.packed, segment, before);
    before = segment;
  }
  block.packed.shrink_to_fit();
  return std::make_shared<const Block>(std::move(block));
}

std::size_t Chain::block_of(SegmentId id) const {
  auto block = std::ranges::lower_bound(blocks_, id, {}, [](const auto& b) { return b->last; });
  return static_cast<std::size_t>(block - blocks_.begin());
}

}  // namespace walrus::meta
