#include "cli/session.h"

#include <nlohmann/json.hpp>

#include "cli/password.h"
#include "wire/native/frame.h"
#include "wire/native/reply.h"

namespace walrus::cli {

Result<ClientOptions> client_options(const Globals& globals) {
  ClientOptions options{.address = globals.address,
                        .timeout = Millis(globals.timeout_ms),
                        .user = globals.user,
                        .mechanism = globals.mechanism};
  if (globals.tls_certificate.empty() != globals.tls_key.empty())
    return fail(Code::kInvalid, "--tls-cert and --tls-key come together");
  if (globals.tls || !globals.tls_ca.empty() || !globals.tls_certificate.empty())
    options.tls = TlsFiles{
        .ca = globals.tls_ca, .certificate = globals.tls_certificate, .key = globals.tls_key};
  if (!globals.user.empty()) {
    WALRUS_ASSIGN(options.password, login_password(globals.user, globals.password_file));
  }
  return options;
}

Result<Client> connect(const Globals& globals) {
  WALRUS_ASSIGN(auto options, client_options(globals));
  auto client = Client::connect(options);
  if (!client) return std::unexpected(connect_failed(globals, std::move(client).error()));
  return client;
}

Error connect_failed(const Globals& globals, Error why) {
  // The error of the network names the address as well; once is enough.
  Bytes message = why.message;
  for (Bytes prefix : {Bytes("connect "), Bytes(globals.address), Bytes(": ")})
    if (message.starts_with(prefix)) message.remove_prefix(prefix.size());
  std::string next = "is the server running there? start one with: walrus serve";
  if (why.code == Code::kInvalid) next = "--addr takes HOST:PORT";
  bool secured = message.contains("TLS") || message.contains("uthentication") ||
                 message.contains("mechanism") || message.contains("certificate") ||
                 message.contains("user");
  if (secured) next = "see --tls-ca, --user and docs/security.md";
  return {why.code, fmt::format("connect {}: {}; {}", globals.address, message, next)};
}

Result<std::string> ask(Client& client, Bytes what, const wire::native::Request& request) {
  std::string frame;
  wire::native::append_request(frame, request);
  auto body = Bytes(frame).substr(wire::native::kFrameHeaderBytes);
  WALRUS_ASSIGN(auto reply, explained(what, client.request(body)));
  WALRUS_ASSIGN(auto text, explained(what, wire::native::parse_text(reply)));
  return std::string(text);
}

Result<nlohmann::ordered_json> ask_cluster(Client& client, Bytes what,
                                           const wire::native::ClusterRequest& request) {
  WALRUS_ASSIGN(auto text, ask(client, what, request));
  WALRUS_ASSIGN(auto json, parse_reply(what, text));
  if (!json.is_object()) return fail(Code::kCorrupt, "{}: not the reply of a Walrus server", what);
  return json;
}

Result<nlohmann::ordered_json> parse_reply(Bytes what, Bytes text) {
  auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  if (json.is_discarded())
    return fail(Code::kCorrupt, "{}: not the reply of a Walrus server", what);
  return json;
}

namespace {

std::string next_without_topic(Bytes what, Bytes topic) {
  auto slash = topic.find('/');
  if (slash != Bytes::npos)
    return fmt::format("; see its partitions with: walrus topic describe {}",
                       topic.substr(0, slash));
  bool writes = what.starts_with("put ") || what.starts_with("produce ");
  return writes ? fmt::format("; make it with: walrus topic create {}", topic)
                : "; see what there is with: walrus topic list";
}

}  // namespace

Error explained(Bytes what, Error why) {
  Bytes text = why.message;
  std::string next;
  if (text.starts_with("unknown topic "))
    next = next_without_topic(what, text.substr(text.rfind(' ') + 1));
  else if (text == "storage full")
    next = "; free disk space or delete a topic: writes resume without a restart";
  else if (text.starts_with("authentication required")) next = "; log in with --user";
  else if (text.starts_with("unknown group ")) next = "; see what there is with: walrus group list";
  else if (text.starts_with("group has members "))
    next = "; end its consumers first, or wait until their sessions are over";
  else if (text == "storage failed") next = "; see the server's log";
  else if (text == "invalid frame length")
    next = "; the payload is above the server's native.frame_bytes_max";
  else if (why.code == Code::kTimeout)
    next = "; nothing is known of the request (allow more with --timeout-ms)";
  why.message = fmt::format("{}: {}{}", what, why.message, next);
  return why;
}

bool connection_lost(const Error& error) {
  return error.code == Code::kClosed || error.code == Code::kIo || error.code == Code::kTimeout;
}

}  // namespace walrus::cli
