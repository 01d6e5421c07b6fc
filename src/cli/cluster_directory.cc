// The verbs of `cluster` that make a directory a node's, without a server.

#include "server/cluster_directory.h"

#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "io/address.h"

namespace walrus::cli {
namespace {

struct NodeFlags {
  server::DirectoryOptions directory{.data_dir = "./walrus-data", .node = NodeId{1}};
  std::vector<std::string> members;
  bool insecure = false;
};

Result<int> told(const Globals& globals, const NodeFlags& flags, const meta::Identity& identity,
                 const char* what) {
  auto cluster = net::to_string(meta::cluster_id_of(identity.cluster));
  if (globals.json)
    WALRUS_TRY(print_json({{"cluster_id", cluster}, {"node", identity.node.value}}));
  else if (!globals.quiet)
    WALRUS_TRY(print_line(fmt::format(
        "{} {} as node {}; start it with: walrus serve --data-dir {} "
        "--node-id {}",
        what, cluster, identity.node.value, flags.directory.data_dir, identity.node.value)));
  return kExitDone;
}

Result<int> found_cluster(const Globals& globals, const NodeFlags& flags) {
  WALRUS_ASSIGN(auto identity,
                about("cluster init", server::found_in_directory(io::real_env(), flags.directory)));
  return told(globals, flags, identity, "founded cluster");
}

// What a stranger says who answers there is believed, unless its certificate proves it.
Result<void> check_members(const Globals& globals, const NodeFlags& flags) {
  for (const auto& member : flags.members) {
    WALRUS_ASSIGN(auto address, about("cluster join", io::parse_address(member)));
    if (!io::is_loopback(address) && globals.tls_ca.empty() && !flags.insecure)
      return fail(Code::kInvalid,
                  "cluster join: {}: not a loopback address: give --tls-ca, --tls-cert and "
                  "--tls-key, or allow it with --insecure",
                  member);
  }
  return {};
}

Result<int> join_cluster(const Globals& globals, const NodeFlags& flags) {
  if (auto checked = check_members(globals, flags); !checked)
    return report_usage(globals, checked.error());
  std::optional<TlsFiles> tls;
  if (!globals.tls_ca.empty())
    tls = TlsFiles{globals.tls_ca, globals.tls_certificate, globals.tls_key};
  WALRUS_ASSIGN(auto identity,
                about("cluster join",
                      server::join_from_directory(io::real_env(), flags.directory, flags.members,
                                                  tls, Millis(globals.timeout_ms))));
  return told(globals, flags, identity, "belongs to cluster");
}

}  // namespace

void add_cluster_directories(CommandLine& line, Verb cluster) {
  auto flags = std::make_shared<NodeFlags>();
  auto verb = [&line, &cluster, flags](const char* name, const char* help,
                                       Result<int> (*act)(const Globals&, const NodeFlags&)) {
    auto added = line.add(cluster, name, help,
                          [flags, act](const Globals& globals) { return act(globals, *flags); });
    added.option("--data-dir", flags->directory.data_dir, "The node's data directory")
        .default_shown();
    added.option("--namespace", flags->directory.key, "As node.namespace of the server");
    added.option("--node-id", flags->directory.node.value, "The node's id")
        .range(1, INT32_MAX)
        .default_shown();
    return added;
  };
  verb("init", "Make a directory the first node of a new cluster", found_cluster);
  auto join = verb("join", "Make a directory a node of a cluster that is running", join_cluster);
  join.option("member", flags->members, "Peer addresses of nodes: HOST:9093")
      .required()
      .type_name("HOST:PORT");
  join.flag("--insecure", flags->insecure, "Allow addresses off loopback without TLS");
}

}  // namespace walrus::cli
