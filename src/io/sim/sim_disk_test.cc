// What the simulated disk keeps and loses, and that each fault strikes and is counted.

#include "io/sim/sim_disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "io/sim/sim_world.h"

namespace walrus::io {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr int kSeeds = 200;

struct OneNode {
  explicit OneNode(std::uint64_t seed, const DiskOptions& options = {.writeback = 0})
      : world(seed, {.disk = options}) {}
  Node& node() { return world.node(0); }
  Disk& disk() { return node().env().disk(); }
  std::unique_ptr<File> create(const Path& path, Bytes content = {}) {
    auto file = disk().open(path, Open::kCreate);
    EXPECT_TRUE(file && (*file)->write(0, content));
    return file ? *std::move(file) : nullptr;
  }
  // Made, with its content and name durable.
  std::unique_ptr<File> create_durable(const Path& path, Bytes content) {
    auto file = create(path, content);
    EXPECT_TRUE(file->sync() && disk().sync_directory(path.parent_path()));
    return file;
  }
  std::string after_crash(CrashKind kind, const Path& path) {
    node().crash(kind);
    node().restart();
    return node().disk().cached(path).value_or("(lost)");
  }

  World world;
};

std::set<std::string> outcomes(auto&& run) {
  std::set<std::string> seen;
  for (int seed = 1; seed <= kSeeds; ++seed) seen.insert(run(static_cast<std::uint64_t>(seed)));
  return seen;
}

TEST(SimDiskTest, a_kill_keeps_the_page_cache) {
  OneNode one(1);
  auto file = one.create("/a", "unsynced");
  EXPECT_EQ(one.after_crash(CrashKind::kKill, "/a"), "unsynced");
}

TEST(SimDiskTest, a_power_cut_keeps_what_was_synced) {
  const auto seen = outcomes([](std::uint64_t seed) {
    OneNode one(seed);
    auto file = one.create_durable("/a", std::string(5000, 'x'));
    return one.after_crash(CrashKind::kPowerCut, "/a");
  });
  EXPECT_EQ(seen, std::set<std::string>{std::string(5000, 'x')});
}

TEST(SimDiskTest, an_unsynced_sector_is_old_new_or_torn) {
  const std::string old(512, 'o'), now(512, 'n');
  int was_old = 0, was_new = 0, was_torn = 0;
  for (const auto& content : outcomes([&](std::uint64_t seed) {
         OneNode one(seed);
         auto file = one.create_durable("/a", old);
         EXPECT_TRUE(file->write(0, now));
         return one.after_crash(CrashKind::kPowerCut, "/a");
       })) {
    ASSERT_EQ(content.size(), 512u);
    const auto split = content.find_first_not_of('n');
    if (content == old) ++was_old;
    else if (content == now) ++was_new;
    else ++was_torn;
    EXPECT_TRUE(split == content.npos || content.find('n', split) == content.npos);
  }
  EXPECT_EQ(was_old, 1);
  EXPECT_EQ(was_new, 1);
  EXPECT_GT(was_torn, 5);
}

TEST(SimDiskTest, sectors_are_kept_and_lost_independently) {
  const auto seen = outcomes([&](std::uint64_t seed) {
    OneNode one(seed, {.writeback = 0, .torn = 0});
    auto file = one.create_durable("/a", std::string(1024, 'o'));
    EXPECT_TRUE(file->write(0, std::string(1024, 'n')));
    const std::string content = one.after_crash(CrashKind::kPowerCut, "/a");
    return content.substr(0, 1) + content.substr(1023);
  });
  EXPECT_EQ(seen, (std::set<std::string>{"oo", "on", "no", "nn"}));
}

TEST(SimDiskTest, sectors_are_kept_before_their_sync_by_writeback) {
  OneNode one(1, {.writeback = 1});
  auto file = one.create_durable("/a", "old");
  ASSERT_TRUE(file->write(0, "new"));
  ASSERT_TRUE(file->size());  // any operation
  EXPECT_EQ(one.node().disk().durable("/a"), "new");
}

TEST(SimDiskTest, garbage_follows_a_torn_prefix_when_asked_for) {
  OneNode one(1, {.writeback = 0, .torn = 1, .faults = {.garbage_sector = 1}});
  auto file = one.create_durable("/a", std::string(512, 'o'));
  ASSERT_TRUE(file->write(0, std::string(512, 'n')));
  const auto content = one.after_crash(CrashKind::kPowerCut, "/a");
  EXPECT_EQ(content.find("oooooooo"), content.npos);
  EXPECT_EQ(one.node().disk().hits().at("garbage_sector"), 1);
}

TEST(SimDiskTest, an_unsynced_size_is_old_or_new_with_zeros_or_data) {
  const auto seen = outcomes([](std::uint64_t seed) {
    OneNode one(seed, {.writeback = 0, .torn = 0});
    auto file = one.create_durable("/a", "1234");
    EXPECT_TRUE(file->write(4, "5"));
    return one.after_crash(CrashKind::kPowerCut, "/a");
  });
  EXPECT_EQ(seen, (std::set<std::string>{"1234", "12345", std::string("1234\0", 5)}));
}

TEST(SimDiskTest, a_truncated_size_is_durable_after_a_sync_only) {
  const auto run = [](bool sync) {
    return outcomes([sync](std::uint64_t seed) {
      OneNode one(seed);
      auto file = one.create_durable("/a", "1234");
      EXPECT_TRUE(file->truncate(1) && (!sync || file->sync()));
      return one.after_crash(CrashKind::kPowerCut, "/a");
    });
  };
  EXPECT_EQ(run(true), (std::set<std::string>{"1"}));
  EXPECT_EQ(run(false), (std::set<std::string>{"1", "1234"}));
}

TEST(SimDiskTest, sync_range_keeps_its_pages_only) {
  const auto seen = outcomes([](std::uint64_t seed) {
    OneNode one(seed, {.writeback = 0, .torn = 0});
    auto file = one.create_durable("/a", std::string(8192, 'o'));
    EXPECT_TRUE(file->write(0, "n") && file->write(4096, "n"));
    EXPECT_TRUE(file->sync_range(4096, 4097));
    const auto content = one.after_crash(CrashKind::kPowerCut, "/a");
    return content.substr(0, 1) + content.substr(4096, 1);
  });
  EXPECT_EQ(seen, (std::set<std::string>{"on", "nn"}));
}

TEST(SimDiskTest, stores_through_a_mapping_are_lost_and_synced_like_writes) {
  const auto run = [](bool sync) {
    return outcomes([sync](std::uint64_t seed) {
      OneNode one(seed, {.writeback = 0, .torn = 0});
      auto file = one.create_durable("/a", std::string(512, 'o'));
      (*file->map())[7] = 'n';
      EXPECT_TRUE(!sync || file->sync_range(7, 8));
      return one.after_crash(CrashKind::kPowerCut, "/a").substr(7, 1);
    });
  };
  EXPECT_EQ(run(true), (std::set<std::string>{"n"}));
  EXPECT_EQ(run(false), (std::set<std::string>{"n", "o"}));
}

TEST(SimDiskTest, stores_survive_the_mapping_they_came_through) {
  OneNode one(1);
  auto file = one.create_durable("/a", "old");
  (*file->map())[0] = 'O';
  file.reset();
  auto again = one.disk().open("/a", Open::kWrite);
  ASSERT_TRUE((*again)->sync());
  EXPECT_EQ(one.after_crash(CrashKind::kPowerCut, "/a"), "Old");
}

TEST(SimDiskTest, stores_of_a_dead_process_do_not_reach_the_disk) {
  for (const auto kind : {CrashKind::kKill, CrashKind::kPowerCut}) {
    OneNode one(1);
    auto file = one.create_durable("/a", "old");
    const auto mapping = *file->map();
    one.node().crash(kind);
    mapping[0] = 'X';
    one.node().restart();
    mapping[1] = 'X';
    EXPECT_EQ(one.node().disk().cached("/a"), "old");
  }
}

TEST(SimDiskTest, a_name_is_durable_after_a_sync_of_its_directory_only) {
  const auto run = [](bool sync) {
    return outcomes([sync](std::uint64_t seed) {
      OneNode one(seed);
      auto file = one.create("/a", "text");
      EXPECT_TRUE(file->sync() && (!sync || one.disk().sync_directory("/")));
      return one.after_crash(CrashKind::kPowerCut, "/a");
    });
  };
  EXPECT_EQ(run(true), (std::set<std::string>{"text"}));
  EXPECT_EQ(run(false), (std::set<std::string>{"text", "(lost)"}));
}

TEST(SimDiskTest, a_directory_is_lost_with_all_that_is_in_it) {
  const auto seen = outcomes([](std::uint64_t seed) {
    OneNode one(seed);
    EXPECT_TRUE(one.disk().make_directory("/d"));
    one.create_durable("/d/a", "text");
    return one.after_crash(CrashKind::kPowerCut, "/d/a");
  });
  EXPECT_EQ(seen, (std::set<std::string>{"text", "(lost)"}));
}

TEST(SimDiskTest, a_rename_is_kept_or_lost_as_one) {
  const auto seen = outcomes([](std::uint64_t seed) {
    OneNode one(seed);
    one.create_durable("/a", "new");
    one.create_durable("/b", "old");
    EXPECT_TRUE(one.disk().rename("/a", "/b"));
    const auto b = one.after_crash(CrashKind::kPowerCut, "/b");
    return b + "," + one.node().disk().cached("/a").value_or("(none)");
  });
  EXPECT_EQ(seen, (std::set<std::string>{"new,(none)", "old,new"}));
}

TEST(SimDiskTest, a_file_made_and_renamed_is_kept_up_to_some_step) {
  const auto seen = outcomes([](std::uint64_t seed) {
    OneNode one(seed);
    EXPECT_TRUE(one.create("/tmp", "text")->sync() && one.disk().rename("/tmp", "/final"));
    const auto final = one.after_crash(CrashKind::kPowerCut, "/final");
    return final + "," + one.node().disk().cached("/tmp").value_or("(lost)");
  });
  EXPECT_EQ(seen, (std::set<std::string>{"text,(lost)", "(lost),text", "(lost),(lost)"}));
}

TEST(SimDiskTest, independent_names_are_kept_and_lost_in_any_combination) {
  const auto seen = outcomes([](std::uint64_t seed) {
    OneNode one(seed);
    EXPECT_TRUE(one.create("/a", "a")->sync() && one.create("/b", "b")->sync());
    one.node().crash(CrashKind::kPowerCut);
    std::string names;
    for (const auto& path : one.node().disk().files()) names += path.string();
    return names;
  });
  EXPECT_EQ(seen, (std::set<std::string>{"", "/a", "/b", "/a/b"}));
}

TEST(SimDiskTest, a_removed_name_may_come_back_unless_synced) {
  const auto run = [](bool sync) {
    return outcomes([sync](std::uint64_t seed) {
      OneNode one(seed);
      one.create_durable("/a", "text");
      EXPECT_TRUE(one.disk().remove("/a") && (!sync || one.disk().sync_directory("/")));
      return one.after_crash(CrashKind::kPowerCut, "/a");
    });
  };
  EXPECT_EQ(run(true), (std::set<std::string>{"(lost)"}));
  EXPECT_EQ(run(false), (std::set<std::string>{"text", "(lost)"}));
}

TEST(SimDiskTest, the_sync_of_a_renames_target_takes_the_making_along) {
  OneNode one(1);
  ASSERT_TRUE(one.disk().make_directory("/d") && one.disk().sync_directory("/"));
  ASSERT_TRUE(one.create("/a", "text")->sync() && one.disk().rename("/a", "/d/a"));
  ASSERT_TRUE(one.disk().sync_directory("/d"));
  EXPECT_EQ(one.after_crash(CrashKind::kPowerCut, "/d/a"), "text");
  EXPECT_EQ(one.node().disk().files().size(), 1u);
}

TEST(SimDiskTest, the_boot_id_changes_at_power_cuts_only) {
  OneNode one(1);
  const std::string first = one.disk().boot_id();
  one.node().crash(CrashKind::kKill);
  EXPECT_EQ(one.node().restart().disk().boot_id(), first);
  one.node().crash(CrashKind::kPowerCut);
  EXPECT_NE(one.node().restart().disk().boot_id(), first);
}

TEST(SimDiskTest, a_failed_sync_drops_pages_that_read_new_until_evicted) {
  OneNode one(3, {.writeback = 0, .evict = 0});
  auto& options = one.node().disk().options();
  auto file = one.create_durable("/a", std::string(16 * 4096, 'o'));
  ASSERT_TRUE(file->write(0, std::string(16 * 4096, 'n')));
  options.faults.sync_error = 1;
  EXPECT_EQ(file->sync().error().code, Code::kIo);
  EXPECT_EQ(one.node().disk().cached("/a"), std::string(16 * 4096, 'n'));
  options.faults.sync_error = 0;
  EXPECT_TRUE(file->sync());  // the pages are clean: this writes nothing
  const auto durable = *one.node().disk().durable("/a");
  EXPECT_THAT(durable, HasSubstr("o"));
  options.evict = 1;
  EXPECT_TRUE(file->sync());
  EXPECT_EQ(one.node().disk().cached("/a"), durable);
  EXPECT_GT(one.node().disk().hits().at("evicted_page"), 0);
}

TEST(SimDiskTest, a_page_dropped_by_a_failed_sync_is_written_when_it_is_changed_again) {
  for (const bool mapped : {false, true}) {
    OneNode one(3, {.writeback = 0, .evict = 0});
    auto file = one.create_durable("/a", std::string(16 * 4096, 'o'));
    const auto mapping = mapped ? *file->map() : std::span<char>();
    ASSERT_TRUE(file->write(0, std::string(16 * 4096, 'n')));
    one.node().disk().options().faults.sync_error = 1;
    ASSERT_FALSE(file->sync());
    one.node().disk().options().faults.sync_error = 0;
    for (int page = 0; page < 16; ++page) {
      if (mapped) mapping[static_cast<std::size_t>(page) * 4096] = 'N';
      else ASSERT_TRUE(file->write(page * 4096, "N"));
    }
    ASSERT_TRUE(file->sync());
    EXPECT_EQ(one.node().disk().durable("/a"), *one.node().disk().cached("/a"));
  }
}

TEST(SimDiskTest, a_lost_write_is_reported_as_done_and_gone_after_a_cut) {
  OneNode one(1, {.writeback = 0, .evict = 0});
  auto file = one.create_durable("/a", "old");
  ASSERT_TRUE(file->write(0, "new"));
  one.node().disk().options().faults.lost_write = 1;
  EXPECT_TRUE(file->sync());
  EXPECT_EQ(one.node().disk().cached("/a"), "new");
  EXPECT_EQ(one.after_crash(CrashKind::kPowerCut, "/a"), "old");
}

TEST(SimDiskTest, a_misdirected_write_lands_on_another_page) {
  OneNode one(1, {.writeback = 0, .evict = 0});
  auto file = one.create_durable("/a", std::string(8192, 'o'));
  ASSERT_TRUE(file->write(0, std::string(4096, 'n')));
  one.node().disk().options().faults.misdirected_write = 1;
  EXPECT_TRUE(file->sync());
  EXPECT_EQ(one.after_crash(CrashKind::kPowerCut, "/a"),
            std::string(4096, 'o') + std::string(4096, 'n'));
}

TEST(SimDiskTest, errors_of_the_device_are_named_and_counted) {
  OneNode one(1);
  auto file = one.create("/a", "text");
  auto& faults = one.node().disk().options().faults;
  char byte = 0;
  faults.read_error = 1;
  EXPECT_THAT(file->read(0, {&byte, 1}).error().message, HasSubstr("read /a: Input/output error"));
  faults.write_error = 1;
  EXPECT_EQ(file->write(0, "x").error().code, Code::kIo);
  faults.write_error = 0;
  faults.no_space = 1;
  EXPECT_EQ(file->write(0, "x").error().code, Code::kNoSpace);
  faults.open_error = 1;
  EXPECT_EQ(one.disk().open("/a", Open::kRead).error().code, Code::kBusy);
  for (const char* family : {"read_error", "write_error", "no_space", "open_error"}) {
    EXPECT_EQ(one.node().disk().hits().at(family), 1) << family;
  }
}

TEST(SimDiskTest, too_many_open_files_are_refused) {
  OneNode one(1, {.open_files_max = 2});
  auto a = one.create("/a");
  auto b = one.create("/b");
  EXPECT_EQ(one.disk().open("/a", Open::kRead).error().code, Code::kBusy);
  a.reset();
  EXPECT_TRUE(one.disk().open("/a", Open::kRead));
}

TEST(SimDiskTest, a_full_disk_takes_what_fits_and_more_after_a_remove) {
  OneNode one(1, {.capacity_bytes = 10});
  auto file = one.create("/a", "123456");
  auto other = one.create("/b");
  EXPECT_EQ(other->write(0, "123456").error().code, Code::kNoSpace);
  EXPECT_EQ(one.disk().free_bytes("/"), 0);
  EXPECT_TRUE(file->write(0, "654321"));  // what is there may be overwritten
  EXPECT_EQ(other->allocate(5).error().code, Code::kNoSpace);
  ASSERT_TRUE(one.disk().remove("/a"));
  EXPECT_TRUE(other->write(0, "123456"));
}

TEST(SimDiskTest, short_system_calls_do_not_show) {
  OneNode one(1);
  one.node().disk().options().faults.short_io = 0.9;
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i);
  auto file = one.create("/a", text);
  std::string read(text.size() + 10, ' ');
  EXPECT_EQ(file->read(0, read), text.size());
  EXPECT_EQ(read.substr(0, text.size()), text);
  EXPECT_GT(one.node().disk().hits().at("short_io"), 2);
}

