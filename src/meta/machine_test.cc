#include "meta/machine.h"

#include <gtest/gtest.h>

#include "meta/snapshot.h"
#include "meta/test_cluster.h"

namespace walrus::meta {
namespace {

class Bucket final : public raft::SnapshotSink, public raft::SnapshotSource {
 public:
  Result<void> write(Bytes bytes) override {
    if (full) return fail(Code::kNoSpace, "full");
    held.append(bytes);
    return {};
  }
  Result<std::size_t> read(std::span<char> to) override {
    auto size = std::min({to.size(), held.size() - at, std::size_t{100}});
    held.copy(to.data(), size, at);
    at += size;
    return size;
  }
  std::string held{};
  std::size_t at = 0;
  bool full = false;
};

struct Fixture {
  Image image{};
  Machine machine{[this](Image published) { image = std::move(published); }};
  std::uint64_t index = 0;

  Result<std::vector<Outcome>> apply(Change change) {
    auto bytes = encode({.changes = {std::move(change)}});
    raft::Command command{.at = {1, ++index}, .bytes = bytes};
    std::vector<std::string> replies;
    WALRUS_TRY(machine.apply({&command, 1}, replies));
    return parse_reply(replies.at(0));
  }
};

TEST(Machine, applies_and_publishes) {
  Fixture one;
  EXPECT_TRUE(one.apply(Found{uuid_of(1), 1, {}})->at(0).done());
  EXPECT_EQ(one.image.applied, 1u);
  auto before = one.image;
  EXPECT_EQ(one.apply(Found{uuid_of(2), 1, {}})->at(0).refusal, Refusal::kExists);
  EXPECT_TRUE(one.apply(TakeProducerIds{0, 5})->at(0).done());
  EXPECT_EQ(one.image.state->next_producer, 5);
  EXPECT_EQ(before.state->next_producer, 0);
}

TEST(Machine, becomes_what_another_froze) {
  Fixture one, other;
  (void)one.apply(Found{uuid_of(1), 1, {}});
  for (std::uint8_t i = 1; i < 100; ++i)
    (void)one.apply(CreateTopic{.topic = uuid_of(i), .name = "t" + std::to_string(i)});
  auto frozen = one.machine.freeze();
  auto then = fingerprint(*one.image.state);
  (void)one.apply(TakeProducerIds{0, 5});
  Bucket bucket;
  while (*(*frozen)->write(bucket)) {
  }
  ASSERT_TRUE(other.machine.restore({1, 100}, bucket).has_value());
  EXPECT_EQ(other.image.applied, 100u);
  EXPECT_EQ(fingerprint(*other.image.state), then);
  bucket.full = true;
  EXPECT_EQ((*one.machine.freeze())->write(bucket).error().code, Code::kNoSpace);
}

TEST(Machine, damaged_snapshot_is_an_error) {
  Fixture one;
  Bucket bucket;
  bucket.held = "WALRMETA\x01 and nothing more";
  EXPECT_EQ(one.machine.restore({1, 1}, bucket).error().code, Code::kCorrupt);
}

TEST(Machine, does_not_go_on_above_its_feature_level) {
  Fixture one;
  (void)one.apply(Found{uuid_of(1), 1, {}});
  auto version = one.image.state->cluster.version;
  EXPECT_EQ(one.apply(RaiseLevel{version, kFeatureLevel + 1}).error().code, Code::kVersion);
  Machine later([](Image) {}, kFeatureLevel + 1);
  std::vector<std::string> replies;
  const auto found = encode(Command{{}, {Found{uuid_of(1), kFeatureLevel + 1, {}}}});
  EXPECT_TRUE(later.apply(std::vector<raft::Command>{{{1, 1}, found}}, replies));
}

}  // namespace
}  // namespace walrus::meta
