#pragma once
// For tests: processes with a Host each, on simulated nodes, and tests that are coroutines.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/sim/sim_world.h"
#include "log/engine.h"
#include "net/rpc.h"
#include "raft/host.h"

namespace walrus::raft {

using namespace std::chrono_literals;

// A list of lines. "fail" is an error.
class LineMachine final : public Machine {
 public:
  class View final : public Frozen {
   public:
    explicit View(std::vector<std::string> lines) : lines_(std::move(lines)) {}
    Result<bool> write(SnapshotSink& sink) override {
      if (next_ < lines_.size()) WALRUS_TRY(sink.write(lines_[next_++] + "\n"));
      return next_ < lines_.size();
    }

   private:
    std::vector<std::string> lines_;
    std::size_t next_ = 0;
  };
  Result<void> apply(std::span<const Command> commands,
                     std::vector<std::string>& replies) override {
    for (const auto& command : commands) {
      if (command.bytes == "fail") return fail(Code::kInvalid, "told to");
      lines.emplace_back(command.bytes);
      replies.push_back("line " + std::to_string(lines.size()));
    }
    return {};
  }
  Result<std::unique_ptr<Frozen>> freeze() override { return std::make_unique<View>(lines); }
  Result<void> restore(EntryId, SnapshotSource& source) override {
    lines.clear();
    ++restores;
    std::string text;
    for (char part[50];;) {
      WALRUS_ASSIGN(auto size, source.read(part));
      if (size == 0) break;
      text.append(part, size);
    }
    for (std::size_t at = 0; at < text.size();) {
      auto end = text.find('\n', at);
      lines.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    return {};
  }

  std::vector<std::string> lines{};
  int restores = 0;
};

class NodeTest : public ::testing::Test {
 protected:
  struct Process {
    std::unique_ptr<io::Loop> loop{};
    std::unique_ptr<log::Engine> engine{};
    std::unique_ptr<net::TcpTransport> transport{};
    std::unique_ptr<net::Rpc> rpc{};
    std::unique_ptr<Host> host{};
  };
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;
  static constexpr GroupId kGroup{7};

  explicit NodeTest(int nodes = 4) : world_(5, {.nodes = nodes}) {
    processes_.resize(static_cast<std::size_t>(nodes));
  }
  ~NodeTest() override {
    for (std::size_t i = 0; i < processes_.size(); ++i) end(i);
  }

  // Places count from 0, node ids from 1.
  void start(std::size_t place) {
    auto& process = processes_[place];
    auto& env = world_.node(static_cast<int>(place)).env();
    process.loop = env.make_loop();
    log::EngineOptions engine_options;
    engine_options.user.root = "/data";
    engine_options.user.shards = 1;
    engine_options.user.journal_bytes_max = 4 << 20;
    engine_options.user.batch_bytes_max = 1 << 20;
    engine_options.journal_file_bytes_min = engine_options.journal_file_bytes_max = 1 << 20;
    auto engine = log::Engine::open(env, engine_options);
    ASSERT_TRUE(engine) << engine.error().message;
    process.engine = *std::move(engine);
    process.transport = std::make_unique<net::TcpTransport>();
    net::RpcOptions rpc_options;
    rpc_options.self = {{1, 1}, {place + 1}, {++lives_}};
    rpc_options.listen = address_of(place);
    auto rpc = net::Rpc::start(env, *process.loop, *process.transport, rpc_options);
    ASSERT_TRUE(rpc) << rpc.error().message;
    process.rpc = *std::move(rpc);
    HostOptions host_options;
    host_options.self = NodeId{place + 1};
    auto host = Host::start(env, *process.loop, *process.engine, *process.rpc, host_options);
    ASSERT_TRUE(host) << host.error().message;
    process.host = *std::move(host);
  }
  void end(std::size_t place) {
    auto& process = processes_[place];
    process.host.reset();
    process.rpc.reset();
    process.engine.reset();
    process.loop.reset();
  }
  void restart(std::size_t place, io::CrashKind how = io::CrashKind::kPowerCut) {
    world_.node(static_cast<int>(place)).crash(how);
    end(place);
    world_.node(static_cast<int>(place)).restart();
    start(place);
  }
  std::string address_of(std::size_t place) {
    return world_.node(static_cast<int>(place)).host() + ":9093";
  }
  Host& host(std::size_t place) { return *processes_[place].host; }

  static NodeOptions options() {
    NodeOptions options;
    options.core.proposal_bytes_max = 64 << 10;
    options.core.append_bytes_max = 64 << 10;
    options.core.snapshot_chunk_bytes = 100;
    options.core.log_bytes_kept = 0;
    options.runs = Runs::kLoop;
    return options;
  }
  Membership founders(std::size_t count) {
    Membership members;
    for (std::size_t i = 0; i < count; ++i)
      members.members.push_back({.id = NodeId{i + 1}, .address = address_of(i), .voter = true});
    return members;
  }
  // A coroutine to its end, in virtual time.
  template <class T>
  T run(std::size_t place, Awaitable<T> task) {
    std::optional<T> result;
    processes_[place].loop->spawn(keep(std::move(task), result));
    EXPECT_TRUE(world_.run_until([&] { return result.has_value(); }, 60s));
    return *std::move(result);
  }
  template <class T>
  static Awaitable<void> keep(Awaitable<T> task, std::optional<T>& result) {
    result = co_await std::move(task);
  }
  Result<Node*> open(std::size_t place, GroupId group, NodeOptions options) {
    return run(place, host(place).open(group, std::move(options), std::make_unique<LineMachine>()));
  }
  // The group on the first `count` nodes.
  void found(std::size_t count, NodeOptions with = options(), GroupId group = kGroup) {
    with.founders = founders(count);
    for (std::size_t i = 0; i < count; ++i) {
      if (!processes_[i].host) start(i);
      auto opened = open(i, group, with);
      ASSERT_TRUE(opened) << opened.error().message;
    }
  }
  Node* node(std::size_t place, GroupId group = kGroup) {
    return processes_[place].host ? host(place).find(group) : nullptr;
  }
  // The place of the leader, once there is one that has committed in its term.
  std::size_t leader(GroupId group = kGroup) {
    std::size_t found = SIZE_MAX;
    auto leads = [&] {
      found = SIZE_MAX;
      Term term = 0;
      for (std::size_t i = 0; i < processes_.size(); ++i) {
        auto* one = node(i, group);
        if (!one) continue;
        auto status = one->status();
        bool newer = status.core.role == Role::kLeader && status.core.term >= term;
        if (newer && status.core.commit == status.core.last) found = i;
        if (newer) term = status.core.term;
      }
      return found != SIZE_MAX;
    };
    EXPECT_TRUE(world_.run_until(leads, 30s));
    return found;
  }
  Proposal propose(std::size_t place, std::string command, GroupId group = kGroup,
                   io::Nanos timeout = 5s) {
    return run(place, node(place, group)->propose(std::move(command), timeout));
  }
  std::vector<std::string> lines(std::size_t place, GroupId group = kGroup) {
    std::optional<std::vector<std::string>> all;
    node(place, group)->at_machine([&](Machine& machine) {
      all = static_cast<LineMachine&>(machine).lines;
    });
    EXPECT_TRUE(world_.run_until([&] { return all.has_value(); }, 10s));
    return all.value_or(std::vector<std::string>{});
  }
  bool until(const std::function<bool()>& done, io::Nanos timeout = 20s) {
    return world_.run_until(done, timeout);
  }

  io::World world_;
  std::vector<Process> processes_;
  std::uint64_t lives_ = 0;
};

}  // namespace walrus::raft
