// What net/lane.h promises, asked in both worlds.

#include "net/lane.h"

#include "net/lane_message.h"
#include "net/rpc_fixture.h"

namespace walrus::net {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kSync = 16 << 10;

std::string bytes_of(std::int64_t size, std::uint64_t seed = 1) {
  std::string bytes(static_cast<std::size_t>(size), '\0');
  for (char& byte : bytes) {
    seed = seed * 6364136223846793005 + 1442695040888963407;
    byte = static_cast<char>(seed >> 56);
  }
  return bytes;
}

Sha256Digest digest_of(Bytes bytes) {
  Sha256 sha;
  sha.update(bytes);
  return sha.digest();
}

// A sender, node 1, and a receiver, node 2, with a directory.
class LaneTest : public RpcTest {
 public:
  void open(std::function<void(LaneReceiverOptions&)> change = {}) {
    options = {.directory = path("in"), .free_bytes_min = 0, .sync_bytes = kSync};
    if (change) change(options);
    worker = std::make_unique<FileWorker>(env(), loop());
    a = start(1);
    b = start(2);
    a->add_peer({2}, b->address());
    receiver = std::make_unique<LaneReceiver>(env(), *b, *worker, options);
  }
  Awaitable<void> close() {
    EXPECT_TRUE(co_await a->stop(10s));
    EXPECT_TRUE(co_await b->stop(10s));
    a.reset();
    b.reset();
    receiver.reset();
    worker.reset();
  }
  LaneSend lane(std::string name, std::string bytes) {
    return {
        .to = {2}, .name = std::move(name), .source = lane_bytes(std::move(bytes)), .timeout = 20s};
  }
  io::Task<LaneResult> send(LaneSend what) {
    return send_lane(env(), loop(), *a, *worker, std::move(what));
  }
  std::optional<std::string> content(const std::string& name) {
    auto file = disk().open(options.directory / name, io::Open::kRead);
    return file ? std::optional(content_of(**file)) : std::nullopt;
  }
  void plant(const std::string& name, Bytes bytes) {
    EXPECT_TRUE(disk().make_directory(options.directory));
    auto file = disk().open(options.directory / name, io::Open::kCreate);
    EXPECT_TRUE(file && (*file)->write(0, bytes));
  }
  std::vector<std::string> names() {
    std::vector<std::string> found;
    for (const auto& entry : disk().list(options.directory).value_or(std::vector<io::Entry>{}))
      found.push_back(entry.name);
    return found;
  }
  void source_file(Bytes bytes) { (void)make("source", bytes); }
  using BothWorlds::disk;
  using BothWorlds::path;

