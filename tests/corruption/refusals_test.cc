// What is not bit rot but just as wrong: another version, another's files, a second process, a
// missing file, no room, too many open files, records above the caps. A clear error each, and
// nothing is lost.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "log/journal.h"
#include "store_fixture.h"

namespace walrus::corruption {
namespace {

class Refusals : public testing::Test {
 protected:
  void SetUp() override { files_ = make_store(true, content_); }

  // A file of this name with its version set to 2 and the checksum made good again.
  void expect_version_refused(const std::string& ending, std::size_t crc_from, bool head_too) {
    bool any = false;
    for (auto& [path, bytes] : files_) {
      auto name = path.filename().string();
      if (!name.ends_with(ending) && !name.starts_with(ending)) continue;
      any = true;
      store_le<std::uint32_t>(bytes.data() + 8, 2);
      auto covered = Bytes(bytes).substr(crc_from, head_too ? 48 : Bytes::npos);
      if (name == "WALRUS") covered = Bytes(bytes).substr(16, 48);
      auto crc = head_too ? crc32c(covered, crc32c(Bytes(bytes).substr(0, 12))) : crc32c(covered);
      store_le(bytes.data() + 12, crc);
    }
    ASSERT_TRUE(any) << ending;
    auto outcome = Machine(files_).inspect(true, content_);
    ASSERT_TRUE(outcome.refused) << ending;
    EXPECT_EQ(outcome.refused->code, Code::kVersion) << outcome.refused->message;
  }

  void expect_intact(Machine& machine) {
    auto outcome = machine.inspect(true, content_);
    EXPECT_FALSE(outcome.refused) << outcome.refused->message;
    EXPECT_EQ(outcome.wrong, "");
    EXPECT_FALSE(outcome.unreadable);
  }

  Content content_;
  Files files_;
};

TEST_F(Refusals, a_newer_identity_is_refused_by_name) {
  expect_version_refused("WALRUS", 16, false);
}

TEST_F(Refusals, a_newer_manifest_is_refused_by_name) {
  expect_version_refused("manifest-", 16, false);
}

TEST_F(Refusals, a_newer_journal_is_refused_by_name) {
  bool any = false;
  for (auto& [path, bytes] : files_) {
    if (path.extension() != ".wal") continue;
    any = true;
    for (std::size_t copy : {std::size_t{0}, static_cast<std::size_t>(log::kBlockBytes)}) {
      if (bytes.compare(copy, 7, "WALRUSJ") != 0) continue;
      store_le<std::uint32_t>(bytes.data() + copy + 8, 2);
      store_le(bytes.data() + copy + 12, crc32c(Bytes(bytes).substr(copy + 16, 80)));
    }
  }
  ASSERT_TRUE(any);
  auto outcome = Machine(files_).inspect(true, content_);
  ASSERT_TRUE(outcome.refused);
  EXPECT_EQ(outcome.refused->code, Code::kVersion) << outcome.refused->message;
}

TEST_F(Refusals, a_missing_journal_file_is_named) {
  int refused = 0;
  for (const auto& [path, bytes] : files_) {
    if (path.extension() != ".wal") continue;
    auto header = log::decode_journal_header(Bytes(bytes).substr(0, log::kBlockBytes));
    if (!header) continue;  // never used
    auto files = files_;
    files.erase(path);
    auto outcome = Machine(files).inspect(true, content_);
    EXPECT_EQ(outcome.wrong, "") << path;
    if (!outcome.refused) continue;
    ++refused;
    EXPECT_EQ(outcome.refused->code, Code::kCorrupt) << outcome.refused->message;
    EXPECT_NE(outcome.refused->message.find(path.filename().string()), std::string::npos)
        << outcome.refused->message;
  }
  EXPECT_GE(refused, 1);
}

TEST_F(Refusals, a_missing_segment_file_is_named) {
  for (const auto& [path, bytes] : files_) {
    if (path.extension() != ".seg" && path.extension() != ".pack") continue;
    auto files = files_;
    files.erase(path);
    auto outcome = Machine(files).inspect(true, content_);
    EXPECT_EQ(outcome.wrong, "") << path;
    EXPECT_TRUE(outcome.detected()) << path;
  }
}

TEST_F(Refusals, a_directory_of_somebody_else_is_not_touched) {
  Machine machine({{"/data/letters/one.txt", "dear"}});
  auto engine = machine.open(true);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, Code::kInvalid) << engine.error().message;
  EXPECT_EQ(machine.disk().files(), std::vector<io::Path>{"/data/letters/one.txt"});
}

TEST_F(Refusals, a_foreign_file_among_the_segments_is_set_aside) {
  Machine machine(files_);
  ASSERT_TRUE(machine.disk().plant("/data/segments/notes.txt", "mine"));
  expect_intact(machine);
  bool kept = false;
  for (const auto& path : machine.disk().files()) {
    auto bytes = machine.disk().cached(path);
    kept = kept || (bytes && *bytes == "mine");
  }
  EXPECT_TRUE(kept);
}

TEST_F(Refusals, a_second_process_is_told_who_has_the_directory) {
  Machine machine(files_);
  auto first = machine.open(true);
  ASSERT_TRUE(first) << first.error().message;
  auto second = machine.open(true);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kLocked) << second.error().message;
}

