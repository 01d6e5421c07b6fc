#include "broker/auth/records.h"

#include "base/coding.h"
#include "wire/sasl/mechanism.h"

namespace walrus::broker {
namespace {

constexpr char kUser = 'u', kSecret = 's';
constexpr std::uint8_t kVersion = 1;

std::unexpected<Error> corrupt() { return fail(Code::kCorrupt, "a damaged user record"); }

std::string text(Decoder& from) { return std::string(from.string().value_or(Bytes())); }

Result<Decoder> open_value(Bytes value) {
  Decoder decoder(value);
  auto version = decoder.le<std::uint8_t>();
  if (!version) return corrupt();
  if (*version != kVersion)
    return fail(Code::kVersion, "user record of version {}, known is {}", *version, kVersion);
  return decoder;
}

Result<Credentials> decode_credentials(Bytes value) {
  WALRUS_ASSIGN(auto from, open_value(value));
  Credentials credentials;
  auto count = from.uvarint().value_or(0);
  for (std::uint64_t i = 0; i < count && from.ok(); ++i) {
    auto mechanism = wire::sasl::scram_mechanism(from.le<std::uint8_t>().value_or(0));
    ScramCredential credential{.iterations = from.le<std::int32_t>().value_or(0)};
    credential.salt = text(from);
    credential.stored_key = text(from);
    credential.server_key = text(from);
    if (!mechanism || !valid_credential(*mechanism, credential)) return corrupt();
    credentials[*mechanism] = std::move(credential);
  }
  if (!from.ok() || !from.at_end() || credentials.empty()) return corrupt();
  return credentials;
}

}  // namespace

UserRecord user_record(Bytes name, const Credentials& credentials) {
  UserRecord record{.key = {kUser}};
  append_string(record.key, name);
  if (credentials.empty()) return record;
  auto& value = record.value.emplace();
  append_le(value, kVersion);
  append_uvarint(value, credentials.size());
  for (const auto& [mechanism, credential] : credentials) {
    append_le(value, static_cast<std::uint8_t>(mechanism));
    append_le(value, credential.iterations);
    append_string(value, credential.salt);
    append_string(value, credential.stored_key);
    append_string(value, credential.server_key);
  }
  return record;
}

UserRecord secret_record(Bytes secret) {
  UserRecord record{.key = {kSecret}};
  auto& value = record.value.emplace();
  append_le(value, kVersion);
  append_string(value, secret);
  return record;
}

Result<void> apply_user_record(UserTable& table, Bytes key_bytes, std::optional<Bytes> value) {
  Decoder key(key_bytes);
  auto kind = key.le<char>();
  if (kind == kSecret) {
    if (!key.at_end() || !value) return corrupt();
    WALRUS_ASSIGN(auto from, open_value(*value));
    auto secret = text(from);
    if (!from.ok() || !from.at_end() || secret.empty()) return corrupt();
    table.set_secret(std::move(secret));
    return {};
  }
  auto name = text(key);
  if (kind != kUser || !key.ok() || !key.at_end() || !wire::sasl::valid_user_name(name))
    return corrupt();
  if (!value) {
    table.set(name, {});
    return {};
  }
  WALRUS_ASSIGN(auto credentials, decode_credentials(*value));
  table.set(name, std::move(credentials));
  return {};
}

}  // namespace walrus::broker
