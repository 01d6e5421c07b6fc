#include <gtest/gtest.h>

#include "client/fake_server.h"
#include "record/batch.h"
#include "walrus/client.h"

namespace walrus::client {
namespace {

Client connect_to(const FakeServer& server, Millis timeout = Millis(10'000)) {
  return *Client::connect({.address = server.address(), .timeout = timeout});
}

TEST(Client, sends_a_request_and_reads_its_reply) {
  std::string seen;
  FakeServer server([&](Bytes body) {
    seen = body;
    return "OK";
  });
  auto client = connect_to(server);
  ASSERT_TRUE(client.put("t", Bytes("a \0 b", 5)));
  EXPECT_EQ(seen, std::string("PUT t a \0 b", 11));
}

TEST(Client, gives_the_error_of_the_server) {
  FakeServer server([](Bytes) { return "ERR unknown topic t"; });
  auto client = connect_to(server);
  auto result = client.put("t", "x");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kNotFound);
  EXPECT_EQ(result.error().message, "unknown topic t");
  EXPECT_EQ(client.get("t").error().code, Code::kNotFound);  // the connection stays usable
}

TEST(Client, tells_empty_from_an_empty_payload) {
  std::string reply = "EMPTY";
  FakeServer server([&](Bytes) { return reply; });
  auto client = connect_to(server);
  EXPECT_EQ(*client.get("t"), std::nullopt);
  reply = "OK ";
  EXPECT_EQ(*client.get("t"), "");
}

TEST(Client, refuses_a_topic_that_would_change_the_request) {
  FakeServer server([](Bytes) { return "OK"; });
  auto client = connect_to(server);
  EXPECT_EQ(client.put("a b", "x").error().code, Code::kInvalid);
  EXPECT_EQ(client.put("t/x", "x").error().code, Code::kInvalid);
  EXPECT_EQ(client.create("t partitions=9").error().code, Code::kInvalid);
  EXPECT_EQ(client.configure("t compact=true").error().code, Code::kInvalid);
  EXPECT_EQ(client.remove("t\n").error().code, Code::kInvalid);
  EXPECT_EQ(client.describe("").error().code, Code::kInvalid);
  EXPECT_EQ(client.register_topic("a b").error().code, Code::kInvalid);
  EXPECT_EQ(client.list("a b").error().code, Code::kInvalid);
  EXPECT_EQ(client.commit("t", "two words", Offset{1}).error().code, Code::kInvalid);
  TopicSetting setting{"retention_ms", "1 durability=os"};
  EXPECT_EQ(client.create("t", {&setting, 1}).error().code, Code::kInvalid);
}

TEST(Client, reads_batches_from_the_offset_asked_for) {
  Record records[] = {{.value = "zero"}, {.key = "k", .value = "one"}, {.value = "two"}};
  auto batch = record::encode(records, {.base_offset = 5, .epoch = 3});
  FakeServer server([&](Bytes body) {
    EXPECT_EQ(body.substr(0, 14), "READBATCH t 6 ");
    return "OK 8\n" + batch;
  });
  auto client = connect_to(server);
  auto received = client.read("t", Offset{6});
  ASSERT_TRUE(received) << received.error().message;
  ASSERT_EQ(received->size(), 2u);
  EXPECT_EQ(received->begin()->offset, Offset{6});
  EXPECT_EQ(received->begin()->key, "k");
  EXPECT_EQ(received->begin()->value, "one");
  EXPECT_EQ(received->begin()->epoch, 3);
  EXPECT_EQ(received->next(), Offset{8});
}

TEST(Client, refuses_a_batch_that_was_damaged_on_its_way) {
  Record record{.value = "payload"};
  auto batch = record::encode({&record, 1}, {});
  batch.back() ^= 1;
  FakeServer server([&](Bytes) { return "OK 1\n" + batch; });
  auto client = connect_to(server);
  EXPECT_EQ(client.read("t", Offset{0}).error().code, Code::kCorrupt);
}

TEST(Client, appends_a_batch_under_a_producer_sequence) {
  std::string body;
  FakeServer server([&](Bytes request) {
    body = request;
    return "OK 40 1";
  });
  auto client = connect_to(server);
  Record record{.value = "v"};
  auto first = client.append_batch("t", {&record, 1}, {.id = 9, .epoch = 1, .sequence = 77});
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(*first, Offset{40});
  auto batch = record::validate(Bytes(body).substr(8), {});
  ASSERT_TRUE(batch) << batch.error().message;
  EXPECT_EQ(batch->producer_id(), 9);
  EXPECT_EQ(batch->base_sequence(), 77);
}

TEST(Client, times_out_and_stays_closed) {
  FakeServer server([](Bytes) -> std::optional<std::string> {
    Event never;
    io::real_env().wait(never, std::chrono::milliseconds(1500));
    return "OK";
  });
  auto client = connect_to(server, Millis(100));
  EXPECT_EQ(client.put("t", "x").error().code, Code::kTimeout);
  EXPECT_EQ(client.put("t", "x").error().code, Code::kClosed);
}

TEST(Client, says_that_the_connection_was_closed) {
  FakeServer server([](Bytes) -> std::optional<std::string> { return std::nullopt; });
  auto client = connect_to(server);
  auto result = client.put("t", "x");
  ASSERT_FALSE(result);
  EXPECT_TRUE(result.error().code == Code::kClosed || result.error().code == Code::kIo);
}

TEST(Client, refused_connection_is_an_error) {
  std::string address;
  {
    FakeServer server([](Bytes) { return "OK"; });
    address = server.address();
  }
  auto client = Client::connect({.address = address});
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, Code::kIo);
}

TEST(Client, takes_the_next_address_where_nobody_answers) {
  std::string nobody;
  {
    FakeServer server([](Bytes) { return "OK"; });
    nobody = server.address();
  }
  FakeServer server([](Bytes) { return "OK"; });
  auto client = Client::connect({.address = nobody + "," + server.address()});
  ASSERT_TRUE(client) << client.error().message;
  EXPECT_TRUE(client->put("t", "x"));
  auto none = Client::connect({.address = nobody + "," + nobody});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kIo);
}

TEST(Client, keeps_the_order_of_pipelined_replies) {
  FakeServer server([](Bytes body) { return std::string(body); });
  auto client = connect_to(server);
  constexpr int kRequests = 1000;
  std::vector<std::string> replies;
  Event all;
  for (int i = 0; i < kRequests; ++i)
    client.request_async(std::to_string(i), [&](Result<std::string> reply) {
      replies.push_back(*reply);
      if (replies.size() == kRequests) all.set();
    });
  ASSERT_TRUE(io::real_env().wait(all, std::chrono::seconds(30)));
  for (int i = 0; i < kRequests; ++i)
    EXPECT_EQ(replies[static_cast<std::size_t>(i)], std::to_string(i));
}

}  // namespace
}  // namespace walrus::client
