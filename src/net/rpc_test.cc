// What net/rpc.h promises of calls and one-way messages, asked in both worlds.

#include "net/rpc_fixture.h"

namespace walrus::net {
namespace {

using testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(Worlds, RpcTest,
                         testing::Values(io::WorldKind::kReal, io::WorldKind::kSimulated),
                         io::name_of);

TEST_P(RpcTest, a_call_gets_its_reply) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    a->add_peer({2}, b->address());
    EXPECT_EQ(co_await a->call({2}, kEcho, "hello"), "hello");
    EXPECT_EQ(co_await a->call({2}, kEcho, ""), "");
    EXPECT_EQ(co_await a->call({2}, kEcho, std::string(64 << 10, 'x')), std::string(64 << 10, 'x'));
    EXPECT_EQ(a->stats().links_made, 1U);
    EXPECT_EQ(a->stats().calls, 3U);
    EXPECT_EQ(a->stats().completed, 3U);
  }(*this));
}

TEST_P(RpcTest, one_connection_serves_both_directions) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    a->add_peer({2}, b->address());
    EXPECT_TRUE(co_await a->call({2}, kEcho, "x"));
    // b was never told the address of a: the connection is there.
    EXPECT_EQ(co_await b->call({1}, kEcho, "back"), "back");
    EXPECT_EQ(b->stats().links_made, 1U);
  }(*this));
}

TEST_P(RpcTest, who_asks_is_told_to_the_handler) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    std::vector<Request> seen;
    b->handle_send(kNotify, [&seen](Request request) { seen.push_back(std::move(request)); });
    a->add_peer({2}, b->address());
    EXPECT_TRUE(a->send({2}, kNotify, "news", {.timeout = 5s}));
    EXPECT_TRUE(co_await t.until([&] { return !seen.empty(); }));
    EXPECT_EQ(seen[0].from, NodeId{1});
    EXPECT_EQ(seen[0].incarnation, Incarnation{1});
    EXPECT_EQ(seen[0].method, kNotify);
    EXPECT_EQ(seen[0].body, "news");
    EXPECT_GT(seen[0].deadline, t.world().mono());
    EXPECT_LE(seen[0].deadline, t.world().mono() + 5s);
  }(*this));
}

TEST_P(RpcTest, refusals_say_what_and_come_after_the_call_returned) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    a->add_peer({2}, b->address());
    const auto failed = co_await a->call({2}, kFail, "");
    EXPECT_EQ(failed.error().code, Code::kExists);
    EXPECT_EQ(failed.error().message, "it is there already");
    EXPECT_EQ((co_await a->call({2}, Method{99}, "")).error().code, Code::kNotFound);
    EXPECT_EQ((co_await a->call({3}, kEcho, "")).error().code, Code::kNotFound);
    const std::string large((64 << 10) + 1, 'x');
    EXPECT_EQ((co_await a->call({2}, kEcho, large)).error().code, Code::kTooLarge);
    EXPECT_EQ(a->send({3}, kNotify, "").error().code, Code::kNotFound);
    int completed = 0;
    a->call({3}, kEcho, "", {}, [&](Result<std::string>) { ++completed; });
    EXPECT_EQ(completed, 0);
    EXPECT_TRUE(co_await t.until([&] { return completed == 1; }));
  }(*this));
}

TEST_P(RpcTest, what_the_peer_cannot_take_is_refused_by_its_limits) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto small = RpcTest::options_of(2);
    small.message_bytes_max = small.control_bytes_max = 100;
    auto a = t.start(1), b = t.start(small);
    a->add_peer({2}, b->address());
    const auto refused = co_await a->call({2}, kEcho, std::string(101, 'x'));
    EXPECT_EQ(refused.error().code, Code::kTooLarge);
    EXPECT_TRUE(co_await a->call({2}, kEcho, std::string(100, 'x')));
  }(*this));
}

