#include "broker/queue.h"

#include <gtest/gtest.h>

#include "io/sim/sim_world.h"

namespace walrus::broker {
namespace {

// An engine and a loop of one simulated node; calls that wait run the world.
class QueueTest : public testing::Test {
 protected:
  QueueTest() : world_(1), env_(&world_.node(0).env()) { open(); }
  ~QueueTest() override {
    queue_.reset();
    if (engine_) (void)engine_->close();
    loop_.reset();
  }

  void open() {
    log::EngineOptions options;
    options.user.root = "/data";
    options.user.shards = 1;
    options.user.journal_bytes_max = 1 << 20;
    options.user.batch_bytes_max = 64 << 10;
    options.user.in_flight_bytes_max = 256 << 10;
    options.journal_file_bytes_min = options.journal_file_bytes_max = 256 << 10;
    auto engine = log::Engine::open(*env_, options);
    ASSERT_TRUE(engine.has_value()) << engine.error().message;
    engine_ = std::move(*engine);
    loop_ = env_->make_loop();
    streams_.clear();
    for (const auto* name : {"t", "t/1"}) {
      auto found = engine_->find(name);
      if (!found) {
        auto created = engine_->create(name, {});
        ASSERT_TRUE(created.has_value());
        ASSERT_TRUE(engine_->wait(created->pending).has_value());
        found = created->stream;
      }
      streams_.push_back(*found);
    }
    std::vector<LogRef> logs;
    for (const auto& stream : streams_)
      logs.push_back(std::make_shared<LocalLog>(*engine_, stream, NodeId{1}));
    auto cursors = std::make_shared<TableCursors>(*engine_, streams_);
    auto queue = Queue::open(*env_, *loop_, cursors, logs);
    ASSERT_TRUE(queue.has_value()) << queue.error().message;
    queue_ = *queue;
  }
  void crash() {
    world_.node(0).crash(io::CrashKind::kPowerCut);
    queue_.reset();
    loop_.reset();
    engine_.reset();
    env_ = &world_.node(0).restart();
    open();
  }
  void put(std::size_t partition, Bytes value) {
    Record record{.value = value};
    auto appended = engine_->append(streams_[partition], {&record, 1}, {});
    ASSERT_TRUE(appended.has_value());
    ASSERT_TRUE(engine_->wait(appended->pending).has_value());
  }
  std::vector<Claim> take(std::size_t count, std::optional<std::size_t> partition = 0) {
    auto claims = block<std::vector<Claim>>(
        [this, partition, count] { return queue_->take(partition, {.records_max = count}); });
    EXPECT_TRUE(claims.has_value()) << claims.error().message;
    return claims ? std::move(*claims) : std::vector<Claim>();
  }
  static std::string values(const std::vector<Claim>& claims) {
    std::string text;
    for (const auto& claim : claims) text += claim.payload;
    return text;
  }
  void deliver(const std::vector<Claim>& claims) {
    std::vector<ClaimId> ids;
    for (const auto& claim : claims) ids.push_back({claim.partition, claim.offset});
    queue_->delivered(ids);
  }
  template <class T>
  Result<T> block(std::move_only_function<io::Task<T>()> make) {
    std::optional<Result<T>> result;
    loop_->spawn([](auto run, auto* to) -> boost::asio::awaitable<void> {
      to->emplace(co_await run());
    }(std::move(make), &result));
    world_.run_until([&] { return result.has_value(); }, std::chrono::seconds(60));
    return result ? std::move(*result) : Result<T>(fail(Code::kTimeout, "still waiting"));
  }
  Result<bool> settle() {
    return block<bool>([this] { return queue_->settle(0); });
  }

