// Writes fuzz/corpus/tls_peer: corpus_tls_peer DIRECTORY.

#include <openssl/ssl.h>

#include "base/check.h"
#include "corpus.h"
#include "net/issue.h"
#include "net/message.h"
#include "net/openssl_handles.h"

using namespace walrus;
using namespace walrus::net;

namespace {

using SslHandle = std::unique_ptr<SSL, Freed<SSL_free>>;
using ContextHandle = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;

struct End {
  explicit End(SSL_CTX* context) : ssl(SSL_new(context)) {
    SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  }
  std::string say() {
    (void)SSL_do_handshake(ssl.get());
    std::string bytes(BIO_ctrl_pending(SSL_get_wbio(ssl.get())), '\0');
    BIO_read(SSL_get_wbio(ssl.get()), bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }
  void hear(const std::string& bytes) {
    BIO_write(SSL_get_rbio(ssl.get()), bytes.data(), static_cast<int>(bytes.size()));
  }
  SslHandle ssl;
};

// As it is, cut, and with a byte changed, at a few places.
void add_damaged(fuzz::Corpus& corpus, const std::string& name, const std::string& kind,
                 const std::string& bytes) {
  constexpr std::size_t kPlaces = 9;
  corpus.add(name, kind + bytes);
  for (std::size_t i = 0; i < kPlaces; ++i) {
    const auto at = i * bytes.size() / kPlaces;
    auto changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 0x11);
    corpus.add(name + "_cut_" + std::to_string(i), kind + bytes.substr(0, at));
    corpus.add(name + "_changed_" + std::to_string(i), kind + changed);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  const Time begin = std::chrono::sys_days(std::chrono::year(2020) / 1 / 1);
  const Validity validity{.begins = begin, .ends = begin + std::chrono::days(36'500)};
  const auto authority = *issue_authority("fuzz", validity);
  const auto node = *issue_node(authority, {{1}, {"127.0.0.1"}}, validity);

  const ContextHandle client(SSL_CTX_new(TLS_client_method()));
  const ContextHandle server(SSL_CTX_new(TLS_server_method()));
  const auto read = [](const std::string& pem) {
    return BioHandle(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  };
  const CertificateHandle certificate(
      PEM_read_bio_X509(read(node.pem.certificate).get(), nullptr, nullptr, nullptr));
  const KeyHandle key(PEM_read_bio_PrivateKey(read(node.pem.key).get(), nullptr, nullptr, nullptr));
  CHECK(SSL_CTX_use_certificate(server.get(), certificate.get()) == 1);
  CHECK(SSL_CTX_use_PrivateKey(server.get(), key.get()) == 1);
  End there(server.get()), here(client.get());
  SSL_set_accept_state(there.ssl.get());
  SSL_set_connect_state(here.ssl.get());
  const auto hello = here.say();
  there.hear(hello);
  const auto answer = there.say();
  CHECK(hello.size() > 100 && answer.size() > 100);

  const std::string come(1, '\0'), wait(1, '\1'), files(1, '\2');
  add_damaged(corpus, "hello", come, hello);
  corpus.add("hello_twice", come + hello + hello);
  corpus.add("alert", come + std::string("\x15\x03\x03\0\2\2\x28", 7));
  corpus.add("http", come + "GET / HTTP/1.1\r\n\r\n");
  std::string body, frame;
  append_hello(body, {{5}, {2}, 1, 0, {512, 4096, 4096, 4096, 2}});
  append_frame(frame, {.type = FrameType::kHello, .incarnation = {1}}, {1, 1}, body);
  corpus.add("plain_hello", come + frame);
  add_damaged(corpus, "answer", wait, answer);
  corpus.add("answer_alert", wait + std::string("\x15\x03\x03\0\2\2\x28", 7));
  corpus.add("answer_refuse", wait + frame);
  add_damaged(corpus, "certificate", files, node.pem.certificate);
  corpus.add("file_authority", files + authority.certificate);
  corpus.add("file_text", files + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
}
