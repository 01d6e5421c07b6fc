#include "broker/log_journal.h"

#include <gtest/gtest.h>

#include "base/check.h"

#include "broker/cursor_keeper.h"
#include "broker/shared_log.h"
#include "io/sim/sim_world.h"

namespace walrus::broker {
namespace {

using Values = std::map<std::string, std::string>;

class LogJournalTest : public testing::Test {
 protected:
  LogJournalTest() : world_(1), loop_(world_.node(0).env().make_loop()) {
    log::EngineOptions options;
    options.user.root = "/data";
    options.user.shards = 1;
    auto engine = log::Engine::open(world_.node(0).env(), options);
    CHECK(engine.has_value());
    engine_ = std::move(*engine);
  }
  ~LogJournalTest() override {
    owners_.clear();
    world_.run_for(std::chrono::seconds(1));
    (void)engine_->close();
    loop_.reset();
  }

  struct Owner {
    std::shared_ptr<SharedLog> log{};
    std::unique_ptr<LogJournal> journal{};
    Values values{};  // as it read them
    bool lost = false;
  };
  Owner& own() {
    auto& owner = *owners_.emplace_back(std::make_unique<Owner>());
    owner.log = std::make_shared<SharedLog>(*loop_, records_);
    owner.journal = std::make_unique<LogJournal>(*engine_, *loop_, owner.log, options_,
                                                 [&owner] { owner.lost = true; });
    return owner;
  }
  Result<void> load(Owner& owner) {
    return block([&owner] {
      return owner.journal->load([&owner](Bytes key, std::optional<Bytes> value) -> Result<void> {
        if (value) owner.values[std::string(key)] = *value;
        else owner.values.erase(std::string(key));
        return {};
      });
    });
  }
  Owner& loaded() {
    auto& owner = own();
    EXPECT_TRUE(load(owner).has_value());
    return owner;
  }
  Result<void> block(std::function<io::Task<void>()> make) {
    auto result = std::make_shared<std::optional<Result<void>>>();
    loop_->spawn([](auto run, auto to) -> boost::asio::awaitable<void> {
      to->emplace(co_await run());
    }(make, result));
    world_.run_until([&] { return result->has_value(); }, std::chrono::seconds(10));
    return *result ? **result : Result<void>(fail(Code::kTimeout, "still waiting"));
  }
  Result<void> confirm(Owner& owner) {
    return block([&owner] { return owner.journal->confirm(); });
  }
  // What became of an append, as soon as it is known.
  using Answer = std::shared_ptr<std::optional<Result<void>>>;
  static Answer append(Owner& owner, const std::string& key, std::optional<std::string> value) {
    auto answer = std::make_shared<std::optional<Result<void>>>();
    JournalRecord record{.key = key, .value = std::move(value)};
    auto taken = owner.journal->append(
        {&record, 1}, [answer](Result<void> result) { answer->emplace(std::move(result)); });
    if (!taken) answer->emplace(std::move(taken));
    return answer;
  }
  Result<void> put(Owner& owner, const std::string& key, std::optional<std::string> value) {
    auto answer = append(owner, key, std::move(value));
    world_.run_until([&] { return answer->has_value(); }, std::chrono::seconds(10));
    return *answer ? **answer : Result<void>(fail(Code::kTimeout, "still waiting"));
  }
  void pass() { world_.run_for(std::chrono::milliseconds(1)); }
  static Code code(const Result<void>& result) { return result ? Code{} : result.error().code; }