  io::World world_;
  io::Env* env_;
  std::unique_ptr<log::Engine> engine_;
  std::unique_ptr<io::Loop> loop_;
  std::vector<log::StreamRef> streams_;
  std::shared_ptr<Queue> queue_;
};

TEST_F(QueueTest, takes_in_order_and_no_record_twice) {
  for (auto* value : {"a", "b", "c"}) put(0, value);
  EXPECT_EQ(values(take(2)), "ab");
  EXPECT_EQ(values(take(2)), "c");
  EXPECT_TRUE(take(1).empty());
  put(0, "d");
  EXPECT_EQ(values(take(9)), "d");
}

TEST_F(QueueTest, restored_records_are_the_first_again_in_order) {
  for (auto* value : {"a", "b", "c", "d"}) put(0, value);
  auto first = take(1), rest = take(2);
  queue_->restore(std::move(rest));
  queue_->restore(std::move(first));
  EXPECT_EQ(values(take(9)), "abcd");
}

TEST_F(QueueTest, durable_position_stays_below_what_is_not_delivered) {
  for (auto* value : {"a", "b", "c"}) put(0, value);
  auto a = take(1), b = take(1), c = take(1);
  deliver(c);
  world_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(queue_->durable(0), Offset{0});
  deliver(a);
  world_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(queue_->durable(0), Offset{1});
  queue_->restore(std::move(b));
  crash();
  EXPECT_EQ(values(take(9)), "bc");
}

TEST_F(QueueTest, claims_of_a_crash_come_again) {
  for (auto* value : {"a", "b"}) put(0, value);
  deliver(take(1));
  EXPECT_TRUE(block<void>([this] { return queue_->flush(); }).has_value());
  EXPECT_EQ(values(take(1)), "b");
  crash();
  EXPECT_EQ(values(take(9)), "b");
}

TEST_F(QueueTest, settles_only_when_all_is_delivered_and_durable) {
  put(0, "a");
  auto claims = take(1);
  EXPECT_EQ(settle().error().code, Code::kTimeout);
  deliver(claims);
  EXPECT_EQ(settle().value(), true);
  EXPECT_EQ(queue_->durable(0), Offset{1});
  crash();
  EXPECT_TRUE(take(1).empty());
}

TEST_F(QueueTest, settle_gives_way_to_a_record_that_comes_back) {
  put(0, "a");
  queue_->restore(take(1));
  EXPECT_EQ(settle().value(), false);
  EXPECT_EQ(values(take(1)), "a");
}

TEST_F(QueueTest, settling_an_unchanged_cursor_costs_no_io) {
  put(0, "a");
  deliver(take(1));
  ASSERT_EQ(settle().value(), true);
  world_.run_for(std::chrono::minutes(1));  // marks and checkpoints that are still due
  auto operations = world_.node(0).operations();
  for (int i = 0; i < 10; ++i) ASSERT_EQ(settle().value(), true);
  EXPECT_EQ(world_.node(0).operations(), operations);
}

TEST_F(QueueTest, all_partitions_take_turns) {
  for (auto* value : {"a", "b", "c"}) put(0, value);
  for (auto* value : {"x", "y"}) put(1, value);
  EXPECT_EQ(values(take(9, std::nullopt)), "axbyc");
  EXPECT_TRUE(take(9, std::nullopt).empty());
}

TEST_F(QueueTest, takes_on_behind_records_that_were_trimmed) {
  for (auto* value : {"a", "b", "c"}) put(0, value);
  auto trimmed = engine_->trim(streams_[0], Offset{2});
  ASSERT_TRUE(trimmed.has_value());
  ASSERT_TRUE(engine_->wait(*trimmed).has_value());
  EXPECT_EQ(values(take(9)), "c");
}

TEST_F(QueueTest, waits_for_a_record_and_gives_up_in_time) {
  auto wait = [this](io::Nanos timeout) {
    return block<bool>([this, timeout] { return queue_->wait_available(0, timeout); });
  };
  EXPECT_EQ(wait(std::chrono::milliseconds(5)).value(), false);
  world_.at(world_.now() + std::chrono::milliseconds(10), [this] {
    Record record{.value = "late"};
    ASSERT_TRUE(engine_->append(streams_[0], {&record, 1}, {}).has_value());
  });
  EXPECT_EQ(wait(std::chrono::seconds(30)).value(), true);
  EXPECT_EQ(values(take(1)), "late");
}

TEST_F(QueueTest, stop_ends_waits) {
  world_.at(world_.now() + std::chrono::milliseconds(1),
            [this] { queue_->stop({Code::kClosed, "stopped"}); });
  auto waited = block<bool>([this] { return queue_->wait_available(0, std::chrono::hours(1)); });
  EXPECT_EQ(waited.error().code, Code::kClosed);
  auto taken = block<std::vector<Claim>>([this] { return queue_->take(0, {}); });
  EXPECT_EQ(taken.error().code, Code::kClosed);
}

}  // namespace
}  // namespace walrus::broker
