#pragma once
// The mechanisms of SASL (RFC 4422) that are spoken here, and the message of PLAIN (RFC 4616).

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace walrus::wire::sasl {

constexpr std::size_t kUserNameBytesMax = 249;
constexpr std::size_t kPasswordBytesMax = 1024;

enum class Mechanism : std::uint8_t { kScramSha256, kScramSha512, kPlain };
constexpr std::array kMechanisms{Mechanism::kScramSha256, Mechanism::kScramSha512,
                                 Mechanism::kPlain};
Bytes mechanism_name(Mechanism);  // "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"
std::optional<Mechanism> parse_mechanism(Bytes name);

// 1 to kUserNameBytesMax bytes of UTF-8 without control characters.
bool valid_user_name(Bytes);

// The message of PLAIN: [authorization id] NUL user NUL password. An authorization id other than
// the user is refused. kInvalid, never with what it holds.
struct Plain {
  Bytes user{}, password{};
};
Result<Plain> parse_plain(Bytes message);
std::string plain_message(Bytes user, Bytes password);

}  // namespace walrus::wire::sasl
