// What is done to the journal's files before the log reaches them.

#include <gtest/gtest.h>

#include "log/journal.h"
#include "log/test_env.h"

namespace walrus::log {
namespace {

struct JournalSpares : ::testing::Test {
  JournalSpares() {
    EXPECT_TRUE(env.memory.make_directory("/journal"));
    EXPECT_TRUE(journal.recover({}, [](const Frame&, Lsn, Bytes) { return Result<void>(); }));
    EXPECT_TRUE(journal.fill_spares());
  }

  void append(std::size_t bytes, bool user = true) {
    Frame frame{.type = FrameType::kBatch, .length = static_cast<std::uint32_t>(bytes)};
    auto to = journal.reserve(frame.length, user);
    ASSERT_TRUE(to.has_value()) << to.error().message;
    std::fill_n(*to, bytes, 'x');
    journal.commit(frame);
  }

  testing::TestEnv env;
  Journal journal{env, {.directory = "/journal", .mapped = true}};
};

TEST_F(JournalSpares, begin_in_memory) {
  EXPECT_EQ(env.memory.state.populated, 2 << 20);  // a MiB each
  append(256 << 10);
  EXPECT_FALSE(journal.wants_populate());
  append(512 << 10);
  EXPECT_TRUE(journal.wants_populate());
}

// Where the log goes next is faulted in also while a file is made, which may take a second.
TEST_F(JournalSpares, are_made_with_time_for_what_cannot_wait) {
  append(768 << 10);
  journal.want_file(32 << 20);
  Journal::FilePlan plan;
  ASSERT_TRUE(journal.plan_file(plan));
  ASSERT_EQ(journal.prepare_some(plan), false);
  Journal::PopulatePlan due;
  EXPECT_TRUE(journal.plan_populate(due));
  EXPECT_EQ(due.from, 1 << 20);
  EXPECT_GT(due.to, due.from);
}

// There is time between the pieces as long as the file grows faster than the log fills the active
// one.
TEST_F(JournalSpares, are_made_in_pieces) {
  append(1 << 20);
  Journal::FilePlan plan;
  ASSERT_TRUE(journal.plan_file(plan));
  EXPECT_EQ(plan.size, 32 << 20);
  EXPECT_TRUE(journal.is_making_file());
  EXPECT_FALSE(journal.keeps_up(plan));  // nothing of it is there yet
  for (int made = 1; made < 32; ++made) {
    EXPECT_EQ(journal.prepare_some(plan), false);
    EXPECT_TRUE(journal.keeps_up(plan));
  }
  EXPECT_TRUE(env.memory.exists(plan.path).value());
  EXPECT_EQ(journal.prepare_some(plan), true);
  journal.add_spare(std::move(plan.file));
  EXPECT_EQ(journal.spares(), 2u);
  EXPECT_FALSE(journal.is_making_file());
}

TEST_F(JournalSpares, are_needed_sooner_the_faster_the_log_grows) {
  append(1 << 20);
  Journal::FilePlan plan;
  ASSERT_TRUE(journal.plan_file(plan));
  for (int made = 0; made < 8; ++made) EXPECT_EQ(journal.prepare_some(plan), false);
  append(1 << 20);  // of 7 MiB; a quarter of the file is there
  EXPECT_TRUE(journal.keeps_up(plan));
  append(512 << 10);
  EXPECT_FALSE(journal.keeps_up(plan));
}

// What the engine writes for itself may begin the last one.
TEST_F(JournalSpares, are_needed_at_once_when_the_log_is_in_the_next_file) {
  append(1 << 20);
  Journal::FilePlan plan;
  ASSERT_TRUE(journal.plan_file(plan));
  for (int made = 0; made < 31; ++made) EXPECT_EQ(journal.prepare_some(plan), false);
  auto active = journal.active_sequence();
  append(5 << 20);
  EXPECT_TRUE(journal.keeps_up(plan));
  append(2 << 20, false);
  ASSERT_GT(journal.active_sequence(), active);
  EXPECT_FALSE(journal.keeps_up(plan));
}

TEST_F(JournalSpares, are_removed_if_nobody_waits_for_the_rest) {
  append(1 << 20);
  Journal::FilePlan plan;
  ASSERT_TRUE(journal.plan_file(plan));
  EXPECT_EQ(journal.prepare_some(plan), false);
  journal.discard(plan);
  EXPECT_FALSE(env.memory.exists(plan.path).value());
}

// One that is nearly all that the journal may be now would never be followed by another, and what
// is active never be written out.
TEST_F(JournalSpares, of_a_larger_limit_are_not_used_again) {
  append(1 << 20);
  Journal::FilePlan plan;
  ASSERT_TRUE(journal.plan_file(plan));
  ASSERT_EQ(plan.size, 32 << 20);
  auto file = journal.prepare(std::move(plan));
  ASSERT_TRUE(file.has_value());
  JournalOptions smaller{.directory = "/journal", .mapped = true, .bytes_max = 32 << 20};
  smaller.file_bytes_min = smaller.bytes_max / 8;
  Journal again(env, smaller);
  ASSERT_TRUE(again.recover({}, [](const Frame&, Lsn, Bytes) { return Result<void>(); }));
  ASSERT_TRUE(again.fill_spares());
  EXPECT_EQ(again.spares(), 2u);
  EXPECT_LE(again.total_bytes(), smaller.bytes_max);
}

}  // namespace
}  // namespace walrus::log
