// Whole servers that are one cluster, in a simulated world.

#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "server/sim_cluster.h"

namespace walrus::server {
namespace {

using namespace std::chrono_literals;

TEST(ClusterSimTest, made_at_one_written_at_another_read_at_the_third) {
  SimCluster cluster(1, 3);
  cluster.start();
  auto one = cluster.client(1), two = cluster.client(2), three = cluster.client(3);
  EXPECT_EQ(one.ask("CREATE t replication_factor=3"), "OK");
  EXPECT_EQ(two.ask("APPEND t hello"), "OK 0");
  EXPECT_EQ(three.ask("APPEND t world"), "OK 1");
  for (auto* client : {&one, &two, &three}) {
    auto read = client->ask("READ t 0");
    EXPECT_TRUE(read.starts_with("OK 2 2\n")) << read;
    EXPECT_TRUE(read.contains("hello") && read.contains("world")) << read;
  }
  EXPECT_EQ(three.ask("PUT nothing x"), "ERR unknown topic nothing");
  EXPECT_EQ(two.ask("CREATE t"), "ERR topic exists t");
}

// One connection to a node that leads nothing: a burst keeps its order, each is answered.
TEST(ClusterSimTest, pipelined_appends_keep_their_order_through_another_node) {
  SimCluster cluster(2, 3);
  cluster.start();
  auto maker = cluster.client(1);
  ASSERT_EQ(maker.ask("CREATE t replication_factor=3"), "OK");
  ASSERT_EQ(maker.ask("APPEND t first"), "OK 0");
  auto other = 1 + cluster.leader(1, "t") % 3;
  auto client = cluster.client(other);
  constexpr int kCount = 3'000;
  for (int i = 1; i <= kCount; ++i)
    ASSERT_TRUE(client.send_frame(fmt::format("APPEND t {}", i)).has_value());
  for (int i = 1; i <= kCount; ++i) ASSERT_EQ(client.reply(), fmt::format("OK {}", i));
}

// All records of a topic: value by offset. A reply ends where a segment does.
std::map<std::int64_t, std::string> all_of(TestClient& client, const std::string& topic) {
  std::map<std::int64_t, std::string> records;
  for (std::int64_t next = 0;;) {
    auto reply = client.ask(fmt::format("READ {} {} 1000000", topic, next));
    std::istringstream lines(reply);
    std::string ok, value;
    std::size_t count = 0;
    lines >> ok >> count >> next;
    EXPECT_EQ(ok, "OK") << reply.substr(0, 80);
    if (count == 0) return records;
    for (std::int64_t offset, time, bytes; count > 0; --count) {
      EXPECT_TRUE(lines >> offset >> time >> bytes >> value) << reply.substr(0, 80);
      EXPECT_TRUE(records.emplace(offset, value).second) << offset << " twice";
    }
  }
}

std::size_t controller(SimCluster& cluster) {
  for (std::size_t n = 1; n <= cluster.size(); ++n)
    if (cluster.runs(n) && cluster.server(n).cluster()->member()->status().leads) return n;
  return 0;
}

// Its partitions change hands at once; behind one connection none of them waits for the others.
TEST(ClusterSimTest, hundreds_of_partitions_go_on_together_behind_one_connection) {
  constexpr int kPartitions = 240;
  SimCluster cluster(3, 3);
  cluster.start();
  {
    auto maker = cluster.client(1);
    ASSERT_EQ(maker.ask(fmt::format("CREATE t partitions={} replication_factor=3", kPartitions)),
              "OK");
    for (int p = 0; p < kPartitions; ++p)
      ASSERT_TRUE(maker.send_frame(fmt::format("APPEND t/{} first", p)).has_value());
    for (int p = 0; p < kPartitions; ++p) ASSERT_EQ(maker.reply(), "OK 0");
    // So that every reply can be told from that of another partition.
    for (int p = 0; p < kPartitions; ++p)
      for (int more = 0; more < p % 7; ++more)
        ASSERT_TRUE(maker.send_frame(fmt::format("APPEND t/{} more", p)).has_value());
    for (int p = 0; p < kPartitions; ++p)
      for (int more = 0; more < p % 7; ++more)
        ASSERT_EQ(maker.reply(), fmt::format("OK {}", 1 + more));
  }
  const auto dead = controller(cluster);
  const auto through = 1 + dead % 3;
  auto client = cluster.client(through);
  cluster.kill(dead);
  const auto begun = cluster.world().now();
  // More than may be under way at one node: what waits for its turn there does not wait for ever.
  constexpr int kRounds = 15;
  for (int round = 1; round <= kRounds; ++round)
    for (int p = 0; p < kPartitions; ++p)
      ASSERT_TRUE(client.send_frame(fmt::format("APPEND t/{} {}", p, round)).has_value());
  for (int round = 1; round <= kRounds; ++round)
    for (int p = 0; p < kPartitions; ++p)
      ASSERT_EQ(client.reply(), fmt::format("OK {}", p % 7 + round)) << p << " in round " << round;
  EXPECT_LT(cluster.world().now() - begun, 700ms);
}

// It says nothing, and refuses nothing: who asks for its partition through another node is served
// as soon as somebody else leads it, and not when a connection to it has failed.
TEST(ClusterSimTest, a_leader_that_is_cut_off_holds_up_nobody_for_long) {
  SimCluster cluster(4, 3);
  cluster.start();
  auto maker = cluster.client(1);
  ASSERT_EQ(maker.ask("CREATE t replication_factor=3"), "OK");
  ASSERT_EQ(maker.ask("APPEND t 0"), "OK 0");
  const auto leader = cluster.leader(1, "t");
  const auto through = 1 + leader % 3;
  cluster.world().network().isolate(static_cast<int>(leader - 1));
  cluster.world().network().reset_connections(static_cast<int>(leader - 1),
                                              static_cast<int>(through - 1));
  const auto begun = cluster.world().now();
  auto client = cluster.client(through);
  EXPECT_EQ(client.ask("APPEND t 1"), "OK 1");
  EXPECT_LT(cluster.world().now() - begun, 2s);
}

// Who asks it learns within a bounded time that nobody knows what becomes of the record.
TEST(ClusterSimTest, leader_that_is_cut_off_does_not_leave_its_clients_without_an_answer) {
  SimCluster cluster(5, 3);
  cluster.start();
  auto maker = cluster.client(1);
  ASSERT_EQ(maker.ask("CREATE t replication_factor=3"), "OK");
  ASSERT_EQ(maker.ask("APPEND t 0"), "OK 0");
  const auto leader = cluster.leader(1, "t");
  auto client = cluster.client(leader), other = cluster.client(1 + leader % 3);
  for (std::size_t n = 1; n <= 3; ++n) {
    if (n == leader) continue;
    cluster.world().network().cut(static_cast<int>(leader - 1), static_cast<int>(n - 1));
    cluster.world().network().cut(static_cast<int>(n - 1), static_cast<int>(leader - 1));
  }
  const auto begun = cluster.world().now();
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(client.send_frame(fmt::format("APPEND t lost{}", i)).has_value());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(client.reply(), "ERR timed out");
  EXPECT_LT(cluster.world().now() - begun, 20s);
  EXPECT_EQ(client.ask("APPEND t refused"), "ERR no leader for t, try again");
  EXPECT_EQ(other.ask("APPEND t 1"), "OK 1");
  cluster.world().network().heal_all();
  EXPECT_EQ(client.ask("APPEND t 2"), "OK 2");
}

class ClusterSeeds : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(All, ClusterSeeds, testing::Range<std::uint64_t>(1, 9));

// The leader dies in the middle of a stream of appends through another node: what was acknowledged
// is there, once, in order.
TEST_P(ClusterSeeds, leader_that_is_killed_loses_nothing_acknowledged) {
  SimCluster cluster(GetParam(), 3);
  cluster.start();
  auto maker = cluster.client(1);
  ASSERT_EQ(maker.ask("CREATE t replication_factor=3"), "OK");
  ASSERT_EQ(maker.ask("APPEND t 0"), "OK 0");
  auto leader = cluster.leader(1, "t");
  ASSERT_NE(leader, 0);
  auto through = 1 + leader % 3;
  auto client = cluster.client(through);
  std::vector<std::pair<std::int64_t, std::string>> acknowledged;
  constexpr int kBefore = 20, kCount = 60;
  for (int i = 1; i <= kCount; ++i) {
    if (i == kBefore) cluster.kill(leader);
    auto reply = client.ask(fmt::format("APPEND t {}", i));
    if (reply.starts_with("OK "))
      acknowledged.emplace_back(std::stoll(reply.substr(3)), std::to_string(i));
    else EXPECT_TRUE(reply == "ERR timed out" || reply.starts_with("ERR no leader")) << reply;
  }
  EXPECT_GE(acknowledged.size(), static_cast<std::size_t>(kCount - 2));
  auto records = all_of(client, "t");
  std::int64_t before = -1;
  for (const auto& [offset, value] : acknowledged) {
    EXPECT_GT(offset, before);
    before = offset;
    EXPECT_EQ(records[offset], value) << offset;
  }
  cluster.restart(leader);
  auto back = cluster.client(leader);
  EXPECT_TRUE(back.ask("APPEND t back").starts_with("OK "));
}

TEST_P(ClusterSeeds, power_cut_of_all_loses_nothing_acknowledged) {
  SimCluster cluster(GetParam(), 3);
  cluster.start();
  {
    auto client = cluster.client(2);
    ASSERT_EQ(client.ask("CREATE t replication_factor=3"), "OK");
    for (int i = 0; i < 30; ++i)
      ASSERT_EQ(client.ask(fmt::format("APPEND t {}", i)), fmt::format("OK {}", i));
  }
  for (std::size_t n = 1; n <= 3; ++n) cluster.kill(n, io::CrashKind::kPowerCut);
  cluster.restart_all();
  auto client = cluster.client(3);
  EXPECT_EQ(client.ask("APPEND t 30"), "OK 30");
  auto records = all_of(client, "t");
  ASSERT_EQ(records.size(), 31);
  for (const auto& [offset, value] : records) EXPECT_EQ(value, std::to_string(offset));
}

}  // namespace
}  // namespace walrus::server
