// The public face in the simulated world: what it promises about cursors and clean marks over
// crashes, at crash points that the seed chooses.

#include "io/sim/sim_world.h"
#include "log/log_fixture.h"

namespace walrus::log {
namespace {

constexpr int kSeeds = 200, kLives = 4, kSteps = 60;

EngineOptions tiny_options() {
  auto options = small_options("/log");
  options.user.batch_bytes_max = 64 << 10;
  options.user.journal_bytes_max = 1 << 20;
  options.journal_file_bytes_min = 128 << 10;
  options.journal_file_bytes_max = 256 << 10;
  options.checkpoint_bytes = 64 << 10;
  return options;
}

// One stream with one cursor, used until the node crashes, again and again. What is known of it
// goes by what the calls answered.
class CrashRun {
 public:
  CrashRun(std::uint64_t seed, const CursorOptions& options)
      : world_(seed), cursor_options_(options) {}

  void run() {
    for (int life = 0; life < kLives && !::testing::Test::HasFailure(); ++life) {
      auto& env = life == 0 ? world_.node(0).env() : world_.node(0).restart();
      bool last = life == kLives - 1;
      world_.node(0).crash_after_ops(
          last ? 0 : 1 + world_.random() % 300,
          world_.random() % 2 == 0 ? io::CrashKind::kKill : io::CrashKind::kPowerCut);
      auto log = open_log(env, tiny_options());
      if (last) ASSERT_TRUE(succeeds(log)) << "seed " << world_.seed();
      if (log) live(*log);
      if (log && last) EXPECT_TRUE(succeeds(log->close()));
    }
  }

 private:
  void live(Log& log) {
    auto stream = log.stream("t");
    if (!stream && stream.error().code == Code::kNotFound) stream = log.create("t");
    if (!stream) return;
    auto info = stream->info();
    if (!info) return;
    ASSERT_GE(info->log_end.value, acknowledged_) << "seed " << world_.seed();
    end_ = info->log_end.value;
    auto cursor = stream->cursor("c", cursor_options_);
    if (!cursor) return;
    auto position = cursor->position();
    if (!position) return;
    check_recovered(position->value);
    if (::testing::Test::HasFailure()) return;
    delivered_ = least_ = position->value;
    for (int i = 0; i < kSteps; ++i) {
      if (!step(*stream, *cursor) || ::testing::Test::HasFailure()) return;
    }
  }

  // Between what was durable for certain and what was handed out.
  void check_recovered(std::int64_t position) {
    EXPECT_GE(position, std::min(least_, end_)) << "seed " << world_.seed();
    EXPECT_LE(position, most_) << "seed " << world_.seed();
    most_ = position;
  }

  bool step(Stream& stream, Cursor& cursor) {
    switch (world_.random() % 6) {
      case 0:
      case 1: return append(stream);
      case 2:
      case 3: return read(cursor);
      case 4: return commit(cursor);
      default: return truncate(stream);
    }
  }

  bool append(Stream& stream) {
    std::vector<std::string> texts(1 + world_.random() % 5,
                                   std::string(world_.random() % 500, 'x'));
    auto at = stream.append(values(texts));
    if (!at) return false;
    EXPECT_EQ(at->value, end_) << "seed " << world_.seed();
    acknowledged_ = end_ = at->value + static_cast<std::int64_t>(texts.size());
    return true;
  }

  bool read(Cursor& cursor) {
    // What a read takes may be durable although the call failed.
    std::int64_t limit = std::min<std::int64_t>(
        delivered_ + 1 + static_cast<std::int64_t>(world_.random() % 4), end_);
    most_ = std::max(most_, limit);
    auto records = cursor.read({.records_max = std::max<std::int64_t>(limit - delivered_, 1)});
    if (!records) return false;
    for (const auto& record : *records)
      EXPECT_EQ(record.offset.value, delivered_++) << "seed " << world_.seed();
    // A crash between two fetches of one read leaves what the first one brought.
    if (!world_.node(0).crashed()) EXPECT_EQ(delivered_, limit) << "seed " << world_.seed();
    bool once = cursor_options_.delivery == Delivery::kAtMostOnce;
    std::int64_t repeats = once ? 0 : cursor_options_.persist_every;
    least_ = std::max(least_, delivered_ - repeats);
    return true;
  }

