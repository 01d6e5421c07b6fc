// An idempotent producer and a consumer of the Kafka protocol against a simulated server that is
// killed, cut off from power, and whose connections are reset. The producer sends again what was
// not answered, as clients do: every record is stored once, in order, at the offset that was
// answered, the consumer never sees what is gone later, and the offset that it committed is never
// older than the last one that was acknowledged, nor newer than the last one that was sent.

#include <gtest/gtest.h>

#include "record/batch.h"
#include "server/kafka_client.h"
#include "server/sim_server.h"
#include "wire/kafka/cluster.h"
#include "wire/kafka/data.h"
#include "wire/kafka/groups.h"
#include "wire/kafka/topics.h"

namespace walrus::server {
namespace {

using namespace wire::kafka;

class ProducerRun : private SimServer {
 public:
  ProducerRun(std::uint64_t seed, const Faults& faults)
      : SimServer(seed, {.reset = faults.reset}), faults_(faults) {
    options_.kafka.listen = address(9092);
    use_tiny_journals();
  }
  ~ProducerRun() { drop_clients(); }

  void go(int operations) {
    start_server();
    for (int i = 0; i < operations && !failed(); ++i) {
      if (world_.random() % 20 == 0)
        world_.node(0).crash_after_ops(1 + world_.random() % 60, faults_.crash);
      switch (world_.random() % 6) {
        case 0:
        case 1: consume(); break;
        case 2: commit(); break;
        case 3: check_committed(); break;
        default: produce();
      }
    }
    world_.node(0).crash_after_ops(0, faults_.crash);
    world_.network().set_all_links({});
    finishing_ = true;
    while (!unanswered_.empty() && !failed()) produce();
    if (failed()) return;
    // Durable: a crash takes nothing that was answered.
    world_.node(0).crash(faults_.crash);
    restart();
    while (!check_committed() && !failed()) {
    }
    consumed_ = 0;
    for (int i = 0; consumed_ < stored_ && i < operations * 10 && !failed(); ++i) consume();
    EXPECT_EQ(consumed_, stored_);
  }
  std::int64_t crashes() const { return crashes_; }
  std::int64_t stored() const { return stored_; }

 private:
  static bool failed() {
    return testing::Test::HasFatalFailure() || testing::Test::HasNonfatalFailure();
  }

  void restart() {
    drop_clients();
    restart_server();
  }
  void drop_clients() {
    producer_.reset();
    consumer_.reset();
  }
  // The connection has ended: reset, or the server died.
  void broken(std::unique_ptr<KafkaClient>& client) {
    client.reset();
    sent_ = 0;
    if (world_.node(0).crashed()) restart();
  }

  bool connect(std::unique_ptr<KafkaClient>& client) {
    if (client) return true;
    client = std::make_unique<KafkaClient>(loop_, options_.kafka.listen);
    MetadataRequest metadata{.topics = std::vector<MetadataRequest::Topic>{{.name = "t"}}};
    auto described = client->ask<MetadataResponse>(metadata, 12);
    if (described && described->topics.at(0).error_code == 0) {
      const auto& topic = described->topics[0];
      EXPECT_EQ(topic.partitions.size(), 1u);
      if (topic_id_ == Uuid{}) topic_id_ = topic.id;
      EXPECT_EQ(topic.id, topic_id_);
      if (&client == &consumer_ || producer_id_ >= 0) return true;
      auto id = client->ask<InitProducerIdResponse>(InitProducerIdRequest{}, 4);
      if (id && id->error_code == 0) {
        producer_id_ = id->producer_id;
        return true;
      }
    }
    broken(client);
    return false;
  }

  // Some batches at a time, at most five unanswered, as an idempotent producer may.
  void produce() {
    if (!connect(producer_)) return;
    auto more = unanswered_.empty() ? 1 + world_.random() % 3 : world_.random() % 3;
    if (finishing_) more = 0;
    for (std::uint64_t i = 0; i < more && unanswered_.size() < 5; ++i) {
      auto count = static_cast<std::int32_t>(1 + world_.random() % 3);
      unanswered_.push_back({next_sequence_, count});
      next_sequence_ += count;
    }
    while (sent_ < unanswered_.size()) {
      if (!send(unanswered_[sent_])) return broken(producer_);
      ++sent_;
    }
    auto answers = unanswered_.size();
    for (std::size_t i = 0; i < answers; ++i) {
      auto response = producer_->receive<ProduceResponse>(9);
      if (!response) return broken(producer_);
      const auto& part = response->topics.at(0).partitions.at(0);
      if (part.error_code == 56 || part.error_code == 7) return broken(producer_);  // it dies
      ASSERT_EQ(part.error_code, 0) << part.error_message.value_or("");
      ASSERT_EQ(part.base_offset, unanswered_.front().sequence) << "stored twice, or lost";
      stored_ = part.base_offset + unanswered_.front().count;
      unanswered_.pop_front();
      --sent_;
    }
  }

