// The engine on the real disk: what a process sees. Crashes are the simulator's part.

#include "log/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace walrus::log {
namespace {

class EngineTest : public testing::TestWithParam<bool> {
 protected:
  EngineTest() {
    auto name = std::string(testing::UnitTest::GetInstance()->current_test_info()->name());
    for (auto& c : name) {
      if (c == '/') c = '-';
    }
    root_ = std::filesystem::path(testing::TempDir()) / ("walrus-engine-" + name);
    std::filesystem::remove_all(root_);
  }
  ~EngineTest() override {
    engine_.reset();
    std::filesystem::remove_all(root_);
  }

  EngineOptions options() {
    EngineOptions options;
    options.user.root = root_;
    options.user.shards = 2;
    options.user.batch_bytes_max = 1 << 20;
    options.user.journal_bytes_max = 16 << 20;
    options.mapped = GetParam();
    options.journal_file_bytes_min = 1 << 20;
    options.journal_file_bytes_max = 2 << 20;
    options.checkpoint_bytes = 1 << 20;
    return options;
  }
  void open() { open(options()); }
  void open(const EngineOptions& options) {
    auto engine = Engine::open(io::real_env(), options);
    ASSERT_TRUE(engine) << engine.error().message;
    engine_ = std::move(*engine);
  }
  StreamRef create(Bytes name, const StreamOptions& options = {}) {
    auto created = engine_->create(name, options);
    EXPECT_TRUE(created) << created.error().message;
    EXPECT_TRUE(engine_->wait(created->pending));
    return created->stream;
  }
  std::int64_t append(const StreamRef& stream, Bytes value) {
    Record record{.value = value};
    for (;;) {
      auto appended = engine_->append(stream, {&record, 1}, {});
      if (!appended && appended.error().code == Code::kBusy) {
        Event event;
        engine_->when_room(stream, [&](Result<void>) { event.set(); });
        io::real_env().wait(event, io::Worker::kForever);
        continue;
      }
      EXPECT_TRUE(appended) << appended.error().message;
      auto done = engine_->wait(appended->pending);
      EXPECT_TRUE(done) << done.error().message;
      return appended->first.value;
    }
  }
  std::vector<std::string> values(const StreamRef& stream, std::int64_t from = 0) {
    std::vector<std::string> values;
    for (;;) {
      auto fetched = engine_->fetch(stream, {from}, {.bytes_max = 4096});
      EXPECT_TRUE(fetched) << fetched.error().message;
      if (!fetched || fetched->next.value == from) return values;
      for (Bytes rest = fetched->bytes; !rest.empty();) {
        auto batch = record::BatchView::parse(rest);
        rest.remove_prefix(batch->bytes().size());
        auto records = record::RecordIterator::open(*batch);
        for (auto one = records->next(); one && *one; one = records->next()) {
          if ((*one)->offset >= from) values.emplace_back(*(*one)->value);
        }
      }
      from = fetched->next.value;
    }
  }

