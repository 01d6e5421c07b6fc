#include "net/issue.h"

#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <fstream>

#include "net/openssl_handles.h"
#include "net/tls_context.h"
#include "walrus_source_dir.h"

namespace walrus::net {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using Days = std::chrono::days;

const Time kNow = std::chrono::sys_days(std::chrono::year(2026) / 11 / 25);
const Validity kYear{.begins = kNow - 5min, .ends = kNow + Days(365)};
const Validity kDecade{.begins = kNow - 5min, .ends = kNow + Days(3650)};

CertificateHandle certificate_of(const std::string& pem) {
  const BioHandle bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return CertificateHandle(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}
KeyHandle key_of(const std::string& pem) {
  const BioHandle bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return KeyHandle(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
}

// What OpenSSL says of `leaf` for a use, at a time; 0: it is good.
int verify(const std::string& authority, const std::string& leaf, int purpose, Time at) {
  const std::unique_ptr<X509_STORE, Freed<X509_STORE_free>> store(X509_STORE_new());
  const std::unique_ptr<X509_STORE_CTX, Freed<X509_STORE_CTX_free>> context(X509_STORE_CTX_new());
  X509_STORE_add_cert(store.get(), certificate_of(authority).get());
  const auto certificate = certificate_of(leaf);
  X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr);
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  X509_STORE_CTX_set_time(context.get(), 0,
                          std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count());
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_X509_STRICT);
  return X509_verify_cert(context.get()) == 1 ? 0 : X509_STORE_CTX_get_error(context.get());
}

class Issue : public testing::Test {
 protected:
  void SetUp() override {
    auto made = issue_authority("orders.prod", kDecade);
    ASSERT_TRUE(made) << made.error().message;
    authority = *std::move(made);
  }
  Result<NodeIssued> issue(std::uint64_t node, std::vector<std::string> addresses = {},
                           const Validity& validity = kYear) {
    return issue_node(authority, {{node}, std::move(addresses)}, validity);
  }
  IssuedPem authority;
};

TEST_F(Issue, node_certificate_is_good_for_both_sides_of_a_connection) {
  const auto made = issue(7, {"127.0.0.1", "::1", "localhost", "a-1.example"});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->name, (NodeName{"orders.prod", {7}}));
  for (int purpose : {X509_PURPOSE_SSL_SERVER, X509_PURPOSE_SSL_CLIENT})
    EXPECT_EQ(verify(authority.certificate, made->pem.certificate, purpose, kNow), 0);
  const auto certificate = certificate_of(made->pem.certificate);
  EXPECT_EQ(node_name_of(uris_of(certificate.get())), made->name);
  for (const char* address : {"127.0.0.1", "::1"})
    EXPECT_EQ(X509_check_ip_asc(certificate.get(), address, 0), 1) << address;
  for (const char* host : {"localhost", "a-1.example"})
    EXPECT_EQ(X509_check_host(certificate.get(), host, 0, 0, nullptr), 1) << host;
  EXPECT_NE(X509_check_ip_asc(certificate.get(), "127.0.0.2", 0), 1);
  EXPECT_EQ(X509_check_private_key(certificate.get(), key_of(made->pem.key).get()), 1);
  EXPECT_EQ(EVP_PKEY_get_bits(key_of(made->pem.key).get()), 256);
  EXPECT_EQ(certificate_end(made->pem.certificate), kYear.ends);
}

TEST_F(Issue, certificate_is_good_only_in_its_time) {
  const auto made = issue(7);
  const auto check = [&](Time at) {
    return verify(authority.certificate, made->pem.certificate, X509_PURPOSE_SSL_SERVER, at);
  };
  EXPECT_EQ(check(kNow - 6min), X509_V_ERR_CERT_NOT_YET_VALID);
  EXPECT_EQ(check(kNow - 4min), 0);
  EXPECT_EQ(check(kYear.ends + 1s), X509_V_ERR_CERT_HAS_EXPIRED);
}

