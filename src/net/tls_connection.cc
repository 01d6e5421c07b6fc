#include "net/tls_connection.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <deque>

#include "base/check.h"
#include "net/node_name.h"
#include "net/openssl_handles.h"

namespace walrus::net {
namespace {

constexpr std::size_t kRecordBytes = 16 << 10;         // of plain text
constexpr std::size_t kPieceBytes = 4 * kRecordBytes;  // encrypted before it is written
constexpr std::size_t kReceiveBytes = 16 << 10;
constexpr std::size_t kFirstReceiveBytes = 1 << 10;    // of a peer that has not said anything yet
constexpr std::size_t kHandshakeBytesMax = 128 << 10;  // of a peer
constexpr char kAlertRecord = 0x15, kHandshakeRecord = 0x16;
constexpr io::Nanos kPartingTimeout = std::chrono::seconds(1);

}  // namespace

struct TlsConnection::State {
  State(io::Env& e, io::Loop& l, std::unique_ptr<io::Connection> p,
        std::shared_ptr<const TlsContext> c, TlsConnectionOptions o)
      : env(e),
        loop(l),
        plain(std::move(p)),
        context(std::move(c)),
        options(std::move(o)),
        deadline(env.mono() + options.handshake_timeout),
        flushed(loop.make_gate()) {}
  ~State() { SSL_free(ssl); }

  io::Env& env;
  io::Loop& loop;
  const std::unique_ptr<io::Connection> plain;
  const std::shared_ptr<const TlsContext> context;
  TlsConnectionOptions options;
  const io::Nanos deadline;  // of the handshake
  SSL* ssl = nullptr;        // none before the peer's first bytes
  std::string received;      // the peer's bytes, on their way to `ssl`
  std::size_t handshake_bytes = 0;
  bool secured = false, closed = false;
  std::optional<Error> broken;   // for good
  std::optional<Error> refused;  // what options.judge said

  // Of one write at a time: whoever has something to send while another writes leaves it to that.
  bool flushing = false;
  std::unique_ptr<io::Gate> flushed;  // for the writer
  std::int64_t encrypted = 0;         // bytes that went out, or wait to
  std::int64_t written = 0;           // of plain text, in records handed over whole
  struct Mark {                       // where a record ends
    std::int64_t encrypted = 0, plain = 0;
  };
  std::deque<Mark> marks;  // of records that are not known to be handed over
  std::int64_t plain_text = 0;

