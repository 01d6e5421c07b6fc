// Services as their users see them: three nodes in this process, in both worlds.

#include "walrus/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "service/test_machine.h"

namespace walrus::service {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Lt;

class ServiceTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (simulated()) {
      world_ = std::make_unique<World>(World::simulated(4711, 5));
      root_ = "/data";
    } else {
      std::string pattern =
          (std::filesystem::temp_directory_path() / "walrus-service-XXXXXX").string();
      ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
      world_ = std::make_unique<World>(World::in_process(5));
      root_ = pattern;
    }
  }
  void TearDown() override {
    world_.reset();
    if (!simulated()) std::filesystem::remove_all(root_);
  }
  bool simulated() const { return GetParam(); }
  Deadline soon() const { return world_->within(20s); }

  std::unique_ptr<World> world_;
  std::filesystem::path root_;
};
INSTANTIATE_TEST_SUITE_P(Worlds, ServiceTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "simulated" : "in_process"; });

TEST_P(ServiceTest, one_node_is_a_service_too) {
  TestCluster cluster(*world_, 1, root_);
  cluster.start_all();
  auto session = cluster.at(NodeId{1}).session(soon());
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(session->propose("put a 1", soon()), "1");
  EXPECT_EQ(session->query("get a", Read::kLinearizable, soon()), "1");
  EXPECT_EQ(session->query("get b", Read::kStale, soon()), "-");
}

TEST_P(ServiceTest, any_node_takes_commands_and_all_answer_the_same) {
  TestCluster cluster(*world_, 3, root_);
  cluster.start_all();
  for (std::uint64_t node = 1; node <= 3; ++node) {
    auto session = cluster.at(NodeId{node}).session(soon());
    ASSERT_TRUE(session) << session.error().message;
    EXPECT_EQ(session->propose("add total 1", soon()), std::to_string(node));
    EXPECT_EQ(session->query("get total", Read::kSession, soon()), std::to_string(node));
  }
  for (std::uint64_t node = 1; node <= 3; ++node) {
    auto session = cluster.at(NodeId{node}).session(soon());
    ASSERT_TRUE(session);
    EXPECT_EQ(session->query("get total", Read::kLinearizable, soon()), "3");
  }
}

TEST_P(ServiceTest, apply_is_given_what_is_the_same_everywhere) {
  TestCluster cluster(*world_, 1, root_);
  cluster.start_all();
  auto session = cluster.at(NodeId{1}).session(soon());
  ASSERT_TRUE(session);
  std::uint64_t index = 0, seed = 0;
  std::int64_t time = 0;
  for (int i = 0; i < 3; ++i) {
    auto reply = session->propose("context", soon());
    ASSERT_TRUE(reply);
    std::istringstream words(*reply);
    std::uint64_t next_index, owner, next_seed;
    std::int64_t next_time;
    words >> next_index >> owner >> next_time >> next_seed;
    EXPECT_GT(next_index, index);
    EXPECT_GE(next_time, time);
    EXPECT_NE(next_seed, seed);
    EXPECT_EQ(owner, session->id());
    index = next_index, time = next_time, seed = next_seed;
  }
  EXPECT_EQ(session->next_sequence(), 4u);
}

TEST_P(ServiceTest, many_commands_under_way_are_applied_in_order) {
  TestCluster cluster(*world_, 3, root_);
  cluster.start_all();
  auto session = cluster.at(cluster.follower()).session(soon());
  ASSERT_TRUE(session);
  std::atomic<int> answered = 0, wrong = 0;
  for (int i = 1; i <= 500; ++i)
    session->propose_async("add n 1", soon(), [&, i](Result<std::string> reply) {
      if (!reply || *reply != std::to_string(i)) ++wrong;
      ++answered;
    });
  EXPECT_TRUE(cluster.until([&] { return answered == 500; }));
  EXPECT_EQ(wrong, 0);
}

