// Bulk: what goes past the journal. Nothing of it counts before a manifest holds it, and then all
// of it does.

#include <gtest/gtest.h>

#include "io/sim/sim_random.h"
#include "io/sim/sim_world.h"
#include "log/log_fixture.h"
#include "log/manifest.h"
#include "record/batch.h"

namespace walrus::log {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string text_of(std::int64_t number) {
  return std::to_string(number) + std::string(static_cast<std::size_t>(number * 37 % 300), 'x');
}

class BulkTest : public ::testing::TestWithParam<bool> {
 protected:
  BulkTest() : BulkTest(7) {}
  explicit BulkTest(std::uint64_t seed) : world_(seed) {
    options_ = small_options("/log");
    options_.user.batch_bytes_max = 64 << 10;
    options_.user.journal_bytes_max = 1 << 20;
    options_.journal_file_bytes_min = 128 << 10;
    options_.journal_file_bytes_max = 128 << 10;
    options_.checkpoint_bytes = 64 << 10;
    options_.reserve_bytes = 64 << 10;
    options_.pack_bytes_max = 512;
    options_.bulk_sync_bytes = 1000;
    options_.mapped = GetParam();
    open(world_.node(0).env());
  }

  void open(io::Env& env) {
    engine_.reset();
    auto opened = Engine::open(env, options_);
    ASSERT_TRUE(succeeds(opened));
    engine_ = *std::move(opened);
  }
  void crash(io::CrashKind kind) {
    world_.node(0).crash(kind);
    open(world_.node(0).restart());
  }
  StreamRef create(Bytes name, const StreamOptions& options = {}) {
    auto created = engine_->create(name, options);
    EXPECT_TRUE(succeeds(created));
    EXPECT_TRUE(succeeds(engine_->wait(created->pending)));
    return created->stream;
  }
  Result<Appended> append(const StreamRef& stream, const std::string& text) {
    auto record = value(text);
    return engine_->append(stream, {&record, 1}, {});
  }
  // Tries until there is room.
  Result<Appended> bulk(const StreamRef& stream, const std::string& text) {
    auto record = value(text);
    for (int tries = 0;; ++tries) {
      auto appended = engine_->append_bulk(stream, {&record, 1});
      if (appended || appended.error().code != Code::kBusy || tries == 100) return appended;
      world_.run_for(milliseconds(10));
    }
  }
  Pending bulk(const StreamRef& stream, std::int64_t from, std::int64_t to) {
    Pending pending;
    for (auto number = from; number < to; ++number) {
      auto appended = bulk(stream, text_of(number));
      EXPECT_TRUE(succeeds(appended));
      EXPECT_EQ(appended->first.value, number);
      pending = appended->pending;
    }
    return pending;
  }
  // Every record from the start on is the one of its number; how many there are.
  std::int64_t check(const StreamRef& stream) {
    auto bounds = engine_->bounds(stream);
    auto end = bounds->log_end.value, next = bounds->log_start.value;
    while (next < end) {
      auto fetched = engine_->fetch(stream, Offset{next}, {.bytes_max = 700});
      EXPECT_TRUE(succeeds(fetched));
      if (!fetched || fetched->bytes.empty()) break;
      for (Bytes rest = fetched->bytes; !rest.empty(); ++next) {
        auto batch = record::BatchView::parse(rest);
        EXPECT_TRUE(succeeds(batch));
        auto records = record::RecordIterator::open(*batch);
        EXPECT_TRUE(succeeds(records));
        EXPECT_EQ((*records->next())->value, text_of(next));
        rest.remove_prefix(batch->bytes().size());
      }
    }
    EXPECT_EQ(next, end);
    return end;
  }
  int files() {
    auto& disk = world_.node(0).env().disk();
    int files = 0;
    for (const auto& directory : disk.list("/log/segments").value())
      files += static_cast<int>(disk.list(io::Path("/log/segments") / directory.name)->size());
    return files;
  }
  double metric(const char* name) { return engine_->metrics()[name]; }

