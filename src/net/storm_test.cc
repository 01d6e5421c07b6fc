// Calls, streams and lanes through proxies that cut connections all the time, in both worlds: on
// real sockets too every call ends once and with its own answer, and what is whole is right.

#include <random>

#include "net/lane.h"
#include "net/rpc_fixture.h"

namespace walrus::net {
namespace {

// Passes bytes on to `target`, and cuts each connection after some number of them.
class Proxy {
 public:
  Proxy(RpcTest& t, std::string target, std::uint64_t seed)
      : loop_(t.loop()),
        target_(std::move(target)),
        random_(seed),
        listener_(*t.loop().listen("127.0.0.1:0")) {
    loop_.spawn(accept(*this));
  }
  std::string address() const { return listener_->address(); }
  // Everything that it runs ends; it may go when nothing runs any more.
  void close() {
    closed_ = true;
    listener_->close();
    for (auto* connection : std::exchange(open_, {})) connection->close();
  }
  bool over() const { return running_ == 0; }
  std::int64_t cuts() const { return cuts_; }

 private:
  struct Pair {
    std::unique_ptr<io::Connection> in, out;
    std::int64_t left;
  };

  static Awaitable<void> accept(Proxy& self) {
    ++self.running_;
    while (!self.closed_) {
      auto in = co_await self.listener_->accept();
      if (in) self.loop_.spawn(connect(self, *std::move(in)));
    }
    --self.running_;
  }
  static Awaitable<void> connect(Proxy& self, std::unique_ptr<io::Connection> in) {
    ++self.running_;
    auto out = co_await self.loop_.connect(self.target_, 1s);
    if (out && !self.closed_) {
      const auto left = 100'000 + static_cast<std::int64_t>(self.random_() % 900'000);
      auto pair = std::make_shared<Pair>(std::move(in), *std::move(out), left);
      self.open_.push_back(pair->in.get());
      self.open_.push_back(pair->out.get());
      self.loop_.spawn(pump(self, pair, *pair->in, *pair->out));
      self.loop_.spawn(pump(self, pair, *pair->out, *pair->in));
    }
    --self.running_;
  }
  static Awaitable<void> pump(Proxy& self, std::shared_ptr<Pair> pair, io::Connection& from,
                              io::Connection& to) {
    ++self.running_;
    std::string buffer(16 << 10, '\0');
    while (true) {
      const auto size = co_await from.read_some(buffer, io::Nanos::max());
      if (!size || *size == 0) break;
      pair->left -= static_cast<std::int64_t>(*size);
      if (pair->left < 0) {
        ++self.cuts_;
        break;
      }
      if (!co_await to.write(Bytes(buffer).substr(0, *size), 5s)) break;
    }
    from.close();
    to.close();
    std::erase(self.open_, &from);
    std::erase(self.open_, &to);
    --self.running_;
  }

