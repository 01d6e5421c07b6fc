// What an Rpc does with what no peer of ours would send, in both worlds: a documented refusal,
// bounded memory, and everybody else is served on.

#include <sys/resource.h>

#include "base/coding.h"
#include "net/message.h"
#include "net/rpc_fixture.h"

namespace walrus::net {
namespace {

using testing::HasSubstr;

class RefusalsLog final : public LogSink {
 public:
  void write(LogLevel, Bytes line) override {
    if (line.contains("peer_refused")) lines.emplace_back(line);
  }
  std::vector<std::string> lines{};
};

// One end of a connection that speaks bytes.
class Stranger {
 public:
  static Awaitable<std::unique_ptr<Stranger>> come(RpcTest& t, const Rpc& to) {
    auto connection = co_await t.loop().connect(to.address(), 5s);
    EXPECT_TRUE(connection) << connection.error().message;
    auto stranger = std::make_unique<Stranger>();
    if (connection) stranger->connection_ = *std::move(connection);
    co_return stranger;
  }

  Awaitable<void> say(std::string bytes) { (void)co_await connection_->write(bytes, 5s); }
  Awaitable<void> say(FrameHeader header, std::string body) {
    if (header.incarnation.value == 0) header.incarnation = {1};
    std::string bytes;
    append_frame(bytes, header, cluster, body);
    co_await say(std::move(bytes));
  }
  Awaitable<void> hello(std::uint64_t node, Incarnation life = {1}) {
    std::string body;
    append_hello(body, {{node}, {2}, 1, 0, {1000, 1 << 20, 1 << 20, 1 << 20, 10}});
    co_await say({.type = FrameType::kHello, .incarnation = life}, std::move(body));
  }
  struct Heard {
    FrameHeader header;
    std::string body;
  };
  // The next frame that is no credit, and no ping unless those are asked for; none: the end.
  Awaitable<std::optional<Heard>> hear(bool pings = false) {
    while (true) {
      const auto frame = splitter_.next();
      EXPECT_TRUE(frame);
      if (!frame) co_return std::nullopt;
      if (*frame) {
        const auto type = (*frame)->header.type;
        if (type == FrameType::kCredit || (type == FrameType::kPing && !pings)) continue;
        co_return Heard{(*frame)->header, std::string((*frame)->body)};
      }
      const auto size = co_await connection_->read_some(splitter_.space(), 20s);
      if (!size || *size == 0) co_return std::nullopt;
      splitter_.received(*size);
    }
  }
  Awaitable<Refusal> hear_refusal() {
    const auto heard = co_await hear();
    EXPECT_TRUE(heard) << "the end, without a word";
    if (!heard) co_return Refusal{};
    EXPECT_EQ(heard->header.type, FrameType::kRefuse);
    co_return parse_refusal(heard->body).value_or(Refusal{});
  }
  Awaitable<void> be_welcome(std::uint64_t node) {
    co_await hello(node);
    const auto heard = co_await hear();
    EXPECT_TRUE(heard && heard->header.type == FrameType::kWelcome);
  }
  Awaitable<void> hear_the_end() { EXPECT_FALSE(co_await hear()); }

  ClusterId cluster = kTestCluster;

