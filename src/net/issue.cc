#include "net/issue.h"

#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "base/check.h"
#include "net/openssl_handles.h"
#include "net/tls_context.h"

namespace walrus::net {
namespace {

using NumberHandle = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using ExtensionHandle = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using NamesHandle = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;
using AddressHandle = std::unique_ptr<ASN1_OCTET_STRING, Freed<ASN1_OCTET_STRING_free>>;

constexpr Bytes kClusterUri = "walrus://";
constexpr int kSerialBits = 159;  // RFC 5280, 4.1.2.2: at most 20 octets, positive

std::unexpected<Error> failed(const char* what) {
  return fail(Code::kIo, "{}: {}", what, take_tls_errors());
}

std::int64_t seconds_of(Time time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

BioHandle memory() {
  BioHandle bio(BIO_new(BIO_s_mem()));
  CHECK(bio != nullptr);  // out of memory
  return bio;
}

std::string taken(BIO* bio) {
  std::string text(BIO_ctrl_pending(bio), '\0');
  CHECK(BIO_read(bio, text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size()));
  return text;
}

BioHandle over(const std::string& text) {
  BioHandle bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  CHECK(bio != nullptr);
  return bio;
}

int no_password(char*, int, int, void*) { return 0; }

Result<CertificateHandle> read_certificate(const std::string& pem) {
  CertificateHandle read(PEM_read_bio_X509(over(pem).get(), nullptr, no_password, nullptr));
  if (!read) return fail(Code::kInvalid, "not a certificate: {}", take_tls_errors());
  return read;
}

// What is being made: a certificate and its new key.
struct Draft {
  CertificateHandle certificate;
  KeyHandle key;

  static Result<Draft> begin(const Validity&, const std::string& common_name, Bytes cluster);
  Result<void> extend(X509* issuer, int id, const char* value);
  Result<void> add_names(NamesHandle);
  Result<IssuedPem> sign(EVP_PKEY* by);
};

Result<Draft> Draft::begin(const Validity& validity, const std::string& common_name,
                           Bytes cluster) {
  Draft draft{.certificate = CertificateHandle(X509_new()),
              .key = KeyHandle(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"))};
  NumberHandle serial(BN_new());
  if (!draft.key || !draft.certificate || !serial) return failed("make a key");
  auto* made = draft.certificate.get();
  bool good = X509_set_version(made, X509_VERSION_3) == 1;
  good = good && BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1;
  good = good && BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(made)) != nullptr;
  good = good && ASN1_TIME_set(X509_getm_notBefore(made), seconds_of(validity.begins)) != nullptr;
  good = good && ASN1_TIME_set(X509_getm_notAfter(made), seconds_of(validity.ends)) != nullptr;
  auto* subject = X509_get_subject_name(made);
  const auto name = [&](const char* field, Bytes value) {
    good = good && X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8,
                                              reinterpret_cast<const unsigned char*>(value.data()),
                                              static_cast<int>(value.size()), -1, 0) == 1;
  };
  name("O", cluster);
  name("CN", common_name);
  good = good && X509_set_pubkey(made, draft.key.get()) == 1;
  if (!good) return failed("make a certificate");
  return draft;
}

Result<void> Draft::extend(X509* issuer, int id, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate.get(), nullptr, nullptr, 0);
  const ExtensionHandle extension(X509V3_EXT_conf_nid(nullptr, &context, id, value));
  if (!extension || X509_add_ext(certificate.get(), extension.get(), -1) != 1)
    return failed("make a certificate");
  return {};
}

Result<void> Draft::add_names(NamesHandle names) {
  if (X509_add1_ext_i2d(certificate.get(), NID_subject_alt_name, names.get(), 0,
                        X509V3_ADD_DEFAULT) != 1)
    return failed("make a certificate");
  return {};
}

Result<IssuedPem> Draft::sign(EVP_PKEY* by) {
  if (X509_sign(certificate.get(), by, EVP_sha256()) <= 0) return failed("sign a certificate");
  IssuedPem pem;
  auto bio = memory();
  if (PEM_write_bio_X509(bio.get(), certificate.get()) != 1) return failed("write a certificate");
  pem.certificate = taken(bio.get());
  bio = memory();
  if (PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return failed("write a key");
  pem.key = taken(bio.get());
  return pem;
}

// A name of type `type`, as a string of ASCII.
void add_text(GENERAL_NAMES* names, int type, Bytes text) {
  auto* name = GENERAL_NAME_new();
  auto* value = ASN1_IA5STRING_new();
  CHECK(name != nullptr && value != nullptr);
  CHECK(ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) == 1);
  GENERAL_NAME_set0_value(name, type, value);
  CHECK(sk_GENERAL_NAME_push(names, name) > 0);
}

bool is_dns_name(const std::string& text) {
  constexpr std::size_t kNameBytesMax = 253, kLabelBytesMax = 63;
  if (text.empty() || text.size() > kNameBytesMax) return false;
  for (std::size_t begin = 0; begin <= text.size();) {
    const auto end = std::min(text.find('.', begin), text.size());
    const auto label = Bytes(text).substr(begin, end - begin);
    const auto fits = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    };
    if (label.empty() || label.size() > kLabelBytesMax || !std::ranges::all_of(label, fits) ||
        label.front() == '-' || label.back() == '-')
      return false;
    begin = end + 1;
  }
  // Only digits behind the last dot: an IPv4 address with something wrong.
  return text.find_first_not_of("0123456789", text.rfind('.') + 1) != std::string::npos;
}

AddressHandle ip_of(const std::string& text) {
  AddressHandle address(a2i_IPADDRESS(text.c_str()));
  if (!address) (void)take_tls_errors();
  return address;
}

Result<void> add_address(GENERAL_NAMES* names, const std::string& address) {
  if (auto ip = ip_of(address)) {
    auto* name = GENERAL_NAME_new();
    CHECK(name != nullptr);
    GENERAL_NAME_set0_value(name, GEN_IPADD, ip.release());
    CHECK(sk_GENERAL_NAME_push(names, name) > 0);
    return {};
  }
  if (!is_dns_name(address))
    return fail(Code::kInvalid, "{}: not a DNS name and not an IP address", address);
  add_text(names, GEN_DNS, address);
  return {};
}

// The cluster that a CA of ours names, if it may sign.
Result<std::string> cluster_of(X509* authority) {
  if (X509_check_ca(authority) != 1) return fail(Code::kInvalid, "it may not sign certificates");
  for (const auto& uri : uris_of(authority)) {
    const auto label = Bytes(uri).substr(std::min(uri.size(), kClusterUri.size()));
    if (uri.starts_with(kClusterUri) && valid_cluster_label(label)) return std::string(label);
  }
  return fail(Code::kInvalid, "it names no cluster (a URI walrus://CLUSTER is missing)");
}

}  // namespace

