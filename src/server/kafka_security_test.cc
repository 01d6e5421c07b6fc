// Authentication and users by the Kafka protocol against a real server on loopback.

#include <gtest/gtest.h>

#include "server/kafka_client.h"
#include "wire/kafka/cluster.h"
#include "wire/kafka/security.h"
#include "wire/sasl/mechanism.h"
#include "wire/sasl/scram.h"

namespace walrus::server {
namespace {

using namespace wire::kafka;
namespace sasl = wire::sasl;

class KafkaSecurityTest : public testing::Test {
 protected:
  KafkaSecurityTest() : loop(io::real_env()) {
    auto name = std::string(testing::UnitTest::GetInstance()->current_test_info()->name());
    root = std::filesystem::path(testing::TempDir()) / ("kafka_security_" + name);
    std::filesystem::remove_all(root);
    options = small_options(root);
    options.kafka.listen = "127.0.0.1:0";
  }
  ~KafkaSecurityTest() override {
    if (server) EXPECT_TRUE(server->stop().has_value());
    server.reset();
    std::filesystem::remove_all(root);
  }
  void start() {
    auto started = Server::start(io::real_env(), options, log);
    ASSERT_TRUE(started.has_value()) << started.error().message;
    server = std::move(*started);
  }
  void restart_asking(std::vector<sasl::Mechanism> mechanisms) {
    ASSERT_TRUE(server->stop().has_value());
    server.reset();
    options.security.kafka.mechanisms = std::move(mechanisms);
    start();
  }
  static AlterUserScramCredentialsRequest::Upsertion upsertion(Bytes name,
                                                               const std::string& salted,
                                                               std::int8_t mechanism = 1) {
    return {.name = name,
            .mechanism = mechanism,
            .iterations = 4096,
            .salt = "salt",
            .salted_password = salted};
  }
  // The error of each user that the request names.
  std::map<std::string, std::int16_t> alter(const AlterUserScramCredentialsRequest& request) {
    KafkaClient client(loop, server->kafka_address());
    auto response = client.ask<AlterUserScramCredentialsResponse>(request, 0);
    EXPECT_TRUE(response.has_value());
    std::map<std::string, std::int16_t> errors;
    if (response)
      for (const auto& one : response->results) errors[one.user] = one.error_code;
    return errors;
  }
  // 0, or the error that ends it.
  std::int16_t log_in(KafkaClient& client, const std::string& user, const std::string& password) {
    auto shaken = client.ask<SaslHandshakeResponse>(SaslHandshakeRequest{"SCRAM-SHA-256"}, 1);
    if (!shaken) return -100;
    if (shaken->error_code != 0) return shaken->error_code;
    sasl::ScramClient scram(sasl::ScramMechanism::kSha256, user, password, "clientnonce");
    auto first = scram.first();
    auto challenge = client.ask<SaslAuthenticateResponse>(SaslAuthenticateRequest{first}, 2);
    if (!challenge) return -101;
    if (challenge->error_code != 0) return challenge->error_code;
    auto proof = scram.answer(challenge->token);
    EXPECT_TRUE(proof.has_value());
    auto last = client.ask<SaslAuthenticateResponse>(SaslAuthenticateRequest{*proof}, 2);
    if (!last) return -102;
    if (last->error_code == 0) EXPECT_TRUE(scram.verify(last->token).has_value());
    lifetime_ms = last->session_lifetime_ms;
    return last->error_code;
  }