TEST_F(Issue, authority_signs_nothing_but_leaves_and_is_none_itself) {
  const auto certificate = certificate_of(authority.certificate);
  EXPECT_EQ(X509_check_ca(certificate.get()), 1);
  EXPECT_EQ(X509_get_pathlen(certificate.get()), 0);
  EXPECT_EQ(X509_get_key_usage(certificate.get()), std::uint32_t{KU_KEY_CERT_SIGN | KU_CRL_SIGN});
  EXPECT_FALSE(node_name_of(uris_of(certificate.get())));
  const auto leaf = issue(7);
  const auto below = issue_node(leaf->pem, {{8}, {}}, kYear);
  EXPECT_THAT(below.error().message, HasSubstr("may not sign"));
}

TEST_F(Issue, another_authority_has_not_signed_it) {
  const auto other = issue_authority("orders.prod", kDecade);
  const auto made = issue(7);
  EXPECT_NE(verify(other->certificate, made->pem.certificate, X509_PURPOSE_SSL_SERVER, kNow), 0);
}

TEST_F(Issue, serial_numbers_and_keys_are_new_each_time) {
  const auto one = issue(7), two = issue(7);
  EXPECT_NE(one->pem.key, two->pem.key);
  EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(certificate_of(one->pem.certificate).get()),
                             X509_get0_serialNumber(certificate_of(two->pem.certificate).get())),
            0);
}

TEST_F(Issue, what_cannot_be_signed_is_refused) {
  for (const char* cluster : {"", "A", "a/b", "-a"})
    EXPECT_EQ(issue_authority(cluster, kYear).error().code, Code::kInvalid) << cluster;
  for (const char* address : {"", "a b", "a..b", "-a", "a-", "1.2.3", "1.2.3.4.5", "300.1.1.1",
                              "a:1", "[::1]", "*.a", "."})
    EXPECT_EQ(issue(7, {address}).error().code, Code::kInvalid) << address;
  for (std::uint64_t node : {std::uint64_t{0}, kGuestBit, kGuestBit + 7})
    EXPECT_EQ(issue(node).error().code, Code::kInvalid) << node;
  EXPECT_THAT(issue(7, {}, {kNow, kDecade.ends + 1s}).error().message,
              HasSubstr("ends before this one"));
  const auto other = issue_authority("orders.prod", kDecade);
  EXPECT_THAT(issue_node({authority.certificate, other->key}, {{7}, {}}, kYear).error().message,
              HasSubstr("not the CA's"));
  for (const IssuedPem& broken : {IssuedPem{"", authority.key},
                                  {"text", authority.key},
                                  {authority.certificate, ""},
                                  {authority.key, authority.key}}) {
    const auto made = issue_node(broken, {{7}, {}}, kYear);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Code::kInvalid);
    EXPECT_EQ(made.error().message.find("PRIVATE"), std::string::npos);
  }
  EXPECT_FALSE(certificate_end("text"));
  EXPECT_EQ(take_tls_errors(), "");  // nothing is left for whoever comes next
}

// The bytes of docs/security.md.
TEST_F(Issue, names_are_encoded_as_the_golden_bytes) {
  const auto made = issue(7, {"localhost", "127.0.0.1"});
  const auto certificate = certificate_of(made->pem.certificate);
  const int at = X509_get_ext_by_NID(certificate.get(), NID_subject_alt_name, -1);
  ASSERT_GE(at, 0);
  const auto* value = X509_EXTENSION_get_data(X509_get_ext(certificate.get(), at));
  std::string hex;
  for (int i = 0; i < ASN1_STRING_length(value); ++i)
    hex += fmt::format("{:02x}", ASN1_STRING_get0_data(value)[i]);
  std::ifstream file(WALRUS_SOURCE_DIR "/tests/golden/peer/node_name.hex");
  std::string golden, line;
  while (std::getline(file, line))
    if (!line.starts_with('#')) golden += line;
  EXPECT_EQ(hex, golden);
}

}  // namespace
}  // namespace walrus::net
