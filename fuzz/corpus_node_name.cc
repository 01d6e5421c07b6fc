// Writes fuzz/corpus/node_name: corpus_node_name DIRECTORY.

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "corpus.h"
#include "net/openssl_handles.h"

using namespace walrus;
using namespace walrus::net;

namespace {

// A certificate with these names, signed by nobody: that is not what is fuzzed.
std::string certificate_for(const char* names) {
  const CertificateHandle made(X509_new());
  const KeyHandle key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  CHECK(X509_set_version(made.get(), X509_VERSION_3) == 1);
  CHECK(X509_set_pubkey(made.get(), key.get()) == 1);
  ASN1_TIME_set(X509_getm_notBefore(made.get()), 0);
  ASN1_TIME_set(X509_getm_notAfter(made.get()), 1);
  auto* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names);
  CHECK(extension != nullptr && X509_add_ext(made.get(), extension, -1) == 1);
  X509_EXTENSION_free(extension);
  CHECK(X509_sign(made.get(), key.get(), nullptr) > 0);
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(made.get(), &bytes);
  CHECK(size > 0);
  std::string der(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return der;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  int number = 0;
  for (const char* uri :
       {"walrus://orders.prod/node/7", "walrus://a/node/9223372036854775807",
        "walrus://a/node/9223372036854775808", "walrus://a-b.c/node/01", "walrus:///node/1",
        "walrus://a", "walrus:", "http://a/node/1", "walrus://a/node/1\n", "walrus://A/node/1"})
    corpus.add("uri_" + std::to_string(number++), std::string(1, '\0') + uri);
  // Each beginning, and each with a letter that is not allowed there.
  const std::string whole = "walrus://orders.prod/node/7";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto changed = whole;
    changed[size] = '%';
    corpus.add("uri_" + std::to_string(number++), std::string(1, '\0') + whole.substr(0, size));
    corpus.add("uri_" + std::to_string(number++), std::string(1, '\0') + changed);
  }
  number = 0;
  for (const char* names :
       {"URI:walrus://orders.prod/node/7,DNS:localhost,IP:127.0.0.1", "DNS:localhost",
        "URI:walrus://a/node/1,URI:walrus://a/node/2", "URI:walrus://a", "URI:https://a/",
        "email:a,URI:walrus://a/node/1,RID:1.2.3.4"})
    corpus.add("certificate_" + std::to_string(number++), "\1" + certificate_for(names));
}