TEST_P(RpcTest, the_deadline_covers_connecting) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1);
    auto b = t.start(2);
    const auto address = b->address();
    b.reset();
    a->add_peer({2}, address);
    const auto begun = t.world().mono();
    const auto late = co_await a->call({2}, kEcho, "x", {.timeout = 100ms});
    EXPECT_EQ(late.error().code, Code::kTimeout);
    EXPECT_THAT(late.error().message, HasSubstr("refused"));
    EXPECT_GE(t.world().mono() - begun, 100ms);
    EXPECT_LT(t.world().mono() - begun, 5s);
  }(*this));
}

TEST_P(RpcTest, a_call_waits_for_a_node_that_comes_up) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1);
    auto options = RpcTest::options_of(2);
    auto b = t.start(options);
    options.listen = b->address();
    b.reset();
    a->add_peer({2}, options.listen);
    std::optional<Result<std::string>> reply;
    a->call({2}, kEcho, "x", {.timeout = 20s}, [&](auto result) { reply = std::move(result); });
    EXPECT_TRUE(co_await t.until([&] { return a->stats().connects_failed >= 2; }));
    b = t.start(options);
    EXPECT_TRUE(co_await t.until([&] { return reply.has_value(); }));
    EXPECT_EQ(*reply, "x");
  }(*this));
}

// A port that is closed says at once that nobody is there; what can wait goes on waiting.
TEST_P(RpcTest, what_is_only_for_who_is_there_ends_where_nobody_lets_it_in) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    const auto address = b->address();
    a->add_peer({2}, address);
    EXPECT_TRUE(co_await a->call({2}, kEcho, "", {.only_if_there = true}));
    b.reset();
    EXPECT_TRUE(co_await t.until([&] { return !a->connected({2}); }));
    const auto begun = t.world().mono();
    std::optional<Result<std::string>> patient;
    a->call({2}, kEcho, "patient", {.timeout = 10s},
            [&](Result<std::string> result) { patient = std::move(result); });
    for (int i = 0; i < 3; ++i) {
      const auto refused = co_await a->call({2}, kEcho, "", {.timeout = 5s, .only_if_there = true});
      EXPECT_EQ(refused.error().code, Code::kIo);
      const auto opened = co_await a->open({2}, kPipe, "", {.timeout = 5s, .only_if_there = true});
      EXPECT_EQ(opened.error().code, Code::kIo);
    }
    EXPECT_LT(t.world().mono() - begun, 2s);
    EXPECT_FALSE(patient);
    auto options = options_of(2);
    options.listen = address;
    options.self.incarnation = {2};
    b = t.start(options);
    EXPECT_TRUE(co_await t.until([&] { return patient.has_value(); }));
    EXPECT_EQ(*patient, "patient");
    EXPECT_TRUE(co_await a->call({2}, kEcho, "", {.only_if_there = true}));
  }(*this));
}

TEST_P(RpcTest, a_late_reply_reaches_nobody) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    auto held = hold_on(*b, t);
    a->add_peer({2}, b->address());
    const auto late = co_await a->call({2}, kHold, "", {.timeout = 50ms});
    EXPECT_EQ(late.error().code, Code::kTimeout);
    EXPECT_TRUE(co_await t.until([&] { return held->requests.at(0).cancelled(); }));
    held->go = true;
    EXPECT_EQ(co_await a->call({2}, kEcho, "x"), "x");
    EXPECT_EQ(a->stats().calls, a->stats().completed);
  }(*this));
}

TEST_P(RpcTest, cancel_completes_at_once_and_the_handler_hears_of_it) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    auto held = hold_on(*b, t);
    a->add_peer({2}, b->address());
    std::vector<Code> codes;
    const auto id =
        a->call({2}, kHold, "", {}, [&](auto result) { codes.push_back(result.error().code); });
    EXPECT_TRUE(co_await t.until([&] { return held->requests.size() == 1; }));
    EXPECT_FALSE(held->requests[0].cancelled());
    a->cancel(id);
    EXPECT_EQ(codes, std::vector{Code::kClosed});
    a->cancel(id);
    EXPECT_EQ(codes.size(), 1U);
    EXPECT_TRUE(co_await t.until([&] { return held->requests[0].cancelled(); }));
    held->go = true;
    // One that is not connected yet.
    const auto other =
        a->call({2}, kEcho, "", {}, [&](auto result) { codes.push_back(result.error().code); });
    a->cancel(other);
    EXPECT_EQ(codes.size(), 2U);
  }(*this));
}