TEST_P(ServiceTest, replies_that_no_message_can_hold_together_all_arrive) {
  TestCluster cluster(*world_, 3, root_);
  cluster.start_all();
  auto session = cluster.at(cluster.follower()).session(soon());
  ASSERT_TRUE(session);
  std::atomic<int> answered = 0, right = 0;
  for (int i = 0; i < 6; ++i)
    session->propose_async("large 700000", soon(), [&](Result<std::string> reply) {
      if (reply && reply->size() == 700'000) ++right;
      ++answered;
    });
  EXPECT_TRUE(cluster.until([&] { return answered == 6; }));
  EXPECT_EQ(right, 6);
}

TEST_P(ServiceTest, the_leader_goes_and_a_session_goes_on) {
  TestCluster cluster(*world_, 3, root_);
  cluster.start_all();
  auto session = cluster.at(cluster.follower()).session(soon());
  ASSERT_TRUE(session);
  EXPECT_EQ(session->propose("add n 1", soon()), "1");
  const auto gone = cluster.leader();
  cluster.stop(gone);
  EXPECT_EQ(session->propose("add n 1", soon()), "2");
  EXPECT_EQ(session->query("get n", Read::kLinearizable, soon()), "2");
  cluster.start(gone);
  EXPECT_TRUE(cluster.until([&] {
    return cluster.at(gone).status().applied_index ==
           cluster.at(cluster.leader()).status().applied_index;
  }));
  auto there = cluster.at(gone).session(soon());
  ASSERT_TRUE(there);
  EXPECT_EQ(there->query("get n", Read::kStale, soon()), "2");
}

TEST_P(ServiceTest, a_restart_of_all_keeps_everything_and_sessions_too) {
  TestCluster cluster(*world_, 3, root_);
  cluster.start_all();
  SessionPlace place;
  {
    auto session = cluster.at(NodeId{1}).session(soon());
    ASSERT_TRUE(session);
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(session->propose("add n 1", soon()));
    place = {session->id(), session->next_sequence()};
  }
  for (std::uint64_t node = 1; node <= 3; ++node) cluster.stop(NodeId{node});
  cluster.start_all();
  // The client crashed before it knew of the last reply: the repeat answers the first one.
  auto again = cluster.at(NodeId{2}).resume(place.id, place.next_sequence - 1, soon());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->propose("add n 1", soon()), "10");
  EXPECT_EQ(again->propose("add n 1", soon()), "11");
  const auto gap = cluster.at(NodeId{3}).resume(place.id, 99, soon());
  EXPECT_EQ(gap.error().code, Code::kMismatch);
  const auto nobody = cluster.at(NodeId{3}).resume(987'654, 1, soon());
  EXPECT_EQ(nobody.error().code, Code::kNotFound);
}

TEST_P(ServiceTest, a_reply_that_was_received_is_not_kept) {
  TestCluster cluster(*world_, 1, root_);
  cluster.start_all();
  auto session = cluster.at(NodeId{1}).session(soon());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(session->propose("add n 1", soon()));
  auto again = cluster.at(NodeId{1}).resume(session->id(), 1, soon());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->propose("add n 1", soon()).error().code, Code::kOutOfRange);
  EXPECT_EQ(again->query("get n", Read::kSession, soon()), "3");
}

