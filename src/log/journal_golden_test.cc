// The journal's bytes and the identity file's, against golden files that share no code with them.

#include "base/golden_bytes.h"
#include "log/directory.h"
#include "log/journal.h"
#include "log/test_env.h"

namespace walrus::log {
namespace {

constexpr const char* kUuid = "0123456789abcdef";

JournalOptions golden_options(bool mapped) {
  return {.directory = "/journal/1",
          .directory_uuid = kUuid,
          .layout = 3,
          .shard = 1,
          .mapped = mapped,
          .file_bytes_min = 32 << 10,
          .file_bytes_max = 32 << 10,
          .bytes_max = 256 << 10};
}

std::string one_record() {
  Bytes hello = "hello";
  Record record{.value = hello, .timestamp = Time(Millis(1'700'000'000'000))};
  return record::encode({&record, 1}, {});
}

constexpr Bytes kState{
    "\x07"
    "billing\x01"
    "7",
    10};

void add(Journal& journal, Frame frame, Bytes payload) {
  frame.length = static_cast<std::uint32_t>(payload.size());
  auto to = journal.reserve(frame.length, true);
  ASSERT_TRUE(to.has_value()) << to.error().message;
  std::ranges::copy(payload, *to);
  journal.commit(frame);
}

void sync(Journal& journal, bool mark) {
  auto job = journal.begin_sync(mark);
  ASSERT_TRUE(job.run().has_value());
  journal.finish(job);
}

class GoldenJournal : public ::testing::TestWithParam<bool> {};

TEST_P(GoldenJournal, is_written_as_it_always_was) {
  testing::TestEnv env;
  ASSERT_TRUE(env.memory.make_directory("/journal/1"));
  Journal journal(env, golden_options(GetParam()));
  ASSERT_TRUE(journal.recover({}, [](const Frame&, Lsn, Bytes) { return Result<void>(); }));
  ASSERT_TRUE(journal.fill_spares());
  add(journal, {.type = FrameType::kBatch, .flags = kOpensSegment, .stream = 17}, one_record());
  add(journal, {.type = FrameType::kState, .flags = 2, .stream = 17}, kState);
  sync(journal, false);
  sync(journal, true);
  EXPECT_TRUE(env.memory.bytes("/journal/1/0000000000000001.wal") ==
              golden_bytes("journal/two_groups"));
}

TEST_P(GoldenJournal, is_replayed_as_it_always_was) {
  testing::TestEnv env;
  ASSERT_TRUE(env.memory.make_directory("/journal/1"));
  io::Path path = "/journal/1/0000000000000001.wal";
  ASSERT_TRUE(env.memory.open(path, io::Open::kCreate)
                  .value()
                  ->write(0, golden_bytes("journal/two_groups")));
  Journal journal(env, golden_options(GetParam()));
  std::vector<std::string> payloads;
  std::vector<Frame> frames;
  auto recovered = journal.recover({}, [&](const Frame& frame, Lsn, Bytes payload) {
    frames.push_back(frame);
    payloads.emplace_back(payload);
    return Result<void>();
  });
  ASSERT_TRUE(recovered.has_value()) << recovered.error().message;
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].type, FrameType::kBatch);
  EXPECT_EQ(frames[0].flags, kOpensSegment);
  EXPECT_EQ(frames[0].stream, 17U);
  EXPECT_EQ(payloads[0], one_record());
  EXPECT_EQ(frames[1].type, FrameType::kState);
  EXPECT_EQ(payloads[1], kState);
}

// A crash may leave a later group of several that were under way, and not the one before it.
TEST_P(GoldenJournal, ends_torn_before_a_hole_with_a_group_behind_it) {
  for (bool behind : {false, true}) {
    testing::TestEnv env;
    ASSERT_TRUE(env.memory.make_directory("/journal/1"));
    auto ignore = [](const Frame&, Lsn, Bytes) { return Result<void>(); };
    Journal journal(env, golden_options(GetParam()));
    ASSERT_TRUE(journal.recover({}, ignore));
    ASSERT_TRUE(journal.fill_spares());
    std::vector<SyncJob> jobs;  // whose syncs have not returned
    for (int group = 0; group < 3; ++group) {
      add(journal, {.type = FrameType::kState, .flags = 2, .stream = 17}, kState);
      jobs.push_back(journal.begin_sync(false));
      ASSERT_TRUE(jobs.back().run().has_value());
    }
    const auto second = kFirstGroup + kBlockBytes;
    auto file = env.memory.open("/journal/1/0000000000000001.wal", io::Open::kWrite).value();
    auto lost = static_cast<std::size_t>((behind ? 1 : 2) * kBlockBytes);
    ASSERT_TRUE(file->write(second, std::string(lost, '\0')));
    Journal again(env, golden_options(GetParam()));
    ASSERT_TRUE(again.recover({}, ignore));
    EXPECT_EQ(again.opened_torn(), behind);
  }
}

INSTANTIATE_TEST_SUITE_P(Journals, GoldenJournal, ::testing::Bool(), [](const auto& info) {
  return std::string(info.param ? "mapped" : "written");
});

TEST(GoldenIdentity, is_encoded_and_decoded_as_it_always_was) {
  auto bytes = golden_bytes("identity/walrus");
  EXPECT_EQ(encode_identity({.uuid = kUuid, .layout = 3, .shards = 4}), bytes);
  auto identity = decode_identity(bytes);
  ASSERT_TRUE(identity.has_value()) << identity.error().message;
  EXPECT_EQ(identity->uuid, kUuid);
  EXPECT_EQ(identity->layout, 3U);
  EXPECT_EQ(identity->shards, 4);
}

}  // namespace
}  // namespace walrus::log
