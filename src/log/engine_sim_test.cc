// The engine in the simulated world: single behaviours that the seeds of sim/ have found wanting,
// or that need a disk that is full.

#include <gtest/gtest.h>

#include "io/sim/sim_world.h"
#include "log/directory.h"
#include "log/journal.h"
#include "log/journal_name.h"
#include "log/log_fixture.h"
#include "log/manifest.h"
#include "log/shard.h"
#include "record/batch.h"

namespace walrus::log {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class EngineSimTest : public ::testing::TestWithParam<bool> {
 protected:
  EngineSimTest() : world_(7) {
    options_ = small_options("/log");
    options_.user.batch_bytes_max = 64 << 10;
    options_.user.journal_bytes_max = 1 << 20;
    options_.journal_file_bytes_min = 128 << 10;
    options_.journal_file_bytes_max = 128 << 10;
    options_.checkpoint_bytes = 64 << 10;
    options_.reserve_bytes = 64 << 10;
    options_.mapped = GetParam();
    open(world_.node(0).env());
  }

  void open(io::Env& env) {
    engine_.reset();
    auto opened = Engine::open(env, options_);
    ASSERT_TRUE(succeeds(opened));
    engine_ = *std::move(opened);
  }
  StreamRef create(Bytes name, const StreamOptions& options = {}) {
    auto created = engine_->create(name, options);
    EXPECT_TRUE(succeeds(created));
    EXPECT_TRUE(succeeds(engine_->wait(created->pending)));
    return created->stream;
  }
  Result<Appended> append(const StreamRef& stream, const std::string& bytes) {
    auto record = value(bytes);
    return engine_->append(stream, {&record, 1}, {});
  }
  // Until the disk is full; how many were taken.
  int fill(const StreamRef& stream) {
    int taken = 0;
    for (int refused = 0; refused < 50;) {
      if (auto appended = append(stream, std::string(8'000, 'x'))) {
        EXPECT_TRUE(succeeds(engine_->wait(appended->pending)));
        ++taken;
        refused = 0;
      } else {
        EXPECT_TRUE(fails_with(appended, Code::kNoSpace) || fails_with(appended, Code::kBusy));
        ++refused;
        world_.run_for(milliseconds(100));
      }
    }
    return taken;
  }
  int segment_files() {
    auto& disk = world_.node(0).env().disk();
    int files = 0;
    for (const auto& directory : disk.list("/log/segments").value()) {
      files += static_cast<int>(disk.list(io::Path("/log/segments") / directory.name)->size());
    }
    return files;
  }
  bool append_succeeds_within(const StreamRef& stream, io::Nanos patience) {
    for (auto deadline = world_.now() + patience; world_.now() < deadline;) {
      if (append(stream, "again")) return true;
      world_.run_for(milliseconds(100));
    }
    return false;
  }

  io::World world_;
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
};

// A group is vouched for by one mark, wherever in a file it ends: then the flusher is quiet.
TEST_P(EngineSimTest, tells_a_log_that_was_torn_from_one_that_ends) {
  auto& node = world_.node(0);
  auto stream = create("orders");
  auto first = append(stream, "whole");
  ASSERT_TRUE(succeeds(first));
  ASSERT_TRUE(succeeds(engine_->wait(first->pending)));
  world_.run_for(seconds(1));
  node.crash(io::CrashKind::kKill);
  open(node.restart());
  EXPECT_FALSE(engine_->opened_torn());
  node.crash_after_ops(1, io::CrashKind::kKill,
                       {.operation = "crash point", .file = "journal.frame_half"});
  (void)append(engine_->find("orders").value(), "half");
  ASSERT_TRUE(node.crashed());
  open(node.restart());
  EXPECT_EQ(engine_->opened_torn(), GetParam());  // what was in memory only has left nothing
}

// Not even where a recycled file holds what was there before.
TEST_P(EngineSimTest, a_process_that_is_killed_between_frames_leaves_no_torn_end) {
  auto& node = world_.node(0);
  auto stream = create("a");
  for (int i = 0; i < 400; ++i) {
    auto appended = append(stream, std::string(static_cast<std::size_t>(i * 37 % 9'000), 'x'));
    ASSERT_TRUE(succeeds(appended));
    ASSERT_TRUE(succeeds(engine_->wait(appended->pending)));
    world_.run_for(milliseconds(100));
  }
  ASSERT_GE(engine_->metrics()["walrus_log_journal_recycles_total"], 3);
  for (int size : {1, 100, 3'950, 4'000, 9'000, 0, 2'000}) {
    for (int i = 0; i < 3; ++i)
      ASSERT_TRUE(succeeds(append(stream, std::string(static_cast<std::size_t>(size), 'x'))));
    node.crash(io::CrashKind::kKill);
    open(node.restart());
    EXPECT_FALSE(engine_->opened_torn()) << size;
    stream = engine_->find("a").value();
    // A whole file is used again.
    for (int i = 0; i < 40; ++i) {
      auto appended = append(stream, std::string(8'000, 'x'));
      ASSERT_TRUE(succeeds(appended));
      ASSERT_TRUE(succeeds(engine_->wait(appended->pending)));
      world_.run_for(milliseconds(100));
    }
  }
}

TEST_P(EngineSimTest, syncs_a_group_and_its_mark_and_nothing_more) {
  auto stream = create("a");
  for (int i = 0; i < 400; ++i) {
    world_.run_for(milliseconds(100));
    auto before = engine_->metrics()["walrus_log_syncs_total"];
    auto appended = append(stream, std::string(static_cast<std::size_t>(i * 37 % 9'000), 'x'));
    ASSERT_TRUE(succeeds(appended));
    ASSERT_TRUE(succeeds(engine_->wait(appended->pending)));
    world_.run_for(milliseconds(100));
    EXPECT_LE(engine_->metrics()["walrus_log_syncs_total"] - before, 3) << "append " << i;
  }
  EXPECT_GE(engine_->metrics()["walrus_log_journal_recycles_total"], 3);
}

TEST_P(EngineSimTest, appends_of_many_streams_share_a_sync) {
  std::vector<StreamRef> streams;
  for (int i = 0; i < 50; ++i) streams.push_back(create(std::to_string(i)));
  world_.run_for(seconds(1));
  auto syncs = [&] { return engine_->metrics()["walrus_log_syncs_total"]; };
  auto before = syncs();
  int answered = 0;
  for (const auto& stream : streams) {
    auto appended = append(stream, "x");
    ASSERT_TRUE(succeeds(appended));
    engine_->when_done(appended->pending, [&](const Result<void>& done) { answered += !!done; });
  }
  ASSERT_TRUE(world_.run_until([&] { return answered == 50; }, seconds(1)));
  EXPECT_LE(syncs() - before, 5);
}

// The zeros of new journal files have the background's budget as long as nobody is held up by it.
TEST_P(EngineSimTest, makes_journal_files_no_slower_than_the_log_fills_them) {
  options_.user.root = "/other";
  options_.user.journal_bytes_max = 64 << 20;
  options_.user.background_bytes_per_s = 1 << 20;
  options_.journal_file_bytes_min = 1 << 20;
  options_.journal_file_bytes_max = 8 << 20;
  options_.checkpoint_bytes = 64 << 20;
  open(world_.node(0).env());
  auto stream = create("a");
  auto take = [&](std::int64_t bytes) {
    for (std::int64_t taken = 0; taken < bytes; taken += 32 << 10) {
      auto appended = append(stream, std::string(32 << 10, 'x'));
      while (fails_with(appended, Code::kBusy)) {
        bool room = false;
        engine_->when_room(stream, [&](const Result<void>& done) { room = !!done; });
        ASSERT_TRUE(world_.run_until([&] { return room; }, seconds(1)));
        appended = append(stream, std::string(32 << 10, 'x'));
      }
      ASSERT_TRUE(succeeds(appended));
      ASSERT_TRUE(succeeds(engine_->wait(appended->pending)));
    }
  };
  take(1 << 20);  // and a fourth file is wanted, of 8 MiB
  auto start = world_.now();
  auto path = io::Path("/other/journal/0") / journal_name(4);
  auto ready = [&] { return world_.node(0).disk().durable(path).has_value(); };
  EXPECT_TRUE(world_.run_until(ready, seconds(10)));
  EXPECT_GT(world_.now() - start, seconds(5));
  start = world_.now();
  take(24 << 20);
  EXPECT_LT(world_.now() - start, seconds(3));
}

// The next crash comes before any group could follow what recovery copied, and then damage.
TEST_P(EngineSimTest, what_recovery_has_served_never_passes_for_a_torn_tail) {
  auto& node = world_.node(0);
  auto stream = create("orders");
  world_.run_for(seconds(1));
  auto appended = append(stream, "precious");
  ASSERT_TRUE(succeeds(appended));
  ASSERT_TRUE(succeeds(engine_->wait(appended->pending)));
  node.crash(io::CrashKind::kKill);  // before its mark
  open(node.restart());
  ASSERT_EQ(engine_->info(*engine_->find("orders"))->high_watermark.value, 1);
  node.crash(io::CrashKind::kPowerCut);
  int damaged = 0;
  for (const auto& path : node.disk().files()) {
    auto place = node.disk().cached(path)->find("precious");
    if (path.extension() != ".wal" || place == std::string::npos) continue;
    ASSERT_TRUE(succeeds(node.disk().rot(path, static_cast<std::int64_t>(place), 1, 8)));
    ++damaged;
  }
  EXPECT_EQ(damaged, 2);  // where it was found, and the copy
  engine_.reset();
  EXPECT_TRUE(fails_with(Engine::open(node.restart(), options_), Code::kCorrupt));
}

TEST_P(EngineSimTest, a_segment_ends_by_records_by_bytes_and_by_time) {
  auto many = create("many", {.segment_records_max = 3});
  auto big = create("big", {.segment_bytes_max = 20'000});
  auto old = create("old", {.segment_time_max = Millis(1'000)});
  auto copied = create("copied", {.segment_time_max = Millis(1'000)});
  for (int i = 0; i < 7; ++i) {
    Bytes bytes = "x";
    Record past{.value = bytes, .timestamp = Time(Millis(100 * i))};  // of long ago
    for (const auto& [stream, size] : {std::pair(many, 1), {big, 8'000}, {old, 1}})
      ASSERT_TRUE(succeeds(append(stream, std::string(static_cast<std::size_t>(size), 'x'))));
    ASSERT_TRUE(succeeds(engine_->append(copied, {&past, 1}, {})));
    world_.run_for(milliseconds(400));
  }
  for (bool restarted : {false, true}) {
    if (restarted) {
      ASSERT_TRUE(succeeds(engine_->close()));
      open(world_.node(0).restart());
    }
    for (const auto& [name, segments] :
         {std::pair("many", 3), {"big", 4}, {"old", 3}, {"copied", 1}})
      EXPECT_EQ(engine_->info(*engine_->find(name))->segments, segments) << name << restarted;
  }
}

// The files are gone, not only the records; also what was too much when the process went away.
TEST_P(EngineSimTest, retention_returns_space_also_after_a_restart) {
  constexpr std::int64_t kKept = 100'000, kSegment = 10 * 8'100;
  auto stream = create("a", {.segment_records_max = 10, .retention_bytes = kKept});
  auto stored = [&] {
    std::int64_t bytes = 0;
    for (const auto& path : world_.node(0).disk().files())
      if (path.string().starts_with("/log/segments/"))
        bytes += std::ssize(*world_.node(0).disk().cached(path));
    return bytes;
  };
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(append_succeeds_within(stream, seconds(5)));
    ASSERT_TRUE(succeeds(append(stream, std::string(8'000, 'x'))));
    world_.run_for(milliseconds(10));
  }
  world_.run_for(seconds(10));
  EXPECT_LT(engine_->info(stream)->bytes, kKept + kSegment);
  EXPECT_GT(engine_->info(stream)->reclaimed_bytes, 2'000'000);
  EXPECT_LT(stored(), kKept + 2 * kSegment);
  world_.node(0).crash(io::CrashKind::kKill);
  open(world_.node(0).restart());
  stream = *engine_->find("a");
  EXPECT_LT(stored(), kKept + 2 * kSegment);
  EXPECT_GT(engine_->info(stream)->reclaimed_bytes, 2'000'000);
  // By time, set while the process was about to go: the next one sees to it.
  auto altered = engine_->alter(stream, {.segment_records_max = 10, .retention_time = Millis(500)});
  ASSERT_TRUE(altered && engine_->wait(*altered));
  world_.node(0).crash(io::CrashKind::kKill);
  open(world_.node(0).restart());
  world_.run_for(seconds(60));
  EXPECT_LT(stored(), kSegment);
  EXPECT_EQ(engine_->info(*engine_->find("a"))->log_end.value, 600);
}

TEST_P(EngineSimTest, reads_what_was_acknowledged_before_a_stronger_durability) {
  auto stream = create("a", {.durability = {.kind = Durability::kOs}});
  auto appended = append(stream, "acknowledged once it is written");
  ASSERT_TRUE(succeeds(appended));
  auto altered = engine_->alter(stream, {});
  ASSERT_TRUE(succeeds(altered));
  ASSERT_TRUE(succeeds(engine_->wait(appended->pending)));
  EXPECT_EQ(engine_->info(stream)->high_watermark.value, 1);
}

// A producer that is faster than the segment writer leaves no moment without a checkpoint due.
TEST_P(EngineSimTest, retention_goes_on_while_checkpoints_follow_each_other) {
  options_.user.background_bytes_per_s = 1 << 20;
  options_.maintenance_interval = milliseconds(50);
  ASSERT_TRUE(succeeds(engine_->close()));
  open(world_.node(0).restart());
  auto stream = create("a", {.segment_records_max = 10, .retention_bytes = 100'000});
  std::int64_t most = 0;
  for (int i = 0; i < 2'000; ++i) {
    do world_.run_for(milliseconds(1));
    while (!append(stream, std::string(8'000, 'x')));
    most = std::max(most, engine_->info(stream)->bytes);
  }
  EXPECT_GT(engine_->info(stream)->reclaimed_bytes, 10'000'000);
  EXPECT_LT(most, 6'000'000);
}

TEST_P(EngineSimTest, a_full_disk_takes_appends_again_when_retention_is_due) {
  options_.maintenance_interval = std::chrono::minutes(1);
  ASSERT_TRUE(succeeds(engine_->close()));
  open(world_.node(0).restart());
  auto kept = create("kept"),
       big = create("big", {.segment_records_max = 20, .retention_bytes = 100'000});
  auto& disk = world_.node(0).disk();
  disk.options().capacity_bytes = disk.used_bytes() + (4 << 20);
  ASSERT_GT(fill(big), 100);
  ASSERT_FALSE(append(kept, "no room"));
  EXPECT_TRUE(append_succeeds_within(kept, std::chrono::minutes(3)));
  EXPECT_GT(engine_->info(big)->reclaimed_bytes, 1'000'000);
}

TEST_P(EngineSimTest, a_full_disk_takes_appends_again_after_a_removal) {
  auto kept = create("kept"), big = create("big");
  auto& disk = world_.node(0).disk();
  disk.options().capacity_bytes = disk.used_bytes() + (4 << 20);
  ASSERT_GT(fill(big), 100);
  ASSERT_FALSE(append(kept, "no room"));
  auto removed = engine_->remove("big");
  ASSERT_TRUE(succeeds(removed));
  ASSERT_TRUE(succeeds(engine_->wait(*removed)));
  EXPECT_TRUE(append_succeeds_within(kept, seconds(5)));
  EXPECT_TRUE(succeeds(engine_->close()));
  open(world_.node(0).restart());
  EXPECT_TRUE(fails_with(engine_->find("big"), Code::kNotFound));
  EXPECT_EQ(engine_->info(*engine_->find("kept"))->log_end.value, 1);
}

TEST_P(EngineSimTest, a_full_disk_takes_appends_again_after_a_trim_and_a_crash) {
  auto kept = create("kept"), big = create("big", {.segment_records_max = 20});
  auto& disk = world_.node(0).disk();
  disk.options().capacity_bytes = disk.used_bytes() + (4 << 20);
  auto end = fill(big);
  auto trimmed = engine_->trim(big, {end - 3});
  ASSERT_TRUE(succeeds(trimmed));
  ASSERT_TRUE(succeeds(engine_->wait(*trimmed)));
  ASSERT_TRUE(append_succeeds_within(kept, seconds(5)));
  world_.run_for(milliseconds(300));
  world_.node(0).crash(io::CrashKind::kPowerCut);
  open(world_.node(0).restart());
  auto stream = *engine_->find("big");
  EXPECT_EQ(engine_->info(stream)->log_start.value, end - 3);
  EXPECT_EQ(engine_->info(stream)->log_end.value, end);
  for (std::int64_t at = end - 3; at < end;) {
    auto fetched = engine_->fetch(stream, {at}, {});
    ASSERT_TRUE(succeeds(fetched));
    ASSERT_GT(fetched->next.value, at);
    at = fetched->next.value;
  }
}

// What is in the journal leaves it by way of segment files only, which need room of their own.
TEST_P(EngineSimTest, journals_leave_half_of_a_small_disk_to_what_they_hold) {
  options_.user.shards = 2;
  options_.user.journal_bytes_max = 64 << 20;
  options_.journal_file_bytes_max = 4 << 20;
  options_.user.background_bytes_per_s = 1 << 20;
  ASSERT_TRUE(succeeds(engine_->close()));
  open(world_.node(0).restart());
  auto& disk = world_.node(0).disk();
  auto begun = disk.used_bytes();
  constexpr std::int64_t kRoom = 12 << 20;
  std::vector<StreamRef> streams;
  for (const char* name : {"a", "b", "c", "d"})
    streams.push_back(create(name, {.segment_records_max = 10, .retention_bytes = 100'000}));
  auto append_to_all = [&] {
    for (const auto& stream : streams) {
      auto appended = append(stream, std::string(60'000, 'x'));
      if (!appended) return false;
      EXPECT_TRUE(succeeds(engine_->wait(appended->pending)));
    }
    return true;
  };
  for (int fault = 0; fault < 3; ++fault) {
    disk.options().capacity_bytes = begun + kRoom;
    for (int taken = 0; taken < 100; ++taken) {
      auto deadline = world_.now() + seconds(30);
      while (!append_to_all()) {
        ASSERT_LT(world_.now(), deadline) << "after " << taken << " rounds";
        world_.run_for(milliseconds(20));
      }
      EXPECT_LE(engine_->metrics()["walrus_log_journal_bytes"], kRoom * 5 / 8);
    }
    // Full, and then free again: the room is there for segment files, too.
    disk.options().capacity_bytes = disk.used_bytes();
    for (int i = 0; i < 100; ++i) {
      (void)append_to_all();
      world_.run_for(milliseconds(10));
    }
  }
}

// Nothing is free, and what recovery copies has to lie somewhere.
TEST_P(EngineSimTest, opens_on_a_full_disk_and_takes_appends_again_after_a_removal) {
  auto kept = create("kept"), big = create("big");
  auto& disk = world_.node(0).disk();
  disk.options().capacity_bytes = disk.used_bytes() + (4 << 20);
  auto end = fill(big);
  auto written = engine_->put_state(kept, Table::kCursors, "not yet marked as synced", "");
  ASSERT_TRUE(succeeds(written));
  ASSERT_TRUE(succeeds(engine_->wait(*written)));
  world_.node(0).crash(io::CrashKind::kPowerCut);
  disk.options().capacity_bytes = disk.used_bytes();
  open(world_.node(0).restart());
  EXPECT_EQ(engine_->info(*engine_->find("big"))->high_watermark.value, end);
  auto removed = engine_->remove("big");
  ASSERT_TRUE(succeeds(removed));
  ASSERT_TRUE(succeeds(engine_->wait(*removed)));
  world_.node(0).crash(io::CrashKind::kKill);
  disk.options().capacity_bytes = disk.used_bytes();
  open(world_.node(0).restart());
  EXPECT_TRUE(fails_with(engine_->find("big"), Code::kNotFound));
  EXPECT_TRUE(append_succeeds_within(*engine_->find("kept"), seconds(5)));
}

// A trim that comes while a checkpoint is under way is not in its manifest: another one follows.
TEST_P(EngineSimTest, a_trim_during_a_checkpoint_gives_back_its_space) {
  auto stream = create("a");
  int during = 0;
  auto checkpoints = [&] { return engine_->metrics()["walrus_log_checkpoints_total"]; };
  for (io::Nanos delay(0); delay < milliseconds(6); delay += std::chrono::microseconds(20)) {
    auto before = checkpoints();
    Pending last;
    for (int i = 0; i < 9; ++i) last = append(stream, std::string(8'000, 'x'))->pending;
    ASSERT_TRUE(succeeds(engine_->wait(last)));  // checkpoint_bytes are there
    world_.run_for(delay);
    if (segment_files() > 0 && checkpoints() == before) ++during;
    auto trimmed = engine_->trim(stream, engine_->info(stream)->log_end);
    ASSERT_TRUE(succeeds(trimmed));
    ASSERT_TRUE(succeeds(engine_->wait(*trimmed)));
    world_.run_for(seconds(4));
    EXPECT_EQ(segment_files(), 0) << "trimmed " << delay << " after the append";
  }
  EXPECT_GE(during, 3) << "trims while a checkpoint was under way";
}

// A large stream is compacted a piece at a time and paced: checkpoints go on in between.
TEST_P(EngineSimTest, compacts_beside_appends_and_checkpoints) {
  constexpr int kRecords = 800, kKeys = 10;
  auto stream = create("table", {.segment_records_max = 200, .compact = true});
  auto put = [&](int number) {
    std::string key = std::to_string(number % kKeys), bytes(30'000, static_cast<char>(number));
    Record record{.key = key, .value = bytes};
    for (;;) {
      auto appended = engine_->append(stream, {&record, 1}, {});
      if (appended) {
        EXPECT_TRUE(succeeds(engine_->wait(appended->pending)));
        return;
      }
      ASSERT_TRUE(fails_with(appended, Code::kBusy));
      world_.run_for(milliseconds(10));
    }
  };
  // No maintenance before everything is there.
  options_.maintenance_interval = std::chrono::hours(1);
  options_.user.background_bytes_per_s = 2 << 20;
  open(world_.node(0).restart());
  stream = *engine_->find("table");
  for (int i = 0; i < kRecords; ++i) put(i);
  ASSERT_TRUE(succeeds(engine_->checkpoint()));
  world_.run_for(std::chrono::hours(1));
  int meanwhile = 0;
  for (; engine_->info(stream)->reclaimed_bytes == 0 && meanwhile < 100; ++meanwhile) {
    put(kRecords + meanwhile);
    ASSERT_TRUE(succeeds(engine_->checkpoint()));
    world_.run_for(seconds(1));
  }
  EXPECT_GE(meanwhile, 3) << "checkpoints while it was compacted";
  EXPECT_LT(meanwhile, 100);
  std::map<std::string, std::int64_t> newest;
  std::int64_t seen = 0;
  auto end = engine_->info(stream)->log_end.value;
  for (std::int64_t at = 0; at < end;) {
    auto fetched = engine_->fetch(stream, {at}, {});
    ASSERT_TRUE(succeeds(fetched));
    auto batch = record::BatchView::parse(fetched->bytes);
    ASSERT_TRUE(succeeds(batch));
    seen += batch->count();
    at = batch->next_offset();
    if (batch->count() > 0) newest[std::to_string(batch->base_offset() % kKeys)] = at;
  }
  EXPECT_EQ(end, kRecords + meanwhile);
  EXPECT_EQ(newest.size(), static_cast<std::size_t>(kKeys));
  EXPECT_LT(seen, kRecords / 2);
}

// Small records of one key, and what compaction leaves of them.
class CompactionLagTest : public EngineSimTest {
 protected:
  void put(int count, std::size_t bytes = 10) {
    const std::string text(bytes, 'v');
    Record record{.key = "key", .value = text};
    while (count > 0) {
      auto appended = engine_->append(stream_, {&record, 1}, {});
      if (appended) {
        --count;
        ASSERT_TRUE(succeeds(engine_->wait(appended->pending)));
      } else {
        ASSERT_TRUE(fails_with(appended, Code::kBusy));
        world_.run_for(milliseconds(10));
      }
    }
  }
  void restart() {
    world_.node(0).crash(io::CrashKind::kKill);
    open(world_.node(0).restart());
    stream_ = *engine_->find("table");
  }
  std::vector<std::int64_t> left() {
    std::vector<std::int64_t> offsets;
    auto end = engine_->info(stream_)->log_end.value;
    for (std::int64_t at = 0; at < end;) {
      auto fetched = engine_->fetch(stream_, {at}, {.up_to = UpTo::kAppended});
      EXPECT_TRUE(succeeds(fetched));
      if (!fetched) break;
      for (Bytes rest = fetched->bytes; !rest.empty();) {
        auto batch = record::BatchView::parse(rest).value();
        rest.remove_prefix(batch.bytes().size());
        auto records = record::RecordIterator::open(batch).value();
        for (auto one = records.next(); one && *one; one = records.next())
          offsets.push_back((*one)->offset);
      }
      at = fetched->next.value;
    }
    return offsets;
  }
  static std::vector<std::int64_t> range(std::int64_t from, std::int64_t to) {
    std::vector<std::int64_t> offsets;
    for (auto at = from; at < to; ++at) offsets.push_back(at);
    return offsets;
  }

  StreamRef stream_;
};
INSTANTIATE_TEST_SUITE_P(Journal, CompactionLagTest, ::testing::Bool());

// More than it takes to be worth it, twice.
TEST_P(CompactionLagTest, the_young_stay_beside_the_old_and_a_clock_that_jumps_makes_nothing_old) {
  stream_ = create(
      "table",
      {.segment_records_max = 20, .compact = true, .compaction_lag_min = std::chrono::hours(1)});
  put(40, 8'000);
  world_.run_for(std::chrono::minutes(50));
  EXPECT_EQ(left(), range(0, 40));
  put(40, 8'000);
  world_.run_for(std::chrono::minutes(15));
  EXPECT_EQ(left(), range(39, 80));
  world_.node(0).jump_wall_clock(std::chrono::hours(24 * 365));
  world_.run_for(std::chrono::minutes(1));
  EXPECT_EQ(left(), range(39, 80));
  restart();
  world_.run_for(std::chrono::minutes(1));
  EXPECT_EQ(left(), range(39, 80));
  world_.node(0).jump_wall_clock(-std::chrono::hours(24 * 365));
  ASSERT_TRUE(succeeds(engine_->compact(stream_)));  // asked for, it goes by the same
  EXPECT_EQ(left(), range(39, 80));
  world_.run_for(std::chrono::hours(1));
  ASSERT_TRUE(succeeds(engine_->compact(stream_)));
  EXPECT_EQ(left(), range(79, 80));
}

// A stream that always grows a little: its extents are regrouped, and never all old.
TEST_P(CompactionLagTest, what_grows_all_the_time_is_compacted_up_to_the_young) {
  stream_ = create("table", {.compact = true, .compaction_lag_min = std::chrono::minutes(2)});
  for (int i = 0; i < 120; ++i) {
    put(1, 2'000);
    world_.run_for(seconds(5));
  }
  auto offsets = left();
  EXPECT_EQ(std::vector(offsets.end() - 24, offsets.end()), range(96, 120));
  EXPECT_LT(offsets.size(), 80U);
}

TEST_P(CompactionLagTest, the_late_are_compacted_however_little_it_is) {
  stream_ = create("table", {.compact = true, .compaction_lag_max = std::chrono::minutes(1)});
  put(5);
  world_.run_for(seconds(45));
  EXPECT_EQ(left(), range(0, 5));
  world_.run_for(seconds(30));
  EXPECT_EQ(left(), range(4, 5));
  put(3);
  world_.run_for(seconds(30));
  EXPECT_EQ(left(), range(4, 8));
  restart();
  world_.run_for(seconds(60));
  EXPECT_EQ(left(), range(7, 8));
  // Nothing is late any more, and nothing is written.
  auto written = engine_->metrics()["walrus_log_background_bytes_total"];
  world_.run_for(std::chrono::minutes(10));
  EXPECT_EQ(engine_->metrics()["walrus_log_background_bytes_total"], written);
}

// In the file of the open segment, which has to end for it.
TEST_P(CompactionLagTest, the_late_are_compacted_in_the_open_segment) {
  stream_ = create("table", {.compact = true, .compaction_lag_max = std::chrono::minutes(1)});
  put(20, 8'000);
  world_.run_for(seconds(45));
  EXPECT_EQ(left(), range(0, 20));
  EXPECT_EQ(engine_->info(stream_)->segments, 1);
  world_.run_for(seconds(30));
  EXPECT_EQ(left(), range(19, 20));
  put(20, 8'000);
  EXPECT_EQ(engine_->info(stream_)->segments, 2);
  world_.run_for(seconds(75));
  EXPECT_EQ(left(), range(39, 40));
}

TEST_P(CompactionLagTest, the_late_are_compacted_while_more_comes_in) {
  stream_ = create("table", {.compact = true, .compaction_lag_max = seconds(20)});
  std::size_t most = 0;
  for (int i = 0; i < 300; ++i) {
    put(1);
    world_.run_for(seconds(1));
    most = std::max(most, left().size());
  }
  EXPECT_LT(most, 60U);
}

TEST_P(CompactionLagTest, a_clock_that_jumps_makes_nothing_late) {
  stream_ = create("table", {.compact = true, .compaction_lag_max = std::chrono::hours(1)});
  put(5);
  world_.run_for(seconds(30));
  world_.node(0).jump_wall_clock(std::chrono::hours(24 * 365));
  world_.run_for(std::chrono::minutes(1));
  EXPECT_EQ(left(), range(0, 5));
}

// Its files are unlinked and its part of the journal is used again before it has read anything.
TEST_P(EngineSimTest, a_reader_keeps_its_view_whatever_the_writer_does_meanwhile) {
  constexpr std::int64_t kStored = 40, kRecords = 45, kTrimmed = 7;
  auto stream = create("t"), trimmed = create("trimmed"), dropped = create("dropped");
  auto put = [&](const StreamRef& to, std::int64_t number) {
    for (int tries = 0; tries < 1000; ++tries, world_.run_for(milliseconds(10))) {
      auto appended = append(to, std::string(8'000, static_cast<char>('a' + number % 26)));
      if (appended && engine_->wait(appended->pending)) return;
    }
    FAIL() << "no room";
  };
  auto put_all = [&](std::int64_t number) {
    for (const auto& to : {stream, trimmed, dropped}) put(to, number);
  };
  for (std::int64_t i = 0; i < kRecords; ++i) {
    put_all(i);
    if (i < kStored && i % 4 == 3) ASSERT_TRUE(succeeds(engine_->checkpoint()));
  }
  auto options = options_;
  options.user.read_only = true;
  auto opened = Engine::open(world_.node(0).env(), options);
  ASSERT_TRUE(succeeds(opened));
  auto& reader = **opened;
  auto seen = *reader.find("t"), cut = *reader.find("trimmed"), gone = *reader.find("dropped");

  ASSERT_TRUE(succeeds(engine_->wait(engine_->trim(trimmed, {kTrimmed}).value())));
  ASSERT_TRUE(succeeds(engine_->wait(engine_->remove("dropped").value())));
  for (std::int64_t i = kRecords; i < 3 * kRecords; ++i) {
    put(stream, i);
    put(trimmed, i);
  }
  ASSERT_TRUE(succeeds(engine_->compact(stream)));
  ASSERT_TRUE(succeeds(engine_->compact(trimmed)));
  ASSERT_TRUE(succeeds(engine_->checkpoint()));
  world_.run_for(seconds(4));

  auto read = [&](const StreamRef& ref, std::int64_t from) {
    while (from < kRecords) {
      auto fetched = reader.fetch(ref, {from}, {.bytes_max = 100'000});
      ASSERT_TRUE(succeeds(fetched));
      EXPECT_EQ(fetched->log_end.value, kRecords);
      for (Bytes rest = fetched->bytes; !rest.empty(); ++from) {
        auto batch = record::BatchView::parse(rest);
        ASSERT_TRUE(succeeds(batch));
        ASSERT_EQ(batch->base_offset(), from);
        EXPECT_NE(batch->bytes().find(std::string(8'000, static_cast<char>('a' + from % 26))),
                  Bytes::npos);
        rest.remove_prefix(batch->bytes().size());
      }
      ASSERT_EQ(fetched->next.value, from);
    }
    EXPECT_EQ(from, kRecords) << "nothing of what came later";
  };
  read(seen, 0);
  EXPECT_EQ(reader.find_time(seen, Time(Millis(0)))->value, 0);
  EXPECT_TRUE(fails_with(reader.fetch(cut, {0}, {}), Code::kOutOfRange));
  EXPECT_EQ(reader.info(cut)->log_start.value, kTrimmed);
  read(cut, kTrimmed);
  EXPECT_TRUE(fails_with(reader.fetch(gone, {0}, {}), Code::kNotFound));
}

// What is gone without a newer manifest is damage: a reader says so.
TEST_P(EngineSimTest, a_reader_reports_a_file_that_no_manifest_explains) {
  auto stream = create("t");
  ASSERT_TRUE(succeeds(engine_->wait(append(stream, std::string(8'000, 'x'))->pending)));
  ASSERT_TRUE(succeeds(engine_->checkpoint()));
  auto options = options_;
  options.user.read_only = true;
  auto opened = Engine::open(world_.node(0).env(), options);
  ASSERT_TRUE(succeeds(opened));
  auto& disk = world_.node(0).env().disk();
  for (const auto& directory : disk.list("/log/segments").value()) {
    auto path = io::Path("/log/segments") / directory.name;
    for (const auto& file : disk.list(path).value())
      ASSERT_TRUE(succeeds(disk.remove(path / file.name)));
  }
  auto seen = *(*opened)->find("t");
  EXPECT_TRUE(fails_with((*opened)->fetch(seen, {0}, {}), Code::kNotFound));
}

// Its directory is two levels below what was there, and the process dies once while it is made.
TEST_P(EngineSimTest, parents_that_were_made_survive_a_power_cut) {
  auto options = options_;
  options.user.root = "/made/for/it";
  for (std::uint64_t dies_after = 0; dies_after < 40; ++dies_after) {
    io::World world(100 + dies_after);
    auto& node = world.node(0);
    if (dies_after > 0) {
      node.crash_after_ops(dies_after, io::CrashKind::kKill);
      (void)Engine::open(node.env(), options);
      if (!node.crashed()) node.crash(io::CrashKind::kKill);
    }
    {
      auto engine = Engine::open(node.restart(), options);
      ASSERT_TRUE(succeeds(engine));
      if (!(*engine)->find("t")) {
        auto created = (*engine)->create("t", {});
        ASSERT_TRUE(succeeds(created));
        ASSERT_TRUE(succeeds((*engine)->wait(created->pending)));
      }
      node.crash(io::CrashKind::kPowerCut);
    }
    auto engine = Engine::open(node.restart(), options);
    ASSERT_TRUE(succeeds(engine));
    EXPECT_TRUE(succeeds((*engine)->find("t"))) << dies_after;
  }
}

// What nobody waited for is written once, into segment files; and what recovery finds then is
// whole, and ends there.
TEST_P(EngineSimTest, a_checkpoint_is_durable_although_the_journal_is_not_synced) {
  auto& node = world_.node(0);
  auto stream = create("t", kOs);
  auto synced = [&] { return engine_->metrics()["walrus_log_sync_bytes_total"]; };
  auto put = [&](std::int64_t bytes) {
    for (std::int64_t done = 0; done < bytes; world_.run_for(milliseconds(1))) {
      if (append(stream, std::string(8'000, 'x'))) done += 8'000;
    }
  };
  put(600'000);  // what is created is waited for, and keeps the journal synced for so long
  ASSERT_TRUE(succeeds(engine_->checkpoint()));
  auto before = synced();
  put(600'000);
  ASSERT_TRUE(succeeds(engine_->checkpoint()));
  auto files = 600'000 / options_.journal_file_bytes_max + 1;
  bool written_once = synced() - before <= static_cast<double>(files * kFirstGroup);
  EXPECT_EQ(written_once, GetParam()) << synced() - before;
  auto end = engine_->info(stream)->log_end;
  node.crash(io::CrashKind::kPowerCut);
  open(node.restart());
  stream = *engine_->find("t");
  EXPECT_EQ(engine_->info(stream)->high_watermark, end);

  put(600'000);
  end = engine_->info(stream)->log_end;
  ASSERT_TRUE(succeeds(engine_->close()));
  node.crash(io::CrashKind::kPowerCut);
  open(node.restart());
  EXPECT_FALSE(engine_->opened_torn());
  EXPECT_EQ(engine_->info(*engine_->find("t"))->high_watermark, end);
}

// What segment files hold is read without a look at the high watermark.
TEST_P(EngineSimTest, a_checkpoint_stores_nothing_that_waits_for_a_sync) {
  auto stream = create("t");
  ASSERT_TRUE(succeeds(engine_->wait(append(stream, "acknowledged")->pending)));
  ASSERT_TRUE(succeeds(append(stream, "nobody asked yet")));
  ASSERT_TRUE(succeeds(engine_->checkpoint()));
  auto fetched = engine_->fetch(stream, {0}, {});
  ASSERT_TRUE(succeeds(fetched));
  EXPECT_LE(fetched->next, engine_->info(stream)->high_watermark);
}

// The manifest before it would lead into what was never synced.
TEST_P(EngineSimTest, a_manifest_is_removed_whose_journal_may_not_be_there) {
  auto stream = create("t", kOs);
  for (int i = 0; i < 200; ++i) {
    (void)append(stream, std::string(8'000, 'x'));
    world_.run_for(milliseconds(1));
  }
  auto slots = [&] {
    int there = 0;
    for (const auto& file : world_.node(0).env().disk().list("/log/journal/0").value()) {
      if (file.name.starts_with("manifest-")) ++there;
    }
    return there;
  };
  ASSERT_TRUE(succeeds(engine_->checkpoint()));
  EXPECT_EQ(slots(), GetParam() ? 1 : 2);
  auto synced = append(stream, "x");
  ASSERT_TRUE(succeeds(engine_->wait(engine_->sync(stream).value())));
  ASSERT_TRUE(succeeds(engine_->checkpoint()));
  EXPECT_EQ(slots(), 2);
}

// After a kill everything is in the page cache, and nothing is known to be synced.
TEST_P(EngineSimTest, recovery_copies_more_than_a_file_and_goes_on_in_it) {
  auto& node = world_.node(0);
  options_.checkpoint_bytes = 8 << 20;  // none
  options_.checkpoint_interval = std::chrono::hours(1);
  open(node.restart());
  auto stream = create("t", kOs);
  std::int64_t records = 0;
  for (int life = 0; life < 4; ++life) {
    for (int i = 0; i < 25; ++i) {
      auto text = std::string(10'000, static_cast<char>('a' + records % 26));
      auto appended = append(stream, text);
      if (appended && engine_->wait(appended->pending)) ++records;
      world_.run_for(milliseconds(5));
    }
    node.crash(io::CrashKind::kKill);
    open(node.restart());
    node.crash(io::CrashKind::kPowerCut);  // what was recovered is on the disk
    open(node.restart());
    stream = *engine_->find("t");
    ASSERT_EQ(engine_->info(stream)->high_watermark.value, records) << "life " << life;
  }
  for (std::int64_t at = 0; at < records;) {
    auto fetched = engine_->fetch(stream, {at}, {.bytes_max = 1});
    ASSERT_TRUE(succeeds(fetched));
    EXPECT_TRUE(fetched->bytes.contains(std::string(9'000, static_cast<char>('a' + at % 26))));
    at = fetched->next.value;
  }
  EXPECT_GE(records, 80);
}

// Callers that come back after each answer share one sync, not two in turns.
TEST_P(EngineSimTest, callers_that_come_back_share_a_sync) {
  constexpr int kCallers = 16, kRounds = 100;
  world_.node(0).disk().options().faults.slow_sync = 1;
  world_.node(0).disk().options().faults.slow_min = std::chrono::microseconds(200);
  world_.node(0).disk().options().faults.slow_max = std::chrono::microseconds(300);
  auto stream = create("t");
  int waiting = 0, answered = 0;
  auto begin = [&] {
    auto appended = append(stream, "x");
    ASSERT_TRUE(succeeds(appended));
    ++waiting;
    engine_->when_done(appended->pending, [&](Result<void> done) {
      EXPECT_TRUE(succeeds(done));
      --waiting;
      ++answered;
    });
  };
  auto before = engine_->metrics()["walrus_log_syncs_total"];
  while (answered < kCallers * kRounds) {
    if (waiting < kCallers) begin();
    world_.run_for(std::chrono::microseconds(5));
  }
  while (waiting > 0) world_.run_for(std::chrono::microseconds(5));
  auto syncs = engine_->metrics()["walrus_log_syncs_total"] - before;
  EXPECT_LT(syncs, kRounds * 1.4);
}

// It would be dropped at this open because no catalogue names it, and the catalogue with it.
TEST_P(EngineSimTest, refuses_what_is_not_state_in_the_catalogues_stream) {
  for (auto type : {FrameType::kTrim, FrameType::kTruncate, FrameType::kDrop}) {
    options_.user.root = fmt::format("/log-{}", static_cast<int>(type));
    open(world_.node(0).env());
    create("orders");
    world_.node(0).crash(io::CrashKind::kKill);
    auto& env = world_.node(0).restart();
    auto identity = *read_identity(env, options_.user.root).value();
    auto directory = options_.user.root / "journal/0";
    auto manifest = *load_manifest(env, directory, identity.layout).value();
    Journal journal(env, {.directory = directory,
                          .directory_uuid = identity.uuid,
                          .layout = identity.layout,
                          .mapped = options_.mapped,
                          .file_bytes_min = options_.journal_file_bytes_min,
                          .file_bytes_max = options_.journal_file_bytes_max});
    auto start = unpack_start(manifest.journal_sequence, manifest.journal_lsn);
    auto nothing = [](const Frame&, Lsn, Bytes) -> Result<void> { return {}; };
    ASSERT_TRUE(succeeds(journal.recover(start, nothing)));
    ASSERT_TRUE(succeeds(journal.fill_spares()));
    ASSERT_TRUE(succeeds(journal.reserve(0, false)));
    journal.commit({.type = type, .stream = kCatalogStream});
    ASSERT_TRUE(succeeds(journal.begin_sync(false).run()));
    EXPECT_TRUE(fails_with(Engine::open(env, options_), Code::kCorrupt));
  }
}

INSTANTIATE_TEST_SUITE_P(Journal, EngineSimTest, ::testing::Bool(),
                         [](const auto& mapped) { return mapped.param ? "mapped" : "written"; });

}  // namespace
}  // namespace walrus::log
