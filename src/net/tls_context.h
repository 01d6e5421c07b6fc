#pragma once
// TlsContext: certificates and rules that connections are secured by. Immutable once made; shared
// by the connections that were made with it. Any thread.
//
// TLS 1.2 with ECDHE and an AEAD at least. No renegotiation, no compression, no tickets: each
// handshake is a whole one and meets the certificates of the moment.
//
// Keys and nonces of TLS come from OpenSSL's generator, not from Env: in a simulated world bytes
// differ from run to run, their number only as far as signatures do (with ECDSA by a few).

#include <memory>
#include <string>
#include <vector>

#include "io/env.h"
#include "walrus/tls.h"

struct asn1_string_st;  // ASN1_TIME
struct ssl_ctx_st;

namespace walrus::net {

enum class TlsVersion : std::uint8_t { k12, k13 };

// What a server wants of its clients' certificates. kRequested: one that is shown must be good.
enum class ClientCertificate : std::uint8_t { kNone, kRequested, kRequired };

// The contents of TlsFiles.
struct TlsMaterial {
  std::string ca{}, certificate{}, key{};
  bool operator==(const TlsMaterial&) const = default;
};
// Files above 1 MiB are refused. An empty path: nothing.
Result<TlsMaterial> read_tls_files(io::Disk&, const TlsFiles&);

class TlsContext {
 public:
  // kInvalid: what is wrong with which file. `now`: a server's certificate that is not valid is
  // refused too.
  static Result<std::shared_ptr<const TlsContext>> server(const TlsFiles& names, const TlsMaterial&,
                                                          ClientCertificate, TlsVersion least,
                                                          Time now);
  static Result<std::shared_ptr<const TlsContext>> client(const TlsFiles& names, const TlsMaterial&,
                                                          TlsVersion least);
  ~TlsContext();

  ssl_ctx_st* get() const { return context_; }
  bool is_server() const { return server_; }
  Time expires() const { return expires_; }  // the own certificate; 1970: there is none
  const std::vector<std::string>& uris() const { return uris_; }  // that it is for
  bool serves_both_sides() const;  // whether it may be shown by servers and by clients

 private:
  explicit TlsContext(bool server);
  Result<void> load(const TlsFiles&, const TlsMaterial&);
  Result<void> load_certificate(const std::string& name, const std::string& pem);
  Result<void> load_key(const std::string& name, const std::string& pem);
  Result<void> load_ca(const std::string& name, const std::string& pem);

  const bool server_;
  ssl_ctx_st* context_;
  Time expires_{}, begins_{};
  std::vector<std::string> uris_{};
};

Time time_of(const asn1_string_st*);  // 1970: not a time

// What OpenSSL has to say about the last failure of this thread, and forgets; "" if nothing.
std::string take_tls_errors();

}  // namespace walrus::net
