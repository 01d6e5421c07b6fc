#include "cli/command_line.h"

#include <CLI/CLI.hpp>

#include "cli/output.h"
#include "cli/version.h"

namespace walrus::cli {
namespace {

Flag add_globals(Verb root, Globals& globals) {
  auto address = root.option("--addr", globals.address,
                             "The server's native address; of a cluster also several, with commas")
                     .environment("WALRUS_ADDR")
                     .last_counts()
                     .type_name("HOST:PORT")
                     .default_shown();
  root.flag("--tls", globals.tls, "TLS, trusting whom the system trusts");
  root.option("--tls-ca", globals.tls_ca, "TLS, trusting the certificates in this file")
      .environment("WALRUS_TLS_CA")
      .type_name("FILE");
  root.option("--tls-cert", globals.tls_certificate, "TLS, with this certificate of our own")
      .type_name("FILE");
  root.option("--tls-key", globals.tls_key, "The key of --tls-cert").type_name("FILE");
  root.option("--user", globals.user, "Who to log in as")
      .environment("WALRUS_USER")
      .type_name("NAME");
  root.option("--password-file", globals.password_file,
              "The first line is the password; without it the terminal is asked")
      .environment("WALRUS_PASSWORD_FILE")
      .type_name("FILE");
  root.option("--mechanism", globals.mechanism, "How to log in; the best that is offered")
      .one_of({"SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"});
  root.flag("--json", globals.json, "JSON on stdout, errors as JSON on stderr");
  root.option("--timeout-ms", globals.timeout_ms, "For connecting and for every answer")
      .range(1, 86'400'000)
      .type_name("MS")
      .default_shown();
  root.flag("--quiet", globals.quiet, "No progress, no notices, no summary");
  return address;
}

void add_verbs(CommandLine& line) {
  for (auto add :
       {add_serve,   add_topic, add_put,     add_get,   add_state, add_metrics,    add_produce,
        add_consume, add_group, add_cluster, add_log,   add_user,  add_backup,     add_restore,
        add_service, add_lane,  add_cert,    add_shell, add_bench, add_completion, add_version})
    add(line);
}

int usage_error(const Globals& globals, const std::string& why) {
  return report_usage(globals, {Code::kInvalid, "usage: " + why});
}

// The parser stops at the first word that it does not know, and may not have seen --json yet.
bool wants_json(int count, char** words) {
  for (int i = 1; i < count; ++i) {
    if (Bytes(words[i]) == "--") return false;
    if (Bytes(words[i]) == "--json") return true;
  }
  return false;
}

const CLI::App& deepest(const CLI::App& app) {
  auto below = app.get_subcommands();
  return below.empty() ? app : deepest(*below.front());
}

}  // namespace

CommandLine::CommandLine(CLI::App& parser)
    : root_(parser), address_(add_globals(root_, globals_)) {}

Verb CommandLine::add(Verb parent, const char* name, const char* help, Run run) {
  auto* verb = parent.parser().add_subcommand(name, help);
  verb->callback([this, run = std::move(run)] { selected_ = run; });
  return Verb(*verb);
}

int run_command_line(int count, char** words) {
  CLI::App root("A message streaming engine: a crash-safe log, and everything else a view of it.",
                "walrus");
  root.fallthrough();  // inherited: global flags may stand behind the verb too
  root.require_subcommand(0, 1);
  CommandLine line(root);
  root.set_version_flag("--version", version_line());
  add_verbs(line);
  root.footer(  // after the verbs: they would have it too
      "Start with: walrus serve    then: walrus topic create t; walrus put t hello\n"
      "Exit status: 0 done, 1 failed, 2 usage, 3 log verify found damage, 70 serve: the storage "
      "failed, 130 Ctrl-C");
  try {
    root.parse(count, words);
  } catch (const CLI::Success& asked) {  // --help, --version
    return root.exit(asked);
  } catch (const CLI::ParseError& error) {
    line.globals().json = wants_json(count, words);
    return usage_error(line.globals(), error.what());
  }
  if (!line.selected()) {
    auto name = deepest(root).get_name();
    return usage_error(line.globals(), name == "walrus" ? "a verb is missing"
                                                        : name + ": a verb is missing behind it");
  }
  auto status = line.selected()(line.globals());
  if (!status) {
    report(line.globals(), status.error());
    return kExitFailed;
  }
  if (auto flushed = flush_output(); !flushed) {
    report(line.globals(), flushed.error());
    return kExitFailed;
  }
  return *status;
}

}  // namespace walrus::cli
