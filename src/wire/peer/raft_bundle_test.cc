#include "wire/peer/raft_bundle.h"

#include <gtest/gtest.h>

#include "base/golden_bytes.h"

namespace walrus::wire::peer {
namespace {

RaftMessage message_of(RaftBody body) {
  return {.from = NodeId{1}, .to = NodeId{2}, .term = 9, .body = std::move(body)};
}

std::string some_bundle() {
  std::string bundle;
  begin_bundle(bundle);
  append_bundled(bundle, 7, message_of(TimeoutNow{}));
  append_bundled(bundle, std::uint64_t{1} << 56, message_of(VoteReply{.granted = true}));
  return bundle;
}

// What comes before the first error, and whether there was one.
std::pair<std::vector<Bundled>, bool> read_all(Bytes bundle) {
  std::vector<Bundled> all;
  auto reader = BundleReader::open(bundle);
  if (!reader) return {all, true};
  while (true) {
    Bundled one;
    auto more = reader->next(one);
    if (!more || !*more) return {all, !more};
    all.push_back(one);
  }
}

TEST(RaftBundleTest, a_bundle_is_the_golden_bytes) {
  EXPECT_EQ(some_bundle(), golden_bytes("peer/raft_bundle"));
}

TEST(RaftBundleTest, messages_come_back_with_their_groups) {
  auto bundle = some_bundle();
  auto [all, failed] = read_all(bundle);
  ASSERT_FALSE(failed);
  ASSERT_EQ(all.size(), 2);
  EXPECT_EQ(all[0].group, 7);
  EXPECT_EQ(parse_raft_message(all[0].message).value(), message_of(TimeoutNow{}));
  EXPECT_EQ(all[1].group, std::uint64_t{1} << 56);
  EXPECT_EQ(parse_raft_message(all[1].message).value(), message_of(VoteReply{.granted = true}));
}

TEST(RaftBundleTest, a_message_of_any_size_keeps_its_bytes) {
  for (std::size_t size : {1, 100, 120, 127, 128, 16'000, 70'000}) {
    Append append{.previous = {1, 1}};
    append.entries.push_back({EntryKind::kCommand, 9, Payload::copy_of(std::string(size, 'x'))});
    std::string bundle;
    begin_bundle(bundle);
    append_bundled(bundle, 3, message_of(append));
    append_bundled(bundle, 4, message_of(TimeoutNow{}));
    auto [all, failed] = read_all(bundle);
    ASSERT_FALSE(failed);
    ASSERT_EQ(all.size(), 2);
    EXPECT_EQ(parse_raft_message(all[0].message).value(), message_of(append));
  }
}

TEST(RaftBundleTest, what_is_cut_is_refused) {
  auto bundle = some_bundle();
  auto whole = read_all(bundle).first;
  for (std::size_t size = 0; size < bundle.size(); ++size) {
    auto [all, failed] = read_all(Bytes(bundle).substr(0, size));
    bool between = size == 1 || (all.size() == 1 && size == 1 + 9 + whole[0].message.size());
    EXPECT_EQ(failed, !between) << size;
  }
  bundle[0] = 2;
  EXPECT_EQ(BundleReader::open(bundle).error().code, Code::kVersion);
}

TEST(RaftBundleTest, read_index_is_the_golden_bytes_and_comes_back) {
  auto golden = golden_lines("peer/read_index");
  ASSERT_EQ(golden.size(), 2);
  ReadIndexRequest request{.lease = true, .group = 7};
  EXPECT_EQ(encode_read_index_request(request), golden[0]);
  EXPECT_EQ(parse_read_index_request(golden[0]).value(), request);
  EXPECT_EQ(encode_read_index_reply(300), golden[1]);
  EXPECT_EQ(parse_read_index_reply(golden[1]).value(), 300);
  for (std::size_t size = 0; size < golden[0].size(); ++size)
    EXPECT_FALSE(parse_read_index_request(Bytes(golden[0]).substr(0, size)));
  EXPECT_FALSE(parse_read_index_request(golden[0] + "x"));
  EXPECT_FALSE(parse_read_index_reply(golden[1] + "x"));
  EXPECT_FALSE(parse_read_index_reply(Bytes(golden[1]).substr(0, 2)));
}

}  // namespace
}  // namespace walrus::wire::peer