  std::filesystem::path root_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(EngineTest, keeps_what_was_appended_over_a_restart) {
  open();
  auto stream = create("orders");
  EXPECT_EQ(append(stream, "a"), 0);
  EXPECT_EQ(append(stream, "b"), 1);
  EXPECT_THAT(values(stream), testing::ElementsAre("a", "b"));
  engine_.reset();
  open();
  auto again = engine_->find("orders");
  ASSERT_TRUE(again);
  EXPECT_THAT(values(*again), testing::ElementsAre("a", "b"));
  EXPECT_EQ(append(*again, "c"), 2);
}

std::string batch_at(std::int64_t offset, std::int32_t epoch, Bytes value) {
  Record record{.value = value};
  return record::encode({&record, 1}, {.base_offset = offset, .epoch = epoch});
}

TEST_P(EngineTest, a_copy_begins_at_an_offset_and_keeps_epochs_over_a_restart) {
  open();
  auto stream = create("copy");
  ASSERT_TRUE(engine_->begin(stream, {1000}));
  auto copy = [&](std::int64_t offset, std::int32_t epoch, Bytes value) {
    auto bytes = batch_at(offset, epoch, value);
    return engine_->append_copy(stream, record::BatchView(bytes));
  };
  EXPECT_EQ(copy(0, 7, "early").error().code, Code::kMismatch);
  ASSERT_TRUE(copy(1000, 7, "a"));
  ASSERT_TRUE(copy(1001, 7, "b"));
  ASSERT_TRUE(engine_->truncate(stream, {1001}));
  auto last = copy(1001, 7, "c");  // the epoch of before the cut
  ASSERT_TRUE(last);
  ASSERT_TRUE(engine_->wait(last->pending));
  EXPECT_EQ(engine_->begin(stream, {2000}).error().code, Code::kExists);
  for (bool stored : {false, true}) {
    if (stored) ASSERT_TRUE(engine_->checkpoint());
    engine_.reset();
    open();
    stream = engine_->find("copy").value();
    EXPECT_THAT(values(stream, 1000), testing::ElementsAre("a", "c"));
    auto bounds = engine_->bounds(stream);
    EXPECT_EQ(bounds->log_start.value, 1000);
    EXPECT_EQ(bounds->log_end.value, 1002);
    EXPECT_EQ(bounds->epoch, 7);
  }
}

TEST_P(EngineTest, an_empty_stream_begins_anew_only_further_on) {
  open();
  auto stream = create("copy");
  ASSERT_TRUE(engine_->begin(stream, {50}));
  ASSERT_TRUE(engine_->begin(stream, {50}));
  EXPECT_EQ(engine_->begin(stream, {49}).error().code, Code::kOutOfRange);
  engine_.reset();
  open();
  EXPECT_EQ(engine_->bounds(engine_->find("copy").value())->log_end.value, 50);
}

TEST_P(EngineTest, a_log_that_was_closed_is_not_torn) {
  open();
  auto stream = create("orders");
  for (int i = 0; i < 3; ++i) append(stream, "value");
  EXPECT_FALSE(engine_->opened_torn());
  engine_.reset();
  open();
  EXPECT_FALSE(engine_->opened_torn());
}

TEST_P(EngineTest, wraps_its_journal_many_times) {
  open();
  auto stream = create("big", {.durability = {Durability::kOs}, .segment_records_max = 1000});
  auto quiet = create("quiet");
  std::string value(3000, 'x');
  constexpr int kRecords = 20'000;
  for (int i = 0; i < kRecords; ++i) {
    ASSERT_EQ(append(stream, value + std::to_string(i)), i);
    if (i % 1000 == 0) append(quiet, "q");
  }
  EXPECT_EQ(values(stream).size(), kRecords);
  auto segments = engine_->segments(stream);
  EXPECT_EQ(segments.size(), 20);
  for (const auto& segment : segments) EXPECT_EQ(segment.records, 1000);
  EXPECT_GT(engine_->metrics()["walrus_log_journal_recycles_total"], 3);
  engine_.reset();
  open();
  stream = *engine_->find("big");
  auto all = values(stream);
  ASSERT_EQ(all.size(), kRecords);
  for (int i = 0; i < kRecords; ++i) ASSERT_EQ(all[i], value + std::to_string(i));
  EXPECT_EQ(values(*engine_->find("quiet")).size(), 20);
}

TEST_P(EngineTest, opens_with_a_limit_below_what_its_journal_has) {
  auto roomy = options();
  roomy.user.journal_bytes_max = 256 << 20;
  roomy.journal_file_bytes_min = roomy.journal_file_bytes_max = 32 << 20;
  open(roomy);
  auto stream = create("s");
  append(stream, "before");
  stream.reset();
  ASSERT_TRUE(engine_->close());
  for (int round = 0; round < 2; ++round) {
    open();  // 16 MiB
    stream = *engine_->find("s");
    for (int i = 0; i < 40; ++i) append(stream, std::string(512 << 10, 'x'));
    stream.reset();
    ASSERT_TRUE(engine_->close());
  }
  open();
  EXPECT_EQ(values(*engine_->find("s")).size(), 81);
}

TEST_P(EngineTest, truncates_and_trims) {
  open();
  auto stream = create("t");
  for (int i = 0; i < 10; ++i) append(stream, std::to_string(i));
  ASSERT_TRUE(engine_->checkpoint());
  for (int i = 10; i < 20; ++i) append(stream, std::to_string(i));
  auto truncated = engine_->truncate(stream, {15});
  ASSERT_TRUE(truncated) << truncated.error().message;
  ASSERT_TRUE(engine_->wait(*truncated));
  truncated = engine_->truncate(stream, {5});
  ASSERT_TRUE(truncated) << truncated.error().message;
  ASSERT_TRUE(engine_->wait(*truncated));
  EXPECT_EQ(append(stream, "new"), 5);
  auto trimmed = engine_->trim(stream, {2});
  ASSERT_TRUE(trimmed);
  ASSERT_TRUE(engine_->wait(*trimmed));
  EXPECT_THAT(values(stream, 2), testing::ElementsAre("2", "3", "4", "new"));
  EXPECT_FALSE(engine_->fetch(stream, {1}, {}));
  engine_.reset();
  open();
  EXPECT_THAT(values(*engine_->find("t"), 2), testing::ElementsAre("2", "3", "4", "new"));
}

TEST_P(EngineTest, deals_streams_anew_when_the_shard_count_changes) {
  open();
  for (int i = 0; i < 7; ++i) append(create("s" + std::to_string(i)), std::to_string(i));
  engine_.reset();
  for (int shards : {3, 1, 2}) {
    auto changed = options();
    changed.user.shards = shards;
    open(changed);
    for (int i = 0; i < 7; ++i) {
      auto stream = engine_->find("s" + std::to_string(i));
      ASSERT_TRUE(stream);
      EXPECT_THAT(values(*stream), testing::Contains(std::to_string(i)));
      append(*stream, "again");
    }
    engine_.reset();
  }
  open();
  EXPECT_EQ(values(*engine_->find("s3")).size(), 4);
}

TEST_P(EngineTest, removed_streams_stay_removed_and_ids_are_not_reused) {
  open();
  auto first = create("a");
  append(first, "x");
  auto id = stream_id(first);
  auto removed = engine_->remove("a");
  ASSERT_TRUE(removed);
  ASSERT_TRUE(engine_->wait(*removed));
  EXPECT_FALSE(engine_->find("a"));
  engine_.reset();
  open();
  EXPECT_FALSE(engine_->find("a"));
  auto second = create("a");
  EXPECT_GT(stream_id(second), id);
  EXPECT_TRUE(values(second).empty());
}

TEST_P(EngineTest, refuses_a_directory_that_is_not_its_own) {
  std::filesystem::create_directories(root_);
  {
    std::ofstream(root_ / "notes.txt") << "mine";
  }
  auto engine = Engine::open(io::real_env(), options());
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, Code::kInvalid);
  EXPECT_THAT(engine.error().message, testing::HasSubstr("notes.txt"));
  EXPECT_FALSE(std::filesystem::exists(root_ / "LOCK"));
}

TEST_P(EngineTest, keeps_namespaces_apart) {
  open();
  create("of the root");
  engine_.reset();
  auto named = options();
  named.user.key = "shop/eu";
  open(named);
  EXPECT_EQ(engine_->find("of the root").error().code, Code::kNotFound);
  append(create("of the namespace"), "x");
  EXPECT_TRUE(std::filesystem::exists(root_ / "shop%2Feu" / "WALRUS"));
  engine_.reset();
  open();
  EXPECT_EQ(engine_->find("of the namespace").error().code, Code::kNotFound);
  EXPECT_TRUE(engine_->find("of the root"));
  named.user.key = std::string(10'000, 'k');
  auto refused = Engine::open(io::real_env(), named);
  EXPECT_EQ(refused.error().code, Code::kInvalid);
}

TEST_P(EngineTest, names_the_holder_of_a_locked_directory) {
  open();
  auto second = Engine::open(io::real_env(), options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kLocked);
  EXPECT_THAT(second.error().message, testing::HasSubstr(std::to_string(getpid())));
}

INSTANTIATE_TEST_SUITE_P(Journals, EngineTest, testing::Bool(),
                         [](const auto& one) { return one.param ? "mapped" : "written"; });

}  // namespace
}  // namespace walrus::log
