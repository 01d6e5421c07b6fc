#include "service/identity.h"

#include <gtest/gtest.h>

#include "io/world_under_test.h"

namespace walrus::service {
namespace {

const std::vector<Peer> kFounders{{NodeId{1}, "a:1"}, {NodeId{2}, "b:2"}, {NodeId{3}, "c:3"}};
const Identity kIdentity{.cluster = {0x0123456789abcdef, 0xfedcba9876543210},
                         .node = NodeId{300},
                         .incarnation = 7,
                         .name = "kv"};

TEST(IdentityTest, the_cluster_is_that_of_name_and_founders) {
  const auto cluster = cluster_of("kv", kFounders);
  EXPECT_EQ(net::to_string(cluster), "c694af845598a28207efc0c0cc3871a1");
  EXPECT_EQ(cluster_of("kv", {kFounders[2], kFounders[0], kFounders[1]}), cluster);
  EXPECT_NE(cluster_of("kw", kFounders), cluster);
  EXPECT_NE(cluster_of("kv", {kFounders[0], kFounders[1]}), cluster);
}

TEST(IdentityTest, the_golden_bytes_and_back) {
  const std::string golden(
      "\x01\xef\xcd\xab\x89\x67\x45\x23\x01\x10\x32\x54\x76\x98\xba\xdc\xfe\xac\x02\x07\x02kv", 23);
  EXPECT_EQ(encode_identity(kIdentity), golden);
  EXPECT_EQ(parse_identity(golden).value(), kIdentity);
  for (std::size_t size = 0; size < golden.size(); ++size)
    EXPECT_FALSE(parse_identity(Bytes(golden).substr(0, size)));
  EXPECT_FALSE(parse_identity(golden + "x"));
  EXPECT_EQ(parse_identity("\x02" + golden.substr(1)).error().code, Code::kVersion);
}

class StoredIdentityTest : public io::BothWorlds {};
INSTANTIATE_TEST_SUITE_P(Worlds, StoredIdentityTest,
                         testing::Values(io::WorldKind::kReal, io::WorldKind::kSimulated),
                         io::name_of);

TEST_P(StoredIdentityTest, is_found_after_a_restart) {
  log::EngineOptions options;
  options.user.root = path("engine");
  options.user.shards = 1;
  for (std::uint64_t start = 1; start <= 3; ++start) {
    auto engine = log::Engine::open(env(), options);
    ASSERT_TRUE(engine) << engine.error().message;
    const auto stored = load_identity(**engine);
    ASSERT_TRUE(stored) << stored.error().message;
    ASSERT_EQ(stored->has_value(), start > 1);
    auto identity = stored->value_or(kIdentity);
    if (start > 1) EXPECT_EQ(identity.incarnation, start - 1);
    identity.incarnation = start;
    ASSERT_TRUE(store_identity(**engine, identity));
    EXPECT_TRUE((*engine)->close());
  }
}

}  // namespace
}  // namespace walrus::service