  std::unexpected<Error> fail_closed() const {
    return fail(Code::kClosed, "{}: closed", plain->peer());
  }
  void settle() {
    while (!marks.empty() && marks.front().encrypted <= plain->written()) {
      written = marks.front().plain;
      marks.pop_front();
    }
  }
};

namespace {

using State = TlsConnection::State;
using StateRef = std::shared_ptr<State>;

io::Nanos left_until(State& state, io::Nanos deadline) {
  if (deadline == io::Nanos::max()) return deadline;
  return std::max(io::Nanos(0), deadline - state.env.mono());
}

io::Nanos deadline_after(State& state, io::Nanos timeout) {
  auto now = state.env.mono();
  return timeout >= io::Nanos::max() - now ? io::Nanos::max() : now + timeout;
}

// For OpenSSL's verification, certificate by certificate, the peer's own one last.
int ask_judge(int good, X509_STORE_CTX* verified) {
  if (good != 1 || X509_STORE_CTX_get_error_depth(verified) != 0) return good;
  const auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(verified, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& state = *static_cast<State*>(SSL_get_app_data(ssl));
  auto verdict = state.options.judge(uris_of(X509_STORE_CTX_get_current_cert(verified)));
  if (verdict) return 1;
  state.refused = std::move(verdict).error();
  X509_STORE_CTX_set_error(verified, X509_V_ERR_CERT_REJECTED);
  return 0;
}

void start_ssl(State& state) {
  state.ssl = SSL_new(state.context->get());
  auto* in = BIO_new(BIO_s_mem());
  auto* out = BIO_new(BIO_s_mem());
  CHECK(state.ssl != nullptr && in != nullptr && out != nullptr);  // out of memory
  SSL_set_bio(state.ssl, in, out);                                 // which owns them from here on
  auto* rules = SSL_get0_param(state.ssl);
  X509_VERIFY_PARAM_set_time(
      rules, std::chrono::floor<std::chrono::seconds>(state.env.wall()).time_since_epoch().count());
  SSL_set_app_data(state.ssl, &state);
  if (state.options.judge)
    SSL_set_verify(state.ssl, SSL_CTX_get_verify_mode(state.context->get()), ask_judge);
  if (state.context->is_server()) {
    SSL_set_accept_state(state.ssl);
    return;
  }
  SSL_set_connect_state(state.ssl);
  const auto& host = state.options.host;
  CHECK(!host.empty() || state.options.judge);  // or anybody would do
  if (host.empty()) return;
  if (X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str()) == 1) return;
  ERR_clear_error();
  X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  CHECK(X509_VERIFY_PARAM_set1_host(rules, host.data(), host.size()) == 1);
  SSL_set_tlsext_host_name(state.ssl, host.c_str());
}

std::string take_output(State& state) {
  auto* out = SSL_get_wbio(state.ssl);
  std::string bytes(BIO_ctrl_pending(out), '\0');
  if (bytes.empty()) return bytes;
  auto size = BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
  CHECK(size == static_cast<int>(bytes.size()));
  return bytes;
}

bool has_output(const State& state) {
  return state.ssl != nullptr && BIO_ctrl_pending(SSL_get_wbio(state.ssl)) > 0;
}

// Everything that is encrypted, also what is added meanwhile. Somebody else's turn: nothing.
io::Task<void> flush(StateRef state, io::Nanos timeout) {
  if (state->flushing) co_return Result<void>();
  state->flushing = true;
  auto deadline = deadline_after(*state, timeout);
  Result<void> result;
  while (result && has_output(*state)) {
    auto bytes = take_output(*state);
    state->encrypted += std::ssize(bytes);
    result = co_await state->plain->write(bytes, left_until(*state, deadline));
    state->settle();
  }
  state->flushing = false;
  if (!result && !state->broken) state->broken = result.error();  // a record may be cut in two
  state->flushed->open();
  co_return result;
}

// More of the peer's bytes, to `ssl`. False: it has ended.
io::Task<bool> receive(StateRef state, io::Nanos timeout) {
  auto most = state->ssl == nullptr ? kFirstReceiveBytes : kReceiveBytes;
  state->received.resize_and_overwrite(most, [most](char*, std::size_t) { return most; });
  WALRUS_CO_ASSIGN(auto size, co_await state->plain->read_some(state->received, timeout));
  state->received.resize(size);
  if (state->closed) co_return state->fail_closed();
  if (size == 0) co_return false;
  if (state->ssl == nullptr) start_ssl(*state);
  if (!state->secured) state->handshake_bytes += size;
  CHECK(BIO_write(SSL_get_rbio(state->ssl), state->received.data(), static_cast<int>(size)) ==
        static_cast<int>(size));
  co_return true;
}

// Why the handshake failed, as far as it is known.
Error handshake_failure(State& state) {
  if (state.refused) {
    (void)take_tls_errors();
    return {state.refused->code,
            fmt::format("{}: {}", state.plain->peer(), state.refused->message)};
  }
  auto verified = SSL_get_verify_result(state.ssl);
  auto why = take_tls_errors();
  if (verified != X509_V_OK)
    why = fmt::format("{}{}{}", why, why.empty() ? "" : ": ",
                      X509_verify_cert_error_string(verified));
  return {Code::kInvalid,
          fmt::format("{}: TLS handshake: {}", state.plain->peer(), why.empty() ? "not TLS" : why)};
}

// The peer's own bytes are read before the close, so that it gets our last ones and no reset.
boost::asio::awaitable<void> part(StateRef state) {
  state->plain->shutdown_write();
  const auto deadline = deadline_after(*state, kPartingTimeout);
  char dropped[1 << 10];
  for (std::size_t count = 0; count < kHandshakeBytesMax;) {
    auto size = co_await state->plain->read_some(dropped, left_until(*state, deadline));
    if (!size || *size == 0) co_return;
    count += *size;
  }
}

// The first bytes of a peer that does not speak TLS: it gets a word, if there is one.
io::Task<void> refuse_foreign(StateRef state, io::Nanos timeout) {
  std::string answer;
  if (state->options.foreign) answer = state->options.foreign(state->received);
  if (!answer.empty()) {
    (void)co_await state->plain->write(answer, timeout);
    co_await part(state);
  }
  co_return fail(Code::kInvalid, "{}: the peer does not speak TLS", state->plain->peer());
}

io::Task<void> shake_hands(StateRef state, io::Nanos timeout) {
  auto deadline = std::min(state->deadline, deadline_after(*state, timeout));
  const bool server = state->context->is_server();
  bool heard = false;
  if (!server) start_ssl(*state);
  while (true) {
    auto left = left_until(*state, deadline);
    if (state->ssl != nullptr) {
      ERR_clear_error();
      auto done = SSL_do_handshake(state->ssl);
      auto error = SSL_get_error(state->ssl, done);
      if (done != 1 && error != SSL_ERROR_WANT_READ) {
        auto why = handshake_failure(*state);
        (void)co_await flush(state, left);  // the alert that says so
        if (server) co_await part(state);
        co_return std::unexpected(std::move(why));
      }
      WALRUS_CO_TRY(co_await flush(state, left));
      if (done == 1) co_return Result<void>();
    }
    WALRUS_CO_ASSIGN(bool more, co_await receive(state, left));
    if (!more)
      co_return fail(Code::kIo, "{}: ended within the TLS handshake", state->plain->peer());
    const char record = state->received[0];
    if (!heard && record != kHandshakeRecord && (server || record != kAlertRecord))
      co_return co_await refuse_foreign(state, left);
    heard = true;
    if (state->handshake_bytes > kHandshakeBytesMax)
      co_return fail(Code::kInvalid, "{}: a TLS handshake without end", state->plain->peer());
  }
}

io::Task<void> secure(StateRef state, io::Nanos timeout) {
  if (state->broken) co_return std::unexpected(*state->broken);
  auto result = co_await shake_hands(state, timeout);
  if (state->closed) result = state->fail_closed();
  state->secured = result.has_value();
  if (!result && !state->broken) state->broken = result.error();
  if (state->options.handshaken) std::exchange(state->options.handshaken, nullptr)(result);
  co_return result;
}

// The peer's alert that it does not take our certificate.
bool is_refusal(unsigned long error) {
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return false;
  switch (ERR_GET_REASON(error)) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return true;
    default: return false;
  }
}

io::Task<std::size_t> read_on(StateRef state, std::span<char> to, io::Nanos timeout) {
  auto deadline = deadline_after(*state, timeout);
  if (state->closed) co_return state->fail_closed();
  if (!state->secured) WALRUS_CO_TRY(co_await secure(state, timeout));
  while (true) {
    if (state->closed) co_return state->fail_closed();
    if (state->broken) co_return std::unexpected(*state->broken);
    ERR_clear_error();
    auto most = std::min<std::size_t>(to.size(), 1 << 30);
    auto size = SSL_read(state->ssl, to.data(), static_cast<int>(most));
    auto error = SSL_get_error(state->ssl, size);
    const bool refused = size <= 0 && is_refusal(ERR_peek_error());
    auto why = size > 0 || error == SSL_ERROR_WANT_READ ? "" : take_tls_errors();
    // What the protocol itself has to say.
    if (has_output(*state)) WALRUS_CO_TRY(co_await flush(state, left_until(*state, deadline)));
    if (size > 0) co_return static_cast<std::size_t>(size);
    if (error == SSL_ERROR_ZERO_RETURN) co_return std::size_t{0};
    if (error != SSL_ERROR_WANT_READ) {
      state->broken = Error{refused ? Code::kInvalid : Code::kIo,
                            fmt::format("{}: TLS: {}{}", state->plain->peer(),
                                        refused ? "the peer refuses this certificate: " : "", why)};
      continue;
    }
    WALRUS_CO_ASSIGN(bool more, co_await receive(state, left_until(*state, deadline)));
    if (!more)
      state->broken =
          Error{Code::kIo, fmt::format("{}: ended without saying so in TLS", state->plain->peer())};
  }
}

// Records of the front of `from`, encrypted; takes them off it.
void encrypt(State& state, Bytes& from) {
  for (std::size_t piece = 0; piece < kPieceBytes && !from.empty(); piece += kRecordBytes) {
    auto record = from.substr(0, kRecordBytes);
    ERR_clear_error();
    auto size = SSL_write(state.ssl, record.data(), static_cast<int>(record.size()));
    if (size != static_cast<int>(record.size())) {  // the peer has broken the protocol before
      state.broken =
          Error{Code::kIo, fmt::format("{}: TLS: {}", state.plain->peer(), take_tls_errors())};
      return;
    }
    from.remove_prefix(record.size());
    state.plain_text += size;
    auto pending = static_cast<std::int64_t>(BIO_ctrl_pending(SSL_get_wbio(state.ssl)));
    state.marks.push_back({.encrypted = state.encrypted + pending, .plain = state.plain_text});
  }
}

io::Task<void> write_on(StateRef state, Bytes from, io::Nanos timeout) {
  auto deadline = deadline_after(*state, timeout);
  while (!from.empty()) {
    if (state->closed) co_return state->fail_closed();
    if (!state->secured) co_return fail(Code::kClosed, "{}: not secured", state->plain->peer());
    if (!state->broken) encrypt(*state, from);
    while (!state->broken && state->flushing) {
      if (!co_await state->flushed->wait(left_until(*state, deadline)))
        state->broken = Error{Code::kTimeout, "the peer does not read"};
    }
    if (state->broken) co_return std::unexpected(*state->broken);
    WALRUS_CO_TRY(co_await flush(state, left_until(*state, deadline)));
  }
  co_return Result<void>();
}

// Says goodbye without waiting for anybody, then ends what is below.
boost::asio::awaitable<void> end_below(StateRef state, bool all) {
  if (state->ssl != nullptr && state->secured && !state->broken && !state->flushing) {
    (void)SSL_shutdown(state->ssl);
    (void)co_await flush(state, io::Nanos(0));
    ERR_clear_error();
  }
  if (all) state->plain->close();
  else state->plain->shutdown_write();
}

}  // namespace

