// Faults of the simulated network. What works without faults is in io/network_test.cc.

#include "io/sim/sim_network.h"

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <optional>

#include "io/network.h"
#include "io/sim/sim_world.h"

namespace walrus::io {
namespace {

using namespace std::chrono_literals;
template <class T>
using Awaitable = boost::asio::awaitable<T>;

// A server on node 0 and a client on node 1, connected.
struct TwoNodes {
  explicit TwoNodes(std::uint64_t seed, const LinkOptions& link = {})
      : world(seed, {.nodes = 3, .link = link}) {
    loops[0] = world.node(0).env().make_loop();
    loops[1] = world.node(1).env().make_loop();
    listener = *loops[0]->listen("10.0.0.1:80");
  }
  ~TwoNodes() {  // before their loops
    server.reset();
    client.reset();
    listener.reset();
  }

  void connect() {
    loops[0]->spawn(accept(*listener, server));
    loops[1]->spawn(dial(*loops[1], client));
    ASSERT_TRUE(world.run_until([&] { return client && server; }, 60s));
  }
  static Awaitable<void> accept(Listener& from, std::unique_ptr<Connection>& to) {
    auto connection = co_await from.accept();
    if (connection) to = *std::move(connection);
  }
  static Awaitable<void> dial(Loop& loop, std::unique_ptr<Connection>& to) {
    auto connection = co_await loop.connect("10.0.0.1:80", 30s);
    if (connection) to = *std::move(connection);
  }

  // One call of client or server and what it answered; empty while it waits.
  struct Call {
    std::optional<Result<std::string>> result;
    std::string text() const { return result && *result ? **result : "(nothing)"; }
    std::optional<Code> error() const {
      return result && !*result ? std::optional(result->error().code) : std::nullopt;
    }
  };
  std::shared_ptr<Call> read(int node, Nanos timeout = Nanos::max(), std::size_t bytes = 1000) {
    auto call = std::make_shared<Call>();
    loops[node]->spawn(read_into(*(node == 0 ? server : client), call, timeout, bytes));
    return call;
  }
  static Awaitable<void> read_into(Connection& from, std::shared_ptr<Call> call, Nanos timeout,
                                   std::size_t bytes) {
    std::string text(bytes, ' ');
    const auto read = co_await from.read_some(text, timeout);
    if (read) call->result = text.substr(0, *read);
    else call->result = std::unexpected(read.error());
  }
  std::shared_ptr<Call> write(int node, std::string text) {
    auto call = std::make_shared<Call>();
    loops[node]->spawn(write_from(*(node == 0 ? server : client), call, std::move(text)));
    return call;
  }
  static Awaitable<void> write_from(Connection& to, std::shared_ptr<Call> call, std::string text) {
    const auto written = co_await to.write(text, Nanos::max());
    if (written) call->result = "written";
    else call->result = std::unexpected(written.error());
  }

