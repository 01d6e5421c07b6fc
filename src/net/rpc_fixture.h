#pragma once
// Nodes on one loop, in both worlds, and tests that are coroutines on that loop.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/run_to_end.h"
#include "io/world_under_test.h"
#include "net/rpc.h"

namespace walrus::net {

using namespace std::chrono_literals;
template <class T>
using Awaitable = boost::asio::awaitable<T>;

constexpr ClusterId kTestCluster{7, 7};
constexpr Method kEcho{1}, kHold{2}, kNotify{3}, kFail{4}, kPipe{5}, kSink{6};

class RpcTest : public io::BothWorlds {
 public:
  static RpcOptions options_of(std::uint64_t node) {
    RpcOptions options;
    options.self = {kTestCluster, {node}, {1}};
    options.listen = "127.0.0.1:0";
    options.message_bytes_max = 64 << 10;
    options.control_bytes_max = 4 << 10;
    options.bulk_window = 256 << 10;
    options.control_window = 64 << 10;
    options.stream_window = 64 << 10;
    options.queue_bytes_max = 256 << 10;
    return options;
  }
  std::unique_ptr<Rpc> start(const RpcOptions& options) {
    auto rpc = Rpc::start(env(), *loop_, transport_, options);
    EXPECT_TRUE(rpc) << rpc.error().message;
    (*rpc)->handle(kEcho, [](Request request) { return echo(std::move(request)); });
    (*rpc)->handle(kFail, [](Request) { return refuse(); });
    return *std::move(rpc);
  }
  std::unique_ptr<Rpc> start(std::uint64_t node) { return start(options_of(node)); }
  static io::Task<std::string> echo(Request request) { co_return std::move(request.body); }
  static io::Task<std::string> refuse() { co_return fail(Code::kExists, "it is there already"); }

  // Waits on the loop until `done`; false after a while.
  Awaitable<bool> until(std::function<bool()> done, io::Nanos at_most = 10s) {
    const auto deadline = env().mono() + at_most;
    while (!done()) {
      if (env().mono() >= deadline) co_return false;
      co_await loop_->sleep(1ms);
    }
    co_return true;
  }
  io::Loop& loop() { return *loop_; }
  io::Env& world() { return env(); }

 protected:
  void SetUp() override {
    BothWorlds::SetUp();
    loop_ = env().make_loop();
  }
  void TearDown() override {
    loop_.reset();
    BothWorlds::TearDown();
  }
  void run(Awaitable<void> test) { io::run_to_end(*loop_, std::move(test)); }

  TcpTransport transport_;
  std::unique_ptr<io::Loop> loop_;
};

// A handler that keeps its requests, and answers when it may.
struct Held {
  io::Loop& loop;
  std::vector<Request> requests{};
  bool go = false;
};
inline io::Task<std::string> keep(std::shared_ptr<Held> held, Request request) {
  held->requests.push_back(std::move(request));
  while (!held->go) co_await held->loop.sleep(1ms);
  co_return "late";
}
inline std::shared_ptr<Held> hold_on(Rpc& rpc, RpcTest& test) {
  auto held = std::make_shared<Held>(test.loop());
  rpc.handle(kHold, [held](Request request) { return keep(held, std::move(request)); });
  return held;
}

}  // namespace walrus::net