TlsConnection::TlsConnection(io::Env& env, io::Loop& loop, std::unique_ptr<io::Connection> plain,
                             std::shared_ptr<const TlsContext> context,
                             TlsConnectionOptions options)
    : state_(std::make_shared<State>(env, loop, std::move(plain), std::move(context),
                                     std::move(options))) {}

// Without a word, as the loop itself may be going.
TlsConnection::~TlsConnection() {
  if (!std::exchange(state_->closed, true)) state_->plain->close();
}

io::Task<void> TlsConnection::handshake(io::Nanos timeout) { return secure(state_, timeout); }

io::Task<std::size_t> TlsConnection::read_some(std::span<char> to, io::Nanos timeout) {
  return read_on(state_, to, timeout);
}

io::Task<void> TlsConnection::write(Bytes from, io::Nanos timeout) {
  return write_on(state_, from, timeout);
}

std::int64_t TlsConnection::written() const {
  state_->settle();
  return state_->written;
}

void TlsConnection::shutdown_write() { state_->loop.spawn(end_below(state_, false)); }

void TlsConnection::close() {
  if (std::exchange(state_->closed, true)) return;
  if (state_->secured && !state_->broken) state_->loop.spawn(end_below(state_, true));
  else state_->plain->close();
}

std::string TlsConnection::peer() const { return state_->plain->peer(); }

