#pragma once
// The hashes that SCRAM is made of, by OpenSSL's libcrypto. Pure; any thread.

#include <cstdint>
#include <string>

#include "walrus/log.h"

namespace walrus::wire::sasl {

enum class Hash : std::uint8_t { kSha256, kSha512 };

constexpr std::size_t hash_bytes(Hash hash) { return hash == Hash::kSha256 ? 32 : 64; }
std::string digest(Hash, Bytes text);
std::string hmac(Hash, Bytes key, Bytes text);
// RFC 8018, one block: SCRAM's Hi(). Costs `iterations` HMACs.
std::string pbkdf2(Hash, Bytes password, Bytes salt, std::int32_t iterations);
// Takes as long for any two strings of the same length.
bool equal_in_constant_time(Bytes, Bytes);

}  // namespace walrus::wire::sasl
