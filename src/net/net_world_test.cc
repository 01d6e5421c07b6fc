// The simulated exchange of net/net_world.h over many seeds.

#include "net/net_world.h"

#include <cstdio>
#include <utility>

#include "base/crc32c.h"
#include "net/test_certificates.h"

namespace walrus::net {
namespace {

constexpr Method kEcho{1}, kSlow{2}, kNotify{3}, kPour{4};
constexpr auto kPort = ":9093";
constexpr auto kLanes = "/lanes", kCertificates = "/certificates";
constexpr io::Nanos kSlice = 20ms;

template <class T>
using Awaitable = boost::asio::awaitable<T>;

// What a node answers to a body: so that an answer of another node, or to another body, shows.
std::string answer_to(std::uint64_t node, Bytes body) {
  return fmt::format("{}:{:08x}:{}", node, crc32c(body), body.size());
}

std::string pattern(std::uint64_t tag, std::size_t size) {
  std::string bytes;
  for (std::uint64_t i = 0; bytes.size() < size; ++i) bytes += fmt::format("{}.{};", tag, i);
  bytes.resize(size);
  return bytes;
}

io::Task<std::string> serve_echo(std::uint64_t node, Request request) {
  co_return answer_to(node, request.body);
}

io::Task<std::string> serve_slowly(io::Env& env, io::Loop& loop, std::uint64_t node,
                                   Request request) {
  co_await loop.sleep(io::Nanos(env.random() % 100'000'000));
  co_return answer_to(node, request.body);
}

// Body of the open: "<tag> <size>". What came to a clean end must be all of it.
io::Task<void> serve_pour(std::uint64_t node, Request request, Stream& stream) {
  const auto space = request.body.find(' ');
  const auto expected = pattern(std::stoull(request.body.substr(0, space)),
                                std::stoul(request.body.substr(space + 1)));
  std::string all;
  while (true) {
    WALRUS_CO_ASSIGN(const auto piece, co_await stream.read(5s));
    if (piece.empty()) break;
    all += piece;
  }
  EXPECT_TRUE(all == expected) << "a stream came to its end with other bytes";
  co_return co_await stream.write(answer_to(node, all), 5s);
}

io::Task<void> pour_into(Stream& stream, std::uint64_t node, std::string bytes) {
  const auto expected = answer_to(node, bytes);
  while (!bytes.empty()) {
    const auto size = std::min<std::size_t>(bytes.size(), 30'000);
    WALRUS_CO_TRY(co_await stream.write(bytes.substr(0, size), 5s));
    bytes.erase(0, size);
  }
  stream.end();
  std::string answer;
  while (true) {
    WALRUS_CO_ASSIGN(const auto piece, co_await stream.read(5s));
    if (piece.empty()) break;
    answer += piece;
  }
  EXPECT_EQ(answer, expected);
  co_return Result<void>();
}

struct Pour {
  std::uint64_t tag, node;
  std::size_t size;
};
Awaitable<void> run_pour(Rpc& rpc, Pour pour, std::map<std::string, std::int64_t>& ended) {
  auto stream = co_await rpc.open({pour.node}, kPour, fmt::format("{} {}", pour.tag, pour.size),
                                  {.timeout = 2s});
  Result<void> result;
  if (!stream) result = std::unexpected(stream.error());
  else result = co_await pour_into(**stream, pour.node, pattern(pour.tag, pour.size));
  ++ended[result ? "ok" : code_name(result.error().code)];
}

Awaitable<void> run_lane(NetNode& life, LaneSend what, std::shared_ptr<void>,
                         std::function<void(const Result<LaneResult>&)> ended) {
  ended(co_await send_lane(*life.env, *life.loop, *life.rpc, *life.worker, std::move(what)));
}

class FlippingConnection final : public io::Connection {
 public:
  FlippingConnection(std::unique_ptr<io::Connection> inner, io::Env& env, const double& probability)
      : inner_(std::move(inner)), env_(env), probability_(probability) {}
  io::Task<std::size_t> read_some(std::span<char> to, io::Nanos timeout) override {
    WALRUS_CO_ASSIGN(const auto size, co_await inner_->read_some(to, timeout));
    if (size > 0 && static_cast<double>(env_.random() % 1'000'000) < probability_ * 1e6) {
      const auto bit = env_.random() % (8 * size);
      to[bit / 8] = static_cast<char>(to[bit / 8] ^ (1 << (bit % 8)));
    }
    co_return size;
  }
  io::Task<void> write(Bytes bytes, io::Nanos timeout) override {
    return inner_->write(bytes, timeout);
  }
  std::int64_t written() const override { return inner_->written(); }
  void shutdown_write() override { inner_->shutdown_write(); }
  void close() override { inner_->close(); }
  std::string peer() const override { return inner_->peer(); }

 private:
  const std::unique_ptr<io::Connection> inner_;
  io::Env& env_;
  const double& probability_;
};

}  // namespace

Result<std::unique_ptr<io::Listener>> FlippingTransport::listen(io::Loop& loop,
                                                                const std::string& address) {
  return loop.listen(address);
}

io::Task<Channel> FlippingTransport::connect(io::Loop& loop, std::string address, NodeId,
                                             io::Nanos timeout) {
  WALRUS_CO_ASSIGN(auto connection, co_await loop.connect(std::move(address), timeout));
  co_return Channel{std::make_unique<FlippingConnection>(std::move(connection), env_, probability_),
                    {}};
}

io::Task<Channel> FlippingTransport::accepted(io::Loop&, std::unique_ptr<io::Connection> connection,
                                              io::Nanos) {
  co_return Channel{std::make_unique<FlippingConnection>(std::move(connection), env_, probability_),
                    {}};
}

void Outcomes::add(const Outcomes& other) {
  for (const auto& [code, count] : other.calls) calls[code] += count;
  for (const auto& [code, count] : other.streams) streams[code] += count;
  for (const auto& [code, count] : other.lanes) lanes[code] += count;
  lane_bytes += other.lane_bytes;
  lane_bytes_sent += other.lane_bytes_sent;
  one_ways += other.one_ways;
  links += other.links;
  violations += other.violations;
  crashes += other.crashes;
}

RpcOptions NetWorld::options() {
  RpcOptions options;
  options.message_bytes_max = 8 << 10;
  options.control_bytes_max = 1 << 10;
  options.bulk_window = 32 << 10;
  options.control_window = 4 << 10;
  options.stream_window = 16 << 10;
  options.streams_max = 4;
  options.queue_bytes_max = 32 << 10;
  options.replies_bytes_max = 16 << 10;
  options.handlers_max = 8;
  options.connect_timeout = 500ms;
  options.handshake_timeout = 500ms;
  options.write_timeout = 1s;
  options.keepalive_interval = 200ms;
  options.silence_max = 800ms;
  options.backoff_max = 200ms;
  return options;
}

NetWorld::NetWorld(std::uint64_t seed, bool tls)
    : world_(seed, {.nodes = kNodes}), tls_(tls), nodes_(kNodes), paused_until_(kNodes) {
  if (tls_) write_certificates();
  for (int i = 0; i < kNodes; ++i) start(i);
}

NetWorld::~NetWorld() {
  for (int i = 0; i < kNodes; ++i) end_life(i);
}

void NetWorld::write_certificates() {
  const auto now = world_.node(0).env().wall();
  const auto ca = make_certificate({.common_name = "CA", .ca = true}, now);
  for (int node = 0; node < kNodes; ++node) {
    const TestSubject subject{.common_name = "node",
                              .names = fmt::format("URI:walrus://world/node/{}", node + 1)};
    write_test_files(world_.node(node).env().disk(), kCertificates, "node", ca,
                     make_certificate(subject, now, &ca));
    EXPECT_TRUE(world_.node(node).env().disk().sync_directory("/"));
  }
}

Transport& NetWorld::secure(int node) {
  auto& life = nodes_[static_cast<std::size_t>(node)];
  if (!tls_) return *life.transport;
  const io::Path directory = kCertificates;
  auto opened = TlsTransport::open(
      *life.env, *life.transport, log_, metrics_,
      {.files = {directory / "ca.pem", directory / "node.pem", directory / "node.key"},
       .self = {static_cast<std::uint64_t>(node) + 1}});
  EXPECT_TRUE(opened) << opened.error().message;
  life.tls = *std::move(opened);
  return *life.tls;
}

void NetWorld::start(int node) {
  auto& life = nodes_[static_cast<std::size_t>(node)];
  auto& env = world_.node(node).env();
  life.env = &env;
  life.loop = env.make_loop();
  auto& loop = *life.loop;
  life.transport = std::make_unique<FlippingTransport>(env, 0);
  life.worker = std::make_unique<FileWorker>(env, loop);
  auto options = NetWorld::options();
  const auto id = static_cast<std::uint64_t>(node) + 1;
  options.self = {{1, 1}, {id}, {static_cast<std::uint64_t>(world_.node(node).restarts()) + 1}};
  options.listen = world_.node(node).host() + kPort;
  auto rpc = Rpc::start(env, loop, secure(node), options);
  ASSERT_TRUE(rpc) << rpc.error().message;
  life.rpc = *std::move(rpc);
  life.rpc->handle(kEcho, [id](Request request) { return serve_echo(id, std::move(request)); });
  life.rpc->handle(kSlow, [&env, &loop, id](Request request) {
    return serve_slowly(env, loop, id, std::move(request));
  });
  life.rpc->handle_send(kNotify, [this](Request) { ++outcomes_.one_ways; });
  life.rpc->handle_stream(kPour, [id](Request request, Stream& stream) {
    return serve_pour(id, std::move(request), stream);
  });
  life.receiver = std::make_unique<LaneReceiver>(
      env, *life.rpc, *life.worker,
      LaneReceiverOptions{.directory = kLanes, .sync_bytes = 4096, .silence_max = 2s});
  for (int other = 0; other < kNodes; ++other)
    if (other != node)
      life.rpc->add_peer({static_cast<std::uint64_t>(other) + 1},
                         world_.node(other).host() + kPort);
}

void NetWorld::end_life(int node) {
  auto& life = nodes_[static_cast<std::size_t>(node)];
  if (!life.rpc) return;
  check_memory(node);
  const auto stats = life.rpc->stats();
  outcomes_.links += static_cast<std::int64_t>(stats.links_made);
  outcomes_.violations += static_cast<std::int64_t>(stats.violations);
  std::erase_if(cancellable_, [node](const auto& one) { return one.first == node; });
  life.rpc.reset();
  life.receiver.reset();
  life.worker.reset();
  life.loop.reset();
  life.tls.reset();
  life.transport.reset();
  for (const auto& [tag, call] : calls_)
    if (call.from == node) EXPECT_EQ(call.completed, 1) << "call " << tag;
}

void NetWorld::check_memory(int node) {
  const auto limits = options();
  const auto stats = nodes_[static_cast<std::size_t>(node)].rpc->stats();
  constexpr std::int64_t kOthers = kNodes - 1;
  const auto window = static_cast<std::int64_t>(limits.bulk_window + limits.control_window +
                                                2 * limits.streams_max * limits.stream_window);
  EXPECT_LE(stats.occupied_bytes_max, kOthers * window);
  EXPECT_LE(stats.queued_bytes_max,
            kOthers * 2 * static_cast<std::int64_t>(limits.queue_bytes_max));
}

void NetWorld::finish(std::uint64_t tag, const Result<std::string>& result) {
  auto& call = calls_.at(tag);
  EXPECT_EQ(++call.completed, 1) << "call " << tag << " ended twice";
  ++outcomes_.calls[result ? "ok" : code_name(result.error().code)];
  const auto late = std::max(call.deadline, paused_until_[static_cast<std::size_t>(call.from)]);
  EXPECT_LE(world_.now(), late + 10ms) << "call " << tag << " ended late";
}

void NetWorld::start_call(int node, int to) {
  const auto tag = ++last_tag_;
  const auto body = pattern(tag, draw(4) == 0 ? draw(8 << 10) : draw(600));
  const CallOptions how{
      .timeout = Millis(1 + static_cast<std::int64_t>(draw(1500))),
      .priority = body.size() <= 1000 && draw(3) == 0 ? Priority::kControl : Priority::kBulk};
  calls_[tag] = {node, to, world_.now() + how.timeout, 0};
  const auto target = static_cast<std::uint64_t>(to) + 1;
  const auto method = draw(2) == 0 ? kEcho : kSlow;
  auto done = [this, tag, expected = answer_to(target, body)](const Result<std::string>& result) {
    if (result) EXPECT_EQ(*result, expected) << "the answer to another call";
    finish(tag, result);
  };
  auto& rpc = *nodes_[static_cast<std::size_t>(node)].rpc;
  const auto id = rpc.call({target}, method, body, how, std::move(done));
  if (draw(16) == 0) cancellable_.emplace_back(node, id);
}

void NetWorld::start_send(int node, int to) {
  const auto body = pattern(++last_tag_, draw(600));
  (void)nodes_[static_cast<std::size_t>(node)].rpc->send({static_cast<std::uint64_t>(to) + 1},
                                                         kNotify, body, {.timeout = 300ms});
}

void NetWorld::start_stream(int node, int to) {
  auto& life = nodes_[static_cast<std::size_t>(node)];
  const auto size = draw(3) == 0 ? draw(200'000) : draw(20'000);
  life.loop->spawn(run_pour(*life.rpc, {++last_tag_, static_cast<std::uint64_t>(to) + 1, size},
                            outcomes_.streams));
}

void NetWorld::start_lane(int node, int to) {
  auto& life = nodes_[static_cast<std::size_t>(node)];
  const auto name = fmt::format("object-{}", ++last_tag_);
  const auto bytes = pattern(last_tag_, draw(40'000));
  LaneSend what{.to = {static_cast<std::uint64_t>(to) + 1},
                .name = name,
                .source = lane_bytes(bytes),
                .bytes_per_s = draw(2) == 0 ? 0 : 50'000,
                .timeout = 6s,
                .silence_max = 2s};
  ++lanes_running_;
  // What goes with the loop of a process that dies is counted too.
  std::shared_ptr<void> running(nullptr, [this](void*) { --lanes_running_; });
  life.loop->spawn(run_lane(
      life, std::move(what), std::move(running),
      [=, this](const Result<LaneResult>& result) { lane_ended(to, name, bytes, result); }));
}

// Durable means: also after a power cut at this moment.
void NetWorld::lane_ended(int to, const std::string& name, const std::string& bytes,
                          const Result<LaneResult>& result) {
  ++outcomes_.lanes[result ? "ok" : code_name(result.error().code)];
  if (!result) return;
  outcomes_.lane_bytes += result->size;
  outcomes_.lane_bytes_sent += result->sent;
  acknowledged_[{to, name}] = bytes;
  const auto on_disk = world_.node(to).disk().durable(io::Path(kLanes) / name);
  EXPECT_TRUE(on_disk && *on_disk == bytes) << name << " was acknowledged and is not there";
}

void NetWorld::cancel_some(int node) {
  std::vector<Rpc::CallId> ids;
  for (const auto& [from, id] : cancellable_)
    if (from == node) ids.push_back(id);
  std::erase_if(cancellable_, [node](const auto& one) { return one.first == node; });
  for (const auto id : ids) nodes_[static_cast<std::size_t>(node)].rpc->cancel(id);
}

void NetWorld::load(int node) {
  if (world_.node(node).crashed() || world_.now() < paused_until_[static_cast<std::size_t>(node)])
    return;
  const auto other = [&] {
    return static_cast<int>((static_cast<std::uint64_t>(node) + 1 + draw(kNodes - 1)) % kNodes);
  };
  for (auto i = draw(4); i > 0; --i) start_call(node, other());
  if (draw(3) == 0) start_send(node, other());
  if (draw(8) == 0) start_stream(node, other());
  if (draw(12) == 0) start_lane(node, other());
  cancel_some(node);
}

void NetWorld::break_something() {
  const int a = static_cast<int>(draw(kNodes));
  const int b = static_cast<int>((static_cast<std::uint64_t>(a) + 1 + draw(kNodes - 1)) % kNodes);
  auto& network = world_.network();
  switch (draw(12)) {
    case 0: network.reset_connections(a, b); break;
    case 1: network.half_open(a, b); break;
    case 2: network.cut(a, b); break;
    case 3: network.isolate(a); break;
    case 4:
    case 5: network.heal(a, b), network.heal(b, a); break;
    case 6:
      network.link(a, b) = {
          .loss = 0.1, .slow = 0.1, .reset = 0.01, .duplicate = 0.2, .partial_read = 0.5};
      break;
    case 7: network.link(a, b) = {}; break;
    case 8: {
      const auto length = Millis(static_cast<std::int64_t>(draw(1200)));
      if (world_.node(a).crashed()) break;
      world_.node(a).pause(length);
      auto& until = paused_until_[static_cast<std::size_t>(a)];
      until = std::max(until, world_.now() + length);
      break;
    }
    case 9:
      if (world_.node(a).crashed()) break;
      world_.node(a).crash(draw(2) == 0 ? io::CrashKind::kKill : io::CrashKind::kPowerCut);
      ++outcomes_.crashes;
      end_life(a);
      restarts_due_[a] = world_.now() + Millis(static_cast<std::int64_t>(draw(1000)));
      break;
    case 10: {
      const auto& transport = nodes_[static_cast<std::size_t>(a)].transport;
      if (transport) transport->probability() = 0.03;
      break;
    }
    default: network.accept_busy() = draw(2) == 0 ? 0.3 : 0;
  }
}

void NetWorld::heal() {
  world_.network().heal_all();
  world_.network().set_all_links({});
  world_.network().accept_busy() = 0;
  for (auto& life : nodes_)
    if (life.transport) life.transport->probability() = 0;
}

void NetWorld::demand_progress() {
  world_.run_for(5s);
  std::size_t good = 0;
  constexpr std::size_t kPairs = kNodes * (kNodes - 1);
  for (int from = 0; from < kNodes; ++from)
    for (int to = 0; to < kNodes; ++to)
      if (from != to)
        nodes_[static_cast<std::size_t>(from)].rpc->call(
            {static_cast<std::uint64_t>(to) + 1}, kEcho, "alive", {.timeout = 5s},
            [&good](const Result<std::string>& result) {
              EXPECT_TRUE(result) << result.error().message;
              ++good;
            });
  world_.run_until([&] { return good == kPairs; }, 10s);
  EXPECT_EQ(good, kPairs);
  EXPECT_TRUE(world_.run_until([&] { return lanes_running_ == 0; }, 10s));
  for (const auto& [where, bytes] : acknowledged_) {
    const auto on_disk = world_.node(where.first).disk().cached(io::Path(kLanes) / where.second);
    EXPECT_TRUE(on_disk && *on_disk == bytes) << where.second;
  }
  for (const auto& [tag, call] : calls_) EXPECT_EQ(call.completed, 1) << "call " << tag;
  for (const auto& life : nodes_) {
    const auto stats = life.rpc->stats();
    EXPECT_EQ(stats.links, static_cast<std::size_t>(kNodes - 1));
    EXPECT_EQ(stats.calls, stats.completed);
    EXPECT_EQ(stats.queued_bytes, 0);
    EXPECT_EQ(stats.occupied_bytes, 0);
    EXPECT_EQ(stats.handshakes, 0U);
  }
}

void NetWorld::go(int slices) {
  for (int slice = 0; slice < slices; ++slice) {
    if (draw(4) == 0) break_something();
    for (int node = 0; node < kNodes; ++node) {
      const auto due = restarts_due_.find(node);
      if (due != restarts_due_.end() && due->second <= world_.now()) {
        restarts_due_.erase(due);
        world_.node(node).restart();
        start(node);
      }
      load(node);
    }
    world_.run_for(kSlice);
    if (testing::Test::HasFailure()) return;
  }
  heal();
  for (const auto& [node, due] : std::exchange(restarts_due_, {})) {
    world_.node(node).restart();
    start(node);
  }
  demand_progress();
}

namespace {

constexpr std::uint64_t kSeedsPerTest = 250;
constexpr int kSlices = 100;

class NetSimTest : public testing::TestWithParam<int> {};

TEST_P(NetSimTest, every_call_ends_once_in_time_and_with_its_own_answer) {
  Outcomes all;
  io::FaultHits hits;
  const auto first = static_cast<std::uint64_t>(GetParam()) * kSeedsPerTest + 1;
  for (auto seed = first; seed < first + kSeedsPerTest; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    NetWorld world(seed);
    world.go(kSlices);
    all.add(world.outcomes());
    for (const auto& [family, count] : world.hits()) hits[family] += count;
    if (HasFailure()) return;
    if (seed % 20 != 0) continue;
    NetWorld again(seed);
    again.go(kSlices);
    EXPECT_EQ(again.trace_hash(), world.trace_hash());
    EXPECT_EQ(again.outcomes().calls, world.outcomes().calls);
  }
  std::string line =
      fmt::format("{} seeds, {} crashes, {} links, {} one-way, {} violations; calls", kSeedsPerTest,
                  all.crashes, all.links, all.one_ways, all.violations);
  for (const auto& [code, count] : all.calls) line += fmt::format(" {}={}", code, count);
  line += "; streams";
  for (const auto& [code, count] : all.streams) line += fmt::format(" {}={}", code, count);
  line += fmt::format("; lanes {} bytes, {} sent", all.lane_bytes, all.lane_bytes_sent);
  for (const auto& [code, count] : all.lanes) line += fmt::format(" {}={}", code, count);
  line += "; faults";
  for (const auto& [family, count] : hits) line += fmt::format(" {}={}", family, count);
  std::puts(line.c_str());
  // The seeds did what they are for.
  for (const char* code : {"ok", "timeout", "io", "busy", "closed"})
    EXPECT_GE(all.calls[code], 100) << code;
  EXPECT_GE(all.streams["ok"], 100);
  EXPECT_GE(all.streams["io"], 100);
  EXPECT_GE(all.lanes["ok"], 500);
  EXPECT_GE(all.lane_bytes_sent, all.lane_bytes + 100'000);  // not all went in one piece
  EXPECT_GE(all.crashes, 100);
  EXPECT_GE(all.violations, 50);
  for (const char* family : {"net.held", "net.reset", "net.half_open", "net.loss", "net.slow",
                             "net.duplicate", "net.refused", "net.accept_busy"})
    EXPECT_GE(hits[family], 50) << family;
}

INSTANTIATE_TEST_SUITE_P(Seeds, NetSimTest, testing::Range(0, 4));

// What holds without TLS holds with it; what is damaged on the way it notices before frames do.
TEST(NetTlsSimTest, every_call_ends_once_over_tls_too) {
  constexpr std::uint64_t kSeeds = 40;
  Outcomes all;
  io::FaultHits hits;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    NetWorld world(seed, true);
    world.go(kSlices);
    all.add(world.outcomes());
    for (const auto& [family, count] : world.hits()) hits[family] += count;
    if (testing::Test::HasFailure()) return;
  }
  for (const char* code : {"ok", "timeout", "io", "busy", "closed"})
    EXPECT_GE(all.calls[code], 20) << code;
  EXPECT_EQ(all.violations, 0);  // a record that was changed is no record
  EXPECT_GE(all.streams["ok"], 20);
  EXPECT_GE(all.lanes["ok"], 100);
  EXPECT_GE(all.crashes, 20);
  for (const char* family : {"net.held", "net.reset", "net.half_open", "net.loss", "net.refused"})
    EXPECT_GE(hits[family], 10) << family;
}

}  // namespace
}  // namespace walrus::net
