// The native protocol and the admin port against a real server on a port of its own.

#include "server/server.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "record/batch.h"
#include "server/test_client.h"
#include "wire/native/reply.h"

namespace walrus::server {
namespace {

using namespace std::string_view_literals;
using nlohmann::json;

class ServerTest : public testing::Test {
 protected:
  ServerTest() : loop_(io::real_env()) {
    auto name = testing::UnitTest::GetInstance()->current_test_info()->name();
    root_ =
        std::filesystem::temp_directory_path() / fmt::format("walrus-server-{}-{}", getpid(), name);
    std::filesystem::remove_all(root_);
    options_ = small_options(root_);
  }
  ~ServerTest() override {
    server_.reset();
    std::filesystem::remove_all(root_);
  }
  void start() {
    auto server = Server::start(io::real_env(), options_, log_);
    ASSERT_TRUE(server.has_value()) << server.error().message;
    server_ = std::move(*server);
  }
  void stop() {
    auto stopped = server_->stop();
    EXPECT_TRUE(stopped.has_value()) << stopped.error().message;
    server_.reset();
  }
  TestClient client() { return TestClient(loop_, server_->native_address()); }

  std::filesystem::path root_;
  NoLog log_;
  TestLoop loop_;
  ServerOptions options_;
  std::unique_ptr<Server> server_;
};

std::string batch_of(std::initializer_list<Bytes> values, const record::BatchFields& fields = {}) {
  std::vector<Record> records;
  for (auto value : values) records.push_back({.value = value});
  return record::encode(records, fields);
}

TEST_F(ServerTest, five_commands_of_upstream) {
  start();
  auto c = client();
  EXPECT_EQ(c.ask("REGISTER logs"), "OK");
  EXPECT_EQ(c.ask("REGISTER logs"), "OK");
  EXPECT_EQ(c.ask("PUT logs hello  world"), "OK");
  EXPECT_EQ(c.ask("PUT logs \0\xff\r\n "sv), "OK");
  EXPECT_EQ(c.ask("PUT logs "), "OK");
  EXPECT_EQ(c.ask("GET logs"), "OK hello  world");
  EXPECT_EQ(c.ask("GET logs"), "OK \0\xff\r\n "sv);
  EXPECT_EQ(c.ask("GET logs"), "OK ");
  EXPECT_EQ(c.ask("GET logs"), "EMPTY");
  auto state = json::parse(c.ask("STATE logs"));
  EXPECT_EQ(state["current_segment"], 1);
  EXPECT_EQ(state["leader_node"], 1);
  EXPECT_EQ(state["last_sealed_entry_offset"], 0);
  EXPECT_EQ(state["sealed_segments"], json::object());
  EXPECT_EQ(state["segment_leaders"], json({{"1", 1}}));
  EXPECT_EQ(state["partitions"], 1);
  auto metrics = json::parse(c.ask("METRICS"));
  EXPECT_EQ(metrics["current_leader"], 1);
  EXPECT_EQ(metrics["state"], "Leader");
  auto membership = metrics["membership_config"]["membership"];
  EXPECT_EQ(membership["configs"], json::array({json::array({1})})) << membership;
  EXPECT_EQ(membership["nodes"]["1"]["addr"], server_->native_address());
  EXPECT_EQ(metrics["replication"]["1"]["index"], metrics["last_log_index"]);
}

TEST_F(ServerTest, errors_name_what_was_asked) {
  start();
  auto c = client();
  EXPECT_EQ(c.ask("PUT t x"), "ERR unknown topic t");
  EXPECT_EQ(c.ask("GET t"), "ERR unknown topic t");
  EXPECT_EQ(c.ask("STATE t"), "ERR unknown topic t");
  EXPECT_EQ(c.ask("READ t 0"), "ERR unknown topic t");
  EXPECT_EQ(c.ask("DELETE t"), "ERR unknown topic t");
  EXPECT_EQ(c.ask("GARBAGE"), "ERR unknown command");
  EXPECT_EQ(c.ask("REGISTER t"), "OK");
  EXPECT_EQ(c.ask("PUT t/1 x"), "ERR unknown topic t/1");
  EXPECT_EQ(c.ask("CREATE t"), "ERR topic exists t");
  EXPECT_EQ(c.ask("CREATE u partitions=0"),
            "ERR invalid config: partitions = 0: expected a number from 1 to 4096");
  EXPECT_EQ(c.ask("CREATE u replication_factor=3"),
            "ERR invalid config: replication_factor = 3: expected a number from 1 to 1");
  EXPECT_EQ(c.ask("CREATE u colour=red"), "ERR invalid config: unknown setting colour");
  EXPECT_EQ(c.ask("APPEND t a"), "OK 0");
  EXPECT_EQ(c.ask("APPENDAT t 5 b"), "ERR expected offset 5, next is 1");
  EXPECT_EQ(c.ask("READ t 2"), "ERR offset out of range 0..1");
  EXPECT_EQ(c.ask("COMMIT t billing 0"), "ERR unknown consumer billing");
  EXPECT_EQ(c.ask("POLL t billing"), c.ask("READ t 0"));
  EXPECT_EQ(c.ask("COMMIT t billing 2"), "ERR offset out of range 0..1");
  EXPECT_TRUE(c.ask("BATCH t nonsense").starts_with("ERR invalid batch: "));
}

TEST_F(ServerTest, appends_answer_offsets_and_reads_move_nothing) {
  start();
  auto c = client();
  c.ask("REGISTER t");
  EXPECT_EQ(c.ask("APPEND t a"), "OK 0");
  EXPECT_EQ(c.ask("APPENDAT t 1 b\nc"), "OK 1");
  EXPECT_EQ(c.ask("APPEND t "), "OK 2");
  for (int i = 0; i < 2; ++i) {
    auto body = c.ask("READ t 1");
    auto reply = wire::native::parse_records(body);
    ASSERT_TRUE(reply.has_value()) << body;
    EXPECT_EQ(reply->next, Offset{3});
    ASSERT_EQ(reply->records.size(), 2u);
    EXPECT_EQ(reply->records[0].offset, Offset{1});
    EXPECT_EQ(reply->records[0].value, "b\nc");
    EXPECT_EQ(reply->records[1].value, "");
  }
  EXPECT_EQ(c.ask("READ t 3"), "OK 0 3\n");
  EXPECT_EQ(wire::native::parse_records(c.ask("READ t 0 1"))->records.size(), 1u);
  EXPECT_EQ(c.ask("FIND t 0"), "OK 0");
  EXPECT_EQ(c.ask("FIND t 9999999999999"), "OK 3");
}

TEST_F(ServerTest, repeated_batch_answers_its_first_offset) {
  start();
  auto c = client();
  c.ask("REGISTER t");
  std::int64_t id = -1;
  int epoch = -1;
  auto producer = c.ask("PRODUCER");
  ASSERT_EQ(std::sscanf(producer.c_str(), "OK %ld %d", &id, &epoch), 2) << producer;
  EXPECT_EQ(epoch, 0);
  auto send = [&](std::int32_t sequence) {
    return c.ask(
        "BATCH t " +
        batch_of({"a", "b"}, {.producer_id = id, .producer_epoch = 0, .base_sequence = sequence}));
  };
  EXPECT_EQ(send(0), "OK 0 2");
  EXPECT_EQ(send(2), "OK 2 2");
  EXPECT_EQ(send(0), "OK 0 2");
  EXPECT_TRUE(send(9).starts_with("ERR sequence out of order: ")) << send(9);
  EXPECT_EQ(c.ask("BATCH t " +
                  batch_of({"c"}, {.producer_id = id, .producer_epoch = 1, .base_sequence = 0})),
            "OK 4 1");
  EXPECT_TRUE(send(4).starts_with("ERR producer fenced: ")) << send(4);
  auto batches = c.ask("READBATCH t 0");
  auto reply = wire::native::parse_batches(batches);
  ASSERT_TRUE(reply.has_value()) << batches;
  EXPECT_EQ(reply->next, Offset{5});
  auto first = record::BatchView::parse(reply->batches);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->producer_id(), id);
}

TEST_F(ServerTest, poll_repeats_until_commit) {
  start();
  auto c = client();
  c.ask("REGISTER t");
  for (auto* put : {"PUT t a", "PUT t b", "PUT t c"}) EXPECT_EQ(c.ask(put), "OK");
  auto first = c.ask("POLL t billing");
  EXPECT_TRUE(first.starts_with("OK 3 3\n"));
  EXPECT_EQ(c.ask("POLL t billing"), first);
  EXPECT_EQ(c.ask("COMMIT t billing 2"), "OK");
  EXPECT_TRUE(c.ask("POLL t billing").starts_with("OK 1 3\n2 "));
  EXPECT_TRUE(c.ask("POLL t other").starts_with("OK 3 3\n"));
  stop();
  start();
  auto again = client();
  EXPECT_TRUE(again.ask("POLL t billing").starts_with("OK 1 3\n2 "));
}

TEST_F(ServerTest, topics_of_several_partitions) {
  start();
  auto c = client();
  EXPECT_EQ(c.ask("CREATE t partitions=3"), "OK");
  for (auto value : {"0", "1", "2", "3", "4", "5"})
    EXPECT_EQ(c.ask(fmt::format("PUT t {}", value)), "OK");
  for (auto partition : {"t/0", "t/1", "t/2"})
    EXPECT_TRUE(c.ask(fmt::format("READ {} 0", partition)).starts_with("OK 2 2\n")) << partition;
  EXPECT_EQ(c.ask("APPEND t/2 last"), "OK 2");
  EXPECT_EQ(json::parse(c.ask("STATE t"))["partitions"], 3);
  std::set<std::string> got;
  for (int i = 0; i < 7; ++i) got.insert(c.ask("GET t"));
  EXPECT_EQ(got.size(), 7u);
  EXPECT_TRUE(got.contains("OK last"));
  EXPECT_EQ(c.ask("GET t"), "EMPTY");
  std::multiset<std::string> polled;
  for (int i = 0; i < 3; ++i) {
    auto reply = c.ask("POLL t c");
    polled.insert(reply.substr(0, 6));
    auto records = wire::native::parse_records(reply);
    ASSERT_TRUE(records.has_value());
    EXPECT_EQ(c.ask(fmt::format("COMMIT t c {}", records->next.value)), "OK");
  }
  EXPECT_EQ(polled, (std::multiset<std::string>{"OK 2 2", "OK 2 2", "OK 3 3"}));
  auto list = json::parse(c.ask("LIST"));
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["partitions"], 3);
  EXPECT_EQ(list[0]["records"], 7);
  EXPECT_EQ(json::parse(c.ask("DESCRIBE t"))["partitions"].size(), 3u);
  EXPECT_EQ(c.ask("DELETE t"), "OK");
  EXPECT_EQ(c.ask("GET t/1"), "ERR unknown topic t/1");
  EXPECT_EQ(c.ask("LIST"), "[]");
}

