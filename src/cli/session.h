#pragma once
// A verb's connection to the server, and what the errors on it mean to the user.

#include <nlohmann/json_fwd.hpp>

#include "cli/command_line.h"
#include "walrus/client.h"
#include "wire/native/request.h"

namespace walrus::cli {

// May ask the terminal for the password. kInvalid: what does not go together.
Result<ClientOptions> client_options(const Globals&);
// "connect <address>: <why>; <what next>".
Result<Client> connect(const Globals&);
// Adds what to do next where there is something to do. `what`: "put t".
Error explained(Bytes what, Error why);
template <class T>
Result<T> explained(Bytes what, Result<T> result) {
  if (!result) return std::unexpected(explained(what, std::move(result).error()));
  return result;
}
Error connect_failed(const Globals&, Error why);
// One request; the reply's body, or what the server refused, explained.
Result<std::string> ask(Client&, Bytes what, const wire::native::Request&);
// The same of CLUSTER, whose reply is an object. kCorrupt: it is none.
Result<nlohmann::ordered_json> ask_cluster(Client&, Bytes what,
                                           const wire::native::ClusterRequest&);
// The JSON of a reply. kCorrupt.
Result<nlohmann::ordered_json> parse_reply(Bytes what, Bytes text);
// The connection is gone or silent, in contrast to: the server refused.
bool connection_lost(const Error&);

}  // namespace walrus::cli