TEST_P(RpcTest, calls_on_a_connection_that_breaks_end_and_later_ones_connect_anew) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1);
    auto options = RpcTest::options_of(2);
    auto b = t.start(options);
    auto held = hold_on(*b, t);
    options.listen = b->address();
    a->add_peer({2}, options.listen);
    std::vector<Code> codes;
    for (int i = 0; i < 3; ++i)
      a->call({2}, kHold, "", {.timeout = 60s},
              [&](auto result) { codes.push_back(result.error().code); });
    EXPECT_TRUE(co_await t.until([&] { return held->requests.size() == 3; }));
    b.reset();
    EXPECT_TRUE(co_await t.until([&] { return codes.size() == 3; }));
    EXPECT_EQ(codes, std::vector(3, Code::kIo));
    held->go = true;
    options.self.incarnation = {2};
    b = t.start(options);
    EXPECT_EQ(co_await a->call({2}, kEcho, "again"), "again");
    EXPECT_EQ(a->stats().links_made, 2U);
  }(*this));
}

TEST_P(RpcTest, calls_run_beside_each_other) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    auto held = hold_on(*b, t);
    a->add_peer({2}, b->address());
    std::optional<Result<std::string>> first;
    a->call({2}, kHold, "", {}, [&](auto result) { first = std::move(result); });
    EXPECT_TRUE(co_await t.until([&] { return held->requests.size() == 1; }));
    EXPECT_EQ(co_await a->call({2}, kEcho, "overtakes"), "overtakes");
    EXPECT_FALSE(first);
    held->go = true;
    EXPECT_TRUE(co_await t.until([&] { return first.has_value(); }));
    EXPECT_EQ(*first, "late");
  }(*this));
}

TEST_P(RpcTest, one_way_messages_arrive_in_order) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    std::vector<int> seen;
    b->handle_send(kNotify, [&](Request request) { seen.push_back(std::stoi(request.body)); });
    a->add_peer({2}, b->address());
    std::vector<int> sent;
    for (int i = 0; i < 500; ++i) {
      EXPECT_TRUE(a->send({2}, kNotify, std::to_string(i)));
      sent.push_back(i);
    }
    EXPECT_TRUE(co_await t.until([&] { return seen.size() == sent.size(); }));
    EXPECT_EQ(seen, sent);
    EXPECT_TRUE(a->send({2}, Method{99}, "nobody knows it"));
    EXPECT_TRUE(co_await t.until([&] { return b->stats().unhandled == 1; }));
  }(*this));
}

TEST_P(RpcTest, one_way_messages_that_find_no_peer_are_dropped_in_time) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1);
    auto b = t.start(2);
    const auto address = b->address();
    b.reset();
    a->add_peer({2}, address);
    EXPECT_TRUE(a->send({2}, kNotify, "x", {.timeout = 50ms}));
    EXPECT_GT(a->stats().queued_bytes, 0);
    EXPECT_TRUE(co_await t.until([&] { return a->stats().sends_dropped == 1; }));
    EXPECT_EQ(a->stats().queued_bytes, 0);
  }(*this));
}

