// GET's promise on a simulated server that is killed and cut off from power: nothing acknowledged
// is skipped, nothing comes again after EMPTY, what comes again was answered since the last sync.

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "server/sim_server.h"

namespace walrus::server {
namespace {

// What one producer and one consumer may see; the latter sends some requests at a time.
class QueueModel {
 public:
  void put_acked(const std::string& value) { acked_.push_back(value); }
  void put_unknown(const std::string& value) { unknown_.insert(value); }
  void crashed() {
    crashed_ = true;
    seen_.clear();
  }
  // The reply to a GET was lost: its record may have been handed over, or will come again.
  void get_failed() { ++lost_; }

  void got(const std::string& value) {
    if (unknown_.contains(value)) {  // it was stored, although nobody was told
      ASSERT_TRUE(seen_.insert(value).second) << value << " came twice without a crash";
      ASSERT_FALSE(settled_.contains(value)) << value << " came again after EMPTY";
      return;
    }
    auto found = std::ranges::find(acked_, value);
    ASSERT_NE(found, acked_.end()) << "a value that nobody put: " << value;
    auto at = static_cast<std::size_t>(found - acked_.begin());
    // Handed back by a connection that broke, after a later one had been taken on the next.
    if (late_.erase(at) > 0) return;
    if (at >= next_) {
      for (auto i = next_; i < at; ++i) late_.insert(i);
      ASSERT_LE(at - next_, lost_) << value << " came, " << acked_[next_] << " was skipped";
    } else {
      ASSERT_TRUE(crashed_) << value << " came twice without a crash";
      ASSERT_GE(at, floor_) << value << " came again although EMPTY had been answered";
    }
    next_ = at + 1;
    settle();
  }
  void got_empty() {
    ASSERT_LE(acked_.size() - next_, lost_) << "EMPTY, but " << acked_[next_] << " never came";
    next_ = floor_ = acked_.size();
    late_.clear();
    settled_.insert(seen_.begin(), seen_.end());
    settle();
  }
  std::size_t acked() const { return acked_.size(); }

 private:
  void settle() {
    lost_ = 0;
    crashed_ = false;
  }
  std::vector<std::string> acked_;
  std::set<std::string> unknown_;
  std::set<std::string> seen_;     // of the unknown, since the last crash
  std::set<std::string> settled_;  // of the unknown, before EMPTY
  std::set<std::size_t> late_;
  std::size_t next_ = 0;   // index of the record that is due
  std::size_t floor_ = 0;  // nothing below comes again
  std::size_t lost_ = 0;
  bool crashed_ = false;
};

class QueueRun : private SimServer {
 public:
  QueueRun(std::uint64_t seed, const Faults& faults)
      : SimServer(seed, {.reset = faults.reset}), faults_(faults) {
    use_tiny_journals();
  }
  ~QueueRun() { client_.reset(); }

  void go(int operations) {
    start();
    for (int i = 0; i < operations && !testing::Test::HasFatalFailure(); ++i) {
      if (world_.random() % 25 == 0)
        world_.node(0).crash_after_ops(1 + world_.random() % 60, faults_.crash);
      if (world_.random() % 2 == 0) put(fmt::format("{}", i));
      else get();
    }
    world_.node(0).crash_after_ops(0, faults_.crash);
    world_.network().set_all_links({});
    bool empty = false;
    for (int i = 0; !empty && i < 10 * operations && !testing::Test::HasFatalFailure(); ++i)
      empty = get();
    EXPECT_TRUE(empty);
    // Drained and told so: a crash brings nothing back.
    world_.node(0).crash(faults_.crash);
    restart();
    EXPECT_TRUE(get());
  }
  std::int64_t crashes() const { return crashes_; }
  std::size_t acked() const { return model_.acked(); }

 private:
  void start() {
    start_server();
    if (server_) connect();
  }
  void restart() {
    client_.reset();
    model_.crashed();
    restart_server();
    if (server_) connect();
  }
  void connect() {
    client_ = std::make_unique<TestClient>(loop_, options_.native.listen, Connect::kMayFail);
    if (client_->connected() && client_->ask("REGISTER t") == "OK") return;
    broken();
  }
  // The connection has ended: reset, or the server died.
  void broken() {
    if (world_.node(0).crashed()) restart();
    else connect();
  }
  void put(const std::string& value) {
    auto reply = client_->ask("PUT t " + value);
    if (reply == "OK") return model_.put_acked(value);
    model_.put_unknown(value);
    broken();
  }
  // Some requests in one piece; true: the last answer was EMPTY.
  bool get() {
    auto count = 1 + world_.random() % 6;
    std::string burst;
    for (std::uint64_t i = 0; i < count; ++i) wire::native::append_frame(burst, "GET t");
    (void)client_->send(burst);
    bool empty = false;
    for (std::uint64_t i = 0; i < count; ++i) {
      auto reply = client_->reply();
      if (!reply || reply->starts_with("ERR")) {
        for (; i < count; ++i) model_.get_failed();
        broken();
        return false;
      }
      empty = *reply == "EMPTY";
      if (empty) model_.got_empty();
      else model_.got(reply->substr(3));
    }
    return empty;
  }

