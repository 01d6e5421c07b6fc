// Fetch sessions, and topics that are described a page at a time.

#include "server/kafka_fixture.h"

namespace walrus::server {
namespace {

class KafkaFetchTest : public KafkaTest {
 protected:
  // The next request of a session of topic "t", with these partitions.
  FetchRequest ask_for(std::vector<std::int32_t> partitions, std::int64_t offset = 0,
                       std::int32_t wait_ms = 0) {
    FetchRequest request{.wait_max_ms = wait_ms, .bytes_min = 1, .bytes_max = 1 << 20};
    request.session_id = id_;
    request.session_epoch = epoch_;
    if (!partitions.empty()) request.topics.push_back({.name = "t"});
    for (auto index : partitions)
      request.topics[0].partitions.push_back(
          {.index = index, .fetch_offset = offset, .bytes_max = 1 << 20});
    return request;
  }
  FetchResponse next(FetchRequest request, std::int16_t version = 12) {
    auto response = fetch(request, version);
    id_ = response.session_id;
    ++epoch_;
    return response;
  }
  void produce_to(std::int32_t partition) {
    auto batch = batch_of({"a"});
    auto request = produce_request("t", batch);
    request.topics[0].partitions[0].index = partition;
    auto other = connect();
    auto answer = other->ask<ProduceResponse>(request, 9);
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->topics.at(0).partitions.at(0).error_code, 0);
  }
  std::int32_t id_ = 0, epoch_ = 0;
};

TEST_F(KafkaFetchTest, a_session_is_told_only_what_is_new) {
  start();
  make("t", 3);
  produce_to(1);
  auto first = next(ask_for({0, 1, 2}));
  EXPECT_NE(first.session_id, 0);
  EXPECT_EQ(first.topics.at(0).partitions.size(), 3u);
  // Partition 1 again, from behind its record; the others as they were named.
  auto nothing = next(ask_for({1}, 1));
  EXPECT_EQ(nothing.error_code, 0);
  EXPECT_TRUE(nothing.topics.empty());
  produce_to(2);
  auto news = next(ask_for({}));
  ASSERT_EQ(news.topics.size(), 1u);
  ASSERT_EQ(news.topics[0].partitions.size(), 1u);
  EXPECT_EQ(news.topics[0].partitions[0].index, 2);
  EXPECT_FALSE(news.topics[0].partitions[0].records->empty());
  // Forgotten: told no more.
  auto request = ask_for({});
  request.forgotten_topics.push_back({.name = "t", .partitions = {2}});
  EXPECT_TRUE(next(request).topics.empty());
}

TEST_F(KafkaFetchTest, nothing_new_is_waited_for) {
  start();
  make("t", 2);
  (void)next(ask_for({0, 1}));
  auto& env = world_.node(0).env();
  auto before = env.mono();
  EXPECT_TRUE(next(ask_for({}, 0, 500)).topics.empty());
  EXPECT_GE(env.mono() - before, 500ms);
  // Woken by what comes.
  ASSERT_TRUE(client().send(ask_for({}, 0, 60'000), 12).has_value());
  before = env.mono();
  world_.run_for(50ms);
  produce_to(1);
  auto woken = client().receive<FetchResponse>(12);
  ASSERT_TRUE(woken.has_value());
  EXPECT_LT(env.mono() - before, 1s);
  EXPECT_EQ(woken->topics.at(0).partitions.at(0).index, 1);
}

TEST_F(KafkaFetchTest, sessions_that_are_not_known_are_told_apart) {
  start();
  make("t", 1);
  auto code = [&](std::int32_t id, std::int32_t epoch, std::int16_t version = 12) {
    auto request = ask_for({});
    request.session_id = id;
    request.session_epoch = epoch;
    return fetch(request, version).error_code;
  };
  EXPECT_EQ(code(7, 1), 70);
  auto id = next(ask_for({0})).session_id;
  EXPECT_EQ(code(id, 2), 71);
  EXPECT_EQ(code(id, 1, 13), 106);
  EXPECT_EQ(code(id, 1), 0);
  // Ended, with a last full fetch.
  auto last = ask_for({0});
  last.session_id = id;
  last.session_epoch = -1;
  auto answer = fetch(last);
  EXPECT_EQ(answer.session_id, 0);
  EXPECT_EQ(answer.topics.size(), 1u);
  EXPECT_EQ(code(id, 2), 70);
  // Old versions have no sessions.
  EXPECT_EQ(fetch(fetch_request("t", 0), 6).session_id, 0);
}

TEST_F(KafkaFetchTest, a_session_outlives_its_connection_but_not_its_topic) {
  start();
  make("t", 1);
  auto metadata = client().ask<MetadataResponse>(MetadataRequest{}, 12);
  auto topic_id = metadata->topics.at(0).id;
  FetchRequest request{.wait_max_ms = 0, .bytes_min = 1};
  request.session_epoch = 0;
  request.topics.push_back({.id = topic_id, .partitions = {{.index = 0, .bytes_max = 1000}}});
  auto first = fetch(request, 13);
  ASSERT_NE(first.session_id, 0);
  client_ = connect();
  FetchRequest again{.wait_max_ms = 0, .bytes_min = 1};
  again.session_id = first.session_id;
  again.session_epoch = 1;
  EXPECT_EQ(fetch(again, 13).error_code, 0);
  DeleteTopicsRequest doomed;
  doomed.topics.push_back({.id = topic_id});
  EXPECT_EQ(client().ask<DeleteTopicsResponse>(doomed, 6)->topics.at(0).error_code, 0);
  make("t", 1);
  ++again.session_epoch;
  auto gone = fetch(again, 13);
  EXPECT_EQ(gone.topics.at(0).partitions.at(0).error_code, 100);
}

// Each answer has room for one batch: no partition is left out for long.
TEST_F(KafkaFetchTest, a_session_gives_every_partition_its_turn) {
  start();
  make("t", 4);
  for (std::int32_t p = 0; p < 4; ++p)
    for (int i = 0; i < 3; ++i) produce_to(p);
  std::vector<std::int64_t> offsets(4);
  std::vector<std::int32_t> turns;
  auto request = ask_for({0, 1, 2, 3});
  for (int i = 0; i < 12; ++i) {
    request.bytes_max = 1;
    auto response = next(request);
    std::vector<std::int32_t> had;
    for (const auto& topic : response.topics)
      for (const auto& part : topic.partitions)
        if (part.records && !part.records->empty()) had.push_back(part.index);
    ASSERT_EQ(had.size(), 1u);
    turns.push_back(had[0]);
    request = ask_for({had[0]}, ++offsets[static_cast<std::size_t>(had[0])]);
  }
  for (std::int32_t p = 0; p < 4; ++p) {
    EXPECT_EQ(std::count(turns.begin(), turns.begin() + 4, p), 1);
    EXPECT_EQ(std::ranges::count(turns, p), 3);
  }
}

TEST_F(KafkaFetchTest, partitions_are_described_page_by_page) {
  start();
  make("b", 3);
  make("a", 2);
  make("c", 1);
  auto page = [&](std::int32_t max, std::optional<PartitionCursor> cursor) {
    DescribeTopicPartitionsRequest request{.partitions_max = max, .cursor = cursor};
    auto answer = client().ask<DescribeTopicPartitionsResponse>(request, 0);
    EXPECT_TRUE(answer.has_value());
    return answer.value_or(DescribeTopicPartitionsResponse{});
  };
  std::vector<std::pair<std::string, std::int32_t>> all;
  std::optional<PartitionCursor> cursor;
  int pages = 0;
  do {
    auto answer = page(2, cursor);
    std::size_t count = 0;
    for (const auto& topic : answer.topics)
      for (const auto& part : topic.partitions) {
        all.emplace_back(*topic.name, part.index);
        EXPECT_EQ(part.leader_id, 1);
        EXPECT_FALSE(topic.id.is_zero());
        ++count;
      }
    EXPECT_LE(count, 2u);
    cursor = answer.next;
  } while (cursor && ++pages < 10);
  EXPECT_EQ(pages, 2);
  EXPECT_EQ(all, (std::vector<std::pair<std::string, std::int32_t>>{
                     {"a", 0}, {"a", 1}, {"b", 0}, {"b", 1}, {"b", 2}, {"c", 0}}));
  DescribeTopicPartitionsRequest some;
  some.topics = {{.name = "c"}, {.name = "absent"}, {.name = "not legal"}, {.name = "c"}};
  auto answer = client().ask<DescribeTopicPartitionsResponse>(some, 0);
  ASSERT_TRUE(answer.has_value());
  ASSERT_EQ(answer->topics.size(), 3u);
  EXPECT_EQ(answer->topics[0].error_code, 3);
  EXPECT_EQ(answer->topics[1].error_code, 0);
  EXPECT_EQ(answer->topics[2].error_code, 17);
  some.cursor = PartitionCursor{.topic = "c", .partition = -1};
  EXPECT_EQ(client().ask<DescribeTopicPartitionsResponse>(some, 0)->topics.at(0).error_code, 42);
}

}  // namespace
}  // namespace walrus::server
