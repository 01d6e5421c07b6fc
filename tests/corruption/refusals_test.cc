// What is not bit rot but just as wrong: another version, another's files, a second process, a
// missing file, no room, too many open files, records above the caps. A clear error each, and
// nothing is lost.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>

#include "base/coding.h"
#include "base/crc32c.h"
#include "log/journal.h"
#include "store_fixture.h"

namespace walrus::corruption {
namespace {

class Refusals : public testing::Test {
 protected:
  void SetUp() override { files_ = make_store({}, content_); }

  // The structure of `length` bytes at `position`, as a newer Walrus would write it.
  static void make_newer(std::string& bytes, std::size_t position, std::size_t length) {
    char* header = bytes.data() + position;
    store_le<std::uint32_t>(header + 8, 2);
    store_le(header + 12, crc32c(Bytes(header + 16, length - 16), crc32c(Bytes(header, 12))));
  }

  void expect_version_refused(const std::string& file) {
    auto outcome = Machine(files_).inspect(true, content_);
    ASSERT_TRUE(outcome.refused) << file;
    EXPECT_EQ(outcome.refused->code, Code::kVersion) << outcome.refused->message;
    EXPECT_NE(outcome.refused->message.find(file), Bytes::npos) << outcome.refused->message;
    EXPECT_NE(outcome.refused->message.find("2 is newer than 1"), Bytes::npos)
        << outcome.refused->message;
  }

  void expect_intact(Machine& machine) {
    auto outcome = machine.inspect(true, content_);
    EXPECT_FALSE(outcome.refused) << outcome.refused->message;
    EXPECT_EQ(outcome.wrong, "");
    EXPECT_TRUE(outcome.unreadable.empty());
  }

