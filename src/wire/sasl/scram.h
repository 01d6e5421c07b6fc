#pragma once
// SCRAM (RFC 5802, RFC 7677) without channel binding: the messages, and both sides of the exchange
// as state machines. Pure: nonces are passed in.
//
//   client-first   n,,n=<user>,r=<client nonce>
//   server-first   r=<client nonce><server nonce>,s=<salt, base64>,i=<iterations>
//   client-final   c=biws,r=<both nonces>,p=<proof, base64>
//   server-final   v=<signature, base64>
//
//   salted password = PBKDF2(password, salt, iterations)
//   client key = HMAC(salted password, "Client Key")    stored key = H(client key)
//   server key = HMAC(salted password, "Server Key")
//   auth message = client-first without its header "," server-first "," client-final without proof
//   proof = client key XOR HMAC(stored key, auth message)
//   signature = HMAC(server key, auth message)
//
// What a server keeps, the credential, lets nobody log in elsewhere, and here only who finds the
// password. User names and passwords are taken as they are (no SASLprep), as Kafka does.

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "wire/sasl/digest.h"

namespace walrus::wire::sasl {

enum class ScramMechanism : std::uint8_t { kSha256 = 1, kSha512 = 2 };  // as Kafka numbers them
Hash hash_of(ScramMechanism);
std::optional<ScramMechanism> scram_mechanism(std::int64_t number);
Bytes scram_name(ScramMechanism);  // "SCRAM-SHA-256"

constexpr std::int32_t kIterationsMin = 4096, kIterationsMax = 16384;  // of a credential, as Kafka
constexpr std::int32_t kIterationsAcceptedMax = 1'000'000;             // by a client, of any server
constexpr std::size_t kSaltBytes = 24, kSaltBytesMax = 128;
constexpr std::size_t kScramMessageBytesMax = 4096;

struct ScramCredential {
  std::int32_t iterations = 0;
  std::string salt{}, stored_key{}, server_key{};
  bool operator==(const ScramCredential&) const = default;
};
// Whether its parts have the sizes that they must have.
bool valid_credential(ScramMechanism, const ScramCredential&);
std::string salted_password(ScramMechanism, Bytes password, Bytes salt, std::int32_t iterations);
ScramCredential scram_credential(ScramMechanism, Bytes salted_password, Bytes salt,
                                 std::int32_t iterations);
// Whether this is the password of the credential; as dear as making one.
bool is_password_of(ScramMechanism, const ScramCredential&, Bytes password);

class ScramServer {
 public:
  explicit ScramServer(ScramMechanism mechanism) : mechanism_(mechanism) {}
  // The client's first message: the user that it names. kInvalid: malformed, or asks for what is
  // not served (channel binding, another's name, an extension).
  Result<std::string> begin(Bytes client_first);
  // The server's first message. `nonce`: printable, without a comma, never used before.
  std::string challenge(const ScramCredential&, Bytes nonce);
  // The server's last message. kMismatch: not the password. kInvalid: malformed, or not of this
  // exchange.
  Result<std::string> finish(Bytes client_final);

 private:
  const ScramMechanism mechanism_;
  ScramCredential credential_;
  std::string header_;                // what the client says of channel binding
  std::string client_nonce_, nonce_;  // nonce_: both
  std::string text_;                  // of the auth message so far
};

class ScramClient {
 public:
  ScramClient(ScramMechanism mechanism, std::string user, std::string password, std::string nonce)
      : mechanism_(mechanism),
        user_(std::move(user)),
        password_(std::move(password)),
        nonce_(std::move(nonce)) {}
  std::string first();
  // The last message of the client. kInvalid: malformed. kMismatch: not the answer to first().
  Result<std::string> answer(Bytes server_first);
  // kMismatch: the server does not know the password either.
  Result<void> verify(Bytes server_final) const;

 private:
  const ScramMechanism mechanism_;
  const std::string user_, password_, nonce_;
  std::string text_;
  std::string signature_;
};

}  // namespace walrus::wire::sasl
