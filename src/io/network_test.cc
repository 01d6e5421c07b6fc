// What io/network.h promises, asked of both implementations over loopback.

#include "io/network.h"

#include <boost/asio/awaitable.hpp>
#include <optional>

#include "io/run_to_end.h"
#include "io/world_under_test.h"

namespace walrus::io {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;
template <class T>
using Awaitable = boost::asio::awaitable<T>;

class NetworkTest : public BothWorlds {
 protected:
  void SetUp() override {
    BothWorlds::SetUp();
    loop_ = env().make_loop();
  }
  void TearDown() override {
    loop_.reset();
    BothWorlds::TearDown();
  }

  // Runs the loop until the coroutine is over.
  void run(Awaitable<void> test) { run_to_end(*loop_, std::move(test)); }

  struct Pair {
    std::unique_ptr<Connection> client, server;
  };
  static Awaitable<Pair> connected(Loop& loop) {
    auto listener = *loop.listen("127.0.0.1:0");
    Pair pair;
    pair.client = *co_await loop.connect(listener->address(), 5s);
    pair.server = *co_await listener->accept();
    co_return pair;
  }
  static Awaitable<std::string> read_all(Connection& from) {
    std::string text, piece(4096, ' ');
    while (true) {
      const auto bytes = co_await from.read_some(piece, 5s);
      EXPECT_TRUE(bytes) << bytes.error().message;
      if (!bytes || *bytes == 0) co_return text;
      text.append(piece, 0, *bytes);
    }
  }
  static Awaitable<void> write_and_end(Connection& to, std::string text) {
    EXPECT_TRUE(co_await to.write(text, 5s));
    to.shutdown_write();
  }

