// A peer that has said hello and then says anything (fuzz/peer_form.h), to an Rpc in a simulated
// world: it stays within its windows, and serves another peer afterwards.

#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"
#include "io/sim/sim_world.h"
#include "net/message.h"
#include "net/rpc.h"
#include "peer_form.h"

namespace {

using namespace walrus;
using namespace std::chrono_literals;

constexpr net::Method kEcho{1}, kNotify{2}, kPipe{3};

io::Task<std::string> echo(net::Request request) { co_return std::move(request.body); }

io::Task<void> pipe_back(net::Request, net::Stream& stream) {
  while (true) {
    WALRUS_CO_ASSIGN(auto piece, co_await stream.read(1s));
    if (piece.empty()) co_return Result<void>();
    WALRUS_CO_TRY(co_await stream.write(std::move(piece), 1s));
  }
}

boost::asio::awaitable<void> speak(io::Loop& loop, std::string address, std::string bytes) {
  auto connection = co_await loop.connect(address, 1s);
  CHECK(connection.has_value());
  (void)co_await (*connection)->write(bytes, 1s);
  char heard[4096];
  while (true) {
    const auto size = co_await (*connection)->read_some(heard, 1s);
    if (!size || *size == 0) co_return;
  }
}

net::RpcOptions options_of(std::uint64_t node) {
  net::RpcOptions options;
  options.self = {fuzz::kCluster, {node}, {1}};
  options.listen = "127.0.0.1:0";
  options.message_bytes_max = options.control_bytes_max = 512;
  options.bulk_window = options.control_window = 2048;
  options.stream_window = 1024;
  options.streams_max = 2;
  options.queue_bytes_max = 4096;
  return options;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  io::World world(1);
  auto& env = world.node(0).env();
  const auto loop = env.make_loop();
  net::TcpTransport transport;
  auto server = *net::Rpc::start(env, *loop, transport, options_of(2));
  auto other = *net::Rpc::start(env, *loop, transport, options_of(3));
  server->handle(kEcho, [](net::Request request) { return echo(std::move(request)); });
  server->handle_send(kNotify, [](net::Request) {});
  server->handle_stream(kPipe, [](net::Request request, net::Stream& stream) {
    return pipe_back(std::move(request), stream);
  });
  std::string hello, bytes;
  net::append_hello(hello, {{5}, {2}, 1, 0, {512, 4096, 4096, 4096, 2}});
  net::append_frame(bytes, {.type = net::FrameType::kHello, .incarnation = {1}}, fuzz::kCluster,
                    hello);
  bytes += fuzz::frames_of({reinterpret_cast<const char*>(data), size});
  loop->spawn(speak(*loop, server->address(), std::move(bytes)));
  world.run_for(2s);
  constexpr std::int64_t kWindows = 2 * 2048 + 2 * 1024;
  CHECK(server->stats().occupied_bytes_max <= kWindows);
  bool answered = false;
  other->add_peer({2}, server->address());
  other->call({2}, kEcho, "alive", {}, [&](const Result<std::string>& reply) {
    CHECK(reply && *reply == "alive");
    answered = true;
  });
  CHECK(world.run_until([&] { return answered; }, 10s));
  return 0;
}