TEST(SimDiskTest, rot_flips_as_many_bits_in_cache_and_on_disk) {
  OneNode one(1);
  const std::string text(1000, '\0');
  one.create_durable("/a", text);
  ASSERT_TRUE(one.node().disk().rot("/a", 100, 3, 10));
  const auto content = *one.node().disk().cached("/a");
  int bits = 0;
  for (const unsigned char byte : content) bits += std::popcount(byte);
  EXPECT_EQ(bits, 3);
  EXPECT_EQ(content.substr(0, 100), text.substr(0, 100));
  EXPECT_EQ(content.substr(110), text.substr(110));
  EXPECT_EQ(one.node().disk().durable("/a"), content);
  EXPECT_EQ(one.node().disk().rot("/b", 0, 1).error().code, Code::kNotFound);
  EXPECT_EQ(one.node().disk().rot("/a", 1000, 1).error().code, Code::kInvalid);
}

TEST(SimDiskTest, bits_rot_by_themselves_when_asked_for) {
  OneNode one(1);
  auto file = one.create_durable("/a", std::string(100, '\0'));
  one.node().disk().options().faults.bit_rot = 1;
  ASSERT_TRUE(file->size());
  EXPECT_NE(one.node().disk().cached("/a"), std::string(100, '\0'));
}

