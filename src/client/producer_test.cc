#include <gtest/gtest.h>

#include <map>

#include "client/fake_server.h"
#include "record/batch.h"
#include "walrus/client.h"

namespace walrus::client {
namespace {

// A broker as far as a producer sees it: it stores batches once, by their sequences, and cuts the
// connection where the test says so, before or after it has stored.
class Broker {
 public:
  explicit Broker(int partitions = 1) : logs_(static_cast<std::size_t>(partitions)) {}

  std::optional<std::string> answer(Bytes body) {
    if (body == "PRODUCER") return "OK 7 0";
    if (body.starts_with("DESCRIBE ")) return description();
    if (!body.starts_with("BATCH t/")) return "ERR unknown command";
    ++batches_;
    auto fault = faults_.contains(batches_) ? faults_[batches_] : Fault::kNone;
    if (fault == Fault::kCutBefore) return std::nullopt;
    if (fault == Fault::kBusy) return "ERR busy, try again";
    if (fault == Fault::kRefuse) return "ERR invalid batch: no";
    auto reply = store(body.substr(8));
    if (fault == Fault::kCutAfter) return std::nullopt;
    return reply;
  }

  enum class Fault { kNone, kCutBefore, kCutAfter, kBusy, kRefuse };
  void at(int batch, Fault fault) { faults_[batch] = fault; }
  struct Log {
    std::vector<std::string> keys, values;
    std::int32_t next_sequence = 0;
    std::map<std::int32_t, std::int64_t> seen;  // base sequence -> first offset
    int repeats = 0;
  };
  Log& log(std::size_t partition = 0) { return logs_[partition]; }
  int batches() const { return batches_; }

 private:
  std::string description() const {
    std::string list;
    for (std::size_t i = 0; i < logs_.size(); ++i)
      list += fmt::format("{}{{\"partition\":{}}}", i > 0 ? "," : "", i);
    return "{\"name\":\"t\",\"partitions\":[" + list + "]}";
  }

  std::string store(Bytes rest) {
    auto space = rest.find(' ');
    auto& log = logs_[std::stoul(std::string(rest.substr(0, space)))];
    auto batch = record::validate(rest.substr(space + 1), {});
    if (!batch) return "ERR invalid batch: " + batch.error().message;
    if (auto seen = log.seen.find(batch->base_sequence()); seen != log.seen.end()) {
      ++log.repeats;
      return fmt::format("OK {} {}", seen->second, batch->count());
    }
    if (batch->base_sequence() != log.next_sequence) return "ERR sequence out of order: ";
    auto first = static_cast<std::int64_t>(log.values.size());
    log.seen[log.next_sequence] = first;
    log.next_sequence += batch->count();
    auto records = record::RecordIterator::open(*batch);
    while (auto next = *records->next()) {
      log.keys.emplace_back(next->key.value_or(""));
      log.values.emplace_back(next->value.value_or(""));
    }
    return fmt::format("OK {} {}", first, batch->count());
  }

