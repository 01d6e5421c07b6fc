#pragma once
// A server on the first machine of a simulated world, and a loop on the second one for who asks it:
// what the simulated tests of the server begin with.

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "io/sim/sim_world.h"
#include "server/server.h"
#include "server/test_client.h"

namespace walrus::server {

// What a run of many seeds is done to its server.
struct Faults {
  io::CrashKind crash = io::CrashKind::kKill;
  double reset = 0;  // of links, per piece
};

inline const auto kEachFault = testing::Values(
    Faults{.crash = io::CrashKind::kKill}, Faults{.crash = io::CrashKind::kPowerCut},
    Faults{.crash = io::CrashKind::kKill, .reset = 0.01});
inline std::string fault_name(const testing::TestParamInfo<Faults>& info) {
  auto name = info.param.crash == io::CrashKind::kKill ? "kill" : "cut";
  return std::string(name) + (info.param.reset > 0 ? "_resets" : "");
}

// Without a Kafka port; clients are dropped before it.
class SimServer {
 protected:
  explicit SimServer(std::uint64_t seed = 1, const io::LinkOptions& link = {})
      : world_(seed, {.nodes = 2, .link = link}), loop_(world_.node(1).env()) {
    options_ = small_options("/data");
    options_.native.listen = address(9091);
    options_.admin_listen = address(9094);
  }
  ~SimServer() { server_.reset(); }

  std::string address(int port) { return fmt::format("{}:{}", world_.node(0).host(), port); }
  // Journals that a run of a few hundred operations fills.
  void use_tiny_journals() {
    options_.engine.user.journal_bytes_max = 1 << 20;
    options_.engine.user.batch_bytes_max = 64 << 10;
    options_.engine.user.in_flight_bytes_max = 256 << 10;
    options_.engine.journal_file_bytes_min = 256 << 10;
    options_.engine.journal_file_bytes_max = 256 << 10;
  }
  // Where it crashes while it starts, again.
  void start_server() {
    constexpr int kAttemptsMax = 100;
    for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
      auto started = Server::start(world_.node(0).env(), options_, log_);
      if (started) {
        server_ = std::move(*started);
        return;
      }
      ASSERT_TRUE(world_.node(0).crashed()) << started.error().message;
      (void)world_.node(0).restart();
      ++crashes_;
    }
    FAIL() << "it never starts";
  }
  // Behind a stop or a crash; what the disk had made durable is there.
  void restart_server() {
    server_.reset();
    if (world_.node(0).crashed()) ++crashes_;
    (void)world_.node(0).restart();
    start_server();
  }

  io::World world_;
  NoLog log_;
  TestLoop loop_;
  ServerOptions options_;
  std::unique_ptr<Server> server_;
  std::int64_t crashes_ = 0;
};

}  // namespace walrus::server