TEST_F(ServerTest, configuration_of_a_topic) {
  start();
  auto c = client();
  EXPECT_EQ(c.ask("CREATE t durability=os retention_ms=1000 segment.bytes=65536"), "OK");
  auto config = json::parse(c.ask("CONFIG t"));
  EXPECT_EQ(config["durability"], "os");
  EXPECT_EQ(config["retention_ms"], "1000");
  EXPECT_EQ(config["segment_bytes_max"], "65536");
  config = json::parse(c.ask("CONFIG t -durability walrus.segment.records=10 -retention_ms"));
  EXPECT_EQ(config["durability"], "fsync");
  EXPECT_EQ(config["retention_ms"], "-1");
  EXPECT_EQ(config["segment_records_max"], "10");
  EXPECT_EQ(json::parse(c.ask("DESCRIBE t"))["config"], config);
  EXPECT_EQ(c.ask("CONFIG t durability=maybe"),
            "ERR invalid config: durability = maybe: expected fsync, interval=<1..3600000> or os");
}

TEST_F(ServerTest, sealed_segments_have_exact_counts) {
  options_.broker.topic_defaults.stream.segment_records_max = 10;
  start();
  auto c = client();
  c.ask("REGISTER t");
  for (int i = 0; i < 60; ++i) ASSERT_EQ(c.ask("PUT t x"), "OK");
  auto state = json::parse(c.ask("STATE t"));
  EXPECT_GE(state["sealed_segments"].size(), 5u);
  for (const auto& [segment, count] : state["sealed_segments"].items()) EXPECT_EQ(count, 10);
  EXPECT_EQ(state["last_sealed_entry_offset"], 10 * state["sealed_segments"].size());
  EXPECT_TRUE(state["segment_leaders"].contains(std::to_string(int(state["current_segment"]))));
}

