#pragma once
// Servers that are one cluster in a simulated world: the first machines are its nodes, on the last
// one lives who asks them.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "io/sim/sim_world.h"
#include "server/server.h"
#include "server/test_client.h"

namespace walrus::server {

// Nodes are counted from 1, as their ids are. Clients are dropped before it.
class SimCluster {
 public:
  SimCluster(std::uint64_t seed, std::size_t nodes)
      : world_(seed, {.nodes = static_cast<int>(nodes + 1)}),
        loop_(world_.node(static_cast<int>(nodes)).env()),
        servers_(nodes) {
    for (std::size_t n = 1; n <= nodes; ++n) options_.push_back(options_of(n));
  }
  ~SimCluster() {
    for (auto& server : servers_) server.reset();
  }

  // The first founds it, the others join one after the other.
  void start() { start_first(servers_.size()); }
  // The first `count` of them; the others are there to be started later.
  void start_first(std::size_t count) {
    found();
    for (std::size_t n = 1; n <= count; ++n) start(n);
    for (std::size_t n = 1; n <= count; ++n) await_active(count, n);
  }
  void start(std::size_t n) {
    auto started = try_start(n);
    ASSERT_TRUE(started.has_value()) << "node " << n << ": " << started.error().message;
  }
  Result<void> try_start(std::size_t n) {
    WALRUS_ASSIGN(servers_[n - 1], Server::start(machine(n).env(), options_[n - 1], log_));
    return {};
  }
  // None is ready before a majority is there.
  void restart_all() {
    for (std::size_t n = 1; n <= size(); ++n) {
      (void)machine(n).restart();
      auto opened = Server::open(machine(n).env(), options_[n - 1], log_);
      ASSERT_TRUE(opened.has_value()) << "node " << n << ": " << opened.error().message;
      servers_[n - 1] = std::move(*opened);
    }
    for (auto& server : servers_) ASSERT_TRUE(server->serve().has_value());
  }
  void kill(std::size_t n, io::CrashKind kind = io::CrashKind::kKill) {
    machine(n).crash(kind);
    servers_[n - 1].reset();
  }
  void restart(std::size_t n) {
    (void)machine(n).restart();
    start(n);
  }
  void stop(std::size_t n) {
    EXPECT_TRUE(servers_[n - 1]->stop().has_value());
    servers_[n - 1].reset();
  }

  bool runs(std::size_t n) const { return servers_[n - 1] != nullptr; }
  Server& server(std::size_t n) { return *servers_[n - 1]; }
  TestLoop& loop() { return loop_; }
  io::World& world() { return world_; }
  std::size_t size() const { return servers_.size(); }
  ServerOptions& options(std::size_t n) { return options_[n - 1]; }
  std::string native_address(std::size_t n) { return address(n, 9091); }
  std::string kafka_address(std::size_t n) { return address(n, 9092); }
  // Kafka's clients, too; before start().
  void serve_kafka() {
    for (std::size_t n = 1; n <= size(); ++n) {
      options_[n - 1].kafka.listen = kafka_address(n);
      options_[n - 1].kafka.session.node.node_id = static_cast<std::int32_t>(n);
    }
  }
  TestClient client(std::size_t n, Connect how = Connect::kMustSucceed) {
    return TestClient(loop_, native_address(n), how);
  }

  // Who leads a topic's partition, as node `asked` knows it; 0: nobody now.
  std::size_t leader(std::size_t asked, const std::string& topic, std::uint32_t partition = 0) {
    auto image = server(asked).cluster()->image();
    const auto* id = image->topic_names.find(topic);
    const auto* found = id ? image->partitions.find(PartitionId{*id, partition}) : nullptr;
    bool open = found && found->tail && found->tail->state == meta::SegmentState::kOpen;
    return open ? found->tail->leader.value : 0;
  }
  // Until `seen`, in simulated time; false: it is never so.
  bool until(const std::function<bool()>& seen, io::Nanos at_most = std::chrono::seconds(60)) {
    auto& env = loop_.env();
    const auto deadline = env.mono() + at_most;
    while (!seen()) {
      if (env.mono() >= deadline) return false;
      Event never;
      env.wait(never, std::chrono::milliseconds(20));
    }
    return true;
  }
  void await_active(std::size_t count, std::size_t asked) {
    EXPECT_TRUE(until([&] {
      std::size_t active = 0;
      server(asked).cluster()->image()->nodes.each([&](NodeId, const meta::Node& node) {
        if (node.state == meta::NodeState::kActive) ++active;
      });
      return active == count;
    })) << "node "
        << asked << " does not see " << count << " active nodes";
  }

 private:
  io::Node& machine(std::size_t n) { return world_.node(static_cast<int>(n - 1)); }
  std::string address(std::size_t n, int port) {
    return fmt::format("{}:{}", machine(n).host(), port);
  }
  ServerOptions options_of(std::size_t n) {
    auto options = small_options("/data");
    options.native.listen = address(n, 9091);
    options.admin_listen = address(n, 9094);
    options.broker.node_id = n;
    options.cluster.listen = address(n, 9093);
    if (n > 1) options.cluster.join = {address(1, 9093)};
    return options;
  }
  void found() {
    auto& env = machine(1).env();
    auto engine = log::Engine::open(env, options_[0].engine);
    ASSERT_TRUE(engine.has_value()) << engine.error().message;
    ASSERT_TRUE(meta::found_cluster(env, **engine, NodeId{1}).has_value());
    ASSERT_TRUE((*engine)->close().has_value());
  }

  io::World world_;
  NoLog log_;
  TestLoop loop_;
  std::vector<ServerOptions> options_;
  std::vector<std::unique_ptr<Server>> servers_;
};

}  // namespace walrus::server