  io::World world_;
  std::unique_ptr<log::Engine> engine_;
  std::unique_ptr<io::Loop> loop_;
  LogJournalOptions options_{};
  std::shared_ptr<SharedRecords> records_ = std::make_shared<SharedRecords>();
  std::vector<std::unique_ptr<Owner>> owners_;
};

TEST_F(LogJournalTest, the_next_owner_reads_what_the_last_one_wrote) {
  auto& first = loaded();
  EXPECT_TRUE(put(first, "a", "1"));
  EXPECT_TRUE(put(first, "b", "2"));
  EXPECT_TRUE(put(first, "a", "3"));
  EXPECT_TRUE(put(first, "b", std::nullopt));
  EXPECT_EQ(loaded().values, (Values{{"a", "3"}}));
}

TEST_F(LogJournalTest, an_owner_that_was_followed_writes_nothing_more) {
  auto& first = loaded();
  ASSERT_TRUE(put(first, "a", "1"));
  auto& second = loaded();
  ASSERT_TRUE(put(second, "a", "2"));
  EXPECT_EQ(code(put(first, "a", "3")), Code::kFenced);
  pass();
  EXPECT_TRUE(first.lost);
  EXPECT_EQ(code(put(first, "a", "4")), Code::kFenced);
  EXPECT_FALSE(second.lost);
  EXPECT_EQ(loaded().values, (Values{{"a", "2"}}));
}

TEST_F(LogJournalTest, an_owner_that_was_followed_confirms_nothing_more) {
  auto& first = loaded();
  ASSERT_TRUE(put(first, "a", "1"));
  EXPECT_TRUE(confirm(first));
  auto& second = loaded();
  EXPECT_TRUE(confirm(first)) << "nothing was written since: what it knows is current";
  ASSERT_TRUE(put(second, "b", "2"));
  EXPECT_EQ(code(confirm(first)), Code::kFenced);
  EXPECT_TRUE(confirm(second));
}

TEST_F(LogJournalTest, an_append_that_may_have_been_made_loses_the_journal) {
  auto& first = loaded();
  first.log->fails = true;
  EXPECT_EQ(code(put(first, "a", "1")), Code::kFenced);
  pass();
  EXPECT_TRUE(first.lost);
  EXPECT_EQ(loaded().values, (Values{{"a", "1"}})) << "it was made here";
}

TEST_F(LogJournalTest, what_waits_behind_a_lost_append_is_answered) {
  auto& first = loaded();
  first.log->silent = true;
  auto under_way = append(first, "a", "1");
  pass();
  auto behind = append(first, "b", "2");
  auto& second = loaded();
  ASSERT_TRUE(put(second, "c", "3"));
  EXPECT_FALSE(behind->has_value());
  first.log->answer();
  pass();
  first.log->answer();
  pass();
  ASSERT_TRUE(under_way->has_value() && behind->has_value());
  EXPECT_TRUE(**under_way) << "it was stored before the other one";
  EXPECT_EQ(code(**behind), Code::kFenced);
}

TEST_F(LogJournalTest, what_comes_meanwhile_goes_in_one_batch) {
  auto& first = loaded();
  first.log->silent = true;
  std::vector<Answer> answers;
  for (auto key : {"a", "b", "c", "d"}) {
    answers.push_back(append(first, key, "1"));
    pass();
  }
  first.log->silent = false;
  first.log->answer();
  pass();
  for (const auto& one : answers) EXPECT_TRUE(*one && **one);
  EXPECT_EQ(records_->batches.size(), 2u);
}

TEST_F(LogJournalTest, waits_for_room_in_the_log) {
  auto& first = loaded();
  first.log->full = true;
  auto waits = append(first, "a", "1");
  pass();
  EXPECT_FALSE(waits->has_value());
  first.log->full = false;
  for (auto& one : std::exchange(first.log->room, {})) one({});
  pass();
  EXPECT_TRUE(*waits && **waits);
}

TEST_F(LogJournalTest, refuses_what_it_has_no_room_for) {
  options_.queue_bytes_max = 100;
  options_.append_bytes_max = 200;
  auto& first = loaded();
  first.log->silent = true;
  EXPECT_EQ(code(put(first, "a", std::string(300, 'x'))), Code::kTooLarge);
  auto under_way = append(first, "a", std::string(80, 'x'));
  pass();
  auto waits = append(first, "b", std::string(80, 'x'));
  EXPECT_FALSE(waits->has_value());
  EXPECT_EQ(code(**append(first, "c", std::string(80, 'x'))), Code::kBusy);
  bool room = false;
  first.journal->when_room([&room](const Result<void>&) { room = true; });
  EXPECT_FALSE(room);
  first.log->answer();
  pass();
  EXPECT_TRUE(room);
}

TEST_F(LogJournalTest, a_log_that_nobody_leads_can_be_read_again) {
  auto& first = own();
  first.log->confirm_error = Code::kBusy;
  EXPECT_EQ(code(load(first)), Code::kBusy);
  first.log->confirm_error = Code{};
  EXPECT_TRUE(load(first));
  EXPECT_TRUE(put(first, "a", "1"));
  EXPECT_FALSE(first.lost);
}

TEST_F(LogJournalTest, stays_small_and_keeps_the_last_of_each_key) {
  options_.waste_records_min = 50;
  auto& first = loaded();
  ASSERT_TRUE(put(first, "old", "kept"));
  ASSERT_TRUE(put(first, "gone", "1"));
  ASSERT_TRUE(put(first, "gone", std::nullopt));
  for (int i = 0; i < 1'000; ++i)
    ASSERT_TRUE(put(first, "k" + std::to_string(i % 5), fmt::format("{}", i)));
  EXPECT_GT(records_->trims, 100);
  EXPECT_LT(records_->log_end - records_->log_start, 100);
  Values expected{{"old", "kept"}};
  for (int i = 995; i < 1'000; ++i) expected["k" + std::to_string(i % 5)] = fmt::format("{}", i);
  EXPECT_EQ(loaded().values, expected);
  EXPECT_FALSE(first.lost);
}

// ---------------------------------------------------------------------------------------------

class CursorKeeperTest : public LogJournalTest {
 protected:
  std::shared_ptr<CursorKeeper> keep(bool open = true) {
    auto keeper = std::make_shared<CursorKeeper>(std::make_unique<LogJournal>(
        *engine_, *loop_, std::make_shared<SharedLog>(*loop_, records_), options_, [] {}));
    if (open) EXPECT_TRUE(block([keeper] { return keeper->open(); }));
    return keeper;
  }
  Result<void> put(const std::shared_ptr<Cursors>& cursors, std::size_t partition, Bytes reader,
                   Offset position) {
    return block(
        [&] { return put_durably(*loop_, cursors, partition, std::string(reader), position); });
  }
  static Uuid topic(char number) {
    Uuid id;
    id.bytes[15] = number;
    return id;
  }
};

TEST_F(CursorKeeperTest, keeps_positions_by_topic_partition_and_reader) {
  auto first = keep();
  auto cursors = first->cursors(topic(1));
  EXPECT_EQ(cursors->get(0, "a").value(), std::nullopt);
  EXPECT_TRUE(put(cursors, 0, "a", Offset{5}));
  EXPECT_TRUE(put(cursors, 1, "a", Offset{6}));
  EXPECT_TRUE(put(cursors, 0, "b", Offset{7}));
  EXPECT_TRUE(put(first->cursors(topic(2)), 0, "a", Offset{8}));
  auto again = keep();
  EXPECT_EQ(again->cursors(topic(1))->get(0, "a").value(), Offset{5});
  EXPECT_EQ(again->cursors(topic(1))->get(1, "a").value(), Offset{6});
  EXPECT_EQ(again->cursors(topic(1))->get(0, "b").value(), Offset{7});
  EXPECT_EQ(again->cursors(topic(2))->get(0, "a").value(), Offset{8});
}

TEST_F(CursorKeeperTest, positions_of_topics_that_are_gone_are_forgotten) {
  auto first = keep();
  ASSERT_TRUE(put(first->cursors(topic(1)), 0, "a", Offset{5}));
  ASSERT_TRUE(put(first->cursors(topic(2)), 0, "a", Offset{6}));
  first->forget([](const Uuid& id) { return id == topic(1); });
  pass();
  EXPECT_EQ(first->cursors(topic(1))->get(0, "a").value(), std::nullopt);
  auto again = keep();
  EXPECT_EQ(again->cursors(topic(1))->get(0, "a").value(), std::nullopt);
  EXPECT_EQ(again->cursors(topic(2))->get(0, "a").value(), Offset{6});
}

TEST_F(CursorKeeperTest, answers_only_while_it_keeps_them) {
  auto keeper = keep(false);
  auto cursors = keeper->cursors(topic(1));
  EXPECT_EQ(cursors->get(0, "a").error().code, Code::kBusy);
  ASSERT_TRUE(block([keeper] { return keeper->open(); }));
  EXPECT_TRUE(block([cursors] { return cursors->confirm(); }));
  keeper->stop();
  EXPECT_EQ(cursors->get(0, "a").error().code, Code::kFenced);
  EXPECT_EQ(code(put(cursors, 0, "a", Offset{1})), Code::kFenced);
  EXPECT_EQ(code(block([cursors] { return cursors->confirm(); })), Code::kFenced);
}

TEST_F(CursorKeeperTest, an_older_owner_does_not_move_a_cursor_back) {
  auto older = keep(), newer = keep();
  auto theirs = newer->cursors(topic(1)), ours = older->cursors(topic(1));
  ASSERT_TRUE(put(theirs, 0, "a", Offset{9}));
  EXPECT_EQ(code(put(ours, 0, "a", Offset{2})), Code::kFenced);
  EXPECT_EQ(keep()->cursors(topic(1))->get(0, "a").value(), Offset{9});
}

TEST(CursorRecordTest, has_these_bytes) {
  CursorKey key{.partition = 258, .reader = "billing"};
  key.topic.bytes[0] = 'T';
  auto bytes = encode_cursor_key(key);
  EXPECT_EQ(bytes, Bytes("cT\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2\1\0\0billing", 28));
  EXPECT_EQ(decode_cursor_key(bytes).value(), key);
  EXPECT_EQ(encode_cursor_value(Offset{513}), Bytes("\1\1\2\0\0\0\0\0\0", 9));
  EXPECT_EQ(decode_cursor_value(Bytes("\1\1\2\0\0\0\0\0\0", 9)).value(), Offset{513});
}

TEST(CursorRecordTest, refuses_other_bytes) {
  EXPECT_EQ(decode_cursor_key("").error().code, Code::kCorrupt);
  EXPECT_EQ(decode_cursor_key("cshort").error().code, Code::kCorrupt);
  EXPECT_EQ(decode_cursor_key(std::string(40, 'x')).error().code, Code::kCorrupt);
  EXPECT_EQ(decode_cursor_value("").error().code, Code::kCorrupt);
  EXPECT_EQ(decode_cursor_value(Bytes("\1\1\2", 3)).error().code, Code::kCorrupt);
  EXPECT_EQ(decode_cursor_value(Bytes("\2\1\2\0\0\0\0\0\0", 9)).error().code, Code::kVersion);
  EXPECT_EQ(decode_cursor_value(Bytes("\1\1\2\0\0\0\0\0\xff", 9)).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace walrus::broker