  Faults faults_;
  std::unique_ptr<TestClient> client_;
  QueueModel model_;
};

class ServerSimTest : public testing::TestWithParam<Faults> {};

TEST_P(ServerSimTest, get_skips_nothing_and_repeats_nothing_after_empty) {
  constexpr std::uint64_t kSeeds = 200;
  std::int64_t crashes = 0;
  std::size_t acked = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    QueueRun run(seed, GetParam());
    run.go(100);
    crashes += run.crashes();
    acked += run.acked();
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
  std::printf("%llu seeds, %lld crashes, %zu records acknowledged\n",
              static_cast<unsigned long long>(kSeeds), static_cast<long long>(crashes), acked);
  EXPECT_GE(crashes, static_cast<std::int64_t>(kSeeds));
  EXPECT_GE(acked, kSeeds * 20);
}

INSTANTIATE_TEST_SUITE_P(, ServerSimTest, kEachFault, fault_name);

// Without faults but those that the test asks for.
class StorageTest : public testing::Test, protected SimServer {
 protected:
  StorageTest() {
    options_.disk_free_bytes_min = 1 << 20;
    start_server();
  }
};

TEST_F(StorageTest, failed_sync_ends_the_server_and_acknowledges_nothing) {
  ASSERT_NE(server_, nullptr);
  TestClient client(loop_, server_->native_address());
  EXPECT_EQ(client.ask("REGISTER t"), "OK");
  EXPECT_EQ(client.ask("PUT t a"), "OK");
  world_.node(0).disk().options().faults.sync_error = 1;
  EXPECT_EQ(client.ask("PUT t b"), "ERR storage failed");
  EXPECT_EQ(client.ask("PUT t c"), "ERR storage failed");
  auto ended = server_->wait();
  ASSERT_FALSE(ended.has_value());
  EXPECT_EQ(ended.error().code, Code::kIo);
  client.close();
}

TEST_F(StorageTest, an_answer_does_not_wait_for_what_came_behind_its_request) {
  ASSERT_NE(server_, nullptr);
  TestClient client(loop_, server_->native_address());
  EXPECT_EQ(client.ask("REGISTER t"), "OK");
  auto& faults = world_.node(0).disk().options().faults;
  faults.slow_sync = 1;
  faults.slow_min = faults.slow_max = std::chrono::milliseconds(100);
  auto put = [&](Bytes value) {
    std::string frame;
    wire::native::append_frame(frame, fmt::format("PUT t {}", value));
    ASSERT_TRUE(client.send(frame));
  };
  auto begun = world_.now();
  put("a");
  world_.run_for(std::chrono::milliseconds(50));
  put("b");  // of the next sync
  EXPECT_EQ(client.reply(), "OK");
  EXPECT_LT(world_.now() - begun, std::chrono::milliseconds(150));
  EXPECT_EQ(client.reply(), "OK");
  EXPECT_GE(world_.now() - begun, std::chrono::milliseconds(200));
  faults.slow_sync = 0;
  client.close();
}

TEST_F(StorageTest, appends_stop_below_the_watermark_and_go_on_above_it) {
  ASSERT_NE(server_, nullptr);
  TestClient client(loop_, server_->native_address());
  EXPECT_EQ(client.ask("REGISTER t"), "OK");
  auto& disk = world_.node(0).disk().options();
  auto capacity = disk.capacity_bytes;
  disk.capacity_bytes = 0;
  world_.run_for(std::chrono::seconds(2));
  EXPECT_EQ(client.ask("PUT t a"), "ERR storage full");
  EXPECT_EQ(client.ask("GET t"), "EMPTY");
  disk.capacity_bytes = capacity;
  world_.run_for(std::chrono::seconds(2));
  EXPECT_EQ(client.ask("PUT t a"), "OK");
  client.close();
}

}  // namespace
}  // namespace walrus::server
