// What net/stream.h promises, asked in both worlds.

#include "net/stream.h"

#include "net/rpc_fixture.h"

namespace walrus::net {
namespace {

class StreamTest : public RpcTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, StreamTest,
                         testing::Values(io::WorldKind::kReal, io::WorldKind::kSimulated),
                         io::name_of);

std::string text_of(std::size_t size) {
  std::string text;
  for (int i = 0; text.size() < size; ++i) text += std::to_string(i) + ",";
  text.resize(size);
  return text;
}

io::Task<void> pipe_back(Request, Stream& stream) {
  while (true) {
    WALRUS_CO_ASSIGN(auto piece, co_await stream.read());
    if (piece.empty()) co_return Result<void>();
    WALRUS_CO_TRY(co_await stream.write(std::move(piece)));
  }
}

io::Task<std::string> read_all(Stream& stream) {
  std::string all;
  while (true) {
    WALRUS_CO_ASSIGN(const auto piece, co_await stream.read(10s));
    if (piece.empty()) co_return all;
    all += piece;
  }
}

Awaitable<void> write_all(Stream& stream, std::string text, Result<void>& result) {
  result = co_await stream.write(std::move(text), 10s);
  stream.end();
}

TEST_P(StreamTest, bytes_go_both_ways_whole_and_then_the_end) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    b->handle_stream(kPipe, [](Request request, Stream& stream) {
      return pipe_back(std::move(request), stream);
    });
    a->add_peer({2}, b->address());
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{3} << 20}) {
      auto stream = co_await a->open({2}, kPipe, "");
      EXPECT_TRUE(stream) << stream.error().message;
      const auto text = text_of(size);
      Result<void> written = fail(Code::kIo, "not yet");
      t.loop().spawn(write_all(**stream, text, written));
      const auto back = co_await read_all(**stream);
      EXPECT_TRUE(back == text);
      EXPECT_TRUE(co_await t.until([&] { return written.has_value(); }));
      EXPECT_EQ((co_await (*stream)->write("more")).error().code, Code::kClosed);
    }
    const auto window = static_cast<std::int64_t>(RpcTest::options_of(2).stream_window);
    EXPECT_LE(b->stats().occupied_bytes_max, window + kMessageCost);
    EXPECT_LE(a->stats().occupied_bytes_max, window + kMessageCost);
    EXPECT_TRUE(co_await t.until([&] { return b->stats().occupied_bytes == 0; }));
  }(*this));
}

io::Task<void> never_read(std::shared_ptr<io::Gate> go, Request, Stream&) {
  co_await go->wait(io::Nanos::max());
  co_return Result<void>();
}

TEST_P(StreamTest, a_reader_that_does_not_read_holds_the_writer_and_nothing_else) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    std::shared_ptr<io::Gate> go = t.loop().make_gate();
    b->handle_stream(kSink, [=](Request request, Stream& stream) {
      return never_read(go, std::move(request), stream);
    });
    b->handle_stream(kPipe, [](Request request, Stream& stream) {
      return pipe_back(std::move(request), stream);
    });
    a->add_peer({2}, b->address());
    auto stuck = co_await a->open({2}, kSink, "");
    EXPECT_TRUE(stuck);
    const auto late = co_await (*stuck)->write(text_of(1 << 20), 50ms);
    EXPECT_EQ(late.error().code, Code::kTimeout);
    EXPECT_LE(b->stats().occupied_bytes_max,
              static_cast<std::int64_t>(RpcTest::options_of(2).stream_window) + kMessageCost);
    auto other = co_await a->open({2}, kPipe, "");
    EXPECT_TRUE(other);
    EXPECT_TRUE(co_await (*other)->write("passes"));
    EXPECT_EQ(co_await (*other)->read(5s), "passes");
    EXPECT_EQ(co_await a->call({2}, kEcho, "too"), "too");
    go->open();
  }(*this));
}

io::Task<void> answer_and_leave(Request request, Stream& stream) {
  WALRUS_CO_TRY(co_await stream.write(request.body));
  co_return Result<void>();
}

io::Task<void> fail_with(Request, Stream& stream) {
  WALRUS_CO_TRY(co_await stream.read());
  co_return fail(Code::kNoSpace, "the disk is full");
}

