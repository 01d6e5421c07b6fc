// Three nodes on real disks, sockets and threads: what a simulated world cannot show, a machine
// that blocks its thread; and what fits by default.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "io/run_to_end.h"
#include "log/engine.h"
#include "net/rpc.h"
#include "raft/host.h"

namespace walrus::raft {
namespace {

using namespace std::chrono_literals;
constexpr GroupId kGroup{1};

// Each command waits until it may go on.
class BlockedMachine final : public Machine {
 public:
  explicit BlockedMachine(::walrus::Event& go) : go_(go) {}
  Result<void> apply(std::span<const Command> commands,
                     std::vector<std::string>& replies) override {
    if (!io::real_env().wait(go_, 60s)) return fail(Code::kTimeout, "nobody let it go on");
    replies.resize(commands.size(), "done");
    return {};
  }
  Result<std::unique_ptr<Frozen>> freeze() override { return fail(Code::kInvalid, "not asked"); }
  Result<void> restore(EntryId, SnapshotSource&) override { return {}; }

 private:
  ::walrus::Event& go_;
};

struct Process {
  std::unique_ptr<log::Engine> engine{};
  std::unique_ptr<net::Rpc> rpc{};
  std::unique_ptr<Host> host{};
  Node* node = nullptr;
};

class NodeRealTest : public ::testing::Test {
 protected:
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "walrus-raft-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    loop_ = env_.make_loop();
    Membership members;
    for (std::uint64_t node = 1; node <= 3; ++node) start(node, members);
    for (auto& process : processes_) {
      for (const auto& member : members.members) process.rpc->add_peer(member.id, member.address);
      loop_->spawn(open(process, members));
    }
  }
  void TearDown() override {
    go_.set();
    for (auto& process : processes_) process.host.reset();
    for (auto& process : processes_) process.rpc.reset();
    processes_.clear();
    loop_.reset();
    std::filesystem::remove_all(root_);
  }
  void start(std::uint64_t node, Membership& members) {
    auto& process = processes_.emplace_back();
    log::EngineOptions engine;
    engine.user.root = root_ / std::to_string(node);
    engine.user.shards = 1;
    process.engine = *log::Engine::open(env_, engine);
    net::RpcOptions rpc;
    rpc.self = {{1, 1}, {node}, {1}};
    rpc.listen = "127.0.0.1:0";
    process.rpc = *net::Rpc::start(env_, *loop_, transport_, rpc);
    HostOptions host;
    host.self = NodeId{node};
    process.host = *Host::start(env_, *loop_, *process.engine, *process.rpc, host);
    members.members.push_back(
        {.id = NodeId{node}, .address = process.rpc->address(), .voter = true});
  }
  Awaitable<void> open(Process& process, Membership founders) {
    NodeOptions options;
    options.founders = std::move(founders);
    options.runs = Runs::kShared;
    auto opened =
        co_await process.host->open(kGroup, options, std::make_unique<BlockedMachine>(go_));
    EXPECT_TRUE(opened) << opened.error().message;
    if (opened) process.node = *opened;
  }
  Node* leader() {
    for (auto& process : processes_)
      if (process.node && process.node->status().core.role == Role::kLeader) return process.node;
    return nullptr;
  }
  Awaitable<bool> until(std::function<bool()> done, io::Nanos at_most = 60s) {
    auto deadline = env_.mono() + at_most;
    while (!done()) {
      if (env_.mono() >= deadline) co_return false;
      co_await loop_->sleep(5ms);
    }
    co_return true;
  }
  void run(Awaitable<void> test) { io::run_to_end(*loop_, std::move(test)); }

  Awaitable<void> propose_while_blocked() {
    EXPECT_TRUE(co_await until([this] { return leader() != nullptr; }));
    auto* node = leader();
    if (!node) co_return;
    std::optional<Proposal> first, last;
    node->propose("a", 60s, [&](Proposal proposal) { first = std::move(proposal); });
    auto commit = node->status().core.commit;
    EXPECT_TRUE(co_await until([&] { return node->status().core.commit > commit; }));
    auto begun = env_.mono();
    EXPECT_TRUE(co_await until([&] { return env_.mono() - begun > 2s && leader() != nullptr; }));
    EXPECT_FALSE(first.has_value());
    // Whoever leads by now: it commits.
    node = leader();
    commit = node->status().core.commit;
    node->propose("b", 60s, [&](Proposal proposal) { last = std::move(proposal); });
    EXPECT_TRUE(co_await until([&] { return node->status().core.commit > commit; }));
    go_.set();
    EXPECT_TRUE(co_await until([&] { return first.has_value() && last.has_value(); }));
    EXPECT_EQ(last->reply, "done");
  }

  Awaitable<void> propose_the_largest() {
    go_.set();
    EXPECT_TRUE(co_await until([this] { return leader() != nullptr; }));
    auto* node = leader();
    if (!node) co_return;
    const Options defaults;
    auto largest = std::string(static_cast<std::size_t>(defaults.proposal_bytes_max), 'x');
    auto proposal = co_await node->propose(largest, 60s);
    EXPECT_EQ(proposal.end, Proposal::End::kApplied) << end_name(proposal.end);
    proposal = co_await node->propose(largest + "x", 60s);
    EXPECT_EQ(proposal.refusal, Refusal::kTooLarge);
  }

  io::Env& env_ = io::real_env();
  std::filesystem::path root_;
  ::walrus::Event go_;
  net::TcpTransport transport_;
  std::unique_ptr<io::Loop> loop_;
  std::vector<Process> processes_;
};

// Longer than any election timeout all machines are blocked.
TEST_F(NodeRealTest, a_machine_that_blocks_holds_up_neither_elections_nor_replication) {
  run(propose_while_blocked());
}

// Nothing but defaults: of the connections, the log and the group.
TEST_F(NodeRealTest, the_largest_command_fits_by_default) { run(propose_the_largest()); }

}  // namespace
}  // namespace walrus::raft