  LaneReceiverOptions options;
  std::unique_ptr<FileWorker> worker;
  std::unique_ptr<Rpc> a, b;
  std::unique_ptr<LaneReceiver> receiver;
};
INSTANTIATE_TEST_SUITE_P(Worlds, LaneTest,
                         testing::Values(io::WorldKind::kReal, io::WorldKind::kSimulated),
                         io::name_of);

TEST_P(LaneTest, an_object_arrives_whole) {
  std::vector<LaneReceived> received;
  open([&](LaneReceiverOptions& o) {
    o.received = [&](const LaneReceived& one) { received.push_back(one); };
  });
  run([](LaneTest& t) -> Awaitable<void> {
    for (const std::int64_t size :
         {std::int64_t{0}, std::int64_t{1}, kSync - 1, kSync, kSync + 1, 7 * kSync + 100}) {
      const auto name = fmt::format("object-{}", size);
      const auto bytes = bytes_of(size);
      auto what = t.lane(name, bytes);
      std::int64_t last = -1;
      what.progress = [&](const LaneProgress& progress) {
        EXPECT_GE(progress.durable, last);
        EXPECT_EQ(progress.size, size);
        last = progress.durable;
      };
      const auto result = co_await t.send(std::move(what));
      EXPECT_TRUE(result) << result.error().message;
      if (!result) continue;
      EXPECT_EQ(result->size, size);
      EXPECT_EQ(result->sent, size);
      EXPECT_EQ(result->digest, digest_of(bytes));
      EXPECT_TRUE(t.content(name) == bytes);
      EXPECT_EQ(last, size);
    }
    co_await t.close();
  }(*this));
  ASSERT_EQ(received.size(), 6U);
  EXPECT_EQ(received[5].name, "object-114788");
  EXPECT_EQ(received[5].from, NodeId{1});
  EXPECT_EQ(received[5].path, options.directory / "object-114788");
  EXPECT_EQ(names().size(), 6U);
}

TEST_P(LaneTest, what_was_sent_is_acknowledged_again_without_sending) {
  open();
  run([](LaneTest& t) -> Awaitable<void> {
    const auto bytes = bytes_of(100'000);
    EXPECT_TRUE(co_await t.send(t.lane("x", bytes)));
    const auto again = co_await t.send(t.lane("x", bytes));
    EXPECT_TRUE(again);
    EXPECT_EQ(again->sent, 0);
    EXPECT_EQ(again->digest, digest_of(bytes));
    for (const auto& other : {bytes_of(100'000, 2), bytes_of(99'999), bytes_of(100'001)})
      EXPECT_EQ((co_await t.send(t.lane("x", other))).error().code, Code::kExists);
    EXPECT_TRUE(t.content("x") == bytes);
    co_await t.close();
  }(*this));
}

TEST_P(LaneTest, goes_on_behind_what_is_known_to_be_durable) {
  open();
  run([](LaneTest& t) -> Awaitable<void> {
    const auto bytes = bytes_of(10 * kSync);
    // Present, durable (a multiple of kSync below): see net/lane.h.
    for (const auto& [present, durable] : {std::pair{std::int64_t{0}, std::int64_t{0}},
                                           {1, 0},
                                           {kSync, 0},
                                           {kSync + 1, kSync},
                                           {3 * kSync + 5, 3 * kSync},
                                           {10 * kSync, 9 * kSync}}) {
      const auto name = fmt::format("object-{}", present);
      t.plant(name + ".part", Bytes(bytes).substr(0, static_cast<std::size_t>(present)));
      const auto result = co_await t.send(t.lane(name, bytes));
      EXPECT_TRUE(result) << result.error().message;
      if (result) EXPECT_EQ(result->sent, 10 * kSync - durable);
      EXPECT_TRUE(t.content(name) == bytes);
      EXPECT_FALSE(t.content(name + ".part"));
    }
    co_await t.close();
  }(*this));
}

TEST_P(LaneTest, a_beginning_of_something_else_is_dropped) {
  open();
  run([](LaneTest& t) -> Awaitable<void> {
    const auto bytes = bytes_of(5 * kSync);
    t.plant("other.part", bytes_of(4 * kSync, 9));
    t.plant("longer.part", bytes_of(9 * kSync, 9));
    for (const char* name : {"other", "longer"}) {
      const auto result = co_await t.send(t.lane(name, bytes));
      EXPECT_TRUE(result) << result.error().message;
      if (result) EXPECT_EQ(result->sent, 5 * kSync);
      EXPECT_TRUE(t.content(name) == bytes);
    }
    co_await t.close();
  }(*this));
}

TEST_P(LaneTest, a_file_or_a_range_of_it_is_a_source) {
  open();
  const auto bytes = bytes_of(100'000);
  source_file(bytes);
  run([](LaneTest& t, const std::string& whole) -> Awaitable<void> {
    const auto file = t.path("source");
    for (const auto& [range, expected] :
         {std::pair{LaneRange{}, whole},
          {{.position = 50'000}, whole.substr(50'000)},
          {{.position = 7, .length = 20'000}, whole.substr(7, 20'000)},
          {{.position = 100'000}, std::string()}}) {
      const auto name = fmt::format("r{}-{}", range.position, range.length);
      auto what = t.lane(name, "");
      what.source = *open_lane_file(t.disk(), file, range);
      EXPECT_TRUE(co_await t.send(std::move(what)));
      EXPECT_TRUE(t.content(name) == expected);
    }
    for (const LaneRange range : {LaneRange{100'001, -1}, {-1, 5}, {99'999, 2}})
      EXPECT_EQ(open_lane_file(t.disk(), file, range).error().code, Code::kOutOfRange);
    EXPECT_EQ(open_lane_file(t.disk(), t.path("none")).error().code, Code::kNotFound);
    co_await t.close();
  }(*this, bytes));
}

TEST_P(LaneTest, limits_are_told_before_anything_is_made) {
  open([](LaneReceiverOptions& o) { o.bytes_max = 1'000; });
  run([](LaneTest& t) -> Awaitable<void> {
    const auto large = co_await t.send(t.lane("x", bytes_of(1'001)));
    EXPECT_EQ(large.error().code, Code::kTooLarge);
    EXPECT_EQ(large.error().message, "x: 1001 bytes, the limit is 1000");
    EXPECT_TRUE(t.names().empty());
    EXPECT_TRUE(co_await t.send(t.lane("x", bytes_of(1'000))));
    for (const char* name : {"", ".", "..", "../x", "a/b", ".hidden", "x.part", "a b", "\xff"})
      EXPECT_EQ((co_await t.send(t.lane(name, "y"))).error().code, Code::kInvalid) << name;
    // Who does not ask itself is asked by the receiver.
    for (const char* name : {"../x", "x.part", "a/b"}) {
      auto stream = co_await t.a->open({2}, kLaneMethod, encode(LaneOffer{1, name}));
      EXPECT_TRUE(stream);
      if (stream) EXPECT_EQ((co_await (*stream)->read(5s)).error().code, Code::kInvalid);
    }
    EXPECT_EQ(t.names(), std::vector<std::string>{"x"});
    co_await t.close();
  }(*this));
}

TEST_P(LaneTest, a_directory_has_a_limit_of_its_own) {
  open([](LaneReceiverOptions& o) { o.directory_bytes_max = 100'000; });
  run([](LaneTest& t) -> Awaitable<void> {
    t.plant("there", bytes_of(30'000));
    t.plant("left.part", bytes_of(20'000));
    EXPECT_TRUE(co_await t.send(t.lane("x", bytes_of(40'000))));
    const auto full = co_await t.send(t.lane("y", bytes_of(10'001)));
    EXPECT_EQ(full.error().code, Code::kNoSpace);
    EXPECT_EQ(full.error().message, "y: 10001 bytes, 10000 are left of the directory's 100000");
    EXPECT_FALSE(t.content("y.part"));
    EXPECT_TRUE(co_await t.send(t.lane("x", bytes_of(40'000))));  // what is there stays so
    EXPECT_TRUE(co_await t.send(t.lane("y", bytes_of(10'000))));
    // A beginning is counted once, as what it will be.
    EXPECT_EQ((co_await t.send(t.lane("left", bytes_of(20'001)))).error().code, Code::kNoSpace);
    EXPECT_TRUE(co_await t.send(t.lane("left", bytes_of(20'000))));
    co_await t.close();
  }(*this));
}

Awaitable<void> send_aside(LaneTest& t, LaneSend what, std::optional<Result<LaneResult>>& end) {
  end.emplace(co_await t.send(std::move(what)));
}

TEST_P(LaneTest, objects_under_way_count_as_what_they_will_be) {
  open([](LaneReceiverOptions& o) { o.directory_bytes_max = 1'000'000; });
  run([](LaneTest& t) -> Awaitable<void> {
    auto slow = t.lane("slow", bytes_of(900'000));
    slow.bytes_per_s = 1 << 20;
    std::optional<Result<LaneResult>> end;
    t.loop().spawn(send_aside(t, std::move(slow), end));
    EXPECT_TRUE(co_await t.until([&] { return t.content("slow.part").has_value(); }));
    EXPECT_EQ((co_await t.send(t.lane("x", bytes_of(100'001)))).error().code, Code::kNoSpace);
    EXPECT_TRUE(co_await t.send(t.lane("y", bytes_of(100'000))));
    EXPECT_FALSE(end);
    EXPECT_TRUE(co_await t.until([&] { return end.has_value(); }));
    EXPECT_TRUE(*end);
    co_await t.close();
  }(*this));
}

TEST_P(LaneTest, a_low_rate_is_no_silence) {
  open([](LaneReceiverOptions& o) { o.silence_max = 500ms; });
  run([](LaneTest& t) -> Awaitable<void> {
    auto what = t.lane("x", bytes_of(1'500));
    what.bytes_per_s = 1'000;
    what.silence_max = 500ms;
    const auto result = co_await t.send(std::move(what));
    EXPECT_TRUE(result) << result.error().message;
    if (result) EXPECT_EQ(result->sent, 1'500);
    co_await t.close();
  }(*this));
}

TEST_P(LaneTest, a_disk_without_room_is_reported) {
  open([](LaneReceiverOptions& o) { o.free_bytes_min = std::int64_t{1} << 60; });
  run([](LaneTest& t) -> Awaitable<void> {
    const auto full = co_await t.send(t.lane("x", bytes_of(1'000)));
    EXPECT_EQ(full.error().code, Code::kNoSpace);
    EXPECT_THAT(full.error().message, HasSubstr("1000 to come"));
    EXPECT_TRUE(t.names().empty());
    co_await t.close();
  }(*this));
}

TEST_P(LaneTest, a_disk_that_fills_up_midway_is_reported_and_given_back) {
  if (!simulated()) return;  // the real one is filled by no test
  world_->node(0).disk().options().capacity_bytes = 64 << 10;
  world_->node(0).disk().options().faults.no_space = 0;
  open([](LaneReceiverOptions& o) { o.free_bytes_min = std::numeric_limits<std::int32_t>::min(); });
  run([](LaneTest& t) -> Awaitable<void> {
    const auto full = co_await t.send(t.lane("x", bytes_of(100 << 10)));
    EXPECT_EQ(full.error().code, Code::kNoSpace);
    EXPECT_TRUE(t.names().empty());
    EXPECT_TRUE(co_await t.send(t.lane("y", bytes_of(40 << 10))));
    co_await t.close();
  }(*this));
}

TEST_P(LaneTest, bytes_that_are_not_what_was_read_are_refused) {
  open();
  run([](LaneTest& t) -> Awaitable<void> {
    auto stream = co_await t.a->open({2}, kLaneMethod, encode(LaneOffer{5, "x"}));
    EXPECT_TRUE(stream);
    EXPECT_TRUE(co_await (*stream)->read(5s));
    const auto digest = digest_of("hello");
    EXPECT_TRUE(co_await (*stream)->write(encode_from(0) + "hullo" +
                                          std::string(digest.data(), digest.size())));
    (*stream)->end();
    EXPECT_EQ((co_await (*stream)->read(5s)).error().code, Code::kCorrupt);
    EXPECT_TRUE(co_await t.until([&] { return t.names().empty(); }));
    // One that stops midway leaves what it brought, and nothing under the name.
    stream = co_await t.a->open({2}, kLaneMethod, encode(LaneOffer{kSync * 2, "x"}));
    EXPECT_TRUE(stream);
    EXPECT_TRUE(co_await (*stream)->read(5s));
    EXPECT_TRUE(co_await (*stream)->write(encode_from(0) + bytes_of(kSync)));
    (*stream)->end();
    Result<std::string> said;
    for (int i = 0; said && i < 3; ++i) said = co_await (*stream)->read(5s);  // of what is durable
    EXPECT_FALSE(said);
    EXPECT_EQ(said.error().code, Code::kCorrupt);
    EXPECT_EQ(t.names(), std::vector<std::string>{"x.part"});
    co_await t.close();
  }(*this));
}

TEST_P(LaneTest, keeps_to_its_rate) {
  open();
  run([](LaneTest& t) -> Awaitable<void> {
    auto what = t.lane("x", bytes_of(600 << 10));
    what.bytes_per_s = 2 << 20;
    const auto begun = t.world().mono();
    EXPECT_TRUE(co_await t.send(std::move(what)));
    EXPECT_GE(t.world().mono() - begun, 250ms);
    co_await t.close();
  }(*this));
}

TEST_P(LaneTest, can_be_cancelled_and_taken_up_again) {
  open();
  run([](LaneTest& t) -> Awaitable<void> {
    const auto bytes = bytes_of(2 << 20);
    auto what = t.lane("x", bytes);
    auto cancelled = std::make_shared<bool>(false);
    what.cancelled = cancelled;
    what.bytes_per_s = 4 << 20;
    what.progress = [cancelled](const LaneProgress&) { *cancelled = true; };
    const auto ended = co_await t.send(std::move(what));
    EXPECT_EQ(ended.error().code, Code::kClosed);
    EXPECT_FALSE(t.content("x"));
    const auto again = co_await t.send(t.lane("x", bytes));
    EXPECT_TRUE(again) << again.error().message;
    if (again) EXPECT_LT(again->sent, std::ssize(bytes));
    EXPECT_TRUE(t.content("x") == bytes);
    co_await t.close();
  }(*this));
}

TEST_P(LaneTest, goes_on_after_the_connection_was_cut) {
  open();
  run([](LaneTest& t) -> Awaitable<void> {
    const auto bytes = bytes_of(3 << 20);
    auto what = t.lane("x", bytes);
    int cuts = 0;
    // A later life of the receiver's node, and another one, while bytes flow.
    what.progress = [&](const LaneProgress& progress) {
      if (progress.durable < (cuts + 1) * (1 << 20) || cuts == 2) return;
      ++cuts;
      t.loop().post([&t, &cuts] {
        auto options = RpcTest::options_of(2);
        options.listen = t.b->address();
        options.self.incarnation = {static_cast<std::uint64_t>(cuts) + 1};
        t.b.reset();
        t.b = t.start(options);
        t.receiver = std::make_unique<LaneReceiver>(t.world(), *t.b, *t.worker, t.options);
      });
    };
    const auto result = co_await t.send(std::move(what));
    EXPECT_TRUE(result) << result.error().message;
    EXPECT_EQ(cuts, 2);
    EXPECT_TRUE(t.content("x") == bytes);
    if (result) EXPECT_LT(result->sent, 2 * std::ssize(bytes));
    co_await t.close();
  }(*this));
}

TEST(LaneMessageTest, come_back_and_refuse_what_is_cut) {
  const auto digest = digest_of("x");
  EXPECT_EQ(parse_lane_offer(encode(LaneOffer{7, "name"})), (LaneOffer{7, "name"}));
  EXPECT_EQ(parse_lane_start(encode(LaneStart{7, digest})), (LaneStart{7, digest}));
  EXPECT_EQ(parse_lane_from(encode_from(9)), 9);
  EXPECT_EQ(encode(LaneStart{7, digest}).size(), kLaneStartBytes);
  EXPECT_EQ(encode_from(9).size(), kLaneFromBytes);
  EXPECT_FALSE(parse_lane_offer(encode(LaneOffer{-1, "name"})));
  EXPECT_EQ(parse_lane_offer("\x02").error().code, Code::kVersion);
  EXPECT_FALSE(parse_lane_start(encode(LaneStart{-1, digest})));
  EXPECT_FALSE(parse_lane_start(encode(LaneStart{7, digest}) + "x"));
  EXPECT_FALSE(parse_lane_from(encode_from(-9)));
  const auto progress = encode_progress(5), done = encode_done(6, digest);
  for (std::size_t size = 0; size < progress.size(); ++size)
    EXPECT_FALSE(*parse_lane_report(progress.substr(0, size)));
  for (std::size_t size = 0; size < done.size(); ++size)
    EXPECT_FALSE(*parse_lane_report(done.substr(0, size)));
  EXPECT_EQ((*parse_lane_report(progress + done))->durable, 5);
  EXPECT_EQ((*parse_lane_report(done))->digest, digest);
  EXPECT_FALSE(parse_lane_report("\x03"));
  EXPECT_FALSE(parse_lane_report(encode_progress(-1)));
}

TEST(Sha256Test, known_answers) {
  EXPECT_EQ(to_hex(digest_of("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(digest_of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 parts;
  parts.update("a");
  (void)parts.digest();
  parts.update("bc");
  EXPECT_EQ(parts.digest(), digest_of("abc"));
}

}  // namespace
}  // namespace walrus::net
