// Three nodes of a cluster on real disks, sockets and threads.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/test_log.h"
#include "io/run_to_end.h"
#include "meta/member.h"

namespace walrus::meta {
namespace {

using namespace std::chrono_literals;

struct Process {
  std::string address{};
  std::unique_ptr<log::Engine> engine{};
  std::unique_ptr<net::Rpc> rpc{};
  std::unique_ptr<raft::Host> host{};
  std::shared_ptr<Member> member{};
  int leases = 0;
};

class MemberRealTest : public ::testing::Test {
 protected:
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "walrus-meta-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    loop_ = env_.make_loop();
    processes_.resize(3);
  }
  void TearDown() override {
    for (std::size_t i = 0; i < processes_.size(); ++i) end(i);
    loop_.reset();
    std::filesystem::remove_all(root_);
  }
  static io::Task<void> start(MemberRealTest& test, std::size_t place) {
    auto& process = test.processes_[place];
    const NodeId id{place + 1};
    log::EngineOptions engine;
    engine.user.root = test.root_ / std::to_string(place);
    engine.user.shards = 1;
    WALRUS_CO_ASSIGN(process.engine, log::Engine::open(test.env_, engine));
    WALRUS_CO_ASSIGN(auto stored, load_identity(*process.engine));
    if (!stored && place == 0) {
      WALRUS_CO_ASSIGN(stored, found_cluster(test.env_, *process.engine, id));
    } else if (!stored) {
      WALRUS_CO_ASSIGN(
          stored, co_await find_cluster(test.env_, *test.loop_, test.transport_, *process.engine,
                                        id, {test.processes_[0].address}, 20s));
    }
    WALRUS_CO_ASSIGN(auto identity, claim(test.env_, *process.engine, *stored));
    net::RpcOptions rpc{.self = identity.peer(),
                        .listen = process.address.empty() ? "127.0.0.1:0" : process.address,
                        .message_bytes_max = kPeerMessageBytesMin};
    WALRUS_CO_ASSIGN(process.rpc, net::Rpc::start(test.env_, *test.loop_, test.transport_, rpc));
    process.address = process.rpc->address();
    WALRUS_CO_ASSIGN(process.host, raft::Host::start(test.env_, *test.loop_, *process.engine,
                                                     *process.rpc, {.self = id}));
    MemberOptions options{.identity = identity,
                          .listeners = {{"peer", process.address}},
                          .join = {test.processes_[0].address}};
    // Machines of tests are busy: nobody is lost because a turn of a loop came late.
    options.controller.silence_max = 3s;
    options.election_timeout_min = 1s;
    options.election_timeout_max = 2s;
    WALRUS_CO_ASSIGN(process.member, co_await Member::start(
                                         {test.env_, *test.loop_, test.transport_, *process.engine,
                                          *process.rpc, *process.host, test.log_},
                                         std::move(options)));
    process.member->on_lease([&process](Nanos) { ++process.leases; });
    co_return co_await process.member->registered(30s);
  }
  void end(std::size_t place) {
    auto& process = processes_[place];
    if (process.member) process.member->drop();
    process.member.reset();
    process.host.reset();
    process.rpc.reset();
    process.engine.reset();
  }
  static Awaitable<void> story(MemberRealTest&);
  Member& member(std::size_t place) { return *processes_[place].member; }
  Awaitable<bool> until(std::function<bool()> done, Nanos at_most = 60s) {
    const auto deadline = env_.mono() + at_most;
    while (!done()) {
      if (env_.mono() >= deadline) co_return false;
      co_await loop_->sleep(5ms);
    }
    co_return true;
  }
  void run(Awaitable<void> test) { io::run_to_end(*loop_, std::move(test)); }
  bool settled() {
    for (const auto& process : processes_) {
      std::size_t active = 0, voters = 0;
      process.member->image()->nodes.each(
          [&](NodeId, const Node& node) { active += node.state == NodeState::kActive; });
      const auto members = process.member->status().members;
      for (const auto& one : members.members) voters += one.voter;
      if (active != 3 || voters != 3 || members.joint) return false;
    }
    return true;
  }
  std::size_t leader() {
    for (std::size_t i = 0; i < processes_.size(); ++i)
      if (processes_[i].member && member(i).status().leads) return i;
    return SIZE_MAX;
  }

  io::Env& env_ = io::real_env();
  io::Path root_;
  net::TcpTransport transport_;
  NoLog log_;
  std::unique_ptr<io::Loop> loop_;
  std::vector<Process> processes_;
};

CreateTopic topic(std::uint8_t number) {
  CreateTopic made{.name = "t" + std::to_string(number), .replication_factor = 3, .min_copies = 2};
  made.topic.bytes.fill(static_cast<char>(number));
  return made;
}

TEST_F(MemberRealTest, founds_joins_proposes_loses_its_leader_and_goes_on) { run(story(*this)); }

boost::asio::awaitable<void> MemberRealTest::story(MemberRealTest& test) {
  for (std::size_t i = 0; i < 3; ++i) {
    const auto started = co_await start(test, i);
    EXPECT_TRUE(started) << started.error().message;
    if (!started) co_return;
  }
  EXPECT_TRUE(co_await test.until([&] { return test.settled(); }));
  auto created = co_await test.member(2).propose_one(topic(1));
  EXPECT_TRUE(created && created->done());
  EXPECT_NE(test.member(2).image()->find_topic("t1"), nullptr);
  EXPECT_TRUE(co_await test.until([&] { return test.processes_[1].leases > 5; }));

  const auto old = test.leader();
  const auto other = (old + 1) % 3;
  const auto before = test.member(old).incarnation();
  test.end(old);
  EXPECT_TRUE(co_await test.until([&] { return test.leader() != SIZE_MAX; }));
  created = co_await test.member(other).propose_one(topic(2), 20s);
  EXPECT_TRUE(created && created->done());

  const auto again = co_await start(test, old);
  EXPECT_TRUE(again) << again.error().message;
  if (!again) co_return;
  EXPECT_GT(test.member(old).incarnation(), before);
  const auto image = co_await test.member(old).current(20s);
  EXPECT_TRUE(image && (*image)->find_topic("t2") != nullptr);
  EXPECT_TRUE(co_await test.until([&] { return test.settled(); }));
}

}  // namespace
}  // namespace walrus::meta
