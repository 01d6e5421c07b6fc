// Whole servers that are one cluster, in a simulated world.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "broker/group/coordinators.h"
#include "record/batch.h"
#include "server/kafka_fixture.h"
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

// Likewise what can be asked twice, and was handed on to it before: no connection ends.
TEST(ClusterSimTest, reads_at_a_leader_that_stands_still_go_to_the_next_one) {
  for (const char* asked :
       {"READ t 0", "READBATCH t 0", "STATE t", "GET t", "READ t 3 65536 20000"}) {
    SCOPED_TRACE(asked);
    SimCluster cluster(4, 3);
    cluster.start();
    auto maker = cluster.client(1);
    ASSERT_EQ(maker.ask("CREATE t replication_factor=3"), "OK");
    ASSERT_EQ(maker.ask("APPEND t first"), "OK 0");
    ASSERT_EQ(maker.ask("APPEND t second"), "OK 1");
    ASSERT_EQ(maker.ask("GET t"), "OK first");  // the queue has an owner
    ASSERT_EQ(maker.ask("APPEND t third"), "OK 2");
    const bool queue = Bytes(asked).starts_with("GET");
    const auto cursors = static_cast<std::uint32_t>(broker::group_partition("t", 8));
    const auto still = queue ? cluster.leader(1, "__cursors", cursors) : cluster.leader(1, "t");
    const auto through = 1 + still % 3;
    auto client = cluster.client(through), writer = cluster.client(1 + (still + 1) % 3);
    ASSERT_TRUE(client.ask("STATE t").starts_with("{"));
    ASSERT_EQ(client.ask("GET t"), "OK second");
    cluster.world().network().isolate(static_cast<int>(still - 1));
    const auto begun = cluster.world().now();
    ASSERT_TRUE(client.send_frame(asked).has_value());
    EXPECT_EQ(writer.ask("APPEND t fourth"), "OK 3");
    auto reply = client.reply();
    ASSERT_TRUE(reply.has_value());
    EXPECT_TRUE(reply->starts_with(Bytes(asked).starts_with("STATE") ? "{" : "OK")) << *reply;
    EXPECT_LT(cluster.world().now() - begun, 4s);
  }
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
  std::string both;  // at once: what comes while the first one is waited for has its own time
  for (int i = 0; i < 2; ++i) wire::native::append_frame(both, fmt::format("APPEND t lost{}", i));
  ASSERT_TRUE(client.send(both).has_value());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(client.reply(), "ERR timed out");
  EXPECT_LT(cluster.world().now() - begun, 20s);
  EXPECT_EQ(client.ask("APPEND t refused"), "ERR no leader for t, try again");
  EXPECT_EQ(other.ask("APPEND t 1"), "OK 1");
  cluster.world().network().heal_all();
  EXPECT_EQ(client.ask("APPEND t 2"), "OK 2");
}

// What of topic t node `other` says that `node` leads, when it ends this connection.
boost::asio::awaitable<void> led_at_the_end(std::unique_ptr<io::Connection> connection,
                                            SimCluster& cluster, std::size_t node,
                                            std::size_t other, std::optional<int>& led) {
  char nothing[1];
  (void)co_await connection->read_some(nothing, kTestDeadline);
  led = 0;
  for (std::uint32_t i = 0; i < 12; ++i) *led += cluster.leader(other, "t", i) == node ? 1 : 0;
}

TEST(ClusterSimTest, a_node_that_stops_leads_nothing_any_more_when_its_clients_lose_it) {
  SimCluster cluster(7, 3);
  cluster.start();
  auto maker = cluster.client(1);
  ASSERT_EQ(maker.ask("CREATE t partitions=12 replication_factor=3"), "OK");
  const std::size_t node = cluster.leader(1, "t"), other = 1 + node % 3;
  auto& loop = cluster.loop();
  auto connection = loop.block<std::unique_ptr<io::Connection>>(
      [&] { return loop.loop().connect(cluster.native_address(node), kTestDeadline); });
  ASSERT_TRUE(connection.has_value());
  std::optional<int> led;
  loop.loop().post([&] {
    loop.loop().spawn(led_at_the_end(*std::move(connection), cluster, node, other, led));
  });
  cluster.stop(node);
  ASSERT_TRUE(cluster.until([&] { return led.has_value(); }));
  EXPECT_EQ(*led, 0);
}

