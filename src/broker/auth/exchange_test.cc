#include "broker/auth/exchange.h"

#include <gtest/gtest.h>

#include "base/base64.h"

namespace walrus::broker {
namespace {

using wire::sasl::Mechanism;
using wire::sasl::ScramClient;

ScramCredential credential(ScramMechanism mechanism, Bytes password, std::int32_t iterations = 4096,
                           Bytes salt = "0123456789abcdefghijklmn") {
  auto salted = wire::sasl::salted_password(mechanism, password, salt, iterations);
  return wire::sasl::scram_credential(mechanism, salted, salt, iterations);
}

Users::Table table_of(std::initializer_list<std::pair<std::string, std::string>> users) {
  UserTable table("secret");
  for (const auto& [name, password] : users)
    table.set(name, {{ScramMechanism::kSha256, credential(ScramMechanism::kSha256, password)},
                     {ScramMechanism::kSha512, credential(ScramMechanism::kSha512, password)}});
  return std::make_shared<const UserTable>(std::move(table));
}

// The whole exchange: "" or why it failed.
std::string log_in(const Users::Table& table, Mechanism mechanism, const std::string& user,
                   const std::string& password) {
  Exchange exchange(mechanism, table, "servernonce");
  if (mechanism == Mechanism::kPlain) {
    auto step = exchange.step(wire::sasl::plain_message(user, password));
    if (!step) return step.error().message;
    EXPECT_TRUE(step->done);
    EXPECT_EQ(exchange.user(), user);
    return "";
  }
  auto scram =
      mechanism == Mechanism::kScramSha256 ? ScramMechanism::kSha256 : ScramMechanism::kSha512;
  ScramClient client(scram, user, password, "clientnonce");
  auto challenge = exchange.step(client.first());
  EXPECT_TRUE(challenge.has_value() && !challenge->done);
  auto last = exchange.step(*client.answer(challenge->token));
  if (!last) return last.error().message;
  EXPECT_TRUE(last->done && client.verify(last->token).has_value());
  EXPECT_EQ(exchange.user(), user);
  return "";
}

TEST(ExchangeTest, right_password_is_let_in_by_every_mechanism) {
  auto table = table_of({{"alice", "wonder"}});
  for (auto mechanism : wire::sasl::kMechanisms)
    EXPECT_EQ(log_in(table, mechanism, "alice", "wonder"), "");
}

TEST(ExchangeTest, wrong_password_and_unknown_user_fail_alike) {
  auto table = table_of({{"alice", "wonder"}});
  for (auto mechanism : wire::sasl::kMechanisms) {
    EXPECT_NE(log_in(table, mechanism, "alice", "wonders"), "");
    EXPECT_NE(log_in(table, mechanism, "mallory", "wonder"), "");
    EXPECT_NE(log_in(table_of({}), mechanism, "alice", "wonder"), "");
  }
}

// What a stranger sees of an unknown user: the same salt each time, of the size and with the
// iterations that real ones have.
TEST(ExchangeTest, unknown_user_looks_like_a_known_one) {
  UserTable table("secret");
  for (int i = 0; i < 3; ++i)
    table.set(
        fmt::format("user{}", i),
        {{ScramMechanism::kSha256, credential(ScramMechanism::kSha256, "p", 8192, "0123456")}});
  table.set("odd", {{ScramMechanism::kSha256, credential(ScramMechanism::kSha256, "p", 5000)}});
  auto shared = std::make_shared<const UserTable>(table);
  auto challenge = [&](const std::string& user) {
    Exchange exchange(Mechanism::kScramSha256, shared, "n");
    return exchange.step(fmt::format("n,,n={},r=c", user))->token;
  };
  EXPECT_EQ(challenge("ghost"), challenge("ghost"));
  EXPECT_NE(challenge("ghost"), challenge("spirit"));
  auto text = challenge("ghost");
  EXPECT_TRUE(text.ends_with(",i=8192")) << text;
  auto salt = text.substr(text.find(",s=") + 3);
  EXPECT_EQ(parse_base64(salt.substr(0, salt.find(',')))->size(), 7u);
  // Another node, or a guess at the secret, gives other salts.
  EXPECT_NE(UserTable("other").lookup("ghost", ScramMechanism::kSha256).credential.salt,
            UserTable("secret").lookup("ghost", ScramMechanism::kSha256).credential.salt);
}

TEST(ExchangeTest, made_up_credential_lets_nobody_in) {
  // Even who could prove to know the made-up keys is not let in.
  auto found = UserTable("secret").lookup("ghost", ScramMechanism::kSha256);
  EXPECT_FALSE(found.real);
  EXPECT_TRUE(valid_credential(ScramMechanism::kSha256, found.credential));
}

TEST(ExchangeTest, user_of_one_hash_is_unknown_to_the_other_but_plain_finds_it) {
  UserTable table("secret");
  table.set("alice", {{ScramMechanism::kSha512, credential(ScramMechanism::kSha512, "wonder")}});
  auto shared = std::make_shared<const UserTable>(table);
  EXPECT_EQ(log_in(shared, Mechanism::kScramSha512, "alice", "wonder"), "");
  EXPECT_NE(log_in(shared, Mechanism::kScramSha256, "alice", "wonder"), "");
  EXPECT_EQ(log_in(shared, Mechanism::kPlain, "alice", "wonder"), "");
}

TEST(ExchangeTest, exchange_that_has_ended_takes_nothing_more) {
  auto table = table_of({{"alice", "wonder"}});
  Exchange done(Mechanism::kPlain, table, "n");
  ASSERT_TRUE(done.step(wire::sasl::plain_message("alice", "wonder")).has_value());
  EXPECT_FALSE(done.step(wire::sasl::plain_message("alice", "wonder")).has_value());
  Exchange failed(Mechanism::kScramSha256, table, "n");
  ASSERT_FALSE(failed.step("nonsense").has_value());
  EXPECT_FALSE(failed.step("n,,n=alice,r=c").has_value());
}

TEST(UserTableTest, counts_shapes_through_changes) {
  UserTable table("secret");
  auto first = credential(ScramMechanism::kSha256, "p", 8192);
  table.apply({"a", ScramMechanism::kSha256, first});
  EXPECT_EQ(table.lookup("x", ScramMechanism::kSha256).credential.iterations, 8192);
  table.apply({"a", ScramMechanism::kSha256, credential(ScramMechanism::kSha256, "p", 5000)});
  EXPECT_EQ(table.lookup("x", ScramMechanism::kSha256).credential.iterations, 5000);
  table.apply({"a", ScramMechanism::kSha256, std::nullopt});
  EXPECT_EQ(table.lookup("x", ScramMechanism::kSha256).credential.iterations, 4096);
  EXPECT_TRUE(table.users().empty());
}

TEST(UserRecordTest, records_come_back) {
  Credentials credentials{
      {ScramMechanism::kSha256, credential(ScramMechanism::kSha256, "p")},
      {ScramMechanism::kSha512, credential(ScramMechanism::kSha512, "p", 16384)}};
  UserTable table("secret");
  auto record = user_record(
      "al\xc3\xaf"
      "ce",
      credentials);
  ASSERT_TRUE(apply_user_record(table, record.key, record.value).has_value());
  ASSERT_NE(table.find("al\xc3\xaf"
                       "ce"),
            nullptr);
  EXPECT_EQ(*table.find("al\xc3\xaf"
                        "ce"),
            credentials);
  auto secret = secret_record("other");
  ASSERT_TRUE(apply_user_record(table, secret.key, secret.value).has_value());
  EXPECT_EQ(table.secret(), "other");
  auto gone = user_record(
      "al\xc3\xaf"
      "ce",
      {});
  ASSERT_TRUE(apply_user_record(table, gone.key, gone.value).has_value());
  EXPECT_FALSE(
      table.contains("al\xc3\xaf"
                     "ce"));
}

// The layout of records.h, byte for byte: never changed.
TEST(UserRecordTest, layout_is_golden) {
  ScramCredential one{.iterations = 4096,
                      .salt = "salt",
                      .stored_key = std::string(32, 'k'),
                      .server_key = std::string(32, 's')};
  auto record = user_record("ann", {{ScramMechanism::kSha256, one}});
  EXPECT_EQ(record.key, Bytes("u\x03"
                              "ann"));
  EXPECT_EQ(*record.value, std::string(Bytes("\x01\x01\x01\x00\x10\x00\x00\x04salt", 12)) + "\x20" +
                               std::string(32, 'k') + "\x20" + std::string(32, 's'));
  EXPECT_EQ(secret_record("xy").key, "s");
  EXPECT_EQ(secret_record("xy").value, Bytes("\x01\x02xy", 4));
}

TEST(UserRecordTest, damaged_records_are_refused) {
  auto record =
      user_record("ann", {{ScramMechanism::kSha256, credential(ScramMechanism::kSha256, "p")}});
  UserTable table("secret");
  for (std::size_t size = 0; size < record.value->size(); ++size)
    EXPECT_FALSE(apply_user_record(table, record.key, record.value->substr(0, size)).has_value());
  EXPECT_FALSE(apply_user_record(table, record.key, *record.value + "x").has_value());
  auto newer = *record.value;
  newer[0] = 2;
  auto refused = apply_user_record(table, record.key, newer);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kVersion);
  for (Bytes key : {Bytes(""), Bytes("u"),
                    Bytes("x\x01"
                          "a"),
                    Bytes("u\x00", 2),
                    Bytes("u\x05"
                          "ann"),
                    Bytes("u\x02"
                          "ann"),
                    Bytes("s!")})
    EXPECT_FALSE(apply_user_record(table, key, *record.value).has_value());
  EXPECT_TRUE(table.users().empty());
}

}  // namespace
}  // namespace walrus::broker