TEST_P(RpcTest, a_slow_receiver_makes_the_sender_wait_and_then_refuse) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    Held held{t.loop()};
    b->handle_send(kNotify, [&](Request request) { held.requests.push_back(std::move(request)); });
    a->add_peer({2}, b->address());
    const auto window = static_cast<std::int64_t>(RpcTest::options_of(2).bulk_window);
    int sent = 0;
    Result<void> last;
    for (; sent < 1'000 && last; ++sent) {
      last = a->send({2}, kNotify, std::string(4096, 'x'), {.timeout = 60s});
      co_await t.loop().sleep(1ms);
    }
    EXPECT_EQ(last.error().code, Code::kBusy);
    EXPECT_LE(b->stats().occupied_bytes_max, window);
    EXPECT_GE(b->stats().occupied_bytes_max, window / 2);
    // Control messages have a window of their own.
    EXPECT_EQ(co_await a->call({2}, kEcho, "beat", {.timeout = 5s, .priority = Priority::kControl}),
              "beat");
    // What lets go makes room, and everything arrives.
    b->handle_send(kNotify,
                   [&](Request request) { held.requests.emplace_back().from = request.from; });
    for (auto& request : held.requests) request.occupied.release();
    EXPECT_TRUE(co_await t.until([&] { return std::cmp_equal(held.requests.size(), sent - 1); }));
    EXPECT_EQ(b->stats().occupied_bytes, 0);
  }(*this));
}

TEST_P(RpcTest, handlers_are_limited_and_the_rest_waits) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto options = RpcTest::options_of(2);
    options.handlers_max = 4;
    auto a = t.start(1), b = t.start(options);
    auto held = hold_on(*b, t);
    a->add_peer({2}, b->address());
    std::size_t done = 0;
    for (int i = 0; i < 20; ++i) a->call({2}, kHold, "", {.timeout = 60s}, [&](auto) { ++done; });
    EXPECT_TRUE(co_await t.until([&] { return b->stats().served == 20; }));
    EXPECT_EQ(held->requests.size(), 4U);
    held->go = true;
    EXPECT_TRUE(co_await t.until([&] { return done == 20; }));
    EXPECT_EQ(held->requests.size(), 20U);
  }(*this));
}

TEST_P(RpcTest, simultaneous_connects_leave_one_connection) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    a->add_peer({2}, b->address());
    b->add_peer({1}, a->address());
    int replies = 0;
    const auto count = [&](const Result<std::string>& result) {
      EXPECT_TRUE(result) << result.error().message;
      ++replies;
    };
    for (int i = 0; i < 10; ++i) {
      a->call({2}, kEcho, "x", {}, count);
      b->call({1}, kEcho, "x", {}, count);
    }
    EXPECT_TRUE(co_await t.until([&] { return replies == 20; }));
    EXPECT_EQ(a->stats().links, 1U);
    EXPECT_EQ(b->stats().links, 1U);
  }(*this));
}

TEST_P(RpcTest, wrong_node_cluster_and_old_incarnation_are_told_so) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto b = t.start(2);
    auto a = t.start(1);
    a->add_peer({3}, b->address());
    const auto wrong_node = co_await a->call({3}, kEcho, "");
    EXPECT_EQ(wrong_node.error().code, Code::kMismatch);
    EXPECT_THAT(wrong_node.error().message, HasSubstr("this is node 2, not 3"));

    auto foreign = RpcTest::options_of(4);
    foreign.self.cluster = {8, 8};
    auto c = t.start(foreign);
    c->add_peer({2}, b->address());
    const auto wrong_cluster = co_await c->call({2}, kEcho, "");
    EXPECT_EQ(wrong_cluster.error().code, Code::kMismatch);
    EXPECT_THAT(wrong_cluster.error().message,
                HasSubstr("cluster 00000000000000070000000000000007"));

    auto later = RpcTest::options_of(5);
    later.self.incarnation = {9};
    auto d = t.start(later);
    d->add_peer({2}, b->address());
    EXPECT_TRUE(co_await d->call({2}, kEcho, ""));
    auto e = t.start(5);  // another life of the same node, an earlier one
    e->add_peer({2}, b->address());
    const auto old = co_await e->call({2}, kEcho, "");
    EXPECT_EQ(old.error().code, Code::kFenced);
    EXPECT_THAT(old.error().message, HasSubstr("a later one, 9, is known"));
    EXPECT_EQ(co_await d->call({2}, kEcho, "lives on"), "lives on");
    EXPECT_GE(b->stats().refused, 3U);
  }(*this));
}

