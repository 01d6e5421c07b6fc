// Who a certificate says it is. The first byte says of what: 0 a URI; 1 a certificate in DER. A
// name that is taken comes back when it is written, and is within its limits.

#include <openssl/err.h>
#include <openssl/x509.h>

#include <cstdint>

#include "base/check.h"
#include "net/node_name.h"
#include "net/openssl_handles.h"

namespace {

using namespace walrus;
using namespace walrus::net;

void check_name(const NodeName& name) {
  CHECK(valid_cluster_label(name.cluster));
  CHECK(name.node.value != 0 && !is_guest(name.node));
  const auto again = parse_node_name(to_uri(name));
  CHECK(again && *again == name);
}

void check_error(const Error& error) {
  for (const char c : error.message) CHECK(c >= ' ' && c <= '~');
  CHECK(error.message.size() < 400);
}

void fuzz_uri(Bytes uri) {
  const auto name = parse_node_name(uri);
  if (!name) return check_error(name.error());
  check_name(*name);
  CHECK(to_uri(*name) == uri);
}

void fuzz_certificate(Bytes der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const CertificateHandle certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (certificate) {
    const auto name = node_name_of(uris_of(certificate.get()));
    if (name) check_name(*name);
    else check_error(name.error());
  }
  ERR_clear_error();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) fuzz_uri(rest);
  else fuzz_certificate(rest);
  return 0;
}
