// What no client should send: for every API and version, bytes that are cut short, too long, or
// count what is not there. Each time the server closes the connection, or answers with an error
// that the API has, and serves the next one.

#include <set>

#include "frontend/kafka/handlers.h"
#include "server/kafka_fixture.h"
#include "wire/kafka/groups.h"
#include "wire/kafka/recode.h"

namespace walrus::server {
namespace {

class KafkaHostileTest : public KafkaTest {
 protected:
  static std::string header(std::int16_t key, std::int16_t version) {
    std::string bytes(kLengthBytes, '\0');
    append_request_header(bytes,
                          {.key = key, .version = version, .correlation_id = 1, .client_id = "x"});
    return bytes;
  }
  // What comes of a frame on a connection of its own, closed behind it by us: the answer, if any.
  std::string outcome(std::string frame) {
    finish_frame(frame, 0);
    KafkaClient peer(loop_, server_->kafka_address());
    EXPECT_TRUE(peer.connected());
    EXPECT_TRUE(peer.send_raw(frame).has_value());
    EXPECT_TRUE(peer.end().has_value());
    return peer.rest();
  }
  bool tells(Bytes line) const {
    return server_->metrics_page().find(std::string(line) + "\n") != std::string::npos;
  }
  // What requests and responses hold.
  std::int64_t held() const {
    constexpr Bytes kName = "\nwalrus_kafka_held_bytes ";
    auto page = server_->metrics_page();
    auto at = page.find(kName);
    return at == std::string::npos ? -1 : std::stoll(page.substr(at + kName.size()));
  }
  // Of a request of which nothing comes but its size and the first bytes.
  std::unique_ptr<KafkaClient> begin_request(std::int32_t bytes) {
    auto peer = connect();
    std::string frame(kLengthBytes, '\0');
    store_be(frame.data(), bytes);
    EXPECT_TRUE(peer->send_raw(frame + "begins").has_value());
    return peer;
  }
  bool alive() {
    auto answer = client_->ask<MetadataResponse>(MetadataRequest{}, 1);
    if (!answer) client_ = connect();
    return answer.has_value() || client_->ask<MetadataResponse>(MetadataRequest{}, 1).has_value();
  }
  // Every message there is, in some form: as the encoder writes the empty one.
  template <class Use>
  void each_version(Use use) {
    for (const auto& handler : frontend::kafka::handlers())
      for (auto version = handler.served.from; version <= handler.served.to; ++version)
        use(handler.key, version);
  }
  // The shortest body that this API decodes in this version: texts and arrays are empty.
  static std::optional<std::string> shortest(std::int16_t key, std::int16_t version) {
    for (std::size_t size = 0; size < 80; ++size)
      // Empty is 0, and 1 in flexible versions, where the tags at the end are 0.
      for (const auto& body : {std::string(size, '\0'), std::string(size, '\1') + '\0',
                               std::string(size, '\1') + std::string(2, '\0')})
        if (recode(key, Direction::kRequest, version, body)) return body;
    return std::nullopt;
  }
};

TEST_F(KafkaHostileTest, unknown_keys_and_versions_end_the_connection) {
  start();
  std::set<std::int16_t> known;
  for (const auto& handler : frontend::kafka::handlers()) {
    known.insert(handler.key);
    for (int version : {handler.served.from - 1, handler.served.to + 1, 0x7fff, -1}) {
      auto answer = outcome(header(handler.key, static_cast<std::int16_t>(version)));
      // Of ApiVersions alone there is something to say (KIP-511).
      bool told = handler.key == ApiVersionsRequest::kKey;
      EXPECT_EQ(answer.empty(), !told) << handler.key << " version " << version;
    }
  }
  for (std::int16_t key = -2; key < 120; ++key) {
    if (!known.contains(key)) EXPECT_EQ(outcome(header(key, 0)), "") << key;
  }
  EXPECT_TRUE(alive());
}

TEST_F(KafkaHostileTest, bodies_that_are_cut_short_end_the_connection) {
  start();
  int cut = 0;
  each_version([&](std::int16_t key, std::int16_t version) {
    auto body = shortest(key, version);
    ASSERT_TRUE(body.has_value()) << key << " version " << version;
    for (std::size_t size = 0; size < body->size(); ++size, ++cut)
      EXPECT_EQ(outcome(header(key, version) + body->substr(0, size)), "")
          << key << " version " << version << " cut to " << size;
  });
  EXPECT_GT(cut, 500);
  EXPECT_TRUE(alive());
}

// As in Kafka: some clients leave bytes there.
TEST_F(KafkaHostileTest, bytes_behind_a_body_change_nothing) {
  start();
  each_version([&](std::int16_t key, std::int16_t version) {
    auto request = header(key, version) + *shortest(key, version);
    EXPECT_EQ(outcome(request).empty(), outcome(request + "behind").empty())
        << key << " version " << version;
  });
  EXPECT_TRUE(alive());
}

// Every byte in turn becomes the largest count or length that its place can hold.
TEST_F(KafkaHostileTest, counts_of_what_is_not_there_take_no_memory) {
  start();
  auto before = server_->engine().metrics();
  int sent = 0;
  each_version([&](std::int16_t key, std::int16_t version) {
    auto body = *shortest(key, version);
    for (std::size_t at = 0; at < body.size(); ++at)
      for (Bytes huge : {Bytes("\x7f\xff\xff\xff"), Bytes("\xff\xff\xff\xff\x0f"), Bytes("\x80")}) {
        auto changed = body;
        changed.replace(at, std::min(huge.size(), body.size() - at), huge);
        (void)outcome(header(key, version) + changed);
        ++sent;
      }
  });
  EXPECT_GT(sent, 2000);
  EXPECT_TRUE(alive());
  EXPECT_EQ(server_->broker().local(0).list_topics().size(), 0u) << "nothing was made of it";
}

TEST_F(KafkaHostileTest, lengths_that_are_no_requests_end_the_connection) {
  start();
  for (std::int32_t length : {0, -1, 1, 7, std::numeric_limits<std::int32_t>::min(),
                              std::numeric_limits<std::int32_t>::max(), 101 << 20}) {
    std::string frame(kLengthBytes, '\0');
    store_be(frame.data(), length);
    KafkaClient peer(loop_, server_->kafka_address());
    ASSERT_TRUE(peer.send_raw(frame + std::string(64, '\0')).has_value());
    EXPECT_EQ(peer.rest(), "") << length;
  }
  EXPECT_TRUE(alive());
}

// A request whose body does not come is waited for a while, then its memory is given back.
TEST_F(KafkaHostileTest, a_body_that_does_not_come_is_not_waited_for_forever) {
  options_.kafka.session.body_timeout = 5s;
  start();
  KafkaClient peer(loop_, server_->kafka_address());
  std::string frame(kLengthBytes, '\0');
  store_be(frame.data(), std::int32_t{50 << 20});
  ASSERT_TRUE(peer.send_raw(frame + "begins").has_value());
  world_.run_for(1s);
  EXPECT_TRUE(tells("walrus_kafka_held_bytes 52428800"));
  EXPECT_EQ(peer.rest(), "");
  EXPECT_TRUE(tells("walrus_kafka_held_bytes 0"));
}

// A response that is not read is held for a while, then its reader is cut off.
TEST_F(KafkaHostileTest, who_does_not_read_is_cut_off) {
  options_.kafka.session.write_timeout = 5s;
  start();
  make("t");
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(produce("t", batch_of({std::string(1'000'000, 'x')})).error_code, 0);
  EXPECT_TRUE(tells("walrus_kafka_connections 1"));
  KafkaClient slow(loop_, server_->kafka_address());
  auto request = fetch_request("t", 0);
  request.bytes_max = request.topics[0].partitions[0].bytes_max = 50 << 20;
  ASSERT_TRUE(slow.send(request, 12).has_value());
  world_.run_for(1s);
  EXPECT_TRUE(tells("walrus_kafka_connections 2"));
  EXPECT_FALSE(tells("walrus_kafka_held_bytes 0"));
  world_.run_for(10s);
  EXPECT_TRUE(tells("walrus_kafka_connections 1"));
  EXPECT_TRUE(tells("walrus_kafka_held_bytes 0"));
}

// However many connections begin a request: what does not fit is not read, but for one.
TEST_F(KafkaHostileTest, requests_are_read_when_there_is_memory_for_them) {
  options_.kafka.memory_bytes_max = 4 << 20;
  options_.kafka.session.body_timeout = 5s;
  start();
  make("t");
  std::vector<std::unique_ptr<KafkaClient>> peers;
  for (int i = 0; i < 10; ++i) peers.push_back(begin_request(2 << 20));
  world_.run_for(1s);
  EXPECT_EQ(held(), 6 << 20);
  // What is small goes on.
  EXPECT_TRUE(client_->ask<HeartbeatResponse>(HeartbeatRequest{.group_id = "g"}, 4).has_value());
  EXPECT_EQ(produce("t", batch_of({"small"})).error_code, 0);
  // A large one has its turn as soon as those before it are gone.
  auto large = produce("t", batch_of({std::string(100'000, 'x')}));
  EXPECT_EQ(large.error_code, 0);
  for (auto& peer : peers) EXPECT_EQ(peer->rest(), "");
  EXPECT_EQ(held(), 0);
  EXPECT_TRUE(alive());
}

// A request that is larger than all the memory there is: one at a time.
TEST_F(KafkaHostileTest, a_request_beyond_the_limit_is_read_alone) {
  options_.kafka.memory_bytes_max = 1000;
  start();
  make("t");
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(produce("t", batch_of({std::string(100'000, 'x')})).error_code, 0);
  EXPECT_EQ(held(), 0);
  EXPECT_TRUE(alive());
}

// Who waits for more holds what was read so far, and gives it up when there is no room left.
TEST_F(KafkaHostileTest, what_a_waiting_fetch_has_read_is_held) {
  options_.kafka.memory_bytes_max = 4 << 20;
  start();
  make("t");
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(produce("t", batch_of({std::string(1'000'000, 'x')})).error_code, 0);
  auto request = fetch_request("t", 0, 600'000);
  request.bytes_min = request.bytes_max = request.topics[0].partitions[0].bytes_max = 50 << 20;
  auto waiting = connect();
  ASSERT_TRUE(waiting->send(request, 12).has_value());
  world_.run_for(1s);
  EXPECT_GT(held(), 2'000'000);
  EXPECT_LT(held(), 2'100'000);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(produce("t", batch_of({std::string(1'000'000, 'x')})).error_code, 0);
  auto answer = waiting->receive<FetchResponse>(12);
  ASSERT_TRUE(answer.has_value());
  auto records = answer->topics.at(0).partitions.at(0).records->size();
  EXPECT_GT(records, 3'000'000u);
  EXPECT_LE(records, 4u << 20);
  EXPECT_EQ(held(), 0);
}

// Asking for the same again and again makes no response larger.
TEST_F(KafkaHostileTest, what_is_named_again_is_told_once) {
  start();
  make("t", 100);
  constexpr std::size_t kTimes = 20'000;
  MetadataRequest metadata{.topics = std::vector<MetadataRequest::Topic>(kTimes, {.name = "t"})};
  auto described = client_->ask<MetadataResponse>(metadata, 12);
  ASSERT_TRUE(described.has_value());
  EXPECT_EQ(described->topics.size(), 1u);
  DescribeConfigsRequest configs{
      .resources = std::vector<DescribeConfigsRequest::Resource>(kTimes, {.type = 2, .name = "t"})};
  auto told = client_->ask<DescribeConfigsResponse>(configs, 4);
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->resources.size(), 1u);
  DescribeGroupsRequest groups{.groups = std::vector<Bytes>(kTimes, "g")};
  auto members = client_->ask<DescribeGroupsResponse>(groups, 5);
  ASSERT_TRUE(members.has_value());
  EXPECT_EQ(members->groups.size(), 1u);
  OffsetFetchRequest offsets{.groups =
                                 std::vector<OffsetFetchRequest::Group>(kTimes, {.group_id = "g"})};
  auto committed = client_->ask<OffsetFetchResponse>(offsets, 8);
  ASSERT_TRUE(committed.has_value());
  EXPECT_EQ(committed->groups.size(), 1u);
  EXPECT_TRUE(alive());
}

// What is held by some leaves less for others: one batch in any case.
TEST_F(KafkaHostileTest, a_fetch_reads_what_there_is_memory_for) {
  options_.kafka.memory_bytes_max = 4 << 20;
  start();
  make("t");
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(produce("t", batch_of({std::string(1'000'000, 'x')})).error_code, 0);
  auto request = fetch_request("t", 0);
  request.bytes_max = request.topics[0].partitions[0].bytes_max = 50 << 20;
  EXPECT_LE(fetch(request).topics.at(0).partitions.at(0).records->size(), 4u << 20);
  std::vector<std::unique_ptr<KafkaClient>> slow;
  for (int i = 0; i < 8; ++i) {
    slow.push_back(connect());
    ASSERT_TRUE(slow.back()->send(request, 12).has_value());
  }
  world_.run_for(1s);
  auto records = fetch(request).topics.at(0).partitions.at(0).records->size();
  EXPECT_GT(records, 1'000'000u);
  EXPECT_LT(records, 1'100'000u);
  // Where there is nothing to read, it is waited for as ever.
  auto& env = world_.node(0).env();
  auto before = env.mono();
  EXPECT_TRUE(fetch(fetch_request("t", 20, 500)).topics.at(0).partitions.at(0).records->empty());
  EXPECT_GE(env.mono() - before, 500ms);
  EXPECT_TRUE(alive());
}

}  // namespace
}  // namespace walrus::server