TEST_P(RpcTest, a_later_incarnation_replaces_the_connection_of_the_earlier) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto b = t.start(2);
    auto first = t.start(1);
    first->add_peer({2}, b->address());
    EXPECT_TRUE(co_await first->call({2}, kEcho, ""));
    auto options = RpcTest::options_of(1);
    options.self.incarnation = {2};
    auto second = t.start(options);
    second->add_peer({2}, b->address());
    // Not while that answers: a directory has one process at a time, so this is another directory.
    const auto taken = co_await second->call({2}, kEcho, "");
    EXPECT_EQ(taken.error().code, Code::kExists);
    EXPECT_THAT(taken.error().message, HasSubstr("node 1 is there already"));
    EXPECT_EQ(co_await first->call({2}, kEcho, "lives on"), "lives on");
    EXPECT_EQ(co_await b->call({1}, kEcho, "to the first"), "to the first");
    first.reset();
    EXPECT_TRUE(co_await second->call({2}, kEcho, "", {.timeout = 10s}));
    EXPECT_EQ(b->stats().links, 1U);
    EXPECT_EQ(co_await b->call({1}, kEcho, "to the second"), "to the second");
    first = t.start(1);
    first->add_peer({2}, b->address());
    EXPECT_EQ((co_await first->call({2}, kEcho, "")).error().code, Code::kFenced);
  }(*this));
}

TEST_P(RpcTest, a_later_life_that_is_not_registered_is_forgotten_when_it_goes) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto b = t.start(2), first = t.start(1);
    b->add_peer({1}, first->address());
    b->registered({1}, {1});
    auto options = RpcTest::options_of(1);
    options.self.incarnation = {2};
    auto second = t.start(options);  // b is not connected to the first, and cannot know of it
    second->add_peer({2}, b->address());
    EXPECT_TRUE(co_await second->call({2}, kEcho, ""));
    first->add_peer({2}, b->address());
    const auto waits = co_await first->call({2}, kEcho, "", {.timeout = 200ms});
    EXPECT_EQ(waits.error().code, Code::kTimeout);
    second.reset();
    EXPECT_EQ(co_await first->call({2}, kEcho, "the one", {.timeout = 10s}), "the one");
    // Registered, it counts for good.
    b->registered({1}, {2});
    first.reset();
    EXPECT_TRUE(co_await t.until([&] { return !b->connected({1}); }));
    first = t.start(1);
    first->add_peer({2}, b->address());
    EXPECT_EQ((co_await first->call({2}, kEcho, "")).error().code, Code::kFenced);
  }(*this));
}

TEST_P(RpcTest, the_end_of_an_rpc_completes_what_is_pending) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    auto held = hold_on(*b, t);
    a->add_peer({2}, b->address());
    std::vector<Code> codes;
    const auto note = [&](auto result) { codes.push_back(result.error().code); };
    a->call({2}, kHold, "", {.timeout = 60s}, note);
    EXPECT_TRUE(co_await t.until([&] { return held->requests.size() == 1; }));
    a->call({2}, kHold, "", {.timeout = 60s}, note);
    a->call({9}, kHold, "", {.timeout = 60s}, note);
    a.reset();
    EXPECT_EQ(codes, std::vector(3, Code::kClosed));
    EXPECT_TRUE(co_await t.until([&] { return held->requests[0].cancelled(); }));
    EXPECT_EQ((co_await b->stop(10ms)).error().code, Code::kTimeout);
    held->go = true;
    EXPECT_TRUE(co_await b->stop(10s));
  }(*this));
}

