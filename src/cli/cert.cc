// walrus cert: a CA of one's own, and certificates for the nodes of a cluster.

#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "cli/private_files.h"
#include "cli/time_text.h"
#include "net/issue.h"
#include "net/tls_context.h"

namespace walrus::cli {
namespace {

using Json = nlohmann::ordered_json;
using Days = std::chrono::days;

constexpr std::int64_t kAuthorityDays = 3650, kNodeDays = 365, kDaysMax = 36'500;
constexpr auto kEarlier = std::chrono::minutes(5);  // other nodes' clocks may be behind

struct CertFlags {
  std::string directory, cluster = "walrus";
  std::int64_t node = 0, days = 0;
  std::vector<std::string> addresses;
  bool force = false;
};

net::Validity validity_of(Time now, std::int64_t days) {
  return {.begins = now - kEarlier, .ends = now + Days(days)};
}

Result<int> print_written(const Globals& globals, const std::vector<PrivateFile>& files,
                          const Json& about, const std::string& text) {
  if (globals.json) {
    auto document = about;
    for (const auto& file : files) document["files"].push_back(file.path.string());
    WALRUS_TRY(print_json(document));
    return kExitDone;
  }
  for (const auto& file : files) WALRUS_TRY(print_line("wrote " + file.path.string()));
  if (!globals.quiet) WALRUS_TRY(print_line(text));
  return kExitDone;
}

Result<int> make_authority(const Globals& globals, const CertFlags& flags) {
  const auto what = "cert ca " + flags.directory;
  auto& env = io::real_env();
  const io::Path directory = flags.directory;
  const auto days = flags.days > 0 ? flags.days : kAuthorityDays;
  const auto validity = validity_of(env.wall(), days);
  WALRUS_ASSIGN(auto made, about(what, net::issue_authority(flags.cluster, validity)));
  const std::vector<PrivateFile> files = {{directory / "ca.key", std::move(made.key)},
                                          {directory / "ca.pem", std::move(made.certificate)}};
  WALRUS_TRY(about(what, write_private_files(env.disk(), files, flags.force)));
  const auto ends = format_time(validity.ends);
  return print_written(
      globals, files, {{"cluster", flags.cluster}, {"expires", ends}},
      fmt::format("CA of cluster {} until {}; next: walrus cert node {} --node-id 1", flags.cluster,
                  ends, flags.directory));
}

// At most as long as the CA, unless told how long.
Result<net::Validity> node_validity(Time now, std::int64_t days, const std::string& authority) {
  auto validity = validity_of(now, days > 0 ? days : kNodeDays);
  WALRUS_ASSIGN(const auto end, net::certificate_end(authority));
  if (end <= now) return fail(Code::kInvalid, "the CA's certificate has expired");
  if (days == 0) validity.ends = std::min(validity.ends, end);
  return validity;
}

Result<int> make_node(const Globals& globals, const CertFlags& flags) {
  const auto what = fmt::format("cert node {}", flags.directory);
  auto& env = io::real_env();
  const io::Path directory = flags.directory;
  const TlsFiles names{.ca = {}, .certificate = directory / "ca.pem", .key = directory / "ca.key"};
  WALRUS_ASSIGN(auto read, about(what, net::read_tls_files(env.disk(), names)));
  WALRUS_ASSIGN(const auto validity,
                about(what, node_validity(env.wall(), flags.days, read.certificate)));
  const net::IssuedPem authority{.certificate = std::move(read.certificate),
                                 .key = std::move(read.key)};
  const net::NodeSubject subject{.node = {static_cast<std::uint64_t>(flags.node)},
                                 .addresses = flags.addresses};
  WALRUS_ASSIGN(auto made, about(what, net::issue_node(authority, subject, validity)));
  const auto base = fmt::format("node-{}", flags.node);
  const std::vector<PrivateFile> files = {
      {directory / (base + ".key"), std::move(made.pem.key)},
      {directory / (base + ".pem"), std::move(made.pem.certificate)}};
  WALRUS_TRY(about(what, write_private_files(env.disk(), files, flags.force)));
  const auto ends = format_time(validity.ends);
  return print_written(globals, files,
                       {{"cluster", made.name.cluster},
                        {"node", flags.node},
                        {"addresses", flags.addresses},
                        {"expires", ends}},
                       fmt::format("{} at {} until {}", net::describe(made.name),
                                   fmt::join(flags.addresses, " "), ends));
}

Verb add_cert_verb(CommandLine& line, Verb cert, const char* name, const char* help,
                   std::shared_ptr<CertFlags> flags,
                   Result<int> (*run)(const Globals&, const CertFlags&)) {
  auto verb = line.add(cert, name, help,
                       [flags, run](const Globals& globals) { return run(globals, *flags); });
  verb.option("directory", flags->directory, "Where ca.pem and ca.key are")
      .required()
      .type_name("DIR");
  verb.option("--days", flags->days, "How long it is valid").range(1, kDaysMax);
  verb.flag("--force", flags->force, "Replace files that are there");
  return verb;
}

}  // namespace

void add_cert(CommandLine& line) {
  auto cert = line.root().family("cert", "Make certificates for the nodes of a cluster");
  auto authority = std::make_shared<CertFlags>();
  add_cert_verb(line, cert, "ca", "Make a CA; valid for ten years unless told", authority,
                make_authority)
      .option("--cluster", authority->cluster, "Which nodes belong together")
      .default_shown();
  auto node = std::make_shared<CertFlags>();
  node->addresses = {"127.0.0.1", "::1", "localhost"};
  auto verb =
      add_cert_verb(line, cert, "node", "Make a node's certificate; valid for a year unless told",
                    node, make_node);
  verb.option("--node-id", node->node, "Which node it is for")
      .required()
      .range(1, std::numeric_limits<std::int64_t>::max());
  verb.option("--address", node->addresses, "A DNS name or IP address of the node")
      .type_name("HOST")
      .repeated()
      .default_shown()
      .checked([](const std::string& text) {
        return net::valid_certificate_address(text) ? std::string()
                                                    : text + " is no DNS name or IP address";
      });
}

}  // namespace walrus::cli
