#include "meta/chain.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace walrus::meta {
namespace {

Segment sealed(std::uint64_t id, std::uint32_t epoch, std::int64_t base, std::int64_t end) {
  return {.id = SegmentId{id},
          .epoch = Epoch{epoch},
          .state = SegmentState::kSealed,
          .base = Offset{base},
          .end = Offset{end},
          .leader = NodeId{1 + id % 3},
          .replicas = {NodeId{1 + id % 3}, NodeId{1 + (id + 1) % 3}},
          .min_copies = 2,
          .bytes = id * 1000,
          .copied = SegmentId{id}};
}

// `count` segments of 10 records, ids and epochs in steps of 2.
Chain chain_of(std::uint64_t count) {
  Chain chain;
  for (std::uint64_t i = 0; i < count; ++i) {
    auto base = static_cast<std::int64_t>(i) * 10;
    chain.append(sealed(2 + 2 * i, static_cast<std::uint32_t>(1 + 2 * i), base, base + 10));
  }
  return chain;
}

std::vector<Segment> all_of(const Chain& chain) {
  std::vector<Segment> all;
  chain.each([&](const Segment& segment) { all.push_back(segment); });
  return all;
}

TEST(Chain, gives_back_what_was_appended) {
  auto chain = chain_of(200);
  auto all = all_of(chain);
  ASSERT_EQ(all.size(), 200u);
  EXPECT_EQ(chain.size(), 200u);
  EXPECT_EQ(all[150], sealed(302, 301, 1500, 1510));
  EXPECT_EQ(chain.last(), all.back());
  EXPECT_EQ(chain.base(), Offset{0});
  EXPECT_EQ(chain.end(), Offset{2000});
}

TEST(Chain, finds_by_id_offset_and_epoch) {
  auto chain = chain_of(200);
  EXPECT_EQ(chain.find(SegmentId{130})->base, Offset{640});
  EXPECT_FALSE(chain.find(SegmentId{131}));
  EXPECT_FALSE(chain.find(SegmentId{1000}));
  EXPECT_EQ(chain.find(Offset{639})->id, SegmentId{128});
  EXPECT_EQ(chain.find(Offset{640})->id, SegmentId{130});
  EXPECT_FALSE(chain.find(Offset{2000}));
  EXPECT_EQ(chain.find(Epoch{129})->epoch, Epoch{129});
  EXPECT_EQ(chain.find(Epoch{130})->epoch, Epoch{129});
  EXPECT_EQ(chain.find(Epoch{9999})->epoch, Epoch{399});
  EXPECT_FALSE(chain.find(Epoch{0}));
}

RC_GTEST_PROP(Chain, drops_what_lies_below, ()) {
  auto count = *rc::gen::inRange<std::uint64_t>(0, 200);
  auto below = *rc::gen::inRange<std::int64_t>(0, 2100);
  auto chain = chain_of(count);
  auto all = all_of(chain);
  auto dropped = chain.drop_below(Offset{below});
  auto kept = all_of(chain);
  dropped.insert(dropped.end(), kept.begin(), kept.end());
  RC_ASSERT(dropped == all);
  for (const auto& segment : kept) RC_ASSERT(segment.end > Offset{below});
  RC_ASSERT(kept.size() == all.size() - std::min<std::size_t>(all.size(), below / 10));
}

TEST(Chain, replaces_where_a_segment_lies) {
  auto chain = chain_of(100);
  auto copy = chain;
  auto moved = *chain.find(SegmentId{150});
  moved.replicas = {NodeId{9}, NodeId{8}, NodeId{7}};
  moved.copied = SegmentId{500};
  chain.replace(moved);
  EXPECT_EQ(chain.find(SegmentId{150}), moved);
  EXPECT_EQ(chain.find(SegmentId{148}), copy.find(SegmentId{148}));
  EXPECT_EQ(chain.find(SegmentId{152}), copy.find(SegmentId{152}));
  EXPECT_NE(copy.find(SegmentId{150}), moved);
}

TEST(Chain, restores_its_blocks_and_no_others) {
  auto chain = chain_of(150);
  Chain again;
  for (const auto& block : chain.blocks())
    ASSERT_TRUE(again.restore(block->base, block->packed).has_value());
  EXPECT_EQ(all_of(again), all_of(chain));
  const auto& last = *chain.blocks().back();
  EXPECT_FALSE(again.restore(last.base, last.packed));     // does not follow
  EXPECT_FALSE(Chain().restore(Offset{-1}, last.packed));  // no offset
  EXPECT_FALSE(Chain().restore(Offset{0}, ""));            // empty
  EXPECT_FALSE(Chain().restore(Offset{0}, last.packed.substr(0, last.packed.size() - 1)));  // cut
  EXPECT_FALSE(Chain().restore(Offset{INT64_MAX - 5}, last.packed));
}

TEST(Chain, segment_takes_few_bytes) {
  Chain chain;
  for (std::uint64_t i = 0; i < 640; ++i) {
    auto base = static_cast<std::int64_t>(i) * 1'000'000;
    auto segment =
        sealed(1 + i * 10'000, static_cast<std::uint32_t>(1 + i), base, base + 1'000'000);
    segment.replicas.push_back(NodeId{4});
    segment.bytes = 1'000'000'000;
    chain.append(segment);
  }
  std::size_t bytes = 0;
  for (const auto& block : chain.blocks()) bytes += block->packed.size();
  EXPECT_LE(bytes, 640u * 22);
}

}  // namespace
}  // namespace walrus::meta