  std::unique_ptr<Loop> loop_;
};
INSTANTIATE_TEST_SUITE_P(Worlds, NetworkTest,
                         testing::Values(WorldKind::kReal, WorldKind::kSimulated), name_of);

Awaitable<void> record(Loop& loop, Nanos after, int number, std::vector<int>& seen) {
  co_await loop.sleep(after);
  seen.push_back(number);
}

TEST_P(NetworkTest, posts_run_in_order) {
  std::vector<int> seen;
  for (int i = 0; i < 3; ++i) loop_->post([&seen, i] { seen.push_back(i); });
  loop_->post([this] { loop_->stop(); });
  loop_->run();
  EXPECT_EQ(seen, (std::vector{0, 1, 2}));
}

TEST_P(NetworkTest, sleepers_wake_in_the_order_of_their_times) {
  std::vector<int> seen;
  loop_->spawn(record(*loop_, 20ms, 2, seen));
  loop_->spawn(record(*loop_, 1ms, 1, seen));
  run(record(*loop_, 60ms, 3, seen));
  EXPECT_EQ(seen, (std::vector{1, 2, 3}));
}

TEST_P(NetworkTest, bytes_arrive_both_ways_and_then_the_end) {
  run([](Loop& loop) -> Awaitable<void> {
    auto pair = co_await connected(loop);
    co_await write_and_end(*pair.client, "to the server");
    EXPECT_EQ(co_await read_all(*pair.server), "to the server");
    co_await write_and_end(*pair.server, "to the client");
    EXPECT_EQ(co_await read_all(*pair.client), "to the client");
    EXPECT_EQ(pair.client->written(), 13);
  }(*loop_));
}

TEST_P(NetworkTest, more_than_any_buffer_arrives_whole) {
  run([](Loop& loop) -> Awaitable<void> {
    auto pair = co_await connected(loop);
    std::string text;
    for (int i = 0; text.size() < (16 << 20); ++i) text += std::to_string(i) + ",";
    loop.spawn(write_and_end(*pair.client, text));
    const std::string read = co_await read_all(*pair.server);
    EXPECT_TRUE(read == text);
  }(*loop_));
}

TEST_P(NetworkTest, read_times_out_and_goes_on) {
  run([](Loop& loop) -> Awaitable<void> {
    auto pair = co_await connected(loop);
    char byte = 0;
    EXPECT_EQ((co_await pair.server->read_some({&byte, 1}, 2ms)).error().code, Code::kTimeout);
    EXPECT_TRUE(co_await pair.client->write("x", 5s));
    EXPECT_EQ(co_await pair.server->read_some({&byte, 1}, 5s), 1u);
    EXPECT_EQ(byte, 'x');
  }(*loop_));
}

TEST_P(NetworkTest, write_to_a_peer_that_does_not_read_times_out) {
  run([](Loop& loop) -> Awaitable<void> {
    auto pair = co_await connected(loop);
    const std::string much(64 << 20, 'x');
    EXPECT_EQ((co_await pair.client->write(much, 20ms)).error().code, Code::kTimeout);
    EXPECT_GT(pair.client->written(), 0);
    EXPECT_LT(pair.client->written(), std::ssize(much));
  }(*loop_));
}

Awaitable<void> read_into(Connection& from, std::optional<Result<std::size_t>>& result) {
  char byte = 0;
  result = co_await from.read_some({&byte, 1}, Nanos::max());
}

TEST_P(NetworkTest, close_ends_a_read_in_flight) {
  run([](Loop& loop) -> Awaitable<void> {
    auto pair = co_await connected(loop);
    std::optional<Result<std::size_t>> result;
    loop.spawn(read_into(*pair.server, result));
    co_await loop.sleep(1ms);
    EXPECT_FALSE(result);
    pair.server->close();
    while (!result) co_await loop.sleep(1ms);
    EXPECT_EQ(result->error().code, Code::kClosed);
    EXPECT_EQ((co_await pair.server->write("x", 5s)).error().code, Code::kClosed);
  }(*loop_));
}

TEST_P(NetworkTest, the_other_side_of_a_closed_connection_reads_the_end) {
  run([](Loop& loop) -> Awaitable<void> {
    auto pair = co_await connected(loop);
    EXPECT_TRUE(co_await pair.client->write("last words", 5s));
    pair.client.reset();
    EXPECT_EQ(co_await read_all(*pair.server), "last words");
  }(*loop_));
}

TEST_P(NetworkTest, writing_to_a_peer_that_closed_fails_in_the_end) {
  run([](Loop& loop) -> Awaitable<void> {
    auto pair = co_await connected(loop);
    pair.client.reset();
    Result<void> written;
    while (written) {
      co_await loop.sleep(1ms);
      written = co_await pair.server->write("x", 5s);
    }
    EXPECT_EQ(written.error().code, Code::kIo);
  }(*loop_));
}

TEST_P(NetworkTest, each_side_knows_the_address_of_the_other) {
  run([](Loop& loop) -> Awaitable<void> {
    auto listener = *loop.listen("127.0.0.1:0");
    auto client = *co_await loop.connect(listener->address(), 5s);
    EXPECT_EQ(client->peer(), listener->address());
    auto server = *co_await listener->accept();
    EXPECT_THAT(server->peer(), StartsWith("127.0.0.1:"));
  }(*loop_));
}

TEST_P(NetworkTest, version_6_addresses_have_brackets) {
  run([](Loop& loop) -> Awaitable<void> {
    auto listener = loop.listen("[::1]:0");
    EXPECT_TRUE(listener) << listener.error().message;
    EXPECT_THAT((*listener)->address(), StartsWith("[::1]:"));
    auto client = *co_await loop.connect((*listener)->address(), 5s);
    EXPECT_EQ(client->peer(), (*listener)->address());
  }(*loop_));
}

TEST_P(NetworkTest, a_name_of_this_machine_can_be_connected_to) {
  run([](Loop& loop) -> Awaitable<void> {
    auto listener = *loop.listen("localhost:0");
    const std::string address = listener->address();
    const std::string port = address.substr(address.rfind(':'));
    EXPECT_TRUE(co_await loop.connect("localhost" + port, 5s));
  }(*loop_));
}

TEST_P(NetworkTest, what_is_no_address_is_refused) {
  for (const char* text : {"", "nonsense", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", ":1"}) {
    EXPECT_EQ(loop_->listen(text).error().code, Code::kInvalid) << text;
  }
  run([](Loop& loop) -> Awaitable<void> {
    EXPECT_EQ((co_await loop.connect("nonsense", 5s)).error().code, Code::kInvalid);
  }(*loop_));
}

TEST_P(NetworkTest, a_port_in_use_is_named) {
  auto listener = *loop_->listen("127.0.0.1:0");
  const auto second = loop_->listen(listener->address());
  EXPECT_EQ(second.error().code, Code::kExists);
  EXPECT_THAT(second.error().message, HasSubstr(listener->address()));
}

TEST_P(NetworkTest, a_closed_listener_frees_its_port_and_refuses) {
  run([](Loop& loop) -> Awaitable<void> {
    auto listener = *loop.listen("127.0.0.1:0");
    const std::string address = listener->address();
    listener.reset();
    EXPECT_EQ((co_await loop.connect(address, 5s)).error().code, Code::kIo);
    EXPECT_TRUE(loop.listen(address));
  }(*loop_));
}

Awaitable<void> accept_into(Listener& from, std::optional<Code>& result) {
  const auto connection = co_await from.accept();
  result = connection.error().code;
}

TEST_P(NetworkTest, closing_a_listener_ends_its_accept) {
  run([](Loop& loop) -> Awaitable<void> {
    auto listener = *loop.listen("127.0.0.1:0");
    std::optional<Code> result;
    loop.spawn(accept_into(*listener, result));
    co_await loop.sleep(1ms);
    listener->close();
    while (!result) co_await loop.sleep(1ms);
    EXPECT_EQ(result, Code::kClosed);
  }(*loop_));
}

TEST_P(NetworkTest, a_gate_opened_early_lets_one_through) {
  run([](Loop& loop) -> Awaitable<void> {
    auto gate = loop.make_gate();
    gate->open();
    EXPECT_TRUE(co_await gate->wait(Nanos::max()));
    EXPECT_FALSE(co_await gate->wait(1ms));
  }(*loop_));
}

TEST_P(NetworkTest, a_signal_wakes_its_waiter_from_a_worker) {
  Env* world = &env();
  run([](Loop& loop, Env& from) -> Awaitable<void> {
    Signal signal(loop);
    auto worker = from.start_worker("setter", [setter = signal.setter(), set = false]() mutable {
      if (!std::exchange(set, true)) setter(std::unexpected(Error{Code::kClosed, "over"}));
      return Worker::kForever;
    });
    EXPECT_EQ((co_await signal.wait(5s)).error().code, Code::kClosed);
  }(*loop_, *world));
}

TEST_P(NetworkTest, a_signal_set_before_the_wait_is_not_lost) {
  run([](Loop& loop) -> Awaitable<void> {
    Signal signal(loop);
    signal.setter()(Result<void>());
    EXPECT_TRUE(co_await signal.wait());
  }(*loop_));
}

TEST_P(NetworkTest, a_signal_that_timed_out_can_be_waited_for_again) {
  run([](Loop& loop) -> Awaitable<void> {
    Signal signal(loop);
    auto setter = signal.setter();
    EXPECT_EQ((co_await signal.wait(1ms)).error().code, Code::kTimeout);
    setter(Result<void>());
    EXPECT_TRUE(co_await signal.wait(5s));
  }(*loop_));
}

TEST_P(NetworkTest, a_setter_may_outlive_signal_and_loop) {
  std::move_only_function<void(Result<void>)> setter;
  run([](Loop& loop, auto& out) -> Awaitable<void> {
    Signal signal(loop);
    out = signal.setter();
    co_return;
  }(*loop_, setter));
  loop_.reset();
  setter(Result<void>());
}

struct Flag {
  explicit Flag(bool& destroyed) : destroyed_(destroyed) {}
  ~Flag() { destroyed_ = true; }
  bool& destroyed_;
};

Awaitable<void> suspended_for_ever(Loop& loop, bool& destroyed, bool& reached) {
  const Flag flag(destroyed);
  Signal signal(loop);
  auto listener = *loop.listen("127.0.0.1:0");
  auto client = *co_await loop.connect(listener->address(), 5s);
  char byte = 0;
  reached = true;
  (void)co_await client->read_some({&byte, 1}, Nanos::max());
  ADD_FAILURE() << "went on";
}

Awaitable<void> waits_for_ever(Loop& loop, bool& destroyed) {
  const Flag flag(destroyed);
  Signal signal(loop);
  (void)co_await signal.wait();
  ADD_FAILURE() << "went on";
}

TEST_P(NetworkTest, a_loop_takes_its_suspended_coroutines_with_it) {
  bool reading = false, waiting = false, sleeping = false, reached = false;
  loop_->spawn(suspended_for_ever(*loop_, reading, reached));
  loop_->spawn(waits_for_ever(*loop_, waiting));
  loop_->spawn([](Loop& loop, bool& destroyed) -> Awaitable<void> {
    const Flag flag(destroyed);
    co_await loop.sleep(std::chrono::hours(1));
    ADD_FAILURE() << "went on";
  }(*loop_, sleeping));
  run([](Loop& loop, const bool& until) -> Awaitable<void> {
    while (!until) co_await loop.sleep(1ms);
  }(*loop_, reached));
  EXPECT_FALSE(reading || waiting || sleeping);
  loop_.reset();
  EXPECT_TRUE(reading && waiting && sleeping);
}

TEST_P(NetworkTest, a_coroutine_that_never_started_goes_with_its_loop) {
  bool destroyed = false;
  loop_->spawn(waits_for_ever(*loop_, destroyed));
  loop_->post([keep = std::make_unique<int>(1)] {});
  loop_.reset();
  SUCCEED();
}

TEST_P(NetworkTest, a_busy_connection_lets_others_have_their_turn) {
  run([](Loop& loop) -> Awaitable<void> {
    auto pair = co_await connected(loop);
    EXPECT_TRUE(co_await pair.client->write(std::string(10'000, 'x'), 5s));
    bool others = false;
    loop.post([&] { others = true; });
    char byte = 0;
    int reads = 0;
    for (; !others && reads < 9'000; ++reads) {
      EXPECT_EQ(co_await pair.server->read_some({&byte, 1}, 5s), 1u);
    }
    EXPECT_LT(reads, 100);
  }(*loop_));
}

}  // namespace
}  // namespace walrus::io