  io::Loop& loop_;
  const std::string target_;
  std::mt19937_64 random_;
  std::unique_ptr<io::Listener> listener_;
  std::vector<io::Connection*> open_;
  bool closed_ = false;
  int running_ = 0;
  std::int64_t cuts_ = 0;
};

class StormTest : public RpcTest {
 public:
  using BothWorlds::content_of;
  using BothWorlds::disk;
  using BothWorlds::path;
};
INSTANTIATE_TEST_SUITE_P(Worlds, StormTest,
                         testing::Values(io::WorldKind::kReal, io::WorldKind::kSimulated),
                         io::name_of);

struct Count {
  int started = 0, ended = 0, good = 0;
};

void keep_calling(Rpc& rpc, Count& count, int left, std::string body) {
  ++count.started;
  rpc.call({2}, kEcho, body, {.timeout = 10s},
           [&rpc, &count, left, body, ended = false](const Result<std::string>& reply) mutable {
             EXPECT_FALSE(std::exchange(ended, true));
             ++count.ended;
             if (reply) {
               EXPECT_EQ(*reply, body);
               ++count.good;
             } else {
               EXPECT_EQ(reply.error().code, Code::kIo);
             }
             if (left > 0) keep_calling(rpc, count, left - 1, body);
           });
}

io::Task<void> pour_back(Request, Stream& stream) {
  while (true) {
    WALRUS_CO_ASSIGN(auto piece, co_await stream.read(10s));
    if (piece.empty()) co_return Result<void>();
    WALRUS_CO_TRY(co_await stream.write(std::move(piece), 10s));
  }
}

Awaitable<void> keep_pouring(Rpc& rpc, Count& count, int times) {
  for (int i = 0; i < times; ++i) {
    ++count.started;
    const auto text = std::string(20'000, static_cast<char>('a' + i));
    auto stream = co_await rpc.open({2}, kPipe, "", {.timeout = 10s});
    Result<void> written;
    if (stream) written = co_await (*stream)->write(text, 10s);
    std::string back;
    bool whole = stream && written;
    if (whole) (*stream)->end();
    while (whole) {
      const auto piece = co_await (*stream)->read(10s);
      whole = piece.has_value();
      if (!piece || piece->empty()) break;
      back += *piece;
    }
    if (whole) {
      EXPECT_TRUE(back == text);
      ++count.good;
    }
    ++count.ended;
  }
}

Awaitable<void> send_object(RpcTest& t, Rpc& rpc, FileWorker& worker, std::string bytes,
                            std::optional<Result<LaneResult>>& result) {
  LaneSend what{.to = {2}, .name = "object", .source = lane_bytes(std::move(bytes))};
  result = co_await send_lane(t.world(), t.loop(), rpc, worker, std::move(what));
}

TEST_P(StormTest, what_ends_ends_once_and_what_is_whole_is_right) {
  run([](StormTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    auto worker = std::make_unique<FileWorker>(t.world(), t.loop());
    auto receiver = std::make_unique<LaneReceiver>(
        t.world(), *b, *worker,
        LaneReceiverOptions{
            .directory = t.path("in"), .free_bytes_min = 0, .sync_bytes = 16 << 10});
    b->handle_stream(kPipe, [](Request request, Stream& stream) {
      return pour_back(std::move(request), stream);
    });
    Proxy proxy(t, b->address(), 2026);
    a->add_peer({2}, proxy.address());
    Count calls, pours;
    for (int i = 0; i < 8; ++i)
      keep_calling(*a, calls, 100, std::string(100 + 700 * static_cast<std::size_t>(i), 'x'));
    for (int i = 0; i < 4; ++i) t.loop().spawn(keep_pouring(*a, pours, 20));
    std::string bytes;
    for (int i = 0; bytes.size() < (3 << 20); ++i) bytes += std::to_string(i);
    std::optional<Result<LaneResult>> sent;
    t.loop().spawn(send_object(t, *a, *worker, bytes, sent));
    EXPECT_TRUE(co_await t.until(
        [&] { return calls.ended == 808 && pours.ended == 80 && sent.has_value(); }, 90s));
    EXPECT_EQ(calls.started, 808);
    EXPECT_GT(calls.good, 400);
    EXPECT_GT(pours.good, 20);
    EXPECT_GE(proxy.cuts(), 10);
    EXPECT_TRUE(sent && *sent);
    if (sent && *sent) EXPECT_GT((*sent)->sent, std::ssize(bytes));
    auto file = t.disk().open(t.path("in") / "object", io::Open::kRead);
    EXPECT_TRUE(file && content_of(**file) == bytes);
    EXPECT_EQ(a->stats().calls, a->stats().completed);
    EXPECT_TRUE(co_await a->stop(10s));
    EXPECT_TRUE(co_await b->stop(10s));
    proxy.close();
    EXPECT_TRUE(co_await t.until([&] { return proxy.over(); }));
    a.reset();
    b.reset();
    receiver.reset();
    worker.reset();
  }(*this));
}

}  // namespace
}  // namespace walrus::net
