#include "broker/auth/user_table.h"

namespace walrus::broker {
const Credentials* UserTable::find(Bytes user) const {
  auto found = users_.find(user);
  return found == users_.end() ? nullptr : &found->second;
}

void UserTable::set(const std::string& user, Credentials credentials) {
  count(user, -1);
  if (credentials.empty()) users_.erase(user);
  else users_[user] = std::move(credentials);
  count(user, 1);
}

void UserTable::count(const std::string& user, std::int64_t change) {
  const auto* credentials = find(user);
  if (credentials == nullptr) return;
  for (const auto& [mechanism, one] : *credentials)
    shapes_[mechanism][{one.iterations, one.salt.size()}] += change;
}

// What most users have: anything else would tell a made-up credential apart.
UserTable::Shape UserTable::usual_shape(ScramMechanism mechanism) const {
  Shape usual;
  std::int64_t most = 0;
  auto found = shapes_.find(mechanism);
  if (found == shapes_.end()) return usual;
  for (const auto& [shape, count] : found->second) {
    if (count <= most) continue;
    usual = shape;
    most = count;
  }
  return usual;
}

void UserTable::apply(const CredentialChange& change) {
  auto found = users_.find(change.user);
  auto credentials = found == users_.end() ? Credentials() : found->second;
  if (change.credential) credentials[change.mechanism] = *change.credential;
  else credentials.erase(change.mechanism);
  set(change.user, std::move(credentials));
}

UserTable::Found UserTable::lookup(Bytes user, ScramMechanism mechanism) const {
  // Made up first, whoever it is: an unknown user costs no more than a known one.
  auto hash = wire::sasl::hash_of(mechanism);
  auto made_up = [&](Bytes what) {
    return wire::sasl::hmac(hash, secret_, fmt::format("{} {}", what, user));
  };
  auto shape = usual_shape(mechanism);
  ScramCredential credential{.iterations = shape.iterations,
                             .salt = made_up("salt"),
                             .stored_key = made_up("stored key"),
                             .server_key = made_up("server key")};
  while (credential.salt.size() < shape.salt_bytes) credential.salt += made_up(credential.salt);
  credential.salt.resize(shape.salt_bytes);
  if (const auto* known = find(user)) {
    auto found = known->find(mechanism);
    if (found != known->end()) return {.credential = found->second, .real = true};
  }
  return {.credential = std::move(credential), .real = false};
}

}  // namespace walrus::broker
