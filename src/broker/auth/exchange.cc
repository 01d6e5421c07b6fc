#include "broker/auth/exchange.h"

namespace walrus::broker {

using wire::sasl::Mechanism;

Exchange::Exchange(Mechanism mechanism, Users::Table table, std::string nonce)
    : mechanism_(mechanism), table_(std::move(table)), nonce_(std::move(nonce)) {
  if (mechanism_ == Mechanism::kScramSha256) scram_.emplace(ScramMechanism::kSha256);
  if (mechanism_ == Mechanism::kScramSha512) scram_.emplace(ScramMechanism::kSha512);
}

Result<Exchange::Step> Exchange::step(Bytes token) {
  if (ended_) return fail(Code::kInvalid, "the exchange has ended");
  auto result = scram_ ? scram(token) : plain(token);
  ended_ = !result || result->done;
  return result;
}

// Any credential of the user tells whether this is the password.
Result<Exchange::Step> Exchange::plain(Bytes token) {
  WALRUS_ASSIGN(auto plain, wire::sasl::parse_plain(token));
  user_ = plain.user;
  auto mechanism = ScramMechanism::kSha256;
  const auto* known = table_->find(plain.user);
  if (known != nullptr && !known->contains(mechanism)) mechanism = ScramMechanism::kSha512;
  auto found = table_->lookup(plain.user, mechanism);
  bool right = wire::sasl::is_password_of(mechanism, found.credential, plain.password);
  if (!right || !found.real) return fail(Code::kMismatch, "not the password, or no such user");
  return Step{.token = "", .done = true};
}

Result<Exchange::Step> Exchange::scram(Bytes token) {
  if (!challenged_) {
    WALRUS_ASSIGN(user_, scram_->begin(token));
    challenged_ = true;
    auto mechanism =
        mechanism_ == Mechanism::kScramSha256 ? ScramMechanism::kSha256 : ScramMechanism::kSha512;
    auto found = table_->lookup(user_, mechanism);
    real_ = found.real;
    return Step{.token = scram_->challenge(found.credential, nonce_), .done = false};
  }
  WALRUS_ASSIGN(auto last, scram_->finish(token));
  if (!real_) return fail(Code::kMismatch, "not the password, or no such user");
  return Step{.token = std::move(last), .done = true};
}

}  // namespace walrus::broker