  World world;
  std::unique_ptr<Loop> loops[2];
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connection> server, client;
};

TEST(SimNetworkTest, delay_is_that_of_the_link) {
  TwoNodes two(1, {.delay_min = 3ms, .delay_max = 4ms});
  two.connect();
  const Nanos sent = two.world.now();
  two.write(1, "x");
  auto read = two.read(0);
  ASSERT_TRUE(two.world.run_until([&] { return read->result.has_value(); }, 1s));
  EXPECT_GE(two.world.now() - sent, 3ms);
  EXPECT_LE(two.world.now() - sent, 5ms);
}

TEST(SimNetworkTest, bandwidth_is_that_of_the_link) {
  TwoNodes two(1);
  two.connect();
  two.world.network().link(1, 0).bytes_per_s = 100'000;
  const Nanos sent = two.world.now();
  two.write(1, std::string(20'000, 'x'));
  std::size_t received = 0;
  while (received < 20'000) {
    auto read = two.read(0, Nanos::max(), 20'000);
    ASSERT_TRUE(two.world.run_until([&] { return read->result.has_value(); }, 10s));
    received += read->text().size();
  }
  EXPECT_GE(two.world.now() - sent, 200ms);
  EXPECT_LE(two.world.now() - sent, 210ms);
}

TEST(SimNetworkTest, what_is_lost_arrives_later_and_in_order) {
  TwoNodes two(1, {.loss = 0.5});
  two.connect();
  std::string sent, received;
  for (int i = 0; i < 100; ++i) {
    const std::string piece = std::to_string(i) + ",";
    auto call = two.write(1, piece);
    two.world.run_until([&] { return call->result.has_value(); }, 1s);
    sent += piece;
  }
  while (received.size() < sent.size()) {
    auto read = two.read(0);
    ASSERT_TRUE(two.world.run_until([&] { return read->result.has_value(); }, 600s));
    received += read->text();
  }
  EXPECT_EQ(received, sent);
  EXPECT_GT(two.world.network().hits().at("loss"), 20);
}

TEST(SimNetworkTest, partial_reads_return_a_part) {
  TwoNodes two(1, {.partial_read = 1});
  two.connect();
  two.write(1, std::string(1000, 'x'));
  std::size_t received = 0;
  int reads = 0;
  for (; received < 1000; ++reads) {
    auto read = two.read(0);
    ASSERT_TRUE(two.world.run_until([&] { return read->result.has_value(); }, 1s));
    received += read->text().size();
  }
  EXPECT_GT(reads, 1);
}

TEST(SimNetworkTest, a_one_way_cut_holds_back_one_way) {
  TwoNodes two(1);
  two.connect();
  two.world.network().cut(1, 0);
  two.write(1, "to the server");
  two.write(0, "to the client");
  auto server = two.read(0);
  auto client = two.read(1);
  two.world.run_for(10s);
  EXPECT_EQ(client->text(), "to the client");
  EXPECT_FALSE(server->result);
  two.world.network().heal(1, 0);
  two.world.run_for(1s);
  EXPECT_EQ(server->text(), "to the server");
  EXPECT_GT(two.world.network().hits().at("held"), 0);
}

TEST(SimNetworkTest, connecting_over_a_cut_link_times_out) {
  TwoNodes two(1);
  two.world.network().isolate(0);
  two.loops[1]->spawn(TwoNodes::dial(*two.loops[1], two.client));
  two.world.run_for(60s);
  EXPECT_FALSE(two.client);
}

TEST(SimNetworkTest, a_reset_fails_both_ends) {
  TwoNodes two(1);
  two.connect();
  auto server = two.read(0);
  auto client = two.read(1);
  two.world.run_for(1ms);
  two.world.network().reset_connections(0, 1);
  two.world.run_for(1ms);
  EXPECT_EQ(server->error(), Code::kIo);
  EXPECT_EQ(client->error(), Code::kIo);
  EXPECT_EQ(two.world.network().connections(), 0);
}

TEST(SimNetworkTest, a_half_open_connection_shows_when_it_is_used) {
  TwoNodes two(1);
  two.connect();
  auto client = two.read(1);
  two.world.network().half_open(1, 0);
  two.world.run_for(60s);
  EXPECT_FALSE(client->result);  // nobody told it
  two.write(1, "are you there?");
  two.world.run_for(1s);
  EXPECT_EQ(client->error(), Code::kIo);
}

TEST(SimNetworkTest, a_killed_process_ends_its_connections) {
  TwoNodes two(1);
  two.connect();
  auto client = two.read(1);
  two.world.run_for(1ms);
  two.world.node(0).crash(CrashKind::kKill);
  two.world.run_for(1s);
  EXPECT_EQ(client->text(), "");
  EXPECT_EQ((*two.write(1, "x")).error(), std::nullopt);
  two.world.run_for(1s);
  auto late = two.write(1, "x");
  two.world.run_for(1s);
  EXPECT_EQ(late->error(), Code::kIo);
}

TEST(SimNetworkTest, a_power_cut_says_nothing_until_the_node_is_back) {
  TwoNodes two(1);
  two.connect();
  auto client = two.read(1);
  two.world.node(0).crash(CrashKind::kPowerCut);
  two.write(1, "are you there?");
  two.world.run_for(60s);
  EXPECT_FALSE(client->result);
  two.world.node(0).restart();
  two.world.run_for(1s);
  EXPECT_EQ(client->error(), Code::kIo);
}

TEST(SimNetworkTest, a_dead_process_refuses_and_a_restarted_one_listens_again) {
  TwoNodes two(1);
  two.world.node(0).crash(CrashKind::kKill);
  two.loops[1]->spawn(TwoNodes::dial(*two.loops[1], two.client));
  two.world.run_for(1s);
  EXPECT_FALSE(two.client);
  EXPECT_EQ(two.world.network().hits().at("refused"), 1);
  auto loop = two.world.node(0).restart().make_loop();
  auto again = loop->listen("10.0.0.1:80");
  ASSERT_TRUE(again);
  two.loops[1]->spawn(TwoNodes::dial(*two.loops[1], two.client));
  two.world.run_for(1s);
  EXPECT_TRUE(two.client);
}

TEST(SimNetworkTest, a_duplicated_connect_is_accepted_twice_and_one_is_reset) {
  TwoNodes two(1, {.duplicate = 1});
  two.connect();
  std::unique_ptr<Connection> twin;
  two.loops[0]->spawn(TwoNodes::accept(*two.listener, twin));
  ASSERT_TRUE(two.world.run_until([&] { return twin != nullptr; }, 1s));
  auto call = std::make_shared<TwoNodes::Call>();
  two.loops[0]->spawn(TwoNodes::read_into(*twin, call, Nanos::max(), 10));
  two.world.run_for(1s);
  EXPECT_EQ(call->error(), Code::kIo);
  two.write(1, "the first one works");
  auto read = two.read(0);
  two.world.run_for(1s);
  EXPECT_EQ(read->text(), "the first one works");
}

Awaitable<void> accept_code(Listener& from, std::optional<Code>& code) {
  const auto connection = co_await from.accept();
  if (!connection) code = connection.error().code;
}

TEST(SimNetworkTest, an_accept_without_descriptors_is_busy) {
  TwoNodes two(1);
  two.world.network().accept_busy() = 1;
  std::optional<Code> code;
  two.loops[0]->spawn(accept_code(*two.listener, code));
  two.loops[1]->spawn(TwoNodes::dial(*two.loops[1], two.client));
  two.world.run_for(1s);
  EXPECT_EQ(code, Code::kBusy);
}

TEST(SimNetworkTest, loopback_is_each_nodes_own) {
  TwoNodes two(1);
  auto local = *two.loops[0]->listen("127.0.0.1:81");
  auto same_port_elsewhere = two.loops[1]->listen("127.0.0.1:81");
  EXPECT_TRUE(same_port_elsewhere);
  EXPECT_EQ(two.loops[1]->listen("10.0.0.1:82").error().code, Code::kIo);
  EXPECT_EQ(two.loops[0]->listen("0.0.0.0:81").error().code, Code::kExists);
}

TEST(SimNetworkTest, different_connections_overtake_each_other) {
  bool overtaken = false;
  for (std::uint64_t seed = 1; seed <= 20 && !overtaken; ++seed) {
    TwoNodes one(seed, {.delay_min = 1us, .delay_max = 10ms});
    one.connect();
    std::unique_ptr<Connection> second_client, second_server;
    one.loops[0]->spawn(TwoNodes::accept(*one.listener, second_server));
    one.loops[1]->spawn(TwoNodes::dial(*one.loops[1], second_client));
    ASSERT_TRUE(one.world.run_until([&] { return second_client && second_server; }, 1s));
    auto first = one.read(0);
    auto second = std::make_shared<TwoNodes::Call>();
    one.loops[0]->spawn(TwoNodes::read_into(*second_server, second, Nanos::max(), 10));
    one.write(1, "first");
    one.world.run_for(500us);
    auto written = std::make_shared<TwoNodes::Call>();
    one.loops[1]->spawn(TwoNodes::write_from(*second_client, written, "second"));
    one.world.run_until([&] { return second->text() == "second"; }, 1s);
    overtaken = !first->result;
  }
  EXPECT_TRUE(overtaken);
}

}  // namespace
}  // namespace walrus::io
