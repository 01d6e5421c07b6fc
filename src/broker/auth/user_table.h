#pragma once
// UserTable: who may log in, as of one moment. A value; shared between loops as an immutable one.
//
// It holds no password, only what SCRAM checks one by (wire/sasl/scram.h). Of a user that does not
// exist it makes up a credential: the same one each time, of the usual shape, so that a stranger
// cannot tell it from one that exists.

#include <map>
#include <string>
#include <vector>

#include "wire/sasl/scram.h"

namespace walrus::broker {

using wire::sasl::ScramCredential;
using wire::sasl::ScramMechanism;

constexpr std::size_t kUsersMax = 10'000;

using Credentials = std::map<ScramMechanism, ScramCredential>;  // of one user, never empty

// One user's credential of one mechanism is set, or removed.
struct CredentialChange {
  std::string user{};
  ScramMechanism mechanism = ScramMechanism::kSha256;
  std::optional<ScramCredential> credential{};
};

class UserTable {
 public:
  // `secret`: random bytes, kept as long as the users are; what credentials are made up from.
  explicit UserTable(std::string secret) : secret_(std::move(secret)) {}

  const std::map<std::string, Credentials, std::less<>>& users() const { return users_; }
  const std::string& secret() const { return secret_; }
  void set_secret(std::string secret) { secret_ = std::move(secret); }
  bool contains(Bytes user) const { return users_.contains(user); }
  const Credentials* find(Bytes user) const;
  // The whole of a user; no credentials: it is gone.
  void set(const std::string& user, Credentials);
  void apply(const CredentialChange&);

  struct Found {
    ScramCredential credential{};
    bool real = false;  // whatever is proven by one that is made up, is not proven
  };
  Found lookup(Bytes user, ScramMechanism) const;

 private:
  struct Shape {  // of a credential, as it shows in the exchange
    std::int32_t iterations = wire::sasl::kIterationsMin;
    std::size_t salt_bytes = wire::sasl::kSaltBytes;
    auto operator<=>(const Shape&) const = default;
  };
  Shape usual_shape(ScramMechanism) const;
  void count(const std::string& user, std::int64_t change);

  std::map<std::string, Credentials, std::less<>> users_;
  std::map<ScramMechanism, std::map<Shape, std::int64_t>> shapes_;  // how many have which
  std::string secret_;
};

}  // namespace walrus::broker
