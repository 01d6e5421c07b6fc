// The bytes of what nodes ask of each other about metadata, and of a directory's identity.

#include <gtest/gtest.h>

#include "base/golden_bytes.h"
#include "meta/test_messages.h"

namespace walrus::meta {
namespace {

std::string hex(Bytes bytes) {
  std::string text;
  for (const auto byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

TEST(MetaMessage, encodes_to_the_golden_bytes_and_back) {
  const auto golden = golden_lines("meta/messages");
  const auto all = all_messages();
  EXPECT_EQ(all.size(), std::variant_size_v<Message>);
  EXPECT_EQ(golden.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].index(), i);
    EXPECT_EQ(hex(encode(all[i])), i < golden.size() ? hex(golden[i]) : "");
    const auto parsed = parse_message(encode(all[i]));
    ASSERT_TRUE(parsed) << i;
    EXPECT_EQ(*parsed, all[i]) << i;
  }
}

TEST(MetaMessage, refuses_what_is_cut_or_too_long) {
  for (const auto& message : all_messages()) {
    const auto bytes = encode(message);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const auto parsed = parse_message(Bytes(bytes).substr(0, size));
      ASSERT_FALSE(parsed) << message.index() << " cut at " << size;
      EXPECT_EQ(parsed.error().code, Code::kCorrupt);
    }
    EXPECT_FALSE(parse_message(bytes + "x"));
  }
}

TEST(MetaMessage, refuses_another_version_and_an_unknown_kind) {
  auto bytes = encode(Message(Done{}));
  bytes[0] = 2;
  EXPECT_EQ(parse_message(bytes).error().code, Code::kVersion);
  bytes[0] = 1;
  bytes[1] = static_cast<char>(std::variant_size_v<Message> + 1);
  EXPECT_EQ(parse_message(bytes).error().code, Code::kCorrupt);
  bytes[1] = 0;
  EXPECT_EQ(parse_message(bytes).error().code, Code::kCorrupt);
}

TEST(MetaMessage, another_kind_than_expected_is_refused) {
  EXPECT_TRUE(parse_as<Done>(encode(Message(Done{}))));
  EXPECT_EQ(parse_as<Here>(encode(Message(Done{}))).error().code, Code::kCorrupt);
}

TEST(MetaIdentity, encodes_to_the_golden_bytes_and_back) {
  const auto identity = an_identity();
  EXPECT_EQ(hex(encode(identity)), hex(golden_bytes("meta/identity")));
  const auto parsed = parse_identity(encode(identity));
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(*parsed, identity);
}

TEST(MetaIdentity, refuses_what_is_no_identity) {
  const auto bytes = encode(an_identity());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(parse_identity(Bytes(bytes).substr(0, size))) << size;
  EXPECT_FALSE(parse_identity(bytes + "x"));
  auto later = bytes;
  later[0] = 2;
  EXPECT_EQ(parse_identity(later).error().code, Code::kVersion);
  auto falling = an_identity();
  falling.claimed = {9ull << 32, 8ull << 32};
  EXPECT_EQ(parse_identity(encode(falling)).error().code, Code::kCorrupt);
  auto guest = an_identity();
  guest.node = NodeId{net::kGuestBit | 1};
  EXPECT_EQ(parse_identity(encode(guest)).error().code, Code::kCorrupt);
}

TEST(MetaIdentity, a_cluster_id_is_the_same_both_ways) {
  const auto id = an_identity().cluster;
  EXPECT_EQ(uuid_of_cluster(cluster_id_of(id)), id);
  EXPECT_EQ(net::to_string(cluster_id_of(id)), to_string(id));
}

}  // namespace
}  // namespace walrus::meta