TEST_F(ServerTest, pipelined_requests_are_answered_in_order) {
  start();
  auto c = client();
  std::string burst;
  wire::native::append_frame(burst, "REGISTER t");
  for (int i = 0; i < 2000; ++i) wire::native::append_frame(burst, fmt::format("APPEND t {}", i));
  for (int i = 0; i < 2001; ++i) wire::native::append_frame(burst, "GET t");
  wire::native::append_frame(burst, "NOPE");
  wire::native::append_frame(burst, "APPEND t end");
  ASSERT_TRUE(c.send(burst).has_value());
  EXPECT_EQ(c.reply().value(), "OK");
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(c.reply().value(), fmt::format("OK {}", i));
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(c.reply().value(), fmt::format("OK {}", i));
  EXPECT_EQ(c.reply().value(), "EMPTY");
  EXPECT_EQ(c.reply().value(), "ERR unknown command");
  EXPECT_EQ(c.reply().value(), "OK 2000");
}

TEST_F(ServerTest, get_waits_for_a_record) {
  start();
  auto a = client(), b = client();
  a.ask("REGISTER t");
  EXPECT_EQ(a.ask("GET t 1"), "EMPTY");
  ASSERT_TRUE(a.send_frame("GET t 60000").has_value());
  EXPECT_EQ(b.ask("PUT t now"), "OK");
  EXPECT_EQ(a.reply().value(), "OK now");
}

