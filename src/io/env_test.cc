// What io/env.h promises, asked of both implementations.

#include "io/env.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "io/world_under_test.h"

namespace walrus::io {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class EnvTest : public BothWorlds {};
INSTANTIATE_TEST_SUITE_P(Worlds, EnvTest, testing::Values(WorldKind::kReal, WorldKind::kSimulated),
                         name_of);

TEST_P(EnvTest, write_extends_and_read_stops_at_the_end) {
  auto file = make("a", "hello");
  ASSERT_TRUE(file->write(3, "LOWER"));
  std::string text(100, 'x');
  EXPECT_EQ(file->read(0, text), 8u);
  EXPECT_EQ(text.substr(0, 8), "helLOWER");
  EXPECT_EQ(file->read(8, text), 0u);
  EXPECT_EQ(file->size(), 8);
}

TEST_P(EnvTest, direct_writes_and_others_see_each_other) {
  alignas(kDirectBytes) std::array<char, 2 * kDirectBytes> blocks;
  blocks.fill('d');
  const auto block = static_cast<std::int64_t>(kDirectBytes);
  auto file = make("a", std::string(kDirectBytes, 'x'));
  auto reader = disk().open(path("a"), Open::kRead);
  EXPECT_EQ(content_of(**reader), std::string(kDirectBytes, 'x'));
  ASSERT_TRUE(file->write_direct(block, Bytes(blocks.data(), blocks.size())));
  ASSERT_TRUE(file->write(3 * block, "end"));
  ASSERT_TRUE(file->write(2 * block - 1, "ww"));
  ASSERT_TRUE(file->write_direct(0, Bytes(blocks.data(), kDirectBytes)));
  ASSERT_TRUE(file->sync());
  const std::string want =
      std::string(2 * kDirectBytes - 1, 'd') + "ww" + std::string(kDirectBytes - 1, 'd') + "end";
  EXPECT_EQ(content_of(*file), want);
  EXPECT_EQ(content_of(**reader), want);
}

TEST_P(EnvTest, write_beyond_the_end_leaves_zeros) {
  auto file = make("a", "x");
  ASSERT_TRUE(file->write(4, "y"));
  EXPECT_EQ(content_of(*file), std::string("x\0\0\0y", 5));
}

TEST_P(EnvTest, open_tells_a_missing_from_an_existing_file) {
  EXPECT_EQ(disk().open(path("a"), Open::kRead).error().code, Code::kNotFound);
  EXPECT_EQ(disk().open(path("a"), Open::kWrite).error().code, Code::kNotFound);
  make("a");
  EXPECT_EQ(disk().open(path("a"), Open::kCreate).error().code, Code::kExists);
  EXPECT_TRUE(disk().open(path("a"), Open::kRead));
}

TEST_P(EnvTest, a_private_file_is_its_owners_alone) {
  ASSERT_TRUE(disk().open(path("a"), Open::kCreatePrivate));
  EXPECT_EQ(disk().open(path("a"), Open::kCreatePrivate).error().code, Code::kExists);
  if (simulated()) return;  // which has no owners
  struct stat status{};
  ASSERT_EQ(::stat(path("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_P(EnvTest, an_error_names_call_file_and_reason) {
  const auto missing = disk().open(path("nothing"), Open::kRead);
  EXPECT_THAT(missing.error().message, HasSubstr("open " + path("nothing").string()));
  EXPECT_THAT(missing.error().message, HasSubstr("No such file"));
}

TEST_P(EnvTest, a_file_opened_for_reading_cannot_be_written) {
  make("a", "text");
  auto file = disk().open(path("a"), Open::kRead);
  EXPECT_EQ((*file)->write(0, "x").error().code, Code::kIo);
  EXPECT_EQ((*file)->truncate(1).error().code, Code::kIo);
  EXPECT_EQ(content_of(**file), "text");
}

TEST_P(EnvTest, a_negative_position_is_an_error) {
  auto file = make("a", "text");
  char byte = 0;
  EXPECT_EQ(file->read(-1, {&byte, 1}).error().code, Code::kIo);
  EXPECT_EQ(file->write(-1, "x").error().code, Code::kIo);
}

TEST_P(EnvTest, truncate_shortens_and_regrows_with_zeros) {
  auto file = make("a", "hello");
  ASSERT_TRUE(file->truncate(2));
  ASSERT_TRUE(file->truncate(4));
  EXPECT_EQ(content_of(*file), std::string("he\0\0", 4));
}

TEST_P(EnvTest, zeros_are_written_where_they_are_asked_for) {
  constexpr std::int64_t kSize = (2 << 20) + 5;
  auto file = make("a", std::string(3 << 20, 'x'));
  ASSERT_TRUE(file->allocate(kSize));
  EXPECT_EQ(file->size(), kSize);
  ASSERT_TRUE(file->write_zeros(4096, 8192));
  ASSERT_TRUE(file->write_zeros((1 << 20) + 1, kSize));
  const std::string expected = std::string(4096, 'x') + std::string(4096, '\0') +
                               std::string((1 << 20) + 1 - 8192, 'x') +
                               std::string((1 << 20) + 4, '\0');
  EXPECT_TRUE(content_of(*file) == expected);
}

TEST_P(EnvTest, an_allocated_file_has_its_blocks) {
  auto file = make("a");
  ASSERT_TRUE(file->allocate(1 << 20));
  ASSERT_TRUE(file->write_zeros(0, 1 << 20));
  ASSERT_TRUE(file->sync());
  EXPECT_EQ(file->size(), 1 << 20);
  if (simulated()) {
    ASSERT_TRUE(disk().sync_directory(root_) && disk().sync_directory("/"));
    EXPECT_EQ(world_->node(0).disk().durable(path("a"))->size(), 1u << 20);
  } else {
    struct stat status{};
    ASSERT_EQ(::stat(path("a").c_str(), &status), 0);
    EXPECT_GE(status.st_blocks * 512, 1 << 20);
  }
}

TEST_P(EnvTest, mapping_and_file_are_the_same_bytes) {
  auto file = make("a", std::string(10'000, 'x'));
  const auto mapping = file->map();
  ASSERT_TRUE(mapping);
  ASSERT_EQ(mapping->size(), 10'000u);
  ASSERT_TRUE(file->write(5000, "written"));
  EXPECT_EQ(Bytes(mapping->data() + 5000, 7), "written");
  std::ranges::copy(Bytes("stored"), mapping->data() + 9000);
  std::string text(6, ' ');
  ASSERT_TRUE(file->read(9000, text));
  EXPECT_EQ(text, "stored");
}

TEST_P(EnvTest, mapping_twice_gives_the_same_mapping) {
  auto file = make("a", "text");
  EXPECT_EQ(file->map()->data(), file->map()->data());
}

TEST_P(EnvTest, mapping_stays_valid_while_the_file_grows) {
  auto file = make("a", "text");
  const auto mapping = *file->map();
  ASSERT_TRUE(file->write(4, std::string(1 << 20, 'y')));
  EXPECT_EQ(Bytes(mapping.data(), mapping.size()), "text");
  ASSERT_TRUE(file->write(0, "T"));
  EXPECT_EQ(mapping[0], 'T');
}

TEST_P(EnvTest, mapping_opened_for_reading_shows_what_another_file_writes) {
  auto writer = make("a", "text");
  auto reader = disk().open(path("a"), Open::kRead);
  const auto mapping = *(*reader)->map();
  ASSERT_TRUE(writer->write(0, "next"));
  EXPECT_EQ(Bytes(mapping.data(), mapping.size()), "next");
}

TEST_P(EnvTest, an_empty_file_has_an_empty_mapping) { EXPECT_EQ(make("a")->map()->size(), 0u); }

TEST_P(EnvTest, what_a_mapping_lets_go_of_comes_back_as_it_was) {
  auto file = make("a", std::string(20'000, 'x'));
  auto mapping = *file->map();
  mapping[5000] = 'y';
  file->let_go(0, 20'000);
  file->let_go(-5, 1 << 30);
  EXPECT_EQ(mapping[5000], 'y');
  EXPECT_EQ(mapping[19'999], 'x');
  ASSERT_TRUE(file->sync_range(0, 20'000));
  file->let_go(7000, 7001);
  std::string read(1, ' ');
  ASSERT_TRUE(file->read(5000, read));
  EXPECT_EQ(read, "y");
}

TEST_P(EnvTest, syncs_of_any_range_succeed) {
  auto file = make("a", std::string(20'000, 'x'));
  EXPECT_TRUE(file->sync());
  EXPECT_TRUE(file->sync_range(0, 20'000));
  ASSERT_TRUE(file->map());
  file->populate(0, 20'000);
  file->populate(-5, 1 << 30);
  EXPECT_TRUE(file->sync_range(1, 2));
  EXPECT_TRUE(file->sync_range(5000, 1 << 20));
  EXPECT_TRUE(file->sync_range(30'000, 40'000));
  EXPECT_TRUE(file->sync_range(7, 7));
  EXPECT_TRUE(disk().sync_directory(root_));
}

TEST_P(EnvTest, directories_are_made_with_parents_and_twice) {
  ASSERT_TRUE(disk().make_directory(path("x/y/z")));
  ASSERT_TRUE(disk().make_directory(path("x/y/z")));
  EXPECT_EQ(disk().exists(path("x/y")), true);
  make("x/y/z/file");
  EXPECT_FALSE(disk().make_directory(path("x/y/z/file/below")));
}

TEST_P(EnvTest, list_is_sorted_and_tells_sizes_and_directories) {
  make("b", "12");
  make("a", "1");
  ASSERT_TRUE(disk().make_directory(path("c")));
  const auto entries = disk().list(root_);
  ASSERT_TRUE(entries && entries->size() == 3);
  EXPECT_EQ((*entries)[0].name, "a");
  EXPECT_EQ((*entries)[1].size, 2);
  EXPECT_FALSE((*entries)[1].directory);
  EXPECT_TRUE((*entries)[2].directory);
  EXPECT_EQ(disk().list(path("nothing")).error().code, Code::kNotFound);
}

TEST_P(EnvTest, rename_replaces_its_target) {
  make("a", "new");
  make("b", "old");
  ASSERT_TRUE(disk().rename(path("a"), path("b")));
  EXPECT_EQ(disk().exists(path("a")), false);
  EXPECT_EQ(content_of(**disk().open(path("b"), Open::kRead)), "new");
  EXPECT_EQ(disk().rename(path("a"), path("c")).error().code, Code::kNotFound);
}

TEST_P(EnvTest, remove_takes_files_and_empty_directories_only) {
  ASSERT_TRUE(disk().make_directory(path("d")));
  make("d/a");
  EXPECT_EQ(disk().remove(path("d")).error().code, Code::kIo);
  EXPECT_TRUE(disk().remove(path("d/a")));
  EXPECT_TRUE(disk().remove(path("d")));
  EXPECT_EQ(disk().remove(path("d")).error().code, Code::kNotFound);
}

TEST_P(EnvTest, a_removed_file_can_be_used_while_it_is_open) {
  auto file = make("a", "text");
  ASSERT_TRUE(disk().remove(path("a")));
  EXPECT_TRUE(file->write(4, "!"));
  EXPECT_EQ(content_of(*file), "text!");
}

TEST_P(EnvTest, a_second_lock_names_the_holder) {
  auto lock = disk().lock(path("LOCK"));
  ASSERT_TRUE(lock);
  std::string pid = content_of(**disk().open(path("LOCK"), Open::kRead));
  pid.pop_back();  // the end of the line
  const auto second = disk().lock(path("LOCK"));
  EXPECT_EQ(second.error().code, Code::kLocked);
  EXPECT_THAT(second.error().message, HasSubstr("process " + pid));
}

TEST_P(EnvTest, a_released_lock_can_be_taken_again) {
  {
    const auto lock = disk().lock(path("LOCK"));
  }
  EXPECT_TRUE(disk().lock(path("LOCK")));
}

TEST_P(EnvTest, free_bytes_and_boot_id_are_there) {
  EXPECT_GT(disk().free_bytes(root_).value_or(0), 0);
  EXPECT_EQ(disk().free_bytes(path("nothing")).error().code, Code::kNotFound);
  EXPECT_FALSE(disk().boot_id().empty());
  EXPECT_EQ(disk().boot_id(), disk().boot_id());
}

TEST_P(EnvTest, wait_returns_at_the_timeout) {
  Event never;
  const Nanos before = env().mono();
  EXPECT_FALSE(env().wait(never, 3ms));
  EXPECT_GE(env().mono() - before, 3ms);
}

TEST_P(EnvTest, wait_returns_when_a_worker_sets_the_event) {
  Event done;
  auto worker = env().start_worker("setter", [&] {
    done.set();
    return Worker::kForever;
  });
  EXPECT_TRUE(env().wait(done, Nanos::max()));
  EXPECT_TRUE(env().wait(done, Nanos::zero()));
}

TEST_P(EnvTest, worker_runs_again_at_once_after_zero) {
  Event done;
  int calls = 0;
  auto worker = env().start_worker("counter", [&] {
    if (++calls == 5) done.set();
    return calls < 5 ? Nanos::zero() : Worker::kForever;
  });
  EXPECT_TRUE(env().wait(done, 10s));
  worker.reset();
  EXPECT_EQ(calls, 5);
}

TEST_P(EnvTest, worker_that_hurries_does_what_it_does) {
  Event hurried, done;
  auto worker = env().start_worker("hurries", [&] {
    if (!hurried.is_set()) return Nanos(1ms);
    done.set();
    return Worker::kForever;
  });
  worker->hurry();
  hurried.set();
  EXPECT_TRUE(env().wait(done, 10s));
}

TEST_P(EnvTest, worker_sleeps_as_long_as_it_says) {
  Event done;
  std::vector<Nanos> calls;
  auto worker = env().start_worker("sleeper", [&]() -> Nanos {
    calls.push_back(env().mono());
    if (calls.size() == 2) done.set();
    return 5ms;
  });
  ASSERT_TRUE(env().wait(done, 10s));
  worker.reset();
  EXPECT_GE(calls[1] - calls[0], 5ms);
}

TEST_P(EnvTest, every_wake_is_followed_by_a_call) {
  std::atomic<int> wanted = 0;
  std::atomic<int> seen = 0;
  std::atomic<Event*> event = nullptr;
  auto worker = env().start_worker("woken", [&] {
    seen = wanted.load();
    if (Event* waiting = event.load(); waiting != nullptr && seen == wanted) {
      event = nullptr;
      waiting->set();
    }
    return Worker::kForever;
  });
  std::array<Event, 200> events;
  for (Event& done : events) {
    ++wanted;
    event = &done;
    worker->wake();
    ASSERT_TRUE(env().wait(done, 10s)) << wanted;
  }
  EXPECT_EQ(seen, 200);
}

TEST_P(EnvTest, no_call_follows_the_end_of_a_worker) {
  int calls = 0;
  auto worker = env().start_worker("ended", [&] {
    ++calls;
    return Nanos::zero();
  });
  worker.reset();
  const int last = calls;
  Event never;
  EXPECT_FALSE(env().wait(never, 1ms));
  EXPECT_EQ(calls, last);
}

TEST_P(EnvTest, random_numbers_differ) { EXPECT_NE(env().random(), env().random()); }

TEST_P(EnvTest, the_wall_clock_is_of_this_era) {
  EXPECT_GT(env().wall().time_since_epoch(), std::chrono::hours(24 * 365 * 50));
}

}  // namespace
}  // namespace walrus::io
