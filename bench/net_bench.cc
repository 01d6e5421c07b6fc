// RPC over loopback: two nodes of one process, a thread each. Prints one line a measurement:
//
//   walrus_bench_net [SECONDS]      of each, 2 by default

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>

#include "base/check.h"
#include "base/histogram.h"
#include "io/env.h"
#include "net/rpc.h"

namespace walrus::bench {
namespace {

constexpr net::Method kEcho{1}, kSink{2};
constexpr std::size_t kBodyBytes = 256, kPieceBytes = 256 << 10;

net::RpcOptions options_of(std::uint64_t node) {
  net::RpcOptions options;
  options.self = {{1, 1}, {node}, {1}};
  if (node == 2) options.listen = "127.0.0.1:0";
  return options;
}

io::Task<std::string> echo(net::Request request) { co_return std::move(request.body); }

io::Task<void> drain(net::Request, net::Stream& stream) {
  std::int64_t bytes = 0;
  while (true) {
    WALRUS_CO_ASSIGN(const auto piece, co_await stream.read());
    bytes += std::ssize(piece);
    if (piece.empty()) co_return co_await stream.write(fmt::format("{}", bytes));
  }
}

struct Load {
  io::Env& env;
  io::Loop& loop;
  net::Rpc& rpc;
  io::Nanos length;
};

boost::asio::awaitable<void> one_at_a_time(Load load, Histogram& latency) {
  const auto end = load.env.mono() + load.length;
  while (load.env.mono() < end) {
    const auto begun = load.env.mono();
    const auto reply = co_await load.rpc.call({2}, kEcho, std::string(kBodyBytes, 'x'));
    CHECK(reply.has_value());
    latency.record((load.env.mono() - begun).count());
  }
  load.loop.stop();
}

// So many calls in flight; each reply starts the next call.
struct Pipeline {
  Load load;
  io::Nanos end;
  std::int64_t done = 0, in_flight = 0;

  void start() {
    ++in_flight;
    load.rpc.call({2}, kEcho, std::string(kBodyBytes, 'x'), {},
                  [this](const Result<std::string>& reply) {
                    CHECK(reply.has_value());
                    ++done;
                    --in_flight;
                    if (load.env.mono() < end) start();
                    else if (in_flight == 0) load.loop.stop();
                  });
  }
};

boost::asio::awaitable<void> pour(Load load, std::int64_t& bytes) {
  auto stream = co_await load.rpc.open({2}, kSink, "");
  CHECK(stream.has_value());
  const auto end = load.env.mono() + load.length;
  const std::string piece(kPieceBytes, 'x');
  while (load.env.mono() < end) {
    CHECK((co_await (*stream)->write(piece)).has_value());
    bytes += std::ssize(piece);
  }
  (*stream)->end();
  const auto arrived = co_await (*stream)->read();
  CHECK(arrived && *arrived == fmt::format("{}", bytes));
  load.loop.stop();
}

void measure(const Load& load) {
  const auto per_s = [&load](std::int64_t count, io::Nanos begun) {
    return static_cast<double>(count) /
           std::chrono::duration<double>(load.env.mono() - begun).count();
  };
  auto begun = load.env.mono();
  Histogram latency;
  load.loop.spawn(one_at_a_time(load, latency));
  load.loop.run();
  fmt::print("calls, 1 in flight, {} bytes: {:.0f}/s, p50 {:.0f} us, p99 {:.0f} us\n", kBodyBytes,
             per_s(static_cast<std::int64_t>(latency.count()), begun),
             static_cast<double>(latency.percentile(50)) / 1e3,
             static_cast<double>(latency.percentile(99)) / 1e3);
  begun = load.env.mono();
  Pipeline pipeline{load, begun + load.length};
  load.loop.post([&] {
    for (int i = 0; i < 256; ++i) pipeline.start();
  });
  load.loop.run();
  fmt::print("calls, 256 in flight, {} bytes: {:.0f}/s\n", kBodyBytes, per_s(pipeline.done, begun));
  begun = load.env.mono();
  std::int64_t bytes = 0;
  load.loop.spawn(pour(load, bytes));
  load.loop.run();
  fmt::print("stream: {:.0f} MB/s\n", per_s(bytes, begun) / 1e6);
}

int main_of(double seconds) {
  auto& env = io::real_env();
  net::TcpTransport transport;
  const auto server_loop = env.make_loop();
  const auto client_loop = env.make_loop();
  auto server = net::Rpc::start(env, *server_loop, transport, options_of(2));
  CHECK(server.has_value());
  (*server)->handle(kEcho, [](net::Request request) { return echo(std::move(request)); });
  (*server)->handle_stream(kSink, [](net::Request request, net::Stream& stream) {
    return drain(std::move(request), stream);
  });
  auto client = net::Rpc::start(env, *client_loop, transport, options_of(1));
  CHECK(client.has_value());
  (*client)->add_peer({2}, (*server)->address());
  auto worker = env.start_worker("server", [&] {
    server_loop->run();
    return io::Worker::kForever;
  });
  measure({env, *client_loop, **client, io::Nanos(static_cast<std::int64_t>(seconds * 1e9))});
  server_loop->stop();
  worker.reset();
  return 0;
}

}  // namespace
}  // namespace walrus::bench

int main(int count, char** arguments) {
  const double seconds = count > 1 ? std::atof(arguments[1]) : 2;
  return seconds > 0 ? walrus::bench::main_of(seconds) : 2;
}
