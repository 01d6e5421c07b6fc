#include "net/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "base/check.h"
#include "net/node_name.h"
#include "net/openssl_handles.h"

namespace walrus::net {
namespace {

constexpr std::int64_t kFileBytesMax = 1 << 20;
constexpr const char* kCiphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr std::size_t kPeerChainBytesMax = 64 << 10;

BioHandle open_memory(const std::string& text) {
  BioHandle bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  CHECK(bio != nullptr);  // out of memory
  return bio;
}

Result<std::string> read_file(io::Disk& disk, const io::Path& path) {
  if (path.empty()) return "";
  WALRUS_ASSIGN(auto file, disk.open(path, io::Open::kRead));
  WALRUS_ASSIGN(auto size, file->size());
  if (size > kFileBytesMax) return fail(Code::kTooLarge, "{}: above 1 MiB", path.string());
  std::string text(static_cast<std::size_t>(size), '\0');
  WALRUS_ASSIGN(auto read, file->read(0, text));
  text.resize(read);
  return text;
}

std::unexpected<Error> refuse(const std::string& name, Bytes what) {
  auto why = take_tls_errors();
  return fail(Code::kInvalid, "{}: {}{}{}", name, what, why.empty() ? "" : ": ", why);
}

// A key that asks for a password: nobody is there to be asked.
int no_password(char*, int, int, void*) { return 0; }

// The next certificate of the file; none at its end.
Result<CertificateHandle> next_certificate(const std::string& name, BIO* bio) {
  CertificateHandle certificate(PEM_read_bio_X509(bio, nullptr, no_password, nullptr));
  if (certificate) return certificate;
  auto error = ERR_peek_last_error();
  if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
    return refuse(name, "not a certificate");
  ERR_clear_error();
  return CertificateHandle();
}

}  // namespace

Time time_of(const ASN1_TIME* stored) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(stored, &parts) != 1) return {};
  std::chrono::year_month_day day{std::chrono::year(parts.tm_year + 1900),
                                  std::chrono::month(static_cast<unsigned>(parts.tm_mon + 1)),
                                  std::chrono::day(static_cast<unsigned>(parts.tm_mday))};
  return std::chrono::sys_days(day) + std::chrono::hours(parts.tm_hour) +
         std::chrono::minutes(parts.tm_min) + std::chrono::seconds(parts.tm_sec);
}

std::string take_tls_errors() {
  std::string text;
  while (auto error = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(error);
    if (reason != nullptr) text += (text.empty() ? "" : "; ") + std::string(reason);
  }
  return text;
}

Result<TlsMaterial> read_tls_files(io::Disk& disk, const TlsFiles& files) {
  TlsMaterial material;
  WALRUS_ASSIGN(material.ca, read_file(disk, files.ca));
  WALRUS_ASSIGN(material.certificate, read_file(disk, files.certificate));
  WALRUS_ASSIGN(material.key, read_file(disk, files.key));
  return material;
}

