#include "wire/sasl/scram.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/base64.h"
#include "wire/sasl/mechanism.h"

namespace walrus::wire::sasl {
namespace {

std::unexpected<Error> malformed() { return fail(Code::kInvalid, "malformed SCRAM message"); }

// Takes the attribute `name` and the comma behind it, if any, off the front: its value.
Result<Bytes> take(Bytes& rest, char name) {
  if (rest.size() < 2 || rest[0] != name || rest[1] != '=') return malformed();
  auto end = rest.find(',');
  auto value = rest.substr(2, end == Bytes::npos ? end : end - 2);
  rest.remove_prefix(end == Bytes::npos ? rest.size() : end + 1);
  return value;
}

bool valid_nonce(Bytes nonce) {
  return !nonce.empty() &&
         std::ranges::all_of(nonce, [](char c) { return c > 0x20 && c < 0x7f && c != ','; });
}

std::string escaped(Bytes name) {
  std::string text;
  for (char c : name) {
    if (c == ',') text += "=2C";
    else if (c == '=') text += "=3D";
    else text += c;
  }
  return text;
}

Result<std::string> unescaped(Bytes text) {
  std::string name;
  while (!text.empty()) {
    bool comma = text.starts_with("=2C");
    if (text[0] == '=' && !comma && !text.starts_with("=3D")) return malformed();
    name += comma ? ',' : text[0];
    text.remove_prefix(text[0] == '=' ? 3 : 1);
  }
  if (!valid_user_name(name)) return malformed();
  return name;
}

// Extensions that may be left alone; "m=" may not, and tokens are no passwords.
Result<void> check_extensions(Bytes rest) {
  while (!rest.empty()) {
    auto extension = rest.substr(0, rest.find(','));
    bool letter = !extension.empty() && ((extension[0] >= 'a' && extension[0] <= 'z') ||
                                         (extension[0] >= 'A' && extension[0] <= 'Z'));
    if (!letter || extension.find('=') == Bytes::npos || extension[0] == 'm') return malformed();
    if (extension.starts_with("tokenauth=")) return fail(Code::kInvalid, "a delegation token");
    rest.remove_prefix(std::min(rest.size(), extension.size() + 1));
  }
  return {};
}

std::string exclusive_or(std::string a, Bytes b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<char>(a[i] ^ b[i]);
  return a;
}

std::string client_key(ScramMechanism mechanism, Bytes salted) {
  return hmac(hash_of(mechanism), salted, "Client Key");
}

}  // namespace

Hash hash_of(ScramMechanism mechanism) {
  return mechanism == ScramMechanism::kSha256 ? Hash::kSha256 : Hash::kSha512;
}

std::optional<ScramMechanism> scram_mechanism(std::int64_t number) {
  if (number == 1) return ScramMechanism::kSha256;
  if (number == 2) return ScramMechanism::kSha512;
  return std::nullopt;
}

Bytes scram_name(ScramMechanism mechanism) {
  return mechanism_name(mechanism == ScramMechanism::kSha256 ? Mechanism::kScramSha256
                                                             : Mechanism::kScramSha512);
}

bool valid_credential(ScramMechanism mechanism, const ScramCredential& credential) {
  auto size = hash_bytes(hash_of(mechanism));
  return credential.iterations >= kIterationsMin && credential.iterations <= kIterationsMax &&
         !credential.salt.empty() && credential.salt.size() <= kSaltBytesMax &&
         credential.stored_key.size() == size && credential.server_key.size() == size;
}

std::string salted_password(ScramMechanism mechanism, Bytes password, Bytes salt,
                            std::int32_t iterations) {
  return pbkdf2(hash_of(mechanism), password, salt, iterations);
}

ScramCredential scram_credential(ScramMechanism mechanism, Bytes salted, Bytes salt,
                                 std::int32_t iterations) {
  auto hash = hash_of(mechanism);
  return {.iterations = iterations,
          .salt = std::string(salt),
          .stored_key = digest(hash, client_key(mechanism, salted)),
          .server_key = hmac(hash, salted, "Server Key")};
}

bool is_password_of(ScramMechanism mechanism, const ScramCredential& credential, Bytes password) {
  auto salted = salted_password(mechanism, password, credential.salt, credential.iterations);
  auto stored = digest(hash_of(mechanism), client_key(mechanism, salted));
  return equal_in_constant_time(stored, credential.stored_key);
}

// ---------------------------------------------------------------------------------------------
// The server

Result<std::string> ScramServer::begin(Bytes message) {
  if (message.size() > kScramMessageBytesMax) return malformed();
  // The header: "n" or "y" (the client could bind to a channel, and believes that we cannot), then
  // for whom.
  if (!message.starts_with("n,") && !message.starts_with("y,")) return malformed();
  auto comma = message.find(',', 2);
  if (comma == Bytes::npos) return malformed();
  header_ = message.substr(0, comma + 1);
  auto on_behalf = message.substr(2, comma - 2);
  auto bare = message.substr(comma + 1);
  auto rest = bare;
  WALRUS_ASSIGN(auto escaped_name, take(rest, 'n'));
  WALRUS_ASSIGN(auto user, unescaped(escaped_name));
  WALRUS_ASSIGN(auto nonce, take(rest, 'r'));
  if (!valid_nonce(nonce)) return malformed();
  WALRUS_TRY(check_extensions(rest));
  if (!on_behalf.empty() && on_behalf != fmt::format("a={}", escaped_name)) return malformed();
  client_nonce_ = nonce;
  text_ = bare;
  return user;
}

std::string ScramServer::challenge(const ScramCredential& credential, Bytes nonce) {
  credential_ = credential;
  nonce_ = client_nonce_ + std::string(nonce);
  auto message =
      fmt::format("r={},s={},i={}", nonce_, base64(credential.salt), credential.iterations);
  text_ += "," + message;
  return message;
}

Result<std::string> ScramServer::finish(Bytes message) {
  if (message.size() > kScramMessageBytesMax) return malformed();
  auto proof_at = message.rfind(",p=");
  if (proof_at == Bytes::npos) return malformed();
  auto without_proof = message.substr(0, proof_at);
  auto proof = parse_base64(message.substr(proof_at + 3));
  auto rest = without_proof;
  WALRUS_ASSIGN(auto binding, take(rest, 'c'));
  WALRUS_ASSIGN(auto nonce, take(rest, 'r'));
  WALRUS_TRY(check_extensions(rest));
  if (parse_base64(binding) != header_) return fail(Code::kInvalid, "another channel binding");
  // librdkafka before 2.6.1 has its own nonce in it twice. Ours is whole in either, and the proof
  // is over what was sent.
  if (nonce != nonce_ && nonce != client_nonce_ + nonce_)
    return fail(Code::kInvalid, "the nonce of another exchange");
  auto hash = hash_of(mechanism_);
  if (!proof || proof->size() != hash_bytes(hash)) return malformed();
  auto text = fmt::format("{},{}", text_, without_proof);
  auto key = exclusive_or(std::move(*proof), hmac(hash, credential_.stored_key, text));
  if (!equal_in_constant_time(digest(hash, key), credential_.stored_key))
    return fail(Code::kMismatch, "not the password");
  return "v=" + base64(hmac(hash, credential_.server_key, text));
}

// ---------------------------------------------------------------------------------------------
// The client

std::string ScramClient::first() {
  text_ = fmt::format("n={},r={}", escaped(user_), nonce_);
  return "n,," + text_;
}

Result<std::string> ScramClient::answer(Bytes message) {
  if (message.size() > kScramMessageBytesMax) return malformed();
  auto rest = message;
  WALRUS_ASSIGN(auto nonce, take(rest, 'r'));
  WALRUS_ASSIGN(auto salt_text, take(rest, 's'));
  WALRUS_ASSIGN(auto number, take(rest, 'i'));
  WALRUS_TRY(check_extensions(rest));
  if (!valid_nonce(nonce) || !nonce.starts_with(nonce_) || nonce.size() == nonce_.size())
    return fail(Code::kMismatch, "the nonce of another exchange");
  auto salt = parse_base64(salt_text);
  std::int32_t iterations = 0;
  auto [end, error] = std::from_chars(number.begin(), number.end(), iterations);
  if (!salt || salt->empty() || error != std::errc() || end != number.end()) return malformed();
  if (iterations < kIterationsMin || iterations > kIterationsAcceptedMax)
    return fail(Code::kInvalid, "the server asks for {} iterations", iterations);
  auto hash = hash_of(mechanism_);
  auto salted = salted_password(mechanism_, password_, *salt, iterations);
  auto key = client_key(mechanism_, salted);
  auto without_proof = fmt::format("c=biws,r={}", nonce);
  auto text = fmt::format("{},{},{}", text_, message, without_proof);
  auto proof = exclusive_or(key, hmac(hash, digest(hash, key), text));
  signature_ = hmac(hash, hmac(hash, salted, "Server Key"), text);
  return fmt::format("{},p={}", without_proof, base64(proof));
}

Result<void> ScramClient::verify(Bytes message) const {
  auto rest = message;
  WALRUS_ASSIGN(auto signature, take(rest, 'v'));
  auto theirs = parse_base64(signature);
  if (signature_.empty() || !theirs || !equal_in_constant_time(*theirs, signature_))
    return fail(Code::kMismatch, "the server could not prove that it knows the user");
  return {};
}

}  // namespace walrus::wire::sasl
