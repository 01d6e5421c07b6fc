#pragma once
// `walrus serve`: flags, configuration and the life of the process.
//
// The command line registers the verb, parses, and calls run():
//   server::ServeCommand serve;
//   auto* verb = serve.add_to(app);          // CLI::App: adds the subcommand with its flags
//   CLI11_PARSE(...); if (verb->parsed()) return serve.run(report);
//
// Exit status: 0 after SIGTERM or SIGINT, or after --check-config, --print-config; 1 after an error
// that was reported; 70 after a failed fsync or a SIGBUS in the journal.

#include <functional>
#include <memory>

#include "base/result.h"

namespace CLI {
class App;
}

namespace walrus::server {

class ServeCommand {
 public:
  ServeCommand();
  ~ServeCommand();
  CLI::App* add_to(CLI::App& parent);  // the flags write into this object: it must outlive parsing
  // Reads file and environment, starts, prints the ready line, serves until a signal. Errors are
  // reported as `<what>: <why>`.
  int run(const std::function<void(const Error&)>& report);

 private:
  struct Flags;
  std::unique_ptr<Flags> flags_;
};

}  // namespace walrus::server
