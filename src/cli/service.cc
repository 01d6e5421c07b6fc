#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "cli/session.h"
#include "walrus/service.h"

namespace walrus::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr Bytes kPeerAddress = "127.0.0.1:9093";

Json json_of_status(const ServiceStatus& status) {
  auto members = Json::array();
  for (const auto& member : status.members)
    members.push_back({{"id", member.peer.id.value},
                       {"address", member.peer.address},
                       {"voter", member.voter},
                       {"match_index", member.match_index}});
  return {{"name", json_of(Bytes(status.name))},
          {"cluster_id", status.cluster_id},
          {"self", status.self.value},
          {"leader", status.leader.value == 0 ? Json() : Json(status.leader.value)},
          {"role", role_name(status.role)},
          {"term", status.term},
          {"commit_index", status.commit_index},
          {"applied_index", status.applied_index},
          {"snapshot_index", status.snapshot_index},
          {"log_bytes", status.log_bytes},
          {"sessions", status.sessions},
          {"members", members},
          {"failure", status.failure.empty() ? Json() : Json(status.failure)}};
}

std::string text_of(const ServiceStatus& status) {
  auto text = fmt::format(
      "service {} cluster {}\nnode {} is {}, term {}, leader {}\n"
      "commit {} applied {} snapshot {} log {} bytes, {} sessions\n",
      status.name, status.cluster_id, status.self.value, role_name(status.role), status.term,
      status.leader.value == 0 ? "unknown" : fmt::to_string(status.leader.value),
      status.commit_index, status.applied_index, status.snapshot_index, status.log_bytes,
      status.sessions);
  if (!status.failure.empty()) text += fmt::format("failure: {}\n", status.failure);
  Table table({"node", "address", "votes", "match"});
  for (const auto& member : status.members)
    table.add({fmt::to_string(member.peer.id.value), member.peer.address,
               member.voter ? "yes" : "no", fmt::to_string(member.match_index)});
  return text + table.text();
}

Result<int> show_status(const Globals& globals, bool address_given) {
  const auto address = address_given ? globals.address : std::string(kPeerAddress);
  std::optional<TlsFiles> tls;
  if (globals.tls || !globals.tls_ca.empty())
    tls = TlsFiles{globals.tls_ca, globals.tls_certificate, globals.tls_key};
  WALRUS_ASSIGN(const auto status,
                about("service status " + address,
                      service_status(address, tls, within(Millis(globals.timeout_ms)))));
  if (globals.json) WALRUS_TRY(print_json(json_of_status(status)));
  else WALRUS_TRY(print(text_of(status)));
  return status.role == Role::kFailed ? kExitFailed : kExitDone;
}

}  // namespace

void add_service(CommandLine& line) {
  auto service = line.root().family("service", "Replicated state machines (walrus/service.h)");
  line.add(service, "status",
           "Who leads, who takes part, how far it is; --addr is a member's, by default "
           "127.0.0.1:9093",
           [address = line.address()](const Globals& globals) {
             return show_status(globals, address.given());
           });
}

}  // namespace walrus::cli