  Content content_;
  Files files_;
};

TEST_F(Refusals, a_newer_identity_is_refused_by_name) {
  make_newer(files_.at("/data/WALRUS"), 0, 64);
  expect_version_refused("WALRUS");
}

TEST_F(Refusals, a_newer_manifest_is_refused_by_name) {
  int slots = 0;
  auto sound = files_;
  for (auto& [path, bytes] : sound) {
    auto name = path.filename().string();
    if (!name.starts_with("manifest-")) continue;
    ++slots;
    files_ = sound;
    make_newer(files_[path], 0, bytes.size());
    expect_version_refused(name);
  }
  EXPECT_EQ(slots, 2);
}

TEST_F(Refusals, a_newer_journal_is_refused_by_name) {
  int used = 0;
  auto sound = files_;
  for (auto& [path, bytes] : sound) {
    if (path.extension() != ".wal" || !bytes.starts_with("WALRUSJ")) continue;
    ++used;
    files_ = sound;
    make_newer(files_[path], 0, log::kJournalHeaderBytes);
    make_newer(files_[path], log::kBlockBytes, log::kJournalHeaderBytes);
    expect_version_refused(path.filename().string());
  }
  EXPECT_GE(used, 2);
}

// What lies in it is refused by name, everything else is served.
TEST_F(Refusals, a_newer_segment_or_pack_is_refused_by_name) {
  std::set<std::string> kinds;
  auto sound = files_;
  for (auto& [path, bytes] : sound) {
    if (path.extension() != ".seg" && path.extension() != ".pack") continue;
    kinds.insert(path.extension().string());
    auto files = sound;
    make_newer(files[path], 0, 64);
    Machine machine(files);
    auto engine = machine.open(true);
    ASSERT_TRUE(engine) << engine.error().message;
    int refused = 0;
    for (const auto& [name, stream] : content_.streams) {
      for (const auto& [offset, value] : stream.values) {
        auto fetched = (*engine)->fetch(*(*engine)->find(name), {offset}, {.bytes_max = 1});
        if (fetched) continue;
        ++refused;
        EXPECT_EQ(fetched.error().code, Code::kVersion) << fetched.error().message;
        EXPECT_NE(fetched.error().message.find(path.filename().string()), Bytes::npos)
            << fetched.error().message;
      }
    }
    EXPECT_GE(refused, 1) << path;
  }
  EXPECT_EQ(kinds, (std::set<std::string>{".seg", ".pack"}));
}

TEST_F(Refusals, a_missing_identity_is_named_and_nothing_is_made_anew) {
  auto without = files_;
  without.erase("/data/WALRUS");
  Machine machine(without);
  auto outcome = machine.inspect(true, content_);
  ASSERT_TRUE(outcome.refused);
  EXPECT_EQ(outcome.refused->code, Code::kCorrupt) << outcome.refused->message;
  EXPECT_NE(outcome.refused->message.find("/data/WALRUS"), Bytes::npos);
  ASSERT_TRUE(machine.disk().plant("/data/WALRUS", files_["/data/WALRUS"]));
  machine.restart();
  expect_intact(machine);
}

// The lock is the kernel's; what the file says is for people.
TEST_F(Refusals, a_damaged_lock_file_is_no_obstacle) {
  Machine machine(files_);
  ASSERT_TRUE(machine.disk().plant("/data/LOCK", std::string(5000, '\xa5')));
  expect_intact(machine);
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

// After a recovery the log goes on in a new file, which no frame before it names.
TEST_F(Refusals, a_journal_file_without_its_header_is_named) {
  Machine machine(files_);
  auto engine = machine.open(true);
  ASSERT_TRUE(engine) << engine.error().message;
  for (int i = 0; i < 2; ++i) {
    Record record{.value = "acknowledged"};
    auto appended = (*engine)->append(*(*engine)->find("orders"), {&record, 1}, {});
    ASSERT_TRUE(appended && (*engine)->wait(appended->pending));
  }
  machine.world().run_for(std::chrono::seconds(1));  // a mark is written
  machine.world().node(0).crash(io::CrashKind::kKill);
  engine->reset();
  const auto files = machine.disk().files();
  auto used = std::ranges::find_if(files, [&](const io::Path& path) {
    return path.extension() == ".wal" && machine.disk().cached(path)->contains("acknowledged");
  });
  ASSERT_NE(used, files.end());
  const auto sound = machine.disk().cached(*used).value();
  // One write that never came, or came elsewhere: both copies, with the first group or without.
  for (auto blocks : {2, 3}) {
    auto lost = static_cast<std::size_t>(blocks * log::kBlockBytes);
    auto damaged = sound;
    damaged.replace(0, lost, lost, '\0');
    machine.restart();
    ASSERT_TRUE(machine.disk().plant(*used, damaged));
    auto opened = machine.open(true);
    ASSERT_FALSE(opened) << blocks;
    EXPECT_EQ(opened.error().code, Code::kCorrupt) << opened.error().message;
    EXPECT_NE(opened.error().message.find(used->filename().string()), Bytes::npos)
        << opened.error().message;
  }
  machine.restart();
  ASSERT_TRUE(machine.disk().plant(*used, sound));
  EXPECT_TRUE(machine.open(true));
}

TEST_F(Refusals, a_missing_segment_file_is_named) {
  for (const auto& [path, bytes] : files_) {
    if (path.extension() != ".seg" && path.extension() != ".pack") continue;
    auto files = files_;
    files.erase(path);
    auto outcome = Machine(files).inspect(true, content_);
    EXPECT_EQ(outcome.wrong, "") << path;
    EXPECT_TRUE(outcome.refused || !outcome.unreadable.empty()) << path;
  }
}

TEST_F(Refusals, a_directory_of_somebody_else_is_not_touched) {
  Machine machine({{"/data/letters/one.txt", "dear"}});
  auto engine = machine.open(true);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, Code::kInvalid) << engine.error().message;
  EXPECT_EQ(machine.disk().files(), std::vector<io::Path>{"/data/letters/one.txt"});
}

// Below segments/, where what nobody names would cost space for ever, a stranger is moved; anywhere
// else it is left where it is. It is never lost, and neither is anything of ours.
TEST_F(Refusals, foreign_files_are_kept_and_do_no_harm) {
  const std::vector<io::Path> below_segments{"/data/segments/notes.txt",
                                             "/data/segments/pack/0-999.pack",
                                             "/data/segments/01/1-77777.seg"};
  const std::vector<io::Path> elsewhere{
      "/data/notes.txt", "/data/journal/notes.txt", "/data/journal/0/notes.txt",
      "/data/journal/0/00000000000000zz.wal", "/data/journal/0/manifest-7.0"};
  Machine machine(files_);
  for (const auto* paths : {&below_segments, &elsewhere}) {
    for (const auto& path : *paths) {
      ASSERT_TRUE(machine.env().disk().make_directory(path.parent_path()));
      ASSERT_TRUE(machine.disk().plant(path, "mine: " + path.string()));
    }
  }
  for (int opening = 0; opening < 2; ++opening) {
    expect_intact(machine);
    machine.restart();
  }
  for (const auto& path : elsewhere) {
    EXPECT_EQ(machine.disk().cached(path).value_or("gone"), "mine: " + path.string());
  }
  std::map<std::string, io::Path> kept;
  for (const auto& path : machine.disk().files()) kept[*machine.disk().cached(path)] = path;
  for (const auto& path : below_segments) {
    EXPECT_EQ(kept["mine: " + path.string()].parent_path(), "/data/quarantine") << path;
  }
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

TEST_F(Refusals, too_many_open_files_while_running_lose_nothing) {
  Machine machine(files_);
  auto engine = machine.open(true);
  ASSERT_TRUE(engine) << engine.error().message;
  machine.disk().options().faults.open_error = 1;
  int refused = 0;
  for (const auto& [name, stream] : content_.streams) {
    auto fetched = (*engine)->fetch(*(*engine)->find(name), {stream.start}, {.bytes_max = 1});
    if (fetched) continue;
    ++refused;
    EXPECT_EQ(fetched.error().code, Code::kBusy) << fetched.error().message;
  }
  EXPECT_GE(refused, 1);
  auto checkpointed = (*engine)->checkpoint();
  ASSERT_FALSE(checkpointed);
  EXPECT_EQ(checkpointed.error().code, Code::kBusy) << checkpointed.error().message;
  machine.disk().options().faults.open_error = 0;
  EXPECT_TRUE((*engine)->checkpoint());
  Outcome after;
  Machine::read(**engine, content_, after);
  EXPECT_EQ(after.wrong, "");
  EXPECT_TRUE(after.unreadable.empty());
}

// It sees what was there when it was opened, changes nothing, and does not see what comes later.
TEST_F(Refusals, a_reader_beside_a_writer_sees_what_was_there) {
  Machine machine(files_);
  auto writer = machine.open(true);
  ASSERT_TRUE(writer) << writer.error().message;
  auto options = small_engine(true);
  options.user.read_only = true;
  auto reader = log::Engine::open(machine.env(), options);
  ASSERT_TRUE(reader) << reader.error().message;
  Bytes text = "later";
  Record record{.value = text};
  auto stream = (*writer)->find("orders");
  for (int round = 0; round < 3; ++round) {
    auto appended = (*writer)->append(*stream, {&record, 1}, {});
    ASSERT_TRUE(appended && (*writer)->wait(appended->pending));
    ASSERT_TRUE((*writer)->checkpoint());
    machine.world().run_for(std::chrono::seconds(1));
  }
  Outcome seen;
  Machine::read(**reader, content_, seen);
  EXPECT_EQ(seen.wrong, "");
  auto refused = (*reader)->append(*(*reader)->find("orders"), {&record, 1}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kReadOnly) << refused.error().message;
  auto now = log::Engine::open(machine.env(), options);
  ASSERT_TRUE(now) << now.error().message;
  auto end = (*now)->info(*(*now)->find("orders"))->log_end.value;
  EXPECT_EQ(end, content_.streams["orders"].values.rbegin()->first + 4);
}

// A clock that is set forward by a century, and back, and forward by a month, across restarts:
// retention goes by time that passed.
TEST_F(Refusals, a_jumping_wall_clock_deletes_nothing_in_bulk) {
  constexpr auto kDay = std::chrono::hours(24), kRetention = std::chrono::hours(6);
  Machine machine(files_);
  auto options = small_engine(true);
  options.maintenance_interval = std::chrono::seconds(1);
  for (auto jump : {36'500 * kDay, -36'500 * kDay, 30 * kDay}) {
    auto engine = log::Engine::open(machine.env(), options);
    ASSERT_TRUE(engine) << engine.error().message;
    auto stream = (*engine)->find("orders");
    StreamOptions kept = (*engine)->info(*stream)->options;
    kept.retention_time = kRetention;
    auto altered = (*engine)->alter(*stream, kept);
    ASSERT_TRUE(altered && (*engine)->wait(*altered));
    for (bool jumped : {false, true}) {
      if (jumped) machine.world().node(0).jump_wall_clock(jump);
      machine.world().run_for(std::chrono::minutes(1));
      Outcome outcome;
      Machine::read(**engine, content_, outcome);
      ASSERT_EQ(outcome.wrong, "") << jump.count() << " h, jumped: " << jumped;
    }
    ASSERT_TRUE((*engine)->checkpoint());
    machine.world().node(0).crash(io::CrashKind::kKill);
    engine->reset();
    machine.restart();
  }
  // What is really old goes.
  auto engine = log::Engine::open(machine.env(), options);
  ASSERT_TRUE(engine) << engine.error().message;
  machine.world().run_for(kRetention * 2);
  EXPECT_GT((*engine)->info(*(*engine)->find("orders"))->log_start.value, 0);
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
      auto& orders = content_.streams["orders"];
      orders.values[appended->first.value] = value;
      auto served = (*engine)->fetch(*stream, appended->first, {.bytes_max = 1});
      ASSERT_TRUE(served) << served.error().message;
      ASSERT_NE(served->bytes.find(value), std::string::npos);
      orders.batches[appended->first.value] = served->bytes;
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