TEST_P(RpcTest, a_removed_peer_is_gone_with_its_calls) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    auto held = hold_on(*b, t);
    a->add_peer({2}, b->address());
    std::vector<Code> codes;
    const auto note = [&](auto result) { codes.push_back(result.error().code); };
    a->call({2}, kHold, "", {.timeout = 60s}, note);
    EXPECT_TRUE(co_await t.until([&] { return held->requests.size() == 1; }));
    a->call({2}, kHold, "", {.timeout = 60s}, note);
    a->remove_peer({2});
    EXPECT_EQ(codes, std::vector(2, Code::kNotFound));
    EXPECT_FALSE(a->connected({2}));
    EXPECT_TRUE(co_await t.until([&] { return !b->connected({1}); }));
    held->go = true;
  }(*this));
}

TEST_P(RpcTest, options_that_cannot_work_are_refused) {
  const auto refused = [&](auto change) {
    auto options = options_of(1);
    change(options);
    auto rpc = Rpc::start(env(), *loop_, transport_, options);
    return !rpc && rpc.error().code == Code::kInvalid;
  };
  EXPECT_TRUE(refused([](RpcOptions& o) { o.self.node = {0}; }));
  EXPECT_TRUE(refused([](RpcOptions& o) { o.bulk_window = o.message_bytes_max; }));
  EXPECT_TRUE(refused([](RpcOptions& o) { o.control_window = 100; }));
  EXPECT_TRUE(refused([](RpcOptions& o) { o.control_bytes_max = o.message_bytes_max + 1; }));
  EXPECT_TRUE(refused([](RpcOptions& o) { o.stream_window = 0; }));
  EXPECT_TRUE(refused([](RpcOptions& o) { o.handlers_max = 0; }));
  EXPECT_FALSE(refused([](RpcOptions&) {}));
}

// Bulk keeps a slow link busy; what is urgent waits for a write and what the kernel holds, no more.
Awaitable<void> fill(Rpc& rpc, bool& stop) {
  auto stream = co_await rpc.open({2}, kSink, "");
  EXPECT_TRUE(stream);
  while (stream && !stop && co_await (*stream)->write(std::string(256 << 10, 'x'))) {
  }
}

io::Task<void> read_on(Request, Stream& stream) {
  while (true) {
    WALRUS_CO_ASSIGN(const auto piece, co_await stream.read());
    if (piece.empty()) co_return Result<void>();
  }
}

Awaitable<void> beat(RpcTest& t, Rpc& rpc, io::Nanos& longest, bool& over) {
  for (int i = 0; i < 50; ++i) {
    const auto begun = t.world().mono();
    EXPECT_TRUE(co_await rpc.call({2}, kEcho, "beat", {.priority = Priority::kControl}));
    longest = std::max(longest, t.world().mono() - begun);
    co_await t.loop().sleep(10ms);
  }
  over = true;
}

TEST_P(RpcTest, heartbeats_do_not_wait_behind_bulk_on_a_slow_link) {
  if (!simulated()) return;  // loopback is not slow
  constexpr std::int64_t kBytesPerS = 10 << 20;
  world_->network().link(0, 0).bytes_per_s = kBytesPerS;
  run([](RpcTest& t) -> Awaitable<void> {
    auto options = RpcTest::options_of(2);
    options.stream_window = 8 << 20;
    auto a = t.start(1), b = t.start(options);
    b->handle_stream(
        kSink, [](Request request, Stream& stream) { return read_on(std::move(request), stream); });
    a->add_peer({2}, b->address());
    bool stop = false, over = false;
    for (int i = 0; i < 4; ++i) t.loop().spawn(fill(*a, stop));
    EXPECT_TRUE(co_await t.until([&] { return a->stats().bytes_sent > (8 << 20); }));
    io::Nanos longest{};
    t.loop().spawn(beat(t, *a, longest, over));
    EXPECT_TRUE(co_await t.until([&] { return over; }, 60s));
    // 256 KiB that the simulated kernel holds and one write: 40 ms.
    EXPECT_LT(longest, 50ms);
    stop = true;
    a.reset();
    EXPECT_TRUE(co_await b->stop(10s));
  }(*this));
}

}  // namespace
}  // namespace walrus::net
