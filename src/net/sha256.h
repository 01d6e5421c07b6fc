#pragma once
// SHA-256 (FIPS 180-4), by OpenSSL's libcrypto, which uses the processor's instructions for it.

#include <array>
#include <memory>
#include <string>

#include "base/result.h"

namespace walrus::net {

using Sha256Digest = std::array<char, 32>;
std::string to_hex(const Sha256Digest&);

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(Bytes);
  Sha256Digest digest() const;  // of all so far; more may follow

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace walrus::net
