#pragma once
// The command line: the global flags, and one function a verb that adds it to the parser. Parsing
// picks the verb; running it is what it was added with.
//
// Exit status: 0 done; 1 failed, one line `walrus: <what>: <why>` on stderr; 2 usage; 3 `log
// verify` found damage; 130 Ctrl-C in a client; those of `serve` are its own.

#include <functional>
#include <string>

#include "base/result.h"
#include "cli/verb.h"

namespace walrus::cli {

constexpr int kExitDone = 0, kExitFailed = 1, kExitUsage = 2, kExitDamage = 3,
              kExitInterrupted = 130;

struct Globals {
  std::string address = "127.0.0.1:9091";
  bool json = false;
  std::int64_t timeout_ms = 10'000;
  bool quiet = false;
  bool tls = false;  // with the system's CAs; also where any of the files is given
  std::string tls_ca, tls_certificate, tls_key;
  std::string user, password_file, mechanism;
};

using Run = std::function<Result<int>(const Globals&)>;  // answers the exit status

class CommandLine {
 public:
  explicit CommandLine(CLI::App& parser);
  Verb root() const { return root_; }
  Flag address() const { return address_; }
  Globals& globals() { return globals_; }
  // A verb below `parent`; `run` is what it does.
  Verb add(Verb parent, const char* name, const char* help, Run run);
  const Run& selected() const { return selected_; }
  void select(Run run) { selected_ = std::move(run); }

 private:
  Verb root_;
  Globals globals_;
  Flag address_;
  Run selected_;
};

// One per verb, in the file of its name. What the flags write into is shared with the verb's Run.
void add_serve(CommandLine&);
void add_topic(CommandLine&);
void add_put(CommandLine&);
void add_get(CommandLine&);
void add_state(CommandLine&);
void add_metrics(CommandLine&);
void add_produce(CommandLine&);
void add_consume(CommandLine&);
void add_log(CommandLine&);
void add_backup(CommandLine&);
void add_restore(CommandLine&);
void add_service(CommandLine&);
void add_lane(CommandLine&);
void add_cert(CommandLine&);
void add_shell(CommandLine&);
void add_bench(CommandLine&);
void add_user(CommandLine&);
void add_group(CommandLine&);
void add_cluster(CommandLine&);
void add_cluster_changes(CommandLine&, Verb cluster);      // those that change something
void add_cluster_directories(CommandLine&, Verb cluster);  // those of `cluster` without server
void add_cluster_recovery(CommandLine&, Verb cluster);     // the last resort
void add_completion(CommandLine&);
void add_version(CommandLine&);

int run_command_line(int count, char** words);

}  // namespace walrus::cli
