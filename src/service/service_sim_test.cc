// Services in a simulated world that crashes, cuts and pauses them: what was acknowledged is there
// exactly once, all members agree, and a seed repeats its run.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "net/transport.h"
#include "service/guest.h"
#include "service/test_faults.h"
#include "service/world.h"

namespace walrus::service {
namespace {

using namespace std::chrono_literals;

constexpr int kNodes = 3, kClients = 4;

// A client of one command at a time, which keeps its place: where its node is gone it goes on with
// the same command by another one. Unless an earlier command had no answer in time: that one is in
// doubt as long as the session has not answered a later one, and so is the session without it.
struct Client {
  SessionPlace place{};  // id 0: it has no session
  std::optional<Session> session{};
  bool waits = false, in_doubt = false;
  std::vector<std::uint64_t> replies{};
  std::uint64_t unknown = 0;
  std::size_t before_the_end = 0;
};

class SimRun {
 public:
  explicit SimRun(std::uint64_t seed)
      : world_(World::simulated(seed, kNodes)),
        cluster_(world_, kNodes, "/data"),
        faults_(world_, cluster_, kNodes) {
    cluster_.tweak([this](ServiceOptions& options) {
      options.snapshot_after_bytes = 8'000;
      options.log = [this, id = options.id.value](Bytes line) {
        log_ += "\n" + std::to_string(now_ms()) + " node " + std::to_string(id) + " " +
                std::string(line);
      };
    });
    cluster_.check_same = true;
    cluster_.start_all();
  }

  void run(Millis time) {
    const auto end = world_.within(time);
    while (world_.within(0ms) < end) {
      if (faults_.random().chance(0.1)) faults_.disturb();
      for (auto& client : clients_) drive(client);
      world_.run_for(Millis(faults_.random().between(1, 60)));
    }
  }

  void check() {
    faults_.heal();
    for (auto& client : clients_) client.before_the_end = client.replies.size();
    ASSERT_TRUE(cluster_.until([&] { return finish(); }, 60s))
        << "seed " << world_.seed() << story();
    auto session = cluster_.at(NodeId{1}).session(world_.within(20s));
    ASSERT_TRUE(session) << session.error().message;
    const auto sum = session->query("get n", Read::kLinearizable, world_.within(20s));
    ASSERT_TRUE(sum) << sum.error().message;
    std::set<std::uint64_t> replies;
    std::uint64_t acknowledged = 0, unknown = 0;
    for (const auto& client : clients_) {
      EXPECT_TRUE(std::ranges::is_sorted(client.replies));
      replies.insert(client.replies.begin(), client.replies.end());
      acknowledged += client.replies.size();
      unknown += client.unknown;
    }
    const auto applied = std::strtoull(sum->c_str(), nullptr, 10);
    EXPECT_EQ(replies.size(), acknowledged) << "two commands got one reply" << story();
    EXPECT_GE(applied, acknowledged);
    EXPECT_LE(applied, acknowledged + unknown);
    EXPECT_GT(acknowledged, 20u);
    for (std::uint64_t node = 1; node <= kNodes; ++node) {
      auto there = cluster_.at(NodeId{node}).session(world_.within(20s));
      ASSERT_TRUE(there) << there.error().message;
      EXPECT_EQ(there->query("get n", Read::kSession, world_.within(20s)), *sum);
      EXPECT_EQ(cluster_.at(NodeId{node}).status().failure, "");
    }
  }
  std::uint64_t trace() const { return world_.trace_hash(); }

 private:
  void drive(Client& client) {
    if (client.waits) return;
    if (!client.session && !connect(client)) return;
    propose(client);
  }

  bool connect(Client& client) {
    const auto node = faults_.any_node();
    if (!faults_.up(node)) return false;
    auto& service = cluster_.at(node);
    auto session =
        client.place.id == 0
            ? service.session(world_.within(500ms))
            : service.resume(client.place.id, client.place.next_sequence, world_.within(500ms));
    if (!session) return false;
    client.session = *std::move(session);
    client.place.id = client.session->id();
    return true;
  }

