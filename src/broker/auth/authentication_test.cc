#include "broker/auth/authentication.h"

#include <gtest/gtest.h>

#include "base/test_log.h"
#include "io/sim/sim_world.h"
#include "log/engine.h"

namespace walrus::broker {
namespace {

using wire::sasl::Mechanism;

class AuthenticationTest : public testing::Test {
 protected:
  AuthenticationTest() : world(1, {.nodes = 1}), env(world.node(0).env()), loop(env.make_loop()) {
    log::EngineOptions options;
    options.user = {
        .root = "/data", .shards = 1, .batch_bytes_max = 64 << 10, .journal_bytes_max = 4 << 20};
    options.journal_file_bytes_min = 256 << 10;
    auto opened = log::Engine::open(env, options);
    EXPECT_TRUE(opened.has_value()) << opened.error().message;
    engine = std::move(*opened);
    auto loaded = Users::load(*engine, *loop);
    EXPECT_TRUE(loaded.has_value());
    security.users = *loaded;
    security.mechanisms = {Mechanism::kPlain, Mechanism::kScramSha256};
    security.journal = std::make_shared<AuthJournal>(log, metrics.counter({"failures", "f"}));
    for (auto name : {"alice", "bob"}) {
      auto salted = wire::sasl::salted_password(ScramMechanism::kSha256, name, "salt", 4096);
      change(
          plan_user(name,
                    {{ScramMechanism::kSha256,
                      wire::sasl::scram_credential(ScramMechanism::kSha256, salted, "salt", 4096)}},
                    UserChange::kAdd));
    }
  }
  ~AuthenticationTest() override { (void)engine->close(); }

  Result<void> change(Users::Plan plan) {
    std::optional<Result<void>> result;
    loop->spawn(carry(security.users->change(std::move(plan)), result));
    EXPECT_TRUE(world.run_until([&] { return result.has_value(); }, std::chrono::minutes(1)));
    return *result;
  }
  static boost::asio::awaitable<void> carry(io::Task<void> task,
                                            std::optional<Result<void>>& result) {
    result.emplace(co_await std::move(task));
  }
  Authentication fresh() { return {security, env, "10.0.0.9:1"}; }
  static Result<std::string> plain(Authentication& it, Bytes user, Bytes password) {
    WALRUS_TRY(it.begin("PLAIN"));
    return it.step(wire::sasl::plain_message(user, password));
  }

  io::World world;
  io::Env& env;
  std::unique_ptr<io::Loop> loop;
  std::unique_ptr<log::Engine> engine;
  LinesLog log;
  Metrics metrics;
  PortSecurity security;
};

TEST_F(AuthenticationTest, where_nobody_is_asked_everybody_is_done) {
  security.mechanisms.clear();
  auto it = fresh();
  EXPECT_TRUE(it.done());
  auto begun = it.begin("PLAIN");
  ASSERT_FALSE(begun.has_value());
  EXPECT_EQ(begun.error().code, Code::kBusy);
  EXPECT_FALSE(it.failed());
}

TEST_F(AuthenticationTest, proof_makes_a_user) {
  auto it = fresh();
  EXPECT_FALSE(it.done());
  ASSERT_TRUE(plain(it, "alice", "alice").has_value());
  EXPECT_TRUE(it.done());
  EXPECT_EQ(it.user(), "alice");
  EXPECT_EQ(it.lifetime(), Millis(0));
  EXPECT_FALSE(it.expired());
}

TEST_F(AuthenticationTest, failure_is_final_told_briefly_and_written_down_without_the_password) {
  auto it = fresh();
  auto token = plain(it, "alice", "hunter2");
  ASSERT_FALSE(token.has_value());
  EXPECT_EQ(token.error().message, "authentication failed");
  EXPECT_TRUE(it.failed());
  EXPECT_EQ(log.lines(),
            "authentication_failed peer=10.0.0.9:1 user=alice mechanism=PLAIN "
            "why=\"not the password, or no such user\" suppressed=0\n");
  EXPECT_FALSE(it.step("again").has_value());
}

TEST_F(AuthenticationTest, log_of_failures_has_a_limit) {
  for (int i = 0; i < 100; ++i) {
    auto it = fresh();
    (void)plain(it, "alice", "wrong");
  }
  EXPECT_EQ(std::ranges::count(log.lines(), '\n'), 10);
}

TEST_F(AuthenticationTest, mechanism_that_is_not_offered_ends_it) {
  for (auto name : {"SCRAM-SHA-512", "GSSAPI", "plain", ""}) {
    auto it = fresh();
    auto begun = it.begin(name);
    ASSERT_FALSE(begun.has_value());
    EXPECT_EQ(begun.error().code, Code::kNotFound);
    EXPECT_TRUE(it.failed());
  }
}

TEST_F(AuthenticationTest, token_without_a_beginning_changes_nothing) {
  auto it = fresh();
  auto token = it.step("x");
  ASSERT_FALSE(token.has_value());
  EXPECT_EQ(token.error().code, Code::kInvalid);
  EXPECT_FALSE(it.failed());
}

TEST_F(AuthenticationTest, proof_has_to_be_renewed_by_the_same_user_in_the_same_way) {
  security.session_lifetime = std::chrono::minutes(1);
  auto it = fresh();
  ASSERT_TRUE(plain(it, "alice", "alice").has_value());
  EXPECT_EQ(it.lifetime(), Millis(60'000));
  auto soon = it.begin("PLAIN");
  ASSERT_FALSE(soon.has_value());
  EXPECT_EQ(soon.error().code, Code::kBusy);
  world.run_for(std::chrono::seconds(59));
  EXPECT_FALSE(it.expired());
  ASSERT_TRUE(plain(it, "alice", "alice").has_value());
  world.run_for(std::chrono::seconds(30));
  EXPECT_FALSE(it.expired());
  world.run_for(std::chrono::seconds(31));
  EXPECT_TRUE(it.expired());
  ASSERT_TRUE(plain(it, "alice", "alice").has_value());
  EXPECT_FALSE(it.expired());
  world.run_for(std::chrono::seconds(2));
  auto other = it;
  EXPECT_FALSE(plain(other, "bob", "bob").has_value());
  EXPECT_TRUE(other.failed());
  auto changed = it;
  EXPECT_FALSE(changed.begin("SCRAM-SHA-256").has_value());
  EXPECT_TRUE(changed.failed());
}

TEST_F(AuthenticationTest, changes_are_checked_against_what_is_there) {
  auto exists = change(
      plan_user("alice", security.users->table()->users().begin()->second, UserChange::kAdd));
  ASSERT_FALSE(exists.has_value());
  EXPECT_EQ(exists.error().code, Code::kExists);
  auto missing = change(plan_user("carol", {}, UserChange::kReplace));
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  ASSERT_TRUE(change(plan_user("alice", {}, UserChange::kReplace)).has_value());
  auto it = fresh();
  EXPECT_FALSE(plain(it, "alice", "alice").has_value());
}

TEST_F(AuthenticationTest, users_are_there_again_when_they_are_loaded_again) {
  auto before = security.users->table();
  auto again = Users::load(*engine, *loop);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ((*again)->table()->users(), before->users());
  EXPECT_EQ((*again)->table()->secret(), before->secret());
}

}  // namespace
}  // namespace walrus::broker