TEST_F(ServerTest, reads_and_polls_wait_for_a_record) {
  start();
  auto a = client(), b = client(), c = client();
  a.ask("CREATE t partitions=2");
  ASSERT_TRUE(a.send_frame("READ t/1 0 1000 60000").has_value());
  ASSERT_TRUE(c.send_frame("POLL t consumer 1000 60000").has_value());
  EXPECT_EQ(b.ask("PUT t/1 now"), "OK");
  EXPECT_TRUE(a.reply().value().starts_with("OK 1 1\n"));
  EXPECT_TRUE(c.reply().value().starts_with("OK 1 1\n"));
}

TEST_F(ServerTest, concurrent_gets_deliver_each_record_once) {
  start();
  auto a = client(), b = client();
  a.ask("REGISTER t");
  std::string puts, gets;
  for (int i = 0; i < 400; ++i) wire::native::append_frame(puts, fmt::format("PUT t {}", i));
  for (int i = 0; i < 200; ++i) wire::native::append_frame(gets, "GET t");
  ASSERT_TRUE(a.send(puts).has_value());
  for (int i = 0; i < 400; ++i) ASSERT_EQ(a.reply().value(), "OK");
  ASSERT_TRUE(a.send(gets).has_value());
  ASSERT_TRUE(b.send(gets).has_value());
  std::set<std::string> got;
  for (int i = 0; i < 200; ++i) {
    got.insert(a.reply().value());
    got.insert(b.reply().value());
  }
  EXPECT_EQ(got.size(), 400u);
  EXPECT_FALSE(got.contains("EMPTY"));
}