  io::World world_;
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(BulkTest, is_read_once_it_is_synced_and_lasts_once_it_is_done) {
  auto stream = create("a");
  auto used = metric("walrus_log_journal_used_bytes");
  auto pending = bulk(stream, 0, 400);
  EXPECT_FALSE(engine_->is_done(pending));
  EXPECT_TRUE(succeeds(engine_->wait(pending)));
  EXPECT_TRUE(engine_->is_done(pending));
  EXPECT_EQ(check(stream), 400);
  EXPECT_LE(metric("walrus_log_journal_used_bytes"), used + 8192) << "it went by the journal";
  crash(io::CrashKind::kPowerCut);
  EXPECT_EQ(check(engine_->find("a").value()), 400);
}

TEST_P(BulkTest, goes_on_behind_what_the_journal_holds_and_before_it) {
  auto stream = create("a");
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(succeeds(append(stream, text_of(i))));
  EXPECT_TRUE(succeeds(engine_->wait(bulk(stream, 10, 30))));
  EXPECT_EQ(check(stream), 30);
  auto appended = append(stream, text_of(30));
  ASSERT_TRUE(succeeds(appended));
  EXPECT_TRUE(succeeds(engine_->wait(appended->pending)));
  crash(io::CrashKind::kPowerCut);
  stream = engine_->find("a").value();
  EXPECT_EQ(check(stream), 31);
  EXPECT_TRUE(succeeds(engine_->wait(bulk(stream, 31, 40))));
  EXPECT_EQ(check(stream), 40);
}

TEST_P(BulkTest, nothing_else_changes_the_stream_meanwhile) {
  auto stream = create("a");
  auto pending = bulk(stream, 0, 10);
  EXPECT_TRUE(fails_with(append(stream, "x"), Code::kInvalid));
  EXPECT_TRUE(fails_with(engine_->trim(stream, Offset{0}), Code::kInvalid));
  EXPECT_TRUE(fails_with(engine_->truncate(stream, Offset{0}), Code::kInvalid));
  EXPECT_TRUE(fails_with(engine_->begin(stream, Offset{9}), Code::kInvalid));
  auto synced = engine_->sync(stream);
  ASSERT_TRUE(succeeds(synced));
  EXPECT_TRUE(succeeds(engine_->wait(*synced)));
  EXPECT_TRUE(engine_->is_done(pending));
  EXPECT_TRUE(succeeds(engine_->truncate(stream, Offset{5})));
  EXPECT_EQ(check(stream), 5);
}

TEST_P(BulkTest, takes_no_more_than_fits_into_memory) {
  auto stream = create("a");
  auto record = value(std::string(900, 'x'));
  int taken = 0;
  Result<Appended> appended;
  while ((appended = engine_->append_bulk(stream, {&record, 1})) && taken < 100) ++taken;
  EXPECT_TRUE(fails_with(appended, Code::kBusy));
  EXPECT_EQ(taken, 3);  // until there are 2,000 bytes
  bool room = false;
  engine_->when_room(stream, [&](const Result<void>&) { room = true; });
  EXPECT_TRUE(world_.run_until([&] { return room; }, seconds(1)));
  EXPECT_TRUE(succeeds(engine_->append_bulk(stream, {&record, 1})));
}

TEST_P(BulkTest, a_full_disk_takes_it_later) {
  auto stream = create("a");
  EXPECT_TRUE(succeeds(engine_->wait(bulk(stream, 0, 20))));
  auto& disk = world_.node(0).disk();
  disk.options().capacity_bytes = disk.used_bytes();
  Pending pending;
  for (std::int64_t number = 20; number < 25; ++number) {
    auto text = text_of(number);
    auto record = value(text);
    auto appended = engine_->append_bulk(stream, {&record, 1});
    ASSERT_TRUE(succeeds(appended));
    pending = appended->pending;
  }
  bool done = false;
  engine_->when_done(pending, [&](const Result<void>& result) { done = result.has_value(); });
  EXPECT_FALSE(world_.run_until([&] { return done; }, seconds(5)));
  EXPECT_TRUE(fails_with(engine_->health(), Code::kNoSpace));
  EXPECT_EQ(check(stream), 20);
  disk.options().capacity_bytes = std::int64_t{1} << 40;
  EXPECT_TRUE(world_.run_until([&] { return done; }, seconds(5)));
  EXPECT_EQ(check(stream), 25);
}

TEST_P(BulkTest, a_removed_stream_leaves_no_file) {
  create("kept");
  for (int crashes = 0; crashes < 2; ++crashes) {
    auto stream = create("a");
    auto pending = bulk(stream, 0, 60);
    bool answered = false;
    engine_->when_done(pending, [&](const Result<void>& result) {
      answered = fails_with(result, Code::kNotFound);
    });
    EXPECT_GT(engine_->bounds(stream)->log_end.value, 0);
    auto removed = engine_->remove("a");
    ASSERT_TRUE(succeeds(removed));
    EXPECT_TRUE(succeeds(engine_->wait(*removed)));
    EXPECT_TRUE(world_.run_until([&] { return answered; }, seconds(1)));
    EXPECT_TRUE(succeeds(engine_->checkpoint()));
    world_.run_for(seconds(2));
    EXPECT_EQ(files(), 0);
    crash(io::CrashKind::kPowerCut);
  }
}

TEST_P(BulkTest, retention_comes_before_it_or_behind_it) {
  options_.maintenance_interval = milliseconds(1);
  crash(io::CrashKind::kKill);
  auto stream = create("a", {.segment_records_max = 5, .retention_bytes = 2'000});
  std::int64_t next = 0;
  for (int round = 0; round < 30; ++round) {
    for (int i = 0; i < 10; ++i, ++next) {
      auto appended = append(stream, text_of(next));
      ASSERT_TRUE(succeeds(appended));
      ASSERT_TRUE(succeeds(engine_->wait(appended->pending)));
    }
    ASSERT_TRUE(succeeds(engine_->checkpoint()));
    EXPECT_TRUE(succeeds(engine_->wait(bulk(stream, next, next + 20))));
    next += 20;
    EXPECT_EQ(check(stream), next);
  }
  world_.run_for(seconds(1));
  EXPECT_GT(engine_->bounds(stream)->log_start.value, 0);
  crash(io::CrashKind::kPowerCut);
  EXPECT_EQ(check(engine_->find("a").value()), next);
}

// No journal makes up for a manifest that is older.
TEST_P(BulkTest, the_manifest_before_it_goes) {
  auto stream = create("a");
  EXPECT_TRUE(succeeds(engine_->checkpoint()));
  EXPECT_TRUE(succeeds(engine_->wait(bulk(stream, 0, 20))));
  auto& env = world_.node(0).env();
  auto older = load_older_manifest(env, "/log/journal/0", 1);
  ASSERT_TRUE(succeeds(older));
  EXPECT_FALSE(*older);
}

// As if the machine had stopped right before it was removed.
TEST_P(BulkTest, the_manifest_before_it_goes_at_a_recovery_too) {
  auto& node = world_.node(0);
  auto stream = create("a");
  EXPECT_TRUE(succeeds(engine_->checkpoint()));
  auto pending = bulk(stream, 0, 20);
  node.crash_after_ops(1, io::CrashKind::kPowerCut,
                       {.operation = "crash point", .file = "manifest-after-sync"});
  (void)engine_->wait(pending);
  ASSERT_TRUE(node.crashed());
  open(node.restart());
  auto end = check(engine_->find("a").value());
  auto older = load_older_manifest(node.env(), "/log/journal/0", 1);
  ASSERT_TRUE(succeeds(older));
  EXPECT_TRUE(end == 0 || !*older) << end << " records";
}

INSTANTIATE_TEST_SUITE_P(Journal, BulkTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "mapped" : "written"; });

// Two streams of bulk and one of the journal, crashes anywhere, disks that fail and are slow: what
// was answered is there, and nothing but a beginning of the rest.
class BulkSeeds : public BulkTest {
 protected:
  BulkSeeds() : BulkTest(1) {}
};

TEST_P(BulkSeeds, whatever_happens_a_beginning_is_there_with_all_that_was_answered) {
  std::int64_t stored = 0, lost = 0, failed = 0;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    io::SimRandom random(seed);
    io::World world(seed);
    auto& node = world.node(0);
    auto options = options_;
    options.user.root = "/data";
    options.bulk_sync_bytes = random.between(100, 4'000);
    options.pack_bytes_max = random.between(100, 2'000);
    options.checkpoint_interval = milliseconds(random.between(20, 3'000));
    std::int64_t answered[3] = {};
    for (int run = 0; run < 5; ++run) {
      auto opened = Engine::open(node.env(), options);
      ASSERT_TRUE(succeeds(opened)) << "seed " << seed;
      engine_ = *std::move(opened);
      StreamRef streams[3];
      for (int i = 0; i < 3; ++i) {
        auto name = std::to_string(i);
        auto found = engine_->find(name);
        streams[i] = found ? *found : create(name);
        auto end = check(streams[i]);
        ASSERT_GE(end, answered[i]) << "seed " << seed << ", stream " << i << ", run " << run;
        stored += end - answered[i];
        answered[i] = end;
      }
      auto& faults = node.disk().options().faults;
      if (random.chance(0.3)) faults.no_space = 0.02;
      if (random.chance(0.3)) faults.slow_sync = 0.1;
      if (random.chance(0.1)) faults.sync_error = 0.01;
      auto kind = random.chance(0.5) ? io::CrashKind::kPowerCut : io::CrashKind::kKill;
      node.crash_after_ops(random.between(10, 600), kind);
      std::int64_t next[3] = {answered[0], answered[1], answered[2]};
      // Answers of this run's engine come no more once it has crashed.
      auto told = std::make_shared<std::array<std::int64_t, 3>>(
          std::array{answered[0], answered[1], answered[2]});
      for (int op = 0; op < 200 && !node.crashed(); ++op) {
        auto i = random.below(3);
        auto text = text_of(next[i]);
        auto record = value(text);
        auto appended = i == 2 ? engine_->append(streams[2], {&record, 1}, {})
                               : engine_->append_bulk(streams[i], {&record, 1});
        if (appended) {
          auto end = ++next[i];
          if (random.chance(0.2))
            engine_->when_done(appended->pending, [told, i, end](const Result<void>& result) {
              if (result) (*told)[i] = std::max((*told)[i], end);
            });
        }
        if (!appended || random.chance(0.3)) world.run_for(milliseconds(random.between(0, 30)));
      }
      if (engine_->failure()) ++failed;
      for (std::size_t i = 0; i < 3; ++i) {
        lost += next[i] - (*told)[i];
        answered[i] = (*told)[i];
      }
      if (!node.crashed()) node.crash(kind);
      engine_.reset();
      node.restart();
      faults = {};
    }
  }
  EXPECT_GT(stored, 1'000);
  EXPECT_GT(lost, 1'000);
  EXPECT_GT(failed, 5);
}

INSTANTIATE_TEST_SUITE_P(Journal, BulkSeeds, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "mapped" : "written"; });

}  // namespace
}  // namespace walrus::log