  struct Batch {
    std::int32_t sequence = 0, count = 0;
  };
  bool send(const Batch& batch) {
    std::vector<std::string> values;
    for (std::int32_t i = 0; i < batch.count; ++i)
      values.push_back(fmt::format("value {}", batch.sequence + i));
    std::vector<walrus::Record> records;
    for (const auto& value : values) records.push_back({.value = value});
    auto bytes = record::encode(records, {.now = Time(Millis(1'700'000'000'000)),
                                          .producer_id = producer_id_,
                                          .producer_epoch = 0,
                                          .base_sequence = batch.sequence});
    ProduceRequest request{.acks = -1, .timeout_ms = 30'000};
    request.topics.push_back({.name = "t", .partitions = {{.index = 0, .records = bytes}}});
    return producer_->send(request, 9).has_value();
  }

  void consume() {
    if (!connect(consumer_)) return;
    FetchRequest request{.wait_max_ms = static_cast<std::int32_t>(world_.random() % 20),
                         .bytes_min = static_cast<std::int32_t>(world_.random() % 300)};
    request.topics.push_back(
        {.id = topic_id_,
         .partitions = {{.index = 0, .fetch_offset = consumed_, .bytes_max = 200}}});
    auto response = consumer_->ask<FetchResponse>(request, 13);
    if (!response) return broken(consumer_);
    const auto& part = response->topics.at(0).partitions.at(0);
    if (part.error_code == 56) return broken(consumer_);
    ASSERT_EQ(part.error_code, 0);
    ASSERT_GE(part.high_watermark, consumed_) << "what was seen is gone";
    take_records(part.records.value_or(Bytes()));
  }

  void commit() {
    if (!connect(consumer_)) return;
    OffsetCommitRequest request{.group_id = "g"};
    request.topics.push_back({.name = "t", .partitions = {{.index = 0, .offset = consumed_}}});
    commit_sent_ = consumed_;
    auto response = consumer_->ask<OffsetCommitResponse>(request, 8);
    if (!response) return broken(consumer_);
    auto error = response->topics.at(0).partitions.at(0).error_code;
    if (error == 15) return broken(consumer_);
    ASSERT_EQ(error, 0);
    commit_acknowledged_ = consumed_;
  }
  bool check_committed() {
    if (!connect(consumer_)) return false;
    OffsetFetchRequest request{.group_id = "g"};
    request.topics.emplace().push_back({.name = "t", .partitions = {0}});
    auto response = consumer_->ask<OffsetFetchResponse>(request, 7);
    if (!response || response->error_code == 15) {
      broken(consumer_);
      return false;
    }
    EXPECT_EQ(response->error_code, 0);
    auto offset = response->topics.at(0).partitions.at(0).offset;
    EXPECT_GE(offset, commit_acknowledged_);
    EXPECT_LE(offset, commit_sent_);
    return true;
  }

  void take_records(Bytes rest) {
    while (!rest.empty()) {
      auto batch = record::BatchView::parse(rest);
      ASSERT_TRUE(batch.has_value());
      ASSERT_TRUE(batch->crc_holds());
      rest.remove_prefix(batch->bytes().size());
      auto records = record::RecordIterator::open(*batch);
      ASSERT_TRUE(records.has_value());
      while (true) {
        auto record = records->next();
        ASSERT_TRUE(record.has_value());
        if (!*record) break;
        if ((*record)->offset < consumed_) continue;
        ASSERT_EQ((*record)->offset, consumed_);
        ASSERT_EQ((*record)->value, fmt::format("value {}", consumed_));
        ++consumed_;
      }
    }
  }

  Faults faults_;
  std::unique_ptr<KafkaClient> producer_, consumer_;
  std::deque<Batch> unanswered_;
  std::size_t sent_ = 0;  // of unanswered_, on this connection
  std::int64_t producer_id_ = -1, stored_ = 0, consumed_ = 0;
  std::int64_t commit_sent_ = -1, commit_acknowledged_ = -1;
  std::int32_t next_sequence_ = 0;
  Uuid topic_id_{};
  bool finishing_ = false;
};

class KafkaSimTest : public testing::TestWithParam<Faults> {};

TEST_P(KafkaSimTest, every_record_is_stored_once_in_order_where_it_was_answered) {
  constexpr std::uint64_t kSeeds = 200;
  std::int64_t crashes = 0, stored = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    ProducerRun run(seed, GetParam());
    run.go(100);
    crashes += run.crashes();
    stored += run.stored();
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
  std::printf("%llu seeds, %lld crashes, %lld records acknowledged\n",
              static_cast<unsigned long long>(kSeeds), static_cast<long long>(crashes),
              static_cast<long long>(stored));
  EXPECT_GE(crashes, static_cast<std::int64_t>(kSeeds));
  EXPECT_GE(stored, static_cast<std::int64_t>(kSeeds) * 50);
}

INSTANTIATE_TEST_SUITE_P(, KafkaSimTest, kEachFault, fault_name);

class KafkaAnswerTest : public testing::Test, protected SimServer {};

TEST_F(KafkaAnswerTest, an_answer_does_not_wait_for_what_came_behind_its_request) {
  options_.kafka.listen = address(9092);
  start_server();
  ASSERT_NE(server_, nullptr);
  KafkaClient client(loop_, options_.kafka.listen);
  MetadataRequest metadata{.topics = std::vector<MetadataRequest::Topic>{{.name = "t"}}};
  ASSERT_TRUE(client.ask<MetadataResponse>(metadata, 12));
  auto& faults = world_.node(0).disk().options().faults;
  faults.slow_sync = 1;
  faults.slow_min = faults.slow_max = std::chrono::milliseconds(100);
  walrus::Record record{.value = "v"};
  auto bytes = record::encode({&record, 1}, {.now = Time(Millis(1'700'000'000'000))});
  ProduceRequest request{.acks = -1, .timeout_ms = 30'000};
  request.topics.push_back({.name = "t", .partitions = {{.index = 0, .records = bytes}}});
  auto begun = world_.now();
  ASSERT_TRUE(client.send(request, 9));
  world_.run_for(std::chrono::milliseconds(50));
  ASSERT_TRUE(client.send(request, 9));  // of the next sync
  ASSERT_TRUE(client.receive<ProduceResponse>(9));
  EXPECT_LT(world_.now() - begun, std::chrono::milliseconds(150));
  ASSERT_TRUE(client.receive<ProduceResponse>(9));
  EXPECT_GE(world_.now() - begun, std::chrono::milliseconds(200));
  faults.slow_sync = 0;
}

}  // namespace
}  // namespace walrus::server
