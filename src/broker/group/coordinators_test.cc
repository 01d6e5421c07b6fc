#include "broker/group/coordinators.h"

#include <gtest/gtest.h>

#include "io/sim/sim_world.h"

namespace walrus::broker {
namespace {

TEST(GroupPartitionTest, is_that_of_a_java_string) {
  // hashCode(): "" 0, "a" 97, "group" 98629247,
  // "polygenelubricants" the least int.
  EXPECT_EQ(group_partition("", 8), 0u);
  EXPECT_EQ(group_partition("a", 50), 97u % 50);
  EXPECT_EQ(group_partition("group", 50), 98629247u % 50);
  EXPECT_EQ(group_partition("polygenelubricants", 50), 0u);
}

TEST(GroupPartitionTest, counts_utf16_units) {
  EXPECT_EQ(group_partition("\xc3\xa9", 1000), 0xe9u % 1000);                       // U+00E9
  EXPECT_EQ(group_partition("\xe2\x82\xac", 100'000), 0x20acu);                     // U+20AC
  EXPECT_EQ(group_partition("\xf0\x9f\x98\x80", 1 << 30), 31 * 0xd83du + 0xde00u);  // U+1F600
}

TEST(GroupPartitionTest, takes_bytes_that_are_no_text) {
  EXPECT_EQ(group_partition("\xff", 100'000), 0xfffdu);
  EXPECT_EQ(group_partition("\xff\xff", 1 << 30), 31 * 0xfffdu + 0xfffdu);
}

// A journal in memory, which lets a test hold back what it is asked for.
struct Kept {
  std::vector<JournalRecord> records{};
  std::vector<log::Done<void>> waiting{};  // for the disk
  std::vector<log::Done<void>> loading{};
  bool slow = false, lost = false;
  int confirmed = 0;
};
class MemoryJournal final : public Journal {
 public:
  MemoryJournal(io::Loop& loop, std::shared_ptr<Kept> kept) : loop_(loop), kept_(std::move(kept)) {}
  io::Task<void> load(Apply apply) override {
    auto kept = kept_;
    if (kept->slow) {
      io::Signal signal(loop_);
      kept->loading.push_back(signal.setter());
      WALRUS_CO_TRY(co_await signal.wait());
    }
    for (const auto& one : kept->records)
      WALRUS_CO_TRY(apply(one.key, one.value ? std::optional<Bytes>(*one.value) : std::nullopt));
    co_return Result<void>();
  }
  Result<void> append(std::span<const JournalRecord> records, log::Done<void> done) override {
    if (kept_->lost) return fail(Code::kFenced, "another owner");
    kept_->records.insert(kept_->records.end(), records.begin(), records.end());
    if (kept_->slow) kept_->waiting.push_back(std::move(done));
    else done({});
    return {};
  }
  void when_room(log::Done<void> done) override { done({}); }
  io::Task<void> confirm() override {
    ++kept_->confirmed;
    if (kept_->lost) co_return fail(Code::kFenced, "another owner");
    co_return Result<void>();
  }
  std::int64_t now_ms() override { return 1'000'000; }

 private:
  io::Loop& loop_;
  std::shared_ptr<Kept> kept_;  // shared with the test, and with the next owner
};

class CoordinatorsTest : public testing::Test {
 protected:
  CoordinatorsTest() : world_(1), loop_(world_.node(0).env().make_loop()) {
    options_.initial_delay = GroupTime(0);
    coordinators_ =
        std::make_shared<Coordinators>(world_.node(0).env(), *loop_, options_, kPartitions);
  }
  ~CoordinatorsTest() override {
    coordinators_->stop();
    world_.run_for(std::chrono::seconds(1));
    loop_.reset();
  }
  void begin(std::size_t partition, Coordinators::Load load = Coordinators::Load::kAtOnce) {
    coordinators_->begin(partition, std::make_unique<MemoryJournal>(*loop_, kept_), load);
  }
  // A group of partition `partition`.
  static std::string group_of(std::size_t partition) {
    for (int i = 0;; ++i) {
      auto name = "g" + std::to_string(i);
      if (group_partition(name, kPartitions) == partition) return name;
    }
  }
  template <class T>
  using Answer = std::shared_ptr<std::optional<Result<T>>>;
  template <class T, class... P>
  Answer<T> ask(io::Task<T> (Groups::*method)(std::string, P...), std::string group,
                std::type_identity_t<P>... arguments) {
    auto answer = std::make_shared<std::optional<Result<T>>>();
    loop_->spawn([](io::Task<T> task, Answer<T> to) -> boost::asio::awaitable<void> {
      to->emplace(co_await std::move(task));
    }(coordinators_->ask(*loop_, method, std::move(group), std::move(arguments)...), answer));
    world_.run_for(std::chrono::milliseconds(1));
    return answer;
  }
  template <class T>
  static Code code(const Answer<T>& answer) {
    if (!*answer) return Code::kTimeout;
    return (*answer)->has_value() ? Code{} : (*answer)->error().code;
  }
  Answer<GroupError> commit(const std::string& group, std::int64_t offset) {
    return ask(&Groups::commit, group, MemberEvent{},
               std::vector<CommittedOffset>{{.topic = "t", .offset = offset}});
  }
  std::int64_t committed(const std::string& group) {
    auto answer = ask(&Groups::committed, group);
    if (!*answer || !**answer || (**answer)->empty()) return -1;
    return (**answer)->at(0).offset;
  }
  static JoinEvent join_event() {
    return {.session_timeout = std::chrono::seconds(10),
            .rebalance_timeout = std::chrono::seconds(10),
            .protocol_type = "consumer",
            .protocols = {{"range", "m"}}};
  }

  static constexpr std::size_t kPartitions = 4;
  io::World world_;
  std::unique_ptr<io::Loop> loop_;
  GroupOptions options_;
  std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
  std::shared_ptr<Coordinators> coordinators_;
};

TEST_F(CoordinatorsTest, a_group_elsewhere_is_not_answered_for) {
  begin(1);
  EXPECT_EQ(code(commit(group_of(0), 5)), Code::kFenced);
  EXPECT_TRUE(kept_->records.empty());
  EXPECT_EQ(*commit(group_of(1), 5)->value(), GroupError::kNone);
}

TEST_F(CoordinatorsTest, who_asks_while_it_reads_is_told_so) {
  kept_->slow = true;
  begin(1);
  EXPECT_EQ(code(commit(group_of(1), 5)), Code::kBusy);
  auto waits = ask(&Groups::heartbeat, group_of(1), MemberEvent{});
  EXPECT_EQ(code(waits), Code::kBusy);
  kept_->slow = false;
  kept_->loading.at(0)({});
  world_.run_for(std::chrono::milliseconds(1));
  EXPECT_EQ(*commit(group_of(1), 5)->value(), GroupError::kNone);
}

TEST_F(CoordinatorsTest, the_next_coordinator_goes_on_where_the_last_one_was) {
  auto group = group_of(2);
  begin(2);
  commit(group, 5);
  coordinators_->end(2);
  EXPECT_EQ(code(commit(group, 6)), Code::kFenced);
  begin(2);
  EXPECT_EQ(committed(group), 5);
}

TEST_F(CoordinatorsTest, members_that_wait_hear_of_the_loss) {
  auto group = group_of(0);
  begin(0);
  auto first = join_event();
  auto joined = ask(&Groups::join, group, first);
  ASSERT_TRUE(joined->has_value() && (*joined)->has_value());
  // A second one waits until the first joins again.
  auto waits = ask(&Groups::join, group, join_event());
  ASSERT_EQ(code(waits), Code::kTimeout);
  coordinators_->end(0);
  world_.run_for(std::chrono::milliseconds(1));
  EXPECT_EQ(code(waits), Code::kFenced);
}

TEST_F(CoordinatorsTest, a_commit_under_way_is_not_answered_as_done) {
  auto group = group_of(0);
  begin(0);
  commit(group, 1);
  kept_->slow = true;
  auto waits = commit(group, 2);
  ASSERT_EQ(code(waits), Code::kTimeout);
  coordinators_->end(0);
  kept_->waiting.at(0)(fail(Code::kFenced, "another owner"));
  world_.run_for(std::chrono::milliseconds(1));
  EXPECT_EQ(code(waits), Code::kFenced);
}

TEST_F(CoordinatorsTest, offsets_are_read_only_where_they_are_current) {
  auto group = group_of(0);
  begin(0);
  commit(group, 7);
  EXPECT_EQ(committed(group), 7);
  EXPECT_EQ(kept_->confirmed, 1);
  kept_->lost = true;
  EXPECT_EQ(code(ask(&Groups::committed, group)), Code::kFenced);
  EXPECT_EQ(code(commit(group, 8)), Code::kFenced);
}

TEST_F(CoordinatorsTest, lists_what_it_coordinates) {
  begin(0);
  begin(3);
  auto a = group_of(0), b = group_of(3);
  commit(b, 1);
  commit(a, 1);
  auto listed = std::make_shared<std::optional<Result<std::vector<GroupSummary>>>>();
  loop_->spawn([](auto task, auto to) -> boost::asio::awaitable<void> {
    to->emplace(co_await std::move(task));
  }(coordinators_->list(*loop_), listed));
  world_.run_for(std::chrono::milliseconds(1));
  ASSERT_TRUE(*listed && **listed);
  EXPECT_EQ((**listed)->size(), 2u);
  EXPECT_TRUE(std::ranges::is_sorted(***listed, {}, &GroupSummary::id));
}

TEST_F(CoordinatorsTest, stop_ends_everything) {
  begin(0);
  coordinators_->stop();
  EXPECT_EQ(code(commit(group_of(0), 1)), Code::kClosed);
}

}  // namespace
}  // namespace walrus::broker
