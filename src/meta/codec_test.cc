// The bytes of commands, replies and snapshots.

#include "base/golden_bytes.h"
#include "meta/snapshot.h"
#include "meta/test_cluster.h"

namespace walrus::meta {
namespace {

wire::sasl::ScramCredential credential() {
  return {8192, std::string(24, 's'), std::string(32, 'k'), std::string(32, 'v')};
}

// One of each kind, in their order: what tests/golden/meta/commands.hex holds, a line each.
std::vector<Command> all_commands() {
  PartitionId partition{uuid_of(0x11), 300};
  Placement place{NodeId{2}, {NodeId{1}, NodeId{2}, NodeId{300}}};
  std::vector<Change> changes{
      Found{uuid_of(0xaa), 1, "secret"},
      RaiseLevel{{5}, 2},
      ConfigureCluster{{6}, {{"a", "1"}, {"b", ""}}, {"c"}},
      RegisterNode{NodeId{3},
                   {7},
                   uuid_of(0xbb),
                   1ull << 40,
                   {1, 2},
                   1,
                   {{"peer", "h:9093"}, {"kafka", "h:9092"}},
                   "r1",
                   250},
      SetNodeState{NodeId{3}, {8}, NodeState::kDraining, true},
      ReplaceNode{NodeId{3}, {9}, NodeId{4}, {10}},
      ExpireLease{NodeId{3}, {11}},
      CreateTopic{uuid_of(0x11), "t", true, 2, 3, 2, {{"k", "v"}}, {place}},
      DeleteTopic{uuid_of(0x11), {12}},
      AlterTopic{uuid_of(0x11), {13}, {{"k", "w"}}, {"x"}, 3, std::nullopt},
      AddPartitions{uuid_of(0x11), {14}, 5, {place}},
      OpenSegment{partition, {15}, place},
      BeginSeal{partition, {16}, NodeId{2}},
      Seal{partition,
           {17},
           SegmentId{1000},
           Epoch{9},
           Offset{1'000'000},
           123'456,
           AcceptedLoss{Offset{1'000'001}, "op"},
           place},
      SetLogStart{partition, {18}, Offset{64}},
      MoveCopies{partition, {19}, {{SegmentId{1000}, {NodeId{4}}, {NodeId{1}}}}},
      SetUser{"u", {20}, {{wire::sasl::ScramMechanism::kSha512, credential()}}},
      TakeProducerIds{1000, 500},
      BeginCompaction{partition, {21}, SegmentId{1000}, NodeId{4}},
      HoldCompacted{partition, {22}, SegmentId{2000}, NodeId{300}, 123'456},
      EndCompaction{partition, {23}, Offset{1'000'000}},
      RecoverMetadata{uuid_of(0xaa), uuid_of(0xab), NodeId{3}, 7, 1ull << 33},
      HandOver{NodeId{3}, {21}, NodeId{4}, {22}},
  };
  std::vector<Command> all;
  for (auto& change : changes)
    all.push_back({.time = Time(Millis(1'700'000'000'000)), .changes = {std::move(change)}});
  return all;
}

// A state with something of everything of feature level 1.
State full_state() {
  TestCluster cluster(4, 2, 1);
  auto topic = cluster.create(1, 3);
  auto gone = cluster.create(2);
  cluster.done(DeleteTopic{gone, cluster.state.topics.find(gone)->version});
  cluster.done(ConfigureCluster{cluster.state.cluster.version, {{"k", "v"}}, {}});
  cluster.done(SetUser{"u", {}, {{wire::sasl::ScramMechanism::kSha256, credential()}}});
  cluster.done(TakeProducerIds{0, 10});
  PartitionId id{topic, 1};
  for (int i = 1; i <= 70; ++i) {
    cluster.open(id, TestCluster::on({1, 2, 3}));
    cluster.done(cluster.seal_of(id, i * 100));
  }
  cluster.done(MoveCopies{id,
                          cluster.version(id),
                          {{cluster.partition(id).sealed.last().id, {NodeId{4}}, {NodeId{1}}}}});
  cluster.open(id, TestCluster::on({3, 4}));
  cluster.done(BeginSeal{id, cluster.version(id), NodeId{4}});
  PartitionId lossy{topic, 2};
  cluster.open(lossy, TestCluster::on({1, 2}));
  cluster.done(BeginSeal{lossy, cluster.version(lossy), NodeId{2}});
  auto seal = cluster.seal_of(lossy, 5);
  seal.loss = AcceptedLoss{Offset{9}, "op"};
  seal.next = TestCluster::on({1, 2});
  cluster.done(seal);
  return cluster.state;
}

// Which the snapshot of an older program could not have.
State compacting_state() {
  TestCluster cluster(3, 0, 2);  // the level that it came with
  PartitionId id{cluster.create(1), 0};
  std::vector<SegmentId> segments;
  for (int i = 1; i <= 3; ++i) {
    segments.push_back(cluster.open(id, TestCluster::on({1, 2, 3})));
    cluster.done(cluster.seal_of(id, i * 100));
  }
  for (auto segment : {segments[0], segments[1]}) {
    SegmentId copy{
        cluster.done(BeginCompaction{id, cluster.version(id), segment, NodeId{2}}).value};
    for (std::uint64_t node : {2, 1, 3}) {
      if (segment == segments[1] && node == 3) continue;
      cluster.done(HoldCompacted{id, cluster.version(id), copy, NodeId{node}, 500});
    }
    if (segment == segments[0]) cluster.done(EndCompaction{id, cluster.version(id), Offset{100}});
  }
  return cluster.state;
}

std::string bytes_of(const State& state, std::size_t chunk = 100) {
  std::string all;
  SnapshotStream stream(state);
  while (stream.next(all, chunk)) {
  }
  return all;
}

Result<State> restore(Bytes bytes) {
  SnapshotLoader loader;
  WALRUS_TRY(loader.feed(bytes));
  return loader.finish();
}

std::string hex(Bytes bytes) {
  std::string text;
  for (char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

TEST(MetaCodec, commands_encode_to_the_golden_bytes_and_back) {
  auto golden = golden_lines("meta/commands");
  auto all = all_commands();
  EXPECT_EQ(golden.size(), all.size());
  EXPECT_EQ(all.size(), std::variant_size_v<Change> - 1);
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(hex(encode(all[i])), i < golden.size() ? hex(golden[i]) : "");
    auto parsed = parse_command(encode(all[i]));
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
    EXPECT_EQ(*parsed, all[i]);
  }
}

TEST(MetaCodec, reply_encodes_to_the_golden_bytes_and_back) {
  std::vector<Outcome> outcomes{{Refusal::kNone, {300}, 7}, {Refusal::kMismatch, {9}, 0}};
  EXPECT_EQ(hex(encode_reply(outcomes)), "010200ac0207050900");
  EXPECT_EQ(parse_reply(encode_reply(outcomes)).value(), outcomes);
  EXPECT_EQ(parse_reply("\x02\x00").error().code, Code::kVersion);
  EXPECT_EQ(parse_reply("\x01\x05").error().code, Code::kCorrupt);
}

TEST(MetaCodec, every_prefix_of_a_command_is_refused) {
  for (const auto& command : all_commands()) {
    auto bytes = encode(command);
    for (std::size_t size = 0; size < bytes.size(); ++size)
      EXPECT_FALSE(parse_command(Bytes(bytes).substr(0, size)).has_value());
    EXPECT_FALSE(parse_command(bytes + 'x').has_value());
  }
}

TEST(MetaCodec, change_of_a_later_program_is_refused_and_the_others_done) {
  Command command{.changes = {ExpireLease{NodeId{1}, {1}}, ExpireLease{NodeId{2}, {2}}}};
  auto bytes = encode(command);
  auto unknown = bytes;
  unknown[3] = '\x7f';  // the kind of the first
  auto parsed = parse_command(unknown);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->changes[0], Change(Unreadable{Unreadable::Why::kUnknown}));
  EXPECT_EQ(parsed->changes[1], command.changes[1]);
  // A field more at its end: what the program does not know it must not ignore.
  auto longer = std::string("\x01\x00\x01\x07\x03\x01\x01\x09", 8);
  EXPECT_EQ(parse_command(longer)->changes[0], Change(Unreadable{Unreadable::Why::kUnknown}));
  auto shorter = std::string("\x01\x00\x01\x07\x01\x01", 6);
  EXPECT_EQ(parse_command(shorter)->changes[0], Change(Unreadable{Unreadable::Why::kMalformed}));
}

TEST(MetaCodec, sizes_are_limited) {
  EXPECT_EQ(parse_command(std::string(kCommandBytesMax + 1, '\1')).error().code, Code::kTooLarge);
  Command command;
  command.changes.resize(kChangesMax + 1, ExpireLease{});
  EXPECT_EQ(parse_command(encode(command)).error().code, Code::kTooLarge);
}

TEST(MetaSnapshot, is_the_golden_bytes) {
  auto golden = golden_lines("meta/snapshot");
  ASSERT_EQ(golden.size(), 1u) << hex(bytes_of(full_state()));
  EXPECT_EQ(hex(bytes_of(full_state())), hex(golden[0]));
  EXPECT_TRUE(restore(golden[0]).has_value());
}

TEST(MetaSnapshot, of_a_compaction_is_the_golden_bytes) {
  auto golden = golden_lines("meta/snapshot_2");
  auto state = compacting_state();
  auto bytes = bytes_of(state);
  ASSERT_EQ(golden.size(), 1u) << hex(bytes);
  EXPECT_EQ(hex(bytes), hex(golden[0]));
  auto restored = restore(bytes);
  ASSERT_TRUE(restored.has_value()) << restored.error().message;
  PartitionId id{uuid_of(1), 0};
  const auto &was = *state.partitions.find(id), &is = *restored->partitions.find(id);
  EXPECT_EQ(is.compaction, was.compaction);
  EXPECT_EQ(is.compacted_to, was.compacted_to);
  EXPECT_EQ(is.sealed.first().compacted, was.sealed.first().compacted);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(restore(Bytes(bytes).substr(0, size)).has_value()) << size;
}

TEST(MetaSnapshot, with_recoveries_is_the_golden_bytes) {
  TestCluster cluster(1, 0, 2);
  cluster.done(RecoverMetadata{uuid_of(0xcc), uuid_of(0xcd), NodeId{1}, 7, 100});
  cluster.done(RecoverMetadata{uuid_of(0xcd), uuid_of(0xce), NodeId{1}, 9, 300});
  const auto bytes = bytes_of(cluster.state);
  EXPECT_EQ(hex(bytes), hex(golden_bytes("meta/snapshot_recovered")));
  const auto restored = restore(bytes);
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(restored->recoveries, cluster.state.recoveries);
}

TEST(MetaSnapshot, restores_to_the_same_in_pieces_of_any_size) {
  auto state = full_state();
  auto bytes = bytes_of(state, 1 << 20);
  for (std::size_t chunk : {1u, 7u, 64u, 1000u}) EXPECT_EQ(bytes_of(state, chunk), bytes);
  for (std::size_t piece : {1u, 13u, 500u}) {
    SnapshotLoader loader;
    for (std::size_t at = 0; at < bytes.size(); at += piece)
      ASSERT_TRUE(loader.feed(Bytes(bytes).substr(at, piece)).has_value());
    auto restored = loader.finish();
    ASSERT_TRUE(restored.has_value()) << restored.error().message;
    EXPECT_EQ(fingerprint(*restored), fingerprint(state));
    EXPECT_EQ(restored->load(NodeId{3}), state.load(NodeId{3}));
    EXPECT_TRUE(restored->find_topic("t1"));
  }
}

TEST(MetaSnapshot, is_written_while_commands_go_on) {
  TestCluster cluster(3);
  auto topic = cluster.create(1, 50);
  auto before = bytes_of(cluster.state);
  SnapshotStream stream(cluster.state);
  std::string bytes;
  std::uint32_t index = 0;
  while (stream.next(bytes, 50))
    if (index < 50) cluster.open({topic, index++}, TestCluster::on({1, 2, 3}));
  EXPECT_GT(index, 10u);
  EXPECT_EQ(bytes, before);
}

TEST(MetaSnapshot, every_cut_and_every_flipped_byte_is_noticed) {
  auto bytes = bytes_of(full_state());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(restore(Bytes(bytes).substr(0, size)).has_value()) << size;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto bad = bytes;
    bad[at] ^= 0x20;
    EXPECT_FALSE(restore(bad).has_value()) << at;
  }
  EXPECT_FALSE(restore(bytes + bytes).has_value());
}

TEST(MetaSnapshot, empty_state_has_one) {
  auto restored = restore(bytes_of(State{}));
  ASSERT_TRUE(restored.has_value()) << restored.error().message;
  EXPECT_EQ(fingerprint(*restored), fingerprint(State{}));
}

TEST(MetaSnapshot, of_another_version_is_told_from_damage) {
  auto bytes = bytes_of(State{});
  bytes[8] = 2;
  EXPECT_EQ(restore(bytes).error().code, Code::kVersion);
  EXPECT_EQ(restore("WALRUS\x01 and no snapshot").error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace walrus::meta
