#include "wire/sasl/scram.h"

#include <gtest/gtest.h>

#include "base/base64.h"
#include "wire/sasl/mechanism.h"

namespace walrus::wire::sasl {
namespace {

constexpr auto kSha256 = ScramMechanism::kSha256;

// RFC 7677, section 3: user "user", password "pencil".
constexpr Bytes kClientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr Bytes kServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr Bytes kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr Bytes kClientFinal =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr Bytes kServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

ScramCredential rfc_credential() {
  auto salt = *parse_base64("W22ZaJ0SNY7soEsUEjb6gQ==");
  return scram_credential(kSha256, salted_password(kSha256, "pencil", salt, 4096), salt, 4096);
}

ScramServer challenged() {
  ScramServer server(kSha256);
  EXPECT_EQ(server.begin(kClientFirst), "user");
  EXPECT_EQ(server.challenge(rfc_credential(), kServerNonce), kServerFirst);
  return server;
}

TEST(ScramTest, server_gives_the_bytes_of_the_rfc) {
  auto server = challenged();
  auto last = server.finish(kClientFinal);
  ASSERT_TRUE(last.has_value()) << last.error().message;
  EXPECT_EQ(*last, kServerFinal);
}

TEST(ScramTest, client_gives_the_bytes_of_the_rfc) {
  ScramClient client(kSha256, "user", "pencil", "rOprNGfwEbeRWgbNEkqO");
  EXPECT_EQ(client.first(), kClientFirst);
  auto answer = client.answer(kServerFirst);
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(*answer, kClientFinal);
  EXPECT_TRUE(client.verify(kServerFinal).has_value());
}

TEST(ScramTest, both_sides_agree_with_either_hash_and_any_name) {
  for (auto mechanism : {ScramMechanism::kSha256, ScramMechanism::kSha512}) {
    for (Bytes name : {"a", "with space", "comma,equals=", "na\xc3\xafve", "=2C"}) {
      auto salted = salted_password(mechanism, "p=,w", "salt", 5000);
      ScramClient client(mechanism, std::string(name), "p=,w", "client");
      ScramServer server(mechanism);
      EXPECT_EQ(server.begin(client.first()), name);
      auto credential = scram_credential(mechanism, salted, "salt", 5000);
      EXPECT_TRUE(valid_credential(mechanism, credential));
      auto answer = client.answer(server.challenge(credential, "server"));
      ASSERT_TRUE(answer.has_value());
      auto last = server.finish(*answer);
      ASSERT_TRUE(last.has_value()) << last.error().message;
      EXPECT_TRUE(client.verify(*last).has_value());
    }
  }
}

TEST(ScramTest, wrong_password_is_a_mismatch) {
  ScramClient client(kSha256, "user", "pencils", "rOprNGfwEbeRWgbNEkqO");
  (void)client.first();
  auto server = challenged();
  auto last = server.finish(*client.answer(kServerFirst));
  ASSERT_FALSE(last.has_value());
  EXPECT_EQ(last.error().code, Code::kMismatch);
}

TEST(ScramTest, any_change_of_the_last_message_is_refused) {
  for (std::size_t i = 0; i < kClientFinal.size(); ++i) {
    std::string changed(kClientFinal);
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    auto server = challenged();
    EXPECT_FALSE(server.finish(changed).has_value()) << changed;
  }
  for (std::size_t size = 0; size < kClientFinal.size(); ++size) {
    auto server = challenged();
    EXPECT_FALSE(server.finish(kClientFinal.substr(0, size)).has_value()) << size;
  }
}

// A nonce that only begins with the right one, or has something in front of it.
TEST(ScramTest, nonce_must_be_the_whole_nonce_of_this_exchange) {
  constexpr Bytes kProof = ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
  constexpr Bytes kNonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
  for (auto nonce : {fmt::format("{}x", kNonce), fmt::format("x{}", kNonce),
                     std::string(kNonce.substr(1)), std::string("rOprNGfwEbeRWgbNEkqO")}) {
    auto server = challenged();
    auto last = server.finish(fmt::format("c=biws,r={}{}", nonce, kProof));
    ASSERT_FALSE(last.has_value());
    EXPECT_EQ(last.error().code, Code::kInvalid);
  }
}

// What librdkafka before 2.6.1 sends: right but for its own nonce, which comes twice.
TEST(ScramTest, own_nonce_of_the_client_may_come_twice) {
  auto server = challenged();
  auto without_proof =
      fmt::format("c=biws,r=rOprNGfwEbeRWgbNEkqOrOprNGfwEbeRWgbNEkqO{}", kServerNonce);
  auto text = fmt::format("{},{},{}", kClientFirst.substr(3), kServerFirst, without_proof);
  auto salted = salted_password(kSha256, "pencil", rfc_credential().salt, 4096);
  auto proof = hmac(Hash::kSha256, salted, "Client Key");
  auto signature = hmac(Hash::kSha256, rfc_credential().stored_key, text);
  for (std::size_t i = 0; i < proof.size(); ++i)
    proof[i] = static_cast<char>(proof[i] ^ signature[i]);
  EXPECT_TRUE(server.finish(fmt::format("{},p={}", without_proof, base64(proof))).has_value());
}

TEST(ScramTest, malformed_first_messages_are_refused) {
  for (Bytes message : {"",
                        "n",
                        "n,",
                        "n,,",
                        "n,,n=user",
                        "n,,n=user,",
                        "n,,r=abc,n=user",
                        "p=tls-unique,,n=u,r=a",
                        "n,,n=,r=a",
                        "n,,n=u,r=",
                        "n,,n=u=,r=a",
                        "n,,n=u=2,r=a",
                        "n,,n=u=2c,r=a",
                        "n,,m=ext,n=u,r=a",
                        "n,,n=u,r=a,m=x",
                        "n,,n=u,r=a,,",
                        "n,,n=u,r=a b",
                        "n,a=other,n=u,r=a",
                        "x,,n=u,r=a",
                        "n,,n=u,r=a,tokenauth=true",
                        "n,,n=u\xff,r=a",
                        "n,,n=u\n,r=a",
                        "n,,n=u,r=a,7=x"}) {
    ScramServer server(kSha256);
    EXPECT_FALSE(server.begin(message).has_value()) << message;
  }
  ScramServer server(kSha256);
  EXPECT_FALSE(server.begin("n,,n=u,r=" + std::string(kScramMessageBytesMax, 'r')).has_value());
}

TEST(ScramTest, own_name_and_unknown_extensions_are_fine) {
  for (Bytes message : {"n,a=u,n=u,r=a", "y,,n=u,r=a", "n,,n=u,r=a,x=y", "n,a=u=2Cv,n=u=2Cv,r=a"}) {
    ScramServer server(kSha256);
    EXPECT_TRUE(server.begin(message).has_value()) << message;
  }
}

TEST(ScramTest, client_refuses_what_is_no_answer_to_it) {
  for (Bytes message :
       {"", "r=client", "r=clientX,s=c2FsdA==,i=4095", "r=clientX,s=c2FsdA==,i=1000001",
        "r=otherX,s=c2FsdA==,i=4096", "r=client,s=c2FsdA==,i=4096", "r=clientX,s=,i=4096",
        "r=clientX,s=c2FsdA==,i=", "r=clientX,s=c2FsdA==,i=4096x",
        "m=x,r=clientX,s=c2FsdA==,i=4096",
        "r=clientX,i=4096,s=c2FsdA==", "r=clientX,s=c2FsdA,i=4096"}) {
    ScramClient client(kSha256, "u", "p", "client");
    (void)client.first();
    EXPECT_FALSE(client.answer(message).has_value()) << message;
  }
}

TEST(ScramTest, client_asks_the_server_for_its_proof) {
  ScramClient client(kSha256, "user", "pencil", "rOprNGfwEbeRWgbNEkqO");
  (void)client.first();
  EXPECT_FALSE(client.verify(kServerFinal).has_value());  // nothing was answered yet
  ASSERT_TRUE(client.answer(kServerFirst).has_value());
  EXPECT_FALSE(client.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=").has_value());
  EXPECT_FALSE(client.verify("e=other-error").has_value());
  EXPECT_FALSE(client.verify("").has_value());
}

TEST(ScramTest, password_is_known_by_its_credential) {
  auto credential = rfc_credential();
  EXPECT_TRUE(is_password_of(kSha256, credential, "pencil"));
  EXPECT_FALSE(is_password_of(kSha256, credential, "pencil "));
  EXPECT_FALSE(is_password_of(kSha256, credential, ""));
}

TEST(PlainTest, takes_three_parts) {
  auto plain = parse_plain(plain_message("user", "secret"));
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->user, "user");
  EXPECT_EQ(plain->password, "secret");
  EXPECT_TRUE(parse_plain(Bytes("user\0user\0secret", 16)).has_value());
}

TEST(PlainTest, refuses_anything_else_without_repeating_it) {
  for (Bytes message : {Bytes(""), Bytes("user"), Bytes("\0user", 5), Bytes("\0user\0", 6),
                        Bytes("\0\0secret", 8), Bytes("other\0user\0secret", 17),
                        Bytes("\0user\0sec\0ret", 13), Bytes("\0us\ner\0secret", 14)}) {
    auto plain = parse_plain(message);
    ASSERT_FALSE(plain.has_value());
    EXPECT_EQ(plain.error().message.find("secret"), std::string::npos);
  }
  EXPECT_FALSE(parse_plain(plain_message("u", std::string(kPasswordBytesMax + 1, 'p'))));
}

}  // namespace
}  // namespace walrus::wire::sasl