// ---- Produce, by Kafka's protocol ----

struct Answers {                          // of a node that stops, until it ends the connection
  std::size_t told = 0, taken_after = 0;  // after the first that was told
  bool ended = false;
};

// Batch after batch to each of the partitions in turn; whoever is told where to send does not care.
boost::asio::awaitable<void> produce_in_turn(std::unique_ptr<io::Connection> connection,
                                             std::vector<std::uint32_t> partitions, io::Loop& loop,
                                             Answers& answers) {
  const auto batch = batch_of({"a"});
  for (std::int32_t id = 1;; ++id) {
    ProduceRequest request{.acks = -1, .timeout_ms = 10'000};
    auto index = static_cast<std::int32_t>(partitions[id % partitions.size()]);
    request.topics.push_back({.name = "t", .partitions = {{.index = index, .records = batch}}});
    if (!co_await connection->write(KafkaClient::frame(request, 9, id), kTestDeadline)) break;
    auto bytes = co_await read_exactly(*connection, wire::kafka::kLengthBytes);
    if (!bytes) break;
    bytes = co_await read_exactly(*connection, load_be<std::int32_t>(bytes->data()));
    if (!bytes) break;
    const auto& api = wire::kafka::api_of<ProduceResponse>();
    auto response = wire::kafka::parse_response(*bytes, api, 9);
    auto decoded = wire::kafka::decode<ProduceResponse>(response->body, 9);
    auto code = decoded->topics.at(0).partitions.at(0).error_code;
    EXPECT_TRUE(code == 0 || code == 6) << code;
    answers.told += code == 6 ? 1 : 0;
    answers.taken_after += code == 0 && answers.told > 0 ? 1 : 0;
    co_await loop.sleep(10ms);
  }
  answers.ended = true;
}

// One partition in a tenth of a second, so that a client asks who leads them all; the others are
// handed on.
TEST(ClusterSimTest, clients_of_a_node_that_stops_are_told_of_one_partition_at_a_time) {
  SimCluster cluster(7, 3);
  cluster.serve_kafka();
  cluster.start();
  auto maker = cluster.client(1);
  ASSERT_EQ(maker.ask("CREATE t partitions=24 replication_factor=3"), "OK");
  const std::size_t node = cluster.leader(1, "t");
  std::vector<std::uint32_t> led;
  for (std::uint32_t i = 0; i < 24; ++i)
    if (cluster.leader(1, "t", i) == node) led.push_back(i);
  ASSERT_GE(led.size(), 4u);
  auto& loop = cluster.loop();
  auto connection = loop.block<std::unique_ptr<io::Connection>>(
      [&] { return loop.loop().connect(cluster.kafka_address(node), kTestDeadline); });
  ASSERT_TRUE(connection.has_value());
  Answers answers;
  loop.loop().post([&] {
    loop.loop().spawn(produce_in_turn(*std::move(connection), led, loop.loop(), answers));
  });
  const auto begun = cluster.world().now();
  cluster.stop(node);
  ASSERT_TRUE(cluster.until([&] { return answers.ended; }));
  EXPECT_LT(cluster.world().now() - begun, 3s);
  EXPECT_GE(answers.told, 5u);
  EXPECT_GT(answers.taken_after, 2 * answers.told);
}

// A topic of two copies on the nodes that do not lead the metadata, so that nothing but the link
// between them decides when something is acknowledged.
class ClusterProduceTest : public testing::Test {
 protected:
  void start() {
    cluster_.serve_kafka();
    cluster_.start();
    auto maker = cluster_.client(1);
    const auto third = NodeId{controller(cluster_)};
    for (int i = 0; leader_ == 0 && i < 12; ++i) {
      topic_ = fmt::format("t{}", i);
      ASSERT_EQ(maker.ask(fmt::format("CREATE {} replication_factor=2", topic_)), "OK");
      ASSERT_EQ(maker.ask(fmt::format("APPEND {} first", topic_)), "OK 0");
      auto image = cluster_.server(1).cluster()->image();
      const PartitionId id{*image->topic_names.find(topic_), 0};
      const auto& tail = image->partitions.find(id)->tail;
      const auto& two = tail->replicas;
      if (std::ranges::find(two, third) != two.end()) continue;
      leader_ = tail->leader.value;
      other_ = (two[0] == tail->leader ? two[1] : two[0]).value;
    }
    ASSERT_NE(leader_, 0) << "no topic is kept by those two";
  }
  void cut() {
    cluster_.world().network().cut(place(leader_), place(other_));
    cluster_.world().network().cut(place(other_), place(leader_));
  }
  void heal() { cluster_.world().network().heal_all(); }
  std::unique_ptr<KafkaClient> connect(std::size_t n) {
    return std::make_unique<KafkaClient>(cluster_.loop(), cluster_.kafka_address(n));
  }
  // The request's views are of `batch`.
  ProduceRequest request(Bytes batch, std::int32_t timeout_ms, std::int16_t acks = -1) const {
    ProduceRequest request{.acks = acks, .timeout_ms = timeout_ms};
    request.topics.push_back({.name = topic_, .partitions = {{.index = 0, .records = batch}}});
    return request;
  }
  static ProduceResponse::Partition answer(KafkaClient& client) {
    auto response = client.receive<ProduceResponse>(9);
    EXPECT_TRUE(response.has_value()) << (response ? "" : response.error().message);
    return response ? response->topics.at(0).partitions.at(0)
                    : ProduceResponse::Partition{.error_code = -1};
  }
  ProduceResponse::Partition produce(KafkaClient& client, const ProduceRequest& request) {
    EXPECT_TRUE(client.send(request, 9).has_value());
    return answer(client);
  }
  io::Nanos now() { return cluster_.world().now(); }
  std::vector<std::string> stored() {
    auto reader = cluster_.client(1);
    std::vector<std::string> values;
    for (const auto& [offset, value] : all_of(reader, topic_)) values.push_back(value);
    return values;
  }
  static int place(std::size_t n) { return static_cast<int>(n - 1); }

  SimCluster cluster_{6, 3};
  std::string topic_;
  std::size_t leader_ = 0, other_ = 0;
};

TEST_F(ClusterProduceTest,
       batch_that_is_not_acknowledged_in_time_is_a_duplicate_when_it_comes_again) {
  start();
  auto client = connect(leader_), again = connect(leader_);
  const auto one = batch_of({"a", "b"}, {.id = 7, .epoch = 0, .sequence = 0});
  const auto two = batch_of({"c"}, {.id = 7, .epoch = 0, .sequence = 2});
  cut();
  const auto begun = now();
  EXPECT_EQ(produce(*client, request(one, 500)).error_code, 6);
  EXPECT_GE(now() - begun, 500ms);
  EXPECT_LT(now() - begun, 600ms);
  // Still under way at the leader, and so it is when it comes by another connection.
  EXPECT_EQ(produce(*again, request(one, 500)).error_code, 6);
  ASSERT_TRUE(client->send(request(one, 30'000), 9).has_value());
  ASSERT_TRUE(client->send(request(two, 30'000), 9).has_value());
  heal();
  auto first = answer(*client);
  EXPECT_EQ(first.error_code, 0);
  EXPECT_EQ(first.base_offset, 1);
  auto second = answer(*client);
  EXPECT_EQ(second.error_code, 0);
  EXPECT_EQ(second.base_offset, 3);
  EXPECT_EQ(produce(*again, request(one, 500)).base_offset, 1);
  EXPECT_EQ(stored(), (std::vector<std::string>{"first", "a", "b", "c"}));
}

// Of no producer: nothing is known of it, and nobody says that it was not stored.
TEST_F(ClusterProduceTest, batch_of_no_producer_is_answered_that_the_time_is_over) {
  start();
  auto client = connect(leader_);
  cut();
  const auto batch = batch_of({"a"});
  for (std::int16_t acks : {1, -1})
    EXPECT_EQ(produce(*client, request(batch, 300, acks)).error_code, 7) << acks;
  heal();
  EXPECT_EQ(produce(*client, request(batch, 30'000)).base_offset, 3);
}

// Nobody waits for it: what comes behind it is answered, and it is stored when it can be.
TEST_F(ClusterProduceTest, batch_with_acks_0_holds_up_nothing) {
  start();
  auto client = connect(leader_);
  cut();
  const auto batch = batch_of({"a"});
  ASSERT_TRUE(client->send_raw(KafkaClient::frame(request(batch, 30'000, 0), 9, 99)).has_value());
  const auto begun = now();
  EXPECT_TRUE((client->ask<ApiVersionsResponse>(ApiVersionsRequest{}, 0).has_value()));
  EXPECT_LT(now() - begun, 100ms);
  heal();
  EXPECT_EQ(produce(*client, request(batch, 30'000)).base_offset, 2);
}

TEST_F(ClusterProduceTest, acks_1_is_answered_by_the_leader_alone_where_that_is_allowed) {
  for (std::size_t n = 1; n <= 3; ++n) cluster_.options(n).kafka.session.node.acks_all = false;
  start();
  auto client = connect(leader_);
  cut();
  const auto batch = batch_of({"a"});
  auto leaders = produce(*client, request(batch, 300, 1));
  EXPECT_EQ(leaders.error_code, 0);
  EXPECT_EQ(leaders.base_offset, 1);
  EXPECT_EQ(produce(*client, request(batch, 300, -1)).error_code, 7);
}

// Its leader is deposed meanwhile: what comes again is stored once, wherever it was before.
TEST_F(ClusterProduceTest, batch_that_comes_again_to_the_next_leader_is_stored_once) {
  start();
  auto client = connect(leader_);
  const auto one = batch_of({"a", "b"}, {.id = 7, .epoch = 0, .sequence = 0});
  const auto two = batch_of({"c"}, {.id = 7, .epoch = 0, .sequence = 2});
  EXPECT_EQ(produce(*client, request(one, 30'000)).base_offset, 1);
  // Of the other copy and the metadata; not of its clients.
  for (std::size_t n = 1; n <= 3; ++n) {
    if (n == leader_) continue;
    cluster_.world().network().cut(place(leader_), place(n));
    cluster_.world().network().cut(place(n), place(leader_));
  }
  EXPECT_EQ(produce(*client, request(two, 200)).error_code, 6);
  // Its lease ends; one copy of two is no majority: nobody takes it before the first is back.
  EXPECT_FALSE(cluster_.until([] { return false; }, 5s));
  heal();
  ProduceResponse::Partition last{.error_code = 6};
  ASSERT_TRUE(cluster_.until([&] {
    auto leads = cluster_.leader(1, topic_);
    auto next = connect(leads == 0 ? other_ : leads);  // who is asked wants a leader
    last = produce(*next, request(two, 1'000));
    return last.error_code == 0;
  })) << last.error_code;
  EXPECT_EQ(last.base_offset, 3);
  EXPECT_EQ(stored(), (std::vector<std::string>{"first", "a", "b", "c"}));
}

TEST_F(ClusterProduceTest, settings_of_a_node_tell_its_rack_and_how_many_copies_topics_get) {
  cluster_.options(2).cluster.rack = "east";
  start();
  auto client = connect(2);
  DescribeConfigsRequest request;
  request.resources.push_back({.type = 4, .name = "2"});
  auto response = client->ask<DescribeConfigsResponse>(request, 4);
  ASSERT_TRUE(response.has_value()) << response.error().message;
  auto value = [&](const std::string& name) {
    const auto& configs = response->resources.at(0).configs;
    auto found = std::ranges::find(configs, name, &DescribeConfigsResponse::Config::name);
    return found == configs.end() ? std::nullopt : found->value;
  };
  EXPECT_EQ(value("broker.rack"), "east");
  EXPECT_EQ(value("default.replication.factor"), "3");
}

// With one copy nobody takes its place; what is answered is what becomes of it.
TEST_F(ClusterProduceTest, elections_of_a_partition_whose_leader_is_dead) {
  start();
  const auto dead = other_;
  auto maker = cluster_.client(1);
  std::string alone;
  for (int i = 0; alone.empty() && i < 12; ++i) {
    const auto name = fmt::format("alone{}", i);
    ASSERT_EQ(maker.ask(fmt::format("CREATE {} replication_factor=1", name)), "OK");
    if (cluster_.leader(1, name) == dead) alone = name;
  }
  ASSERT_FALSE(alone.empty());
  ASSERT_EQ(maker.ask(fmt::format("APPEND {} x", alone)), "OK 0");
  auto client = connect(leader_);
  auto elect = [&](std::int8_t type) {
    ElectLeadersRequest request{.election_type = type, .timeout_ms = 2'000};
    request.topics.emplace().push_back({.name = alone, .partitions = {0}});
    auto response = client->ask<ElectLeadersResponse>(request, 2);
    EXPECT_TRUE(response.has_value());
    return response ? response->topics.at(0).partitions.at(0).error_code : std::int16_t{-1};
  };
  constexpr std::int8_t kPreferred = 0, kUnclean = 1;
  EXPECT_EQ(elect(kUnclean), 84);
  cluster_.kill(dead);
  ASSERT_TRUE(cluster_.until([&] { return elect(kPreferred) == 80; }, 5s));
  const auto begun = now();
  EXPECT_EQ(elect(kUnclean), 83);
  EXPECT_GE(now() - begun, 2s);
  // Its node comes back meanwhile: it leads again, in a life that opens the next segment.
  ElectLeadersRequest request{.election_type = kUnclean, .timeout_ms = 10'000};
  request.topics.emplace().push_back({.name = alone, .partitions = {0}});
  ASSERT_TRUE(client->send(request, 2).has_value());
  cluster_.restart(dead);
  auto elected = client->receive<ElectLeadersResponse>(2);
  ASSERT_TRUE(elected.has_value());
  EXPECT_EQ(elected->topics.at(0).partitions.at(0).error_code, 0);
  EXPECT_EQ(maker.ask(fmt::format("APPEND {} y", alone)), "OK 1");
  EXPECT_EQ(elect(kUnclean), 84);
}

// Unset it is a majority of the copies; what the topic says is told and taken.
TEST_F(ClusterProduceTest, settings_tell_how_many_copies_acknowledge) {
  start();
  auto client = connect(other_);
  auto told = [&](std::int8_t type, const std::string& name) {
    DescribeConfigsRequest request{.include_synonyms = true};
    request.resources.push_back({.type = type, .name = name, .keys = {{"min.insync.replicas"}}});
    auto response = client->ask<DescribeConfigsResponse>(request, 4);
    EXPECT_TRUE(response.has_value() && response->resources.at(0).configs.size() == 1);
    const auto& config = response->resources.at(0).configs.at(0);
    return std::pair(config.value.value_or(""), static_cast<int>(config.source));
  };
  auto change = [&](const char* value, std::int8_t operation = 0) {
    IncrementalAlterConfigsRequest request;
    request.resources.push_back(
        {.type = 2,
         .name = topic_,
         .configs = {{.name = "min.insync.replicas", .operation = operation, .value = value}}});
    auto response = client->ask<IncrementalAlterConfigsResponse>(request, 1);
    return response ? response->resources.at(0).error_code : std::int16_t{-1};
  };
  auto least = [&] {
    return cluster_.server(1).cluster()->image()->find_topic(topic_)->min_copies;
  };
  using Told = std::pair<std::string, int>;
  constexpr int kOfTopic = 1, kDefault = 5;
  EXPECT_EQ(told(4, std::to_string(other_)), Told("2", 4));  // of the three that topics get
  EXPECT_EQ(told(2, topic_), Told("2", kDefault));
  EXPECT_EQ(change("1"), 0);
  EXPECT_EQ(told(2, topic_), Told("1", kOfTopic));
  EXPECT_TRUE(cluster_.until([&] { return least() == 1; }));
  EXPECT_EQ(change("3"), 40);  // there are two
  EXPECT_EQ(told(2, topic_), Told("1", kOfTopic));
  EXPECT_EQ(change("2"), 0);
  EXPECT_EQ(told(2, topic_), Told("2", kOfTopic));
  EXPECT_EQ(change("", 1), 0);
  EXPECT_EQ(told(2, topic_), Told("2", kDefault));
  EXPECT_TRUE(cluster_.until([&] { return least() == 2; }));
}

// ---- Programs of two releases ----

constexpr std::uint32_t kOldLevel = 1;  // before compaction

class MixedTest : public testing::Test {
 protected:
  MixedTest() : cluster_(6, 4) {
    for (std::size_t n = 1; n <= 4; ++n) {
      cluster_.options(n).cluster.feature_level = kOldLevel;
      cluster_.options(n).engine.maintenance_interval = 200ms;
    }
  }
  // As an operator upgrades it: it ends in good order and starts as another program.
  void upgrade(std::size_t n) {
    cluster_.stop(n);
    cluster_.options(n).cluster.feature_level = meta::kFeatureLevel;
    cluster_.restart(n);
  }
  // New values of a few keys, 64 KiB of them.
  void write(std::size_t through) {
    auto client = cluster_.client(through);
    const std::string value(8 << 10, 'v');
    for (int i = 0; i < 8; ++i) {
      Record records[] = {{.key = "key", .value = value}};
      auto reply = client.ask("BATCH t " + record::encode(records, {}));
      EXPECT_TRUE(reply.starts_with("OK ")) << reply;
    }
  }
  const meta::Partition& partition(std::size_t asked) {
    image_ = cluster_.server(asked).cluster()->image();
    return *image_->partitions.find(PartitionId{*image_->topic_names.find("t"), 0});
  }
  std::uint32_t level(std::size_t asked) {
    return cluster_.server(asked).cluster()->image()->cluster.feature_level;
  }
  // Nothing of it has come into the metadata, nor would it be taken.
  void expect_old(std::size_t asked) {
    EXPECT_EQ(level(asked), kOldLevel);
    EXPECT_FALSE(partition(asked).compaction);
    EXPECT_EQ(partition(asked).compacted_to, Offset{});
    EXPECT_GE(partition(asked).sealed.size(), 3u);
    auto refused = cluster_.client(asked).ask("CLUSTER replace 2 3");
    EXPECT_TRUE(refused.starts_with("ERR the cluster is of feature level 1,")) << refused;
    auto lag = cluster_.client(asked).ask("CONFIG t compaction_lag_min_ms=5");
    EXPECT_TRUE(lag.contains("feature level 3, the cluster is of 1:")) << lag;
  }
  void expect_refused(std::size_t n) {
    auto started = cluster_.try_start(n);
    ASSERT_FALSE(started.has_value());
    EXPECT_TRUE(started.error().message.contains(
        fmt::format("the cluster is of feature level {}, this program knows {}",
                    meta::kFeatureLevel, kOldLevel)))
        << started.error().message;
  }

  SimCluster cluster_;
  std::shared_ptr<const meta::State> image_;
};

TEST_F(MixedTest, nothing_new_is_written_before_the_last_old_program_is_gone) {
  cluster_.start_first(3);
  ASSERT_EQ(cluster_.client(1).ask("CREATE t replication_factor=3 compact=true "
                                   "segment_records_max=8"),
            "OK");
  for (int segment = 0; segment < 4; ++segment) write(1);
  for (std::size_t n : {3, 1}) {
    expect_old(2);
    upgrade(n);
    write(2);
    cluster_.world().run_for(10s);
  }
  expect_old(1);
  expect_old(2);
  upgrade(2);
  for (std::size_t n = 1; n <= 3; ++n)
    EXPECT_TRUE(cluster_.until([&] { return level(n) == meta::kFeatureLevel; })) << n;
  write(3);
  EXPECT_TRUE(cluster_.until([&] { return partition(2).compacted_to > Offset{32}; }));
  auto lag = cluster_.client(2).ask("CONFIG t compaction_lag_min_ms=5");
  EXPECT_TRUE(lag.contains(R"("compaction_lag_min_ms":"5")")) << lag;
  // From now on an old one is no part of it: neither one that was there, nor a newcomer.
  cluster_.stop(2);
  cluster_.options(2).cluster.feature_level = kOldLevel;
  expect_refused(2);
  expect_refused(4);
  write(3);
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

class OrderSeeds : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(All, OrderSeeds, testing::Values(1, 2, 3, 4, 171));

// Whatever becomes of those who lead: of one connection what was sent later lies behind what was
// sent before. A connection is over where it is not known what became of a record.
TEST_P(OrderSeeds, pipelined_appends_keep_their_order_while_leaders_come_and_go) {
  constexpr int kAtOnce = 3, kRounds = 400;
  SimCluster cluster(GetParam(), 3);
  cluster.start();
  ASSERT_EQ(cluster.client(1).ask("CREATE t replication_factor=3 segment_records_max=40"), "OK");
  struct Writer {
    std::unique_ptr<TestClient> client{};
    int lives = 0, sent = 0;
    std::size_t open = 0;
  };
  std::vector<Writer> writers(3);
  auto& world = cluster.world();
  auto& network = world.network();
  int acknowledged = 0;
  for (int round = 0; round < kRounds; ++round) {
    auto dice = world.random() % 60;
    int one = static_cast<int>(world.random() % 3), two = (one + 1) % 3, three = (one + 2) % 3;
    if (dice == 0 || dice == 1) network.cut(one, two);
    if (dice == 0 || dice == 2) network.cut(two, one);
    if (dice == 0) network.cut(one, three);
    if (dice < 3) network.reset_connections(one, two);
    if (dice > 50) network.heal_all();
    if (dice == 3 || dice == 4)
      world.node(one).pause(Millis(500 + static_cast<int>(world.random() % 2500)));
    for (std::size_t n = 1; n <= 3; ++n) {
      auto& writer = writers[n - 1];
      if (!writer.client) {
        writer.client.reset(new TestClient(cluster.client(n)));
        ++writer.lives;
      }
      for (; writer.open < kAtOnce; ++writer.open)
        ASSERT_TRUE(
            writer.client
                ->send_frame(fmt::format("APPEND t {}.{}.{}", n, writer.lives, ++writer.sent))
                .has_value());
    }
    for (auto& writer : writers) {
      bool known = true;
      for (; writer.open > 0; --writer.open) {
        auto reply = writer.client->reply().value_or("");
        known &= reply.starts_with("OK ") || reply.starts_with("ERR no leader");
        acknowledged += reply.starts_with("OK ") ? 1 : 0;
      }
      if (!known) writer.client.reset();
    }
  }
  network.heal_all();
  auto reader = cluster.client(1);
  ASSERT_TRUE(reader.ask("APPEND t 9.9.9").starts_with("OK "));
  std::map<std::pair<int, int>, int> last;
  for (const auto& [offset, value] : all_of(reader, "t")) {
    int writer = 0, life = 0, number = 0;
    ASSERT_EQ(std::sscanf(value.c_str(), "%d.%d.%d", &writer, &life, &number), 3) << value;
    auto& before = last[{writer, life}];
    EXPECT_GT(number, before) << value << " at " << offset;
    before = number;
  }
  EXPECT_GT(acknowledged, kRounds);
}

}  // namespace
}  // namespace walrus::server