TEST(SimDiskTest, a_planted_file_is_durable_at_once) {
  OneNode one(1);
  ASSERT_TRUE(one.node().disk().plant("/a", "planted"));
  EXPECT_EQ(one.after_crash(CrashKind::kPowerCut, "/a"), "planted");
}

TEST(SimDiskTest, a_slow_sync_holds_back_the_worker_that_called_it) {
  OneNode one(1);
  one.node().disk().options().faults = {.slow_sync = 1, .slow_min = 1s, .slow_max = 1s};
  auto file = one.create("/a", "text");
  std::vector<Nanos> calls;
  int others = 0;
  auto worker = one.node().env().start_worker("syncs", [&] {
    calls.push_back(one.world.now());
    EXPECT_TRUE(file->sync());
    return Nanos::zero();
  });
  auto other = one.node().env().start_worker("other", [&] {
    ++others;
    return Nanos(1ms);
  });
  ASSERT_TRUE(one.world.run_until([&] { return calls.size() == 3; }, 10s));
  EXPECT_GE(calls[2] - calls[0], 2s);
  EXPECT_GT(others, 1000);
}

TEST(SimDiskTest, a_stuck_sync_of_the_test_itself_holds_back_the_node) {
  OneNode one(1);
  one.node().disk().options().faults = {.stuck_sync = 1, .stuck_for = 5s};
  auto file = one.create("/a", "text");
  int calls = 0;
  auto worker = one.node().env().start_worker("other", [&] {
    ++calls;
    return Nanos(1ms);
  });
  ASSERT_TRUE(file->sync());
  one.world.run_for(4s);
  EXPECT_EQ(calls, 0);
  one.world.run_for(2s);
  EXPECT_GT(calls, 0);
}

}  // namespace
}  // namespace walrus::io
