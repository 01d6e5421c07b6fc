#pragma once
// Certificates for tests, made anew each time: a CA, and what it signs.

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <optional>
#include <string>

#include "io/env.h"
#include "net/openssl_handles.h"
#include "walrus/tls.h"

namespace walrus::net {

struct TestCertificate {
  CertificateHandle certificate{};
  KeyHandle key{};

  std::string pem() const {
    BioHandle bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(bio.get(), certificate.get());
    return taken(bio.get());
  }
  std::string key_pem() const {
    BioHandle bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return taken(bio.get());
  }

 private:
  static std::string taken(BIO* bio) {
    std::string text(BIO_ctrl_pending(bio), '\0');
    BIO_read(bio, text.data(), static_cast<int>(text.size()));
    return text;
  }
};

struct TestSubject {
  std::string common_name{};
  std::string names{};  // "DNS:localhost,IP:127.0.0.1"; empty: none
  std::string usage{};  // "clientAuth"; empty: any
  bool ca = false;
  std::chrono::seconds begins{-3600}, ends{30 * 86400};  // from `now`
};

// Signed by `issuer`, or by itself. `now`: of the world that it is for.
inline TestCertificate make_certificate(const TestSubject& subject, Time now,
                                        const TestCertificate* issuer = nullptr) {
  TestCertificate made;
  made.key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  made.certificate.reset(X509_new());
  auto* x509 = made.certificate.get();
  static long serial = 0;
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
  auto seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch();
  ASN1_TIME_set(X509_getm_notBefore(x509), (seconds + subject.begins).count());
  ASN1_TIME_set(X509_getm_notAfter(x509), (seconds + subject.ends).count());
  auto* name = X509_get_subject_name(x509);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(subject.common_name.data()),
                             static_cast<int>(subject.common_name.size()), -1, 0);
  const auto* signer = issuer != nullptr ? issuer : &made;
  X509_set_issuer_name(x509, X509_get_subject_name(signer->certificate.get()));
  X509_set_pubkey(x509, made.key.get());
  auto extend = [x509](int id, const std::string& value) {
    auto* extension = X509V3_EXT_conf_nid(nullptr, nullptr, id, value.c_str());
    EXPECT_NE(extension, nullptr) << value;
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
  };
  extend(NID_basic_constraints, subject.ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!subject.names.empty()) extend(NID_subject_alt_name, subject.names);
  if (!subject.usage.empty()) extend(NID_ext_key_usage, subject.usage);
  EXPECT_GT(X509_sign(x509, signer->key.get(), nullptr), 0);
  return made;
}

inline void write_test_file(io::Disk& disk, const io::Path& path, const std::string& text) {
  if (auto known = disk.exists(path); known && *known) ASSERT_TRUE(disk.remove(path).has_value());
  auto file = disk.open(path, io::Open::kCreate);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  ASSERT_TRUE((*file)->write(0, text).has_value());
  ASSERT_TRUE((*file)->sync().has_value());
  ASSERT_TRUE(disk.sync_directory(path.parent_path()).has_value());
}

// ca.pem, NAME.pem and NAME.key in `directory`.
inline TlsFiles write_test_files(io::Disk& disk, const io::Path& directory, const std::string& name,
                                 const TestCertificate& ca, const TestCertificate& own) {
  EXPECT_TRUE(disk.make_directory(directory).has_value());
  TlsFiles files{.ca = directory / "ca.pem",
                 .certificate = directory / (name + ".pem"),
                 .key = directory / (name + ".key")};
  write_test_file(disk, files.ca, ca.pem());
  write_test_file(disk, files.certificate, own.pem());
  write_test_file(disk, files.key, own.key_pem());
  return files;
}

}  // namespace walrus::net
