#include "raft/stored_format.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/golden_bytes.h"

namespace walrus::raft {
namespace {

Membership founders() {
  return {.members = {{.id = NodeId{1}, .address = "a:9093", .voter = true},
                      {.id = NodeId{2}, .address = "b:9093", .voter = true}}};
}

SnapshotMeta some_meta() {
  return {.last = {3, 200}, .membership = founders(), .id = 0x1122334455667788, .size = 70'000};
}

const StoredGroup kGroup{GroupId{0x0123456789abcdef}, founders()};
const StoredInstall kInstall{5, some_meta()};
const StoredBase kBase{{3, 150}, 4711};
const EntryKey kEntry{EntryKind::kCommand, {3, 151}};
const PieceKey kPiece{65'536, 0xdeadbeef};

std::string entry_key(const EntryKey& key) {
  std::string to;
  append_entry_key(to, key);
  return to;
}
std::string piece_key(const PieceKey& key) {
  std::string to;
  append_piece_key(to, key);
  return to;
}

TEST(StoredFormatTest, values_are_the_golden_bytes) {
  EXPECT_EQ(encode_group(kGroup), golden_bytes("raft/group"));
  EXPECT_EQ(encode_install(kInstall), golden_bytes("raft/snapshot"));
  EXPECT_EQ(encode_base(kBase), golden_bytes("raft/base"));
  EXPECT_EQ(entry_key(kEntry), golden_bytes("raft/entry_key"));
  EXPECT_EQ(piece_key(kPiece), golden_bytes("raft/piece_key"));
  EXPECT_EQ(encode_origin(some_meta()), golden_bytes("raft/origin_received"));
  EXPECT_EQ(encode_origin({}), golden_bytes("raft/origin_own"));
}

TEST(StoredFormatTest, values_come_back) {
  EXPECT_EQ(parse_group(encode_group(kGroup)).value(), kGroup);
  EXPECT_EQ(parse_install(encode_install(kInstall)).value(), kInstall);
  EXPECT_EQ(parse_base(encode_base(kBase)).value(), kBase);
  EXPECT_EQ(parse_entry_key(entry_key(kEntry)).value(), kEntry);
  EXPECT_EQ(parse_piece_key(piece_key(kPiece)).value(), kPiece);
  EXPECT_EQ(parse_origin(encode_origin(some_meta())).value(), some_meta());
  EXPECT_EQ(parse_origin(encode_origin({})).value(), std::nullopt);
}

template <class Parse>
void refuses_damage(std::string good, const Parse& parse) {
  for (std::size_t size = 0; size < good.size(); ++size) {
    auto parsed = parse(Bytes(good).substr(0, size));
    ASSERT_FALSE(parsed) << size;
    EXPECT_EQ(parsed.error().code, Code::kCorrupt);
  }
  EXPECT_FALSE(parse(good + "x"));
  good[0] = 2;
  auto newer = parse(good);
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, Code::kVersion);
}

TEST(StoredFormatTest, refuses_what_is_cut_or_longer_or_newer) {
  refuses_damage(encode_group(kGroup), parse_group);
  refuses_damage(encode_install(kInstall), parse_install);
  refuses_damage(encode_base(kBase), parse_base);
  refuses_damage(entry_key(kEntry), parse_entry_key);
  refuses_damage(piece_key(kPiece), parse_piece_key);
  refuses_damage(encode_origin(some_meta()), parse_origin);
}

TEST(StoredFormatTest, stream_names_say_group_and_snapshot) {
  GroupId group{0xabc};
  EXPECT_EQ(log_stream_name(group), "__raft/0000000000000abc");
  EXPECT_EQ(snapshot_stream_name(group, 12), "__raft/0000000000000abc/12");
  EXPECT_EQ(parse_stream_name("__raft/0000000000000abc")->group, group);
  EXPECT_FALSE(parse_stream_name("__raft/0000000000000abc")->snapshot);
  EXPECT_EQ(parse_stream_name("__raft/0000000000000abc/12")->snapshot, 12);
  for (const char* other :
       {"", "orders", "__raft/", "__raft/12", "__raft/000000000000zabc", "__raft/0000000000000abc/",
        "__raft/0000000000000abc/x", "__raft/0000000000000abc-1"})
    EXPECT_FALSE(parse_stream_name(other)) << other;
}

TEST(StoredFormatTest, an_id_names_place_size_and_bytes) {
  auto meta = some_meta();
  auto id = snapshot_id(meta, crc32c("bytes"));
  EXPECT_EQ(static_cast<std::uint32_t>(id), crc32c("bytes"));
  EXPECT_NE(snapshot_id(meta, crc32c("Bytes")), id);
  ++meta.size;
  EXPECT_NE(snapshot_id(meta, crc32c("bytes")), id);
}

}  // namespace
}  // namespace walrus::raft