  void propose(Client& client) {
    const auto next = client.session->next_sequence();
    if (next == 0) return leave(client);  // its node has crashed
    client.place.next_sequence = next;
    client.waits = true;
    client.session->propose_async("add n 1", world_.within(2s), [&](Result<std::string> reply) {
      client.waits = false;
      if (reply) {
        client.in_doubt = false;
        ++client.place.next_sequence;
        client.replies.push_back(std::strtoull(reply->c_str(), nullptr, 10));
        return;
      }
      const bool timeout = reply.error().code == Code::kTimeout;
      EXPECT_TRUE(timeout || reply.error().code == Code::kClosed) << reply.error().message;
      if (timeout || client.in_doubt) ++client.unknown;
      if (timeout) client.in_doubt = true;
      else leave(client);
    });
  }

  // Where commands have no answer, the session's next one is not known either: with another one.
  static void leave(Client& client) {
    if (std::exchange(client.in_doubt, false)) client.place = {};
    client.session.reset();
  }

  std::int64_t now_ms() const {
    return std::chrono::duration_cast<Millis>(world_.within(0ms).time_since_epoch()).count();
  }
  // What happened, and how it stands: for a failure's message.
  std::string story() {
    auto text = faults_.story() + log_;
    for (std::uint64_t node = 1; node <= kNodes; ++node) {
      const auto status = cluster_.at(NodeId{node}).status();
      text += "\nnode " + std::to_string(node) + " " + role_name(status.role) + " term " +
              std::to_string(status.term) + " leader " + std::to_string(status.leader.value) +
              " commit " + std::to_string(status.commit_index) + " applied " +
              std::to_string(status.applied_index) + " snapshot " +
              std::to_string(status.snapshot_index) + " " + status.failure;
    }
    return text;
  }

  // One more answer for each client: then all of its earlier commands have theirs.
  bool finish() {
    bool all = true;
    for (auto& client : clients_) {
      if (client.replies.size() > client.before_the_end) continue;
      all = false;
      drive(client);
    }
    return all;
  }

  std::string log_{};
  World world_;
  TestCluster cluster_;
  TestFaults faults_;
  std::array<Client, kClients> clients_{};
};

class ServiceSimTest : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, ServiceSimTest,
                         testing::Range(std::uint64_t{1}, std::uint64_t{21}));

TEST_P(ServiceSimTest, acknowledged_commands_are_there_exactly_once) {
  SimRun run(GetParam());
  run.run(30s);
  run.check();
}

// Asks, and asks again when it is answered.
boost::asio::awaitable<void> keep_asking(std::shared_ptr<Guest> guest, io::Env& env, int& answers) {
  while (true) {
    auto answer = co_await guest->ask(
        {.body = wire::peer::QueryRequest{.level = Read::kLinearizable, .question = "get n"}},
        env.mono() + 1s);
    if (!answer && answer.error().code == Code::kClosed) co_return;
    answers += answer && std::holds_alternative<wire::peer::QueryAnswer>(*answer);
  }
}

// A node takes connections before it has read what is on its disk.
TEST(ServiceStartTest, questions_that_come_meanwhile_are_told_to_come_again) {
  auto world = World::simulated(7, 1);
  TestCluster cluster(world, 1, "/data");
  cluster.start_all();
  auto& env = world.impl().env(NodeId{});
  const auto loop = env.make_loop();
  net::TcpTransport tcp;
  int answers = 0;
  const auto guest = std::make_shared<Guest>(env, *loop, tcp, cluster.addresses());
  for (int i = 0; i < 4; ++i) loop->spawn(keep_asking(guest, env, answers));
  for (int restart = 0; restart < 20; ++restart) {
    const int before = answers;
    ASSERT_TRUE(cluster.until([&] { return answers > before; }));
    world.crash(NodeId{1}, Crash::kKill);
    cluster.stop(NodeId{1});
    cluster.start(NodeId{1});
  }
  guest->stop();
  world.run_for(Millis(10));
}

TEST(ServiceSimTraceTest, the_same_seed_gives_the_same_run) {
  std::uint64_t traces[2];
  for (auto& trace : traces) {
    SimRun run(77);
    run.run(10s);
    trace = run.trace();
  }
  EXPECT_EQ(traces[0], traces[1]);
}

}  // namespace
}  // namespace walrus::service