TEST_P(StreamTest, what_a_handler_said_before_it_left_can_be_read) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    b->handle_stream(kPipe, [](Request request, Stream& stream) {
      return answer_and_leave(std::move(request), stream);
    });
    a->add_peer({2}, b->address());
    auto stream = co_await a->open({2}, kPipe, "an answer");
    EXPECT_TRUE(stream);
    EXPECT_EQ(co_await read_all(**stream), "an answer");
    // Nobody is there to read.
    Result<void> written;
    while (written) written = co_await (*stream)->write(text_of(100'000), 10s);
    EXPECT_EQ(written.error().code, Code::kClosed);
  }(*this));
}

TEST_P(StreamTest, the_error_of_a_handler_reaches_the_other_side) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    b->handle_stream(kSink, [](Request request, Stream& stream) {
      return fail_with(std::move(request), stream);
    });
    a->add_peer({2}, b->address());
    auto stream = co_await a->open({2}, kSink, "");
    EXPECT_TRUE(stream);
    EXPECT_TRUE(co_await (*stream)->write("x"));
    const auto read = co_await (*stream)->read(5s);
    EXPECT_EQ(read.error().code, Code::kNoSpace);
    EXPECT_EQ(read.error().message, "the disk is full");
    EXPECT_EQ((co_await (*stream)->write("y")).error().code, Code::kNoSpace);
    EXPECT_EQ((co_await a->open({2}, Method{99}, "")).error().code, Code::kNotFound);
  }(*this));
}

io::Task<void> note_end(std::shared_ptr<std::optional<Error>> seen, Request, Stream& stream) {
  while (true) {
    auto piece = co_await stream.read();
    if (!piece) *seen = piece.error();
    if (!piece || piece->empty()) co_return Result<void>();
  }
}

TEST_P(StreamTest, a_dropped_or_cancelled_stream_is_told_to_the_handler) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    auto seen = std::make_shared<std::optional<Error>>();
    b->handle_stream(kSink, [=](Request request, Stream& stream) {
      return note_end(seen, std::move(request), stream);
    });
    a->add_peer({2}, b->address());
    auto stream = co_await a->open({2}, kSink, "");
    EXPECT_TRUE(stream);
    (*stream)->cancel({Code::kOutOfRange, "changed my mind"});
    EXPECT_TRUE(co_await t.until([&] { return seen->has_value(); }));
    EXPECT_EQ((*seen)->code, Code::kOutOfRange);
    seen->reset();
    stream = co_await a->open({2}, kSink, "");
    EXPECT_TRUE(stream);
    stream->reset();
    EXPECT_TRUE(co_await t.until([&] { return seen->has_value(); }));
    EXPECT_EQ((*seen)->code, Code::kClosed);
  }(*this));
}

TEST_P(StreamTest, the_end_of_the_connection_ends_its_streams) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto a = t.start(1), b = t.start(2);
    auto seen = std::make_shared<std::optional<Error>>();
    b->handle_stream(kSink, [=](Request request, Stream& stream) {
      return note_end(seen, std::move(request), stream);
    });
    a->add_peer({2}, b->address());
    auto stream = co_await a->open({2}, kSink, "");
    EXPECT_TRUE(stream);
    a.reset();
    EXPECT_EQ((co_await (*stream)->read(5s)).error().code, Code::kClosed);
    EXPECT_TRUE(co_await t.until([&] { return seen->has_value(); }));
    EXPECT_EQ((*seen)->code, Code::kIo);
    EXPECT_TRUE(co_await b->stop(5s));
  }(*this));
}

TEST_P(StreamTest, streams_of_one_peer_are_limited) {
  run([](RpcTest& t) -> Awaitable<void> {
    auto options = RpcTest::options_of(2);
    options.streams_max = 3;
    auto a = t.start(1), b = t.start(options);
    b->handle_stream(kPipe, [](Request request, Stream& stream) {
      return pipe_back(std::move(request), stream);
    });
    a->add_peer({2}, b->address());
    std::vector<std::unique_ptr<Stream>> streams;
    for (int i = 0; i < 3; ++i) {
      auto stream = co_await a->open({2}, kPipe, "");
      EXPECT_TRUE(stream);
      if (stream) streams.push_back(*std::move(stream));
    }
    EXPECT_EQ((co_await a->open({2}, kPipe, "")).error().code, Code::kBusy);
    streams.pop_back();
    Result<std::unique_ptr<Stream>> next = fail(Code::kBusy, "");
    for (int i = 0; i < 1000 && !next; ++i) next = co_await a->open({2}, kPipe, "");
    EXPECT_TRUE(next);
  }(*this));
}

}  // namespace
}  // namespace walrus::net
