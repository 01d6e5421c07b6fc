#include "net/sha256.h"

#include <openssl/evp.h>

#include "base/check.h"

namespace walrus::net {

struct Sha256::Context {
  EVP_MD_CTX* const md = EVP_MD_CTX_new();
  Context() { CHECK(md != nullptr); }
  ~Context() { EVP_MD_CTX_free(md); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  CHECK(EVP_DigestInit_ex(context_->md, EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(Bytes bytes) {
  CHECK(EVP_DigestUpdate(context_->md, bytes.data(), bytes.size()) == 1);
}

Sha256Digest Sha256::digest() const {
  const Context copy;
  Sha256Digest digest{};
  unsigned size = 0;
  CHECK(EVP_MD_CTX_copy_ex(copy.md, context_->md) == 1);
  CHECK(EVP_DigestFinal_ex(copy.md, reinterpret_cast<unsigned char*>(digest.data()), &size) == 1);
  CHECK(size == digest.size());
  return digest;
}

std::string to_hex(const Sha256Digest& digest) {
  std::string text;
  for (const char byte : digest) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

}  // namespace walrus::net