namespace {

CertificateHandle certificate_of(const State& state) {
  if (!state.secured || SSL_get_verify_result(state.ssl) != X509_V_OK) return nullptr;
  return CertificateHandle(SSL_get1_peer_certificate(state.ssl));
}

}  // namespace

std::string TlsConnection::principal() const {
  auto certificate = certificate_of(*state_);
  if (!certificate) return {};
  BioHandle bio(BIO_new(BIO_s_mem()));
  CHECK(bio != nullptr);
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate.get()), 0,
                     XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  std::string name(BIO_ctrl_pending(bio.get()), '\0');
  (void)BIO_read(bio.get(), name.data(), static_cast<int>(name.size()));
  return name;
}

std::string TlsConnection::common_name() const {
  auto certificate = certificate_of(*state_);
  if (!certificate) return {};
  auto* subject = X509_get_subject_name(certificate.get());
  auto at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  // Two names are none: which of them counts?
  if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return {};
  const auto* text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::vector<std::string> TlsConnection::dns_names() const {
  std::vector<std::string> names;
  auto certificate = certificate_of(*state_);
  if (!certificate) return names;
  auto* all = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const auto* name = sk_GENERAL_NAME_value(all, i);
    if (name->type != GEN_DNS) continue;
    names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                       static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  GENERAL_NAMES_free(all);
  return names;
}

}  // namespace walrus::net
