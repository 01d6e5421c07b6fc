#include "cli/private_files.h"

#include <sys/stat.h>

#include "io/world_under_test.h"

namespace walrus::cli {
namespace {

class PrivateFiles : public io::BothWorlds {
 protected:
  std::vector<PrivateFile> two(const char* text = "one") {
    return {{path("d") / "a.key", text}, {path("d") / "a.pem", "certificate"}};
  }
  std::optional<std::string> content(const char* name) {
    auto file = disk().open(path("d") / name, io::Open::kRead);
    return file ? std::optional(content_of(**file)) : std::nullopt;
  }
  std::size_t count() { return disk().list(path("d")).value_or(std::vector<io::Entry>{}).size(); }
};
INSTANTIATE_TEST_SUITE_P(Worlds, PrivateFiles,
                         testing::Values(io::WorldKind::kReal, io::WorldKind::kSimulated),
                         io::name_of);

TEST_P(PrivateFiles, are_written_and_replaced_only_when_asked) {
  ASSERT_TRUE(write_private_files(disk(), two(), false));
  EXPECT_EQ(content("a.key"), "one");
  const auto again = write_private_files(disk(), two("two"), false);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kExists);
  EXPECT_THAT(again.error().message, testing::HasSubstr("a.key is there already (--force"));
  EXPECT_EQ(content("a.key"), "one");
  ASSERT_TRUE(write_private_files(disk(), two("two"), true));
  EXPECT_EQ(content("a.key"), "two");
  EXPECT_EQ(count(), 2U);
}

TEST_P(PrivateFiles, one_that_is_there_keeps_all_from_being_written) {
  ASSERT_TRUE(disk().make_directory(path("d")));
  (void)make("d/a.pem", "old");
  EXPECT_EQ(write_private_files(disk(), two(), false).error().code, Code::kExists);
  EXPECT_EQ(count(), 1U);
}

TEST_P(PrivateFiles, what_a_cut_run_left_is_in_nobodys_way) {
  ASSERT_TRUE(disk().make_directory(path("d")));
  (void)make("d/a.key.new", "longer than what comes");
  ASSERT_TRUE(write_private_files(disk(), two(), false));
  EXPECT_EQ(content("a.key"), "one");
  EXPECT_EQ(count(), 2U);
}

TEST_P(PrivateFiles, none_but_the_owner_may_read) {
  ASSERT_TRUE(write_private_files(disk(), two(), false));
  if (simulated()) return;  // which has no owners
  for (const char* name : {"a.key", "a.pem"}) {
    struct stat status{};
    ASSERT_EQ(::stat((path("d") / name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600U) << name;
  }
}

TEST_P(PrivateFiles, a_directory_that_cannot_be_made_is_said) {
  (void)make("d", "a file");
  EXPECT_FALSE(write_private_files(disk(), two(), false));
}

TEST_P(PrivateFiles, a_full_disk_leaves_nothing_behind) {
  if (!simulated()) return;  // the real one is filled by no test
  ASSERT_TRUE(write_private_files(disk(), two(), false));
  world_->node(0).disk().options().capacity_bytes = 8 << 10;
  world_->node(0).disk().options().faults.no_space = 0;
  const auto full = write_private_files(disk(), two(std::string(64 << 10, 'x').c_str()), true);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::kNoSpace);
  EXPECT_EQ(content("a.key"), "one");
  EXPECT_EQ(content("a.pem"), "certificate");
  EXPECT_EQ(count(), 2U);
}

TEST_P(PrivateFiles, are_there_whole_or_not_at_all_after_a_power_cut) {
  if (!simulated()) return;
  for (std::uint64_t operation = 1; operation < 30; ++operation) {
    io::World world(operation);
    auto& node = world.node(0);
    ASSERT_TRUE(node.env().disk().make_directory("/d"));
    ASSERT_TRUE(node.env().disk().sync_directory("/"));
    const std::vector<PrivateFile> files = {{"/d/a.key", "the key"}, {"/d/a.pem", "the rest"}};
    node.crash_after_ops(operation, io::CrashKind::kPowerCut);
    const auto written = write_private_files(node.env().disk(), files, false);
    node.crash_after_ops(0, io::CrashKind::kPowerCut);
    if (!node.crashed()) node.crash(io::CrashKind::kPowerCut);
    auto& again = node.restart().disk();
    for (const auto& file : files) {
      auto found = again.open(file.path, io::Open::kRead);
      if (written) ASSERT_TRUE(found) << operation;
      if (found) EXPECT_EQ(content_of(**found), file.text) << operation;
    }
  }
}

}  // namespace
}  // namespace walrus::cli
