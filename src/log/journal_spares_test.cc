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

  void append(std::size_t bytes) {
    Frame frame{.type = FrameType::kBatch, .length = static_cast<std::uint32_t>(bytes)};
    auto to = journal.reserve(frame.length, true);
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
  Journal::PopulatePlan due;
  auto file = journal.prepare(plan, [&] { EXPECT_TRUE(journal.plan_populate(due)); });
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ(due.from, 1 << 20);
  EXPECT_GT(due.to, due.from);
}

}  // namespace
}  // namespace walrus::log