 private:
  std::unique_ptr<io::Connection> connection_;
  FrameSplitter splitter_{kTestCluster, 1 << 20};
};

class StrangersTest : public RpcTest {
 public:
  static RpcOptions hasty(std::uint64_t node) {
    auto options = options_of(node);
    options.handshake_timeout = 300ms;
    options.keepalive_interval = 100ms;
    options.silence_max = 400ms;
    return options;
  }
  // Somebody else is served whatever else goes on.
  Awaitable<void> others_live(Rpc& server) {
    auto a = start(hasty(77));
    a->add_peer({2}, server.address());
    EXPECT_EQ(co_await a->call({2}, kEcho, "others", {.timeout = 5s}), "others");
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, StrangersTest,
                         testing::Values(io::WorldKind::kReal, io::WorldKind::kSimulated),
                         io::name_of);

TEST_P(StrangersTest, other_protocols_get_a_refusal) {
  run([](StrangersTest& t) -> Awaitable<void> {
    auto b = t.start(hasty(2));
    for (const char* text : {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02", "PUT logs hello"}) {
      auto stranger = co_await Stranger::come(t, *b);
      co_await stranger->say(std::string(text));
      const auto refusal = co_await stranger->hear_refusal();
      EXPECT_EQ(refusal.reason, RefusalReason::kProtocol) << text;
      EXPECT_EQ(refusal.text, "not a frame of the peer protocol");
      co_await stranger->hear_the_end();
    }
    EXPECT_EQ(b->stats().refused, 3U);
    co_await t.others_live(*b);
  }(*this));
}

TEST_P(StrangersTest, a_giant_length_is_refused_at_once) {
  run([](StrangersTest& t) -> Awaitable<void> {
    auto b = t.start(hasty(2));
    std::string bytes;
    append_frame(bytes, {.type = FrameType::kHello, .incarnation = {1}}, kTestCluster, "");
    store_le(bytes.data() + 8, std::uint32_t{0xfffffff0});
    auto stranger = co_await Stranger::come(t, *b);
    co_await stranger->say(bytes);
    const auto refusal = co_await stranger->hear_refusal();
    EXPECT_THAT(refusal.text, HasSubstr("a frame of 4294967280 bytes"));
    co_await stranger->hear_the_end();
    co_await t.others_live(*b);
  }(*this));
}

TEST_P(StrangersTest, who_says_nothing_or_stops_midway_is_cut_in_time) {
  run([](StrangersTest& t) -> Awaitable<void> {
    auto b = t.start(hasty(2));
    std::string bytes;
    append_frame(bytes, {.type = FrameType::kHello, .incarnation = {1}}, kTestCluster,
                 std::string(52, 'x'));
    for (std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{60}}) {
      auto stranger = co_await Stranger::come(t, *b);
      co_await stranger->say(bytes.substr(0, size));
      EXPECT_TRUE(co_await t.until([&] { return b->stats().handshakes == 1; }));
      const auto begun = t.world().mono();
      co_await stranger->hear_the_end();
      EXPECT_LT(t.world().mono() - begun, 5s);
      EXPECT_TRUE(co_await t.until([&] { return b->stats().handshakes == 0; }));
    }
    co_await t.others_live(*b);
  }(*this));
}

TEST_P(StrangersTest, another_cluster_another_node_and_an_old_life_are_refused) {
  run([](StrangersTest& t) -> Awaitable<void> {
    RefusalsLog log;
    auto options = hasty(2);
    options.log = &log;
    auto b = t.start(options);
    auto foreign = co_await Stranger::come(t, *b);
    foreign->cluster = {9, 9};
    co_await foreign->hello(5);
    const auto wrong_cluster = co_await foreign->hear_refusal();
    EXPECT_EQ(wrong_cluster.reason, RefusalReason::kWrongCluster);
    EXPECT_THAT(wrong_cluster.text, HasSubstr(to_string(ClusterId{9, 9})));

    auto twin = co_await Stranger::come(t, *b);
    co_await twin->hello(2);
    EXPECT_EQ((co_await twin->hear_refusal()).reason, RefusalReason::kWrongNode);

    auto young = co_await Stranger::come(t, *b);
    co_await young->hello(5, {7});
    EXPECT_EQ((co_await young->hear())->header.type, FrameType::kWelcome);
    auto old = co_await Stranger::come(t, *b);
    co_await old->hello(5, {6});
    const auto refusal = co_await old->hear_refusal();
    EXPECT_EQ(refusal.reason, RefusalReason::kOldIncarnation);
    EXPECT_EQ(refusal.text, "incarnation 6 of node 5, a later one, 7, is known");
    co_await t.others_live(*b);
    // The operator is told each of them, and of no number of strangers more than some lines.
    for (const auto* told : {"a frame of cluster", "this is node 2 too", "incarnation 6 of node 5"})
      EXPECT_THAT(log.lines, testing::Contains(HasSubstr(told)));
    for (int i = 0; i < 100; ++i) {
      auto stranger = co_await Stranger::come(t, *b);
      co_await stranger->hello(2);
      (void)co_await stranger->hear_refusal();
    }
    EXPECT_LT(log.lines.size(), 50u);
    b.reset();
  }(*this));
}

TEST_P(StrangersTest, a_life_that_does_not_answer_makes_way_for_a_later_one) {
  run([](StrangersTest& t) -> Awaitable<void> {
    auto b = t.start(RpcTest::options_of(2));
    auto silent = co_await Stranger::come(t, *b);
    co_await silent->hello(5, {1});
    EXPECT_EQ((co_await silent->hear())->header.type, FrameType::kWelcome);
    auto later = co_await Stranger::come(t, *b);
    co_await later->hello(5, {2});
    const auto asked = co_await silent->hear(true);
    EXPECT_EQ(asked->header.type, FrameType::kPing);
    // The pong of another ping, which it may have sent before it died.
    co_await silent->say({.type = FrameType::kPong, .id = asked->header.id - 1}, "");
    EXPECT_EQ((co_await later->hear())->header.type, FrameType::kWelcome);
    EXPECT_EQ(b->stats().links, 1U);
    // One that answers stays.
    auto another = co_await Stranger::come(t, *b);
    co_await another->hello(5, {3});
    const auto again = co_await later->hear(true);
    EXPECT_EQ(again->header.type, FrameType::kPing);
    co_await later->say({.type = FrameType::kPong, .id = again->header.id, .incarnation = {2}}, "");
    const auto refusal = co_await another->hear_refusal();
    EXPECT_EQ(refusal.reason, RefusalReason::kTaken);
    b.reset();
  }(*this));
}

// What ends an established connection, with what text.
struct Violation {
  const char* says;
  FrameHeader header;
  std::string body;
};

TEST_P(StrangersTest, what_is_against_the_protocol_ends_the_connection_with_a_reason) {
  run([](StrangersTest& t) -> Awaitable<void> {
    auto b = t.start(hasty(2));
    const std::string prelude("\xe8\x03\0\0", 4);
    const Violation violations[] = {
        {"a frame of incarnation 9, the connection is of 1",
         {.type = FrameType::kPing, .incarnation = {9}},
         ""},
        {"a second handshake", {.type = FrameType::kHello}, ""},
        {"a malformed request", {.type = FrameType::kCall, .method = kEcho}, "xx"},
        {"a malformed credit", {.type = FrameType::kCredit}, "xx"},
        {"a malformed error", {.type = FrameType::kCancel}, ""},
        {"an answer to no call", {.type = FrameType::kReply}, ""},
        {"a control message that is too large",
         {.type = FrameType::kCall, .flags = kControl, .method = kEcho},
         prelude + std::string(5000, 'x')},
        {"a frame of 65541 bytes, the limit is 65540",
         {.type = FrameType::kCall, .method = kEcho},
         prelude + std::string((64 << 10) + 1, 'x')},
        {"data without bytes", {.type = FrameType::kData, .id = 4}, ""},
    };
    for (const auto& [says, header, body] : violations) {
      auto stranger = co_await Stranger::come(t, *b);
      co_await stranger->be_welcome(5);
      co_await stranger->say(header, body);
      EXPECT_EQ((co_await stranger->hear_refusal()).text, says);
      co_await stranger->hear_the_end();
      EXPECT_EQ(b->stats().last_violation, says);
    }
    EXPECT_EQ(b->stats().violations, std::size(violations));
    co_await t.others_live(*b);
  }(*this));
}

TEST_P(StrangersTest, an_id_in_use_is_a_violation) {
  run([](StrangersTest& t) -> Awaitable<void> {
    auto b = t.start(hasty(2));
    auto held = hold_on(*b, t);
    auto stranger = co_await Stranger::come(t, *b);
    co_await stranger->be_welcome(5);
    for (int i = 0; i < 2; ++i)
      co_await stranger->say({.type = FrameType::kCall, .method = kHold, .id = 3},
                             std::string("\xe8\x03\0\0", 4));
    EXPECT_EQ((co_await stranger->hear_refusal()).text, "a request whose id is in use");
    held->go = true;
    EXPECT_TRUE(co_await b->stop(5s));
  }(*this));
}

TEST_P(StrangersTest, more_than_was_granted_is_cut_and_was_bounded) {
  run([](StrangersTest& t) -> Awaitable<void> {
    auto b = t.start(hasty(2));
    Held held{t.loop()};
    b->handle_send(kNotify, [&](Request request) { held.requests.push_back(std::move(request)); });
    auto stranger = co_await Stranger::come(t, *b);
    co_await stranger->be_welcome(5);
    const auto message = std::string("\xe8\x03\0\0", 4) + std::string(32 << 10, 'x');
    for (int i = 0; i < 20; ++i)
      co_await stranger->say({.type = FrameType::kSend, .method = kNotify}, message);
    EXPECT_EQ((co_await stranger->hear_refusal()).text, "more than was granted");
    EXPECT_LE(b->stats().occupied_bytes_max, static_cast<std::int64_t>(options_of(2).bulk_window));
    held.requests.clear();
    co_await t.others_live(*b);
  }(*this));
}

Awaitable<void> ask_for_ever(Stranger& stranger, int& asked) {
  std::string bytes;
  for (std::uint64_t id = 1; id <= 200; ++id) {
    bytes.clear();
    append_frame(bytes, {.type = FrameType::kCall, .method = kEcho, .id = id, .incarnation = {1}},
                 kTestCluster, std::string("\xe8\x03\0\0", 4) + std::string(900, 'x'));
    co_await stranger.say(bytes);
    ++asked;
  }
}

TEST_P(StrangersTest, a_peer_that_never_reads_is_cut_and_costs_little) {
  run([](StrangersTest& t) -> Awaitable<void> {
    auto b = t.start(hasty(2));
    auto stranger = co_await Stranger::come(t, *b);
    co_await stranger->be_welcome(5);
    int asked = 0;
    t.loop().spawn(ask_for_ever(*stranger, asked));
    EXPECT_TRUE(co_await t.until([&] { return asked == 200; }));
    co_await t.others_live(*b);
    EXPECT_TRUE(co_await t.until([&] { return !b->connected({5}); }));
    EXPECT_LE(b->stats().occupied_bytes_max, static_cast<std::int64_t>(options_of(2).bulk_window));
    EXPECT_EQ(b->stats().occupied_bytes, 0);
  }(*this));
}

TEST_P(StrangersTest, windows_that_hold_no_two_messages_are_refused) {
  run([](StrangersTest& t) -> Awaitable<void> {
    auto b = t.start(hasty(2));
    auto stranger = co_await Stranger::come(t, *b);
    std::string body;
    append_hello(body, {{5}, {2}, 1, 0, {1000, 1000, 1000, 1000, 1}});
    co_await stranger->say({.type = FrameType::kHello}, body);
    EXPECT_EQ((co_await stranger->hear_refusal()).text, "windows below two messages");
  }(*this));
}

TEST_P(StrangersTest, a_thousand_connections_are_held_and_more_are_told) {
  constexpr std::size_t kMax = 1'000;
  if (!simulated()) {
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 4 * kMax);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    ASSERT_GE(limit.rlim_cur, 2 * kMax + 200);
  }
  run([](StrangersTest& t) -> Awaitable<void> {
    auto options = hasty(2);
    options.connections_max = options.connections_per_address_max = kMax;
    options.handshake_timeout = 60s;
    auto b = t.start(options);
    auto a = t.start(hasty(1));
    a->add_peer({2}, b->address());
    EXPECT_TRUE(co_await a->call({2}, kEcho, "first"));
    std::vector<std::unique_ptr<Stranger>> crowd;
    for (std::size_t i = 1; i < kMax; ++i) crowd.push_back(co_await Stranger::come(t, *b));
    EXPECT_TRUE(co_await t.until([&] { return b->stats().handshakes == kMax - 1; }));
    auto late = co_await Stranger::come(t, *b);
    EXPECT_EQ((co_await late->hear_refusal()).reason, RefusalReason::kTooMany);
    EXPECT_EQ(co_await a->call({2}, kEcho, "still", {.timeout = 5s}), "still");
    crowd.clear();
    EXPECT_TRUE(co_await t.until([&] { return b->stats().handshakes == 0; }));
    co_await t.others_live(*b);
  }(*this));
}

}  // namespace
}  // namespace walrus::net