TlsContext::TlsContext(bool server)
    : server_(server), context_(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method())) {
  CHECK(context_ != nullptr);
  SSL_CTX_set_options(context_, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context_, 0);
  SSL_CTX_set_max_cert_list(context_, static_cast<long>(kPeerChainBytesMax));
  CHECK(SSL_CTX_set_cipher_list(context_, kCiphers12) == 1);
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

Result<std::shared_ptr<const TlsContext>> TlsContext::server(const TlsFiles& names,
                                                             const TlsMaterial& material,
                                                             ClientCertificate wanted,
                                                             TlsVersion least, Time now) {
  std::shared_ptr<TlsContext> made(new TlsContext(true));
  SSL_CTX_set_min_proto_version(made->context_,
                                least == TlsVersion::k12 ? TLS1_2_VERSION : TLS1_3_VERSION);
  if (material.certificate.empty())
    return fail(Code::kInvalid, "{}: no certificate", names.certificate.string());
  WALRUS_TRY(made->load(names, material));
  if (now >= made->expires_)
    return fail(Code::kInvalid, "{}: the certificate has expired", names.certificate.string());
  if (now < made->begins_)
    return fail(Code::kInvalid, "{}: the certificate is not valid yet", names.certificate.string());
  int mode = SSL_VERIFY_NONE;
  if (wanted != ClientCertificate::kNone) mode = SSL_VERIFY_PEER;
  if (wanted == ClientCertificate::kRequired) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  if (wanted != ClientCertificate::kNone && material.ca.empty())
    return fail(Code::kInvalid, "client certificates without a CA that signs them");
  SSL_CTX_set_verify(made->context_, mode, nullptr);
  return made;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::client(const TlsFiles& names,
                                                             const TlsMaterial& material,
                                                             TlsVersion least) {
  std::shared_ptr<TlsContext> made(new TlsContext(false));
  SSL_CTX_set_min_proto_version(made->context_,
                                least == TlsVersion::k12 ? TLS1_2_VERSION : TLS1_3_VERSION);
  WALRUS_TRY(made->load(names, material));
  if (material.ca.empty() && SSL_CTX_set_default_verify_paths(made->context_) != 1)
    return refuse("the system's certificates", "cannot be used");
  SSL_CTX_set_verify(made->context_, SSL_VERIFY_PEER, nullptr);
  return made;
}

Result<void> TlsContext::load(const TlsFiles& names, const TlsMaterial& material) {
  ERR_clear_error();
  if (!material.certificate.empty())
    WALRUS_TRY(load_certificate(names.certificate.string(), material.certificate));
  if (!material.key.empty()) WALRUS_TRY(load_key(names.key.string(), material.key));
  if (material.certificate.empty() != material.key.empty())
    return fail(Code::kInvalid, "a certificate and its key come together");
  if (!material.ca.empty()) WALRUS_TRY(load_ca(names.ca.string(), material.ca));
  return {};
}

bool TlsContext::serves_both_sides() const {
  auto* own = SSL_CTX_get0_certificate(context_);
  return X509_check_purpose(own, X509_PURPOSE_SSL_SERVER, 0) == 1 &&
         X509_check_purpose(own, X509_PURPOSE_SSL_CLIENT, 0) == 1;
}

Result<void> TlsContext::load_certificate(const std::string& name, const std::string& pem) {
  auto bio = open_memory(pem);
  WALRUS_ASSIGN(auto leaf, next_certificate(name, bio.get()));
  if (!leaf) return fail(Code::kInvalid, "{}: no certificate in it", name);
  if (SSL_CTX_use_certificate(context_, leaf.get()) != 1) return refuse(name, "cannot be used");
  begins_ = time_of(X509_get0_notBefore(leaf.get()));
  expires_ = time_of(X509_get0_notAfter(leaf.get()));
  uris_ = uris_of(leaf.get());
  while (true) {
    WALRUS_ASSIGN(auto next, next_certificate(name, bio.get()));
    if (!next) return {};
    if (SSL_CTX_add1_chain_cert(context_, next.get()) != 1) return refuse(name, "cannot be used");
  }
}

Result<void> TlsContext::load_key(const std::string& name, const std::string& pem) {
  auto bio = open_memory(pem);
  KeyHandle key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (!key) return refuse(name, "not a private key without a password");
  if (SSL_CTX_use_PrivateKey(context_, key.get()) != 1 || SSL_CTX_check_private_key(context_) != 1)
    return refuse(name, "not the key of the certificate");
  return {};
}

Result<void> TlsContext::load_ca(const std::string& name, const std::string& pem) {
  auto bio = open_memory(pem);
  auto* store = SSL_CTX_get_cert_store(context_);
  for (int count = 0;; ++count) {
    WALRUS_ASSIGN(auto next, next_certificate(name, bio.get()));
    if (!next && count == 0) return fail(Code::kInvalid, "{}: no certificate in it", name);
    if (!next) return {};
    if (X509_STORE_add_cert(store, next.get()) != 1) return refuse(name, "cannot be used");
    if (server_ && SSL_CTX_add_client_CA(context_, next.get()) != 1)
      return refuse(name, "cannot be used");
  }
}

}  // namespace walrus::net
