#pragma once
// A simulated server of the Kafka protocol and a client of it: what most tests of the face need.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "record/batch.h"
#include "server/kafka_client.h"
#include "server/sim_server.h"
#include "wire/kafka/cluster.h"
#include "wire/kafka/configs.h"
#include "wire/kafka/data.h"
#include "wire/kafka/topics.h"

namespace walrus::server {

using namespace wire::kafka;
using namespace std::chrono_literals;

struct Producer {
  std::int64_t id = -1;
  std::int16_t epoch = -1;
  std::int32_t sequence = -1;
};

inline std::string batch_of(std::vector<std::string> values, const Producer& producer = {},
                            std::int64_t timestamp = 1'700'000'000'000) {
  std::vector<walrus::Record> records;
  for (const auto& value : values) records.push_back({.value = value});
  return record::encode(records, {.now = Time(Millis(timestamp)),
                                  .producer_id = producer.id,
                                  .producer_epoch = producer.epoch,
                                  .base_sequence = producer.sequence});
}

// The CRC of a batch whose bytes were changed on purpose.
inline std::string with_crc(std::string batch) {
  store_be(batch.data() + 17, crc32c(Bytes(batch).substr(record::kBatchHeadBytes)));
  return batch;
}

class KafkaTest : public testing::Test, protected SimServer {
 protected:
  KafkaTest() { options_.kafka.listen = address(9092); }
  ~KafkaTest() override { client_.reset(); }
  void start() {
    start_server();
    ASSERT_NE(server_, nullptr);
    client_ = connect();
  }
  std::unique_ptr<KafkaClient> connect() {
    return std::make_unique<KafkaClient>(loop_, server_->kafka_address());
  }
  KafkaClient& client() { return *client_; }

  CreateTopicsResponse::Topic create(CreateTopicsRequest::Topic topic, bool validate_only = false) {
    CreateTopicsRequest request{.validate_only = validate_only};
    request.topics.push_back(std::move(topic));
    auto response = client().ask<CreateTopicsResponse>(request, 7);
    EXPECT_TRUE(response.has_value());
    return response ? response->topics.at(0) : CreateTopicsResponse::Topic{};
  }
  using Settings = std::vector<CreateTopicsRequest::Config>;
  void make(Bytes name, std::int32_t partitions = 1, Settings settings = {}) {
    EXPECT_EQ(create({.name = name,
                      .partitions = partitions,
                      .replication_factor = 1,
                      .configs = std::move(settings)})
                  .error_code,
              0);
  }
  void restart() {
    client_.reset();
    EXPECT_TRUE(server_->stop().has_value());
    restart_server();
    client_ = connect();
  }
  // Nothing is done before: no drain, no checkpoint.
  void crash(io::CrashKind kind) {
    client_.reset();
    server_.reset();
    world_.node(0).crash(kind);
    restart_server();
    client_ = connect();
  }
  static ProduceRequest produce_request(Bytes topic, Bytes batch, std::int16_t acks = -1) {
    ProduceRequest request{.acks = acks, .timeout_ms = 1000};
    request.topics.push_back({.name = topic, .partitions = {{.index = 0, .records = batch}}});
    return request;
  }
  ProduceResponse::Partition produce(Bytes topic, Bytes batch, std::int16_t version = 9) {
    auto response = client().ask<ProduceResponse>(produce_request(topic, batch), version);
    EXPECT_TRUE(response.has_value()) << response.error().message;
    return response ? response->topics.at(0).partitions.at(0) : ProduceResponse::Partition{};
  }
  static FetchRequest fetch_request(Bytes topic, std::int64_t offset, std::int32_t wait_ms = 0) {
    FetchRequest request{.wait_max_ms = wait_ms, .bytes_min = 1, .bytes_max = 1 << 20};
    request.topics.push_back(
        {.name = topic,
         .partitions = {{.index = 0, .fetch_offset = offset, .bytes_max = 1 << 20}}});
    return request;
  }
  FetchResponse fetch(const FetchRequest& request, std::int16_t version = 12) {
    auto response = client().ask<FetchResponse>(request, version);
    EXPECT_TRUE(response.has_value()) << response.error().message;
    return response ? *response : FetchResponse{};
  }

  std::unique_ptr<KafkaClient> client_;
};

}  // namespace walrus::server