  bool commit(Cursor& cursor) {
    auto next = static_cast<std::int64_t>(world_.random() % static_cast<std::uint64_t>(end_ + 1));
    most_ = std::max(most_, next);
    least_ = std::min(least_, next);
    if (!cursor.commit({next})) return false;
    delivered_ = least_ = most_ = next;
    return true;
  }

  bool truncate(Stream& stream) {
    auto cut = end_ - static_cast<std::int64_t>(world_.random() % 4);
    if (cut < 0) return true;
    least_ = std::min(least_, cut);
    acknowledged_ = std::min(acknowledged_, cut);
    if (!stream.truncate({cut})) return false;
    end_ = cut;
    delivered_ = std::min(delivered_, cut);
    most_ = std::min(most_, cut);
    return true;
  }

  io::World world_;
  CursorOptions cursor_options_;
  std::int64_t acknowledged_ = 0, end_ = 0;  // log ends: certain to survive; now
  std::int64_t delivered_ = 0;               // the cursor's position now
  std::int64_t least_ = 0, most_ = 0;        // where it may be after a crash
};

TEST(FaceInTheSimulator, at_most_once_cursors_are_exact_over_crashes) {
  for (std::uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed)
    CrashRun(seed, {.delivery = Delivery::kAtMostOnce}).run();
}

TEST(FaceInTheSimulator, at_least_once_cursors_repeat_within_their_bound) {
  for (std::uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed)
    CrashRun(seed, {.persist_every = 5}).run();
}

TEST(FaceInTheSimulator, waits_run_the_world) {
  io::World world(7);
  auto log = open_log(world.node(0).env(), tiny_options());
  ASSERT_TRUE(succeeds(log));
  auto stream = log->create("t");
  ASSERT_TRUE(succeeds(stream));
  auto before = world.now();
  EXPECT_TRUE(stream->read({0}, {.wait = Millis(500)})->empty());
  EXPECT_GE(world.now() - before, std::chrono::milliseconds(500));
  world.at(world.now() + std::chrono::milliseconds(100),
           [copy = *stream]() mutable { append_numbers(copy, 0, 1); });
  EXPECT_EQ(values_of(*stream->read({0}, {.wait = std::chrono::hours(1)})), numbers(0, 1));
  EXPECT_TRUE(succeeds(log->close()));
}

TEST(FaceInTheSimulator, a_clean_mark_is_durable_and_never_covers_a_later_append) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    io::World world(seed);
    std::int64_t marked = -1;
    {
      auto log = open_log(world.node(0).env(), tiny_options());
      ASSERT_TRUE(succeeds(log));
      auto stream = log->create("t");
      ASSERT_TRUE(succeeds(stream));
      world.node(0).crash_after_ops(1 + world.random() % 40, io::CrashKind::kPowerCut);
      for (int i = 0; i < 50 && stream->append(value("x")); ++i) {
        marked = -1;
        if (world.random() % 2 == 0 && stream->mark_clean()) marked = i + 1;
      }
    }
    auto log = open_log(world.node(0).restart(), tiny_options());
    ASSERT_TRUE(succeeds(log));
    auto info = log->stream("t")->info();
    ASSERT_TRUE(succeeds(info));
    // The append or the mark that the crash interrupted may have taken effect.
    if (info->log_end.value == marked) EXPECT_TRUE(info->clean) << "seed " << seed;
    if (marked >= 0 && info->log_end.value > marked) EXPECT_FALSE(info->clean) << "seed " << seed;
  }
}

}  // namespace
}  // namespace walrus::log