TEST_P(ServiceTest, snapshots_are_taken_and_found_after_a_restart) {
  TestCluster cluster(*world_, 3, root_);
  cluster.tweak([](ServiceOptions& options) { options.snapshot_after_bytes = 20'000; });
  cluster.start_all();
  auto session = cluster.at(NodeId{1}).session(soon());
  ASSERT_TRUE(session);
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(session->propose(
        "put key" + std::to_string(i % 7) + " " + std::string(200, 'x') + std::to_string(i),
        soon()));
  for (std::uint64_t node = 1; node <= 3; ++node)
    EXPECT_TRUE(cluster.until([&] { return cluster.at(NodeId{node}).status().snapshot_index > 0; }))
        << node;
  const auto place = SessionPlace{session->id(), session->next_sequence()};
  cluster.stop(NodeId{2});
  cluster.start(NodeId{2});
  auto again = cluster.at(NodeId{2}).resume(place.id, place.next_sequence, soon());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->query("get key5", Read::kSession, soon()), std::string(200, 'x') + "299");
  EXPECT_GT(cluster.tap(NodeId{2}).restored, 0u);
  EXPECT_EQ(again->propose("put key5 y", soon()), "y");
}

TEST_P(ServiceTest, a_newcomer_learns_is_promoted_and_the_leader_is_removed) {
  TestCluster cluster(*world_, 3, root_);
  cluster.tweak([](ServiceOptions& options) { options.snapshot_after_bytes = 20'000; });
  cluster.start_all();
  auto session = cluster.at(NodeId{1}).session(soon());
  ASSERT_TRUE(session);
  for (int i = 0; i < 200; ++i)
    ASSERT_TRUE(session->propose("put k " + std::string(300, 'v') + std::to_string(i), soon()));
  auto newcomer = cluster.options(NodeId{1});
  newcomer.id = NodeId{4};
  newcomer.listen = world_->peers(4).back().address;
  newcomer.data_dir = root_ / "4";
  newcomer.founders.clear();
  newcomer.join = cluster.addresses();
  cluster.start(newcomer);
  EXPECT_TRUE(cluster.until([&] { return cluster.at(NodeId{4}).status().role == Role::kLearner; }));
  const auto promoted = cluster.at(NodeId{2}).promote(NodeId{4}, soon());
  ASSERT_TRUE(promoted) << promoted.error().message;
  ASSERT_TRUE(cluster.at(NodeId{2}).promote(NodeId{4}, soon()));  // it is one
  EXPECT_TRUE(
      cluster.until([&] { return cluster.at(NodeId{4}).status().role == Role::kFollower; }));
  auto there = cluster.at(NodeId{4}).session(soon());
  ASSERT_TRUE(there);
  EXPECT_EQ(there->query("get k", Read::kLinearizable, soon()), std::string(300, 'v') + "199");

  const auto transferred = cluster.at(NodeId{1}).transfer_leadership(NodeId{4}, soon());
  ASSERT_TRUE(transferred) << transferred.error().message;
  EXPECT_EQ(cluster.leader(), NodeId{4});
  const auto removed = cluster.at(NodeId{1}).remove(NodeId{4}, soon());
  ASSERT_TRUE(removed) << removed.error().message;
  ASSERT_TRUE(cluster.at(NodeId{1}).remove(NodeId{4}, soon()));  // it is none
  cluster.stop(NodeId{4});
  EXPECT_EQ(session->propose("put k end", soon()), "end");
  EXPECT_EQ(cluster.at(cluster.leader()).status().members.size(), 3u);
}

TEST_P(ServiceTest, changes_that_cannot_be_are_refused) {
  TestCluster cluster(*world_, 1, root_);
  cluster.start_all();
  auto& one = cluster.at(NodeId{1});
  EXPECT_EQ(one.remove(NodeId{1}, soon()).error().code, Code::kInvalid);
  EXPECT_EQ(one.promote(NodeId{7}, soon()).error().code, Code::kNotFound);
  EXPECT_EQ(one.transfer_leadership(NodeId{7}, soon()).error().code, Code::kNotFound);
  EXPECT_EQ(one.add_learner({NodeId{1}, "127.0.0.1:1"}, soon()).error().code, Code::kExists);
  EXPECT_EQ(one.add_learner({NodeId{2}, "nonsense"}, soon()).error().code, Code::kInvalid);
  EXPECT_EQ(one.remove(NodeId{}, soon()).error().code, Code::kInvalid);
}

TEST_P(ServiceTest, a_guest_asks_any_of_the_members) {
  TestCluster cluster(*world_, 3, root_);
  cluster.start_all();
  auto session = world_->connect(cluster.addresses(), soon());
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(session->propose("add n 5", soon()), "5");
  cluster.stop(cluster.leader());
  EXPECT_EQ(session->propose("add n 5", soon()), "10");
  EXPECT_EQ(session->query("get n", Read::kSession, soon()), "10");
}

TEST_P(ServiceTest, nobody_there_is_a_timeout) {
  const auto session =
      world_->connect(std::vector<std::string>{"127.0.0.1:9"}, world_->within(Millis(300)));
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error().code, Code::kTimeout);
  EXPECT_THAT(session.error().message, HasSubstr("no member was reached"));
}

TEST_P(ServiceTest, without_a_majority_nothing_is_promised) {
  TestCluster cluster(*world_, 3, root_);
  cluster.start_all();
  const auto leader = cluster.leader();
  auto session = cluster.at(leader).session(soon());
  ASSERT_TRUE(session);
  for (std::uint64_t node = 1; node <= 3; ++node)
    if (NodeId{node} != leader) cluster.stop(NodeId{node});
  EXPECT_EQ(session->propose("put a 1", world_->within(1500ms)).error().code, Code::kTimeout);
  EXPECT_EQ(session->query("get a", Read::kLinearizable, world_->within(1500ms)).error().code,
            Code::kTimeout);
  EXPECT_EQ(session->query("get a", Read::kStale, soon()), "-");
  for (std::uint64_t node = 1; node <= 3; ++node)
    if (NodeId{node} != leader) cluster.start(NodeId{node});
  EXPECT_EQ(session->propose("append a 2", soon()), "12");  // the session went on with the first
}

TEST_P(ServiceTest, a_command_that_timed_out_is_applied_once_before_later_ones) {
  TestCluster cluster(*world_, 3, root_);
  cluster.start_all();
  const auto follower = cluster.follower();
  auto session = cluster.at(follower).session(soon());
  ASSERT_TRUE(session);
  for (std::uint64_t node = 1; node <= 3; ++node)
    if (NodeId{node} != follower) cluster.stop(NodeId{node});
  EXPECT_EQ(session->propose("append a x", world_->within(700ms)).error().code, Code::kTimeout);
  for (std::uint64_t node = 1; node <= 3; ++node)
    if (NodeId{node} != follower) cluster.start(NodeId{node});
  EXPECT_EQ(session->propose("append a y", soon()), "xy");
}

TEST_P(ServiceTest, apply_that_throws_fails_its_group_here_and_nothing_else) {
  TestCluster other(*world_, 1, root_ / "other");
  other.tweak([](ServiceOptions& options) {
    options.name = "other";
    auto& address = options.founders[0].address;
    options.listen = address = address.substr(0, address.rfind(':')) + ":9094";
  });
  other.start_all();
  TestCluster cluster(*world_, 3, root_);
  cluster.start_all();
  cluster.tap(NodeId{2}).throws = true;
  auto session = cluster.at(NodeId{1}).session(soon());
  ASSERT_TRUE(session);
  EXPECT_TRUE(session->propose("throw", soon()).has_value());  // by those who do not
  EXPECT_TRUE(cluster.until([&] { return cluster.at(NodeId{2}).status().role == Role::kFailed; }));
  EXPECT_THAT(cluster.at(NodeId{2}).status().failure, HasSubstr("this command is poison"));
  EXPECT_EQ(session->propose("add n 1", soon()), "1");
  EXPECT_EQ(cluster.tap(NodeId{2}).applied, 0u);
  auto there = cluster.at(NodeId{2}).session(world_->within(1s));
  ASSERT_FALSE(there);
  EXPECT_EQ(there.error().code, Code::kIo);
  auto elsewhere = other.at(NodeId{1}).session(soon());
  ASSERT_TRUE(elsewhere);
  EXPECT_EQ(elsewhere->propose("add n 1", soon()), "1");
  // Mended, it catches up.
  cluster.stop(NodeId{2});
  cluster.start(NodeId{2});
  auto mended = cluster.at(NodeId{2}).session(soon());
  ASSERT_TRUE(mended) << mended.error().message;
  EXPECT_EQ(mended->query("get n", Read::kSession, soon()), "1");
}

TEST_P(ServiceTest, a_question_that_throws_fails_alone) {
  TestCluster cluster(*world_, 1, root_);
  cluster.start_all();
  auto session = cluster.at(NodeId{1}).session(soon());
  ASSERT_TRUE(session);
  const auto answer = session->query("throw", Read::kStale, soon());
  EXPECT_EQ(answer.error().code, Code::kInvalid);
  EXPECT_THAT(answer.error().message, HasSubstr("no answer"));
  EXPECT_EQ(session->propose("put a 1", soon()), "1");
}

TEST_P(ServiceTest, what_is_too_large_is_refused) {
  TestCluster cluster(*world_, 1, root_);
  cluster.tweak([](ServiceOptions& options) { options.command_bytes_max = 1'000; });
  cluster.start_all();
  auto session = cluster.at(NodeId{1}).session(soon());
  ASSERT_TRUE(session);
  EXPECT_EQ(session->propose(std::string(1'001, 'x'), soon()).error().code, Code::kTooLarge);
  EXPECT_TRUE(session->propose("put a " + std::string(994, 'x'), soon()).has_value());
  const auto large = session->propose("large 1048577", soon());
  EXPECT_EQ(large.error().code, Code::kTooLarge);
  EXPECT_THAT(large.error().message, HasSubstr("was applied"));
  EXPECT_TRUE(session->propose("large 1048576", soon()).has_value());
}

TEST_P(ServiceTest, a_session_without_commands_ends) {
  TestCluster cluster(*world_, 1, root_);
  cluster.tweak([](ServiceOptions& options) { options.session_ttl = Millis(300); });
  cluster.start_all();
  auto session = cluster.at(NodeId{1}).session(soon());
  auto other = cluster.at(NodeId{1}).session(soon());
  ASSERT_TRUE(session && other);
  world_->run_for(Millis(500));
  EXPECT_EQ(session->propose("put a 1", soon()).error().code, Code::kNotFound);
  EXPECT_EQ(session->propose("put a 1", soon()).error().code, Code::kNotFound);
  EXPECT_EQ(session->query("get a", Read::kStale, soon()), "-");
}

TEST_P(ServiceTest, calls_after_the_end_answer_closed) {
  TestCluster cluster(*world_, 1, root_);
  cluster.start_all();
  auto session = cluster.at(NodeId{1}).session(soon());
  ASSERT_TRUE(session);
  auto& service = cluster.at(NodeId{1});
  EXPECT_TRUE(service.stop(soon()).has_value());
  EXPECT_TRUE(service.stop(soon()).has_value());
  EXPECT_EQ(service.session(soon()).error().code, Code::kClosed);
  EXPECT_EQ(service.status().failure, "stopped");
  EXPECT_EQ(session->propose("put a 1", soon()).error().code, Code::kClosed);
  cluster.stop(NodeId{1});
  EXPECT_EQ(session->query("get a", Read::kStale, soon()).error().code, Code::kClosed);
  EXPECT_EQ(session->next_sequence(), 0u);
}

TEST_P(ServiceTest, options_that_cannot_be_are_refused) {
  TestCluster cluster(*world_, 1, root_);
  const auto refused = [&](const std::function<void(ServiceOptions&)>& change) {
    auto options = cluster.options(NodeId{1});
    change(options);
    auto service = Service::start(options, std::make_unique<TestMachine>());
    return service                                  ? "accepted"
           : service.error().code == Code::kInvalid ? service.error().message
                                                    : "another error";
  };
  using O = ServiceOptions;
  EXPECT_THAT(refused([](O& o) { o.name.clear(); }), HasSubstr("name"));
  EXPECT_THAT(refused([](O& o) { o.id = {}; }), HasSubstr("id"));
  EXPECT_THAT(refused([](O& o) { o.id = NodeId{99}; }), HasSubstr("id"));
  EXPECT_THAT(refused([](O& o) { o.data_dir.clear(); }), HasSubstr("data_dir"));
  EXPECT_THAT(refused([](O& o) { o.listen = "x"; }), HasSubstr("listen"));
  EXPECT_THAT(refused([](O& o) { o.founders.clear(); }), HasSubstr("founders"));
  EXPECT_THAT(refused([](O& o) { o.founders[0].id = NodeId{2}; }), HasSubstr("not among"));
  EXPECT_THAT(refused([](O& o) { o.founders.push_back(o.founders[0]); }), HasSubstr("once"));
  EXPECT_THAT(refused([](O& o) { o.heartbeat = 200ms; }), HasSubstr("heartbeat"));
  EXPECT_THAT(refused([](O& o) { o.session_ttl = 0ms; }), HasSubstr("session_ttl"));
  EXPECT_THAT(refused([](O& o) { o.command_bytes_max = 17 << 20; }), HasSubstr("command_bytes"));
  EXPECT_THAT(refused([](O& o) { o.in_flight_bytes_max = 1; }), HasSubstr("in_flight"));
}

TEST_P(ServiceTest, a_directory_belongs_to_one_member_of_one_group) {
  TestCluster cluster(*world_, 1, root_);
  cluster.start_all();
  cluster.stop(NodeId{1});
  auto options = cluster.options(NodeId{1});
  options.name = "another";
  auto service = Service::start(options, std::make_unique<TestMachine>());
  ASSERT_FALSE(service);
  EXPECT_EQ(service.error().code, Code::kMismatch);
  EXPECT_THAT(service.error().message, HasSubstr("belongs to node 1 of the group 'test'"));
}

TEST_P(ServiceTest, metrics_say_what_was_done) {
  TestCluster cluster(*world_, 1, root_);
  cluster.start_all();
  auto session = cluster.at(NodeId{1}).session(soon());
  ASSERT_TRUE(session && session->propose("put a 1", soon()));
  EXPECT_THAT(cluster.at(NodeId{1}).metrics(), HasSubstr("walrus_service_applied_total 1"));
  EXPECT_THAT(cluster.at(NodeId{1}).metrics(), HasSubstr("walrus_service_sessions 1"));
}

TEST(ServiceOffLoopbackTest, is_refused_without_tls) {
  ServiceOptions options{.name = "x", .id = NodeId{1}, .data_dir = "/nonexistent/data"};
  options.founders = {{NodeId{1}, "10.1.2.3:9093"}};
  options.listen = "0.0.0.0:9093";
  auto service = Service::start(options, std::make_unique<TestMachine>());
  ASSERT_FALSE(service);
  EXPECT_EQ(service.error().code, Code::kInvalid);
  EXPECT_THAT(service.error().message, HasSubstr("not a loopback address"));
  const std::vector<std::string> far{"10.1.2.3:9093"};
  EXPECT_EQ(Service::connect(far, std::nullopt, within(100ms)).error().code, Code::kInvalid);
}

}  // namespace
}  // namespace walrus::service