// Large records, so that the kernel takes a part of them only.
TEST_F(ServerTest, broken_connection_returns_its_unsent_records) {
  start();
  auto a = client();
  a.ask("REGISTER t");
  constexpr int kRecords = 200;
  for (int i = 0; i < kRecords; ++i)
    ASSERT_EQ(a.ask(fmt::format("PUT t {:03}{}", i, std::string(100'000, 'x'))), "OK");
  auto b = client();
  std::string gets;
  for (int i = 0; i < kRecords; ++i) wire::native::append_frame(gets, "GET t");
  ASSERT_TRUE(b.send(gets).has_value());
  ASSERT_TRUE(b.reply()->starts_with("OK 000"));
  b.close();
  int next = -1;
  while (true) {
    auto reply = a.ask("GET t");
    if (reply == "EMPTY") break;
    auto number = std::stoi(reply.substr(3, 3));
    if (next >= 0) ASSERT_EQ(number, next) << "a record was skipped or came twice";
    next = number + 1;
  }
  EXPECT_EQ(next, kRecords) << "the last records were unsent, and come again";
}

TEST_F(ServerTest, cursor_survives_a_graceful_stop) {
  start();
  {
    auto c = client();
    c.ask("REGISTER t");
    for (int i = 0; i < 10; ++i) c.ask(fmt::format("PUT t {}", i));
    for (int i = 0; i < 4; ++i) EXPECT_EQ(c.ask("GET t"), fmt::format("OK {}", i));
  }
  stop();
  start();
  auto c = client();
  for (int i = 4; i < 10; ++i) EXPECT_EQ(c.ask("GET t"), fmt::format("OK {}", i));
  EXPECT_EQ(c.ask("GET t"), "EMPTY");
}

TEST_F(ServerTest, stop_answers_what_was_taken_and_ends_waits) {
  start();
  auto c = client();
  c.ask("REGISTER t");
  ASSERT_TRUE(c.send_frame("GET t 300000").has_value());
  EXPECT_EQ(client().ask("STATE t").front(), '{');  // the GET has been taken by now
  stop();
  EXPECT_EQ(c.reply().value(), "ERR shutting down");
  EXPECT_EQ(c.reply().error().code, Code::kClosed);
}

// Framing.

TEST_F(ServerTest, zero_length_frame_is_refused_and_the_next_is_served) {
  start();
  auto c = client();
  ASSERT_TRUE(c.send("\0\0\0\0"sv).has_value());
  EXPECT_EQ(c.reply().value(), "ERR invalid frame length");
  EXPECT_EQ(c.ask("REGISTER t"), "OK");
}

TEST_F(ServerTest, oversize_frame_is_drained_and_the_next_is_served) {
  options_.native.session.frame_bytes_max = 1 << 16;
  start();
  auto c = client();
  std::string frame;
  wire::native::append_frame(frame, std::string(3 << 20, 'x'));
  wire::native::append_frame(frame, "REGISTER t");
  ASSERT_TRUE(c.send(frame).has_value());
  EXPECT_EQ(c.reply().value(), "ERR invalid frame length");
  EXPECT_EQ(c.reply().value(), "OK");
}

TEST_F(ServerTest, frame_beyond_the_drain_limit_closes) {
  start();
  auto c = client();
  ASSERT_TRUE(c.send("\xff\xff\xff\xff"sv).has_value());
  EXPECT_EQ(c.reply().value(), "ERR invalid frame length");
  EXPECT_EQ(c.reply().error().code, Code::kClosed);
}

TEST_F(ServerTest, largest_frame_is_stored_whole) {
  start();
  auto c = client();
  c.ask("REGISTER t");
  std::string payload((1 << 20) - 6, 'p');
  EXPECT_EQ(c.ask("PUT t " + payload), "OK");
  EXPECT_EQ(c.ask("GET t"), "OK " + payload);
}

TEST_F(ServerTest, half_closed_connection_gets_all_its_replies) {
  start();
  auto c = client();
  std::string burst;
  wire::native::append_frame(burst, "REGISTER t");
  wire::native::append_frame(burst, "PUT t x");
  wire::native::append_frame(burst, "GET t");
  ASSERT_TRUE(c.send(burst).has_value());
  c.end_writing();
  EXPECT_EQ(c.reply().value(), "OK");
  EXPECT_EQ(c.reply().value(), "OK");
  EXPECT_EQ(c.reply().value(), "OK x");
  EXPECT_EQ(c.reply().error().code, Code::kClosed);
}

TEST_F(ServerTest, cut_frame_is_not_executed) {
  start();
  {
    auto c = client();
    c.ask("REGISTER t");
    ASSERT_TRUE(c.send("\x0a\0\0\0PUT t"sv).has_value());
  }
  auto c = client();
  EXPECT_EQ(c.ask("READ t 0"), "OK 0 0\n");
}

TEST_F(ServerTest, strangers_are_told_or_closed) {
  start();
  auto http = client();
  ASSERT_TRUE(http.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").has_value());
  auto answer = http.rest();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 Bad Request\r\n")) << answer;
  EXPECT_TRUE(answer.ends_with("HTTP is served on the admin port.\n"));
  auto kafka = client();
  ASSERT_TRUE(kafka.send("\0\0\0\x1b\0\x12\0\0\0\0\0\0\0\x04test"sv).has_value());
  EXPECT_EQ(kafka.rest(), "");
  auto tls = client();
  ASSERT_TRUE(tls.send("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"sv).has_value());
  EXPECT_EQ(tls.rest(), "");
}

// Limits.

TEST_F(ServerTest, connections_above_the_limit_are_told) {
  options_.native.connections_max = 3;
  start();
  auto a = client(), b = client();
  {
    auto c = client();
    EXPECT_EQ(a.ask("REGISTER t"), "OK");
    EXPECT_EQ(b.ask("REGISTER t"), "OK");
    EXPECT_EQ(c.ask("REGISTER t"), "OK");
    auto d = client();
    EXPECT_EQ(d.reply().value(), "ERR too many connections");
    EXPECT_EQ(d.reply().error().code, Code::kClosed);
  }
  // The place of one that has ended is free again; that it ended is seen soon, not at once.
  std::string answer;
  do answer = client().ask("REGISTER t");
  while (answer != "OK");
}

TEST_F(ServerTest, connections_of_one_address_are_limited) {
  options_.native.connections_per_address_max = 1;
  start();
  auto a = client();
  EXPECT_EQ(a.ask("REGISTER t"), "OK");
  auto b = client();
  EXPECT_EQ(b.reply().value(), "ERR too many connections");
}

TEST_F(ServerTest, idle_connection_is_closed) {
  options_.native.session.idle_timeout = std::chrono::milliseconds(20);
  start();
  auto c = client();
  EXPECT_EQ(c.reply().error().code, Code::kClosed);
}

TEST_F(ServerTest, reader_that_never_reads_is_held_and_others_are_served) {
  options_.native.session.output_bytes_max = 1 << 20;
  start();
  auto good = client();
  good.ask("REGISTER t");
  ASSERT_EQ(good.ask("PUT t " + std::string(500'000, 'x')), "OK");
  auto bad = client();
  std::string reads;
  for (int i = 0; i < 50'000; ++i) wire::native::append_frame(reads, "READ t 0");
  // The server stops to read: what is sent fills the kernel's buffers and then stays.
  auto sent = bad.send(reads, std::chrono::seconds(1));
  if (!sent) EXPECT_EQ(sent.error().code, Code::kTimeout);
  EXPECT_EQ(good.ask("APPEND t y"), "OK 1");
  auto waiting = server_->metrics_page();
  auto at = waiting.find("\nwalrus_native_waiting_bytes ");
  ASSERT_NE(at, std::string::npos);
  EXPECT_LT(std::stod(waiting.substr(at + 29)), 4 << 20);
}

TEST_F(ServerTest, reader_that_takes_nothing_is_cut) {
  options_.native.session.write_timeout = std::chrono::milliseconds(50);
  start();
  auto good = client();
  good.ask("REGISTER t");
  ASSERT_EQ(good.ask("PUT t " + std::string(1'000'000, 'x')), "OK");
  auto bad = client();
  std::string reads;
  for (int i = 0; i < 100; ++i) wire::native::append_frame(reads, "READ t 0");
  ASSERT_TRUE(bad.send(reads).has_value());
  // It ends while this peer has not read a byte: what comes is less than was asked for.
  do EXPECT_EQ(good.ask("APPEND t y").substr(0, 3), "OK ");
  while (server_->metrics_page().find("\nwalrus_native_connections 1\n") == std::string::npos);
  EXPECT_LT(bad.rest().size(), 100'000'000u);
}

TEST_F(ServerTest, many_connections_are_served) {
  start();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 400; ++i)
    clients.push_back(std::make_unique<TestClient>(loop_, server_->native_address()));
  EXPECT_EQ(clients[0]->ask("REGISTER t"), "OK");
  for (auto& c : clients) ASSERT_TRUE(c->send_frame("PUT t x").has_value());
  for (auto& c : clients) ASSERT_EQ(c->reply().value(), "OK");
  EXPECT_TRUE(clients[0]->ask("READ t 0").starts_with("OK 400 400\n"));
}

TEST_F(ServerTest, appends_are_refused_while_storage_is_low_and_resume) {
  start();
  auto c = client();
  c.ask("REGISTER t");
  EXPECT_EQ(c.ask("PUT t x"), "OK");
  server_->broker().set_storage_low(true);
  EXPECT_EQ(c.ask("PUT t y"), "ERR storage full");
  EXPECT_EQ(c.ask("BATCH t " + batch_of({"y"})), "ERR storage full");
  EXPECT_EQ(c.ask("GET t"), "OK x");
  EXPECT_EQ(c.ask("GET t"), "EMPTY");
  server_->broker().set_storage_low(false);
  EXPECT_EQ(c.ask("PUT t y"), "OK");
}

TEST_F(ServerTest, watermark_is_seen_at_the_start) {
  options_.disk_free_bytes_min = std::int64_t{1} << 60;
  start();
  auto c = client();
  c.ask("REGISTER t");
  EXPECT_EQ(c.ask("PUT t x"), "ERR storage full");
}

TEST_F(ServerTest, port_in_use_is_an_error_that_says_so) {
  start();
  auto other = options_;
  other.engine.user.root = root_ / "other";
  other.native.listen = server_->native_address();
  auto second = Server::start(io::real_env(), other, log_);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Code::kExists);
  EXPECT_NE(second.error().message.find(other.native.listen), std::string::npos);
}

TEST_F(ServerTest, several_loops_share_topics_and_queues) {
  options_.loops = 3;
  start();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < 6; ++i)
    clients.push_back(std::make_unique<TestClient>(loop_, server_->native_address()));
  EXPECT_EQ(clients[0]->ask("REGISTER t"), "OK");
  EXPECT_EQ(clients[1]->ask("CREATE u partitions=4"), "OK");
  std::set<std::string> got;
  for (int i = 0; i < 60; ++i) {
    EXPECT_EQ(clients[i % 6]->ask(fmt::format("PUT t {}", i)), "OK");
    EXPECT_EQ(clients[(i + 1) % 6]->ask(fmt::format("PUT u {}", i)), "OK");
  }
  for (int i = 0; i < 60; ++i) EXPECT_EQ(clients[i % 6]->ask("GET t"), fmt::format("OK {}", i));
  for (int i = 0; i < 60; ++i) got.insert(clients[i % 6]->ask("GET u"));
  EXPECT_EQ(got.size(), 60u);
  for (auto& c : clients) EXPECT_EQ(c->ask("GET u"), "EMPTY");
  EXPECT_EQ(clients[2]->ask("DELETE t"), "OK");
  for (auto& c : clients) EXPECT_EQ(c->ask("GET t"), "ERR unknown topic t");
  EXPECT_EQ(clients[3]->ask("REGISTER t"), "OK");
  for (auto& c : clients) EXPECT_EQ(c->ask("GET t"), "EMPTY");
  clients.clear();
  stop();
}

// The admin port.

class AdminTest : public ServerTest {
 protected:
  std::string ask(Bytes request) {
    TestClient c(loop_, server_->admin_address());
    EXPECT_TRUE(c.send(request).has_value());
    return c.rest();
  }
};

TEST_F(AdminTest, pages) {
  start();
  auto metrics = ask("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(metrics.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_NE(metrics.find("\nwalrus_native_connections 0\n"), std::string::npos) << metrics;
  EXPECT_TRUE(ask("GET /healthz HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nok\n"));
  EXPECT_TRUE(ask("GET /readyz?x=1 HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nok\n"));
  EXPECT_TRUE(ask("HEAD /healthz HTTP/1.0\r\n\r\n").ends_with("\r\n\r\n"));
  EXPECT_TRUE(ask("GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 Not Found\r\n"));
  auto refused = ask("POST /metrics HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
  EXPECT_NE(refused.find("\r\nAllow: GET, HEAD\r\n"), std::string::npos);
}

TEST_F(AdminTest, bad_requests) {
  start();
  EXPECT_TRUE(ask("NONSENSE\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(ask("GET /metrics HTTP/2.0\r\n\r\n").starts_with("HTTP/1.1 505 "));
  EXPECT_TRUE(
      ask("GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde").starts_with("HTTP/1.1 413 "));
  auto large = "GET /" + std::string(9000, 'x') + " HTTP/1.1\r\n\r\n";
  EXPECT_TRUE(ask(large).starts_with("HTTP/1.1 431 "));
}

TEST_F(AdminTest, not_ready_while_storage_is_low) {
  start();
  server_->broker().set_storage_low(true);
  EXPECT_TRUE(ask("GET /readyz HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 503 "));
  EXPECT_TRUE(ask("GET /healthz HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace walrus::server
