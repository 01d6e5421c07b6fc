#include "wire/peer/raft_message.h"

#include <gtest/gtest.h>

#include "base/golden_bytes.h"

namespace walrus::wire::peer {
namespace {

Membership joint_membership() {
  return {.members = {{.id = NodeId{1}, .address = "a:9093", .voter_before = true, .leaves = true},
                      {.id = NodeId{2}, .address = "b:9093", .voter = true, .voter_before = true},
                      {.id = NodeId{300}, .address = "", .voter = true},
                      {.id = NodeId{301}, .address = "d:9093"}},
          .joint = true};
}

SnapshotMeta some_meta() {
  return {.last = {7, 1000},
          .membership = joint_membership(),
          .id = 0x0123456789abcdef,
          .size = 5'000'000'000};
}

std::vector<Entry> some_entries() {
  std::string membership;
  append_membership(membership, joint_membership());
  return {{EntryKind::kNoop, 3, {}},
          {EntryKind::kCommand, 3, Payload::copy_of("put a 1")},
          {EntryKind::kMembership, 4, Payload::copy_of(membership)}};
}

RaftMessage message_of(RaftBody body) {
  return {.from = NodeId{1}, .to = NodeId{300}, .term = 7, .body = std::move(body)};
}

// One of each kind: what tests/golden/peer/raft_messages.hex holds, a line each.
std::vector<RaftMessage> all_messages() {
  std::vector<RaftMessage> all;
  all.push_back(message_of(VoteRequest{.pre = true, .last = {6, 99}}));
  all.push_back(message_of(VoteRequest{.forced = true, .last = {6, 200}}));
  all.push_back(message_of(VoteReply{.granted = true}));
  all.push_back(message_of(VoteReply{.pre = true}));
  all.push_back(message_of(Append{.commit = 5, .round = 1}));
  all.push_back(message_of(
      Append{.previous = {3, 128}, .commit = 127, .round = 70'000, .entries = some_entries()}));
  all.push_back(message_of(AppendReply{.round = 9, .match = 131, .previous = 128}));
  all.push_back(
      message_of(AppendReply{.rejected = true, .round = 9, .previous = 128, .hint = {2, 100}}));
  all.push_back(message_of(SnapshotChunk{.meta = some_meta()}));
  all.push_back(message_of(SnapshotChunk{
      .meta = some_meta(), .position = 4'999'999'990, .bytes = Payload::copy_of("0123456789")}));
  all.push_back(message_of(SnapshotReply{.resume = true, .id = 0xfedcba9876543210}));
  all.push_back(message_of(SnapshotReply{.id = 1, .position = 4'999'999'990}));
  all.push_back(message_of(TimeoutNow{}));
  return all;
}

TEST(RaftMessageTest, messages_encode_to_the_golden_bytes_and_back) {
  auto golden = golden_lines("peer/raft_messages");
  auto all = all_messages();
  ASSERT_EQ(golden.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    std::string bytes;
    append_raft_message(bytes, all[i]);
    EXPECT_EQ(bytes, golden[i]);
    auto parsed = parse_raft_message(golden[i]);
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
    EXPECT_EQ(*parsed, all[i]);
  }
}

TEST(RaftMessageTest, stored_values_encode_to_the_golden_bytes_and_back) {
  auto golden = golden_lines("peer/raft_stored");
  ASSERT_EQ(golden.size(), 4u);
  std::string entry, membership, meta, hard_state;
  append_entry(entry, some_entries()[1]);
  append_membership(membership, joint_membership());
  append_snapshot_meta(meta, some_meta());
  append_hard_state(hard_state, {.term = 1000, .vote = NodeId{300}});
  EXPECT_EQ(entry, golden[0]);
  EXPECT_EQ(membership, golden[1]);
  EXPECT_EQ(meta, golden[2]);
  EXPECT_EQ(hard_state, golden[3]);
  EXPECT_EQ(parse_entry(golden[0]).value(), some_entries()[1]);
  EXPECT_EQ(parse_membership(golden[1]).value(), joint_membership());
  EXPECT_EQ(parse_snapshot_meta(golden[2]).value(), some_meta());
  EXPECT_EQ(parse_hard_state(golden[3]).value(), (HardState{1000, NodeId{300}}));
}

TEST(RaftMessageTest, every_prefix_and_every_longer_one_is_refused) {
  for (const auto& message : all_messages()) {
    std::string bytes;
    append_raft_message(bytes, message);
    for (std::size_t size = 0; size < bytes.size(); ++size)
      EXPECT_FALSE(parse_raft_message(Bytes(bytes).substr(0, size)).has_value());
    EXPECT_FALSE(parse_raft_message(bytes + '\0').has_value());
  }
}

TEST(RaftMessageTest, another_version_is_named) {
  std::string bytes;
  append_raft_message(bytes, all_messages()[0]);
  bytes[0] = 2;
  EXPECT_EQ(parse_raft_message(bytes).error().code, Code::kVersion);
}

TEST(RaftMessageTest, payloads_are_views_of_what_the_owner_keeps) {
  std::string bytes;
  append_raft_message(bytes, all_messages()[5]);
  auto owner = std::make_shared<const std::string>(bytes);
  auto parsed = parse_raft_message(*owner, owner);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(owner.use_count(), 3);  // ours, the command's, the membership's
  auto payload = std::get<Append>(parsed->body).entries[1].payload.bytes();
  EXPECT_GE(payload.data(), owner->data());
  EXPECT_LT(payload.data(), owner->data() + owner->size());
}

TEST(RaftMessageTest, what_means_nothing_is_refused) {
  auto refused = [](auto change) {
    auto message = all_messages()[9];
    auto& chunk = std::get<SnapshotChunk>(message.body);
    change(message, chunk);
    std::string bytes;
    append_raft_message(bytes, message);
    return !parse_raft_message(bytes).has_value();
  };
  using M = RaftMessage;
  using C = SnapshotChunk;
  EXPECT_FALSE(refused([](M&, C&) {}));
  EXPECT_TRUE(refused([](M& m, C&) { m.from = NodeId{}; }));
  EXPECT_TRUE(refused([](M&, C& c) { c.position = c.meta.size + 1; }));
  EXPECT_TRUE(refused([](M&, C& c) { c.position = c.meta.size - 9; }));
  EXPECT_TRUE(refused([](M&, C& c) { c.meta.membership.joint = false; }));
  EXPECT_TRUE(refused([](M&, C& c) { c.meta.membership.members[0].voter = true; }));
  EXPECT_TRUE(refused([](M&, C& c) { c.meta.membership.members[1].id = NodeId{1}; }));
  EXPECT_TRUE(refused([](M&, C& c) { c.meta.membership.members[1].address.resize(256); }));
  EXPECT_TRUE(refused([](M&, C& c) {
    c.meta.membership.members.clear();
    for (std::uint64_t i = 1; i <= kMembersMax + 1; ++i)
      c.meta.membership.members.push_back({.id = NodeId{i}, .voter = true});
  }));
}

}  // namespace
}  // namespace walrus::wire::peer