  TestLoop loop;
  NoLog log;
  std::filesystem::path root;
  ServerOptions options;
  std::unique_ptr<Server> server;
  std::int64_t lifetime_ms = -1;
  const std::string salted =
      sasl::salted_password(sasl::ScramMechanism::kSha256, "wonder", "salt", 4096);
};

TEST_F(KafkaSecurityTest, user_made_by_kafka_logs_in_after_a_restart) {
  start();
  EXPECT_EQ(alter({.upsertions = {upsertion("alice", salted)}}),
            (std::map<std::string, std::int16_t>{{"alice", 0}}));
  restart_asking({sasl::Mechanism::kScramSha256});
  KafkaClient right(loop, server->kafka_address());
  EXPECT_EQ(log_in(right, "alice", "wonder"), 0);
  EXPECT_EQ(lifetime_ms, 0);
  EXPECT_TRUE(right.ask<MetadataResponse>(MetadataRequest{}, 9).has_value());
  // Again, at once: not so soon; the connection goes on.
  EXPECT_EQ(log_in(right, "alice", "wonder"), 34);
  EXPECT_TRUE(right.ask<MetadataResponse>(MetadataRequest{}, 9).has_value());
  KafkaClient wrong(loop, server->kafka_address());
  EXPECT_EQ(log_in(wrong, "alice", "wonders"), 58);
  EXPECT_EQ(wrong.rest(), "");
  KafkaClient unknown(loop, server->kafka_address());
  EXPECT_EQ(log_in(unknown, "bob", "wonder"), 58);
  EXPECT_EQ(unknown.rest(), "");
}

TEST_F(KafkaSecurityTest, alterations_have_kafkas_errors) {
  start();
  const std::string too_short = "short";  // an upsertion has views
  auto other = upsertion("few", salted), many = upsertion("many", salted),
       none = upsertion("", salted), kind = upsertion("kind", salted, 3),
       salt = upsertion("salt", salted), key = upsertion("key", too_short);
  other.iterations = 4095;
  many.iterations = 16385;
  salt.salt = "";
  auto errors =
      alter({.deletions = {{"ghost", 1}, {"twice", 1}},
             .upsertions = {other, many, none, kind, salt, key, upsertion("alice", salted),
                            upsertion("twice", salted), upsertion("both", salted),
                            upsertion("both", std::string(64, 'k'), 2)}});
  EXPECT_EQ(errors, (std::map<std::string, std::int16_t>{{"", 93},
                                                         {"alice", 0},
                                                         {"both", 0},
                                                         {"few", 93},
                                                         {"ghost", 91},
                                                         {"key", 93},
                                                         {"kind", 33},
                                                         {"many", 93},
                                                         {"salt", 93},
                                                         {"twice", 92}}));
  // All of a user's changes or none.
  errors =
      alter({.deletions = {{"both", 1}, {"alice", 2}}, .upsertions = {upsertion("alice", salted)}});
  EXPECT_EQ(errors, (std::map<std::string, std::int16_t>{{"alice", 91}, {"both", 0}}));
}

TEST_F(KafkaSecurityTest, descriptions_tell_mechanisms_and_iterations) {
  start();
  (void)alter({.upsertions = {upsertion("alice", salted), upsertion("bob", salted),
                              upsertion("bob", std::string(64, 'k'), 2)}});
  KafkaClient client(loop, server->kafka_address());
  auto all =
      client.ask<DescribeUserScramCredentialsResponse>(DescribeUserScramCredentialsRequest{}, 0);
  ASSERT_TRUE(all.has_value());
  ASSERT_EQ(all->results.size(), 2u);
  EXPECT_EQ(all->results[0].user, "alice");
  ASSERT_EQ(all->results[1].credentials.size(), 2u);
  EXPECT_EQ(all->results[1].credentials[1].mechanism, 2);
  EXPECT_EQ(all->results[1].credentials[1].iterations, 4096);
  DescribeUserScramCredentialsRequest some;
  some.users = {{"alice"}, {"ghost"}, {"bob"}, {"bob"}};
  auto few = client.ask<DescribeUserScramCredentialsResponse>(some, 0);
  ASSERT_TRUE(few.has_value());
  std::map<std::string, std::int16_t> errors;
  for (const auto& one : few->results) errors[one.user] = one.error_code;
  EXPECT_EQ(errors,
            (std::map<std::string, std::int16_t>{{"alice", 0}, {"bob", 92}, {"ghost", 91}}));
}

TEST_F(KafkaSecurityTest, users_are_no_topic) {
  start();
  (void)alter({.upsertions = {upsertion("alice", salted)}});
  KafkaClient client(loop, server->kafka_address());
  MetadataRequest request{.topics = std::vector<MetadataRequest::Topic>{{.name = "__users"}}};
  auto described = client.ask<MetadataResponse>(request, 9);
  ASSERT_TRUE(described.has_value());
  EXPECT_NE(described->topics.at(0).error_code, 0);
  auto all = client.ask<MetadataResponse>(MetadataRequest{}, 9);
  ASSERT_TRUE(all.has_value());
  EXPECT_TRUE(all->topics.empty());
}

TEST_F(KafkaSecurityTest, who_says_nothing_in_time_is_closed) {
  start();
  restart_asking({sasl::Mechanism::kPlain});
  KafkaClient client(loop, server->kafka_address());
  auto began = io::real_env().mono();
  EXPECT_EQ(client.rest(), "");
  auto waited = io::real_env().mono() - began;
  EXPECT_GE(waited, std::chrono::seconds(8));
  EXPECT_LE(waited, std::chrono::seconds(40));
}

}  // namespace
}  // namespace walrus::server
