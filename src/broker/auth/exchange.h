#pragma once
// Exchange: the server's side of one SASL exchange, whatever the mechanism. Pure.

#include <optional>
#include <string>

#include "broker/auth/users.h"
#include "wire/sasl/mechanism.h"

namespace walrus::broker {

class Exchange {
 public:
  // `nonce`: printable, without a comma, never used before.
  Exchange(wire::sasl::Mechanism, Users::Table, std::string nonce);

  struct Step {
    std::string token{};  // for the client
    bool done = false;    // it is who it says it is
  };
  // kInvalid, kMismatch: the exchange has failed. An unknown user fails where, and as late as, a
  // known one with the wrong password does. The message is for our log, not for the client.
  Result<Step> step(Bytes token);
  const std::string& user() const { return user_; }  // as far as it is known yet; may be a lie

 private:
  Result<Step> plain(Bytes token);
  Result<Step> scram(Bytes token);

  const wire::sasl::Mechanism mechanism_;
  const Users::Table table_;
  const std::string nonce_;
  std::optional<wire::sasl::ScramServer> scram_;
  bool challenged_ = false, real_ = false, ended_ = false;
  std::string user_;
};

}  // namespace walrus::broker