TEST_F(Refusals, too_many_open_files_is_busy_and_passes) {
  Machine machine(files_);
  machine.disk().options().faults.open_error = 1;
  auto outcome = machine.inspect(true, content_);
  ASSERT_TRUE(outcome.refused);
  EXPECT_EQ(outcome.refused->code, Code::kBusy) << outcome.refused->message;
  machine.disk().options().faults.open_error = 0;
  expect_intact(machine);
}

TEST_F(Refusals, a_full_disk_refuses_and_writes_resume_without_a_restart) {
  Machine machine(files_);
  auto engine = machine.open(true);
  ASSERT_TRUE(engine) << engine.error().message;
  auto stream = (*engine)->find("orders");
  ASSERT_TRUE(stream);
  machine.disk().options().capacity_bytes = machine.disk().used_bytes();
  std::string value(6'000, 'x');
  Record record{.value = value};
  std::optional<Error> refused;
  for (int i = 0; i < 500 && !refused; ++i) {
    auto appended = (*engine)->append(*stream, {&record, 1}, {});
    if (!appended) {
      refused = appended.error();
    } else {
      ASSERT_TRUE((*engine)->wait(appended->pending));
      content_.values["orders"].push_back(value);
    }
    machine.world().run_for(std::chrono::milliseconds(1));
  }
  ASSERT_TRUE(refused);
  EXPECT_TRUE(refused->code == Code::kNoSpace || refused->code == Code::kBusy) << refused->message;
  Outcome full;
  Machine::read(**engine, content_, full);
  EXPECT_EQ(full.wrong, "");
  // Room to act: what frees space works while the disk is full.
  auto removed = (*engine)->remove("rare");
  ASSERT_TRUE(removed) << removed.error().message;
  EXPECT_TRUE((*engine)->wait(*removed));
  machine.disk().options().capacity_bytes = std::int64_t{1} << 40;
  auto resumed = [&] {
    auto appended = (*engine)->append(*stream, {&record, 1}, {});
    return appended && (*engine)->wait(appended->pending);
  };
  EXPECT_TRUE(machine.world().run_until(resumed, std::chrono::minutes(1)));
}

TEST_F(Refusals, a_record_above_the_cap_changes_nothing) {
  constexpr std::size_t kHuge = std::size_t{1} << 30;
  void* zeros =
      ::mmap(nullptr, kHuge, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(zeros, MAP_FAILED);
  Machine machine(files_);
  auto engine = machine.open(true);
  ASSERT_TRUE(engine) << engine.error().message;
  auto stream = (*engine)->find("orders");
  ASSERT_TRUE(stream);
  Record record{.value = Bytes(static_cast<const char*>(zeros), kHuge)};
  auto appended = (*engine)->append(*stream, {&record, 1}, {});
  ASSERT_FALSE(appended);
  EXPECT_EQ(appended.error().code, Code::kTooLarge) << appended.error().message;
  ::munmap(zeros, kHuge);
  Outcome after;
  Machine::read(**engine, content_, after);
  EXPECT_EQ(after.wrong, "");
}

}  // namespace
}  // namespace walrus::corruption