  std::vector<Log> logs_;
  std::map<int, Fault> faults_;
  int batches_ = 0;
};

ProducerOptions options_for(const FakeServer& server) {
  return {.server = {.address = server.address()},
          .topic = "t",
          .batch_records_max = 10,
          .linger = Millis(1),
          .retry = Millis(20'000)};
}

void send_numbers(Producer& producer, int count) {
  for (int i = 0; i < count; ++i) {
    auto text = std::to_string(i);
    Record record{.value = text};
    ASSERT_TRUE(producer.send({&record, 1}));
  }
}

void expect_numbers(const std::vector<std::string>& values, int count) {
  ASSERT_EQ(values.size(), static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], std::to_string(i));
}

TEST(Producer, stores_everything_in_order) {
  Broker broker;
  FakeServer server([&](Bytes body) { return broker.answer(body); });
  auto producer = *Producer::connect(options_for(server));
  send_numbers(producer, 1005);
  auto produced = producer.flush();
  ASSERT_TRUE(produced) << produced.error().message;
  EXPECT_EQ(produced->records, 1005);
  EXPECT_EQ(produced->first, Offset{0});
  EXPECT_EQ(produced->last, Offset{1004});
  EXPECT_EQ(produced->retries, 0);
  expect_numbers(broker.log().values, 1005);
}

TEST(Producer, sends_again_what_a_lost_connection_left_unacknowledged) {
  Broker broker;
  broker.at(3, Broker::Fault::kCutBefore);
  broker.at(9, Broker::Fault::kCutAfter);
  broker.at(20, Broker::Fault::kCutAfter);
  FakeServer server([&](Bytes body) { return broker.answer(body); });
  int disconnects = 0;
  auto options = options_for(server);
  options.on_disconnect = [&](const Error&, std::int64_t unacknowledged) {
    ++disconnects;
    EXPECT_GE(unacknowledged, 1);
  };
  auto producer = *Producer::connect(options);
  send_numbers(producer, 500);
  auto produced = producer.flush();
  ASSERT_TRUE(produced) << produced.error().message;
  EXPECT_EQ(disconnects, 3);
  EXPECT_GE(produced->retries, 3);
  EXPECT_GE(broker.log().repeats, 2);  // stored before the cut, sent again after it
  expect_numbers(broker.log().values, 500);
}

TEST(Producer, waits_for_a_server_that_comes_back) {
  Broker broker;
  FakeServer server([&](Bytes body) { return broker.answer(body); });
  auto producer = *Producer::connect(options_for(server));
  send_numbers(producer, 100);
  ASSERT_TRUE(producer.flush());
  server.stop();
  send_numbers(producer, 5);
  server.restart();
  auto produced = producer.flush();
  ASSERT_TRUE(produced) << produced.error().message;
  EXPECT_EQ(produced->records, 105);
}

TEST(Producer, goes_on_at_the_next_address_when_its_server_hangs) {
  Broker broker;
  Event answers;  // of the first one: only until the producer is there
  FakeServer hanging([&](Bytes body) -> std::optional<std::string> {
    if (body.starts_with("BATCH ")) io::real_env().wait(answers, std::chrono::seconds(20));
    return broker.answer(body);
  });
  int there = 0;
  FakeServer other([&](Bytes body) {
    ++there;
    return broker.answer(body);
  });
  auto options = options_for(hanging);
  options.server.address += "," + other.address();
  options.server.timeout = Millis(300);
  std::vector<std::int64_t> acknowledged;
  options.on_acknowledged = [&](std::int32_t partition, Offset first, std::int64_t records) {
    EXPECT_EQ(partition, 0);
    EXPECT_EQ(first.value, std::ssize(acknowledged));
    for (std::int64_t i = 0; i < records; ++i) acknowledged.push_back(first.value + i);
  };
  {
    auto producer = *Producer::connect(options);
    send_numbers(producer, 25);
    auto produced = producer.flush();
    ASSERT_TRUE(produced) << produced.error().message;
    EXPECT_EQ(produced->records, 25);
  }
  EXPECT_GT(there, 0);
  EXPECT_EQ(acknowledged.size(), 25U);
  expect_numbers(broker.log().values, 25);
  answers.set();
}

TEST(Producer, tries_again_when_the_server_has_no_room) {
  Broker broker;
  broker.at(2, Broker::Fault::kBusy);
  FakeServer server([&](Bytes body) { return broker.answer(body); });
  auto producer = *Producer::connect(options_for(server));
  send_numbers(producer, 100);
  auto produced = producer.flush();
  ASSERT_TRUE(produced) << produced.error().message;
  expect_numbers(broker.log().values, 100);
}

TEST(Producer, a_refusal_is_final) {
  Broker broker;
  broker.at(1, Broker::Fault::kRefuse);
  FakeServer server([&](Bytes body) { return broker.answer(body); });
  auto producer = *Producer::connect(options_for(server));
  Record record{.value = "x"};
  (void)producer.send({&record, 1});
  auto produced = producer.flush();
  ASSERT_FALSE(produced);
  EXPECT_EQ(produced.error().message, "invalid batch: no");
  EXPECT_FALSE(producer.send({&record, 1}));
}

TEST(Producer, gives_up_after_its_retry_time) {
  Broker broker;
  FakeServer server([&](Bytes body) { return broker.answer(body); });
  auto options = options_for(server);
  options.retry = Millis(100);
  auto producer = *Producer::connect(options);
  server.stop();
  Record record{.value = "x"};
  (void)producer.send({&record, 1});
  auto produced = producer.flush();
  ASSERT_FALSE(produced);
}

TEST(Producer, a_lone_record_is_sent_after_the_linger_time) {
  Broker broker;
  FakeServer server([&](Bytes body) { return broker.answer(body); });
  auto options = options_for(server);
  options.batch_records_max = 1000;
  auto producer = *Producer::connect(options);
  Record record{.value = "x"};
  ASSERT_TRUE(producer.send({&record, 1}));
  Event never;
  while (producer.progress().records == 0) io::real_env().wait(never, std::chrono::milliseconds(1));
  EXPECT_EQ(broker.log().values.size(), 1u);
}

TEST(Producer, spreads_records_without_a_key_and_keeps_keys_together) {
  Broker broker(4);
  FakeServer server([&](Bytes body) { return broker.answer(body); });
  auto producer = *Producer::connect(options_for(server));
  send_numbers(producer, 400);
  for (int i = 0; i < 100; ++i) {
    Record record{.key = "same", .value = "v"};
    ASSERT_TRUE(producer.send({&record, 1}));
  }
  ASSERT_TRUE(producer.flush());
  int with_key = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const auto& keys = broker.log(i).keys;
    EXPECT_GE(keys.size(), 50u);
    if (std::ranges::count(keys, "same") > 0) ++with_key;
  }
  EXPECT_EQ(with_key, 1);
}

TEST(Producer, writes_to_the_partition_that_is_named) {
  Broker broker(3);
  FakeServer server([&](Bytes body) { return broker.answer(body); });
  auto options = options_for(server);
  options.topic = "t/2";
  auto producer = *Producer::connect(options);
  send_numbers(producer, 30);
  ASSERT_TRUE(producer.flush());
  expect_numbers(broker.log(2).values, 30);
  options.topic = "t/3";
  EXPECT_EQ(Producer::connect(options).error().code, Code::kNotFound);
}

TEST(Producer, waits_when_too_much_is_unacknowledged) {
  Broker broker;
  FakeServer server([&](Bytes body) { return broker.answer(body); });
  auto options = options_for(server);
  options.buffer_bytes_max = 100;
  auto producer = *Producer::connect(options);
  send_numbers(producer, 1000);
  auto produced = producer.flush();
  ASSERT_TRUE(produced) << produced.error().message;
  expect_numbers(broker.log().values, 1000);
}

}  // namespace
}  // namespace walrus::client