Result<IssuedPem> issue_authority(Bytes cluster, const Validity& validity) {
  if (!valid_cluster_label(cluster))
    return fail(Code::kInvalid,
                "a cluster is 1 to 63 of a-z 0-9 . and -, a letter or digit at both ends");
  WALRUS_ASSIGN(auto draft, Draft::begin(validity, "Walrus CA", cluster));
  auto* self = draft.certificate.get();
  if (X509_set_issuer_name(self, X509_get_subject_name(self)) != 1)
    return failed("make a certificate");
  WALRUS_TRY(draft.extend(self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  WALRUS_TRY(draft.extend(self, NID_key_usage, "critical,keyCertSign,cRLSign"));
  WALRUS_TRY(draft.extend(self, NID_subject_key_identifier, "hash"));
  NamesHandle names(GENERAL_NAMES_new());
  CHECK(names != nullptr);
  add_text(names.get(), GEN_URI, fmt::format("{}{}", kClusterUri, cluster));
  WALRUS_TRY(draft.add_names(std::move(names)));
  return draft.sign(draft.key.get());
}

Result<NodeIssued> issue_node(const IssuedPem& authority, const NodeSubject& subject,
                              const Validity& validity) {
  WALRUS_ASSIGN(const auto signer, read_certificate(authority.certificate));
  WALRUS_ASSIGN(auto cluster, cluster_of(signer.get()));
  const KeyHandle key(
      PEM_read_bio_PrivateKey(over(authority.key).get(), nullptr, no_password, nullptr));
  if (!key)
    return fail(Code::kInvalid, "not a private key without a password: {}", take_tls_errors());
  if (X509_check_private_key(signer.get(), key.get()) != 1) {
    (void)take_tls_errors();
    return fail(Code::kInvalid, "the key is not the CA's");
  }
  if (subject.node.value == 0 || is_guest(subject.node))
    return fail(Code::kInvalid, "a node's id is a number from 1 to 9223372036854775807");
  if (validity.ends > time_of(X509_get0_notAfter(signer.get())))
    return fail(Code::kInvalid, "the CA's certificate ends before this one would");
  NodeIssued issued{.name = {.cluster = std::move(cluster), .node = subject.node}};
  NamesHandle names(GENERAL_NAMES_new());
  CHECK(names != nullptr);
  add_text(names.get(), GEN_URI, to_uri(issued.name));
  for (const auto& address : subject.addresses) WALRUS_TRY(add_address(names.get(), address));
  WALRUS_ASSIGN(auto draft, Draft::begin(validity, fmt::format("node {}", subject.node.value),
                                         issued.name.cluster));
  if (X509_set_issuer_name(draft.certificate.get(), X509_get_subject_name(signer.get())) != 1)
    return failed("make a certificate");
  WALRUS_TRY(draft.extend(signer.get(), NID_basic_constraints, "critical,CA:FALSE"));
  WALRUS_TRY(draft.extend(signer.get(), NID_key_usage, "critical,digitalSignature"));
  WALRUS_TRY(draft.extend(signer.get(), NID_ext_key_usage, "serverAuth,clientAuth"));
  WALRUS_TRY(draft.extend(signer.get(), NID_subject_key_identifier, "hash"));
  WALRUS_TRY(draft.extend(signer.get(), NID_authority_key_identifier, "keyid"));
  WALRUS_TRY(draft.add_names(std::move(names)));
  WALRUS_ASSIGN(issued.pem, draft.sign(key.get()));
  return issued;
}

Result<Time> certificate_end(const std::string& pem) {
  WALRUS_ASSIGN(const auto read, read_certificate(pem));
  return time_of(X509_get0_notAfter(read.get()));
}

bool valid_certificate_address(const std::string& text) {
  return ip_of(text) != nullptr || is_dns_name(text);
}

}  // namespace walrus::net
