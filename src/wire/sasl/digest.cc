#include "wire/sasl/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/check.h"

namespace walrus::wire::sasl {
namespace {

const EVP_MD* algorithm(Hash hash) { return hash == Hash::kSha256 ? EVP_sha256() : EVP_sha512(); }

const unsigned char* raw(Bytes bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* raw(std::string& bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

}  // namespace

// The library fails here only for want of memory, or where it was built without these hashes.
std::string digest(Hash hash, Bytes text) {
  std::string to(hash_bytes(hash), '\0');
  CHECK(EVP_Digest(text.data(), text.size(), raw(to), nullptr, algorithm(hash), nullptr) == 1);
  return to;
}

std::string hmac(Hash hash, Bytes key, Bytes text) {
  std::string to(hash_bytes(hash), '\0');
  // No key at all means to the library: that of the last time.
  const void* bytes = key.empty() ? "" : key.data();
  CHECK(HMAC(algorithm(hash), bytes, static_cast<int>(key.size()), raw(text), text.size(), raw(to),
             nullptr) != nullptr);
  return to;
}

std::string pbkdf2(Hash hash, Bytes password, Bytes salt, std::int32_t iterations) {
  std::string to(hash_bytes(hash), '\0');
  CHECK(PKCS5_PBKDF2_HMAC(password.empty() ? "" : password.data(),
                          static_cast<int>(password.size()), raw(salt),
                          static_cast<int>(salt.size()), iterations, algorithm(hash),
                          static_cast<int>(to.size()), raw(to)) == 1);
  return to;
}

bool equal_in_constant_time(Bytes a, Bytes b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace walrus::wire::sasl
